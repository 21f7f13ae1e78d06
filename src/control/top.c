/* `top`: what there is and how fast it goes, every second, for `ctl top`, which draws it: a row for the daemon and for each server,
 * queue, rule and pending action, "KIND<tab>NAME=VALUE<tab>…", and a form feed at the end. With --json each sample is one line. `--once`:
 * one sample. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/version.h"
#include "control/internal.h"
#include "control/render.h"
#include "control/table.h"
#include "rules/picture.h"
#include "view/engine_json.h"
#include "view/json_writer.h"

#define ACTIONS_SHOWN 1000 /* in one sample */
#define QUEUES_SHOWN 1000u
#define FIRST_SAMPLE 0.5 /* seconds: rates need two looks */
#define REFRESH 1.0

/* What was counted of a server or a rule at a look, and how fast it goes. */
struct sample {
	char name[80];
	size_t index;         /* in the engine's order */
	uint64_t counts[4];   /* servers: events, bytes in, bytes out, shed; rules: calls, errors, missed */
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
		memcpy(s->counts, (uint64_t[]){ rule.calls, rule.errors, rule.skipped + rule.missed, 0 }, sizeof s->counts);
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

/* ---- the sample's rows ---- */

/* A row as JSON, or as NAME=VALUE for `ctl top`, which draws them: values have no tab and no line end. */
struct row_writer {
	struct writer json;
	struct buf *out;
	bool is_json;
};

static void row_begin(struct row_writer *row, const char *kind)
{
	if (row->is_json)
		writer_open(&row->json, NULL, '{');
	else
		buf_append_cstr(row->out, kind);
}

static void row_end(struct row_writer *row)
{
	if (row->is_json)
		writer_close(&row->json, '}');
	else
		buf_append_char(row->out, '\n');
}

/* One without a text is null, or left out. */
static void row_text(struct row_writer *row, const char *name, const char *text)
{
	bool none = !text || text[0] == '\0';

	if (row->is_json) {
		writer_text(&row->json, name, none ? NULL : text);
	} else if (!none) {
		buf_printf(row->out, "\t%s=", name);
		text_clean(row->out, slice_cstr(text));
	}
}

/* The same for one that is below 0. */
static void row_number(struct row_writer *row, const char *name, double value)
{
	if (row->is_json)
		writer_number(&row->json, name, value < 0 ? (double)NAN : value);
	else if (value >= 0)
		buf_printf(row->out, "\t%s=%.6f", name, value);
}

static void row_integer(struct row_writer *row, const char *name, uint64_t value)
{
	if (row->is_json)
		writer_integer(&row->json, name, value);
	else
		buf_printf(row->out, "\t%s=%llu", name, (unsigned long long)value);
}

/* What the live picture has of it; nothing while it is off. */
static void put_picture(struct row_writer *row, struct engine *engine, const char *name)
{
	struct picture *picture = host_picture(engine_host(engine));
	struct live *live = picture_live(picture);
	struct live_server *server = live ? live_server_find(live, slice_cstr(name)) : NULL;
	const struct live_object *queue;
	struct live_cursor cursor;
	int64_t now = live ? picture_now(picture) : 0;
	int count_field = live_field(LIVE_QUEUE, SLICE("count")), wait_field = live_field(LIVE_QUEUE, SLICE("longest_wait"));
	double waiting = 0, longest = 0;

	if (!server)
		return;
	const struct live_filter filter = { .server = server };
	row_integer(row, "calls", live_count(live, LIVE_CALL, &filter, now));
	live_walk(live, LIVE_QUEUE, &filter, &cursor);
	while ((queue = live_next(&cursor, now))) {
		struct live_value count = live_get(queue, count_field, now);
		struct live_value wait = live_get(queue, wait_field, now);
		waiting += count.type == LIVE_INT ? (double)count.integer : 0;
		if (wait.type == LIVE_NUMBER && wait.number > longest)
			longest = wait.number;
	}
	row_number(row, "callers_waiting", waiting);
	row_number(row, "longest_wait", longest);
}

static void put_server(struct row_writer *row, struct engine *engine, const struct sample *s, const struct link_view *view)
{
	row_begin(row, "server");
	row_text(row, "name", s->name);
	row_text(row, "state", view->state);
	row_number(row, "state_age", view->state_age);
	put_picture(row, engine, s->name);
	row_number(row, "events_per_second", s->rates[0]);
	row_number(row, "bytes_in_per_second", s->rates[1]);
	row_number(row, "bytes_out_per_second", s->rates[2]);
	row_number(row, "shed_per_second", s->rates[3]);
	row_integer(row, "events", view->events);
	row_integer(row, "shed", view->shed);
	row_integer(row, "backlog_events", view->backlog_events);
	row_integer(row, "backlog_bytes", view->backlog_bytes);
	row_integer(row, "pending", view->pending);
	row_number(row, "heartbeat_rtt", view->heartbeat_rtt);
	row_text(row, "address", view->address[0] ? view->address : view->host);
	row_integer(row, "port", view->port);
	row_text(row, "version", view->version);
	row_text(row, "breaker", view->breaker);
	row_integer(row, "sessions", view->sessions);
	row_integer(row, "failures", view->failures);
	row_number(row, "next_try", view->next_try);
	row_text(row, "last_reason", view->last_reason);
	row_text(row, "last_text", view->last_text);
	row_end(row);
}

static void put_rule(struct row_writer *row, const struct sample *s, const struct host_rule_view *view)
{
	row_begin(row, "rule");
	row_text(row, "name", s->name);
	row_text(row, "state", engine_json_rule_state(view));
	row_number(row, "load", s->load);
	row_number(row, "calls_per_second", s->rates[0]);
	row_number(row, "errors_per_second", s->rates[1]);
	row_number(row, "missed_per_second", s->rates[2]);
	row_integer(row, "calls", view->calls);
	row_integer(row, "errors", view->errors);
	row_integer(row, "missed", view->skipped + view->missed);
	row_number(row, "seconds", s->seconds);
	row_integer(row, "waiting", view->waiting);
	row_integer(row, "pending", view->pending);
	row_integer(row, "memory", view->memory);
	row_end(row);
}

static double number_of(const struct live_object *object, const char *field, int64_t now)
{
	struct live_value value = live_get(object, live_field(live_object_kind(object), slice_cstr(field)), now);
	return value.type == LIVE_INT ? (double)value.integer : value.type == LIVE_NUMBER ? value.number : -1;
}

static void put_queue(struct row_writer *row, const struct live_object *queue, int64_t now)
{
	char name[LIVE_TEXT_MAX + 1], server[LIVE_TEXT_MAX + 1], key[2 * LIVE_TEXT_MAX + 2];

	slice_to_text(live_get(queue, live_field(LIVE_QUEUE, SLICE("name")), now).text, name, sizeof name);
	slice_to_text(live_server_name(live_object_server(queue)), server, sizeof server);
	snprintf(key, sizeof key, "%s/%s", server, name);
	row_begin(row, "queue");
	row_text(row, "name", name);
	row_text(row, "server", server);
	if (!row->is_json)
		row_text(row, "key", key);
	row_number(row, "waiting", number_of(queue, "count", now));
	row_number(row, "longest_wait", number_of(queue, "longest_wait", now));
	row_number(row, "free", number_of(queue, "free", now));
	row_number(row, "members", number_of(queue, "member_count", now));
	row_number(row, "answered_today", number_of(queue, "answered_today", now));
	row_number(row, "abandoned_today", number_of(queue, "abandoned_today", now));
	row_end(row);
}

/* In the servers' order. */
static void put_queues(struct row_writer *row, struct engine *engine)
{
	struct picture *picture = host_picture(engine_host(engine));
	struct live *live = picture_live(picture);
	struct live_object *queue;
	struct live_cursor cursor;

	if (!live)
		return;
	int64_t now = picture_now(picture);
	live_walk(live, LIVE_QUEUE, NULL, &cursor);
	for (unsigned i = 0; i < QUEUES_SHOWN && (queue = live_next(&cursor, now)); i++)
		put_queue(row, queue, now);
}

struct action_rows {
	struct row_writer *row;
	const char *server;
	unsigned count;
};

static void put_action(void *ctx, const struct engine_pending *pending)
{
	struct action_rows *rows = ctx;

	if (rows->count++ >= ACTIONS_SHOWN)
		return;
	row_begin(rows->row, "action");
	row_text(rows->row, "server", rows->server);
	row_text(rows->row, "action", pending->action);
	row_text(rows->row, "sent_by", pending->rule ? pending->rule : pending->sender);
	row_number(rows->row, "age", pending->age);
	row_number(rows->row, "left", pending->left);
	row_end(rows->row);
}

static void list_begin(struct row_writer *row, const char *name)
{
	if (row->is_json)
		writer_open(&row->json, name, '[');
}

static void list_end(struct row_writer *row)
{
	if (row->is_json)
		writer_close(&row->json, ']');
}

/* In the engine's order: who shows them sorts. */
static void put_sample(struct top *top, const struct look *look, struct buf *out)
{
	struct engine *engine = top->client->console->engine;
	struct row_writer row = { .out = out, .is_json = top->json };
	struct action_rows actions = { .row = &row };
	struct host_rule_view rule;
	struct link_view server;

	writer_init(&row.json, out);
	row_begin(&row, "daemon");
	row_text(&row, "version", HOOKSWITCH_VERSION);
	row_integer(&row, "pid", (uint64_t)getpid());
	row_number(&row, "time", clock_wall());
	row_number(&row, "uptime", engine_uptime(engine));
	row_integer(&row, "generation", host_generation(engine_host(engine)));
	if (!top->json)
		row_end(&row);
	list_begin(&row, "servers");
	for (size_t i = 0; i < look->server_count && engine_server_view(engine, i, &server); i++)
		put_server(&row, engine, &look->servers[i], &server);
	list_end(&row);
	list_begin(&row, "queues");
	put_queues(&row, engine);
	list_end(&row);
	list_begin(&row, "rules");
	for (size_t i = 0; i < look->rule_count && host_rule_view(engine_host(engine), i, &rule); i++)
		put_rule(&row, &look->rules[i], &rule);
	list_end(&row);
	list_begin(&row, "actions");
	for (size_t i = 0; i < look->server_count && actions.count < ACTIONS_SHOWN && engine_server_view(engine, i, &server); i++) {
		actions.server = server.name;
		engine_pending_each(engine, i, put_action, &actions);
	}
	list_end(&row);
	if (top->json)
		row_end(&row);
	buf_append_char(out, top->json ? '\n' : '\f');
}

static void take_sample(struct top *top, struct buf *out)
{
	struct look look;

	look_around(top->client->console->engine, &look);
	double seconds = (double)(look.at - top->last.at) / 1e9;
	measure(look.servers, look.server_count, top->last.servers, top->last.server_count, seconds > 0 ? seconds : 1);
	measure(look.rules, look.rule_count, top->last.rules, top->last.rule_count, seconds > 0 ? seconds : 1);
	look_close(&top->last);
	top->last = look;
	put_sample(top, &look, out);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct top *top = timer->data;
	struct client *client = top->client;
	(void)events;

	if (top->once) {
		take_sample(top, &client->out);
		client->cancel(client);
		client_finish(client, 0);
		return;
	}
	timer->repeat = REFRESH;
	ev_timer_again(loop, timer);
	/* Who has not taken the last sample gets a fresh one later. */
	if (buf_len(&client->out) > 0)
		return;
	take_sample(top, &client->out);
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
	ev_timer_init(&top->timer, on_timer, FIRST_SAMPLE, 0);
	top->timer.data = top;
	ev_timer_start(client->console->loop, &top->timer);
	client->work = top;
	client->cancel = cancel;
	if (!top->once)
		client_flush(client);
	return COMMAND_LATER;
}
