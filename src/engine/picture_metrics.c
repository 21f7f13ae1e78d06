#include <stdlib.h>
#include <string.h>

#include "engine/internal.h"
#include "rules/picture.h"

#define SERIES_MAX 100000u /* of one family: queues of all servers, and their states */
#define WORDS_MAX 16u      /* states of one kind */

static const struct family {
	enum metric_type type;
	const char *name, *help, *second, *third; /* labels beside `server` */
} families[] = {
	{ METRIC_GAUGE, "hookswitch_live_calls", "Calls of a server, by state.", "state", NULL },
	{ METRIC_GAUGE, "hookswitch_live_queue_waiting", "Callers who wait in a queue.", "queue", NULL },
	{ METRIC_GAUGE, "hookswitch_live_queue_longest_wait_seconds", "How long the caller has waited who waits longest in a queue.", "queue", NULL },
	{ METRIC_GAUGE, "hookswitch_live_queue_members", "Members of a queue, by the state of their device, or paused.", "queue", "state" },
	{ METRIC_GAUGE, "hookswitch_live_agents", "Agents of a server, by state.", "state", NULL },
	{ METRIC_GAUGE, "hookswitch_live_endpoints", "Endpoints of a server: registered, unregistered, or unknown.", "state", NULL },
	{ METRIC_GAUGE, "hookswitch_live_full", "1 while the live picture of a server is full, 0 while something of it is unknown.", NULL, NULL },
	{ METRIC_COUNTER, "hookswitch_live_events_total", "Events that the live picture took something of.", NULL, NULL },
	{ METRIC_COUNTER, "hookswitch_live_snapshots_total", "Times that all lists of a server were read.", NULL, NULL },
	{ METRIC_GAUGE, "hookswitch_live_snapshot_seconds", "How long the last reading of all lists took.", NULL, NULL },
	{ METRIC_COUNTER, "hookswitch_live_contradictions_total", "Events that contradicted the live picture, so that the lists were read again.", NULL, NULL },
	{ METRIC_COUNTER, "hookswitch_live_doubts_total", "Channels that were asked for by themselves because nothing had named them for live.doubt.", NULL, NULL },
	{ METRIC_COUNTER, "hookswitch_live_unseen_total", "Channels whose end no event has reported.", NULL, NULL },
	{ METRIC_COUNTER, "hookswitch_live_overflows_total", "What did not fit into the live picture (limits.live_*), by kind.", "kind", NULL },
};
enum { CALLS, WAITING, LONGEST, MEMBERS, AGENTS, ENDPOINTS, FULL, EVENTS, SNAPSHOTS, SECONDS, CONTRADICTIONS, DOUBTS, UNSEEN, OVERFLOWS, FAMILIES };
_Static_assert(sizeof families / sizeof *families == FAMILIES, "one name for each family");

struct gauges {
	struct metrics *metrics;
	struct slice server;
	int64_t now;
};

static void set(const struct gauges *g, int family, struct slice second, struct slice third, double value)
{
	struct metric *metric = metrics_find(g->metrics, families[family].name);
	const struct slice labels[] = { g->server, second, third };
	size_t count = families[family].third ? 3 : families[family].second ? 2 : 1;
	struct series *series = metric_series(metric, labels, count);
	if (series)
		series->value = value;
}

static void set_one(const struct gauges *g, int family, double value)
{
	set(g, family, SLICE(""), SLICE(""), value);
}

/* How often each word came. */
struct tally {
	struct slice words[WORDS_MAX];
	uint32_t counts[WORDS_MAX], count;
};

static void count_word(struct tally *t, struct slice word)
{
	uint32_t i = 0;
	while (i < t->count && !slice_eq(t->words[i], word))
		i++;
	if (i == WORDS_MAX)
		return; /* there are not so many states */
	if (i == t->count) {
		t->words[t->count++] = word;
		t->counts[i] = 0;
	}
	t->counts[i]++;
}

/* Fields by number: there may be a hundred thousand objects. */
static struct {
	int call_state, queue_name, queue_count, queue_longest, queue_members, member_state, member_paused, agent_state, endpoint, registered;
} fields;

static void find_fields(void)
{
	fields.call_state = live_field(LIVE_CALL, SLICE("state"));
	fields.queue_name = live_field(LIVE_QUEUE, SLICE("name"));
	fields.queue_count = live_field(LIVE_QUEUE, SLICE("count"));
	fields.queue_longest = live_field(LIVE_QUEUE, SLICE("longest_wait"));
	fields.queue_members = live_field(LIVE_QUEUE, SLICE("members"));
	fields.member_state = live_field(LIVE_MEMBER, SLICE("state"));
	fields.member_paused = live_field(LIVE_MEMBER, SLICE("paused"));
	fields.agent_state = live_field(LIVE_AGENT, SLICE("state"));
	fields.endpoint = live_field(LIVE_ENDPOINT, SLICE("endpoint"));
	fields.registered = live_field(LIVE_ENDPOINT, SLICE("registered"));
}

static struct live_value get(const struct gauges *g, const struct live_object *object, int field)
{
	return live_get(object, field, g->now);
}

static double number_of(const struct live_value *value)
{
	return value->type == LIVE_INT ? (double)value->integer : value->type == LIVE_NUMBER ? value->number : 0;
}

static struct slice word_of(const struct live_value *value)
{
	return value->type == LIVE_TEXT ? value->text : SLICE("unknown");
}

/* All that is told of a server afresh: a queue or a state that is no more leaves nothing behind. */
static void clear(const struct gauges *g)
{
	for (int i = CALLS; i <= ENDPOINTS; i++)
		metric_remove_all(metrics_find(g->metrics, families[i].name), g->server);
}

static void show_calls(const struct gauges *g, struct live *live, struct live_server *server)
{
	static const char *const states[] = { "new", "ringing", "queued", "up", "held", "parked", "conference" };
	for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
		struct live_filter filter = { .count = 1, .server = server };
		filter.equal[0].field = fields.call_state;
		filter.equal[0].value = slice_cstr(states[i]);
		set(g, CALLS, slice_cstr(states[i]), SLICE(""), (double)live_count(live, LIVE_CALL, &filter, g->now));
	}
}

struct members {
	const struct gauges *gauges;
	struct tally tally;
};

static bool count_member(void *ctx, const struct live_object *member, struct slice key, const struct live_value *value)
{
	struct members *m = ctx;
	struct live_value paused = get(m->gauges, member, fields.member_paused), state = get(m->gauges, member, fields.member_state);
	(void)key;
	(void)value;
	count_word(&m->tally, paused.boolean ? SLICE("paused") : word_of(&state));
	return true;
}

static void show_queue(const struct gauges *g, const struct live_object *queue)
{
	struct live_value name = get(g, queue, fields.queue_name), waiting = get(g, queue, fields.queue_count),
	                  longest = get(g, queue, fields.queue_longest), list = get(g, queue, fields.queue_members);
	struct members members = { .gauges = g };

	set(g, WAITING, name.text, SLICE(""), number_of(&waiting));
	set(g, LONGEST, name.text, SLICE(""), number_of(&longest));
	live_each_item(&list, count_member, &members);
	for (uint32_t i = 0; i < members.tally.count; i++)
		set(g, MEMBERS, name.text, members.tally.words[i], members.tally.counts[i]);
}

static void show_tally(const struct gauges *g, int family, const struct tally *tally)
{
	for (uint32_t i = 0; i < tally->count; i++)
		set(g, family, tally->words[i], SLICE(""), tally->counts[i]);
}

static void show_objects(const struct gauges *g, struct live *live, struct live_server *server)
{
	const struct live_filter filter = { .server = server };
	struct tally agents = { .count = 0 }, endpoints = { .count = 0 };
	struct live_cursor cursor;
	struct live_object *o;

	live_walk(live, LIVE_QUEUE, &filter, &cursor);
	while ((o = live_next(&cursor, g->now)))
		show_queue(g, o);
	live_walk(live, LIVE_AGENT, &filter, &cursor);
	while ((o = live_next(&cursor, g->now))) {
		struct live_value state = get(g, o, fields.agent_state);
		count_word(&agents, word_of(&state));
	}
	live_walk(live, LIVE_ENDPOINT, &filter, &cursor);
	while ((o = live_next(&cursor, g->now))) {
		struct live_value endpoint = get(g, o, fields.endpoint), registered = get(g, o, fields.registered);
		if (endpoint.boolean) /* no mere device state */
			count_word(&endpoints, registered.type == LIVE_NIL ? SLICE("unknown") : registered.boolean ? SLICE("registered") : SLICE("unregistered"));
	}
	show_tally(g, AGENTS, &agents);
	show_tally(g, ENDPOINTS, &endpoints);
}

static void show_stats(const struct gauges *g, struct live_server *server)
{
	const struct live_stats *stats = live_stats(server);
	set_one(g, FULL, live_state(server) == LIVE_FULL);
	set_one(g, EVENTS, (double)stats->events);
	set_one(g, SNAPSHOTS, (double)stats->snapshots);
	set_one(g, SECONDS, (double)stats->snapshot_time / 1e6);
	set_one(g, CONTRADICTIONS, (double)stats->contradictions);
	set_one(g, DOUBTS, (double)stats->doubts);
	set_one(g, UNSEEN, (double)stats->unseen);
	for (int kind = 0; kind < LIVE_KINDS; kind++)
		if (kind < LIVE_PARTICIPANT || stats->overflow[kind] > 0)
			set(g, OVERFLOWS, slice_cstr(live_kind_name((enum live_kind)kind)), SLICE(""), (double)stats->overflow[kind]);
}

static void collect(void *ctx)
{
	struct engine *e = ctx;
	struct picture *p = host_picture(e->host);
	struct live *live = picture_live(p);

	if (!live)
		return;
	struct gauges g = { .metrics = e->metrics, .now = picture_now(p) };
	for (struct live_server *server = live_server_next(live, NULL); server; server = live_server_next(live, server)) {
		g.server = live_server_name(server);
		clear(&g);
		show_calls(&g, live, server);
		show_objects(&g, live, server);
		show_stats(&g, server);
	}
}

void engine_picture_metrics_open(struct engine *e)
{
	for (int i = 0; i < FAMILIES; i++) {
		const struct family *f = &families[i];
		const char *const labels[] = { "server", f->second, f->third };
		struct err err;
		if (!metrics_add(e->metrics, f->type, f->name, f->help, labels, f->third ? 3 : f->second ? 2 : 1, NULL, 0, SERIES_MAX, &err))
			abort(); /* two parts of the engine use one name */
	}
	find_fields();
	metrics_on_collect(e->metrics, collect, e);
}

void engine_picture_metrics_forget(struct engine *e, const char *server)
{
	for (int i = 0; i < FAMILIES; i++)
		metric_remove_all(metrics_find(e->metrics, families[i].name), slice_cstr(server));
}
