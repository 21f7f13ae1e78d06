/* The globals of rules as a whole: what stands there from the start, and what is made when a rule first asks for it. */
#include <string.h>

#include "rules/api/api.h"
#include "rules/api/live.h"
#include "sandbox/deadline.h"
#include "sandbox/stdlib.h"
#include "value/json.h"

static double wall_of(void *ctx)
{
	return rule_wall(ctx);
}

static void seal_into(lua_State *L, const char *name)
{
	stdlib_seal(L, name);
	lua_setfield(L, -2, name);
}

int library_set_up(lua_State *L)
{
	struct rule *rule = lua_touserdata(L, 1);
	const struct stdlib_options library = { .wall = wall_of, .ctx = rule, .check = deadline_check, .passed = deadline_passed,
	                                        .random = random_number, .randomseed = random_seed };

	stdlib_open(L, &library);
	lua_newtable(L);
	event_open(L, rule);
	listen_open(L, rule);
	server_open(L, rule);
	seal_into(L, "ami");
	coroutine_open(L, rule);
	seal_into(L, "coroutine");
	timer_open(L, rule);
	seal_into(L, "timer");
	log_open(L);
	seal_into(L, "log");
	json_open(L, &rule->json);
	seal_into(L, "json");
	log_open_print(L);
	lua_setfield(L, -2, "print");
	settings_open(L);
	require_open(L);
	object_name_libraries(L);
	stdlib_end_weak_tables(L);
	return 0;
}

/* Most rules use few of them, and an idle rule should take little memory. */
static const struct {
	const char *name;
	void (*open)(lua_State *L, struct rule *rule);
} late[] = {
	{ "store", store_open_table }, { "sink", sink_open }, { "metric", metric_open }, { "work", work_open }, { "live", live_open_table },
	{ "http", http_open }, { "web", web_open },
};

bool library_open_late(lua_State *L, const char *name)
{
	for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
		if (strcmp(name, late[i].name) != 0)
			continue;
		luaL_checkstack(L, 8, NULL);
		late[i].open(L, rule_of(L));
		object_name_library(L, name);
		stdlib_seal(L, name);
		return true;
	}
	return false;
}
