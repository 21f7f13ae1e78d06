#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"

#define SMALL ((size_t)65536) /* of an unbounded buffer: bookkeeping, which mem_alloc() serves from its reserve too */

void buf_init(struct buf *buf, size_t max)
{
	*buf = (struct buf){ .max = max };
}

void buf_close(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){ .max = buf->max };
}

char *buf_reserve(struct buf *buf, size_t n)
{
	size_t len = buf_len(buf), need;

	if (__builtin_add_overflow(len, n, &need) || (buf->max && need > buf->max))
		return NULL;
	if (buf->cap - buf->tail >= n && buf->data)
		return buf->data + buf->tail;
	/* Moving costs `len` bytes; only worth it when at least as many were consumed since the last move. */
	if (buf->data && need <= buf->cap && buf->head >= len) {
		memmove(buf->data, buf->data + buf->head, len);
	} else {
		size_t cap = buf->cap ? buf->cap : 256;
		while (cap < need)
			if (__builtin_mul_overflow(cap, 2, &cap))
				return NULL;
		if (cap == buf->cap)
			cap *= 2;
		char *data = cap <= SMALL && !buf->max ? mem_alloc(cap) : malloc(cap);
		if (!data)
			return NULL;
		if (len > 0)
			memcpy(data, buf->data + buf->head, len);
		free(buf->data);
		buf->data = data;
		buf->cap = cap;
	}
	buf->head = 0;
	buf->tail = len;
	return buf->data + buf->tail;
}

void buf_commit(struct buf *buf, size_t n)
{
	buf->tail += n;
}

int buf_append(struct buf *buf, struct slice s)
{
	char *to = buf_reserve(buf, s.len);
	if (!to)
		return -1;
	if (s.len > 0)
		memcpy(to, s.ptr, s.len);
	buf->tail += s.len;
	return 0;
}

int buf_append_cstr(struct buf *buf, const char *text)
{
	return buf_append(buf, slice_cstr(text));
}

int buf_append_char(struct buf *buf, char c)
{
	return buf_append(buf, slice_make(&c, 1));
}

int buf_printf(struct buf *buf, const char *format, ...)
{
	size_t space = buf->data ? buf->cap - buf->tail : 0;
	va_list args;
	va_start(args, format);
	int n = vsnprintf(space > 0 ? buf->data + buf->tail : NULL, space, format, args);
	va_end(args);
	if (n < 0)
		return -1;
	/* Mostly it fits at once. */
	if ((size_t)n < space && (!buf->max || buf_len(buf) + (size_t)n + 1 <= buf->max)) {
		buf->tail += (size_t)n;
		return 0;
	}
	/* vsnprintf writes a NUL behind the text, so one byte more than is kept. */
	char *to = buf_reserve(buf, (size_t)n + 1);
	if (!to)
		return -1;
	va_start(args, format);
	vsnprintf(to, (size_t)n + 1, format, args);
	va_end(args);
	buf->tail += (size_t)n;
	return 0;
}

static int append_json_char(struct buf *buf, unsigned char c)
{
	switch (c) {
	case '"':
		return buf_append(buf, SLICE("\\\""));
	case '\\':
		return buf_append(buf, SLICE("\\\\"));
	case '\n':
		return buf_append(buf, SLICE("\\n"));
	case '\r':
		return buf_append(buf, SLICE("\\r"));
	case '\t':
		return buf_append(buf, SLICE("\\t"));
	default:
		return buf_printf(buf, "\\u%04x", c);
	}
}

int buf_append_json(struct buf *buf, struct slice s)
{
	int rc = buf_append_char(buf, '"');
	size_t i = 0;

	while (i < s.len && rc == 0) {
		size_t run = i;
		while (run < s.len && (unsigned char)s.ptr[run] >= 0x20 && (unsigned char)s.ptr[run] < 0x7F && s.ptr[run] != '"' &&
		       s.ptr[run] != '\\')
			run++;
		rc = buf_append(buf, slice_make(s.ptr + i, run - i));
		i = run;
		if (i == s.len || rc)
			break;
		unsigned char c = (unsigned char)s.ptr[i];
		size_t n = c >= 0x80 ? utf8_char(slice_make(s.ptr + i, s.len - i)) : 0;
		if (c < 0x80)
			rc = append_json_char(buf, c);
		else if (n > 0)
			rc = buf_append(buf, slice_make(s.ptr + i, n));
		else
			rc = buf_append(buf, SLICE(UTF8_REPLACEMENT));
		i += n > 0 ? n : 1;
	}
	return rc ? rc : buf_append_char(buf, '"');
}

void buf_consume(struct buf *buf, size_t n)
{
	buf->head += n;
	if (buf->head == buf->tail)
		buf->head = buf->tail = 0;
}

void buf_clear(struct buf *buf)
{
	buf->head = buf->tail = 0;
}

const char *buf_cstr(struct buf *buf)
{
	size_t max = buf->max;
	buf->max = 0;
	char *end = buf_reserve(buf, 1);
	buf->max = max;
	if (!end)
		return "";
	*end = '\0';
	return buf->data + buf->head;
}
