/* The fields of each kind by name: what rules, consoles and metrics see. */
#include "live/live_internal.h"

static struct live_value nil(void)
{
	return (struct live_value){ .type = LIVE_NIL };
}

static struct live_value text(const struct live_name *name)
{
	return name ? (struct live_value){ .type = LIVE_TEXT, .text = live_name_text(name) } : nil();
}

static struct live_value word(const char *w)
{
	return w ? (struct live_value){ .type = LIVE_TEXT, .text = slice_cstr(w) } : nil();
}

static struct live_value boolean(bool b)
{
	return (struct live_value){ .type = LIVE_BOOL, .boolean = b };
}

static struct live_value integer(int64_t n)
{
	return (struct live_value){ .type = LIVE_INT, .integer = n };
}

static struct live_value known(int64_t n)
{
	return n >= 0 ? integer(n) : nil();
}

static struct live_value seconds(int64_t us)
{
	return (struct live_value){ .type = LIVE_NUMBER, .number = (double)us / 1e6 };
}

static struct live_value at(int64_t us)
{
	return us != 0 ? (struct live_value){ .type = LIVE_TIME, .number = (double)us / 1e6 } : nil();
}

static struct live_value map_of(const struct live_object *object, uint32_t field, uint32_t count)
{
	return (struct live_value){ .type = LIVE_MAP, .list = { object, field, count } };
}

static struct live_value list(const struct live_object *object, uint32_t field, uint32_t count)
{
	return (struct live_value){ .type = LIVE_LIST, .list = { object, field, count } };
}

/* Lists each kind's fields once: as numbers and as names. */
#define FIELD_ENUM(id) F_##id,
#define FIELD_NAME(id) #id,

#define CHANNEL_FIELDS(X) \
	X(server) X(name) X(uniqueid) X(linkedid) X(state) X(number) X(caller_name) X(connected_number) X(connected_name) X(context) \
	X(exten) X(application) X(since) X(bridge) X(held) X(account) X(call) X(recording) X(interface) X(variables)
#define CALL_FIELDS(X) \
	X(server) X(id) X(from) X(from_name) X(to) X(to_name) X(direction) X(trunk) X(state) X(queue) X(agent) X(agent_name) \
	X(answered_by) X(account) X(started) X(answered) X(connected) X(ended) X(ring) X(wait) X(waits) X(talk) X(hold) \
	X(conference_time) X(result) X(cause) X(cause_text) X(ended_by) X(transferred_from) X(transferred_to) X(forwarded_from) \
	X(fetched_by) X(consults) X(into) X(caller) X(peer) X(channels) X(incomplete)
#define BRIDGE_FIELDS(X) X(server) X(id) X(type) X(technology) X(creator) X(name) X(since) X(count) X(channels)
#define CONFERENCE_FIELDS(X) X(server) X(name) X(bridge) X(since) X(count) X(members) X(locked) X(muted) X(marked) X(recording)
#define PARTICIPANT_FIELDS(X) \
	X(server) X(conference) X(channel) X(uniqueid) X(number) X(name) X(call) X(since) X(admin) X(marked) X(muted) X(talking) X(waiting)
#define LOT_FIELDS(X) X(server) X(name) X(count) X(parked)
#define PARKED_FIELDS(X) X(server) X(lot) X(space) X(channel) X(uniqueid) X(call) X(parked_by) X(since) X(timeout)
#define QUEUE_FIELDS(X) \
	X(server) X(name) X(strategy) X(count) X(waiting) X(longest_wait) X(member_count) X(members) X(free) X(max) X(offered) \
	X(answered) X(abandoned) X(in_time) X(service_level) X(speed_of_answer) X(talk_time) X(offered_today) X(answered_today) \
	X(abandoned_today) X(in_time_today) X(service_level_today) X(speed_of_answer_today) X(talk_time_today)
#define CALLER_FIELDS(X) \
	X(server) X(queue) X(position) X(position_joined) X(priority) X(number) X(name) X(uniqueid) X(channel) X(call) X(since) X(wait) X(reason)
#define MEMBER_FIELDS(X) \
	X(server) X(queue) X(interface) X(name) X(state) X(status) X(paused) X(paused_reason) X(paused_since) X(in_call) X(calls) \
	X(penalty) X(wrapup) X(dynamic) X(agent) X(logged_in) X(last_call)
#define AGENT_FIELDS(X) \
	X(server) X(interface) X(name) X(state) X(since) X(call) X(logged_in) X(calls) X(talk) X(missed) X(paused_time) X(pauses) \
	X(paused_reason) X(queues)
#define ENDPOINT_FIELDS(X) \
	X(server) X(name) X(endpoint) X(registered) X(contact) X(status) X(round_trip) X(device) X(channels) X(messages) X(old_messages) X(trunk)
#define WAIT_FIELDS(X) X(server) X(queue) X(since) X(wait) X(agent) X(reason)

#define KIND(upper, X_FIELDS) \
	static const char *const upper##_names[] = { X_FIELDS(FIELD_NAME) NULL };
KIND(channel, CHANNEL_FIELDS)
KIND(call, CALL_FIELDS)
KIND(bridge, BRIDGE_FIELDS)
KIND(conference, CONFERENCE_FIELDS)
KIND(participant, PARTICIPANT_FIELDS)
KIND(lot, LOT_FIELDS)
KIND(parked, PARKED_FIELDS)
KIND(queue, QUEUE_FIELDS)
KIND(caller, CALLER_FIELDS)
KIND(member, MEMBER_FIELDS)
KIND(agent, AGENT_FIELDS)
KIND(endpoint, ENDPOINT_FIELDS)
KIND(wait, WAIT_FIELDS)

static const struct {
	const char *const *names;
	uint32_t count;
} kinds[LIVE_KINDS] = {
#define NAMES(array) { array, sizeof array / sizeof *array - 1 }
	[LIVE_CHANNEL] = NAMES(channel_names), [LIVE_CALL] = NAMES(call_names), [LIVE_BRIDGE] = NAMES(bridge_names),
	[LIVE_CONFERENCE] = NAMES(conference_names), [LIVE_PARTICIPANT] = NAMES(participant_names), [LIVE_LOT] = NAMES(lot_names),
	[LIVE_PARKED] = NAMES(parked_names), [LIVE_QUEUE] = NAMES(queue_names), [LIVE_CALLER] = NAMES(caller_names),
	[LIVE_MEMBER] = NAMES(member_names), [LIVE_AGENT] = NAMES(agent_names), [LIVE_ENDPOINT] = NAMES(endpoint_names),
	[LIVE_WAIT] = NAMES(wait_names),
};

const char *live_field_name(enum live_kind kind, uint32_t index)
{
	return index < kinds[kind].count ? kinds[kind].names[index] : NULL;
}

int live_field(enum live_kind kind, struct slice name)
{
	for (uint32_t i = 0; i < kinds[kind].count; i++)
		if (slice_eq(name, slice_cstr(kinds[kind].names[i])))
			return (int)i;
	return -1;
}

/* ---- channels and calls ---- */

static const char *channel_state(int state)
{
	static const char *const names[] = { "down", "reserved", "off_hook", "dialing", "ring", "ringing", "up", "busy", "dialing_off_hook", "pre_ring", "mute" };
	return names[state];
}

static struct live_value call_id(const struct live_call *call)
{
	return call ? text(call->object.key) : nil();
}

static struct live_value channel_field(const struct live_channel *c, int field)
{
	enum { CHANNEL_FIELDS(FIELD_ENUM) };
	struct slice interface;
	switch (field) {
	case F_name: return text(c->name);
	case F_uniqueid: return text(c->object.key);
	case F_linkedid: return text(c->linkedid);
	case F_state: return word(channel_state(c->state));
	case F_number: return text(c->number);
	case F_caller_name: return text(c->caller_name);
	case F_connected_number: return text(c->connected_number);
	case F_connected_name: return text(c->connected_name);
	case F_context: return text(c->context);
	case F_exten: return text(c->exten);
	case F_application: return text(c->application);
	case F_since: return at(c->since);
	case F_bridge: return c->bridge && !c->bridge->own ? text(c->bridge->object.key) : nil();
	case F_held: return boolean(c->held_since != 0);
	case F_account: return text(c->account);
	case F_call: return call_id(c->call);
	case F_recording: return text(c->recording);
	case F_interface:
		interface = live_channel_interface(live_name_text(c->name));
		return (struct live_value){ .type = LIVE_TEXT, .text = interface };
	case F_variables: return c->variables ? map_of(&c->object, F_variables, c->object.server->live->options.variable_count) : nil();
	default: return nil();
	}
}

static int64_t wait_time(const struct live_call *call, int64_t now)
{
	int64_t sum = 0;
	for (const struct live_wait *w = call->more ? call->more->waits : NULL; w; w = w->next)
		sum += (w->until != 0 ? w->until : now > w->since ? now : w->since) - w->since;
	return sum;
}

static int64_t hold_time(const struct live_call *call, int64_t now)
{
	int64_t sum = call->hold;
	uint32_t left = call->holding;
	list_each(node, &call->channels) {
		const struct live_channel *channel = list_entry(node, struct live_channel, in_call);
		if (left == 0)
			break;
		if (channel->held_since == 0)
			continue;
		sum += now > channel->held_since ? now - channel->held_since : 0;
		left--;
	}
	return sum;
}

static const char *const causes[] = {
	[1] = "unallocated number", [3] = "no route to destination", [16] = "normal clearing", [17] = "user busy", [18] = "no user response",
	[19] = "user alerting, no answer", [20] = "subscriber absent", [21] = "call rejected", [22] = "number changed",
	[23] = "redirected to new destination", [26] = "answered elsewhere", [27] = "destination out of order", [28] = "invalid number format",
	[29] = "facility rejected", [31] = "normal, unspecified", [34] = "no circuit available", [38] = "network out of order",
	[41] = "temporary failure", [42] = "switching equipment congestion", [44] = "requested channel not available",
	[50] = "facility not subscribed", [58] = "bearer capability not available", [63] = "service or option not available", [65] = "bearer capability not implemented",
	[66] = "channel type not implemented", [69] = "facility not implemented", [88] = "incompatible destination", [95] = "invalid message", [96] = "mandatory element missing",
	[102] = "recovery on timer expiry", [111] = "protocol error", [127] = "interworking",
};

static struct live_value call_field(const struct live_call *c, int field, int64_t now)
{
	enum { CALL_FIELDS(FIELD_ENUM) };
	static const char *const directions[] = { NULL, "in", "out", "internal" };
	static const char *const enders[] = { NULL, "caller", "callee", "agent" };
	const struct live_call_more *more = c->more;
	const struct live_channel *peer;
	if (c->ended != 0)
		now = c->ended;
	switch (field) {
	case F_id: return text(c->object.key);
	case F_from: return text(c->from);
	case F_from_name: return text(c->from_name);
	case F_to: return text(c->to);
	case F_to_name: return text(c->to_name);
	case F_direction: return word(directions[c->direction]);
	case F_trunk: return text(c->trunk);
	case F_state: return word(live_call_state_name(c->state));
	case F_queue: return text(c->queue);
	case F_agent: return text(c->agent);
	case F_agent_name: return text(c->agent_name);
	case F_answered_by: return text(c->answered_by);
	case F_account: return text(c->account);
	case F_started: return at(c->started);
	case F_answered: return at(c->answered);
	case F_connected: return at(c->connected);
	case F_ended: return c->state == LIVE_CALL_IS_ENDED ? at(c->ended) : nil();
	case F_ring: return c->ring_from != 0 ? seconds((c->ring_to != 0 ? c->ring_to : now) - c->ring_from) : nil();
	case F_wait: return more && more->waits ? seconds(wait_time(c, now)) : nil();
	case F_waits: return list(&c->object, F_waits, more ? more->wait_count : 0);
	case F_talk: return c->no_history ? nil() : seconds(live_clock_read(&c->talk, now));
	case F_hold: return c->no_history ? nil() : seconds(hold_time(c, now));
	case F_conference_time: return c->no_history ? nil() : seconds(live_clock_read(&c->conference, now));
	case F_result: return c->state == LIVE_CALL_IS_ENDED ? word(live_result_name(c->result)) : nil();
	case F_cause: return c->cause != 0 ? integer(c->cause) : nil();
	case F_cause_text: return c->cause < sizeof causes / sizeof *causes ? word(causes[c->cause]) : nil();
	case F_ended_by: return word(enders[c->ended_by]);
	case F_transferred_from: return more ? text(more->transferred_from) : nil();
	case F_transferred_to: return more ? text(more->transferred_to) : nil();
	case F_forwarded_from: return more ? text(more->forwarded_from) : nil();
	case F_fetched_by: return more ? text(more->fetched_by) : nil();
	case F_consults: return more ? text(more->consults) : nil();
	case F_into: return more ? text(more->into) : nil();
	case F_caller: return c->caller ? text(c->caller->name) : nil();
	case F_peer: peer = live_call_peer(c); return peer ? text(peer->name) : nil();
	case F_channels: return list(&c->object, F_channels, c->channel_count);
	case F_incomplete: return boolean(c->incomplete);
	default: return nil();
	}
}

/* ---- bridges, conferences, parking ---- */

static struct live_value bridge_field(const struct live_bridge *b, int field)
{
	enum { BRIDGE_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_id: return text(b->object.key);
	case F_type: return text(b->type);
	case F_technology: return text(b->technology);
	case F_creator: return text(b->creator);
	case F_name: return text(b->name);
	case F_since: return at(b->since);
	case F_count: return integer(b->count);
	case F_channels: return list(&b->object, F_channels, b->count);
	default: return nil();
	}
}

static struct live_value conference_field(const struct live_conference *c, int field)
{
	enum { CONFERENCE_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_name: return text(c->object.key);
	case F_bridge: return text(c->bridge);
	case F_since: return at(c->since);
	case F_count: return integer(c->participants.count);
	case F_members: return list(&c->object, F_members, c->participants.count);
	case F_locked: return boolean(c->locked);
	case F_muted: return boolean(c->muted);
	case F_marked: return known(c->marked);
	case F_recording: return boolean(c->recording);
	default: return nil();
	}
}

static struct live_value call_of(const struct live_object *object)
{
	const struct live_channel *channel = live_channel_by_id(object->server, live_name_text(object->key));
	return channel ? call_id(channel->call) : nil();
}

static struct live_value participant_field(const struct live_participant *p, int field)
{
	enum { PARTICIPANT_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_conference: return p->conference ? text(p->conference->object.key) : nil();
	case F_channel: return text(p->channel);
	case F_uniqueid: return text(p->object.key);
	case F_number: return text(p->number);
	case F_name: return text(p->name);
	case F_call: return call_of(&p->object);
	case F_since: return at(p->since);
	case F_admin: return boolean(p->admin);
	case F_marked: return boolean(p->marked);
	case F_muted: return boolean(p->muted);
	case F_talking: return boolean(p->talking);
	case F_waiting: return boolean(p->waiting);
	default: return nil();
	}
}

static struct live_value lot_field(const struct live_lot *l, int field)
{
	enum { LOT_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_name: return text(l->object.key);
	case F_count: return integer(l->parked.count);
	case F_parked: return list(&l->object, F_parked, l->parked.count);
	default: return nil();
	}
}

static struct live_value parked_field(const struct live_parked *p, int field)
{
	enum { PARKED_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_lot: return p->lot ? text(p->lot->object.key) : nil();
	case F_space: return text(p->space);
	case F_channel: return text(p->channel);
	case F_uniqueid: return text(p->object.key);
	case F_call: return call_of(&p->object);
	case F_parked_by: return text(p->by);
	case F_since: return at(p->since);
	case F_timeout: return p->timeout != 0 ? at(p->since + p->timeout) : nil();
	default: return nil();
	}
}

/* ---- queues and agents ---- */

static struct live_value share(int64_t part, int64_t of, double unit)
{
	return of > 0 ? (struct live_value){ .type = LIVE_NUMBER, .number = (double)part / (double)of / unit } : nil();
}

/* Offered, answered, abandoned, in time, their share, speed of answer, talk time: `which` from 0. */
static struct live_value figure(const struct live_figures *f, int which)
{
	switch (which) {
	case 0: return integer(f->offered);
	case 1: return integer(f->answered);
	case 2: return integer(f->abandoned);
	case 3: return integer(f->in_time);
	case 4: return share(f->in_time, (int64_t)f->answered + f->abandoned, 1);
	case 5: return share(f->wait, f->answered, 1e6);
	default: return share(f->talk, f->answered, 1e6);
	}
}

static uint32_t count_free(const struct live_queue *queue)
{
	uint32_t free = 0;
	uint64_t next = 0;
	for (struct live_object *o; (o = live_set_next(&queue->members, &next));)
		free += !LIVE_AS(member, o)->paused && !LIVE_AS(member, o)->in_call && LIVE_AS(member, o)->status <= 1;
	return free;
}

static struct live_value queue_field(const struct live_queue *q, int field, int64_t now)
{
	enum { QUEUE_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_name: return text(q->object.key);
	case F_strategy: return text(q->strategy);
	case F_count: return integer(q->waiting);
	case F_waiting: return list(&q->object, F_waiting, q->waiting);
	case F_longest_wait: {
		int64_t since = q->waiting > 0 ? q->callers[q->first]->since : 0;
		/* Whoever is first need not have waited longest: priorities. */
		for (uint32_t i = 1; i < q->waiting && i < 64; i++)
			since = q->callers[q->first + i]->since < since ? q->callers[q->first + i]->since : since;
		return seconds(q->waiting > 0 && now > since ? now - since : 0);
	}
	case F_member_count: return integer(q->members.count);
	case F_members: return list(&q->object, F_members, q->members.count);
	case F_free: return integer(count_free(q));
	case F_max: return integer(q->max);
	default: break;
	}
	if (field >= F_offered_today)
		return figure(&q->today, field - F_offered_today);
	if (field < F_offered)
		return nil();
	struct live_figures hour = live_figures_hour(q, now);
	return figure(&hour, field - F_offered);
}

static struct live_value caller_field(const struct live_caller *c, int field, int64_t now)
{
	enum { CALLER_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_queue: return c->queue ? text(c->queue->object.key) : nil();
	case F_position: return integer(live_queue_position(c));
	case F_position_joined: return integer(c->position_joined);
	case F_priority: return c->priority != 0 ? integer(c->priority) : nil();
	case F_number: return text(c->number);
	case F_name: return text(c->name);
	case F_uniqueid: return text(c->object.key);
	case F_channel: return text(c->channel);
	case F_call: return call_id(c->call);
	case F_since: return at(c->since);
	case F_wait: return seconds((c->left ? c->until : now > c->since ? now : c->since) - c->since);
	case F_reason: return word(live_queue_left_name(c->reason));
	default: return nil();
	}
}

static struct live_value member_field(const struct live_member *m, int field)
{
	enum { MEMBER_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_queue: return m->queue ? text(m->queue->object.key) : nil();
	case F_interface: return text(m->object.key);
	case F_name: return text(m->name);
	case F_state: return word(live_endpoint_device_name(m->status));
	case F_status: return integer(m->status);
	case F_paused: return boolean(m->paused);
	case F_paused_reason: return text(m->paused_reason);
	case F_paused_since: return at(m->paused_since);
	case F_in_call: return boolean(m->in_call);
	case F_calls: return integer(m->calls);
	case F_penalty: return integer(m->penalty);
	case F_wrapup: return integer(m->wrapup);
	case F_dynamic: return boolean(m->dynamic);
	case F_agent: return m->agent ? text(m->agent->object.key) : nil();
	case F_logged_in: return at(m->logged_in);
	case F_last_call: return m->last_call > 0 && m->last_call < INT64_MAX / LIVE_SECOND ? at(m->last_call * LIVE_SECOND) : nil();
	default: return nil();
	}
}

static struct live_value agent_field(const struct live_agent *a, int field, int64_t now)
{
	enum { AGENT_FIELDS(FIELD_ENUM) };
	int64_t paused = a->paused_since != 0 && now > a->paused_since ? now - a->paused_since : 0;
	uint32_t queues = 0;
	switch (field) {
	case F_interface: return text(a->object.key);
	case F_name: return text(a->name);
	case F_state: return word(live_agent_state_name(a));
	case F_since: return at(a->since);
	case F_call: return call_id(a->call);
	case F_logged_in: return at(a->logged_in);
	case F_calls: return integer(a->calls);
	case F_talk: return seconds(a->talk);
	case F_missed: return integer(a->missed);
	case F_paused_time:
		for (uint32_t i = 0; i < a->pause_count; i++)
			paused += a->pauses[i].total;
		return seconds(paused);
	case F_pauses: return map_of(&a->object, F_pauses, a->pause_count);
	case F_paused_reason: return text(a->paused_reason);
	case F_queues:
		for (const struct list *n = a->members.next; n != &a->members; n = n->next)
			queues++;
		return list(&a->object, F_queues, queues);
	default: return nil();
	}
}

static struct live_value endpoint_field(const struct live_endpoint *e, int field)
{
	enum { ENDPOINT_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_name: return text(e->object.key);
	/* Something that registers or is called, no mere device state. */
	case F_endpoint: return boolean(e->registered >= 0 || e->channels > 0 || e->phone || e->trunk);
	case F_registered: return e->registered >= 0 ? boolean(e->registered) : nil();
	case F_contact: return text(e->contact);
	case F_status: return text(e->status);
	case F_round_trip: return e->rtt >= 0 ? seconds(e->rtt) : nil();
	case F_device: return word(live_endpoint_device_name(e->device));
	case F_channels: return integer(e->channels);
	case F_messages: return known(e->messages);
	case F_old_messages: return known(e->old_messages);
	case F_trunk: return live_endpoint_trunk(e) >= 0 ? boolean(live_endpoint_trunk(e)) : nil();
	default: return nil();
	}
}

static struct live_value wait_field(const struct live_wait *w, int field, int64_t now)
{
	enum { WAIT_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_queue: return text(w->object.key);
	case F_since: return at(w->since);
	case F_wait: return seconds((w->until != 0 ? w->until : now > w->since ? now : w->since) - w->since);
	case F_agent: return text(w->agent);
	case F_reason: return word(live_queue_left_name(w->reason));
	default: return nil();
	}
}

struct live_value live_get(const struct live_object *object, int field, int64_t now)
{
	if (field == 0) /* every kind's first */
		return word(object->server->name);
	switch (object->kind) {
	case LIVE_CHANNEL: return channel_field(LIVE_AS_CONST(channel, object), field);
	case LIVE_CALL: return call_field(LIVE_AS_CONST(call, object), field, now);
	case LIVE_BRIDGE: return bridge_field(LIVE_AS_CONST(bridge, object), field);
	case LIVE_CONFERENCE: return conference_field(LIVE_AS_CONST(conference, object), field);
	case LIVE_PARTICIPANT: return participant_field(LIVE_AS_CONST(participant, object), field);
	case LIVE_LOT: return lot_field(LIVE_AS_CONST(lot, object), field);
	case LIVE_PARKED: return parked_field(LIVE_AS_CONST(parked, object), field);
	case LIVE_QUEUE: return queue_field(LIVE_AS_CONST(queue, object), field, now);
	case LIVE_CALLER: return caller_field(LIVE_AS_CONST(caller, object), field, now);
	case LIVE_MEMBER: return member_field(LIVE_AS_CONST(member, object), field);
	case LIVE_AGENT: return agent_field(LIVE_AS_CONST(agent, object), field, now);
	case LIVE_ENDPOINT: return endpoint_field(LIVE_AS_CONST(endpoint, object), field);
	case LIVE_WAIT: return wait_field(LIVE_AS_CONST(wait, object), field, now);
	default: return nil();
	}
}

/* ---- items of lists ---- */

static struct list *nth(const struct list *head, uint32_t i)
{
	struct list *node = head->next;
	while (i-- > 0 && node != head)
		node = node->next;
	return node == head ? NULL : node;
}

static const struct live_object *set_item(const struct live_set *set, uint32_t i)
{
	uint64_t seq = 0;
	if (set->count == set->end - set->begin) /* nothing was removed in between */
		return i < set->count ? set->items[set->begin + i].object : NULL;
	struct live_object *o = live_set_next(set, &seq);
	while (o && i-- > 0)
		o = live_set_next(set, &seq);
	return o;
}

/* The channel whose node `node` is, as a text. */
static struct live_value channel_name(const struct list *node, size_t member)
{
	return node ? text(LIVE_AS_CONST(channel, ((const char *)node - member))->name) : nil();
}

static const struct live_object *call_item(const struct live_call *call, uint32_t field, uint32_t i, struct live_value *value)
{
	enum { CALL_FIELDS(FIELD_ENUM) };
	if (field != F_waits) {
		*value = channel_name(nth(&call->channels, i), offsetof(struct live_channel, in_call));
		return NULL;
	}
	const struct live_wait *wait = call->more ? call->more->waits : NULL;
	while (wait && i-- > 0)
		wait = wait->next;
	return wait ? &wait->object : NULL;
}

static const struct live_object *queue_item(const struct live_queue *queue, uint32_t field, uint32_t i)
{
	enum { QUEUE_FIELDS(FIELD_ENUM) };
	if (field == F_members)
		return set_item(&queue->members, i);
	return i < queue->waiting ? &queue->callers[queue->first + i]->object : NULL;
}

static const struct live_object *agent_item(const struct live_agent *agent, uint32_t field, uint32_t i, struct slice *key, struct live_value *value)
{
	enum { AGENT_FIELDS(FIELD_ENUM) };
	if (field == F_pauses) {
		if (i < agent->pause_count) {
			*key = live_name_text(agent->pauses[i].reason);
			*value = seconds(agent->pauses[i].total);
		}
		return NULL;
	}
	const struct list *node = nth(&agent->members, i);
	const struct live_member *member = node ? LIVE_AS_CONST(member, ((const char *)node - offsetof(struct live_member, in_agent))) : NULL;
	*value = member && member->queue ? text(member->queue->object.key) : nil();
	return NULL;
}

const struct live_object *live_item(const struct live_value *list_value, uint32_t i, struct slice *key, struct live_value *value)
{
	const struct live_object *object = list_value->list.object;
	uint32_t field = list_value->list.field;
	const struct live_channel *channel;
	*key = slice_make("", 0);
	*value = nil();
	switch (object->kind) {
	case LIVE_CHANNEL:
		channel = LIVE_AS_CONST(channel, object);
		*key = slice_cstr(object->server->live->options.variables[i]);
		*value = channel->variables ? text(channel->variables[i]) : nil();
		return NULL;
	case LIVE_CALL:
		return call_item(LIVE_AS_CONST(call, object), field, i, value);
	case LIVE_BRIDGE:
		*value = channel_name(nth(&LIVE_AS_CONST(bridge, object)->channels, i), offsetof(struct live_channel, in_bridge));
		return NULL;
	case LIVE_CONFERENCE:
		return set_item(&LIVE_AS_CONST(conference, object)->participants, i);
	case LIVE_LOT:
		return set_item(&LIVE_AS_CONST(lot, object)->parked, i);
	case LIVE_QUEUE:
		return queue_item(LIVE_AS_CONST(queue, object), field, i);
	case LIVE_AGENT:
		return agent_item(LIVE_AS_CONST(agent, object), field, i, key, value);
	default:
		return NULL;
	}
}
