#include "engine/web_sink.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/internal.h"
#include "engine/mapping.h"
#include "engine/sink_request.h"
#include "net/backoff.h"
#include "net/breaker.h"
#include "observe/log.h"
#include "persist/persist_spool.h"

#define BREAKER_PROBES 1
#define DISK_PAUSE 1.0    /* seconds, while it takes nothing */
#define LINE_PAUSE 0.05   /* until a line that somebody waits for is on disk */

struct web_sink {
	struct list node;       /* engine->spools */
	struct engine *engine;
	char *name;
	const struct config_sink *config; /* NULL: the configuration has it no more */
	struct persist_spool *spool;
	struct http_access *access;
	struct breaker *breaker; /* the engine's, of its host */
	struct backoff backoff;
	struct backoff_random random;
	ev_timer timer;
	bool sending;           /* an answer of the other side will come */
	bool waits;             /* for a batch to fill */
	int64_t batch;          /* that is being sent */
	uint64_t not_before;    /* monotonic ns of the next try */
	uint64_t failing_since; /* 0: the last try was good */
	uint64_t expired;       /* lines of batches whose time was over */
	char error[512];        /* of the last try; "" : it was good */
};

static void step(struct web_sink *sink);

/* ---- metrics ---- */

static struct metric *family(const struct engine *e, const char *name)
{
	return metrics_find(e->metrics, name);
}

static void set(const struct engine *e, const char *name, const char *sink, const char *second, double value)
{
	const struct slice labels[] = { slice_cstr(sink), slice_cstr(second ? second : "") };
	struct series *s = metric_series(family(e, name), labels, second ? 2 : 1);
	if (s)
		s->value = value;
}

static void collect(void *ctx)
{
	struct engine *e = ctx;

	list_each(it, &e->spools) {
		const struct web_sink *sink = list_entry(it, struct web_sink, node);
		struct persist_spool_stats s;
		if (!e->persist)
			return;
		persist_spool_stats(sink->spool, &s);
		set(e, "hookswitch_spool_lines", sink->name, NULL, (double)s.lines);
		set(e, "hookswitch_spool_bytes", sink->name, NULL, (double)s.bytes);
		set(e, "hookswitch_spool_oldest_seconds", sink->name, NULL, s.lines > 0 ? s.oldest : 0);
		set(e, "hookswitch_spool_dead", sink->name, NULL, (double)s.dead);
		set(e, "hookswitch_spool_failing", sink->name, NULL, sink->failing_since != 0);
		set(e, "hookswitch_spool_lines_total", sink->name, "written", (double)s.written);
		set(e, "hookswitch_spool_lines_total", sink->name, "delivered", (double)(s.delivered - sink->expired));
		set(e, "hookswitch_spool_lines_total", sink->name, "expired", (double)(s.expired + sink->expired));
		set(e, "hookswitch_spool_lines_total", sink->name, "died", (double)s.died);
		set(e, "hookswitch_spool_lines_total", sink->name, "dropped", (double)s.dropped);
	}
}

static void add_metrics(struct engine *e)
{
	static const struct {
		enum metric_type type;
		const char *name, *help, *second;
	} families[] = {
		{ METRIC_GAUGE, "hookswitch_spool_lines", "Lines of a sink with a URL that wait for their delivery.", NULL },
		{ METRIC_GAUGE, "hookswitch_spool_bytes", "Bytes of them.", NULL },
		{ METRIC_GAUGE, "hookswitch_spool_oldest_seconds", "How long the oldest of them has waited.", NULL },
		{ METRIC_GAUGE, "hookswitch_spool_dead", "Dead letters of a sink.", NULL },
		{ METRIC_GAUGE, "hookswitch_spool_failing", "1 while the last delivery of a sink has failed.", NULL },
		{ METRIC_COUNTER, "hookswitch_spool_lines_total", "Lines of a sink by fate: written, delivered, expired, died, dropped, refused (the spool was full).", "fate" },
	};
	for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
		const char *labels[] = { "sink", families[i].second };
		struct err err;
		if (!metrics_add(e->metrics, families[i].type, families[i].name, families[i].help, labels, families[i].second ? 2 : 1, NULL, 0, 0, &err))
			abort(); /* two parts of the engine use one name */
	}
	metrics_on_collect(e->metrics, collect, e);
}

/* ---- time ---- */

static void look_again(struct web_sink *sink, double seconds)
{
	struct ev_loop *loop = sink->engine->loop;
	ev_timer_stop(loop, &sink->timer);
	ev_now_update(loop);
	ev_timer_set(&sink->timer, seconds > 0 ? seconds : 0, 0);
	ev_timer_start(loop, &sink->timer);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)events;
	step(timer->data);
}

/* True when that time has come; else it looks again then. */
static bool is_due(struct web_sink *sink, uint64_t at, uint64_t now)
{
	if (at <= now)
		return true;
	look_again(sink, (double)(at - now) / 1e9);
	return false;
}

/* ---- sending ---- */

static void failed(struct web_sink *sink, const char *why)
{
	slice_to_text(slice_cstr(why), sink->error, sizeof sink->error);
	if (sink->failing_since != 0)
		return;
	sink->failing_since = clock_mono_ns();
	log_write(LOG_WARN, "a sink cannot deliver", F_TEXT("sink", sink->name), F_TEXT("reason", why));
}

static void succeeded(struct web_sink *sink)
{
	breaker_success(sink->breaker);
	backoff_reset(&sink->backoff);
	sink->not_before = 0;
	sink->error[0] = '\0';
	if (sink->failing_since == 0)
		return;
	log_write(LOG_INFO, "a sink delivers again", F_TEXT("sink", sink->name),
	          F_NUMBER("after_seconds", (double)(clock_mono_ns() - sink->failing_since) / 1e9));
	sink->failing_since = 0;
}

static void pause_for(struct web_sink *sink, double least)
{
	double wait = backoff_next(&sink->backoff, backoff_random_next(&sink->random));
	if (wait < least)
		wait = least;
	sink->not_before = clock_mono_ns() + clock_from_seconds(wait);
}

/* The disk has done what was asked, or has not: either way the next look decides. */
static void on_disk(void *arg, int64_t id, const struct err *err)
{
	struct web_sink *sink = arg;
	(void)id;
	look_again(sink, err ? DISK_PAUSE : 0);
}

static void try_later(struct web_sink *sink, const struct persist_batch *head, const char *why, double least)
{
	uint64_t now = clock_mono_ns();

	if (sink->config && sink->config->tries > 0 && head->try >= (unsigned)sink->config->tries) {
		persist_spool_reject(sink->spool, head->id, slice_cstr(why), now);
		backoff_reset(&sink->backoff);
	}
	pause_for(sink, least);
}

/* For good: the half that has the bad line is looked for until it stands alone. */
static void refused(struct web_sink *sink, const struct persist_batch *head, const char *why)
{
	struct err err;

	if (head->lines < 2)
		persist_spool_reject(sink->spool, head->id, slice_cstr(why), clock_mono_ns());
	else if (persist_spool_split(sink->spool, head->id, clock_mono_ns(), on_disk, sink, &err))
		sink->not_before = clock_mono_ns() + clock_from_seconds(DISK_PAUSE);
}

/* "status 400: the beginning of what it says". */
static void describe(const struct http_response *r, char *out, size_t size)
{
	struct slice body = buf_slice(&r->body);

	if (r->err.code != ERR_NONE) {
		snprintf(out, size, "%s: %s", err_name(r->err.code), r->err.text);
		return;
	}
	int n = snprintf(out, size, "status %u%s", r->status, body.len > 0 ? ": " : "");
	for (size_t i = 0; i < body.len && i < 200 && n + 1 < (int)size; i++)
		out[n++] = (unsigned char)body.ptr[i] >= 0x20 ? body.ptr[i] : ' ';
	out[n] = '\0';
}

static void on_answer(void *ctx, struct http_response *r)
{
	struct web_sink *sink = ctx;
	struct persist_batch head;
	char why[640];

	sink->sending = false;
	if (r->err.code == ERR_CANCELLED || !sink->engine->persist || !persist_spool_head(sink->spool, clock_mono_ns(), &head) || head.id != sink->batch) {
		http_response_free(&r); /* the engine stops */
		return;
	}
	describe(r, why, sizeof why);
	switch (sink_verdict(r)) {
	case SINK_DELIVERED:
		persist_spool_ack(sink->spool, head.id, clock_mono_ns());
		succeeded(sink);
		break;
	case SINK_REFUSED:
		succeeded(sink); /* the other side is there */
		refused(sink, &head, why);
		break;
	case SINK_LATER:
		breaker_failure(sink->breaker, clock_mono_ns());
		failed(sink, why);
		try_later(sink, &head, why, sink_retry_after(r, clock_wall()));
		break;
	}
	http_response_free(&r);
	look_again(sink, 0);
}

static void send_head(struct web_sink *sink, const struct persist_batch *head)
{
	const struct http_user user = { .kind = "sink", .name = sink->name };
	struct engine *e = sink->engine;
	struct http_request request;
	struct err err;

	http_request_init(&request);
	sink_request_make(sink->config, sink->spool, head, &request);
	sink->batch = head->id;
	int rc = http_client_start(e->http, sink->access, &user, "sinks", &request, on_answer, sink, &err);
	http_request_close(&request);
	if (rc == 0) {
		sink->sending = true;
		persist_spool_tried(sink->spool, head->id, clock_mono_ns());
		return;
	}
	failed(sink, err.text);
	if (err.code == ERR_OVERFLOW) /* larger than any request may be */
		refused(sink, head, err.text);
	else
		pause_for(sink, 0);
	look_again(sink, 0);
}

/* ---- what to do next ---- */

static void fix_batch(struct web_sink *sink, uint64_t now)
{
	const struct config_sink *c = sink->config;
	struct persist_spool_stats stats;
	struct err err;

	persist_spool_stats(sink->spool, &stats);
	sink->waits = false;
	if (stats.lines == 0)
		return;
	if (c->every > 0 && stats.lines < (size_t)c->batch && stats.oldest < c->every) {
		sink->waits = true;
		look_again(sink, c->every - stats.oldest);
		return;
	}
	/* Texts grow when they are written as JSON; a batch that does not fit is split. */
	int rc = persist_spool_batch(sink->spool, (size_t)c->batch, (size_t)sink->engine->config->http_client.request_bytes / 2, now, on_disk, sink, &err);
	if (rc == 0) /* or a batch is on its way to the disk, whose answer comes sooner */
		look_again(sink, LINE_PAUSE);
	else if (rc < 0)
		look_again(sink, DISK_PAUSE);
}

static void step(struct web_sink *sink)
{
	uint64_t now = clock_mono_ns();
	struct persist_batch head;

	ev_timer_stop(sink->engine->loop, &sink->timer);
	if (sink->sending || !sink->config || !sink->engine->http || !sink->engine->persist || sink->engine->stopping)
		return;
	if (!is_due(sink, sink->not_before, now))
		return;
	if (!persist_spool_head(sink->spool, now, &head)) {
		fix_batch(sink, now);
		return;
	}
	if (head.expired) {
		log_write(LOG_WARN, "line expired before it was delivered", F_TEXT("spool", sink->name), F_INT("lines", head.lines));
		sink->expired += head.lines;
		persist_spool_ack(sink->spool, head.id, now);
		look_again(sink, 0);
		return;
	}
	if (breaker_allow(sink->breaker, now))
		send_head(sink, &head);
	else
		is_due(sink, breaker_allowed_at(sink->breaker, now) + 1, now);
}

/* ---- writing ---- */

static struct web_sink *find(const struct engine *e, struct slice name)
{
	list_each(it, &e->spools) {
		struct web_sink *sink = list_entry(it, struct web_sink, node);
		if (slice_eq(slice_cstr(sink->name), name))
			return sink;
	}
	return NULL;
}

static int write_line(struct web_sink *sink, const struct host_line *line, struct err *err)
{
	size_t most = (size_t)sink->engine->config->http_client.request_bytes / 2;
	struct buf stored;

	if (line->text.len > most)
		return err_set(err, ERR_OVERFLOW, "a line of %zu bytes; %zu are the most (half of http_client.request_bytes)", line->text.len, most);
	buf_init(&stored, 0);
	buf_append_char(&stored, line->json ? SINK_LINE_JSON : SINK_LINE_TEXT);
	buf_append(&stored, line->text);
	int rc = persist_spool_write(sink->spool, buf_slice(&stored), line->ttl > 0 ? clock_from_seconds(line->ttl) : 0, clock_mono_ns(), line->kept,
	                             line->arg, err);
	buf_close(&stored);
	return rc;
}

int engine_spool_write(struct engine *e, struct slice name, const struct host_line *line, struct err *err)
{
	struct web_sink *sink = find(e, name);

	if (!sink || !e->persist)
		return err_set(err, ERR_CANCELLED, "the engine stops");
	if (write_line(sink, line, err)) {
		const struct slice labels[] = { name, SLICE("refused") };
		struct series *s = metric_series(family(e, "hookswitch_spool_lines_total"), labels, 2);
		if (s)
			s->value++;
		log_write(LOG_WARN, "line refused: it cannot wait for its delivery", F_TEXT("sink", sink->name), F_TEXT("reason", err->text));
		return -1;
	}
	/* Never from inside this call; one that waits for a full batch is looked at again, in case that it is full now. */
	if (!ev_is_active(&sink->timer) || sink->waits)
		if (!sink->sending)
			look_again(sink, 0);
	return 0;
}

/* ---- life ---- */

static struct breaker *breaker_of(struct engine *e, const char *url)
{
	struct http_url parsed;
	char name[300];

	if (http_url_parse(slice_cstr(url), &parsed, NULL))
		return NULL;
	snprintf(name, sizeof name, "%s:%u", parsed.host, parsed.port);
	http_url_close(&parsed);
	struct breaker *breaker = map_get(&e->breakers, slice_cstr(name));
	if (!breaker) {
		breaker = mem_zalloc(sizeof *breaker);
		map_set(&e->breakers, slice_cstr(name), breaker);
	}
	breaker_init(breaker, (uint32_t)e->config->http_client.breaker_failures, clock_from_seconds(e->config->http_client.breaker_open), BREAKER_PROBES);
	return breaker;
}

static struct http_access *access_of(const struct config *c, const char *url)
{
	struct http_access *access = http_access_create();

	/* Below what stands before its query. */
	http_access_allow(access, slice_make(url, strcspn(url, "?#")), NULL);
	http_access_trust(access);
	http_access_close_port(access, mapping_port(c->http.listen));
	http_access_close_port(access, mapping_port(c->web.listen));
	return access;
}

static struct web_sink *create(struct engine *e, const char *name)
{
	struct web_sink *sink = mem_zalloc(sizeof *sink);
	struct err err;

	sink->engine = e;
	sink->name = mem_strdup(name);
	sink->spool = persist_spool_open(e->persist, slice_cstr(name), &err);
	if (!sink->spool)
		abort(); /* a sink's name is always a spool's */
	backoff_random_seed(&sink->random, clock_mono_ns() ^ (uint64_t)(uintptr_t)sink);
	ev_timer_init(&sink->timer, on_timer, 0, 0);
	sink->timer.data = sink;
	list_append(&e->spools, &sink->node);
	return sink;
}

static void adopt(struct web_sink *sink, const struct config_sink *c)
{
	struct engine *e = sink->engine;

	http_access_unref(&sink->access);
	sink->config = c;
	sink->access = access_of(e->config, c->url);
	sink->breaker = breaker_of(e, c->url);
	sink->backoff = (struct backoff){ .first = c->retry_first, .max = c->retry_max, .min = c->retry_first / 10 };
	sink->not_before = 0;
	look_again(sink, 0);
}

static void report_left(const struct web_sink *sink)
{
	struct persist_spool_stats stats;
	persist_spool_stats(sink->spool, &stats);
	if (stats.lines > 0)
		log_write(LOG_WARN, "lines of a sink wait that the configuration has no more", F_TEXT("sink", sink->name), F_INT("lines", stats.lines));
}

void engine_spools_configure(struct engine *e)
{
	const struct config *c = e->config;
	struct persist_spool *spool;
	struct slice name;
	bool first = list_empty(&e->spools);

	list_each(it, &e->spools)
		list_entry(it, struct web_sink, node)->config = NULL;
	if (!e->persist)
		return;
	if (!family(e, "hookswitch_spool_lines"))
		add_metrics(e);
	for (size_t i = 0; i < c->sink_count; i++) {
		struct web_sink *sink = find(e, slice_cstr(c->sinks[i].name));
		if (c->sinks[i].url)
			adopt(sink ? sink : create(e, c->sinks[i].name), &c->sinks[i]);
	}
	/* Those that only the disk knows are shown too. */
	for (size_t i = 0; first && persist_spools_next(e->persist, &i, &spool, &name);)
		if (!find(e, name))
			create(e, name.ptr);
	list_each(it, &e->spools)
		if (!list_entry(it, struct web_sink, node)->config)
			report_left(list_entry(it, struct web_sink, node));
}

void engine_spools_close(struct engine *e)
{
	struct map_entry *entry;

	metrics_remove_collect(e->metrics, collect, e);
	list_each_safe(it, &e->spools) {
		struct web_sink *sink = list_entry(it, struct web_sink, node);
		ev_timer_stop(e->loop, &sink->timer);
		list_remove(&sink->node);
		http_access_unref(&sink->access);
		free(sink->name);
		free(sink);
	}
	for (size_t i = 0; (entry = map_next(&e->breakers, &i));)
		free(entry->value);
	map_close(&e->breakers);
}

/* ---- looking ---- */

bool engine_spool_view(struct engine *e, struct slice name, struct engine_spool_view *out)
{
	const struct web_sink *sink = find(e, name);
	struct persist_spool_stats stats;
	struct persist_batch head;
	uint64_t now = clock_mono_ns();

	if (!sink || !e->persist)
		return false;
	persist_spool_stats(sink->spool, &stats);
	bool has_head = persist_spool_head(sink->spool, now, &head);
	uint64_t next = sink->not_before, allowed = has_head && sink->config && !sink->sending ? breaker_allowed_at(sink->breaker, now) : 0;
	if (allowed > next)
		next = allowed;
	*out = (struct engine_spool_view){
		.url = sink->config ? sink->config->url : NULL, .error = sink->error, .try = has_head ? head.try : 0,
		.next = next > now ? (double)(next - now) / 1e9 : 0,
		.delivered = stats.delivered - sink->expired, .expired = stats.expired + sink->expired,
	};
	out->state = !sink->config ? "no sink" : sink->failing_since != 0 ? "fails" : sink->sending ? "sends" : stats.lines > 0 ? "waits" : "idle";
	return true;
}

void engine_spool_stir(struct engine *e, struct slice name)
{
	struct web_sink *sink = find(e, name);
	if (sink && !sink->sending)
		look_again(sink, 0);
}
