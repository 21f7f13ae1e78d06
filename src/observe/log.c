#include "observe/log.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log_entry.h"
#include "observe/log_writer.h"

#define DEFAULT_BURST 5
#define DEFAULT_WINDOW 10.0

struct log_shared log_shared = {
	.level = LOG_INFO,
	.format = LOG_TEXT,
	.burst = DEFAULT_BURST,
	.window_ns = (uint64_t)(DEFAULT_WINDOW * 1e9),
};

/* The running log, or NULL. Who uses it stands in `users` meanwhile, so that log_stop() knows when it is alone. */
static _Atomic(struct log_writer *) running;
static atomic_uint users;
static atomic_bool sink_exists[LOG_SINKS];

static struct log_writer *enter(void)
{
	atomic_fetch_add(&users, 1);
	struct log_writer *writer = atomic_load(&running);
	if (!writer)
		atomic_fetch_sub(&users, 1);
	return writer;
}

static void leave(void)
{
	atomic_fetch_sub(&users, 1);
}

/* Levels */

static const char *const level_names[LOG_LEVELS] = { "debug", "info", "warn", "error" };

const char *log_level_name(enum log_level level)
{
	return level < LOG_LEVELS ? level_names[level] : "unknown";
}

int log_level_parse(const char *name)
{
	for (int i = 0; i < LOG_LEVELS; i++)
		if (name && strcmp(name, level_names[i]) == 0)
			return i;
	return -1;
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_shared.level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&log_shared.level, memory_order_relaxed);
}

/* Start and stop */

void log_configure(const struct log_options *options)
{
	double window = options->throttle_window > 0 ? options->throttle_window : DEFAULT_WINDOW;

	log_set_level(options->level);
	atomic_store(&log_shared.format, (int)options->format);
	atomic_store(&log_shared.colour, options->colour);
	atomic_store(&log_shared.burst, options->throttle_burst ? options->throttle_burst : DEFAULT_BURST);
	atomic_store(&log_shared.window_ns, clock_from_seconds(window));
}

int log_start(const struct log_options *options, struct err *err)
{
	if (atomic_load(&running))
		return err_set(err, ERR_INVALID, "the log runs already");
	struct log_writer *writer = log_writer_start(options, err);
	if (!writer)
		return -1;
	log_configure(options);
	atomic_store(&running, writer);
	return 0;
}

void log_stop(double seconds)
{
	struct log_writer *writer = atomic_exchange(&running, NULL);
	if (!writer)
		return;
	/* Between enter() and leave() nobody waits for anything, so this is over at once. */
	while (atomic_load(&users) > 0)
		sched_yield();
	for (unsigned i = 0; i < LOG_SINKS; i++)
		atomic_store(&sink_exists[i], false);
	log_writer_stop(&writer, seconds);
}

void log_reopen(void)
{
	struct log_writer *writer = enter();
	if (!writer)
		return;
	atomic_store(&writer->reopen, true);
	wake_post(&writer->wake);
	leave();
}

void log_count(struct log_counts *out)
{
	for (int i = 0; i < LOG_LEVELS; i++)
		out->records[i] = atomic_load(&log_shared.records[i]);
	out->throttled = atomic_load(&log_shared.throttled);
	out->dropped_queue = atomic_load(&log_shared.dropped_queue);
	out->dropped_write = atomic_load(&log_shared.dropped_write);
	out->sink_written = atomic_load(&log_shared.sink_written);
	out->sink_dropped = atomic_load(&log_shared.sink_dropped);
}

/* Records */

/* Start-up and the end: no thread writes for us. */
static void write_stderr(const struct log_builder *builder)
{
	struct buf line;
	buf_init(&line, 0);
	enum log_format format = (enum log_format)atomic_load(&log_shared.format);
	log_format_entry(&line, &builder->entry, format == LOG_JOURNAL ? LOG_JSON : format, atomic_load(&log_shared.colour));
	while (buf_len(&line) > 0) {
		struct slice rest = buf_slice(&line);
		ssize_t n = write(STDERR_FILENO, rest.ptr, rest.len);
		if (n == -1 && errno == EINTR)
			continue;
		/* There is no place left where a failure could be reported. */
		if (n <= 0)
			break;
		buf_consume(&line, (size_t)n);
	}
	buf_close(&line);
}

static bool queue_record(struct log_writer *writer, const struct log_builder *builder)
{
	size_t size = log_entry_size(builder);
	/* May fail: what logs because memory ran out must not end the process. */
	struct log_item *item = malloc(sizeof *item + size);
	if (!item)
		return false;
	*item = (struct log_item){ .kind = LOG_ITEM_RECORD, .size = size, .mono_ns = clock_mono_ns() };
	log_entry_copy(&item->entry, item->memory, builder);
	if (log_writer_push(writer, item, builder->entry.level >= LOG_WARN))
		return true;
	free(item);
	return false;
}

static void record(enum log_level level, const char *text, const struct log_field *fields, size_t count, bool exact)
{
	struct log_builder builder;

	if (level < log_get_level())
		return;
	log_entry_build(&builder, level, text, fields, count);
	builder.entry.exact = exact;
	struct log_writer *writer = enter();
	if (!writer) {
		atomic_fetch_add(&log_shared.records[builder.entry.level], 1);
		write_stderr(&builder);
		return;
	}
	if (queue_record(writer, &builder)) {
		atomic_fetch_add(&log_shared.records[builder.entry.level], 1);
	} else {
		atomic_fetch_add(&log_shared.dropped_queue, 1);
		log_writer_dropped(writer, &writer->dropped);
	}
	leave();
}

void log_record(enum log_level level, const char *text, const struct log_field *fields, size_t count)
{
	record(level, text, fields, count, false);
}

void log_record_exact(enum log_level level, const char *text, const struct log_field *fields, size_t count)
{
	record(level, text, fields, count, true);
}

/* Sinks */

static int push_sink(struct log_writer *writer, unsigned id, struct log_file *file, struct err *err)
{
	struct log_item *item = mem_zalloc(sizeof *item);
	item->kind = LOG_ITEM_SINK_USE;
	item->sink = id;
	item->file = file;
	if (!log_writer_push(writer, item, true)) {
		free(item);
		return err_set(err, ERR_BACKPRESSURE, "too many changes of sinks are waiting for the log's thread");
	}
	atomic_store(&sink_exists[id], file != NULL);
	return 0;
}

int log_sink_use(unsigned id, struct log_file **file, struct err *err)
{
	if (id >= LOG_SINKS)
		return err_set(err, ERR_INVALID, "there are only %d sinks", LOG_SINKS);
	struct log_writer *writer = enter();
	if (!writer)
		return err_set(err, ERR_NOT_READY, "the log does not run, so it has no sinks");
	int rc = push_sink(writer, id, file ? *file : NULL, err);
	leave();
	if (rc == 0 && file)
		*file = NULL;
	return rc;
}

int log_sink_set(unsigned id, const char *file, struct err *err)
{
	struct log_file *opened = NULL;
	if (file && !(opened = log_file_open(file, err)))
		return -1;
	int rc = log_sink_use(id, file ? &opened : NULL, err);
	log_file_discard(&opened);
	return rc;
}

static bool queue_line(struct log_writer *writer, unsigned id, struct slice line)
{
	struct log_item *item = malloc(sizeof *item + line.len + 1);
	if (!item)
		return false;
	*item = (struct log_item){ .kind = LOG_ITEM_SINK_LINE, .sink = id, .size = line.len + 1, .len = line.len + 1 };
	if (line.len > 0)
		memcpy(item->memory, line.ptr, line.len);
	item->memory[line.len] = '\n';
	if (log_writer_push(writer, item, false))
		return true;
	free(item);
	return false;
}

/* A line that no queue would take. */
static int refuse_line(unsigned id, const char *why)
{
	atomic_fetch_add(&log_shared.sink_dropped, 1);
	log_write(LOG_WARN, why, F_INT("sink", id));
	return -1;
}

int log_sink_write(unsigned id, struct slice line)
{
	if (line.len > LOG_SINK_LINE_MAX)
		return refuse_line(id, "sink line dropped: longer than a line may be");
	struct log_writer *writer = enter();
	if (!writer || id >= LOG_SINKS || !atomic_load(&sink_exists[id])) {
		if (writer)
			leave();
		return refuse_line(id, "sink line dropped: there is no such sink");
	}
	bool queued = queue_line(writer, id, line);
	if (!queued) {
		atomic_fetch_add(&log_shared.sink_dropped, 1);
		log_writer_dropped(writer, &writer->sink_dropped[id]);
	}
	leave();
	return queued ? 0 : -1;
}
