#include "value/json_text.h"

#include <ctype.h>

/* Where the string that begins at `at` (its quote) ends: one past the closing quote, or the end of the text. */
static size_t string_end(struct slice text, size_t at)
{
	for (at++; at < text.len; at++) {
		if (text.ptr[at] == '\\')
			at++;
		else if (text.ptr[at] == '"')
			return at + 1;
	}
	return text.len;
}

static size_t skip_digits(struct slice text, size_t at)
{
	while (at < text.len && isdigit((unsigned char)text.ptr[at]))
		at++;
	return at;
}

/* One past the number at `at`, or `at` itself when it is none as RFC 8259 has it. */
static size_t number_end(struct slice text, size_t at)
{
	size_t i = at + (text.ptr[at] == '-'), digits = i;

	i = skip_digits(text, i);
	if (i == digits || (text.ptr[digits] == '0' && i > digits + 1))
		return at;
	if (i < text.len && text.ptr[i] == '.') {
		digits = ++i;
		i = skip_digits(text, i);
		if (i == digits)
			return at;
	}
	if (i < text.len && (text.ptr[i] == 'e' || text.ptr[i] == 'E')) {
		i++;
		if (i < text.len && (text.ptr[i] == '+' || text.ptr[i] == '-'))
			i++;
		digits = i;
		i = skip_digits(text, i);
		if (i == digits)
			return at;
	}
	return i;
}

/* One past the ']' when an empty array begins at `at`, else 0. */
static size_t empty_array_end(struct slice text, size_t at)
{
	at++;
	while (at < text.len && memchr(" \t\r\n", text.ptr[at], 4))
		at++;
	return at < text.len && text.ptr[at] == ']' ? at + 1 : 0;
}

/* Copies one token at `at` to `out`, tagged. Returns where the next begins, or 0 with `err` set. */
static size_t tag_token(struct slice text, size_t at, struct buf *out, struct err *err)
{
	char c = text.ptr[at];
	size_t end = at + 1;
	int rc;

	if (c == '"') {
		end = string_end(text, at);
		rc = buf_append(out, SLICE("\"s")) || buf_append(out, slice_make(text.ptr + at + 1, end - at - 1));
	} else if (c == '-' || isdigit((unsigned char)c)) {
		end = number_end(text, at);
		if (end == at) {
			err_set(err, ERR_INVALID, "invalid number at character %zu", at + 1);
			return 0;
		}
		rc = buf_append(out, SLICE("\"r")) || buf_append(out, slice_make(text.ptr + at, end - at)) ||
		     buf_append_char(out, '"');
	} else if (c == '[' && (end = empty_array_end(text, at)) > 0) {
		rc = buf_append(out, SLICE("\"a\""));
	} else {
		end = at + 1;
		rc = buf_append_char(out, c);
	}
	if (rc) {
		err_set(err, ERR_OVERFLOW, "JSON text too long");
		return 0;
	}
	return end;
}

int json_text_tag(struct slice text, unsigned depth, struct buf *out, struct err *err)
{
	unsigned open = 0;

	for (size_t at = 0; at < text.len;) {
		char c = text.ptr[at];
		if ((c == '[' || c == '{') && ++open > depth)
			return err_set(err, ERR_OVERFLOW, "JSON nested too deep at character %zu (more than %u levels)", at + 1,
			               depth);
		size_t end = tag_token(text, at, out, err);
		if (end == 0)
			return -1;
		/* An empty array opens and closes in one token. */
		if (open > 0 && (c == ']' || c == '}' || (c == '[' && text.ptr[end - 1] == ']')))
			open--;
		at = end;
	}
	return 0;
}

size_t json_text_origin(struct slice text, size_t tagged, struct buf *scratch)
{
	size_t at = 0, inside = 0, made = 0;

	buf_clear(scratch);
	while (at < text.len) {
		size_t end = tag_token(text, at, scratch, NULL);
		if (end == 0)
			break;
		if (buf_len(scratch) > tagged) {
			/* Within a string, the letter and nothing else stands before. */
			inside = tagged - made;
			if (inside > 0)
				inside--;
			return at + inside < end ? at + inside : end;
		}
		made = buf_len(scratch);
		at = end;
	}
	return at;
}

/* The string at `at` of lua-cjson's text, with its letter; returns one past it, or 0 when `out` is full. */
static size_t untag_string(struct slice tagged, size_t at, struct buf *out)
{
	size_t end = string_end(tagged, at);
	struct slice inner = slice_make(tagged.ptr + at + 2, end - at - 3);

	if (tagged.ptr[at + 1] == 'r')
		return buf_append(out, inner) ? 0 : end;
	if (buf_append_char(out, '"'))
		return 0;
	for (size_t i = 0; i < inner.len;) {
		/* lua-cjson writes "\/" for '/', which needs no escape. */
		const char *slash = memchr(inner.ptr + i, '\\', inner.len - i);
		size_t run = slash ? (size_t)(slash - inner.ptr) : inner.len;
		if (buf_append(out, slice_make(inner.ptr + i, run - i)))
			return 0;
		if (!slash)
			break;
		bool bare = run + 1 < inner.len && inner.ptr[run + 1] == '/';
		if (buf_append(out, slice_make(inner.ptr + run + (bare ? 1 : 0), bare ? 1 : 2)))
			return 0;
		i = run + 2;
	}
	return buf_append_char(out, '"') ? 0 : end;
}

int json_text_untag(struct slice tagged, struct buf *out)
{
	for (size_t at = 0; at < tagged.len;) {
		if (tagged.ptr[at] == '"') {
			at = untag_string(tagged, at, out);
			if (at == 0)
				return -1;
		} else if (buf_append_char(out, tagged.ptr[at++])) {
			return -1;
		}
	}
	return 0;
}

/* Bytes of the well-formed sequence at `at` (RFC 3629), or 0. */
static size_t sequence_len(struct slice s, size_t at)
{
	const unsigned char *p = (const unsigned char *)s.ptr + at;
	size_t left = s.len - at, len;
	unsigned char low = 0x80, high = 0xBF;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xC2 && p[0] <= 0xDF)
		len = 2;
	else if (p[0] >= 0xE0 && p[0] <= 0xEF)
		len = 3;
	else if (p[0] >= 0xF0 && p[0] <= 0xF4)
		len = 4;
	else
		return 0;
	/* The second byte excludes overlong forms, surrogates and what is beyond U+10FFFF. */
	if (p[0] == 0xE0)
		low = 0xA0;
	else if (p[0] == 0xF0)
		low = 0x90;
	else if (p[0] == 0xED)
		high = 0x9F;
	else if (p[0] == 0xF4)
		high = 0x8F;
	if (left < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	return len;
}

int json_text_utf8(struct slice s, struct buf *out)
{
	for (size_t at = 0; at < s.len;) {
		size_t run = at, len = 1;
		while (run < s.len && (len = sequence_len(s, run)) > 0)
			run += len;
		if (buf_append(out, slice_make(s.ptr + at, run - at)))
			return -1;
		at = run;
		if (at < s.len) {
			if (buf_append(out, SLICE("\xEF\xBF\xBD")))
				return -1;
			at++;
		}
	}
	return 0;
}
