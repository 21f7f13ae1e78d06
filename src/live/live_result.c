/* How a call ended. Each step of it says how it would end if nothing more came (`outcome`); two people who talked, or nobody
 * called at all, decide before that. */
#include "live/live_internal.h"

static enum live_result of_status(struct slice status)
{
	static const struct {
		const char *status;
		enum live_result result;
	} known[] = {
		{ "ANSWER", LIVE_RESULT_ANSWERED }, { "BUSY", LIVE_RESULT_BUSY }, { "NOANSWER", LIVE_RESULT_NO_ANSWER },
		{ "CANCEL", LIVE_RESULT_CANCELLED }, { "CONGESTION", LIVE_RESULT_CONGESTION },
		{ "CHANUNAVAIL", LIVE_RESULT_UNREACHABLE }, { "CONTINUE", LIVE_RESULT_NO_ANSWER }, { "ABORT", LIVE_RESULT_NO_ANSWER },
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (slice_eq_nocase(status, slice_cstr(known[i].status)))
			return known[i].result;
	/* As CONTINUE and ABORT it is what a callee wants who was asked whether he takes the call (Q103). */
	return slice_starts_with(status, SLICE("GOTO:")) ? LIVE_RESULT_NO_ANSWER : LIVE_RESULT_FAILED;
}

void live_result_dial_end(struct live_call *call, struct live_channel *leg, struct slice status, bool forwarded)
{
	enum live_result result = of_status(status);
	if ((leg && leg->agent) || forwarded || call->unanswered)
		return;
	call->unanswered = leg && leg == call->caller && result != LIVE_RESULT_ANSWERED;
	/* 21: the phone declined; 19 as its own word, not as the exchange's patience: do not disturb. */
	if (leg && result != LIVE_RESULT_ANSWERED && (leg->cause == 21 || (leg->cause == 19 && result == LIVE_RESULT_NO_ANSWER)))
		result = LIVE_RESULT_REJECTED;
	/* Some servers say NOANSWER where the caller gave up (Q73). */
	else if (result == LIVE_RESULT_NO_ANSWER && call->caller_hung)
		result = LIVE_RESULT_CANCELLED;
	call->outcome = (uint8_t)result;
}

void live_result_dial_status(struct live_call *call, struct slice status)
{
	if (status.len == 0 || call->unanswered)
		return;
	enum live_result result = of_status(status);
	/* DIALSTATUS knows no rejection; of one it says CHANUNAVAIL, NOANSWER or BUSY. */
	if (call->outcome == LIVE_RESULT_REJECTED && result != LIVE_RESULT_ANSWERED && result != LIVE_RESULT_CANCELLED)
		return;
	if (result == LIVE_RESULT_NO_ANSWER && call->caller_hung)
		result = LIVE_RESULT_CANCELLED;
	call->outcome = (uint8_t)result;
}

static bool is_trunk(const struct live_channel *leg)
{
	return leg->endpoint && live_endpoint_trunk(leg->endpoint) == 1;
}

void live_result_hangup(struct live_call *call, struct live_channel *leg, int cause)
{
	if (leg == call->caller)
		call->cause = (uint8_t)cause;
	/* chan_sip reports a rejection only now, after a DialEnd that said BUSY; 19 is a phone's do not disturb there (Q106). */
	else if (leg->dialled && !leg->agent && ((cause == 21 && (call->outcome == LIVE_RESULT_BUSY || call->outcome == LIVE_RESULT_NO_ANSWER)) ||
	                                         (cause == 19 && call->outcome == LIVE_RESULT_BUSY && !is_trunk(leg))))
		call->outcome = LIVE_RESULT_REJECTED;
}

void live_result_declined(struct live_call *call, const struct live_channel *leg)
{
	bool took = call->answered_by && leg->endpoint && call->answered_by == leg->endpoint->object.key;
	/* Hung up during the announcement of Dial's option A: no DialEnd follows. */
	bool unsaid = !call->answered_by && call->outcome == LIVE_RESULT_NONE && leg->dialled && !leg->agent && !leg->local;
	if (leg->state != LIVE_IS_UP || leg->bridged || call->incomplete || call->connected_once || call->conferred || !call->caller || call->caller == leg ||
	    (!took && !unsaid))
		return;
	live_call_set(call, &call->answered_by, SLICE(""));
	if (unsaid || call->outcome == LIVE_RESULT_ANSWERED)
		call->outcome = call->caller_hung ? LIVE_RESULT_CANCELLED : LIVE_RESULT_NO_ANSWER;
}

void live_result_originate(struct live_call *call, int64_t reason)
{
	/* enum ast_control_frame_type; 0 says nothing: what the leg itself told is better. */
	switch (reason) {
	case 3:
		call->outcome = LIVE_RESULT_NO_ANSWER;
		call->unanswered = true;
		break;
	case 5:
		call->outcome = LIVE_RESULT_BUSY;
		call->unanswered = true;
		break;
	case 8:
		call->outcome = LIVE_RESULT_CONGESTION;
		call->unanswered = true;
		break;
	default:
		if (call->outcome == LIVE_RESULT_NONE)
			call->outcome = LIVE_RESULT_FAILED;
	}
}

/* The dialplan alone ended it. */
static enum live_result of_cause(const struct live_call *call)
{
	switch (call->cause) {
	case 17:
		return LIVE_RESULT_BUSY;
	case 34:
	case 38:
	case 42:
	case 44:
		return LIVE_RESULT_CONGESTION;
	default:
		return call->caller_hung ? LIVE_RESULT_CANCELLED : LIVE_RESULT_FAILED;
	}
}

enum live_result live_result_of(const struct live_call *call)
{
	if (call->connected_once || call->conferred)
		return LIVE_RESULT_ANSWERED;
	if (call->shut_down)
		return LIVE_RESULT_FAILED;
	if (call->outcome != LIVE_RESULT_NONE)
		return (enum live_result)call->outcome;
	if (call->answered_once && !call->conference_tried)
		return LIVE_RESULT_ANSWERED;
	return call->answered_once ? LIVE_RESULT_FAILED : of_cause(call);
}
