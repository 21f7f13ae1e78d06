/* The files of the log and of sinks: what a disk refuses, reopening, modes, lines that are cut, the end. */
#include <signal.h>
#include <sys/resource.h>

#include "log_support.h"

static void counts_what_the_disk_refused_and_reports_it_later(void)
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

int main(void)
{
	if (!folder_open())
		return 1;
	counts_what_the_disk_refused_and_reports_it_later();
	reopens_by_name_and_keeps_the_old_on_failure();
	writes_sinks_in_order();
	a_sink_that_fails_harms_no_other();
	makes_files_with_one_mode();
	begins_with_a_whole_line();
	a_line_that_a_full_disk_cuts_is_lost_alone();
	stop_keeps_its_deadline();
	folder_close();
	return check_report();
}
