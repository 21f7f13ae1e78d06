#include "rules/host.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "sandbox/deadline.h"
#include "rules/listener.h"

#define DRAINING_MAX 4u   /* generations; one more ends the oldest's waits early */
#define SWEEP_MAX 1000u   /* expired store entries removed in one turn */

static void collect(void *ctx);

#define RULE_SERIES (4 * ALLOC_OWNERS) /* each rule and what it fails by */

static struct metric *add_metric(struct metrics *metrics, enum metric_type type, const char *name, const char *help,
                                 const char *label, const char *second)
{
	const char *labels[] = { label, second };
	struct err err;
	struct metric *m = metrics_add(metrics, type, name, help, labels, label ? second ? 2 : 1 : 0, NULL, 0, label ? RULE_SERIES : 0, &err);
	if (!m)
		abort(); /* two parts of the engine use one name */
	return m;
}

static void add_metrics(struct host *h)
{
	struct metrics *m = h->metrics;
	h->m_calls = add_metric(m, METRIC_COUNTER, "hookswitch_rules_calls_total", "Calls of a rule's functions that have ended.", "rule", NULL);
	h->m_errors = add_metric(m, METRIC_COUNTER, "hookswitch_rules_errors_total", "Calls that failed, by kind: error, deadline, memory.", "rule", "kind");
	h->m_seconds = add_metric(m, METRIC_COUNTER, "hookswitch_rules_cpu_seconds_total", "CPU time of a rule, sampled every 10 ms.", "rule", NULL);
	h->m_quarantined = add_metric(m, METRIC_COUNTER, "hookswitch_rules_quarantined_total", "Times that a rule or one of its listeners was quarantined for failing.", "rule", NULL);
	h->m_timers = add_metric(m, METRIC_GAUGE, "hookswitch_rules_timers", "Timers of a rule.", "rule", NULL);
	h->m_listeners = add_metric(m, METRIC_GAUGE, "hookswitch_rules_listeners", "Listeners of a rule.", "rule", NULL);
	h->m_waiting = add_metric(m, METRIC_GAUGE, "hookswitch_rules_waiting", "Calls of a rule that wait.", "rule", NULL);
	h->m_away = add_metric(m, METRIC_GAUGE, "hookswitch_rules_quarantined_listeners", "Listeners of a rule in quarantine; all of them while the rule itself is.", "rule", NULL);
	h->m_memory = add_metric(m, METRIC_GAUGE, "hookswitch_rules_memory_bytes", "Lua memory charged to a rule.", "rule", NULL);
	h->m_gap = add_metric(m, METRIC_COUNTER, "hookswitch_rules_events_skipped_total", "Events and ticks not given to a rule: too many waiting calls, an overrun, also of its filters, quarantine, a full subscription.", "rule", NULL);
	h->m_denied = add_metric(m, METRIC_COUNTER, "hookswitch_rules_actions_refused_total", "Actions refused before anything was sent, by reason.", "rule", "reason");
	h->m_log_dropped = add_metric(m, METRIC_COUNTER, "hookswitch_rules_log_dropped_total", "Log lines of a rule beyond its rate.", "rule", NULL);
	h->s_dropped = metric_series(add_metric(m, METRIC_COUNTER, "hookswitch_engine_events_dropped_total", "Engine events and emitted ones dropped because too many waited.", NULL, NULL), NULL, 0);
	h->s_generation = metric_series(add_metric(m, METRIC_GAUGE, "hookswitch_generation", "Number of the generation of rules that runs.", NULL, NULL), NULL, 0);
	h->s_draining = metric_series(add_metric(m, METRIC_GAUGE, "hookswitch_generations_draining", "Older generations that finish what they began.", NULL, NULL), NULL, 0);
	metrics_on_collect(m, collect, h);
}

static void set_by_rule(struct metric *m, const struct rule *rule, double value)
{
	struct slice name = slice_cstr(rule->name);
	struct series *s = metric_series(m, &name, 1);
	if (s)
		s->value = value;
}

/* Failures stand at 0 before the first one: an alert on an increase does not see a series that begins at 1. */
static void begin_failures(struct host *h, const struct rule *rule)
{
	static const enum outcome kinds[] = { OUTCOME_ERROR, OUTCOME_DEADLINE, OUTCOME_MEMORY };
	struct slice labels[2] = { slice_cstr(rule->name) };

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		labels[1] = slice_cstr(outcome_name(kinds[i]));
		metric_series(h->m_errors, labels, 2);
	}
	metric_series(h->m_quarantined, labels, 1);
	metric_series(h->m_gap, labels, 1);
	metric_series(h->m_log_dropped, labels, 1);
}

static void collect(void *ctx)
{
	struct host *h = ctx;
	struct generation *gen = h->current;
	for (size_t i = 0; gen && i < gen->rule_count; i++) {
		struct rule *r = gen->rules[i];
		set_by_rule(h->m_timers, r, r->timer_count);
		set_by_rule(h->m_listeners, r, r->listener_count);
		set_by_rule(h->m_waiting, r, r->waiting);
		set_by_rule(h->m_memory, r, (double)gen->alloc.owners[r->owner].used);
		set_by_rule(h->m_away, r, r->quarantine.active || r->released ? r->listener_count : listeners_quarantined(r));
		/* Counters go on over a reload: each generation adds what is new since the last look. */
		struct slice name = slice_cstr(r->name);
		struct series *calls = metric_series(h->m_calls, &name, 1), *seconds = metric_series(h->m_seconds, &name, 1);
		if (calls)
			calls->value += (double)(r->calls - r->calls_told);
		if (seconds)
			seconds->value += (r->sampled - r->sampled_told) * DEADLINE_TICK;
		r->calls_told = r->calls;
		r->sampled_told = r->sampled;
	}
	h->s_generation->value = gen ? gen->number : 0;
	h->s_draining->value = 0;
	list_each(it, &h->draining)
		h->s_draining->value++;
}

struct host *host_create(const struct host_limits *limits, const struct host_ops *ops, void *ctx, struct metrics *metrics)
{
	struct host *h = mem_zalloc(sizeof *h);
	h->limits = *limits;
	h->ops = *ops;
	h->ctx = ctx;
	h->metrics = metrics;
	h->store = store_create(&limits->store);
	h->turn = 1;
	list_init(&h->draining);
	list_init(&h->wakes);
	list_init(&h->events);
	h->late_last = &h->late_first;
	add_metrics(h);
	return h;
}

/* Parts a generation from the host: nothing of it stands in the host's lists any more. Answers that are still to come go to
 * nobody; with `free_requests` none will come. */
static void detach(struct generation *gen, bool free_requests)
{
	struct host *host = gen->host;
	for (size_t i = 0; i < gen->rule_count; i++) {
		struct rule *r = gen->rules[i];
		list_each_safe(it, &r->timers)
			rule_timer_cancel(list_entry(it, struct rule_timer, of_rule));
		list_each_safe(it, &r->requests) {
			struct request *t = list_entry(it, struct request, of_rule);
			if (free_requests) {
				request_free(t);
				continue;
			}
			luaL_unref(gen->L, LUA_REGISTRYINDEX, t->callback);
			t->callback = LUA_NOREF;
			if (t->task)
				t->task->request = NULL;
			t->task = NULL;
			list_remove(&t->of_rule);
			r->pending--;
			t->rule = NULL;
		}
	}
	own_events_forget(host, gen);
	list_remove(&gen->in_host);
}

void host_destroy(struct host **host)
{
	struct host *h = *host;
	if (!h)
		return;
	own_events_forget(h, NULL);
	/* Before the requests go that these answers are for. */
	while (h->late_first) {
		struct reply *r = h->late_first;
		h->late_first = r->next;
		request_free(r->tag);
		reply_free(&r);
	}
	list_each_safe(it, &h->draining) {
		struct generation *gen = list_entry(it, struct generation, in_host);
		detach(gen, true);
		generation_destroy(&gen);
	}
	if (h->current) {
		detach(h->current, true);
		generation_destroy(&h->current);
	}
	metrics_remove_collect(h->metrics, collect, h);
	store_destroy(&h->store);
	heap_close(&h->timers);
	free(h);
	*host = NULL;
}

void host_configure(struct host *host, const struct host_limits *limits)
{
	host->limits = *limits;
	store_limit(host->store, &limits->store);
}

unsigned host_generation(const struct host *host)
{
	return host->current ? host->current->number : 0;
}

struct store *host_store(struct host *host)
{
	return host->store;
}

/* ---- answers ---- */

static int push_callback(lua_State *co, struct task *task, void *arg)
{
	const struct request *request = arg;
	lua_rawgeti(co, LUA_REGISTRYINDEX, request->callback);
	return answer_push(co, task);
}

static void complete_now(struct request *request, struct reply *reply)
{
	struct task *task = request->task;
	if (!request->rule) {
		reply_free(&reply);
		free(request);
		return;
	}
	if (task) {
		task->request = NULL;
		task->reply = reply;
		request_free(request);
		task_resume(task);
		return;
	}
	task = request->callback != LUA_NOREF ? task_take(request->rule, "callback") : NULL;
	if (!task) {
		reply_free(&reply);
		request_free(request);
		return;
	}
	slice_to_text(slice_cstr(request->server_name), task->server, sizeof task->server);
	slice_to_text(slice_cstr(reply->action), task->event, sizeof task->event);
	reply_id(reply, task->action_id);
	task->reply = reply;
	task_start(task, push_callback, request);
	request_free(request);
}

void host_complete(struct host *host, struct reply *reply)
{
	struct request *request = reply->tag;
	if (request->rule && request->rule->overrun_turn == host->turn) {
		/* The rule has had its share of this turn. */
		reply->next = NULL;
		*host->late_last = reply;
		host->late_last = &reply->next;
		return;
	}
	complete_now(request, reply);
}

static void complete_late(struct host *host)
{
	struct reply *r = host->late_first;
	host->late_first = NULL;
	host->late_last = &host->late_first;
	while (r) {
		struct reply *next = r->next;
		host_complete(host, r);
		r = next;
	}
}

/* ---- events ---- */

bool host_event(struct host *host, uint32_t server, const char *server_name, const struct message *message, double at)
{
	const struct host_server from = { .id = server, .name = server_name };
	const struct heard heard = { .message = message, .server = &from, .at = at };
	bool any = host->current && listeners_dispatch(host->current, &heard);
	list_each(it, &host->draining)
		any |= listeners_dispatch(list_entry(it, struct generation, in_host), &heard);
	return any;
}

void host_engine_event(struct host *host, const char *name, const struct host_server *server, const struct host_field *fields,
                       size_t count)
{
	own_event_queue(host, name, server, NULL, NULL, fields, count);
}

void host_server_lost(struct host *host, const char *server)
{
	if (host->current)
		subscriptions_server_lost(host->current, server);
	list_each(it, &host->draining)
		subscriptions_server_lost(list_entry(it, struct generation, in_host), server);
}

/* ---- generations ---- */

/* A rule whose ending took its share of the turn: the rest of it ends without running its code. */
static bool has_had_its_share(struct rule *rule, bool *told)
{
	if (rule->overrun_turn != rule->gen->host->turn)
		return false;
	if (!*told)
		log_write(LOG_WARN, "waits of a rule end without running its code: their ending takes too long", F_TEXT("rule", rule->name));
	return *told = true;
}

static void close_tasks(struct rule *rule, bool *told)
{
	list_each_safe(it, &rule->tasks) {
		struct task *task = list_entry(it, struct task, of_rule);
		if (has_had_its_share(rule, told))
			task_drop(task);
		else
			task_close(task);
	}
}

/* Ends what a generation still waits for: callbacks get `cancelled`, parked coroutines are closed. */
static void cancel_waits(struct generation *gen)
{
	gen->ending = true;
	for (size_t i = 0; i < gen->rule_count; i++) {
		struct rule *rule = gen->rules[i];
		bool told = false;
		close_tasks(rule, &told);
		list_each_safe(it, &rule->requests) {
			struct request *t = list_entry(it, struct request, of_rule);
			if (t->callback == LUA_NOREF)
				continue;
			if (has_had_its_share(rule, &told)) {
				request_forget(t);
				continue;
			}
			struct request *ended = mem_zalloc(sizeof *ended);
			*ended = *t;
			list_init(&ended->of_rule);
			list_append(&rule->requests, &ended->of_rule);
			rule->pending++;
			t->callback = LUA_NOREF;
			complete_now(ended, reply_failed(ERR_CANCELLED, "newer rules were loaded, or the engine stops", ended, ""));
		}
		/* A callback may have begun to wait again. */
		close_tasks(rule, &told);
	}
}

static bool has_waits(const struct generation *gen)
{
	for (size_t i = 0; i < gen->rule_count; i++) {
		const struct rule *rule = gen->rules[i];
		if (rule->waiting > 0)
			return true;
		list_each(it, &rule->requests)
			if (list_entry(it, struct request, of_rule)->callback != LUA_NOREF)
				return true;
	}
	return false;
}

static void retire(struct generation *gen)
{
	struct host *host = gen->host;
	if (has_waits(gen))
		cancel_waits(gen);
	detach(gen, false);
	log_write(LOG_DEBUG, "generation drained", F_INT("generation", gen->number));
	host->ops.retire(host->ctx, gen);
}

static void begin_drain(struct generation *gen, uint64_t now)
{
	gen->draining = true;
	gen->drain_until = now + clock_from_seconds(gen->limits.drain);
	list_append(&gen->host->draining, &gen->in_host);
	for (size_t i = 0; i < gen->rule_count; i++)
		list_each_safe(it, &gen->rules[i]->timers) {
			struct rule_timer *t = list_entry(it, struct rule_timer, of_rule);
			if (!t->task)
				rule_timer_cancel(t);
		}
}

static void tell_new_generation(struct host *host, struct generation *gen)
{
	char number[16];
	struct host_server server;
	int n = snprintf(number, sizeof number, "%u", gen->number);
	own_event_queue(host, "script.loaded", NULL, NULL, gen,
	                (const struct host_field[]){ { "generation", slice_make(number, (size_t)n) } }, 1);
	for (size_t i = 0; host->ops.server_at(host->ctx, i, &server); i++)
		if (server.ready)
			own_event_queue(host, "server.ready", &server, NULL, gen,
			                (const struct host_field[]){ { "reason", SLICE("reloaded") } }, 1);
}

void host_adopt(struct host *host, struct generation *gen)
{
	uint64_t now = host->ops.now(host->ctx);
	struct generation *before = host->current;
	unsigned draining = 0;

	collect(host); /* what the old rules did since the last look is counted before they go */
	if (before)
		begin_drain(before, now);
	gen->host = host;
	gen->number = ++host->last_number;
	gen->since = host->ops.wall(host->ctx);
	host->current = gen;
	for (size_t i = 0; i < gen->rule_count; i++) {
		begin_failures(host, gen->rules[i]);
		rule_timers_arm(gen->rules[i]);
	}
	list_each(it, &host->draining)
		draining++;
	if (draining > DRAINING_MAX)
		retire(list_entry(host->draining.next, struct generation, in_host));
	tell_new_generation(host, gen);
}

/* ---- turns ---- */

static void resume_wakes(struct host *host)
{
	struct list now;
	list_init(&now);
	list_each_safe(it, &host->wakes) {
		list_remove(it);
		list_append(&now, it);
	}
	while (!list_empty(&now)) {
		struct task *task = list_entry(now.next, struct task, in_queue);
		if (task->rule->overrun_turn == host->turn)
			task_wake_later(task);
		else
			task_resume(task);
	}
}

static void report_gaps(struct host *host)
{
	struct generation *gen = host->current;
	host->gaps = false;
	for (size_t i = 0; gen && i < gen->rule_count; i++) {
		struct rule *rule = gen->rules[i];
		if (rule->gap == 0)
			continue;
		if (rule->waiting < gen->limits.waiting && !rule->quarantine.active && rule->overrun_turn != host->turn)
			rule_report_gap(rule, "not started");
		else
			host->gaps = true;
	}
}

static bool relieve(struct generation *gen)
{
	/* Subscriptions that ended without an event of their names coming by are freed here. */
	listeners_sweep(gen);
	return generation_relieve(gen);
}

uint64_t host_turn(struct host *host)
{
	uint64_t now = host->ops.now(host->ctx);
	host->turn++;
	if (host->late_first)
		complete_late(host);
	resume_wakes(host);
	timers_run(host, now);
	own_events_deliver(host);
	if (host->gaps)
		report_gaps(host);
	uint64_t next = UINT64_MAX;
	bool more = host->current && relieve(host->current);
	list_each_safe(it, &host->draining) {
		struct generation *gen = list_entry(it, struct generation, in_host);
		more |= relieve(gen);
		if (now >= gen->drain_until || !has_waits(gen))
			retire(gen);
		else if (gen->drain_until < next)
			next = gen->drain_until;
	}
	uint64_t expiry = store_next_expiry(host->store);
	if (expiry <= now)
		store_sweep(host->store, now, SWEEP_MAX);
	expiry = store_next_expiry(host->store);
	if (more || !list_empty(&host->wakes) || !list_empty(&host->events) || host->late_first)
		return 0;
	const struct heap_node *timer = heap_top(&host->timers);
	if (timer && timer->key < next)
		next = timer->key;
	return expiry < next ? expiry : next;
}

void host_cancel_all(struct host *host)
{
	list_each_safe(it, &host->draining)
		cancel_waits(list_entry(it, struct generation, in_host));
	if (host->current) {
		host->current->draining = true; /* what it does last cannot start anything new */
		cancel_waits(host->current);
	}
}

/* ---- looking inside ---- */

static const struct generation *generation_at(const struct host *host, size_t index)
{
	if (index == 0)
		return host->current;
	list_each(it, &host->draining)
		if (--index == 0)
			return list_entry(it, struct generation, in_host);
	return NULL;
}

bool host_generation_view(const struct host *host, size_t index, struct host_generation_view *out)
{
	const struct generation *gen = generation_at(host, index);
	if (!gen)
		return false;
	*out = (struct host_generation_view){ .number = gen->number, .since = gen->since, .draining = gen->draining,
	                                      .memory = gen->alloc.used, .rule_count = gen->rule_count };
	return true;
}

bool host_rule_view(const struct host *host, size_t generation, size_t rule, struct host_rule_view *out)
{
	const struct generation *gen = generation_at(host, generation);
	if (!gen || rule >= gen->rule_count)
		return false;
	const struct rule *r = gen->rules[rule];
	*out = (struct host_rule_view){
		.name = r->name, .file = r->file, .digest = r->digest, .listeners = r->listener_count, .timers = r->timer_count,
		.subscriptions = r->subscription_count, .waiting = r->waiting, .pending = r->pending, .calls = r->calls,
		.errors = r->errors, .deadlines = r->deadlines, .refused = r->refused, .seconds = r->sampled * DEADLINE_TICK,
		.memory = gen->alloc.owners[r->owner].used, .quarantined = r->quarantine.active || r->released, .failed = r->failed,
		.quarantined_listeners = listeners_quarantined(r),
		.disabled = r->disabled, .missed = r->missed, .skipped = r->skipped,
		.last_error = r->last_error ? r->last_error : "",
	};
	return true;
}
