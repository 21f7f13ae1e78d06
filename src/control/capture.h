/* The bytes of a session on their way into a recording: whole lines, in which a secret's value is replaced by as many asterisks,
 * so that every other byte and every offset is the server's own (P8). */
#ifndef CONTROL_CAPTURE_H
#define CONTROL_CAPTURE_H

#include "base/buf.h"
#include "engine/headers.h"

struct capture {
	struct buf held; /* of a line that has not ended; at most CAPTURE_LINE_MAX */
	struct header_context frame; /* that the line belongs to */
	void *ctx;
	/* `at`: epoch seconds when the last of them arrived. */
	void (*write)(void *ctx, struct slice bytes, double at);
};

#define CAPTURE_LINE_MAX (1u << 20)

void capture_init(struct capture *capture, void (*write)(void *ctx, struct slice bytes, double at), void *ctx);
void capture_feed(struct capture *capture, struct slice bytes, double at);
/* Writes what is left, a line without an end. */
void capture_end(struct capture *capture, double at);
void capture_close(struct capture *capture);

#endif
