/* A state file in a folder of its own, opened and polled as the engine does it. */
#ifndef TESTS_UNIT_PERSIST_SUPPORT_H
#define TESTS_UNIT_PERSIST_SUPPORT_H

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/wake.h"
#include "check.h"
#include "observe/log.h"
#include "persist/persist_jobs.h"
#include "persist/persist_spool.h"
#include "persist/persist_store.h"

static char folder[64], state_file[80];
static struct wake loop_wake;
static atomic_uint notified;
static struct persist *p;
static double wall_jump; /* seconds */

static inline void on_notify(void *ctx)
{
	(void)ctx;
	atomic_fetch_add(&notified, 1);
	wake_post(&loop_wake);
}

static inline double jumping_wall(void)
{
	return clock_wall() + wall_jump;
}

static inline void fresh_folder(void)
{
	snprintf(folder, sizeof folder, "/tmp/persist_test.XXXXXX");
	if (!mkdtemp(folder))
		abort();
	snprintf(state_file, sizeof state_file, "%s/state.db", folder);
	wake_init(&loop_wake);
}

static inline void remove_folder(void)
{
	char command[100];
	snprintf(command, sizeof command, "rm -rf %s", folder);
	if (system(command))
		abort();
	wake_close(&loop_wake);
}

/* More options may be set first. */
static struct persist_options test_options;

static inline struct persist *open_state(struct err *err)
{
	struct persist_options options = test_options;
	options.file = state_file;
	options.notify = on_notify;
	options.wall = jumping_wall;
	p = persist_open(&options, clock_mono_ns(), err);
	return p;
}

static inline int close_state(void)
{
	return persist_close(&p, clock_mono_ns(), 10);
}

/* What a persist_fn was given. */
struct answer {
	unsigned count;
	int64_t id;
	enum err_code code;
};

static inline void on_answer(void *arg, int64_t id, const struct err *err)
{
	struct answer *answer = arg;
	answer->count++;
	answer->id = id;
	answer->code = err ? err->code : ERR_NONE;
}

/* Polls until `condition` holds, at most 20 s; true when it does. */
#define POLL_UNTIL(condition)                                                        \
	__extension__ ({                                                                            \
		uint64_t give_up_ = clock_mono_ns() + 20 * CLOCK_NS_PER_S;                   \
		bool holds_;                                                                 \
		persist_poll(p, clock_mono_ns());                                            \
		while (!(holds_ = (condition)) && clock_mono_ns() < give_up_) {              \
			wake_wait(&loop_wake, clock_mono_ns() + 10 * CLOCK_NS_PER_MS);           \
			persist_poll(p, clock_mono_ns());                                        \
		}                                                                            \
		holds_;                                                                      \
	})

static inline bool sync_state(void)
{
	struct answer answer = { 0 };
	return persist_sync(p, on_answer, &answer, NULL) == 0 && POLL_UNTIL(answer.count == 1) && answer.code == ERR_NONE;
}

static inline int set(const char *store, const char *key, const char *value, uint64_t ttl)
{
	struct persist_store *s = persist_store_open(p, slice_cstr(store), NULL);
	unsigned rule = persist_store_writer(p, SLICE("scripts/test.lua"));
	return persist_store_set(s, rule, slice_cstr(key), slice_cstr(value), ttl, clock_mono_ns(), NULL);
}

/* True when that is what stands there; NULL: nothing. */
static inline bool has(const char *store, const char *key, const char *value)
{
	struct persist_store *s = persist_store_open(p, slice_cstr(store), NULL);
	struct slice found;
	bool there = persist_store_get(s, slice_cstr(key), clock_mono_ns(), &found);
	return value ? there && slice_eq(found, slice_cstr(value)) : !there;
}

static inline int push(const char *queue, const char *body, struct answer *answer)
{
	struct persist_push job = { .queue = slice_cstr(queue), .body = slice_cstr(body) };
	*answer = (struct answer){ 0 };
	return persist_job_push(p, &job, clock_mono_ns(), on_answer, answer, NULL);
}

static inline int64_t push_and_wait(const char *queue, const char *body)
{
	struct answer answer;
	return push(queue, body, &answer) == 0 && POLL_UNTIL(answer.count == 1) && answer.code == ERR_NONE ? answer.id : 0;
}

/* The id of the job that now runs; 0: none was ready. */
static inline int64_t take_and_wait(const char *queue, unsigned tries)
{
	struct answer answer = { 0 };
	return persist_job_take(p, slice_cstr(queue), tries, clock_mono_ns(), on_answer, &answer, NULL) == 1 &&
	               POLL_UNTIL(answer.count == 1) && answer.code == ERR_NONE
	           ? answer.id
	           : 0;
}

/* The first column of the first row, as an independent reader gives it. */
static inline int64_t query(const char *sql)
{
	char command[1000], line[100] = "";
	snprintf(command, sizeof command, "sqlite3 -batch %s \"%s\" 2>&1", state_file, sql);
	FILE *out = popen(command, "r");
	if (!fgets(line, sizeof line, out))
		line[0] = '\0';
	pclose(out);
	char *end;
	long long n = strtoll(line, &end, 10);
	return end == line ? -1 : n;
}

#endif
