#include "rules/jobs.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "observe/log.h"
#include "rules/api/api.h"
#include "rules/jobs_internal.h"
#include "rules/order.h"

/* A try is put on disk so long before its pace lets it begin, so that the commit costs no time of the pace. */
#define AHEAD (15 * CLOCK_NS_PER_MS)
/* A faster pace lets several begin together: the loop's timers are no finer than this. */
#define GROUP (20 * CLOCK_NS_PER_MS)
#define HOLD CLOCK_NS_PER_S /* after the disk or memory was refused */
#define BACKOFF_LONGEST 3600.0

static struct persist *disk_of(const struct jobs *jobs)
{
	return store_disk(jobs->host->store);
}

static uint64_t now_of(const struct jobs *jobs)
{
	return jobs->host->ops.now(jobs->host->ctx);
}

/* ---- pace ---- */

static void pace_set(struct pace *pace, double per_second)
{
	pace->size = 0;
	if (per_second <= 0)
		return;
	double size = ceil(per_second * (double)GROUP / 1e9);
	pace->size = size < 1 ? 1 : (uint32_t)size;
	pace->span = clock_from_seconds(pace->size / per_second);
}

/* When the next job may be taken; UINT64_MAX: once those that were taken have begun. */
static uint64_t pace_next(struct pace *pace, uint64_t now)
{
	if (pace->size == 0)
		return 0;
	if (pace->begun == pace->taken && now + AHEAD >= pace->next)
		pace->begun = pace->taken = 0;
	if (pace->taken < pace->size)
		return 0;
	return pace->begun == pace->taken ? pace->next - AHEAD : UINT64_MAX;
}

static bool pace_may_begin(const struct pace *pace, uint64_t now)
{
	return pace->size == 0 || pace->begun > 0 || now >= pace->next;
}

static void pace_begin(struct pace *pace, uint64_t now)
{
	if (pace->begun++ == 0)
		pace->next = now + pace->span;
}

/* ---- queues ---- */

struct job_queue *jobs_find_queue(const struct jobs *jobs, struct slice name)
{
	return map_get(&jobs->queues, name);
}

static struct job_queue *open_queue(struct jobs *jobs, const char *name)
{
	struct job_queue *queue = map_get(&jobs->queues, slice_cstr(name));
	if (queue)
		return queue;
	queue = mem_zalloc(sizeof *queue);
	queue->jobs = jobs;
	queue->name = mem_strdup(name);
	list_init(&queue->taken);
	list_append(&jobs->order, &queue->in_order);
	map_set(&jobs->queues, slice_cstr(name), queue);
	return queue;
}

static void free_queue(struct job_queue *queue)
{
	list_remove(&queue->in_order);
	map_remove(&queue->jobs->queues, slice_cstr(queue->name));
	free(queue->name);
	free(queue);
}

struct jobs *jobs_create(struct host *host)
{
	struct jobs *jobs = mem_zalloc(sizeof *jobs);
	jobs->host = host;
	map_init(&jobs->queues, false);
	list_init(&jobs->order);
	list_init(&jobs->answers);
	return jobs;
}

void jobs_destroy(struct jobs **where)
{
	struct jobs *jobs = *where;
	if (!jobs)
		return;
	list_each_safe(it, &jobs->order)
		free_queue(list_entry(it, struct job_queue, in_order));
	map_close(&jobs->queues);
	free(jobs);
	*where = NULL;
}

/* ---- tries ---- */

static struct job_try *try_create(struct job_worker *worker)
{
	if (!rule_charge(worker->rule, sizeof(struct job_try)))
		return NULL;
	struct job_try *t = mem_zalloc(sizeof *t);
	t->worker = worker;
	t->queue = worker->queue;
	list_append(&worker->rule->job_tries, &t->of_rule);
	list_append(&t->queue->taken, &t->in_queue);
	t->queue->tries++;
	t->queue->pace.taken++;
	t->queue->jobs->starting++;
	return t;
}

/* It has begun, or never will. */
static void leave_start(struct job_try *t)
{
	if (list_empty(&t->in_queue))
		return;
	list_remove(&t->in_queue);
	t->queue->jobs->starting--;
}

/* It will never begin. */
static void give_up(struct job_try *t)
{
	if (!list_empty(&t->in_queue))
		t->queue->pace.taken--;
	leave_start(t);
}

/* Its rule has nothing to do with it any more. */
static void let_go(struct job_try *t)
{
	give_up(t);
	list_remove(&t->of_rule);
	if (t->task)
		t->task->job = NULL;
	t->task = NULL;
	if (t->worker)
		rule_credit(t->worker->rule, sizeof *t);
	t->worker = NULL;
}

static void try_free(struct job_try *t)
{
	let_go(t);
	t->queue->tries--;
	t->queue->jobs->changed = true;
	free(t);
}

/* The job waits again. */
static void try_release(struct job_try *t)
{
	struct jobs *jobs = t->queue->jobs;
	if (disk_of(jobs))
		persist_job_release(disk_of(jobs), t->id, now_of(jobs));
	try_free(t);
}

/* For a try whose rule goes: one that is still on its way to the disk is released when it is there. */
static void try_abandon(struct job_try *t)
{
	if (t->on_disk)
		try_release(t);
	else
		let_go(t);
}

static void taken(void *arg, int64_t id, const struct err *err)
{
	struct job_try *t = arg;
	struct job_queue *queue = t->queue;

	t->id = id;
	if (err) {
		queue->hold = now_of(queue->jobs) + HOLD;
		try_free(t);
	} else if (!t->worker) {
		try_release(t);
	} else {
		t->on_disk = true;
	}
}

bool job_of_task(const struct task *task, struct persist_job *out)
{
	const struct job_try *t = task->job;
	return t && disk_of(t->queue->jobs) && persist_job_get(disk_of(t->queue->jobs), t->id, out);
}

static double backoff_of(const struct job_terms *terms, unsigned failures)
{
	if (!terms->doubles)
		return terms->backoff[(failures < terms->backoff_count ? failures : terms->backoff_count) - 1];
	double longest = terms->backoff[0] > BACKOFF_LONGEST ? terms->backoff[0] : BACKOFF_LONGEST;
	double delay = ldexp(terms->backoff[0], failures < 64 ? (int)failures - 1 : 63);
	return delay < longest ? delay : longest;
}

static void fail(struct job_try *t, const char *error)
{
	struct jobs *jobs = t->queue->jobs;
	struct persist_job job;

	if (!persist_job_get(disk_of(jobs), t->id, &job))
		return;
	double delay = backoff_of(&t->worker->terms, job.try ? job.try : 1);
	persist_job_failed(disk_of(jobs), t->id, slice_cstr(error ? error : ""), clock_from_seconds(delay), now_of(jobs));
}

void job_ended(struct task *task)
{
	struct job_try *t = task->job;
	struct jobs *jobs = t->queue->jobs;

	if (!disk_of(jobs) || (task->outcome != OUTCOME_OK && jobs->stopping)) {
		try_release(t);
		return;
	}
	jobs_observe_end(t, now_of(jobs));
	if (task->outcome == OUTCOME_OK)
		persist_job_done(disk_of(jobs), t->id, now_of(jobs));
	else
		fail(t, task->rule->last_error);
	try_free(t);
}

void job_released(struct task *task)
{
	try_release(task->job);
}

/* ---- workers ---- */

bool job_worker_serves(const struct rule *rule, struct slice queue)
{
	list_each(it, &rule->job_workers)
		if (slice_eq(slice_cstr(list_entry(it, const struct job_worker, of_rule)->name), queue))
			return true;
	return false;
}

bool job_worker_add(struct rule *rule, struct slice queue, const struct job_terms *terms, int fn)
{
	if (!rule_charge(rule, sizeof(struct job_worker) + queue.len))
		return false;
	struct job_worker *worker = mem_zalloc(sizeof *worker);
	worker->rule = rule;
	worker->name = mem_slicedup(queue);
	worker->terms = *terms;
	worker->fn = fn;
	list_append(&rule->job_workers, &worker->of_rule);
	return true;
}

void job_workers_free(struct rule *rule)
{
	list_each_safe(it, &rule->job_workers) {
		struct job_worker *worker = list_entry(it, struct job_worker, of_rule);
		list_remove(&worker->of_rule);
		rule_credit(rule, sizeof *worker + strlen(worker->name));
		free(worker->name);
		free(worker);
	}
}

void jobs_arm(struct rule *rule)
{
	list_each(it, &rule->job_workers) {
		struct job_worker *worker = list_entry(it, struct job_worker, of_rule);
		worker->queue = open_queue(rule->host->jobs, worker->name);
		worker->queue->worker = worker;
		pace_set(&worker->queue->pace, worker->terms.per_second);
		rule->host->jobs->changed = true;
	}
}

void jobs_quit(struct rule *rule)
{
	list_each(it, &rule->job_workers) {
		struct job_worker *worker = list_entry(it, struct job_worker, of_rule);
		if (worker->queue && worker->queue->worker == worker)
			worker->queue->worker = NULL;
		worker->queue = NULL; /* without a worker it may go */
	}
	list_each_safe(it, &rule->job_tries) {
		struct job_try *t = list_entry(it, struct job_try, of_rule);
		if (!t->task)
			try_abandon(t);
	}
}

void jobs_detach(struct rule *rule)
{
	jobs_quit(rule);
	list_each_safe(it, &rule->job_tries)
		try_abandon(list_entry(it, struct job_try, of_rule));
	list_each_safe(it, &rule->job_pushes)
		job_push_forget(list_entry(it, struct job_push, of_rule));
}

/* ---- taking and beginning ---- */

/* False when there is none now; `*when` is when to ask again. */
static bool take_one(struct job_queue *queue, uint64_t now, uint64_t *when)
{
	struct jobs *jobs = queue->jobs;
	struct job_worker *worker = queue->worker;
	struct err err;
	struct job_try *t = try_create(worker);
	int rc = t ? persist_job_take(disk_of(jobs), slice_cstr(queue->name), worker->terms.tries, now, taken, t, &err) : -1;

	*when = UINT64_MAX;
	if (rc == 1)
		return true;
	bool changed = jobs->changed;
	if (t)
		try_free(t);
	jobs->changed = changed;
	jobs->idle &= rc == 0;
	if (rc == -1)
		*when = queue->hold = now + HOLD;
	return false;
}

/* Returns when to ask again. jobs->idle stays set only when none is ready. */
static uint64_t take(struct job_queue *queue, uint64_t now)
{
	struct jobs *jobs = queue->jobs;
	const struct rule *rule = queue->worker->rule;
	const struct quarantine *q = &rule->quarantine;
	bool idle = jobs->idle;
	uint64_t when;

	jobs->idle = false;
	if (jobs->stopping || jobs->held || rule->dead || rule->disabled)
		return UINT64_MAX;
	if (rule_is_spent(rule))
		return 0;
	if (q->active && now < q->until)
		return q->until;
	if (now < queue->hold)
		return queue->hold;
	while (queue->tries < queue->worker->terms.at_once && rule->waiting + jobs->starting < rule->limits.waiting) {
		when = pace_next(&queue->pace, now);
		if (when > now)
			return when;
		jobs->idle = idle;
		if (!take_one(queue, now, &when))
			return when;
		jobs->idle = false;
	}
	return UINT64_MAX;
}

static void begin(struct job_try *t, uint64_t now)
{
	struct job_queue *queue = t->queue;
	struct task *task = task_take(t->worker->rule, "job");

	if (!task) {
		queue->hold = now + HOLD;
		try_release(t);
		return;
	}
	slice_to_text(slice_cstr(queue->name), task->event, sizeof task->event);
	snprintf(task->action_id, sizeof task->action_id, "%lld", (long long)t->id);
	task->job = t;
	t->task = task;
	t->began = now;
	leave_start(t);
	pace_begin(&queue->pace, now);
	queue->jobs->begun++;
	jobs_observe_begin(t);
	task_start(task, work_push_call, &t->worker->fn);
}

/* Begins what is on disk, the oldest first. Returns when to ask again. */
static uint64_t begin_taken(struct job_queue *queue, uint64_t now)
{
	while (!list_empty(&queue->taken)) {
		struct job_try *t = list_entry(queue->taken.next, struct job_try, in_queue);
		struct rule *rule = t->worker->rule;
		if (!t->on_disk || rule->dead)
			return UINT64_MAX;
		if (rule_is_spent(rule) || order_is_spent(rule->host))
			return 0;
		if (!rule_may_run(rule) || queue->jobs->stopping) {
			try_release(t);
			continue;
		}
		if (!pace_may_begin(&queue->pace, now))
			return queue->pace.next;
		if (rule->waiting >= rule->limits.waiting)
			return UINT64_MAX;
		begin(t, now);
	}
	return UINT64_MAX;
}

static uint64_t serve(struct job_queue *queue, uint64_t now)
{
	uint64_t next = begin_taken(queue, now), when;

	if (!queue->worker) {
		/* Its pace is kept for a rule that serves it next. */
		if (queue->tries == 0 && now >= queue->pace.next)
			free_queue(queue);
		return next;
	}
	when = take(queue, now);
	return when < next ? when : next;
}

/* The queues of one rule, however many, wait behind those of others. */
static void put_behind(struct jobs *jobs, const struct rule *rule)
{
	struct list of_rule;

	list_init(&of_rule);
	for (size_t n = jobs->queues.count; n > 0; n--) {
		struct job_queue *queue = list_entry(jobs->order.next, struct job_queue, in_order);
		list_remove(&queue->in_order);
		list_append(queue->worker && queue->worker->rule == rule ? &of_rule : &jobs->order, &queue->in_order);
	}
	list_each_safe(it, &of_rule) {
		list_remove(it);
		list_append(&jobs->order, it);
	}
}

uint64_t jobs_turn(struct host *host, uint64_t now)
{
	struct jobs *jobs = host->jobs;
	const struct rule *last = NULL; /* whose job began */
	uint64_t next = UINT64_MAX;

	if (!disk_of(jobs))
		return UINT64_MAX;
	if (jobs->idle && jobs->starting == 0 && !jobs_changed(host))
		return UINT64_MAX;
	jobs->seen = persist_jobs_readied(disk_of(jobs));
	jobs->changed = false;
	jobs->idle = true;
	for (size_t n = jobs->queues.count; n > 0; n--) {
		struct job_queue *queue = list_entry(jobs->order.next, struct job_queue, in_order);
		if (order_is_spent(host)) { /* the next turn begins with this one, or the next one of another rule */
			if (last)
				put_behind(jobs, last);
			jobs->idle = false;
			return 0;
		}
		list_remove(&queue->in_order);
		list_append(&jobs->order, &queue->in_order);
		const struct rule *rule = queue->worker ? queue->worker->rule : NULL;
		uint64_t begun = jobs->begun, when = serve(queue, now);
		if (jobs->begun != begun)
			last = rule;
		if (when < next)
			next = when;
	}
	return next;
}

bool jobs_changed(const struct host *host)
{
	const struct jobs *jobs = host->jobs;
	return disk_of(jobs) && (jobs->changed || persist_jobs_readied(disk_of(jobs)) != jobs->seen);
}

void host_stop_jobs(struct host *host)
{
	host->jobs->stopping = true;
}

void host_allow_jobs(struct host *host, bool allow)
{
	host->jobs->held = !allow;
	host->jobs->changed = true;
}

uint64_t jobs_begun(const struct host *host)
{
	return host->jobs->begun;
}

uint32_t jobs_starting(const struct host *host)
{
	return host->jobs->starting;
}
