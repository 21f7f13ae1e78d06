/* Calls that live through the real sequence of events. */
#include "sim/sim_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char *const caller_names[] = { "Ann Lee", "Bo Chen", "Carla Diaz", "Zoë Möller", "", "Finn O'Hara", "Greta" };

static void on_call_timer(struct ev_loop *loop, ev_timer *timer, int events);

struct sim_call *sim_call_new(struct sim *sim)
{
	struct sim_call *call = mem_zalloc(sizeof(*call));

	call->sim = sim;
	ev_init(&call->timer, on_call_timer);
	call->timer.data = call;
	list_init(&call->queue_node);
	list_append(&sim->calls, &call->node);
	sim->call_count++;
	sim->calls_processed++;
	call->random = sim->options.seed ^ sim->calls_processed * UINT64_C(0xd1342543de82ef95);
	return call;
}

void sim_call_after(struct sim_call *call, double seconds)
{
	ev_timer_stop(call->sim->loop, &call->timer);
	ev_timer_set(&call->timer, seconds / call->sim->options.speed, 0);
	ev_timer_start(call->sim->loop, &call->timer);
}

void sim_call_destroy(struct sim_call **call_ptr)
{
	struct sim_call *call = *call_ptr;

	*call_ptr = NULL;
	ev_timer_stop(call->sim->loop, &call->timer);
	list_remove(&call->node);
	list_remove(&call->queue_node);
	sim_channel_destroy(&call->callee);
	sim_channel_destroy(&call->caller);
	sim_originate_free(&call->originate);
	free(call);
}

static void put_clock(struct buf *out, const char *name, double when)
{
	char text[32] = "";
	time_t seconds = (time_t)floor(when);
	struct tm utc;

	if (when > 0) {
		gmtime_r(&seconds, &utc);
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &utc);
	}
	sim_put(out, name, "%s", text);
}

void sim_cdr(struct sim_call *call, const char *disposition)
{
	struct sim *sim = call->sim;
	const struct sim_channel *a = call->caller;
	double now = clock_wall(), duration = sim_elapsed(sim, a->created);
	double billed = call->answered ? sim_elapsed(sim, call->answered) : 0;
	char destination[96] = "";

	if (call->callee)
		snprintf(destination, sizeof(destination), "%s", call->callee->name);
	struct buf *out = sim_event(sim, "Cdr", SIM_CDR);
	sim_put(out, "AccountCode", "%s", a->account);
	sim_put(out, "Source", "%s", a->caller_num);
	sim_put(out, "Destination", "%s", a->exten);
	sim_put(out, "DestinationContext", "%s", a->context);
	sim_put(out, "CallerID", "\"%s\" <%s>", a->caller_name, a->caller_num);
	sim_put(out, "Channel", "%s", a->name);
	sim_put(out, "DestinationChannel", "%s", destination);
	sim_put(out, "LastApplication", "%s", a->app);
	sim_put(out, "LastData", "%s", a->data);
	put_clock(out, "StartTime", now - duration);
	put_clock(out, "AnswerTime", call->answered ? now - billed : 0);
	put_clock(out, "EndTime", now);
	sim_put(out, "Duration", "%.0f", floor(duration));
	sim_put(out, "BillableSeconds", "%.0f", floor(billed));
	sim_put(out, "Disposition", "%s", disposition);
	sim_put(out, "AMAFlags", "DOCUMENTATION");
	sim_put(out, "UniqueID", "%s", a->uniqueid);
	sim_put(out, "UserField", "%s", "");
	sim_publish(sim);
}

/* The caller's channel goes, and the call with it. */
void sim_call_over(struct sim_call *call, unsigned cause, const char *disposition)
{
	struct sim *sim = call->sim;

	if (call->caller) {
		sim_cdr(call, disposition);
		sim_channel_hangup(&call->callee, cause);
		sim_channel_hangup(&call->caller, cause);
	}
	ev_timer_stop(sim->loop, &call->timer);
	call->state = SIM_OVER;
	list_remove(&call->node);
	list_append(&sim->over, &call->node);
	sim->call_count--;
}

/* Dialling */

void sim_call_dial_event(struct sim_call *call, const char *event, const char *status)
{
	struct buf *out = sim_event(call->sim, event, SIM_CALL);

	if (call->state != SIM_ORIGINATING)
		sim_put_channel(out, "", call->caller);
	sim_put_channel(out, "Dest", call->state == SIM_ORIGINATING ? call->caller : call->callee);
	if (status)
		sim_put(out, "DialStatus", "%s", status);
	else
		sim_put(out, "DialString", "%s", call->dial_string);
	sim_publish(call->sim);
}

struct sim_channel *sim_call_callee(struct sim_call *call, const char *prefix, const char *number, const char *app)
{
	const struct sim_channel *a = call->caller;
	struct sim_channel *b = sim_channel_new(call, prefix, 0, "", "", number, a);

	call->callee = b;
	sim_channel_app(b, 1, app, "(Outgoing Line)");
	snprintf(b->caller_num, sizeof(b->caller_num), "%s", number);
	sim_channel_identified(b);
	snprintf(b->connected_num, sizeof(b->connected_num), "%s", a->caller_num);
	snprintf(b->connected_name, sizeof(b->connected_name), "%s", a->caller_name);
	sim_channel_event(b, "NewConnectedLine", SIM_CALL);
	return b;
}

static void dial(struct sim_call *call, const char *number, enum sim_outcome outcome)
{
	struct sim *sim = call->sim;
	struct sim_channel *a = call->caller;
	static const char *const cleared[] = { "DIALSTATUS", "DIALEDPEERNUMBER", "DIALEDPEERNAME", "ANSWEREDTIME", "DIALEDTIME" };
	char prefix[64];

	call->state = SIM_DIALING;
	call->outcome = outcome;
	call->dialled = clock_mono_ns();
	snprintf(call->dial_string, sizeof(call->dial_string), "%s", number);
	snprintf(prefix, sizeof(prefix), "PJSIP/%s", number);
	sim_channel_app(a, 1, "Dial", "PJSIP/%s,20", number);
	for (size_t i = 0; i < sizeof(cleared) / sizeof(cleared[0]); i++)
		sim_variable_set(sim, a, cleared[i], "");
	sim_call_callee(call, prefix, number, "AppDial");
	sim_call_dial_event(call, "DialBegin", NULL);
	call->ring_time = outcome == SIM_NO_ANSWER ? 20 : sim_random_range(&call->random, 1, 4);
	sim_call_after(call, sim_random_range(&call->random, 0.05, 0.3));
}

void sim_call_dial_failed(struct sim_call *call, const char *status, unsigned cause)
{
	sim_call_dial_event(call, "DialEnd", status);
	sim_variable_set(call->sim, call->caller, "DIALSTATUS", status);
	sim_cdr(call, strcmp(status, "BUSY") == 0 ? "BUSY" : strcmp(status, "CONGESTION") == 0 ? "FAILED" : "NO ANSWER");
	sim_channel_hangup(&call->callee, cause);
	/* The caller's only record is the one above; the rest of its way is short. */
	sim_channel_hangup(&call->caller, cause);
	sim_call_over(call, cause, "");
}

void sim_put_bridge(struct buf *out, const struct sim_call *call)
{
	sim_put(out, "BridgeUniqueid", "%s", call->bridge);
	sim_put(out, "BridgeType", "basic");
	sim_put(out, "BridgeTechnology", "simple_bridge");
	sim_put(out, "BridgeCreator", "<unknown>");
	sim_put(out, "BridgeName", "<unknown>");
	sim_put(out, "BridgeNumChannels", "%u", call->bridge_channels);
	sim_put(out, "BridgeVideoSourceMode", "none");
}

static void bridge_event(struct sim_call *call, const char *event, const struct sim_channel *channel)
{
	struct buf *out = sim_event(call->sim, event, SIM_CALL);

	sim_put_bridge(out, call);
	if (channel)
		sim_put_channel(out, "", channel);
	sim_publish(call->sim);
}

void sim_call_bridge(struct sim_call *call)
{
	struct sim *sim = call->sim;
	struct sim_channel *a = call->caller, *b = call->callee;
	uint64_t high = sim_random(&call->random, UINT64_MAX), low = sim_random(&call->random, UINT64_MAX);

	snprintf(call->bridge, sizeof(call->bridge), "%08x-%04x-4%03x-a%03x-%012llx", (unsigned)(high >> 32),
	         (unsigned)(high >> 16) & 0xffffu, (unsigned)high & 0xfffu, (unsigned)(low >> 52),
	         (unsigned long long)(low & UINT64_C(0xffffffffffff)));
	call->bridge_channels = 0;
	bridge_event(call, "BridgeCreate", NULL);
	call->bridge_channels = 1;
	b->bridged = true;
	bridge_event(call, "BridgeEnter", b);
	call->bridge_channels = 2;
	a->bridged = true;
	bridge_event(call, "BridgeEnter", a);
	sim_variable_set(sim, b, "BRIDGEPEER", a->name);
	sim_variable_set(sim, a, "BRIDGEPEER", b->name);
}

void sim_call_unbridge(struct sim_call *call)
{
	struct sim_channel *a = call->caller, *b = call->callee;
	char seconds[24];

	if (!call->bridge[0])
		return;
	sim_variable_set(call->sim, b, "BRIDGEPEER", "");
	sim_variable_set(call->sim, a, "BRIDGEPEER", "");
	call->bridge_channels = 1;
	b->bridged = false;
	bridge_event(call, "BridgeLeave", b);
	call->bridge_channels = 0;
	a->bridged = false;
	bridge_event(call, "BridgeLeave", a);
	bridge_event(call, "BridgeDestroy", NULL);
	call->bridge[0] = '\0';
	snprintf(seconds, sizeof(seconds), "%.0f", floor(sim_elapsed(call->sim, call->answered)));
	sim_variable_set(call->sim, a, "ANSWEREDTIME", seconds);
	snprintf(seconds, sizeof(seconds), "%.0f", floor(sim_elapsed(call->sim, call->dialled)));
	sim_variable_set(call->sim, a, "DIALEDTIME", seconds);
}

static void answered(struct sim_call *call)
{
	struct sim *sim = call->sim;

	sim_channel_state(call->callee, 6);
	sim_variable_set(sim, call->caller, "DIALSTATUS", "ANSWER");
	sim_variable_set(sim, call->caller, "DIALEDPEERNAME", call->callee->name);
	sim_variable_set(sim, call->caller, "DIALEDPEERNUMBER", call->dial_string);
	sim_call_dial_event(call, "DialEnd", "ANSWER");
	sim_channel_state(call->caller, 6);
	call->answered = clock_mono_ns();
	call->state = SIM_TALKING;
	sim_call_bridge(call);
	sim_call_after(call, sim_random_range(&call->random, 3, 20));
}

static void rang(struct sim_call *call)
{
	switch (call->outcome) {
	case SIM_BUSY:
		sim_call_dial_failed(call, "BUSY", 17);
		return;
	case SIM_CONGESTED:
	case SIM_UNREACHABLE:
		sim_call_dial_failed(call, "CONGESTION", 34);
		return;
	case SIM_NO_ANSWER:
		sim_call_dial_failed(call, "NOANSWER", 19);
		return;
	case SIM_CANCELLED:
		sim_call_end(call, call->caller, 16, false);
		return;
	case SIM_ANSWERED:
		answered(call);
		return;
	}
}

static void on_call_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct sim_call *call = timer->data;
	(void)loop, (void)events;

	switch (call->state) {
	case SIM_ORIGINATING:
		sim_originate_timer(call);
		break;
	case SIM_RUN:
		sim_call_run(call);
		break;
	case SIM_WAITING:
		sim_call_end(call, call->caller, 16, true);
		break;
	case SIM_DIALING:
		if (call->outcome == SIM_BUSY || call->outcome == SIM_CONGESTED) {
			rang(call);
			break;
		}
		call->state = SIM_RINGING;
		sim_channel_state(call->callee, 5);
		sim_call_dial_event(call, "DialState", "RINGING");
		sim_call_after(call, call->ring_time);
		break;
	case SIM_RINGING:
		rang(call);
		break;
	case SIM_TALKING:
		sim_call_end(call, sim_random(&call->random, 2) ? call->caller : call->callee, 16, false);
		break;
	case SIM_QUEUED:
	case SIM_AGENT_RINGING:
	case SIM_AGENT_TALKING:
		sim_queue_timer(call);
		break;
	case SIM_OVER:
		break;
	}
}

static void hangup_request(struct sim_channel *channel, unsigned cause, bool soft)
{
	struct sim *sim = channel->call->sim;
	struct buf *out = sim_event(sim, soft ? "SoftHangupRequest" : "HangupRequest", SIM_CALL);

	sim_put_channel(out, "", channel);
	sim_put(out, "Cause", "%u", cause);
	sim_publish(sim);
}

void sim_call_end(struct sim_call *call, struct sim_channel *by, unsigned cause, bool soft)
{
	if (call->state == SIM_OVER)
		return;
	hangup_request(by, cause, soft);
	switch (call->state) {
	case SIM_ORIGINATING:
		sim_call_dial_event(call, "DialEnd", "CANCEL");
		sim_originate_answer(call, 0);
		sim_call_over(call, cause, "NO ANSWER");
		break;
	case SIM_DIALING:
	case SIM_RINGING:
		sim_call_dial_failed(call, by == call->caller ? "CANCEL" : "NOANSWER", cause);
		break;
	case SIM_TALKING:
		sim_call_unbridge(call);
		sim_call_over(call, cause, "ANSWERED");
		break;
	case SIM_QUEUED:
		sim_queue_abandon(call);
		sim_call_over(call, cause, "ANSWERED");
		break;
	case SIM_AGENT_RINGING:
		if (by == call->callee) {
			sim_queue_no_answer(call);
			break;
		}
		sim_queue_abandon(call);
		sim_call_over(call, cause, "ANSWERED");
		break;
	case SIM_AGENT_TALKING:
		sim_queue_complete(call, by == call->caller ? "caller" : "agent");
		sim_call_unbridge(call);
		sim_call_over(call, cause, "ANSWERED");
		break;
	default:
		sim_call_over(call, cause, call->answered ? "ANSWERED" : "NO ANSWER");
		break;
	}
}

/* The dialplan */

static void answer_caller(struct sim_call *call)
{
	sim_channel_app(call->caller, 1, "Answer", "%s", "");
	sim_channel_state(call->caller, 6);
	if (!call->answered)
		call->answered = clock_mono_ns();
}

static void wait(struct sim_call *call, unsigned priority, double seconds)
{
	sim_channel_app(call->caller, priority, "Wait", "%.0f", seconds);
	call->state = SIM_WAITING;
	sim_call_after(call, seconds);
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
		dial(call, phones[number - 200], outcomes[number - 200]);
	} else if (number >= 1000 && number < 1000 + SIM_PHONES) {
		static const enum sim_outcome chance[] = { SIM_ANSWERED, SIM_ANSWERED, SIM_ANSWERED, SIM_ANSWERED, SIM_ANSWERED,
			                                   SIM_ANSWERED, SIM_BUSY,     SIM_BUSY,     SIM_NO_ANSWER, SIM_CANCELLED };
		char phone[24];
		snprintf(phone, sizeof(phone), "%ld", number);
		dial(call, phone, chance[sim_random(&call->random, sizeof(chance) / sizeof(chance[0]))]);
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

void sim_call_redirect(struct sim_channel *channel, const char *context, const char *exten, unsigned priority)
{
	struct sim_call *call = channel->call;

	if (channel == call->callee) {
		/* It leaves as the caller of a call of its own; the old call ends without it. */
		struct sim_call *own = sim_call_new(call->sim);
		if (call->state == SIM_AGENT_TALKING)
			sim_queue_complete(call, "transfer");
		sim_call_unbridge(call);
		own->answered = call->answered;
		own->caller = channel;
		channel->call = own;
		call->callee = NULL;
		sim_call_over(call, 16, "ANSWERED");
		call = own;
	} else {
		if (call->state == SIM_AGENT_TALKING)
			sim_queue_complete(call, "transfer");
		else if (call->state == SIM_QUEUED || call->state == SIM_AGENT_RINGING)
			sim_queue_abandon(call);
		else if (call->state == SIM_DIALING || call->state == SIM_RINGING)
			sim_call_dial_event(call, "DialEnd", "CANCEL");
		sim_call_unbridge(call);
		sim_channel_hangup(&call->callee, 16);
	}
	snprintf(channel->context, sizeof(channel->context), "%s", context);
	snprintf(channel->exten, sizeof(channel->exten), "%s", exten);
	channel->priority = priority;
	call->state = SIM_RUN;
	sim_call_after(call, 0.01);
}

/* Calls by chance */

static void begin_inbound(struct sim *sim)
{
	struct sim_call *call = sim_call_new(sim);
	const char *name = caller_names[sim_random(&call->random, sizeof(caller_names) / sizeof(caller_names[0]))];
	char number[24], exten[24];
	unsigned queue = sim_random(&call->random, 4) == 0;
	bool queued = sim_random(&call->random, 10) < 4;

	snprintf(number, sizeof(number), "555%04u", (unsigned)sim_random(&call->random, 10000));
	/* Queues that are long already get no more, or nearly every caller there would give up. */
	if (queued && sim->queues[queue].caller_count < 4)
		snprintf(exten, sizeof(exten), "%u", 300 + queue);
	else
		snprintf(exten, sizeof(exten), "%u", 1000u + (unsigned)sim_random(&call->random, SIM_PHONES));
	call->caller = sim_channel_new(call, "PJSIP/trunk", 4, number, name, exten, NULL);
	call->state = SIM_RUN;
	call->by_chance = true;
	sim_call_run(call);
}

static void arm(struct sim *sim)
{
	/* Evenly spread around the mean: unlike real traffic without bursts, so that short tests see calls. */
	double mean = 1 / sim->options.calls_per_second;
	ev_timer_set(&sim->call_timer, sim_random_range(&sim->random, 0.5, 1.5) * mean, 0);
	ev_timer_start(sim->loop, &sim->call_timer);
}

static void on_begin(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct sim *sim = timer->data;
	(void)loop, (void)events;
	if (sim->call_count < sim->options.max_calls)
		begin_inbound(sim);
	arm(sim);
}

void sim_calls_start(struct sim *sim)
{
	ev_init(&sim->call_timer, on_begin);
	sim->call_timer.data = sim;
	if (sim->options.calls_per_second > 0)
		arm(sim);
}

void sim_calls_stop(struct sim *sim)
{
	struct list *const heads[] = { &sim->calls, &sim->over };

	ev_timer_stop(sim->loop, &sim->call_timer);
	for (size_t i = 0; i < 2; i++) {
		list_each_safe(it, heads[i]) {
			struct sim_call *call = list_entry(it, struct sim_call, node);
			sim_call_destroy(&call);
		}
	}
}
