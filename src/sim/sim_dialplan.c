/* The dialplan: what an extension does. */
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static void answer_caller(struct sim_call *call)
{
	sim_channel_app(call->caller, 1, "Answer", "%s", "");
	sim_channel_state(call->caller, 6);
	if (!call->answered)
		call->answered = call->sim->now;
}

static void wait(struct sim_call *call, unsigned priority, double seconds)
{
	sim_channel_app(call->caller, priority, "Wait", "%.0f", seconds);
	call->state = SIM_WAITING;
	sim_call_after(call, seconds);
}

static enum sim_outcome by_chance(struct sim_call *call)
{
	static const enum sim_outcome plain[] = { SIM_ANSWERED, SIM_ANSWERED, SIM_ANSWERED, SIM_ANSWERED, SIM_ANSWERED,
		                                  SIM_ANSWERED, SIM_BUSY,     SIM_BUSY,     SIM_NO_ANSWER, SIM_CANCELLED };
	static const enum sim_outcome rich[] = { SIM_ANSWERED,  SIM_ANSWERED,  SIM_ANSWERED, SIM_ANSWERED, SIM_ANSWERED,
		                                 SIM_ANSWERED,  SIM_ANSWERED,  SIM_ANSWERED, SIM_ANSWERED, SIM_BUSY,
		                                 SIM_NO_ANSWER, SIM_CANCELLED, SIM_FORWARDED, SIM_PICKED_UP };
	if (call->sim->options.features)
		return rich[sim_random(&call->random, sizeof(rich) / sizeof(rich[0]))];
	return plain[sim_random(&call->random, sizeof(plain) / sizeof(plain[0]))];
}

/* 1000 … 1019 a phone; the same from 1100 on through a Local channel, from 1200 on through one that stays, from 1300 on together
 * with the next one. */
static bool phone(struct sim_call *call, long number)
{
	char name[24], next[24];
	long index = number % 100, way = number / 100 - 10;

	if (number < 1000 || way > 3 || index >= SIM_PHONES)
		return false;
	snprintf(name, sizeof(name), "%ld", 1000 + index);
	snprintf(next, sizeof(next), "%ld", 1000 + (index + 1) % SIM_PHONES);
	enum sim_outcome outcome = by_chance(call);
	if (way == 0 || way == 3)
		sim_dial(call, name, way == 3 ? next : NULL, outcome);
	else
		sim_local_dial(call, name, way == 2, outcome == SIM_FORWARDED || outcome == SIM_PICKED_UP ? SIM_ANSWERED : outcome);
	return true;
}

void sim_call_run(struct sim_call *call)
{
	struct sim *sim = call->sim;
	const char *exten = call->caller->exten;
	long number = strtol(exten, NULL, 10);

	if (number >= 300 && number <= 303) {
		answer_caller(call);
		sim_queue_enter(call, &sim->queues[number == 301], number == 302, number == 303);
	} else if (number >= 200 && number <= 202) {
		static const enum sim_outcome outcomes[] = { SIM_ANSWERED, SIM_BUSY, SIM_NO_ANSWER };
		static const char *const phones[] = { "101", "102", "104" };
		sim_dial(call, phones[number - 200], NULL, outcomes[number - 200]);
	} else if (phone(call, number)) {
		return;
	} else if (number == 600 || number == 601) {
		answer_caller(call);
		sim_conference_enter(call, &sim->rooms[number - 600]);
	} else if (number >= SIM_SPACE_FIRST && number < SIM_SPACE_FIRST + SIM_SPACES && sim_parking_fetch(call, (unsigned)number)) {
		return;
	} else if (number == 900) {
		answer_caller(call);
		wait(call, 2, 60);
	} else {
		answer_caller(call);
		sim_channel_app(call->caller, 2, "Set", "GREETING=hello");
		sim_variable_set(sim, call->caller, "GREETING", "hello");
		wait(call, 3, 1);
	}
}
