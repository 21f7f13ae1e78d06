/* What changes something: events for rules and actions for servers. Each leaves one record in the log: who, from where, what, and how it
 * ended. */
#ifndef WEB_WEB_ACT_H
#define WEB_WEB_ACT_H

#include "web/web_internal.h"

void web_serve_emit(const struct web_ask *ask);
void web_serve_action(const struct web_ask *ask);
/* The engine stops at once: actions that are under way are logged, and their clients answered with 503. Before the connections end. */
void web_acts_close(struct web *web);

#endif
