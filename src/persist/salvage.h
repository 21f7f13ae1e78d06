/* Good rows of a damaged file. SQLite gives up at the first bad page of a tree; here each page that holds rows is read by itself,
 * and a row is good when its CRC is. What stood on bad pages is lost; a row that was deleted can come back when the list of free
 * pages is damaged too. */
#ifndef PERSIST_SALVAGE_H
#define PERSIST_SALVAGE_H

#include "persist/disk.h"

struct salvage_counts {
	size_t rows;     /* good ones */
	size_t bad_rows; /* seen, but with a wrong CRC or cut short; what stood on pages that are not readable is not in it */
};

/* Reads `path` and its WAL, changes neither. Rows come by table and id, the log after the entries. 0; or -1 with `err`: ERR_SYSTEM,
 * or ERR_INVALID when it is no state file of ours at all. */
int salvage_read(const char *path, disk_row_fn *fn, void *ctx, struct salvage_counts *counts, struct err *err);

#endif
