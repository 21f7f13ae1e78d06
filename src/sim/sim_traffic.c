/* Calls by chance: from the trunk to phones and queues; with `features` also between phones, into conferences, through Local
 * channels. */
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const caller_names[] = { "Ann Lee", "Bo Chen", "Carla Diaz", "Zoë Möller", "", "Finn O'Hara", "Greta" };

/* Whom it is for: a queue, a phone, or what the features bring. */
static void choose_exten(struct sim_call *call, char *exten, size_t size)
{
	struct sim *sim = call->sim;
	unsigned queue = sim_random(&call->random, 4) == 0;
	bool queued = sim_random(&call->random, 10) < 4;
	unsigned phone = (unsigned)sim_random(&call->random, SIM_PHONES), special = sim->options.features ? 12 : 0;

	/* Queues that are long already get no more, or nearly every caller there would give up. */
	if (queued && sim->queues[queue].caller_count < 4) {
		snprintf(exten, size, "%u", 300 + queue);
		return;
	}
	switch (special ? sim_random(&call->random, special) : UINT64_MAX) {
	case 0:
	case 1:
		snprintf(exten, size, "%u", 600 + (unsigned)sim_random(&call->random, SIM_ROOMS));
		return;
	case 2:
	case 3:
		snprintf(exten, size, "%u", 1100 + phone);
		return;
	case 4:
		snprintf(exten, size, "%u", 1200 + phone);
		return;
	case 5:
		snprintf(exten, size, "%u", 1300 + phone);
		return;
	default:
		snprintf(exten, size, "%u", 1000 + phone);
	}
}

static void begin(struct sim *sim)
{
	struct sim_call *call = sim_call_new(sim);
	const char *name = caller_names[sim_random(&call->random, sizeof(caller_names) / sizeof(caller_names[0]))];
	const struct sim_endpoint *from = NULL;
	const char *interface = "PJSIP/trunk";
	char number[24], exten[24];

	snprintf(number, sizeof(number), "555%04u", (unsigned)sim_random(&call->random, 10000));
	if (sim->options.features && sim_random(&call->random, 3) == 0)
		from = sim_endpoint_any(sim, &call->random);
	if (from) {
		interface = from->interface;
		snprintf(number, sizeof(number), "%.20s", strchr(interface, '/') + 1);
	}
	choose_exten(call, exten, sizeof(exten));
	sim_call_begins(call, sim_channel_new(call, interface, NULL, 4, number, name, exten, NULL), number, exten);
	call->state = SIM_RUN;
	call->by_chance = true;
	sim_call_run(call);
}

static void arm(struct sim *sim)
{
	/* Evenly spread around the mean: unlike real traffic without bursts, so that short tests see calls. */
	double mean = 1 / sim->options.calls_per_second;
	sim_timer_start(&sim->call_timer, sim_random_range(&sim->random, 0.5, 1.5) * mean * sim->options.speed);
}

static void on_begin(struct sim_timer *timer)
{
	struct sim *sim = timer->sim;
	if (sim->call_count < sim->options.max_calls && !sim_is_down(sim))
		begin(sim);
	arm(sim);
}

void sim_traffic_start(struct sim *sim)
{
	sim_timer_init(&sim->call_timer, sim, on_begin);
	if (sim->options.calls_per_second > 0)
		arm(sim);
}
