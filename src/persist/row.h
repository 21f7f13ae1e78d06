/* Rows as the layer passes them around: packed bytes, the same in memory, between threads and under the CRC.
 *
 * A packed row is its columns in the table's order: an integer is 8 bytes, a text or bytes are 4 bytes of length and
 * then itself; all little endian. The id (SQLite's rowid) stands beside it. The CRC of a row covers the table's number (4 bytes),
 * the id (8 bytes) and the packed row: a row that lands in another table or under another id is a bad row too. */
#ifndef PERSIST_ROW_H
#define PERSIST_ROW_H

#include "base/buf.h"

/* The numbers are on disk, under the CRC. */
enum row_table { ROW_META, ROW_ENTRY, ROW_LOG, ROW_JOB, ROW_LINE, ROW_BATCH, ROW_TABLES };

/* Rows of `meta`. */
enum row_meta {
	META_TIME = 1,    /* the engine's time, written at most once a second (persist.h) */
	META_IDS = 2,     /* ids below it may have been used */
	META_ATTEMPT = 3, /* written to see whether a failing disk works again */
};

struct row_def {
	const char *name;
	/* One letter a column: i integer, t text, b bytes (stored as text while they are UTF-8, so that people can read them). */
	const char *types;
	/* Without the id, which comes first, and the CRC, which comes last. */
	const char *columns[16];
};

extern const struct row_def row_defs[ROW_TABLES];

uint32_t row_crc(enum row_table table, int64_t id, struct slice row);

/* Appending to a row that is being packed. */
void row_put_int(struct buf *row, int64_t n);
void row_put_bytes(struct buf *row, struct slice s);

/* Taking columns off the front of `row`, in order. False when it is too short; then nothing was taken. */
bool row_take_int(struct slice *row, int64_t *n);
bool row_take_bytes(struct slice *row, struct slice *s);
/* A whole row by letters: `row_take(row, "tbi", &name, &key, &n)` with `struct slice *` and `int64_t *`; false unless it
 * fits exactly. */
bool row_take(struct slice row, const char *types, ...);

#endif
