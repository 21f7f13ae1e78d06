/* A process that loads a state file until it is killed, and writes down what it does so that a reader can hold it to the promises:
 *
 *   persist_load FILE JOURNAL
 *
 * Each line of the journal is one write(), so it survives kill -9: MICROSECONDS WHAT …
 *   open                          the file is loaded
 *   commit N                      N commits have ended (seen once a millisecond or so)
 *   set KEY N                     set() of a value that begins with N
 *   incr N                        the counter is N now
 *   synced KEY N                  a sync that was asked for after `set KEY N` has ended well
 *   push N | pushed N ID          asked for, on disk; N is the body
 *   run ID TRY | done ID | failed ID | doneok ID      done: asked for; doneok: a sync after it has ended well
 *   line N | spooled N            appended to the spool (waiting); on disk
 *   batch KEY FIRST COUNT | acked KEY                 bodies FIRST … FIRST+COUNT-1; acked: before the call
 *   bad TEXT                      a promise was broken in the process itself
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/wake.h"
#include "persist/persist_jobs.h"
#include "persist/persist_spool.h"
#include "persist/persist_store.h"

#define KEYS 200

static struct persist *p;
static struct wake wake;
static int journal;
static uint64_t random_state;
static unsigned waiting; /* answers that are awaited */
static int64_t numbers;  /* each body and value is another one, over all lives of the file */

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
	char line[300];
	int n = snprintf(line, sizeof line, "%" PRIu64 " ", clock_mono_ns() / CLOCK_NS_PER_US);
	va_list args;
	va_start(args, format);
	n += vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
	va_end(args);
	line[n++] = '\n';
	if (write(journal, line, (size_t)n) != n)
		abort();
}

static unsigned pick(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state >> 33) % n;
}

static void on_notify(void *ctx)
{
	(void)ctx;
	wake_post(&wake);
}

struct ask {
	enum { SYNC_SET, SYNC_DONE, PUSH, TAKE, LINE, BATCH } what;
	int64_t n;
	unsigned key;
};

static void finish_job(int64_t id);
static void work_batch(struct persist_spool *spool);

static void answer(void *arg, int64_t id, const struct err *err)
{
	struct ask *ask = arg;
	struct persist_job job;
	waiting--;
	if (err) {
		note("bad an answer with %s: %s", err_name(err->code), err->text);
	} else if (ask->what == SYNC_SET) {
		note("synced k%u %" PRId64, ask->key, ask->n);
	} else if (ask->what == SYNC_DONE) {
		note("doneok %" PRId64, ask->n);
	} else if (ask->what == PUSH) {
		note("pushed %" PRId64 " %" PRId64, ask->n, id);
	} else if (ask->what == LINE) {
		note("spooled %" PRId64, ask->n);
	} else if (ask->what == TAKE && persist_job_get(p, id, &job)) {
		note("run %" PRId64 " %u", id, job.try);
		finish_job(id);
	}
	free(ask);
}

static struct ask *ask(int what, unsigned key, int64_t n)
{
	struct ask *a = malloc(sizeof *a);
	*a = (struct ask){ what, n, key };
	waiting++;
	return a;
}

static void set_something(struct persist_store *store, unsigned rule)
{
	char key[16], value[120];
	unsigned k = pick(KEYS);
	int64_t n = ++numbers;
	int len = snprintf(key, sizeof key, "k%u", k);
	int vlen = snprintf(value, sizeof value, "%" PRId64 " %0*d", n, 1 + (int)pick(80), 0);
	note("set %s %" PRId64, key, n);
	if (persist_store_set(store, rule, slice_make(key, (size_t)len), slice_make(value, (size_t)vlen), 0, clock_mono_ns(), NULL))
		note("bad set");
	if (pick(20) == 0)
		persist_sync(p, answer, ask(SYNC_SET, k, n), NULL);
}

static void incr(struct persist_store *store, unsigned rule)
{
	struct slice value;
	char text[24];
	int64_t n = 0;
	if (persist_store_get(store, SLICE("counter"), clock_mono_ns(), &value))
		slice_to_int(value, &n);
	int len = snprintf(text, sizeof text, "%" PRId64, n + 1);
	note("incr %" PRId64, n + 1);
	persist_store_set(store, rule, SLICE("counter"), slice_make(text, (size_t)len), PERSIST_KEEP_TTL, clock_mono_ns(), NULL);
}

static void push(void)
{
	char body[24];
	int64_t n = ++numbers;
	int len = snprintf(body, sizeof body, "%" PRId64, n);
	struct persist_push job = { .queue = SLICE("work"), .body = slice_make(body, (size_t)len), .priority = (int)pick(3) };
	note("push %" PRId64, n);
	if (persist_job_push(p, &job, clock_mono_ns(), answer, ask(PUSH, 0, n), NULL))
		note("bad push");
}

static void take(void)
{
	struct ask *a = ask(TAKE, 0, 0);
	if (persist_job_take(p, SLICE("work"), 1000, clock_mono_ns(), answer, a, NULL) != 1) {
		waiting--;
		free(a);
	}
}

static void finish_job(int64_t id)
{
	if (pick(4) == 0) {
		note("failed %" PRId64, id);
		persist_job_failed(p, id, SLICE("again"), pick(20) * CLOCK_NS_PER_MS, clock_mono_ns());
		return;
	}
	note("done %" PRId64, id);
	persist_job_done(p, id, clock_mono_ns());
	if (pick(3) == 0)
		persist_sync(p, answer, ask(SYNC_DONE, 0, id), NULL);
}

static void write_line(struct persist_spool *spool)
{
	char text[24];
	int64_t n = ++numbers;
	int len = snprintf(text, sizeof text, "%" PRId64, n);
	note("line %" PRId64, n);
	if (persist_spool_write(spool, slice_make(text, (size_t)len), 0, clock_mono_ns(), answer, ask(LINE, 0, n), NULL))
		note("bad line");
}

/* The numbers of its lines, in order. */
static void work_batch(struct persist_spool *spool)
{
	struct persist_batch batch;
	struct slice text;
	char lines[200] = "";
	const void *cursor = NULL;
	if (!persist_spool_head(spool, clock_mono_ns(), &batch)) {
		struct ask *a = ask(BATCH, 0, 0);
		if (persist_spool_batch(spool, 1 + pick(8), 1000, clock_mono_ns(), answer, a, NULL) != 1) {
			waiting--;
			free(a);
		}
		return;
	}
	while (persist_spool_line(spool, &cursor, &text) && strlen(lines) < sizeof lines - 30)
		snprintf(lines + strlen(lines), sizeof lines - strlen(lines), " %.*s", SLICE_ARG(text));
	note("batch %s%s", batch.key, lines);
	persist_spool_tried(spool, batch.id, clock_mono_ns());
	if (pick(3) == 0) {
		note("acked %s", batch.key);
		persist_spool_ack(spool, batch.id, clock_mono_ns());
	}
}

int main(int argc, char **argv)
{
	struct persist_options options = { .file = argc > 2 ? argv[1] : NULL, .notify = on_notify, .limits = { .store_bytes = 1 << 30 } };
	struct err err;
	struct persist_status status;
	uint64_t commits = 0;

	if (argc != 3 || (journal = open(argv[2], O_WRONLY | O_CREAT | O_APPEND, 0600)) == -1) {
		fprintf(stderr, "usage: persist_load FILE JOURNAL\n");
		return 2;
	}
	wake_init(&wake);
	random_state = clock_mono_ns() | 1;
	p = persist_open(&options, clock_mono_ns(), &err);
	if (!p) {
		note("bad open: %s", err.text);
		return 1;
	}
	/* Numbers go up over all lives of the file. */
	numbers = (int64_t)(clock_mono_ns() / 1000);
	note("open");
	struct persist_store *store = persist_store_open(p, SLICE("load"), NULL);
	struct persist_spool *spool = persist_spool_open(p, SLICE("out"), NULL);
	unsigned rule = persist_store_writer(p, SLICE("rule"));
	puts("ready");
	fflush(stdout);
	for (;;) {
		persist_poll(p, clock_mono_ns());
		persist_status(p, &status);
		if (status.commits != commits)
			note("commit %" PRIu64, commits = status.commits);
		for (unsigned n = pick(4); n > 0; n--)
			set_something(store, rule);
		incr(store, rule);
		if (waiting < 20) {
			push();
			take();
			take();
			write_line(spool);
			work_batch(spool);
		}
		wake_wait(&wake, clock_mono_ns() + CLOCK_NS_PER_MS);
	}
}
