/* Writes JSON into a buffer and keeps count of the commas. `key` is NULL for an item of a list. Texts are masked as in the
 * log (P8). */
#ifndef VIEW_JSON_WRITER_H
#define VIEW_JSON_WRITER_H

#include "base/buf.h"

struct writer {
	struct buf *out;
	bool more; /* something stands before in this object or list */
};

void writer_init(struct writer *writer, struct buf *out);
/* '{' or '['; writer_close() takes '}' or ']'. */
void writer_open(struct writer *writer, const char *key, char bracket);
void writer_close(struct writer *writer, char bracket);
void writer_open_slice(struct writer *writer, struct slice key, char bracket);
/* A key of bytes that somebody else sent. */
void writer_slice(struct writer *writer, struct slice key, struct slice text);
/* A text as an item of a list. */
void writer_item(struct writer *writer, struct slice text);
/* A NULL text is null. */
void writer_text(struct writer *writer, const char *key, const char *text);
void writer_integer(struct writer *writer, const char *key, uint64_t value);
/* With six decimals; null when it is not finite. */
void writer_number(struct writer *writer, const char *key, double value);
void writer_bool(struct writer *writer, const char *key, bool value);
/* A value that is JSON already. */
void writer_json(struct writer *writer, const char *key, struct slice json);
void writer_null(struct writer *writer, const char *key);
/* The lines of `text`, each with or without its line end, as a list of texts. */
void writer_lines(struct writer *writer, const char *key, const char *text);

#endif
