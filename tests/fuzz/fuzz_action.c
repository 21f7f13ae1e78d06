/* What the serialiser writes is read back, by a reader of its own that follows Asterisk's rules, as the same headers;
 * otherwise it refused. */
#include "ami/action.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADERS 200

struct pair {
	struct slice name, value;
};

struct input {
	const uint8_t *at, *end;
};

static unsigned take_byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static struct slice take_text(struct input *in, size_t len)
{
	size_t left = (size_t)(in->end - in->at);
	struct slice s = { (const char *)in->at, len < left ? len : left };
	in->at += s.len;
	return s;
}

/* A line as Asterisk reads it: up to LF, at most 1024 bytes with its end; NUL would cut it. */
static struct pair read_line(struct slice *rest)
{
	const char *lf = memchr(rest->ptr, '\n', rest->len);
	REQUIRE(lf);
	size_t len = (size_t)(lf - rest->ptr);
	REQUIRE(len + 1 <= 1024 && len > 0 && lf[-1] == '\r');
	struct slice line = { rest->ptr, len - 1 };
	*rest = slice_make(lf + 1, rest->len - len - 1);
	REQUIRE(!memchr(line.ptr, '\r', line.len) && !memchr(line.ptr, '\0', line.len));
	if (line.len == 0)
		return (struct pair){ { line.ptr, 0 }, { line.ptr, 0 } };
	const char *colon = memchr(line.ptr, ':', line.len);
	REQUIRE(colon && colon > line.ptr && colon + 1 < line.ptr + line.len && colon[1] == ' ');
	return (struct pair){ { line.ptr, (size_t)(colon - line.ptr) },
	                      { colon + 2, line.len - (size_t)(colon + 2 - line.ptr) } };
}

/* One argument of a Variable line: quotes and brackets protect commas, a backslash makes the next byte plain, quotes and
 * backslashes go away. */
static size_t split_argument(struct slice line, size_t from, struct buf *argument)
{
	int paren = 0, bracket = 0;
	bool quote = false;
	size_t i = from;
	for (; i < line.len; i++) {
		char c = line.ptr[i];
		if (c == ',' && paren == 0 && bracket == 0 && !quote)
			break;
		if (c == '"') {
			quote = !quote;
			continue;
		}
		if (c == '(')
			paren++;
		else if (c == ')' && paren > 0)
			paren--;
		else if (c == '[')
			bracket++;
		else if (c == ']' && bracket > 0)
			bracket--;
		else if (c == '\\' && i + 1 < line.len)
			c = line.ptr[++i];
		REQUIRE(buf_append_char(argument, c) == 0);
	}
	return i;
}

static void check_variables(const struct action *action, const struct pair *variables, size_t count)
{
	struct buf argument, expected;
	size_t n = 0;
	buf_init(&argument, 0);
	buf_init(&expected, 0);
	for (uint32_t i = 0; i < action->count; i++) {
		if (!slice_eq(action_field_name(action, i), SLICE("Variable")))
			continue;
		struct slice line = action_field_value(action, i);
		size_t parts = 0;
		for (size_t at = 0; at <= line.len; n++) {
			buf_clear(&argument);
			buf_clear(&expected);
			at = split_argument(line, at, &argument) + 1;
			REQUIRE(n < count);
			REQUIRE(buf_append(&expected, variables[n].name) == 0 && buf_append_char(&expected, '=') == 0 &&
			        buf_append(&expected, variables[n].value) == 0);
			REQUIRE(slice_eq(buf_slice(&argument), buf_slice(&expected)));
			REQUIRE(++parts <= ACTION_VARIABLES_MAX);
		}
	}
	REQUIRE(n == count);
	buf_close(&argument);
	buf_close(&expected);
}

/* Only Variable parts, so that lines and parts can be compared one by one. */
static void fuzz_variables(struct input in)
{
	struct action action;
	struct pair variables[HEADERS];
	size_t count = 0;
	action_init(&action);
	while (in.at < in.end && count < HEADERS) {
		struct slice name = take_text(&in, take_byte(&in) % 24), value = take_text(&in, take_byte(&in));
		if (action_add_variable(&action, name, value, NULL) == 0)
			variables[count++] = (struct pair){ name, value };
	}
	check_variables(&action, variables, count);
	action_close(&action);
}

static void check_written(const struct action *action, const struct pair *kept, size_t count, struct slice id, struct slice bytes)
{
	struct slice rest = bytes, name;
	REQUIRE(action_get(action, SLICE("Action"), &name));
	struct pair line = read_line(&rest);
	REQUIRE(slice_eq(line.name, SLICE("Action")) && slice_eq(line.value, name));
	REQUIRE((unsigned char)name.ptr[0] > ' ' && (unsigned char)name.ptr[name.len - 1] > ' ');
	size_t lines = 1;
	if (id.len > 0) {
		line = read_line(&rest);
		REQUIRE(slice_eq(line.name, SLICE("ActionID")) && slice_eq(line.value, id));
		lines++;
	}
	bool skipped = false;
	for (size_t i = 0; i < count; i++) {
		if (!skipped && slice_eq_nocase(kept[i].name, SLICE("Action"))) {
			skipped = true;
			continue;
		}
		line = read_line(&rest);
		REQUIRE(slice_eq(line.name, kept[i].name) && slice_eq(line.value, kept[i].value));
		REQUIRE(!slice_eq_nocase(line.name, SLICE("ActionID")) && !slice_eq_nocase(line.name, SLICE("Action")));
		lines++;
	}
	line = read_line(&rest);
	REQUIRE(line.name.len == 0 && rest.len == 0 && lines <= ACTION_HEADERS_MAX);
}

static void fuzz_headers(struct input in)
{
	struct action action;
	struct pair kept[HEADERS];
	size_t count = 0;
	struct buf out;
	struct err err = { 0 };
	struct slice name;
	size_t max = take_byte(&in) * 16u;
	struct slice id = take_byte(&in) & 1 ? SLICE("t-1-1") : slice_make("", 0);

	action_init(&action);
	buf_init(&out, max);
	while (in.at < in.end && count < HEADERS) {
		unsigned shape = take_byte(&in);
		struct slice header = shape & 1 ? SLICE("Action") : take_text(&in, take_byte(&in) % 40);
		struct slice value = take_text(&in, shape & 2 ? take_byte(&in) * 6 : take_byte(&in) % 16);
		if (action_add(&action, header, value, &err) == 0)
			kept[count++] = (struct pair){ header, value };
		else
			REQUIRE(err.code == ERR_INVALID && err.text[0]);
	}
	REQUIRE(action.count == count);
	REQUIRE(buf_append(&out, slice_make("before", max >= 6 || max == 0 ? 6 : 0)) == 0);
	size_t before = buf_len(&out);
	if (action_write(&action, id, &out, &err) == 0) {
		check_written(&action, kept, count, id, slice_make(buf_slice(&out).ptr + before, buf_len(&out) - before));
	} else {
		REQUIRE(buf_len(&out) == before);
		bool named = action_get(&action, SLICE("Action"), &name) && name.len > 0;
		REQUIRE(err.code == (named ? ERR_BACKPRESSURE : ERR_INVALID));
	}
	REQUIRE(before == 0 || slice_starts_with(buf_slice(&out), SLICE("before")));
	buf_close(&out);
	action_close(&action);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > 16384)
		return 0;
	struct input in = { data + 1, data + size };
	if (data[0] & 1)
		fuzz_variables(in);
	else
		fuzz_headers(in);
	return 0;
}
