/* Queues and who waits in them. QueueCallerLeave has no reason: it is told by AgentConnect, by QUEUESTATUS, by the caller's
 * hang-up, or by the dialplan going on (Q67). Until then the caller stands in the server's `leaving`. */
#include "live/live_internal.h"

#include <stdlib.h>

#include "base/mem.h"

struct live_queue *live_queue_get(struct live_server *s, struct slice name, bool make)
{
	struct live_queue *queue = LIVE_AS(queue, live_object_find(s, LIVE_QUEUE, name));
	if (queue) {
		queue->object.seen = s->live->now;
		queue->object.suspect = false;
		return queue;
	}
	if (!make || !live_object_fits(s, LIVE_QUEUE, s->sets[LIVE_QUEUE].count, s->live->options.limits.queues, name))
		return NULL;
	queue = mem_zalloc(sizeof *queue);
	map_init(&queue->by_interface, false);
	list_init(&queue->dirty);
	live_object_init(&queue->object, LIVE_QUEUE, s, live_names_intern(&s->names, name));
	return queue;
}

/* ---- the order ---- */

uint32_t live_queue_position(const struct live_caller *caller)
{
	return caller->left || !caller->queue ? caller->position_left : caller->slot - caller->queue->first + 1;
}

static void insert(struct live_queue *queue, struct live_caller *caller, uint32_t index)
{
	if (queue->first + queue->waiting == queue->cap) {
		uint32_t cap = queue->waiting * 2 > 8 ? queue->waiting * 2 : 8;
		struct live_caller **callers = mem_alloc(cap * sizeof *callers);
		for (uint32_t i = 0; i < queue->waiting; i++) {
			callers[i] = queue->callers[queue->first + i];
			callers[i]->slot = i;
		}
		free(queue->callers);
		queue->callers = callers;
		queue->cap = cap;
		queue->first = 0;
	}
	for (uint32_t i = queue->first + queue->waiting; i > queue->first + index; i--) {
		queue->callers[i] = queue->callers[i - 1];
		queue->callers[i]->slot = i;
	}
	caller->slot = queue->first + index;
	queue->callers[caller->slot] = caller;
	queue->waiting++;
}

static void take_out(struct live_caller *caller)
{
	struct live_queue *queue = caller->queue;
	uint32_t end = queue->first + queue->waiting;
	if (caller->slot == queue->first) {
		queue->first++;
	} else {
		for (uint32_t i = caller->slot; i + 1 < end; i++) {
			queue->callers[i] = queue->callers[i + 1];
			queue->callers[i]->slot = i;
		}
	}
	queue->waiting--;
}

void live_queue_move(struct live_caller *caller, int64_t position)
{
	struct live_queue *queue = caller->queue;
	if (caller->left || position < 1 || position > queue->waiting || live_queue_position(caller) == position)
		return;
	take_out(caller);
	insert(queue, caller, (uint32_t)position - 1);
}

/* ---- joining and leaving ---- */

static struct live_wait *begin_wait(struct live_call *call, struct live_queue *queue)
{
	struct live_server *s = call->object.server;
	struct live_call_more *more = live_call_extra(call);
	/* A call that goes round and round shows its latest waits. */
	if (more->wait_count == 64) {
		struct live_object *oldest = &more->waits->object;
		more->waits->next->since -= more->waits->until > more->waits->since ? more->waits->until - more->waits->since : 0;
		more->waits = more->waits->next;
		more->wait_count--;
		live_object_remove(oldest);
	}
	struct live_wait *wait = mem_zalloc(sizeof *wait);
	live_object_init(&wait->object, LIVE_WAIT, s, live_names_keep(queue->object.key));
	wait->since = s->live->now;
	if (more->waits)
		more->last_wait->next = wait;
	else
		more->waits = wait;
	more->last_wait = wait;
	more->wait_count++;
	return wait;
}

static void forget(struct live_caller *caller)
{
	if (caller->waits)
		caller->waits->in_queue = NULL;
	caller->waits = NULL;
	list_remove(&caller->leaving);
	live_object_remove(&caller->object);
}

struct live_caller *live_queue_join(struct live_queue *queue, struct live_channel *channel, uint32_t position, int64_t since)
{
	struct live_server *s = queue->object.server;
	struct live_caller *caller = channel->in_queue;
	if (caller && !caller->left && caller->queue == queue) {
		caller->object.seen = s->live->now;
		caller->object.suspect = false;
		return caller;
	}
	if (caller && !caller->left)
		live_queue_leave(caller);
	if (caller)
		live_queue_left(caller, LIVE_LEFT_REDIRECTED);
	if (!live_object_fits(s, LIVE_CALLER, s->parts[LIVE_CALLER], s->live->options.limits.channels, live_name_text(channel->object.key)))
		return NULL;
	caller = mem_zalloc(sizeof *caller);
	list_init(&caller->leaving);
	live_object_init(&caller->object, LIVE_CALLER, s, live_names_keep(channel->object.key));
	caller->queue = queue;
	caller->waits = channel;
	channel->in_queue = caller;
	caller->since = since;
	live_names_set(&s->names, &caller->number, live_name_text(channel->number));
	live_names_set(&s->names, &caller->name, live_name_text(channel->caller_name));
	live_names_set(&s->names, &caller->channel, live_name_text(channel->name));
	insert(queue, caller, position > 0 && position <= queue->waiting ? position - 1 : queue->waiting);
	caller->position_joined = live_queue_position(caller);
	s->parts[LIVE_CALLER]++;
	struct live_call *call = live_call_own(channel);
	caller->call = call;
	if (call) {
		caller->wait = begin_wait(call, queue);
		caller->wait->since = since;
		call->waiting++;
		live_call_set(call, &call->queue, live_name_text(queue->object.key));
		live_call_told(call, LIVE_CALL_QUEUED);
	}
	if (!s->resync)
		live_figures_add(queue, &(struct live_figures){ .offered = 1 });
	live_report(s, LIVE_QUEUE_JOINED, &caller->object, NULL);
	return caller;
}

void live_queue_leave(struct live_caller *caller)
{
	struct live_server *s = caller->object.server;
	if (caller->left)
		return;
	caller->position_left = live_queue_position(caller);
	take_out(caller);
	caller->left = true;
	caller->until = s->live->now;
	s->parts[LIVE_CALLER]--;
	list_append(&s->leaving, &caller->leaving);
	if (caller->wait)
		caller->wait->until = caller->until;
	if (caller->call) {
		caller->call->waiting--;
		live_call_touch(caller->call);
	}
}

void live_queue_pass(struct live_caller *caller, struct live_channel *channel)
{
	struct live_names *names = &caller->object.server->names;
	if (channel->in_queue)
		live_queue_left(channel->in_queue, LIVE_LEFT_REDIRECTED);
	caller->waits->in_queue = NULL;
	caller->waits = channel;
	channel->in_queue = caller;
	live_names_drop(names, &caller->object.key);
	caller->object.key = live_names_keep(channel->object.key);
	live_names_set(names, &caller->number, live_name_text(channel->number));
	live_names_set(names, &caller->name, live_name_text(channel->caller_name));
	live_names_set(names, &caller->channel, live_name_text(channel->name));
	live_figures_add(caller->queue, &(struct live_figures){ 0 });
}

static void set_outcome(struct live_call *call, enum live_left reason)
{
	static const enum live_result results[LIVE_LEFTS] = {
		[LIVE_LEFT_ABANDONED] = LIVE_RESULT_ABANDONED, [LIVE_LEFT_TIMEOUT] = LIVE_RESULT_TIMEOUT,
		[LIVE_LEFT_JOINEMPTY] = LIVE_RESULT_FAILED, [LIVE_LEFT_LEAVEEMPTY] = LIVE_RESULT_FAILED,
		[LIVE_LEFT_ANSWERED] = LIVE_RESULT_ANSWERED, [LIVE_LEFT_UNSEEN] = LIVE_RESULT_FAILED,
	};
	if (call && results[reason] != LIVE_RESULT_NONE)
		call->outcome = (uint8_t)results[reason];
}

void live_queue_left(struct live_caller *caller, enum live_left reason)
{
	struct live_server *s = caller->object.server;
	struct live_queue *queue = caller->queue;
	live_queue_leave(caller);
	caller->reason = (uint8_t)reason;
	if (caller->wait) {
		caller->wait->reason = (uint8_t)reason;
		set_outcome(caller->call, reason);
	}
	if (reason == LIVE_LEFT_ABANDONED)
		live_figures_add(queue, &(struct live_figures){ .abandoned = 1 });
	live_report(s, LIVE_QUEUE_LEFT, &caller->object, live_lefts[reason]);
	caller->call = NULL;
	caller->wait = NULL;
	caller->queue = NULL;
	forget(caller);
}

void live_queue_connect(struct live_queue *queue, struct live_channel *channel, struct live_member *member, struct slice interface, struct slice agent_name)
{
	struct live_server *s = queue->object.server;
	struct live_caller *caller = channel->in_queue;
	struct live_call *call = live_call_own(channel);
	int64_t waited = caller ? (caller->left ? caller->until : s->live->now) - caller->since : 0;
	if (caller && caller->queue != queue)
		caller = NULL;
	if (caller && caller->wait)
		live_names_set(&s->names, &caller->wait->agent, interface);
	if (call) {
		live_call_set(call, &call->queue, live_name_text(queue->object.key));
		live_call_set(call, &call->agent, interface);
		live_call_set(call, &call->agent_name, agent_name);
		if (!call->answered_by)
			live_call_set(call, &call->answered_by, interface);
	}
	if (member) {
		member->in_call = true;
		member->calls_before = member->calls;
		if (member->agent && call)
			live_agent_connect(member->agent, call);
	}
	live_figures_add(queue, &(struct live_figures){ .answered = 1, .wait = waited, .in_time = waited <= s->live->options.service_level });
	if (caller)
		live_queue_left(caller, LIVE_LEFT_ANSWERED);
}

/* The channel hung up. */
void live_queue_channel_ended(struct live_channel *channel, bool unseen)
{
	struct live_caller *caller = channel->in_queue;
	if (!caller)
		return;
	/* Analog lines have no HangupRequest (Q102). */
	bool gave_up = channel->cause != UINT8_MAX || (caller->abandoned && !(caller->call && caller->call->shut_down));
	live_queue_left(caller, !unseen && gave_up ? LIVE_LEFT_ABANDONED : LIVE_LEFT_UNSEEN);
}

static void refused(struct live_channel *channel, const char *reason)
{
	struct live_server *s = channel->object.server;
	struct live_call *call = live_call_own(channel);
	if (!call)
		return;
	struct live_queue *queue = live_queue_get(s, live_name_text(call->queue), true);
	if (queue)
		live_figures_add(queue, &(struct live_figures){ .offered = 1 });
	call->outcome = LIVE_RESULT_FAILED;
	live_report_change(s, &(struct live_change){
		.kind = LIVE_QUEUE_REFUSED, .object = queue ? &queue->object : NULL, .reason = reason,
		.number = live_name_text(channel->number), .name = live_name_text(channel->caller_name), .queue = live_name_text(call->queue),
	});
}

void live_queue_status(struct live_channel *channel, struct slice status)
{
	struct live_caller *caller = channel->in_queue;
	if (status.len == 0)
		return;
	if (slice_eq(status, SLICE("FULL")))
		refused(channel, "full");
	else if (slice_eq(status, SLICE("JOINEMPTY")) || slice_eq(status, SLICE("JOINUNAVAIL")))
		refused(channel, "joinempty");
	else if (caller && slice_eq(status, SLICE("TIMEOUT")))
		live_queue_left(caller, LIVE_LEFT_TIMEOUT);
	else if (caller && slice_starts_with(status, SLICE("LEAVE")))
		live_queue_left(caller, LIVE_LEFT_LEAVEEMPTY);
	else if (caller && slice_eq(status, SLICE("ABANDON")))
		live_queue_left(caller, LIVE_LEFT_ABANDONED);
	else if (caller && !slice_eq(status, SLICE("CONTINUE")))
		live_queue_left(caller, LIVE_LEFT_REDIRECTED);
}

void live_queue_merged(struct live_call *from, struct live_call *to)
{
	/* Who has left and waits for a reason counts no more in `waiting`, and must move as well. */
	list_each(node, &from->channels) {
		struct live_channel *channel = list_entry(node, struct live_channel, in_call);
		struct live_caller *caller = channel->in_queue;
		if (!caller || caller->call != from)
			continue;
		if (caller->wait && !caller->left)
			caller->wait->until = from->object.server->live->now;
		caller->call = to;
		caller->wait = NULL;
		if (caller->left)
			continue;
		from->waiting--;
		to->waiting++;
		caller->wait = begin_wait(to, caller->queue);
		live_call_set(to, &to->queue, live_name_text(caller->queue->object.key));
	}
}

/* Longer than any event comes late; enough for a dialplan to say why. */
#define UNKNOWN_REASON (2 * LIVE_SECOND)

void live_queue_gone_on(struct live_caller *caller)
{
	const struct live_call *call = caller->call;
	bool transferred = call && call->more && call->more->transferred_at >= caller->until - LIVE_SECOND;
	live_queue_left(caller, transferred ? LIVE_LEFT_TRANSFERRED : LIVE_LEFT_REDIRECTED);
}

void live_queue_tick(struct live_server *s, int64_t now)
{
	while (!list_empty(&s->leaving)) {
		struct live_caller *caller = list_entry(s->leaving.next, struct live_caller, leaving);
		if (now - caller->until < UNKNOWN_REASON)
			return;
		live_queue_gone_on(caller);
	}
}

int64_t live_queue_deadline(const struct live_server *s)
{
	if (list_empty(&s->leaving))
		return INT64_MAX;
	return list_entry(s->leaving.next, struct live_caller, leaving)->until + UNKNOWN_REASON;
}

void live_queue_end(struct live_queue *queue)
{
	while (queue->waiting > 0)
		live_queue_left(queue->callers[queue->first], LIVE_LEFT_UNSEEN);
	list_each_safe(node, &queue->object.server->leaving) {
		struct live_caller *caller = list_entry(node, struct live_caller, leaving);
		if (caller->queue == queue)
			live_queue_left(caller, LIVE_LEFT_UNSEEN);
	}
	uint64_t at = 0;
	for (struct live_object *o; (o = live_set_next(&queue->members, &at));)
		live_member_end(LIVE_AS(member, o));
	list_remove(&queue->dirty);
	map_close(&queue->by_interface);
	live_set_close(&queue->members);
	free(queue->callers);
	queue->callers = NULL;
	live_object_remove(&queue->object);
}

void live_queue_free(struct live_object *object)
{
	live_names_drop(&object->server->names, &LIVE_AS(queue, object)->strategy);
}

void live_queue_free_caller(struct live_object *object)
{
	struct live_caller *c = LIVE_AS(caller, object);
	live_names_drop(&object->server->names, &c->number);
	live_names_drop(&object->server->names, &c->name);
	live_names_drop(&object->server->names, &c->channel);
}

void live_queue_free_wait(struct live_object *object)
{
	live_names_drop(&object->server->names, &LIVE_AS(wait, object)->agent);
}

/* ---- events ---- */

void live_queue_event(struct live_server *s, const struct live_reader *r, int what)
{
	struct slice name = live_headers_get(r, LIVE_H_QUEUE);
	struct live_channel *channel = live_channel_seen(s, r, LIVE_PLAIN, what == LIVE_QUEUE_JOIN);
	if (!channel)
		return;
	struct live_caller *caller = channel->in_queue;
	if (what == LIVE_QUEUE_JOIN) {
		int64_t position = live_headers_int(r, LIVE_H_POSITION, 0);
		struct live_queue *queue = live_queue_get(s, name, true);
		if (queue)
			live_queue_join(queue, channel, position > 0 && position < UINT32_MAX ? (uint32_t)position : 0, s->live->now);
	} else if (!caller || !caller->queue || !slice_eq(live_name_text(caller->queue->object.key), name)) {
		live_contradiction(s);
	} else if (what == LIVE_QUEUE_ABANDON) {
		caller->abandoned = true;
	} else if (caller->abandoned && channel->cause != UINT8_MAX) {
		live_queue_left(caller, LIVE_LEFT_ABANDONED);
	} else {
		live_queue_leave(caller);
	}
}
