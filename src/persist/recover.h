/* Opening a state file whatever has happened to it, and putting a new one in its place. For the writer's thread. */
#ifndef PERSIST_RECOVER_H
#define PERSIST_RECOVER_H

#include "persist/disk.h"

/* Locks and opens `path` (creates it), ends a swap that was cut short, gives all rows to `load`. When the file is damaged:
 * salvages its good rows into a new file, puts that in its place, logs both, and sets `*salvaged`; `load` has then been given the
 * good rows, after a call of `reset`. `*lock` holds the file against a second engine until it is closed. NULL with `err`. */
struct disk *recover_open(const char *path, disk_row_fn *load, void (*reset)(void *ctx), void *ctx, int *lock, bool *salvaged,
                          struct err *err);
/* Begins a new file beside `path`. NULL with `err`. */
struct disk *recover_begin(const char *path, struct err *err);
/* Puts it in the place of `path`: `*disk` and `*lock` are then those of the new file, and `*aside` (malloc'd) is where the old
 * one is. 0; or -1 with `err`: call it again later. */
int recover_end(const char *path, struct disk **disk, int *lock, char **aside, struct err *err);

#endif
