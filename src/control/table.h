/* Text for people: tables with columns as wide as their cells, and values that cannot steer a terminal. */
#ifndef CONTROL_TABLE_H
#define CONTROL_TABLE_H

#include "base/buf.h"

#define TABLE_COLUMNS_MAX 16

struct table_column {
	const char *title;
	bool right; /* numbers */
};

struct table {
	const struct table_column *columns; /* borrowed */
	size_t column_count;
	size_t widths[TABLE_COLUMNS_MAX];   /* in characters */
	size_t cells;                       /* so far, row by row */
	struct buf text;                    /* of all cells, each ended by a NUL */
};

void table_init(struct table *table, const struct table_column *columns, size_t column_count);
/* The next cell, masked and cleaned as in text_clean(); an empty one shows as "-". At most 1023 bytes of it. */
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Titles and rows, each line begun by `indent`. Closes the table. */
void table_print(struct table *table, const char *indent, struct buf *out);
/* The same in lines of at most `width` characters: what is too long for that is cut in the first column, but for its last 8. */
void table_print_within(struct table *table, unsigned width, struct buf *out);

/* Appends `text` with secrets masked (P8); control characters and bytes that are not UTF-8 become \n, \x1b …. */
void text_clean(struct buf *out, struct slice text);
/* The same for a text of several lines, each begun by `indent` and ended by a line end. */
void text_lines(struct buf *out, const char *indent, const char *text);

/* The same in lines of at most `width` characters, broken at blanks; what goes on in a line of its own stands two further in. */
void text_wrapped(struct buf *out, const char *indent, const char *text, unsigned width);

#define TEXT_SHORT 32
/* "2026-11-20 21:57:03", local time. */
const char *text_time(double epoch, char out[TEXT_SHORT]);
/* "0.4 s", "12 s", "5 m 12 s", "3 h 20 m", "4 d 2 h". */
const char *text_age(double seconds, char out[TEXT_SHORT]);
/* "812 B", "4.1 MiB". */
const char *text_bytes(uint64_t bytes, char out[TEXT_SHORT]);

#endif
