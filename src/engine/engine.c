#include "engine/engine.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/board.h"
#include "engine/internal.h"
#include "engine/plan.h"
#include "net/tls.h"
#include "observe/log.h"
#include "observe/process_metrics.h"
#include "sandbox/deadline.h"

static void on_hangup(struct ev_loop *loop, ev_signal *w, int events)
{
	(void)loop;
	(void)events;
	log_text(LOG_INFO, "reload asked for by signal");
	engine_reload(w->data, false, NULL, NULL);
}

static void on_end(struct ev_loop *loop, ev_signal *w, int events)
{
	(void)loop;
	(void)events;
	engine_stop(w->data, "shutdown");
}

static void on_reopen(struct ev_loop *loop, ev_signal *w, int events)
{
	(void)loop;
	(void)w;
	(void)events;
	log_reopen();
}

static void watch_signal(struct engine *e, ev_signal *w, void (*fn)(struct ev_loop *, ev_signal *, int), int sig)
{
	ev_signal_init(w, fn, sig);
	w->data = e;
	ev_signal_start(e->loop, w);
	ev_unref(e->loop); /* signals alone keep no loop alive */
}

struct engine *engine_create(struct ev_loop *loop, const struct engine_options *options, struct faults *faults)
{
	static const struct rule_limits none = { 0 };
	struct engine *e = mem_zalloc(sizeof *e);
	struct err err;

	e->loop = loop;
	e->config_path = mem_strdup(options->config_path);
	e->log_format = options->log_format;
	list_init(&e->leaving);
	list_init(&e->watches);
	list_init(&e->spools);
	map_init(&e->breakers, false);
	list_init(&e->waiters);
	list_init(&e->next_waiters);
	e->metrics = metrics_create();
	e->host = host_create(&none, &engine_ops, e, e->metrics);
	e->started = clock_wall();
	e->started_ns = clock_mono_ns();
	engine_metrics_open(e);
	e->process = process_metrics_create(e->metrics, e->started);
	e->http_tls = tls_pool_create();
	bool good = deadline_start(&err) == 0 && engine_http_open(e, &err) == 0 && (e->loader = loader_create(loop, &err));
	if (good) {
		good = engine_first_plan(e, options->strict, faults) == 0;
	} else {
		faults_init(faults);
		faults_add(faults, "%s", err.text);
	}
	if (!good) {
		engine_destroy(&e);
		return NULL;
	}
	engine_turns_start(e);
	watch_signal(e, &e->hangup, on_hangup, SIGHUP);
	watch_signal(e, &e->terminate, on_end, SIGTERM);
	watch_signal(e, &e->interrupt, on_end, SIGINT);
	watch_signal(e, &e->reopen, on_reopen, SIGUSR1);
	return e;
}

static void on_stop_late(struct ev_loop *loop, ev_timer *w, int events)
{
	(void)w;
	(void)events;
	log_text(LOG_WARN, "sessions did not end in time, stopping all the same");
	ev_break(loop, EVBREAK_ALL);
}

/* The longest that any session may take to end, and a little for the loop itself. */
static double stop_seconds(const struct engine *e)
{
	double longest = 0;
	for (size_t i = 0; i < e->config->server_count; i++)
		if (e->config->servers[i].timeouts.drain > longest)
			longest = e->config->servers[i].timeouts.drain;
	return longest + 1;
}

void engine_stop(struct engine *e, const char *reason)
{
	if (e->stopping) {
		log_text(LOG_WARN, "asked to stop again: stopping at once");
		ev_break(e->loop, EVBREAK_ALL);
		return;
	}
	e->stopping = true;
	loader_interrupt(e->loader);
	host_stop_jobs(e->host);
	engine_enter(e, ENGINE_STOPPING);
	log_write(LOG_INFO, "stopping", F_TEXT("reason", reason), F_INT("servers", e->server_count));
	ev_timer_init(&e->stop_timer, on_stop_late, stop_seconds(e), 0);
	e->stop_timer.data = e;
	ev_timer_start(e->loop, &e->stop_timer);
	bool any = false;
	for (size_t i = 0; i < e->server_count; i++) {
		if (link_state(e->servers[i]->link) == LINK_STOPPED) {
			e->servers[i]->stopped = true;
			continue;
		}
		any = true;
		link_stop(e->servers[i]->link, reason);
	}
	list_each(it, &e->leaving)
		any |= !list_entry(it, struct server, leaving)->stopped;
	if (!any)
		ev_break(e->loop, EVBREAK_ALL);
}

/* The rules hear the last of it: server.lost of every session, `cancelled` for what still waits. */
static void end_rules(struct engine *e)
{
	if (!e->config)
		return;
	for (int turn = 0; turn < 3; turn++)
		host_turn(e->host);
	host_cancel_all(e->host);
	host_turn(e->host);
}

void engine_destroy(struct engine **engine)
{
	struct engine *e = *engine;
	if (!e)
		return;
	*engine = NULL;
	if (e->coming) /* it stops: this plan is not taken over any more */
		engine_reload_go_on(e);
	end_rules(e);
	loader_destroy(&e->loader); /* rules that load may read what is closed next */
	engine_http_close(e);
	engine_persist_close(e);
	engine_spools_close(e); /* what waited for the disk has its answer */
	tls_release(&e->web_tls);
	board_destroy(&e->board);
	tls_pool_destroy(&e->http_tls);
	if (e->hub) {
		engine_turns_stop(e);
		ev_timer_stop(e->loop, &e->stop_timer);
	}
	for (size_t i = 0; i < e->server_count; i++)
		server_destroy(&e->servers[i]);
	list_each_safe(it, &e->leaving) {
		struct server *s = list_entry(it, struct server, leaving);
		server_destroy(&s);
	}
	free(e->servers);
	free(e->by_id);
	host_destroy(&e->host);
	link_hub_destroy(&e->hub);
	ev_signal *const signals[] = { &e->hangup, &e->terminate, &e->interrupt, &e->reopen };
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		if (ev_is_active(signals[i])) {
			ev_ref(e->loop);
			ev_signal_stop(e->loop, signals[i]);
		}
	process_metrics_destroy(&e->process);
	metrics_destroy(&e->metrics);
	config_destroy(&e->config);
	free(e->config_path);
	free(e->reload_error);
	deadline_stop();
	free(e);
}

void engine_watch_phase(struct engine *e, engine_phase_fn *fn, void *ctx)
{
	e->on_phase = fn;
	e->phase_ctx = ctx;
}

void engine_enter(struct engine *e, enum engine_phase phase)
{
	if (e->on_phase)
		e->on_phase(e->phase_ctx, phase);
}

struct ev_loop *engine_loop(struct engine *e)
{
	return e->loop;
}

const struct config *engine_config(const struct engine *e)
{
	return e->config;
}

struct metrics *engine_metrics(struct engine *e)
{
	return e->metrics;
}

struct host *engine_host(struct engine *e)
{
	return e->host;
}

static struct server *find_server(const struct engine *e, struct slice name)
{
	for (size_t i = 0; i < e->server_count; i++)
		if (slice_eq(slice_cstr(e->servers[i]->name), name))
			return e->servers[i];
	return NULL;
}

uint32_t engine_server_id(const struct engine *e, struct slice name)
{
	const struct server *s = find_server(e, name);
	return s ? s->id : 0;
}

struct link *engine_server_link(struct engine *e, struct slice name)
{
	struct server *s = find_server(e, name);
	return s ? s->link : NULL;
}

bool engine_server_view(const struct engine *e, size_t index, struct link_view *out)
{
	if (index >= e->server_count)
		return false;
	link_view(e->servers[index]->link, out);
	return true;
}

double engine_started(const struct engine *e)
{
	return e->started;
}

double engine_uptime(const struct engine *e)
{
	return (double)(clock_mono_ns() - e->started_ns) / 1e9;
}

const char *engine_reload_error(const struct engine *e, double *when)
{
	if (when)
		*when = e->reload_failed;
	return e->reload_error ? e->reload_error : "";
}
