/* The rules, as tables and as JSON. */
#include <limits.h>
#include <stdio.h>

#include "base/clock.h"
#include "control/json_writer.h"
#include "control/render.h"
#include "control/table.h"

#define DIGEST_SHOWN 12

static const struct table_column columns[] = {
	{ "RULE", false },  { "STATE", false },   { "LISTENERS", true }, { "TIMERS", true }, { "WAITING", true }, { "PENDING", true },
	{ "CALLS", true },  { "MISSED", true },   { "ERRORS", true },   { "OVERRUNS", true },  { "CPU", true },    { "MEMORY", true },  { "FILE", false },
	{ "DIGEST", false },   { "UP", true },      { "RELOAD", false },
};

static const struct table_column brief_columns[] = {
	{ "RULE", false }, { "STATE", false }, { "CALLS", true }, { "MISSED", true }, { "ERRORS", true }, { "CPU", true }, { "MEMORY", true },
};

const char *render_rule_state(const struct host_rule_view *view)
{
	return view->failed ? "failed" : view->down ? "down" : view->disabled ? "disabled" : view->quarantined ? "quarantined" :
	       view->quarantined_listeners > 0 ? "runs in part" : "runs";
}

static void rule_row(struct table *table, const struct host_rule_view *view)
{
	char memory[TEXT_SHORT], since[TEXT_SHORT];

	table_cell(table, "%s", view->name);
	table_cell(table, "%s", render_rule_state(view));
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
	table_cell(table, "%s", render_rule_state(view));
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
#define WAITS_LISTED 100 /* in JSON */

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

static void wait_json(void *writer, struct slice text)
{
	writer_item(writer, text);
}

static void rule_json(struct engine *engine, size_t index, struct writer *writer, const struct host_rule_view *view)
{
	writer_open(writer, NULL, '{');
	writer_text(writer, "name", view->name);
	writer_text(writer, "file", view->file);
	writer_text(writer, "digest", view->digest);
	writer_text(writer, "state", render_rule_state(view));
	writer_text(writer, "change", view->change);
	writer_number(writer, "since", view->since);
	writer_integer(writer, "generation", view->number);
	writer_bool(writer, "quarantined", view->quarantined);
	writer_integer(writer, "quarantined_listeners", view->quarantined_listeners);
	writer_bool(writer, "down", view->down);
	if (view->down)
		writer_number(writer, "begins_at", view->begins_at);
	writer_bool(writer, "failed", view->failed);
	writer_bool(writer, "disabled", view->disabled);
	writer_integer(writer, "missed", view->missed);
	writer_integer(writer, "skipped", view->skipped);
	writer_integer(writer, "listeners", view->listeners);
	writer_integer(writer, "timers", view->timers);
	writer_integer(writer, "subscriptions", view->subscriptions);
	writer_integer(writer, "waiting", view->waiting);
	writer_open(writer, "waits", '[');
	host_rule_waits(engine_host(engine), index, WAITS_LISTED, wait_json, writer);
	writer_close(writer, ']');
	writer_integer(writer, "pending", view->pending);
	writer_integer(writer, "calls", view->calls);
	writer_integer(writer, "errors", view->errors);
	writer_integer(writer, "deadlines", view->deadlines);
	writer_integer(writer, "refused", view->refused);
	writer_number(writer, "seconds", view->seconds);
	writer_integer(writer, "memory", view->memory);
	writer_text(writer, "last_error", view->last_error && view->last_error[0] ? view->last_error : NULL);
	writer_close(writer, '}');
}

void render_rules_json(struct engine *engine, struct writer *writer)
{
	struct host_view host;
	struct host_rule_view rule;

	host_view(engine_host(engine), &host);
	writer_integer(writer, "generation", host.generation);
	writer_number(writer, "since", host.since);
	writer_integer(writer, "memory", host.memory);
	writer_open(writer, "rules", '[');
	for (size_t i = 0; host_rule_view(engine_host(engine), i, &rule) && !rule.draining; i++)
		rule_json(engine, i, writer, &rule);
	writer_close(writer, ']');
	writer_open(writer, "draining_rules", '[');
	for (size_t i = host.rule_count; host_rule_view(engine_host(engine), i, &rule); i++)
		rule_json(engine, i, writer, &rule);
	writer_close(writer, ']');
}
