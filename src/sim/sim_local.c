/* Local channels: the caller, or a queue, dials the first half, the second half dials the phone. Mostly they are taken out of the
 * way at the answer; with /n they stay. A phone that forwards (302) brings one too. */
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>

static void account_event(struct sim_channel *channel)
{
	struct sim *sim = channel->call->sim;

	sim_put_channel(sim_event(sim, "NewAccountCode", SIM_CALL), "", channel);
	sim_put(&sim->event, "OldAccountCode", "%s", "");
	sim_publish(sim);
}

static struct buf *halves_event(struct sim *sim, const char *name, const struct sim_channel *one, const struct sim_channel *two)
{
	struct buf *out = sim_event(sim, name, SIM_CALL);

	sim_put_channel(out, "LocalOne", one);
	sim_put_channel(out, "LocalTwo", two);
	return out;
}

void sim_local_bridged(const struct sim_channel *one, const struct sim_channel *two, const char *number, bool stays)
{
	struct sim *sim = one->call->sim;
	struct buf *out = halves_event(sim, "LocalBridge", one, two);

	sim_put(out, "Context", "%s", two->context);
	sim_put(out, "Exten", "%s", number);
	sim_put(out, "LocalOptimization", stays ? "No" : "Yes");
	sim_publish(sim);
}

void sim_local_swap(const struct sim_channel *one, struct sim_channel *two, struct sim_channel *other)
{
	struct sim *sim = one->call->sim;
	struct sim_bridge *far = two->bridge;
	uint64_t id = sim->local_serial;
	struct buf *out = halves_event(sim, "LocalOptimizationBegin", one, two);

	sim_put_channel(out, "Source", other);
	sim_put(out, "DestUniqueId", "%s", two->uniqueid);
	sim_put(out, "Id", "%llu", (unsigned long long)id);
	sim_publish(sim);
	sim_bridge_leave(other);
	sim_bridge_leave(two);
	sim_bridge_enter(far, other, two);
	sim_bridge_peers(far);
	out = halves_event(sim, "LocalOptimizationEnd", one, two);
	sim_put(out, "Success", "No");
	sim_put(out, "Id", "%llu", (unsigned long long)id);
	sim_publish(sim);
}

void sim_local_make(struct sim_call *call, struct slice exten, struct slice context, bool stays, const char *app)
{
	struct sim_channel *a = call->caller;
	char prefix[80], number[31], place[31];

	slice_to_text(exten, number, sizeof(number));
	slice_to_text(context, place, sizeof(place));
	call->stays = stays;
	snprintf(prefix, sizeof(prefix), "Local/%s@%s;1", number, place);
	call->one = sim_channel_new(call, prefix, NULL, 0, "", "", number, a);
	prefix[strlen(prefix) - 1] = '2';
	call->two = sim_channel_new(call, prefix, NULL, 4, "", "", number, a);
	snprintf(call->one->context, sizeof(call->one->context), "%s", place);
	snprintf(call->two->context, sizeof(call->two->context), "%s", place);
	sim_channel_app(call->one, 1, app, "(Outgoing Line)");
	snprintf(call->one->caller_num, sizeof(call->one->caller_num), "%s", number);
	sim_channel_identified(call->one);
	account_event(call->one);
	snprintf(call->two->caller_num, sizeof(call->two->caller_num), "%s", a->caller_num);
	snprintf(call->two->caller_name, sizeof(call->two->caller_name), "%s", a->caller_name);
	sim_channel_identified(call->two);
	account_event(call->two);
	sim_local_bridged(call->one, call->two, number, stays);
}

void sim_local_event(struct sim_call *call, const char *event, const char *header, const char *value)
{
	sim_put_dial(call->sim, event, call->caller, call->one);
	sim_put(&call->sim->event, header, "%s", value);
	sim_publish(call->sim);
}

void sim_local_call(struct sim_call *call)
{
	struct sim *sim = call->sim;
	const char *number = call->one->exten;
	char text[96], prefix[64];

	snprintf(text, sizeof(text), "%.30s@%.30s%s", number, call->one->context, call->stays ? "/n" : "");
	sim_local_event(call, "DialBegin", "DialString", text);
	snprintf(call->dial_string, sizeof(call->dial_string), "%s", number);
	snprintf(prefix, sizeof(prefix), "PJSIP/%.30s", number);
	sim_channel_app(call->two, 1, "Dial", "%s,20", prefix);
	sim_variable_set(sim, call->two, "DIALSTATUS", "");
	sim_dial_callee(call, prefix, number, "AppDial");
	sim_dial_event(call, "DialBegin", NULL);
}

/* The caller's leg is dialled, then the second half dials the phone. */
static void dial_both(struct sim_call *call, enum sim_outcome outcome)
{
	sim_local_call(call);
	call->outcome = outcome;
	call->state = SIM_DIALING;
	call->ring_time = outcome == SIM_NO_ANSWER ? 20 : sim_random_range(&call->random, 1, 4);
	sim_call_after(call, sim_random_range(&call->random, 0.05, 0.3));
}

void sim_local_dial(struct sim_call *call, const char *number, bool stays, enum sim_outcome outcome)
{
	struct sim *sim = call->sim;

	call->dialled = sim->now;
	sim_channel_app(call->caller, 1, "Dial", "Local/%s@" SIM_CONTEXT "%s,20", number, stays ? "/n" : "");
	sim_variable_set(sim, call->caller, "DIALSTATUS", "");
	sim_local_make(call, slice_cstr(number), SLICE(SIM_CONTEXT), stays, "AppDial");
	dial_both(call, outcome);
}

void sim_local_forward(struct sim_call *call, const char *number, enum sim_outcome outcome)
{
	struct sim *sim = call->sim;
	struct sim_channel *phone = call->callee;

	sim_hangup_request(phone, 23, false);
	if (!call->story.forwarded_from[0])
		sim_channel_interface(phone, call->story.forwarded_from, sizeof(call->story.forwarded_from));
	call->callee = NULL;
	sim_local_make(call, slice_cstr(number), SLICE(SIM_CONTEXT), false, "AppDial");
	sim_put_dial(sim, "DialEnd", call->caller, phone);
	sim_put(&sim->event, "Forward", "%s", number);
	sim_put(&sim->event, "DialStatus", "CANCEL");
	sim_publish(sim);
	dial_both(call, outcome);
	sim_channel_hangup(&phone, 23);
}

void sim_local_rings(struct sim_call *call)
{
	sim_dial_event(call, "DialState", "RINGING");
	sim_channel_state(call->one, 5);
	sim_channel_identified(call->one);
	sim_local_event(call, "DialState", "DialStatus", "RINGING");
}

/* Out of the way: the caller takes the place of the second half. */
static void optimize(struct sim_call *call, struct sim_bridge *near)
{
	sim_local_swap(call->one, call->two, call->caller);
	sim_bridge_leave(call->one);
	sim_hangup_request(call->two, 16, false);
	sim_channel_hangup(&call->one, 16);
	sim_hangup_request(call->two, 16, true);
	sim_channel_hangup(&call->two, 16);
	sim_bridge_destroy(&near);
}

void sim_local_up(struct sim_call *call)
{
	struct sim *sim = call->sim;

	sim_channel_state(call->callee, 6);
	sim_variable_set(sim, call->two, "DIALSTATUS", "ANSWER");
	sim_dial_event(call, "DialEnd", "ANSWER");
	sim_channel_state(call->two, 6);
	struct sim_bridge *far = sim_bridge_new(sim, NULL, NULL, NULL, NULL);
	sim_bridge_enter(far, call->callee, NULL);
	sim_channel_state(call->one, 6);
	if (call->state != SIM_AGENT_RINGING) /* Queue sets none */
		sim_variable_set(sim, call->caller, "DIALSTATUS", "ANSWER");
	sim_local_event(call, "DialEnd", "DialStatus", "ANSWER");
}

void sim_local_join(struct sim_call *call)
{
	struct sim *sim = call->sim;
	struct sim_bridge *far = call->callee->bridge;

	sim_bridge_enter(far, call->two, NULL);
	sim_bridge_peers(far);
	struct sim_bridge *near = sim_bridge_new(sim, NULL, NULL, NULL, NULL);
	sim_bridge_enter(near, call->one, NULL);
	sim_bridge_enter(near, call->caller, NULL);
	sim_bridge_peers(near);
	call->story.talked = true;
	if (!call->stays)
		optimize(call, near);
	sim_origin_optimize(call);
}

void sim_local_answered(struct sim_call *call)
{
	sim_local_up(call);
	sim_channel_state(call->caller, 6);
	sim_local_join(call);
}

void sim_local_cancel(struct sim_call *call, unsigned cause)
{
	sim_dial_event(call, "DialEnd", "CANCEL");
	sim_variable_set(call->sim, call->two, "DIALSTATUS", "CANCEL");
	sim_channel_hangup(&call->callee, cause);
	sim_local_end(call, cause);
}

void sim_local_failed(struct sim_call *call, const char *status, unsigned cause)
{
	bool cancelled = strcmp(status, "CANCEL") == 0;

	if (cancelled)
		sim_local_event(call, "DialEnd", "DialStatus", status);
	sim_dial_event(call, "DialEnd", status);
	sim_variable_set(call->sim, call->two, "DIALSTATUS", status);
	sim_channel_hangup(&call->callee, cause);
	if (!cancelled)
		sim_local_event(call, "DialEnd", "DialStatus", status);
	sim_local_end(call, cause);
}

void sim_local_end(struct sim_call *call, unsigned cause)
{
	if (!call->one)
		return;
	sim_hangup_request(call->two, cause, false);
	sim_channel_hangup(&call->one, cause);
	sim_hangup_request(call->two, 16, true);
	sim_channel_hangup(&call->two, cause);
}
