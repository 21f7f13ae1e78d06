/* What the files of the fields share: each kind's fields, once, and values of each type. */
#ifndef LIVE_FIELDS_H
#define LIVE_FIELDS_H

#include "live/live_internal.h"

static inline struct live_value live_value_nil(void)
{
	return (struct live_value){ .type = LIVE_NIL };
}

static inline struct live_value live_value_text(const struct live_name *name)
{
	return name ? (struct live_value){ .type = LIVE_TEXT, .text = live_name_text(name) } : live_value_nil();
}

static inline struct live_value live_value_word(const char *w)
{
	return w ? (struct live_value){ .type = LIVE_TEXT, .text = slice_cstr(w) } : live_value_nil();
}

static inline struct live_value live_value_boolean(bool b)
{
	return (struct live_value){ .type = LIVE_BOOL, .boolean = b };
}

static inline struct live_value live_value_integer(int64_t n)
{
	return (struct live_value){ .type = LIVE_INT, .integer = n };
}

static inline struct live_value live_value_known(int64_t n)
{
	return n >= 0 ? live_value_integer(n) : live_value_nil();
}

static inline struct live_value live_value_seconds(int64_t us)
{
	return (struct live_value){ .type = LIVE_NUMBER, .number = (double)us / 1e6 };
}

static inline struct live_value live_value_at(int64_t us)
{
	return us != 0 ? (struct live_value){ .type = LIVE_TIME, .number = (double)us / 1e6 } : live_value_nil();
}

static inline struct live_value live_value_map_of(const struct live_object *object, uint32_t field, uint32_t count)
{
	return (struct live_value){ .type = LIVE_MAP, .list = { object, field, count } };
}

static inline struct live_value live_value_list(const struct live_object *object, uint32_t field, uint32_t count)
{
	return (struct live_value){ .type = LIVE_LIST, .list = { object, field, count } };
}

/* Lists each kind's fields once: as numbers and as names. */
#define FIELD_ENUM(id) F_##id,
#define FIELD_NAME(id) { #id, sizeof #id - 1 },

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

/* live_fields_queue.c: queues and those around them. */
struct live_value live_fields_queue(const struct live_queue *queue, int field, int64_t now);
struct live_value live_fields_caller(const struct live_caller *caller, int field, int64_t now);
struct live_value live_fields_member(const struct live_member *member, int field);
struct live_value live_fields_agent(const struct live_agent *agent, int field, int64_t now);
struct live_value live_fields_wait(const struct live_wait *wait, int field, int64_t now);
/* Null-safe: the call's id. */
static inline struct live_value live_fields_call_id(const struct live_call *call)
{
	return call ? live_value_text(call->object.key) : live_value_nil();
}

#endif
