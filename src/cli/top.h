/* `ctl top` on a terminal, or once on anything else. */
#ifndef CLI_TOP_H
#define CLI_TOP_H

#include "base/buf.h"

struct top_options {
	bool once;          /* one drawing, as wide as the terminal or as it comes */
	const char *sort;   /* a column; NULL: the default */
	const char *server; /* this one alone; NULL: all */
};

/* False when it is no column that `--sort` can name; says so on stderr, with those there are. */
bool top_check_sort(const char *sort);

/* Draws the samples that come over `fd`; `held` has what has come already. True when the user ended it, or once was enough; false
 * when the stream ended. */
bool top_run(int fd, struct buf *held, const struct top_options *options);

#endif
