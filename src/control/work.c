/* `work`: queues of jobs, the jobs of one of them, and what an operator does with dead ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/value_json.h"
#include "base/value_pack.h"
#include "control/internal.h"
#include "control/table.h"
#include "persist/persist_jobs.h"
#include "view/json_writer.h"

#define JOBS_SHOWN 1000 /* of one state */
#define JOB_WIDTH 100   /* bytes of a job in a table */

static const struct table_column queue_columns[] = {
	{ "QUEUE", false }, { "RULE", false }, { "WAITING", true }, { "READY", true }, { "RUNNING", true }, { "DEAD", true }, { "OLDEST", true },
	{ "DONE", true }, { "FAILED", true },
};

static const struct table_column job_columns[] = {
	{ "NUMBER", true }, { "STATE", false }, { "ID", false }, { "TRY", true }, { "AGE", true }, { "DUE IN", true }, { "JOB", false },
	{ "LAST ERROR", false },
};

static const enum persist_job_state shown_states[] = { PERSIST_JOB_DEAD, PERSIST_JOB_RUNNING, PERSIST_JOB_WAITING };

/* ---- queues ---- */

static int compare_names(const void *a, const void *b)
{
	const struct slice *x = a, *y = b;
	size_t len = x->len < y->len ? x->len : y->len;
	int order = memcmp(x->ptr, y->ptr, len);
	return order ? order : (x->len > y->len) - (x->len < y->len);
}

static void add_name(struct slice **all, size_t *count, struct slice name)
{
	*all = mem_realloc(*all, *count + 1, sizeof **all);
	(*all)[(*count)++] = name;
}

/* Those with jobs and those that rules serve, by name, malloc'd; they stand until the next change. */
static struct slice *sorted_queues(const struct persist *persist, const struct host *host, size_t *count)
{
	struct persist_queue_stats stats;
	struct slice name, *all = NULL;
	*count = 0;
	for (size_t i = 0; persist_queues_next(persist, &i, &name);)
		add_name(&all, count, name);
	for (size_t i = 0; host_queues_next(host, &i, &name);)
		if (!persist_queue_stats(persist, name, &stats))
			add_name(&all, count, name);
	if (*count > 0)
		qsort(all, *count, sizeof *all, compare_names);
	return all;
}

static const char *state_of(const struct host_queue_view *view)
{
	return !view->rule ? "no rule" : view->down ? "down" : view->quarantined ? "quarantined" : view->disabled ? "disabled" : "runs";
}

static void queue_row(struct table *table, struct slice name, const struct host_queue_view *view, const struct persist_queue_stats *s)
{
	char text[TEXT_SHORT];
	bool runs = strcmp(state_of(view), "runs") == 0;
	table_cell(table, "%.*s", SLICE_ARG(name));
	table_cell(table, "%s%s%s%s", view->rule ? view->rule : "no rule", view->rule && !runs ? " (" : "", view->rule && !runs ? state_of(view) : "",
	           view->rule && !runs ? ")" : "");
	table_cell(table, "%zu", s->waiting);
	table_cell(table, "%zu", s->ready);
	table_cell(table, "%zu", s->running);
	table_cell(table, "%zu", s->dead);
	table_cell(table, "%s", s->ready ? text_age(s->oldest, text) : "");
	table_cell(table, "%llu", (unsigned long long)s->done);
	table_cell(table, "%llu", (unsigned long long)s->failed);
}

static void queue_json(struct writer *writer, struct slice name, const struct host_queue_view *view, const struct persist_queue_stats *s)
{
	writer_slice(writer, SLICE("queue"), name);
	writer_text(writer, "rule", view->rule);
	writer_text(writer, "state", state_of(view));
	if (view->at_once)
		writer_integer(writer, "at_once", view->at_once);
	if (view->per_second > 0)
		writer_number(writer, "per_second", view->per_second);
	writer_integer(writer, "waiting", s->waiting);
	writer_integer(writer, "ready", s->ready);
	writer_integer(writer, "running", s->running);
	writer_integer(writer, "dead", s->dead);
	writer_number(writer, "oldest", s->oldest);
	writer_integer(writer, "pushed", s->pushed);
	writer_integer(writer, "duplicates", s->duplicates);
	writer_integer(writer, "done", s->done);
	writer_integer(writer, "failed", s->failed);
	writer_integer(writer, "died", s->died);
	writer_integer(writer, "dropped", s->dropped);
}

/* False when it has no job and no rule. */
static bool find_queue(struct request *request, const struct persist *persist, struct slice name, struct host_queue_view *view,
                       struct persist_queue_stats *stats)
{
	*stats = (struct persist_queue_stats){ 0 };
	bool served = host_queue_view(engine_host(request->engine), name, view);
	return persist_queue_stats(persist, name, stats) || served;
}

static int refuse_queue(struct request *request, struct slice name)
{
	return client_refuse(request->client, 1, "work: no rule serves a queue '%.*s', and it has no jobs; `work` lists them", SLICE_ARG(name));
}

static int show_queues(struct request *request, struct persist *persist)
{
	struct table table;
	struct writer writer;
	struct host_queue_view view;
	struct persist_queue_stats stats;
	size_t count;
	struct slice *names = sorted_queues(persist, engine_host(request->engine), &count);

	table_init(&table, queue_columns, sizeof queue_columns / sizeof *queue_columns);
	writer_init(&writer, request->out);
	if (request->json) {
		writer_open(&writer, NULL, '{');
		writer_open(&writer, "queues", '[');
	}
	for (size_t i = 0; i < count; i++) {
		host_queue_view(engine_host(request->engine), names[i], &view);
		stats = (struct persist_queue_stats){ 0 };
		persist_queue_stats(persist, names[i], &stats);
		if (request->json) {
			writer_open(&writer, NULL, '{');
			queue_json(&writer, names[i], &view, &stats);
			writer_close(&writer, '}');
		} else {
			queue_row(&table, names[i], &view, &stats);
		}
	}
	free(names);
	if (request->json) {
		writer_close(&writer, ']');
		writer_close(&writer, '}');
		buf_append_char(request->out, '\n');
	} else if (count == 0) {
		buf_append_cstr(request->out, "no rule serves a queue, and no job waits in one\n");
	}
	if (count > 0 && !request->json)
		table_print(&table, "", request->out);
	else
		buf_close(&table.text);
	return 0;
}

/* ---- the jobs of one queue ---- */

static void append_body(struct buf *out, struct slice body)
{
	struct value value;
	if (value_unpack(body, &value)) {
		buf_append_cstr(out, "null");
		return;
	}
	value_json(out, &value);
	value_close(&value);
}

static void job_row(struct table *table, const struct persist_job *job)
{
	char text[TEXT_SHORT];
	struct buf body;

	buf_init(&body, 0);
	append_body(&body, job->body);
	struct slice shown = buf_slice(&body);
	table_cell(table, "%lld", (long long)job->id);
	table_cell(table, "%s", persist_job_state_name(job->state));
	table_cell(table, "%.*s", SLICE_ARG(job->name));
	if (job->tries > 0)
		table_cell(table, "%u of %u", job->try, job->tries);
	else
		table_cell(table, "%u", job->try);
	table_cell(table, "%s", text_age(job->age, text));
	table_cell(table, "%s", job->state == PERSIST_JOB_WAITING && job->due_in > 0 ? text_age(job->due_in, text) : "");
	table_cell(table, "%.*s%s", (int)(shown.len < JOB_WIDTH ? shown.len : JOB_WIDTH), shown.ptr, shown.len > JOB_WIDTH ? "…" : "");
	table_cell(table, "%.*s", SLICE_ARG(job->error));
	buf_close(&body);
}

static void job_json(struct writer *writer, const struct persist_job *job)
{
	struct buf body;

	buf_init(&body, 0);
	append_body(&body, job->body);
	writer_open(writer, NULL, '{');
	writer_integer(writer, "number", (uint64_t)job->id);
	writer_text(writer, "state", persist_job_state_name(job->state));
	if (job->name.len > 0)
		writer_slice(writer, SLICE("id"), job->name);
	writer_integer(writer, "try", job->try);
	if (job->tries > 0)
		writer_integer(writer, "tries", job->tries);
	if (job->priority < 0)
		writer_number(writer, "priority", job->priority);
	else
		writer_integer(writer, "priority", (uint64_t)job->priority);
	writer_number(writer, "age", job->age);
	writer_number(writer, "due_in", job->state == PERSIST_JOB_WAITING && job->due_in > 0 ? job->due_in : 0);
	if (job->error.len > 0)
		writer_slice(writer, SLICE("error"), job->error);
	writer_json(writer, "job", buf_slice(&body));
	writer_close(writer, '}');
	buf_close(&body);
}

/* Gives the jobs of the queue, JOBS_SHOWN of each state at most; returns how many more there are. */
static size_t each_job(const struct persist *persist, struct slice queue, const struct persist_queue_stats *stats, struct table *table,
                       struct writer *writer)
{
	size_t shown = 0;
	struct persist_job job;

	for (size_t i = 0; i < sizeof shown_states / sizeof *shown_states; i++) {
		int64_t after = 0;
		for (size_t n = 0; n < JOBS_SHOWN && persist_queue_next(persist, queue, shown_states[i], &after, &job); n++, shown++) {
			if (writer)
				job_json(writer, &job);
			else
				job_row(table, &job);
		}
	}
	size_t all = stats->waiting + stats->running + stats->dead;
	return all > shown ? all - shown : 0;
}

static int show_jobs(struct request *request, const struct persist *persist, struct slice queue)
{
	struct host_queue_view view;
	struct persist_queue_stats stats;
	struct writer writer;
	struct table table;

	if (!find_queue(request, persist, queue, &view, &stats))
		return refuse_queue(request, queue);
	table_init(&table, job_columns, sizeof job_columns / sizeof *job_columns);
	writer_init(&writer, request->out);
	if (request->json) {
		writer_open(&writer, NULL, '{');
		queue_json(&writer, queue, &view, &stats);
		writer_open(&writer, "jobs", '[');
	}
	size_t more = each_job(persist, queue, &stats, &table, request->json ? &writer : NULL);
	if (request->json) {
		buf_close(&table.text);
		writer_close(&writer, ']');
		writer_integer(&writer, "more", more);
		writer_close(&writer, '}');
		buf_append_char(request->out, '\n');
		return 0;
	}
	if (table.cells == 0) {
		buf_close(&table.text);
		buf_append_cstr(request->out, "no job waits, runs or is dead\n");
		return 0;
	}
	table_print(&table, "", request->out);
	if (more > 0)
		buf_printf(request->out, "and %zu more\n", more);
	return 0;
}

/* ---- what changes jobs ---- */

static bool is_number(const char *word, int64_t *number)
{
	return slice_to_int(slice_cstr(word), number) && *number > 0;
}

static int answer(struct request *request, const char *verb, size_t count)
{
	if (request->json)
		buf_printf(request->out, "{\"success\":true,\"message\":\"%s %zu job%s\",\"jobs\":%zu}\n", verb, count, count == 1 ? "" : "s", count);
	else
		buf_printf(request->out, "%s %zu job%s\n", verb, count, count == 1 ? "" : "s");
	return 0;
}

static int change_one(struct request *request, struct persist *persist, bool retry, int64_t number)
{
	struct persist_job job;
	uint64_t now = clock_mono_ns();

	if (!persist_job_get(persist, number, &job))
		return client_refuse(request->client, 1, "work: there is no job %lld; `work QUEUE` lists them", (long long)number);
	if (retry ? persist_job_retry(persist, number, now) : persist_job_drop(persist, number, now)) {
		const char *state = persist_job_state_name(job.state);
		if (!retry)
			return client_refuse(request->client, 1, "work: job %lld cannot be dropped: it is %s", (long long)number, state);
		if (job.state != PERSIST_JOB_DEAD)
			return client_refuse(request->client, 1, "work: job %lld is not dead: it is %s", (long long)number, state);
		return client_refuse(request->client, 1, "work: job %lld cannot be tried again: its queue is full (limits.queue_jobs), or a job of the "
		                     "same id waits or runs", (long long)number);
	}
	return answer(request, retry ? "tried again:" : "dropped", 1);
}

/* All dead jobs of a queue. */
static int change_dead(struct request *request, struct persist *persist, bool retry, struct slice queue)
{
	struct host_queue_view view;
	struct persist_queue_stats stats;
	struct persist_job job;
	uint64_t now = clock_mono_ns();
	size_t changed = 0, kept = 0;

	if (!find_queue(request, persist, queue, &view, &stats))
		return refuse_queue(request, queue);
	int64_t last = 0;
	for (size_t n = stats.dead; n > 0; n--) {
		int64_t id = last;
		if (!persist_queue_next(persist, queue, PERSIST_JOB_DEAD, &id, &job))
			break;
		if (retry ? persist_job_retry(persist, id, now) : persist_job_drop(persist, id, now)) {
			last = id; /* it stays */
			kept++;
		} else {
			changed++;
		}
	}
	if (kept > 0)
		return client_refuse(request->client, 1, "work: tried again: %zu jobs; %zu stay dead: the queue is full (limits.queue_jobs), or jobs of "
		                     "the same id wait or run", changed, kept);
	return answer(request, retry ? "tried again:" : "dropped", changed);
}

static int change(struct request *request, struct persist *persist, bool retry)
{
	const char *what = request->argv[1];
	int64_t number;

	if (!client_has_role(request->client, ROLE_ADMIN))
		return command_refuse_role(request->client, retry ? "work retry" : "work drop", ROLE_ADMIN);
	command_log(request->client, retry ? "console: work retry" : "console: work drop", what);
	return is_number(what, &number) ? change_one(request, persist, retry, number)
	                                : change_dead(request, persist, retry, slice_cstr(what));
}

int command_work(struct request *request)
{
	struct persist *persist = engine_persist(request->engine);
	bool retry = request->argc > 0 && strcmp(request->argv[0], "retry") == 0;
	bool drop = request->argc > 0 && strcmp(request->argv[0], "drop") == 0;

	if ((retry || drop) != (request->argc == 2))
		return client_refuse(request->client, 2, "work: say `work`, `work QUEUE`, or `work retry|drop QUEUE|NUMBER`");
	if (!persist)
		return client_refuse(request->client, 1, "the daemon has no state file: give it one (persist.file) and restart it");
	if (retry || drop)
		return change(request, persist, retry);
	return request->argc == 0 ? show_queues(request, persist) : show_jobs(request, persist, slice_cstr(request->argv[0]));
}
