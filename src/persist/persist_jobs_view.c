/* Looking at jobs: for those who run them, and for people. */
#include "persist/jobs_internal.h"

const char *persist_job_state_name(enum persist_job_state state)
{
	static const char *const names[PERSIST_JOB_STATES] = { "pushed", "waiting", "starting", "running", "done", "dead" };
	return names[state];
}

static void describe(const struct persist *p, const struct job *job, struct persist_job *out)
{
	bool later = job->due > p->now;
	double from_due = (double)(later ? job->due - p->now : p->now - job->due) / 1e9;
	*out = (struct persist_job){
		.id = job->id, .state = job->state, .queue = slice_cstr(job->queue->name), .name = slice_cstr(job->name), .body = job->body,
		.error = slice_cstr(job->error), .priority = job->priority, .try = job->try, .tries = job->tries,
		.age = (double)(p->time - job->pushed) / 1000, .due_in = later ? from_due : -from_due,
	};
}

bool persist_job_get(const struct persist *p, int64_t id, struct persist_job *out)
{
	const struct job *job = job_find(p, id);
	if (job)
		describe(p, job, out);
	return job;
}

bool persist_jobs_next(const struct persist *p, int64_t *after, struct persist_job *out)
{
	const struct job *last = *after ? job_find(p, *after) : NULL;
	struct list *it = last ? last->all.next : p->jobs.all.next;
	if (*after && !last)
		return false;
	for (; it != &p->jobs.all; it = it->next) {
		const struct job *job = list_entry(it, const struct job, all);
		if (job->state == PERSIST_JOB_DONE)
			continue;
		*after = job->id;
		describe(p, job, out);
		return true;
	}
	return false;
}

/* The first of its lists from `from` to `to` that has a job. */
static const struct job *first_of(const struct queue *queue, enum job_list from, enum job_list to)
{
	for (; from <= to; from++)
		if (!list_empty(&queue->lists[from]))
			return list_entry(queue->lists[from].next, const struct job, state_list);
	return NULL;
}

/* The first of those in which jobs of this state stand. */
static enum job_list list_of(enum persist_job_state state)
{
	switch (state) {
	case PERSIST_JOB_STARTING:
	case PERSIST_JOB_RUNNING:
		return JOB_LIST_BUSY;
	case PERSIST_JOB_DONE:
		return JOB_LIST_DONE;
	case PERSIST_JOB_DEAD:
		return JOB_LIST_DEAD;
	default:
		return JOB_LIST_READY;
	}
}

bool persist_queue_next(const struct persist *p, struct slice name, enum persist_job_state state, int64_t *after, struct persist_job *out)
{
	const struct queue *queue = map_get(&p->jobs.queues, name);
	const struct job *last = *after ? job_find(p, *after) : NULL, *next;
	enum job_list from = list_of(state), to = state == PERSIST_JOB_WAITING ? JOB_LIST_LATER : from;

	if (!queue || (*after && (!last || list_empty(&last->state_list) || list_of(last->state) != from)))
		return false;
	if (!last) {
		next = first_of(queue, from, to);
	} else {
		struct list *at = last->state_list.next;
		if (at == &queue->lists[JOB_LIST_READY])
			next = first_of(queue, JOB_LIST_LATER, to);
		else
			next = at == &queue->lists[to] ? NULL : list_entry(at, const struct job, state_list);
	}
	if (!next)
		return false;
	*after = next->id;
	describe(p, next, out);
	return true;
}

bool persist_queue_stats(const struct persist *p, struct slice name, struct persist_queue_stats *out)
{
	const struct queue *queue = map_get(&p->jobs.queues, name);
	if (!queue)
		return false;
	*out = queue->stats;
	out->ready = queue->ready.count;
	const struct job *first = first_of(queue, JOB_LIST_READY, JOB_LIST_READY);
	if (first && first->due < p->now)
		out->oldest = (double)(p->now - first->due) / 1e9;
	return true;
}

bool persist_queues_next(const struct persist *p, size_t *cursor, struct slice *queue)
{
	const struct map_entry *e = map_next(&p->jobs.queues, cursor);
	if (e)
		*queue = slice_make(e->key, e->key_len);
	return e;
}

uint64_t persist_jobs_readied(const struct persist *p)
{
	return p->jobs.readied;
}
