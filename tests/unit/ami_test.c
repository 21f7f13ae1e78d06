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

/* Of an action with the variables A and B whose values have these lengths. */
static uint32_t variable_lines(size_t a, size_t b, size_t *longest)
{
	static char x[ACTION_LINE_MAX];
	struct action action;
	struct err err = { 0 };

	memset(x, 'x', sizeof x);
	action_init(&action);
	CHECK(action_add_variable(&action, SLICE("A"), slice_make(x, a), &err) == 0);
	CHECK(action_add_variable(&action, SLICE("B"), slice_make(x, b), &err) == 0);
	*longest = 0;
	for (uint32_t i = 0; i < action.count; i++) {
		size_t len = action_field_name(&action, i).len + 2 + action_field_value(&action, i).len;
		*longest = len > *longest ? len : *longest;
	}
	uint32_t lines = action.count;
	action_close(&action);
	return lines;
}

static void a_bracket_behind_the_name_is_none_of_it(void)
{
	struct action action;
	struct err err;

	action_init(&action);
	CHECK(action_add_variable(&action, slice_make("x(", 1), slice_make("1[", 1), &err) == 0);
	CHECK(slice_eq(action_field_value(&action, 0), SLICE("x=1")));
	action_close(&action);
}

static void variables_share_a_line_as_long_as_it_fits(void)
{
	size_t longest;
	/* "Variable: A=…,B=…" */
	size_t both = ACTION_LINE_MAX - (sizeof "Variable: A=,B=" - 1);

	CHECK(variable_lines(500, both - 500, &longest) == 1 && longest == ACTION_LINE_MAX);
	CHECK(variable_lines(500, both - 499, &longest) == 2 && longest < ACTION_LINE_MAX);
	CHECK(variable_lines(both, 0, &longest) == 1 && longest == ACTION_LINE_MAX);
	CHECK(variable_lines(both + 1, 0, &longest) == 2);
}

static void a_cleared_action_is_an_empty_one(void)
{
	struct action action;
	struct err err = { 0 };
	struct slice value;
	struct buf out;

	buf_init(&out, 0);
	action_init(&action);
	CHECK(action_add(&action, SLICE("Action"), SLICE("Ping"), &err) == 0);
	CHECK(action_add(&action, SLICE("Old"), SLICE("1"), &err) == 0);
	action_clear(&action);
	CHECK(action.count == 0 && buf_len(&action.bytes) == 0);
	CHECK(!action_get(&action, SLICE("Action"), &value));
	CHECK(action_write(&action, SLICE("id"), &out, &err) == -1 && err.code == ERR_INVALID);
	CHECK(action_add(&action, SLICE("Action"), SLICE("Events"), &err) == 0);
	CHECK(action_write(&action, SLICE("id"), &out, &err) == 0);
	CHECK(slice_eq(buf_slice(&out), SLICE("Action: Events\r\nActionID: id\r\n\r\n")));
	action_close(&action);
	buf_close(&out);
}

static void a_full_buffer_takes_nothing_of_an_action(void)
{
	const struct slice whole = SLICE("Action: Ping\r\nActionID: id\r\nA: 1\r\nB: 2\r\n\r\n");
	struct action action;
	struct err err = { 0 };

	action_init(&action);
	CHECK(action_add(&action, SLICE("A"), SLICE("1"), &err) == 0);
	CHECK(action_add(&action, SLICE("Action"), SLICE("Ping"), &err) == 0);
	CHECK(action_add(&action, SLICE("B"), SLICE("2"), &err) == 0);
	for (size_t space = 0; space <= whole.len; space++) {
		struct buf out;
		buf_init(&out, 5 + space);
		CHECK(buf_append(&out, SLICE("first")) == 0);
		err.code = ERR_NONE;
		int rc = action_write(&action, SLICE("id"), &out, &err);
		if (space < whole.len) {
			CHECK(rc == -1 && err.code == ERR_BACKPRESSURE && slice_eq(buf_slice(&out), SLICE("first")));
			CHECK_NAMED(strstr(err.text, "(5 bytes wait)"), err.text);
		} else {
			CHECK(rc == 0 && buf_len(&out) == 5 + whole.len && memcmp(buf_slice(&out).ptr + 5, whole.ptr, whole.len) == 0);
		}
		buf_close(&out);
	}
	action_close(&action);
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
	struct pending_options options = { .now = 1, .deadline = 1000000000 };
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
	a_bracket_behind_the_name_is_none_of_it();
	variables_share_a_line_as_long_as_it_fits();
	a_cleared_action_is_an_empty_one();
	a_full_buffer_takes_nothing_of_an_action();
	a_reply_knows_the_id_of_its_action();
	a_list_may_be_as_large_as_its_limits_and_no_larger();
	return check_report();
}
