/* Endpoints that rules serve (`web.on`): who may use which, and the way of a request to its rule and back. */
#ifndef WEB_WEB_HOOKS_H
#define WEB_WEB_HOOKS_H

#include "web/web_internal.h"

/* True for a path below /hooks/. */
bool web_hooks_has(struct slice path);
/* For one that third parties call who cannot send a token: checks their signature. True: the request was served or refused; else it needs a
 * token. */
bool web_hooks_signed(struct web *web, struct web_connection *c, const struct web_request *request, const struct address *client);
/* A request with a token. */
void web_hooks_serve(const struct web_ask *ask);
/* The engine stops: requests that wait for their rule are answered with 503. Before the connections end. */
void web_hooks_close(struct web *web);

#endif
