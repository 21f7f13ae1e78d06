/* How an action ended, as JSON, for the console and the API. */
#ifndef VIEW_REPLY_JSON_H
#define VIEW_REPLY_JSON_H

#include "ami/reply.h"
#include "base/buf.h"

/* One line: an object with server, action, action_id, success, code, message, response, and events or output where there are. */
void reply_json(struct buf *out, const char *server, const char *id, const struct reply *reply);
/* The same of an action that was not sent. */
void reply_json_refused(struct buf *out, const char *server, struct slice action, const struct err *err);

#endif
