/* The life of a call, from its first channel to its last. */
#include "sim/sim_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void on_call_timer(struct sim_timer *timer);

struct sim_call *sim_call_new(struct sim *sim)
{
	struct sim_call *call = mem_zalloc(sizeof(*call));

	call->sim = sim;
	sim_timer_init(&call->timer, sim, on_call_timer);
	list_init(&call->queue_node);
	list_init(&call->in_room);
	list_append(&sim->calls, &call->node);
	sim->call_count++;
	sim->calls_processed++;
	call->random = sim->options.seed ^ sim->calls_processed * UINT64_C(0xd1342543de82ef95);
	return call;
}

void sim_call_begins(struct sim_call *call, struct sim_channel *caller, const char *from, const char *to)
{
	struct sim_story *story = &call->story;

	call->caller = caller;
	memcpy(story->id, caller->linkedid, sizeof(story->id));
	snprintf(story->from, sizeof(story->from), "%s", from);
	snprintf(story->to, sizeof(story->to), "%s", to);
}

void sim_call_after(struct sim_call *call, double seconds)
{
	sim_timer_start(&call->timer, seconds);
}

void sim_call_destroy(struct sim_call **call_ptr)
{
	struct sim_call *call = *call_ptr;

	*call_ptr = NULL;
	sim_timer_stop(&call->timer);
	sim_timer_stop(&call->transfer);
	list_remove(&call->node);
	list_remove(&call->queue_node);
	list_remove(&call->in_room);
	sim_channel_destroy(&call->one);
	sim_channel_destroy(&call->two);
	sim_channel_destroy(&call->first);
	sim_channel_destroy(&call->far);
	sim_channel_destroy(&call->parker);
	sim_channel_destroy(&call->also);
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
	double now = sim_wall(sim), duration = sim_elapsed(sim, a->created);
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

/* Nothing of it lives any more; the reaper frees it. */
static void retire(struct sim_call *call)
{
	sim_truth_ended(call);
	sim_timer_stop(&call->timer);
	call->state = SIM_OVER;
	list_remove(&call->node);
	list_append(&call->sim->over, &call->node);
	call->sim->call_count--;
}

void sim_call_over(struct sim_call *call, unsigned cause, const char *disposition)
{
	sim_plan_lost(call);
	if (call->parker) {
		struct sim_bridge *bridge = call->parker->bridge;
		sim_bridge_leave(call->parker);
		if (bridge)
			sim_bridge_destroy(&bridge);
		sim_channel_hangup(&call->parker, 16);
	}
	if (call->caller) {
		sim_cdr(call, disposition);
		sim_local_end(call, cause);
		sim_channel_hangup(&call->also, cause);
		sim_channel_hangup(&call->callee, cause);
		sim_channel_hangup(&call->caller, cause);
	}
	sim_origin_end(call, cause);
	if (!call->story.result)
		call->story.result = call->answered ? "answered" : "failed";
	retire(call);
}

void sim_call_merged(struct sim_call *call, struct sim_call *into)
{
	call->story.result = "merged";
	memcpy(call->story.into, into->story.id, sizeof(call->story.into));
	retire(call);
}

static void on_call_timer(struct sim_timer *timer)
{
	struct sim_call *call = (struct sim_call *)(void *)((char *)timer - offsetof(struct sim_call, timer));

	switch (call->state) {
	case SIM_ORIGINATING:
		sim_originate_timer(call);
		break;
	case SIM_RUN:
		sim_call_run(call);
		break;
	case SIM_WAITING:
		sim_call_end(call, call->caller, call->outcome == SIM_UNREACHABLE ? 34 : 16, call->outcome != SIM_UNREACHABLE);
		break;
	case SIM_DIALING:
	case SIM_RINGING:
		sim_dial_timer(call);
		break;
	case SIM_TALKING:
		sim_plan_next(call);
		break;
	case SIM_QUEUED:
	case SIM_AGENT_RINGING:
	case SIM_AGENT_TALKING:
		sim_queue_timer(call);
		break;
	case SIM_CONFERENCE:
		sim_conference_timer(call);
		break;
	case SIM_PARKING:
	case SIM_PARKED:
		sim_parking_timer(call);
		break;
	case SIM_OVER:
		break;
	}
}

void sim_hangup_request(struct sim_channel *channel, unsigned cause, bool soft)
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
	/* It is the phone that hangs up, not the Local channel before it. */
	sim_hangup_request(by == call->caller && call->first && !soft ? call->first : by, cause, soft);
	if (by == call->first || by == call->far)
		by = call->caller;
	switch (call->state) {
	case SIM_ORIGINATING:
		sim_dial_event(call, "DialEnd", "CANCEL");
		sim_originate_answer(call, 0);
		sim_call_over(call, cause, "NO ANSWER");
		break;
	case SIM_DIALING:
	case SIM_RINGING:
		sim_dial_failed(call, by == call->caller ? "CANCEL" : "NOANSWER", cause);
		break;
	case SIM_TALKING:
		sim_bridge_apart(call);
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
		sim_bridge_apart(call);
		sim_call_over(call, cause, "ANSWERED");
		break;
	case SIM_CONFERENCE:
		sim_conference_leave(call);
		sim_call_over(call, cause, "ANSWERED");
		break;
	case SIM_PARKING:
	case SIM_PARKED:
		sim_parking_leave(call, true);
		sim_call_over(call, cause, "ANSWERED");
		break;
	default:
		sim_call_over(call, cause, call->answered ? "ANSWERED" : "NO ANSWER");
		break;
	}
}

/* Out of whatever it is in; the caller's channel is left. */
static void interrupt(struct sim_call *call)
{
	sim_plan_lost(call);
	switch (call->state) {
	case SIM_AGENT_TALKING:
		sim_queue_complete(call, "transfer");
		break;
	case SIM_QUEUED:
	case SIM_AGENT_RINGING:
		sim_queue_abandon(call);
		break;
	case SIM_DIALING:
	case SIM_RINGING:
		if (call->callee)
			sim_dial_event(call, "DialEnd", "CANCEL");
		break;
	case SIM_CONFERENCE:
		sim_conference_leave(call);
		break;
	case SIM_PARKING:
	case SIM_PARKED:
		sim_parking_leave(call, false);
		break;
	default:
		break;
	}
	sim_bridge_apart(call);
}

void sim_call_redirect(struct sim_channel *channel, const char *context, const char *exten, unsigned priority)
{
	struct sim_call *call = channel->call;

	if (channel == call->callee || (channel == call->first && channel->bridge)) {
		/* It leaves as the caller of a call of its own, which the Linkedid says is the same; the old one ends without it. */
		struct sim_call *own = sim_call_new(call->sim);
		interrupt(call);
		own->answered = call->answered;
		own->story = call->story;
		own->caller = channel;
		channel->call = own;
		if (channel == call->callee) {
			call->callee = NULL;
		} else {
			sim_bridge_leave(channel);
			call->first = NULL;
		}
		call->story.id[0] = '\0';
		sim_call_over(call, 16, "ANSWERED");
		call = own;
	} else {
		interrupt(call);
		sim_local_end(call, 16);
		sim_channel_hangup(&call->also, 16);
		sim_channel_hangup(&call->callee, 16);
	}
	snprintf(channel->context, sizeof(channel->context), "%s", context);
	snprintf(channel->exten, sizeof(channel->exten), "%s", exten);
	channel->priority = priority;
	call->state = SIM_RUN;
	sim_call_after(call, 0.01);
}

void sim_calls_stop(struct sim *sim)
{
	struct list *const heads[] = { &sim->calls, &sim->over };

	sim_timer_stop(&sim->call_timer);
	for (size_t i = 0; i < 2; i++) {
		list_each_safe(it, heads[i]) {
			struct sim_call *call = list_entry(it, struct sim_call, node);
			sim_call_destroy(&call);
		}
	}
}
