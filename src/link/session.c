/* The state machine of link.h: every move, its deadlines, how a session ends and what follows. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "link/internal.h"
#include "observe/log.h"

#define EARLY_NS CLOCK_NS_PER_MS /* the loop's clock is this coarse: due is due */

/* ---- moves ---- */

static bool move_allowed(enum link_state from, enum link_state to)
{
	static const unsigned allowed[LINK_STATES] = {
		[LINK_STOPPED] = 1u << LINK_WAITING,
		[LINK_WAITING] = 1u << LINK_RESOLVING | 1u << LINK_STOPPED,
		[LINK_RESOLVING] = 1u << LINK_CONNECTING | 1u << LINK_WAITING,
		[LINK_CONNECTING] = 1u << LINK_TLS | 1u << LINK_BANNER | 1u << LINK_WAITING,
		[LINK_TLS] = 1u << LINK_BANNER | 1u << LINK_WAITING,
		[LINK_BANNER] = 1u << LINK_LOGIN | 1u << LINK_WAITING,
		[LINK_LOGIN] = 1u << LINK_READY | 1u << LINK_WAITING,
		[LINK_READY] = 1u << LINK_DRAINING | 1u << LINK_WAITING,
		[LINK_DRAINING] = 1u << LINK_STOPPED,
	};
	return allowed[from] >> to & 1;
}

void link_arm(struct link *link, uint64_t deadline)
{
	ev_timer_stop(link->hub->loop, &link->timer);
	link->deadline = deadline;
	if (deadline == UINT64_MAX)
		return;
	/* The loop's time may be old after a long turn; the timer then rings early and is set again, never late. */
	uint64_t now = clock_mono_ns();
	ev_timer_set(&link->timer, deadline > now ? (double)(deadline - now) / 1e9 : 0, 0);
	ev_timer_start(link->hub->loop, &link->timer);
}

/* Deadline of a state in seconds; < 0: it has none here (DNS and connect keep their own; READY has the heartbeat). */
static double state_timeout(const struct link *link, enum link_state state)
{
	switch (state) {
	case LINK_TLS:
		return link->config.timeouts.tls;
	case LINK_BANNER:
		return link->config.timeouts.banner;
	case LINK_LOGIN:
		return link->config.timeouts.login;
	case LINK_DRAINING:
		return link->config.timeouts.drain;
	default:
		return -1;
	}
}

void link_move(struct link *link, enum link_state state)
{
	assert(move_allowed(link->state, state));
	double timeout = state_timeout(link, state);

	link->state = state;
	link->state_since = clock_mono_ns();
	if (state < LINK_RESOLVING || state > LINK_LOGIN)
		hub_release_slot(link);
	link_arm(link, timeout < 0 ? UINT64_MAX : link->state_since + clock_from_seconds(timeout));
}

void link_plan_connect(struct link *link, double delay)
{
	link_arm(link, clock_mono_ns() + clock_from_seconds(delay));
}

void link_on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct link *link = timer->data;
	enum link_state state = link->state;

	if (clock_mono_ns() + EARLY_NS < link->deadline) {
		link_arm(link, link->deadline);
		return;
	}
	link->deadline = UINT64_MAX;
	switch (state) {
	case LINK_WAITING:
		hub_want_connect(link);
		break;
	case LINK_READY:
		heartbeat_due(link);
		break;
	case LINK_TLS:
		stream_poll(link->stream);
		if (link->state == LINK_TLS)
			link_connect_due(link);
		break;
	default:
		if (link_catch_up(link) == LINK_READ_ENDED || link->state != state)
			break;
		if (state == LINK_DRAINING)
			link_end(link, REASON_STOPPED, "not logged off in %g s", link->config.timeouts.drain);
		else
			link_connect_due(link);
	}
}

/* ---- deadlines of actions ---- */

void link_arm_actions(struct link *link)
{
	uint64_t due = pending_next_deadline(link->pending);

	/* A timer that rings too early for what is left is set again then: most actions end before their deadline. */
	if (due >= link->action_due)
		return;
	ev_timer_stop(link->hub->loop, &link->action_timer);
	link->action_due = due;
	uint64_t now = clock_mono_ns();
	ev_timer_set(&link->action_timer, due > now ? (double)(due - now) / 1e9 : 0, 0);
	ev_timer_start(link->hub->loop, &link->action_timer);
}

void link_on_action_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct link *link = timer->data;
	struct reply *reply;

	link->action_due = UINT64_MAX;
	if (pending_next_deadline(link->pending) <= clock_mono_ns() + EARLY_NS && link_catch_up(link) == LINK_READ_ENDED)
		return;
	/* An action that a completion sends has a later deadline. */
	uint64_t now = clock_mono_ns() + EARLY_NS;
	while ((reply = pending_expire(link->pending, now)))
		link_complete(link, reply);
	link_arm_actions(link);
}

/* ---- the end of a session ---- */

/* A login proves little: a server may take each and then fall silent or close. */
static void note_success(struct link *link)
{
	link->succeeded = true;
	backoff_reset(&link->backoff);
	backoff_reset(&link->auth_backoff);
	breaker_success(&link->breaker);
}

void link_note_message(struct link *link)
{
	link->last_whole = link->last_read;
	if (!link->succeeded && link->state == LINK_READY &&
	    link->last_read >= link->state_since + clock_from_seconds(link->config.reconnect.success_after))
		note_success(link);
}

/* Decides how long to wait, feeds the breaker, and logs it for the operator. */
static void count_failure(struct link *link, enum link_reason reason)
{
	uint64_t now = clock_mono_ns();
	bool opened = false;

	link->counts.failures++;
	link->counts.reasons[reason]++;
	link->suspect = !link->was_ready;
	if (reason == REASON_AUTH) {
		/* Q42: on its own, slow scale. */
		link->retry_delay = backoff_next(&link->auth_backoff, backoff_random_next(&link->hub->random));
	} else {
		/* A session that has lasted was a good one, though it ends one day. */
		if (!link->succeeded)
			opened = breaker_failure(&link->breaker, now);
		link->retry_delay = backoff_next(&link->backoff, backoff_random_next(&link->hub->random));
		double closed_for = (double)(breaker_allowed_at(&link->breaker, now) - now) / 1e9;
		if (link->retry_delay < closed_for)
			link->retry_delay = closed_for;
	}
	log_write(LOG_WARN, link->was_ready ? "session lost" : "no session", F_TEXT("server", link->config.name),
	          F_TEXT("reason", link_reason_name(reason)), F_TEXT("error", link->last_text),
	          F_NUMBER("retry_in", (double)(int64_t)(link->retry_delay * 1e3) / 1e3));
	if (opened)
		log_write(LOG_WARN, "circuit breaker open: too many failures in a row", F_TEXT("server", link->config.name),
		          F_INT("failures", link->breaker.failures), F_NUMBER("seconds", link->config.reconnect.breaker_open));
}

static void count_cut_frame(struct link *link)
{
	struct slice left = frame_log_unframed(&link->log);

	if (link->state < LINK_LOGIN || !framer_partial(&link->framer, left))
		return;
	/* Q50, Q51 */
	link->counts.cut_frames++;
	log_write(LOG_WARN, "the session's end cut a frame: dropped", F_TEXT("server", link->config.name),
	          F_INT("bytes", left.len));
}

void link_close_session(struct link *link)
{
	ev_timer_stop(link->hub->loop, &link->timer);
	ev_timer_stop(link->hub->loop, &link->action_timer);
	link->deadline = link->action_due = UINT64_MAX;
	list_remove(&link->dirty);
	resolve_cancel(&link->resolve);
	stream_close(link->stream);
	/* Unsent bytes die with the session (P6); they may hold the login (P8). */
	if (link->out.data)
		explicit_bzero(link->out.data, link->out.cap);
	buf_close(&link->out);
	link->peer = (struct address){ .len = 0 };
	link->challenge_sequence = link->login_sequence = link->logoff_sequence = link->ping_sequence = 0;
}

static void report_to_tap(struct link *link, enum link_reason reason)
{
	const struct link_tap *tap = link->tap;

	link->tap = NULL;
	if (tap)
		tap->ended(tap->ctx, link_reason_name(reason), link->last_text);
}

static void finish(struct link *link);

void link_end(struct link *link, enum link_reason reason, const char *format, ...)
{
	va_list args;

	if (link->stop_requested)
		reason = REASON_STOPPED;
	char text[256];
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	free(link->last_text);
	link->last_text = mem_strdup(text);
	link->last_reason = link->end_reason = reason;
	count_cut_frame(link);
	link_close_session(link);
	frame_log_drop_unframed(&link->log);
	if (reason != REASON_STOPPED)
		count_failure(link, reason);
	report_to_tap(link, reason);
	if (link->state != LINK_DRAINING)
		link_move(link, LINK_WAITING);
	/* What had arrived whole waits in the log for the rules; what follows here takes its place behind it. */
	finish(link);
}

struct sequences {
	uint64_t *items;
	uint32_t count;
};

static void collect_sequence(void *ctx, const struct pending_view *view)
{
	struct sequences *sequences = ctx;
	sequences->items[sequences->count++] = view->sequence;
}

/* The link was stopped: what was not answered is cancelled, oldest first. */
static void cancel_actions(struct link *link)
{
	struct sequences sequences = { mem_alloc(pending_count(link->pending) * sizeof(uint64_t)), 0 };

	pending_each(link->pending, collect_sequence, &sequences);
	for (uint32_t i = 0; i < sequences.count; i++) {
		struct reply *reply =
		        pending_cancel(link->pending, sequences.items[i], ERR_CANCELLED, "the session was ended before an answer came");
		if (reply && reply->tag)
			link_complete(link, reply);
		else
			reply_free(&reply);
	}
	free(sequences.items);
}

static void fail_actions(struct link *link)
{
	char text[128];
	struct reply *reply;

	snprintf(text, sizeof text, "the session ended (%s)", link_reason_name(link->end_reason));
	while ((reply = pending_fail_next(link->pending, link->tried, text))) {
		/* The own ones have no tag; a rule's without one is nobody's either. */
		if (reply->tag)
			link_complete(link, reply);
		else
			reply_free(&reply);
	}
}

static void finish(struct link *link)
{
	bool was_ready = link->was_ready;

	link_give_gap(link);
	if (link->end_reason == REASON_STOPPED)
		cancel_actions(link);
	else
		fail_actions(link);
	link->was_ready = link->succeeded = false;
	if (was_ready)
		link->owner.lost(link->owner.ctx, link,
		                 link->end_reason == REASON_STOPPED ? link->stop_reason : link_reason_name(link->end_reason));
	if (link->stop_requested) {
		link_move(link, LINK_STOPPED);
		hub_defer(link); /* to report it: never from inside of anything */
		return;
	}
	link_plan_connect(link, link->retry_delay);
}

void link_ready(struct link *link)
{
	char ip[ADDRESS_TEXT_MAX];

	link_move(link, LINK_READY);
	link->was_ready = true;
	link->suspect = false;
	link->counts.sessions++;
	if (link->config.reconnect.success_after <= 0)
		note_success(link);
	link_arm(link, heartbeat_next(link));
	/* What came in one piece with the login's answer. */
	struct slice rest = frame_log_unframed(&link->log);
	if (link->tap && rest.len > 0)
		link->tap->bytes(link->tap->ctx, rest, link->read_at);
	address_text(&link->peer, ip);
	log_write(LOG_INFO, "session ready", F_TEXT("server", link->config.name), F_TEXT("address", ip),
	          F_INT("port", address_port(&link->peer)), F_TEXT("ami", link->version),
	          F_BOOL("tls", stream_is_tls(link->stream)));
	link->owner.ready(link->owner.ctx, link);
}

/* ---- stopping ---- */

static void log_off(struct link *link)
{
	struct action action;
	struct err err;

	link_move(link, LINK_DRAINING);
	action_init(&action);
	action_add(&action, SLICE("Action"), SLICE("Logoff"), NULL);
	link->logoff_sequence = link_send_own(link, &action, &err);
	action_close(&action);
	if (!link->logoff_sequence)
		link_end(link, REASON_STOPPED, "a Logoff cannot be sent: %s", err.text);
}

void link_deferred(struct link *link)
{
	if (!link->stop_requested)
		return;
	switch (link->state) {
	case LINK_STOPPED:
		link->stop_requested = false;
		log_write(LOG_INFO, "session stopped", F_TEXT("server", link->config.name), F_TEXT("reason", link->stop_reason));
		/* The owner may destroy the link in here. */
		link->owner.stopped(link->owner.ctx, link);
		break;
	case LINK_WAITING:
		link_arm(link, UINT64_MAX);
		list_remove(&link->waiting);
		link_move(link, LINK_STOPPED);
		hub_defer(link);
		break;
	case LINK_READY:
		log_off(link);
		break;
	case LINK_DRAINING:
		break;
	default:
		link_end(link, REASON_STOPPED, "stopped while %s", link_state_name(link->state));
	}
}
