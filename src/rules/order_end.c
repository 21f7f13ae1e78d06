/* What still waits for a rule that is replaced or dropped. */
#include <stdlib.h>

#include "rules/order_internal.h"

/* What is for this state of the rule only, such as script.loaded, serves nobody any more. */
static void mark_pending(const struct list *items)
{
	list_each(it, items) {
		struct order_item *item = list_entry(it, struct order_item, node);
		item->pending = item->type == ORDER_EVENT && !item->event->only;
	}
}

void order_replace(struct rule *rule, struct rule *successor)
{
	rule->drain_stamp = rule->host->stamp;
	mark_pending(&rule->order.items);
	list_each(it, &rule->order.streams)
		mark_pending(&list_entry(it, struct rule_stream, of_rule)->items);
	if (!successor || !order_has_pending(rule))
		return;
	successor->order.follows = rule;
	rule->order.follower = successor;
}

static uint64_t count_pending(const struct list *items)
{
	uint64_t n = 0;
	list_each(it, items)
		n += list_entry(it, struct order_item, node)->pending;
	return n;
}

bool order_has_pending(const struct rule *rule)
{
	if (rule->ending || rule->dead)
		return false;
	if (count_pending(&rule->order.items) > 0)
		return true;
	list_each(it, &rule->order.streams) {
		const struct rule_stream *s = list_entry(it, struct rule_stream, of_rule);
		if (frame_cursor_stamp(&s->cursor) <= rule->drain_stamp || count_pending(&s->items) > 0)
			return true;
	}
	return false;
}

uint64_t order_lose(struct rule *rule, const char *reason)
{
	uint64_t n = 0;

	if (!rule->draining)
		order_replace(rule, NULL);
	n += count_pending(&rule->order.items);
	list_each(it, &rule->order.streams) {
		const struct rule_stream *s = list_entry(it, struct rule_stream, of_rule);
		n += frame_cursor_count_until(&s->cursor, rule->drain_stamp) + count_pending(&s->items);
	}
	if (n > 0)
		rule_loses(rule, n, reason);
	return n;
}

void order_drop(struct rule *rule)
{
	struct rule_order *o = &rule->order;

	order_unfollow(rule);
	if (o->follower)
		order_unfollow(o->follower);

	o->dropped++;
	list_each_safe(it, &o->streams) {
		struct rule_stream *s = list_entry(it, struct rule_stream, of_rule);
		list_each_safe(i, &s->items)
			order_item_drop(list_entry(i, struct order_item, node));
		order_stream_close(s);
	}
	list_each_safe(i, &o->late)
		order_item_drop(list_entry(i, struct order_item, node));
	list_each_safe(i, &o->items)
		order_item_drop(list_entry(i, struct order_item, node));
	list_each_safe(it, &o->shares) {
		struct emit_share *share = list_entry(it, struct emit_share, of_rule);
		list_remove(&share->of_rule);
		free(share->emitter);
		free(share);
	}
	order_unmark_behind(rule);
}
