/* What stores, jobs and spools share, on the loop's thread. */
#ifndef PERSIST_INTERNAL_H
#define PERSIST_INTERNAL_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "persist/change.h"
#include "persist/persist.h"
#include "persist/disk_thread.h"

/* What one persist_poll() removes, moves or copies of each kind at most. */
#define PERSIST_SLICE 1000

struct persist_stores {
	struct map spaces;  /* name -> struct persist_store, owned */
	struct map numbers; /* name of a writer -> number + 1 */
	struct persist_writer *writers;
	unsigned writer_count, writer_cap;
	struct list entries; /* all of them */
	size_t count;
	struct heap expiry;
	struct list *copied; /* the next entry that a rewrite copies */
};

struct persist_jobs {
	struct map queues; /* name -> struct queue, owned */
	struct map ids;    /* id -> struct job, owned */
	struct map names;  /* queue NUL name -> struct job, the youngest of that name */
	struct list all;   /* jobs by age */
	struct heap due;   /* waiting for their time, or done and remembered for `dedup` */
	uint64_t readied;  /* persist_jobs_readied() */
	struct list *copied;
};

struct persist_spools {
	struct map spools; /* name -> struct persist_spool, owned */
	struct list all;   /* lines of all spools, dead ones too */
	size_t lines;      /* that wait */
	struct list *copied;
};

enum copy_stage { COPY_NONE, COPY_META, COPY_STORES, COPY_JOBS, COPY_SPOOLS };

struct persist {
	struct persist_options options;
	char *file;
	struct disk_thread *writer;     /* NULL: in memory only */
	struct change_queue local; /* answers without a writer */
	uint64_t now;              /* of the call that is running */
	int64_t time, time_saved;  /* the engine's time in ms at `time_now`; what is on disk */
	uint64_t time_now;
	int64_t next_id, ids_reserved;
	struct buf row; /* scratch */
	struct persist_stores stores;
	struct persist_jobs jobs;
	struct persist_spools spools;
	enum copy_stage copying;
	uint64_t copy_number;
};

/* Hands a change to the writer. With `done`, it comes back to that function (with `fn` and `arg` for it), and must be freed there.
 * The row is p->row, for a PUT and for a DELETE of an entry. */
void persist_submit(struct persist *p, enum change_kind kind, enum row_table table, int64_t id, change_fn *done, persist_fn *fn,
                    void *arg);
/* The same with the owner's number. */
void persist_submit_n(struct persist *p, enum change_kind kind, enum row_table table, int64_t id, change_fn *done, persist_fn *fn,
                      void *arg, int64_t n);
/* 0, or -1 with ERR_BACKPRESSURE: `size` more bytes would pass dirty_bytes. */
int persist_check_room(const struct persist *p, size_t size, struct err *err);
/* 0, or -1 with ERR_BACKPRESSURE: nothing can wait for the disk now. */
int persist_check_disk(struct persist *p, struct err *err);
/* An id that was never used, in any table. */
int64_t persist_new_id(struct persist *p);
/* The engine's time, ms. */
int64_t persist_time(struct persist *p);
/* Between `now`-like times in memory and ms on disk; UINT64_MAX and 0 stand for never. */
int64_t persist_time_of(struct persist *p, uint64_t when);
uint64_t persist_when(struct persist *p, int64_t time);

/* Each kind: a row of the file (false: it makes no sense), the end of loading, a slice of a copy (true: that was all), the end. */
void persist_stores_init(struct persist *p);
void persist_stores_close(struct persist *p);
bool persist_stores_load(struct persist *p, int64_t id, struct slice row);
bool persist_stores_load_log(struct persist *p, struct slice row);
bool persist_stores_copy(struct persist *p, size_t max);
void persist_stores_sweep(struct persist *p);
/* False: what has expired stays, because nothing more may wait for the disk. */
bool persist_stores_may_sweep(const struct persist *p);

void persist_jobs_init(struct persist *p);
void persist_jobs_close(struct persist *p);
bool persist_jobs_load(struct persist *p, int64_t id, struct slice row);
void persist_jobs_loaded(struct persist *p);
bool persist_jobs_copy(struct persist *p, size_t max);
void persist_jobs_sweep(struct persist *p);
/* All that run wait again, no try is used up. */
void persist_jobs_release_all(struct persist *p);

void persist_spools_init(struct persist *p);
void persist_spools_close(struct persist *p);
bool persist_spools_load_line(struct persist *p, int64_t id, struct slice row);
bool persist_spools_load_batch(struct persist *p, int64_t id, struct slice row);
void persist_spools_loaded(struct persist *p);
bool persist_spools_copy(struct persist *p, size_t max);

#endif
