#include "live/live_internal.h"

#include <stdlib.h>

#include "base/mem.h"

struct live_call_more *live_call_extra(struct live_call *call)
{
	if (!call->more)
		call->more = mem_zalloc(sizeof *call->more);
	return call->more;
}

/* ---- indexes ---- */

/* Which index a field belongs to, or -1. */
static int group_of(const struct live_call *call, struct live_name *const *field)
{
	return field == &call->account ? 0 : field == &call->queue ? 1 : field == &call->agent ? 2 : field == &call->trunk ? 3 : -1;
}

static void leave_group(struct live_call *call, int group, const struct live_name *name)
{
	struct live_group *from = LIVE_AS(group, live_object_named(name, LIVE_GROUP_ACCOUNT + group));
	if (!from || call->group_seq[group] == 0)
		return;
	live_set_remove(&from->calls, call->group_seq[group]);
	call->group_seq[group] = 0;
	if (from->calls.count == 0) {
		struct live_server *s = call->object.server;
		s->indexed = from->calls.last > s->indexed ? from->calls.last : s->indexed;
		live_set_close(&from->calls);
		live_object_remove(&from->object);
	}
}

static void enter_group(struct live_call *call, int group, struct live_name *name)
{
	struct live_server *s = call->object.server;
	if (!name)
		return;
	struct live_group *to = LIVE_AS(group, live_object_named(name, LIVE_GROUP_ACCOUNT + group));
	if (!to) {
		to = mem_zalloc(sizeof *to);
		live_object_init(&to->object, LIVE_GROUP_ACCOUNT + group, s, live_names_keep(name));
		to->calls.last = s->indexed; /* a walk may have begun in an index of this name that has gone */
	}
	call->group_seq[group] = live_set_add(&to->calls, &call->object);
}

void live_call_set(struct live_call *call, struct live_name **field, struct slice value)
{
	struct live_server *s = call->object.server;
	if (value.len > LIVE_TEXT_MAX)
		value.len = LIVE_TEXT_MAX;
	if (slice_eq(live_name_text(*field), value))
		return;
	int group = group_of(call, field);
	if (group >= 0)
		leave_group(call, group, *field);
	live_names_set(&s->names, field, value);
	if (group >= 0 && !call->object.gone)
		enter_group(call, group, *field);
	call->changed = true;
	live_call_touch(call);
}

static void set_state(struct live_call *call, int state)
{
	struct live_server *s = call->object.server;
	if (call->state_seq != 0)
		live_set_remove(&s->states[call->state], call->state_seq);
	call->state = (uint8_t)state;
	call->state_seq = state == LIVE_CALL_IS_ENDED ? 0 : live_set_add(&s->states[state], &call->object);
}

/* ---- coming to be ---- */

struct live_call *live_call_by_id(const struct live_server *s, struct slice id)
{
	const struct live_name *name = live_names_find(&s->names, id);
	struct live_object *object = live_object_named(name, LIVE_CALL);
	if (object)
		return LIVE_AS(call, object);
	object = live_object_named(name, LIVE_ALIAS);
	return object ? LIVE_AS(alias, object)->call : NULL;
}

static struct live_call *make(struct live_server *s, struct slice id)
{
	/* Each has a channel, but for those that wait for their end. */
	if (!live_object_fits(s, LIVE_CALL, s->sets[LIVE_CALL].count, s->live->options.limits.channels + 1024, id))
		return NULL;
	struct live_call *call = mem_zalloc(sizeof *call);
	list_init(&call->channels);
	list_init(&call->agents);
	list_init(&call->lingering);
	list_init(&call->originating);
	list_init(&call->touched);
	live_object_init(&call->object, LIVE_CALL, s, live_names_intern(&s->names, id));
	call->rank = ++s->ranks;
	call->started = s->live->now;
	set_state(call, LIVE_CALL_NEW);
	live_call_told(call, LIVE_CALL_STARTED);
	return call;
}

static bool is_number(struct slice exten)
{
	return exten.len > 0 && !slice_eq(exten, SLICE("s")) && !slice_eq(exten, SLICE("h")) && !slice_eq(exten, SLICE("i")) &&
	       !slice_eq(exten, SLICE("t"));
}

/* Who calls while he holds another call consults. */
static void find_consulted(struct live_call *call, const struct live_channel *channel)
{
	const struct live_channel *held = channel->endpoint->holder;
	if (held && held->call && held->call != call)
		live_names_set(&call->object.server->names, &live_call_extra(call)->consults, live_name_text(held->call->object.key));
}

/* Who calls whom, as the first channel says. */
static void describe(struct live_call *call, struct live_channel *channel)
{
	struct slice device = live_channel_device(live_channel_interface(live_name_text(channel->name)));
	struct slice number = live_name_text(channel->number), exten = live_name_text(channel->exten);
	call->originated = channel->originated;
	if (!call->originated)
		list_remove(&call->originating);
	else if (list_empty(&call->originating) && !call->originate_told)
		list_append(&call->object.server->originating, &call->originating);
	/* CallerIDNum of an Originate is what the phone shall show. */
	live_call_set(call, &call->from, channel->originated ? device : number);
	if (!channel->originated || slice_eq(number, device))
		live_call_set(call, &call->from_name, live_name_text(channel->caller_name));
	/* The Exten of one that was up when it was found may be that of a transfer. */
	if (!channel->originated && is_number(exten) && (channel->born || channel->state != LIVE_IS_UP))
		live_call_set(call, &call->to, exten);
	live_call_set(call, &call->account, live_name_text(channel->account));
	live_call_direction(call);
	if (!channel->originated && channel->endpoint)
		find_consulted(call, channel);
}

void live_call_began(struct live_channel *channel)
{
	struct live_call *call = channel->call;
	if (call->caller != channel)
		return;
	if (call->no_history) /* the list was quicker than the event: it is no old one */
		call->rank = ++call->object.server->ranks;
	if (!call->to && !call->undecided)
		describe(call, channel);
}

static void set_caller(struct live_call *call, struct live_channel *channel)
{
	call->caller = channel;
	call->caller_key = live_names_keep(channel->object.key);
	call->first_name = live_names_keep(channel->name);
	/* A channel that begins a call while it is down is called by an Originate, or will be in state Ring at once (Q90). */
	call->undecided = channel->born && channel->state == LIVE_DOWN;
	if (!call->undecided)
		describe(call, channel);
	else
		list_append(&call->object.server->originating, &call->originating);
}

/* Who was to be called is known by the channel's name alone. */
static void name_first(struct live_call *call)
{
	if (!call->from && call->first_name)
		live_call_set(call, &call->from, live_channel_device(live_channel_interface(live_name_text(call->first_name))));
}

void live_call_responded(struct live_call *call)
{
	if (!call->caller)
		name_first(call);
	call->originate_told = true;
	list_remove(&call->originating);
	live_call_touch(call);
}

void live_call_decide(struct live_channel *channel, bool originated)
{
	struct live_call *call = channel->call;
	channel->originated |= originated;
	if (!call || !call->undecided || call->caller != channel)
		return;
	call->undecided = false;
	describe(call, channel);
}

void live_call_attach(struct live_call *call, struct live_channel *channel)
{
	struct live_call *from = channel->call;
	channel->reviewed = false;
	if (!list_empty(&call->lingering)) { /* it has not ended after all */
		list_remove(&call->lingering);
		call->ended = 0;
	}
	channel->call = call;
	list_remove(&channel->in_call);
	list_append(&call->channels, &channel->in_call);
	call->channel_count++;
	call->holding += channel->held_since != 0;
	call->parked += channel->parked != NULL;
	call->in_conference += channel->in_conference;
	call->ringing += channel->rang;
	if (channel->bridge)
		live_bridge_moved(channel->bridge, from, call);
	/* Whom a queue calls for one who waits is an agent, through a Local channel too. */
	if (call->waiting > 0 && call->caller_key && (channel->state != LIVE_RING || channel->local) && !from)
		channel->agent = true;
	if (!call->caller_key && slice_eq(live_name_text(channel->object.key), live_name_text(call->object.key)))
		set_caller(call, channel);
	live_call_touch(call);
}

/* Leaves its call without ending it. */
void live_call_detach(struct live_channel *channel)
{
	struct live_call *call = channel->call;
	list_remove(&channel->in_call);
	call->channel_count--;
	call->holding -= channel->held_since != 0;
	call->parked -= channel->parked != NULL;
	call->in_conference -= channel->in_conference;
	call->ringing -= channel->rang;
	if (call->caller == channel)
		call->caller = NULL;
	live_call_touch(call);
}

#define FOUND_RANKS (UINT64_C(1) << 24)

void live_call_blind(struct live_server *s)
{
	s->blind = true;
	s->found_ranks = s->ranks;
	s->ranks += FOUND_RANKS;
}

void live_call_found(struct live_call *call)
{
	call->no_history = true;
	call->rank = ++call->object.server->found_ranks;
}

struct live_call *live_call_own(struct live_channel *channel)
{
	if (channel->call || slice_starts_with(live_name_text(channel->name), SLICE("Message/"))) /* text messages are no calls (Q107) */
		return channel->call;
	struct live_server *s = channel->object.server;
	/* Before Asterisk 12 nothing but their names says that two halves belong together. */
	if (channel->local && !channel->linkedid && channel->pair && channel->pair->call) {
		live_call_attach(channel->pair->call, channel);
		return channel->call;
	}
	struct slice id = channel->linkedid ? live_name_text(channel->linkedid) : live_name_text(channel->object.key);
	struct live_call *call = live_call_by_id(s, id);
	bool known = call != NULL;
	if (!call)
		call = make(s, id);
	if (!call)
		return NULL;
	/* A leg of a call that nothing told of. */
	if (!known && channel->linkedid && !slice_eq(id, live_name_text(channel->object.key))) {
		live_call_found(call);
		call->incomplete = true;
	}
	live_call_attach(call, channel);
	return call;
}

/* ---- reporting the end ---- */

static void stop_clocks(struct live_call *call, int64_t at)
{
	live_clock_run(&call->talk, false, at);
	live_clock_run(&call->conference, false, at);
}

static void leave_indexes(struct live_call *call)
{
	struct live_name *const fields[LIVE_GROUPS] = { call->account, call->queue, call->agent, call->trunk };
	for (int i = 0; i < LIVE_GROUPS; i++)
		leave_group(call, i, fields[i]);
}

/* Reports the end and lets go of the call. */
void live_call_conclude(struct live_call *call, int64_t at)
{
	struct live_server *s = call->object.server;
	bool silent = false;
	if (call->pending & (1u << LIVE_CALL_STARTED)) {
		/* A leg that turned out to be another call's was no call (before Asterisk 12). */
		silent = call->undecided && call->result == LIVE_RESULT_MERGED;
		call->pending = 0;
		if (!silent)
			live_report(s, LIVE_CALL_STARTED, &call->object, NULL);
	}
	stop_clocks(call, at);
	call->ended = at;
	if (call->ring_from != 0)
		call->ring_to = live_call_ring_end(call, at);
	leave_indexes(call);
	set_state(call, LIVE_CALL_IS_ENDED);
	list_remove(&call->touched);
	list_remove(&call->lingering);
	list_remove(&call->originating);
	live_agent_moved(call, NULL);
	if (call->result == LIVE_RESULT_MERGED && !silent)
		live_report(s, LIVE_CALL_MERGED, &call->object, NULL);
	if (!silent)
		live_report(s, LIVE_CALL_ENDED, &call->object, NULL);
	call->caller = NULL;
}

/* ---- what it is ---- */

void live_call_touch(struct live_call *call)
{
	if (!call->object.gone && list_empty(&call->touched))
		list_append(&call->object.server->touched, &call->touched);
}

void live_call_told(struct live_call *call, enum live_change_kind kind)
{
	call->pending |= (uint16_t)(1u << kind);
	live_call_touch(call);
}

#define PEER_STEPS 8

/* A party that can be heard in this bridge, looking through Local pairs. */
static struct live_channel *find_party(const struct live_bridge *bridge, const struct live_channel *but, int steps)
{
	int looked = 0;
	if (!bridge || steps == 0)
		return NULL;
	list_each(node, &bridge->channels) {
		struct live_channel *channel = list_entry(node, struct live_channel, in_bridge);
		if (!channel->local && channel != but)
			return channel;
		if (++looked == PEER_STEPS)
			break;
	}
	looked = 0;
	list_each(node, &bridge->channels) {
		struct live_channel *channel = list_entry(node, struct live_channel, in_bridge);
		if (channel->local && channel->pair && channel != but && channel->pair->bridge != bridge) {
			struct live_channel *found = find_party(channel->pair->bridge, channel->pair, steps - 1);
			if (found && found != but)
				return found;
		}
		if (++looked == PEER_STEPS)
			break;
	}
	return NULL;
}

struct live_channel *live_call_peer(const struct live_call *call)
{
	const struct live_channel *caller = call->caller;
	if (caller && caller->bridge)
		return find_party(caller->bridge, caller, PEER_STEPS);
	int looked = 0;
	/* The caller is gone or behind a Local channel: the youngest who is joined with somebody. */
	for (struct list *node = call->channels.prev; node != &call->channels && looked < PEER_STEPS; node = node->prev, looked++) {
		struct live_channel *channel = list_entry(node, struct live_channel, in_call);
		if (channel != caller && !channel->local && channel->bridge)
			return channel;
	}
	return NULL;
}

void live_call_direction(struct live_call *call)
{
	const struct live_channel *caller = call->caller;
	if (!caller || caller->local)
		return;
	int trunk = caller->endpoint ? live_endpoint_trunk(caller->endpoint) : -1;
	/* A phone's own number is its name; whether anything else is a phone nothing says. */
	if (trunk < 0 && slice_eq(live_name_text(call->from), live_channel_device(live_channel_interface(live_name_text(caller->name)))))
		trunk = 0;
	if (trunk == 1) {
		call->direction = 1;
		live_call_set(call, &call->trunk, live_name_text(caller->endpoint->object.key));
	} else if (trunk == 0 && call->direction == 0) {
		call->direction = 3;
	}
}

static int state_of(const struct live_call *call)
{
	if (call->parked > 0)
		return LIVE_CALL_IS_PARKED;
	if (call->in_conference > 0)
		return LIVE_CALL_CONFERENCE;
	if (call->holding > 0)
		return LIVE_CALL_IS_HELD;
	if (call->talking > 0)
		return LIVE_CALL_UP;
	if (call->waiting > 0)
		return LIVE_CALL_IS_QUEUED;
	if (call->ringing > 0)
		return LIVE_CALL_IS_RINGING;
	return call->answered_once && (!call->caller || call->caller->state == LIVE_IS_UP) ? LIVE_CALL_UP : LIVE_CALL_NEW;
}

#define UP_LOOKS 8

/* Something was missed, and its caller has gone: who is up has been answered, or he would not be there. */
static bool outlives_caller(const struct live_call *call)
{
	int looked = 0;
	if (!call->incomplete || call->caller)
		return false;
	list_each(node, &call->channels) {
		if (list_entry(node, struct live_channel, in_call)->state == LIVE_IS_UP)
			return true;
		if (++looked == UP_LOOKS)
			break;
	}
	return false;
}

static void look_for_firsts(struct live_call *call, int64_t now)
{
	if (!call->answered_once && outlives_caller(call))
		call->answered_once = true;
	if (!call->answered_once && call->caller && call->caller->state == LIVE_IS_UP) {
		call->answered_once = true;
		if (call->ring_to == 0)
			call->ring_to = call->ring_rests;
		if (!call->no_history && !call->object.server->resync) {
			call->answered = now;
			call->pending |= 1u << LIVE_CALL_ANSWERED;
		}
	}
	if (call->talking == 0)
		return;
	struct live_channel *peer = live_call_peer(call);
	if (!peer || peer->object.key == call->peer_id)
		return;
	live_names_set(&call->object.server->names, &call->peer_id, live_name_text(peer->object.key));
	if (!call->connected_once && !call->no_history && !call->object.server->resync)
		call->connected = now;
	if (!call->answered_by && peer->endpoint && peer != call->caller)
		live_call_set(call, &call->answered_by, live_name_text(peer->endpoint->object.key));
	call->connected_once = true;
	call->ended_by = 0; /* whoever hung up before did not end this */
	call->pending |= 1u << LIVE_CALL_CONNECTED;
}

static void report_pending(struct live_call *call)
{
	static const uint16_t changed = 1u << LIVE_CALL_CHANGED;
	struct live_server *s = call->object.server;
	if (call->changed && call->pending == 0)
		call->pending = changed;
	call->changed = false;
	for (int kind = LIVE_CALL_STARTED; kind <= LIVE_CALL_PARKED && call->pending != 0; kind++) {
		if (!(call->pending & (1u << kind)))
			continue;
		call->pending &= (uint16_t)~(1u << kind);
		live_report(s, (enum live_change_kind)kind, &call->object, NULL);
	}
}

static bool rings(const struct live_call *call)
{
	if (call->ringing == 0)
		return false;
	list_each(node, &call->channels) {
		const struct live_channel *channel = list_entry(node, struct live_channel, in_call);
		if (channel->rang && !channel->agent)
			return true;
	}
	return false;
}

/* Phones that ring one after the other are one ringing; a queue or a voicemail that comes then is none. */
static void review_ring(struct live_call *call, int64_t now)
{
	if (call->ring_to != 0)
		return;
	if (!rings(call)) {
		if (call->ring_from != 0 && call->ring_rests == 0)
			call->ring_rests = now;
		return;
	}
	call->ring_rests = 0;
	if (call->ring_from == 0) {
		call->ring_from = call->no_history ? 0 : now;
		call->pending |= 1u << LIVE_CALL_RINGING;
	}
}

static bool waits_for_response(const struct live_call *call)
{
	return call->originated && !call->answered_once && !call->originate_told && call->result != LIVE_RESULT_UNSEEN &&
	       call->object.server->connected;
}

/* Something of it may be there that nothing told of: the server was out of sight, and no list of channels came since. */
static bool may_go_on(const struct live_call *call)
{
	const struct live_server *s = call->object.server;
	return s->blind && s->connected && call->incomplete && call->result != LIVE_RESULT_UNSEEN;
}

static void settle(struct live_call *call)
{
	struct live_server *s = call->object.server;
	int64_t now = s->live->now;
	if (call->channel_count == 0) {
		if (call->undecided)
			name_first(call);
		call->undecided = false;
		list_remove(&call->touched);
		if (call->ended == 0)
			call->ended = now;
		stop_clocks(call, call->ended);
		if (!waits_for_response(call) && !may_go_on(call))
			live_call_finish(call);
		else if (list_empty(&call->lingering))
			list_append(&s->lingering, &call->lingering);
		return;
	}
	if (call->undecided)
		return;
	review_ring(call, now);
	look_for_firsts(call, now);
	int state = state_of(call);
	if (state != call->state) {
		set_state(call, state);
		call->changed = true;
	}
	report_pending(call);
}

void live_call_settle(struct live_server *s)
{
	while (!list_empty(&s->touched)) {
		struct live_call *call = list_entry(s->touched.next, struct live_call, touched);
		list_remove(&call->touched);
		settle(call);
	}
}

/* ---- the end ---- */

void live_call_leave(struct live_channel *channel)
{
	live_call_detach(channel);
	channel->call = NULL;
}

void live_call_finish(struct live_call *call)
{
	if (call->result != LIVE_RESULT_UNSEEN)
		call->result = (uint8_t)live_result_of(call);
	live_call_conclude(call, call->ended);
	live_merge_forget(call);
	live_object_remove(&call->object);
}

void live_call_failed(struct live_server *s, struct slice id, struct slice channel, struct slice exten, int64_t reason)
{
	struct live_call *call = make(s, id);
	if (!call)
		return;
	call->originated = call->originate_told = true;
	call->ended = s->live->now;
	live_call_set(call, &call->from, live_channel_device(channel));
	live_call_set(call, &call->to, exten);
	live_result_originate(call, reason);
	live_call_finish(call);
}

void live_call_free(struct live_object *object)
{
	struct live_call *c = LIVE_AS(call, object);
	struct live_names *names = &object->server->names;
	struct live_name **fields[] = {
		&c->from, &c->from_name, &c->to, &c->to_name, &c->trunk, &c->queue, &c->agent, &c->agent_name, &c->answered_by,
		&c->account, &c->caller_key, &c->first_name, &c->peer_id,
	};
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		live_names_drop(names, fields[i]);
	if (!c->more)
		return;
	struct live_name **more[] = {
		&c->more->transferred_from, &c->more->transferred_to, &c->more->from_before, &c->more->to_before, &c->more->forwarded_from, &c->more->fetched_by,
		&c->more->consults, &c->more->into,
	};
	for (size_t i = 0; i < sizeof more / sizeof *more; i++)
		live_names_drop(names, more[i]);
	while (c->more->waits) {
		struct live_object *wait = &c->more->waits->object;
		c->more->waits = c->more->waits->next;
		live_object_remove(wait);
	}
	free(c->more);
}
