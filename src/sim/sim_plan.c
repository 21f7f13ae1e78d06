/* What two who talk do next: hold, transfer, park, consult somebody else, or just hang up. */
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* Steps of the plans with a consultation. */
enum { TO_HOLD, TO_CONSULT, CONSULTING, TO_RETURN };

static bool is_agent_call(const struct sim_call *call)
{
	return call->state == SIM_AGENT_TALKING;
}

void sim_plan_choose(struct sim_call *call)
{
	static const enum sim_plan plans[] = {
		SIM_PLAN_TALK, SIM_PLAN_TALK, SIM_PLAN_TALK, SIM_PLAN_TALK, SIM_PLAN_HOLD, SIM_PLAN_HOLD, SIM_PLAN_BLIND,
		SIM_PLAN_BLIND_BY_CALLER, SIM_PLAN_PARK, SIM_PLAN_PARK_BY_CALLER, SIM_PLAN_ATTENDED, SIM_PLAN_ATTENDED_BY_CALLER,
		SIM_PLAN_ATTENDED_RINGING,
	};

	call->step = 0;
	call->plan = SIM_PLAN_TALK;
	/* With a Local channel between them, or as a consultation, they only talk. */
	if (call->sim->options.features && call->by_chance && !call->one && !call->consults)
		call->plan = plans[sim_random(&call->random, sizeof(plans) / sizeof(plans[0]))];
	/* What a caller who waited in a queue would do with it, only phones of this exchange can do. */
	if (is_agent_call(call) && (call->plan == SIM_PLAN_BLIND_BY_CALLER || call->plan == SIM_PLAN_PARK_BY_CALLER ||
	                            call->plan == SIM_PLAN_ATTENDED_BY_CALLER))
		call->plan = SIM_PLAN_TALK;
	call->by_caller = call->plan == SIM_PLAN_BLIND_BY_CALLER || call->plan == SIM_PLAN_PARK_BY_CALLER ||
	                  call->plan == SIM_PLAN_ATTENDED_BY_CALLER || (call->plan == SIM_PLAN_HOLD && sim_random(&call->random, 2));
	if (call->consults)
		sim_plan_consulted(call);
	else
		sim_call_after(call, sim_random_range(&call->random, is_agent_call(call) ? 4 : 3, is_agent_call(call) ? 15 : 20));
}

static struct sim_channel *actor(const struct sim_call *call)
{
	return call->by_caller ? call->caller : call->callee;
}

static void end(struct sim_call *call)
{
	sim_call_end(call, sim_random(&call->random, 2) ? call->caller : call->callee, 16, false);
}

static void hold_and_back(struct sim_call *call)
{
	if (call->step++ == 0) {
		sim_hold(actor(call), true);
		sim_call_after(call, sim_random_range(&call->random, 2, 20));
	} else if (call->step == 2 && sim_random(&call->random, 4) == 0) {
		end(call); /* on hold (Q66) */
	} else {
		sim_hold(actor(call), false);
		call->plan = SIM_PLAN_TALK;
		sim_call_after(call, sim_random_range(&call->random, 1, 10));
	}
}

/* Somebody who can be transferred to: a phone, a queue or a conference. */
static void transfer(struct sim_call *call)
{
	char exten[16];

	switch (sim_random(&call->random, 8)) {
	case 0:
		snprintf(exten, sizeof(exten), "%u", 300 + (unsigned)sim_random(&call->random, SIM_QUEUES));
		break;
	case 1:
		snprintf(exten, sizeof(exten), "%u", 600 + (unsigned)sim_random(&call->random, SIM_ROOMS));
		break;
	default:
		snprintf(exten, sizeof(exten), "%u", 1000 + (unsigned)sim_random(&call->random, SIM_PHONES));
	}
	sim_transfer_blind(call, call->by_caller, exten);
}

/* A call of its own from the same phone. */
static void consult(struct sim_call *call)
{
	struct sim *sim = call->sim;
	struct sim_call *own = sim_call_new(sim);
	const struct sim_endpoint *to = sim_endpoint_any(sim, &call->random);
	char interface[80], number[24];

	sim_channel_interface(actor(call), interface, sizeof(interface));
	snprintf(number, sizeof(number), "%.20s", to ? strchr(to->interface, '/') + 1 : "1000");
	call->other = own;
	own->other = call;
	own->consults = true;
	own->by_chance = true;
	sim_call_begins(own, sim_channel_new(own, interface, NULL, 4, strchr(interface, '/') + 1, "", number, NULL),
	                strchr(interface, '/') + 1, number);
	/* Mostly somebody answers; he who waits may lose patience. */
	sim_dial(own, number, NULL, sim_random(&call->random, 6) == 0 ? SIM_BUSY : SIM_ANSWERED);
	call->step = CONSULTING;
	sim_call_after(call, sim_random_range(&call->random, 8, 60));
}

static void attended(struct sim_call *call)
{
	switch (call->step) {
	case TO_HOLD:
		sim_hold(actor(call), true);
		call->step = TO_CONSULT;
		sim_call_after(call, sim_random_range(&call->random, 0.3, 2));
		break;
	case TO_CONSULT:
		consult(call);
		break;
	case CONSULTING: /* the one on hold gives up */
		sim_call_end(call, call->by_caller ? call->callee : call->caller, 16, false);
		break;
	default:
		sim_hold(actor(call), false);
		call->plan = SIM_PLAN_TALK;
		sim_call_after(call, sim_random_range(&call->random, 1, 10));
	}
}

/* The consultation decides: transferred, or taken back. */
static void decide(struct sim_call *consultation)
{
	struct sim_call *call = consultation->other;

	if (call && sim_random(&consultation->random, 4) != 0)
		sim_transfer_attended(call);
	else
		end(consultation);
}

void sim_plan_next(struct sim_call *call)
{
	if (call->consults) {
		decide(call);
		return;
	}
	switch (call->plan) {
	case SIM_PLAN_HOLD:
		hold_and_back(call);
		break;
	case SIM_PLAN_BLIND:
	case SIM_PLAN_BLIND_BY_CALLER:
		transfer(call);
		break;
	case SIM_PLAN_PARK:
	case SIM_PLAN_PARK_BY_CALLER:
		sim_park(call, call->by_caller);
		break;
	case SIM_PLAN_ATTENDED:
	case SIM_PLAN_ATTENDED_BY_CALLER:
	case SIM_PLAN_ATTENDED_RINGING:
		attended(call);
		break;
	default:
		end(call);
		break;
	}
}

static void on_transfer(struct sim_timer *timer)
{
	struct sim_call *call = (struct sim_call *)(void *)((char *)timer - offsetof(struct sim_call, transfer));
	if (call->other && call->other->state == SIM_RINGING)
		sim_transfer_attended(call);
}

void sim_plan_consulted(struct sim_call *consultation)
{
	struct sim_call *call = consultation->other;

	if (consultation->state == SIM_TALKING) {
		sim_call_after(consultation, sim_random_range(&consultation->random, 1, 8));
	} else if (call && call->plan == SIM_PLAN_ATTENDED_RINGING) {
		/* Behind the events of the ringing itself. */
		sim_timer_init(&call->transfer, call->sim, on_transfer);
		sim_timer_start(&call->transfer, consultation->ring_time / 2);
	}
}

void sim_plan_lost(struct sim_call *call)
{
	struct sim_call *other = call->other;

	sim_timer_stop(&call->transfer);
	call->other = NULL;
	if (!other)
		return;
	other->other = NULL;
	sim_timer_stop(&other->transfer);
	if (call->consults) {
		/* Back to the one on hold. */
		other->step = TO_RETURN;
		sim_call_after(other, sim_random_range(&other->random, 0.3, 2));
	}
}
