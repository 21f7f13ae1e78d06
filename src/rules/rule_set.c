/* Loading a folder of rules: which ones have changed, and whether they agree with each other (P7). */
#include "rules/rule_set.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rules/loading.h"
#include "sandbox/deadline.h"

struct load {
	struct loading loading;
	struct rule_source_cache cache;
	struct rule_set *set;
	struct metrics *shapes; /* of all rules */
	uint64_t began; /* CPU time of the thread, ns */
	bool unreadable;
	bool ended;     /* for time, or because the engine stops */
};

/* ---- one rule ---- */

static const struct snapshot_rule *find_running(const struct host_snapshot *running, const char *name)
{
	for (size_t i = 0; running && i < running->count; i++)
		if (strcmp(rule_source_name(running->rules[i].source), name) == 0)
			return &running->rules[i];
	return NULL;
}

/* What bounds one rule; the rest is the host's. */
static bool same_limits(const struct rule_limits *a, const struct rule_limits *b)
{
#define SAME_EACH(name) && a->name == b->name
#define SAME_ALL(name)
#define SAME(name, type, least, greatest, value, unit, whose, help) SAME_##whose(name)
	return a->drain == b->drain RULE_LIMITS(SAME);
#undef SAME
#undef SAME_ALL
#undef SAME_EACH
}

static bool has_sinks(const struct rule_source *source, const struct rules_options *o)
{
	struct slice name;
	for (size_t i = 0; rule_source_next_sink(source, &i, &name);)
		if (!o->ops->sink_exists(o->ctx, name))
			return false;
	return true;
}

/* Nothing that the running rule was made of has changed. */
static bool is_unchanged(struct load *load, const struct snapshot_rule *r)
{
	const struct rules_options *o = load->loading.options;
	const struct rule_source_world world = { .settings = o->settings, .servers = o->servers, .server_count = o->server_count };
	return r && r->runs && same_limits(&r->limits, &o->limits) && policy_equal(r->policy, o->policy, rule_source_name(r->source)) &&
	       has_sinks(r->source, o) && rule_source_is_current(r->source, &load->cache, &world);
}

static void add_shapes(struct load *load, const char *file, const struct metrics *metrics)
{
	struct err err;
	if (metrics && metrics_merge(load->shapes, metrics, &err))
		faults_add(load->loading.faults, "%s: %s", file, err.text);
}

/* The rule before it that serves the queue; NULL: none. */
static const struct rule_source *server_of(const struct rule_set *set, struct slice queue)
{
	for (size_t i = 0; i < set->count; i++)
		if (!(set->entries[i].rule && set->entries[i].rule->failed) && rule_source_serves(set->entries[i].source, queue))
			return set->entries[i].source;
	return NULL;
}

/* A queue has one rule: a second one fails to load. */
static void check_queues(struct load *load, struct rule_set_entry *entry)
{
	struct slice queue;
	for (size_t i = 0; rule_source_next_queue(entry->source, &i, &queue);) {
		const struct rule_source *other = server_of(load->set, queue);
		if (!other)
			continue;
		faults_add(load->loading.faults, "%s: the queue \"%.*s\" is served by %s already (work.on); one rule serves a queue",
		           rule_source_file(entry->source), SLICE_ARG(queue), rule_source_file(other));
		if (entry->rule)
			rule_unload(entry->rule);
		return;
	}
}

/* So has an endpoint. */
static void check_hooks(struct load *load, struct rule_set_entry *entry)
{
	struct slice key;
	for (size_t i = 0; rule_source_next_hook(entry->source, &i, &key);)
		for (size_t k = 0; k < load->set->count; k++) {
			const struct rule_set_entry *other = &load->set->entries[k];
			if ((other->rule && other->rule->failed) || !rule_source_has_hook(other->source, key))
				continue;
			faults_add(load->loading.faults, "%s: %.*s is served by %s already (web.on); one rule serves an endpoint",
			           rule_source_file(entry->source), SLICE_ARG(key), rule_source_file(other->source));
			if (entry->rule)
				rule_unload(entry->rule);
			return;
		}
}

/* An endpoint for a token that nobody has. Not one of the rule's own warnings: the tokens may change while the rule does not. */
static void check_tokens(const struct load *load, const struct rule_source *source)
{
	const struct rules_options *o = load->loading.options;
	const char *token, *where;

	for (size_t i = 0; o->tokens && rule_source_next_token(source, &i, &token, &where);) {
		bool known = false;
		for (size_t k = 0; k < o->token_count && !known; k++)
			known = strcmp(o->tokens[k], token) == 0;
		if (!known)
			faults_warn(load->loading.faults,
			            "%s: web.on asks for the token '%s', but web.tokens has none of that name with the scope hooks, so every request will be refused; "
			            "add it there with scopes = { \"hooks\" }, or name one that is there",
			            where, token);
	}
}

static void add_rule(struct load *load, const char *name, const char *file, const char *path)
{
	struct rule_set *set = load->set;
	const struct snapshot_rule *running = find_running(load->loading.options->running, name);
	struct rule_set_entry entry = { .rule = NULL };

	if (is_unchanged(load, running)) {
		entry.source = rule_source_ref(running->source);
		rule_source_warn_again(entry.source, load->loading.faults);
		add_shapes(load, file, running->metrics);
	} else {
		size_t from = load->loading.faults->count;
		entry.source = rule_source_create(name, file, path);
		entry.rule = rule_load(&load->loading, entry.source);
		rule_source_note_warnings(entry.source, load->loading.faults, from);
		if (!entry.rule->failed)
			check_queues(load, &entry);
		if (!entry.rule->failed)
			check_hooks(load, &entry);
		if (!entry.rule->failed)
			add_shapes(load, file, entry.rule->metrics);
	}
	if (!entry.rule) {
		check_queues(load, &entry);
		check_hooks(load, &entry);
	}
	check_tokens(load, entry.source);
	set->entries = mem_realloc(set->entries, set->count + 1, sizeof *set->entries);
	set->entries[set->count++] = entry;
}

/* ---- the folder ---- */

static int is_rule_file(const struct dirent *entry)
{
	struct slice name = slice_cstr(entry->d_name);
	return name.len > 4 && name.ptr[0] != '_' && name.ptr[0] != '.' && slice_eq(slice_make(name.ptr + name.len - 4, 4), SLICE(".lua"));
}

static void load_file(struct load *load, const char *entry)
{
	const struct rules_options *o = load->loading.options;
	char *file = mem_printf("%s/%s", load->loading.rules_shown, entry);
	char *path = mem_printf("%s/%s", o->rules, entry);
	char *name = mem_slicedup(slice_make(entry, strlen(entry) - 4));

	if (strlen(name) > RULE_NAME_MAX)
		faults_add(load->loading.faults, "%s: the file's name is longer than %d bytes", file, RULE_NAME_MAX);
	else
		add_rule(load, name, file, path);
	free(file);
	free(path);
	free(name);
}

/* Before file `i` of `count`: whether there is time for it. */
static bool may_go_on(struct load *load, int i, int count)
{
	const struct rules_options *o = load->loading.options;
	double limit = o->limits.load_total, used = (double)(deadline_cpu_ns() - load->began) / 1e9;

	if (!load->ended && deadline_stopped())
		faults_add(load->loading.faults, "%s: the engine stops: %d of %d files were loaded", o->rules, i, count);
	else if (!load->ended && limit > 0 && used > limit)
		faults_add(load->loading.faults, "%s: loading took more than %.15g s of CPU time (limits.load_total): %d of %d files were loaded",
		           o->rules, limit, i, count);
	else
		return !load->ended;
	load->ended = true;
	return false;
}

static void load_files(struct load *load)
{
	const char *folder = load->loading.options->rules;
	struct dirent **entries;
	int count = scandir(folder, &entries, is_rule_file, alphasort);

	if (count == -1) {
		load->unreadable = true;
		faults_add(load->loading.faults, "%s: the rules folder cannot be read: %s; scripts.rules in the configuration names it", folder,
		           strerror(errno));
		return;
	}
	if (count == 0)
		faults_warn(load->loading.faults, "%s: there is no rule in this folder (*.lua; names with '_' in front are modules)", folder);
	for (int i = 0; i < count; i++) {
		if (may_go_on(load, i, count))
			load_file(load, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

/* Sections of `rules` that nothing reads are mistakes (P2: no option is ignored). */
static void check_section(struct load *load, const char *name)
{
	const struct rules_options *o = load->loading.options;
	bool lib = strncmp(name, "lib/", 4) == 0, exists = false;
	char *path = lib ? mem_printf("%s/%s.lua", o->lib, name + 4) : mem_printf("%s/%s.lua", o->rules, name);

	for (size_t i = 0; i < load->set->count; i++) {
		const struct rule_set_entry *e = &load->set->entries[i];
		exists |= rule_source_has_file(e->source, path);
		/* One that failed may not have come so far. */
		if (rule_source_has_section(e->source, name) || (e->rule && e->rule->failed && rule_source_has_file(e->source, path))) {
			free(path);
			return;
		}
	}
	free(path);
	if (exists)
		faults_add(load->loading.faults, "rules.%s: %s/%s.lua does not call settings(), so it would not read them", name,
		           lib ? load->loading.lib_shown : load->loading.rules_shown, lib ? name + 4 : name);
	else
		faults_add(load->loading.faults, "rules.%s: there is no %s/%s.lua that could have these settings", name,
		           lib ? load->loading.lib_shown : load->loading.rules_shown, lib ? name + 4 : name);
}

static void check_sections(struct load *load)
{
	const struct value *settings = load->loading.options->settings;
	for (size_t i = 0; settings && settings->type == VALUE_TABLE && i < settings->table.count; i++)
		check_section(load, settings->table.pairs[i].key.text.bytes);
}

/* The file of a rule up to number `end` that opens the store `name` otherwise than `persistent`; NULL: none does. */
static const char *opened_otherwise(const struct rule_set *set, size_t end, struct slice name, bool persistent)
{
	for (size_t i = 0; i <= end; i++) {
		struct slice other;
		bool kind;
		for (size_t k = 0; rule_source_next_store(set->entries[i].source, &k, &other, &kind);)
			if (kind != persistent && slice_eq(name, other))
				return rule_source_file(set->entries[i].source);
	}
	return NULL;
}

/* A name is one store: persistent for all rules, or for none. */
static void check_stores(struct load *load)
{
	for (size_t i = 0; i < load->set->count; i++) {
		const struct rule_source *source = load->set->entries[i].source;
		struct slice name;
		bool persistent;
		for (size_t k = 0; rule_source_next_store(source, &k, &name, &persistent);) {
			const char *other = opened_otherwise(load->set, i, name, persistent);
			if (other)
				faults_add(load->loading.faults, "%s: the store \"%.*s\" is %spersistent here and %spersistent in %s; open it the same way",
				           rule_source_file(source), SLICE_ARG(name), persistent ? "" : "not ", persistent ? "not " : "", other);
		}
	}
}

struct rule_set *rule_set_load(const struct rules_options *options, struct faults *faults)
{
	struct load load = { .began = deadline_cpu_ns() };
	struct err err;
	bool good = false;

	rule_source_cache_init(&load.cache);
	load.shapes = metrics_create();
	load.set = mem_zalloc(sizeof *load.set);
	if (loading_init(&load.loading, options, &load.cache, faults) == 0) {
		if (deadline_start(&err)) {
			faults_add(faults, "%s", err.text);
		} else {
			load_files(&load);
			if (!load.ended) {
				check_sections(&load);
				check_stores(&load);
			}
			good = !load.unreadable && (options->skip_bad_files || faults_errors(faults) == 0);
		}
	}
	for (size_t i = 0; i < load.set->count; i++)
		if (load.set->entries[i].rule)
			load.set->entries[i].rule->loading = NULL;
	if (!good)
		rule_set_destroy(&load.set);
	loading_close(&load.loading);
	metrics_destroy(&load.shapes);
	rule_source_cache_close(&load.cache);
	return load.set;
}

void rule_set_destroy(struct rule_set **set)
{
	if (!*set)
		return;
	for (size_t i = 0; i < (*set)->count; i++) {
		rule_destroy(&(*set)->entries[i].rule);
		rule_source_unref(&(*set)->entries[i].source);
	}
	free((*set)->entries);
	free(*set);
	*set = NULL;
}

size_t rule_set_count(const struct rule_set *set)
{
	return set->count;
}

uint32_t rule_set_wants(const struct rule_set *set)
{
	uint32_t classes = 0;
	for (size_t i = 0; i < set->count; i++)
		if (set->entries[i].rule && !set->entries[i].rule->failed)
			classes |= wants_everywhere(&set->entries[i].rule->wants);
	return classes;
}

uint32_t rule_set_wants_of(const struct rule_set *set, struct slice server)
{
	uint32_t classes = 0;
	for (size_t i = 0; i < set->count; i++)
		if (set->entries[i].rule && !set->entries[i].rule->failed)
			classes |= wants_of(&set->entries[i].rule->wants, server);
	return classes;
}

struct rule *rule_set_restart(const struct rules_options *options, struct rule_source *source, struct faults *faults)
{
	struct loading loading;
	struct rule *rule = NULL;
	struct err err;

	if (loading_init(&loading, options, NULL, faults) == 0) {
		if (deadline_start(&err))
			faults_add(faults, "%s", err.text);
		else
			rule = rule_load(&loading, source);
	}
	if (rule)
		rule->loading = NULL;
	if (rule && rule->failed)
		rule_destroy(&rule);
	loading_close(&loading);
	return rule;
}
