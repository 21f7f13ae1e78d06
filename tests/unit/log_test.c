/* The log through its public functions: masking, bounds, throttle, queue, threads. */
#include <pthread.h>

#include "log_support.h"
#include "observe/log_throttle.h"
#include "observe/redact.h"

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

static void counts_and_reports_what_found_the_queue_full(void)
{
	struct log_counts before, after;
	char *log;
	uint64_t reported = 0;

	log_count(&before);
	start((struct log_options){ .queue_records = 8 });
	for (int i = 0; i < 20000; i++)
		log_write(LOG_INFO, "flood", F_INT("i", i));
	log = stop_and_read();
	log_count(&after);
	for (const char *at = log; (at = strstr(at, "log records dropped: the queue was full count=")); at++)
		reported += number_after(at, "dropped", "count=");
	CHECK(after.dropped_queue > before.dropped_queue);
	CHECK(after.dropped_queue - before.dropped_queue == reported);
	CHECK(after.records[LOG_INFO] - before.records[LOG_INFO] == 20000 - reported);
	CHECK(occurrences(log, "flood") == 20000 - reported);
	free(log);
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
	if (!folder_open())
		return 1;
	goes_to_stderr_while_no_thread_runs();
	shows_no_secret();
	cuts_what_is_too_long_and_says_so();
	knows_levels_and_options();
	holds_back_what_repeats();
	remembers_a_bounded_number_of_records();
	reports_repeats_in_the_file();
	counts_and_reports_what_found_the_queue_full();
	many_threads_lose_nothing();
	starts_and_stops_under_fire();
	folder_close();
	return check_report();
}
