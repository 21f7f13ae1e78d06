/* Simulated time. It follows the clock `speed` times as fast; with `step` it stands still but for sim_run(). All that lives in
 * the simulator waits for timers of this time, and each fires at exactly the moment for which it was set: what happens
 * depends on the seed and on what clients do, not on how busy the machine is. */
#include "sim/sim_internal.h"

void sim_timer_init(struct sim_timer *timer, struct sim *sim, void (*fire)(struct sim_timer *timer))
{
	*timer = (struct sim_timer){ .sim = sim, .fire = fire };
}

static uint64_t present(const struct sim *sim)
{
	if (sim->options.step)
		return sim->now;
	return (uint64_t)((double)(clock_mono_ns() - sim->began) * sim->options.speed);
}

/* The loop wakes us for the first timer. */
static void arm(struct sim *sim)
{
	const struct heap_node *first = heap_top(&sim->timers);

	if (sim->options.step || sim->firing)
		return;
	ev_timer_stop(sim->loop, &sim->alarm);
	if (!first)
		return;
	uint64_t at = present(sim);
	double wait = first->key > at ? (double)(first->key - at) / (double)CLOCK_NS_PER_S / sim->options.speed : 0;
	ev_timer_set(&sim->alarm, wait, 0);
	ev_timer_start(sim->loop, &sim->alarm);
}

void sim_timer_stop(struct sim_timer *timer)
{
	if (timer->armed)
		heap_remove(&timer->sim->timers, &timer->node);
	timer->armed = false;
}

void sim_timer_start(struct sim_timer *timer, double seconds)
{
	struct sim *sim = timer->sim;

	sim_timer_stop(timer);
	timer->node.key = sim->now + (seconds > 0 ? (uint64_t)(seconds * (double)CLOCK_NS_PER_S) : 0);
	heap_push(&sim->timers, &timer->node);
	timer->armed = true;
	if (heap_top(&sim->timers) == &timer->node)
		arm(sim);
}

static void set_now(struct sim *sim, uint64_t now)
{
	if (now <= sim->now)
		return;
	sim_truth_pass(sim, now - sim->now);
	sim->now = now;
}

/* Fires what is due up to `until`, then it is that late. */
static void advance(struct sim *sim, uint64_t until)
{
	struct heap_node *first;

	sim->firing = true;
	while ((first = heap_top(&sim->timers)) != NULL && first->key <= until) {
		struct sim_timer *timer = heap_entry(first, struct sim_timer, node);
		set_now(sim, first->key);
		sim_timer_stop(timer);
		timer->fire(timer);
	}
	sim->firing = false;
	set_now(sim, until);
}

void sim_time_update(struct sim *sim)
{
	if (sim->options.step || sim->firing)
		return;
	advance(sim, present(sim));
	arm(sim);
}

static void on_alarm(struct ev_loop *loop, ev_timer *alarm, int events)
{
	struct sim *sim = alarm->data;
	(void)loop, (void)events;
	advance(sim, present(sim));
	arm(sim);
}

void sim_time_init(struct sim *sim)
{
	sim->began = clock_mono_ns();
	sim->now = 1; /* 0 is "never" */
	sim->started = sim->options.step ? SIM_STEP_EPOCH : clock_wall();
	sim->epoch = sim->started;
	ev_init(&sim->alarm, on_alarm);
	sim->alarm.data = sim;
}

void sim_time_close(struct sim *sim)
{
	ev_timer_stop(sim->loop, &sim->alarm);
	heap_close(&sim->timers);
}

void sim_run(struct sim *sim, double seconds)
{
	if (sim->options.step)
		advance(sim, sim->now + (uint64_t)(seconds * (double)CLOCK_NS_PER_S));
}

double sim_wall(const struct sim *sim)
{
	return sim->options.step ? sim->epoch + (double)sim->now / (double)CLOCK_NS_PER_S : clock_wall();
}

double sim_elapsed(const struct sim *sim, uint64_t since)
{
	return (double)(sim->now - since) / (double)CLOCK_NS_PER_S;
}
