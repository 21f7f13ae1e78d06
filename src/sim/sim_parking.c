/* The parking lot `default`, spaces 701 to 720. */
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define LOT "default"
#define TIMEOUT 45.0     /* s until a parked call comes back to the one who parked it */
#define PARKER_GOES 0.6  /* s that the parker's phone takes to hang up */

static void put_parking(struct buf *out, const struct sim_call *call)
{
	double duration = sim_elapsed(call->sim, call->parked), left = TIMEOUT - duration;

	sim_put(out, "ParkerDialString", "%s", call->parker_interface);
	sim_put(out, "Parkinglot", LOT);
	sim_put(out, "ParkingSpace", "%u", call->space);
	sim_put(out, "ParkingTimeout", "%u", left > 0 ? (unsigned)left : 0);
	sim_put(out, "ParkingDuration", "%u", (unsigned)duration);
}

static void parking_event(struct sim_call *call, const char *event, const struct sim_channel *retriever)
{
	struct buf *out = sim_event(call->sim, event, SIM_CALL);

	sim_put_channel(out, "Parkee", call->caller);
	if (retriever)
		sim_put_channel(out, "Retriever", retriever);
	put_parking(out, call);
	sim_publish(call->sim);
}

/* The lowest space that is free. */
static bool take_space(struct sim_call *call)
{
	for (unsigned i = 0; i < SIM_SPACES; i++) {
		if (call->sim->spaces[i])
			continue;
		call->sim->spaces[i] = call;
		call->space = SIM_SPACE_FIRST + i;
		call->parked = call->sim->now;
		return true;
	}
	return false;
}

static void free_space(struct sim_call *call)
{
	call->sim->spaces[call->space - SIM_SPACE_FIRST] = NULL;
	call->space = 0;
}

/* Parked where a REFER to 700 says: the transferee is in the lot at once, the parker hangs up a moment later. */
void sim_park(struct sim_call *call, bool by_caller)
{
	struct sim *sim = call->sim;
	struct sim_channel *from = by_caller ? call->caller : call->callee, *who = by_caller ? call->callee : call->caller;
	bool agent = call->state == SIM_AGENT_TALKING, early = sim_random(&call->random, 2) == 0;

	if (!take_space(call)) {
		call->plan = SIM_PLAN_TALK;
		sim_plan_next(call);
		return;
	}
	sim_channel_interface(from, call->parker_interface, sizeof(call->parker_interface));
	sim_hold(from, false);
	call->caller = who;
	call->callee = from;
	if (early) /* before the old bridge is left, or behind the lot's is entered (Q71) */
		parking_event(call, "ParkedCall", NULL);
	sim_put_blind_transfer(call, from, who, "700");
	if (agent)
		sim_queue_complete(call, "transfer");
	call->parker = from;
	call->callee = NULL;
	call->state = SIM_PARKING;
	if (!sim->lot)
		sim->lot = sim_bridge_new(sim, "parking", "holding_bridge", NULL, NULL);
	sim_variable_set(sim, who, "BLINDTRANSFER", from->name);
	sim_bridge_leave(who);
	sim_bridge_enter(sim->lot, who, NULL);
	if (!early)
		parking_event(call, "ParkedCall", NULL);
	sim_call_after(call, PARKER_GOES);
}

static void parker_goes(struct sim_call *call)
{
	struct sim_bridge *bridge = call->parker ? call->parker->bridge : NULL;

	if (!call->parker)
		return;
	sim_variable_set(call->sim, call->parker, "BRIDGEPEER", "");
	sim_bridge_leave(call->parker);
	if (bridge)
		sim_bridge_destroy(&bridge);
	sim_channel_hangup(&call->parker, 16);
}

void sim_parking_leave(struct sim_call *call, bool gives_up)
{
	parker_goes(call);
	if (gives_up)
		parking_event(call, "ParkedCallGiveUp", NULL);
	free_space(call);
	sim_bridge_leave(call->caller);
}

/* Nobody fetched it: it goes back to the one who parked it. */
static void timed_out(struct sim_call *call)
{
	struct sim_channel *who = call->caller;
	char number[80];

	snprintf(number, sizeof(number), "%s", strchr(call->parker_interface, '/') + 1);
	sim_bridge_leave(who);
	snprintf(who->context, sizeof(who->context), "park-dial");
	snprintf(who->exten, sizeof(who->exten), "PJSIP_%.70s", number);
	parking_event(call, "ParkedCallTimeOut", NULL);
	free_space(call);
	sim_dial(call, number, NULL, SIM_ANSWERED);
}

/* Somebody dials the space. */
static void fetch(struct sim_call *parked)
{
	struct sim *sim = parked->sim;
	const struct sim_endpoint *by = sim_endpoint_any(sim, &parked->random);
	struct sim_call *call = sim_call_new(sim);
	const char *interface = by ? by->interface : "PJSIP/1000";
	char exten[16];

	snprintf(exten, sizeof(exten), "%u", parked->space);
	sim_call_begins(call, sim_channel_new(call, interface, NULL, 4, strchr(interface, '/') + 1, "", exten, NULL),
	                strchr(interface, '/') + 1, exten);
	call->by_chance = true;
	call->state = SIM_RUN;
	sim_call_run(call);
}

bool sim_parking_fetch(struct sim_call *call, unsigned space)
{
	struct sim *sim = call->sim;
	struct sim_call *parked = sim->spaces[space - SIM_SPACE_FIRST];
	struct sim_channel *who = call->caller;

	/* A Local channel fetches nobody: its other half would have to come along. */
	if (!parked || parked->state != SIM_PARKED || call->far)
		return false;
	sim_channel_app(who, 1, "ParkedCall", LOT ",%u", space);
	sim_channel_state(who, 6);
	struct sim_bridge *bridge = sim_bridge_new(sim, NULL, NULL, NULL, NULL);
	parking_event(parked, "UnParkedCall", who);
	free_space(parked);
	sim_bridge_leave(parked->caller);
	sim_bridge_enter(bridge, parked->caller, NULL);
	sim_bridge_enter(bridge, who, NULL);
	sim_bridge_peers(bridge);
	sim_channel_interface(who, parked->story.fetched_by, sizeof(parked->story.fetched_by));
	parked->callee = who;
	who->call = parked;
	call->caller = NULL;
	parked->story.talked = true;
	parked->state = SIM_TALKING;
	sim_call_merged(call, parked);
	sim_plan_choose(parked);
	return true;
}

void sim_parking_timer(struct sim_call *call)
{
	if (call->state == SIM_PARKING) {
		parker_goes(call);
		call->state = SIM_PARKED;
		call->step = (unsigned)sim_random(&call->random, 4);
		sim_call_after(call, call->step == 0 ? TIMEOUT - PARKER_GOES : sim_random_range(&call->random, 3, TIMEOUT - 5));
	} else if (call->step == 0) {
		timed_out(call);
	} else if (call->step == 1) {
		sim_call_end(call, call->caller, 16, false);
	} else {
		fetch(call);
	}
}

void sim_action_parked(struct sim_client *client, const struct sim_request *request)
{
	struct sim_list list = sim_list_begin(client, request, true, "Parked calls will follow");

	for (unsigned i = 0; i < SIM_SPACES; i++) {
		const struct sim_call *call = client->sim->spaces[i];
		if (!call)
			continue;
		struct buf *out = sim_item(&list, "ParkedCall");
		sim_put_channel(out, "Parkee", call->caller);
		put_parking(out, call);
		sim_item_end(&list);
	}
	sim_list_end(&list, "ParkedCallsComplete", "Total");
}
