/* The public functions of link.h: making, starting, sending, inspecting. */
#include "link/link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "link/internal.h"

#define OUT_FIRST 4096u /* bytes of the write buffer: the actions of a turn mostly fit */
#define ORIGINATE_TIMEOUT 30.0 /* Asterisk's own default, seconds */
#define ORIGINATE_MARGIN 5.0

const char *link_state_name(enum link_state state)
{
	static const char *const names[LINK_STATES] = {
		[LINK_STOPPED] = "stopped", [LINK_WAITING] = "waiting", [LINK_RESOLVING] = "resolving",
		[LINK_CONNECTING] = "connecting", [LINK_TLS] = "tls", [LINK_BANNER] = "banner",
		[LINK_LOGIN] = "login", [LINK_READY] = "ready", [LINK_DRAINING] = "draining",
	};
	return names[state];
}

const char *link_reason_name(enum link_reason reason)
{
	static const char *const names[REASONS] = {
		[REASON_NONE] = "",
		[REASON_RESOLVE] = "resolve",
		[REASON_REFUSED] = "refused",
		[REASON_UNREACHABLE] = "unreachable",
		[REASON_CONNECT_TIMEOUT] = "connect_timeout",
		[REASON_TLS] = "tls",
		[REASON_BANNER_TIMEOUT] = "banner_timeout",
		[REASON_NOT_AMI] = "not_ami",
		[REASON_LOGIN_TIMEOUT] = "login_timeout",
		[REASON_AUTH] = "auth",
		[REASON_READ_TIMEOUT] = "read_timeout",
		[REASON_HEARTBEAT] = "heartbeat",
		[REASON_RESET] = "reset",
		[REASON_EOF] = "eof",
		[REASON_PROTOCOL] = "protocol",
		[REASON_OVERFLOW] = "overflow",
		[REASON_SHUTDOWN] = "shutdown",
		[REASON_SYSTEM] = "system",
		[REASON_STOPPED] = "stopped",
	};
	return names[reason];
}

void link_stop(struct link *link, const char *reason)
{
	if (link->stop_requested)
		return;
	link->stop_requested = true;
	free(link->stop_reason);
	link->stop_reason = mem_strdup(reason);
	hub_defer(link);
}

void link_continue_counts(struct link *link, const struct link *before)
{
	const struct pending_stats *answers = pending_stats(before->pending);

	link->counts = before->counts;
	link->counts.late += answers->late;
	link->counts.unmatched += answers->unmatched;
	link->counts.idless += answers->idless;
	link->counts.lines_no_colon += before->framer.lines_no_colon;
}

void link_start(struct link *link)
{
	if (link->state != LINK_STOPPED || link->stop_requested)
		return;
	if (list_empty(&link->hub_node))
		hub_add(link);
	link_move(link, LINK_WAITING);
	link_plan_connect(link, 0);
}

/* ---- sending ---- */

static void wrote(struct link *link, size_t bytes)
{
	link->appended += bytes;
	link->counts.frames_out++;
	hub_mark_dirty(link);
}

/* Registers and serialises; nothing of it stays when either fails. */
static uint64_t queue_action(struct link *link, const struct action *action, struct pending_options *options,
                             char id[ACTION_ID_MAX + 1], struct err *err)
{
	if (!link->out.data)
		buf_reserve(&link->out, OUT_FIRST); /* where it fails, action_write() says so */
	size_t before = buf_len(&link->out);
	uint64_t sequence = pending_add(link->pending, action, options, id, err);

	if (!sequence)
		return 0;
	if (action_write(action, slice_cstr(id), &link->out, err)) {
		pending_forget(link->pending, sequence);
		return 0;
	}
	wrote(link, buf_len(&link->out) - before);
	return sequence;
}

uint64_t link_send_own(struct link *link, const struct action *action, struct err *err)
{
	char id[ACTION_ID_MAX + 1];
	/* The state's or the heartbeat's deadline watches over these. */
	struct pending_options options = { .now = clock_mono_ns(), .deadline = UINT64_MAX, .offset = link->appended };

	link->out.max = (size_t)link->config.limits.write_buffer + LINK_OWN_RESERVE;
	return queue_action(link, action, &options, id, err);
}

static double default_timeout(const struct link *link, const struct action *action)
{
	struct slice value;
	int64_t ms;

	if (!slice_eq_nocase(action_name(action), SLICE("Originate")))
		return link->config.timeouts.action;
	bool given = action_get(action, SLICE("Timeout"), &value) && slice_to_int(value, &ms) && ms > 0;
	return (given ? (double)ms / 1e3 : ORIGINATE_TIMEOUT) + ORIGINATE_MARGIN;
}

void *link_send(struct link *link, const struct action *action, double timeout, bool streams, size_t room,
                char id[ACTION_ID_MAX + 1], struct err *err)
{
	if (link->state != LINK_READY || link->stop_requested) {
		err_set(err, ERR_NOT_READY, "server %s has no session: it is %s", link->config.name,
		        link->stop_requested ? "stopping" : link_state_name(link->state));
		return NULL;
	}
	if (link_pending(link) >= link->config.limits.pending) {
		err_set(err, ERR_BACKPRESSURE, "server %s: %u actions wait for their answers already (limits.pending)",
		        link->config.name, link_pending(link));
		return NULL;
	}
	uint64_t now = clock_mono_ns();
	struct pending_options options = {
		.now = now,
		.deadline = now + clock_from_seconds(timeout > 0 ? timeout : default_timeout(link, action)),
		.offset = link->appended,
		.room = room,
		.streams = streams,
		.no_call_events = link->no_call_events,
	};
	link->out.max = link->config.limits.write_buffer;
	if (!queue_action(link, action, &options, id, err))
		return NULL;
	link_arm_actions(link);
	return options.tag;
}

/* ---- making and unmaking ---- */

static const char *own(struct link *link, const char *text)
{
	if (!text)
		return NULL;
	assert(link->string_count < sizeof link->strings / sizeof link->strings[0]);
	return link->strings[link->string_count++] = mem_strdup(text);
}

static void hears_call_events(struct link *link)
{
	link->no_call_events = link->config.events && !event_mask_hears(slice_cstr(link->config.events), SLICE("call"));
}

void link_set_events(struct link *link, const char *events)
{
	snprintf(link->events, sizeof link->events, "%s", events);
	link->config.events = link->events;
	hears_call_events(link);
}

static void copy_config(struct link *link, const struct link_config *from)
{
	struct link_config *to = &link->config;

	*to = *from;
	to->name = own(link, from->name);
	to->host = own(link, from->host);
	to->username = own(link, from->username);
	to->secret = NULL;
	link->secret = mem_strdup(from->secret);
	to->events = own(link, from->events);
	to->tls.ca = own(link, from->tls.ca);
	to->tls.cert = own(link, from->tls.cert);
	to->tls.key = own(link, from->tls.key);
	to->tls.server_name = own(link, from->tls.server_name);
	link->shed_first = mem_zalloc(from->shed_count * sizeof *link->shed_first);
	for (size_t i = 0; i < from->shed_count; i++)
		link->shed_first[i] = mem_strdup(from->shed_first[i]);
	to->shed_first = (const char *const *)link->shed_first;
	hears_call_events(link);
}

static void on_shed(void *ctx, void *cursor, struct slice name, bool first)
{
	struct link *link = ctx;
	if (first) {
		link->counts.shed++;
		link_metrics_shed(link, name);
	}
	link->owner.shed(link->owner.ctx, link, cursor, name);
}

static void init_parts(struct link *link)
{
	const struct link_config *c = &link->config;
	char prefix[sizeof link->hub->prefix + 10];

	/* Two links may be logged in to one Asterisk, which sends each the events of the other's Originates (Q21). */
	snprintf(prefix, sizeof prefix, "%s%u", link->hub->prefix, atomic_fetch_add(&link->hub->links_made, 1));

	frame_log_init(&link->log,
	             &(struct frame_log_options){ .events = c->limits.backlog_events, .bytes = c->limits.backlog_bytes,
	                                        .kept_bytes = c->limits.kept_bytes, .shed_first = c->shed_first,
	                                        .shed_count = c->shed_count, .shed = on_shed, .ctx = link },
	             &link->hub->pool);
	framer_init(&link->framer, &(struct framer_limits){ c->limits.frame, c->limits.headers }, true);
	link->pending = pending_create(&(struct pending_limits){ c->limits.pending + LINK_OWN_ACTIONS, c->limits.list_events,
	                                                         c->limits.list_bytes },
	                               slice_cstr(prefix));
	buf_init(&link->out, c->limits.write_buffer);
	link->backoff = (struct backoff){ .first = c->reconnect.first, .max = c->reconnect.max };
	/* Without a least wait jitter could make a refused login's next try an immediate one (Q42). */
	link->auth_backoff = (struct backoff){ .first = c->reconnect.auth_first, .max = c->reconnect.auth_max,
	                                       .min = c->reconnect.auth_first / 2 };
	breaker_init(&link->breaker, c->reconnect.breaker_failures, clock_from_seconds(c->reconnect.breaker_open),
	             c->reconnect.breaker_probes);
	link->stream = stream_create(link->hub->loop, &link_stream_handler, link);
	ev_timer_init(&link->timer, link_on_timer, 0, 0);
	ev_timer_init(&link->action_timer, link_on_action_timer, 0, 0);
	link->timer.data = link->action_timer.data = link;
	list_init(&link->hub_node);
	list_init(&link->dirty);
	list_init(&link->deferred);
	list_init(&link->waiting);
}

struct link *link_create(struct link_hub *hub, const struct link_config *config, const struct link_owner *owner,
                         struct err *err)
{
	struct tls *tls = NULL;

	if (login_check(config, err))
		return NULL;
	if (config->tls.enabled) {
		struct tls_options options = { .verify = config->tls.verify, .ca = config->tls.ca, .cert = config->tls.cert,
			                       .key = config->tls.key };
		struct err why;
		tls = tls_get(hub->tls, &options, &why);
		if (!tls) {
			err_set(err, why.code, "server %s: %s", config->name, why.text);
			return NULL;
		}
	}
	struct link *link = mem_zalloc(sizeof *link);
	link->hub = hub;
	link->owner = *owner;
	link->tls = tls;
	link->state = LINK_STOPPED;
	link->state_since = clock_mono_ns();
	link->deadline = link->action_due = UINT64_MAX;
	link->heartbeat_rtt = -1;
	copy_config(link, config);
	init_parts(link);
	return link;
}

int link_set_tap(struct link *link, const struct link_tap *tap)
{
	char banner[sizeof link->version + 32];

	if (tap && link->tap)
		return -1;
	link->tap = tap;
	if (tap && link->state == LINK_READY) {
		struct slice begun = frame_log_unframed(&link->log);
		int n = snprintf(banner, sizeof banner, "Asterisk Call Manager/%s\r\n", link->version);
		tap->bytes(tap->ctx, slice_make(banner, (size_t)n), clock_wall());
		if (begun.len > 0)
			tap->bytes(tap->ctx, begun, link->read_at);
	}
	return 0;
}

void link_destroy(struct link **where)
{
	struct link *link = *where;

	if (!link)
		return;
	*where = NULL;
	link_close_session(link);
	hub_remove(link);
	stream_destroy(&link->stream);
	tls_release(&link->tls);
	frame_log_close(&link->log);
	framer_close(&link->framer);
	pending_destroy(&link->pending);
	for (size_t i = 0; i < link->string_count; i++)
		free(link->strings[i]);
	for (size_t i = 0; i < link->config.shed_count; i++)
		free(link->shed_first[i]);
	free(link->shed_first);
	mem_free_secret(&link->secret);
	free(link->last_text);
	free(link->stop_reason);
	free(link);
}

/* ---- looking ---- */

struct frame_log *link_log(struct link *link)
{
	return &link->log;
}

const char *link_name(const struct link *link)
{
	return link->config.name;
}

void *link_owner_ctx(const struct link *link)
{
	return link->owner.ctx;
}

enum link_state link_state(const struct link *link)
{
	return link->state;
}

const char *link_version(const struct link *link)
{
	return link->version;
}

uint32_t link_pending(const struct link *link)
{
	uint32_t count = pending_count(link->pending);
	uint64_t own_actions[] = { link->challenge_sequence, link->login_sequence, link->logoff_sequence, link->ping_sequence };

	for (size_t i = 0; i < sizeof own_actions / sizeof own_actions[0]; i++)
		count -= own_actions[i] != 0 && count > 0;
	return count;
}

void link_pending_each(const struct link *link, void (*fn)(void *ctx, const struct pending_view *view), void *ctx)
{
	pending_each(link->pending, fn, ctx);
}

void link_view(const struct link *link, struct link_view *out)
{
	uint64_t now = clock_mono_ns();
	const struct address *peer = stream_peer(link->stream);

	*out = (struct link_view){
		.name = link->config.name,
		.host = link->config.host,
		.state = link_state_name(link->state),
		.version = link->version,
		.breaker = breaker_state_name(link->breaker.state),
		.last_reason = link_reason_name(link->last_reason),
		.port = link->config.port,
		.state_age = (double)(now - link->state_since) / 1e9,
		.next_try = -1,
		.heartbeat_rtt = link->heartbeat_rtt,
		.pending = link_pending(link),
		.backlog_events = frame_log_waiting(&link->log).events,
		.backlog_bytes = frame_log_waiting(&link->log).bytes + frame_log_held(&link->log),
		.sessions = link->counts.sessions,
		.failures = link->counts.failures,
		.events = link->counts.events,
		.shed = link->counts.shed,
		.bytes_in = link->counts.bytes_in,
		.bytes_out = link->counts.bytes_out,
	};
	snprintf(out->last_text, sizeof out->last_text, "%s", link->last_text ? link->last_text : "");
	if (peer)
		address_text(peer, out->address);
	if (link->state == LINK_WAITING && !link->stop_requested)
		out->next_try = link->deadline != UINT64_MAX && link->deadline > now ? (double)(link->deadline - now) / 1e9 : 0;
}
