#include "ami/action.h"

#include <stdlib.h>

#include "ami/catalogue.h"
#include "base/mem.h"

void action_init(struct action *action)
{
	*action = (struct action){ 0 };
	buf_init(&action->bytes, 0);
}

void action_close(struct action *action)
{
	buf_close(&action->bytes);
	free(action->fields);
	action_init(action);
}

void action_clear(struct action *action)
{
	buf_clear(&action->bytes);
	action->count = 0;
	action->named = 0;
	action->info = NULL;
}

static void set_name(struct action *action, struct slice name)
{
	action->named = action->count;
	if (!action->last || !slice_eq_nocase(name, slice_cstr(action->last->name)))
		action->last = catalogue_action(name);
	action->info = action->last;
}

struct slice action_field_name(const struct action *action, uint32_t i)
{
	return slice_make(action->bytes.data + action->fields[i].name, action->fields[i].name_len);
}

struct slice action_field_value(const struct action *action, uint32_t i)
{
	return slice_make(action->bytes.data + action->fields[i].value, action->fields[i].value_len);
}

bool action_get(const struct action *action, struct slice name, struct slice *value)
{
	for (uint32_t i = 0; i < action->count; i++) {
		if (!slice_eq_nocase(action_field_name(action, i), name))
			continue;
		*value = action_field_value(action, i);
		return true;
	}
	return false;
}

struct slice action_name(const struct action *action)
{
	return action->named > 0 ? action_field_value(action, action->named - 1) : SLICE("");
}

/* For an error text: a name that may be long or hold anything. */
static struct slice shown(struct slice name)
{
	size_t n = 0;
	while (n < name.len && n < 40 && name.ptr[n] >= ' ' && name.ptr[n] < 127)
		n++;
	return slice_make(name.ptr, n);
}

/* Q06, Q32: what a header's name may hold; never a line end, NUL, blank or colon. */
static int check_name(struct slice name, struct err *err)
{
	if (name.len == 0)
		return err_set(err, ERR_INVALID, "a header has an empty name");
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.ptr[i];
		if (c <= ' ' || c >= 127 || c == ':')
			return err_set(err, ERR_INVALID, "header name '%.*s…' holds a byte (0x%02x) that AMI does not allow there",
			               SLICE_ARG(shown(name)), c);
	}
	if (slice_eq_nocase(name, SLICE("ActionID")))
		return err_set(err, ERR_INVALID, "ActionID is set by the engine: leave it out");
	return 0;
}

static int check_value(struct slice name, struct slice value, struct err *err)
{
	for (size_t i = 0; i < value.len; i++)
		if (value.ptr[i] == '\r' || value.ptr[i] == '\n' || value.ptr[i] == '\0')
			return err_set(err, ERR_INVALID, "header '%.*s' holds a line end or NUL: it would forge another header",
			               SLICE_ARG(shown(name)));
	if (name.len + 2 + value.len > ACTION_LINE_MAX)
		return err_set(err, ERR_INVALID, "header '%.*s' makes a line of %zu bytes; Asterisk reads at most %d", SLICE_ARG(shown(name)),
		               name.len + 2 + value.len, ACTION_LINE_MAX);
	return 0;
}

/* What a policy compares must be what Asterisk runs: it skips blanks and control bytes in front of a value, and takes one of several
 * Action headers. */
static int check_action(const struct action *action, struct slice value, struct err *err)
{
	if (action->named > 0)
		return err_set(err, ERR_INVALID, "the action has more than one name: one Action header");
	if (value.len > 0 && ((unsigned char)value.ptr[0] <= ' ' || (unsigned char)value.ptr[value.len - 1] <= ' '))
		return err_set(err, ERR_INVALID, "the action's name begins or ends with a blank");
	return 0;
}

/* There is memory for it: see action_add(). */
static uint32_t store(struct action *action, struct slice s)
{
	buf_append(&action->bytes, s);
	return (uint32_t)(action->bytes.tail - s.len);
}

int action_add(struct action *action, struct slice name, struct slice value, struct err *err)
{
	bool names_it = slice_eq_nocase(name, SLICE("Action"));

	if (check_name(name, err) || check_value(name, value, err) || (names_it && check_action(action, value, err)))
		return -1;
	/* The ActionID takes one of the 128 lines. */
	if (action->count + 1 >= ACTION_HEADERS_MAX)
		return err_set(err, ERR_INVALID, "an action has at most %d headers", ACTION_HEADERS_MAX - 1);
	if (!buf_reserve(&action->bytes, name.len + value.len))
		return err_set(err, ERR_BACKPRESSURE, "the system has no memory left for another action");
	if (action->count == action->cap) {
		action->cap = action->cap ? action->cap * 2 : 16;
		action->fields = mem_realloc(action->fields, action->cap, sizeof *action->fields);
	}
	struct action_field *field = &action->fields[action->count];
	field->name = store(action, name);
	field->name_len = (uint16_t)name.len;
	field->value = store(action, value);
	field->value_len = (uint32_t)value.len;
	action->count++;
	if (names_it)
		set_name(action, value);
	return 0;
}

/* Parts in a Variable value: unescaped commas plus one. */
static unsigned count_parts(struct slice value)
{
	unsigned parts = 1;
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] == '\\')
			i++;
		else if (value.ptr[i] == ',')
			parts++;
	}
	return parts;
}

/* Asterisk takes no comma between brackets as one that separates: true when a bracket stays open to the end. */
static bool leaves_bracket_open(struct slice s)
{
	unsigned round = 0, square = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '(')
			round++;
		else if (s.ptr[i] == ')' && round > 0)
			round--;
		else if (s.ptr[i] == '[')
			square++;
		else if (s.ptr[i] == ']' && square > 0)
			square--;
	}
	return round > 0 || square > 0;
}

int action_add_variable(struct action *action, struct slice name, struct slice value, struct err *err)
{
	if (name.len == 0 || leaves_bracket_open(name))
		return err_set(err, ERR_INVALID, "variable name '%.*s' is empty or leaves a bracket open", SLICE_ARG(shown(name)));
	for (size_t i = 0; i < name.len; i++)
		if (strchr("=,\"\\", name.ptr[i])) /* the terminator too: NUL */
			return err_set(err, ERR_INVALID, "variable name '%.*s' holds '=', ',', '\"', '\\' or NUL", SLICE_ARG(shown(name)));
	bool open = leaves_bracket_open(value);
	struct buf part;
	buf_init(&part, ACTION_LINE_MAX);
	int rc = buf_append(&part, name) | buf_append_char(&part, '=');
	for (size_t i = 0; i < value.len && rc == 0; i++) {
		char c = value.ptr[i];
		if (c == ',' || c == '\\' || c == '"' || (open && (c == '(' || c == '[')))
			rc = buf_append_char(&part, '\\');
		rc |= buf_append_char(&part, c);
	}
	if (rc)
		rc = err_set(err, ERR_INVALID, "variable '%.*s' does not fit into a line of %d bytes", SLICE_ARG(shown(name)), ACTION_LINE_MAX);
	struct action_field *last = action->count > 0 ? &action->fields[action->count - 1] : NULL;
	struct slice before = last ? action_field_value(action, action->count - 1) : (struct slice){ NULL, 0 };
	bool joins = last && slice_eq(action_field_name(action, action->count - 1), SLICE("Variable")) &&
	             sizeof "Variable: " - 1 + before.len + 1 + buf_len(&part) <= ACTION_LINE_MAX &&
	             count_parts(before) < ACTION_VARIABLES_MAX;
	if (rc == 0 && joins) {
		/* The last value ends the block, so it can grow in place. */
		rc = check_value(SLICE("Variable"), buf_slice(&part), err);
		if (rc == 0) {
			store(action, SLICE(","));
			store(action, buf_slice(&part));
			last->value_len += 1 + (uint32_t)buf_len(&part);
		}
	} else if (rc == 0) {
		rc = action_add(action, SLICE("Variable"), buf_slice(&part), err);
	}
	buf_close(&part);
	return rc;
}

static int write_line(struct buf *out, struct slice name, struct slice value)
{
	char *to = buf_reserve(out, name.len + value.len + 4);
	if (!to)
		return -1;
	char *at = mempcpy(to, name.ptr, name.len);
	at = mempcpy(at, ": ", 2);
	if (value.len > 0)
		at = mempcpy(at, value.ptr, value.len);
	memcpy(at, "\r\n", 2);
	buf_commit(out, name.len + value.len + 4);
	return 0;
}

int action_write(const struct action *action, struct slice id, struct buf *out, struct err *err)
{
	struct slice name = action_name(action);
	if (name.len == 0)
		return err_set(err, ERR_INVALID, "an action needs its name: Action = \"…\"");
	size_t before = buf_len(out);
	int rc = write_line(out, SLICE("Action"), name);
	if (rc == 0 && id.len > 0)
		rc = write_line(out, SLICE("ActionID"), id);
	for (uint32_t i = 0; i < action->count && rc == 0; i++)
		if (i + 1 != action->named) /* it stands in front already */
			rc = write_line(out, action_field_name(action, i), action_field_value(action, i));
	if (rc == 0)
		rc = buf_append(out, SLICE("\r\n"));
	if (rc) {
		out->tail -= buf_len(out) - before;
		return err_set(err, ERR_BACKPRESSURE, "the server's write buffer is full (%zu bytes wait)", before);
	}
	return 0;
}
