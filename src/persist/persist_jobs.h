/* Jobs that survive: each is run at least once, in queues, and its tries are counted on disk.
 *
 *   (push) ──on disk──> waiting ──take──> starting ──the try is on disk──> running ──done──> gone, or remembered for `dedup`
 *                          ^                 │ release                       │ release
 *                          ├─────────────────┴───────────────────────────────┤
 *                          ├──failed, tries are left: after a delay──────────┤
 *                          └──retry── dead <──failed, no try is left─────────┘
 *
 * A job that runs when the process ends without persist_close() has used up its try: it waits again, or is dead when that was its
 * last. So a job that crashes the process ends as dead. */
#ifndef PERSIST_PERSIST_JOBS_H
#define PERSIST_PERSIST_JOBS_H

#include "persist/persist.h"

#define PERSIST_JOB_NAME_MAX 1024   /* bytes of a queue's name or a job's */
#define PERSIST_JOB_ERROR_MAX 1024  /* a longer one is cut */
#define PERSIST_JOB_TRIES_MAX 1000000

enum persist_job_state {
	PERSIST_JOB_PUSHED,   /* on its way to the disk */
	PERSIST_JOB_WAITING,
	PERSIST_JOB_STARTING, /* its try is on its way to the disk */
	PERSIST_JOB_RUNNING,
	PERSIST_JOB_DONE,     /* remembered so that its name is not pushed again */
	PERSIST_JOB_DEAD,
	PERSIST_JOB_STATES
};

/* "waiting", "running" … */
const char *persist_job_state_name(enum persist_job_state state);

struct persist_push {
	struct slice queue;
	struct slice body;
	struct slice name; /* empty, or what makes it one of a kind: a job of that name that waits or runs, or whose end is less than `dedup`
	                    * ago, takes its place */
	int priority;      /* higher first, then older first; INT32_MIN .. INT32_MAX */
	uint64_t delay;    /* ns from now; 0: at once */
	double at;         /* epoch seconds instead of `delay`; 0: none. Turned into a delay by the wall clock of now */
	unsigned tries;    /* 0: as the one who takes it says */
	uint64_t dedup;    /* ns; how long its name counts after its end */
};

struct persist_job {
	int64_t id;
	enum persist_job_state state;
	struct slice queue, name, body, error; /* error: of its last try */
	int priority;
	unsigned try;          /* the running or the last one; 0: none yet */
	unsigned tries;        /* 0: not known yet */
	double age;            /* seconds since its push, by the engine's time */
	double due_in;         /* seconds until its next try may begin; below 0: since then */
};

struct persist_queue_stats {
	size_t waiting, ready, running, dead; /* ready: those of the waiting whose time has come; running: starting too */
	double oldest;                        /* seconds that the first of the ready ones has been ready; 0: none */
	/* Since the process began. */
	uint64_t pushed, duplicates, done, failed, died, dropped;
	uint64_t forgotten; /* done jobs whose names did not count for all of `dedup`: there were too many */
};

/* `fn(arg, id, NULL)` once the job is on disk; the id of the older one when the name is known. 0, or -1 and `fn` is never called:
 * ERR_INVALID (names, sizes), ERR_OVERFLOW (names of queues), ERR_BACKPRESSURE (the queue is full, or the disk is). */
int persist_job_push(struct persist *persist, const struct persist_push *push, uint64_t now, persist_fn *fn, void *arg,
                     struct err *err);

/* Takes the first job that is ready. `tries`: how many it has unless it says so itself, at least 1. 1: `fn(arg, id, NULL)` follows when
 * the try is on disk, and the job may run; or `fn(arg, id, err)`, then it waits again. 0: none is ready. -1: ERR_BACKPRESSURE. */
int persist_job_take(struct persist *persist, struct slice queue, unsigned tries, uint64_t now, persist_fn *fn, void *arg,
                     struct err *err);

/* For a job that runs (others: -1, nothing happens). On disk within 100 ms; whoever must know when calls persist_sync() next. */
int persist_job_done(struct persist *persist, int64_t id, uint64_t now);
/* 1: it is dead, that was its last try; 0: it waits for `delay` nanoseconds and is tried again. */
int persist_job_failed(struct persist *persist, int64_t id, struct slice error, uint64_t delay, uint64_t now);
/* It waits again, and the try does not count: the engine stops, its rule is reloaded or quarantined. */
int persist_job_release(struct persist *persist, int64_t id, uint64_t now);

/* For a dead job: it waits again, with all its tries. 0, or -1 when it is not dead, its queue is full, or another job of its name
 * waits or runs. */
int persist_job_retry(struct persist *persist, int64_t id, uint64_t now);
/* For a waiting or dead job: it is gone. 0, or -1. */
int persist_job_drop(struct persist *persist, int64_t id, uint64_t now);

/* False when there is none (any more). The slices stand until the next change or persist_poll(). */
bool persist_job_get(const struct persist *persist, int64_t id, struct persist_job *out);
/* Walks all jobs, the oldest first, except those that are only remembered: `*after` is 0 at first, then the id of the last one. */
bool persist_jobs_next(const struct persist *persist, int64_t *after, struct persist_job *out);
/* The same for one queue: those that wait (first those that are ready, by when they became so), that run (starting ones too),
 * or that are dead, the oldest first. */
bool persist_queue_next(const struct persist *persist, struct slice queue, enum persist_job_state state, int64_t *after,
                        struct persist_job *out);
/* False when no job was ever pushed to it. */
bool persist_queue_stats(const struct persist *persist, struct slice queue, struct persist_queue_stats *out);
/* Walks the names of all queues, in no order: start with `*cursor` 0. */
bool persist_queues_next(const struct persist *persist, size_t *cursor, struct slice *queue);
/* Rises whenever a job becomes ready: as long as it stays the same, a queue that had none ready still has none. */
uint64_t persist_jobs_readied(const struct persist *persist);

#endif
