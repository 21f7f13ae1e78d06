/* Who is dialled for whom: DialBegin, DialEnd and the answer to an Originate. */
#include "live/live_internal.h"

static void learn(struct live_call *call, struct live_channel *leg, struct slice dial_string)
{
	if (leg->local || !leg->endpoint)
		return;
	live_endpoint_dialled(leg->endpoint, dial_string);
	int trunk = live_endpoint_trunk(leg->endpoint);
	if (trunk == 1 && leg != call->caller && call->direction != 1) {
		call->direction = 2;
		live_call_set(call, &call->trunk, live_name_text(leg->endpoint->object.key));
	} else if (call->caller == leg) {
		live_call_direction(call);
	}
}

static void begin(struct live_server *s, const struct live_reader *r)
{
	struct live_channel *leg = live_channel_seen(s, r, LIVE_DEST, true);
	struct live_channel *caller = live_channel_seen(s, r, LIVE_PLAIN, true);
	if (!leg)
		return;
	live_channel_describe(leg, r, LIVE_DEST);
	leg->dialled = true;
	if (caller) {
		live_names_set(&s->names, &leg->dialer, live_name_text(caller->object.key));
		live_merge_join(caller, leg);
	}
	struct live_call *call = live_call_own(leg);
	if (!call)
		return;
	if (!caller)
		live_call_decide(leg, true);
	learn(call, leg, live_headers_get(r, LIVE_H_DIAL_STRING));
	if (!call->to_name && call->to && slice_eq(live_name_text(call->to), live_name_text(leg->number)))
		live_call_set(call, &call->to_name, live_name_text(leg->caller_name));
}

static void answered(struct live_call *call, struct live_channel *leg)
{
	if (call->ring_from != 0 && call->ring_to == 0 && !leg->agent && !leg->local)
		call->ring_to = call->object.server->live->now;
	if (leg->local || leg == call->caller || call->answered_by || !leg->endpoint)
		return;
	/* The phone of somebody who is called first answers for himself, not for the other side. */
	if (call->caller && call->caller->local && call->originated && !call->answered_once)
		return;
	live_call_set(call, &call->answered_by, live_name_text(leg->endpoint->object.key));
}

static void end(struct live_server *s, const struct live_reader *r)
{
	struct live_channel *leg = live_channel_seen(s, r, LIVE_DEST, false), *caller = live_channel_seen(s, r, LIVE_PLAIN, false);
	struct slice status = live_headers_get(r, LIVE_H_DIAL_STATUS), forward = live_headers_get(r, LIVE_H_FORWARD);
	/* It was dialled for another one: a transfer while it rang, or a pickup by a channel that nobody dialled (Q64). */
	if (leg && caller && leg->dialer != caller->object.key) {
		live_merge_join(caller, leg);
		live_names_set(&s->names, &leg->dialer, live_name_text(caller->object.key));
	}
	struct live_call *call = leg && leg->call ? leg->call : caller ? caller->call : NULL;
	if (!call)
		return;
	if (forward.len > 0 && leg && leg->endpoint && !leg->local && !live_call_extra(call)->forwarded_from)
		live_names_set(&s->names, &call->more->forwarded_from, live_name_text(leg->endpoint->object.key));
	/* Of the two that a queue sends the first is right (Q68). */
	live_result_dial_end(call, leg, status, forward.len > 0);
	if (leg && slice_eq_nocase(status, SLICE("ANSWER")))
		answered(call, leg);
	live_call_touch(call);
}

/* Whether a channel of `interface` is what an Originate to `dialled` makes: "PJSIP/1001" of "PJSIP/1001", "PJSIP/carrier" of
 * "PJSIP/5550199@carrier" and of "PJSIP/carrier/5550199", "Local/9@out" of "Local/9@out/n". */
static bool dials(struct slice dialled, struct slice interface)
{
	struct slice device = live_channel_device(interface);
	size_t tech = interface.len - device.len;
	if (slice_starts_with(interface, SLICE("Local/"))) {
		struct slice rest = slice_make(dialled.ptr + interface.len, dialled.len > interface.len ? dialled.len - interface.len : 0);
		return slice_starts_with(dialled, interface) && (rest.len == 0 || rest.ptr[0] == '/');
	}
	if (!slice_starts_with(dialled, slice_make(interface.ptr, tech)))
		return false;
	struct slice rest = slice_make(dialled.ptr + tech, dialled.len - tech);
	const char *at = rest.len > 0 ? memrchr(rest.ptr, '@', rest.len) : NULL;
	if (at && slice_eq(slice_make(at + 1, rest.len - (size_t)(at + 1 - rest.ptr)), device))
		return true;
	return slice_starts_with(rest, device) && (rest.len == device.len || rest.ptr[device.len] == '/');
}

#define ORIGINATING_MAX 256

/* Of an Originate that failed there may be no Uniqueid: the oldest that has not been answered and fits. */
static struct live_call *find_originated(struct live_server *s, struct slice dialled)
{
	int looked = 0;
	list_each(node, &s->originating) {
		struct live_call *call = list_entry(node, struct live_call, originating);
		const struct live_name *name = call->first_name;
		if (name && !call->answered_once && dials(dialled, live_channel_interface(live_name_text(name))))
			return call;
		if (++looked == ORIGINATING_MAX)
			break;
	}
	return NULL;
}

/* It had no channel, or its call has ended. */
static void failed_early(struct live_server *s, const struct live_reader *r, struct slice id)
{
	struct slice channel = live_headers_of(r, LIVE_PLAIN, LIVE_H_CHANNEL), action = live_headers_get(r, LIVE_H_ACTION_ID);
	const struct live_name *name = live_names_find(&s->names, id);
	char made[LIVE_TEXT_MAX + 1] = "originate-";
	size_t len = strlen(made);
	if (name && name->recent > 0)
		return;
	/* Without a Uniqueid it has no id: the ActionID is unique enough. */
	if (id.len == 0 && action.len > 0 && action.len + len <= LIVE_TEXT_MAX) {
		memcpy(made + len, action.ptr, action.len);
		id = slice_make(made, len + action.len);
	}
	if (!live_call_by_id(s, id))
		live_call_failed(s, id, channel, live_headers_of(r, LIVE_PLAIN, LIVE_H_EXTEN), live_headers_int(r, LIVE_H_REASON, 0));
}

static void originated(struct live_server *s, const struct live_reader *r)
{
	struct slice id = live_headers_of(r, LIVE_PLAIN, LIVE_H_UNIQUEID), exten = live_headers_of(r, LIVE_PLAIN, LIVE_H_EXTEN);
	struct live_channel *channel = live_channel_by_id(s, id);
	bool failed = slice_eq_nocase(live_headers_get(r, LIVE_H_RESPONSE), SLICE("Failure"));
	struct live_call *call = channel ? live_call_own(channel) : live_call_by_id(s, id);
	if (!call && failed && id.len == 0)
		call = find_originated(s, live_headers_of(r, LIVE_PLAIN, LIVE_H_CHANNEL));
	if (!call) {
		if (failed)
			failed_early(s, r, id);
		return;
	}
	if (!channel)
		channel = call->caller;
	if (channel)
		live_call_decide(channel, true);
	if (channel && channel == call->caller)
		call->originated = true;
	live_call_responded(call);
	if (!call->to && exten.len > 0)
		live_call_set(call, &call->to, exten);
	if (failed)
		live_result_originate(call, live_headers_int(r, LIVE_H_REASON, 0));
}

void live_dial_event(struct live_server *s, const struct live_reader *r, int what)
{
	switch (what) {
	case LIVE_DIAL_BEGIN:
		begin(s, r);
		break;
	case LIVE_DIAL_END:
		end(s, r);
		break;
	case LIVE_DIAL_STATE:
		live_channel_get(s, r, LIVE_PLAIN);
		live_channel_get(s, r, LIVE_DEST);
		break;
	default:
		originated(s, r);
	}
}
