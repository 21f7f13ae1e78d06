#include "rules/picture_internal.h"

#include <stdlib.h>
#include <time.h>

#include "ami/catalogue.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rules/picture_hold.h"
#include "observe/log.h"

#define BUSY INT64_C(100000) /* µs until a server is looked at again that wants a list while too many others have theirs */

/* ---- time ---- */

int64_t picture_now(struct picture *p)
{
	struct host *host = p->host;
	uint64_t mono = host->ops.now(host->ctx), passed = (mono - p->mono) / CLOCK_NS_PER_US;
	int64_t wall = (int64_t)(host->ops.wall(host->ctx) * 1e6), on = p->now + (int64_t)passed;

	p->mono += passed * CLOCK_NS_PER_US;
	p->now = on > wall ? on : wall;
	return p->now;
}

/* When the day after `now` begins, local time. */
static int64_t next_day(const struct picture *p, int64_t now)
{
	time_t seconds = (time_t)(now / LIVE_SECOND);
	struct tm tm;
	time_t at;

	if (!localtime_r(&seconds, &tm))
		return INT64_MAX;
	tm.tm_hour = (int)(p->day_starts / 3600);
	tm.tm_min = (int)(p->day_starts / 60 % 60);
	tm.tm_sec = 0;
	tm.tm_isdst = -1;
	struct tm day = tm;
	at = mktime(&day);
	if (at <= seconds) {
		day = tm;
		day.tm_mday++;
		at = mktime(&day);
	}
	return at > seconds ? (int64_t)at * LIVE_SECOND : INT64_MAX;
}

static void pass_days(struct picture *p)
{
	if (p->next_day != 0 && p->now < p->next_day)
		return;
	if (p->next_day != 0)
		live_new_day(p->live, p->now);
	p->next_day = next_day(p, p->now);
}

/* ---- what is reported ---- */

struct picture_server *picture_find(const struct picture *p, const struct live_server *server)
{
	if (p->last && p->last->live == server)
		return p->last;
	for (uint32_t i = 0; i < p->server_cap; i++)
		if (p->servers[i] && p->servers[i]->live == server)
			return p->servers[i];
	return NULL;
}

static void log_synced(struct picture *p, struct live_server *server)
{
	char names[128] = "";
	size_t n = 0;
	unsigned unknown = live_unknown(server);
	struct slice name = live_server_name(server);

	struct picture_server *s = picture_find(p, server);
	if (!s || s->unknown == unknown)
		return;
	s->unknown = unknown;
	for (unsigned bit = 1; live_part_name(bit); bit <<= 1)
		if (unknown & bit)
			n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n > 0 ? "," : "", live_part_name(bit));
	if (unknown != 0)
		log_write(LOG_INFO, "the live picture is partial: the server does not give all lists", F_SLICE("server", name), F_TEXT("unknown", names));
	else
		log_write(LOG_INFO, "the live picture is full", F_SLICE("server", name));
}

static void changed(void *ctx, const struct live_change *change)
{
	struct picture *p = ctx;

	if (change->kind == LIVE_SYNCED)
		log_synced(p, change->server);
	else if (change->kind == LIVE_OVERFLOW && host_may_log(p->host, &p->overflow_logged))
		log_write(LOG_WARN, "the live picture is partial: a limit of it is reached (limits.live_*)",
		          F_SLICE("server", live_server_name(change->server)), F_TEXT("kind", change->reason), F_INT("count", change->count));
	picture_event_queue(p, change);
}

void picture_watch(struct picture *p, bool watched)
{
	p->watched = watched;
}

/* ---- life ---- */

struct picture *picture_create(struct host *host)
{
	struct picture *p = mem_zalloc(sizeof *p);
	p->host = host;
	buf_init(&p->packed, 0);
	list_init(&p->touched);
	list_init(&p->holders);
	return p;
}

static void forget(struct picture *p, struct picture_server *s)
{
	p->servers[s->id - 1] = NULL;
	if (p->last == s)
		p->last = NULL;
	heap_remove(&p->due, &s->due);
	list_remove(&s->touched);
	free(s);
}

static void turn_off(struct picture *p)
{
	for (uint32_t i = 0; i < p->server_cap; i++)
		if (p->servers[i])
			forget(p, p->servers[i]);
	picture_holders_clear(p);
	live_destroy(&p->live);
}

void picture_destroy(struct picture **picture)
{
	struct picture *p = *picture;
	if (!p)
		return;
	*picture = NULL;
	turn_off(p);
	picture_holders_sweep(p); /* those that live rules had went with them */
	heap_close(&p->due);
	buf_close(&p->packed);
	free(p->servers);
	free(p);
}

void picture_configure(struct picture *p, const struct picture_options *options)
{
	p->day_starts = options->day_starts;
	p->next_day = 0;
	if (!options->enabled)
		turn_off(p);
	else if (p->live)
		live_configure(p->live, &options->live);
	else if ((p->live = live_create(&options->live, changed, p)))
		p->generation++;
}

uint64_t picture_generation(const struct picture *p)
{
	return p->live ? p->generation : 0;
}

struct live *picture_live(const struct picture *p)
{
	return p->live;
}

/* ---- servers ---- */

static struct picture_server *find(const struct picture *p, uint32_t id)
{
	struct picture_server *s = id > 0 && id <= p->server_cap ? p->servers[id - 1] : NULL;
	return s && !s->leaves ? s : NULL;
}

static void remove_now(struct picture_server *s)
{
	live_server_remove(&s->live, s->picture->now);
	forget(s->picture, s);
}

struct live_server *picture_server(const struct picture *p, uint32_t id)
{
	const struct picture_server *s = find(p, id);
	return s ? s->live : NULL;
}

static void touch(struct picture_server *s)
{
	if (list_empty(&s->touched))
		list_append(&s->picture->touched, &s->touched);
}

void picture_add(struct picture *p, uint32_t id, const char *name)
{
	if (!p->live || find(p, id))
		return;
	if (id > p->server_cap) {
		uint32_t cap = id + 16;
		p->servers = mem_realloc(p->servers, cap, sizeof(struct picture_server *));
		memset(p->servers + p->server_cap, 0, (cap - p->server_cap) * sizeof(struct picture_server *));
		p->server_cap = cap;
	}
	if (p->servers[id - 1]) /* it was hidden a moment ago */
		remove_now(p->servers[id - 1]);
	struct picture_server *s = mem_zalloc(sizeof *s);
	p->servers[id - 1] = s;
	s->picture = p;
	s->id = id;
	list_init(&s->touched);
	s->live = live_server_add(p->live, slice_cstr(name));
	s->due.key = INT64_MAX;
	heap_push(&p->due, &s->due);
}

void picture_remove(struct picture *p, uint32_t id)
{
	struct picture_server *s = find(p, id);
	if (!s)
		return;
	s->leaves = true;
	live_server_leave(s->live, picture_now(p));
	touch(s);
}

void picture_session(struct picture *p, uint32_t id, struct slice version)
{
	struct picture_server *s = find(p, id);
	if (!s)
		return;
	live_session(s->live, catalogue_ami_version(version), picture_now(p));
	touch(s);
}

void picture_lost(struct picture *p, uint32_t id)
{
	struct picture_server *s = find(p, id);
	if (!s)
		return;
	live_lost(s->live, picture_now(p));
	touch(s);
}

void picture_gap(struct picture *p, uint32_t id)
{
	struct picture_server *s = find(p, id);
	if (!s)
		return;
	live_gap(s->live, picture_now(p));
	touch(s);
}

void picture_want(struct picture *p, uint32_t id)
{
	struct picture_server *s = find(p, id);
	if (!s)
		return;
	live_want_snapshot(s->live, picture_now(p));
	p->asks = true;
	touch(s);
}

/* ---- what happens ---- */

/* Items of a list that somebody else asked for, in a recording: what they say is not happening now. */
static bool is_item(const struct message *m)
{
	return m->action_id.len > 0 && !slice_eq_nocase(m->name, SLICE("OriginateResponse"));
}

void picture_event(struct picture *p, uint32_t id, const struct message *message, double at)
{
	struct picture_server *s = find(p, id);
	if (!s || is_item(message))
		return;
	if (at < p->arrived || at > p->arrived) {
		p->arrived = at;
		picture_now(p);
	}
	p->last = s;
	if (!live_event(s->live, message, p->now))
		return;
	touch(s);
	if (p->dropped > 0 || p->host->change_count > 0) /* few events change what a rule listens to */
		picture_event_deliver(p);
}

/* Does what is due, and sets when it is to be looked at again. */
static void serve(struct picture_server *s)
{
	struct picture *p = s->picture;
	int64_t at = live_server_deadline(s->live);

	list_remove(&s->touched);
	if (at <= p->now) {
		live_server_tick(s->live, p->now);
		at = live_server_deadline(s->live);
	}
	if (s->leaves && live_server_is_empty(s->live)) {
		remove_now(s);
		return;
	}
	if (at <= p->now) {
		p->asks = true;
		at = p->now + BUSY;
	}
	if ((uint64_t)at == s->due.key)
		return;
	heap_remove(&p->due, &s->due);
	s->due.key = (uint64_t)at;
	heap_push(&p->due, &s->due);
}

static void serve_all(struct picture *p)
{
	struct heap_node *top;

	while (!list_empty(&p->touched))
		serve(list_entry(p->touched.next, struct picture_server, touched));
	while ((top = heap_top(&p->due)) && top->key <= (uint64_t)p->now)
		serve(heap_entry(top, struct picture_server, due));
}

uint64_t picture_turn(struct picture *p)
{
	picture_holders_sweep(p);
	if (!p->live)
		return UINT64_MAX;
	picture_now(p);
	pass_days(p);
	serve_all(p);
	picture_event_report_dropped(p); /* the turn delivers */
	const struct heap_node *top = heap_top(&p->due);
	uint64_t at = (uint64_t)p->next_day;
	if (top && top->key < at)
		at = top->key;
	return at >= INT64_MAX ? UINT64_MAX : p->mono + (at - (uint64_t)p->now) * CLOCK_NS_PER_US;
}

bool picture_next_request(struct picture *p, uint32_t *id, struct live_request *request)
{
	if (!p->asks)
		return false;
	p->asks = live_next_request(p->live, request, picture_now(p));
	if (!p->asks)
		return false;
	struct picture_server *s = picture_find(p, request->server);
	if (!s)
		return false; /* not reached: the picture has no other servers */
	touch(s);
	*id = s->id;
	return true;
}

void picture_item(struct picture *p, uint32_t id, const struct message *item)
{
	struct picture_server *s = find(p, id);
	if (!s)
		return;
	p->last = s;
	live_list_item(s->live, item, picture_now(p));
	picture_event_deliver(p);
}

bool picture_list_begin(struct picture *p, uint32_t id, const char *action)
{
	struct picture_server *s = find(p, id);
	return s && live_list_begin(s->live, slice_cstr(action), picture_now(p));
}

void picture_list_end(struct picture *p, uint32_t id, bool whole)
{
	struct picture_server *s = find(p, id);
	if (!s)
		return;
	live_list_end(s->live, whole, picture_now(p));
	touch(s);
	picture_event_deliver(p);
}

void picture_answer(struct picture *p, uint32_t id, enum live_answer how, const struct message *response)
{
	struct picture_server *s = find(p, id);
	if (!s)
		return;
	live_answer(s->live, how, response, picture_now(p));
	/* Without an answer its part stays unknown: it is asked for again, no sooner than any other snapshot. */
	if (how == LIVE_FAILED)
		live_want_snapshot(s->live, p->now);
	p->asks = true;
	touch(s);
	picture_event_deliver(p);
}
