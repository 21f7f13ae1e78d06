/* The thread that keeps the state file: takes changes from the loop, commits them in groups, and gives back what asked for it.
 *
 *   ok ──full, I/O error──> failing ──a commit succeeds──> ok
 *   ok, failing ──damage──> rewriting ──the loop has pushed all it holds, the new file is in its place──> ok
 *
 * A change that comes back (change.h) starts a commit at once, or right after the running one; any other is on its way to the disk
 * within DISK_THREAD_GROUP_NS. While the disk fails, what comes back does so with ERR_BACKPRESSURE and the rest waits; a commit is tried
 * again every second. After damage the loop pushes a copy of everything (disk_thread_copy_wanted()) into a new file; what comes back
 * waits until that one is in place.
 *
 * All functions but disk_thread_open() and disk_thread_close() never wait; they are for one thread, the loop's. */
#ifndef PERSIST_DISK_THREAD_H
#define PERSIST_DISK_THREAD_H

#include "base/clock.h"
#include "persist/change.h"
#include "persist/disk.h"

#define DISK_THREAD_GROUP_NS (80 * CLOCK_NS_PER_MS)

struct disk_thread;

struct disk_thread_options {
	const char *path;
	size_t wal_bytes;          /* beyond it the disk counts as failing */
	void (*notify)(void *ctx); /* from the writer's thread: disk_thread_take() or disk_thread_copy_wanted() has something new */
	disk_row_fn *load;         /* during disk_thread_open(): each row of the file */
	void (*reset)(void *ctx);  /* during disk_thread_open(): forget the rows that load() was given, they come again */
	void *ctx;                 /* of load() and reset() */
	void *notify_ctx;
};

struct disk_thread_status {
	bool failing, rewriting;
	const char *error;      /* the last one; NULL: none yet. Valid until the next call */
	uint64_t commits, rows; /* rows: written by commits, after coalescing */
	uint64_t failures;      /* commits and other steps that failed */
	uint64_t damages;       /* how often the file was found damaged, at the start or later */
	double commit_seconds;  /* all commits together */
	uint64_t commit_began;  /* clock_mono_ns() of the running one; 0: none runs */
	size_t wal_bytes, file_bytes, log_rows;
};

/* Opens or creates the file, loads it, salvages it when it is damaged; waits until that is done. NULL with ERR_DENIED (another
 * engine has it), ERR_INVALID (newer schema, not ours) or ERR_SYSTEM. */
struct disk_thread *disk_thread_open(const struct disk_thread_options *options, struct err *err);
/* Commits what is left, at most until the deadline, and ends the thread. Returns how many changes did not reach the disk, and what
 * came back last in `*list`. */
size_t disk_thread_close(struct disk_thread **writer, uint64_t deadline, struct change **list);

/* Takes `change` over. */
void disk_thread_push(struct disk_thread *writer, struct change *change);
/* A list of what came back, oldest first; the caller's. */
struct change *disk_thread_take(struct disk_thread *writer);
/* Bytes of changes that are not on disk yet. */
size_t disk_thread_dirty(const struct disk_thread *writer);
bool disk_thread_failing(const struct disk_thread *writer);
bool disk_thread_rewriting(const struct disk_thread *writer);
/* Rises each time when the loop must push a copy of all it holds, then CHANGE_REWROTE with this number in `n`. */
uint64_t disk_thread_copy_wanted(const struct disk_thread *writer);
void disk_thread_status(struct disk_thread *writer, struct disk_thread_status *out);

#endif
