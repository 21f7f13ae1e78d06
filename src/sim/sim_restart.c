/* The exchange stops and another one begins: with other calls, whose channel names begin anew. */
#include "sim/sim_internal.h"

#include <stdlib.h>

static void on_up(struct sim_timer *timer)
{
	(void)timer; /* that it does not run any more is all */
}

void sim_restart_init(struct sim *sim)
{
	sim_timer_init(&sim->down, sim, on_up);
}

bool sim_is_down(const struct sim *sim)
{
	return sim->down.armed;
}

static void end_clients(struct sim *sim, bool clean)
{
	list_each_safe(it, &sim->clients) {
		struct sim_client *client = list_entry(it, struct sim_client, node);
		if (!clean) {
			buf_clear(&client->out);
			buf_clear(&client->waiting);
		}
		sim_client_close(client);
	}
}

/* As `core stop now` does it: whoever has a channel is hung up, with the flag that says so (Q91). */
static void hang_up_all(struct sim *sim)
{
	list_each_safe(it, &sim->calls) {
		struct sim_call *call = list_entry(it, struct sim_call, node);
		if (!call->caller) {
			sim_call_over(call, 16, "FAILED");
			continue;
		}
		sim_hangup_request(call->caller, 4, true);
		call->story.shut_down = true;
		sim_call_end(call, call->caller, 16, true);
	}
	struct buf *out = sim_event(sim, "Shutdown", SIM_SYSTEM);
	sim_put(out, "Shutdown", "Cleanly");
	sim_put(out, "Restart", "False");
	sim_publish(sim);
	sim_settle(sim);
}

/* Nobody is told. */
static void forget_calls(struct sim *sim)
{
	list_each(it, &sim->calls) {
		struct sim_call *call = list_entry(it, struct sim_call, node);
		call->story.result = "unseen";
		sim_truth_ended(call);
	}
	sim_calls_stop(sim);
	sim->call_count = 0;
}

static void reset_queues(struct sim *sim)
{
	sim_queues_close(sim);
	sim_queues_init(sim);
	for (unsigned i = 0; i < SIM_QUEUES; i++) {
		struct sim_queue *queue = &sim->queues[i];
		queue->caller_count = queue->completed = queue->abandoned = queue->next = 0;
		queue->joined = queue->connected = queue->given_up = 0;
		queue->hold_sum = queue->talk_sum = 0;
	}
}

static void reset_rooms(struct sim *sim)
{
	for (unsigned i = 0; i < SIM_ROOMS; i++) {
		sim->rooms[i].bridge = NULL;
		sim->rooms[i].count = 0;
	}
	memset(sim->spaces, 0, sizeof(sim->spaces));
}

void sim_cut(struct sim *sim)
{
	end_clients(sim, false);
}

void sim_restart(struct sim *sim, bool clean, double down)
{
	if (clean)
		hang_up_all(sim);
	sim_events_drop(sim);
	end_clients(sim, clean);
	sim_timer_start(&sim->down, down);
	forget_calls(sim);
	sim_bridges_close(sim);
	sim->started = sim_wall(sim) + down;
	sim_endpoints_reset(sim);
	reset_queues(sim);
	reset_rooms(sim);
	sim->channel_serial = sim->name_serial = sim->local_serial = 0;
	sim->boots++;
	sim->random ^= sim->boots * UINT64_C(0x2545f4914f6cdd1d);
	sim_traffic_start(sim);
}
