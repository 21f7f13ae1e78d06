/* A call that rings is taken by another phone (*8): the older call goes on with it, its own is merged into that. */
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>

static void pickup_event(struct sim *sim, const struct sim_channel *by, const struct sim_channel *target)
{
	struct buf *out = sim_event(sim, "Pickup", SIM_CALL);

	sim_put_channel(out, "", by);
	sim_put_channel(out, "Target", target);
	sim_publish(sim);
}

void sim_pickup(struct sim_call *call, const char *interface)
{
	struct sim *sim = call->sim;
	struct sim_call *own = sim_call_new(sim);
	const char *number = strchr(interface, '/') + 1;
	struct sim_channel *by = sim_channel_new(own, interface, NULL, 4, number, "", "*8", NULL);

	sim_call_begins(own, by, number, "*8");
	sim_channel_state(by, 6);
	sim_channel_app(by, 1, "AppDial", "(Outgoing Line)");
	pickup_event(sim, by, call->callee);
	if (sim_random(&call->random, 2) == 0) {
		sim_hangup_request(call->callee, 16, true);
		sim_channel_hangup(&call->callee, 26);
	} else {
		sim_channel_hangup(&call->callee, 16);
	}
	call->callee = by;
	by->call = call;
	own->caller = NULL;
	if (!call->story.answered_by[0])
		snprintf(call->story.answered_by, sizeof(call->story.answered_by), "%s", interface);
	sim_call_merged(own, call);
	/* DialEnd names a channel that had no DialBegin, with its own Linkedid (Q64); the bridge gives it the older one. */
	sim_dial_answered(call);
}
