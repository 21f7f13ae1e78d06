/* Bytes in, frames to where they belong; bytes out. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "link/internal.h"
#include "observe/log.h"

/* Reads before a timeout is believed; with the largest read, half a megabyte. */
#define CATCH_UP_READS 8

/* ---- delivery ---- */

/* What was lost since the last event is reported in its place. */
void link_give_gap(struct link *link)
{
	struct link_gap *gap = &link->gap;

	if (gap->count == 0)
		return;
	char names[sizeof gap->names + LINK_GAP_NAMES] = "";
	size_t n = 0;
	for (uint32_t i = 0; i < gap->name_count; i++)
		n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? "," : "", gap->names[i]);
	uint64_t count = gap->count;
	gap->count = gap->name_count = 0;
	link->owner.gap(link->owner.ctx, link, count, names);
}

static void give_reply(struct link *link, struct reply *reply)
{
	if (!reply->tag) {
		reply_free(&reply);
		return;
	}
	link->owner.completed(link->owner.ctx, link, reply);
}

static void complete_at(struct link *link, struct reply *reply, uint64_t now)
{
	/* What a guessed ActionID answers may have been sent since the read. */
	link_metrics_action(link, reply, now > reply->started ? (double)(now - reply->started) / 1e9 : 0);
	give_reply(link, reply);
}

void link_complete(struct link *link, struct reply *reply)
{
	complete_at(link, reply, clock_mono_ns());
}

/* ---- what a frame is ---- */

static bool end_for_memory(struct link *link)
{
	link_end(link, REASON_SYSTEM, "no memory for what %s sends", link->config.name);
	return false;
}

/* Logs and counts an event that the rules will not see. */
static void lose(struct link *link, const char *text, struct slice name)
{
	struct link_gap *gap = &link->gap;

	log_write(LOG_WARN, text, F_TEXT("server", link->config.name), F_SLICE("event", name));
	gap->count++;
	if (name.len == 0 || gap->name_count == LINK_GAP_NAMES)
		return;
	char *text_of = gap->names[gap->name_count];
	slice_to_text(name, text_of, sizeof gap->names[0]);
	for (uint32_t i = 0; i < gap->name_count; i++)
		if (strcmp(gap->names[i], text_of) == 0)
			return;
	gap->name_count++;
}

/* An event goes to its owner at once, and into the log when some rule is not there yet. False when the session ended. */
static bool take_event(struct link *link, const struct message *message, size_t consumed)
{
	uint64_t stamp = 0;

	link->counts.events++;
	if (slice_eq_nocase(message->name, SLICE("Shutdown")))
		link->said_shutdown = true;
	link_give_gap(link);
	unsigned fate = link->owner.event(link->owner.ctx, link, message, link->read_at, &stamp);
	if (!(fate & LINK_EVENT_WAITS)) {
		frame_log_skip(&link->log, consumed);
		return true;
	}
	if (frame_log_store(&link->log, message, consumed, link->read_at, stamp, fate & LINK_EVENT_TAKEN))
		return end_for_memory(link);
	return true;
}

/* False when the session ended. */
static bool take_reply(struct link *link, struct reply *reply)
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
		link_give_gap(link);
		complete_at(link, reply, link->last_read);
		return true;
	}
	reply_free(&reply);
	return alive;
}

static bool take_frame(struct link *link, const struct message *message, size_t consumed)
{
	struct reply *done = NULL;
	uint64_t idless = pending_stats(link->pending)->idless;

	link->counts.frames_in++;
	enum pending_result result = pending_match(link->pending, message, &done);
	if (pending_stats(link->pending)->idless > idless)
		log_write(LOG_INFO, "an answer without ActionID: taken for the oldest action that waits for one",
		          F_TEXT("server", link->config.name), F_SLICE("response", message->name));
	switch (result) {
	case PENDING_COMPLETED:
		/* The reply owns copies; its bytes are done with before it can end the session. */
		frame_log_skip(&link->log, consumed);
		return take_reply(link, done);
	case PENDING_COMPLETED_EVENT:
		/* The completion first: its coroutine goes on before the frame is dispatched. */
		return take_reply(link, done) && take_event(link, message, consumed);
	case PENDING_NOT_OURS:
		if (message->kind == MESSAGE_EVENT)
			return take_event(link, message, consumed);
		link->counts.other_frames++;
		log_write(LOG_INFO, "a frame that is neither event nor answer", F_TEXT("server", link->config.name),
		          F_INT("bytes", message->len));
		break;
	case PENDING_STRAY:
		log_write(LOG_INFO, "an answer came for an action that had ended or is not ours",
		          F_TEXT("server", link->config.name), F_SLICE("action_id", message->action_id), F_SLICE("response", message->name));
		break;
	case PENDING_ITEM:
		link->owner.item(link->owner.ctx, link, pending_item_tag(link->pending), message);
		break;
	case PENDING_TAKEN:
		break;
	}
	frame_log_skip(&link->log, consumed);
	return true;
}

static bool take_oversize(struct link *link, const struct message *message, size_t consumed)
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
	frame_log_skip(&link->log, consumed);
	return !reply || take_reply(link, reply);
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
	frame_log_skip(&link->log, consumed);
	link_move(link, LINK_LOGIN);
	login_start(link);
	return link->state == LINK_LOGIN;
}

/* Frames, correlates and delivers or stores everything that was read. False when the session ended. */
static bool intake(struct link *link)
{
	for (;;) {
		struct slice data = frame_log_unframed(&link->log);
		struct message message;
		size_t consumed = 0;
		bool alive = true;

		if (data.len == 0)
			return true;
		uint64_t odd = link->framer.lines_no_colon;
		enum framer_status result = framer_next(&link->framer, data, &message, &consumed);
		if (link->framer.lines_no_colon > odd)
			log_write(LOG_INFO, "lines without a colon: kept as data of their frame", F_TEXT("server", link->config.name),
			          F_INT("lines", link->framer.lines_no_colon - odd));
		if (result != FRAMER_MORE)
			link_note_message(link);
		switch (result) {
		case FRAMER_MORE:
			frame_log_skip(&link->log, consumed);
			return true;
		case FRAMER_FRAME:
			alive = take_frame(link, &message, consumed);
			break;
		case FRAMER_BANNER:
			alive = take_banner(link, &message, consumed);
			break;
		case FRAMER_OVERSIZE:
			alive = take_oversize(link, &message, consumed);
			break;
		case FRAMER_MALFORMED:
			link->counts.frames_in++;
			link->counts.malformed++;
			lose(link, "a malformed frame: bare line feeds, or two frames glued; dropped", slice_make("", 0));
			frame_log_skip(&link->log, consumed);
			break;
		case FRAMER_NOT_AMI:
			link_end(link, REASON_NOT_AMI, "what answers on port %u is no Asterisk manager: its first line is no AMI banner",
			         link->config.port);
			return false;
		}
		if (!alive)
			return false;
		if (frame_log_overflowed(&link->log)) {
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
	size_t space = 0;
	char *to = frame_log_room(&link->log, &space);

	if (!to) {
		end_for_memory(link);
		return LINK_READ_ENDED;
	}
	ssize_t n = stream_read(link->stream, to, space, &why, &err);
	if (n == 0) {
		frame_log_settle(&link->log);
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
	frame_log_commit(&link->log, (size_t)n);
	if (link->tap && link->state >= LINK_READY)
		link->tap->bytes(link->tap->ctx, slice_make(to, (size_t)n), link->read_at);

	if (!intake(link))
		return LINK_READ_ENDED;
	link_give_gap(link);
	frame_log_settle(&link->log);
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

	if (link->state < LINK_LOGIN)
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
