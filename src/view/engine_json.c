#include "view/engine_json.h"

#include <math.h>
#include <unistd.h>

#include "base/version.h"
#include "observe/log.h"

#define WAITS_LISTED 100

const char *engine_json_rule_state(const struct host_rule_view *view)
{
	return view->failed ? "failed" : view->down ? "down" : view->disabled ? "disabled" : view->quarantined ? "quarantined" :
	       view->quarantined_listeners > 0 ? "runs in part" : "runs";
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
	writer_text(writer, "state", engine_json_rule_state(view));
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

void engine_json_rules(struct engine *engine, struct writer *writer)
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

/* What it was asked for; "filter" is the Filter's own text. */
static void requested_json(struct writer *writer, const struct engine_events_view *events)
{
	writer_open(writer, "requested", '{');
	writer_text(writer, "events", events->events);
	writer_bool(writer, "automatic", events->automatic);
	writer_text(writer, "filter", events->filter);
	writer_close(writer, '}');
}

static void server_json(struct writer *writer, const struct link_view *view, const struct engine_events_view *events)
{
	writer_open(writer, NULL, '{');
	writer_text(writer, "name", view->name);
	writer_text(writer, "host", view->host);
	writer_integer(writer, "port", view->port);
	writer_text(writer, "address", view->address[0] ? view->address : NULL);
	writer_text(writer, "state", view->state);
	writer_number(writer, "state_age", view->state_age);
	writer_text(writer, "version", view->version[0] ? view->version : NULL);
	writer_text(writer, "breaker", view->breaker);
	writer_text(writer, "last_reason", view->last_reason[0] ? view->last_reason : NULL);
	writer_text(writer, "last_text", view->last_text[0] ? view->last_text : NULL);
	writer_number(writer, "next_try", view->next_try < 0 ? (double)NAN : view->next_try);
	writer_number(writer, "heartbeat_rtt", view->heartbeat_rtt < 0 ? (double)NAN : view->heartbeat_rtt);
	writer_integer(writer, "pending", view->pending);
	writer_integer(writer, "backlog_events", view->backlog_events);
	writer_integer(writer, "backlog_bytes", view->backlog_bytes);
	writer_integer(writer, "sessions", view->sessions);
	writer_integer(writer, "failures", view->failures);
	writer_integer(writer, "events", view->events);
	writer_integer(writer, "shed", view->shed);
	writer_integer(writer, "bytes_in", view->bytes_in);
	writer_integer(writer, "bytes_out", view->bytes_out);
	requested_json(writer, events);
	writer_close(writer, '}');
}

void engine_json_servers(struct engine *engine, struct writer *writer, engine_json_sees_fn *sees, void *ctx)
{
	struct link_view view;
	struct engine_events_view events;

	writer_open(writer, "servers", '[');
	for (size_t i = 0; engine_server_view(engine, i, &view) && engine_events_view(engine, i, &events); i++)
		if (!sees || sees(ctx, slice_cstr(view.name)))
			server_json(writer, &view, &events);
	writer_close(writer, ']');
}

static void write_lost(struct writer *writer)
{
	struct log_counts counts;

	log_count(&counts);
	writer_integer(writer, "log_records_lost", counts.dropped_queue + counts.dropped_write);
	writer_integer(writer, "sink_lines_lost", counts.sink_dropped);
}

void engine_json_status(struct engine *engine, struct buf *out)
{
	double when = 0;
	const char *error = engine_reload_error(engine, &when);
	struct writer writer;

	writer_init(&writer, out);
	writer_open(&writer, NULL, '{');
	writer_text(&writer, "version", HOOKSWITCH_VERSION);
	writer_integer(&writer, "pid", (uint64_t)getpid());
	writer_number(&writer, "started", engine_started(engine));
	writer_number(&writer, "uptime", engine_uptime(engine));
	writer_text(&writer, "configuration", engine_config(engine)->path);
	writer_text(&writer, "log_level", log_level_name(log_get_level()));
	write_lost(&writer);
	engine_json_rules(engine, &writer);
	engine_json_servers(engine, &writer, NULL, NULL);
	if (error && error[0]) {
		writer_open(&writer, "reload_failed", '{');
		writer_number(&writer, "when", when);
		writer_lines(&writer, "faults", error);
		writer_close(&writer, '}');
	} else {
		writer_null(&writer, "reload_failed");
	}
	writer_close(&writer, '}');
	buf_append_char(out, '\n');
}
