/* A request of `http` that a rule has begun: who waits for its answer. What carries it is the engine's (host_ops.http). */
#ifndef RULES_HTTP_CALL_H
#define RULES_HTTP_CALL_H

#include "base/http_message.h"
#include "rules/task.h"

struct http_call {
	struct list of_rule;  /* rule->http_calls; alone once nobody waits for it */
	struct list answered; /* host->http_answers: its callback is due */
	struct rule *rule;    /* NULL once nobody waits for it */
	struct wait wait;     /* of a task */
	int fn;               /* registry; LUA_NOREF: none */
	size_t charged;       /* to its rule's memory */
	struct http_response *response; /* that has come; owned */
	char *what;           /* "GET https://crm.example.net/api", for operators; owned */
};

/* `task` waits for the answer, which http_call_end() gives; or `fn` (registry; taken over) is called with it. -1 with `err`: neither
 * follows, and `fn` stays the caller's. For a task what may go well later (ERR_BACKPRESSURE, ERR_CANCELLED) is reported a turn later
 * instead, so that a loop around it leaves the others served. */
int http_call_begin(struct rule *rule, const struct http_request *request, struct task *task, int fn, struct err *err);
/* For the continuation: the answer, the caller's from here on. */
struct http_response *http_call_end(struct wait *wait);
/* Its answer goes to nobody; the request goes on. */
void http_call_forget(struct http_call *call);
/* Ends its callback as `cancelled`; the request goes on. */
void http_call_cancel(struct http_call *call);
/* Calls the callbacks that are due. False when some must wait for the next turn. */
bool http_calls_deliver(struct host *host);

/* Pushes the response, or nil and the error, and frees it; returns how many. api/http.c */
int http_push_response(lua_State *L, struct task *task) RAISES;

#endif
