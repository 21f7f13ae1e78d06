/* `top`: a screen of rates every second; screens are parted by form feeds. `top --once`: one of them. With --json each is a line. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/version.h"
#include "control/internal.h"
#include "control/json_writer.h"
#include "control/render.h"
#include "control/table.h"

#define FIRST_SCREEN 0.5 /* seconds: rates need two looks */
#define REFRESH 1.0

/* What was counted of a server or a rule at a look, and how fast it goes. */
struct sample {
	char name[80];
	size_t index;         /* in the engine's order */
	uint64_t counts[4];   /* servers: events, bytes in, bytes out, shed; rules: calls, errors */
	double seconds;       /* rules: CPU */
	double rates[4], load; /* load: CPU seconds each second */
};

struct look {
	struct sample *servers, *rules; /* owned, in the engine's order */
	size_t server_count, rule_count;
	uint64_t at; /* monotonic ns */
};

struct top {
	struct client *client;
	ev_timer timer;
	struct look last;
	bool once, json;
};

static void look_close(struct look *look)
{
	free(look->servers);
	free(look->rules);
	*look = (struct look){ 0 };
}

static struct sample *grow(struct sample **samples, size_t *count, const char *name)
{
	if ((*count & (*count - 1)) == 0)
		*samples = mem_realloc(*samples, *count == 0 ? 1 : *count * 2, sizeof **samples);
	struct sample *sample = &(*samples)[*count];
	*sample = (struct sample){ .index = (*count)++ };
	snprintf(sample->name, sizeof sample->name, "%s", name);
	return sample;
}

static void look_around(struct engine *engine, struct look *look)
{
	struct link_view link;
	struct host_rule_view rule;

	*look = (struct look){ .at = clock_mono_ns() };
	for (size_t i = 0; engine_server_view(engine, i, &link); i++) {
		struct sample *s = grow(&look->servers, &look->server_count, link.name);
		memcpy(s->counts, (uint64_t[]){ link.events, link.bytes_in, link.bytes_out, link.shed }, sizeof s->counts);
	}
	for (size_t i = 0; host_rule_view(engine_host(engine), i, &rule) && !rule.draining; i++) {
		struct sample *s = grow(&look->rules, &look->rule_count, rule.name);
		memcpy(s->counts, (uint64_t[]){ rule.calls, rule.errors, 0, 0 }, sizeof s->counts);
		s->seconds = rule.seconds;
	}
}

/* The earlier sample of the same name; a reload may have moved it. */
static const struct sample *earlier(const struct sample *samples, size_t count, const struct sample *of)
{
	if (of->index < count && strcmp(samples[of->index].name, of->name) == 0)
		return &samples[of->index];
	for (size_t i = 0; i < count; i++)
		if (strcmp(samples[i].name, of->name) == 0)
			return &samples[i];
	return NULL;
}

/* Counters that began again (a reload) count from nothing. */
static void measure(struct sample *samples, size_t count, const struct sample *last, size_t last_count, double seconds)
{
	for (size_t i = 0; i < count; i++) {
		struct sample *s = &samples[i];
		const struct sample *before = earlier(last, last_count, s);
		for (size_t k = 0; k < 4; k++) {
			uint64_t from = before && before->counts[k] <= s->counts[k] ? before->counts[k] : 0;
			s->rates[k] = before ? (double)(s->counts[k] - from) / seconds : 0;
		}
		s->load = before && before->seconds <= s->seconds ? (s->seconds - before->seconds) / seconds : 0;
	}
}

static int busier_server(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	return x->rates[0] != y->rates[0] ? (x->rates[0] < y->rates[0] ? 1 : -1) : (x->index > y->index) - (x->index < y->index);
}

static int slower_rule(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	if (x->load != y->load)
		return x->load < y->load ? 1 : -1;
	if (x->seconds != y->seconds)
		return x->seconds < y->seconds ? 1 : -1;
	return (x->index > y->index) - (x->index < y->index);
}

/* ---- the screen ---- */

static void print_head(struct engine *engine, const struct look *look, struct buf *out)
{
	struct link_view view;
	size_t ready = 0;
	double events = 0;
	char age[TEXT_SHORT];

	for (size_t i = 0; engine_server_view(engine, i, &view); i++)
		ready += strcmp(view.state, "ready") == 0;
	for (size_t i = 0; i < look->server_count; i++)
		events += look->servers[i].rates[0];
	buf_printf(out, "hookswitch %s, pid %ld, up %s, generation %u, %zu of %zu servers ready, %.0f events/s\n\n", HOOKSWITCH_VERSION,
	           (long)getpid(), text_age(engine_uptime(engine), age), host_generation(engine_host(engine)), ready,
	           look->server_count, events);
}

static void print_servers(struct engine *engine, const struct look *look, struct buf *out)
{
	static const struct table_column columns[] = {
		{ "SERVER", false }, { "STATE", false }, { "EVENTS/S", true }, { "IN/S", true }, { "OUT/S", true }, { "SHED/S", true },
		{ "BACKLOG", true }, { "PENDING", true }, { "PING", true },
	};
	struct table table;
	struct link_view view;
	char text[TEXT_SHORT];

	table_init(&table, columns, sizeof columns / sizeof *columns);
	for (size_t i = 0; i < look->server_count && engine_server_view(engine, look->servers[i].index, &view); i++) {
		const struct sample *s = &look->servers[i];
		table_cell(&table, "%s", s->name);
		table_cell(&table, "%s", view.state);
		table_cell(&table, "%.0f", s->rates[0]);
		table_cell(&table, "%s", text_bytes((uint64_t)s->rates[1], text));
		table_cell(&table, "%s", text_bytes((uint64_t)s->rates[2], text));
		table_cell(&table, "%.0f", s->rates[3]);
		table_cell(&table, "%llu", (unsigned long long)view.backlog_events);
		table_cell(&table, "%u", view.pending);
		if (view.heartbeat_rtt < 0)
			table_cell(&table, "-");
		else
			table_cell(&table, "%.1f ms", view.heartbeat_rtt * 1e3);
	}
	table_print(&table, "", out);
	buf_append_char(out, '\n');
}

static void print_rules(struct engine *engine, const struct look *look, struct buf *out)
{
	static const struct table_column columns[] = {
		{ "RULE", false }, { "STATE", false }, { "CPU", true }, { "CALLS/S", true }, { "ERRORS/S", true }, { "CPU TIME", true },
		{ "WAITING", true }, { "PENDING", true }, { "MEMORY", true },
	};
	struct table table;
	struct host_rule_view view;
	char text[TEXT_SHORT];

	table_init(&table, columns, sizeof columns / sizeof *columns);
	for (size_t i = 0; i < look->rule_count && host_rule_view(engine_host(engine), look->rules[i].index, &view); i++) {
		const struct sample *s = &look->rules[i];
		table_cell(&table, "%s", s->name);
		table_cell(&table, "%s", render_rule_state(&view));
		table_cell(&table, "%.1f %%", s->load * 100);
		table_cell(&table, "%.0f", s->rates[0]);
		table_cell(&table, "%.1f", s->rates[1]);
		table_cell(&table, "%.3f s", s->seconds);
		table_cell(&table, "%u", view.waiting);
		table_cell(&table, "%u", view.pending);
		table_cell(&table, "%s", text_bytes(view.memory, text));
	}
	table_print(&table, "", out);
}

/* ---- for programs ---- */

static void write_server(struct writer *writer, const struct sample *s, const struct link_view *view)
{
	writer_open(writer, NULL, '{');
	writer_text(writer, "name", s->name);
	writer_text(writer, "state", view->state);
	writer_number(writer, "events_per_second", s->rates[0]);
	writer_number(writer, "bytes_in_per_second", s->rates[1]);
	writer_number(writer, "bytes_out_per_second", s->rates[2]);
	writer_number(writer, "shed_per_second", s->rates[3]);
	writer_integer(writer, "backlog_events", view->backlog_events);
	writer_integer(writer, "pending", view->pending);
	writer_number(writer, "heartbeat_rtt", view->heartbeat_rtt < 0 ? (double)NAN : view->heartbeat_rtt);
	writer_close(writer, '}');
}

static void write_rule(struct writer *writer, const struct sample *s, const struct host_rule_view *view)
{
	writer_open(writer, NULL, '{');
	writer_text(writer, "name", s->name);
	writer_text(writer, "state", render_rule_state(view));
	writer_number(writer, "load", s->load);
	writer_number(writer, "calls_per_second", s->rates[0]);
	writer_number(writer, "errors_per_second", s->rates[1]);
	writer_number(writer, "seconds", s->seconds);
	writer_integer(writer, "waiting", view->waiting);
	writer_integer(writer, "pending", view->pending);
	writer_integer(writer, "memory", view->memory);
	writer_close(writer, '}');
}

/* In the engine's order: a program sorts as it likes. */
static void write_json(struct engine *engine, const struct look *look, struct buf *out)
{
	struct host_rule_view rule;
	struct link_view server;
	struct writer writer;

	writer_init(&writer, out);
	writer_open(&writer, NULL, '{');
	writer_number(&writer, "time", clock_wall());
	writer_number(&writer, "uptime", engine_uptime(engine));
	writer_integer(&writer, "generation", host_generation(engine_host(engine)));
	writer_open(&writer, "servers", '[');
	for (size_t i = 0; i < look->server_count && engine_server_view(engine, i, &server); i++)
		write_server(&writer, &look->servers[i], &server);
	writer_close(&writer, ']');
	writer_open(&writer, "rules", '[');
	for (size_t i = 0; i < look->rule_count && host_rule_view(engine_host(engine), i, &rule); i++)
		write_rule(&writer, &look->rules[i], &rule);
	writer_close(&writer, ']');
	writer_close(&writer, '}');
	buf_append_char(out, '\n');
}

static void print_screen(struct top *top, struct buf *out)
{
	struct engine *engine = top->client->console->engine;
	struct look look, sorted;

	look_around(engine, &look);
	double seconds = (double)(look.at - top->last.at) / 1e9;
	measure(look.servers, look.server_count, top->last.servers, top->last.server_count, seconds > 0 ? seconds : 1);
	measure(look.rules, look.rule_count, top->last.rules, top->last.rule_count, seconds > 0 ? seconds : 1);
	look_close(&top->last);
	top->last = look;
	if (top->json) {
		write_json(engine, &look, out);
		return;
	}

	sorted = look;
	sorted.servers = mem_alloc((look.server_count + 1) * sizeof *look.servers);
	sorted.rules = mem_alloc((look.rule_count + 1) * sizeof *look.rules);
	for (size_t i = 0; i < look.server_count; i++)
		sorted.servers[i] = look.servers[i];
	for (size_t i = 0; i < look.rule_count; i++)
		sorted.rules[i] = look.rules[i];
	qsort(sorted.servers, sorted.server_count, sizeof *sorted.servers, busier_server);
	qsort(sorted.rules, sorted.rule_count, sizeof *sorted.rules, slower_rule);
	print_head(engine, &sorted, out);
	print_servers(engine, &sorted, out);
	print_rules(engine, &sorted, out);
	look_close(&sorted);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct top *top = timer->data;
	struct client *client = top->client;
	(void)events;

	if (top->once) {
		print_screen(top, &client->out);
		client->cancel(client);
		client_finish(client, 0);
		return;
	}
	timer->repeat = REFRESH;
	ev_timer_again(loop, timer);
	/* Who has not taken the last screen gets a fresh one later. */
	if (buf_len(&client->out) > 0)
		return;
	print_screen(top, &client->out);
	if (!top->json)
		buf_append_char(&client->out, '\f');
	client_flush(client);
}

static void cancel(struct client *client)
{
	struct top *top = client->work;

	client->work = NULL;
	ev_timer_stop(client->console->loop, &top->timer);
	look_close(&top->last);
	free(top);
}

int command_top(struct request *request)
{
	struct client *client = request->client;

	if (request->argc > 0 && strcmp(request->argv[0], "--once") != 0)
		return client_refuse(client, 2, "usage: top [--once] [--json]");
	struct top *top = mem_zalloc(sizeof *top);
	top->client = client;
	top->once = request->argc > 0;
	top->json = request->json;
	look_around(request->engine, &top->last);
	ev_timer_init(&top->timer, on_timer, FIRST_SCREEN, 0);
	top->timer.data = top;
	ev_timer_start(client->console->loop, &top->timer);
	client->work = top;
	client->cancel = cancel;
	if (!top->once)
		client_flush(client);
	return COMMAND_LATER;
}
