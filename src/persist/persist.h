/* State that survives: what must be on disk when the process ends, however it ends.
 *
 * One SQLite file, kept by one thread (disk_thread.h). All data is in memory as well, so reading never waits for the disk; the loop's
 * thread calls everything below and never waits, except in persist_open() and persist_close(). Stores, jobs and spools have a
 * header each: persist_store.h, persist_jobs.h, persist_spool.h.
 *
 * What is promised:
 *  - When a persist_fn is called without an error, the change it stands for survives kill -9 and a power cut.
 *  - Any other change is on disk 100 ms later, or as soon after as the disk can: a crash loses at most the last 100 ms and the
 *    commit in progress. Changes reach the disk in the order they were made, except that of several to one row only the last is
 *    written.
 *  - While the disk is full or failing, what waits for it ends with ERR_BACKPRESSURE and has not happened; changes that nobody waits for stay
 *    in memory, at most `dirty_bytes` of them, and are written once there is space. One exception: when the failure is one of fsync and
 *    a power cut follows before the disk works again, what ended with ERR_BACKPRESSURE can be there after all.
 *  - A damaged row is never used: each has a CRC. A damaged file is kept aside, never deleted.
 *
 * Answers come from persist_poll() only, never from inside the call that asked (nothing calls back into the caller).
 *
 * Times: `now` is nanoseconds of clock_mono_ns(), or of a replay. On disk stand milliseconds of the engine's time: the wall clock,
 * but it never goes back, neither while the engine runs nor from one run to the next: a jump of the wall clock back makes nothing
 * live longer than it should, and no jump has an effect on what is in memory.
 */
#ifndef PERSIST_PERSIST_H
#define PERSIST_PERSIST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct persist;

/* The answer to what was asked, on the loop's thread. `id`: of the job or batch, else 0. `err` NULL: it is on disk; otherwise it has not
 * happened: ERR_BACKPRESSURE, or ERR_CANCELLED at the end of the engine. */
typedef void persist_fn(void *arg, int64_t id, const struct err *err);

/* 0 stands for the default that is named. */
struct persist_limits {
	size_t stores;        /* names; 1,000 */
	size_t store_entries; /* of each writer; 10,000 */
	size_t store_bytes;   /* of each writer, with what the entries cost in memory; 16 MiB */
	size_t queues;        /* names; 1,000 */
	size_t queue_jobs;    /* of each queue, waiting and running, and as many that are remembered for `dedup`; 10,000. Beyond it a push
	                       * fails, and the oldest that is remembered is forgotten, counted and logged */
	size_t queue_dead;    /* dead jobs of each queue; 1,000. Beyond it the oldest is dropped, counted and logged */
	size_t job_bytes;     /* a body; 64 KiB */
	size_t spool_lines;   /* of each spool; 100,000 */
	size_t spool_bytes;   /* of each spool; 64 MiB */
	size_t spool_dead;    /* dead letters of each spool; 1,000. Beyond it the oldest is dropped, counted and logged */
};

struct persist_options {
	const char *file;   /* NULL: nothing is written, everything succeeds (replay, tests of rules) */
	size_t dirty_bytes; /* changes that wait for the disk; 0: 64 MiB */
	size_t wal_bytes;   /* the WAL; 0: 256 MiB. Beyond it the disk counts as failing */
	struct persist_limits limits;
	/* Called by the writer's thread (without a file: by the caller's) when persist_poll() has something to do. It must only wake
	 * the loop, as ev_async_send() does. */
	void (*notify)(void *ctx); /* NULL: persist_poll() is called often anyway */
	void *ctx;
	double (*wall)(void); /* epoch seconds; NULL: clock_wall() */
};

/* Opens or creates the file (mode 0600), with all its data in memory when it returns. Waits for the disk: for the time before the
 * loop runs. A damaged file is salvaged and that is logged. NULL with ERR_DENIED: another engine uses it; ERR_INVALID: made by a
 * newer version, or by another program; ERR_SYSTEM. */
struct persist *persist_open(const struct persist_options *options, uint64_t now, struct err *err);
/* Jobs that run are waiting again and have used up no try. Writes what is left, for at most `seconds`. What still waits for an
 * answer gets ERR_CANCELLED unless it reached the disk. Returns 0, or -1 when changes were lost (logged). */
int persist_close(struct persist **persist, uint64_t now, double seconds);

/* New limits and dirty_bytes, from a reload. */
void persist_limit(struct persist *persist, const struct persist_limits *limits, size_t dirty_bytes);

/* Gives the answers that have come, removes what has expired, makes jobs ready that are due; a bounded amount of each: call it again when
 * persist_next() is not later than now. */
void persist_poll(struct persist *persist, uint64_t now);
/* When to call persist_poll() though nothing notifies; 0: at once, UINT64_MAX: no need. */
uint64_t persist_next(const struct persist *persist);

/* `fn` is called once all that was changed before is on disk. 0, or -1 with ERR_BACKPRESSURE when the disk fails: then it is never
 * called. */
int persist_sync(struct persist *persist, persist_fn *fn, void *arg, struct err *err);

/* Writes a copy of the file while it is in use; `fn` is called when it is complete and on disk, or with ERR_SYSTEM or ERR_NOT_READY
 * (another backup is under way). `file` must not exist. 0, or -1 with ERR_NOT_READY when there is no file. */
int persist_backup(struct persist *persist, const char *file, persist_fn *fn, void *arg, struct err *err);

struct persist_status {
	const char *file;       /* NULL: only in memory */
	bool failing;           /* the disk is full or fails */
	bool rewriting;         /* the file was damaged and is being written anew */
	const char *error;      /* the last failure, NULL: none; valid until the next call */
	uint64_t commits, rows; /* rows written by commits */
	uint64_t failures, damages;
	double commit_seconds;  /* of all commits */
	uint64_t commit_began;  /* of the running one; 0: none runs */
	size_t dirty_bytes;     /* not on disk yet */
	size_t wal_bytes, file_bytes, log_rows;
	size_t entries, jobs, lines; /* in memory */
};
void persist_status(struct persist *persist, struct persist_status *out);

#endif
