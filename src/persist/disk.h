/* The state file through SQLite, for one thread: rows in and out, transactions, folding, checkpoints, backups.
 *
 * WAL, synchronous=FULL: when disk_commit() returns DISK_OK, the transaction survives a power cut. */
#ifndef PERSIST_DISK_H
#define PERSIST_DISK_H

#include "base/err.h"
#include "persist/row.h"

struct disk;
struct disk_backup;

enum disk_result {
	DISK_OK,
	DISK_FAILING, /* full, an I/O error, locked: nothing of the transaction is kept; try again later */
	DISK_DAMAGED, /* the file's content is bad: SQLite says so, or a CRC does */
	DISK_REFUSED, /* disk_open() only: newer, of another program; trying again does not help */
};

/* Opens `path`, which exists (an empty file becomes a new one), and brings its schema up to date. NULL with `result` and `err`. */
struct disk *disk_open(const char *path, enum disk_result *result, struct err *err);
/* With `checkpoint`, all goes from the WAL into the file first and the WAL is removed; without, both stay as they are. */
void disk_close(struct disk **disk, bool checkpoint);

/* Gives every row to `fn`; the log comes after the entries, oldest change first. DISK_DAMAGED at the first bad row, or when
 * SQLite finds the file inconsistent. The slice is valid during the call. */
typedef void disk_row_fn(void *ctx, enum row_table table, int64_t id, struct slice row);
enum disk_result disk_load(struct disk *disk, disk_row_fn *fn, void *ctx, struct err *err);

/* A transaction. Any result but DISK_OK has rolled it back. */
enum disk_result disk_begin(struct disk *disk, struct err *err);
/* Stores a row, whatever stood under that id. */
enum disk_result disk_put(struct disk *disk, enum row_table table, int64_t id, struct slice row, struct err *err);
enum disk_result disk_delete(struct disk *disk, enum row_table table, int64_t id, struct err *err);
/* Appends a change of an entry to the log: its new row, or the last one when it is gone. */
enum disk_result disk_append(struct disk *disk, int64_t entry, bool gone, struct slice row, struct err *err);
enum disk_result disk_commit(struct disk *disk, struct err *err);

/* Changes in the log that were not folded. */
size_t disk_log_rows(const struct disk *disk);
/* Moves the oldest changes, at most `max`, from the log into the entries; a transaction of its own. */
enum disk_result disk_fold(struct disk *disk, size_t max, struct err *err);

/* Bytes of the WAL that were not checkpointed. */
size_t disk_wal_bytes(const struct disk *disk);
size_t disk_file_bytes(const struct disk *disk);
/* Copies the WAL into the file as far as readers allow. */
enum disk_result disk_checkpoint(struct disk *disk, struct err *err);

/* A copy of the running database in `file`, which must not exist; mode 0600. It may be stepped between transactions and has what
 * they change. disk_backup_step(): 1 done, 0 not yet, -1 with `err`. disk_backup_end() removes an unfinished copy. */
struct disk_backup *disk_backup_begin(struct disk *disk, const char *file, struct err *err);
int disk_backup_step(struct disk_backup *backup, int pages, struct err *err);
void disk_backup_end(struct disk_backup **backup);

#endif
