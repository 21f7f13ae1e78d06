#include "engine/check.h"

#include <stdlib.h>

#include "base/clock.h"
#include "engine/mapping.h"
#include "engine/plan.h"
#include "observe/redact.h"
#include "persist/persist.h"

/* Links are made, to see whether they can be, and never started. */
static void check_links(struct plan *plan)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct metrics *metrics = metrics_create();
	const struct link_hub_options options = { .loop = loop, .metrics = metrics, .connects_in_flight = 1, .connects_per_turn = 1 };
	struct err err;

	plan->hub = loop ? link_hub_create(&options, &err) : NULL;
	if (plan->hub)
		plan_make_links(plan);
	else
		faults_add(&plan->faults, "%s", loop ? err.text : "libev finds no way to wait for sockets on this machine");
	for (size_t i = 0; i < plan->config->server_count; i++)
		server_destroy(&plan->servers[i]);
	link_hub_destroy(&plan->hub);
	metrics_destroy(&metrics);
	if (loop)
		ev_loop_destroy(loop);
}

/* Rules may open persistent stores when the configuration has a file for them; it is not touched. */
static int open_state(struct plan *plan, struct err *err)
{
	struct persist_options options;
	if (!plan->config->persist.file)
		return 0;
	mapping_persist(plan->config, &options);
	options.file = NULL;
	store_use_disk(plan->store, persist_open(&options, clock_mono_ns(), err));
	return 0;
}

void engine_check(const char *config_path, struct faults *faults, size_t *rules, size_t *servers)
{
	static const struct store_limits limits = { 0 };
	static const struct link_owner nobody = { .ctx = NULL };
	struct store *store = store_create(&limits);
	struct plan plan = { .path = config_path, .store = store, .owner = &nobody, .looks_only = true, .skip_bad_files = true, .open_state = open_state };

	plan_make(&plan);
	if (plan.sound && plan.servers)
		check_links(&plan);
	if (rules)
		*rules = plan.rules ? rule_set_count(plan.rules) : 0;
	if (servers)
		*servers = plan.config ? plan.config->server_count : 0;
	*faults = plan.faults;
	faults_init(&plan.faults);
	plan_close(&plan);
	struct persist *nothing = store_disk(store);
	persist_close(&nothing, clock_mono_ns(), 0);
	store_destroy(&store);
}
