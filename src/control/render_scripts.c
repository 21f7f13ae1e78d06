/* The rules, as tables. */
#include <limits.h>
#include <stdio.h>

#include "base/clock.h"
#include "control/render.h"
#include "control/table.h"
#include "view/engine_json.h"

#define DIGEST_SHOWN 12

static const struct table_column columns[] = {
	{ "RULE", false },  { "STATE", false },   { "LISTENERS", true }, { "TIMERS", true }, { "WAITING", true }, { "PENDING", true },
	{ "CALLS", true },  { "MISSED", true },   { "ERRORS", true },   { "OVERRUNS", true },  { "CPU", true },    { "MEMORY", true },  { "FILE", false },
	{ "DIGEST", false },   { "UP", true },      { "RELOAD", false },
};

static const struct table_column brief_columns[] = {
	{ "RULE", false }, { "STATE", false }, { "CALLS", true }, { "MISSED", true }, { "ERRORS", true }, { "CPU", true }, { "MEMORY", true },
};

static void rule_row(struct table *table, const struct host_rule_view *view)
{
	char memory[TEXT_SHORT], since[TEXT_SHORT];

	table_cell(table, "%s", view->name);
	table_cell(table, "%s", engine_json_rule_state(view));
	table_cell(table, "%u", view->listeners);
	table_cell(table, "%u", view->timers);
	table_cell(table, "%u", view->waiting);
	table_cell(table, "%u", view->pending);
	table_cell(table, "%llu", (unsigned long long)view->calls);
	table_cell(table, "%llu", (unsigned long long)(view->skipped + view->missed));
	table_cell(table, "%llu", (unsigned long long)view->errors);
	table_cell(table, "%llu", (unsigned long long)view->deadlines);
	table_cell(table, "%.3f s", view->seconds);
	table_cell(table, "%s", text_bytes(view->memory, memory));
	table_cell(table, "%s", view->file);
	table_cell(table, "%.*s", DIGEST_SHOWN, view->digest ? view->digest : "");
	table_cell(table, "%s", text_age(clock_wall() - view->since, since));
	table_cell(table, "%s", view->change);
}

static void brief_row(struct table *table, const struct host_rule_view *view)
{
	char memory[TEXT_SHORT];

	table_cell(table, "%s", view->name);
	table_cell(table, "%s", engine_json_rule_state(view));
	table_cell(table, "%llu", (unsigned long long)view->calls);
	table_cell(table, "%llu", (unsigned long long)(view->skipped + view->missed));
	table_cell(table, "%llu", (unsigned long long)view->errors);
	table_cell(table, "%.3f s", view->seconds);
	table_cell(table, "%s", text_bytes(view->memory, memory));
}

/* What stands below the table. `width`: of its lines. */
static void print_down(struct engine *engine, struct buf *out)
{
	struct host_rule_view rule;
	char time[TEXT_SHORT];

	for (size_t i = 0; host_rule_view(engine_host(engine), i, &rule) && !rule.draining; i++) {
		if (!rule.down)
			continue;
		text_clean(out, slice_cstr(rule.name));
		buf_printf(out, ": was stopped and begins anew at %s\n", text_time(rule.begins_at, time));
	}
}

static void print_quarantines(struct engine *engine, unsigned width, struct buf *out)
{
	struct host_rule_view rule;
	char text[512];

	for (size_t i = 0; host_rule_view(engine_host(engine), i, &rule) && !rule.draining; i++) {
		if (rule.quarantined || rule.quarantined_listeners == 0)
			continue;
		snprintf(text, sizeof text, "%s: %u of its %u listeners fail again and again and hear nothing until they are tried again", rule.name,
		         rule.quarantined_listeners, rule.listeners);
		text_wrapped(out, "", text, width);
	}
}

static void print_errors(struct engine *engine, unsigned width, struct buf *out)
{
	struct host_rule_view rule;

	for (size_t i = 0; host_rule_view(engine_host(engine), i, &rule) && !rule.draining; i++) {
		if (!rule.last_error || rule.last_error[0] == '\0')
			continue;
		buf_append_cstr(out, "last error of ");
		text_clean(out, slice_cstr(rule.name));
		buf_append_cstr(out, ":\n");
		text_wrapped(out, "  ", rule.last_error, width);
	}
}

#define WAITS_SHOWN 5  /* below the table, of each rule that drains */

struct wait_lines {
	struct buf *out;
	unsigned width;
};

static void wait_line(void *ctx, struct slice text)
{
	const struct wait_lines *lines = ctx;
	char line[256];
	slice_to_text(text, line, sizeof line);
	text_wrapped(lines->out, "  ", line, lines->width);
}

static void print_draining(struct engine *engine, unsigned width, struct buf *out)
{
	struct host_rule_view view;
	char text[512], age[TEXT_SHORT], memory[TEXT_SHORT];

	for (size_t i = 0; host_rule_view(engine_host(engine), i, &view); i++) {
		if (!view.draining)
			continue;
		snprintf(text, sizeof text, "%s of generation %u (started %s ago) was replaced and finishes what it began, %s", view.name, view.number,
		         text_age(clock_wall() - view.since, age), text_bytes(view.memory, memory));
		text_wrapped(out, "", text, width);
		host_rule_waits(engine_host(engine), i, WAITS_SHOWN, wait_line, &(struct wait_lines){ out, width });
	}
}

static void print_rules(struct engine *engine, bool brief, struct buf *out)
{
	unsigned width = brief ? STATUS_WIDTH : UINT_MAX;
	struct host_view host;
	struct host_rule_view rule;
	char text[256], since[TEXT_SHORT], age[TEXT_SHORT], memory[TEXT_SHORT];
	struct table table;

	host_view(engine_host(engine), &host);
	if (host.generation == 0) {
		buf_append_cstr(out, "no rules are loaded\n");
		return;
	}
	snprintf(text, sizeof text, "generation %u since %s (%s ago), %s in %zu rule%s", host.generation, text_time(host.since, since),
	         text_age(clock_wall() - host.since, age), text_bytes(host.memory, memory), host.rule_count, host.rule_count == 1 ? "" : "s");
	text_wrapped(out, "", text, width);
	print_draining(engine, width, out);
	if (host.rule_count == 0)
		return;
	table_init(&table, brief ? brief_columns : columns, brief ? sizeof brief_columns / sizeof *brief_columns : sizeof columns / sizeof *columns);
	for (size_t i = 0; host_rule_view(engine_host(engine), i, &rule) && !rule.draining; i++)
		(brief ? brief_row : rule_row)(&table, &rule);
	buf_append_char(out, '\n');
	table_print_within(&table, width, out);
	print_down(engine, out);
	print_quarantines(engine, width, out);
	print_errors(engine, width, out);
}

void render_scripts(struct engine *engine, struct buf *out)
{
	print_rules(engine, false, out);
}

void render_scripts_brief(struct engine *engine, struct buf *out)
{
	print_rules(engine, true, out);
}
