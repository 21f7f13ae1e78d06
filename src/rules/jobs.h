/* Jobs of rules: which rule serves a queue, when a job begins, and how its try ends. Jobs themselves are persist/persist_jobs.h's;
 * nothing of Lua shows here but a reference to the function that runs them.
 *
 *   ready ──a slot and the pace are free──> taken ──the try is on disk──> begun ──returns──> done
 *                                             │                            │ ├──error, deadline, kill──> failed: the try is used up
 *                                             └──the rule is replaced──────┴─┴──closed: end of a drain or the engine──> released
 *
 * A queue has one rule. Slots (at_once) and pace (per_second) are the queue's: all states of the rule share them, those that drain
 * too. A rule holds its workers, tries and pushes in lists; they are detached from the host before its state is freed. */
#ifndef RULES_JOBS_H
#define RULES_JOBS_H

#include "persist/persist_jobs.h"
#include "rules/task.h"

struct job_worker;
struct job_try;
struct jobs;

#define JOB_BACKOFF_MAX 16

/* How a rule serves a queue. */
struct job_terms {
	uint32_t at_once;              /* tries at the same time, from 1 */
	double per_second;             /* tries that begin in a second; 0: as many as there are */
	unsigned tries;                /* of a job that does not say so itself, from 1 */
	double backoff[JOB_BACKOFF_MAX]; /* seconds after the first failure, the second …; the last one holds for all after it */
	unsigned backoff_count;
	bool doubles;                  /* instead: backoff[0], doubled with each further failure, up to an hour */
};

struct jobs *jobs_create(struct host *host);
void jobs_destroy(struct jobs **jobs);

/* ---- serving a queue ---- */

/* While the rule loads. `fn` (registry) is taken over. False when memory is refused. */
bool job_worker_add(struct rule *rule, struct slice queue, const struct job_terms *terms, int fn);
bool job_worker_serves(const struct rule *rule, struct slice queue);
/* The rule goes live: its workers take jobs from the next turn on. */
void jobs_arm(struct rule *rule);
/* It is replaced: it takes no more, and what has not begun waits again. */
void jobs_quit(struct rule *rule);
/* It is parted from the host: what runs waits again, answers find nobody. Nothing of it stands in the host afterwards. */
void jobs_detach(struct rule *rule);
/* Its workers, with its memory. */
void job_workers_free(struct rule *rule);

/* ---- in every turn, after persist_poll() ---- */

/* Callbacks of pushes whose jobs are on disk. False: some are left for the next turn. */
bool job_pushes_deliver(struct host *host);
/* Tries whose begin is on disk, then new ones. Returns when it wants to be called again, as host_turn(). host_stop_jobs() and
 * host_allow_jobs() steer it. */
uint64_t jobs_turn(struct host *host, uint64_t now);
/* Tries that have begun so far, and tries that were taken and have not begun. */
uint64_t jobs_begun(const struct host *host);
uint32_t jobs_starting(const struct host *host);
/* Something has happened since then that may let a job begin: another turn is wanted. */
bool jobs_changed(const struct host *host);
/* New rules were adopted: reports queues with jobs that no rule serves. */
void jobs_adopted(struct host *host);

/* ---- one try ---- */

/* The task that ran a job has ended, task->outcome says how. */
void job_ended(struct task *task);
/* The task is closed or dropped: the job waits again, no try is used up. */
void job_released(struct task *task);
/* The job that the task runs; false when it is gone (somebody has written to the state file). As persist_job_get(). */
bool job_of_task(const struct task *task, struct persist_job *out);

/* ---- pushing ---- */

/* A push on its way to the disk. */
struct job_push {
	struct list of_rule;  /* rule->job_pushes; alone once nobody waits for it */
	struct list answered; /* jobs->answers: its callback is due */
	struct rule *rule;    /* NULL once nobody waits for it */
	struct wait wait;     /* of a task */
	int fn;               /* registry; LUA_NOREF: none */
	bool charged, done;
	int64_t id;           /* once it is done */
	struct err err;
};

/* `task` waits for the answer, which job_push_end() gives; or `fn` (registry; taken over) is called with it. -1 with `err`: neither
 * follows, and `fn` stays the caller's. For a task only ERR_INVALID is one: what may go well later is told a turn later, so that a
 * loop around it leaves the others served. */
int job_push_begin(struct rule *rule, const struct persist_push *push, struct task *task, int fn, struct err *err);
/* For the continuation: 0 and the job's number, or -1 with `err`. */
int job_push_end(struct wait *wait, int64_t *id, struct err *err);
/* Its answer goes to nobody. */
void job_push_forget(struct job_push *push);
/* Ends its callback as `cancelled`; the job goes its way. */
void job_push_cancel(struct job_push *push);

/* ---- metrics, of queues ---- */

void jobs_add_metrics(struct host *host);
void jobs_collect(struct host *host);

#endif
