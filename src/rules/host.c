#include "rules/host.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "rules/http_call.h"
#include "rules/hooks.h"
#include "rules/jobs.h"
#include "rules/order.h"
#include "rules/own_event.h"
#include "rules/picture_hold.h"
#include "rules/picture_internal.h"
#include "rules/request.h"
#include "rules/revive.h"
#include "rules/rule_set.h"
#include "rules/state.h"
#include "rules/subscription.h"
#include "rules/task.h"
#include "rules/timer.h"
#include "sandbox/deadline.h"

#define DRAINING_MAX 4u   /* replaced states of one rule; one more ends the oldest's waits early */

struct rule *host_walk_next(const struct host *host, struct host_walk *walk)
{
	if (walk->index < host->rule_count)
		return host->rules[walk->index++];
	struct list *at = walk->index++ == host->rule_count ? host->draining.next : walk->next;
	if (at == &host->draining)
		return NULL;
	walk->next = at->next;
	return list_entry(at, struct rule, in_host);
}

bool host_may_log(struct host *host, uint64_t *logged)
{
	uint64_t now = host->ops.now(host->ctx);
	if (*logged != 0 && now - *logged < CLOCK_NS_PER_S)
		return false;
	*logged = now;
	return true;
}

/* ---- life ---- */

struct host *host_create(const struct rule_limits *limits, const struct host_ops *ops, void *ctx, struct metrics *metrics)
{
	struct host *h = mem_zalloc(sizeof *h);
	h->limits = *limits;
	h->budget.limit = limits->memory;
	h->ops = *ops;
	h->ctx = ctx;
	h->metrics = metrics;
	h->store = store_create(&(struct store_limits){ .entries = limits->store_entries, .bytes = limits->store_bytes });
	h->picture = picture_create(h);
	h->jobs = jobs_create(h);
	h->turn = 1;
	listener_table_init(&h->listeners);
	list_init(&h->draining);
	list_init(&h->wakes);
	list_init(&h->http_answers);
	list_init(&h->hooks);
	list_init(&h->hook_calls);
	list_init(&h->events);
	list_init(&h->feeds);
	list_init(&h->behind);
	host_metrics_add(h);
	return h;
}

/* Parts a rule from the host: nothing of it stands in the host's lists any more. Answers that are still to come go to nobody;
 * with `free_requests` none will come. */
static void detach(struct rule *r, bool free_requests)
{
	struct host *host = r->host;
	order_drop(r);
	jobs_detach(r);
	hooks_detach(r);
	list_each_safe(it, &r->timers)
		rule_timer_cancel(list_entry(it, struct rule_timer, of_rule));
	list_each_safe(it, &r->requests) {
		struct request *request = list_entry(it, struct request, of_rule);
		if (free_requests)
			request_free(request);
		else
			request_orphan(request);
	}
	list_each_safe(it, &r->http_calls)
		http_call_forget(list_entry(it, struct http_call, of_rule));
	list_each_safe(it, &r->tasks)
		list_remove(&list_entry(it, struct task, of_rule)->in_queue);
	own_event_forget(host, r);
	picture_holder_close(&r->holder);
	listeners_sweep(host);
	listeners_free_all(r);
	list_remove(&r->in_host);
	r->host = NULL; /* from here on any thread may free it */
}

void host_destroy_rule(struct rule **rule)
{
	rule_destroy(rule);
}

void host_destroy(struct host **host)
{
	struct host *h = *host;
	if (!h)
		return;
	own_event_forget(h, NULL);
	hooks_drop(h);
	list_each_safe(it, &h->draining) {
		struct rule *rule = list_entry(it, struct rule, in_host);
		detach(rule, true);
		rule_destroy(&rule);
	}
	for (size_t i = 0; i < h->rule_count; i++) {
		detach(h->rules[i], true);
		rule_destroy(&h->rules[i]);
	}
	free(h->rules);
	metrics_remove_collect(h->metrics, host_metrics_collect, h);
	listener_table_close(&h->listeners);
	picture_destroy(&h->picture);
	store_destroy(&h->store);
	jobs_destroy(&h->jobs);
	heap_close(&h->timers);
	heap_close(&h->late);
	list_each_safe(it, &h->feeds) {
		struct host_feed *feed = list_entry(it, struct host_feed, in_host);
		host_feed_close(&feed);
	}
	if (h->scratch_ready)
		scratch_close(&h->scratch);
	free(h);
	*host = NULL;
}

void host_configure(struct host *host, const struct rule_limits *limits)
{
	host->limits = *limits;
	host->budget.limit = limits->memory;
	store_limit(host->store, &(struct store_limits){ .entries = limits->store_entries, .bytes = limits->store_bytes });
}

unsigned host_generation(const struct host *host)
{
	return host->last_number;
}

struct arena_budget *host_budget(struct host *host)
{
	return &host->budget;
}

struct store *host_store(struct host *host)
{
	return host->store;
}

struct picture *host_picture(struct host *host)
{
	return host->picture;
}

/* ---- what happens ---- */

void host_complete(struct host *host, struct reply *reply)
{
	struct request *request = reply->tag;
	struct host_feed *feed = host_feed_find(host, request->server);

	if (!request->rule || (order_is_free(request->rule, feed) && !order_is_spent(host)))
		request_complete(request, reply);
	else
		order_add_reply(request->rule, feed, reply);
}

static void lag(void *ctx, struct rule *rule)
{
	order_lag(rule, ctx);
}

unsigned host_event(struct host *host, struct host_feed *feed, const struct message *message, double at, uint64_t *stamp)
{
	const struct host_server from = { .id = feed->id, .name = feed->name };
	const struct heard heard = { .message = message, .server = &from, .at = at, .feed = feed, .late = lag, .late_ctx = feed,
	                             .held = !order_take_budget(feed, message->len) };
	host->arrived++;
	picture_event(host->picture, feed->id, message, at);
	*stamp = ++host->stamp;
	unsigned heard_now = listeners_dispatch(host, &heard) ? HOST_HEARD : 0;
	return heard_now | (frame_log_has_cursors(feed->log) ? HOST_WAITS : 0);
}

void host_engine_event(struct host *host, const char *name, const struct host_server *server, const struct host_field *fields,
                       size_t count)
{
	own_event_queue(host, name, server, NULL, fields, count);
}

void host_deliver_events(struct host *host)
{
	own_event_deliver_all(host);
}

void host_server_lost(struct host *host, uint32_t server, const char *name)
{
	struct host_feed *feed = host_feed_find(host, server);
	struct rule *rule;

	host_each_rule(rule, host) {
		if (!feed || order_is_free(rule, feed))
			subscription_server_lost(rule, name);
		else
			order_add_lost(rule, feed);
	}
}

/* ---- the end of a rule ---- */

/* A rule whose ending took its share of the turn: the rest of it ends without running its code. */
static bool has_had_its_share(struct rule *rule, bool *logged)
{
	if (!rule_is_spent(rule))
		return false;
	if (!*logged)
		log_write(LOG_WARN, "waits of a rule end without running its code: their ending takes too long", F_TEXT("rule", rule->name));
	return *logged = true;
}

static void close_tasks(struct rule *rule, bool *logged)
{
	list_each_safe(it, &rule->tasks) {
		struct task *task = list_entry(it, struct task, of_rule);
		if (has_had_its_share(rule, logged))
			task_drop(task);
		else
			task_close(task);
	}
}

/* Ends what a rule still waits for: callbacks get `cancelled`, parked coroutines are closed. */
static void cancel_waits(struct rule *rule)
{
	bool logged = false;
	rule->ending = true;
	close_tasks(rule, &logged);
	list_each_safe(it, &rule->requests) {
		struct request *request = list_entry(it, struct request, of_rule);
		if (request->callback == LUA_NOREF)
			continue;
		if (has_had_its_share(rule, &logged))
			request_forget(request);
		else
			request_cancel(request);
	}
	list_each_safe(it, &rule->job_pushes) {
		struct job_push *push = list_entry(it, struct job_push, of_rule);
		if (has_had_its_share(rule, &logged))
			job_push_forget(push);
		else
			job_push_cancel(push);
	}
	list_each_safe(it, &rule->http_calls) {
		struct http_call *call = list_entry(it, struct http_call, of_rule);
		if (has_had_its_share(rule, &logged))
			http_call_forget(call);
		else
			http_call_cancel(call);
	}
	/* A callback may have begun to wait again. */
	close_tasks(rule, &logged);
}

void host_part_with(struct host *host, struct rule *rule)
{
	host_metrics_count(host, rule);
	detach(rule, false);
	host->ops.retire(host->ctx, rule);
}

static void retire(struct rule *rule)
{
	struct host *host = rule->host;
	order_lose(rule, "drain");
	if (rule_has_waits(rule))
		cancel_waits(rule);
	log_write(LOG_DEBUG, "rule drained", F_TEXT("rule", rule->name), F_INT("generation", rule->number));
	host_part_with(host, rule);
}

/* At most so many states of one rule drain at once: the time of the oldest ones is over. host_end_drains() ends them, by what a turn
 * has left; twice as many are too many to wait for that. */
static void bound_draining(struct host *host, const struct rule *newest)
{
	unsigned count = 0;
	for (struct list *it = host->draining.prev, *before = it->prev; it != &host->draining; it = before, before = it->prev) {
		struct rule *r = list_entry(it, struct rule, in_host);
		if (strcmp(r->name, newest->name) != 0 || ++count <= DRAINING_MAX)
			continue;
		r->drain_until = 0;
		if (count > 2 * DRAINING_MAX)
			retire(r);
	}
}

/* `successor`: NULL when the rule is gone. */
static void begin_drain(struct rule *rule, struct rule *successor)
{
	struct host *host = rule->host;
	order_replace(rule, successor);
	rule->draining = true;
	rule->drain_until = rule_now(rule) + clock_from_seconds(rule->limits.drain);
	list_append(&host->draining, &rule->in_host);
	jobs_quit(rule);
	hooks_quit(rule);
	/* Its intervals stop; what it has begun goes on, one-shot timers too. */
	list_each_safe(it, &rule->timers) {
		struct rule_timer *t = list_entry(it, struct rule_timer, of_rule);
		if (t->interval > 0)
			rule_timer_cancel(t);
	}
	bound_draining(host, rule);
}

/* ---- adoption ---- */

const char *host_rule_change_name(enum host_rule_change change)
{
	static const char *const names[] = { "new", "replaced", "kept", "restarted" };
	return names[change];
}

/* What a rule that was loaded hears first. */
void host_greet(struct host *host, struct rule *rule, struct slice reason)
{
	char number[16];
	struct host_server server;
	int n = snprintf(number, sizeof number, "%u", rule->number);
	own_event_queue(host, "script.loaded", NULL, rule,
	                (const struct host_field[]){ { "generation", slice_make(number, (size_t)n) }, { "reason", reason } }, reason.len > 0 ? 2 : 1);
	for (size_t i = 0; host->ops.server_at(host->ctx, i, &server); i++)
		if (server.ready)
			own_event_queue(host, "server.ready", &server, rule, (const struct host_field[]){ { "reason", SLICE("reloaded") } }, 1);
}

void host_make_live(struct host *host, struct rule *rule, unsigned number)
{
	rule->host = host;
	rule->scratch = &host->scratch;
	rule->json = host->scratch.json;
	rule->number = number;
	rule->began = rule_now(rule);
	rule->since = host->ops.wall(host->ctx);
	host_metrics_begin(host, rule);
	if (rule->failed)
		return;
	listeners_arm(rule);
	rule_timer_arm_all(rule);
	jobs_arm(rule);
	hooks_arm(rule);
}

static struct rule *take_running(struct host *host, const char *name)
{
	for (size_t i = 0; i < host->rule_count; i++)
		if (host->rules[i] && strcmp(host->rules[i]->name, name) == 0) {
			struct rule *rule = host->rules[i];
			host->rules[i] = NULL;
			return rule;
		}
	return NULL;
}

/* The host's own scratch has the limits of the first rules: a change of them replaces all rules, and it. */
static void renew_scratch(struct host *host)
{
	struct err err;
	if (host->scratch_ready)
		return;
	if (scratch_init(&host->scratch, &host->limits, &err)) {
		log_write(LOG_ERROR, "lua-cjson cannot be loaded: json.encode and json.decode fail in rules", F_TEXT("reason", err.text));
		return;
	}
	host->scratch_ready = true;
}

void host_adopt(struct host *host, struct rule_set *set)
{
	struct rule **rules = mem_zalloc(set->count * sizeof(struct rule *));

	host_metrics_collect(host); /* what the old rules did since the last look is counted before they go */
	renew_scratch(host);
	host->last_number++;
	host->since = host->ops.wall(host->ctx);
	for (size_t i = 0; i < set->count; i++) {
		struct rule *rule = set->entries[i].rule, *before = take_running(host, rule_source_name(set->entries[i].source));
		set->entries[i].rule = NULL;
		if (!rule) {
			before->change = HOST_RULE_KEPT;
			before->disabled = false; /* until the next reload, the operator said */
			before->gap += before->missed;
			before->missed = 0;
			host->gaps |= before->gap > 0;
			rules[i] = before;
			continue;
		}
		rule->change = before ? HOST_RULE_REPLACED : HOST_RULE_NEW;
		rules[i] = rule;
		if (before)
			begin_drain(before, rule);
		host_make_live(host, rule, host->last_number);
		if (before)
			revive_replaced(host, rule, before);
	}
	for (size_t i = 0; i < host->rule_count; i++)
		if (host->rules[i])
			begin_drain(host->rules[i], NULL);
	free(host->rules);
	host->rules = rules;
	host->rule_count = set->count;
	for (size_t i = 0; i < host->rule_count; i++)
		if (host->rules[i]->number == host->last_number && !host->rules[i]->failed)
			host_greet(host, host->rules[i], SLICE(""));
	jobs_adopted(host);
	rule_set_destroy(&set);
}

uint32_t host_wants(const struct host *host)
{
	uint32_t classes = 0;
	const struct rule *rule;

	host_each_rule(rule, host)
		if (!rule->failed)
			classes |= wants_everywhere(&rule->wants);
	return classes;
}

uint32_t host_wants_of(const struct host *host, struct slice server)
{
	uint32_t classes = 0;
	const struct rule *rule;

	host_each_rule(rule, host)
		if (!rule->failed)
			classes |= wants_of(&rule->wants, server);
	return classes;
}

struct host_snapshot *host_snapshot_take(const struct host *host)
{
	struct host_snapshot *s = mem_zalloc(sizeof *s);
	s->rules = mem_zalloc(host->rule_count * sizeof *s->rules);
	for (size_t i = 0; i < host->rule_count; i++) {
		const struct rule *r = host->rules[i];
		struct snapshot_rule *to = &s->rules[s->count++];
		*to = (struct snapshot_rule){ .source = rule_source_ref(r->source), .limits = r->limits, .runs = r->L && !r->failed && !r->dead,
		                              .policy = r->policy ? policy_ref(r->policy) : NULL };
		if (r->metrics) {
			to->metrics = metrics_create();
			metrics_merge(to->metrics, r->metrics, NULL);
		}
	}
	return s;
}

void host_snapshot_destroy(struct host_snapshot **snapshot)
{
	struct host_snapshot *s = *snapshot;
	if (!s)
		return;
	for (size_t i = 0; i < s->count; i++) {
		rule_source_unref(&s->rules[i].source);
		metrics_destroy(&s->rules[i].metrics);
		policy_unref(&s->rules[i].policy);
	}
	free(s->rules);
	free(s);
	*snapshot = NULL;
}

uint64_t host_end_drains(struct host *host, uint64_t now)
{
	uint64_t next = UINT64_MAX;
	bool any = false;
	list_each_safe(it, &host->draining) {
		struct rule *rule = list_entry(it, struct rule, in_host);
		if (now < rule->drain_until && (rule_has_waits(rule) || order_has_pending(rule))) {
			if (rule->drain_until < next)
				next = rule->drain_until;
			continue;
		}
		/* Their endings run code of theirs: one in each turn, more of them while it has time left. */
		if (order_is_spent(host) && any)
			return 0;
		retire(rule);
		any = true;
	}
	return next;
}

void host_cancel_all(struct host *host)
{
	list_each_safe(it, &host->draining)
		cancel_waits(list_entry(it, struct rule, in_host));
	for (size_t i = 0; i < host->rule_count; i++) {
		host->rules[i]->draining = true; /* what it does last cannot start anything new */
		jobs_quit(host->rules[i]);
		hooks_quit(host->rules[i]);
		cancel_waits(host->rules[i]);
	}
}
