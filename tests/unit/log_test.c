/* The log through its public functions: masking, bounds, throttle, files that fail, sinks, threads. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "observe/log.h"
#include "observe/log_throttle.h"
#include "observe/redact.h"

static char folder[] = "/tmp/hookswitch-log-XXXXXX";
static char *path, *other_path;

static char *read_file(const char *name)
{
	struct buf text;
	ssize_t n = 0;
	int fd = open(name, O_RDONLY | O_NONBLOCK);

	buf_init(&text, 0);
	do {
		buf_commit(&text, n > 0 ? (size_t)n : 0);
		n = fd == -1 ? 0 : read(fd, buf_reserve(&text, 65536), 65536);
	} while (n > 0);
	if (fd != -1)
		close(fd);
	char *copy = mem_strdup(buf_cstr(&text));
	buf_close(&text);
	return copy;
}

static size_t occurrences(const char *text, const char *what)
{
	size_t n = 0;
	while ((text = strstr(text, what))) {
		text += strlen(what);
		n++;
	}
	return n;
}

static bool contains(const char *text, const char *what)
{
	bool found = strstr(text, what) != NULL;
	if (!found)
		printf("no \"%s\" in:\n%.2000s\n", what, text);
	return found;
}

/* The number behind the first `key` after the first `what`, or 0. */
static unsigned long number_after(const char *text, const char *what, const char *key)
{
	const char *at = strstr(text, what);
	at = at ? strstr(at, key) : NULL;
	return at ? strtoul(at + strlen(key), NULL, 10) : 0;
}

/* Sends stderr to `other_path`; what is returned gives it back. */
static int capture_stderr(void)
{
	int saved = dup(STDERR_FILENO), fd = open(other_path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
	dup2(fd, STDERR_FILENO);
	close(fd);
	return saved;
}

static void release_stderr(int saved)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
}

/* A running log on a new, empty `path`. */
static void start(struct log_options options)
{
	struct err err;
	unlink(path);
	options.file = path;
	if (!options.throttle_burst)
		options.throttle_burst = 1000000;
	CHECK(log_start(&options, &err) == 0);
}

static char *stop_and_read(void)
{
	log_stop(10);
	return read_file(path);
}

/* Waits until the file holds the text; false after ten seconds. */
static bool await_text(const char *name, const char *what)
{
	for (int i = 0; i < 1000; i++) {
		char *text = read_file(name);
		bool found = strstr(text, what) != NULL;
		free(text);
		if (found)
			return true;
		usleep(10000);
	}
	return false;
}

static void shows_no_secret(void)
{
	redact_add_value("hunter2");
	start((struct log_options){ .level = LOG_INFO });
	char *big = mem_alloc(LOG_TEXT_MAX + 3);
	memset(big, 'x', LOG_TEXT_MAX + 2);
	strcpy(big + LOG_TEXT_MAX - 4, "hunter");
	big[LOG_TEXT_MAX + 2] = '\0';
	redact_add_value("hunter");
	log_write(LOG_INFO, "sent hunter2 away", F_TEXT("Secret", "topsecret"), F_INT("key", 1234), F_TEXT("big", big),
	          F_TEXT("gone", NULL));
	char *log = stop_and_read();
	CHECK(contains(log, "sent [redacted] away Secret=[redacted] key=[redacted] big=xxx"));
	/* Cut before a secret, never inside it. */
	CHECK(contains(log, "xxx cut_bytes=6\n"));
	CHECK(!strstr(log, "hunt") && !strstr(log, "gone"));
	free(log);
	free(big);
	redact_clear();
}

static void cuts_what_is_too_long_and_says_so(void)
{
	struct log_field fields[LOG_FIELDS_MAX + 10];
	char *big = mem_alloc(LOG_TEXT_MAX + 2);

	/* Two bytes for each letter; the bound falls into the middle of one. */
	for (size_t i = 0; i < LOG_TEXT_MAX; i += 2)
		memcpy(big + 1 + i, "\xC3\xA9", 2);
	big[0] = 'b';
	big[LOG_TEXT_MAX + 1] = '\0';
	start((struct log_options){ .level = LOG_DEBUG, .format = LOG_JSON });
	log_write(LOG_INFO, "long", F_TEXT("text", big));
	for (size_t i = 0; i < LOG_FIELDS_MAX + 10; i++)
		fields[i] = F_INT("f", i);
	log_record(LOG_INFO, "many", fields, LOG_FIELDS_MAX + 10);
	log_write(LOG_INFO, "fat", F_TEXT("a", big), F_TEXT("b", big), F_TEXT("c", big), F_TEXT("d", big));
	log_text(LOG_DEBUG, "");
	char *log = stop_and_read();
	CHECK(contains(log, "\xC3\xA9\",\"cut_bytes\":2}\n"));
	CHECK(contains(log, "\"f\":63,\"cut_bytes\":10}\n"));
	CHECK(number_after(log, "\"fat\"", "\"cut_bytes\":") > LOG_TEXT_MAX);
	CHECK(contains(log, "\"level\":\"debug\",\"msg\":\"\"}\n"));
	free(log);
	free(big);
}

static void goes_to_stderr_while_no_thread_runs(void)
{
	int saved = capture_stderr();

	log_text(LOG_WARN, "before the start");
	log_set_level(LOG_ERROR);
	log_text(LOG_WARN, "below the level");
	log_set_level(LOG_INFO);
	release_stderr(saved);
	char *text = read_file(other_path);
	CHECK(contains(text, " warn  before the start\n"));
	CHECK(!strstr(text, "below the level"));
	free(text);
	log_stop(0);
	log_reopen();
}

static void knows_levels_and_options(void)
{
	struct err err = { 0 };

	CHECK(log_level_parse("debug") == LOG_DEBUG && log_level_parse("error") == LOG_ERROR);
	CHECK(log_level_parse("Warn") == -1 && log_level_parse(NULL) == -1);
	CHECK(strcmp(log_level_name(LOG_WARN), "warn") == 0);
	CHECK(log_start(&(struct log_options){ .file = folder }, &err) == -1 && strstr(err.text, folder));
	start((struct log_options){ .level = LOG_WARN });
	CHECK(log_start(&(struct log_options){ .file = path }, &err) == -1 && err.code == ERR_INVALID);
	CHECK(log_get_level() == LOG_WARN);
	log_text(LOG_INFO, "too quiet");
	log_configure(&(struct log_options){ .level = LOG_INFO, .format = LOG_JSON });
	log_text(LOG_INFO, "loud enough");
	char *log = stop_and_read();
	CHECK(!strstr(log, "too quiet") && contains(log, "\"msg\":\"loud enough\""));
	free(log);
}

struct reports {
	size_t count;
	int64_t repeated;
	char text[300], server[200];
};

static void take_report(void *ctx, const struct log_entry *report)
{
	struct reports *reports = ctx;
	reports->count++;
	snprintf(reports->text, sizeof reports->text, "%.*s", SLICE_ARG(report->text));
	for (size_t i = 0; i < report->count; i++) {
		if (strcmp(report->fields[i].name, "repeated") == 0)
			reports->repeated = report->fields[i].integer;
		if (strcmp(report->fields[i].name, "server") == 0)
			snprintf(reports->server, sizeof reports->server, "%.*s", SLICE_ARG(report->fields[i].text));
	}
}

static void holds_back_what_repeats(void)
{
	struct reports reports = { 0 };
	struct log_throttle *throttle = log_throttle_create(take_report, &reports);
	struct log_field pbx1 = F_TEXT("server", "pbx1"), pbx2 = F_TEXT("server", "pbx2"), rule = F_TEXT("rule", "pbx1");
	struct log_entry a = { .text = SLICE("connect failed"), .fields = &pbx1, .count = 1 }, b = a, c = a;
	int passed = 0;

	b.fields = &pbx2;
	c.fields = &rule;
	for (int i = 0; i < 10; i++)
		passed += log_throttle_pass(throttle, &a, 1000, 3, 500);
	CHECK(passed == 3 && reports.count == 0);
	CHECK(log_throttle_pass(throttle, &b, 1100, 3, 500));
	CHECK(log_throttle_pass(throttle, &c, 1100, 3, 500));
	CHECK(log_throttle_deadline(throttle, 500) == 1500);
	log_throttle_expire(throttle, 1499, 500);
	CHECK(reports.count == 0);
	log_throttle_expire(throttle, 1500, 500);
	CHECK(reports.count == 1 && reports.repeated == 7);
	CHECK(strcmp(reports.text, "connect failed") == 0 && strcmp(reports.server, "pbx1") == 0);
	CHECK(log_throttle_deadline(throttle, 500) == UINT64_MAX);
	CHECK(log_throttle_pass(throttle, &a, 1600, 1, 500) && !log_throttle_pass(throttle, &a, 1600, 1, 500));
	/* The first report due is that of the first window, whichever began to hold something back first. */
	CHECK(log_throttle_pass(throttle, &b, 1700, 1, 500) && log_throttle_pass(throttle, &c, 1800, 1, 500));
	CHECK(!log_throttle_pass(throttle, &c, 1900, 1, 500) && !log_throttle_pass(throttle, &b, 1900, 1, 500));
	CHECK(log_throttle_deadline(throttle, 500) == 2100);
	log_throttle_expire(throttle, 2100, 500);
	CHECK(reports.count == 2 && reports.repeated == 1 && log_throttle_deadline(throttle, 500) == 2200);
	log_throttle_expire(throttle, 2200, 500);
	CHECK(reports.count == 3 && log_throttle_deadline(throttle, 500) == 2300);
	log_throttle_destroy(&throttle);
	CHECK(reports.count == 4 && reports.repeated == 1);
}

static void remembers_a_bounded_number_of_records(void)
{
	struct reports reports = { 0 };
	struct log_throttle *throttle = log_throttle_create(take_report, &reports);
	char text[32];

	for (int i = 0; i < 100000; i++) {
		snprintf(text, sizeof text, "record %d", i);
		struct log_entry entry = { .text = slice_cstr(text) };
		log_throttle_pass(throttle, &entry, 1000, 1, 500);
		log_throttle_pass(throttle, &entry, 1000, 1, 500);
	}
	/* The windows that had to go reported what they held. */
	CHECK(reports.count == 100000 - 4096);
	log_throttle_destroy(&throttle);
	CHECK(reports.count == 100000);
}

static void reports_repeats_in_the_file(void)
{
	struct log_counts before, after;

	log_count(&before);
	start((struct log_options){ .throttle_burst = 2, .throttle_window = 0.05 });
	for (int i = 0; i < 20; i++)
		log_write(LOG_ERROR, "rule failed", F_TEXT("rule", "missed"), F_INT("i", i));
	/* By itself, when the window is over. */
	CHECK(await_text(path, "error rule failed rule=missed repeated=18 seconds=0\n"));
	char *log = stop_and_read();
	log_count(&after);
	CHECK(occurrences(log, "rule failed") == 3);
	CHECK(after.throttled - before.throttled == 18);
	CHECK(after.records[LOG_ERROR] - before.records[LOG_ERROR] == 20);
	free(log);
}

static void counts_and_tells_what_found_the_queue_full(void)
{
	struct log_counts before, after;
	char *log;
	uint64_t told = 0;

	log_count(&before);
	start((struct log_options){ .queue_records = 8 });
	for (int i = 0; i < 20000; i++)
		log_write(LOG_INFO, "flood", F_INT("i", i));
	log = stop_and_read();
	log_count(&after);
	for (const char *at = log; (at = strstr(at, "log records dropped: the queue was full count=")); at++)
		told += number_after(at, "dropped", "count=");
	CHECK(after.dropped_queue > before.dropped_queue);
	CHECK(after.dropped_queue - before.dropped_queue == told);
	CHECK(after.records[LOG_INFO] - before.records[LOG_INFO] == 20000 - told);
	CHECK(occurrences(log, "flood") == 20000 - told);
	free(log);
}

static void counts_what_the_disk_refused_and_tells_it_later(void)
{
	struct log_counts before, after;
	struct err err;
	int saved = capture_stderr();

	log_count(&before);
	unlink(path);
	CHECK(symlink("/dev/full", path) == 0);
	CHECK(log_start(&(struct log_options){ .level = LOG_INFO, .file = path }, &err) == 0);
	log_text(LOG_INFO, "lost one");
	CHECK(await_text(other_path, "cannot write the log; records are dropped until it works again"));
	log_text(LOG_INFO, "lost two");
	unlink(path);
	log_reopen();
	/* The next try is made without any new record. */
	CHECK(await_text(path, "log records lost: could not write to the file"));
	log_text(LOG_INFO, "found again");
	char *log = stop_and_read();
	log_count(&after);
	release_stderr(saved);
	CHECK(number_after(log, "log records lost", "count=") == after.dropped_write - before.dropped_write);
	CHECK(after.dropped_write - before.dropped_write >= 1);
	CHECK(contains(log, "reason=\"No space left on device\""));
	CHECK(contains(log, "found again"));
	free(log);
}

static void reopens_by_name_and_keeps_the_old_on_failure(void)
{
	start((struct log_options){ .level = LOG_INFO });
	log_text(LOG_INFO, "first");
	CHECK(await_text(path, "first"));
	CHECK(rename(path, other_path) == 0);
	CHECK(mkdir(path, 0700) == 0);
	log_reopen();
	CHECK(await_text(other_path, "error reopening failed; the old file stays in use file="));
	log_text(LOG_INFO, "second");
	CHECK(await_text(other_path, "second"));
	CHECK(rmdir(path) == 0);
	log_reopen();
	while (access(path, F_OK))
		usleep(1000);
	log_text(LOG_INFO, "third");
	char *log = stop_and_read();
	CHECK(contains(log, "third") && !strstr(log, "second"));
	free(log);
}

static void writes_sinks_in_order(void)
{
	struct log_counts before, after;
	struct err err = { 0 };
	char text[32];

	CHECK(log_sink_set(0, path, &err) == -1 && err.code == ERR_NOT_READY);
	start((struct log_options){ .queue_records = 100000 });
	log_count(&before);
	unlink(other_path);
	CHECK(log_sink_set(LOG_SINKS, other_path, &err) == -1);
	CHECK(log_sink_set(3, folder, &err) == -1 && strstr(err.text, folder));
	CHECK(log_sink_write(3, SLICE("nowhere")) == -1);
	CHECK(log_sink_set(3, other_path, &err) == 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof text, "%d", i);
		CHECK(log_sink_write(3, slice_cstr(text)) == 0);
	}
	char *moved = mem_printf("%s.moved", other_path);
	struct log_file *next = log_file_open(moved, &err);
	CHECK(next && log_sink_use(3, &next, &err) == 0 && !next);
	CHECK(log_sink_write(3, SLICE("new")) == 0);
	CHECK(log_sink_set(3, NULL, &err) == 0);
	CHECK(log_sink_write(3, SLICE("gone")) == -1);
	char *huge = mem_zalloc(LOG_SINK_LINE_MAX + 1);
	CHECK(log_sink_write(3, slice_make(huge, LOG_SINK_LINE_MAX + 1)) == -1);
	free(huge);
	free(stop_and_read());
	log_count(&after);
	CHECK(after.sink_written - before.sink_written == 1001 && after.sink_dropped - before.sink_dropped == 3);
	char *lines = read_file(other_path), *at = lines;
	int in_order = 0;
	while (*at && strtol(at, &at, 10) == in_order && *at == '\n') {
		at++;
		in_order++;
	}
	CHECK(in_order == 1000 && !*at);
	free(lines);
	lines = read_file(moved);
	CHECK(strcmp(lines, "new\n") == 0);
	free(lines);
	unlink(moved);
	free(moved);
}

static void a_sink_that_fails_harms_no_other(void)
{
	struct log_counts before, after;
	struct err err;
	char *fifo = mem_printf("%s/fifo", folder);

	start((struct log_options){ .level = LOG_INFO });
	log_count(&before);
	CHECK(mkfifo(fifo, 0600) == 0);
	/* A pipe without a reader is an error, not a wait. */
	CHECK(log_sink_set(1, fifo, &err) == -1);
	int reader = open(fifo, O_RDONLY | O_NONBLOCK);
	CHECK(log_sink_set(1, fifo, &err) == 0);
	CHECK(log_sink_set(2, other_path, &err) == 0);
	close(reader);
	CHECK(log_sink_write(1, SLICE("into a closed pipe")) == 0);
	CHECK(log_sink_write(2, SLICE("good")) == 0);
	CHECK(await_text(path, "sink lines lost: could not write to the file"));
	log_text(LOG_INFO, "alive");
	char *log = stop_and_read();
	log_count(&after);
	CHECK(contains(log, "count=1 reason=\"Broken pipe\"") && contains(log, "alive"));
	CHECK(after.sink_dropped - before.sink_dropped == 1 && after.sink_written - before.sink_written == 1);
	free(log);
	log = read_file(other_path);
	CHECK(contains(log, "good\n"));
	free(log);
	unlink(fifo);
	free(fifo);
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");
	CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

/* A file is as readable, whoever makes it: a unit with a umask, logrotate, a shell. */
static void makes_files_with_one_mode(void)
{
	static const mode_t masks[] = { 0, 022, 077 };
	struct err err;
	struct stat st;

	for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
		unlink(path);
		unlink(other_path);
		mode_t before = umask(masks[i]);
		CHECK(log_start(&(struct log_options){ .level = LOG_INFO, .file = path }, &err) == 0);
		CHECK(log_sink_set(1, other_path, &err) == 0);
		log_stop(10);
		CHECK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640);
		CHECK(stat(other_path, &st) == 0 && (st.st_mode & 07777) == 0640);
		/* One that is there keeps its own. */
		CHECK(chmod(path, 0600) == 0 && log_start(&(struct log_options){ .level = LOG_INFO, .file = path }, &err) == 0);
		log_stop(10);
		CHECK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0600);
		umask(before);
	}
}

/* After a crash, a power loss or a full disk: what was torn stays, what comes is whole. */
static void begins_with_a_whole_line(void)
{
	struct err err;

	write_file(path, "a torn rec");
	write_file(other_path, "{\"a torn\":");
	CHECK(log_start(&(struct log_options){ .level = LOG_INFO, .file = path }, &err) == 0);
	CHECK(log_sink_set(1, other_path, &err) == 0);
	CHECK(log_sink_write(1, SLICE("{}")) == 0);
	log_text(LOG_INFO, "whole");
	char *log = stop_and_read();
	CHECK(strncmp(log, "a torn rec\n2", 12) == 0 && contains(log, "whole\n"));
	free(log);
	/* What ends with a line end, and what is empty, gets none more. */
	for (int i = 0; i < 2; i++) {
		CHECK(log_start(&(struct log_options){ .level = LOG_INFO, .file = path }, &err) == 0);
		CHECK(log_sink_set(1, other_path, &err) == 0 && log_sink_write(1, SLICE("{}")) == 0);
		log_stop(10);
		log = read_file(other_path);
		CHECK(strcmp(log, i == 0 ? "{\"a torn\":\n{}\n{}\n" : "{}\n") == 0);
		free(log);
		unlink(other_path);
	}
}

/* A file system that is full in the midst of a line. */
static void a_line_that_a_full_disk_cuts_is_lost_alone(void)
{
	struct log_counts before, after;
	struct rlimit limit, small;
	struct err err;
	char *big = mem_zalloc(9000);

	signal(SIGXFSZ, SIG_IGN);
	start((struct log_options){ .level = LOG_INFO });
	log_count(&before);
	unlink(other_path);
	CHECK(log_sink_set(1, other_path, &err) == 0);
	memset(big, 'x', 8999);
	getrlimit(RLIMIT_FSIZE, &limit);
	small = (struct rlimit){ .rlim_cur = 8192, .rlim_max = limit.rlim_max };
	setrlimit(RLIMIT_FSIZE, &small);
	CHECK(log_sink_write(1, SLICE("good")) == 0 && log_sink_write(1, slice_cstr(big)) == 0);
	CHECK(await_text(path, "sink lines lost: could not write to the file"));
	setrlimit(RLIMIT_FSIZE, &limit);
	CHECK(log_sink_write(1, SLICE("next")) == 0);
	free(stop_and_read());
	log_count(&after);
	char *lines = read_file(other_path);
	CHECK(strlen(lines) == 8192 + 6 && strcmp(lines + 8192, "\nnext\n") == 0);
	CHECK(after.sink_written - before.sink_written == 2 && after.sink_dropped - before.sink_dropped == 1);
	free(lines);
	free(big);
	signal(SIGXFSZ, SIG_DFL);
}

static void stop_keeps_its_deadline(void)
{
	struct err err;
	struct log_counts before, after;
	char *fifo = mem_printf("%s/fifo", folder), *folder_file = mem_printf("%s/sink", folder), *line = mem_zalloc(LOG_TEXT_MAX);

	CHECK(mkfifo(fifo, 0600) == 0);
	int reader = open(fifo, O_RDONLY | O_NONBLOCK);
	CHECK(log_start(&(struct log_options){ .level = LOG_INFO, .file = fifo, .throttle_burst = 1000 }, &err) == 0);
	memset(line, 'x', LOG_TEXT_MAX - 1);
	/* More than a pipe takes, and nobody reads. */
	for (int i = 0; i < 20; i++)
		log_text(LOG_INFO, line);
	CHECK(log_sink_write(1, SLICE("no such sink")) == -1 && log_sink_set(1, folder_file, &err) == 0);
	CHECK(log_sink_write(1, SLICE("one")) == 0 && log_sink_write(1, SLICE("two")) == 0);
	log_count(&before);
	int saved = capture_stderr();
	uint64_t begun = clock_mono_ns();
	log_stop(0.05);
	CHECK(clock_mono_ns() - begun < CLOCK_NS_PER_S * 9 / 10);
	CHECK(await_text(other_path, "log records lost: no time left to write them"));
	CHECK(await_text(other_path, "sink lines lost: no time left to write them count=2"));
	log_count(&after);
	CHECK(after.sink_dropped - before.sink_dropped == 2 && after.sink_written == before.sink_written);
	release_stderr(saved);
	close(reader);
	unlink(folder_file);
	free(folder_file);
	unlink(fifo);
	free(fifo);
	free(line);
}

#define THREADS 4
#define RECORDS 3000

static void *log_much(void *arg)
{
	char secret[32];
	for (int i = 0; i < RECORDS; i++) {
		log_write(LOG_INFO, "busy", F_INT("thread", (intptr_t)arg), F_INT("i", i), F_TEXT("hidden", "swordfish"));
		log_sink_write(5, SLICE("line"));
		if (i % 100 == 0) {
			snprintf(secret, sizeof secret, "pass-%d-%d", (int)(intptr_t)arg, i);
			redact_add_value(secret);
			log_reopen();
			log_set_level(LOG_INFO);
		}
	}
	return NULL;
}

static void many_threads_lose_nothing(void)
{
	struct log_counts before, after;
	struct err err;
	pthread_t threads[THREADS];

	redact_add_value("swordfish");
	start((struct log_options){ .level = LOG_INFO, .queue_records = THREADS * RECORDS * 4, .queue_bytes = 1 << 26 });
	unlink(other_path);
	CHECK(log_sink_set(5, other_path, &err) == 0);
	log_count(&before);
	for (intptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, log_much, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	char *log = stop_and_read(), *lines = read_file(other_path);
	log_count(&after);
	CHECK(after.records[LOG_INFO] - before.records[LOG_INFO] == THREADS * RECORDS);
	CHECK(after.dropped_queue == before.dropped_queue && after.dropped_write == before.dropped_write);
	CHECK(occurrences(log, "hidden=[redacted]\n") == THREADS * RECORDS);
	CHECK(occurrences(lines, "line\n") == THREADS * RECORDS);
	free(log);
	free(lines);
	redact_clear();
}

/* Threads that log while the log starts and stops: their records go to the file or to stderr, and nothing breaks. */
static void starts_and_stops_under_fire(void)
{
	struct log_counts before, after;
	pthread_t threads[THREADS];
	int saved = capture_stderr();
	struct err err;

	unlink(path);
	log_count(&before);
	for (intptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, log_much, (void *)i);
	struct log_options options = { .level = LOG_INFO, .file = path, .throttle_burst = 1000000, .queue_records = 100000 };
	for (int i = 0; i < 20; i++) {
		CHECK(log_start(&options, &err) == 0);
		usleep(1000);
		log_stop(10);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	release_stderr(saved);
	log_count(&after);
	char *log = read_file(path), *rest = read_file(other_path);
	CHECK(after.records[LOG_INFO] - before.records[LOG_INFO] == THREADS * RECORDS);
	CHECK(occurrences(log, "busy") + occurrences(rest, "busy") == THREADS * RECORDS);
	free(log);
	free(rest);
	redact_clear();
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	if (!mkdtemp(folder))
		return 1;
	path = mem_printf("%s/log", folder);
	other_path = mem_printf("%s/other", folder);
	goes_to_stderr_while_no_thread_runs();
	shows_no_secret();
	cuts_what_is_too_long_and_says_so();
	knows_levels_and_options();
	holds_back_what_repeats();
	remembers_a_bounded_number_of_records();
	reports_repeats_in_the_file();
	counts_and_tells_what_found_the_queue_full();
	counts_what_the_disk_refused_and_tells_it_later();
	reopens_by_name_and_keeps_the_old_on_failure();
	writes_sinks_in_order();
	a_sink_that_fails_harms_no_other();
	makes_files_with_one_mode();
	begins_with_a_whole_line();
	a_line_that_a_full_disk_cuts_is_lost_alone();
	stop_keeps_its_deadline();
	many_threads_lose_nothing();
	starts_and_stops_under_fire();
	unlink(path);
	unlink(other_path);
	rmdir(folder);
	free(path);
	free(other_path);
	return check_report();
}
