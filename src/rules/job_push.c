/* Pushing jobs: who waits until one is on disk. */
#include <stdlib.h>

#include "base/mem.h"
#include "observe/log.h"
#include "rules/api/api.h"
#include "rules/jobs_internal.h"
#include "rules/order.h"

const struct rule *jobs_rule_of(const struct host *host, struct slice queue)
{
	for (size_t i = 0; i < host->rule_count; i++)
		if (!host->rules[i]->failed && rule_source_serves(host->rules[i]->source, queue))
			return host->rules[i];
	return NULL;
}

static void report_unserved(const struct host *host, struct slice queue)
{
	const struct job_queue *known = jobs_find_queue(host->jobs, queue);
	if (!(known && known->worker) && !jobs_rule_of(host, queue))
		log_write(LOG_WARN, "jobs wait: no rule serves their queue", F_SLICE("queue", queue));
}

void jobs_adopted(struct host *host)
{
	struct persist *disk = store_disk(host->store);
	struct persist_queue_stats stats;
	struct slice queue;
	if (!disk)
		return;
	for (size_t i = 0; persist_queues_next(disk, &i, &queue);)
		if (persist_queue_stats(disk, queue, &stats) && stats.waiting > 0)
			report_unserved(host, queue);
}

/* Nobody waits for it any more. */
static void let_go(struct job_push *push)
{
	struct rule *rule = push->rule;

	if (!rule)
		return;
	if (!rule->closing)
		luaL_unref(rule->L, LUA_REGISTRYINDEX, push->fn);
	push->fn = LUA_NOREF;
	wait_end(&push->wait);
	list_remove(&push->of_rule);
	rule->job_push_count--;
	if (push->charged)
		rule_credit(rule, sizeof *push);
	push->rule = NULL;
}

static void push_free(struct job_push *push)
{
	let_go(push);
	list_remove(&push->answered);
	free(push);
}

void job_push_forget(struct job_push *push)
{
	if (push->done)
		push_free(push);
	else
		let_go(push); /* the answer frees it */
}

static bool is_done(const struct wait *wait)
{
	return wait_entry_const(wait, struct job_push, wait)->done;
}

static void cancel(struct wait *wait)
{
	job_push_forget(wait_entry(wait, struct job_push, wait));
}

static void describe(const struct wait *wait, struct buf *out)
{
	(void)wait;
	buf_append_cstr(out, "a job, to be on disk");
}

static const struct wait_kind push_kind = { is_done, cancel, describe };

static void pushed(void *arg, int64_t id, const struct err *err)
{
	struct job_push *push = arg;
	struct rule *rule = push->rule;
	struct persist *disk = rule ? store_disk(rule->host->store) : NULL;
	struct persist_job job;

	push->done = true;
	if (!rule) {
		free(push);
		return;
	}
	push->id = id;
	if (err)
		push->err = *err;
	else if (disk && persist_job_get(disk, id, &job))
		report_unserved(rule->host, job.queue);
	if (push->wait.task)
		task_wake_later(push->wait.task);
	else
		list_append(&rule->host->jobs->answers, &push->answered);
}

static int hand_over(struct job_push *push, const struct persist_push *what, struct err *err)
{
	struct rule *rule = push->rule;
	struct host *host = rule->host;
	struct persist *disk = store_disk(host->store);

	if (rule->ending || !disk)
		return err_set(err, ERR_CANCELLED, "newer rules were loaded, or the engine stops");
	if (rule->job_push_count > rule->limits.pending)
		return err_set(err, ERR_BACKPRESSURE, "%u jobs of this rule are on their way to the disk (limits.pending)", rule->job_push_count - 1);
	push->charged = rule_charge(rule, sizeof *push);
	if (!push->charged)
		return err_set(err, ERR_BACKPRESSURE, "no memory left for another job (limits.rule_memory)");
	return persist_job_push(disk, what, host->ops.now(host->ctx), pushed, push, err);
}

int job_push_begin(struct rule *rule, const struct persist_push *what, struct task *task, int fn, struct err *err)
{
	struct job_push *push = mem_zalloc(sizeof *push);

	push->rule = rule;
	push->fn = LUA_NOREF;
	list_init(&push->answered);
	list_append(&rule->job_pushes, &push->of_rule);
	rule->job_push_count++;
	int rc = hand_over(push, what, err);
	if (rc && (!task || err->code == ERR_INVALID)) {
		push_free(push);
		return -1;
	}
	push->fn = fn;
	if (task)
		wait_begin(&push->wait, &push_kind, task);
	if (rc) {
		push->done = true;
		push->err = *err;
		task_wake_later(task);
	}
	return 0;
}

int job_push_end(struct wait *wait, int64_t *id, struct err *err)
{
	struct job_push *push = wait_entry(wait, struct job_push, wait);
	int rc = push->err.code == ERR_NONE ? 0 : -1;
	*id = push->id;
	*err = push->err;
	push_free(push);
	return rc;
}

static int push_answer(lua_State *co, struct task *task, void *arg)
{
	const struct job_push *push = arg;
	lua_rawgeti(co, LUA_REGISTRYINDEX, push->fn);
	if (push->err.code != ERR_NONE)
		return error_push_failure(co, task->rule, &push->err);
	lua_pushinteger(co, push->id);
	return 1;
}

static void call_back(struct job_push *push)
{
	struct task *task = push->fn != LUA_NOREF ? task_take(push->rule, "callback") : NULL;
	if (task)
		task_start(task, push_answer, push);
	job_push_forget(push);
}

static struct rule *rule_of_push(const struct host *host, struct list *node)
{
	(void)host;
	return list_entry(node, struct job_push, answered)->rule;
}

static bool serve_push(struct host *host, struct list *node)
{
	(void)host;
	call_back(list_entry(node, struct job_push, answered));
	return true;
}

bool job_pushes_deliver(struct host *host)
{
	return order_serve_list(host, &host->jobs->answers, &(const struct order_list){ rule_of_push, serve_push });
}

void job_push_cancel(struct job_push *push)
{
	if (!push->done)
		err_set(&push->err, ERR_CANCELLED, "newer rules were loaded, or the engine stops");
	call_back(push);
}
