#include "harness/module_harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "persist/persist.h"
#include "rules/picture.h"
#include "sandbox/deadline.h"

#define WALL_BEGINS 1795204800.0 /* epoch seconds when `now` is one second */

/* The defaults of the configuration, without those that depend on how fast the machine is. */
static struct rule_limits default_limits(void)
{
	struct rule_limits limits = {
#define LIMIT(name, type, least, greatest, value, unit, whose, help) .name = (type)(value),
		RULE_LIMITS(LIMIT)
#undef LIMIT
		.drain = 60,
	};
	limits.slow_call = limits.turn_rules = 0;
	limits.turn_events = limits.turn_bytes = limits.turn_microseconds = 0;
	return limits;
}

/* ---- what rules ask ---- */

static uint64_t ops_now(void *ctx)
{
	return ((const struct harness *)ctx)->now;
}

static double ops_wall(void *ctx)
{
	return ((const struct harness *)ctx)->wall;
}

static bool describe(const struct harness_server *s, struct host_server *out)
{
	*out = (struct host_server){ .id = s->id, .name = s->name, .state = s->ready ? "ready" : "waiting", .version = s->version,
	                             .ready = s->ready, .pending = s->pending };
	return true;
}

static bool ops_server_at(void *ctx, size_t index, struct host_server *out)
{
	const struct harness *h = ctx;
	for (size_t i = 0; i < h->server_count; i++)
		if (!h->servers[i]->removed && index-- == 0)
			return describe(h->servers[i], out);
	return false;
}

static bool ops_server_by_name(void *ctx, struct slice name, struct host_server *out)
{
	const struct harness_server *s = harness_find_server(ctx, name);
	return s && describe(s, out);
}

static struct harness_server *server_of(const struct harness *h, uint32_t id)
{
	return id > 0 && id <= h->server_count ? h->servers[id - 1] : NULL;
}

static bool ops_server_by_id(void *ctx, uint32_t id, struct host_server *out)
{
	const struct harness_server *s = server_of(ctx, id);
	return s && !s->removed && describe(s, out);
}

static int ops_send(void *ctx, uint32_t server, const char *rule, const struct action *action, double timeout, void *tag,
                    char id[ACTION_ID_MAX + 1], struct err *err)
{
	struct harness *h = ctx;
	struct harness_server *s = server_of(h, server);
	if (!s || s->removed || !s->ready)
		return err_set(err, ERR_NOT_READY, "%s", s ? "the server has no session" : "there is no such server");
	struct harness_action *a = mem_zalloc(sizeof *a);
	*a = (struct harness_action){ .server = server, .rule = mem_strdup(rule), .timeout = timeout, .tag = tag };
	action_init(&a->action);
	for (uint32_t i = 0; i < action->count; i++)
		if (action_add(&a->action, action_field_name(action, i), action_field_value(action, i), NULL))
			abort(); /* it was checked when the rule's was made */
	h->sent = mem_realloc(h->sent, h->sent_count + 1, sizeof *h->sent);
	h->sent[h->sent_count++] = a;
	s->pending++;
	snprintf(a->id, sizeof a->id, "test-1-%zu", h->sent_count);
	memcpy(id, a->id, sizeof a->id);
	return 0;
}

static int ops_sink(void *ctx, struct slice name, const struct host_line *line, struct err *err)
{
	struct harness *h = ctx;
	if (line->kept && persist_sync(h->persist, line->kept, line->arg, err))
		return -1;
	h->lines = mem_realloc(h->lines, h->line_count + 1, sizeof *h->lines);
	h->lines[h->line_count++] = (struct harness_line){ .sink = mem_slicedup(name), .text = mem_slicedup(line->text), .len = line->text.len, .ttl = line->ttl };
	return 0;
}

static bool ops_sink_exists(void *ctx, struct slice name)
{
	const struct harness *h = ctx;
	for (size_t i = 0; i < h->sink_count; i++)
		if (slice_eq(slice_cstr(h->sinks[i]), name))
			return true;
	return h->sink_count == 0;
}

static void ops_retire(void *ctx, struct rule *rule)
{
	struct harness *h = ctx;
	h->retired = mem_realloc(h->retired, h->retired_count + 1, sizeof(struct rule *));
	h->retired[h->retired_count++] = rule;
}

/* The first `count` of them. */
static void free_retired(struct harness *h, size_t count)
{
	for (size_t i = 0; i < count; i++)
		host_destroy_rule(&h->retired[i]);
	h->retired_count -= count;
	if (count > 0)
		memmove(h->retired, h->retired + count, h->retired_count * sizeof(struct rule *));
}

uint64_t harness_turn(struct harness *h)
{
	size_t before = h->retired_count;
	uint64_t next = host_turn(h->host);
	free_retired(h, before);
	return next;
}

/* In place: a harness has no other thread. */
static void ops_restart(void *ctx, struct rule_source *source);

static const struct host_ops harness_ops = {
	.now = ops_now, .wall = ops_wall, .server_at = ops_server_at, .server_by_name = ops_server_by_name,
	.server_by_id = ops_server_by_id, .send = ops_send, .sink = ops_sink, .sink_exists = ops_sink_exists, .http = harness_http, .retire = ops_retire, .restart = ops_restart,
};

/* ---- life ---- */

void harness_init(struct harness *h)
{
	*h = (struct harness){ .limits = default_limits(), .now = CLOCK_NS_PER_S, .wall = WALL_BEGINS };
	faults_init(&h->faults);
	buf_init(&h->text, 0);
	pool_init(&h->pool);
}

static void free_sent(struct harness_action *a)
{
	free(a->rule);
	action_close(&a->action);
	free(a);
}

void harness_close(struct harness *h)
{
	if (h->host) {
		host_cancel_all(h->host);
		/* Every action completes, also those of rules that were replaced. */
		for (size_t i = h->answered; i < h->sent_count; i++)
			if (h->sent[i]->tag)
				harness_answer(h, h->sent[i], reply_failed(ERR_CANCELLED, "the harness was closed", NULL, ""));
	}
	harness_http_close(h);
	for (size_t i = 0; i < h->visit_count; i++) {
		struct harness_visit *visit = h->visits[i];
		if (visit->call)
			host_hook_forget(visit->call);
		buf_close(&visit->body);
		buf_close(&visit->headers);
		buf_close(&visit->error);
		free(visit);
	}
	free(h->visits);
	h->visits = NULL;
	h->visit_count = 0;
	if (h->host)
		store_use_disk(host_store(h->host), NULL);
	persist_close(&h->persist, h->now, 0);
	free_retired(h, h->retired_count);
	free(h->retired);
	host_destroy(&h->host);
	metrics_destroy(&h->metrics);
	for (size_t i = 0; i < h->sent_count; i++)
		free_sent(h->sent[i]);
	free(h->sent);
	for (size_t i = 0; i < h->line_count; i++) {
		free(h->lines[i].sink);
		free(h->lines[i].text);
	}
	free(h->lines);
	for (size_t i = 0; i < h->server_count; i++) {
		struct harness_server *s = h->servers[i];
		framer_close(&s->framer);
		frame_log_close(&s->log);
		buf_close(&s->held);
		free(s->name);
		free(s);
	}
	free(h->servers);
	pool_close(&h->pool);
	for (size_t i = 0; i < h->sink_count; i++)
		free(h->sinks[i]);
	free(h->sinks);
	free(h->rules);
	free(h->lib);
	value_close(&h->settings);
	policy_unref(&h->policy);
	http_policy_destroy(&h->http_policy);
	faults_close(&h->faults);
	buf_close(&h->text);
	*h = (struct harness){ .host = NULL };
}

static void on_shed(void *ctx, void *cursor, struct slice name, bool first)
{
	(void)ctx;
	(void)first;
	host_skipped(cursor, name);
}

void harness_add_server(struct harness *h, struct slice name)
{
	static const struct framer_limits limits = { .max_frame = 16u << 20, .max_headers = 65536 };
	struct harness_server *s = mem_zalloc(sizeof *s);
	h->servers = mem_realloc(h->servers, h->server_count + 1, sizeof *h->servers);
	h->servers[h->server_count++] = s;
	s->id = (uint32_t)h->server_count;
	s->name = mem_slicedup(name);
	framer_init(&s->framer, &limits, false);
	buf_init(&s->held, 0);
	frame_log_init(&s->log, &(struct frame_log_options){ .events = 1000000, .bytes = UINT32_MAX, .kept_bytes = UINT32_MAX, .shed = on_shed },
	               &h->pool);
	if (!h->host)
		return;
	s->feed = host_feed_open(h->host, s->id, s->name, &s->log);
	picture_add(host_picture(h->host), s->id, s->name);
}

struct harness_server *harness_find_server(const struct harness *h, struct slice name)
{
	for (size_t i = 0; i < h->server_count; i++)
		if (!h->servers[i]->removed && slice_eq(slice_cstr(h->servers[i]->name), name))
			return h->servers[i];
	return NULL;
}

/* Borrowed from the harness, but for the names. */
static void load_options(struct harness *h, struct rules_options *options, const char ***names)
{
	size_t count = 0;
	*names = mem_alloc((h->server_count + 1) * sizeof **names);
	for (size_t i = 0; i < h->server_count; i++)
		if (!h->servers[i]->removed)
			(*names)[count++] = h->servers[i]->name;
	*options = (struct rules_options){
		.rules = h->rules, .lib = h->lib, .limits = h->limits, .ops = &harness_ops, .ctx = h, .store = host_store(h->host),
		.picture = host_picture(h->host),
		.budget = host_budget(h->host), .servers = *names, .server_count = count, .settings = &h->settings, .policy = h->policy,
	};
}

static void ops_restart(void *ctx, struct rule_source *source)
{
	struct harness *h = ctx;
	struct rules_options options;
	struct faults faults;
	const char **names;

	faults_init(&faults);
	load_options(h, &options, &names);
	host_adopt_again(h->host, source, rule_set_restart(&options, source, &faults));
	faults_close(&faults);
	free(names);
}

int harness_load(struct harness *h)
{
	struct err err;
	faults_close(&h->faults);
	faults_init(&h->faults);
	if (!h->host) {
		if (deadline_start(&err)) {
			faults_add(&h->faults, "%s", err.text);
			return -1;
		}
		h->metrics = metrics_create();
		h->host = host_create(&h->limits, &harness_ops, h, h->metrics);
		for (size_t i = 0; i < h->server_count; i++)
			h->servers[i]->feed = host_feed_open(h->host, h->servers[i]->id, h->servers[i]->name, &h->servers[i]->log);
		const struct persist_options persist = { .limits = { .store_entries = h->limits.store_entries, .store_bytes = h->limits.store_bytes,
		                                                     .queues = h->limits.queues, .queue_jobs = h->limits.queue_jobs,
		                                                     .queue_dead = h->limits.queue_dead, .job_bytes = h->limits.job_bytes } };
		h->persist = persist_open(&persist, h->now, &err);
		harness_picture_open(h);
		store_use_disk(host_store(h->host), h->persist);
		host_allow_jobs(h->host, false);
	} else {
		host_configure(h->host, &h->limits);
	}
	const char **names;
	struct rules_options options;
	struct host_snapshot *running = h->reload_all ? NULL : host_snapshot_take(h->host);
	load_options(h, &options, &names);
	options.running = running;
	struct rule_set *set = rule_set_load(&options, &h->faults);
	host_snapshot_destroy(&running);
	h->reload_all = false;
	free(names);
	if (!set)
		return -1;
	host_adopt(h->host, set);
	return 0;
}

/* ---- what happens ---- */

void harness_ready(struct harness *h, struct harness_server *s, struct slice version)
{
	struct host_server info;
	s->ready = true;
	snprintf(s->version, sizeof s->version, "%.*s", (int)(version.len < 31 ? version.len : 31), version.ptr);
	describe(s, &info);
	harness_picture_ready(h, s);
	host_engine_event(h->host, "server.ready", &info,
	                  (const struct host_field[]){ { "reason", SLICE("connected") }, { "version", version } }, 2);
}

void harness_answer(struct harness *h, struct harness_action *a, struct reply *reply)
{
	reply->tag = a->tag;
	a->tag = NULL;
	server_of(h, a->server)->pending--;
	while (h->answered < h->sent_count && !h->sent[h->answered]->tag)
		h->answered++;
	host_complete(h->host, reply);
}

void harness_lost(struct harness *h, struct harness_server *s, const char *reason)
{
	struct host_server info;
	s->ready = false;
	/* A rule may send again while it hears of the loss: not to this server, which is not ready. */
	for (size_t i = h->answered; i < h->sent_count; i++) {
		struct harness_action *a = h->sent[i];
		if (a->server != s->id || !a->tag)
			continue;
		char *action = mem_slicedup(action_name(&a->action));
		harness_answer(h, a, reply_failed(ERR_LOST, reason, a->tag, action));
		free(action);
	}
	framer_reset(&s->framer, false);
	buf_clear(&s->held);
	describe(s, &info);
	picture_lost(host_picture(h->host), s->id);
	host_server_lost(h->host, s->id, s->name);
	host_engine_event(h->host, "server.lost", &info, (const struct host_field[]){ { "reason", slice_cstr(reason) } }, 1);
}

bool harness_event(struct harness *h, struct harness_server *s, const struct message *message)
{
	uint64_t stamp;
	unsigned heard = host_event(h->host, s->feed, message, h->wall, &stamp);
	if ((heard & HOST_WAITS) && frame_log_append(&s->log, message, h->wall, stamp, heard & HOST_HEARD))
		abort(); /* memory is out */
	return heard != 0;
}

int64_t harness_feed(struct harness *h, struct harness_server *s, struct slice bytes, struct err *err)
{
	int64_t heard = 0;
	if (buf_len(&s->held) == 0 && slice_starts_with(bytes, SLICE("Asterisk Call Manager/")))
		framer_reset(&s->framer, true);
	if (buf_append(&s->held, bytes))
		abort(); /* no bound was set: memory is out */
	for (;;) {
		struct message m;
		size_t used = 0;
		enum framer_status status = framer_next(&s->framer, buf_slice(&s->held), &m, &used);
		if (status == FRAMER_NOT_AMI) {
			framer_reset(&s->framer, false);
			buf_clear(&s->held);
			return err_set(err, ERR_PROTOCOL, "the bytes do not begin with a banner that AMI has");
		}
		if (status == FRAMER_BANNER) {
			struct slice version = framer_banner_version(slice_make(m.bytes, m.len));
			snprintf(s->version, sizeof s->version, "%.*s", (int)(version.len < 31 ? version.len : 31), version.ptr);
		} else if (status == FRAMER_FRAME && m.kind == MESSAGE_EVENT) {
			heard += harness_event(h, s, &m);
		}
		buf_consume(&s->held, used);
		if (status == FRAMER_MORE)
			return heard;
	}
}

static void pass_time(struct harness *h, uint64_t to)
{
	h->now = to;
	h->wall = WALL_BEGINS + (double)(to - CLOCK_NS_PER_S) / 1e9; /* in one step: many small ones would round each */
}

int harness_advance(struct harness *h, uint64_t ns, struct err *err)
{
	uint64_t until = h->now + ns, since = h->now;
	for (unsigned turns = 0;; turns++) {
		if (h->now - since >= HOST_TURNS_NS) {
			since = h->now;
			turns = 0;
		}
		if (turns == HOST_TURNS_STANDING) {
			const char *rule = host_busiest_rule(h->host);
			return err_set(err, ERR_TIMEOUT, "rule '%s' wants to run at once again and again (%u turns in %g s)", rule ? rule : "?",
			               HOST_TURNS_STANDING, (double)HOST_TURNS_NS / 1e9);
		}
		uint64_t next = harness_turn(h);
		if (next <= h->now)
			continue;
		if (next > until)
			break;
		pass_time(h, next);
	}
	if (until > h->now)
		pass_time(h, until);
	return 0;
}
