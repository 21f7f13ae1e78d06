#include "rules/listener.h"

#include <stdlib.h>

#include "base/mem.h"
#include "rules/listener_internal.h"
#include "rules/subscription.h"
#include "rules/task.h"

#define CALL_HISTORY 10u /* calls of a listener that count */
#define CALL_ERRORS_MAX 5u /* failures among them that quarantine it */

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
	free(b->shares);
	free(b->by_rule);
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

void listener_bucket_merge(struct listener_table *t, struct bucket *b)
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
	b->share_count = 0;
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
		struct slice *names = mem_alloc(l->name_count * sizeof *names);
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
	struct host *host = rule->host;
	if (wants_listen(&rule->wants, names, count, &l->filter, !host) && host && host->ops.wants)
		host->ops.wants(host->ctx);
	return l;
}

uint64_t listener_handle(struct listener *l)
{
	if (!l->handle)
		l->handle = handle_add(&l->rule->handles, l);
	return l->handle;
}

/* ---- who is there ---- */

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
