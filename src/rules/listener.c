#include "rules/listener.h"

#include <stdlib.h>

#include "base/mem.h"
#include "rules/api/api.h"
#include "rules/order.h"
#include "rules/state.h"
#include "rules/subscription.h"
#include "rules/task.h"
#include "sandbox/deadline.h"

#define CALL_HISTORY 10u /* calls of a listener that count */
#define CALL_ERRORS_MAX 5u /* failures among them that quarantine it */

/* A name and who hears it. `merged` is what a dispatch walks: the named ones and those for "*", by priority and age; it is
 * rebuilt when one of them has changed, never while it is walked. */
struct bucket {
	struct map *map;      /* where it stands; NULL: the one for "*" */
	char *name;           /* owned; any byte may stand in it */
	size_t name_len;
	struct listener **own;
	uint32_t own_count, own_cap;
	struct listener **merged;
	uint32_t merged_count;
	uint64_t any_version; /* of the table when merged was made */
	uint64_t swept;       /* the last sweep that came by */
	struct bucket *next_empty;
	bool dirty;
};

struct listener {
	struct list of_rule;
	struct list in_dead;
	struct rule *rule;
	int fn;                      /* registry, LUA_NOREF for a subscription */
	struct subscription *subscription;
	uint64_t handle;             /* what its rule holds of it; 0: nothing */
	char **names;                /* owned; of a rule that loads, until it is live */
	struct bucket **buckets;     /* where it stands; NULL: not live yet */
	uint32_t name_count, bucket_count;
	struct filter filter;
	lua_Integer priority;
	uint64_t sequence;           /* age */
	char *label;
	uint32_t tasks;              /* calls that have not ended */
	bool once, cancelled;
	bool detached;               /* cancelled and in no bucket: freed with its last task */
	uint16_t history;            /* the last calls, bit 0 the newest; 1: failed */
	struct quarantine quarantine;
};

const char *listener_label(const struct listener *l)
{
	return l->label;
}

struct quarantine *listener_quarantine(struct listener *l)
{
	return &l->quarantine;
}

uint32_t listeners_quarantined(const struct rule *rule)
{
	uint32_t count = 0;

	list_each(it, &rule->listeners)
		count += list_entry(it, struct listener, of_rule)->quarantine.active;
	return count;
}

bool listener_note(struct listener *l, bool failed)
{
	if (!failed && l->history == 0)
		return false; /* nearly always */
	l->history = (uint16_t)(((unsigned)l->history << 1 | failed) & ((1u << CALL_HISTORY) - 1));
	if (l->quarantine.active)
		return failed;
	if ((unsigned)__builtin_popcount(l->history) < CALL_ERRORS_MAX)
		return false;
	l->history = 0;
	return true;
}

/* ---- the table ---- */

void listener_table_init(struct listener_table *t)
{
	*t = (struct listener_table){ .any = NULL };
	map_init(&t->ami_names, true);
	map_init(&t->own_names, true);
	list_init(&t->dead);
}

static void bucket_free(struct bucket *b)
{
	if (!b)
		return;
	free(b->name);
	free(b->own);
	free(b->merged);
	free(b);
}

void listener_table_close(struct listener_table *t)
{
	struct map_entry *e;
	for (size_t i = 0; (e = map_next(&t->ami_names, &i));)
		bucket_free(e->value);
	for (size_t i = 0; (e = map_next(&t->own_names, &i));)
		bucket_free(e->value);
	bucket_free(t->any);
	map_close(&t->ami_names);
	map_close(&t->own_names);
}

static struct bucket *bucket_for(struct listener_table *t, struct slice name)
{
	if (slice_eq(name, SLICE("*"))) {
		if (!t->any)
			t->any = mem_zalloc(sizeof *t->any);
		return t->any;
	}
	/* A dot marks the engine's and the rules' own events: no server can forge one. */
	struct map *map = memchr(name.ptr, '.', name.len) ? &t->own_names : &t->ami_names;
	struct bucket *b = map_get(map, name);
	if (!b) {
		b = mem_zalloc(sizeof *b);
		b->map = map;
		b->name = mem_slicedup(name);
		b->name_len = name.len;
		map_set(map, name, b);
		t->own_version++;
	}
	return b;
}

static void bucket_changed(struct listener_table *t, struct bucket *b)
{
	b->dirty = true;
	if (b == t->any)
		t->any_version++;
}

/* Higher priority first, then the rules by name, then age. */
static bool comes_first(const struct listener *a, const struct listener *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	int order = a->rule == b->rule ? 0 : strcmp(a->rule->name, b->rule->name);
	return order != 0 ? order < 0 : a->sequence < b->sequence;
}

static void bucket_add(struct listener_table *t, struct bucket *b, struct listener *l)
{
	if (b->own_count == b->own_cap) {
		b->own_cap = b->own_cap ? b->own_cap * 2 : 4;
		b->own = mem_realloc(b->own, b->own_cap, sizeof *b->own);
	}
	uint32_t i = b->own_count++;
	for (; i > 0 && comes_first(l, b->own[i - 1]); i--)
		b->own[i] = b->own[i - 1];
	b->own[i] = l;
	bucket_changed(t, b);
}

/* Takes out all that were cancelled. True when nobody is left: names come and go (`ami.wait("crm.answered." .. id)`), and
 * one that nobody hears any more leaves nothing behind. */
static bool bucket_sweep(struct listener_table *t, struct bucket *b)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < b->own_count; i++)
		if (!b->own[i]->cancelled)
			b->own[kept++] = b->own[i];
	b->own_count = kept;
	b->swept = t->sweep;
	bucket_changed(t, b);
	return kept == 0 && b->map;
}

static void bucket_merge(struct listener_table *t, struct bucket *b)
{
	const struct bucket *any = t->any;
	/* "*" is for what servers send, not for the engine's and the rules' own. */
	bool has_any = any && b != any && b->map == &t->ami_names;
	uint32_t any_count = has_any ? any->own_count : 0, i = 0, j = 0, n = 0;

	b->merged = mem_realloc(b->merged, b->own_count + any_count + 1, sizeof *b->merged);
	while (i < b->own_count || j < any_count) {
		bool take_own = j == any_count || (i < b->own_count && comes_first(b->own[i], any->own[j]));
		struct listener *l = take_own ? b->own[i++] : any->own[j++];
		if (n == 0 || b->merged[n - 1] != l) /* who listens to a name and to "*" hears once */
			b->merged[n++] = l;
	}
	b->merged_count = n;
	b->any_version = t->any_version;
	b->dirty = false;
}

/* ---- life ---- */

static void free_names(struct listener *l)
{
	for (uint32_t i = 0; i < l->name_count; i++)
		free(l->names[i]);
	free(l->names);
	l->names = NULL;
	l->name_count = 0;
}

static void listener_free(struct listener *l)
{
	list_remove(&l->of_rule);
	list_remove(&l->in_dead);
	rule_credit(l->rule, l->filter.bytes);
	filter_close(&l->filter);
	free_names(l);
	free(l->buckets);
	free(l->label);
	free(l);
}

/* Nobody can reach it any more but the tasks that it started. */
static void listener_detach(struct listener *l)
{
	struct rule *rule = l->rule;
	handle_remove(&rule->handles, l->handle);
	l->handle = 0;
	/* Counted up to here, so that making and cancelling in one call has its bound as well. */
	if (l->subscription)
		rule->subscription_count--;
	else
		rule->listener_count--;
	if (l->subscription)
		subscription_listener_gone(l->subscription);
	if (!rule->closing)
		luaL_unref(rule->L, LUA_REGISTRYINDEX, l->fn);
	list_remove(&l->in_dead);
	l->detached = true;
}

void listener_begin(struct listener *l)
{
	l->tasks++;
}

void listener_end(struct listener *l)
{
	if (--l->tasks == 0 && l->detached)
		listener_free(l);
}

void listener_cancel(struct listener *l)
{
	if (l->cancelled)
		return;
	l->cancelled = true;
	if (l->rule->host)
		list_append(&l->rule->host->listeners.dead, &l->in_dead);
}

static void leave_buckets(struct listener_table *t, const struct listener *l, struct bucket **empty)
{
	for (uint32_t i = 0; i < l->bucket_count; i++) {
		struct bucket *b = l->buckets[i];
		if (b->swept == t->sweep || !bucket_sweep(t, b))
			continue;
		b->next_empty = *empty;
		*empty = b;
	}
}

static void free_buckets(struct listener_table *t, struct bucket *empty)
{
	while (empty) {
		struct bucket *b = empty;
		empty = b->next_empty;
		t->own_version++;
		map_remove(b->map, slice_make(b->name, b->name_len));
		bucket_free(b);
	}
}

void listeners_sweep(struct host *host)
{
	struct listener_table *t = &host->listeners;
	struct bucket *empty = NULL;

	if (t->dispatching > 0 || list_empty(&t->dead))
		return;
	t->sweep++;
	list_each(it, &t->dead)
		leave_buckets(t, list_entry(it, struct listener, in_dead), &empty);
	list_each_safe(it, &t->dead) {
		struct listener *l = list_entry(it, struct listener, in_dead);
		listener_detach(l);
		if (l->tasks == 0)
			listener_free(l);
	}
	free_buckets(t, empty);
}

void listeners_free_all(struct rule *rule)
{
	struct listener_table *t = rule->host ? &rule->host->listeners : NULL;
	struct bucket *empty = NULL;

	if (t)
		t->sweep++;
	/* All of them first: a bucket is swept once, and they may stand in the same one. */
	list_each(it, &rule->listeners)
		list_entry(it, struct listener, of_rule)->cancelled = true;
	list_each(it, &rule->listeners) {
		const struct listener *l = list_entry(it, struct listener, of_rule);
		if (t && !l->detached)
			leave_buckets(t, l, &empty);
	}
	free_buckets(t, empty);
	list_each_safe(it, &rule->listeners) {
		struct listener *l = list_entry(it, struct listener, of_rule);
		if (!l->detached)
			listener_detach(l);
		if (l->tasks == 0)
			listener_free(l);
	}
}

/* Puts it where it hears. */
static void arm(struct listener *l, const struct slice *names, size_t count)
{
	struct listener_table *t = &l->rule->host->listeners;
	l->sequence = ++t->last;
	l->buckets = mem_alloc(count * sizeof(struct bucket *));
	for (size_t i = 0; i < count; i++) {
		struct bucket *b = bucket_for(t, names[i]);
		bool known = false;
		for (uint32_t k = 0; k < l->bucket_count && !known; k++)
			known = l->buckets[k] == b;
		if (known)
			continue;
		l->buckets[l->bucket_count++] = b;
		bucket_add(t, b, l);
	}
}

static void keep_names(struct listener *l, const struct slice *names, size_t count)
{
	l->names = mem_alloc(count * sizeof *l->names);
	for (size_t i = 0; i < count; i++)
		l->names[l->name_count++] = mem_slicedup(names[i]);
}

void listeners_arm(struct rule *rule)
{
	list_each_safe(it, &rule->listeners) {
		struct listener *l = list_entry(it, struct listener, of_rule);
		if (l->cancelled) { /* while it was loading */
			listener_detach(l);
			listener_free(l);
			continue;
		}
		struct slice *names = mem_alloc((l->name_count + 1) * sizeof *names);
		for (uint32_t i = 0; i < l->name_count; i++)
			names[i] = slice_cstr(l->names[i]);
		arm(l, names, l->name_count);
		free(names);
		free_names(l);
	}
}

struct listener *listener_add(struct rule *rule, const struct slice *names, size_t count, struct filter *filter,
                              lua_Integer priority, const char *label, bool once, int fn, struct subscription *subscription)
{
	struct listener *l = mem_zalloc(sizeof *l);
	l->rule = rule;
	l->fn = fn;
	l->subscription = subscription;
	l->filter = *filter;
	*filter = (struct filter){ 0 };
	l->priority = priority;
	l->label = mem_strdup(label);
	l->once = once;
	list_init(&l->in_dead);
	list_append(&rule->listeners, &l->of_rule);
	if (rule->host)
		arm(l, names, count);
	else
		keep_names(l, names, count);
	if (subscription)
		rule->subscription_count++;
	else
		rule->listener_count++;
	return l;
}

uint64_t listener_handle(struct listener *l)
{
	if (!l->handle)
		l->handle = handle_add(&l->rule->handles, l);
	return l->handle;
}

/* ---- dispatch ---- */

struct dispatch {
	struct host *host;
	const struct heard *heard;
	struct listener *listener;
	bool shared; /* the rule has another listener that may want this event */
	struct rule *made; /* for whom the event object in slot 1 of its stack was made, the server in slot 2 */
};

/* The slots must not keep the event alive. */
static void clear_slots(struct dispatch *d)
{
	struct rule *made = d->made;
	d->made = NULL;
	if (!made || made->closing)
		return;
	lua_State *L = made->L;
	lua_pushnil(L);
	lua_replace(L, 1);
	lua_pushnil(L);
	lua_replace(L, 2);
}

/* Makes the objects of this event on the rule's first call, shares them with its next ones. */
static void push_event(lua_State *co, struct dispatch *d)
{
	struct rule *rule = d->listener->rule;
	lua_State *L = rule->L;
	if (d->made == rule) {
		lua_pushvalue(L, 1);
		lua_pushvalue(L, 2);
		lua_xmove(L, co, 2);
		return;
	}
	event_push(co, rule, d->heard->message, d->heard->at);
	if (d->heard->server)
		server_push(co, rule, d->heard->server->id, slice_cstr(d->heard->server->name));
	else
		lua_pushnil(co);
	if (!d->shared)
		return; /* nobody else can want them */
	lua_pushvalue(co, -2);
	lua_pushvalue(co, -2);
	lua_xmove(co, L, 2);
	lua_replace(L, 2);
	lua_replace(L, 1);
	d->made = rule;
}

static int push_call(lua_State *co, struct task *task, void *arg)
{
	(void)task;
	struct dispatch *d = arg;
	lua_rawgeti(co, LUA_REGISTRYINDEX, d->listener->fn);
	push_event(co, d);
	return 2;
}

/* The rule itself hears of it too. */
static void note_gap(const struct dispatch *d, struct rule *rule, const char *reason)
{
	rule->gap++;
	d->host->gaps = true;
	rule_skips(rule, d->heard, reason);
}

static void call_listener(struct dispatch *d, struct listener *l)
{
	struct rule *rule = l->rule;
	if (rule->disabled) {
		rule->missed++; /* as was asked for: reported when it is enabled again */
		return;
	}
	if (!rule_may_run(rule) || (l->quarantine.active && rule_now(rule) < l->quarantine.until)) {
		note_gap(d, rule, rule->quarantine.active || l->quarantine.active ? "quarantine" : "deadline");
		return;
	}
	if (rule->waiting >= rule->limits.waiting) {
		note_gap(d, rule, "waiting");
		return;
	}
	struct task *task = task_take(rule, "listener");
	if (!task)
		return;
	task->listener = l;
	listener_begin(l);
	slice_to_text(d->heard->message->name, task->event, sizeof task->event);
	if (d->heard->server)
		slice_to_text(slice_cstr(d->heard->server->name), task->server, sizeof task->server);
	d->listener = l;
	if (l->once)
		listener_cancel(l);
	task_start(task, push_call, d);
}

/* Its filters have had their share of this turn: what it might have wanted is reported once for each event. */
static void leave_untested(const struct dispatch *d, struct rule *rule)
{
	if (rule->turn.untested == d->host->listeners.dispatches)
		return;
	rule->turn.untested = d->host->listeners.dispatches;
	note_gap(d, rule, "filters");
}

static bool wanted(struct listener *l, const struct dispatch *d, const volatile unsigned *ticks)
{
	const struct heard *heard = d->heard;
	const struct filter *f = &l->filter;
	struct rule *rule = l->rule;
	if (f->server_count == 0 && f->set_count == 0)
		return true;
	if (f->server_count > 0 && !heard->server)
		return false;
	if (rule_filters_spent(rule)) {
		leave_untested(d, rule);
		return false;
	}
	size_t steps = FILTER_STEPS_MAX;
	unsigned began = *ticks;
	bool passes = (f->server_count == 0 || filter_server_passes(f, slice_cstr(heard->server->name), &steps)) &&
	              filter_headers_pass(f, heard->message, &steps);
	if (steps == 0 || *ticks != began)
		rule_filtered(rule, *ticks - began, steps == 0);
	if (steps == 0)
		leave_untested(d, rule);
	return passes;
}

/* Who hears it, merged; NULL: nobody. */
static struct bucket *find_bucket(struct listener_table *t, const struct heard *heard)
{
	struct bucket *b = map_get(heard->own ? &t->own_names : &t->ami_names, heard->message->name);
	if (!b)
		b = heard->own ? NULL : t->any;
	if (b && t->dispatching == 0 && (b->dirty || (!heard->own && b->any_version != t->any_version)))
		bucket_merge(t, b);
	return b;
}

/* Whether the rule takes the event now: decided once for each event, at the rule's first listener. */
static bool takes_now(const struct dispatch *d, struct rule *rule)
{
	const struct heard *heard = d->heard;
	uint64_t number = d->host->listeners.dispatches;

	if (!heard->late || rule->turn.asked == number)
		return !heard->late || rule->turn.takes;
	rule->turn.asked = number;
	rule->turn.takes = !heard->held && order_is_free(rule, heard->feed) && !order_is_spent(d->host);
	if (!rule->turn.takes)
		heard->late(heard->late_ctx, rule);
	return rule->turn.takes;
}

static bool give(struct dispatch *d, struct listener *l, bool shared, const volatile unsigned *ticks)
{
	if (d->made != l->rule)
		clear_slots(d);
	if (l->cancelled || l->rule->dead || (d->heard->only && l->rule != d->heard->only) || !takes_now(d, l->rule) || !wanted(l, d, ticks))
		return false;
	d->shared = shared;
	if (l->subscription)
		subscription_take(l->subscription, d->heard);
	else if (!l->rule->draining)
		call_listener(d, l);
	return true;
}

bool listeners_dispatch(struct host *host, const struct heard *heard)
{
	struct listener_table *t = &host->listeners;
	if (!list_empty(&t->dead))
		listeners_sweep(host);
	struct bucket *b = find_bucket(t, heard);
	if (!b)
		return false;

	struct dispatch d = { .host = host, .heard = heard };
	const volatile unsigned *ticks = deadline_ticks();
	bool any = false;
	t->dispatching++;
	t->dispatches++;
	for (uint32_t i = 0; i < b->merged_count; i++) {
		struct listener *l = b->merged[i];
		any |= give(&d, l, i + 1 < b->merged_count && b->merged[i + 1]->rule == l->rule, ticks);
	}
	clear_slots(&d);
	t->dispatching--;
	return any;
}

void listeners_each_rule(struct host *host, struct slice name, void (*fn)(void *ctx, struct rule *rule), void *ctx)
{
	struct listener_table *t = &host->listeners;
	const struct bucket *b = map_get(&t->own_names, name);

	t->walks++;
	for (uint32_t i = 0; b && i < b->own_count; i++) {
		const struct listener *l = b->own[i];
		if (l->cancelled || (l->rule->draining && !l->subscription) || l->rule->turn.walked == t->walks)
			continue;
		l->rule->turn.walked = t->walks;
		fn(ctx, l->rule);
	}
}

bool listeners_name_own(const struct host *host, struct slice name)
{
	return map_get(&host->listeners.own_names, name) != NULL;
}

uint32_t listeners_of_own(const struct host *host, struct slice name)
{
	const struct bucket *b = map_get(&host->listeners.own_names, name);
	uint32_t count = 0;

	for (uint32_t i = 0; b && i < b->own_count; i++) {
		const struct listener *l = b->own[i];
		if (!l->cancelled && (l->subscription || (!l->rule->disabled && !l->rule->draining)))
			count++;
	}
	return count;
}

bool listener_hears_only(const struct listener *l, const char *server)
{
	const struct filter *f = &l->filter;
	return f->server_count == 1 && f->servers[0].kind == TEST_EQUAL && strcmp(f->servers[0].text, server) == 0;
}
