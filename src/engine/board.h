/* The files of the board, which web/ serves: read beside the loop, kept in memory, replaced as a whole by a reload. */
#ifndef ENGINE_BOARD_H
#define ENGINE_BOARD_H

#include "base/err.h"
#include "base/slice.h"

#define BOARD_FILES_MAX 256
#define BOARD_BYTES_MAX ((size_t)8 << 20)

struct board_file {
	char *name;  /* "index.html", "views/calls.js"; letters, digits, '.', '_', '-' and '/' */
	char *bytes;
	size_t len;
	char tag[28]; /* of its content, in quotes */
};

struct board {
	struct board_file *files; /* sorted by name */
	size_t count;
};

/* Reads `folder`, which may be missing: an empty board then. Names with other characters, or with a dot in front, are left out. Blocks. NULL with
 * `err` when a file cannot be read or there are more than the bounds. */
struct board *board_read(const char *folder, struct err *err);
void board_destroy(struct board **board);
/* NULL: there is none of that name. */
const struct board_file *board_find(const struct board *board, struct slice name);

#endif
