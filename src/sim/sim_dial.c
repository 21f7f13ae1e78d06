/* Dialling: the phone that is called, how long it rings, what comes of it. */
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

void sim_put_dial(struct sim *sim, const char *event, const struct sim_channel *from, const struct sim_channel *to)
{
	struct buf *out = sim_event(sim, event, SIM_CALL);

	if (from)
		sim_put_channel(out, "", from);
	sim_put_channel(out, "Dest", to);
}

void sim_dial_event(struct sim_call *call, const char *event, const char *status)
{
	struct sim *sim = call->sim;

	/* Whom an Originate calls nobody calls. */
	if (call->state == SIM_ORIGINATING)
		sim_put_dial(sim, event, NULL, call->caller);
	else
		sim_put_dial(sim, event, call->two ? call->two : call->caller, call->callee);
	if (status)
		sim_put(&sim->event, "DialStatus", "%s", status);
	else
		sim_put(&sim->event, "DialString", "%s", call->dial_string);
	sim_publish(sim);
}

struct sim_channel *sim_dial_leg(struct sim_call *call, const char *prefix, const char *number, const char *app)
{
	const struct sim_channel *a = call->caller;
	struct sim_channel *b = sim_channel_new(call, prefix, NULL, 0, "", "", number, a);

	sim_channel_app(b, 1, app, "(Outgoing Line)");
	snprintf(b->caller_num, sizeof(b->caller_num), "%s", number);
	sim_channel_identified(b);
	snprintf(b->connected_num, sizeof(b->connected_num), "%s", a->caller_num);
	snprintf(b->connected_name, sizeof(b->connected_name), "%s", a->caller_name);
	sim_channel_event(b, "NewConnectedLine", SIM_CALL);
	return b;
}

struct sim_channel *sim_dial_callee(struct sim_call *call, const char *prefix, const char *number, const char *app)
{
	call->callee = sim_dial_leg(call, prefix, number, app);
	return call->callee;
}

static void also_event(struct sim_call *call, const char *event, const char *header, const char *value)
{
	if (!call->also)
		return;
	sim_put_dial(call->sim, event, call->caller, call->also);
	sim_put(&call->sim->event, header, "%s", value);
	sim_publish(call->sim);
}

/* The phone of that number, when it can be rung. */
static bool is_there(struct sim *sim, const char *number, char *interface, size_t size)
{
	snprintf(interface, size, "PJSIP/%.50s", number);
	const struct sim_endpoint *endpoint = sim_endpoint_find(sim, interface);
	return !endpoint || !endpoint->phone || endpoint->registered;
}

/* There is nobody to call: no channel is made. */
static void unreachable(struct sim_call *call)
{
	sim_variable_set(call->sim, call->caller, "DIALSTATUS", "CHANUNAVAIL");
	sim_channel_app(call->caller, 2, "Congestion", "1");
	call->outcome = SIM_UNREACHABLE;
	if (!call->story.talked)
		call->story.result = "unreachable";
	call->state = SIM_WAITING;
	sim_call_after(call, 0.02);
}

void sim_dial(struct sim_call *call, const char *number, const char *also, enum sim_outcome outcome)
{
	struct sim *sim = call->sim;
	struct sim_channel *a = call->caller;
	static const char *const cleared[] = { "DIALSTATUS", "DIALEDPEERNUMBER", "DIALEDPEERNAME", "ANSWEREDTIME", "DIALEDTIME" };
	char first[64], second[64];

	call->state = SIM_DIALING;
	call->outcome = outcome;
	call->dialled = sim->now;
	snprintf(call->dial_string, sizeof(call->dial_string), "%s", number);
	bool there = is_there(sim, number, first, sizeof(first));
	bool both = also && is_there(sim, also, second, sizeof(second));
	sim_channel_app(a, 1, "Dial", "%s%s%s,20", first, also ? "&" : "", also ? second : "");
	for (size_t i = 0; i < sizeof(cleared) / sizeof(cleared[0]); i++)
		sim_variable_set(sim, a, cleared[i], "");
	if (!there) {
		unreachable(call);
		return;
	}
	sim_dial_callee(call, first, number, "AppDial");
	if (both)
		call->also = sim_dial_leg(call, second, also, "AppDial");
	sim_dial_event(call, "DialBegin", NULL);
	also_event(call, "DialBegin", "DialString", also);
	call->ring_time = outcome == SIM_NO_ANSWER ? 20 : sim_random_range(&call->random, 1, 4);
	sim_call_after(call, sim_random_range(&call->random, 0.05, 0.3));
}

void sim_dial_failed(struct sim_call *call, const char *status, unsigned cause)
{
	static const struct {
		const char *status, *result, *disposition;
	} ends[] = {
		{ "BUSY", "busy", "BUSY" }, { "CONGESTION", "congestion", "FAILED" }, { "CANCEL", "cancelled", "NO ANSWER" },
		{ "NOANSWER", "no_answer", "NO ANSWER" },
	};
	size_t i = 0;

	while (i + 1 < sizeof(ends) / sizeof(ends[0]) && strcmp(ends[i].status, status) != 0)
		i++;
	if (!call->story.talked)
		call->story.result = ends[i].result;
	if (call->one) {
		sim_local_failed(call, status, cause);
	} else {
		sim_dial_event(call, "DialEnd", status);
		also_event(call, "DialEnd", "DialStatus", status);
	}
	sim_variable_set(call->sim, call->caller, "DIALSTATUS", status);
	sim_cdr(call, ends[i].disposition);
	sim_channel_hangup(&call->also, cause);
	sim_channel_hangup(&call->callee, cause);
	/* The caller's only record is the one above; the rest of its way is short. */
	sim_channel_hangup(&call->caller, cause);
	sim_call_over(call, cause, "");
}

void sim_dial_answered(struct sim_call *call)
{
	struct sim *sim = call->sim;

	if (call->one) {
		sim_local_answered(call);
	} else {
		sim_channel_state(call->callee, 6);
		also_event(call, "DialEnd", "DialStatus", "CANCEL");
		sim_variable_set(sim, call->caller, "DIALSTATUS", "ANSWER");
		sim_variable_set(sim, call->caller, "DIALEDPEERNAME", call->callee->name);
		sim_variable_set(sim, call->caller, "DIALEDPEERNUMBER", call->dial_string);
		sim_dial_event(call, "DialEnd", "ANSWER");
		sim_channel_state(call->caller, 6);
		sim_channel_hangup(&call->also, 26);
		sim_bridge_call(call);
	}
	if (!call->answered)
		call->answered = sim->now;
	if (!call->story.answered_by[0])
		sim_channel_interface(call->callee, call->story.answered_by, sizeof(call->story.answered_by));
	call->state = SIM_TALKING;
	sim_plan_choose(call);
}

static void begin_ringing(struct sim_call *call)
{
	call->state = SIM_RINGING;
	sim_channel_state(call->callee, 5);
	if (call->also)
		sim_channel_state(call->also, 5);
	if (call->one)
		sim_local_rings(call);
	else
		sim_dial_event(call, "DialState", "RINGING");
	also_event(call, "DialState", "DialStatus", "RINGING");
	sim_call_after(call, call->ring_time);
	if (call->consults)
		sim_plan_consulted(call);
}

static void forward(struct sim_call *call)
{
	char number[24];

	snprintf(number, sizeof(number), "%u", 1000u + (unsigned)sim_random(&call->random, SIM_PHONES));
	sim_local_forward(call, number, sim_random(&call->random, 4) == 0 ? SIM_BUSY : SIM_ANSWERED);
}

/* Of two phones that ring one answers. */
static void answer_either(struct sim_call *call)
{
	struct sim_channel *other = call->also;

	if (other && sim_random(&call->random, 2) == 0) {
		call->also = call->callee;
		call->callee = other;
		snprintf(call->dial_string, sizeof(call->dial_string), "%s", other->caller_num);
	}
	sim_dial_answered(call);
}

static void rang(struct sim_call *call)
{
	const struct sim_endpoint *other;

	switch (call->outcome) {
	case SIM_BUSY:
		sim_dial_failed(call, "BUSY", 17);
		return;
	case SIM_CONGESTED:
	case SIM_UNREACHABLE:
		sim_dial_failed(call, "CONGESTION", 34);
		return;
	case SIM_NO_ANSWER:
		sim_dial_failed(call, "NOANSWER", 19);
		return;
	case SIM_CANCELLED:
		sim_call_end(call, call->caller, 16, false);
		return;
	case SIM_PICKED_UP:
		other = call->one || call->also ? NULL : sim_endpoint_any(call->sim, &call->random);
		if (other && other != call->callee->endpoint && other != call->caller->endpoint) {
			sim_pickup(call, other->interface);
			return;
		}
		sim_dial_answered(call);
		return;
	case SIM_FORWARDED:
	case SIM_ANSWERED:
		answer_either(call);
		return;
	}
}

void sim_dial_timer(struct sim_call *call)
{
	if (call->state == SIM_RINGING || call->outcome == SIM_BUSY || call->outcome == SIM_CONGESTED)
		rang(call);
	else if (call->outcome == SIM_FORWARDED && !call->also)
		forward(call);
	else
		begin_ringing(call);
}
