/* What frame_log.c (bytes and records) and frame_cursor.c (cursors and shedding) share. */
#ifndef AMI_FRAME_LOG_INTERNAL_H
#define AMI_FRAME_LOG_INTERNAL_H

#include "ami/frame_log.h"

#define FRAME_CLASS_UNKNOWN UINT16_MAX

struct frame_record {
	uint64_t bytes; /* logical */
	size_t headers; /* in the log's array */
	double at;
	uint64_t stamp;
	uint32_t needs;  /* cursors that have neither popped nor skipped it; 0: a hole */
	uint32_t fronts; /* cursors that show it */
	uint32_t len, header_count;
	uint32_t name, name_len, id, id_len; /* offsets in the frame */
	uint32_t before; /* within a squeeze: needed records before this one */
	uint16_t class;
	bool kept;    /* never shed */
	bool counted; /* taken by some reader, or skipped by one: see frame_cursor_count() */
	bool dropped; /* within a shedding of the log: all cursors skip it */
};

static inline struct frame_record *frame_record(const struct frame_log *log, uint64_t position)
{
	return &log->records[position & (log->record_cap - 1)];
}

static inline const char *frame_record_bytes(const struct frame_log *log, const struct frame_record *r)
{
	return log->data + (r->bytes - log->base);
}

/* One cursor needs it no more. */
void frame_log_unneed(struct frame_log *log, struct frame_record *record);
/* Frees the records at the front that nobody needs. All cursors must stand on records that they need. */
void frame_log_trim(struct frame_log *log);
/* Within a squeeze: the position that `position` is going to have; of a hole, that of the next needed record. */
uint64_t frame_log_renumbered(const struct frame_log *log, uint64_t position);

/* For a squeeze, before the records move. */
void frame_cursor_renumber(struct frame_cursor *cursor);
/* Sheds what is over a bound. */
void frame_cursor_check_all(struct frame_log *log);
void frame_cursor_shed_all(struct frame_log *log);

#endif
