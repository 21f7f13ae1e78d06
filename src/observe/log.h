/* The log: callers put records into a bounded queue; one writer thread formats and writes them (P1, P2).
 *
 * One log for the process. log_start() begins the thread; before it (and after log_stop()) records go
 * straight to stderr, so that start-up and fatal errors are never lost. log_start() and log_stop() are for one
 * thread; all other functions may be called from any, and block only where they say so. A record that finds the queue
 * full is dropped and counted, and the writer reports the number as soon as it has space. The last quarter of the queue
 * is kept for warnings and errors. Identical records (same text, server and rule) beyond the burst within the window
 * are held back and reported once with their number, as `repeated` (P9).
 *
 * Text:  2026-11-20 21:57:03.123 warn  connect failed server=pbx1 reason=refused      (local time)
 * JSON:  {"time":"2026-11-20T20:57:03.123Z","level":"warn","msg":"connect failed","server":"pbx1","reason":"refused"}
 * Journal: MESSAGE is the text without time and level; PRIORITY, SYSLOG_IDENTIFIER, HOOKSWITCH_MSG, HOOKSWITCH_TIME and
 * each field under HOOKSWITCH_ and its name in upper case.
 * A text field of several lines (a traceback) stands below its record, indented. Control characters are escaped and
 * bytes that are not UTF-8 made visible, so that no value can forge a record or steer a terminal.
 */
#ifndef OBSERVE_LOG_H
#define OBSERVE_LOG_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVELS };

/* LOG_JOURNAL: to systemd's journal with native fields, a datagram for each record. */
enum log_format { LOG_TEXT, LOG_JSON, LOG_JOURNAL };

#define LOG_JOURNAL_SOCKET "/run/systemd/journal/socket"

struct log_field {
	const char *name;
	/* JSON: a text that is valid JSON; it stands in a JSON record as it is. When masking or a bound changes it, it is a text. */
	enum { LOG_FIELD_TEXT, LOG_FIELD_JSON, LOG_FIELD_INT, LOG_FIELD_NUMBER, LOG_FIELD_BOOL } type;
	bool varies; /* records that differ in it alone are identical to the throttle */
	union {
		struct slice text; /* TEXT and JSON; `ptr` NULL: left out of the record */
		int64_t integer;
		double number;
		bool boolean;
	};
};

static inline struct slice log_slice(const char *text)
{
	return text ? slice_cstr(text) : (struct slice){ NULL, 0 };
}

#define F_SLICE(key, s) ((struct log_field){ .name = (key), .type = LOG_FIELD_TEXT, .text = (s) })
/* A NULL text is left out of the record. */
#define F_TEXT(key, s) F_SLICE(key, log_slice(s))
#define F_JSON(key, s) ((struct log_field){ .name = (key), .type = LOG_FIELD_JSON, .text = (s) })
#define F_INT(key, n) ((struct log_field){ .name = (key), .type = LOG_FIELD_INT, .integer = (int64_t)(n) })
#define F_NUMBER(key, n) ((struct log_field){ .name = (key), .type = LOG_FIELD_NUMBER, .number = (n) })
#define F_BOOL(key, b) ((struct log_field){ .name = (key), .type = LOG_FIELD_BOOL, .boolean = (b) })

static inline bool log_field_has_text(const struct log_field *field)
{
	return field->type == LOG_FIELD_TEXT || field->type == LOG_FIELD_JSON;
}

/* Bounds of one record, in bytes and fields; what is beyond is cut, and the record gets the field `cut_bytes`. */
#define LOG_TEXT_MAX (8 * 1024)    /* the message, and each text field */
#define LOG_RECORD_MAX (24 * 1024) /* all texts and field names together */
#define LOG_FIELDS_MAX 64

struct log_options {
	enum log_level level;
	enum log_format format;
	/* NULL: stderr, or the journal's socket at its place; with LOG_JOURNAL the path of another such socket. Opened by the
	 * writer thread, never by the loop. */
	const char *file;
	size_t queue_records;    /* bound of the queue; 0: 4096 */
	size_t queue_bytes;      /* bound of the text in it; 0: 4 MiB */
	unsigned throttle_burst; /* identical records let through in a window; 0: 5 */
	double throttle_window;  /* seconds; 0: 10 */
	bool colour;             /* text format only */
};

struct log_counts {
	uint64_t records[LOG_LEVELS]; /* accepted, by level */
	uint64_t throttled;
	uint64_t dropped_queue; /* the queue was full */
	uint64_t dropped_write; /* the destination refused them (disk full, closed pipe), or log_stop() ran out of time */
	uint64_t sink_written;  /* the destination took them */
	uint64_t sink_dropped;  /* the queue was full, the destination refused them, or there was no such sink */
};

/* 0, or -1 with `err` when the file cannot be opened for appending, there is no journal, or the thread cannot be started.
 * Waits for the file to be opened, so it is for the time before the loop runs. */
int log_start(const struct log_options *options, struct err *err);
/* Writes what is queued (blocks at most `seconds`), ends the thread, closes the files, forgets the sinks.
 * What could not be written in time is counted and its number reported on stderr. */
void log_stop(double seconds);
/* Changes level, throttle and format of the running log; the destination and the queue's bounds stay: so what was
 * started with LOG_JOURNAL stays there, and what was not takes LOG_JOURNAL for LOG_JSON. */
void log_configure(const struct log_options *options);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* Level by its name ("debug", "info", "warn", "error"), or -1. */
int log_level_parse(const char *name);
const char *log_level_name(enum log_level level);

/* Puts one record into the queue. Text and fields are copied; secrets are masked by field name and by known value
 * (redact.h) before they enter it. */
void log_record(enum log_level level, const char *text, const struct log_field *fields, size_t count);
/* As log_record(), but only records whose fields agree too are identical for the throttle: for what rules write. */
void log_record_exact(enum log_level level, const char *text, const struct log_field *fields, size_t count);
/* log_write(LOG_WARN, "connect failed", F_TEXT("server", name), F_TEXT("reason", "refused")); needs at least one field. */
#define log_write(level, text, ...)                                                            \
	log_record((level), (text), (const struct log_field[]){ __VA_ARGS__ },                     \
	           sizeof((const struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field))
#define log_text(level, text) log_record((level), (text), NULL, 0)

/* Counts since the process began. */
void log_count(struct log_counts *out);
/* Asks the writer thread to reopen its files by name (after logrotate). A file that cannot be opened stays the old
 * one, and a record says so. */
void log_reopen(void);

/* Sinks: files that rules write lines to, by the same thread, never throttled. Lines are written as they are: a rule
 * that writes a secret to a sink means it. */
#define LOG_SINKS 64
#define LOG_SINK_LINE_MAX (256 * 1024)

/* A destination that was opened for appending but not put to use yet. */
struct log_file;
/* These may wait for the disk: for the loader thread, or before the loop runs. A file that is not there is made with mode 0640,
 * whatever the umask, so that it has one mode whoever makes it. NULL or -1 with `err`. */
struct log_file *log_file_open(const char *name, struct err *err);
/* The same in two steps: a file that is not there is not made by the first, which only checks that it could be, but by the
 * second, which must come before the file is put to use. */
struct log_file *log_file_prepare(const char *name, struct err *err);
int log_file_make(struct log_file *file, struct err *err);
/* For one that was not put to use (a reload that failed): closes it, removes the file when this made it and it is still
 * empty, and clears the pointer. */
void log_file_discard(struct log_file **file);

/* Makes `*file` the destination of sink `id` (0 .. 63) and clears the pointer; `file` NULL removes the sink. Never waits.
 * Takes effect in order with the lines queued before; the writer closes the file that it replaces.
 * 0, or -1 with `err` (and `*file` still the caller's) when the log does not run or too many changes are queued. */
int log_sink_use(unsigned id, struct log_file **file, struct err *err);
/* log_file_open() and log_sink_use() in one; `file` NULL removes the sink. */
int log_sink_set(unsigned id, const char *file, struct err *err);
/* Queues one line (its line end is added). 0, or -1 when the queue is full, the line longer than LOG_SINK_LINE_MAX or
 * there is no such sink; the drop is counted and reported. */
int log_sink_write(unsigned id, struct slice line);

#endif
