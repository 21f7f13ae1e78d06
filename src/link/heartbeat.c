/* Is the server still there? A Ping when nothing else arrives, a deadline for its answer, and the read timeout. */
#include "base/clock.h"
#include "link/internal.h"

static uint64_t after(uint64_t from, double seconds)
{
	return seconds > 0 ? from + clock_from_seconds(seconds) : UINT64_MAX;
}

/* Silence counts from the last whole message: a frame that never ends must not keep a dead session. The time by which a Ping
 * went out late (the process was paused, or a turn was long) is not the server's. */
static uint64_t read_deadline(const struct link *link)
{
	uint64_t deadline = after(link->last_whole, link->config.timeouts.read);
	uint64_t ping_at = after(link->last_read, link->config.timeouts.heartbeat_interval);

	return link->ping_sequence && deadline < UINT64_MAX && link->ping_sent > ping_at ? deadline + (link->ping_sent - ping_at)
	                                                                                 : deadline;
}

uint64_t heartbeat_next(const struct link *link)
{
	uint64_t read = read_deadline(link);
	uint64_t ping = link->ping_sequence ? link->ping_deadline : after(link->last_read, link->config.timeouts.heartbeat_interval);

	return ping < read ? ping : read;
}

static void send_ping(struct link *link, uint64_t now)
{
	struct action action;
	struct err err;

	action_init(&action);
	action_add(&action, SLICE("Action"), SLICE("Ping"), NULL);
	link->ping_sequence = link_send_own(link, &action, &err);
	action_close(&action);
	link->ping_sent = now;
	link->ping_deadline = after(now, link->config.timeouts.heartbeat);
	link->ping_extended = false;
	/* The reserve for own actions is full of what the server does not take: as dead as one that does not answer. */
	if (!link->ping_sequence)
		link_end(link, REASON_HEARTBEAT, "a Ping cannot be sent: %s", err.text);
}

void heartbeat_due(struct link *link)
{
	/* A paused process finds its answers in the socket: they count. */
	enum link_read read = link_catch_up(link);
	if (read == LINK_READ_ENDED || link->state != LINK_READY)
		return;

	uint64_t now = clock_mono_ns();
	/* Q45: an action that holds the line holds events and the Pong, too. */
	bool held = pending_line_held(link->pending);
	if (link->ping_sequence && link->ping_deadline <= now) {
		/* Behind bytes that came late the Pong may stand: once more, then. */
		if (!held && (read == LINK_READ_NOTHING || link->ping_extended)) {
			link_end(link, REASON_HEARTBEAT, "no answer to a Ping in %g s", link->config.timeouts.heartbeat);
			return;
		}
		link->ping_extended = !held;
		link->ping_deadline = after(now, link->config.timeouts.heartbeat);
	}
	if (!link->ping_sequence && after(link->last_read, link->config.timeouts.heartbeat_interval) <= now) {
		send_ping(link, now);
		if (link->state != LINK_READY)
			return;
	}
	if (read_deadline(link) <= now) {
		if (!held) {
			link_end(link, REASON_READ_TIMEOUT, link->last_read > link->last_whole ? "no whole message arrived for %g s, only a part of one"
			                                                                       : "nothing arrived for %g s",
			         link->config.timeouts.read);
			return;
		}
		link->last_read = link->last_whole = now;
	}
	link_arm(link, heartbeat_next(link));
}

void heartbeat_reply(struct link *link, const struct reply *reply)
{
	/* Any answer proves life, also an Error. */
	(void)reply;
	link->ping_sequence = 0;
	link->heartbeat_rtt = (double)(clock_mono_ns() - link->ping_sent) / 1e9;
	if (link->state == LINK_READY)
		link_arm(link, heartbeat_next(link));
}
