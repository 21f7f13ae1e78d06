/* The files around the state file: created for their owner alone, locked against a second engine, put aside when damaged. */
#ifndef PERSIST_FILES_H
#define PERSIST_FILES_H

#include <stdbool.h>

#include "base/err.h"

/* Creates an empty file with mode 0600, never over one that is there. 0, or -1 with ERR_SYSTEM. */
int files_create(const char *path, struct err *err);
/* Opens (or creates, mode 0600) and locks `path`; the lock lasts until the descriptor is closed. -1: ERR_SYSTEM, or ERR_DENIED
 * when another engine has it. */
int files_lock(const char *path, struct err *err);
/* "NAME-20261120T215703Z", malloc'd; a number is added until no such file exists. */
char *files_timed_name(const char *name);
/* Makes the names in the folder of `path` last (fsync of the folder). */
int files_sync_folder(const char *path, struct err *err);

/* A file that takes the place of a damaged one is written under files_rewrite_name(); files_swap() puts it in the place of `path`
 * once it is whole and closed. The old file with its -wal and -shm is renamed to `PATH.damaged-TIME` (`*aside`, malloc'd; NULL
 * when there was none). When it was cut short, files_swap_pending() says so at the next start and files_swap() ends it. */
char *files_rewrite_name(const char *path);
int files_swap(const char *path, char **aside, struct err *err);
bool files_swap_pending(const char *path);
/* Removes an unfinished rewrite. */
void files_discard_rewrite(const char *path);

#endif
