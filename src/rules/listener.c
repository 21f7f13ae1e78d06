#include "rules/listener.h"

#include <stdlib.h>

#include "base/mem.h"
#include "observe/log.h"
#include "sandbox/deadline.h"
#include "rules/subscription.h"

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
	uint64_t any_version; /* of gen->any_version when merged was made */
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
	struct tie *handle;          /* with the userdata of its rule; NULL: none */
	struct bucket **buckets;     /* where it stands */
	uint32_t bucket_count;
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

static struct bucket *bucket_for(struct generation *gen, struct slice name)
{
	if (slice_eq(name, SLICE("*"))) {
		if (!gen->ami_any)
			gen->ami_any = mem_zalloc(sizeof *gen->ami_any);
		return gen->ami_any;
	}
	/* A dot marks the engine's and the rules' own events: no server can forge one. */
	struct map *map = memchr(name.ptr, '.', name.len) ? &gen->own_names : &gen->ami_names;
	struct bucket *b = map_get(map, name);
	if (!b) {
		b = mem_zalloc(sizeof *b);
		b->map = map;
		b->name = mem_slicedup(name);
		b->name_len = name.len;
		map_set(map, name, b);
	}
	return b;
}

static void bucket_changed(struct generation *gen, struct bucket *b)
{
	b->dirty = true;
	if (b == gen->ami_any)
		gen->any_version++;
}

static void bucket_add(struct generation *gen, struct bucket *b, struct listener *l)
{
	if (b->own_count == b->own_cap) {
		b->own_cap = b->own_cap ? b->own_cap * 2 : 4;
		b->own = mem_realloc(b->own, b->own_cap, sizeof *b->own);
	}
	uint32_t i = b->own_count++;
	/* Higher priority first, then age. */
	while (i > 0 && b->own[i - 1]->priority < l->priority) {
		b->own[i] = b->own[i - 1];
		i--;
	}
	b->own[i] = l;
	bucket_changed(gen, b);
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

/* Takes out all that were cancelled. True when nobody is left: names come and go (`ami.wait("crm.answered." .. id)`), and
 * one that nobody hears any more leaves nothing behind. */
static bool bucket_sweep(struct generation *gen, struct bucket *b)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < b->own_count; i++)
		if (!b->own[i]->cancelled)
			b->own[kept++] = b->own[i];
	b->own_count = kept;
	b->swept = gen->sweep;
	bucket_changed(gen, b);
	return kept == 0 && b->map;
}

static bool comes_first(const struct listener *a, const struct listener *b)
{
	return a->priority != b->priority ? a->priority > b->priority : a->sequence < b->sequence;
}

static void bucket_merge(struct generation *gen, struct bucket *b)
{
	const struct bucket *any = gen->ami_any;
	/* "*" is for what servers send, not for the engine's and the rules' own. */
	bool has_any = any && b != any && b->map == &gen->ami_names;
	uint32_t any_count = has_any ? any->own_count : 0, i = 0, j = 0, n = 0;

	b->merged = mem_realloc(b->merged, b->own_count + any_count + 1, sizeof *b->merged);
	while (i < b->own_count || j < any_count) {
		bool take_own = j == any_count || (i < b->own_count && comes_first(b->own[i], any->own[j]));
		struct listener *l = take_own ? b->own[i++] : any->own[j++];
		if (n == 0 || b->merged[n - 1] != l) /* who listens to a name and to "*" hears once */
			b->merged[n++] = l;
	}
	b->merged_count = n;
	b->any_version = gen->any_version;
	b->dirty = false;
}

/* ---- life ---- */

static void listener_free(struct listener *l)
{
	list_remove(&l->of_rule);
	list_remove(&l->in_dead);
	alloc_credit(&l->rule->gen->alloc, l->rule->owner, l->filter.bytes);
	filter_close(&l->filter);
	free(l->buckets);
	free(l->label);
	free(l);
}

/* Nobody can reach it any more but the tasks that it started. */
static void listener_detach(struct listener *l)
{
	struct generation *gen = l->rule->gen;
	if (l->handle)
		l->handle->object = NULL;
	tie_drop(&l->handle);
	/* Counted up to here, so that making and cancelling in one call has its bound as well. */
	if (l->subscription)
		l->rule->subscription_count--;
	else
		l->rule->listener_count--;
	if (l->subscription)
		subscription_listener_gone(l->subscription);
	if (!gen->closing)
		luaL_unref(gen->L, LUA_REGISTRYINDEX, l->fn);
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
	list_append(&l->rule->gen->dead, &l->in_dead);
}

void listeners_cancel_all(struct rule *rule)
{
	list_each_safe(it, &rule->listeners)
		listener_cancel(list_entry(it, struct listener, of_rule));
}

void listeners_sweep(struct generation *gen)
{
	struct bucket *empty = NULL;
	if (gen->dispatching > 0 || list_empty(&gen->dead))
		return;
	gen->sweep++;
	list_each(it, &gen->dead) {
		struct listener *l = list_entry(it, struct listener, in_dead);
		for (uint32_t i = 0; i < l->bucket_count; i++) {
			struct bucket *b = l->buckets[i];
			if (b->swept == gen->sweep || !bucket_sweep(gen, b))
				continue;
			b->next_empty = empty;
			empty = b;
		}
	}
	list_each_safe(it, &gen->dead) {
		struct listener *l = list_entry(it, struct listener, in_dead);
		listener_detach(l);
		if (l->tasks == 0)
			listener_free(l);
	}
	while (empty) {
		struct bucket *b = empty;
		empty = b->next_empty;
		map_remove(b->map, slice_make(b->name, b->name_len));
		bucket_free(b);
	}
}

void listeners_free_all(struct generation *gen)
{
	struct map_entry *e;
	for (size_t i = 0; i < gen->rule_count; i++)
		list_each_safe(it, &gen->rules[i]->listeners) {
			struct listener *l = list_entry(it, struct listener, of_rule);
			if (!l->detached)
				listener_detach(l);
			listener_free(l);
		}
	for (size_t i = 0; (e = map_next(&gen->ami_names, &i));)
		bucket_free(e->value);
	for (size_t i = 0; (e = map_next(&gen->own_names, &i));)
		bucket_free(e->value);
	bucket_free(gen->ami_any);
	map_close(&gen->ami_names);
	map_close(&gen->own_names);
}

struct listener *listener_add(struct rule *rule, const struct slice *names, size_t count, struct filter *filter,
                              lua_Integer priority, const char *label, bool once, int fn, struct subscription *subscription)
{
	struct generation *gen = rule->gen;
	struct listener *l = mem_zalloc(sizeof *l);
	l->rule = rule;
	l->fn = fn;
	l->subscription = subscription;
	l->filter = *filter;
	*filter = (struct filter){ 0 };
	l->priority = priority;
	l->sequence = ++gen->last_listener;
	l->label = mem_strdup(label);
	l->once = once;
	list_init(&l->in_dead);
	list_append(&rule->listeners, &l->of_rule);
	l->buckets = mem_alloc(count * sizeof(struct bucket *));
	for (size_t i = 0; i < count; i++) {
		struct bucket *b = bucket_for(gen, names[i]);
		bool known = false;
		for (uint32_t k = 0; k < l->bucket_count && !known; k++)
			known = l->buckets[k] == b;
		if (known)
			continue;
		l->buckets[l->bucket_count++] = b;
		bucket_add(gen, b, l);
	}
	if (subscription)
		rule->subscription_count++;
	else
		rule->listener_count++;
	return l;
}

struct tie *listener_tie(struct listener *l)
{
	return l->handle = tie_make(l);
}

/* ---- dispatch ---- */

struct dispatch {
	struct generation *gen;
	const struct heard *heard;
	struct listener *listener;
	bool shared; /* more than one listener may want this event */
	const struct rule *made; /* for whom the event object in slot 1 of the generation's stack was made, the server in slot 2 */
};

/* Makes the objects of this event on the first call, shares them with the rule's next ones. Each rule has its own: what it
 * keeps is charged to it and not to who heard the event first. */
static void push_event(lua_State *co, struct dispatch *d)
{
	lua_State *L = d->gen->L;
	if (d->made == d->listener->rule) {
		lua_pushvalue(L, 1);
		lua_pushvalue(L, 2);
		lua_xmove(L, co, 2);
		return;
	}
	event_push(co, d->gen, d->heard->message, d->heard->at);
	if (d->heard->server)
		server_push(co, d->gen, d->heard->server->id, slice_cstr(d->heard->server->name));
	else
		lua_pushnil(co);
	if (!d->shared)
		return; /* nobody else can want them */
	lua_pushvalue(co, -2);
	lua_pushvalue(co, -2);
	lua_xmove(co, L, 2);
	lua_replace(L, 2);
	lua_replace(L, 1);
	d->made = d->listener->rule;
}

static int push_call(lua_State *co, struct task *task, void *arg)
{
	(void)task;
	struct dispatch *d = arg;
	lua_rawgeti(co, LUA_REGISTRYINDEX, d->listener->fn);
	push_event(co, d);
	return 2;
}

/* The rule itself is told too. */
static void note_gap(const struct dispatch *d, struct rule *rule, const char *reason)
{
	rule->gap++;
	rule->gen->host->gaps = true;
	rule_skips(rule, d->heard, reason);
}

static void call_listener(struct dispatch *d, struct listener *l)
{
	struct rule *rule = l->rule;
	if (rule->disabled) {
		rule->missed++; /* as was asked for: told when it is enabled again */
		return;
	}
	if (!rule_may_run(rule) || (l->quarantine.active && d->gen->host->ops.now(d->gen->host->ctx) < l->quarantine.until)) {
		note_gap(d, rule, rule->quarantine.active || l->quarantine.active ? "quarantine" : "deadline");
		return;
	}
	if (rule->waiting >= d->gen->limits.waiting) {
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

/* Its filters have had their share of this turn: what it might have wanted is told once for each event. */
static void leave_untested(const struct dispatch *d, struct rule *rule)
{
	if (rule->untested == d->gen->dispatches)
		return;
	rule->untested = d->gen->dispatches;
	note_gap(d, rule, "filters");
}

static bool wanted(struct listener *l, const struct dispatch *d, const volatile unsigned *ticks)
{
	const struct heard *heard = d->heard;
	const struct filter *f = &l->filter;
	struct rule *rule = l->rule;
	if (l->cancelled || (heard->only && rule != heard->only))
		return false;
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

bool listeners_dispatch(struct generation *gen, const struct heard *heard)
{
	if (!list_empty(&gen->dead))
		listeners_sweep(gen);
	struct bucket *b = map_get(heard->own ? &gen->own_names : &gen->ami_names, heard->message->name);
	if (!b)
		b = heard->own ? NULL : gen->ami_any;
	if (!b)
		return false;
	if (gen->dispatching == 0 && (b->dirty || (!heard->own && b->any_version != gen->any_version)))
		bucket_merge(gen, b);

	struct dispatch d = { .gen = gen, .heard = heard, .shared = b->merged_count > 1 };
	const volatile unsigned *ticks = deadline_ticks();
	bool any = false;
	gen->dispatching++;
	gen->dispatches++;
	for (uint32_t i = 0; i < b->merged_count; i++) {
		struct listener *l = b->merged[i];
		if (!wanted(l, &d, ticks))
			continue;
		any = true;
		if (l->subscription)
			subscription_take(l->subscription, heard);
		else if (!gen->draining)
			call_listener(&d, l);
	}
	gen->dispatching--;
	if (d.made) {
		/* The slots must not keep the event alive. */
		lua_pushnil(gen->L);
		lua_replace(gen->L, 1);
		lua_pushnil(gen->L);
		lua_replace(gen->L, 2);
	}
	return any;
}

uint32_t listeners_of_own(const struct generation *gen, struct slice name)
{
	const struct bucket *b = map_get(&gen->own_names, name);
	uint32_t count = 0;

	for (uint32_t i = 0; b && i < b->own_count; i++) {
		const struct listener *l = b->own[i];
		if (!l->cancelled && (l->subscription || (!l->rule->disabled && !gen->draining)))
			count++;
	}
	return count;
}

void subscriptions_server_lost(struct generation *gen, const char *server)
{
	for (size_t i = 0; i < gen->rule_count; i++)
		list_each_safe(it, &gen->rules[i]->listeners) {
			struct listener *l = list_entry(it, struct listener, of_rule);
			const struct filter *f = &l->filter;
			if (l->subscription && !l->cancelled && f->server_count == 1 && f->servers[0].kind == TEST_EQUAL &&
			    strcmp(f->servers[0].text, server) == 0)
				subscription_end(l->subscription, ERR_LOST, "the server's session ended");
		}
}
