/* Stores, jobs and spools over restarts. */
#include <sys/wait.h>

#include "persist_support.h"

#define MS CLOCK_NS_PER_MS
#define SECOND CLOCK_NS_PER_S

/* Ends the process as kill -9 does it, seen from the file: what the callback has done is in a child. */
static void in_killed_child(void (*fn)(void))
{
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		open_state(NULL);
		fn();
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static void keeps_entries(void)
{
	fresh_folder();
	CHECK(open_state(NULL));
	CHECK(set("calls", "a", "1", 0) == 0 && set("calls", "b", "2", 0) == 0 && set("other", "a", "3", 0) == 0);
	CHECK(set("calls", "a", "a much longer value than before", 0) == 0);
	struct persist_store *calls = persist_store_open(p, SLICE("calls"), NULL);
	CHECK(persist_store_delete(calls, SLICE("b"), clock_mono_ns(), NULL) == 1);
	CHECK(persist_store_delete(calls, SLICE("b"), clock_mono_ns(), NULL) == 0);
	CHECK(set("calls", "c", "", 0) == 0);
	CHECK(close_state() == 0);

	CHECK(open_state(NULL));
	CHECK(has("calls", "a", "a much longer value than before") && has("calls", "b", NULL) && has("other", "a", "3"));
	CHECK(has("calls", "c", ""));
	/* The same after the log was folded. */
	struct persist_status status;
	CHECK(POLL_UNTIL((persist_status(p, &status), status.log_rows == 0)));
	CHECK(query("SELECT count(*) FROM entry") == 3 && query("SELECT count(*) FROM log") == 0);
	CHECK(close_state() == 0);
	CHECK(open_state(NULL));
	CHECK(has("calls", "a", "a much longer value than before") && has("calls", "b", NULL) && has("other", "a", "3"));
	unsigned rule = persist_store_writer(p, SLICE("scripts/test.lua"));
	CHECK(persist_store_writer_usage(p, rule).entries == 3);
	CHECK(set("calls", "b", "again", 0) == 0 && close_state() == 0 && open_state(NULL) && has("calls", "b", "again"));
	close_state();
	struct stat there;
	CHECK(stat(state_file, &there) == 0 && (there.st_mode & 0777) == 0600);
	remove_folder();
}

static void binary_keys_and_values(void)
{
	static const char bytes[] = "\0\xff\x80 nul and no UTF-8";
	struct slice odd = { bytes, sizeof bytes - 1 }, found;
	fresh_folder();
	open_state(NULL);
	struct persist_store *s = persist_store_open(p, SLICE("s"), NULL);
	CHECK(persist_store_set(s, persist_store_writer(p, SLICE("r")), odd, odd, 0, clock_mono_ns(), NULL) == 0);
	close_state();
	open_state(NULL);
	s = persist_store_open(p, SLICE("s"), NULL);
	CHECK(persist_store_get(s, odd, clock_mono_ns(), &found) && slice_eq(found, odd));
	close_state();
	remove_folder();
}

static void many_entries_in_any_order(void)
{
	char key[20], value[40];
	fresh_folder();
	open_state(NULL);
	for (int i = 0; i < 3000; i++) {
		snprintf(key, sizeof key, "%d", i * 7919 % 1000);
		snprintf(value, sizeof value, "%0*d", i % 30, i);
		set("s", key, value, 0);
		if (i % 10 == 0)
			persist_store_delete(persist_store_open(p, SLICE("s"), NULL), slice_cstr(key), clock_mono_ns(), NULL);
	}
	struct persist_usage before = persist_store_usage(persist_store_open(p, SLICE("s"), NULL));
	CHECK(before.entries == 900);
	close_state();
	open_state(NULL);
	struct persist_store *s = persist_store_open(p, SLICE("s"), NULL);
	CHECK(persist_store_usage(s).entries == before.entries && persist_store_usage(s).bytes == before.bytes);
	size_t cursor = 0, walked = 0;
	struct slice k, v;
	while (persist_store_next(s, &cursor, clock_mono_ns(), &k, &v))
		walked++;
	CHECK(walked == 900);
	snprintf(value, sizeof value, "%0*d", 2999 % 30, 2999);
	snprintf(key, sizeof key, "%d", 2999 * 7919 % 1000);
	CHECK(has("s", key, value));
	close_state();
	remove_folder();
}

static void entries_expire(void)
{
	fresh_folder();
	open_state(NULL);
	uint64_t now = clock_mono_ns();
	set("s", "short", "x", 30 * MS);
	set("s", "long", "x", 3600 * SECOND);
	set("s", "ever", "x", 0);
	CHECK(persist_next(p) <= now + 1 * SECOND);
	CHECK(POLL_UNTIL(has("s", "short", NULL)));
	CHECK(has("s", "long", "x"));
	struct persist_status status;
	CHECK(POLL_UNTIL((persist_status(p, &status), status.entries == 2)));
	/* A changed value keeps its time to live when that is asked. */
	struct persist_store *s = persist_store_open(p, SLICE("s"), NULL);
	CHECK(persist_store_set(s, 0, SLICE("long"), SLICE("a longer value"), PERSIST_KEEP_TTL, now, NULL) == 0);
	struct slice v;
	CHECK(persist_store_get(s, SLICE("long"), now + 3599 * SECOND, &v) && !persist_store_get(s, SLICE("long"), now + 3601 * SECOND, &v));
	CHECK(persist_store_get(s, SLICE("ever"), UINT64_MAX - 1, &v));
	/* One that has expired and still stands there hands nothing down to the next of its name. */
	CHECK(persist_store_set(s, 0, SLICE("again"), SLICE("x"), SECOND, now, NULL) == 0);
	CHECK(persist_store_set(s, 0, SLICE("again"), SLICE("y"), PERSIST_KEEP_TTL, now + 2 * SECOND, NULL) == 0);
	CHECK(persist_store_get(s, SLICE("again"), now + 3600 * SECOND, &v) && slice_eq(v, SLICE("y")));
	close_state();
	/* What is left of it goes on after a restart. */
	open_state(NULL);
	now = clock_mono_ns();
	s = persist_store_open(p, SLICE("s"), NULL);
	CHECK(persist_store_get(s, SLICE("long"), now + 3590 * SECOND, &v) && !persist_store_get(s, SLICE("long"), now + 3601 * SECOND, &v));
	CHECK(has("s", "again", "y"));
	close_state();
	remove_folder();
}

/* "At start, now is the later of the wall clock and the last time on disk." */
static void wall_clock_jumps(void)
{
	fresh_folder();
	open_state(NULL);
	set("s", "hour", "x", 3600 * SECOND);
	set("s", "three days", "x", 3 * 86400 * SECOND);
	wall_jump = 86400;
	persist_poll(p, clock_mono_ns());
	CHECK(has("s", "hour", "x"));
	wall_jump = -86400;
	persist_poll(p, clock_mono_ns());
	CHECK(has("s", "hour", "x"));
	wall_jump = 0;
	close_state();
	/* Down for a day. */
	wall_jump = 86400;
	open_state(NULL);
	CHECK(has("s", "hour", NULL) && has("s", "three days", "x"));
	set("s", "hour", "x", 3600 * SECOND);
	close_state();
	/* A wall clock that was set back a day makes nothing live a day longer. */
	wall_jump = 0;
	open_state(NULL);
	struct persist_store *s = persist_store_open(p, SLICE("s"), NULL);
	struct slice v;
	uint64_t now = clock_mono_ns();
	CHECK(persist_store_get(s, SLICE("hour"), now + 3500 * SECOND, &v) && !persist_store_get(s, SLICE("hour"), now + 3601 * SECOND, &v));
	CHECK(persist_store_get(s, SLICE("three days"), now + (2 * 86400 - 100) * SECOND, &v));
	CHECK(!persist_store_get(s, SLICE("three days"), now + (2 * 86400 + 1) * SECOND, &v));
	close_state();
	remove_folder();
}

static void charges_the_writer(void)
{
	struct err err;
	fresh_folder();
	test_options.limits = (struct persist_limits){ .store_entries = 3, .store_bytes = 2000, .stores = 2 };
	open_state(NULL);
	struct persist_store *s = persist_store_open(p, SLICE("s"), NULL);
	unsigned greedy = persist_store_writer(p, SLICE("greedy")), modest = persist_store_writer(p, SLICE("modest"));
	static char large[2000];
	for (int i = 0; i < 3; i++)
		CHECK(persist_store_set(s, greedy, slice_make("abc" + i, 1), SLICE("x"), 0, 1, NULL) == 0);
	CHECK(persist_store_set(s, greedy, SLICE("d"), SLICE("x"), 0, 1, &err) == -1 && err.code == ERR_OVERFLOW);
	CHECK(persist_store_set(s, greedy, SLICE("a"), SLICE("y"), 0, 1, NULL) == 0);
	CHECK(persist_store_set(s, modest, SLICE("d"), slice_make(large, sizeof large), 0, 1, &err) == -1 && err.code == ERR_OVERFLOW);
	/* Who writes an entry last is charged. */
	CHECK(persist_store_set(s, modest, SLICE("a"), SLICE("y"), 0, 1, NULL) == 0);
	CHECK(persist_store_writer_usage(p, greedy).entries == 2 && persist_store_writer_usage(p, modest).entries == 1);
	CHECK(persist_store_set(s, greedy, SLICE("d"), SLICE("x"), 0, 1, NULL) == 0);
	CHECK(persist_store_open(p, SLICE("t"), NULL) && !persist_store_open(p, SLICE("u"), &err) && err.code == ERR_OVERFLOW);
	CHECK(!persist_store_open(p, SLICE(""), &err) && err.code == ERR_INVALID);
	CHECK(persist_store_set(s, modest, slice_make(large, PERSIST_KEY_MAX + 1), SLICE(""), 0, 1, &err) == -1 && err.code == ERR_INVALID);
	close_state();
	test_options.limits = (struct persist_limits){ 0 };
	/* What is on disk is there, whatever the limits are now. */
	open_state(NULL);
	CHECK(persist_store_writer_usage(p, persist_store_writer(p, SLICE("greedy"))).entries == 3);
	close_state();
	remove_folder();
}

/* Jobs */

static void jobs_run_and_go(void)
{
	struct persist_queue_stats stats;
	struct persist_job job;
	fresh_folder();
	open_state(NULL);
	int64_t first = push_and_wait("calls", "one"), second = push_and_wait("calls", "two");
	CHECK(first > 0 && second > first);
	CHECK(query("SELECT count(*) FROM job WHERE queue='calls' AND state='waiting'") == 2);
	CHECK(take_and_wait("calls", 3) == first && persist_job_get(p, first, &job) && job.state == PERSIST_JOB_RUNNING && job.try == 1);
	CHECK(slice_eq(job.body, SLICE("one")) && slice_eq(job.queue, SLICE("calls")));
	CHECK(query("SELECT try FROM job WHERE state='running'") == 1);
	CHECK(persist_queue_stats(p, SLICE("calls"), &stats) && stats.waiting == 1 && stats.ready == 1 && stats.running == 1);
	CHECK(persist_job_done(p, first, clock_mono_ns()) == 0 && persist_job_done(p, first, clock_mono_ns()) == -1);
	CHECK(!persist_job_get(p, first, &job) && sync_state() && query("SELECT count(*) FROM job") == 1);
	CHECK(take_and_wait("calls", 3) == second && take_and_wait("calls", 3) == 0 && take_and_wait("none", 3) == 0);
	CHECK(persist_queue_stats(p, SLICE("calls"), &stats) && stats.pushed == 2 && stats.done == 1);
	/* An orderly stop uses up no try. */
	close_state();
	open_state(NULL);
	CHECK(persist_job_get(p, second, &job) && job.state == PERSIST_JOB_WAITING && job.try == 0);
	/* What ran before is older than what is pushed now, and runs first. */
	int64_t third = push_and_wait("calls", "three");
	CHECK(take_and_wait("calls", 3) == second && persist_job_release(p, second, clock_mono_ns()) == 0);
	CHECK(take_and_wait("calls", 3) == second && take_and_wait("calls", 3) == third);
	/* No id is given away twice, though nothing bears it any more. */
	int64_t last = push_and_wait("calls", "last");
	CHECK(last > third && take_and_wait("calls", 3) == last);
	CHECK(persist_job_done(p, second, clock_mono_ns()) == 0 && persist_job_done(p, third, clock_mono_ns()) == 0 && persist_job_done(p, last, clock_mono_ns()) == 0);
	CHECK(sync_state() && query("SELECT count(*) FROM job") == 0);
	close_state();
	open_state(NULL);
	CHECK(push_and_wait("calls", "new") > last);
	close_state();
	remove_folder();
}

static void jobs_fail_and_die(void)
{
	struct persist_job job;
	fresh_folder();
	open_state(NULL);
	int64_t id = push_and_wait("q", "x");
	CHECK(take_and_wait("q", 2) == id);
	CHECK(persist_job_failed(p, id, SLICE("busy"), 30 * MS, clock_mono_ns()) == 0);
	CHECK(take_and_wait("q", 2) == 0 && persist_next(p) < clock_mono_ns() + SECOND);
	int64_t again = 0;
	CHECK(POLL_UNTIL((again = take_and_wait("q", 2)) != 0) && again == id);
	CHECK(persist_job_get(p, id, &job) && job.try == 2 && slice_eq(job.error, SLICE("busy")));
	/* A reload in between costs no try. */
	CHECK(persist_job_release(p, id, clock_mono_ns()) == 0 && take_and_wait("q", 2) == id);
	CHECK(persist_job_failed(p, id, SLICE("still busy"), 0, clock_mono_ns()) == 1);
	CHECK(persist_job_get(p, id, &job) && job.state == PERSIST_JOB_DEAD);
	close_state();
	open_state(NULL);
	CHECK(persist_job_get(p, id, &job) && job.state == PERSIST_JOB_DEAD && slice_eq(job.error, SLICE("still busy")) && job.try == 2);
	CHECK(take_and_wait("q", 2) == 0);
	CHECK(persist_job_retry(p, id, clock_mono_ns()) == 0 && take_and_wait("q", 2) == id && persist_job_retry(p, id, clock_mono_ns()) == -1);
	CHECK(persist_job_drop(p, id, clock_mono_ns()) == -1);
	CHECK(persist_job_failed(p, id, SLICE("x"), 0, clock_mono_ns()) == 0 && persist_job_drop(p, id, clock_mono_ns()) == 0);
	CHECK(!persist_job_get(p, id, &job) && sync_state() && query("SELECT count(*) FROM job") == 0);
	close_state();
	remove_folder();
}

static void take_one(void)
{
	take_and_wait("q", 2);
}

static void a_job_that_crashes_the_process_ends_as_dead(void)
{
	struct persist_job job;
	fresh_folder();
	open_state(NULL);
	int64_t id = push_and_wait("q", "crash");
	close_state();
	in_killed_child(take_one);
	CHECK(query("SELECT try FROM job WHERE state='running'") == 1);
	in_killed_child(take_one);
	open_state(NULL);
	CHECK(persist_job_get(p, id, &job) && job.state == PERSIST_JOB_DEAD && job.try == 2);
	CHECK(slice_find(job.error, SLICE("process ended")) >= 0);
	close_state();
	CHECK(query("SELECT count(*) FROM job WHERE state='dead'") == 1);
	remove_folder();
}

static void leave_one_running_and_one_dead(void)
{
	push_and_wait("q", "runs");
	int64_t dies = push_and_wait("q", "is dead");
	take_and_wait("q", 1);
	take_and_wait("q", 1);
	persist_job_failed(p, dies, SLICE("x"), 0, clock_mono_ns());
	sync_state();
}

/* The one that dies at the start pushes out the one behind it. */
static void dead_jobs_are_bounded_at_the_start(void)
{
	struct persist_job job;
	struct persist_queue_stats stats;
	int64_t after = 0;
	fresh_folder();
	test_options.limits = (struct persist_limits){ .queue_dead = 1 };
	in_killed_child(leave_one_running_and_one_dead);
	CHECK(query("SELECT count(*) FROM job") == 2);
	open_state(NULL);
	CHECK(persist_jobs_next(p, &after, &job) && slice_eq(job.body, SLICE("runs")) && job.state == PERSIST_JOB_DEAD);
	CHECK(!persist_jobs_next(p, &after, &job) && persist_queue_stats(p, SLICE("q"), &stats) && stats.dead == 1 && stats.dropped == 1);
	CHECK(sync_state() && query("SELECT count(*) FROM job") == 1);
	close_state();
	test_options.limits = (struct persist_limits){ 0 };
	remove_folder();
}

static void jobs_have_order_and_time(void)
{
	struct answer answer = { 0 };
	struct persist_push push = { .queue = SLICE("q") };
	struct err err;
	fresh_folder();
	open_state(NULL);
	int64_t low = push_and_wait("q", "low");
	push.priority = 5;
	persist_job_push(p, &push, clock_mono_ns(), on_answer, &answer, NULL);
	CHECK(POLL_UNTIL(answer.count == 1));
	int64_t high = answer.id;
	push.priority = INT32_MAX;
	push.delay = 40 * MS;
	uint64_t began = clock_mono_ns();
	persist_job_push(p, &push, began, on_answer, &answer, NULL);
	CHECK(POLL_UNTIL(answer.count == 2));
	int64_t later = answer.id;
	push.delay = 0;
	push.at = clock_wall() + 3600;
	persist_job_push(p, &push, clock_mono_ns(), on_answer, &answer, NULL);
	CHECK(POLL_UNTIL(answer.count == 3));
	/* Walked by when they became ready, then those that wait for their time. */
	struct persist_job job;
	int64_t walk = 0, walked[4] = { 0 };
	for (int i = 0; i < 4 && persist_queue_next(p, SLICE("q"), PERSIST_JOB_WAITING, &walk, &job); i++)
		walked[i] = job.id;
	CHECK(walked[0] == low && walked[1] == high && walked[2] == later && walked[3] == answer.id);
	CHECK(!persist_queue_next(p, SLICE("q"), PERSIST_JOB_WAITING, &walk, &job) && job.due_in > 3590 && job.age >= 0);
	uint64_t readied = persist_jobs_readied(p);
	CHECK(take_and_wait("q", 1) == high && take_and_wait("q", 1) == low && persist_jobs_readied(p) == readied);
	walk = 0;
	CHECK(persist_queue_next(p, SLICE("q"), PERSIST_JOB_RUNNING, &walk, &job) && job.id == high && job.due_in <= 0);
	/* It stands where others do. */
	CHECK(!persist_queue_next(p, SLICE("q"), PERSIST_JOB_WAITING, &walk, &job) && !persist_queue_next(p, SLICE("q"), PERSIST_JOB_DEAD, &walk, &job));
	walk = 0;
	CHECK(!persist_queue_next(p, SLICE("q"), PERSIST_JOB_DEAD, &walk, &job));
	int64_t taken = 0;
	CHECK(POLL_UNTIL((taken = take_and_wait("q", 1)) != 0) && taken == later && clock_mono_ns() >= began + 40 * MS);
	CHECK(take_and_wait("q", 1) == 0 && persist_jobs_readied(p) == readied + 1);
	/* Its time is kept over a restart; a wall clock that jumps while the process is down counts. */
	close_state();
	wall_jump = 3601;
	open_state(NULL);
	CHECK(take_and_wait("q", 1) != 0);
	wall_jump = 0;
	static char large[70000];
	push = (struct persist_push){ .queue = SLICE("q"), .body = { large, sizeof large } };
	CHECK(persist_job_push(p, &push, 1, on_answer, &answer, &err) == -1 && err.code == ERR_INVALID);
	push = (struct persist_push){ .queue = SLICE("") };
	CHECK(persist_job_push(p, &push, 1, on_answer, &answer, &err) == -1 && err.code == ERR_INVALID && answer.count == 3);
	close_state();
	remove_folder();
}

static void a_name_counts_once(void)
{
	struct answer a = { 0 }, b = { 0 };
	struct persist_push push = { .queue = SLICE("q"), .name = SLICE("caller 7"), .dedup = 200 * MS };
	struct persist_queue_stats stats;
	fresh_folder();
	open_state(NULL);
	uint64_t now = clock_mono_ns();
	CHECK(persist_job_push(p, &push, now, on_answer, &a, NULL) == 0 && persist_job_push(p, &push, now, on_answer, &b, NULL) == 0);
	CHECK(POLL_UNTIL(a.count == 1 && b.count == 1) && a.id == b.id && a.id > 0);
	CHECK(take_and_wait("q", 1) == a.id && take_and_wait("q", 1) == 0);
	persist_job_push(p, &push, clock_mono_ns(), on_answer, &b, NULL);
	CHECK(POLL_UNTIL(b.count == 2) && b.id == a.id);
	CHECK(persist_job_done(p, a.id, clock_mono_ns()) == 0);
	/* It counts after its end, over a restart too, and not for ever. */
	close_state();
	open_state(NULL);
	persist_job_push(p, &push, clock_mono_ns(), on_answer, &b, NULL);
	CHECK(POLL_UNTIL(b.count == 3) && b.id == a.id);
	CHECK(persist_queue_stats(p, SLICE("q"), &stats) && stats.duplicates == 1 && stats.pushed == 0);
	struct persist_job job;
	CHECK(POLL_UNTIL(!persist_job_get(p, a.id, &job)));
	persist_job_push(p, &push, clock_mono_ns(), on_answer, &b, NULL);
	CHECK(POLL_UNTIL(b.count == 4) && b.id > a.id);
	CHECK(sync_state() && query("SELECT count(*) FROM job") == 1);
	close_state();
	remove_folder();
}

static int64_t push_named(const char *name, uint64_t dedup)
{
	struct answer answer = { 0 };
	const struct persist_push push = { .queue = SLICE("q"), .name = slice_cstr(name), .body = SLICE("a body"), .dedup = dedup };
	return persist_job_push(p, &push, clock_mono_ns(), on_answer, &answer, NULL) == 0 && POLL_UNTIL(answer.count == 1) ? answer.id : 0;
}

/* No jump of the wall clock makes a customer's job run twice. */
static void a_name_counts_whatever_the_wall_clock_does(void)
{
	fresh_folder();
	open_state(NULL);
	int64_t done = push_named("done", 3600 * SECOND), dead = push_named("dead", 3600 * SECOND);
	CHECK(take_and_wait("q", 1) == done && persist_job_done(p, done, clock_mono_ns()) == 0);
	CHECK(take_and_wait("q", 1) == dead && persist_job_failed(p, dead, SLICE("x"), 0, clock_mono_ns()) == 1);
	wall_jump = 86400;
	persist_poll(p, clock_mono_ns());
	CHECK(push_named("done", 3600 * SECOND) == done && push_named("dead", 3600 * SECOND) == dead);
	wall_jump = 0;
	close_state();
	remove_folder();
}

/* What is only remembered has a bound too. */
static void remembered_jobs_are_bounded(void)
{
	static const char *const names[] = { "a", "b", "c" };
	struct persist_queue_stats stats;
	int64_t ids[3];
	fresh_folder();
	test_options.limits = (struct persist_limits){ .queue_jobs = 2 };
	open_state(NULL);
	for (int i = 0; i < 3; i++) {
		ids[i] = push_named(names[i], 3600 * SECOND);
		CHECK(take_and_wait("q", 1) == ids[i] && persist_job_done(p, ids[i], clock_mono_ns()) == 0);
	}
	CHECK(persist_queue_stats(p, SLICE("q"), &stats) && stats.done == 3 && stats.forgotten == 1);
	CHECK(sync_state() && query("SELECT count(*) FROM job") == 2 && query("SELECT sum(length(body)) FROM job") == 0);
	close_state();
	/* Over a restart too, and with a smaller limit. */
	test_options.limits.queue_jobs = 1;
	open_state(NULL);
	CHECK(push_named("b", 3600 * SECOND) == ids[1] && push_named("c", 3600 * SECOND) == ids[2]);
	int64_t id = push_named("a", 3600 * SECOND);
	CHECK(id > ids[2] && take_and_wait("q", 1) == id && persist_job_done(p, id, clock_mono_ns()) == 0);
	CHECK(persist_queue_stats(p, SLICE("q"), &stats) && stats.forgotten == 2);
	CHECK(sync_state() && query("SELECT id FROM job") == id && query("SELECT count(*) FROM job") == 1);
	close_state();
	test_options.limits = (struct persist_limits){ 0 };
	remove_folder();
}

static void queues_are_bounded(void)
{
	struct answer answer;
	struct persist_queue_stats stats;
	fresh_folder();
	test_options.limits = (struct persist_limits){ .queue_jobs = 2, .queue_dead = 1, .queues = 1 };
	open_state(NULL);
	int64_t ids[2] = { push_and_wait("q", "1"), push_and_wait("q", "2") };
	CHECK(push("q", "3", &answer) == -1 && push("other", "1", &answer) == -1);
	for (int i = 0; i < 2; i++)
		CHECK(take_and_wait("q", 1) == ids[i] && persist_job_failed(p, ids[i], SLICE("x"), 0, clock_mono_ns()) == 1);
	struct persist_job job;
	CHECK(!persist_job_get(p, ids[0], &job) && persist_job_get(p, ids[1], &job));
	CHECK(persist_queue_stats(p, SLICE("q"), &stats) && stats.dead == 1 && stats.died == 2 && stats.dropped == 1);
	int64_t after = 0;
	CHECK(persist_jobs_next(p, &after, &job) && job.id == ids[1] && !persist_jobs_next(p, &after, &job));
	close_state();
	test_options.limits = (struct persist_limits){ 0 };
	remove_folder();
}

/* Spools */

static size_t head_lines(struct persist_spool *s, char *out, size_t cap)
{
	const void *cursor = NULL;
	struct slice text;
	size_t n = 0;
	for (*out = '\0'; persist_spool_line(s, &cursor, &text); n++)
		snprintf(out + strlen(out), cap - strlen(out), "%.*s ", SLICE_ARG(text));
	return n;
}

static bool batch_and_wait(struct persist_spool *s, size_t lines)
{
	struct answer answer = { 0 };
	return persist_spool_batch(s, lines, 1000, clock_mono_ns(), on_answer, &answer, NULL) == 1 && POLL_UNTIL(answer.count == 1) &&
	       answer.code == ERR_NONE;
}

static struct persist_spool *spool_of_five(void)
{
	static const char *const lines[] = { "a", "b", "c", "d", "e" };
	fresh_folder();
	open_state(NULL);
	struct persist_spool *s = persist_spool_open(p, SLICE("crm"), NULL);
	for (int i = 0; i < 5; i++)
		persist_spool_write(s, slice_cstr(lines[i]), 0, clock_mono_ns(), NULL, NULL, NULL);
	return s;
}

static void batches_stay_the_same(void)
{
	char text[100], key[PERSIST_SPOOL_KEY_LEN + 1];
	struct persist_batch batch;
	struct persist_spool_stats stats;
	struct persist_spool *s = spool_of_five();
	CHECK(!persist_spool_head(s, 0, &batch) && batch_and_wait(s, 3));
	CHECK(query("SELECT count(*) FROM batch JOIN line ON line.id BETWEEN first AND last") == 3);
	CHECK(!batch_and_wait(s, 3));
	CHECK(persist_spool_head(s, 0, &batch) && batch.lines == 3 && batch.try == 0 && head_lines(s, text, sizeof text) == 3);
	CHECK(strcmp(text, "a b c ") == 0 && strlen(batch.key) == PERSIST_SPOOL_KEY_LEN);
	CHECK(persist_spool_tried(s, batch.id, clock_mono_ns()) == 0 && persist_spool_tried(s, batch.id + 1, 0) == -1);
	strcpy(key, batch.key);
	close_state();
	open_state(NULL);
	s = persist_spool_open(p, SLICE("crm"), NULL);
	CHECK(persist_spool_head(s, 0, &batch) && strcmp(batch.key, key) == 0 && batch.try == 1 && batch.lines == 3);
	head_lines(s, text, sizeof text);
	CHECK(strcmp(text, "a b c ") == 0);
	CHECK(persist_spool_ack(s, batch.id, clock_mono_ns()) == 0 && persist_spool_ack(s, batch.id, clock_mono_ns()) == -1);
	CHECK(batch_and_wait(s, 3) && persist_spool_head(s, 0, &batch) && batch.lines == 2 && strcmp(batch.key, key) != 0);
	head_lines(s, text, sizeof text);
	CHECK(strcmp(text, "d e ") == 0);
	persist_spool_ack(s, batch.id, clock_mono_ns());
	persist_spool_stats(s, &stats);
	CHECK(stats.lines == 0 && stats.bytes == 0 && stats.batches == 0 && stats.delivered == 5);
	CHECK(sync_state() && query("SELECT (SELECT count(*) FROM line) + (SELECT count(*) FROM batch)") == 0);
	close_state();
	remove_folder();
}

static void a_bad_line_is_found_by_splitting(void)
{
	char text[100];
	struct persist_batch batch, half;
	struct persist_letter letter;
	struct persist_spool_stats stats;
	struct answer answer = { 0 };
	int64_t after = 0;
	struct persist_spool *s = spool_of_five();
	batch_and_wait(s, 5);
	persist_spool_head(s, 0, &batch);
	char key[PERSIST_SPOOL_KEY_LEN + 1];
	strcpy(key, batch.key);
	CHECK(persist_spool_split(s, batch.id, clock_mono_ns(), on_answer, &answer, NULL) == 0 && !persist_spool_head(s, 0, &half));
	CHECK(POLL_UNTIL(answer.count == 1) && answer.code == ERR_NONE && persist_spool_head(s, 0, &half) && half.id == answer.id);
	CHECK(half.lines == 3 && strcmp(half.key, key) != 0);
	close_state();
	open_state(NULL);
	s = persist_spool_open(p, SLICE("crm"), NULL);
	persist_spool_stats(s, &stats);
	CHECK(stats.batches == 2);
	head_lines(s, text, sizeof text);
	CHECK(strcmp(text, "a b c ") == 0);
	persist_spool_head(s, 0, &half);
	CHECK(persist_spool_ack(s, half.id, clock_mono_ns()) == 0 && persist_spool_head(s, 0, &half) && half.lines == 2);
	persist_spool_split(s, half.id, clock_mono_ns(), on_answer, &answer, NULL);
	CHECK(POLL_UNTIL(answer.count == 2) && persist_spool_head(s, 0, &half) && half.lines == 1);
	CHECK(persist_spool_split(s, half.id, clock_mono_ns(), on_answer, &answer, NULL) == -1);
	CHECK(persist_spool_reject(s, half.id, SLICE("422"), clock_mono_ns()) == 0);
	CHECK(persist_spool_head(s, 0, &half) && persist_spool_ack(s, half.id, clock_mono_ns()) == 0);
	CHECK(persist_spool_letters_next(s, &after, &letter) && slice_eq(letter.text, SLICE("d")) && slice_eq(letter.error, SLICE("422")));
	CHECK(!persist_spool_letters_next(s, &after, &letter));
	close_state();
	open_state(NULL);
	s = persist_spool_open(p, SLICE("crm"), NULL);
	persist_spool_stats(s, &stats);
	CHECK(stats.dead == 1 && stats.lines == 0);
	after = 0;
	CHECK(persist_spool_letters_next(s, &after, &letter) && persist_spool_resend(s, letter.id, clock_mono_ns()) == 0);
	CHECK(batch_and_wait(s, 5) && head_lines(s, text, sizeof text) == 1 && strcmp(text, "d ") == 0);
	close_state();
	remove_folder();
}

/* What a process leaves that ends between the two rows of a split. */
static void half_a_split_is_forgotten(void)
{
	char command[400];
	struct persist_batch batch;
	struct persist_spool_stats stats;
	struct persist_spool *s = spool_of_five();
	batch_and_wait(s, 5);
	persist_spool_head(s, 0, &batch);
	struct answer answer = { 0 };
	char key[PERSIST_SPOOL_KEY_LEN + 1];
	strcpy(key, batch.key);
	/* The whole batch as it was, beside the second half. */
	snprintf(command, sizeof command, "sqlite3 %s 'CREATE TABLE t AS SELECT * FROM batch'", state_file);
	CHECK(system(command) == 0);
	persist_spool_split(s, batch.id, clock_mono_ns(), on_answer, &answer, NULL);
	POLL_UNTIL(answer.count == 1);
	close_state();
	snprintf(command, sizeof command, "sqlite3 %s 'INSERT OR REPLACE INTO batch SELECT * FROM t; DROP TABLE t'", state_file);
	CHECK(system(command) == 0);
	open_state(NULL);
	s = persist_spool_open(p, SLICE("crm"), NULL);
	persist_spool_stats(s, &stats);
	CHECK(stats.batches == 1 && persist_spool_head(s, 0, &batch) && batch.lines == 5 && strcmp(batch.key, key) == 0);
	CHECK(sync_state() && query("SELECT count(*) FROM batch") == 1);
	close_state();
	remove_folder();
}

/* What a process leaves that ends while a delivered batch goes, or what is salvaged of one: the other side knows the rest by its
 * key. */
static void the_rest_of_a_batch_keeps_its_key(const char *gone, const char *left)
{
	char command[400], text[100], key[PERSIST_SPOOL_KEY_LEN + 1];
	struct persist_batch batch;
	struct persist_spool *s = spool_of_five();
	batch_and_wait(s, 3);
	persist_spool_head(s, 0, &batch);
	strcpy(key, batch.key);
	close_state();
	snprintf(command, sizeof command, "sqlite3 %s \"DELETE FROM line WHERE text='%s'\"", state_file, gone);
	CHECK(system(command) == 0);
	open_state(NULL);
	s = persist_spool_open(p, SLICE("crm"), NULL);
	CHECK(persist_spool_head(s, 0, &batch) && batch.lines == 2 && strcmp(batch.key, key) == 0);
	CHECK(head_lines(s, text, sizeof text) == 2 && strcmp(text, left) == 0);
	CHECK(persist_spool_ack(s, batch.id, clock_mono_ns()) == 0 && batch_and_wait(s, 3));
	CHECK(head_lines(s, text, sizeof text) == 2 && strcmp(text, "d e ") == 0);
	close_state();
	remove_folder();
}

static void lines_expire_and_spools_are_bounded(void)
{
	struct answer answer = { 0 };
	struct persist_batch batch;
	struct persist_spool_stats stats;
	struct err err;
	test_options.limits = (struct persist_limits){ .spool_lines = 6, .spool_dead = 1 };
	struct persist_spool *s = spool_of_five();
	uint64_t now = clock_mono_ns();
	CHECK(persist_spool_write(s, SLICE("f"), 10, now, on_answer, &answer, NULL) == 0);
	CHECK(persist_spool_write(s, SLICE("g"), 0, now, NULL, NULL, &err) == -1 && err.code == ERR_BACKPRESSURE);
	/* Who waits for a line gets an answer, and it stands in no batch before. */
	CHECK(POLL_UNTIL(answer.count == 1) && answer.code == ERR_NONE);
	CHECK(batch_and_wait(s, 100));
	persist_spool_head(s, 0, &batch);
	persist_spool_stats(s, &stats);
	CHECK(batch.lines == 5 && !batch.expired && stats.expired == 1 && stats.lines == 5);
	CHECK(persist_spool_reject(s, batch.id, SLICE("no"), clock_mono_ns()) == 0);
	persist_spool_stats(s, &stats);
	CHECK(stats.dead == 1 && stats.dropped == 4 && stats.died == 5);
	now = clock_mono_ns();
	persist_spool_write(s, SLICE("h"), 100 * SECOND, now, NULL, NULL, NULL);
	CHECK(batch_and_wait(s, 100) && persist_spool_head(s, now + 99 * SECOND, &batch) && !batch.expired);
	CHECK(persist_spool_head(s, now + 101 * SECOND, &batch) && batch.expired);
	close_state();
	test_options.limits = (struct persist_limits){ 0 };
	remove_folder();
}

/* The file */

static void one_engine_for_a_file(void)
{
	struct err err;
	fresh_folder();
	struct persist *first = open_state(NULL);
	CHECK(first && !open_state(&err) && err.code == ERR_DENIED && strstr(err.text, "another hookswitch"));
	p = first;
	close_state();
	CHECK(open_state(NULL));
	close_state();
	remove_folder();
}

static void backs_up_while_it_runs(void)
{
	char file[100], key[20];
	struct answer answer = { 0 }, second = { 0 };
	fresh_folder();
	open_state(NULL);
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof key, "%d", i);
		set("s", key, "some value that needs a little space on the disk", 0);
	}
	sync_state();
	snprintf(file, sizeof file, "%s/copy.db", folder);
	CHECK(persist_backup(p, file, on_answer, &answer, NULL) == 0);
	for (int i = 0; answer.count == 0 && i < 100000; i++) {
		snprintf(key, sizeof key, "more %d", i);
		set("s", key, "x", 0);
		persist_poll(p, clock_mono_ns());
	}
	CHECK(POLL_UNTIL(answer.count == 1) && answer.code == ERR_NONE);
	CHECK(persist_backup(p, file, on_answer, &second, NULL) == 0 && POLL_UNTIL(second.count == 1) && second.code == ERR_SYSTEM);
	close_state();
	strcpy(state_file, file);
	struct stat there;
	CHECK(stat(file, &there) == 0 && (there.st_mode & 0777) == 0600);
	CHECK(query("PRAGMA integrity_check") == -1 && query("SELECT count(*) FROM (SELECT id FROM entry UNION SELECT entry FROM log)") >= 5000);
	CHECK(open_state(NULL) && has("s", "4999", "some value that needs a little space on the disk"));
	close_state();
	remove_folder();
}

static void without_a_file_all_is_in_memory(void)
{
	struct answer answer = { 0 };
	struct persist_options options = { .notify = on_notify };
	fresh_folder();
	p = persist_open(&options, 1, NULL);
	struct persist_push job = { .queue = SLICE("q"), .body = SLICE("x"), .delay = 100 };
	CHECK(set("s", "a", "1", 0) == 0 && has("s", "a", "1"));
	CHECK(persist_job_push(p, &job, 1000, on_answer, &answer, NULL) == 0 && answer.count == 0);
	persist_poll(p, 1000);
	CHECK(answer.count == 1 && answer.code == ERR_NONE && persist_next(p) == 1100);
	CHECK(persist_job_take(p, SLICE("q"), 1, 1099, on_answer, &answer, NULL) == 0);
	persist_poll(p, 1100);
	CHECK(persist_job_take(p, SLICE("q"), 1, 1100, on_answer, &answer, NULL) == 1);
	persist_poll(p, 1100);
	CHECK(answer.count == 2 && persist_job_done(p, answer.id, 1100) == 0);
	CHECK(persist_sync(p, on_answer, &answer, NULL) == 0);
	persist_poll(p, 1100);
	CHECK(answer.count == 3 && persist_next(p) == UINT64_MAX);
	CHECK(persist_backup(p, "/nowhere", on_answer, &answer, NULL) == -1);
	persist_close(&p, 1200, 1);
	remove_folder();
}

int main(void)
{
	log_set_level(LOG_ERROR);
	keeps_entries();
	binary_keys_and_values();
	many_entries_in_any_order();
	entries_expire();
	wall_clock_jumps();
	charges_the_writer();
	jobs_run_and_go();
	jobs_fail_and_die();
	a_job_that_crashes_the_process_ends_as_dead();
	dead_jobs_are_bounded_at_the_start();
	jobs_have_order_and_time();
	a_name_counts_once();
	a_name_counts_whatever_the_wall_clock_does();
	remembered_jobs_are_bounded();
	queues_are_bounded();
	batches_stay_the_same();
	a_bad_line_is_found_by_splitting();
	half_a_split_is_forgotten();
	the_rest_of_a_batch_keeps_its_key("a", "b c ");
	the_rest_of_a_batch_keeps_its_key("c", "a b ");
	lines_expire_and_spools_are_bounded();
	one_engine_for_a_file();
	backs_up_while_it_runs();
	without_a_file_all_is_in_memory();
	return check_report();
}
