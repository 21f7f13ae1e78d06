/* The log's writer thread: takes items from the queue, throttles, formats, writes, and reports what was lost. */
#ifndef OBSERVE_LOG_WRITER_H
#define OBSERVE_LOG_WRITER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/ring.h"
#include "base/wake.h"
#include "observe/log_file.h"
#include "observe/log_format.h"
#include "observe/log_throttle.h"

enum log_item_kind { LOG_ITEM_RECORD, LOG_ITEM_SINK_LINE, LOG_ITEM_SINK_USE };

/* One thing in the queue; malloc'd, owned by the queue and then by the writer. */
struct log_item {
	enum log_item_kind kind;
	unsigned sink;
	size_t size;           /* bytes that count against the queue's bound */
	uint64_t mono_ns;      /* record: when it was made */
	struct log_entry entry; /* record; its fields and texts stand in `memory` */
	struct log_file *file; /* sink use: owned; NULL removes the sink */
	size_t len;            /* sink line, with its line end, in `memory` */
	_Alignas(struct log_field) char memory[];
};

/* The log's settings and counters; they outlive the writer. */
struct log_shared {
	atomic_int level, format;
	atomic_bool colour;
	atomic_uint burst;
	atomic_uint_least64_t window_ns;
	atomic_uint_least64_t records[LOG_LEVELS];
	atomic_uint_least64_t throttled, dropped_queue, dropped_write, sink_written, sink_dropped;
};
extern struct log_shared log_shared;

struct log_writer {
	struct ring *ring;
	size_t max_records, max_bytes;
	atomic_size_t queued_records, queued_bytes; /* records and sink lines in the ring */
	struct wake wake;                           /* work for the writer */
	struct wake hurry;                          /* no time for a rest: the queue fills, or the end has come */
	struct wake opened, done;                   /* the writer's answers to start and stop */
	pthread_t thread;
	atomic_bool reopen, stopping;
	atomic_bool over; /* the thread has ended, or nobody waits for it any more: the second of both frees */
	atomic_uint_least64_t stop_deadline;
	/* Drops at the full queue that were not reported yet. */
	atomic_uint_least64_t dropped, sink_dropped[LOG_SINKS];

	/* The writer's own from here on. */
	char *name; /* of the file; NULL: stderr, or the journal at its place */
	bool journal;
	struct err open_err;
	struct log_file *file;   /* NULL when it could not be opened */
	struct log_file *errors; /* stderr, where the log's own trouble is reported */
	struct log_file *sinks[LOG_SINKS];
	struct log_throttle *throttle;
	uint64_t next_report;      /* losses are reported once a second at most */
	bool told_trouble;       /* stderr knows that the file fails */
};

/* Starts the thread and waits until its file is open. NULL with `err`. */
struct log_writer *log_writer_start(const struct log_options *options, struct err *err);
/* Pushes an item and wakes the writer; false when the queue is full (the item is still the caller's).
 * `important` may use the part of the queue that is kept for warnings and errors; a sink use always may. */
bool log_writer_push(struct log_writer *writer, struct log_item *item, bool important);
/* Counts a drop for the writer to report; `untold` is one of its counters. */
void log_writer_dropped(struct log_writer *writer, atomic_uint_least64_t *untold);
/* No thread pushes any more. Writes what is queued until the deadline and ends. When the thread hangs in the kernel
 * beyond that, it is left alone and frees its memory when it comes back. */
void log_writer_stop(struct log_writer **writer, double seconds);

#endif
