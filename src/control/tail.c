/* `tail`: what happens, line by line, as it happens. A client gets LINES_PER_WINDOW lines in a WINDOW, and LINES_AT_ONCE after some
 * rest, and has at most TAIL_WAITING bytes waiting, so that looking on delays nobody (P5) and costs a busy loop little; what it
 * misses for that is reported, with the count (P9). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ami/catalogue.h"
#include "base/clock.h"
#include "base/mem.h"
#include "control/headers.h"
#include "control/internal.h"
#include "control/table.h"
#include "view/headers_json.h"
#include "view/json_writer.h"

#define TAIL_WAITING (256u << 10) /* bytes */
#define TAIL_PATIENCE 60.0        /* seconds: somebody may look at a page for a while */
#define WINDOW 0.1                /* seconds */
#define LINES_PER_WINDOW 200      /* in one go: a line by itself costs a wake-up of the reader too */
#define LINES_AT_ONCE 1000
#define PATTERNS_MAX 16
#define REPORT_PAUSE 0.5          /* seconds until what was missed is reported when nothing else comes */

struct tail {
	struct list node; /* in console->tails */
	struct client *client;
	bool json, events, actions;
	char *server;                      /* NULL: all */
	char *names[PATTERNS_MAX];         /* lower case, any of them; none: all */
	char *where[PATTERNS_MAX];         /* NAME=PATTERN, all of them */
	unsigned name_count, where_count;
	double window;                     /* when it began, monotonic seconds */
	double lines;                      /* that may still come in it */
	uint64_t missed;
	unsigned full_in;                  /* the loop's turn in which a line was refused last, and the timer was started; 0: none */
	ev_timer report;
};

/* ---- bounds ---- */

static bool has_space(const struct tail *tail)
{
	return buf_len(&tail->client->out) < TAIL_WAITING;
}

static void report_missed(struct tail *tail)
{
	struct buf *out = &tail->client->out;

	if (tail->missed == 0)
		return;
	buf_printf(out, tail->json ? "{\"missed\":%llu}\n" : "-- %llu missed here: more came than this reader took, or than a tail shows --\n",
	           (unsigned long long)tail->missed);
	tail->missed = 0;
}

static void on_report(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct tail *tail = timer->data;
	(void)events;

	/* A socket that is filled to a quarter is not called writable any more. What else fits goes now, so that the client's
	 * patience counts from here on, not again when its time is up. */
	if (!has_space(tail) && !client_flush(tail->client))
		return;
	if (!has_space(tail))
		return;
	ev_timer_stop(loop, timer);
	tail->full_in = 0; /* more may be refused in this turn, and starts the timer again */
	report_missed(tail);
	client_flush_later(tail->client);
}

/* True when one more line may be written now; else it is counted as missed. */
static bool take_line(struct tail *tail)
{
	struct ev_loop *loop = tail->client->console->loop;
	unsigned turn = ev_iteration(loop);

	/* Time stands still within a turn, and so does what the client has not taken yet. */
	if (tail->full_in == turn) {
		tail->missed++;
		return false;
	}
	double now = (double)clock_mono_ns() / 1e9;
	if (now - tail->window >= WINDOW) {
		tail->lines = fmin(LINES_AT_ONCE, tail->lines + (now - tail->window) / WINDOW * LINES_PER_WINDOW);
		tail->window = now;
	}
	if (tail->lines >= 1 && has_space(tail)) {
		tail->lines--;
		report_missed(tail);
		return true;
	}
	tail->full_in = turn;
	tail->missed++;
	if (!ev_is_active(&tail->report)) {
		tail->report.repeat = REPORT_PAUSE;
		ev_timer_again(loop, &tail->report);
	}
	return false;
}

/* ---- filters ---- */

static bool name_matches(const struct tail *tail, struct slice name)
{
	char lower[128];

	if (tail->name_count == 0)
		return true;
	if (name.len > sizeof lower)
		name.len = sizeof lower;
	for (size_t i = 0; i < name.len; i++)
		lower[i] = slice_lower(name.ptr[i]);
	for (unsigned i = 0; i < tail->name_count; i++)
		if (slice_glob(slice_cstr(tail->names[i]), slice_make(lower, name.len)))
			return true;
	return false;
}

static bool server_matches(const struct tail *tail, const char *server)
{
	return !tail->server || strcmp(tail->server, server) == 0;
}

static bool where_matches(const struct tail *tail, const struct headers *headers)
{
	for (unsigned i = 0; i < tail->where_count; i++) {
		const char *equals = strchr(tail->where[i], '=');
		if (!headers || !headers_match(headers, slice_make(tail->where[i], (size_t)(equals - tail->where[i])), slice_cstr(equals + 1)))
			return false;
	}
	return true;
}

/* ---- lines ---- */

static void print_time(struct console *console, struct buf *out, double at)
{
	time_t seconds = (time_t)at;
	int ms = (int)((at - (double)seconds) * 1000);

	if (seconds != console->shown_second) {
		struct tm tm = { 0 };
		localtime_r(&seconds, &tm);
		strftime(console->shown_time, sizeof console->shown_time, "%H:%M:%S", &tm);
		console->shown_second = seconds;
	}
	buf_append_cstr(out, console->shown_time);
	buf_append(out, slice_make((const char[]){ '.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), ' ' }, 5));
}

static void print_start(struct tail *tail, double at, const char *server, const char *sign, struct slice name)
{
	struct buf *out = &tail->client->out;

	print_time(tail->client->console, out, at);
	text_clean(out, slice_cstr(server));
	buf_append_cstr(out, server[0] ? sign : sign + 1);
	text_clean(out, name);
}

static void print_sender(struct buf *out, const char *sender, const char *rule)
{
	buf_append_cstr(out, " (");
	text_clean(out, slice_cstr(rule ? rule : sender));
	buf_append_char(out, ')');
}

static void print_headers(struct buf *out, const struct headers *headers, struct slice but)
{
	for (uint32_t i = 0; i < headers_count(headers); i++) {
		struct slice name = headers_name(headers, i), value = headers_value(headers, i);
		bool quoted = value.len == 0 || memchr(value.ptr, ' ', value.len);
		if (slice_eq_nocase(name, but))
			continue;
		buf_append_char(out, ' ');
		text_clean(out, name);
		buf_append_cstr(out, quoted ? "=\"" : "=");
		headers_value_text(headers, i, out);
		if (quoted)
			buf_append_char(out, '"');
	}
	buf_append_char(out, '\n');
}

static void json_start(struct writer *writer, struct buf *out, double at, const char *server)
{
	writer_init(writer, out);
	writer_open(writer, NULL, '{');
	writer_number(writer, "time", at);
	writer_text(writer, "server", server[0] ? server : NULL);
}

static void json_end(struct writer *writer)
{
	writer_close(writer, '}');
	buf_append_char(writer->out, '\n');
}

static void show_event(struct tail *tail, const struct engine_event *event)
{
	const struct headers headers = { .message = event->message };
	struct buf *out = &tail->client->out;
	struct writer writer;

	if (!tail->json) {
		print_start(tail, event->at, event->server, event->own ? " * " : " ", event->message->name);
		if (event->sender)
			print_sender(out, event->sender, event->rule);
		print_headers(out, &headers, SLICE("Event"));
		return;
	}
	json_start(&writer, out, event->at, event->server);
	writer_text(&writer, "type", event->sender ? "emitted" : event->own ? "engine" : "event");
	writer_slice(&writer, SLICE("event"), event->message->name);
	if (event->sender) {
		writer_text(&writer, "sent_by", event->sender);
		writer_text(&writer, "rule", event->rule);
	}
	headers_json(&headers, &writer, "headers");
	json_end(&writer);
}

static void show_action(struct tail *tail, const char *server, const char *sender, const char *rule, const struct action *action,
                        const char *id)
{
	const struct headers headers = { .action = action };
	struct buf *out = &tail->client->out;
	struct slice name = action_name(action);
	struct writer writer;

	if (!tail->json) {
		print_start(tail, clock_wall(), server, " > ", name);
		print_sender(out, sender, rule);
		print_headers(out, &headers, SLICE("Action"));
		return;
	}
	json_start(&writer, out, clock_wall(), server);
	writer_text(&writer, "type", "action");
	writer_slice(&writer, SLICE("action"), name);
	writer_text(&writer, "action_id", id);
	writer_text(&writer, "sent_by", sender);
	writer_text(&writer, "rule", rule);
	headers_json(&headers, &writer, "headers");
	json_end(&writer);
}

static void show_answer(struct tail *tail, const char *server, const char *sender, const char *rule, const struct reply *reply)
{
	double seconds = (double)(clock_mono_ns() - reply->started) / 1e9;
	struct buf *out = &tail->client->out;
	struct writer writer;
	char id[ACTION_ID_MAX + 1];

	if (!tail->json) {
		print_start(tail, clock_wall(), server, " < ", slice_cstr(reply->action));
		print_sender(out, sender, rule);
		buf_printf(out, " %s after %.1f ms", reply->code == ERR_NONE ? "success" : err_name(reply->code), seconds * 1e3);
		if (reply->text[0]) {
			buf_append_cstr(out, ": ");
			text_clean(out, slice_cstr(reply->text));
		}
		if (reply->is_list)
			buf_printf(out, ", %u items", reply->event_count);
		buf_append_char(out, '\n');
		return;
	}
	json_start(&writer, out, clock_wall(), server);
	writer_text(&writer, "type", "answer");
	reply_id(reply, id);
	writer_text(&writer, "action", reply->action);
	writer_text(&writer, "action_id", id[0] ? id : NULL);
	writer_text(&writer, "sent_by", sender);
	writer_text(&writer, "rule", rule);
	writer_bool(&writer, "success", reply->code == ERR_NONE);
	writer_text(&writer, "code", reply->code == ERR_NONE ? NULL : err_name(reply->code));
	writer_text(&writer, "message", reply->text);
	writer_number(&writer, "seconds", seconds);
	writer_integer(&writer, "items", reply->event_count);
	if (reply->response)
		headers_json(&(struct headers){ .message = reply->response }, &writer, "headers");
	json_end(&writer);
}

/* ---- what happens ---- */

static void on_event(void *ctx, const struct engine_event *event)
{
	const struct headers headers = { .message = event->message };
	struct console *console = ctx;

	list_each(it, &console->tails) {
		struct tail *tail = list_entry(it, struct tail, node);
		if (!tail->events || !server_matches(tail, event->server) || !name_matches(tail, event->message->name) ||
		    !where_matches(tail, &headers) || !take_line(tail))
			continue;
		show_event(tail, event);
		client_flush_later(tail->client);
	}
}

static void on_sent(void *ctx, const char *server, const char *sender, const char *rule, const struct action *action, const char *id)
{
	const struct headers headers = { .action = action };
	struct console *console = ctx;

	list_each(it, &console->tails) {
		struct tail *tail = list_entry(it, struct tail, node);
		if (!tail->actions || !server_matches(tail, server) || !where_matches(tail, &headers) || !take_line(tail))
			continue;
		show_action(tail, server, sender, rule, action, id);
		client_flush_later(tail->client);
	}
}

static void on_answered(void *ctx, const char *server, const char *sender, const char *rule, const struct reply *reply)
{
	const struct headers headers = { .message = reply->response };
	struct console *console = ctx;

	list_each(it, &console->tails) {
		struct tail *tail = list_entry(it, struct tail, node);
		if (!tail->actions || !server_matches(tail, server) || !where_matches(tail, reply->response ? &headers : NULL) ||
		    !take_line(tail))
			continue;
		show_answer(tail, server, sender, rule, reply);
		client_flush_later(tail->client);
	}
}

/* ---- the command ---- */

static void tail_free(struct tail *tail)
{
	for (unsigned i = 0; i < tail->name_count; i++)
		free(tail->names[i]);
	for (unsigned i = 0; i < tail->where_count; i++)
		free(tail->where[i]);
	free(tail->server);
	free(tail);
}

/* What servers with `events = "auto"` are asked for on its behalf. Looking at whatever comes asks for nothing. */
static uint32_t classes_of(const struct tail *tail)
{
	uint32_t classes = 0;

	for (unsigned i = 0; i < tail->name_count; i++)
		if (!strchr(tail->names[i], '.')) /* those are no server's */
			classes |= catalogue_events_classes(slice_cstr(tail->names[i]));
	return classes;
}

/* One watch stands for all of them. */
static void ask_for_events(struct console *console)
{
	struct engine_watch *watch = &console->watch;
	const struct tail *only = NULL;
	unsigned count = 0;

	watch->classes = 0;
	list_each(it, &console->tails) {
		only = list_entry(it, struct tail, node);
		watch->classes |= classes_of(only);
		count++;
	}
	watch->server = count == 1 ? only->server : NULL;
	engine_watch_changed(console->engine, watch);
}

static void cancel(struct client *client)
{
	struct tail *tail = client->work;

	ev_timer_stop(client->console->loop, &tail->report);
	list_remove(&tail->node);
	if (list_empty(&client->console->tails))
		engine_watch_remove(client->console->engine, &client->console->watch);
	else
		ask_for_events(client->console);
	tail_free(tail);
}

static int add_pattern(char **patterns, unsigned *count, const char *text)
{
	if (*count == PATTERNS_MAX)
		return -1;
	patterns[(*count)++] = mem_strdup(text);
	return 0;
}

static int add_option(struct tail *tail, const char *name, const char *value)
{
	if (strcmp(name, "--server") == 0) {
		free(tail->server);
		tail->server = mem_strdup(value);
		return 0;
	}
	if (strcmp(name, "--where") == 0)
		return strchr(value, '=') && value[0] != '=' ? add_pattern(tail->where, &tail->where_count, value) : -1;
	if (strcmp(name, "--event") != 0 || add_pattern(tail->names, &tail->name_count, value) == -1)
		return -1;
	for (char *at = tail->names[tail->name_count - 1]; *at; at++)
		*at = slice_lower(*at);
	return 0;
}

/* -1 when the argument at `*i` is wrong; else `*i` is the last one taken. `--name value` and `--name=value` are the same. */
static int read_option(struct tail *tail, const struct request *request, int *i)
{
	const char *word = request->argv[*i], *equals = strchr(word, '=');
	char name[16];

	if (strcmp(word, "--actions") == 0) {
		tail->actions = true;
		return 0;
	}
	if (!equals && *i + 1 < request->argc)
		return add_option(tail, word, request->argv[++*i]);
	if (!equals || (size_t)(equals - word) >= sizeof name)
		return -1;
	snprintf(name, sizeof name, "%.*s", (int)(equals - word), word);
	return add_option(tail, name, equals + 1);
}

static bool server_exists(struct engine *engine, const char *name)
{
	struct link_view view;

	for (size_t i = 0; engine_server_view(engine, i, &view); i++)
		if (strcmp(view.name, name) == 0)
			return true;
	return false;
}

int command_tail(struct request *request)
{
	struct console *console = request->client->console;
	struct tail *tail = mem_zalloc(sizeof *tail);

	for (int i = 0; i < request->argc; i++) {
		const char *word = request->argv[i];
		if (read_option(tail, request, &i) == 0)
			continue;
		tail_free(tail);
		return client_refuse(request->client, 2, "tail: '%s' is not understood; the options are --server NAME, --event NAME or GLOB and "
		                     "--where HEADER=VALUE (up to %d of both), --actions, --json", word, PATTERNS_MAX);
	}
	if (tail->server && !server_exists(request->engine, tail->server)) {
		int code = client_refuse(request->client, 1, "tail: the configuration has no server '%s'", tail->server);
		tail_free(tail);
		return code;
	}
	tail->client = request->client;
	tail->json = request->json;
	tail->events = !tail->actions || tail->name_count > 0;
	ev_timer_init(&tail->report, on_report, 0, REPORT_PAUSE);
	tail->report.data = tail;
	if (list_empty(&console->tails)) {
		console->watch = (struct engine_watch){ .ctx = console, .event = on_event, .sent = on_sent, .answered = on_answered };
		engine_watch_add(request->engine, &console->watch);
	}
	list_append(&console->tails, &tail->node);
	ask_for_events(console);
	request->client->work = tail;
	request->client->cancel = cancel;
	request->client->patience = TAIL_PATIENCE;
	/* The first line says that the client is watching. */
	client_flush(request->client);
	return COMMAND_LATER;
}
