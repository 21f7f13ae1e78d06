/* What the C core of ami promises and the specs in Lua cannot see: bytes behind a slice, ids of replies, exact limits. */
#include <stdlib.h>
#include <string.h>

#include "ami/action.h"
#include "ami/framer.h"
#include "ami/pending.h"
#include "check.h"

static bool refused(struct slice name, const char *shown)
{
	struct action action;
	struct err err = { 0 };

	action_init(&action);
	bool good = CHECK(action_add(&action, name, SLICE("1"), &err) == -1) && CHECK_NAMED(strstr(err.text, shown), err.text);
	action_close(&action);
	return good;
}

static void an_error_shows_the_name_as_far_as_it_is_clean(void)
{
	/* The name ends in the middle of a text. */
	struct slice text = SLICE("a b:more behind it");
	CHECK(refused(slice_make(text.ptr, 3), "header name 'a b…' holds a byte (0x20)"));
	CHECK(refused(SLICE("ab\x7f" "c"), "header name 'ab…' holds a byte (0x7f)"));
	CHECK(refused(SLICE("x~\nforged"), "header name 'x~…' holds a byte (0x0a)"));
	CHECK(refused(SLICE("0123456789012345678901234567890123456789 "), "'0123456789012345678901234567890123456789…'"));
	CHECK(refused(SLICE("012345678901234567890123456789012345678 9"), "'012345678901234567890123456789012345678 …'"));
}

/* ---- correlation ---- */

static struct pending *with_limits(uint32_t events, size_t bytes)
{
	const struct pending_limits limits = { .max_actions = 10, .max_list_events = events, .max_list_bytes = bytes };
	struct pending *pending = pending_create(&limits, SLICE("test"));
	pending_reset(pending);
	pending_set_version(pending, 13000);
	return pending;
}

static uint64_t ask(struct pending *pending, const char *name, char id[ACTION_ID_MAX + 1])
{
	const struct pending_options options = { .now = 1, .deadline = 1000000000 };
	struct action action;
	struct err err;

	action_init(&action);
	CHECK(action_add(&action, SLICE("Action"), slice_cstr(name), &err) == 0);
	uint64_t sequence = pending_add(pending, &action, &options, id, &err);
	CHECK(sequence > 0);
	action_close(&action);
	pending_written(pending, 100);
	return sequence;
}

/* Gives the frame of these lines, with the ActionID behind them, to the correlator; `size` (or NULL) gets what its copy takes. */
static enum pending_result give(struct pending *pending, const char *lines, const char *id, struct reply **reply, size_t *size)
{
	const struct framer_limits limits = { .max_frame = 65536, .max_headers = 100 };
	struct framer framer;
	struct message message;
	size_t consumed;
	char bytes[1024];

	snprintf(bytes, sizeof bytes, "%sActionID: %s\r\n\r\n", lines, id);
	framer_init(&framer, &limits, false);
	CHECK(framer_next(&framer, slice_cstr(bytes), &message, &consumed) == FRAMER_FRAME);
	enum pending_result result = pending_match(pending, &message, reply);
	if (size)
		*size = message_copy_size(&message);
	framer_close(&framer);
	return result;
}

static void a_reply_knows_the_id_of_its_action(void)
{
	struct pending *pending = with_limits(10, 65536);
	char id[ACTION_ID_MAX + 1], same[ACTION_ID_MAX + 1] = "left over";
	struct reply *reply = NULL, nobody = { .sequence = 0 };

	ask(pending, "Ping", id);
	CHECK(give(pending, "Response: Success\r\nPing: Pong\r\n", id, &reply, NULL) == PENDING_COMPLETED);
	reply_id(reply, same);
	CHECK_NAMED(strcmp(id, same) == 0, same);
	CHECK(strncmp(id, "test-", 5) == 0);
	reply_id(&nobody, same);
	CHECK(strcmp(same, "") == 0);
	reply_free(&reply);
	pending_destroy(&pending);
}

/* How a list of `items` items ends under these limits; `item` gets what the copy of one takes, `start` that of the answer before. */
static enum err_code list_ends(uint32_t items, uint32_t max_events, size_t max_bytes, size_t *item, size_t *start)
{
	struct pending *pending = with_limits(max_events, max_bytes);
	char id[ACTION_ID_MAX + 1];
	struct reply *reply = NULL;
	enum pending_result result;

	ask(pending, "QueueStatus", id);
	result = give(pending, "Response: Success\r\nEventList: start\r\nMessage: will follow\r\n", id, &reply, start);
	for (uint32_t i = 0; i < items && result == PENDING_TAKEN; i++)
		result = give(pending, "Event: QueueParams\r\nQueue: support\r\n", id, &reply, item);
	if (result == PENDING_TAKEN)
		result = give(pending, "Event: QueueStatusComplete\r\nEventList: Complete\r\n", id, &reply, NULL);
	CHECK(result == PENDING_COMPLETED);
	enum err_code code = reply ? reply->code : ERR_CODES;
	CHECK(code != ERR_NONE || reply->event_count == items);
	reply_free(&reply);
	pending_destroy(&pending);
	return code;
}

static void a_list_may_be_as_large_as_its_limits_and_no_larger(void)
{
	size_t item = 0, start = 0;

	CHECK(list_ends(5, 5, 65536, &item, &start) == ERR_NONE);
	CHECK(list_ends(6, 5, 65536, &item, &start) == ERR_OVERFLOW);
	size_t five = start + 5 * (item + sizeof(struct message *));
	CHECK(list_ends(5, 100, five, &item, &start) == ERR_NONE);
	CHECK(list_ends(5, 100, five - 1, &item, &start) == ERR_OVERFLOW);
	CHECK(list_ends(6, 100, five, &item, &start) == ERR_OVERFLOW);
	/* The answer itself counts, to the byte. */
	CHECK(list_ends(0, 100, start, &item, &start) == ERR_NONE);
	CHECK(list_ends(0, 100, start - 1, &item, &start) == ERR_OVERFLOW);
}

int main(void)
{
	an_error_shows_the_name_as_far_as_it_is_clean();
	a_reply_knows_the_id_of_its_action();
	a_list_may_be_as_large_as_its_limits_and_no_larger();
	return check_report();
}
