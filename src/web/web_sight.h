/* What of the live picture a token sees. */
#ifndef WEB_WEB_SIGHT_H
#define WEB_WEB_SIGHT_H

#include "live/live.h"
#include "web/web_access.h"

/* A token that is narrowed to queues sees these, agents that serve one of them, calls that are or were in one of them, and no
 * endpoints, channels or conferences. Never changes the picture. */
bool web_sight(const struct web_token *token, const struct live_object *object, int64_t now);

#endif
