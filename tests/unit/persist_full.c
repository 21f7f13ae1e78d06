/* Persistent state on a file system that gets full:
 *
 *   persist_full FOLDER
 *
 * FOLDER is a small file system of its own. Fills it up by a ballast and by changes, makes space again, and prints "held" when every
 * promise was kept, else what was not. */
#include "persist_support.h"

#define BALLAST (10 << 20)

static char ballast[100];

static bool is_failing(void)
{
	struct persist_status status;
	persist_status(p, &status);
	return status.failing;
}

static void change(int n)
{
	static char value[3000];
	char key[20];
	snprintf(key, sizeof key, "%d", n);
	snprintf(value, sizeof value, "%d %0*d", n, n % 2500, 0);
	CHECK(set("s", key, value, 0) == 0);
}

/* Pushes and sets until the disk is full; the number of jobs and of sets. */
static int fill_up(int *sets)
{
	struct answer answer;
	for (int jobs = 0;; jobs++) {
		for (int i = 0; i < 10; i++)
			change((*sets)++);
		if (push("q", "a job", &answer))
			return jobs;
		CHECK(POLL_UNTIL(answer.count == 1));
		if (answer.code != ERR_NONE) {
			CHECK(answer.code == ERR_BACKPRESSURE);
			return jobs;
		}
	}
}

int main(int argc, char **argv)
{
	struct persist_status status;
	struct persist_queue_stats stats;
	struct answer answer;
	char key[20];
	int sets = 0;

	if (argc != 2)
		return 2;
	log_set_level(LOG_ERROR);
	wake_init(&loop_wake);
	snprintf(state_file, sizeof state_file, "%s/state.db", argv[1]);
	snprintf(ballast, sizeof ballast, "%s/ballast", argv[1]);
	FILE *file = fopen(ballast, "w");
	CHECK(file && fseek(file, BALLAST, SEEK_SET) == 0);
	for (int i = 0; i < BALLAST; i++)
		fputc('x', file);
	CHECK(fclose(file) == 0);
	test_options.limits.store_entries = 1000000;
	test_options.limits.store_bytes = (size_t)1 << 30;

	CHECK(open_state(NULL));
	int jobs = fill_up(&sets);
	CHECK(jobs > 0 && is_failing() && push("q", "refused", &answer) == -1);
	/* Changes go on in memory. */
	for (int i = 0; i < 500; i++)
		change(sets++);
	persist_status(p, &status);
	CHECK(status.dirty_bytes > 0);
	CHECK(unlink(ballast) == 0);
	/* As soon as there is space, all of it is written. */
	CHECK(POLL_UNTIL(!is_failing()) && sync_state());
	persist_status(p, &status);
	CHECK(status.dirty_bytes == 0 && close_state() == 0);

	if (!CHECK(open_state(NULL)))
		return 1;
	CHECK(persist_queue_stats(p, SLICE("q"), &stats) && stats.waiting == (size_t)jobs);
	for (int i = 0; i < sets; i++) {
		struct slice found;
		snprintf(key, sizeof key, "%d", i);
		CHECK(persist_store_get(persist_store_open(p, SLICE("s"), NULL), slice_cstr(key), clock_mono_ns(), &found) && found.len > 0);
	}
	close_state();
	if (check_failed == 0)
		printf("held: %d jobs, %d sets\n", jobs, sets);
	return check_failed > 0;
}
