/* Random lives of a session's actions: whatever comes in, each action completes exactly once, with the tag that it was
 * given, and nothing completes that was never asked. */
#include <stdio.h>
#include <stdlib.h>

#include "ami/framer.h"
#include "ami/pending.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ACTIONS 400

static const char *const action_names[] = {
	"Ping", "QueueStatus", "Originate", "Command", "Queues", "ConfbridgeList", "WaitEvent", "VoicemailUsersList", "Hangup", "Odd",
};

struct tracked {
	enum { UNUSED, OPEN, ENDED, FORGOTTEN } state;
	uint64_t deadline, offset;
	char id[ACTION_ID_MAX + 1];
};

struct history {
	const uint8_t *at, *end;
	struct pending *pending;
	struct framer framer;
	struct tracked actions[ACTIONS]; /* by sequence */
	uint64_t last;                   /* highest sequence */
	uint64_t session_first;          /* lowest sequence of this session */
	uint32_t open;
	uint64_t now, offset, written;
	uint64_t ended;
};

static unsigned take_byte(struct history *h)
{
	return h->at < h->end ? *h->at++ : 0;
}

static void take_reply(struct history *h, struct reply **reply)
{
	struct reply *r = *reply;
	struct slice line;
	size_t cursor = 0, left = 100000;

	REQUIRE(r->sequence > 0 && r->sequence <= h->last);
	struct tracked *t = &h->actions[r->sequence];
	REQUIRE(t->state == OPEN && r->tag == t);
	t->state = ENDED;
	h->open--;
	h->ended++;
	REQUIRE(r->code != ERR_NONE || r->response);
	while (reply_output(r, &cursor, &line))
		REQUIRE(left-- > 0 && !memchr(line.ptr, '\n', line.len));
	reply_free(reply);
	REQUIRE(!*reply && pending_count(h->pending) == h->open);
}

static void add(struct history *h)
{
	struct action action;
	struct err err = { 0 };
	unsigned which = take_byte(h), shape = take_byte(h);

	if (h->last + 1 >= ACTIONS)
		return;
	struct tracked *t = &h->actions[h->last + 1];
	struct pending_options options = { .now = h->now, .deadline = h->now + take_byte(h), .offset = h->offset, .tag = t,
	                                   .no_call_events = shape & 1, .streams = shape & 4 };
	action_init(&action);
	REQUIRE(action_add(&action, SLICE("Action"), slice_cstr(action_names[which % 10]), NULL) == 0);
	if (shape & 2)
		REQUIRE(action_add(&action, SLICE("Async"), SLICE("true"), NULL) == 0);
	uint64_t sequence = pending_add(h->pending, &action, &options, t->id, &err);
	action_close(&action);
	if (sequence == 0) {
		/* Full, or an asynchronous Originate whose end could not be heard. */
		REQUIRE((err.code == ERR_BACKPRESSURE && h->open == 8) || (err.code == ERR_INVALID && (shape & 3) == 3));
		return;
	}
	REQUIRE(sequence == h->last + 1 && strlen(t->id) <= ACTION_ID_MAX);
	t->state = OPEN;
	t->deadline = options.deadline;
	t->offset = h->offset;
	h->offset += 10;
	h->last = sequence;
	h->open++;
}

static void receive(struct history *h, struct slice bytes)
{
	struct message m;
	size_t consumed;
	struct reply *done = NULL;
	framer_reset(&h->framer, false);
	for (;;) {
		enum framer_status status = framer_next(&h->framer, bytes, &m, &consumed);
		if (status == FRAMER_MORE)
			return;
		if (status == FRAMER_FRAME) {
			enum pending_result result = pending_match(h->pending, &m, &done);
			REQUIRE(result != PENDING_ITEM || pending_item_tag(h->pending));
			REQUIRE((done != NULL) == (result == PENDING_COMPLETED || result == PENDING_COMPLETED_EVENT));
		} else if (status == FRAMER_OVERSIZE) {
			done = pending_overflow(h->pending, m.action_id, m.kind == MESSAGE_RESPONSE);
			REQUIRE(!done || done->code == ERR_OVERFLOW);
		}
		if (done)
			take_reply(h, &done);
		bytes = slice_make(bytes.ptr + consumed, bytes.len - consumed);
	}
}

/* A frame for one of the ids that were made, or for none. */
static void answer(struct history *h)
{
	static const char *const forms[] = {
		"Response: Success\r\nActionID: %s\r\nMessage: ok\r\n\r\n",
		"Response: Success\r\nActionID: %s\r\nEventList: start\r\n\r\n",
		"Response: Error\r\nActionID: %s\r\nMessage: No such thing\r\n\r\n",
		"Response: Follows\r\nPrivilege: Command\r\nActionID: %s\r\na\n\nb--END COMMAND--\r\n\r\n",
		"Event: Item\r\nActionID: %s\r\nA: 1\r\n\r\n",
		"Event: ItemComplete\r\nActionID: %s\r\nEventList: Complete\r\n\r\n",
		"Event: QueueStatusComplete\r\nActionID: %s\r\n\r\n",
		"Event: WaitEventComplete\r\nActionID: %s\r\n\r\n",
		"Event: OriginateResponse\r\nActionID: %s\r\nResponse: Success\r\n\r\n",
		"Event: OriginateResponse\r\nActionID: %s\r\nResponse: Failure\r\nReason: 5\r\n\r\n",
		"Event: UserEvent\r\nActionID: %s\r\nResponse: Success\r\n\r\n",
		"Event: Item\r\nActionID: %s\r\nEventList: Cancelled\r\n\r\n",
		"Response: Success\r\nMessage: no id\r\n\r\n",
		"Response: Error\r\nMessage: no id\r\n\r\n",
		"Response: Success\r\nActionID: %s\r\nMessage: There are no voicemail users currently defined.\r\n\r\n",
	};
	char bytes[512];
	const char *form = forms[take_byte(h) % (sizeof forms / sizeof *forms)], *place = strstr(form, "%s");
	unsigned which = take_byte(h);
	uint64_t sequence = h->last > which % 8 ? h->last - which % 8 : 0;
	const char *id = sequence > 0 ? h->actions[sequence].id : "zz-0-1";
	int n = place ? snprintf(bytes, sizeof bytes, "%.*s%s%s", (int)(place - form), form, id, place + 2) :
	                snprintf(bytes, sizeof bytes, "%s", form);
	receive(h, slice_make(bytes, (size_t)n));
}

static void raw(struct history *h)
{
	size_t n = take_byte(h), left = (size_t)(h->end - h->at);
	if (n > left)
		n = left;
	const uint8_t *at = h->at;
	h->at += n;
	receive(h, slice_make((const char *)at, n));
}

static void expire(struct history *h)
{
	struct reply *done;
	uint64_t nearest = UINT64_MAX;
	for (uint64_t i = 1; i <= h->last; i++)
		if (h->actions[i].state == OPEN && h->actions[i].deadline < nearest)
			nearest = h->actions[i].deadline;
	REQUIRE(pending_next_deadline(h->pending) == nearest);
	h->now += take_byte(h);
	while ((done = pending_expire(h->pending, h->now))) {
		REQUIRE(done->code == ERR_TIMEOUT && done->sequence <= h->last && h->actions[done->sequence].deadline <= h->now);
		take_reply(h, &done);
	}
	for (uint64_t i = 1; i <= h->last; i++)
		REQUIRE(h->actions[i].state != OPEN || h->actions[i].deadline > h->now);
}

static void end_session(struct history *h)
{
	struct reply *done;
	uint64_t before = 0;
	while ((done = pending_fail_next(h->pending, h->written, "the link fell"))) {
		REQUIRE(done->sequence > before); /* oldest first */
		before = done->sequence;
		REQUIRE(done->code == (h->actions[before].offset < h->written ? ERR_LOST : ERR_NOT_READY));
		take_reply(h, &done);
	}
	REQUIRE(h->open == 0);
	pending_reset(h->pending);
	h->session_first = h->last + 1;
	h->offset = h->written = 0;
}

static void one_of_them(struct history *h)
{
	unsigned what = take_byte(h), which = take_byte(h);
	uint64_t sequence = h->last > which % 8 ? h->last - which % 8 : 1;
	struct tracked *t = &h->actions[sequence];
	bool own = t->state == OPEN && sequence >= h->session_first;
	struct reply *done = NULL;

	if (what % 3 == 0) {
		pending_forget(h->pending, sequence);
		if (own) {
			t->state = FORGOTTEN;
			h->open--;
		}
		REQUIRE(pending_count(h->pending) == h->open);
		return;
	}
	if (what % 3 == 1)
		done = pending_cancel(h->pending, sequence, ERR_CANCELLED, "cancelled");
	else
		done = pending_overflow(h->pending, slice_cstr(t->id[0] ? t->id : "zz"), what & 4);
	REQUIRE((done != NULL) == own);
	if (done)
		take_reply(h, &done);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const versions[] = { "1.1", "1.3", "2.10.6", "13.0.0" };
	struct pending_limits limits = { .max_actions = 8, .max_list_events = 5, .max_list_bytes = 4096 };
	struct framer_limits framer_limits = { .max_frame = 1024, .max_headers = 16 };
	struct history *h = calloc(1, sizeof *h);

	if (!h)
		abort();
	h->at = data;
	h->end = data + size;
	h->session_first = 1;
	h->pending = pending_create(&limits, SLICE("f"));
	framer_init(&h->framer, &framer_limits, false);
	while (h->at < h->end) {
		switch (take_byte(h) % 12) {
		case 0:
		case 1:
		case 2:
			add(h);
			break;
		case 3:
			h->written = h->offset;
			pending_written(h->pending, h->written);
			break;
		case 4:
			pending_set_version(h->pending, catalogue_ami_version(slice_cstr(versions[take_byte(h) & 3])));
			break;
		case 5:
			expire(h);
			break;
		case 6:
			one_of_them(h);
			break;
		case 7:
			raw(h);
			break;
		case 8:
			if (take_byte(h) < 64)
				end_session(h);
			break;
		default:
			answer(h);
			break;
		}
		REQUIRE(pending_count(h->pending) == h->open);
		(void)pending_line_held(h->pending);
	}
	end_session(h);
	const struct pending_stats *stats = pending_stats(h->pending);
	REQUIRE(stats->late + stats->unmatched + stats->idless <= size);
	pending_destroy(&h->pending);
	framer_close(&h->framer);
	free(h);
	return 0;
}
