/* The Local channel that an Originate calls: the call's caller is its first half; the second half (`far`) runs the dialplan
 * there, which mostly dials a phone (`first`). As soon as the caller is joined with somebody the phone takes his place, unless
 * the halves are to stay (/n). */
#include "sim/sim_internal.h"

#include <stdio.h>

static void inner_event(struct sim_call *call, const char *event, const char *header, const char *value)
{
	sim_put_dial(call->sim, event, call->far, call->first);
	sim_put(&call->sim->event, header, "%s", value);
	sim_publish(call->sim);
}

void sim_origin_make(struct sim_call *call, const char *prefix, const char *id, const char *number)
{
	char half[100], second[SIM_ID_MAX + 1] = "";

	snprintf(half, sizeof(half), "%.70s;1", prefix);
	sim_call_begins(call, sim_channel_new(call, half, id, 0, "", "", number, NULL), number, "");
	if (*id)
		snprintf(second, sizeof(second), "%.*s;2", SIM_ID_MAX - 2, id);
	snprintf(half, sizeof(half), "%.70s;2", prefix);
	call->far = sim_channel_new(call, half, second, 4, "", "", number, call->caller);
}

void sim_origin_begin(struct sim_call *call, const char *number, bool has_phone)
{
	struct sim *sim = call->sim;
	char prefix[64];

	snprintf(call->far->caller_num, sizeof(call->far->caller_num), "%s", call->caller->caller_num);
	snprintf(call->far->caller_name, sizeof(call->far->caller_name), "%s", call->caller->caller_name);
	sim_channel_identified(call->far);
	sim_local_bridged(call->caller, call->far, number, call->far_stays);
	sim_dial_event(call, "DialBegin", NULL);
	if (!has_phone) {
		sim_channel_app(call->far, 1, "Answer", "%s", "");
		return;
	}
	snprintf(prefix, sizeof(prefix), "PJSIP/%.50s", number);
	sim_channel_app(call->far, 1, "Dial", "%s,20", prefix);
	sim_variable_set(sim, call->far, "DIALSTATUS", "");
	call->first = sim_dial_leg(call, prefix, number, "AppDial");
	inner_event(call, "DialBegin", "DialString", number);
}

void sim_origin_rings(struct sim_call *call)
{
	if (!call->first)
		return;
	sim_channel_state(call->first, 5);
	inner_event(call, "DialState", "DialStatus", "RINGING");
}

void sim_origin_failed(struct sim_call *call, const char *status, unsigned cause)
{
	if (!call->first)
		return;
	inner_event(call, "DialEnd", "DialStatus", status);
	sim_variable_set(call->sim, call->far, "DIALSTATUS", status);
	sim_channel_hangup(&call->first, cause);
}

void sim_origin_answered(struct sim_call *call)
{
	struct sim *sim = call->sim;

	if (call->first) {
		sim_channel_state(call->first, 6);
		sim_variable_set(sim, call->far, "DIALSTATUS", "ANSWER");
		inner_event(call, "DialEnd", "DialStatus", "ANSWER");
	}
	if (!call->far)
		return;
	sim_channel_state(call->far, 6);
	if (!call->first)
		return;
	struct sim_bridge *bridge = sim_bridge_new(sim, NULL, NULL, NULL, NULL);
	sim_bridge_enter(bridge, call->first, NULL);
	sim_bridge_enter(bridge, call->far, NULL);
	sim_bridge_peers(bridge);
}

void sim_origin_optimize(struct sim_call *call)
{
	struct sim_bridge *near = call->caller->bridge;

	if (!call->far || call->far_stays || !call->far->bridge || !near || near->count != 2)
		return;
	struct sim_channel *one = call->caller, *two = call->far;
	struct list *at = near->channels.next == &one->in_bridge ? near->channels.prev : near->channels.next;

	sim_local_swap(one, two, list_entry(at, struct sim_channel, in_bridge));
	call->caller = call->first;
	call->first = call->far = NULL;
	sim_bridge_leave(one);
	sim_bridge_destroy(&near);
	sim_hangup_request(one, 16, true);
	sim_hangup_request(two, 16, false);
	sim_channel_hangup(&one, 16);
	sim_hangup_request(two, 16, true);
	sim_channel_hangup(&two, 16);
}

void sim_origin_end(struct sim_call *call, unsigned cause)
{
	struct sim_bridge *bridge = call->far ? call->far->bridge : NULL;

	if (!call->far)
		return;
	if (call->first && call->first->state != 6)
		inner_event(call, "DialEnd", "DialStatus", "CANCEL");
	if (bridge) {
		sim_bridge_leave(call->far);
		if (call->first)
			sim_bridge_leave(call->first);
		sim_bridge_destroy(&bridge);
	}
	sim_channel_hangup(&call->first, cause);
	sim_hangup_request(call->far, 16, true);
	sim_channel_hangup(&call->far, cause);
}
