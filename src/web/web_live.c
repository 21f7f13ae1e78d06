/* `GET /api/live`: the live picture, a snapshot and then every change. Changes are made into bytes once, in a ring, from which all readers
 * are fed ten times a second: a flush. What equal readers get is chosen once for them (web_group.h). A reader has bytes of its own only while
 * its socket takes none, at most PUSH. Who falls out of the ring begins anew with a snapshot; who does so again and again is dropped.
 *
 * Readers take turns: one piece, and to the end of the queue while there is more. */
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
#include "web/web_group.h"
#include "web/web_look.h"
#include "web/web_snapshot.h"
#include "web/web_sse.h"

#define PUSH (32u << 10)     /* bytes that a reader is given at once */
#define SNAPSHOT (16u << 10) /* bytes of snapshots made in one turn of the loop, for all readers */
#define UNMADE (256u << 10)  /* bytes of changes that wait to be made into bytes; with more the engine waits for that */
#define AGAIN 30.0           /* seconds: a reader that falls behind twice in them is dropped */
#define KEEP 60.0            /* seconds that changes are kept for readers that may come back when there are none */
#define LOOK 1.0             /* seconds between two looks at servers and rules */

struct reader {
	struct list node;          /* live->readers */
	struct list queue;         /* live->fed or live->begun; neither while there is nothing for it or its socket takes no more */
	struct web_live *live;
	struct web_connection *c;
	struct web_token *sight;   /* owned */
	struct web_group *group;   /* held: of those with the same sight */
	struct web_token *token;   /* held: what it came with */
	unsigned char digest[WEB_DIGEST];
	uint64_t next;             /* number of the change that it gets next */
	bool flushing;             /* the flush under way has not come to it */
	bool snapshotting;
	struct web_snapshot snapshot;
	uint64_t sent;             /* monotonic ns: the flush in which it got something last */
	uint64_t restarted;        /* monotonic ns; 0: never */
};

struct web_live {
	struct web *web;
	struct ev_loop *loop;
	struct list readers;
	struct list fed, begun;    /* those that wait for changes and for a part of a snapshot; who waits longest comes first */
	struct web_groups groups;
	struct web_intake intake;
	struct web_ring ring;
	struct web_look look;
	struct web_flush flush;    /* under way, or the last one */
	uint64_t flushed;          /* monotonic ns: when it began */
	unsigned unfed;            /* readers to which it has not come */
	bool again;                /* the next one is due */
	uint32_t epoch;
	uint64_t generation;       /* of the picture */
	bool watching;
	struct engine_watch watch;
	ev_timer tick, feed, make, snapshots, looks, keep;
	struct series *restarts, *dropped, *changes;
};

/* ---- epochs ---- */

static void new_epoch(struct web_live *live)
{
	uint32_t before = live->epoch;

	web_ring_clear(&live->ring);
	web_intake_clear(&live->intake);
	live->flush.from = live->flush.upto = web_ring_next(&live->ring);
	do
		if (getrandom(&live->epoch, sizeof live->epoch, GRND_NONBLOCK) != sizeof live->epoch)
			live->epoch = (uint32_t)clock_mono_ns();
	while (live->epoch == before || live->epoch == 0);
}

/* Of the next change that is reported. */
static uint64_t next_number(const struct web_live *live)
{
	return web_ring_next(&live->ring) + live->intake.count;
}

/* The number of the change that follows the one of that id; false: of another epoch, or none. */
static bool read_id(const struct web_live *live, struct slice id, uint64_t *next)
{
	char prefix[WEB_SSE_ID];
	int64_t number;
	int n = snprintf(prefix, sizeof prefix, "%08" PRIx32 "-", live->epoch);

	if (!slice_starts_with(id, slice_make(prefix, (size_t)n)) || !slice_to_int(slice_make(id.ptr + n, id.len - (size_t)n), &number) || number < 0)
		return false;
	*next = (uint64_t)number + 1;
	return *next >= live->ring.first && *next <= next_number(live);
}

/* ---- readers ---- */

static void no_longer_flushing(struct reader *r)
{
	if (r->flushing)
		r->live->unfed--;
	r->flushing = false;
}

static void reader_free(struct reader *r)
{
	struct web_live *live = r->live;

	no_longer_flushing(r);
	list_remove(&r->node);
	list_remove(&r->queue);
	web_group_release(&r->group);
	web_token_release(&r->sight);
	web_token_release(&r->token);
	web_sse_ended(live->web);
	free(r);
	if (list_empty(&live->readers)) {
		ev_timer_stop(live->loop, &live->tick);
		ev_timer_stop(live->loop, &live->snapshots);
		ev_timer_stop(live->loop, &live->feed);
		ev_timer_again(live->loop, &live->keep);
	}
}

static void on_cancel(void *work)
{
	reader_free(work);
}

/* It waits for its turn, unless it does so already. */
static void enqueue(struct reader *r)
{
	struct web_live *live = r->live;

	if (list_empty(&r->queue))
		list_append(r->snapshotting ? &live->begun : &live->fed, &r->queue);
	ev_timer_start(live->loop, r->snapshotting ? &live->snapshots : &live->feed);
}

static void begin_snapshot(struct reader *r)
{
	web_snapshot_begin(&r->snapshot);
	r->snapshotting = true;
	r->next = next_number(r->live);
	list_remove(&r->queue);
	no_longer_flushing(r);
	enqueue(r);
}

/* The changes that it has not had are gone. The reader may be gone too. */
static void fell_behind(struct reader *r)
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
		return;
	}
	if (live->restarts)
		live->restarts->value++;
	log_write(LOG_WARN, "web stream begins anew: its reader is slow", F_TEXT("client", r->token->name));
	r->restarted = now;
	begin_snapshot(r);
}

/* One piece, or a comment when it has had nothing for long. False: there is no more for it now, or it is gone. */
static bool feed(struct reader *r)
{
	struct web_live *live = r->live;
	struct slice piece = { "", 0 };

	if (web_connection_is_full(r->c))
		return false;
	if (r->next < live->ring.first) {
		fell_behind(r);
		return false;
	}
	if (r->next < live->flush.upto)
		piece = web_group_read(r->group, &live->ring, &live->flush, &r->next);
	if (piece.len == 0 && r->next >= live->flush.upto && live->flushed > r->sent + clock_from_seconds(WEB_SSE_COMMENT - WEB_SSE_FLUSH))
		piece = SLICE(":\n\n");
	if (piece.len > 0) {
		r->sent = live->flushed;
		if (!web_connection_send(r->c, piece))
			return false;
	}
	return r->next < live->flush.upto;
}

static void on_drained(void *work)
{
	enqueue(work);
}

static void begin_flush(struct web_live *live)
{
	live->again = false;
	live->flushed = clock_mono_ns();
	live->flush.serial++;
	live->flush.from = live->flush.upto;
	live->flush.upto = web_ring_next(&live->ring);
	list_each_safe(it, &live->readers) {
		struct reader *r = list_entry(it, struct reader, node);
		if (r->snapshotting) {
			if (r->next < live->ring.first)
				fell_behind(r);
		} else if (!web_connection_is_full(r->c)) {
			live->unfed++;
			r->flushing = true;
			enqueue(r);
		}
	}
}

/* As many readers as this turn of the loop allows. */
static void on_feed(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_live *live = timer->data;
	struct web_turn *turn = &live->web->api->streaming;
	bool time = true;
	(void)events;

	while (time && !list_empty(&live->fed)) {
		struct reader *r = list_entry(live->fed.next, struct reader, queue);
		web_turn_begin(turn);
		list_remove(&r->queue);
		no_longer_flushing(r);
		if (feed(r))
			enqueue(r);
		time = web_turn_end(turn);
	}
	if (live->again && live->unfed == 0)
		begin_flush(live);
	if (!list_empty(&live->fed))
		ev_timer_start(loop, timer);
}

/* One flush is ended before the next one begins: readers that are fed together stay together. */
static void on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_live *live = timer->data;
	(void)loop, (void)events;

	if (live->unfed > 0)
		live->again = true;
	else
		begin_flush(live);
}

/* A part of a snapshot for the reader that waits longest; the next one in the loop's next turn. */
static void on_snapshots(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_live *live = timer->data;
	struct buf out;
	char id[WEB_SSE_ID];
	(void)events;

	if (list_empty(&live->begun))
		return;
	struct reader *r = list_entry(live->begun.next, struct reader, queue);
	list_remove(&r->queue);
	if (!list_empty(&live->begun))
		ev_timer_start(loop, timer);
	buf_init(&out, 0);
	r->snapshotting = web_snapshot_write(&r->snapshot, live->web, r->sight, web_sse_id(live->epoch, r->next - 1, id), SNAPSHOT, &out);
	if (web_connection_send(r->c, buf_slice(&out)) && !web_connection_is_full(r->c))
		enqueue(r);
	buf_close(&out);
}

/* ---- changes ---- */

static void make(struct web_live *live)
{
	if (web_intake_make(&live->intake, &live->ring, live->epoch) && live->changes)
		live->changes->value++;
}

/* What was reported becomes bytes, as far as this turn of the loop allows. */
static void on_make(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_live *live = timer->data;
	struct web_turn *turn = &live->web->api->streaming;
	bool time = true;
	(void)events;

	while (time && live->intake.count > 0) {
		web_turn_begin(turn);
		make(live);
		time = web_turn_end(turn);
	}
	if (live->intake.count > 0)
		ev_timer_start(loop, timer);
}

static void added(struct web_live *live)
{
	while (live->intake.bytes > UNMADE)
		make(live);
	if (live->intake.count > 0)
		ev_timer_start(live->loop, &live->make);
}

static void on_event(void *ctx, const struct engine_event *event)
{
	struct web_live *live = ctx;

	if (!web_change_is_one(event))
		return;
	web_intake_add_event(&live->intake, event);
	added(live);
}

static void on_looks(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct web_live *live = timer->data;
	(void)loop, (void)events;

	web_look(&live->look, live->web, &live->intake);
	added(live);
}

/* ---- watching ---- */

static void start_watching(struct web_live *live)
{
	ev_timer_stop(live->loop, &live->keep);
	ev_timer_again(live->loop, &live->tick);
	if (live->watching)
		return;
	new_epoch(live);
	live->watching = true;
	live->watch = (struct engine_watch){ .ctx = live, .event = on_event };
	engine_watch_add(live->web->engine, &live->watch);
	ev_timer_again(live->loop, &live->looks);
	on_looks(live->loop, &live->looks, 0);
}

static void stop_watching(struct web_live *live)
{
	ev_timer_stop(live->loop, &live->keep);
	ev_timer_stop(live->loop, &live->looks);
	ev_timer_stop(live->loop, &live->make);
	if (!live->watching)
		return;
	live->watching = false;
	engine_watch_remove(live->web->engine, &live->watch);
	web_ring_clear(&live->ring);
	web_intake_clear(&live->intake);
	web_look_clear(&live->look);
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
	if (!web_sse_allowed(ask) || !(sight = web_sse_sight(ask, true, NULL, NULL, "queue and server")))
		return;
	check_generation(live);
	slice_to_text(web_request_header(ask->request, SLICE("Last-Event-ID")), text, sizeof text);
	struct reader *r = mem_zalloc(sizeof *r);
	r->live = live;
	r->c = ask->c;
	r->sight = sight;
	r->group = web_group_hold(&live->groups, sight);
	r->sent = clock_mono_ns();
	list_init(&r->queue);
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
	list_init(&live->fed);
	list_init(&live->begun);
	live->flush.most = PUSH;
	web_groups_init(&live->groups);
	web_intake_init(&live->intake);
	web_look_init(&live->look);
	web_ring_init(&live->ring, (size_t)engine_config(web->engine)->web.replay);
	ev_timer_init(&live->tick, on_tick, 0, WEB_SSE_FLUSH);
	ev_timer_init(&live->looks, on_looks, 0, LOOK);
	ev_timer_init(&live->keep, on_keep, 0, KEEP);
	ev_timer_init(&live->feed, on_feed, 0, 0);
	ev_timer_init(&live->make, on_make, 0, 0);
	ev_timer_init(&live->snapshots, on_snapshots, 0, 0);
	ev_set_priority(&live->feed, WEB_TURN_PRIORITY);
	ev_set_priority(&live->make, WEB_TURN_PRIORITY);
	ev_set_priority(&live->snapshots, WEB_TURN_PRIORITY);
	live->tick.data = live->looks.data = live->keep.data = live->feed.data = live->make.data = live->snapshots.data = live;
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
	ev_timer_stop(l->loop, &l->keep);
	web_groups_close(&l->groups);
	web_intake_close(&l->intake);
	web_ring_close(&l->ring);
	free(l);
}
