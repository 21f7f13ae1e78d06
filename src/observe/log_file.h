/* A file that lines are appended to in batches, or the journal's socket, and what was lost when it refused them. For the
 * writer thread only, but for opening and discarding.
 *
 * The journal is spoken to by hand and not through libsystemd: sd_journal_sendv() waits without end for a journal that
 * stands still, and sinks would stand still with it. */
#ifndef OBSERVE_LOG_FILE_H
#define OBSERVE_LOG_FILE_H

#include "base/buf.h"
#include "observe/log.h"

#define LOG_FILE_BATCH 256             /* lines */
#define LOG_FILE_BATCH_BYTES (64 * 1024) /* a batch is written when it has passed this */

struct log_file {
	char *name; /* owned; NULL: stderr */
	int fd; /* -1: prepared, and not made yet */
	bool made; /* the file was not there before */
	bool datagrams; /* the journal: each line is a datagram */
	bool regular; /* a regular file never makes us wait for a reader */
	bool begun;   /* it was looked whether the file ends inside a line */
	bool midline; /* the last write, or whoever wrote to the file before, stopped inside a line */
	bool failing; /* the last write was refused */
	int error;    /* errno of the last refusal */
	uint64_t lost; /* lines lost and not yet reported; who reports them sets it to 0 */
	struct buf out;
	size_t ends[LOG_FILE_BATCH]; /* where each line of `out` ends */
	size_t lines;
};

/* Closes it and clears the pointer. */
void log_file_close(struct log_file **file);
/* A new one on stderr. */
struct log_file *log_file_stderr(void);
/* One on the journal that listens at `name`. NULL with `err` when there is none. */
struct log_file *log_file_journal(const char *name, struct err *err);
/* Lines (or records of several lines) of a batch by what became of them. */
struct log_fates {
	size_t written, lost;
};

/* The line that was appended to `out` is complete. Writes the batch when it is large, as log_file_flush(). */
struct log_fates log_file_line_end(struct log_file *file);
/* Writes the batch. What is refused is lost, and added to `lost`. A line that a crash or a full disk has cut is ended first, so
 * that no line is glued to it. Waits at most a second for a slow reader, and not at all while it is failing. */
struct log_fates log_file_flush(struct log_file *file);
/* Opens the name again; on failure nothing has changed. stderr is never reopened. */
int log_file_reopen(struct log_file *file, struct err *err);

#endif
