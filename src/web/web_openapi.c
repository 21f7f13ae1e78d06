/* `GET /api/openapi.json`: the API as OpenAPI 3.1, made of the table of routes and of the fields of the live picture, so that it cannot
 * differ from what is served. */
#include <stdio.h>

#include "base/version.h"
#include "web/web_internal.h"

/* `words`: those that fit, besides patterns of them; NULL: any text does. */
static void write_parameter(struct writer *writer, struct slice name, const char *in, const char *const *words)
{
	writer_open(writer, NULL, '{');
	writer_slice(writer, SLICE("name"), name);
	writer_text(writer, "in", in);
	if (in[0] == 'p')
		writer_bool(writer, "required", true);
	writer_open(writer, "schema", '{');
	writer_text(writer, "type", "string");
	if (words)
		writer_open(writer, "examples", '[');
	for (; words && *words; words++)
		writer_item(writer, slice_cstr(*words));
	if (words)
		writer_close(writer, ']');
	writer_close(writer, '}');
	writer_close(writer, '}');
}

static void write_parameters(struct writer *writer, const struct web_route *route)
{
	const char *open = strchr(route->path, '{'), *name;

	writer_open(writer, "parameters", '[');
	if (open)
		write_parameter(writer, slice_make(open + 1, strcspn(open + 1, "}")), "path", NULL);
	for (const char *at = route->parameters; at && *at;) {
		size_t len = strcspn(at, " ");
		write_parameter(writer, slice_make(at, len), "query", NULL);
		at += len + (at[len] == ' ');
	}
	for (uint32_t i = 0; route->kind >= 0 && (name = live_field_name((enum live_kind)route->kind, i)); i++)
		if (live_field_table((enum live_kind)route->kind, i) == LIVE_NIL) /* no condition fits a list */
			write_parameter(writer, slice_cstr(name), "query", live_field_words((enum live_kind)route->kind, (int)i));
	writer_close(writer, ']');
}

static void write_responses(struct writer *writer, const struct web_route *route)
{
	bool stream = route->serve == web_serve_live || route->serve == web_serve_events;
	const char *type = stream ? "text/event-stream" : "application/json";

	writer_open(writer, "responses", '{');
	writer_open(writer, "200", '{');
	writer_text(writer, "description", route->summary);
	writer_open(writer, "content", '{');
	writer_open(writer, type, '{');
	writer_open(writer, "schema", '{');
	writer_text(writer, "type", stream ? "string" : "object");
	if (route->kind >= 0) {
		char reference[64];
		snprintf(reference, sizeof reference, "#/components/schemas/%s", live_kind_name((enum live_kind)route->kind));
		writer_open(writer, "properties", '{');
		writer_open(writer, strrchr(route->path, '/') + 1, '{');
		writer_text(writer, "type", "array");
		writer_open(writer, "items", '{');
		writer_text(writer, "$ref", reference);
		for (int i = 0; i < 3; i++)
			writer_close(writer, '}');
	}
	for (int i = 0; i < 4; i++)
		writer_close(writer, '}');
	writer_open(writer, "default", '{');
	writer_text(writer, "description", "{ \"error\": what is wrong }");
	writer_close(writer, '}');
	writer_close(writer, '}');
}

static void write_operation(struct writer *writer, const struct web_route *route)
{
	static const char *const scopes[] = { "read", "emit", "act", "hooks" };

	writer_open(writer, route->method[0] == 'G' ? "get" : "post", '{');
	writer_text(writer, "summary", route->summary);
	for (unsigned i = 0; i < sizeof scopes / sizeof *scopes; i++)
		if (route->scope >> i & 1)
			writer_text(writer, "x-scope", scopes[i]);
	write_parameters(writer, route);
	if (route->method[0] == 'P') {
		writer_open(writer, "requestBody", '{');
		writer_bool(writer, "required", true);
		writer_open(writer, "content", '{');
		writer_open(writer, "application/json", '{');
		writer_open(writer, "schema", '{');
		writer_text(writer, "type", "object");
		for (int i = 0; i < 4; i++)
			writer_close(writer, '}');
	}
	write_responses(writer, route);
	writer_close(writer, '}');
}

/* A table is there and of one shape, also when it is empty; anything else may be null. */
static void write_field(struct writer *writer, enum live_kind kind, uint32_t index)
{
	static const char *const single[] = { "string", "number", "boolean", "null" };
	enum live_type table = live_field_table(kind, index);

	writer_open(writer, live_field_name(kind, index), '{');
	if (table != LIVE_NIL) {
		writer_text(writer, "type", table == LIVE_MAP ? "object" : "array");
	} else {
		writer_open(writer, "type", '[');
		for (size_t i = 0; i < sizeof single / sizeof *single; i++)
			writer_item(writer, slice_cstr(single[i]));
		writer_close(writer, ']');
	}
	writer_close(writer, '}');
}

static void write_schemas(struct writer *writer)
{
	static const enum live_kind kinds[] = { LIVE_CALL, LIVE_QUEUE, LIVE_AGENT, LIVE_ENDPOINT };

	writer_open(writer, "schemas", '{');
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		writer_open(writer, live_kind_name(kinds[i]), '{');
		writer_text(writer, "type", "object");
		writer_open(writer, "properties", '{');
		for (uint32_t k = 0; live_field_name(kinds[i], k); k++)
			write_field(writer, kinds[i], k);
		writer_close(writer, '}');
		writer_close(writer, '}');
	}
	writer_close(writer, '}');
}

void web_serve_openapi(const struct web_ask *ask)
{
	const struct web_route *route;
	struct writer writer;
	struct buf body;

	buf_init(&body, 0);
	writer_init(&writer, &body);
	writer_open(&writer, NULL, '{');
	writer_text(&writer, "openapi", "3.1.0");
	writer_open(&writer, "info", '{');
	writer_text(&writer, "title", "hookswitch");
	writer_text(&writer, "version", HOOKSWITCH_VERSION);
	writer_close(&writer, '}');
	writer_open(&writer, "paths", '{');
	for (size_t i = 0; (route = web_route_at(i)); i++) {
		writer_open(&writer, route->path, '{');
		write_operation(&writer, route);
		writer_close(&writer, '}');
	}
	writer_close(&writer, '}');
	writer_open(&writer, "components", '{');
	write_schemas(&writer);
	writer_open(&writer, "securitySchemes", '{');
	writer_open(&writer, "token", '{');
	writer_text(&writer, "type", "http");
	writer_text(&writer, "scheme", "bearer");
	writer_close(&writer, '}');
	writer_close(&writer, '}');
	writer_close(&writer, '}');
	writer_open(&writer, "security", '[');
	writer_open(&writer, NULL, '{');
	writer_open(&writer, "token", '[');
	writer_close(&writer, ']');
	writer_close(&writer, '}');
	writer_close(&writer, ']');
	writer_close(&writer, '}');
	buf_append_char(&body, '\n');
	web_answer_json(ask, 200, buf_slice(&body));
	buf_close(&body);
}
