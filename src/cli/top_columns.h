/* `ctl top`: the columns of its tables, and how many of them fit a width. */
#ifndef CLI_TOP_COLUMNS_H
#define CLI_TOP_COLUMNS_H

#include "base/buf.h"
#include "cli/top_data.h"

#define TOP_COLUMNS_MAX 16

enum top_kind { TOP_TEXT, TOP_RATE, TOP_COUNT, TOP_BYTES, TOP_MS, TOP_AGE, TOP_PERCENT, TOP_SECONDS };

struct top_column {
	const char *key, *title; /* key: the field, also for --sort */
	enum top_kind kind;
	unsigned rank;           /* which columns a narrow terminal keeps: the lowest */
};

struct top_table {
	const struct top_column *columns;
	unsigned count;
};

/* Of servers, queues, rules, and pending actions. In each the first column is the name. */
extern const struct top_table top_servers, top_queues, top_rules, top_actions;

/* The column's index by its key or its title without blanks ("cpu", "events/s"), case ignored; -1: there is none. */
int top_column_find(const struct top_table *table, const char *name);

/* The cell as it is shown. */
void top_cell(const struct top_row *row, const struct top_column *column, char *out, size_t size);

/* What stands in a line of `width` characters (0: no end): columns in their order, and their widths. */
struct top_layout {
	unsigned columns[TOP_COLUMNS_MAX], widths[TOP_COLUMNS_MAX], count;
};
/* For these rows; `sorted` is the column that shows an arrow, -1: none. */
void top_lay_out(const struct top_table *table, const struct top_rows *rows, int sorted, unsigned width, struct top_layout *layout);

/* `text` in exactly `width` characters: padded, or cut with an ellipsis. */
void top_fit(struct buf *out, struct slice text, unsigned width, bool right);
/* Characters of a UTF-8 text. */
unsigned top_characters(struct slice text);

#endif
