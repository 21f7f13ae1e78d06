/* What is counted of jobs, and what people see of queues. */
#include <stdlib.h>

#include "rules/jobs_internal.h"

#define QUEUE_SERIES 100000u

static struct metric *add(struct host *host, enum metric_type type, const char *name, const char *help, const char *second)
{
	static const double bounds[] = { 0.005, 0.02, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200 };
	const char *labels[] = { "queue", second };
	bool histogram = type == METRIC_HISTOGRAM;
	struct err err;
	struct metric *m = metrics_add(host->metrics, type, name, help, labels, second ? 2 : 1, histogram ? bounds : NULL,
	                               histogram ? sizeof bounds / sizeof *bounds : 0, QUEUE_SERIES, &err);
	if (!m)
		abort(); /* two parts of the engine use one name */
	return m;
}

void jobs_add_metrics(struct host *h)
{
	struct jobs *jobs = h->jobs;
	jobs->m.waiting = add(h, METRIC_GAUGE, "hookswitch_jobs_waiting", "Jobs of a queue that wait.", NULL);
	jobs->m.running = add(h, METRIC_GAUGE, "hookswitch_jobs_running", "Jobs of a queue that run.", NULL);
	jobs->m.dead = add(h, METRIC_GAUGE, "hookswitch_jobs_dead", "Jobs of a queue whose last try has failed.", NULL);
	jobs->m.oldest = add(h, METRIC_GAUGE, "hookswitch_jobs_oldest_seconds", "Time for which the first of the jobs that could begin has waited.", NULL);
	jobs->m.served = add(h, METRIC_GAUGE, "hookswitch_jobs_served", "1 while a rule is loaded that serves the queue.", NULL);
	jobs->m.total = add(h, METRIC_COUNTER, "hookswitch_jobs_total", "Jobs by what became of them: pushed, duplicate, done, failed (a try), died, dropped, forgotten (its id, before its dedup was over).", "fate");
	jobs->m.wait_seconds = add(h, METRIC_HISTOGRAM, "hookswitch_jobs_wait_seconds", "Time from when a job could begin until it did.", NULL);
	jobs->m.run_seconds = add(h, METRIC_HISTOGRAM, "hookswitch_jobs_run_seconds", "Time that tries of jobs took.", NULL);
}

static void set(struct metric *m, struct slice queue, const char *second, double value)
{
	struct slice labels[2] = { queue, second ? slice_cstr(second) : SLICE("") };
	struct series *s = metric_series(m, labels, second ? 2 : 1);
	if (s)
		s->value = value;
}

void jobs_collect(struct host *host)
{
	struct jobs *jobs = host->jobs;
	struct persist *disk = store_disk(host->store);
	struct persist_queue_stats s;
	struct slice queue;

	if (!disk)
		return;
	for (size_t i = 0; persist_queues_next(disk, &i, &queue);) {
		if (!persist_queue_stats(disk, queue, &s))
			continue;
		set(jobs->m.waiting, queue, NULL, (double)s.waiting);
		set(jobs->m.running, queue, NULL, (double)s.running);
		set(jobs->m.dead, queue, NULL, (double)s.dead);
		set(jobs->m.oldest, queue, NULL, s.oldest);
		set(jobs->m.served, queue, NULL, jobs_rule_of(host, queue) != NULL);
		set(jobs->m.total, queue, "pushed", (double)s.pushed);
		set(jobs->m.total, queue, "duplicate", (double)s.duplicates);
		set(jobs->m.total, queue, "done", (double)s.done);
		set(jobs->m.total, queue, "failed", (double)s.failed);
		set(jobs->m.total, queue, "died", (double)s.died);
		set(jobs->m.total, queue, "dropped", (double)s.dropped);
		set(jobs->m.total, queue, "forgotten", (double)s.forgotten);
	}
}

static void observe(struct metric *m, const struct job_queue *queue, double seconds)
{
	struct slice name = slice_cstr(queue->name);
	struct series *s = metric_series(m, &name, 1);
	if (s)
		series_observe(s, seconds);
}

void jobs_observe_begin(const struct job_try *t)
{
	const struct jobs *jobs = t->queue->jobs;
	struct persist_job job;
	if (persist_job_get(store_disk(jobs->host->store), t->id, &job))
		observe(jobs->m.wait_seconds, t->queue, job.due_in < 0 ? -job.due_in : 0);
}

void jobs_observe_end(const struct job_try *t, uint64_t now)
{
	observe(t->queue->jobs->m.run_seconds, t->queue, (double)(now - t->began) / 1e9);
}

bool host_queues_next(const struct host *host, size_t *cursor, struct slice *queue)
{
	const struct map_entry *e;
	while ((e = map_next(&host->jobs->queues, cursor))) {
		const struct job_queue *q = e->value;
		if (!q->worker)
			continue;
		*queue = slice_cstr(q->name);
		return true;
	}
	return false;
}

bool host_queue_view(const struct host *host, struct slice name, struct host_queue_view *out)
{
	const struct rule *rule = jobs_rule_of(host, name);
	const struct job_queue *queue = jobs_find_queue(host->jobs, name);

	*out = (struct host_queue_view){ .rule = rule ? rule->name : NULL };
	if (!rule)
		return false;
	out->quarantined = rule->quarantine.active;
	out->disabled = rule->disabled;
	out->down = rule->down;
	if (queue && queue->worker) {
		out->at_once = queue->worker->terms.at_once;
		out->per_second = queue->worker->terms.per_second;
	}
	return true;
}
