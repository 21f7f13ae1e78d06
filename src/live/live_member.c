#include "live/live_internal.h"

#include <stdlib.h>

#include "base/mem.h"

struct live_member *live_member_find(const struct live_queue *queue, struct slice interface)
{
	return map_get(&queue->by_interface, interface);
}

static struct live_member *make(struct live_queue *queue, const struct live_reader *r)
{
	struct live_server *s = queue->object.server;
	struct slice interface = live_headers_interface(r), state = live_headers_get(r, LIVE_H_STATE_INTERFACE);
	if (!live_object_fits(s, LIVE_MEMBER, s->parts[LIVE_MEMBER], s->live->options.limits.members, interface))
		return NULL;
	struct live_member *member = mem_zalloc(sizeof *member);
	list_init(&member->in_agent);
	live_object_init(&member->object, LIVE_MEMBER, s, live_names_intern(&s->names, interface));
	member->object.serial = live_set_add(&queue->members, &member->object);
	member->queue = queue;
	member->calls_before = UINT32_MAX;
	map_set(&queue->by_interface, interface, member);
	s->parts[LIVE_MEMBER]++;
	member->agent = live_agent_get(s, state.len > 0 ? state : interface, true);
	if (member->agent)
		list_append(&member->agent->members, &member->in_agent);
	return member;
}

static void set_paused(struct live_member *member, bool paused, struct slice reason)
{
	struct live_server *s = member->object.server;
	int64_t now = s->live->now;
	if (paused == member->paused) {
		live_names_set(&s->names, &member->paused_reason, paused ? reason : slice_make("", 0));
		return;
	}
	member->paused = paused;
	if (paused) {
		member->paused_since = now;
		live_names_set(&s->names, &member->paused_reason, reason);
	} else {
		member->paused_since = 0;
		live_names_set(&s->names, &member->paused_reason, SLICE(""));
	}
}

static uint32_t small(const struct live_reader *r, unsigned header, uint32_t otherwise)
{
	int64_t n = live_headers_int(r, header, otherwise);
	return n >= 0 && n <= INT32_MAX ? (uint32_t)n : otherwise;
}

/* Takes over what the event or item says; returns whether its state changed. */
static bool take_over(struct live_member *member, const struct live_reader *r)
{
	struct live_server *s = member->object.server;
	int64_t status = live_headers_int(r, LIVE_H_STATUS, -1), login = live_headers_int(r, LIVE_H_LOGIN_TIME, 0);
	uint8_t before = member->status;
	struct slice name = live_headers_member_name(r);
	if (name.len > 0) {
		live_names_set(&s->names, &member->name, name);
		if (member->agent)
			live_names_set(&s->names, &member->agent->name, name);
	}
	if (status >= 0 && status <= 9)
		member->status = (uint8_t)status;
	member->calls = small(r, LIVE_H_CALLS_TAKEN, member->calls);
	member->penalty = small(r, LIVE_H_PENALTY, member->penalty);
	member->wrapup = small(r, LIVE_H_WRAPUP_TIME, member->wrapup);
	member->last_call = live_headers_int(r, LIVE_H_LAST_CALL, 0);
	if (login > 0 && login < INT64_MAX / LIVE_SECOND)
		member->logged_in = login * LIVE_SECOND;
	member->dynamic = slice_eq_nocase(live_headers_get(r, LIVE_H_MEMBERSHIP), SLICE("dynamic"));
	/* An event's 0 may be older than AgentConnect (Q72); a list's is right. Some lists name it IsInCall. */
	bool in_call = live_headers_true(r, LIVE_H_IN_CALL) || live_headers_true(r, LIVE_H_IS_IN_CALL);
	if (in_call || s->resync)
		member->in_call = in_call;
	if (s->resync && member->agent && (live_headers_has(r, LIVE_H_IN_CALL) || live_headers_has(r, LIVE_H_IS_IN_CALL)))
		live_agent_listed(member->agent);
	if (live_headers_has(r, LIVE_H_PAUSED))
		set_paused(member, live_headers_true(r, LIVE_H_PAUSED), live_headers_get(r, LIVE_H_PAUSED_REASON));
	return member->status != before;
}

struct live_member *live_member_seen(struct live_queue *queue, const struct live_reader *r)
{
	struct live_server *s = queue->object.server;
	struct live_member *member = live_member_find(queue, live_headers_interface(r));
	bool made = !member;
	if (!member)
		member = make(queue, r);
	if (!member)
		return NULL;
	bool paused = member->paused, penalty = false;
	uint32_t had = member->penalty;
	bool changed = take_over(member, r);
	penalty = had != member->penalty;
	member->object.seen = s->live->now;
	member->object.suspect = false;
	if (made) {
		if (member->logged_in == 0 && !s->resync)
			member->logged_in = s->live->now;
		live_report(s, LIVE_QUEUE_MEMBER, &member->object, "added");
	} else if (member->paused != paused) {
		live_report(s, LIVE_QUEUE_MEMBER, &member->object, member->paused ? "paused" : "unpaused");
	} else if (changed || penalty) {
		live_report(s, LIVE_QUEUE_MEMBER, &member->object, "state");
	}
	if (member->agent)
		live_agent_review(member->agent);
	return member;
}

void live_member_end(struct live_member *member)
{
	struct live_queue *queue = member->queue;
	struct live_server *s = member->object.server;
	struct live_agent *agent = member->agent;
	live_report(s, LIVE_QUEUE_MEMBER, &member->object, "removed");
	live_set_remove(&queue->members, member->object.serial);
	map_remove(&queue->by_interface, live_name_text(member->object.key));
	s->parts[LIVE_MEMBER]--;
	list_remove(&member->in_agent);
	member->agent = NULL;
	member->queue = NULL;
	live_object_remove(&member->object);
	if (agent)
		live_agent_review(agent);
}

void live_member_free(struct live_object *object)
{
	live_names_drop(&object->server->names, &LIVE_AS(member, object)->name);
	live_names_drop(&object->server->names, &LIVE_AS(member, object)->paused_reason);
}

/* ---- events ---- */

/* The caller's channel, and the agent's where it is known. Before Asterisk 12 Uniqueid is the caller's and Channel the
 * agent's. */
static struct live_channel *caller_of(struct live_server *s, const struct live_reader *r, struct live_channel **leg)
{
	if (live_headers_of(r, LIVE_DEST, LIVE_H_CHANNEL).len > 0) {
		*leg = live_channel_seen(s, r, LIVE_DEST, true);
		return live_channel_seen(s, r, LIVE_PLAIN, true);
	}
	struct live_channel *caller = live_channel_by_id(s, live_headers_of(r, LIVE_PLAIN, LIVE_H_UNIQUEID));
	*leg = live_channel_by_id(s, live_headers_get(r, LIVE_H_BRIDGED_CHANNEL));
	if (!*leg)
		*leg = live_channel_by_name(s, live_headers_get(r, LIVE_H_DESTINATION_CHANNEL));
	if (caller)
		live_channel_touch(caller);
	if (*leg)
		live_channel_touch(*leg);
	live_merge_join(caller, *leg);
	return caller;
}

static void complete(const struct live_reader *r, struct live_queue *queue, struct live_member *member)
{
	int64_t talk = live_headers_int(r, LIVE_H_TALK_TIME, 0);
	talk = talk > 0 && talk < INT32_MAX ? talk * LIVE_SECOND : 0;
	live_figures_add(queue, &(struct live_figures){ .talk = talk });
	if (!member) { /* taken out of the queue while he talked */
		struct live_agent *agent = live_agent_get(queue->object.server, live_headers_interface(r), false);
		if (agent)
			live_agent_complete(agent, talk, 0);
		return;
	}
	member->in_call = false;
	/* The QueueMemberStatus with the new number comes before or after this, or not at all (Q72). */
	if (member->calls == member->calls_before)
		member->calls++;
	member->calls_before = UINT32_MAX;
	if (member->agent)
		live_agent_complete(member->agent, talk, member->wrapup);
}

void live_member_event(struct live_server *s, const struct live_reader *r, int what)
{
	struct live_queue *queue = live_queue_get(s, live_headers_get(r, LIVE_H_QUEUE), what != LIVE_MEMBER_REMOVED);
	struct live_member *member = queue ? live_member_find(queue, live_headers_interface(r)) : NULL;
	struct live_channel *leg = NULL, *caller;
	if (what == LIVE_MEMBER_CALLED) {
		caller_of(s, r, &leg);
		if (leg)
			leg->agent = true;
	}
	if (!queue)
		return;
	switch (what) {
	case LIVE_MEMBER_SEEN:
		live_member_seen(queue, r);
		break;
	case LIVE_MEMBER_REMOVED:
		if (member)
			live_member_end(member);
		break;
	case LIVE_MEMBER_CONNECT:
		caller = caller_of(s, r, &leg);
		if (leg)
			leg->agent = true;
		if (caller)
			live_queue_connect(queue, caller, member, live_headers_interface(r), live_headers_member_name(r));
		break;
	case LIVE_MEMBER_COMPLETE:
	case LIVE_MEMBER_DUMP:
		caller_of(s, r, &leg);
		complete(r, queue, member);
		break;
	case LIVE_MEMBER_MISSED:
		if (member && member->agent) {
			member->agent->missed++;
			live_report(s, LIVE_AGENT_CHANGED, &member->agent->object, "missed");
		}
		break;
	default:
		break;
	}
}
