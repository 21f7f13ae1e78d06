/* Calls that turn out to be one: by a Linkedid that changes (Q63), or by an event that joins them before it shows. The older
 * survives; the id of the other one stays known as its alias. */
#include "live/live_internal.h"

#include "base/mem.h"

/* Age of the call that bore this id, the smaller the older; 0: no living call of that id. */
static uint64_t rank_of(const struct live_server *s, struct slice id)
{
	const struct live_name *name = live_names_find(&s->names, id);
	struct live_object *object = live_object_named(name, LIVE_CALL);
	if (object)
		return LIVE_AS(call, object)->rank;
	object = live_object_named(name, LIVE_ALIAS);
	return object ? LIVE_AS(alias, object)->rank : 0;
}

static void add_alias(struct live_call *call, struct slice id, uint64_t rank)
{
	struct live_server *s = call->object.server;
	struct live_call_more *more = live_call_extra(call);
	if (id.len == 0 || id.len > LIVE_TEXT_MAX)
		return;
	struct live_alias *alias = mem_zalloc(sizeof *alias);
	live_object_init(&alias->object, LIVE_ALIAS, s, live_names_intern(&s->names, id));
	alias->call = call;
	alias->rank = rank;
	alias->next = more->aliases;
	more->aliases = alias;
}

void live_merge_forget(struct live_call *call)
{
	while (call->more && call->more->aliases) {
		struct live_alias *alias = call->more->aliases;
		call->more->aliases = alias->next;
		live_object_remove(&alias->object);
	}
}

static void move_aliases(struct live_call *from, struct live_call *to)
{
	while (from->more && from->more->aliases) {
		struct live_alias *alias = from->more->aliases;
		from->more->aliases = alias->next;
		alias->call = to;
		alias->next = live_call_extra(to)->aliases;
		to->more->aliases = alias;
	}
}

static struct live_call *merge(struct live_call *from, struct live_call *to)
{
	struct live_server *s = to->object.server;
	int64_t now = s->live->now;
	char id[LIVE_TEXT_MAX + 1];
	struct slice key = { id, from->object.key->len };
	memcpy(id, from->object.key->text, from->object.key->len);

	if (to->rank > from->rank) { /* more is known of their ages than when each got its rank */
		uint64_t rank = to->rank;
		to->rank = from->rank;
		from->rank = rank;
	}
	live_queue_merged(from, to);
	live_agent_moved(from, to);
	list_each_safe(node, &from->channels) {
		struct live_channel *channel = list_entry(node, struct live_channel, in_call);
		if (channel->held_since != 0) { /* what it held so far was the other call's */
			from->hold += now - channel->held_since;
			channel->held_since = now;
		}
		live_call_detach(channel);
		live_call_attach(to, channel);
	}
	to->incomplete |= from->incomplete;
	from->result = LIVE_RESULT_MERGED;
	live_names_set(&s->names, &live_call_extra(from)->into, live_name_text(to->object.key));
	uint64_t rank = from->rank;
	live_call_conclude(from, now);
	move_aliases(from, to);
	live_object_remove(&from->object);
	add_alias(to, key, rank);
	to->changed = true;
	live_call_touch(to);
	return to;
}

/* Of two that were found what a list said of their age counts more than which was found first. */
static bool is_older(const struct live_call *a, const struct live_call *b)
{
	if (a->no_history && b->no_history && a->started != b->started)
		return a->started < b->started;
	return a->rank < b->rank;
}

struct live_call *live_merge_calls(struct live_call *a, struct live_call *b)
{
	if (!a || !b || a == b)
		return a ? a : b;
	return is_older(a, b) ? merge(b, a) : merge(a, b);
}

void live_merge_bridged(struct live_call *inside, struct live_call *enters)
{
	int64_t apart = inside->started > enters->started ? inside->started - enters->started : enters->started - inside->started;
	/* Nothing else says which of the two is older: the Linkedid of who comes second is the oldest of the bridge (Q96). */
	if (inside->no_history && enters->no_history && apart < LIVE_SECOND)
		merge(inside, enters);
	else
		live_merge_calls(inside, enters);
}

void live_merge_link(struct live_channel *channel, struct slice linkedid)
{
	struct live_server *s = channel->object.server;
	struct slice had = live_name_text(channel->linkedid);
	if (linkedid.len > LIVE_TEXT_MAX)
		return;
	if (!channel->call) {
		live_names_set(&s->names, &channel->linkedid, linkedid);
		live_call_own(channel);
		return;
	}
	struct live_call *other = live_call_by_id(s, linkedid);
	if (!other)
		/* An id that nothing told of: older than the picture, or a new one of a call that goes on. */
		add_alias(channel->call, linkedid, channel->call->rank);
	else if (other != channel->call && channel->call->object.key == channel->object.key && (other->no_history || channel->call->no_history))
		/* A Linkedid is left for an older one only, and its own is the youngest that a channel can have. */
		merge(channel->call, other);
	else
		live_merge_calls(channel->call, other);
	/* Events may still carry the older copy (Q63): a younger id never comes back. */
	uint64_t rank = rank_of(s, linkedid), had_rank = rank_of(s, had);
	if (had.len == 0 || had_rank == 0 || rank <= had_rank)
		live_names_set(&s->names, &channel->linkedid, linkedid);
}

void live_merge_join(struct live_channel *a, struct live_channel *b)
{
	if (!a || !b)
		return;
	if (!a->call && b->call)
		live_call_attach(b->call, a);
	else if (a->call && !b->call)
		live_call_attach(a->call, b);
	else
		live_merge_calls(live_call_own(a), live_call_own(b));
}
