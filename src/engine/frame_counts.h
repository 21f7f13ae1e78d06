/* What stands in a capture, counted. */
#ifndef ENGINE_FRAME_COUNTS_H
#define ENGINE_FRAME_COUNTS_H

#include "ami/message.h"
#include "base/buf.h"
#include "base/map.h"

struct frame_counts {
	uint64_t bytes, frames, events, responses, other_frames, headers, value_bytes;
	bool partial_tail;
	/* What was skipped: frames that no server sends, frames beyond a limit, and the bytes of both and of a frame that the end cuts. */
	uint64_t malformed, oversized, skipped_bytes;
	struct map by_event, by_response; /* name -> uint64_t, owned */
};

void frame_counts_add(struct frame_counts *counts, const struct message *message);
/* Appends them as one JSON object. */
void frame_counts_append(const struct frame_counts *counts, struct buf *out);
/* Appends what was skipped as a text for people; nothing when nothing was. */
void frame_counts_append_skipped(const struct frame_counts *counts, struct buf *out);
/* Frees what they hold; all are 0 again. */
void frame_counts_close(struct frame_counts *counts);

#endif
