/* A byte queue with a cap: bytes are appended at the tail and consumed at the head. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/slice.h"

struct buf {
	char *data;  /* owned; NULL while nothing was ever stored */
	size_t head; /* first byte that was not consumed */
	size_t tail; /* one past the last byte */
	size_t cap;
	size_t max;  /* `tail - head` never passes it; 0: unbounded, for text that we build ourselves */
};

void buf_init(struct buf *buf, size_t max);
/* Frees the bytes; the struct can be used again. */
void buf_close(struct buf *buf);

static inline size_t buf_len(const struct buf *buf)
{
	return buf->tail - buf->head;
}

static inline struct slice buf_slice(const struct buf *buf)
{
	return (struct slice){ buf->data ? buf->data + buf->head : "", buf->tail - buf->head };
}

/* Makes space for `n` bytes at the tail; moves the bytes to the front when that is enough.
 * Returns where to write, or NULL when the cap or memory forbids it (nothing changed). */
char *buf_reserve(struct buf *buf, size_t n);
/* `n` bytes were written at the place that buf_reserve returned. */
void buf_commit(struct buf *buf, size_t n);
/* 0, or -1 as buf_reserve (then nothing was appended). */
int buf_append(struct buf *buf, struct slice s);
int buf_append_cstr(struct buf *buf, const char *text);
int buf_append_char(struct buf *buf, char c);
int buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends `s` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
int buf_append_json(struct buf *buf, struct slice s);
/* Drops `n` bytes at the head. */
void buf_consume(struct buf *buf, size_t n);
/* Empties it, keeps the memory. */
void buf_clear(struct buf *buf);
/* The content with a NUL behind it (not counted); valid until the next change. */
const char *buf_cstr(struct buf *buf);

#endif
