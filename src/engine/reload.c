/* Taking over a plan, at start-up and at each reload: all or nothing (P7). */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/board.h"
#include "engine/internal.h"
#include "engine/mapping.h"
#include "engine/plan.h"
#include "net/tls.h"
#include "observe/log.h"
#include "observe/redact.h"
#include "rules/picture.h"

/* ---- servers ---- */

/* Its place in by_id is install()'s to fill. */
static uint32_t new_id(struct engine *e)
{
	if (e->id_count == e->id_cap) {
		e->id_cap = e->id_cap ? e->id_cap * 2 : 16;
		e->by_id = mem_realloc(e->by_id, e->id_cap, sizeof(struct server *));
	}
	return ++e->id_count;
}

static struct server *find_running(const struct engine *e, const char *name)
{
	for (size_t i = 0; i < e->server_count; i++)
		if (e->servers[i] && strcmp(e->servers[i]->name, name) == 0)
			return e->servers[i];
	return NULL;
}

static void count_fates(struct server *s)
{
	struct metric *m = metrics_find(s->engine->metrics, "hookswitch_server_events_total");
	struct slice labels[2] = { slice_cstr(s->name), SLICE("dispatched") };
	s->dispatched = metric_series(m, labels, 2);
	labels[1] = SLICE("unmatched");
	s->unmatched = metric_series(m, labels, 2);
}

/* Unless another server has its name: that one counts on. */
static void forget_fates(const struct engine *e, const char *name)
{
	for (size_t i = 0; i < e->server_count; i++)
		if (strcmp(e->servers[i]->name, name) == 0)
			return;
	list_each(it, &e->leaving)
		if (strcmp(list_entry(it, struct server, leaving)->name, name) == 0)
			return;
	metric_remove_all(metrics_find(e->metrics, "hookswitch_server_events_total"), slice_cstr(name));
}

static void install(struct engine *e, struct server *s, uint32_t id)
{
	s->id = id;
	e->by_id[id - 1] = s;
	s->feed = host_feed_open(e->host, id, s->name, link_log(s->link));
	count_fates(s);
	host_feed_count(s->feed, s->dispatched);
}

static struct server *find_predecessor(const struct engine *e, const struct server *s)
{
	list_each(it, &e->leaving) {
		struct server *before = list_entry(it, struct server, leaving);
		if (before->successor == s)
			return before;
	}
	return NULL;
}

static void leave(struct engine *e, struct server *s, struct server *successor)
{
	struct server *before = find_predecessor(e, s);
	const char *reason = successor ? "reconfigured" : "removed";

	/* This one never began: who follows waits for the session that still stands. */
	if (before) {
		before->successor = successor;
		successor = NULL;
	}
	s->successor = successor;
	list_append(&e->leaving, &s->leaving);
	/* Tells stopped() when it is over; at once when there is no session, but never from inside this call. */
	link_stop(s->link, reason);
}

/* A server that comes back while its old session still ends waits for that: some users may log in only once (Q42). */
static void follow(struct engine *e, struct server *s)
{
	list_each(it, &e->leaving) {
		struct server *before = list_entry(it, struct server, leaving);
		if (!before->successor && link_state(before->link) != LINK_STOPPED && strcmp(before->name, s->name) == 0) {
			before->successor = s;
			return;
		}
	}
}

void engine_server_stopped(struct engine *e, struct server *s)
{
	if (e->stopping) {
		for (size_t i = 0; i < e->server_count; i++)
			if (!e->servers[i]->stopped)
				return;
		if (!list_empty(&e->leaving)) {
			list_each(it, &e->leaving)
				if (!list_entry(it, struct server, leaving)->stopped)
					return;
		}
		ev_break(e->loop, EVBREAK_ALL);
		return;
	}
	if (s->successor) {
		link_continue_counts(s->successor->link, s->link);
		link_start(s->successor->link);
	}
	s->successor = NULL;
}

void engine_servers_leave(struct engine *e)
{
	list_each_safe(it, &e->leaving) {
		struct server *s = list_entry(it, struct server, leaving);
		if (!s->stopped || host_feed_is_busy(s->feed) || e->stopping)
			continue;
		list_remove(&s->leaving);
		forget_fates(e, s->name);
		server_destroy(&s);
	}
}

static void take_servers(struct engine *e, struct plan *plan)
{
	size_t count = plan->config->server_count;
	struct server **servers = mem_zalloc(count * sizeof(struct server *));
	for (size_t i = 0; i < count; i++) {
		const char *name = plan->config->servers[i].name;
		struct server *before = find_running(e, name);
		servers[i] = plan->servers[i] ? plan->servers[i] : before;
		plan->servers[i] = NULL;
		if (servers[i] != before)
			install(e, servers[i], before ? before->id : new_id(e));
		if (!before)
			follow(e, servers[i]);
		/* What is left in the old array has no place in the new one. */
		for (size_t k = 0; k < e->server_count; k++)
			if (e->servers[k] == before && before) {
				e->servers[k] = NULL;
				if (servers[i] != before)
					leave(e, before, servers[i]);
			}
	}
	for (size_t k = 0; k < e->server_count; k++)
		if (e->servers[k]) {
			e->by_id[e->servers[k]->id - 1] = NULL;
			picture_remove(host_picture(e->host), e->servers[k]->id);
			engine_picture_metrics_forget(e, e->servers[k]->name);
			leave(e, e->servers[k], NULL);
		}
	free(e->servers);
	e->servers = servers;
	e->server_count = count;
}

/* Starts what is new and waits for no predecessor. */
static void start_servers(struct engine *e)
{
	for (size_t i = 0; i < e->server_count; i++) {
		if (!find_predecessor(e, e->servers[i]) && link_state(e->servers[i]->link) == LINK_STOPPED)
			link_start(e->servers[i]->link);
	}
}

/* ---- the rest ---- */

static void take_sinks(struct engine *e, struct plan *plan, size_t before)
{
	struct err err;
	(void)e;
	for (size_t i = 0; i < plan->config->sink_count; i++)
		if (log_sink_use((unsigned)i, plan->sinks[i] ? &plan->sinks[i] : NULL, &err)) {
			log_file_discard(&plan->sinks[i]);
			log_write(LOG_ERROR, "a sink keeps its old file", F_TEXT("sink", plan->config->sinks[i].name), F_TEXT("reason", err.text));
		}
	for (size_t i = plan->config->sink_count; i < before; i++)
		log_sink_use((unsigned)i, NULL, &err);
}

static void take_over(struct engine *e, struct plan *plan)
{
	struct config *before = e->config;

	host_configure(e->host, &plan->config->limits.rules);
	take_sinks(e, plan, before ? before->sink_count : 0);
	take_servers(e, plan);
	redact_use(&plan->redact);
	e->config = plan->config;
	plan->config = NULL;
	tls_release(&e->web_tls);
	e->web_tls = plan->web_tls;
	plan->web_tls = NULL;
	board_destroy(&e->board);
	e->board = plan->board;
	plan->board = NULL;
	engine_persist_configure(e);
	engine_http_configure(e, plan);
	engine_spools_configure(e);
	engine_picture_configure(e);
	host_adopt(e->host, plan->rules);
	plan->rules = NULL;
	engine_events_update(e);
	free(plan->servers);
	free(plan->sinks);
	plan->servers = NULL;
	plan->sinks = NULL;
	if (e->on_reloaded)
		e->on_reloaded(e->reloaded_ctx);
	config_destroy(&before);
	e->reload_succeeded = clock_wall();
}

/* Of a good plan these are warnings only. */
static void log_faults(const struct faults *faults)
{
	static const struct slice warning = { "warning: ", 9 };
	/* Exact: each is a fault of its own, and none is held back as a repetition. */
	for (size_t i = 0; i < faults->count; i++) {
		const char *line = faults->lines[i];
		if (slice_starts_with(slice_cstr(line), warning))
			log_record_exact(LOG_WARN, "looks wrong", &F_TEXT("reason", line + warning.len), 1);
		else
			log_record_exact(LOG_ERROR, "reload failed, the old rules and configuration go on", &F_TEXT("reason", line), 1);
	}
}

static int start_log(const struct engine *e, const struct config *config, struct err *err)
{
	struct log_options log;

	mapping_log(config, e->log_format, &log);
	if (log_start(&log, err) == 0)
		return 0;
	if (log.format != LOG_JOURNAL || e->log_format || strcmp(config->log.format, "auto") != 0)
		return -1;
	/* Nobody asked for the journal by name: what it can take from stderr is better than no daemon. */
	char reason[sizeof err->text];
	snprintf(reason, sizeof reason, "%s", err->text);
	log.format = LOG_JSON;
	if (log_start(&log, err))
		return -1;
	log_write(LOG_WARN, "the log goes to stderr", F_TEXT("reason", reason));
	return 0;
}

static int open_state(struct plan *plan, struct err *err)
{
	struct engine *e = plan->engine;
	if (!plan->config->persist.file)
		return 0;
	/* What is found in the file is logged where the operator looks. */
	if (start_log(e, plan->config, err))
		return -1;
	e->log_runs = true;
	return engine_persist_open(e, plan->config, err);
}

int engine_first_plan(struct engine *e, bool strict, struct faults *faults)
{
	struct plan plan = { .path = e->config_path, .log_format = e->log_format, .store = host_store(e->host), .picture = host_picture(e->host), .budget = host_budget(e->host), .engine = e, .tls = e->http_tls, .skip_bad_files = !strict,
	                     .owner = &engine_link_owner, .open_state = open_state };
	struct err err;
	plan_make(&plan);
	if (plan.good) {
		const struct link_hub_options hub = { .loop = e->loop, .metrics = e->metrics,
		                                      .connects_in_flight = (uint32_t)plan.config->limits.connects_in_flight,
		                                      .connects_per_turn = (uint32_t)plan.config->limits.connects_per_turn };
		plan.good = false;
		if ((!e->log_runs && start_log(e, plan.config, &err)) || !(e->hub = plan.hub = link_hub_create(&hub, &err)))
			faults_add(&plan.faults, "%s", err.text);
		else
			plan.good = plan_make_links(&plan) == 0;
	}
	bool good = plan.good;
	if (good)
		take_over(e, &plan);
	*faults = plan.faults;
	faults_init(&plan.faults);
	plan_close(&plan);
	return good ? 0 : -1;
}

void engine_start(struct engine *e)
{
	start_servers(e);
}

/* ---- reloading ---- */

static void begin(struct engine *e);

static void make(void *arg)
{
	plan_make(arg);
}

/* The engine stops: its end must not wait for rules that nobody will run. */
static void make_nothing(void *arg)
{
	(void)arg;
}

static void report_to_waiters(struct engine *e, bool applied, const struct faults *faults)
{
	while (!list_empty(&e->waiters)) {
		struct reload_waiter *w = list_entry(e->waiters.next, struct reload_waiter, node);
		list_remove(&w->node);
		w->done(w->ctx, applied, faults);
		free(w);
	}
}

static void finish(struct plan *plan)
{
	struct engine *e = plan->engine;
	free(e->reload_error);
	e->reload_error = NULL;
	if (plan->good && !e->stopping) {
		struct log_options log;
		mapping_log(plan->config, e->log_format, &log);
		log_configure(&log);
		log_faults(&plan->faults);
		take_over(e, plan);
		start_servers(e);
		log_write(LOG_INFO, "reloaded", F_INT("generation", host_generation(e->host)));
		report_to_waiters(e, true, &plan->faults);
	} else {
		if (e->stopping)
			faults_add(&plan->faults, "the engine stops");
		e->reload_error = faults_text(&plan->faults);
		e->reload_failed = clock_wall();
		log_faults(&plan->faults);
		report_to_waiters(e, false, &plan->faults);
	}
	plan_close(plan);
	free(plan);
	e->plan = NULL;
	if (!e->stopping)
		engine_enter(e, ENGINE_RUNNING);
	list_each_safe(it, &e->next_waiters) {
		list_remove(it);
		list_append(&e->waiters, it);
	}
	if (e->again && !e->stopping) {
		e->again = false;
		begin(e);
	}
}

/* The first event that the new rules could hear comes: servers that must be asked for it have been before they listen. */
static void made(void *arg)
{
	struct plan *plan = arg;
	struct engine *e = plan->engine;

	if (plan->good && !e->stopping && engine_events_prepare(e, plan->rules))
		return;
	finish(plan);
}

void engine_reload_go_on(struct engine *e)
{
	e->coming = NULL;
	finish(e->plan);
}

static void begin(struct engine *e)
{
	struct err err;
	struct plan *plan = mem_zalloc(sizeof *plan);
	*plan = (struct plan){ .path = e->config_path, .log_format = e->log_format, .running = e->config, .hub = e->hub, .store = host_store(e->host), .picture = host_picture(e->host), .budget = host_budget(e->host), .engine = e, .tls = e->http_tls,
	                       .loader = e->loader, .owner = &engine_link_owner, .snapshot = e->reload_all ? NULL : host_snapshot_take(e->host) };
	e->reload_all = false;
	e->plan = plan;
	if (!e->stopping)
		engine_enter(e, ENGINE_RELOADING);
	if (loader_post(e->loader, e->stopping ? make_nothing : make, made, plan, &err)) {
		faults_add(&plan->faults, "%s", err.text);
		finish(plan);
	}
}

void engine_reload(struct engine *e, bool all, engine_reload_fn *done, void *ctx)
{
	e->reload_all |= all;
	if (done) {
		struct reload_waiter *w = mem_zalloc(sizeof *w);
		w->done = done;
		w->ctx = ctx;
		list_append(e->plan ? &e->next_waiters : &e->waiters, &w->node);
	}
	if (e->plan)
		e->again = true;
	else
		begin(e);
}

static void forget(struct list *waiters, const void *ctx)
{
	list_each_safe(it, waiters) {
		struct reload_waiter *w = list_entry(it, struct reload_waiter, node);
		if (w->ctx != ctx)
			continue;
		list_remove(&w->node);
		free(w);
	}
}

void engine_on_reloaded(struct engine *e, engine_reloaded_fn *fn, void *ctx)
{
	e->on_reloaded = fn;
	e->reloaded_ctx = ctx;
}

const struct board *engine_board(const struct engine *e)
{
	return e->board;
}

struct tls *engine_web_tls(const struct engine *e)
{
	return e->web_tls;
}

void engine_reload_forget(struct engine *e, void *ctx)
{
	forget(&e->waiters, ctx);
	forget(&e->next_waiters, ctx);
}
