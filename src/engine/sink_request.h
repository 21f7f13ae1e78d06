/* The request that delivers a batch of a spool, and what its answer says. */
#ifndef ENGINE_SINK_REQUEST_H
#define ENGINE_SINK_REQUEST_H

#include "base/http_message.h"
#include "config/config.h"
#include "persist/persist_spool.h"

/* How a line stands in the spool: a letter in front says what it is. */
#define SINK_LINE_JSON 'J'
#define SINK_LINE_TEXT 'T'

/* What a line was written as; `*json`: it is a value in JSON. */
struct slice sink_line_text(struct slice stored, bool *json);

/* -1 with ERR_INVALID: its headers cannot be sent. */
int sink_request_check(const struct config_sink *sink, struct err *err);
/* Fills the empty request for the head of the spool. */
void sink_request_make(const struct config_sink *sink, const struct persist_spool *spool, const struct persist_batch *head,
                       struct http_request *out);

enum sink_verdict {
	SINK_DELIVERED, /* a 2xx */
	SINK_REFUSED,   /* a 4xx that speaks of the lines: they will never be taken */
	SINK_LATER,     /* anything else: try again */
};
enum sink_verdict sink_verdict(const struct http_response *response);
/* Seconds that the other side asks to wait, at most an hour; 0: it does not. `wall`: epoch seconds. */
double sink_retry_after(const struct http_response *response, double wall);

#endif
