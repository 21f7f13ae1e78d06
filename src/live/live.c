#include "live/live_internal.h"

#include <stdlib.h>

#include "base/mem.h"

typedef void (*event_fn)(struct live_server *s, const struct live_reader *r, int what);

/* What is done with each event. */
static const struct handler {
	const char *event;
	event_fn handle;
	int what;
} handlers[] = {
	{ "VarSet", live_channel_event, LIVE_CHANNEL_VARIABLE },
	{ "Newexten", live_channel_event, LIVE_CHANNEL_EXTEN },
	{ "Newchannel", live_channel_event, LIVE_CHANNEL_NEW },
	{ "Newstate", live_channel_event, LIVE_CHANNEL_STATE },
	{ "NewConnectedLine", live_channel_event, LIVE_CHANNEL_CALLER_ID },
	{ "NewCallerid", live_channel_event, LIVE_CHANNEL_CALLER_ID },
	{ "NewAccountCode", live_channel_event, LIVE_CHANNEL_CALLER_ID },
	{ "HangupRequest", live_channel_event, LIVE_CHANNEL_REQUEST },
	{ "SoftHangupRequest", live_channel_event, LIVE_CHANNEL_SOFT },
	{ "Hangup", live_channel_event, LIVE_CHANNEL_HANGUP },
	{ "Hold", live_channel_event, LIVE_CHANNEL_HOLD },
	{ "Unhold", live_channel_event, LIVE_CHANNEL_UNHOLD },
	{ "MixMonitorStart", live_channel_event, LIVE_CHANNEL_RECORD },
	{ "MonitorStart", live_channel_event, LIVE_CHANNEL_RECORD },
	{ "MixMonitorStop", live_channel_event, LIVE_CHANNEL_STOP_RECORD },
	{ "MonitorStop", live_channel_event, LIVE_CHANNEL_STOP_RECORD },
	{ "DialBegin", live_dial_event, LIVE_DIAL_BEGIN },
	{ "DialEnd", live_dial_event, LIVE_DIAL_END },
	{ "DialState", live_dial_event, LIVE_DIAL_STATE },
	{ "OriginateResponse", live_dial_event, LIVE_DIAL_ORIGINATED },
	{ "BridgeCreate", live_bridge_event, LIVE_BRIDGE_CREATE },
	{ "BridgeDestroy", live_bridge_event, LIVE_BRIDGE_DESTROY },
	{ "BridgeEnter", live_bridge_event, LIVE_BRIDGE_ENTER },
	{ "BridgeLeave", live_bridge_event, LIVE_BRIDGE_LEAVE },
	{ "BlindTransfer", live_transfer_event, LIVE_TRANSFER_BLIND },
	{ "AttendedTransfer", live_transfer_event, LIVE_TRANSFER_ATTENDED },
	{ "Pickup", live_transfer_event, LIVE_TRANSFER_PICKUP },
	{ "LocalBridge", live_transfer_event, LIVE_TRANSFER_LOCAL },
	{ "ParkedCall", live_parking_event, LIVE_PARKING_PARK },
	{ "ParkedCallSwap", live_parking_event, LIVE_PARKING_PARK },
	{ "UnParkedCall", live_parking_event, LIVE_PARKING_FETCH },
	{ "ParkedCallTimeOut", live_parking_event, LIVE_PARKING_BACK },
	{ "ParkedCallGiveUp", live_parking_event, LIVE_PARKING_BACK },
	{ "QueueCallerJoin", live_queue_event, LIVE_QUEUE_JOIN },
	{ "Join", live_queue_event, LIVE_QUEUE_JOIN },
	{ "QueueCallerLeave", live_queue_event, LIVE_QUEUE_LEAVE },
	{ "Leave", live_queue_event, LIVE_QUEUE_LEAVE },
	{ "QueueCallerAbandon", live_queue_event, LIVE_QUEUE_ABANDON },
	{ "QueueMemberStatus", live_member_event, LIVE_MEMBER_SEEN },
	{ "QueueMemberAdded", live_member_event, LIVE_MEMBER_SEEN },
	{ "QueueMemberPause", live_member_event, LIVE_MEMBER_SEEN },
	{ "QueueMemberPaused", live_member_event, LIVE_MEMBER_SEEN },
	{ "QueueMemberPenalty", live_member_event, LIVE_MEMBER_SEEN },
	{ "QueueMemberRinginuse", live_member_event, LIVE_MEMBER_SEEN },
	{ "QueueMemberRemoved", live_member_event, LIVE_MEMBER_REMOVED },
	{ "AgentCalled", live_member_event, LIVE_MEMBER_CALLED },
	{ "AgentConnect", live_member_event, LIVE_MEMBER_CONNECT },
	{ "AgentComplete", live_member_event, LIVE_MEMBER_COMPLETE },
	{ "AgentDump", live_member_event, LIVE_MEMBER_DUMP },
	{ "AgentRingNoAnswer", live_member_event, LIVE_MEMBER_MISSED },
	{ "DeviceStateChange", live_endpoint_event, LIVE_ENDPOINT_DEVICE },
	{ "ContactStatus", live_endpoint_event, LIVE_ENDPOINT_CONTACT },
	{ "PeerStatus", live_endpoint_event, LIVE_ENDPOINT_PEER },
	{ "MessageWaiting", live_endpoint_event, LIVE_ENDPOINT_MESSAGES },
	{ "ConfbridgeStart", live_conference_event, LIVE_CONFERENCE_START },
	{ "ConfbridgeEnd", live_conference_event, LIVE_CONFERENCE_END },
	{ "MeetmeEnd", live_conference_event, LIVE_CONFERENCE_END },
	{ "ConfbridgeJoin", live_conference_event, LIVE_CONFERENCE_JOIN },
	{ "MeetmeJoin", live_conference_event, LIVE_CONFERENCE_JOIN },
	{ "ConfbridgeLeave", live_conference_event, LIVE_CONFERENCE_LEAVE },
	{ "MeetmeLeave", live_conference_event, LIVE_CONFERENCE_LEAVE },
	{ "ConfbridgeMute", live_conference_event, LIVE_CONFERENCE_MUTE },
	{ "MeetmeMute", live_conference_event, LIVE_CONFERENCE_MUTE },
	{ "ConfbridgeUnmute", live_conference_event, LIVE_CONFERENCE_UNMUTE },
	{ "ConfbridgeTalking", live_conference_event, LIVE_CONFERENCE_TALKING },
	{ "MeetmeTalking", live_conference_event, LIVE_CONFERENCE_TALKING },
	{ "ConfbridgeRecord", live_conference_event, LIVE_CONFERENCE_RECORD },
	{ "ConfbridgeStopRecord", live_conference_event, LIVE_CONFERENCE_STOP_RECORD },
	{ "FullyBooted", live_snapshot_event, 0 },
	{ "Dial", live_old_event, LIVE_OLD_DIAL },
	{ "Bridge", live_old_event, LIVE_OLD_BRIDGE },
	{ "Link", live_old_event, LIVE_OLD_LINK },
	{ "Unlink", live_old_event, LIVE_OLD_UNLINK },
	{ "Masquerade", live_old_event, LIVE_OLD_MASQUERADE },
	{ "Rename", live_old_event, LIVE_OLD_RENAME },
};
#define HANDLERS (uint32_t)(sizeof handlers / sizeof *handlers)

const char *live_event_name(uint32_t index)
{
	return index < HANDLERS ? handlers[index].event : NULL;
}

void live_options_init(struct live_options *options)
{
	*options = (struct live_options){
		.limits = { .channels = 100000, .bridges = 100000, .queues = 2000, .members = 50000, .agents = 20000, .endpoints = 100000,
		            .conferences = 5000, .parked = 5000 },
		.grace = 2 * LIVE_SECOND, .doubt = 600 * LIVE_SECOND, .resync_every = 60 * LIVE_SECOND, .service_level = 20 * LIVE_SECOND,
		.snapshots_in_flight = 4,
	};
}

void live_variables_drop(struct live_variable_names **names)
{
	struct live_variable_names *n = *names;
	*names = NULL;
	if (!n || --n->refs > 0)
		return;
	for (uint32_t i = 0; i < n->count; i++)
		free(n->names[i]);
	free(n);
}

static void drop_texts(struct live *live)
{
	live_variables_drop(&live->variables);
	for (uint32_t i = 0; i < live->options.trunk_count; i++)
		free(live->trunks[i]);
	free(live->trunks);
}

void live_configure(struct live *live, const struct live_options *options)
{
	uint32_t variables = options->variable_count, trunks = options->trunk_count;
	drop_texts(live);
	live->options = *options;
	live->options.variables = live->options.trunks = NULL;
	live->variables = mem_zalloc(sizeof *live->variables + variables * sizeof live->variables->names[0]);
	live->variables->refs = 1;
	live->variables->count = variables;
	for (uint32_t i = 0; i < variables; i++)
		live->variables->names[i] = mem_strdup(options->variables[i]);
	live->trunks = mem_zalloc((trunks + 1) * sizeof *live->trunks);
	for (uint32_t i = 0; i < trunks; i++)
		live->trunks[i] = mem_strdup(options->trunks[i]);
}

struct live *live_create(const struct live_options *options, live_change_fn changed, void *ctx)
{
	struct live *live = mem_zalloc(sizeof *live);
	live_configure(live, options);
	live->changed = changed;
	live->ctx = ctx;
	live->known = mem_zalloc(LIVE_KNOWN * sizeof *live->known);
	map_init(&live->by_name, false);
	map_init(&live->handlers, true);
	for (uint32_t i = 0; i < HANDLERS; i++) {
		/* The table holds numbers, the first is 1. */
		void *number = (void *)(uintptr_t)(i + 1);
		map_set(&live->handlers, slice_cstr(handlers[i].event), number);
	}
	return live;
}

/* ---- which handler ---- */

/* Of a name's first and last bytes: enough to distinguish events. */
static uint32_t hash_name(struct slice name)
{
	uint64_t first = 0, last = 0;
	if (name.len >= 8) {
		memcpy(&first, name.ptr, 8);
		memcpy(&last, name.ptr + name.len - 8, 8);
	} else if (name.len >= 4) {
		memcpy(&first, name.ptr, 4);
		memcpy(&last, name.ptr + name.len - 4, 4);
	} else {
		first = (unsigned char)name.ptr[0];
	}
	return (uint32_t)(((first ^ last << 1 ^ name.len) * UINT64_C(0x9E3779B97F4A7C15)) >> 56);
}

/* Number of the event's handler from 1; 0: of no interest. */
static uint32_t find_handler(struct live *live, struct slice name)
{
	struct live_known *known = &live->known[hash_name(name)];
	if (slice_eq_short(slice_make(known->name, known->len), name))
		return known->handler;
	uintptr_t number = (uintptr_t)map_get(&live->handlers, name);
	if (name.len <= sizeof known->name) {
		memcpy(known->name, name.ptr, name.len);
		known->len = (uint16_t)name.len;
		known->handler = (uint16_t)number;
	}
	return (uint32_t)number;
}

/* ---- servers ---- */

struct live_server *live_server_add(struct live *live, struct slice name)
{
	struct live_server *s = map_get(&live->by_name, name);
	if (s)
		return s;
	s = mem_zalloc(sizeof *s);
	s->live = live;
	s->name = mem_slicedup(name);
	s->number = ++live->numbers;
	s->alive = 1;
	s->step = -1;
	struct list *const lists[] = { &s->by_time, &s->lingering, &s->originating, &s->leaving, &s->dirty, &s->wrapping, &s->touched };
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		list_init(lists[i]);
	live_call_blind(s);
	if (live->last)
		live->last->next = s;
	else
		live->first = s;
	live->last = s;
	map_set(&live->by_name, name, s);
	return s;
}

struct live_server *live_server_find(const struct live *live, struct slice name)
{
	return map_get(&live->by_name, name);
}

struct live_server *live_server_next(const struct live *live, const struct live_server *after)
{
	return after ? after->next : live->first;
}

struct slice live_server_name(const struct live_server *s)
{
	return slice_cstr(s->name);
}

static void unlink_server(struct live_server *s)
{
	struct live *live = s->live;
	struct live_server **at = &live->first, *before = NULL;
	while (*at != s) {
		before = *at;
		at = &before->next;
	}
	*at = s->next;
	if (live->last == s)
		live->last = before;
	if (live->turn == s)
		live->turn = s->next;
	if (map_get(&live->by_name, slice_cstr(s->name)) == s) /* not one that came after it */
		map_remove(&live->by_name, slice_cstr(s->name));
}

static void move_clock(struct live *live, int64_t now)
{
	if (now > live->now)
		live->now = now;
}

void live_server_leave(struct live_server *s, int64_t now)
{
	move_clock(s->live, now);
	map_remove(&s->live->by_name, slice_cstr(s->name));
	live_snapshot_leave(s);
}

bool live_server_is_empty(const struct live_server *s)
{
	for (int i = 0; i < LIVE_SETS; i++)
		if (s->sets[i].count > 0)
			return false;
	return true;
}

void live_server_remove(struct live_server **server, int64_t now)
{
	struct live_server *s = *server;
	*server = NULL;
	move_clock(s->live, now);
	live_snapshot_clear(s);
	live_snapshot_close(s);
	unlink_server(s);
	for (; s->recent_count > 0; s->recent_count--) {
		live_names_drop(&s->names, &s->recent[s->recent_first].id);
		s->recent_first = (s->recent_first + 1) % LIVE_RECENT;
	}
	live_headers_close(&s->headers);
	for (int i = 0; i < LIVE_SETS; i++)
		live_set_close(&s->sets[i]);
	for (int i = 0; i < LIVE_CALL_STATES; i++)
		live_set_close(&s->states[i]);
	s->removed = true;
	live_object_drop_server(s);
}

void live_destroy(struct live **live)
{
	struct live *l = *live;
	if (!l)
		return;
	*live = NULL;
	l->changed = NULL;
	while (l->first) {
		struct live_server *s = l->first;
		live_server_remove(&s, l->now);
	}
	map_close(&l->by_name);
	map_close(&l->handlers);
	drop_texts(l);
	free(l->known);
	free(l);
}

/* ---- reporting ---- */

void live_report_change(struct live_server *s, struct live_change *change)
{
	change->server = s;
	change->at = s->live->now;
	change->resync = s->resync;
	if (s->live->changed)
		s->live->changed(s->live->ctx, change);
}

void live_report(struct live_server *s, enum live_change_kind kind, struct live_object *object, const char *reason)
{
	live_report_change(s, &(struct live_change){ .kind = kind, .object = object, .reason = reason });
}

void live_overflow(struct live_server *s, enum live_kind kind)
{
	s->stats.overflow[kind]++;
	s->overflow_new++;
	s->overflow_kind = kind;
	s->overflowed = true;
}

void live_contradiction(struct live_server *s)
{
	/* Right behind a list its events may be older than it (Q22), and during one anything may be. */
	if (s->resync || !s->connected || s->step >= 0 || s->live->now - s->list_ended < s->live->options.grace)
		return;
	s->stats.contradictions++;
	live_snapshot_want(s, "contradiction", s->live->now);
}

const struct live_stats *live_stats(struct live_server *s)
{
	s->stats.texts = s->names.count - s->names.unused;
	s->stats.idle_texts = s->names.unused;
	return &s->stats;
}

/* ---- feeding ---- */

bool live_event(struct live_server *s, const struct message *message, int64_t now)
{
	uint32_t number = message->name.len > 0 ? find_handler(s->live, message->name) : 0;
	move_clock(s->live, now);
	if (number == 0)
		return false;
	struct live_reader reader = live_headers_read(&s->headers, number, message);
	s->stats.events++;
	handlers[number - 1].handle(s, &reader, handlers[number - 1].what);
	if (!list_empty(&s->touched))
		live_call_settle(s);
	if (!list_empty(&s->dirty))
		live_figures_report(s, s->live->now);
	return true;
}

void live_server_tick(struct live_server *s, int64_t now)
{
	move_clock(s->live, now);
	now = s->live->now;
	live_queue_tick(s, now);
	live_agent_tick(s, now);
	while (!list_empty(&s->lingering)) {
		struct live_call *call = list_entry(s->lingering.next, struct live_call, lingering);
		if (now - call->ended < s->live->options.grace)
			break;
		live_call_finish(call);
	}
	while (s->recent_count > 0 && now - s->recent[s->recent_first].at > 10 * LIVE_SECOND) {
		s->recent[s->recent_first].id->recent--;
		live_names_drop(&s->names, &s->recent[s->recent_first].id);
		s->recent_first = (s->recent_first + 1) % LIVE_RECENT;
		s->recent_count--;
	}
	live_snapshot_tick(s, now);
	live_call_settle(s);
	live_figures_report(s, now);
	if (s->overflow_new > 0 && now - s->overflow_told >= LIVE_SECOND) {
		s->overflow_told = now;
		live_report_change(s, &(struct live_change){ .kind = LIVE_OVERFLOW, .reason = live_kind_name(s->overflow_kind), .count = s->overflow_new });
		s->overflow_new = 0;
	}
}

void live_tick(struct live *live, int64_t now)
{
	move_clock(live, now);
	for (struct live_server *s = live->first; s; s = s->next)
		live_server_tick(s, live->now);
}

int64_t live_server_deadline(const struct live_server *s)
{
	int64_t at = live_snapshot_deadline(s), queue = live_queue_deadline(s);
	if (queue < at)
		at = queue;
	if (!list_empty(&s->lingering)) {
		int64_t end = list_entry(s->lingering.next, struct live_call, lingering)->ended + s->live->options.grace;
		at = end < at ? end : at;
	}
	list_each(node, &s->wrapping) {
		int64_t end = list_entry(node, struct live_agent, wrapping)->wrapup_until;
		at = end < at ? end : at;
	}
	if (!list_empty(&s->dirty)) {
		int64_t end = list_entry(s->dirty.next, struct live_queue, dirty)->told + LIVE_SECOND;
		at = end < at ? end : at;
	}
	if (s->overflow_new > 0 && s->overflow_told + LIVE_SECOND < at)
		at = s->overflow_told + LIVE_SECOND;
	return at;
}

int64_t live_deadline(const struct live *live)
{
	int64_t at = INT64_MAX;
	for (const struct live_server *s = live->first; s; s = s->next) {
		int64_t next = live_server_deadline(s);
		at = next < at ? next : at;
	}
	return at;
}

void live_new_day(struct live *live, int64_t now)
{
	move_clock(live, now);
	for (struct live_server *s = live->first; s; s = s->next) {
		uint64_t at = 0;
		for (struct live_object *o; (o = live_set_next(&s->sets[LIVE_QUEUE], &at));)
			LIVE_AS(queue, o)->today = (struct live_figures){ 0 };
		at = 0;
		for (struct live_object *o; (o = live_set_next(&s->sets[LIVE_AGENT], &at));)
			live_agent_new_day(LIVE_AS(agent, o));
	}
}

const char *live_change_name(enum live_change_kind kind)
{
	static const char *const names[LIVE_CHANGES] = {
		"call.started", "call.ringing", "call.answered", "call.connected", "call.changed", "call.queued", "call.held", "call.unheld",
		"call.transferred", "call.parked", "call.merged", "call.ended", "queue.joined", "queue.left", "queue.refused",
		"queue.changed", "queue.member", "agent.changed", "endpoint.changed", "conference.joined", "conference.left",
		"live.synced", "live.overflow",
	};
	return names[kind];
}

const char *live_kind_name(enum live_kind kind)
{
	return live_kinds[kind];
}
