/* The servers, as a table and as JSON. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "control/render.h"
#include "control/table.h"

static const struct table_column columns[] = {
	{ "SERVER", false }, { "STATE", false },  { "FOR", true },    { "ADDRESS", false }, { "VERSION", false }, { "PENDING", true },
	{ "EVENTS", true },  { "SHED", true },    { "BACKLOG", true }, { "PING", true },    { "REQUESTED", false }, { "NEXT TRY", true },
	{ "LAST FAILURE", false },
};

static void server_row(struct table *table, const struct link_view *view, const struct engine_events_view *events)
{
	char text[TEXT_SHORT];

	table_cell(table, "%s", view->name);
	table_cell(table, "%s", view->state);
	table_cell(table, "%s", text_age(view->state_age, text));
	table_cell(table, "%s:%u", view->address[0] ? view->address : view->host, (unsigned)view->port);
	table_cell(table, "%s", view->version);
	table_cell(table, "%u", view->pending);
	table_cell(table, "%llu", (unsigned long long)view->events);
	table_cell(table, "%llu", (unsigned long long)view->shed);
	table_cell(table, "%llu", (unsigned long long)view->backlog_events);
	if (view->heartbeat_rtt < 0)
		table_cell(table, "-");
	else
		table_cell(table, "%.1f ms", view->heartbeat_rtt * 1e3);
	table_cell(table, "%s%s", events->events, events->filter ? ", few VarSet, no CEL" : "");
	table_cell(table, "%s", view->next_try < 0 ? "" : text_age(view->next_try, text));
	if (view->last_reason[0] && view->last_text[0])
		table_cell(table, "%s: %s", view->last_reason, view->last_text);
	else
		table_cell(table, "%s", view->last_reason);
}

void render_servers(struct engine *engine, struct buf *out)
{
	struct link_view view;
	struct engine_events_view events;
	struct table table;

	if (!engine_server_view(engine, 0, &view)) {
		buf_append_cstr(out, "no servers in the configuration\n");
		return;
	}
	table_init(&table, columns, sizeof columns / sizeof *columns);
	for (size_t i = 0; engine_server_view(engine, i, &view) && engine_events_view(engine, i, &events); i++)
		server_row(&table, &view, &events);
	table_print(&table, "", out);
}

static void brief_row(struct table *table, const struct link_view *view)
{
	char text[TEXT_SHORT];

	table_cell(table, "%s", view->name);
	table_cell(table, "%s", view->state);
	table_cell(table, "%s", text_age(view->state_age, text));
	table_cell(table, "%llu", (unsigned long long)view->events);
	table_cell(table, "%llu", (unsigned long long)view->shed);
	table_cell(table, "%llu", (unsigned long long)view->backlog_events);
	table_cell(table, "%u", view->pending);
}

/* Of a server without a session: why, and what comes next. */
static void print_failure(const struct link_view *view, struct buf *out)
{
	char text[512], age[TEXT_SHORT];
	int used;

	if (view->last_reason[0] == '\0' || strcmp(view->state, "ready") == 0)
		return;
	used = snprintf(text, sizeof text, "%s: %s%s%s", view->name, view->last_reason, view->last_text[0] ? ": " : "", view->last_text);
	if (view->next_try >= 0 && used > 0 && (size_t)used < sizeof text)
		snprintf(text + used, sizeof text - (size_t)used, "; next try in %s", text_age(view->next_try, age));
	text_wrapped(out, "", text, STATUS_WIDTH);
}

void render_servers_brief(struct engine *engine, struct buf *out)
{
	static const struct table_column brief[] = {
		{ "SERVER", false }, { "STATE", false }, { "FOR", true }, { "EVENTS", true }, { "SHED", true }, { "BACKLOG", true }, { "PENDING", true },
	};
	struct link_view view;
	struct table table;

	if (!engine_server_view(engine, 0, &view)) {
		buf_append_cstr(out, "no servers in the configuration\n");
		return;
	}
	table_init(&table, brief, sizeof brief / sizeof *brief);
	for (size_t i = 0; engine_server_view(engine, i, &view); i++)
		brief_row(&table, &view);
	table_print_within(&table, STATUS_WIDTH, out);
	for (size_t i = 0; engine_server_view(engine, i, &view); i++)
		print_failure(&view, out);
}
