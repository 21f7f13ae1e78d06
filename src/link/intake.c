/* Bytes in, frames to where they belong; bytes out. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "link/internal.h"
#include "observe/log.h"

/* Reads before a timeout is believed; with the largest read, half a megabyte. */
#define CATCH_UP_READS 8
#define CLOCK_EVERY 64 /* events between two looks at the clock */

/* One turn's delivery, measured against its budget. */
struct turn {
	struct link_budget *budget;
	unsigned tick;
	uint32_t delivered;
};

static struct turn turn_begin(struct link_budget *budget)
{
	return (struct turn){ .budget = budget, .tick = budget->tick ? *budget->tick : 0 };
}

static bool turn_left(struct turn *turn)
{
	struct link_budget *budget = turn->budget;

	if (budget->events == 0 || budget->bytes == 0)
		return false;
	if (budget->tick && *budget->tick != turn->tick)
		return false;
	if (turn->delivered > 0 && turn->delivered % CLOCK_EVERY == 0 && budget->until && clock_mono_ns() >= budget->until)
		budget->events = 0;
	return budget->events > 0;
}

static void turn_spend(struct turn *turn, size_t bytes)
{
	turn->delivered++;
	turn->budget->events--;
	turn->budget->bytes -= bytes < turn->budget->bytes ? (uint32_t)bytes : turn->budget->bytes;
}

/* ---- delivery ---- */

static void give_event(struct link *link, const struct message *message, double at)
{
	link->delivering = true;
	link->owner.event(link->owner.ctx, link, message, at);
	link->delivering = false;
}

static void give_reply(struct link *link, struct reply *reply)
{
	if (!reply->tag) {
		reply_free(&reply);
		return;
	}
	bool nested = link->delivering;
	link->delivering = true;
	link->owner.completed(link->owner.ctx, link, reply);
	link->delivering = nested;
}

void link_count_reply(struct link *link, const struct reply *reply)
{
	link_metrics_action(link, reply, (double)(clock_mono_ns() - reply->started) / 1e9);
}

void link_complete(struct link *link, struct reply *reply)
{
	link_count_reply(link, reply);
	give_reply(link, reply);
}

void link_tell_runnable(struct link *link)
{
	if (link->runnable_told || (backlog_is_empty(&link->backlog) && !link->ending))
		return;
	link->runnable_told = true;
	link->owner.runnable(link->owner.ctx, link);
}

static void deliver_front(struct link *link, struct turn *turn)
{
	struct backlog_item item;

	backlog_front(&link->backlog, &item);
	switch (item.type) {
	case BACKLOG_EVENT:
		turn_spend(turn, item.message.len);
		give_event(link, &item.message, item.at);
		backlog_pop(&link->backlog);
		break;
	case BACKLOG_REPLY:
		turn_spend(turn, 0);
		backlog_pop(&link->backlog);
		give_reply(link, item.reply);
		break;
	case BACKLOG_GAP:
		backlog_pop(&link->backlog);
		link->delivering = true;
		link->owner.gap(link->owner.ctx, link, item.count, item.names);
		link->delivering = false;
		break;
	}
}

bool link_deliver(struct link *link, struct link_budget *budget)
{
	struct turn turn = turn_begin(budget);

	if (link->delivering)
		return true;
	while (!backlog_is_empty(&link->backlog)) {
		if (!turn_left(&turn))
			return true;
		deliver_front(link, &turn);
	}
	link->runnable_told = false;
	if (link->ending)
		link_finish(link);
	return false;
}

/* ---- what a frame is ---- */

static bool end_for_memory(struct link *link)
{
	link_end(link, REASON_SYSTEM, "no memory for what %s sends", link->config.name);
	return false;
}

/* Logs and counts an event that the rules will not see; they are told by a gap in its place. */
static void lose(struct link *link, const char *text, struct slice name)
{
	log_write(LOG_WARN, text, F_TEXT("server", link->config.name), F_SLICE("event", name));
	backlog_lost(&link->backlog, name);
}

static void log_shedding(struct link *link, uint64_t before)
{
	if (link->counts.shed == before)
		return;
	log_write(LOG_WARN, "events shed: the rules are slower than the server; see limits.backlog_events",
	          F_TEXT("server", link->config.name), F_INT("count", link->counts.shed - before),
	          F_INT("total", link->counts.shed));
}

/* An event for the rules: at once when nothing waits and the turn's budget lasts, else into the backlog. False when the
 * session ended. */
static bool take_event(struct link *link, const struct message *message, size_t consumed, struct turn *turn)
{
	link->counts.events++;
	if (slice_eq_nocase(message->name, SLICE("Shutdown")))
		link->said_shutdown = true;
	if (backlog_is_empty(&link->backlog) && turn_left(turn)) {
		turn_spend(turn, message->len);
		give_event(link, message, link->read_at);
		backlog_skip(&link->backlog, consumed);
		return true;
	}
	uint64_t shed = link->counts.shed;
	if (backlog_store(&link->backlog, message, consumed, link->read_at))
		return end_for_memory(link);
	log_shedding(link, shed);
	return true;
}

/* False when the session ended. */
static bool take_reply(struct link *link, struct reply *reply, struct turn *turn)
{
	bool alive = true;

	if (reply->sequence == link->ping_sequence) {
		heartbeat_reply(link, reply);
	} else if (reply->sequence == link->challenge_sequence || reply->sequence == link->login_sequence) {
		alive = login_reply(link, reply);
	} else if (reply->sequence == link->logoff_sequence) {
		link->logoff_sequence = 0;
		link_end(link, REASON_STOPPED, "logged off");
		alive = false;
	} else {
		link_count_reply(link, reply);
		if (backlog_is_empty(&link->backlog) && turn_left(turn)) {
			turn_spend(turn, 0);
			give_reply(link, reply);
		} else {
			backlog_reply(&link->backlog, reply);
		}
		return true;
	}
	reply_free(&reply);
	return alive;
}

static bool take_frame(struct link *link, const struct message *message, size_t consumed, struct turn *turn)
{
	struct reply *done = NULL;

	link->counts.frames_in++;
	switch (pending_match(link->pending, message, &done)) {
	case PENDING_COMPLETED:
		/* The reply owns copies; its bytes are done with before it can end the session. */
		backlog_skip(&link->backlog, consumed);
		return take_reply(link, done, turn);
	case PENDING_COMPLETED_EVENT:
		/* The completion first: its coroutine goes on before the frame is dispatched. */
		return take_reply(link, done, turn) && take_event(link, message, consumed, turn);
	case PENDING_NOT_OURS:
		if (message->kind == MESSAGE_EVENT)
			return take_event(link, message, consumed, turn);
		link->counts.other_frames++;
		log_write(LOG_INFO, "a frame that is neither event nor answer", F_TEXT("server", link->config.name),
		          F_INT("bytes", message->len));
		break;
	case PENDING_STRAY:
		log_write(LOG_INFO, "an answer came for an action that had ended or is not ours",
		          F_TEXT("server", link->config.name), F_SLICE("action_id", message->action_id), F_SLICE("response", message->name));
		break;
	case PENDING_TAKEN:
		break;
	}
	backlog_skip(&link->backlog, consumed);
	return true;
}

static bool take_oversize(struct link *link, const struct message *message, size_t consumed, struct turn *turn)
{
	bool is_response = message->kind == MESSAGE_RESPONSE;
	struct reply *reply = pending_overflow(link->pending, message->action_id, is_response);

	link->counts.frames_in++;
	link->counts.oversized++;
	if (is_response || reply)
		log_write(LOG_WARN, "an answer is larger than limits.frame or limits.headers: skipped",
		          F_TEXT("server", link->config.name), F_TEXT("action", reply ? reply->action : NULL),
		          F_SLICE("action_id", message->action_id));
	else
		lose(link, "an event is larger than limits.frame or limits.headers: skipped", message->name);
	backlog_skip(&link->backlog, consumed);
	return !reply || take_reply(link, reply, turn);
}

static bool take_banner(struct link *link, const struct message *message, size_t consumed)
{
	struct slice version = framer_banner_version(slice_make(message->bytes, message->len));
	size_t len = version.len < sizeof link->version - 1 ? version.len : sizeof link->version - 1;

	memcpy(link->version, version.ptr, len);
	link->version[len] = '\0';
	if (link->tap)
		link->tap->bytes(link->tap->ctx, slice_make(message->bytes, consumed), link->read_at);
	pending_set_version(link->pending, catalogue_ami_version(slice_cstr(link->version)));
	backlog_skip(&link->backlog, consumed);
	link_move(link, LINK_LOGIN);
	login_start(link);
	return link->state == LINK_LOGIN;
}

/* Frames, correlates and delivers or stores everything that was read. False when the session ended. */
static bool intake(struct link *link, struct turn *turn)
{
	for (;;) {
		struct slice data = backlog_unframed(&link->backlog);
		struct message message;
		size_t consumed = 0;
		bool alive = true;

		if (data.len == 0)
			return true;
		enum framer_status result = framer_next(&link->framer, data, &message, &consumed);
		if (result != FRAMER_MORE)
			link_note_message(link);
		switch (result) {
		case FRAMER_MORE:
			backlog_skip(&link->backlog, consumed);
			return true;
		case FRAMER_FRAME:
			alive = take_frame(link, &message, consumed, turn);
			break;
		case FRAMER_BANNER:
			alive = take_banner(link, &message, consumed);
			break;
		case FRAMER_OVERSIZE:
			alive = take_oversize(link, &message, consumed, turn);
			break;
		case FRAMER_MALFORMED:
			link->counts.frames_in++;
			link->counts.malformed++;
			lose(link, "a malformed frame: bare line feeds, or two frames glued; dropped", slice_make("", 0));
			backlog_skip(&link->backlog, consumed);
			break;
		case FRAMER_NOT_AMI:
			link_end(link, REASON_NOT_AMI, "what answers on port %u is no Asterisk manager: its first line is no AMI banner",
			         link->config.port);
			return false;
		}
		if (!alive)
			return false;
		if (backlog_overflowed(&link->backlog)) {
			link_end(link, REASON_OVERFLOW, "answers that wait for the rules passed limits.kept_bytes (%u)",
			         link->config.limits.kept_bytes);
			return false;
		}
	}
}

/* ---- the socket ---- */

enum link_read link_read(struct link *link)
{
	enum stream_failure why = STREAM_EOF;
	struct err err;
	size_t room = 0;
	char *to = backlog_room(&link->backlog, &room);

	if (!to) {
		end_for_memory(link);
		return LINK_READ_ENDED;
	}
	ssize_t n = stream_read(link->stream, to, room, &why, &err);
	if (n == 0) {
		backlog_settle(&link->backlog);
		return LINK_READ_NOTHING;
	}
	if (n < 0) {
		if (link->said_shutdown)
			link_end(link, REASON_SHUTDOWN, "the server shut down");
		else if (link->state == LINK_BANNER && why == STREAM_EOF)
			link_end(link, REASON_EOF,
			         "the server closed the connection without a banner: too many logins at once (authlimit), or not allowed from "
			         "here");
		else
			link_end(link, link_stream_reason(why), "%s", err.text);
		return LINK_READ_ENDED;
	}
	link->last_read = clock_mono_ns();
	link->read_at = clock_wall();
	link->counts.bytes_in += (uint64_t)n;
	backlog_commit(&link->backlog, (size_t)n);
	if (link->tap && link->state >= LINK_READY)
		link->tap->bytes(link->tap->ctx, slice_make(to, (size_t)n), link->read_at);

	struct link_budget budget = link->hub->budget;
	budget.until = budget.until ? link->last_read + budget.until : 0;
	struct turn turn = turn_begin(&budget);
	if (!intake(link, &turn))
		return LINK_READ_ENDED;
	backlog_settle(&link->backlog);
	link_tell_runnable(link);
	return LINK_READ_BYTES;
}

enum link_read link_catch_up(struct link *link)
{
	enum link_read all = LINK_READ_NOTHING;

	for (int i = 0; i < CATCH_UP_READS; i++) {
		enum link_read one = link_read(link);
		if (one == LINK_READ_ENDED)
			return one;
		if (one == LINK_READ_NOTHING)
			break;
		all = one;
	}
	return all;
}

/* The login's bytes held the secret or what is made of it (P8). */
static void wipe_out(struct link *link)
{
	if (link->state == LINK_LOGIN && link->out.data)
		explicit_bzero(link->out.data, link->out.cap);
}

void link_flush(struct link *link)
{
	enum stream_failure why;
	struct err err;

	if (link->state < LINK_LOGIN || link->ending)
		return;
	while (buf_len(&link->out) > 0) {
		struct slice bytes = buf_slice(&link->out);
		ssize_t n = stream_write(link->stream, bytes, &why, &err);
		if (n < 0) {
			/* What the server said before it went counts. */
			if (link_catch_up(link) != LINK_READ_ENDED)
				link_end(link, link_stream_reason(why), "%s", err.text);
			return;
		}
		if (n == 0) {
			if (stream_is_tls(link->stream)) {
				/* One record of it may be on its way. */
				uint64_t record = bytes.len < 16384 ? bytes.len : 16384;
				link->tried = link->flushed + record;
				pending_written(link->pending, link->tried);
			}
			stream_want_write(link->stream, true);
			return;
		}
		link->flushed += (uint64_t)n;
		link->counts.bytes_out += (uint64_t)n;
		if (link->tried < link->flushed)
			link->tried = link->flushed;
		pending_written(link->pending, link->tried);
		buf_consume(&link->out, (size_t)n);
	}
	wipe_out(link);
	stream_want_write(link->stream, false);
	/* Buffers exist only while bytes are in them. */
	buf_close(&link->out);
}
