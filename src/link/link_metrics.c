#include "link/link_metrics.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "link/internal.h"

/* Series of one server each; the value is read from the link when somebody asks. */
enum plain {
	PLAIN_STATE,
	PLAIN_READY,
	PLAIN_BYTES_IN,
	PLAIN_BYTES_OUT,
	PLAIN_FRAMES,
	PLAIN_FRAMES_OUT,
	PLAIN_OTHER_FRAMES,
	PLAIN_MALFORMED,
	PLAIN_OVERSIZED,
	PLAIN_CUT_FRAMES,
	PLAIN_LINES_WITHOUT_COLON,
	PLAIN_PENDING,
	PLAIN_LATE,
	PLAIN_UNMATCHED,
	PLAIN_IDLESS,
	PLAIN_CONNECTS,
	PLAIN_SESSIONS,
	PLAIN_BREAKER,
	PLAIN_HEARTBEAT,
	PLAIN_BACKLOG_BYTES,
	PLAIN_BACKLOG_EVENTS,
	PLAIN_CERTIFICATE,
	PLAINS
};

_Static_assert((int)PLAINS <= LINK_FAMILIES, "a family has no place");

static const struct {
	enum metric_type type;
	const char *name, *help;
} plains[PLAINS] = {
	[PLAIN_STATE] = { METRIC_GAUGE, "hookswitch_server_state",
	                  "State of the session: 0 stopped, 1 waiting, 2 resolving, 3 connecting, 4 tls, 5 banner, 6 login, 7 ready, "
	                  "8 draining." },
	[PLAIN_READY] = { METRIC_GAUGE, "hookswitch_server_ready", "1 while the session is ready." },
	[PLAIN_BYTES_IN] = { METRIC_COUNTER, "hookswitch_server_bytes_in_total", "Bytes read." },
	[PLAIN_BYTES_OUT] = { METRIC_COUNTER, "hookswitch_server_bytes_out_total", "Bytes written." },
	[PLAIN_FRAMES] = { METRIC_COUNTER, "hookswitch_server_frames_total", "Frames read." },
	[PLAIN_FRAMES_OUT] = { METRIC_COUNTER, "hookswitch_server_frames_out_total", "Actions written, the engine's own included." },
	[PLAIN_OTHER_FRAMES] = { METRIC_COUNTER, "hookswitch_server_other_frames_total",
	                         "Frames that are neither event nor response." },
	[PLAIN_MALFORMED] = { METRIC_COUNTER, "hookswitch_server_malformed_total",
	                      "Frames that no AMI server sends (bare line feeds, two glued); dropped." },
	[PLAIN_OVERSIZED] = { METRIC_COUNTER, "hookswitch_server_oversized_total",
	                      "Frames beyond limits.frame or limits.headers; skipped." },
	[PLAIN_CUT_FRAMES] = { METRIC_COUNTER, "hookswitch_server_cut_frames_total", "Frames cut by the session's end; dropped." },
	[PLAIN_LINES_WITHOUT_COLON] = { METRIC_COUNTER, "hookswitch_server_lines_without_colon_total",
	                                "Lines without a colon inside frames." },
	[PLAIN_PENDING] = { METRIC_GAUGE, "hookswitch_server_pending", "Actions of rules that wait for their answer." },
	[PLAIN_LATE] = { METRIC_COUNTER, "hookswitch_server_answers_late_total", "Answers to actions that had ended." },
	[PLAIN_UNMATCHED] = { METRIC_COUNTER, "hookswitch_server_answers_unmatched_total", "Responses to no action of the session." },
	[PLAIN_IDLESS] = { METRIC_COUNTER, "hookswitch_server_answers_idless_total",
	                   "Answers without ActionID, matched to the oldest action." },
	[PLAIN_CONNECTS] = { METRIC_COUNTER, "hookswitch_server_connects_total", "Tries to connect." },
	[PLAIN_SESSIONS] = { METRIC_COUNTER, "hookswitch_server_sessions_total", "Sessions that became ready." },
	[PLAIN_BREAKER] = { METRIC_GAUGE, "hookswitch_server_breaker_state", "Circuit breaker: 0 closed, 1 open, 2 half open." },
	[PLAIN_HEARTBEAT] = { METRIC_GAUGE, "hookswitch_server_heartbeat_seconds", "Round trip of the last Ping." },
	[PLAIN_BACKLOG_BYTES] = { METRIC_GAUGE, "hookswitch_server_backlog_bytes", "Bytes of events that wait for the rules." },
	[PLAIN_BACKLOG_EVENTS] = { METRIC_GAUGE, "hookswitch_server_backlog_events", "Events that wait for the rules." },
	[PLAIN_CERTIFICATE] = { METRIC_GAUGE, "hookswitch_server_certificate_days",
	                        "Days until the server's TLS certificate expires, as it was shown in the last handshake; below 0: it has expired." },
};

#define SERVERS_MAX 16384 /* series of a family with one for each server; families with one more label get some times that */

static double plain_value(const struct link *link, enum plain which)
{
	const struct link_counts *c = &link->counts;
	const struct pending_stats *answers = pending_stats(link->pending);

	switch (which) {
	case PLAIN_STATE:
		return (double)link->state;
	case PLAIN_READY:
		return link->state == LINK_READY;
	case PLAIN_BYTES_IN:
		return (double)c->bytes_in;
	case PLAIN_BYTES_OUT:
		return (double)c->bytes_out;
	case PLAIN_FRAMES:
		return (double)c->frames_in;
	case PLAIN_FRAMES_OUT:
		return (double)c->frames_out;
	case PLAIN_OTHER_FRAMES:
		return (double)c->other_frames;
	case PLAIN_MALFORMED:
		return (double)c->malformed;
	case PLAIN_OVERSIZED:
		return (double)c->oversized;
	case PLAIN_CUT_FRAMES:
		return (double)c->cut_frames;
	case PLAIN_LINES_WITHOUT_COLON:
		return (double)(c->lines_no_colon + link->framer.lines_no_colon);
	case PLAIN_PENDING:
		return link_pending(link);
	case PLAIN_LATE:
		return (double)(c->late + answers->late);
	case PLAIN_UNMATCHED:
		return (double)(c->unmatched + answers->unmatched);
	case PLAIN_IDLESS:
		return (double)(c->idless + answers->idless);
	case PLAIN_CONNECTS:
		return (double)c->connects;
	case PLAIN_SESSIONS:
		return (double)c->sessions;
	case PLAIN_BREAKER:
		return (double)link->breaker.state;
	case PLAIN_HEARTBEAT:
		return link->heartbeat_rtt > 0 ? link->heartbeat_rtt : 0;
	case PLAIN_BACKLOG_BYTES:
		return (double)(frame_log_waiting(&link->log).bytes + frame_log_held(&link->log));
	case PLAIN_BACKLOG_EVENTS:
		return (double)frame_log_waiting(&link->log).events;
	case PLAIN_CERTIFICATE:
		return (link->certificate_end - clock_wall()) / 86400;
	default:
		return 0;
	}
}

static void set(struct metric *metric, const struct slice *labels, size_t count, double value)
{
	struct series *series = metric_series(metric, labels, count);
	if (series) /* a refused one is counted by the registry */
		series->value = value;
}

static void collect(void *ctx)
{
	struct link_hub *hub = ctx;

	list_each(it, &hub->links) {
		const struct link *link = list_entry(it, struct link, hub_node);
		struct slice labels[2] = { slice_cstr(link->config.name) };
		for (int i = 0; i < PLAINS; i++)
			if (i != PLAIN_CERTIFICATE || link->certificate_end > 0)
				set(hub->families.plain[i], labels, 1, plain_value(link, (enum plain)i));
		if (!link->tls) /* its predecessor of that name may have had one */
			metric_remove(hub->families.plain[PLAIN_CERTIFICATE], labels, 1);
		labels[1] = SLICE("shed");
		set(hub->families.events, labels, 2, (double)link->counts.shed);
		for (int i = REASON_NONE + 1; i < REASON_STOPPED; i++) {
			if (link->counts.reasons[i] == 0)
				continue;
			labels[1] = slice_cstr(link_reason_name((enum link_reason)i));
			set(hub->families.failures, labels, 2, (double)link->counts.reasons[i]);
		}
	}
}

static struct metric *add(struct link_hub *hub, enum metric_type type, const char *name, const char *help,
                          const char *second, const double *buckets, size_t bucket_count, struct err *err)
{
	const char *labels[] = { "server", second };
	return metrics_add(hub->metrics, type, name, help, labels, second ? 2 : 1, buckets, bucket_count,
	                   second ? SERVERS_MAX * 16 : SERVERS_MAX, err);
}

/* Originate apart from the others: that a callee does not answer is no failure of the server, and ringing is no latency. */
static struct slice action_label(bool originate)
{
	return originate ? SLICE("Originate") : SLICE("other");
}

int link_metrics_init(struct link_hub *hub, struct err *err)
{
	static const double seconds[] = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60 };
	struct link_families *f = &hub->families;

	for (int i = 0; i < PLAINS; i++)
		if (!(f->plain[i] = add(hub, plains[i].type, plains[i].name, plains[i].help, NULL, NULL, 0, err)))
			return -1;
	f->events = add(hub, METRIC_COUNTER, "hookswitch_server_events_total",
	                "Events by fate: dispatched to a listener, unmatched (no listener wants them), shed.", "fate", NULL, 0, err);
	f->shed = add(hub, METRIC_COUNTER, "hookswitch_server_shed_total", "Events shed, by name (other: not in Asterisk's tree).",
	              "event", NULL, 0, err);
	f->failures = add(hub, METRIC_COUNTER, "hookswitch_server_failures_total", "Sessions and tries that ended, by reason.",
	                  "reason", NULL, 0, err);
	f->actions = metrics_add(hub->metrics, METRIC_COUNTER, "hookswitch_server_actions_total",
	                         "Actions of rules that ended, by outcome; action is Originate or other.",
	                         (const char *const[]){ "server", "action", "outcome" }, 3, NULL, 0, SERVERS_MAX * 16, err);
	f->seconds = add(hub, METRIC_HISTOGRAM, "hookswitch_server_action_seconds",
	                 "From sending an action to its end, of an Originate with the time that the callee takes.", "action", seconds,
	                 sizeof seconds / sizeof seconds[0], err);
	if (!f->events || !f->shed || !f->failures || !f->actions || !f->seconds)
		return -1;
	metrics_on_collect(hub->metrics, collect, hub);
	return 0;
}

void link_metrics_close(struct link_hub *hub)
{
	metrics_remove_collect(hub->metrics, collect, hub);
}

void link_metrics_add(struct link *link)
{
	for (int originate = 0; originate < 2; originate++) {
		struct slice labels[2] = { slice_cstr(link->config.name), action_label(originate) };
		link->series.seconds[originate] = metric_series(link->hub->families.seconds, labels, 2);
	}
}

void link_metrics_remove(struct link *link)
{
	struct link_families *f = &link->hub->families;
	struct slice labels[2] = { slice_cstr(link->config.name) };

	free(link->series.ends[0]);
	free(link->series.ends[1]);
	link->series = (struct link_series){ .seconds = { NULL, NULL } };
	list_each(it, &link->hub->links)
		if (slice_eq(slice_cstr(list_entry(it, struct link, hub_node)->config.name), labels[0]))
			return;
	for (int i = 0; i < PLAINS; i++)
		metric_remove(f->plain[i], labels, 1);
	metric_remove_all(f->seconds, labels[0]);
	/* The other fates are the owner's. */
	labels[1] = SLICE("shed");
	metric_remove(f->events, labels, 2);
	metric_remove_all(f->shed, labels[0]);
	metric_remove_all(f->failures, labels[0]);
	metric_remove_all(f->actions, labels[0]);
}

void link_metrics_action(struct link *link, const struct reply *reply, double seconds)
{
	bool originate = slice_eq_nocase(slice_cstr(reply->action), SLICE("Originate"));
	struct series ***ends = &link->series.ends[originate];

	if (!*ends)
		*ends = mem_zalloc(ERR_CODES * sizeof **ends);
	struct series **end = &(*ends)[reply->code];
	if (!*end) {
		struct slice labels[3] = { slice_cstr(link->config.name), action_label(originate),
			                   reply->code == ERR_NONE ? SLICE("success") : slice_cstr(err_name(reply->code)) };
		*end = metric_series(link->hub->families.actions, labels, 3);
	}
	if (*end) /* a refused one is counted by the registry */
		(*end)->value++;
	if (link->series.seconds[originate])
		series_observe(link->series.seconds[originate], seconds);
}

void link_metrics_shed(struct link *link, struct slice event)
{
	/* Only names that Asterisk has: what a peer invents must not grow the registry. */
	struct slice labels[2] = { slice_cstr(link->config.name), catalogue_event(event) ? event : SLICE("other") };
	struct series *series = metric_series(link->hub->families.shed, labels, 2);

	if (series)
		series->value++;
}
