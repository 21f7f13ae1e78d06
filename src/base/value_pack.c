#include "base/value_pack.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 200 /* deeper ones are never stored */

/* The decimal digits of `n`, so that they end before `at`; returns where they begin. */
static char *put_digits(char *at, uint64_t n)
{
	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	return at;
}

static int pack_integer(struct buf *out, int64_t n)
{
	char text[24], *at = text + sizeof text;
	*--at = ';';
	at = put_digits(at, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
	if (n < 0)
		*--at = '-';
	*--at = 'i';
	return buf_append(out, slice_make(at, (size_t)(text + sizeof text - at)));
}

/* "n%a;" without printf, which would cost as much as all the rest of a small table. */
static int pack_number(struct buf *out, double number)
{
	char text[32], *at = text + sizeof text;
	uint64_t bits;

	memcpy(&bits, &number, sizeof bits);
	uint64_t fraction = bits & (UINT64_MAX >> 12);
	int exponent = (int)(bits >> 52 & 0x7ff) - 1023, places = 13;
	/* Zero and what is smaller than any normal number; infinity and NaN. */
	if (exponent == -1023 || exponent == 1024)
		return buf_printf(out, "n%a;", number);
	*--at = ';';
	at = put_digits(at, (uint64_t)abs(exponent));
	*--at = exponent < 0 ? '-' : '+';
	*--at = 'p';
	if (fraction > 0) {
		for (; (fraction & 15) == 0; fraction >>= 4)
			places--;
		for (; places > 0; places--, fraction >>= 4)
			*--at = "0123456789abcdef"[fraction & 15];
		*--at = '.';
	}
	at -= 3;
	memcpy(at, "0x1", 3);
	if (bits >> 63)
		*--at = '-';
	*--at = 'n';
	return buf_append(out, slice_make(at, (size_t)(text + sizeof text - at)));
}

/* "sLENGTH:", the bytes, ";". */
static int pack_text(struct buf *out, struct slice s)
{
	char head[24], *end = head + sizeof head, *at = end;
	*--at = ':';
	at = put_digits(at, s.len);
	*--at = 's';
	size_t n = (size_t)(end - at);
	char *to = buf_reserve(out, n + s.len + 1);
	if (!to)
		return -1;
	memcpy(to, at, n);
	if (s.len > 0)
		memcpy(to + n, s.ptr, s.len);
	to[n + s.len] = ';';
	buf_commit(out, n + s.len + 1);
	return 0;
}

int value_pack(struct buf *out, const struct value *value)
{
	int rc = 0;

	switch (value->type) {
	case VALUE_NIL:
		return -1;
	case VALUE_BOOL:
		return buf_append_cstr(out, value->boolean ? "t;" : "f;");
	case VALUE_INT:
		return pack_integer(out, value->integer);
	case VALUE_NUMBER:
		return pack_number(out, value->number);
	case VALUE_TEXT:
		return pack_text(out, slice_make(value->text.bytes, value->text.len));
	case VALUE_TABLE:
		rc = buf_append_char(out, '{');
		for (size_t i = 0; i < value->table.count && rc == 0; i++)
			rc = value_pack(out, &value->table.pairs[i].key) | value_pack(out, &value->table.pairs[i].value);
		return rc | buf_append_char(out, '}');
	}
	return rc;
}

/* The bytes up to `end`, taken off with it; at most 40 of them, as no number is longer. */
static bool take_until(struct slice *in, char end, struct slice *word)
{
	size_t most = in->len < 41 ? in->len : 41;
	const char *at = memchr(in->ptr, end, most);
	if (!at)
		return false;
	*word = slice_make(in->ptr, (size_t)(at - in->ptr));
	*in = slice_make(at + 1, in->len - word->len - 1);
	return true;
}

static bool to_number(struct slice word, double *number)
{
	char text[48], *end;
	memcpy(text, word.ptr, word.len);
	text[word.len] = '\0';
	*number = strtod(text, &end);
	return end != text && *end == '\0';
}

static bool take_text(struct slice *in, struct value *out)
{
	struct slice word;
	int64_t len;
	if (!take_until(in, ':', &word) || !slice_to_int(word, &len) || len < 0 || (uint64_t)len >= in->len ||
	    in->ptr[len] != ';')
		return false;
	*out = value_text(slice_make(in->ptr, (size_t)len));
	*in = slice_make(in->ptr + len + 1, in->len - (size_t)len - 1);
	return true;
}

static bool take(struct slice *in, struct value *out, int depth);

static bool take_table(struct slice *in, struct value *out, int depth)
{
	*out = (struct value){ .type = VALUE_TABLE };
	while (in->len > 0 && *in->ptr != '}') {
		struct value key = { .type = VALUE_NIL }, item = { .type = VALUE_NIL };
		bool good = take(in, &key, depth) && key.type != VALUE_TABLE && take(in, &item, depth);
		if (!good) {
			value_close(&key);
			value_close(&item);
			return false;
		}
		value_add(out, key, item);
	}
	if (in->len == 0)
		return false;
	*in = slice_make(in->ptr + 1, in->len - 1);
	return true;
}

static bool take(struct slice *in, struct value *out, int depth)
{
	struct slice word;
	if (in->len == 0 || depth > DEPTH_MAX)
		return false;
	char kind = *in->ptr;
	*in = slice_make(in->ptr + 1, in->len - 1);
	if (kind == 's')
		return take_text(in, out);
	if (kind == '{')
		return take_table(in, out, depth + 1);
	if (!take_until(in, ';', &word))
		return false;
	switch (kind) {
	case 't':
	case 'f':
		*out = (struct value){ .type = VALUE_BOOL, .boolean = kind == 't' };
		return word.len == 0;
	case 'i':
		*out = (struct value){ .type = VALUE_INT };
		return slice_to_int(word, &out->integer);
	case 'n':
		*out = (struct value){ .type = VALUE_NUMBER };
		return to_number(word, &out->number);
	default:
		return false;
	}
}

int value_unpack(struct slice text, struct value *out)
{
	*out = (struct value){ .type = VALUE_NIL };
	if (take(&text, out, 0) && text.len == 0)
		return 0;
	value_close(out);
	return -1;
}
