/* What the files of jobs share. */
#ifndef RULES_JOBS_INTERNAL_H
#define RULES_JOBS_INTERNAL_H

#include "rules/jobs.h"
#include "rules/state.h"

/* Lets groups of tries begin, each `span` after the one before at the earliest. */
struct pace {
	uint32_t size;         /* of a group; 0: no pace */
	uint32_t taken, begun; /* of the present group */
	uint64_t span, next;   /* ns; when the next group may begin */
};

/* A queue that a rule serves, or that has tries of one that did. */
struct job_queue {
	struct jobs *jobs;
	char *name;
	struct list in_order;      /* jobs->order */
	struct job_worker *worker; /* NULL: no rule serves it now */
	struct list taken;         /* struct job_try.in_queue: those that have not begun */
	uint32_t tries;            /* taken or begun, of all states of its rule */
	struct pace pace;
	uint64_t hold;             /* nothing is taken before */
};

/* A rule that serves a queue. */
struct job_worker {
	struct list of_rule;
	struct rule *rule;
	struct job_queue *queue; /* NULL: it is not live yet, or any more */
	char *name;
	struct job_terms terms;
	int fn;
};

struct job_try {
	struct list of_rule;       /* rule->job_tries; alone once its rule has let go of it */
	struct list in_queue;      /* queue->taken, until it begins */
	struct job_worker *worker; /* NULL: its rule has let go of it */
	struct job_queue *queue;
	struct task *task;         /* NULL: it has not begun */
	int64_t id;
	bool on_disk;
	uint64_t began;
};

struct jobs {
	struct host *host;
	struct map queues;   /* name -> struct job_queue */
	struct list order;   /* the same; the next one to be served first */
	struct list answers; /* struct job_push.answered */
	uint64_t seen;       /* persist_jobs_readied() of the last walk */
	bool idle;           /* no queue had a job ready then */
	bool changed;        /* a place has become free since then, or a rule serves one more queue */
	bool stopping, held;
	uint64_t begun;
	uint32_t starting;   /* tries that were taken and have not begun */
	struct { struct metric *waiting, *running, *dead, *oldest, *served, *total, *wait_seconds, *run_seconds; } m;
};

/* NULL when no rule serves it. */
struct job_queue *jobs_find_queue(const struct jobs *jobs, struct slice name);
/* The rule that is loaded to serve it, also while it is down; NULL: none. */
const struct rule *jobs_rule_of(const struct host *host, struct slice queue);
/* job_metrics.c */
void jobs_observe_begin(const struct job_try *t);
void jobs_observe_end(const struct job_try *t, uint64_t now);

#endif
