#include "persist/persist_jobs.h"

#include "observe/log.h"
#include "persist/jobs_internal.h"

/* Counted nowhere: not yet, or not any more. */
#define NO_STATE PERSIST_JOB_STATES

static const char *const state_names[PERSIST_JOB_STATES] = { "waiting", "waiting", "waiting", "running", "done", "dead" };

/* Names and ids */

static struct slice id_key(const int64_t *id)
{
	return slice_make((const char *)id, sizeof *id);
}

/* Queue and name as one key, in p->row. */
static struct slice name_key(struct persist *p, const char *queue, struct slice name)
{
	buf_clear(&p->row);
	buf_append_cstr(&p->row, queue);
	buf_append_char(&p->row, '\0');
	buf_append(&p->row, name);
	return buf_slice(&p->row);
}

static void forget_name(struct persist *p, struct job *job)
{
	if (!*job->name)
		return;
	struct slice key = name_key(p, job->queue->name, slice_cstr(job->name));
	if (map_get(&p->jobs.names, key) == job)
		map_remove(&p->jobs.names, key);
}

static void know_name(struct persist *p, struct job *job)
{
	if (*job->name)
		map_set(&p->jobs.names, name_key(p, job->queue->name, slice_cstr(job->name)), job);
}

static struct queue *open_queue(struct persist *p, struct slice name)
{
	struct queue *queue = map_get(&p->jobs.queues, name);
	if (queue)
		return queue;
	queue = mem_zalloc(sizeof *queue);
	queue->name = mem_slicedup(name);
	for (size_t i = 0; i < JOB_LISTS; i++)
		list_init(&queue->lists[i]);
	map_set(&p->jobs.queues, name, queue);
	return queue;
}

/* Places */

static void leave(struct persist *p, struct job *job)
{
	if (job->place == IN_DUE)
		heap_remove(&p->jobs.due, &job->node);
	else if (job->place == IN_READY)
		heap_remove(&job->queue->ready, &job->node);
	job->place = NOWHERE;
}

static void enter_due(struct persist *p, struct job *job, uint64_t when)
{
	leave(p, job);
	job->node.key = when;
	heap_push(&p->jobs.due, &job->node);
	job->place = IN_DUE;
}

static void enter_list(struct job *job, enum job_list list)
{
	list_remove(&job->state_list);
	list_append(&job->queue->lists[list], &job->state_list);
}

static void enter_ready(struct persist *p, struct job *job)
{
	leave(p, job);
	job->node.key = (uint64_t)((int64_t)INT32_MAX - job->priority);
	heap_push_in_order(&job->queue->ready, &job->node, (uint64_t)job->id);
	job->place = IN_READY;
	enter_list(job, JOB_LIST_READY);
	p->jobs.readied++;
}

static size_t *counter(struct queue *queue, enum persist_job_state state)
{
	switch (state) {
	case PERSIST_JOB_PUSHED:
	case PERSIST_JOB_WAITING:
		return &queue->stats.waiting;
	case PERSIST_JOB_STARTING:
	case PERSIST_JOB_RUNNING:
		return &queue->stats.running;
	case PERSIST_JOB_DEAD:
		return &queue->stats.dead;
	case PERSIST_JOB_DONE:
		return &queue->remembered;
	default:
		return NULL;
	}
}

/* Every change of a job's state. Waiting ones stand where their time says. */
static void become(struct persist *p, struct job *job, enum persist_job_state state)
{
	size_t *before = counter(job->queue, job->state), *after = counter(job->queue, state);
	if (before)
		--*before;
	if (after)
		++*after;
	job->state = state;
	list_remove(&job->state_list);
	leave(p, job);
	job->changed = persist_time(p);
	if (state == PERSIST_JOB_WAITING && job->due > p->now) {
		enter_due(p, job, job->due);
		enter_list(job, JOB_LIST_LATER);
	} else if (state == PERSIST_JOB_WAITING) {
		enter_ready(p, job);
	} else if (state == PERSIST_JOB_STARTING || state == PERSIST_JOB_RUNNING) {
		enter_list(job, JOB_LIST_BUSY);
	} else if (state == PERSIST_JOB_DEAD) {
		enter_list(job, JOB_LIST_DEAD);
	} else if (state == PERSIST_JOB_DONE) {
		enter_list(job, JOB_LIST_DONE);
	}
}

/* Rows */

static void save(struct persist *p, struct job *job, change_fn *done, persist_fn *fn, void *arg)
{
	buf_clear(&p->row);
	row_put_bytes(&p->row, slice_cstr(job->queue->name));
	row_put_bytes(&p->row, slice_cstr(job->name));
	row_put_bytes(&p->row, job->body);
	/* A try that is on its way to the disk is there as a running one. */
	row_put_bytes(&p->row, slice_cstr(state_names[job->state == PERSIST_JOB_STARTING ? PERSIST_JOB_RUNNING : job->state]));
	row_put_int(&p->row, job->priority);
	row_put_int(&p->row, persist_time_of(p, job->due));
	row_put_int(&p->row, job->try);
	row_put_int(&p->row, job->tries_known || job->state != PERSIST_JOB_WAITING ? job->tries : 0);
	row_put_int(&p->row, job->dedup);
	row_put_int(&p->row, job->pushed);
	row_put_int(&p->row, job->changed);
	row_put_bytes(&p->row, slice_cstr(job->error));
	persist_submit(p, CHANGE_PUT, ROW_JOB, job->id, done, fn, arg);
}

static struct job *create(struct persist *p, int64_t id, struct slice queue, struct slice name, struct slice body)
{
	struct job *job = mem_zalloc(sizeof *job);
	job->id = id;
	job->queue = open_queue(p, queue);
	job->name = mem_slicedup(name);
	job->error = mem_strdup("");
	job->body = slice_make(mem_slicedup(body), body.len);
	job->state = NO_STATE;
	list_init(&job->state_list);
	list_append(&p->jobs.all, &job->all);
	map_set(&p->jobs.ids, id_key(&id), job);
	know_name(p, job);
	return job;
}

static void free_body(struct job *job)
{
	free((void *)(uintptr_t)job->body.ptr);
	job->body = (struct slice){ NULL, 0 };
}

static void free_job(struct job *job)
{
	free(job->name);
	free(job->error);
	free_body(job);
	free(job);
}

/* Out of memory and off the disk. */
static void erase(struct persist *p, struct job *job)
{
	become(p, job, NO_STATE);
	forget_name(p, job);
	map_remove(&p->jobs.ids, id_key(&job->id));
	if (p->jobs.copied == &job->all)
		p->jobs.copied = job->all.next;
	list_remove(&job->all);
	persist_submit(p, CHANGE_DELETE, ROW_JOB, job->id, NULL, NULL, NULL);
	free_job(job);
}

static void set_error(struct job *job, struct slice error)
{
	free(job->error);
	if (error.len > PERSIST_JOB_ERROR_MAX)
		error.len = PERSIST_JOB_ERROR_MAX;
	const char *nul = memchr(error.ptr, '\0', error.len);
	job->error = mem_slicedup(slice_make(error.ptr, nul ? (size_t)(nul - error.ptr) : error.len));
}

/* Pushing */

static void pushed(void *ctx, struct change *change, const struct err *err)
{
	struct persist *p = ctx;
	struct job *job = job_find(p, change->id);
	if (err) {
		/* The row may have got there in spite of the error: it must not stay. */
		if (job)
			erase(p, job);
	} else if (job && job->state == PERSIST_JOB_PUSHED) {
		become(p, job, PERSIST_JOB_WAITING);
	}
	change->fn(change->arg, err ? 0 : change->id, err);
}

/* The first push of this name may have failed meanwhile. */
static void pushed_again(void *ctx, struct change *change, const struct err *err)
{
	static const struct err gone = { ERR_BACKPRESSURE, "the job of that name could not be written" };
	struct persist *p = ctx;
	if (!err && change->n == PERSIST_JOB_PUSHED && !job_find(p, change->id))
		err = &gone;
	change->fn(change->arg, err ? 0 : change->id, err);
}

static bool name_counts(const struct persist *p, const struct job *job)
{
	if (job->state != PERSIST_JOB_DONE && job->state != PERSIST_JOB_DEAD)
		return true;
	return job->counts_until > p->now;
}

static int check_push(struct persist *p, const struct persist_push *push, struct err *err)
{
	const struct persist_limits *limits = &p->options.limits;
	const struct queue *queue = map_get(&p->jobs.queues, push->queue);

	if (push->queue.len == 0 || push->queue.len > PERSIST_JOB_NAME_MAX || memchr(push->queue.ptr, '\0', push->queue.len))
		return err_set(err, ERR_INVALID, "work: a queue's name must have 1 to %d bytes, none of them NUL", PERSIST_JOB_NAME_MAX);
	if (push->name.len > PERSIST_JOB_NAME_MAX || (push->name.len > 0 && memchr(push->name.ptr, '\0', push->name.len)))
		return err_set(err, ERR_INVALID, "work: a job's id must have at most %d bytes, none of them NUL", PERSIST_JOB_NAME_MAX);
	if (push->body.len > limits->job_bytes)
		return err_set(err, ERR_INVALID, "work: the job is too large (%zu bytes, at most %zu)", push->body.len, limits->job_bytes);
	if (push->tries > PERSIST_JOB_TRIES_MAX)
		return err_set(err, ERR_INVALID, "work: %u tries are too many (at most %d)", push->tries, PERSIST_JOB_TRIES_MAX);
	if (!queue && p->jobs.queues.count >= limits->queues)
		return err_set(err, ERR_OVERFLOW, "work: there are %zu queues already, the most in all", p->jobs.queues.count);
	if (queue && queue->stats.waiting + queue->stats.running >= limits->queue_jobs)
		return err_set(err, ERR_BACKPRESSURE, "work: the queue %s is full (%zu jobs)", queue->name,
		               queue->stats.waiting + queue->stats.running);
	return persist_check_room(p, sizeof(struct change) + push->body.len + push->queue.len + push->name.len + 160, err);
}

static uint64_t due_time(struct persist *p, const struct persist_push *push)
{
	uint64_t delay = push->at > 0 ? clock_from_seconds(push->at - p->options.wall()) : push->delay;
	return delay < UINT64_MAX / 2 - p->now ? p->now + delay : UINT64_MAX / 2;
}

int persist_job_push(struct persist *p, const struct persist_push *push, uint64_t now, persist_fn *fn, void *arg, struct err *err)
{
	struct job *job = NULL;

	p->now = now;
	if (persist_check_disk(p, err))
		return -1;
	const struct queue *queue = map_get(&p->jobs.queues, push->queue);
	if (queue && push->name.len > 0)
		job = map_get(&p->jobs.names, name_key(p, queue->name, push->name));
	if (job && name_counts(p, job)) {
		job->queue->stats.duplicates++;
		/* Its own row comes first: both answers come when it is on disk. */
		persist_submit_n(p, CHANGE_SYNC, ROW_JOB, job->id, pushed_again, fn, arg, job->state);
		return 0;
	}
	if (check_push(p, push, err))
		return -1;
	job = create(p, persist_new_id(p), push->queue, push->name, push->body);
	job->priority = push->priority;
	job->tries = push->tries;
	job->tries_known = push->tries > 0;
	job->dedup = (int64_t)(push->dedup / CLOCK_NS_PER_MS);
	job->due = due_time(p, push);
	job->pushed = persist_time(p);
	become(p, job, PERSIST_JOB_PUSHED);
	job->queue->stats.pushed++;
	save(p, job, pushed, fn, arg);
	return 0;
}

/* Running */

static void keep_name(struct persist *p, struct job *job)
{
	job->counts_until = p->now + (uint64_t)job->dedup * CLOCK_NS_PER_MS;
}

static void taken(void *ctx, struct change *change, const struct err *err)
{
	struct persist *p = ctx;
	struct job *job = job_find(p, change->id);
	if (job && job->state == PERSIST_JOB_STARTING) {
		if (err) {
			job->try--;
			become(p, job, PERSIST_JOB_WAITING);
			/* What this try stood in place of has not been written with it. */
			save(p, job, NULL, NULL, NULL);
		} else {
			become(p, job, PERSIST_JOB_RUNNING);
		}
	}
	change->fn(change->arg, change->id, err);
}

int persist_job_take(struct persist *p, struct slice name, unsigned tries, uint64_t now, persist_fn *fn, void *arg,
                     struct err *err)
{
	struct queue *queue = map_get(&p->jobs.queues, name);
	struct heap_node *top = queue ? heap_top(&queue->ready) : NULL;

	p->now = now;
	if (!top)
		return 0;
	if (persist_check_disk(p, err))
		return -1;
	struct job *job = heap_entry(top, struct job, node);
	become(p, job, PERSIST_JOB_STARTING);
	job->try++;
	if (!job->tries_known)
		job->tries = tries;
	save(p, job, taken, fn, arg);
	return 1;
}

static struct job *find_running(struct persist *p, int64_t id)
{
	struct job *job = job_find(p, id);
	return job && job->state == PERSIST_JOB_RUNNING ? job : NULL;
}

/* What is remembered has a bound as well. */
static void forget_oldest(struct persist *p, struct queue *queue)
{
	for (size_t n = 0; n < PERSIST_SLICE && queue->remembered > p->options.limits.queue_jobs; n++) {
		struct job *oldest = list_entry(queue->lists[JOB_LIST_DONE].next, struct job, state_list);
		queue->stats.forgotten++;
		log_write(LOG_WARN, "id of a job forgotten before its dedup was over: there are too many", F_TEXT("queue", queue->name),
		          F_INT("id", oldest->id), F_INT("remembered", queue->remembered));
		erase(p, oldest);
	}
}

int persist_job_done(struct persist *p, int64_t id, uint64_t now)
{
	struct job *job = find_running(p, id);

	p->now = now;
	if (!job)
		return -1;
	job->queue->stats.done++;
	if (!*job->name || job->dedup == 0) {
		erase(p, job);
		return 0;
	}
	become(p, job, PERSIST_JOB_DONE);
	free_body(job); /* nobody needs more than its name */
	keep_name(p, job);
	enter_due(p, job, job->counts_until);
	save(p, job, NULL, NULL, NULL);
	forget_oldest(p, job->queue);
	return 0;
}

/* One more dead job; too many push out the oldest. */
static void die(struct persist *p, struct job *job)
{
	struct queue *queue = job->queue;
	become(p, job, PERSIST_JOB_DEAD);
	keep_name(p, job);
	queue->stats.died++;
	save(p, job, NULL, NULL, NULL);
	log_write(LOG_WARN, "job is dead: its last try has failed", F_TEXT("queue", queue->name), F_INT("id", job->id),
	          F_INT("tries", job->try), F_TEXT("reason", job->error));
	while (queue->stats.dead > p->options.limits.queue_dead) {
		struct job *oldest = list_entry(queue->lists[JOB_LIST_DEAD].next, struct job, state_list);
		queue->stats.dropped++;
		log_write(LOG_WARN, "dead job dropped: there are too many", F_TEXT("queue", queue->name), F_INT("id", oldest->id),
		          F_INT("dead", queue->stats.dead));
		erase(p, oldest);
	}
}

int persist_job_failed(struct persist *p, int64_t id, struct slice error, uint64_t delay, uint64_t now)
{
	struct job *job = find_running(p, id);

	p->now = now;
	if (!job)
		return -1;
	job->queue->stats.failed++;
	set_error(job, error);
	if (job->try >= job->tries) {
		die(p, job);
		return 1;
	}
	job->due = delay < UINT64_MAX / 2 - now ? now + delay : UINT64_MAX / 2;
	become(p, job, PERSIST_JOB_WAITING);
	save(p, job, NULL, NULL, NULL);
	return 0;
}

static void release(struct persist *p, struct job *job)
{
	job->try--;
	become(p, job, PERSIST_JOB_WAITING);
	save(p, job, NULL, NULL, NULL);
}

int persist_job_release(struct persist *p, int64_t id, uint64_t now)
{
	struct job *job = find_running(p, id);
	p->now = now;
	if (!job)
		return -1;
	release(p, job);
	return 0;
}

void persist_jobs_release_all(struct persist *p)
{
	list_each(it, &p->jobs.all) {
		struct job *job = list_entry(it, struct job, all);
		if (job->state == PERSIST_JOB_RUNNING || job->state == PERSIST_JOB_STARTING)
			release(p, job);
	}
}

/* Another one of this name that waits or runs. */
static bool other_of_its_name(struct persist *p, const struct job *job)
{
	const struct job *other = *job->name ? map_get(&p->jobs.names, name_key(p, job->queue->name, slice_cstr(job->name))) : NULL;
	return other && other != job && other->state != PERSIST_JOB_DONE && other->state != PERSIST_JOB_DEAD;
}

int persist_job_retry(struct persist *p, int64_t id, uint64_t now)
{
	struct job *job = job_find(p, id);
	p->now = now;
	if (!job || job->state != PERSIST_JOB_DEAD || other_of_its_name(p, job) ||
	    job->queue->stats.waiting + job->queue->stats.running >= p->options.limits.queue_jobs)
		return -1;
	job->try = 0;
	job->due = now;
	become(p, job, PERSIST_JOB_WAITING);
	know_name(p, job);
	save(p, job, NULL, NULL, NULL);
	return 0;
}

int persist_job_drop(struct persist *p, int64_t id, uint64_t now)
{
	struct job *job = job_find(p, id);
	p->now = now;
	if (!job || (job->state != PERSIST_JOB_DEAD && job->state != PERSIST_JOB_WAITING))
		return -1;
	job->queue->stats.dropped++;
	erase(p, job);
	return 0;
}

/* For the layer */

void persist_jobs_init(struct persist *p)
{
	p->jobs = (struct persist_jobs){ 0 };
	map_init(&p->jobs.queues, false);
	map_init(&p->jobs.ids, false);
	map_init(&p->jobs.names, false);
	list_init(&p->jobs.all);
	p->jobs.copied = &p->jobs.all;
}

void persist_jobs_close(struct persist *p)
{
	struct map_entry *e;
	list_each_safe(it, &p->jobs.all)
		free_job(list_entry(it, struct job, all));
	for (size_t i = 0; (e = map_next(&p->jobs.queues, &i));) {
		struct queue *queue = e->value;
		heap_close(&queue->ready);
		free(queue->name);
		free(queue);
	}
	map_close(&p->jobs.queues);
	map_close(&p->jobs.ids);
	map_close(&p->jobs.names);
	heap_close(&p->jobs.due);
}

static int state_of(struct slice name)
{
	for (int state = PERSIST_JOB_WAITING; state < PERSIST_JOB_STATES; state++)
		if (slice_eq(name, slice_cstr(state_names[state])))
			return state;
	return -1;
}

bool persist_jobs_load(struct persist *p, int64_t id, struct slice row)
{
	struct slice queue, name, body, state_name, error;
	int64_t priority, due, try, tries, dedup, pushed_at, changed;

	if (!row_take(row, row_defs[ROW_JOB].types, &queue, &name, &body, &state_name, &priority, &due, &try, &tries, &dedup, &pushed_at,
	              &changed, &error))
		return false;
	int state = state_of(state_name);
	if (state == -1 || queue.len == 0 || try < 0 || tries < 0 || dedup < 0)
		return false;
	struct job *job = create(p, id, queue, name, body);
	set_error(job, error);
	job->priority = (int)priority;
	job->try = (unsigned)try;
	job->tries = (unsigned)tries;
	job->tries_known = tries > 0;
	job->dedup = dedup;
	job->pushed = pushed_at;
	job->due = persist_when(p, due);
	become(p, job, (enum persist_job_state)state);
	job->changed = changed;
	job->counts_until = persist_when(p, changed + dedup);
	return true;
}

/* What ran when the process ended has had its try. One that dies may push out any other, the next one too. */
void persist_jobs_loaded(struct persist *p)
{
	list_each(it, &p->jobs.all) {
		struct job *job = list_entry(it, struct job, all);
		if (job->state == PERSIST_JOB_DONE) {
			enter_due(p, job, job->counts_until);
		} else if (job->state == PERSIST_JOB_RUNNING) {
			set_error(job, SLICE("the process ended during this try"));
			job->due = p->now;
			if (job->try >= job->tries) {
				die(p, job);
			} else {
				become(p, job, PERSIST_JOB_WAITING);
				save(p, job, NULL, NULL, NULL);
			}
		}
	}
}

bool persist_jobs_copy(struct persist *p, size_t max)
{
	struct persist_jobs *jobs = &p->jobs;
	for (; jobs->copied != &jobs->all && max > 0; max--, jobs->copied = jobs->copied->next)
		save(p, list_entry(jobs->copied, struct job, all), NULL, NULL, NULL);
	return jobs->copied == &jobs->all;
}

void persist_jobs_sweep(struct persist *p)
{
	for (size_t n = 0; n < PERSIST_SLICE; n++) {
		struct heap_node *top = heap_top(&p->jobs.due);
		if (!top || top->key > p->now)
			return;
		struct job *job = heap_entry(top, struct job, node);
		if (job->state == PERSIST_JOB_DONE)
			erase(p, job);
		else
			enter_ready(p, job);
	}
}
