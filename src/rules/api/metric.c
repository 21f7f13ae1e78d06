/* `metric` for rules: families named hookswitch_rule_…. A handle knows its family by name, so it stays good when a newer
 * rule replaces the family. */
#include <math.h>
#include <stdio.h>

#include "observe/log.h"
#include "rules/api/api.h"
#include "rules/state.h"
#include "rules/task.h"
#include "sandbox/stdlib.h"
#include "sandbox/kill.h"

#define NAME_MAX_BYTES 200
#define METRICS_OF_RULE 256

struct metric_handle {
	enum metric_type type;
	size_t label_count, bucket_count;
	double buckets[METRIC_BUCKETS_MAX];
	char name[NAME_MAX_BYTES + 20];
	char help[200];
	char labels[METRIC_LABELS_MAX][64];
	bool live; /* the engine's registry has it in this shape, unless newer rules changed it */
};

static const double default_buckets[] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 };

static struct metric *register_family(struct metrics *registry, const struct rule *rule, const struct metric_handle *h,
                                      struct err *err)
{
	const char *labels[METRIC_LABELS_MAX];
	for (size_t i = 0; i < h->label_count; i++)
		labels[i] = h->labels[i];
	return metrics_add(registry, h->type, h->name, h->help, labels, h->label_count, h->buckets, h->bucket_count,
	                   rule->limits.metric_series, err);
}

/* The family now; one of the same name and another shape was an older rule's, and gives way. NULL: newer rules gave the
 * name another shape. */
static struct metric *family(lua_State *L, struct metric_handle *h)
{
	struct rule *rule = rule_of(L);
	struct metrics *registry = rule->host->metrics;
	struct metric *m = h->live && !rule->draining ? metrics_find(registry, h->name) : NULL;
	struct err err;
	if (m)
		return m;
	m = register_family(registry, rule, h, &err);
	if (!m && rule->draining)
		return NULL;
	if (!m && metrics_find(registry, h->name)) {
		metrics_drop(registry, h->name);
		m = register_family(registry, rule, h, &err);
	}
	if (!m)
		luaL_error(L, "%s", err.text);
	h->live = true;
	return m;
}

/* Label values: a list, or nothing where the metric has no labels. */
static size_t read_labels(lua_State *L, int index, const struct metric_handle *h, struct slice *values)
{
	size_t n = 0;
	if (!lua_isnoneornil(L, index)) {
		luaL_checktype(L, index, LUA_TTABLE);
		n = lua_rawlen(L, index);
	}
	luaL_checkstack(L, 2 * METRIC_LABELS_MAX + 4, NULL);
	if (n != h->label_count)
		luaL_error(L, "metric %s has %d labels, %d values were given", h->name, (int)h->label_count, (int)n);
	for (size_t i = 0; i < n; i++) {
		lua_rawgeti(L, index, (lua_Integer)i + 1);
		values[i].ptr = stdlib_tostring(L, -1, &values[i].len); /* stays on the stack */
	}
	return n;
}

static struct series *find_series(lua_State *L, struct metric_handle *h, int index)
{
	struct slice values[METRIC_LABELS_MAX];
	task_check_live(L, "a metric's value", false);
	size_t n = read_labels(L, index, h, values);
	struct metric *m = family(L, h);
	return m ? metric_series(m, values, n) : NULL; /* beyond its bound: counted and logged by the registry */
}

static struct metric_handle *check_metric(lua_State *L)
{
	return object_check(L, 1, rule_of(L)->meta.metric, "a metric");
}

/* One number that is none would be in the sum for ever. */
static void check_finite(lua_State *L, const struct metric_handle *h, const char *method, lua_Number n)
{
	if (!isfinite(n))
		luaL_error(L, "metric %s: %s takes a finite number", h->name, method);
}

SANDBOX_FUNCTION(metric_inc)
{
	struct metric_handle *h = check_metric(L);
	bool has_number = lua_type(L, 2) == LUA_TNUMBER;
	lua_Number n = has_number ? lua_tonumber(L, 2) : 1;
	if (!has_number && lua_isnil(L, 2))
		has_number = true;
	if (h->type == METRIC_HISTOGRAM || (h->type == METRIC_COUNTER && !(n >= 0)))
		return luaL_error(L, "metric %s: %s", h->name, h->type == METRIC_HISTOGRAM ? "a histogram has observe()" : "a counter only grows");
	check_finite(L, h, "inc", n);
	struct series *s = find_series(L, h, has_number ? 3 : 2);
	if (!s)
		return 0;
	if (isfinite(s->value))
		check_finite(L, h, "inc", s->value + n);
	s->value += n;
	return 0;
}

SANDBOX_FUNCTION(metric_set)
{
	struct metric_handle *h = check_metric(L);
	lua_Number n = luaL_checknumber(L, 2);
	if (h->type != METRIC_GAUGE)
		return luaL_error(L, "metric %s: only a gauge has set()", h->name);
	struct series *s = find_series(L, h, 3);
	if (s)
		s->value = n;
	return 0;
}

SANDBOX_FUNCTION(metric_observe)
{
	struct metric_handle *h = check_metric(L);
	lua_Number n = luaL_checknumber(L, 2);
	if (h->type != METRIC_HISTOGRAM)
		return luaL_error(L, "metric %s: only a histogram has observe()", h->name);
	check_finite(L, h, "observe", n);
	struct series *s = find_series(L, h, 3);
	if (s)
		series_observe(s, n);
	return 0;
}

SANDBOX_FUNCTION(metric_del)
{
	struct metric_handle *h = check_metric(L);
	struct slice values[METRIC_LABELS_MAX];
	task_check_live(L, "a metric's value", false);
	size_t n = read_labels(L, 2, h, values);
	struct metric *m = family(L, h);
	lua_pushboolean(L, m && metric_remove(m, values, n));
	return 1;
}

static void read_label_names(lua_State *L, int index, struct metric_handle *h)
{
	if (lua_isnoneornil(L, index))
		return;
	luaL_checktype(L, index, LUA_TTABLE);
	size_t n = lua_rawlen(L, index);
	luaL_argcheck(L, n <= METRIC_LABELS_MAX, index, "at most 8 labels");
	for (size_t i = 0; i < n; i++) {
		lua_rawgeti(L, index, (lua_Integer)i + 1);
		const char *name = lua_tostring(L, -1);
		if (!name || strlen(name) >= sizeof h->labels[i])
			luaL_argerror(L, index, "a label's name is a short string");
		snprintf(h->labels[i], sizeof h->labels[i], "%s", name);
		lua_pop(L, 1);
	}
	h->label_count = n;
}

static void read_buckets(lua_State *L, int index, struct metric_handle *h)
{
	if (h->type != METRIC_HISTOGRAM)
		return;
	if (lua_isnoneornil(L, index)) {
		h->bucket_count = sizeof default_buckets / sizeof *default_buckets;
		memcpy(h->buckets, default_buckets, sizeof default_buckets);
		return;
	}
	luaL_checktype(L, index, LUA_TTABLE);
	h->bucket_count = lua_rawlen(L, index);
	luaL_argcheck(L, h->bucket_count > 0 && h->bucket_count <= METRIC_BUCKETS_MAX, index, "1 to 32 buckets");
	for (size_t i = 0; i < h->bucket_count; i++) {
		lua_rawgeti(L, index, (lua_Integer)i + 1);
		luaL_argcheck(L, lua_isnumber(L, -1) && isfinite(lua_tonumber(L, -1)), index, "buckets are finite numbers");
		h->buckets[i] = lua_tonumber(L, -1);
		luaL_argcheck(L, i == 0 || h->buckets[i] > h->buckets[i - 1], index, "buckets rise");
		lua_pop(L, 1);
	}
}

static int new_metric(lua_State *L, enum metric_type type)
{
	struct rule *rule = rule_of(L);
	struct slice name;
	lua_settop(L, 4);
	name.ptr = luaL_checklstring(L, 1, &name.len);
	const char *help = luaL_checkstring(L, 2);
	bool fits = name.len > 0 && name.len <= NAME_MAX_BYTES;
	for (size_t i = 0; i < name.len && fits; i++)
		fits = (name.ptr[i] >= 'a' && name.ptr[i] <= 'z') || name.ptr[i] == '_' || (i > 0 && name.ptr[i] >= '0' && name.ptr[i] <= '9');
	luaL_argcheck(L, fits, 1, "a metric's name has small letters, digits and '_'; hookswitch_rule_ is put in front of it");
	struct metric_handle *h = lua_newuserdatauv(L, sizeof *h, 0);
	*h = (struct metric_handle){ .type = type };
	snprintf(h->name, sizeof h->name, "hookswitch_rule_%.*s", SLICE_ARG(name));
	snprintf(h->help, sizeof h->help, "%s", help);
	read_label_names(L, 3, h);
	read_buckets(L, 4, h);
	struct err err;
	/* Those of all rules together have a bound as well: none may take all of it. */
	if (rule->metric_count >= METRICS_OF_RULE)
		return luaL_error(L, "the rule has made %d metrics already", METRICS_OF_RULE);
	rule->metric_count++;
	if (!rule->metrics)
		rule->metrics = metrics_create();
	if (!register_family(rule->metrics, rule, h, &err))
		return luaL_error(L, "%s", err.text);
	if (!rule->loading)
		family(L, h); /* from the start, so that it is seen before its first value */
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->meta.metric);
	lua_setmetatable(L, -2);
	return 1;
}

SANDBOX_FUNCTION(metric_counter)
{
	return new_metric(L, METRIC_COUNTER);
}

SANDBOX_FUNCTION(metric_gauge)
{
	return new_metric(L, METRIC_GAUGE);
}

SANDBOX_FUNCTION(metric_histogram)
{
	return new_metric(L, METRIC_HISTOGRAM);
}

void metric_open(lua_State *L, struct rule *rule)
{
	static const luaL_Reg meta[] = { { NULL, NULL } };
	static const luaL_Reg methods[] = {
		{ "inc", metric_inc }, { "set", metric_set }, { "observe", metric_observe }, { "del", metric_del }, { NULL, NULL },
	};
	static const luaL_Reg functions[] = {
		{ "counter", metric_counter }, { "gauge", metric_gauge }, { "histogram", metric_histogram }, { NULL, NULL },
	};
	rule->meta.metric = object_meta(L, "metric", meta, methods);
	luaL_newlib(L, functions);
}
