/* The file's schema and its versions. SQLite's user_version holds the version; version 0 is an empty file. */
#ifndef PERSIST_SCHEMA_H
#define PERSIST_SCHEMA_H

#include <sqlite3.h>

#include "base/err.h"

/* "hksw": what `file` and SQLite call the application id. */
#define SCHEMA_APPLICATION_ID 0x686b7377

/* The SQL that brings a file from version i to version i + 1. */
extern const char *const schema_steps[];
extern const int schema_version; /* how many steps there are */

/* Only reads. 0 when the open file at `path` is empty or of a version up to `count`; else -1: ERR_INVALID when it is newer, or belongs
 * to another program; ERR_SYSTEM with SQLite's code in `*rc`. */
int schema_check(sqlite3 *db, const char *path, int count, int *rc, struct err *err);

/* Brings the open file at `path` to version `count` with `steps`, all of them in one transaction. A file of version 1 or more is
 * first copied to `PATH.schema-VERSION-TIME`. 0, or -1: as schema_check(), or ERR_SYSTEM when the copy or the upgrade failed (nothing
 * has changed then); `*rc` is SQLite's code. */
int schema_upgrade(sqlite3 *db, const char *path, const char *const *steps, int count, int *rc, struct err *err);

#endif
