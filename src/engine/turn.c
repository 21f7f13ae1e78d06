/* The turns of the loop: what the links bring goes to the rules at once; before each wait the rules take what they could not
 * take then, and their timers, wake-ups and events. The sockets are polled in between. */
#include "engine/internal.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "rules/picture.h"
#include "sandbox/deadline.h"

/* ---- what links report ---- */

/* What a link reports behind the rules' turn (a write that fails, a session that is stopped) is not waited upon: the rules may
 * have begun something, or have something to hear. */
static void stir(struct engine *e)
{
	if (e->turned && !ev_is_active(&e->busy))
		ev_idle_start(e->loop, &e->busy);
}

static unsigned on_event(void *ctx, struct link *link, const struct message *message, double at, uint64_t *stamp)
{
	struct server *s = ctx;
	(void)link;
	if (!list_empty(&s->engine->watches))
		engine_watch_event(s->engine, &(struct engine_event){ .server_id = s->id, .server = s->name, .message = message, .at = at });
	unsigned fate = host_event(s->engine->host, s->feed, message, at, stamp);
	/* What waits is counted when a rule takes it, or as shed. */
	if (fate & HOST_HEARD)
		s->dispatched->value++;
	else if (!(fate & HOST_WAITS))
		s->unmatched->value++;
	return (fate & HOST_HEARD ? LINK_EVENT_TAKEN : 0) | (fate & HOST_WAITS ? LINK_EVENT_WAITS : 0);
}

static void on_shed(void *ctx, struct link *link, void *cursor, struct slice name)
{
	(void)ctx;
	(void)link;
	host_skipped(cursor, name);
}

static void on_item(void *ctx, struct link *link, void *tag, const struct message *item)
{
	(void)link;
	engine_sent_item(ctx, tag, item);
}

static void on_completed(void *ctx, struct link *link, struct reply *reply)
{
	struct server *s = ctx;
	(void)link;
	stir(s->engine);
	engine_sent_completed(s, reply);
}

static void report(struct server *s, const char *name, const struct host_field *fields, size_t count)
{
	const struct host_server info = { .id = s->id, .name = s->name };
	stir(s->engine);
	host_engine_event(s->engine->host, name, &info, fields, count);
	host_deliver_events(s->engine->host);
}

static void on_ready(void *ctx, struct link *link)
{
	struct server *s = ctx;
	picture_session(host_picture(s->engine->host), s->id, slice_cstr(link_version(link)));
	engine_events_ready(s);
	report(s, "server.ready",
	     (const struct host_field[]){ { "reason", SLICE("connected") }, { "version", slice_cstr(link_version(link)) } }, 2);
}

static void on_lost(void *ctx, struct link *link, const char *reason)
{
	struct server *s = ctx;
	(void)link;
	picture_lost(host_picture(s->engine->host), s->id);
	host_server_lost(s->engine->host, s->id, s->name);
	report(s, "server.lost", (const struct host_field[]){ { "reason", slice_cstr(reason) } }, 1);
}

static void on_gap(void *ctx, struct link *link, uint64_t count, const char *names)
{
	struct server *s = ctx;
	char text[24];
	(void)link;
	picture_gap(host_picture(s->engine->host), s->id);
	int n = snprintf(text, sizeof text, "%llu", (unsigned long long)count);
	report(s, "server.gap",
	     (const struct host_field[]){ { "count", slice_make(text, (size_t)n) }, { "names", slice_cstr(names) }, { "reason", SLICE("malformed") } }, 3);
}

static void on_stopped(void *ctx, struct link *link)
{
	struct server *s = ctx;
	(void)link;
	if (engine_events_stopped(s))
		return;
	s->stopped = true;
	engine_server_stopped(s->engine, s);
}

const struct link_owner engine_link_owner = {
	.event = on_event, .item = on_item, .completed = on_completed, .ready = on_ready, .lost = on_lost, .gap = on_gap, .shed = on_shed,
	.stopped = on_stopped,
};

/* ---- turns ---- */

static void set_timer(struct engine *e, uint64_t at)
{
	if (at == e->timer_at && (ev_is_active(&e->timer) || at == UINT64_MAX))
		return;
	ev_timer_stop(e->loop, &e->timer);
	e->timer_at = at;
	if (at == UINT64_MAX)
		return;
	/* libev counts from its own idea of now, which a long turn leaves behind. */
	ev_now_update(e->loop);
	uint64_t now = clock_mono_ns();
	ev_timer_set(&e->timer, at > now ? (double)(at - now) / 1e9 : 0.0, 0.0);
	ev_timer_start(e->loop, &e->timer);
}

/* Two spans of a minute: whoever asks once a minute misses no turn, however many ask. */
static void note_turn(struct engine *e, uint64_t now, uint64_t length)
{
	uint64_t minute = now / (60 * CLOCK_NS_PER_S);

	if (minute != e->minute) {
		e->longest[1] = minute == e->minute + 1 ? e->longest[0] : 0;
		e->longest[0] = 0;
		e->minute = minute;
	}
	if (length > e->longest[0])
		e->longest[0] = length;
}

double engine_longest_turn(struct engine *e)
{
	note_turn(e, clock_mono_ns(), 0);
	return (double)(e->longest[0] > e->longest[1] ? e->longest[0] : e->longest[1]) / (double)CLOCK_NS_PER_S;
}

/* While the system has no memory, nothing new is begun (base/mem.h); each turn asks whether it has some again. */
static void watch_memory(struct engine *e)
{
	if (e->shortages != mem_shortages()) {
		e->shortages = mem_shortages();
		log_text(LOG_ERROR, "the system has no memory left: rules and servers get no more until it has");
		e->memory_short = true;
	}
	if (!e->memory_short || !mem_recover())
		return;
	e->memory_short = false;
	log_text(LOG_INFO, "the system has memory again");
}

static void on_before_wait(struct ev_loop *loop, ev_prepare *w, int events)
{
	struct engine *e = w->data;
	(void)events;
	uint64_t next = host_turn(e->host);
	engine_picture_turn(e);
	uint64_t asks_at = engine_events_turn(e);
	next = asks_at < next ? asks_at : next;
	watch_memory(e);
	bool busy = next == 0;
	if (!list_empty(&e->leaving))
		engine_servers_leave(e);
	if (busy != ev_is_active(&e->busy)) {
		if (busy)
			ev_idle_start(loop, &e->busy);
		else
			ev_idle_stop(loop, &e->busy);
	}
	/* Nothing else may wake the loop when there is memory again. */
	if (e->memory_short && next != 0) {
		uint64_t soon = clock_mono_ns() + CLOCK_NS_PER_S / 2;
		next = next < soon ? next : soon;
	}
	set_timer(e, busy ? UINT64_MAX : next);
	e->turned = true;
	e->slept = clock_mono_ns();
	if (e->woke != 0) {
		series_observe(e->turn_seconds, (double)(e->slept - e->woke) / 1e9);
		e->turns->value++;
		note_turn(e, e->slept, e->slept - e->woke);
	}
}

static void on_after_wait(struct ev_loop *loop, ev_check *w, int events)
{
	struct engine *e = w->data;
	(void)loop;
	(void)events;
	e->turned = false;
	e->woke = clock_mono_ns();
	e->wait_seconds->value += (double)(e->woke - e->slept) / 1e9;
}

static void on_busy(struct ev_loop *loop, ev_idle *w, int events)
{
	(void)loop;
	(void)w;
	(void)events;
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
	struct engine *e = w->data;
	(void)loop;
	(void)events;
	uint64_t now = clock_mono_ns();
	e->lag_seconds->value = now > e->timer_at ? (double)(now - e->timer_at) / 1e9 : 0;
	e->timer_at = UINT64_MAX;
}

void engine_turns_start(struct engine *e)
{
	ev_prepare_init(&e->before_wait, on_before_wait);
	/* Before the hub's own watcher, which writes what this turn has queued. */
	ev_set_priority(&e->before_wait, EV_MAXPRI);
	ev_check_init(&e->after_wait, on_after_wait);
	ev_set_priority(&e->after_wait, EV_MAXPRI);
	ev_idle_init(&e->busy, on_busy);
	ev_timer_init(&e->timer, on_timer, 0, 0);
	e->before_wait.data = e->after_wait.data = e->busy.data = e->timer.data = e;
	e->timer_at = UINT64_MAX;
	e->slept = clock_mono_ns();
	ev_prepare_start(e->loop, &e->before_wait);
	ev_check_start(e->loop, &e->after_wait);
}

void engine_turns_stop(struct engine *e)
{
	ev_prepare_stop(e->loop, &e->before_wait);
	ev_check_stop(e->loop, &e->after_wait);
	ev_idle_stop(e->loop, &e->busy);
	ev_timer_stop(e->loop, &e->timer);
}
