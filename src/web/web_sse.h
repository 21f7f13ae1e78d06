/* Streams of Server-Sent Events: what all of them share. */
#ifndef WEB_WEB_SSE_H
#define WEB_WEB_SSE_H

#include "web/web_internal.h"

#define WEB_SSE_COMMENT 5.0 /* seconds: a stream with nothing to send for so long sends a comment, by which a client knows that it lives */
#define WEB_SSE_FLUSH 0.1   /* seconds between two writes */

/* True when one more stream may begin; else the refusal is answered. */
bool web_sse_allowed(const struct web_ask *ask);
/* Begins the stream of a request. `reader`, `cancel` and `drained` as in struct web_connection. False: the client is gone already, and
 * cancel() was called. */
bool web_sse_begin(const struct web_ask *ask, void *reader, void (*cancel)(void *reader), void (*drained)(void *reader));
#define WEB_SSE_ID 40
/* The id of the change of that number. */
const char *web_sse_id(uint32_t epoch, uint64_t number, char text[WEB_SSE_ID]);
/* Appends a frame; `id` and `event` may be NULL. `data` is one line. */
void web_sse_frame(struct buf *out, const char *event, const char *id, struct slice data);
/* The same in two halves: what is appended between them is its data. */
void web_sse_open(struct buf *out, const char *event, const char *id);
void web_sse_close(struct buf *out);
/* A stream of web_sse_begin() is over. */
void web_sse_ended(struct web *web);

/* The rights of a reader: those of its token, narrowed by the query's `server`, and by its `queue` where the stream can be (`by_queue`). NULL:
 * it would see nothing, or another parameter stands there that `other` does not take; the fault is answered. Released by the caller. */
typedef bool web_sse_parameter_fn(void *ctx, struct slice name, struct slice value);
struct web_token *web_sse_sight(const struct web_ask *ask, bool by_queue, web_sse_parameter_fn *other, void *ctx, const char *known);

#endif
