/* `ctl top`: a sample as the daemon sends it (control/top.c), taken apart. */
#ifndef CLI_TOP_DATA_H
#define CLI_TOP_DATA_H

#include "base/slice.h"

/* One server, queue, rule, pending action, or the daemon. */
struct top_row {
	struct slice fields; /* "NAME=VALUE<tab>…", borrowed from its sample */
};

struct top_rows {
	struct top_row *rows; /* owned */
	size_t count;
};

struct top_data {
	char *text; /* owned */
	struct top_row daemon;
	struct top_rows servers, queues, rules, actions;
};

/* Rows of kinds that are not known are left out. */
void top_data_read(struct top_data *data, struct slice sample);
void top_data_close(struct top_data *data);

/* Empty when the row has no such field. */
struct slice top_row_get(const struct top_row *row, const char *name);
/* NAN when it has none. */
double top_row_number(const struct top_row *row, const char *name);
/* The row of that name, or NULL. */
const struct top_row *top_rows_find(const struct top_rows *rows, struct slice name);

#endif
