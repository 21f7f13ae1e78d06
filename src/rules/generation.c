#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sandbox/deadline.h"
#include "value/json.h"
#include "rules/listener.h"
#include "rules/load.h"
#include "sandbox/stdlib.h"

/* Events are garbage a moment later while the rules themselves are small: a collection each time that the heap has doubled
 * would mark the libraries again every few dozen events. So it may grow tenfold (Lua's largest pause) between two. */
#define GC_PAUSE 1000
#define GC_STEP_MULTIPLIER 400
#define GC_STEP_SIZE 14 /* log2 of bytes */

static double wall_of(void *ctx)
{
	struct generation *gen = ctx;
	const struct host_ops *ops = gen->host ? &gen->host->ops : gen->options.ops;
	return ops->wall(gen->host ? gen->host->ctx : gen->options.ctx);
}

static int push_err(lua_State *L, const struct err *err)
{
	error_push(L, generation_of(L), err, NULL);
	return 1;
}

static void seal_into(lua_State *L, const char *name)
{
	stdlib_seal(L, name);
	lua_setfield(L, -2, name);
}

/* Makes everything that rules see. Runs in a protected call. */
static int set_up(lua_State *L)
{
	struct generation *gen = lua_touserdata(L, 1);
	const struct stdlib_options library = { .wall = wall_of, .ctx = gen, .check = deadline_check, .passed = deadline_passed,
	                                        .random = rule_random, .randomseed = rule_randomseed };

	stdlib_open(L, &library);
	lua_newtable(L);
	event_open(L, gen);
	listener_open(L, gen);
	server_open(L, gen);
	seal_into(L, "ami");
	coroutine_open(L, gen);
	seal_into(L, "coroutine");
	timer_open(L, gen);
	seal_into(L, "timer");
	log_open(L, gen);
	seal_into(L, "log");
	store_open_lua(L, gen);
	seal_into(L, "store");
	sink_open(L, gen);
	seal_into(L, "sink");
	metric_open(L, gen);
	seal_into(L, "metric");
	json_open(L, gen->json, push_err);
	seal_into(L, "json");
	print_open(L);
	lua_setfield(L, -2, "print");
	environment_open(L, gen);
	stdlib_end_weak_tables(L);
	return 0;
}

static int is_rule_file(const struct dirent *entry)
{
	struct slice name = slice_cstr(entry->d_name);
	return name.len > 4 && name.ptr[0] != '_' && name.ptr[0] != '.' && slice_eq(slice_make(name.ptr + name.len - 4, 4), SLICE(".lua"));
}

/* The folder's own name, for error texts: "scripts/missed.lua". */
static char *shown_name(const char *folder)
{
	size_t len = strlen(folder);
	while (len > 1 && folder[len - 1] == '/')
		len--;
	const char *slash = memrchr(folder, '/', len);
	const char *name = slash ? slash + 1 : folder;
	return mem_slicedup(slice_make(name, len - (size_t)(name - folder)));
}

/* Takes everything back that a file did before it failed. */
static void rule_unload(struct rule *rule)
{
	rule->failed = true;
	list_each_safe(it, &rule->timers)
		rule_timer_cancel(list_entry(it, struct rule_timer, of_rule));
	listeners_cancel_all(rule);
	listeners_sweep(rule->gen);
}

static void load_files(struct generation *gen, const struct generation_options *options)
{
	struct dirent **entries;
	int count = scandir(options->rules, &entries, is_rule_file, alphasort);
	if (count == -1) {
		gen->unreadable = true;
		faults_add(gen->faults, "%s: the rules folder cannot be read: %s; scripts.rules in the configuration names it", options->rules,
		           strerror(errno));
		return;
	}
	if (count == 0)
		faults_warn(gen->faults, "%s: there is no rule in this folder (*.lua; names with '_' in front are modules)", options->rules);
	for (int i = 0; i < count; i++) {
		struct err err;
		char *file = mem_printf("%s/%s", gen->rules_shown, entries[i]->d_name);
		char *path = mem_printf("%s/%s", options->rules, entries[i]->d_name);
		char *name = mem_slicedup(slice_make(entries[i]->d_name, strlen(entries[i]->d_name) - 4));
		struct rule *rule = NULL;
		for (size_t k = 0; k < gen->rule_count && !rule; k++)
			if (strcmp(gen->rules[k]->file, file) == 0)
				rule = gen->rules[k];
		if (strlen(name) > RULE_NAME_MAX)
			faults_add(gen->faults, "%s: the file's name is longer than %d bytes", file, RULE_NAME_MAX);
		else if (!rule && !(rule = rule_create(gen, name, file, path, &err)))
			faults_add(gen->faults, "%s", err.text);
		if (rule && !rule_load(rule))
			rule_unload(rule);
		free(file);
		free(path);
		free(name);
		free(entries[i]);
	}
	free(entries);
}

/* Sections of `rules` that nothing reads are mistakes (P2: no option is ignored). */
static void check_settings_used(struct generation *gen)
{
	for (size_t i = 0; gen->settings.type == VALUE_TABLE && i < gen->settings.table.count; i++) {
		const char *name = gen->settings.table.pairs[i].key.text.bytes;
		struct rule *rule = NULL;
		for (size_t k = 0; k < gen->rule_count && !rule; k++)
			if (strcmp(gen->rules[k]->name, name) == 0)
				rule = gen->rules[k];
		if (!rule)
			faults_add(gen->faults, "rules.%s: there is no %s/%s.lua that could have these settings", name, gen->rules_shown, name);
		else if (!rule->has_settings && !rule->failed)
			faults_add(gen->faults, "rules.%s: %s does not call settings(), so it would not read them", name, rule->file);
	}
}

struct generation *generation_load(const struct generation_options *options, struct faults *faults)
{
	struct generation *gen = mem_zalloc(sizeof *gen);
	struct err err;

	gen->options = *options;
	gen->limits = options->limits;
	gen->loading = true;
	gen->faults = faults;
	gen->rules_folder = mem_strdup(options->rules);
	gen->lib_folder = mem_strdup(options->lib);
	gen->rules_shown = shown_name(options->rules);
	gen->lib_shown = shown_name(options->lib);
	gen->server_names = mem_alloc(options->server_count * sizeof(char *));
	for (; gen->server_name_count < options->server_count; gen->server_name_count++)
		gen->server_names[gen->server_name_count] = mem_strdup(options->servers[gen->server_name_count]);
	if (options->settings)
		gen->settings = value_copy(options->settings);
	list_init(&gen->in_host);
	list_init(&gen->pool);
	list_init(&gen->dead);
	map_init(&gen->ami_names, true);
	map_init(&gen->own_names, true);
	action_init(&gen->scratch);
	gen->metrics = metrics_create();
	buf_init(&gen->text, 0);
	buf_init(&gen->traceback, 0);
	alloc_init(&gen->alloc, options->limits.load_memory, options->limits.rule_memory);

	const struct json_limits json_limits = { .bytes = options->limits.json_bytes, .depth = options->limits.json_depth };
	gen->json = json_create(&json_limits, &err);
	gen->L = gen->json ? lua_newstate(alloc_lua, &gen->alloc) : NULL;
	if (!gen->json)
		faults_add(faults, "%s", err.text);
	else if (!gen->L)
		faults_add(faults, "limits.memory is too small for a Lua state");
	else if (deadline_start(&err))
		faults_add(faults, "%s", err.text);
	else {
		*(struct generation **)lua_getextraspace(gen->L) = gen;
		lua_pushcfunction(gen->L, set_up);
		lua_pushlightuserdata(gen->L, gen);
		if (lua_pcall(gen->L, 1, 0, 0) != LUA_OK) {
			faults_add(faults, "the libraries of the rules cannot be made: %s", lua_tostring(gen->L, -1));
		} else {
			lua_gc(gen->L, LUA_GCINC, GC_PAUSE, GC_STEP_MULTIPLIER, GC_STEP_SIZE);
			lua_settop(gen->L, 2); /* the slots of the event and server being dispatched */
			load_files(gen, options);
			check_settings_used(gen);
			gen->loaded = true;
		}
	}
	bool good = gen->loaded && !gen->unreadable && (options->skip_bad_files || faults_errors(faults) == 0);
	gen->faults = NULL;
	gen->loading = false;
	if (!good) {
		generation_destroy(&gen);
		return NULL;
	}
	gen->alloc.cap = options->limits.memory;
	gen->policy = options->policy;
	return gen;
}

size_t generation_rule_count(const struct generation *generation)
{
	return generation->rule_count;
}

void generation_destroy(struct generation **generation)
{
	struct generation *gen = *generation;
	if (!gen)
		return;
	*generation = NULL;
	gen->closing = true;
	task_close_all(gen);
	for (size_t i = 0; i < gen->rule_count; i++)
		list_each_safe(it, &gen->rules[i]->timers)
			rule_timer_cancel(list_entry(it, struct rule_timer, of_rule));
	listeners_free_all(gen);
	if (gen->L)
		lua_close(gen->L);
	json_destroy(&gen->json);
	metrics_destroy(&gen->metrics);
	for (size_t i = 0; i < gen->rule_count; i++)
		rule_destroy(gen->rules[i]);
	free(gen->rules);
	for (size_t i = 0; i < gen->server_name_count; i++)
		free(gen->server_names[i]);
	free(gen->server_names);
	free(gen->rules_folder);
	free(gen->lib_folder);
	free(gen->rules_shown);
	free(gen->lib_shown);
	value_close(&gen->settings);
	action_close(&gen->scratch);
	buf_close(&gen->text);
	buf_close(&gen->traceback);
	alloc_close(&gen->alloc);
	policy_destroy(&gen->policy);
	free(gen);
}
