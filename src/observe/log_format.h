/* One log entry as a line of text for people, of JSON for programs, or as a datagram for the journal. Pure. */
#ifndef OBSERVE_LOG_FORMAT_H
#define OBSERVE_LOG_FORMAT_H

#include "base/buf.h"
#include "observe/log.h"

/* What a record says; borrowed. Fields have names, and text fields a `ptr`. */
struct log_entry {
	enum log_level level;
	int64_t wall_ms; /* epoch milliseconds */
	struct slice text;
	const struct log_field *fields;
	size_t count;
	bool exact; /* records with other fields are not identical to it */
	size_t cut; /* bytes of the caller's record that were left out */
};

/* Appends the entry with its line end (LOG_JOURNAL: one datagram of at most LOG_DATAGRAM_MAX bytes). Never more than
 * LOG_FORMAT_MAX bytes. */
void log_format_entry(struct buf *out, const struct log_entry *entry, enum log_format format, bool colour);

/* A byte becomes at most six ("\u0000"), each field has a number or quotes and a few signs. */
#define LOG_FORMAT_MAX (6 * LOG_RECORD_MAX + 64 * (LOG_FIELDS_MAX + 4))

/* What a socket takes at once when nobody has changed the kernel's defaults is about 208 KiB. */
#define LOG_DATAGRAM_MAX (160 * 1024)

#endif
