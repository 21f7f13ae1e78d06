/* The fields of each kind by name: what rules, consoles and metrics see. */
#include "live/live_fields.h"

#define KIND(upper, X_FIELDS) \
	static const struct slice upper##_names[] = { X_FIELDS(FIELD_NAME) };
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
	const struct slice *names;
	uint32_t count;
} kinds[LIVE_KINDS] = {
#define NAMES(array) { array, sizeof array / sizeof *array }
	[LIVE_CHANNEL] = NAMES(channel_names), [LIVE_CALL] = NAMES(call_names), [LIVE_BRIDGE] = NAMES(bridge_names),
	[LIVE_CONFERENCE] = NAMES(conference_names), [LIVE_PARTICIPANT] = NAMES(participant_names), [LIVE_LOT] = NAMES(lot_names),
	[LIVE_PARKED] = NAMES(parked_names), [LIVE_QUEUE] = NAMES(queue_names), [LIVE_CALLER] = NAMES(caller_names),
	[LIVE_MEMBER] = NAMES(member_names), [LIVE_AGENT] = NAMES(agent_names), [LIVE_ENDPOINT] = NAMES(endpoint_names),
	[LIVE_WAIT] = NAMES(wait_names),
};

const char *live_field_name(enum live_kind kind, uint32_t index)
{
	return index < kinds[kind].count ? kinds[kind].names[index].ptr : NULL;
}

struct slice live_field_text(enum live_kind kind, uint32_t index)
{
	return index < kinds[kind].count ? kinds[kind].names[index] : slice_make(NULL, 0);
}

int live_field(enum live_kind kind, struct slice name)
{
	for (uint32_t i = 0; i < kinds[kind].count; i++)
		if (slice_eq_short(name, kinds[kind].names[i]))
			return (int)i;
	return -1;
}

static const struct {
	enum live_kind kind;
	const char *name;
	enum live_type type;
} tables[] = {
	{ LIVE_CHANNEL, "variables", LIVE_MAP },    { LIVE_CALL, "waits", LIVE_LIST },      { LIVE_CALL, "channels", LIVE_LIST },
	{ LIVE_BRIDGE, "channels", LIVE_LIST },     { LIVE_CONFERENCE, "members", LIVE_LIST }, { LIVE_LOT, "parked", LIVE_LIST },
	{ LIVE_QUEUE, "waiting", LIVE_LIST },       { LIVE_QUEUE, "members", LIVE_LIST },   { LIVE_AGENT, "pauses", LIVE_MAP },
	{ LIVE_AGENT, "queues", LIVE_LIST },
};

enum live_type live_field_table(enum live_kind kind, uint32_t index)
{
	const char *name = live_field_name(kind, index);

	for (size_t i = 0; name && i < sizeof tables / sizeof *tables; i++)
		if (tables[i].kind == kind && strcmp(tables[i].name, name) == 0)
			return tables[i].type;
	return LIVE_NIL;
}

/* ---- channels and calls ---- */

static struct live_value channel_field(const struct live_channel *c, int field)
{
	enum { CHANNEL_FIELDS(FIELD_ENUM) };
	struct slice interface;
	switch (field) {
	case F_name: return live_value_text(c->name);
	case F_uniqueid: return live_value_text(c->object.key);
	case F_linkedid: return live_value_text(c->linkedid);
	case F_state: return live_value_word(live_channel_states[c->state]);
	case F_number: return live_value_text(c->number);
	case F_caller_name: return live_value_text(c->caller_name);
	case F_connected_number: return live_value_text(c->connected_number);
	case F_connected_name: return live_value_text(c->connected_name);
	case F_context: return live_value_text(c->context);
	case F_exten: return live_value_text(c->exten);
	case F_application: return live_value_text(c->application);
	case F_since: return live_value_at(c->since);
	case F_bridge: return c->bridge && !c->bridge->own ? live_value_text(c->bridge->object.key) : live_value_nil();
	case F_held: return live_value_boolean(c->held_since != 0);
	case F_account: return live_value_text(c->account);
	case F_call: return live_fields_call_id(c->call);
	case F_recording: return live_value_text(c->recording);
	case F_interface:
		interface = live_channel_interface(live_name_text(c->name));
		return (struct live_value){ .type = LIVE_TEXT, .text = interface };
	case F_variables: return c->variables ? live_value_map_of(&c->object, F_variables, c->variables->of->count) : live_value_nil();
	default: return live_value_nil();
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
	const struct live_call_more *more = c->more;
	const struct live_channel *peer;
	if (c->ended != 0)
		now = c->ended;
	switch (field) {
	case F_id: return live_value_text(c->object.key);
	case F_from: return live_value_text(c->from);
	case F_from_name: return live_value_text(c->from_name);
	case F_to: return live_value_text(c->to);
	case F_to_name: return live_value_text(c->to_name);
	case F_direction: return live_value_word(live_directions[c->direction]);
	case F_trunk: return live_value_text(c->trunk);
	case F_state: return live_value_word(live_call_states[c->state]);
	case F_queue: return live_value_text(c->queue);
	case F_agent: return live_value_text(c->agent);
	case F_agent_name: return live_value_text(c->agent_name);
	case F_answered_by: return live_value_text(c->answered_by);
	case F_account: return live_value_text(c->account);
	case F_started: return live_value_at(c->started);
	case F_answered: return live_value_at(c->answered);
	case F_connected: return live_value_at(c->connected);
	case F_ended: return c->state == LIVE_CALL_IS_ENDED ? live_value_at(c->ended) : live_value_nil();
	case F_ring: return c->ring_from != 0 ? live_value_seconds(live_call_ring_end(c, now) - c->ring_from) : live_value_nil();
	case F_wait: return more && more->waits ? live_value_seconds(wait_time(c, now)) : live_value_nil();
	case F_waits: return live_value_list(&c->object, F_waits, more ? more->wait_count : 0);
	case F_talk: return c->no_history ? live_value_nil() : live_value_seconds(live_clock_read(&c->talk, now));
	case F_hold: return c->no_history ? live_value_nil() : live_value_seconds(hold_time(c, now));
	case F_conference_time: return c->no_history ? live_value_nil() : live_value_seconds(live_clock_read(&c->conference, now));
	case F_result: return c->state == LIVE_CALL_IS_ENDED ? live_value_word(live_results[c->result]) : live_value_nil();
	case F_cause: return c->cause != 0 ? live_value_integer(c->cause) : live_value_nil();
	case F_cause_text: return c->cause < sizeof causes / sizeof *causes ? live_value_word(causes[c->cause]) : live_value_nil();
	case F_ended_by: return live_value_word(live_enders[c->ended_by]);
	case F_transferred_from: return more ? live_value_text(more->transferred_from) : live_value_nil();
	case F_transferred_to: return more ? live_value_text(more->transferred_to) : live_value_nil();
	case F_forwarded_from: return more ? live_value_text(more->forwarded_from) : live_value_nil();
	case F_fetched_by: return more ? live_value_text(more->fetched_by) : live_value_nil();
	case F_consults: return more ? live_value_text(more->consults) : live_value_nil();
	case F_into: return more ? live_value_text(more->into) : live_value_nil();
	case F_caller: return c->caller ? live_value_text(c->caller->name) : live_value_nil();
	case F_peer: peer = live_call_peer(c); return peer ? live_value_text(peer->name) : live_value_nil();
	case F_channels: return live_value_list(&c->object, F_channels, c->channel_count);
	case F_incomplete: return live_value_boolean(c->incomplete);
	default: return live_value_nil();
	}
}

/* ---- bridges, conferences, parking ---- */

static struct live_value bridge_field(const struct live_bridge *b, int field)
{
	enum { BRIDGE_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_id: return live_value_text(b->object.key);
	case F_type: return live_value_text(b->type);
	case F_technology: return live_value_text(b->technology);
	case F_creator: return live_value_text(b->creator);
	case F_name: return live_value_text(b->name);
	case F_since: return live_value_at(b->since);
	case F_count: return live_value_integer(b->count);
	case F_channels: return live_value_list(&b->object, F_channels, b->count);
	default: return live_value_nil();
	}
}

static struct live_value conference_field(const struct live_conference *c, int field)
{
	enum { CONFERENCE_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_name: return live_value_text(c->object.key);
	case F_bridge: return live_value_text(c->bridge);
	case F_since: return live_value_at(c->since);
	case F_count: return live_value_integer(c->participants.count);
	case F_members: return live_value_list(&c->object, F_members, c->participants.count);
	case F_locked: return live_value_boolean(c->locked);
	case F_muted: return live_value_boolean(c->muted);
	case F_marked: return live_value_known(c->marked);
	case F_recording: return live_value_boolean(c->recording);
	default: return live_value_nil();
	}
}

static struct live_value call_of(const struct live_object *object)
{
	const struct live_channel *channel = live_channel_by_id(object->server, live_name_text(object->key));
	return channel ? live_fields_call_id(channel->call) : live_value_nil();
}

static struct live_value participant_field(const struct live_participant *p, int field)
{
	enum { PARTICIPANT_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_conference: return p->conference ? live_value_text(p->conference->object.key) : live_value_nil();
	case F_channel: return live_value_text(p->channel);
	case F_uniqueid: return live_value_text(p->object.key);
	case F_number: return live_value_text(p->number);
	case F_name: return live_value_text(p->name);
	case F_call: return call_of(&p->object);
	case F_since: return live_value_at(p->since);
	case F_admin: return live_value_boolean(p->admin);
	case F_marked: return live_value_boolean(p->marked);
	case F_muted: return live_value_boolean(p->muted);
	case F_talking: return live_value_boolean(p->talking);
	case F_waiting: return live_value_boolean(p->waiting);
	default: return live_value_nil();
	}
}

static struct live_value lot_field(const struct live_lot *l, int field)
{
	enum { LOT_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_name: return live_value_text(l->object.key);
	case F_count: return live_value_integer(l->parked.count);
	case F_parked: return live_value_list(&l->object, F_parked, l->parked.count);
	default: return live_value_nil();
	}
}

static struct live_value parked_field(const struct live_parked *p, int field)
{
	enum { PARKED_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_lot: return p->lot ? live_value_text(p->lot->object.key) : live_value_nil();
	case F_space: return live_value_text(p->space);
	case F_channel: return live_value_text(p->channel);
	case F_uniqueid: return live_value_text(p->object.key);
	case F_call: return call_of(&p->object);
	case F_parked_by: return live_value_text(p->by);
	case F_since: return live_value_at(p->since);
	case F_timeout: return p->timeout != 0 ? live_value_at(p->since + p->timeout) : live_value_nil();
	default: return live_value_nil();
	}
}

static struct live_value endpoint_field(const struct live_endpoint *e, int field)
{
	enum { ENDPOINT_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_name: return live_value_text(e->object.key);
	/* Something that registers or is called, no mere device state. */
	case F_endpoint: return live_value_boolean(e->registered >= 0 || e->channels > 0 || e->phone || e->trunk);
	case F_registered: return e->registered >= 0 ? live_value_boolean(e->registered) : live_value_nil();
	case F_contact: return live_value_text(e->contact);
	case F_status: return live_value_text(e->status);
	case F_round_trip: return e->rtt >= 0 ? live_value_seconds(e->rtt) : live_value_nil();
	case F_device: return live_value_word(live_endpoint_device_name(e->device));
	case F_channels: return live_value_integer(e->channels);
	case F_messages: return live_value_known(e->messages);
	case F_old_messages: return live_value_known(e->old_messages);
	case F_trunk: return live_endpoint_trunk(e) >= 0 ? live_value_boolean(live_endpoint_trunk(e)) : live_value_nil();
	default: return live_value_nil();
	}
}

struct live_value live_get(const struct live_object *object, int field, int64_t now)
{
	if (field == 0) /* every kind's first */
		return live_value_word(object->server->name);
	switch (object->kind) {
	case LIVE_CHANNEL: return channel_field(LIVE_AS_CONST(channel, object), field);
	case LIVE_CALL: return call_field(LIVE_AS_CONST(call, object), field, now);
	case LIVE_BRIDGE: return bridge_field(LIVE_AS_CONST(bridge, object), field);
	case LIVE_CONFERENCE: return conference_field(LIVE_AS_CONST(conference, object), field);
	case LIVE_PARTICIPANT: return participant_field(LIVE_AS_CONST(participant, object), field);
	case LIVE_LOT: return lot_field(LIVE_AS_CONST(lot, object), field);
	case LIVE_PARKED: return parked_field(LIVE_AS_CONST(parked, object), field);
	case LIVE_QUEUE: return live_fields_queue(LIVE_AS_CONST(queue, object), field, now);
	case LIVE_CALLER: return live_fields_caller(LIVE_AS_CONST(caller, object), field, now);
	case LIVE_MEMBER: return live_fields_member(LIVE_AS_CONST(member, object), field);
	case LIVE_AGENT: return live_fields_agent(LIVE_AS_CONST(agent, object), field, now);
	case LIVE_ENDPOINT: return endpoint_field(LIVE_AS_CONST(endpoint, object), field);
	case LIVE_WAIT: return live_fields_wait(LIVE_AS_CONST(wait, object), field, now);
	default: return live_value_nil();
	}
}
