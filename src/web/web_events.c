/* `GET /api/events`: AMI events as they come. An event is compared once with each filter, however many readers have it, and made into
 * bytes once for all; a reader's bytes wait in a bounded buffer of its own, and what it misses for that is reported to it in its place (P9).
 * Buffers are sent ten times a second, as many in one turn of the loop as web_turn.h allows. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ami/catalogue.h"
#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "view/headers_json.h"
#include "web/web_sse.h"

#define WAITING (256u << 10) /* bytes that wait for one reader */
#define PATTERNS_MAX 16

/* What some readers want to see, and may. */
struct filter {
	struct list node;
	unsigned holders;
	struct web_token *sight;   /* owned */
	struct config_list names;  /* lower case, any of them; none: all */
	struct config_list where;  /* "Header:pattern", all of them */
	bool matched;              /* by the event at hand */
};

struct reader {
	struct list node;          /* events->readers */
	struct list queue;         /* events->fed, while it waits for its turn */
	struct web_events *events;
	struct web_connection *c;
	struct filter *filter;     /* held */
	struct web_token *token;   /* held */
	unsigned char digest[WEB_DIGEST];
	struct buf waiting;
	uint64_t missed;
	uint64_t sent;             /* monotonic ns: the flush in which it got something last */
};

struct web_events {
	struct web *web;
	struct ev_loop *loop;
	struct list readers, fed, filters;
	struct engine_watch watch;
	ev_timer flush, feed;
	uint64_t flushed;          /* monotonic ns: when the last flush began */
	struct series *missed;
};

/* ---- filters ---- */

static void filter_release(struct filter **filter)
{
	struct filter *f = *filter;

	*filter = NULL;
	if (!f || --f->holders > 0)
		return;
	list_remove(&f->node);
	config_list_close(&f->names);
	config_list_close(&f->where);
	web_token_release(&f->sight);
	free(f);
}

/* The one that stands for `mine`, which is taken over: an equal one that others have, or itself. */
static struct filter *shared(struct web_events *events, struct filter *mine)
{
	list_each(it, &events->filters) {
		struct filter *f = list_entry(it, struct filter, node);
		if (config_list_equal(&f->sight->servers, &mine->sight->servers) && config_list_equal(&f->names, &mine->names) &&
		    config_list_equal(&f->where, &mine->where)) {
			f->holders++;
			filter_release(&mine);
			return f;
		}
	}
	list_append(&events->filters, &mine->node);
	return mine;
}

/* ---- readers ---- */

static void reader_free(struct reader *r)
{
	list_remove(&r->node);
	list_remove(&r->queue);
	filter_release(&r->filter);
	web_token_release(&r->token);
	buf_close(&r->waiting);
	free(r);
}

/* What servers with `events = "auto"` are asked for on behalf of the readers. Who names no event asks for nothing. */
static void ask_for_events(struct web_events *events)
{
	events->watch.classes = 0;
	list_each(it, &events->filters) {
		const struct filter *f = list_entry(it, struct filter, node);
		for (size_t i = 0; i < f->names.count; i++)
			events->watch.classes |= catalogue_events_classes(slice_cstr(f->names.items[i]));
	}
	engine_watch_changed(events->web->engine, &events->watch);
}

static void on_cancel(void *work)
{
	struct reader *r = work;
	struct web_events *events = r->events;

	reader_free(r);
	web_sse_ended(events->web);
	if (!list_empty(&events->readers)) {
		ask_for_events(events);
		return;
	}
	engine_watch_remove(events->web->engine, &events->watch);
	ev_timer_stop(events->loop, &events->flush);
	ev_timer_stop(events->loop, &events->feed);
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

/* What waits, or a comment when it has had nothing for long. */
static void feed(struct reader *r)
{
	struct web_connection *c = r->c;
	struct buf waiting = r->waiting;

	if (web_connection_is_full(c))
		return;
	buf_init(&r->waiting, 0);
	report_missed(r);
	buf_append(&waiting, buf_slice(&r->waiting));
	buf_clear(&r->waiting);
	if (buf_len(&waiting) == 0 && r->events->flushed > r->sent + clock_from_seconds(WEB_SSE_COMMENT - WEB_SSE_FLUSH))
		buf_append_cstr(&waiting, ":\n\n");
	if (buf_len(&waiting) > 0) {
		r->sent = r->events->flushed;
		web_connection_send(c, buf_slice(&waiting));
	}
	buf_close(&waiting);
}

static void on_drained(void *work)
{
	(void)work; /* the next flush brings more */
}

/* As many readers as this turn of the loop allows. */
static void on_feed(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_events *e = timer->data;
	struct web_turn *turn = &e->web->api->streaming;
	bool time = true;
	(void)events;

	while (time && !list_empty(&e->fed)) {
		struct reader *r = list_entry(e->fed.next, struct reader, queue);
		web_turn_begin(turn);
		list_remove(&r->queue);
		feed(r);
		time = web_turn_end(turn);
	}
	if (!list_empty(&e->fed))
		ev_timer_start(loop, timer);
}

static void on_flush(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_events *e = timer->data;
	(void)events;

	e->flushed = clock_mono_ns();
	list_each(it, &e->readers) {
		struct reader *r = list_entry(it, struct reader, node);
		if (list_empty(&r->queue))
			list_append(&e->fed, &r->queue);
	}
	ev_timer_start(loop, &e->feed);
}

/* ---- events ---- */

static bool matches(const struct filter *f, const struct engine_event *event)
{
	const struct headers headers = { .message = event->message };
	struct slice name = event->message->name;
	char lower[128];
	bool named = f->names.count == 0;

	if (!web_token_sees_server(f->sight, slice_cstr(event->server)))
		return false;
	if (name.len > sizeof lower)
		name.len = sizeof lower;
	for (size_t i = 0; i < name.len; i++)
		lower[i] = slice_lower(name.ptr[i]);
	for (size_t i = 0; i < f->names.count && !named; i++)
		named = slice_glob(slice_cstr(f->names.items[i]), slice_make(lower, name.len));
	for (size_t i = 0; i < f->where.count && named; i++) {
		const char *where = f->where.items[i], *colon = strchr(where, ':');
		named = headers_match(&headers, slice_make(where, (size_t)(colon - where)), slice_cstr(colon + 1));
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
	bool wanted = false;

	if (event->own)
		return;
	list_each(it, &e->filters) {
		struct filter *f = list_entry(it, struct filter, node);
		f->matched = matches(f, event);
		wanted |= f->matched;
	}
	if (!wanted)
		return;
	buf_init(&frame, 0);
	make_frame(event, &frame);
	list_each(it, &e->readers) {
		struct reader *r = list_entry(it, struct reader, node);
		if (!r->filter->matched)
			continue;
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

static bool add_pattern(struct config_list *patterns, struct slice text)
{
	if (patterns->count == PATTERNS_MAX || text.len == 0)
		return false;
	config_list_add(patterns, text);
	return true;
}

static bool read_parameter(void *ctx, struct slice name, struct slice value)
{
	struct filter *f = ctx;

	if (slice_eq(name, SLICE("where")))
		return value.len > 0 && value.ptr[0] != ':' && memchr(value.ptr, ':', value.len) && add_pattern(&f->where, value);
	if (!slice_eq(name, SLICE("name")) || !add_pattern(&f->names, value))
		return false;
	for (char *at = f->names.items[f->names.count - 1]; *at; at++)
		*at = slice_lower(*at);
	return true;
}

void web_serve_events(const struct web_ask *ask)
{
	struct web_events *e = ask->web->events;
	struct filter *filter;
	struct reader *r;

	if (ask->token->queues.count > 0) {
		web_refused(ask->web, WEB_REFUSED_SCOPE, ask->client, ask->token->name);
		web_fail(ask->web, ask->c, 403, (struct slice){ "", 0 }, "this token is limited to queues and does not see events");
		return;
	}
	if (!web_sse_allowed(ask))
		return;
	filter = mem_zalloc(sizeof *filter);
	filter->holders = 1;
	list_init(&filter->node);
	filter->sight = web_sse_sight(ask, false, read_parameter, filter, "name=GLOB and where=HEADER:GLOB, up to 16 of each, and server");
	if (!filter->sight) {
		filter_release(&filter);
		return;
	}
	r = mem_zalloc(sizeof *r);
	r->events = e;
	r->c = ask->c;
	r->filter = shared(e, filter);
	r->sent = clock_mono_ns();
	list_init(&r->queue);
	buf_init(&r->waiting, 0);
	r->token = web_token_hold(ask->token);
	memcpy(r->digest, ask->digest, sizeof r->digest);
	if (list_empty(&e->readers)) {
		e->watch = (struct engine_watch){ .ctx = e, .event = on_event };
		engine_watch_add(e->web->engine, &e->watch);
		ev_timer_again(e->loop, &e->flush);
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
	list_init(&events->fed);
	list_init(&events->filters);
	ev_timer_init(&events->flush, on_flush, 0, WEB_SSE_FLUSH);
	ev_timer_init(&events->feed, on_feed, 0, 0);
	ev_set_priority(&events->feed, WEB_TURN_PRIORITY);
	events->flush.data = events->feed.data = events;
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
