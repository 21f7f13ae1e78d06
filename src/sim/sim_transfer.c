/* Hold, and calls that change hands: blind and attended transfers as phones make them (REFER). */
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* Whom it talks to through a bridge of two. */
static struct sim_channel *peer_of(const struct sim_channel *channel)
{
	const struct sim_bridge *bridge = channel->bridge;

	if (!bridge || bridge->count != 2)
		return NULL;
	struct sim_channel *first = list_entry(bridge->channels.next, struct sim_channel, in_bridge);
	return first != channel ? first : list_entry(bridge->channels.prev, struct sim_channel, in_bridge);
}

static void set_on_hold(struct sim_channel *channel, bool on_hold)
{
	sim_endpoint_count(channel, -1);
	channel->on_hold = on_hold;
	sim_endpoint_count(channel, 1);
	sim_endpoint_review(channel->call->sim, channel->endpoint);
}

static void put_music(struct sim_channel *channel, const char *event)
{
	struct sim *sim = channel->call->sim;
	struct buf *out = sim_event(sim, event, SIM_CALL);

	sim_put_channel(out, "", channel);
	if (strcmp(event, "MusicOnHoldStart") == 0)
		sim_put(out, "Class", "default");
	sim_publish(sim);
}

/* Hold does not touch the bridge (Q66). An Unhold may come without a Hold: before a REFER. */
void sim_hold(struct sim_channel *channel, bool hold)
{
	struct sim *sim = channel->call->sim;
	struct sim_channel *peer = peer_of(channel);
	struct buf *out = sim_event(sim, hold ? "Hold" : "Unhold", SIM_CALL);
	bool was = channel->holding;

	sim_put_channel(out, "", channel);
	if (hold)
		sim_put(out, "MusicClass", "default");
	sim_publish(sim);
	channel->holding = hold;
	if (!peer || was == hold)
		return;
	put_music(peer, hold ? "MusicOnHoldStart" : "MusicOnHoldStop");
	set_on_hold(peer, hold);
}

/* Out of the bridge, which is not empty then. */
static void leave(struct sim_channel *channel)
{
	sim_variable_set(channel->call->sim, channel, "BRIDGEPEER", "");
	sim_bridge_leave(channel);
	channel->holding = false;
	if (channel->on_hold)
		set_on_hold(channel, false);
}

static void note_transfer(struct sim_call *call, const struct sim_channel *from, const char *to)
{
	sim_channel_interface(from, call->story.transferred_from, sizeof(call->story.transferred_from));
	snprintf(call->story.transferred_to, sizeof(call->story.transferred_to), "%s", to);
}

void sim_put_blind_transfer(struct sim_call *call, const struct sim_channel *from, const struct sim_channel *who, const char *exten)
{
	struct buf *out = sim_event(call->sim, "BlindTransfer", SIM_CALL);

	sim_put(out, "Result", "Success");
	sim_put_channel(out, "Transferer", from);
	sim_put_channel(out, "Transferee", who);
	sim_put_bridge(out, "", from->bridge);
	sim_put(out, "IsExternal", "Yes");
	sim_put(out, "Context", "%s", SIM_CONTEXT);
	sim_put(out, "Extension", "%s", exten);
	sim_publish(call->sim);
}

void sim_transfer_blind(struct sim_call *call, bool by_caller, const char *exten)
{
	struct sim *sim = call->sim;
	struct sim_channel *from = by_caller ? call->caller : call->callee, *who = by_caller ? call->callee : call->caller;
	struct sim_bridge *bridge = from->bridge;
	bool agent = call->state == SIM_AGENT_TALKING;
	/* Sometimes the event comes behind both BridgeLeave events and shows who is already gone (Q65). */
	bool late = sim_random(&call->random, 4) == 0;

	sim_hold(from, false);
	sim_variable_set(sim, who, "BLINDTRANSFER", from->name);
	sim_variable_set(sim, from, "BLINDTRANSFER", who->name);
	note_transfer(call, from, exten);
	if (!late)
		sim_put_blind_transfer(call, from, who, exten);
	if (agent)
		sim_queue_complete(call, "transfer");
	struct sim_bridge before = *bridge;
	leave(who);
	if (!by_caller)
		sim_variable_set(sim, who, "DIALSTATUS", "ANSWER");
	leave(from);
	if (late) {
		from->bridge = &before;
		sim_put_blind_transfer(call, from, who, exten);
		from->bridge = NULL;
	}
	sim_bridge_destroy(&bridge);
	if (by_caller) {
		sim_hangup_request(from, 16, true);
		sim_channel_hangup(&call->caller, 16);
		call->caller = who;
		call->callee = NULL;
	} else {
		sim_channel_hangup(&call->callee, 16);
	}
	snprintf(who->context, sizeof(who->context), "%s", SIM_CONTEXT);
	snprintf(who->exten, sizeof(who->exten), "%s", exten);
	who->priority = 1;
	call->state = SIM_RUN;
	sim_call_after(call, 0.01);
}

struct sim_attended {
	struct sim_call *call;
	struct sim_channel *first, *second; /* the transferer's, of the one and of the other */
	struct sim_channel *who, *target;
	struct sim_bridge *from, *to;       /* `to` NULL: the target still rings */
};

static void put_attended(const struct sim_attended *a, const struct sim_bridge *from, const struct sim_bridge *to)
{
	struct buf *out = sim_event(a->call->sim, "AttendedTransfer", SIM_CALL);

	sim_put(out, "Result", "Success");
	sim_put_channel(out, "OrigTransferer", a->first);
	sim_put_bridge(out, "Orig", from);
	sim_put_channel(out, "SecondTransferer", a->second);
	if (to)
		sim_put_bridge(out, "Second", to);
	sim_put_channel(out, "Transferee", a->who);
	if (to)
		sim_put_channel(out, "TransferTarget", a->target);
	sim_put(out, "IsExternal", "No");
	sim_put(out, "DestType", to ? "Bridge" : "App");
	if (to)
		sim_put(out, "DestBridgeUniqueid", "%s", to->id);
	else
		sim_put(out, "DestApp", "Dial");
	sim_publish(a->call->sim);
}

/* Both calls are up (Q64). The events carry copies of the channels that were made before their Linkedids changed. */
static void join_talking(struct sim_attended *a)
{
	struct sim *sim = a->call->sim;
	struct sim_bridge from = *a->from, to = *a->to;
	struct sim_channel who = *a->who, target = *a->target;
	struct sim_attended before = *a;

	before.who = &who;
	before.target = &target;
	sim_hold(a->first, false);
	sim_hold(a->second, false);
	who = *a->who;
	sim_variable_set(sim, a->first, "ATTENDEDTRANSFER", a->who->name);
	sim_variable_set(sim, a->who, "ATTENDEDTRANSFER", a->first->name);
	sim_bridge_leave(a->who);
	leave(a->second);
	sim_bridge_enter(a->to, a->who, a->second);
	sim_variable_set(sim, a->who, "ATTENDEDTRANSFER", "");
	if (sim_random(&a->call->random, 2) == 0)
		sim_bridge_peers(a->to);
	put_attended(&before, &from, &to);
	leave(a->first);
	sim_bridge_destroy(&a->from);
}

/* The target still rings: the transferee takes the transferer's place in Dial. */
static void join_ringing(struct sim_attended *a)
{
	struct sim *sim = a->call->sim;

	sim_hold(a->first, false);
	sim_variable_set(sim, a->who, "ATTENDEDTRANSFER", a->first->name);
	sim_variable_set(sim, a->first, "ATTENDEDTRANSFER", a->who->name);
	put_attended(a, a->from, NULL);
	leave(a->who);
	leave(a->first);
	sim_bridge_destroy(&a->from);
}

void sim_transfer_attended(struct sim_call *call)
{
	struct sim_call *consultation = call->other;
	bool agent = call->state == SIM_AGENT_TALKING, rings = consultation->state == SIM_RINGING;
	struct sim_channel *holder = call->by_caller ? call->caller : call->callee;
	struct sim_attended a = {
		.call = call, .first = holder, .second = consultation->caller,
		.who = call->by_caller ? call->callee : call->caller, .target = consultation->callee,
		.from = holder->bridge, .to = rings ? NULL : consultation->callee->bridge,
	};
	char to[80];

	call->other = consultation->other = NULL;
	sim_channel_interface(a.target, to, sizeof(to));
	if (rings)
		snprintf(to, sizeof(to), "%s", consultation->story.to);
	note_transfer(call, a.first, to);
	if (rings)
		join_ringing(&a);
	else
		join_talking(&a);
	if (agent)
		sim_queue_complete(call, "transfer");
	sim_channel_hangup(call->by_caller ? &call->caller : &call->callee, 16);
	if (rings)
		sim_channel_app(a.who, 2, "Dial", "PJSIP/%s,20", consultation->dial_string);
	sim_hangup_request(a.second, 16, true);
	sim_channel_hangup(&consultation->caller, 16);
	call->caller = a.who;
	call->callee = a.target;
	a.target->call = call;
	consultation->callee = NULL;
	snprintf(call->dial_string, sizeof(call->dial_string), "%s", consultation->dial_string);
	call->outcome = SIM_ANSWERED;
	if (rings) {
		call->state = SIM_RINGING;
		call->ring_time = 1;
		sim_call_after(call, sim_random_range(&call->random, 0.5, 4));
	} else {
		sim_bridge_peers(a.to);
		call->state = SIM_TALKING;
		sim_plan_choose(call);
	}
	sim_call_merged(consultation, call);
}
