/* Jobs in a harness: they run when the test asks for it. */
#include "harness/module_jobs.h"

#include <lauxlib.h>

#include "base/value_pack.h"
#include "harness/module_values.h"
#include "rules/jobs.h"
#include "value/luavalue.h"

#define TURNS_MAX 10000

/* work(): runs what is ready, as far as slots and pace allow. */
int rules_work(lua_State *L)
{
	struct harness *h = rules_check(L);
	struct host *host = h->host;
	uint64_t before = jobs_begun(host), last = before;
	unsigned still = 0; /* turns in a row in which nothing began */

	host_allow_jobs(host, true);
	for (unsigned turns = 0; turns < TURNS_MAX && still < 3; turns++) {
		harness_turn(h);
		still = jobs_begun(host) == last ? still + 1 : 0;
		last = jobs_begun(host);
	}
	host_allow_jobs(host, false);
	lua_pushinteger(L, (lua_Integer)(last - before));
	return 1;
}

static void push_job(lua_State *L, const struct persist_job *job)
{
	struct value body;
	lua_createtable(L, 0, 9);
	set_integer(L, "number", (uint64_t)job->id);
	set_text(L, "state", persist_job_state_name(job->state));
	if (job->name.len > 0)
		set_slice(L, "id", job->name);
	if (job->error.len > 0)
		set_slice(L, "error", job->error);
	set_integer(L, "try", job->try);
	set_integer(L, "tries", job->tries);
	set_number(L, "due_in", job->due_in > 0 ? job->due_in : 0);
	if (value_unpack(job->body, &body))
		return;
	luavalue_push(L, &body);
	value_close(&body);
	lua_setfield(L, -2, "job");
}

/* jobs(queue): those that wait, run and are dead. */
int rules_jobs(lua_State *L)
{
	static const enum persist_job_state states[] = { PERSIST_JOB_WAITING, PERSIST_JOB_RUNNING, PERSIST_JOB_DEAD };
	const struct harness *h = rules_check(L);
	struct slice queue = check_slice(L, 2);
	struct persist_job job;
	lua_Integer n = 0;

	lua_newtable(L);
	for (size_t i = 0; i < sizeof states / sizeof *states; i++)
		for (int64_t after = 0; persist_queue_next(h->persist, queue, states[i], &after, &job);) {
			push_job(L, &job);
			lua_rawseti(L, -2, ++n);
		}
	return 1;
}
