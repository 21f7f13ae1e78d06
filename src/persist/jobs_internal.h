/* What the files of jobs share. */
#ifndef PERSIST_JOBS_INTERNAL_H
#define PERSIST_JOBS_INTERNAL_H

#include "persist/internal.h"
#include "persist/persist_jobs.h"

/* In which a queue's jobs stand; those on their way to the disk in none. */
enum job_list {
	JOB_LIST_READY, /* by when they became so */
	JOB_LIST_LATER,
	JOB_LIST_BUSY,  /* starting and running */
	JOB_LIST_DEAD,  /* the oldest death first */
	JOB_LIST_DONE,  /* remembered, the oldest end first; at a start the oldest push */
	JOB_LISTS
};

struct queue {
	char *name;
	struct heap ready;   /* by priority, then by age */
	struct list lists[JOB_LISTS];
	size_t remembered;   /* jobs that are done and whose names count */
	struct persist_queue_stats stats; /* waiting … dead are kept up to date; ready and oldest are not */
};

enum place { NOWHERE, IN_DUE, IN_READY };

struct job {
	int64_t id;
	struct queue *queue;
	struct list all;    /* jobs.all */
	struct list state_list; /* one of the queue's lists, or alone */
	struct heap_node node;
	enum place place;   /* of `node` */
	enum persist_job_state state;
	char *name, *error; /* owned; never NULL */
	struct slice body;  /* owned */
	int priority;
	unsigned try, tries;
	bool tries_known;   /* it says so itself */
	uint64_t due;       /* in memory's time */
	int64_t dedup;      /* ms */
	uint64_t counts_until; /* in memory's time: its name, once it is done or dead */
	int64_t pushed, changed; /* the engine's time */
};

static inline struct job *job_find(const struct persist *p, int64_t id)
{
	return map_get(&p->jobs.ids, slice_make((const char *)&id, sizeof id));
}

#endif
