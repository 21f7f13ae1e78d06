#include "rules/order_internal.h"

#include <stdlib.h>

#include "base/mem.h"
#include "observe/log.h"
#include "rules/listener.h"
#include "rules/subscription.h"

#define SLICE_ITEMS 256u /* that one rule takes before the next one is served, for each turn that it waited */
#define SLICE_TURNS 16u  /* that count so, at most */
#define CHAIN_LONG 5000u
#define RUN_ITEMS 16u    /* of one server, before the rule's next server has its turn */

/* ---- streams ---- */

static struct rule_stream *find_stream(const struct rule *rule, const struct host_feed *feed)
{
	list_each(it, &rule->order.streams) {
		struct rule_stream *s = list_entry(it, struct rule_stream, of_rule);
		if (s->feed == feed)
			return s;
	}
	return NULL;
}

static void mark_behind(struct rule *rule)
{
	if (!list_empty(&rule->order.behind))
		return;
	list_append(&rule->host->behind, &rule->order.behind);
	rule->host->behind_count++;
	rule->order.served = rule->host->turn;
}

void order_unmark_behind(struct rule *rule)
{
	if (list_empty(&rule->order.behind))
		return;
	list_remove(&rule->order.behind);
	rule->host->behind_count--;
}

static struct rule_stream *get_stream(struct rule *rule, struct host_feed *feed)
{
	struct rule_stream *s = find_stream(rule, feed);
	if (s)
		return s;
	s = mem_zalloc(sizeof *s);
	s->rule = rule;
	s->feed = feed;
	list_init(&s->items);
	list_append(&rule->order.streams, &s->of_rule);
	list_append(&feed->streams, &s->of_feed);
	feed->stream_count++;
	mark_behind(rule);
	return s;
}

void order_lag(struct rule *rule, struct host_feed *feed)
{
	struct rule_stream *s = get_stream(rule, feed);
	if (!frame_cursor_is_open(&s->cursor))
		frame_cursor_open(&s->cursor, feed->log,
		                  &(struct frame_cursor_options){ .max_events = rule->limits.rule_events, .max_bytes = rule->limits.rule_bytes,
		                                                  .ctx = s });
}

/* ---- items ---- */

static uint64_t item_stamp(const struct list *items)
{
	return list_empty(items) ? UINT64_MAX : list_entry(items->next, struct order_item, node)->stamp;
}

static uint64_t stream_stamp(const struct rule_stream *s)
{
	uint64_t frame = frame_cursor_stamp(&s->cursor), item = item_stamp(&s->items);
	return frame < item ? frame : item;
}

/* Something of a server arrived before and was not taken yet, of `but` excepted. */
static bool is_blocked(const struct rule *rule, uint64_t stamp, const struct host_feed *but)
{
	list_each(it, &rule->order.streams) {
		const struct rule_stream *s = list_entry(it, struct rule_stream, of_rule);
		if (s->feed != but && stream_stamp(s) < stamp)
			return true;
	}
	return false;
}

void order_unfollow(struct rule *rule)
{
	if (!rule->order.follows)
		return;
	rule->order.follows->order.follower = NULL;
	rule->order.follows = NULL;
}

/* The rule that it replaces has not taken all that arrived before. */
static bool waits_for_replaced(struct rule *rule)
{
	if (!rule->order.follows)
		return false;
	if (order_has_pending(rule->order.follows))
		return true;
	order_unfollow(rule);
	return false;
}

bool order_is_free(struct rule *rule, const struct host_feed *feed)
{
	const struct rule_order *o = &rule->order;

	if (rule->dead)
		return true; /* and nothing of it runs */
	if (waits_for_replaced(rule))
		return false;
	if (rule_is_spent(rule) || rule_filters_spent(rule))
		return false;
	if (list_empty(&o->behind))
		return true;
	if (!list_empty(&o->late))
		return false;
	if (feed && find_stream(rule, feed))
		return false;
	if (!feed && !list_empty(&o->streams))
		return false;
	if (list_empty(&o->items))
		return true;
	/* What other servers hold up does not hold up this one. */
	const struct order_item *first = list_entry(o->items.next, struct order_item, node);
	return first->own || (feed && is_blocked(rule, first->stamp, feed));
}

static struct order_item *add(struct rule *rule, struct host_feed *feed, enum order_type type, uint64_t stamp, uint64_t turn)
{
	struct order_item *item = mem_zalloc(sizeof *item);
	item->type = type;
	item->stamp = stamp;
	item->turn = turn;
	item->rule = rule;
	item->feed = feed;
	list_append(feed ? &get_stream(rule, feed)->items : &rule->order.items, &item->node);
	mark_behind(rule);
	return item;
}

/* Large answers that one rule does not take must not end the session of all (limits.kept_bytes). The first one has a place however
 * large it is. */
static void bound_answers(struct rule *rule, struct reply *reply)
{
	struct rule_order *o = &rule->order;

	if (o->answer_bytes > 0 && o->answer_bytes + reply_size(reply) > rule->limits.rule_bytes) {
		reply_overflow(reply, "answers that the rule has not taken passed limits.rule_bytes");
		rule_count(rule, rule->host->m.answers_dropped, &rule->counts.s_answers_dropped, 1);
		if (host_may_log(rule->host, &rule->counts.answer_logged))
			log_write(LOG_WARN, "an answer was dropped: a rule has not taken those before it (limits.rule_bytes)", F_TEXT("rule", rule->name),
			          F_TEXT("action", reply->action));
	}
	o->answer_bytes += reply_size(reply);
}

void order_add_reply(struct rule *rule, struct host_feed *feed, struct reply *reply)
{
	struct host *host = rule->host;

	bound_answers(rule, reply);
	struct order_item *item = add(rule, feed, ORDER_REPLY, ++host->stamp, host->turn - 1);
	item->reply = reply;
	item->late.key = reply->deadline ? reply->deadline : UINT64_MAX;
	heap_push(&host->late, &item->late);
	if (feed)
		frame_log_hold(feed->log, reply_size(reply));
}

void order_add_event(struct rule *rule, struct host_feed *feed, struct own_event *event)
{
	struct order_item *item = add(rule, feed, ORDER_EVENT, event->stamp, rule->host->turn);
	item->event = event;
	item->own = event->rule && strcmp(event->rule, rule->name) == 0;
}

void order_add_timer(struct rule *rule, struct rule_timer *timer)
{
	timer->item = add(rule, NULL, ORDER_TIMER, ++rule->host->stamp, rule->host->turn - 1);
	timer->item->timer = timer;
}

void order_remove_timer(struct rule_timer *timer)
{
	struct order_item *item = timer->item;
	timer->item = NULL;
	if (!item)
		return;
	list_remove(&item->node);
	free(item);
}

void order_add_lost(struct rule *rule, struct host_feed *feed)
{
	add(rule, feed, ORDER_LOST, ++rule->host->stamp, rule->host->turn - 1);
}

static bool is_reply(const struct order_item *item)
{
	return item->type == ORDER_REPLY || item->type == ORDER_LATE;
}

/* Takes it out of its list; what it points to stays. */
static void detach(struct order_item *item)
{
	list_remove(&item->node);
	if (item->type == ORDER_REPLY)
		heap_remove(&item->rule->host->late, &item->late);
	if (!is_reply(item))
		return;
	item->rule->order.answer_bytes -= reply_size(item->reply);
	if (item->feed)
		frame_log_release(item->feed->log, reply_size(item->reply));
}

/* ---- delivery ---- */

static uint32_t chain_of(const struct order_item *item)
{
	return item->type == ORDER_EVENT ? item->event->chain : item->type == ORDER_TIMER ? item->timer->chain : 0;
}

/* It is bounded, and others are served; but nobody means it. */
static void note_chain(struct rule *rule, uint32_t chain)
{
	rule->host->chain = chain;
	if (chain < CHAIN_LONG || rule->chain_logged)
		return;
	rule->chain_logged = true;
	log_write(LOG_WARN, "a rule keeps itself busy: its events or timers begin the next ones at once, again and again", F_TEXT("rule", rule->name),
	          F_INT("in_a_row", chain));
}

/* The item is gone afterwards, and perhaps the rule's state. */
static void deliver(struct order_item *item)
{
	struct order_item it = *item;
	struct rule *rule = item->rule;
	struct host *host = rule->host;

	note_chain(rule, chain_of(item));
	detach(item);
	free(item);
	switch (it.type) {
	case ORDER_REPLY:
	case ORDER_LATE:
		request_complete(it.reply->tag, it.reply);
		break;
	case ORDER_EVENT:
		own_event_taken(rule, it.event);
		own_event_give(it.event, rule, it.pending);
		own_event_release(&it.event);
		break;
	case ORDER_TIMER:
		it.timer->item = NULL;
		rule_timer_fire(it.timer, rule_now(rule));
		break;
	case ORDER_LOST:
		subscription_server_lost(rule, it.feed->name);
		break;
	}
	host->chain = 0;
}

void order_item_drop(struct order_item *item)
{
	struct order_item it = *item;

	detach(item);
	free(item);
	if (is_reply(&it)) {
		request_free(it.reply->tag);
		reply_free(&it.reply);
	} else if (it.type == ORDER_EVENT) {
		own_event_taken(it.rule, it.event);
		own_event_release(&it.event);
	} else if (it.type == ORDER_TIMER) {
		it.timer->item = NULL;
	}
}

void order_overtake(struct host *host, uint64_t now)
{
	struct heap_node *top;

	while ((top = heap_top(&host->late)) && top->key <= now) {
		struct order_item *item = heap_entry(top, struct order_item, late);
		heap_remove(&host->late, top);
		list_remove(&item->node);
		item->type = ORDER_LATE;
		list_append(&item->rule->order.late, &item->node);
	}
}

uint64_t order_next_late(const struct host *host)
{
	const struct heap_node *top = heap_top(&host->late);
	return top ? top->key : UINT64_MAX;
}

static void note_lag(struct rule *rule, double at)
{
	double lag = rule_wall(rule) - at;
	if (lag > rule->order.longest_lag)
		rule->order.longest_lag = lag;
}

/* The next frame or gap of the stream. False when its cursor is at the end. */
static bool deliver_frame(struct rule_stream *s)
{
	struct rule *rule = s->rule;
	const struct host_server server = { .id = s->feed->id, .name = s->feed->name };
	uint64_t dropped = rule->order.dropped;
	struct frame_item item;
	bool pending = frame_cursor_stamp(&s->cursor) <= rule->drain_stamp;

	switch (frame_cursor_front(&s->cursor, &item)) {
	case FRAME_NONE:
		return false;
	case FRAME_EVENT:
		note_lag(rule, item.at);
		if (frame_cursor_count(&s->cursor) && s->feed->taken)
			s->feed->taken->value++;
		listeners_dispatch(rule->host, &(struct heard){ .message = &item.message, .server = &server, .at = item.at, .only = rule,
		                                                .pending = pending });
		break;
	case FRAME_GAP:
		own_event_give_gap(rule, s->feed, item.count, item.names, pending);
		break;
	}
	if (rule->order.dropped == dropped)
		frame_cursor_pop(&s->cursor);
	return true;
}

void order_stream_close(struct rule_stream *s)
{
	struct frame_log *log = s->feed->log;
	frame_cursor_close(&s->cursor);
	frame_log_settle(log);
	list_remove(&s->of_rule);
	list_remove(&s->of_feed);
	s->feed->stream_count--;
	free(s);
}

/* A stream that waits for nothing more is closed: from here on its rule is up to date with that server. */
static bool close_if_done(struct rule_stream *s)
{
	if (stream_stamp(s) != UINT64_MAX)
		return false;
	order_stream_close(s);
	return true;
}

/* The first item of no server, when it may be delivered now. */
static struct order_item *next_item(const struct rule *rule)
{
	if (list_empty(&rule->order.items))
		return NULL;
	struct order_item *item = list_entry(rule->order.items.next, struct order_item, node);
	return item->turn < rule->host->turn && !is_blocked(rule, item->stamp, NULL) ? item : NULL;
}

/* Whether an item of no server arrived before the stream's next one and has not been taken, though nothing of other servers
 * holds it up. */
static bool waits_for_item(const struct rule_stream *s, uint64_t stamp)
{
	const struct rule *rule = s->rule;
	list_each(it, &rule->order.items) {
		const struct order_item *item = list_entry(it, struct order_item, node);
		if (item->stamp > stamp)
			return false;
		if (!item->own)
			return !is_blocked(rule, item->stamp, s->feed);
	}
	return false;
}

/* An older link of the same server has something left. */
static bool waits_for_predecessor(const struct rule_stream *s, uint64_t stamp)
{
	list_each(it, &s->rule->order.streams) {
		const struct rule_stream *other = list_entry(it, struct rule_stream, of_rule);
		if (other != s && other->feed->id == s->feed->id && stream_stamp(other) < stamp)
			return true;
	}
	return false;
}

/* One item of the stream. False when there is none that may be delivered now. */
static bool serve_stream(struct rule_stream *s)
{
	uint64_t frame = frame_cursor_stamp(&s->cursor), item = item_stamp(&s->items), stamp = frame < item ? frame : item;
	struct order_item *first = list_empty(&s->items) ? NULL : list_entry(s->items.next, struct order_item, node);

	if (stamp == UINT64_MAX || waits_for_item(s, stamp) || waits_for_predecessor(s, stamp))
		return false;
	if (item < frame) {
		if (first->turn >= s->rule->host->turn)
			return false;
		deliver(first);
		return true;
	}
	return order_take_delivery(s->feed) && deliver_frame(s);
}

/* The next item of the rule. False when none may be delivered now. */
static bool serve_next(struct rule *rule)
{
	struct rule_order *o = &rule->order;
	struct order_item *item = next_item(rule);
	uint64_t dropped = o->dropped;

	if (item) {
		deliver(item);
		return true;
	}
	list_each_safe(it, &o->streams) {
		struct rule_stream *s = list_entry(it, struct rule_stream, of_rule);
		if (!serve_stream(s)) {
			close_if_done(s);
			continue;
		}
		if (o->dropped != dropped || close_if_done(s))
			return true;
		if (++s->run >= RUN_ITEMS) {
			s->run = 0;
			list_remove(&s->of_rule);
			list_append(&o->streams, &s->of_rule);
		}
		return true;
	}
	return false;
}

/* It stands there still, and may take more in this turn. */
static bool may_take_more(struct host *host, const struct rule *rule)
{
	return rule->host == host && !rule->dead && !order_is_spent(host) && !rule_is_spent(rule) && !rule_filters_spent(rule);
}

/* The usual case, without asking who waits for whom: frames of the only server that the rule lags behind, when nothing else waits
 * for it. Returns how many. */
static unsigned serve_frames(struct host *host, struct rule *rule, unsigned most)
{
	const struct rule_order *o = &rule->order;
	unsigned n = 0;

	while (n < most && may_take_more(host, rule) && list_empty(&o->items) && list_is_single(&o->streams)) {
		struct rule_stream *s = list_entry(o->streams.next, struct rule_stream, of_rule);
		if (!list_empty(&s->items) || frame_cursor_stamp(&s->cursor) == UINT64_MAX || !order_take_delivery(s->feed))
			break;
		deliver_frame(s);
		n++;
	}
	return n;
}

/* How much the rule may take now. Where slow rules use up one turn after the other, those between them are served once a round:
 * they take what would have been theirs in each turn, or they would be as slow. */
static unsigned take_slice(struct rule *rule)
{
	uint64_t turns = rule->host->turn - rule->order.served;

	rule->order.served = rule->host->turn;
	return SLICE_ITEMS * (turns < 1 ? 1 : turns < SLICE_TURNS ? (unsigned)turns : SLICE_TURNS);
}

/* Answers that have overtaken all else. Returns how many. */
static unsigned serve_late(struct host *host, struct rule *rule, unsigned most)
{
	unsigned n = 0;

	while (n < most && may_take_more(host, rule) && !list_empty(&rule->order.late)) {
		deliver(list_entry(rule->order.late.next, struct order_item, node));
		n++;
	}
	return n;
}

/* True when anything was delivered. */
static bool serve_slice(struct rule *rule)
{
	struct host *host = rule->host;
	unsigned n = serve_late(host, rule, SLICE_ITEMS);

	if (rule->host != host || waits_for_replaced(rule))
		return n > 0;
	unsigned most = take_slice(rule);
	n += serve_frames(host, rule, most);
	bool any = n > 0;

	for (; n < most && may_take_more(host, rule); n++) {
		if (!serve_next(rule))
			break;
		any = true;
	}
	if (rule->host == host && list_empty(&rule->order.streams) && list_empty(&rule->order.items) && list_empty(&rule->order.late))
		order_unmark_behind(rule);
	return any;
}

void order_serve(struct host *host)
{
	uint32_t idle = 0; /* rules in a row that could take nothing */

	if (list_empty(&host->behind))
		return;
	/* The turn begins with the rule behind the one that was served last. */
	if (list_entry(host->behind.next, struct rule, order.behind) == host->last_served) {
		struct list *first = host->behind.next;
		list_remove(first);
		list_append(&host->behind, first);
	}
	while (!list_empty(&host->behind) && idle < host->behind_count && !order_is_spent(host)) {
		struct rule *rule = list_entry(host->behind.next, struct rule, order.behind);
		list_remove(&rule->order.behind);
		list_append(&host->behind, &rule->order.behind);
		host->last_served = rule;
		idle = serve_slice(rule) ? 0 : idle + 1;
	}
}

bool order_waits(const struct host *host)
{
	return !list_empty(&host->behind);
}

void host_answered_each(const struct host *host, uint32_t server, host_answered_fn *fn, void *ctx)
{
	list_each(it, &host->behind) {
		const struct rule *rule = list_entry(it, struct rule, order.behind);
		list_each(i, &rule->order.late) {
			const struct order_item *item = list_entry(i, struct order_item, node);
			if (((const struct request *)item->reply->tag)->server == server)
				fn(ctx, rule->name, item->reply);
		}
		list_each(at, &rule->order.streams) {
			const struct rule_stream *s = list_entry(at, struct rule_stream, of_rule);
			if (s->feed->id != server)
				continue;
			list_each(i, &s->items) {
				const struct order_item *item = list_entry(i, struct order_item, node);
				if (item->type == ORDER_REPLY)
					fn(ctx, rule->name, item->reply);
			}
		}
	}
}

/* ---- servers ---- */

struct host_feed *host_feed_open(struct host *host, uint32_t id, const char *name, struct frame_log *log)
{
	struct host_feed *feed = mem_zalloc(sizeof *feed);
	feed->host = host;
	feed->id = id;
	feed->name = mem_strdup(name);
	feed->log = log;
	list_init(&feed->streams);
	list_append(&host->feeds, &feed->in_host);
	return feed;
}

struct host_feed *host_feed_find(const struct host *host, uint32_t server)
{
	struct host_feed *latest = NULL;
	list_each(it, &host->feeds) {
		struct host_feed *feed = list_entry(it, struct host_feed, in_host);
		if (feed->id == server)
			latest = feed;
	}
	return server ? latest : NULL;
}

void host_feed_count(struct host_feed *feed, struct series *taken)
{
	feed->taken = taken;
}

bool host_feed_is_busy(const struct host_feed *feed)
{
	return !list_empty(&feed->streams);
}

/* Answers that have overtaken their streams are delivered though their server is gone. */
static void part_from_late(const struct host_feed *feed)
{
	list_each(it, &feed->host->behind) {
		list_each(i, &list_entry(it, struct rule, order.behind)->order.late) {
			struct order_item *item = list_entry(i, struct order_item, node);
			if (item->feed == feed)
				item->feed = NULL;
		}
	}
}

void host_feed_close(struct host_feed **where)
{
	struct host_feed *feed = *where;
	if (!feed)
		return;
	*where = NULL;
	list_each_safe(it, &feed->streams) {
		struct rule_stream *s = list_entry(it, struct rule_stream, of_feed);
		list_each_safe(i, &s->items)
			order_item_drop(list_entry(i, struct order_item, node));
		order_stream_close(s);
	}
	part_from_late(feed);
	list_remove(&feed->in_host);
	free(feed->name);
	free(feed);
}

void host_skipped(void *cursor, struct slice name)
{
	struct rule_stream *s = cursor;
	struct rule *rule = s->rule;
	struct host *host = rule->host;

	rule_count_skipped(rule, 1);
	if (host_may_log(host, &host->skip_logged))
		log_write(LOG_WARN, "events skipped: a rule is slower than the server (limits.rule_events, limits.rule_bytes, limits.backlog_events)",
		          F_TEXT("rule", rule->name), F_TEXT("server", s->feed->name), F_SLICE("event", name));
}
