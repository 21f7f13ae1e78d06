/* What the files of web/ share. Nobody else includes it. */
#ifndef WEB_WEB_INTERNAL_H
#define WEB_WEB_INTERNAL_H

#include "live/live.h"
#include "rules/policy.h"
#include "view/json_writer.h"
#include "web/web.h"
#include "web/web_access.h"
#include "web/web_listener.h"
#include "web/web_pages.h"

/* Why a whole request was refused. */
enum web_refusal {
	WEB_REFUSED_HOST,     /* of another site (421) */
	WEB_REFUSED_ORIGIN,   /* a page of an origin that is not listed (403) */
	WEB_REFUSED_TOKEN,    /* none, or not a valid one (401) */
	WEB_REFUSED_FAILURES, /* too many of those from one address (429) */
	WEB_REFUSED_RATE,     /* too many requests with one token (429) */
	WEB_REFUSED_SCOPE,    /* the token may not do that (403) */
	WEB_REFUSED_STREAMS,  /* too many streams (503) */
	WEB_REFUSALS
};

struct json_value;
struct web_live;
struct web_events;

struct web {
	struct engine *engine;
	struct web_listener *monitoring; /* of section `http` alone; NULL: none, or it shares `api` */
	struct web_listener *api;        /* of section `web`; NULL: none */
	bool shared;                     /* `api` has the pages of monitoring too */
	struct web_pages *pages;         /* NULL: section `http` does not listen */
	struct web_access *access;
	struct policy *policy;           /* policy.web */
	struct metric *requests;         /* by status */
	struct series *connections, *streams;
	int64_t stream_count;
	struct json_value *json;         /* reads bodies */
	struct list acts;                /* struct act, web_act.c */
	struct list hooks;               /* struct hook_request, web_hooks.c */
	struct web_live *live;           /* readers of /api/live */
	struct web_events *events;       /* of /api/events */
	struct series *refused[WEB_REFUSALS];
};

/* A request that may be served. */
struct web_ask {
	struct web *web;
	struct web_connection *c;
	const struct web_request *request;
	struct web_token *token;          /* borrowed */
	const unsigned char *digest;      /* of its secret */
	const struct address *client;
	struct slice parameter;           /* what stands for the {…} of the route's path */
};

/* web.c */

/* The answer {"error": …}; the text may quote what the client sent. The connection may be gone when this returns. */
void web_fail(struct web *web, struct web_connection *c, unsigned status, struct slice headers, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void web_answer(struct web *web, struct web_connection *c, const struct web_answer *answer);
/* A stream instead of an answer was begun. */
void web_counted(struct web *web, unsigned status);
void web_answer_json(const struct web_ask *ask, unsigned status, struct slice body);
/* The body as JSON, whatever its type is said to be; false: the fault is answered, `out` is nil. */
bool web_read_json(struct web *web, struct web_connection *c, const struct web_request *request, struct value *out);
/* The body as a JSON object, without a type or as application/json; false: the fault is answered, `out` is nil. */
bool web_read_object(struct web *web, struct web_connection *c, const struct web_request *request, struct value *out);
/* Counts and logs a refusal; `label`: of the token, NULL: none. */
void web_refused(struct web *web, enum web_refusal refusal, const struct address *client, const char *label);
/* The two answers to a client that nobody knows, counted: 401 to one without a valid token or signature, 429 to one that had too many. */
void web_refuse_unknown(struct web *web, struct web_connection *c, const struct address *client);
void web_refuse_blocked(struct web *web, struct web_connection *c, const struct address *client);

/* web_routes.c */

struct web_route {
	const char *method, *path; /* "/api/emit/{name}": one parameter at most, a segment of its own */
	unsigned scope;            /* that the token must have */
	void (*serve)(const struct web_ask *ask);
	const char *summary;       /* for OpenAPI, as what follows */
	int kind;                  /* of the live picture, whose fields are parameters; -1: none */
	const char *parameters;    /* others, separated by blanks; NULL: none */
};
/* Serves a request whose token is good. */
void web_route(struct web_ask *ask);
/* The route of that index, or NULL. */
const struct web_route *web_route_at(size_t index);

/* web_live.c: /api/live */

struct web_live *web_live_create(struct web *web, struct err *err);
/* Ends its streams. */
void web_live_destroy(struct web_live **live);
void web_live_reloaded(struct web_live *live);
void web_serve_live(const struct web_ask *ask);

/* web_events.c: /api/events */

struct web_events *web_events_create(struct web *web, struct err *err);
void web_events_destroy(struct web_events **events);
void web_events_reloaded(struct web_events *events);
void web_serve_events(const struct web_ask *ask);

/* web_openapi.c */

void web_serve_openapi(const struct web_ask *ask);

/* web_lists.c */

void web_serve_calls(const struct web_ask *ask);
void web_serve_queues(const struct web_ask *ask);
void web_serve_agents(const struct web_ask *ask);
void web_serve_endpoints(const struct web_ask *ask);
void web_serve_servers(const struct web_ask *ask);
void web_serve_rules(const struct web_ask *ask);
void web_serve_status(const struct web_ask *ask);

#endif
