#include "observe/redact_pairs.h"

#include <string.h>

/* How far a name may stand from its sign and be long, and a line before it; so that a text is read once, more or less. */
#define NEAR 128

struct pair {
	struct slice text;
	size_t name, name_end; /* bytes of the text */
	char sign;
	bool headed; /* like a header: its value goes on to the end of the line */
	bool inside; /* of a JSON text */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (slice_lower(c) >= 'a' && slice_lower(c) <= 'z') || c == '_' || c == '-';
}

static bool is_break(char c)
{
	return c == '\n' || c == '\r' || c == '\0';
}

/* `\n` or `\r` as a JSON text has them, at `i`. */
static bool is_written_break(struct slice text, size_t i)
{
	return i + 1 < text.len && text.ptr[i] == '\\' && (text.ptr[i + 1] == 'n' || text.ptr[i + 1] == 'r');
}

/* What stands between a name and its sign: blanks, the end of a quotation, `HASH(name)=`, `[name] =>`. */
static bool is_after_name(char c)
{
	return is_blank(c) || c == '"' || c == '\'' || c == '\\' || c == ')' || c == ']';
}

/* Where a run of bytes that `wanted` takes begins, going back from `end`; not further than NEAR. */
static size_t back(struct slice text, size_t end, bool (*wanted)(char c))
{
	size_t limit = end > NEAR ? end - NEAR : 0;

	while (end > limit && wanted(text.ptr[end - 1]))
		end--;
	return end;
}

static bool is_word_or_blank(char c)
{
	return is_word(c) || is_blank(c);
}

static bool is_path(char c)
{
	return is_word(c) || c == '.' || c == '/';
}

/* The faults of a configuration and of its files begin with the option or the path: that is no pair. */
static bool is_place(const struct pair *pair)
{
	static const char *const sections[] = {
		"servers.", "defaults.", "scripts.", "rules.", "sinks.", "limits.", "policy.", "log.", "redact.", "http.", "control.", "tls.",
		"web.", "http_client.", "live.", "persist.",
	};
	size_t from = back(pair->text, pair->name, is_path);
	struct slice path = slice_make(pair->text.ptr + from, pair->name_end - from);

	if (pair->sign != ':' || from == pair->name)
		return false;
	if (path.ptr[0] == '/' || (pair->text.ptr[pair->name - 1] == '.' && memchr(path.ptr, '/', path.len)))
		return true;
	for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
		if (slice_starts_with(path, slice_cstr(sections[i])))
			return true;
	return false;
}

/* The name before the sign at `sign`, and in what line it stands. False: there is none, or it is no secret's. */
static bool find_name(struct pair *pair, size_t sign)
{
	struct slice text = pair->text;

	pair->sign = text.ptr[sign];
	pair->name_end = back(text, sign, is_after_name);
	pair->name = back(text, pair->name_end, is_word);
	if (pair->name < pair->name_end && pair->name > 0 && is_written_break(text, pair->name - 1))
		pair->name++;
	if (pair->name == pair->name_end ||
	    !redact_name(slice_make(text.ptr + pair->name, pair->name_end - pair->name)) || is_place(pair))
		return false;

	size_t line = back(text, pair->name, is_word_or_blank);
	bool written = line > 0 && is_written_break(text, line - 1);
	pair->inside = written || (line > 0 && text.ptr[line - 1] == '"');
	/* A quotation that is the name's own: {"token": …}. */
	if (pair->inside && line == pair->name && pair->name_end < sign && text.ptr[line - 1] == '"')
		pair->inside = false;
	pair->headed = line == 0 || is_break(text.ptr[line - 1]) || pair->inside;
	return true;
}

/* Behind the closing one of the brackets at `from`. */
static size_t end_of_brackets(struct slice text, size_t from)
{
	unsigned depth = 0;

	for (size_t i = from; i < text.len; i++) {
		char c = text.ptr[i];
		depth += c == '[' || c == '{';
		if ((c == ']' || c == '}') && --depth == 0)
			return i + 1;
	}
	return text.len;
}

/* Where the quotation ends whose first byte, behind `escapes` backslashes and the quote, is at `from`. */
static size_t end_of_quotation(struct slice text, size_t from, char quote, size_t escapes)
{
	size_t backslashes = 0;

	for (size_t i = from; i < text.len; i++) {
		if (text.ptr[i] == quote && backslashes <= escapes)
			return i - backslashes;
		backslashes = text.ptr[i] == '\\' ? backslashes + 1 : 0;
	}
	return text.len;
}

static size_t end_of_words(const struct pair *pair, size_t from)
{
	struct slice text = pair->text;
	size_t i = from;

	for (; i < text.len && !is_break(text.ptr[i]); i++) {
		char c = text.ptr[i];
		bool parts = c == ',' || c == ';' || c == '&';
		if (pair->inside && is_written_break(text, i))
			break;
		if (c == '"' && (pair->inside || !pair->headed))
			break;
		if ((parts && (!pair->headed || pair->sign == '=')) || (is_blank(c) && !pair->headed))
			break;
	}
	/* Of an escaped quote, the backslash is not the value's. */
	while (i > from && i < text.len && text.ptr[i] == '"' && text.ptr[i - 1] == '\\')
		i--;
	return i;
}

/* Sets where the value begins; returns where it ends. */
static size_t find_value(struct pair *pair, size_t sign, size_t *from)
{
	struct slice text = pair->text;
	size_t i = sign + 1, escapes = 0;

	if (pair->sign == '=' && i < text.len && text.ptr[i] == '>')
		i++;
	while (i < text.len && is_blank(text.ptr[i]))
		i++;
	*from = i;
	while (i + escapes < text.len && text.ptr[i + escapes] == '\\')
		escapes++;
	char first = i + escapes < text.len ? text.ptr[i + escapes] : '\0';
	if (first == '"' || (first == '\'' && escapes == 0)) {
		if (first == '"' && pair->inside && escapes == 0)
			return i; /* the end of the text that it stands in: no value */
		*from = i + escapes + 1;
		return end_of_quotation(text, *from, first, escapes);
	}
	if (!pair->headed && (first == '[' || first == '{') && escapes == 0)
		return end_of_brackets(text, i);
	/* `Authorization: Bearer x` */
	size_t length = pair->name_end - pair->name;
	if (length == 13 && slice_eq_nocase(slice_make(text.ptr + pair->name, length), SLICE("authorization")))
		pair->headed = true;
	return end_of_words(pair, i);
}

void pairs_find(struct slice text, size_t window, struct spans *spans)
{
	for (size_t i = 0; i < window; i++) {
		struct pair pair = { .text = text };
		size_t from, to;

		if ((text.ptr[i] != ':' && text.ptr[i] != '=') || !find_name(&pair, i))
			continue;
		to = find_value(&pair, i, &from);
		if (to > from)
			spans_add(spans, from, to);
		if (to > i)
			i = to - 1;
	}
}
