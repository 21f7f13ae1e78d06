/* `GET /api/live`: the live picture, a snapshot and then every change. A change is made into bytes once, in a ring from which all readers
 * are fed; a reader has bytes of its own only while its socket takes none, at most PUSH. Who falls out of the ring begins anew with a
 * snapshot; who does so again and again is dropped. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "rules/picture.h"
#include "web/web_change.h"
#include "web/web_snapshot.h"
#include "web/web_sse.h"

#define PUSH (64u << 10)     /* bytes that a reader is given at once */
#define SNAPSHOT (64u << 10) /* bytes of snapshots made in one turn of the loop, for all readers */
#define FED 64               /* readers that are fed in one turn of the loop, so that many delay nobody by more (P5) */
#define AGAIN 30.0           /* seconds: a reader that falls behind twice in them is dropped */
#define KEEP 60.0            /* seconds that changes are kept for readers that may come back when there are none */
#define LOOK 1.0             /* seconds between two looks at servers and rules */

struct reader {
	struct list node;
	struct web_live *live;
	struct web_connection *c;
	struct web_token *sight;   /* owned */
	struct web_token *token;   /* held: what it came with */
	unsigned char digest[WEB_DIGEST];
	uint64_t next;             /* number of the change that it gets next */
	bool snapshotting;
	struct web_snapshot snapshot;
	uint64_t restarted;        /* monotonic ns; 0: never */
};

/* What was said last of a server or a rule. */
struct said {
	struct list node;
	bool rule, seen;
	char *name;
	char state[32];  /* of a server */
	double since;    /* epoch seconds */
	uint32_t hash;
};

struct web_live {
	struct web *web;
	struct ev_loop *loop;
	struct list readers;       /* who was served longest ago comes first */
	struct web_ring ring;
	uint32_t epoch;
	uint64_t generation;       /* of the picture */
	bool watching;
	struct engine_watch watch;
	struct list said;
	unsigned unfed;            /* readers at the front of the list that this flush has still to feed */
	ev_timer flush, feed, comment, look, keep, soon;
	struct series *restarts, *dropped, *changes;
};

/* ---- epochs ---- */

static void new_epoch(struct web_live *live)
{
	uint32_t before = live->epoch;

	web_ring_clear(&live->ring);
	do
		if (getrandom(&live->epoch, sizeof live->epoch, GRND_NONBLOCK) != sizeof live->epoch)
			live->epoch = (uint32_t)clock_mono_ns();
	while (live->epoch == before || live->epoch == 0);
}

static const char *id_text(const struct web_live *live, uint64_t number, char text[40])
{
	snprintf(text, 40, "%08" PRIx32 "-%" PRIu64, live->epoch, number);
	return text;
}

/* The number of the change that follows the one of that id; false: of another epoch, or none. */
static bool read_id(const struct web_live *live, struct slice id, uint64_t *next)
{
	char prefix[40];
	int64_t number;
	int n = snprintf(prefix, sizeof prefix, "%08" PRIx32 "-", live->epoch);

	if (!slice_starts_with(id, slice_make(prefix, (size_t)n)) || !slice_to_int(slice_make(id.ptr + n, id.len - (size_t)n), &number) || number < 0)
		return false;
	*next = (uint64_t)number + 1;
	return *next >= live->ring.first && *next <= web_ring_next(&live->ring);
}

/* ---- readers ---- */

static void reader_free(struct reader *r)
{
	struct web_live *live = r->live;

	list_remove(&r->node);
	web_token_release(&r->sight);
	web_token_release(&r->token);
	web_sse_ended(live->web);
	free(r);
	if (list_empty(&live->readers)) {
		ev_timer_stop(live->loop, &live->flush);
		ev_timer_stop(live->loop, &live->comment);
		ev_timer_stop(live->loop, &live->soon);
		ev_timer_stop(live->loop, &live->feed);
		ev_timer_again(live->loop, &live->keep);
	}
}

static void on_cancel(void *work)
{
	reader_free(work);
}

static void begin_snapshot(struct reader *r)
{
	web_snapshot_begin(&r->snapshot);
	r->snapshotting = true;
	r->next = web_ring_next(&r->live->ring);
	ev_timer_start(r->live->loop, &r->live->soon);
}

/* The changes that it has not had are gone. False: the reader is gone too. */
static bool fell_behind(struct reader *r)
{
	struct web_live *live = r->live;
	uint64_t now = clock_mono_ns();
	char ip[ADDRESS_TEXT_MAX];

	if (r->snapshotting || (r->restarted && now - r->restarted < clock_from_seconds(AGAIN))) {
		if (live->dropped)
			live->dropped->value++;
		address_text(web_connection_peer(r->c), ip);
		log_write(LOG_WARN, "web stream dropped", F_TEXT("reason", "slow"), F_TEXT("client", r->token->name), F_TEXT("address", ip));
		web_connection_end(r->c);
		return false;
	}
	if (live->restarts)
		live->restarts->value++;
	log_write(LOG_WARN, "web stream begins anew: its reader is slow", F_TEXT("client", r->token->name));
	r->restarted = now;
	begin_snapshot(r);
	return true;
}

/* Gives the reader what there is, until its socket takes no more. */
static void feed(struct reader *r)
{
	struct web_live *live = r->live;
	struct slice run;

	if (r->next < live->ring.first) {
		if (!web_connection_is_full(r->c) || r->snapshotting)
			fell_behind(r);
		return;
	}
	while (!r->snapshotting && !web_connection_is_full(r->c)) {
		if (!web_ring_read(&live->ring, r->sight, PUSH, &r->next, &run) || run.len == 0)
			return;
		if (!web_connection_send(r->c, run))
			return;
	}
	if (r->snapshotting)
		ev_timer_start(live->loop, &live->soon);
}

static void on_drained(void *work)
{
	feed(work);
}

/* A part of a snapshot for the reader that waits longest; the next one in the loop's next turn. */
static void on_soon(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_live *live = timer->data;
	struct reader *r = NULL;
	struct buf out;
	char id[40];
	(void)events;

	list_each(it, &live->readers) {
		struct reader *one = list_entry(it, struct reader, node);
		if (one->snapshotting && !web_connection_is_full(one->c)) {
			r = one;
			break;
		}
	}
	if (!r)
		return;
	list_remove(&r->node);
	list_append(&live->readers, &r->node);
	buf_init(&out, 0);
	r->snapshotting = web_snapshot_write(&r->snapshot, live->web, r->sight, id_text(live, r->next - 1, id), SNAPSHOT, &out);
	ev_timer_start(loop, timer);
	if (web_connection_send(r->c, buf_slice(&out)) && !r->snapshotting)
		feed(r);
	buf_close(&out);
}

/* Some readers; the others in the loop's next turns. */
static void on_feed(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_live *live = timer->data;
	(void)events;

	for (unsigned i = 0; i < FED && live->unfed > 0 && !list_empty(&live->readers); i++) {
		struct reader *r = list_entry(live->readers.next, struct reader, node);
		live->unfed--;
		list_remove(&r->node);
		list_append(&live->readers, &r->node);
		feed(r);
	}
	if (live->unfed > 0 && !list_empty(&live->readers))
		ev_timer_start(loop, timer);
}

static void on_flush(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_live *live = timer->data;

	live->unfed = 0;
	list_each(it, &live->readers)
		live->unfed++;
	on_feed(loop, &live->feed, events);
}

static void on_comment(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_live *live = timer->data;
	(void)loop, (void)events;

	list_each_safe(it, &live->readers) {
		struct reader *r = list_entry(it, struct reader, node);
		if (!web_connection_is_full(r->c))
			web_connection_send(r->c, SLICE(":\n\n"));
	}
}

/* ---- changes ---- */

static void add(struct web_live *live, const char *event, struct slice data, enum web_seen seen, struct slice server, struct slice queues)
{
	struct buf frame;
	char id[40];

	buf_init(&frame, 0);
	web_sse_frame(&frame, event, id_text(live, web_ring_next(&live->ring), id), data);
	web_ring_add(&live->ring, buf_slice(&frame), seen, server, queues);
	buf_close(&frame);
	if (live->changes)
		live->changes->value++;
}

static void on_event(void *ctx, const struct engine_event *event)
{
	struct web_live *live = ctx;
	struct buf data, queues;
	struct slice server;
	enum web_seen seen;
	char name[64];

	if (!event->own)
		return;
	buf_init(&data, 0);
	buf_init(&queues, 0);
	if (web_change_read(event, &data, &seen, &server, &queues)) {
		slice_to_text(event->message->name, name, sizeof name);
		add(live, name, buf_slice(&data), seen, server, buf_slice(&queues));
	}
	buf_close(&data);
	buf_close(&queues);
}

/* ---- servers and rules: looked at, because much of them changes without an event ---- */

static struct said *find_said(struct web_live *live, bool rule, struct slice name)
{
	list_each(it, &live->said) {
		struct said *said = list_entry(it, struct said, node);
		if (said->rule == rule && slice_eq(slice_cstr(said->name), name))
			return said;
	}
	struct said *said = mem_zalloc(sizeof *said);
	said->rule = rule;
	said->name = mem_slicedup(name);
	list_append(&live->said, &said->node);
	return said;
}

static void forget_said(struct web_live *live)
{
	list_each_safe(it, &live->said) {
		struct said *said = list_entry(it, struct said, node);
		list_remove(&said->node);
		free(said->name);
		free(said);
	}
}

/* Reports it when it is not what was said last. */
static void say(struct web_live *live, struct said *said, struct slice data)
{
	uint32_t hash = slice_hash(data);

	said->seen = true;
	if (hash == said->hash)
		return;
	said->hash = hash;
	add(live, said->rule ? "rule" : "server", data, said->rule ? WEB_SEEN_WHOLE : WEB_SEEN_SERVER, slice_cstr(said->rule ? "" : said->name),
	    (struct slice){ "", 0 });
}

static void look_at_servers(struct web_live *live)
{
	struct link_view view;
	struct writer writer;
	struct slice name;
	struct buf data;

	buf_init(&data, 0);
	for (size_t i = 0; engine_server_view(live->web->engine, i, &view); i++) {
		struct said *said = find_said(live, false, slice_cstr(view.name));
		if (strcmp(said->state, view.state) != 0)
			said->since = clock_wall() - view.state_age;
		snprintf(said->state, sizeof said->state, "%s", view.state);
		buf_clear(&data);
		writer_init(&writer, &data);
		if (web_snapshot_server(live->web, i, said->since, &name, &writer))
			say(live, said, buf_slice(&data));
	}
	buf_close(&data);
}

static void look_at_rules(struct web_live *live)
{
	struct writer writer;
	struct slice name;
	struct buf data;

	buf_init(&data, 0);
	for (size_t i = 0;; i++) {
		buf_clear(&data);
		writer_init(&writer, &data);
		if (!web_snapshot_rule(live->web, i, &name, &writer))
			break;
		say(live, find_said(live, true, name), buf_slice(&data));
	}
	buf_close(&data);
}

static void report_gone(struct web_live *live)
{
	list_each_safe(it, &live->said) {
		struct said *said = list_entry(it, struct said, node);
		bool seen = said->seen;
		said->seen = false;
		if (seen)
			continue;
		struct writer writer;
		struct buf data;
		buf_init(&data, 0);
		writer_init(&writer, &data);
		writer_open(&writer, NULL, '{');
		writer_text(&writer, "name", said->name);
		writer_close(&writer, '}');
		add(live, said->rule ? "rule.removed" : "server.removed", buf_slice(&data), said->rule ? WEB_SEEN_WHOLE : WEB_SEEN_SERVER,
		    slice_cstr(said->rule ? "" : said->name), (struct slice){ "", 0 });
		buf_close(&data);
		list_remove(&said->node);
		free(said->name);
		free(said);
	}
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_live *live = timer->data;
	(void)loop, (void)events;

	look_at_servers(live);
	look_at_rules(live);
	report_gone(live);
}

/* ---- watching ---- */

static void start_watching(struct web_live *live)
{
	ev_timer_stop(live->loop, &live->keep);
	ev_timer_again(live->loop, &live->flush);
	ev_timer_again(live->loop, &live->comment);
	if (live->watching)
		return;
	new_epoch(live);
	live->watching = true;
	live->watch = (struct engine_watch){ .ctx = live, .event = on_event };
	engine_watch_add(live->web->engine, &live->watch);
	ev_timer_again(live->loop, &live->look);
	on_look(live->loop, &live->look, 0);
}

static void stop_watching(struct web_live *live)
{
	ev_timer_stop(live->loop, &live->keep);
	ev_timer_stop(live->loop, &live->look);
	if (!live->watching)
		return;
	live->watching = false;
	engine_watch_remove(live->web->engine, &live->watch);
	web_ring_clear(&live->ring);
	forget_said(live);
}

static void on_keep(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)events;
	stop_watching(timer->data);
}

static void end_readers(struct web_live *live)
{
	list_each_safe(it, &live->readers)
		web_connection_end(list_entry(it, struct reader, node)->c);
}

/* A picture that was turned off and on again knows nothing of before. */
static void check_generation(struct web_live *live)
{
	uint64_t generation = picture_generation(host_picture(engine_host(live->web->engine)));

	if (generation == live->generation)
		return;
	live->generation = generation;
	end_readers(live);
	if (live->watching)
		new_epoch(live);
}

/* ---- the request ---- */

void web_serve_live(const struct web_ask *ask)
{
	struct web_live *live = ask->web->live;
	struct web_token *sight;
	char text[64], data[64];

	if (!picture_live(host_picture(engine_host(ask->web->engine)))) {
		web_fail(ask->web, ask->c, 503, (struct slice){ "", 0 }, "the live picture is off; set live.enabled and reload");
		return;
	}
	if (!web_sse_allowed(ask) || !(sight = web_sse_sight(ask, NULL, NULL, "queue and server")))
		return;
	check_generation(live);
	slice_to_text(web_request_header(ask->request, SLICE("Last-Event-ID")), text, sizeof text);
	struct reader *r = mem_zalloc(sizeof *r);
	r->live = live;
	r->c = ask->c;
	r->sight = sight;
	r->token = web_token_hold(ask->token);
	memcpy(r->digest, ask->digest, sizeof r->digest);
	list_append(&live->readers, &r->node);
	start_watching(live);
	if (!web_sse_begin(ask, r, on_cancel, on_drained))
		return;
	if (!read_id(live, slice_cstr(text), &r->next)) {
		begin_snapshot(r);
		return;
	}
	struct buf frame;
	buf_init(&frame, 0);
	int n = snprintf(data, sizeof data, "{\"now\":%.6f}", (double)picture_now(host_picture(engine_host(ask->web->engine))) / 1e6);
	web_sse_frame(&frame, "resumed", NULL, slice_make(data, (size_t)n));
	web_connection_send(r->c, buf_slice(&frame));
	buf_close(&frame);
}

/* ---- making it ---- */

void web_live_reloaded(struct web_live *live)
{
	live->ring.max = (size_t)engine_config(live->web->engine)->web.replay;
	check_generation(live);
	list_each_safe(it, &live->readers) {
		struct reader *r = list_entry(it, struct reader, node);
		struct web_token *now = web_access_still(live->web->access, r->token, r->digest);
		if (!now) {
			web_connection_end(r->c);
			continue;
		}
		web_token_release(&r->token);
		r->token = web_token_hold(now);
	}
}

struct web_live *web_live_create(struct web *web, struct err *err)
{
	struct metrics *metrics = engine_metrics(web->engine);
	struct metric *restarts = metrics_add(metrics, METRIC_COUNTER, "hookswitch_web_stream_restarts_total",
	                                      "Readers of /api/live that were too slow for web.replay and began anew with a snapshot.", NULL, 0, NULL, 0, 0, err);
	struct metric *dropped = metrics_add(metrics, METRIC_COUNTER, "hookswitch_web_streams_dropped_total",
	                                     "Readers of /api/live that were ended because they were too slow again and again.", NULL, 0, NULL, 0, 0, err);
	struct metric *changes = metrics_add(metrics, METRIC_COUNTER, "hookswitch_web_changes_total", "Changes made for the readers of /api/live.", NULL, 0, NULL,
	                                     0, 0, err);

	if (!restarts || !dropped || !changes)
		return NULL;
	struct web_live *live = mem_zalloc(sizeof *live);
	live->web = web;
	live->loop = engine_loop(web->engine);
	live->restarts = metric_series(restarts, NULL, 0);
	live->dropped = metric_series(dropped, NULL, 0);
	live->changes = metric_series(changes, NULL, 0);
	list_init(&live->readers);
	list_init(&live->said);
	web_ring_init(&live->ring, (size_t)engine_config(web->engine)->web.replay);
	ev_timer_init(&live->flush, on_flush, 0, WEB_SSE_FLUSH);
	ev_timer_init(&live->comment, on_comment, 0, WEB_SSE_COMMENT);
	ev_timer_init(&live->look, on_look, 0, LOOK);
	ev_timer_init(&live->keep, on_keep, 0, KEEP);
	ev_timer_init(&live->soon, on_soon, 0, 0);
	ev_timer_init(&live->feed, on_feed, 0, 0);
	live->flush.data = live->comment.data = live->look.data = live->keep.data = live->soon.data = live->feed.data = live;
	return live;
}

void web_live_destroy(struct web_live **live)
{
	struct web_live *l = *live;

	if (!l)
		return;
	*live = NULL;
	end_readers(l);
	stop_watching(l);
	ev_timer_stop(l->loop, &l->soon);
	ev_timer_stop(l->loop, &l->feed);
	ev_timer_stop(l->loop, &l->flush);
	ev_timer_stop(l->loop, &l->comment);
	web_ring_close(&l->ring);
	free(l);
}
