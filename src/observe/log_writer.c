#include "observe/log_writer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define DEFAULT_RECORDS 4096
#define DEFAULT_BYTES (4 * 1024 * 1024)
/* Cells of the ring beyond the bound on records: for changes of sinks. */
#define CONTROL_ITEMS 128
#define TELL_EVERY CLOCK_NS_PER_S
/* Records that come one by one within that time are written together, and cost their callers one wake-up: the first is
 * written at once. A queue that is filled to this part ends the rest early. */
#define REST (5 * CLOCK_NS_PER_MS)
#define HURRY_PART 8

static void write_lost(struct log_writer *writer)
{
	struct log_fates fates = log_file_flush(writer->file);
	atomic_fetch_add(&log_shared.dropped_write, fates.lost);
}

static void write_entry_to(struct log_file *file, const struct log_entry *entry)
{
	enum log_format format = (enum log_format)atomic_load(&log_shared.format);
	/* stderr and the journal each have a form of their own, whatever was configured since. */
	if (file->datagrams)
		format = LOG_JOURNAL;
	else if (format == LOG_JOURNAL)
		format = LOG_JSON;
	log_format_entry(&file->out, entry, format, atomic_load(&log_shared.colour));
	struct log_fates fates = log_file_line_end(file);
	atomic_fetch_add(&log_shared.dropped_write, fates.lost);
}

static void write_entry(void *ctx, const struct log_entry *entry)
{
	struct log_writer *writer = ctx;
	write_entry_to(writer->file, entry);
}

/* A record of the log's own, past queue and throttle. Fields as they are: nothing of a user's stands in them. */
static void report(struct log_file *file, enum log_level level, const char *text, const struct log_field *fields,
                 size_t count)
{
	struct log_entry entry = {
		.level = level,
		.wall_ms = (int64_t)(clock_wall() * 1000),
		.text = slice_cstr(text),
		.fields = fields,
		.count = count,
	};
	write_entry_to(file, &entry);
}

#define REPORT(file, level, text, ...)                                      \
	report((file), (level), (text), (const struct log_field[]){ __VA_ARGS__ }, \
	     sizeof((const struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field))

static const char *name_of(const struct log_file *file)
{
	return file->name ? file->name : "stderr";
}

static void count_lines(struct log_fates fates)
{
	atomic_fetch_add(&log_shared.sink_written, fates.written);
	atomic_fetch_add(&log_shared.sink_dropped, fates.lost);
}

static void flush_sink(struct log_file *sink)
{
	count_lines(log_file_flush(sink));
}

static void flush_all(struct log_writer *writer)
{
	write_lost(writer);
	for (unsigned i = 0; i < LOG_SINKS; i++)
		if (writer->sinks[i])
			flush_sink(writer->sinks[i]);
}

/* Sinks */

static void use_sink(struct log_writer *writer, struct log_item *item)
{
	struct log_file **sink = &writer->sinks[item->sink];
	if (*sink) {
		flush_sink(*sink);
		if ((*sink)->lost > 0)
			REPORT(writer->file, LOG_WARN, "sink lines lost: could not write to the file", F_TEXT("file", name_of(*sink)),
			     F_INT("count", (*sink)->lost), F_TEXT("reason", strerror((*sink)->error)));
		log_file_close(sink);
	}
	*sink = item->file;
	item->file = NULL;
}

static void write_sink_line(struct log_writer *writer, const struct log_item *item)
{
	struct log_file *sink = writer->sinks[item->sink];
	if (!sink || buf_append(&sink->out, slice_make(item->memory, item->len))) {
		atomic_fetch_add(&log_shared.sink_dropped, 1);
		return;
	}
	count_lines(log_file_line_end(sink));
}

/* Losses are reported as soon as there is space, and while they last once a second */

static bool anything_lost(const struct log_writer *writer)
{
	if (writer->file->lost > 0 || atomic_load(&writer->dropped) > 0)
		return true;
	for (unsigned i = 0; i < LOG_SINKS; i++)
		if ((writer->sinks[i] && writer->sinks[i]->lost > 0) || atomic_load(&writer->sink_dropped[i]) > 0)
			return true;
	return false;
}

/* The log's own file: as long as it fails, that is reported on stderr once; when it works again, the number is reported in the file. */
static void report_file(struct log_writer *writer)
{
	struct log_file *file = writer->file;

	write_lost(writer);
	if (file->failing && !writer->told_trouble && file->name) {
		REPORT(writer->errors, LOG_ERROR, "cannot write the log; records are dropped until it works again",
		     F_TEXT("file", file->name), F_TEXT("reason", strerror(file->error)));
		log_file_flush(writer->errors);
		writer->told_trouble = true;
	}
	if (file->lost == 0)
		return;
	uint64_t lost = file->lost;
	REPORT(file, LOG_WARN, "log records lost: could not write to the file", F_TEXT("file", name_of(file)),
	     F_INT("count", lost), F_TEXT("reason", strerror(file->error)));
	/* The report itself is not one of them. */
	file->lost = log_file_flush(file).lost > 0 ? lost : 0;
	if (file->lost == 0)
		writer->told_trouble = false;
}

static void report_errors(struct log_writer *writer, const char *text, uint64_t count)
{
	REPORT(writer->errors, LOG_WARN, text, F_INT("count", count));
	log_file_flush(writer->errors);
}

static void report_sink(struct log_writer *writer, unsigned id)
{
	struct log_file *sink = writer->sinks[id];
	uint64_t dropped = atomic_exchange(&writer->sink_dropped[id], 0);

	if (dropped > 0)
		REPORT(writer->file, LOG_WARN, "sink lines dropped: the log's queue was full",
		     F_TEXT("file", sink ? name_of(sink) : "none"), F_INT("count", dropped));
	if (sink && sink->lost > 0) {
		REPORT(writer->file, LOG_WARN, "sink lines lost: could not write to the file", F_TEXT("file", name_of(sink)),
		     F_INT("count", sink->lost), F_TEXT("reason", strerror(sink->error)));
		sink->lost = 0;
	}
}

static void report_losses(struct log_writer *writer, bool last_chance)
{
	uint64_t now = clock_mono_ns();
	if (!anything_lost(writer) || (now < writer->next_report && !last_chance))
		return;
	writer->next_report = now + TELL_EVERY;
	report_file(writer);
	/* The rest is reported when somebody can read it. */
	if (writer->file->failing) {
		if (last_chance && writer->file->name)
			report_errors(writer, "log records lost: could not write to the file", writer->file->lost);
		return;
	}
	uint64_t dropped = atomic_exchange(&writer->dropped, 0);
	if (dropped > 0)
		REPORT(writer->file, LOG_WARN, "log records dropped: the queue was full", F_INT("count", dropped), F_TEXT("reason", "queue"));
	for (unsigned i = 0; i < LOG_SINKS; i++)
		report_sink(writer, i);
	write_lost(writer);
}

/* The queue */

static void handle(struct log_writer *writer, struct log_item *item)
{
	switch (item->kind) {
	case LOG_ITEM_RECORD:
		if (log_throttle_pass(writer->throttle, &item->entry, item->mono_ns, atomic_load(&log_shared.burst),
		                      atomic_load(&log_shared.window_ns)))
			write_entry(writer, &item->entry);
		else
			atomic_fetch_add(&log_shared.throttled, 1);
		break;
	case LOG_ITEM_SINK_LINE:
		write_sink_line(writer, item);
		break;
	case LOG_ITEM_SINK_USE:
		use_sink(writer, item);
		break;
	}
}

static struct log_item *pop(struct log_writer *writer)
{
	struct log_item *item = ring_pop(writer->ring);
	if (item && item->kind != LOG_ITEM_SINK_USE) {
		atomic_fetch_sub(&writer->queued_records, 1);
		atomic_fetch_sub(&writer->queued_bytes, item->size);
	}
	return item;
}

static bool out_of_time(struct log_writer *writer)
{
	return atomic_load(&writer->stopping) && clock_mono_ns() >= atomic_load(&writer->stop_deadline);
}

/* As much as stands in a full queue, then files and reports get their turn; true when the queue is empty. An item whose
 * push has not ended is not there yet: its wake-up comes. */
static bool drain(struct log_writer *writer)
{
	for (size_t n = ring_capacity(writer->ring); n > 0 && !out_of_time(writer); n--) {
		struct log_item *item = pop(writer);
		if (!item)
			return true;
		handle(writer, item);
		free(item);
	}
	return false;
}

/* What is left when the time to stop is over. */
static void abandon(struct log_writer *writer)
{
	struct log_item *item;
	uint64_t records = 0, lines = 0;

	while ((item = pop(writer))) {
		records += item->kind == LOG_ITEM_RECORD;
		lines += item->kind == LOG_ITEM_SINK_LINE;
		log_file_close(&item->file);
		free(item);
	}
	atomic_fetch_add(&log_shared.dropped_write, records);
	atomic_fetch_add(&log_shared.sink_dropped, lines);
	if (records > 0)
		report_errors(writer, "log records lost: no time left to write them", records);
	if (lines > 0)
		report_errors(writer, "sink lines lost: no time left to write them", lines);
}

static void reopen_one(struct log_writer *writer, struct log_file *file)
{
	struct err err;
	if (log_file_reopen(file, &err))
		REPORT(writer->file, LOG_ERROR, "reopening failed; the old file stays in use", F_TEXT("file", name_of(file)),
		     F_TEXT("reason", err.text));
}

static void reopen_files(struct log_writer *writer)
{
	/* What was logged before belongs to the old files. */
	flush_all(writer);
	reopen_one(writer, writer->file);
	for (unsigned i = 0; i < LOG_SINKS; i++)
		if (writer->sinks[i])
			reopen_one(writer, writer->sinks[i]);
	write_lost(writer);
}

static uint64_t next_deadline(const struct log_writer *writer)
{
	uint64_t deadline = log_throttle_deadline(writer->throttle, atomic_load(&log_shared.window_ns));
	return anything_lost(writer) && writer->next_report < deadline ? writer->next_report : deadline;
}

static void run(struct log_writer *writer)
{
	uint64_t last = 0;

	for (;;) {
		/* Before the queue is looked at: what was pushed before the stop is then seen. */
		bool stopping = atomic_load(&writer->stopping);
		bool reopen = atomic_exchange(&writer->reopen, false);
		bool empty = drain(writer);
		log_throttle_expire(writer->throttle, clock_mono_ns(), atomic_load(&log_shared.window_ns));
		flush_all(writer);
		report_losses(writer, false);
		if (reopen)
			reopen_files(writer);
		if (stopping && (empty || out_of_time(writer)))
			break;
		if (!empty)
			continue;
		wake_wait(&writer->wake, next_deadline(writer));
		if (clock_mono_ns() - last < REST)
			wake_wait(&writer->hurry, last + REST);
		last = clock_mono_ns();
	}
	abandon(writer);
	log_throttle_destroy(&writer->throttle);
	flush_all(writer);
	report_losses(writer, true);
}

static void destroy(struct log_writer **writer)
{
	ring_destroy(&(*writer)->ring);
	wake_close(&(*writer)->wake);
	wake_close(&(*writer)->hurry);
	wake_close(&(*writer)->opened);
	wake_close(&(*writer)->done);
	free((*writer)->name);
	free(*writer);
	*writer = NULL;
}

static struct log_file *open_destination(struct log_writer *writer)
{
	if (writer->journal)
		return log_file_journal(writer->name ? writer->name : LOG_JOURNAL_SOCKET, &writer->open_err);
	return writer->name ? log_file_open(writer->name, &writer->open_err) : log_file_stderr();
}

static void *writer_main(void *arg)
{
	struct log_writer *writer = arg;

	writer->errors = log_file_stderr();
	writer->file = open_destination(writer);
	bool failed = !writer->file;
	if (!failed) {
		/* Space for a full batch and one more record, so that formatting never runs out of memory. */
		buf_reserve(&writer->file->out, LOG_FILE_BATCH_BYTES + LOG_FORMAT_MAX + 1);
		writer->throttle = log_throttle_create(write_entry, writer);
	}
	wake_post(&writer->opened);
	if (!failed)
		run(writer);
	log_file_close(&writer->file);
	log_file_close(&writer->errors);
	for (unsigned i = 0; i < LOG_SINKS; i++)
		log_file_close(&writer->sinks[i]);
	wake_post(&writer->done);
	/* log_writer_stop() did not wait that long. */
	if (atomic_exchange(&writer->over, true))
		destroy(&writer);
	return NULL;
}

/* Signals are the loop's business; a closed pipe is then an error of write(), not the end of the process. */
static int start_thread(struct log_writer *writer)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&writer->thread, NULL, writer_main, writer);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		pthread_setname_np(writer->thread, "hookswitch-log");
	return rc;
}

struct log_writer *log_writer_start(const struct log_options *options, struct err *err)
{
	struct log_writer *writer = mem_zalloc(sizeof *writer);

	writer->max_records = options->queue_records ? options->queue_records : DEFAULT_RECORDS;
	writer->max_bytes = options->queue_bytes ? options->queue_bytes : DEFAULT_BYTES;
	writer->ring = ring_create(writer->max_records + CONTROL_ITEMS);
	writer->journal = options->format == LOG_JOURNAL;
	writer->name = options->file ? mem_strdup(options->file) : NULL;
	wake_init(&writer->wake);
	wake_init(&writer->hurry);
	wake_init(&writer->opened);
	wake_init(&writer->done);
	int rc = start_thread(writer);
	if (rc) {
		err_set(err, ERR_SYSTEM, "cannot start the log's thread: %s", strerror(rc));
		destroy(&writer);
		return NULL;
	}
	wake_wait(&writer->opened, WAKE_FOREVER);
	if (writer->file)
		return writer;
	pthread_join(writer->thread, NULL);
	err_set(err, writer->open_err.code, "%s", writer->open_err.text);
	destroy(&writer);
	return NULL;
}

/* Counts the item against the bounds; false when it does not fit. */
static bool reserve(struct log_writer *writer, size_t size, bool important)
{
	size_t max_records = writer->max_records, max_bytes = writer->max_bytes;
	if (!important) {
		max_records -= max_records / 4;
		max_bytes -= max_bytes / 4;
	}
	size_t records = atomic_fetch_add(&writer->queued_records, 1);
	if (records < max_records) {
		size_t before = atomic_fetch_add(&writer->queued_bytes, size);
		if (records == writer->max_records / HURRY_PART ||
		    (before <= writer->max_bytes / HURRY_PART && size > writer->max_bytes / HURRY_PART - before))
			wake_post(&writer->hurry);
		if (before <= max_bytes && size <= max_bytes - before)
			return true;
		atomic_fetch_sub(&writer->queued_bytes, size);
	}
	atomic_fetch_sub(&writer->queued_records, 1);
	return false;
}

bool log_writer_push(struct log_writer *writer, struct log_item *item, bool important)
{
	bool counted = item->kind != LOG_ITEM_SINK_USE;
	size_t size = item->size;

	if (counted && !reserve(writer, size, important))
		return false;
	bool pushed = ring_push(writer->ring, item);
	if (!pushed && counted) {
		atomic_fetch_sub(&writer->queued_bytes, size);
		atomic_fetch_sub(&writer->queued_records, 1);
	}
	if (pushed)
		wake_post(&writer->wake);
	return pushed;
}

void log_writer_dropped(struct log_writer *writer, atomic_uint_least64_t *untold)
{
	/* One wake-up for the first of them: the writer takes them all. */
	if (atomic_fetch_add(untold, 1) == 0)
		wake_post(&writer->wake);
}

void log_writer_stop(struct log_writer **writer, double seconds)
{
	struct log_writer *w = *writer;
	uint64_t deadline = clock_mono_ns() + clock_from_seconds(seconds);

	atomic_store(&w->stop_deadline, deadline);
	atomic_store(&w->stopping, true);
	wake_post(&w->wake);
	wake_post(&w->hurry);
	/* A little more than the writer gives itself, for its last words. */
	if (wake_wait(&w->done, deadline + CLOCK_NS_PER_S / 4)) {
		pthread_join(w->thread, NULL);
		destroy(writer);
		return;
	}
	pthread_detach(w->thread);
	if (atomic_exchange(&w->over, true))
		destroy(writer);
	*writer = NULL;
}
