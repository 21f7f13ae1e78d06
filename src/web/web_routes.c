/* Which request goes where. */
#include "web/web_act.h"
#include "web/web_internal.h"

static const struct web_route routes[] = {
	{ "GET", "/api/calls", WEB_SCOPE_READ, web_serve_calls, "The calls that there are.", LIVE_CALL, "limit" },
	{ "GET", "/api/queues", WEB_SCOPE_READ, web_serve_queues, "The queues, with who waits and who serves.", LIVE_QUEUE, "limit" },
	{ "GET", "/api/agents", WEB_SCOPE_READ, web_serve_agents, "The agents, and what each does.", LIVE_AGENT, "limit" },
	{ "GET", "/api/endpoints", WEB_SCOPE_READ, web_serve_endpoints, "The endpoints, and whether they are registered.", LIVE_ENDPOINT, "limit" },
	{ "GET", "/api/live", WEB_SCOPE_READ, web_serve_live, "The live picture as Server-Sent Events: a snapshot, then every change.", -1, "queue server" },
	{ "GET", "/api/events", WEB_SCOPE_READ, web_serve_events, "AMI events as Server-Sent Events.", -1, "name where server" },
	{ "GET", "/api/servers", WEB_SCOPE_READ, web_serve_servers, "The servers and their sessions.", -1, NULL },
	{ "GET", "/api/rules", WEB_SCOPE_READ, web_serve_rules, "The rules, and how they run.", -1, NULL },
	{ "GET", "/api/status", WEB_SCOPE_READ, web_serve_status, "The engine at a glance.", -1, NULL },
	{ "POST", "/api/emit/{name}", WEB_SCOPE_EMIT, web_serve_emit, "A JSON object becomes an event that rules hear.", -1, NULL },
	{ "POST", "/api/servers/{name}/actions", WEB_SCOPE_ACT, web_serve_action, "Sends an action and answers with how it ended.", -1, "timeout" },
	{ "GET", "/api/openapi.json", 0, web_serve_openapi, "This description.", -1, NULL },
};

const struct web_route *web_route_at(size_t index)
{
	return index < sizeof routes / sizeof *routes ? &routes[index] : NULL;
}

/* `parameter` is what stands at the {…} of the route. */
static bool path_matches(const char *pattern, struct slice path, struct slice *parameter)
{
	const char *open = strchr(pattern, '{');
	size_t before = open ? (size_t)(open - pattern) : strlen(pattern);

	*parameter = (struct slice){ "", 0 };
	if (!open)
		return slice_eq(path, slice_cstr(pattern));
	struct slice after = slice_cstr(strchr(open, '}') + 1);
	if (path.len <= before + after.len || memcmp(path.ptr, pattern, before) != 0 ||
	    !slice_eq(slice_make(path.ptr + path.len - after.len, after.len), after))
		return false;
	*parameter = slice_make(path.ptr + before, path.len - before - after.len);
	return !memchr(parameter->ptr, '/', parameter->len);
}

void web_route(struct web_ask *ask)
{
	const struct web_request *request = ask->request;
	struct slice method = slice_eq(request->method, SLICE("HEAD")) ? SLICE("GET") : request->method, none = { "", 0 };
	const char *allowed = NULL;

	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		const struct web_route *route = &routes[i];
		if (!path_matches(route->path, request->path, &ask->parameter))
			continue;
		allowed = route->method;
		if (!slice_eq(method, slice_cstr(route->method)))
			continue;
		if ((ask->token->scopes & route->scope) == route->scope) {
			route->serve(ask);
			return;
		}
		web_refused(ask->web, WEB_REFUSED_SCOPE, ask->client, ask->token->name);
		web_fail(ask->web, ask->c, 403, none, "this token has not the scope %s",
		         route->scope == WEB_SCOPE_READ ? "read" : route->scope == WEB_SCOPE_EMIT ? "emit" : "act");
		return;
	}
	if (!allowed)
		web_fail(ask->web, ask->c, 404, none, "there is nothing at this path; GET /api/openapi.json describes what there is");
	else
		web_fail(ask->web, ask->c, 405, strcmp(allowed, "GET") == 0 ? SLICE("Allow: GET, HEAD\r\n") : SLICE("Allow: POST\r\n"), "only %s here", allowed);
}
