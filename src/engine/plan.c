#include "engine/plan.h"

#include <stdlib.h>

#include "ami/event_mask.h"
#include "base/clock.h"
#include "base/mem.h"
#include "engine/board.h"
#include "engine/mapping.h"
#include "engine/sink_request.h"
#include "net/tls.h"
#include "observe/redact.h"

/* ---- servers ---- */

struct server *server_create(struct engine *engine, struct link_hub *hub, const struct config_server *config,
                             const struct link_owner *owner, struct err *err)
{
	struct server *s = mem_zalloc(sizeof *s);
	struct link_config link_config;
	struct link_owner callbacks = *owner;

	s->engine = engine;
	s->name = mem_strdup(config->name);
	list_init(&s->leaving);
	callbacks.ctx = s;
	mapping_link(config, &link_config);
	s->events.automatic = !link_config.events;
	s->link = link_create(hub, &link_config, &callbacks, err);
	if (!s->link)
		server_destroy(&s);
	return s;
}

void server_destroy(struct server **server)
{
	struct server *s = *server;
	if (!s)
		return;
	*server = NULL;
	list_remove(&s->leaving);
	host_feed_close(&s->feed);
	link_destroy(&s->link);
	free(s->events.filter);
	free(s->name);
	free(s);
}

/* ---- what rules may ask while they load: answers of the new configuration ---- */

static double load_wall(void *ctx)
{
	(void)ctx;
	return clock_wall();
}

static bool load_sink_exists(void *ctx, struct slice name)
{
	const struct plan *plan = ctx;
	for (size_t i = 0; i < plan->config->sink_count; i++)
		if (slice_eq(slice_cstr(plan->config->sinks[i].name), name))
			return true;
	return false;
}

static const struct host_ops load_ops = { .wall = load_wall, .sink_exists = load_sink_exists };

static void on_loop(void *ctx, void (*fn)(void *arg), void *arg)
{
	const struct plan *plan = ctx;
	loader_on_loop(plan->loader, fn, arg);
}

/* ---- making ---- */

/* What the configuration's own check cannot know: it is about AMI. */
static void warn_of_events(struct plan *plan)
{
	for (size_t i = 0; i < plan->config->server_count; i++) {
		const struct config_server *server = &plan->config->servers[i];
		struct slice mask = slice_cstr(server->events ? server->events : "on"), word;

		if (slice_eq(mask, SLICE("auto")))
			continue;

		if (event_mask_unknown(mask, &word))
			faults_warn(&plan->faults, "servers.%s.events: \"%.*s\" is no class of Asterisk's and lets no event pass", server->name,
			            SLICE_ARG(word));
		if (!event_mask_hears(mask, SLICE("call")))
			faults_warn(&plan->faults,
			            "servers.%s.events: \"%s\" lacks the class call; an asynchronous Originate, whose end could not be heard, is "
			            "refused there", server->name, mask.ptr);
	}
}

static const struct config_server *find_server(const struct config *config, const char *name)
{
	for (size_t i = 0; config && i < config->server_count; i++)
		if (strcmp(config->servers[i].name, name) == 0)
			return &config->servers[i];
	return NULL;
}

int plan_make_links(struct plan *plan)
{
	int rc = 0;
	for (size_t i = 0; i < plan->config->server_count; i++) {
		const struct config_server *wanted = &plan->config->servers[i];
		const struct config_server *running = find_server(plan->running, wanted->name);
		struct err err;
		if (running && config_server_equal(running, wanted))
			continue;
		plan->servers[i] = server_create(plan->engine, plan->hub, wanted, plan->owner, &err);
		if (!plan->servers[i]) {
			faults_add(&plan->faults, "servers.%s: %s", wanted->name, err.text);
			rc = -1;
		}
	}
	return rc;
}

/* Files that are there are opened; the others are made when everything else is good, so that a plan that is refused leaves
 * none behind (P7). */
static int open_sinks(struct plan *plan)
{
	int rc = 0;
	plan->sinks = mem_zalloc(plan->config->sink_count * sizeof(struct log_file *));
	for (size_t i = 0; i < plan->config->sink_count; i++) {
		struct err err;
		if (!plan->config->sinks[i].file)
			continue;
		plan->sinks[i] = log_file_prepare(plan->config->sinks[i].file, &err);
		if (!plan->sinks[i]) {
			faults_add(&plan->faults, "sinks.%s.file: %s", plan->config->sinks[i].name, err.text);
			rc = -1;
		}
	}
	return rc;
}

static int make_sinks(struct plan *plan)
{
	int rc = 0;

	for (size_t i = 0; plan->sinks && i < plan->config->sink_count; i++) {
		struct err err;
		if (!plan->sinks[i] || log_file_make(plan->sinks[i], &err) == 0)
			continue;
		faults_add(&plan->faults, "sinks.%s.file: %s", plan->config->sinks[i].name, err.text);
		rc = -1;
	}
	return rc;
}

static bool has_urls(const struct config *c)
{
	for (size_t i = 0; i < c->sink_count; i++)
		if (c->sinks[i].url)
			return true;
	return false;
}

static int check_sinks(struct plan *plan)
{
	int rc = 0;
	for (size_t i = 0; i < plan->config->sink_count; i++) {
		const struct config_sink *sink = &plan->config->sinks[i];
		struct err err;
		struct http_url url;
		if (!sink->url)
			continue;
		if (sink_request_check(sink, &err) == 0 && http_url_parse(slice_cstr(sink->url), &url, &err) == 0) {
			http_url_close(&url);
			continue;
		}
		faults_add(&plan->faults, "sinks.%s: %s", sink->name, err.text);
		rc = -1;
	}
	return rc;
}

/* What the HTTP client goes by. Reading the system's authorities takes its time: not where nothing is allowed. */
static int make_http(struct plan *plan)
{
	const struct config *c = plan->config;
	const struct tls_options options = { .verify = true, .ca = c->http_client.ca, .cert = c->http_client.cert, .key = c->http_client.key };
	struct tls_pool *own = NULL;
	struct err err;

	plan->http_policy = mapping_http_policy(c, &plan->faults);
	if (!plan->http_policy)
		return -1;
	if (check_sinks(plan))
		return -1;
	if (http_policy_is_empty(plan->http_policy) && !has_urls(c))
		return 0;
	if (!plan->tls)
		own = tls_pool_create();
	plan->http_tls = tls_get(own ? own : plan->tls, &options, &err);
	if (!plan->http_tls)
		faults_add(&plan->faults, "http_client: %s", err.text);
	int rc = plan->http_tls ? 0 : -1;
	if (own) {
		tls_release(&plan->http_tls);
		tls_pool_destroy(&own);
	}
	return rc;
}

static int load_rules(struct plan *plan)
{
	struct rules_options options;
	const char **names;
	struct value settings;

	mapping_rules(plan->config, &options, &names, &settings);
	options.ops = &load_ops;
	options.ctx = plan;
	options.store = plan->store;
	options.picture = plan->picture;
	options.budget = plan->budget ? plan->budget : &plan->own_budget;
	if (!plan->running) /* these limits hold from now on; those of a reload, once it is good */
		options.budget->limit = options.limits.memory;
	options.on_loop = plan->loader ? on_loop : NULL;
	options.policy = mapping_policy(plan->config);
	options.skip_bad_files = plan->skip_bad_files;
	options.running = plan->snapshot;
	plan->rules = rule_set_load(&options, &plan->faults);
	policy_unref(&options.policy);
	value_close(&settings);
	free(names);
	return plan->rules ? 0 : -1;
}

static void plan_redact(struct plan *plan)
{
	struct err err;

	plan->redact = mapping_redact(plan->config, &err);
	if (!plan->redact) {
		plan->sound = false;
		faults_add(&plan->faults, "%s: %s", plan->path, err.text);
	} else if (!plan->running) {
		redact_use(&plan->redact); /* what the rules log while they load is masked too */
	}
}

static int read_certificate(struct plan *plan)
{
	const struct config *config = plan->config;
	struct tls_options options = { .cert = config->web.tls.cert, .key = config->web.tls.key, .server = true };
	struct tls_pool *own = NULL;
	struct err err;

	if (!config->web.listen || !options.cert || !options.key)
		return 0;
	plan->web_tls = tls_get(plan->tls ? plan->tls : (own = tls_pool_create()), &options, &err);
	if (!plan->web_tls)
		faults_add(&plan->faults, "web.%s", err.text);
	int rc = plan->web_tls ? 0 : -1;
	if (own) {
		tls_release(&plan->web_tls);
		tls_pool_destroy(&own);
	}
	return rc;
}

static int read_board(struct plan *plan)
{
	const struct config *config = plan->config;
	struct err err;

	if (!config->web.listen)
		return 0;
	char *folder = mem_printf("%s/board", config->scripts.lib);
	plan->board = board_read(folder, &err);
	free(folder);
	if (!plan->board)
		faults_add(&plan->faults, "%s", err.text);
	return plan->board ? 0 : -1;
}

void plan_make(struct plan *plan)
{
	/* A look goes on to the rules: one run names every fault. */
	plan->config = (plan->looks_only ? config_look : config_load)(plan->path, redact_add_value, &plan->faults);
	if (!plan->config)
		return;
	plan->sound = faults_errors(&plan->faults) == 0;
	warn_of_events(plan);
	const char *fixed = plan->running ? config_needs_restart(plan->running, plan->config) : NULL;
	if (fixed) {
		faults_add(&plan->faults, "%s: %s cannot change while the daemon runs; restart it", plan->path, fixed);
		return;
	}
	struct err err;
	if (mapping_log_check(plan->running, plan->config, plan->log_format, &err)) {
		faults_add(&plan->faults, "%s: %s", plan->path, err.text);
		if (plan->running)
			return;
		plan->sound = false;
	}
	plan_redact(plan);
	if (plan->sound && plan->open_state && plan->open_state(plan, &err)) {
		faults_add(&plan->faults, "%s", err.text);
		return;
	}
	plan->servers = mem_zalloc(plan->config->server_count * sizeof(struct server *));
	int rc = plan->sound ? 0 : -1;
	if (!plan->looks_only)
		rc |= open_sinks(plan);
	rc |= make_http(plan);
	rc |= read_certificate(plan);
	rc |= read_board(plan);
	rc |= load_rules(plan);
	if (plan->hub)
		rc |= plan_make_links(plan);
	plan->good = rc == 0 && make_sinks(plan) == 0;
}

void plan_close(struct plan *plan)
{
	for (size_t i = 0; plan->config && i < plan->config->server_count; i++)
		if (plan->servers)
			server_destroy(&plan->servers[i]);
	for (size_t i = 0; plan->sinks && plan->config && i < plan->config->sink_count; i++)
		log_file_discard(&plan->sinks[i]);
	free(plan->servers);
	free(plan->sinks);
	plan->servers = NULL;
	plan->sinks = NULL;
	tls_release(&plan->web_tls);
	board_destroy(&plan->board);
	redact_patterns_destroy(&plan->redact);
	http_policy_destroy(&plan->http_policy);
	tls_release(&plan->http_tls);
	rule_set_destroy(&plan->rules);
	host_snapshot_destroy(&plan->snapshot);
	config_destroy(&plan->config);
	faults_close(&plan->faults);
}
