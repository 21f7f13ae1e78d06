/* `GET /api/events`: AMI events as they come. An event is made into bytes once for all readers that want it; a reader's bytes wait in
 * a bounded buffer of its own, and what it misses for that is reported to it in its place (P9). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ami/catalogue.h"
#include "base/mem.h"
#include "observe/log.h"
#include "view/headers_json.h"
#include "web/web_sse.h"

#define WAITING (256u << 10) /* bytes that wait for one reader */
#define PATTERNS_MAX 16

struct reader {
	struct list node;
	struct web_events *events;
	struct web_connection *c;
	struct web_token *sight, *token; /* owned; held */
	unsigned char digest[WEB_DIGEST];
	char *names[PATTERNS_MAX];       /* lower case, any of them; none: all */
	char *where[PATTERNS_MAX];       /* "Header:pattern", all of them */
	unsigned name_count, where_count;
	struct buf waiting;
	uint64_t missed;
};

struct web_events {
	struct web *web;
	struct ev_loop *loop;
	struct list readers;
	struct engine_watch watch;
	ev_timer flush, comment;
	struct series *missed;
};

/* ---- readers ---- */

static void reader_free(struct reader *r)
{
	for (unsigned i = 0; i < r->name_count; i++)
		free(r->names[i]);
	for (unsigned i = 0; i < r->where_count; i++)
		free(r->where[i]);
	web_token_release(&r->sight);
	web_token_release(&r->token);
	buf_close(&r->waiting);
	free(r);
}

/* What servers with `events = "auto"` are asked for on behalf of the readers. Who names no event asks for nothing. */
static void ask_for_events(struct web_events *events)
{
	events->watch.classes = 0;
	list_each(it, &events->readers) {
		const struct reader *r = list_entry(it, struct reader, node);
		for (unsigned i = 0; i < r->name_count; i++)
			events->watch.classes |= catalogue_events_classes(slice_cstr(r->names[i]));
	}
	engine_watch_changed(events->web->engine, &events->watch);
}

static void on_cancel(void *work)
{
	struct reader *r = work;
	struct web_events *events = r->events;

	list_remove(&r->node);
	web_sse_ended(events->web);
	reader_free(r);
	if (!list_empty(&events->readers)) {
		ask_for_events(events);
		return;
	}
	engine_watch_remove(events->web->engine, &events->watch);
	ev_timer_stop(events->loop, &events->flush);
	ev_timer_stop(events->loop, &events->comment);
}

static void report_missed(struct reader *r)
{
	char data[64];

	if (r->missed == 0)
		return;
	int n = snprintf(data, sizeof data, "{\"missed\":%" PRIu64 "}", r->missed);
	r->missed = 0;
	web_sse_frame(&r->waiting, "gap", NULL, slice_make(data, (size_t)n));
}

static void feed(struct reader *r)
{
	struct web_connection *c = r->c;

	if (web_connection_is_full(c))
		return;
	struct buf waiting = r->waiting;
	buf_init(&r->waiting, 0);
	report_missed(r);
	buf_append(&waiting, buf_slice(&r->waiting));
	buf_clear(&r->waiting);
	if (buf_len(&waiting) > 0)
		web_connection_send(c, buf_slice(&waiting));
	buf_close(&waiting);
}

static void on_drained(void *work)
{
	(void)work; /* the next flush brings more */
}

static void on_flush(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_events *e = timer->data;
	(void)loop, (void)events;

	list_each_safe(it, &e->readers)
		feed(list_entry(it, struct reader, node));
}

static void on_comment(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_events *e = timer->data;
	(void)loop, (void)events;

	list_each_safe(it, &e->readers) {
		struct reader *r = list_entry(it, struct reader, node);
		if (!web_connection_is_full(r->c))
			web_connection_send(r->c, SLICE(":\n\n"));
	}
}

/* ---- events ---- */

static bool matches(const struct reader *r, const struct engine_event *event)
{
	const struct headers headers = { .message = event->message };
	struct slice name = event->message->name;
	char lower[128];
	bool named = r->name_count == 0;

	if (!web_token_sees_server(r->sight, slice_cstr(event->server)))
		return false;
	if (name.len > sizeof lower)
		name.len = sizeof lower;
	for (size_t i = 0; i < name.len; i++)
		lower[i] = slice_lower(name.ptr[i]);
	for (unsigned i = 0; i < r->name_count && !named; i++)
		named = slice_glob(slice_cstr(r->names[i]), slice_make(lower, name.len));
	for (unsigned i = 0; i < r->where_count && named; i++) {
		const char *colon = strchr(r->where[i], ':');
		named = headers_match(&headers, slice_make(r->where[i], (size_t)(colon - r->where[i])), slice_cstr(colon + 1));
	}
	return named;
}

static void make_frame(const struct engine_event *event, struct buf *frame)
{
	struct writer writer;
	struct buf data;

	buf_init(&data, 0);
	writer_init(&writer, &data);
	writer_open(&writer, NULL, '{');
	writer_text(&writer, "server", event->server);
	writer_number(&writer, "time", event->at);
	writer_slice(&writer, SLICE("event"), event->message->name);
	headers_json(&(struct headers){ .message = event->message }, &writer, "headers");
	writer_close(&writer, '}');
	web_sse_frame(frame, NULL, NULL, buf_slice(&data));
	buf_close(&data);
}

static void on_event(void *ctx, const struct engine_event *event)
{
	struct web_events *e = ctx;
	struct buf frame;

	if (event->own)
		return;
	buf_init(&frame, 0);
	list_each(it, &e->readers) {
		struct reader *r = list_entry(it, struct reader, node);
		if (!matches(r, event))
			continue;
		if (buf_len(&frame) == 0)
			make_frame(event, &frame);
		if (r->missed == 0 && buf_len(&r->waiting) + buf_len(&frame) <= WAITING && buf_append(&r->waiting, buf_slice(&frame)) == 0)
			continue;
		/* Until it has been told. */
		if (r->missed++ == 0)
			log_write(LOG_WARN, "web stream misses events: its reader is slow", F_TEXT("client", r->token->name));
		if (e->missed)
			e->missed->value++;
	}
	buf_close(&frame);
}

/* ---- the request ---- */

static bool add_pattern(char **patterns, unsigned *count, struct slice text)
{
	if (*count == PATTERNS_MAX || text.len == 0)
		return false;
	patterns[(*count)++] = mem_slicedup(text);
	return true;
}

static bool read_parameter(void *ctx, struct slice name, struct slice value)
{
	struct reader *r = ctx;

	if (slice_eq(name, SLICE("where")))
		return value.len > 0 && value.ptr[0] != ':' && memchr(value.ptr, ':', value.len) && add_pattern(r->where, &r->where_count, value);
	if (!slice_eq(name, SLICE("name")) || !add_pattern(r->names, &r->name_count, value))
		return false;
	for (char *at = r->names[r->name_count - 1]; *at; at++)
		*at = slice_lower(*at);
	return true;
}

void web_serve_events(const struct web_ask *ask)
{
	struct web_events *e = ask->web->events;
	struct reader *r;

	if (ask->token->queues.count > 0) {
		web_refused(ask->web, WEB_REFUSED_SCOPE, ask->client, ask->token->name);
		web_fail(ask->web, ask->c, 403, (struct slice){ "", 0 }, "this token is limited to queues and does not see events");
		return;
	}
	if (!web_sse_allowed(ask))
		return;
	r = mem_zalloc(sizeof *r);
	r->events = e;
	r->c = ask->c;
	buf_init(&r->waiting, 0);
	r->sight = web_sse_sight(ask, read_parameter, r, "name=GLOB and where=HEADER:GLOB, up to 16 of each, and server");
	if (!r->sight) {
		reader_free(r);
		return;
	}
	r->token = web_token_hold(ask->token);
	memcpy(r->digest, ask->digest, sizeof r->digest);
	if (list_empty(&e->readers)) {
		e->watch = (struct engine_watch){ .ctx = e, .event = on_event };
		engine_watch_add(e->web->engine, &e->watch);
		ev_timer_again(e->loop, &e->flush);
		ev_timer_again(e->loop, &e->comment);
	}
	list_append(&e->readers, &r->node);
	ask_for_events(e);
	web_sse_begin(ask, r, on_cancel, on_drained);
}

/* ---- making it ---- */

void web_events_reloaded(struct web_events *events)
{
	list_each_safe(it, &events->readers) {
		struct reader *r = list_entry(it, struct reader, node);
		struct web_token *now = web_access_still(events->web->access, r->token, r->digest);
		if (!now) {
			web_connection_end(r->c);
			continue;
		}
		web_token_release(&r->token);
		r->token = web_token_hold(now);
	}
}

struct web_events *web_events_create(struct web *web, struct err *err)
{
	struct metric *missed = metrics_add(engine_metrics(web->engine), METRIC_COUNTER, "hookswitch_web_events_missed_total",
	                                    "Events that readers of /api/events missed because they were slow; each is reported to them.", NULL, 0, NULL, 0, 0,
	                                    err);

	if (!missed)
		return NULL;
	struct web_events *events = mem_zalloc(sizeof *events);
	events->web = web;
	events->loop = engine_loop(web->engine);
	events->missed = metric_series(missed, NULL, 0);
	list_init(&events->readers);
	ev_timer_init(&events->flush, on_flush, 0, WEB_SSE_FLUSH);
	ev_timer_init(&events->comment, on_comment, 0, WEB_SSE_COMMENT);
	events->flush.data = events->comment.data = events;
	return events;
}

void web_events_destroy(struct web_events **events)
{
	struct web_events *e = *events;

	if (!e)
		return;
	*events = NULL;
	list_each_safe(it, &e->readers)
		web_connection_end(list_entry(it, struct reader, node)->c);
	free(e);
}
