/* A rule that begins anew: loaded on the loader's thread, from what is kept of its source (P1, P4). */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/internal.h"
#include "engine/mapping.h"
#include "rules/picture.h"
#include "rules/rule_source.h"
#include "observe/log.h"

/* Everything that the loader reads is its own: a reload may replace the configuration meanwhile. */
struct restart {
	struct engine *engine;
	struct rule_source *source;
	struct rules_options options;
	char *rules, *lib;
	char **names;
	struct rule *rule; /* NULL: it failed */
	struct faults faults;
};

/* That of the last load had every sink that its rules open; one that is gone is reported when it is written to. */
static bool sink_exists(void *ctx, struct slice name)
{
	(void)ctx;
	(void)name;
	return true;
}

static double wall(void *ctx)
{
	(void)ctx;
	return clock_wall();
}

static void on_loop(void *ctx, void (*fn)(void *arg), void *arg)
{
	loader_on_loop(((struct restart *)ctx)->engine->loader, fn, arg);
}

static void restart_free(struct restart *r)
{
	for (size_t i = 0; i < r->options.server_count; i++)
		free(r->names[i]);
	free(r->names);
	free(r->rules);
	free(r->lib);
	policy_unref(&r->options.policy);
	rule_source_unref(&r->source);
	faults_close(&r->faults);
	free(r);
}

static void load(void *arg)
{
	struct restart *r = arg;
	r->rule = rule_set_restart(&r->options, r->source, &r->faults);
}

static void finish(void *arg)
{
	struct restart *r = arg;

	for (size_t i = 0; i < r->faults.count; i++)
		log_record_exact(LOG_ERROR, "a rule could not begin anew", &F_TEXT("reason", r->faults.lines[i]), 1);
	if (r->engine->stopping) {
		if (r->rule)
			host_destroy_rule(&r->rule);
	} else {
		host_adopt_again(r->engine->host, r->source, r->rule);
	}
	restart_free(r);
}

void engine_restart_rule(void *ctx, struct rule_source *source)
{
	static const struct host_ops load_ops = { .wall = wall, .sink_exists = sink_exists };
	struct engine *e = ctx;
	const struct config *c = e->config;
	struct restart *r = mem_zalloc(sizeof *r);
	struct err err;

	r->engine = e;
	r->source = rule_source_ref(source);
	r->rules = mem_strdup(c->scripts.rules);
	r->lib = mem_strdup(c->scripts.lib);
	r->names = mem_alloc(c->server_count * sizeof *r->names);
	for (size_t i = 0; i < c->server_count; i++)
		r->names[i] = mem_strdup(c->servers[i].name);
	r->options = (struct rules_options){
		.rules = r->rules, .lib = r->lib, .ops = &load_ops, .ctx = r, .on_loop = on_loop, .store = host_store(e->host),
		.picture = host_picture(e->host),
		.budget = host_budget(e->host), .servers = (const char *const *)r->names, .server_count = c->server_count, .policy = mapping_policy(c),
	};
	r->options.limits = c->limits.rules;
	if (loader_post(e->loader, load, finish, r, &err)) {
		faults_add(&r->faults, "%s", err.text);
		finish(r);
	}
}
