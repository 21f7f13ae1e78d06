/* The bytes of a session on their way into a recording: whole frames, in which each byte of a secret is replaced by an asterisk,
 * so that every other byte and every offset is the server's own (P8).
 *
 * Masked are known values and what names and patterns of redact.h hide, in each line and in its value, and the values of headers
 * that the frame's other headers name, in whatever order they come. Line ends always stay. */
#ifndef CONTROL_CAPTURE_H
#define CONTROL_CAPTURE_H

#include "base/buf.h"

/* A longer frame is written in pieces: what its headers name is not known then, so the value of each Value and Val is masked.
 * A line that is longer is masked whole. */
#define CAPTURE_FRAME_MAX (1u << 20)

struct capture {
	struct buf held;   /* of a frame that has not ended */
	struct buf copy;   /* of what is masked, as it came */
	size_t seen;       /* bytes of it that were looked through for the frame's end: whole lines */
	bool begun;        /* the banner's line has been written */
	bool long_frame, long_line; /* what is held goes on with one whose beginning has been written */
	void *ctx;
	/* `at`: epoch seconds when the last of them arrived. */
	void (*write)(void *ctx, struct slice bytes, double at);
};

void capture_init(struct capture *capture, void (*write)(void *ctx, struct slice bytes, double at), void *ctx);
/* -1 without memory: these bytes are missing, and the recording must end. */
int capture_feed(struct capture *capture, struct slice bytes, double at);
/* Writes what is left, a frame without an end. */
void capture_end(struct capture *capture, double at);
void capture_close(struct capture *capture);

#endif
