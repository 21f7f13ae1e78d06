#include "rules/own_event.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "rules/order.h"
#include "rules/picture.h"

static struct own_event *create(struct host *host, struct message *m, const char *sender)
{
	struct own_event *e = mem_zalloc(sizeof *e);
	e->holders = 1;
	e->message = m;
	e->sender = sender;
	e->stamp = ++host->stamp;
	e->at = host->ops.wall(host->ctx);
	list_init(&e->queue);
	return e;
}

struct own_event *own_event_hold(struct own_event *event)
{
	event->holders++;
	return event;
}

void own_event_release(struct own_event **event)
{
	struct own_event *e = *event;
	*event = NULL;
	if (--e->holders > 0)
		return;
	message_free(&e->message);
	free(e->rule);
	free(e);
}

void own_event_dropped(struct host *host, struct slice name)
{
	host->m.dropped->value++;
	if (host_may_log(host, &host->dropped_logged))
		log_write(LOG_WARN, "an engine event was dropped: too many wait (limits.emitted, limits.rule_events, limits.rule_bytes)", F_SLICE("event", name),
		          F_INT("limit", host->limits.emitted));
}

static struct message *build(const char *name, const struct host_field *fields, size_t count)
{
	struct slice names[16], values[16];
	if (count > 16)
		count = 16;
	for (size_t i = 0; i < count; i++) {
		names[i] = slice_cstr(fields[i].name);
		values[i] = fields[i].value;
	}
	return message_build(slice_cstr(name), names, values, count);
}

int own_event_queue(struct host *host, const char *name, const struct host_server *server, struct rule *only,
                    const struct host_field *fields, size_t count)
{
	struct message *m = build(name, fields, count);
	/* Twice what may be emitted: the engine's own come first. */
	if (!m || host->event_count >= 2 * host->limits.emitted) {
		own_event_dropped(host, slice_cstr(name));
		message_free(&m);
		return -1;
	}
	struct own_event *e = create(host, m, NULL);
	e->only = only;
	if (server) {
		e->server = server->id;
		slice_to_text(slice_cstr(server->name), e->server_name, sizeof e->server_name);
	}
	list_append(&host->events, &e->queue);
	host->event_count++;
	return 0;
}

int own_event_queue_change(struct host *host, struct message *m, const struct host_server *server, double at)
{
	if (!m || host->change_count >= host->limits.rule_events || host->change_bytes + m->len > host->limits.rule_bytes) {
		own_event_dropped(host, m ? m->name : SLICE("live"));
		message_free(&m);
		return -1;
	}
	struct own_event *e = create(host, m, NULL);
	e->change = true;
	e->at = at;
	e->server = server->id;
	slice_to_text(slice_cstr(server->name), e->server_name, sizeof e->server_name);
	list_append(&host->events, &e->queue);
	host->change_count++;
	host->change_bytes += m->len;
	return 0;
}

/* ---- emitting ---- */

static bool is_own_name(struct slice name)
{
	if (name.len > 128 || !memchr(name.ptr, '.', name.len))
		return false;
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.ptr[i] <= ' ' || (unsigned char)name.ptr[i] == 127)
			return false;
	return !slice_starts_with_nocase(name, SLICE("server.")) && !slice_starts_with_nocase(name, SLICE("script.")) && !picture_event_names(name);
}

static struct emit_share *share_of(struct rule *rule, const char *emitter)
{
	list_each(it, &rule->order.shares) {
		struct emit_share *share = list_entry(it, struct emit_share, of_rule);
		if (strcmp(share->emitter, emitter) == 0)
			return share;
	}
	struct emit_share *share = mem_zalloc(sizeof *share);
	share->emitter = mem_strdup(emitter);
	list_append(&rule->order.shares, &share->of_rule);
	return share;
}

static const char *emitter_of(const struct own_event *e)
{
	return e->rule ? e->rule : e->sender;
}

void own_event_taken(struct rule *rule, const struct own_event *event)
{
	if (event->change) {
		rule->order.changes--;
		rule->order.change_bytes -= event->message->len;
	}
	if (!event->sender)
		return;
	struct emit_share *share = share_of(rule, emitter_of(event));
	rule->order.emitted--;
	rule->order.emitted_bytes -= event->message->len;
	share->bytes -= event->message->len;
	if (--share->count > 0)
		return;
	list_remove(&share->of_rule);
	free(share->emitter);
	free(share);
}

/* One emitter may hold a quarter of what may wait for a rule, so that the others find a place. The first event of an emitter has one
 * however large it is. */
static bool has_place(struct rule *rule, const char *emitter, size_t bytes)
{
	const struct emit_share *own = NULL;
	uint32_t limit = rule->host->limits.emitted;
	size_t limit_bytes = rule->limits.rule_bytes;

	list_each(it, &rule->order.shares) {
		const struct emit_share *share = list_entry(it, struct emit_share, of_rule);
		if (strcmp(share->emitter, emitter) == 0)
			own = share;
	}
	if (rule->order.emitted >= limit)
		return false;
	return !own || (own->count < (limit + 3) / 4 && own->bytes + bytes <= limit_bytes / 4 && rule->order.emitted_bytes + bytes <= limit_bytes);
}

struct emission {
	struct own_event *event;
	bool refused;
};

/* Each rule that listens gets it, unless too many wait for it. */
static void emit_to(void *ctx, struct rule *rule)
{
	struct emission *emission = ctx;
	struct own_event *e = emission->event;

	if (!has_place(rule, emitter_of(e), e->message->len)) {
		emission->refused = true;
		own_event_dropped(rule->host, e->message->name);
		return;
	}
	struct emit_share *share = share_of(rule, emitter_of(e));
	share->count++;
	share->bytes += e->message->len;
	rule->order.emitted++;
	rule->order.emitted_bytes += e->message->len;
	order_add_event(rule, NULL, own_event_hold(e));
}

int host_emit(struct host *host, const char *sender, const char *rule, struct slice name, const struct slice *names,
              const struct slice *values, size_t count, struct err *err)
{
	if (!is_own_name(name))
		return err_set(err, ERR_INVALID, "'%.*s' cannot be emitted: a name has a dot, as in crm.answered, does not begin with server. "
		               "or script., and is none of the live picture's", (int)(name.len < 60 ? name.len : 60), name.ptr);
	struct message *m = mem_is_short() ? NULL : message_build(name, names, values, count);
	if (!m)
		return err_set(err, ERR_OVERFLOW, "no memory for the event");
	struct emission emission = { .event = create(host, m, sender) };
	emission.event->chain = host->chain + 1;
	emission.event->rule = rule ? mem_strdup(rule) : NULL;
	if (host->ops.heard)
		host->ops.heard(host->ctx, &(struct host_own_event){ .server = "", .message = m, .at = emission.event->at, .sender = sender,
		                                                     .rule = rule });
	listeners_each_rule(host, name, emit_to, &emission);
	own_event_release(&emission.event);
	if (emission.refused)
		return err_set(err, ERR_OVERFLOW, "too many emitted events wait for a rule that listens: %u, a quarter of them of one emitter (limits.emitted, limits.rule_bytes)",
		               host->limits.emitted);
	return 0;
}

uint32_t host_listening(const struct host *host, struct slice name)
{
	return listeners_of_own(host, name);
}

/* ---- giving ---- */

void own_event_give(struct own_event *e, struct rule *rule, bool pending)
{
	const struct host_server server = { .id = e->server, .name = e->server_name };
	listeners_dispatch(rule->host, &(struct heard){ .message = e->message, .server = e->server ? &server : NULL, .at = e->at, .own = true,
	                                                .only = rule, .pending = pending });
}

void own_event_give_gap(struct rule *rule, const struct host_feed *feed, uint64_t count, const char *names, bool pending)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%llu", (unsigned long long)count);
	struct message *m = build("server.gap", (const struct host_field[]){ { "count", slice_make(text, (size_t)n) },
	                                                                      { "names", slice_cstr(names) }, { "reason", SLICE("shed") } }, 3);
	if (!m)
		return; /* counted as skipped */
	struct own_event *e = create(rule->host, m, NULL);
	e->server = feed->id;
	slice_to_text(slice_cstr(feed->name), e->server_name, sizeof e->server_name);
	own_event_give(e, rule, pending);
	own_event_release(&e);
}

/* A rule that is not up to date takes it later. */
struct delivery {
	struct own_event *event;
	struct host_feed *feed;
};

/* The rule hears how many changes it did not get. */
static bool has_place_for_change(struct rule *rule, const struct own_event *e)
{
	const struct host_server server = { .id = e->server, .name = e->server_name };
	struct rule_order *o = &rule->order;

	if (o->changes < rule->limits.rule_events && o->change_bytes + e->message->len <= rule->limits.rule_bytes) {
		o->changes++;
		o->change_bytes += e->message->len;
		return true;
	}
	rule_skips(rule, &(struct heard){ .message = e->message, .server = &server }, "lag");
	rule->gap++;
	rule->host->gaps = true;
	return false;
}

static void queue_behind(void *ctx, struct rule *rule)
{
	const struct delivery *d = ctx;
	if (d->event->change && !has_place_for_change(rule, d->event))
		return;
	order_add_event(rule, d->feed, own_event_hold(d->event));
}

static void deliver(struct host *host, struct own_event *e)
{
	const struct host_server server = { .id = e->server, .name = e->server_name };
	struct delivery d = { .event = e, .feed = host_feed_find(host, e->server) };

	if (e->only) {
		if (order_is_free(e->only, d.feed) && !order_is_spent(host))
			own_event_give(e, e->only, false);
		else
			order_add_event(e->only, d.feed, own_event_hold(e));
		return;
	}
	if (host->ops.heard)
		host->ops.heard(host->ctx, &(struct host_own_event){ .server_id = e->server, .server = e->server_name, .message = e->message,
		                                                     .at = e->at });
	listeners_dispatch(host, &(struct heard){ .message = e->message, .server = e->server ? &server : NULL, .at = e->at, .own = true,
	                                          .feed = d.feed, .late = queue_behind, .late_ctx = &d });
}

void own_event_deliver_all(struct host *host)
{
	struct list now;
	if (list_empty(&host->events))
		return;
	/* What these events make others queue waits for the next turn. */
	list_init(&now);
	list_each_safe(it, &host->events) {
		list_remove(it);
		list_append(&now, it);
	}
	host->event_count = host->change_count = 0;
	host->change_bytes = 0;
	while (!list_empty(&now)) {
		struct own_event *e = list_entry(now.next, struct own_event, queue);
		list_remove(&e->queue);
		deliver(host, e);
		own_event_release(&e);
	}
}

void own_event_forget(struct host *host, const struct rule *rule)
{
	list_each_safe(it, &host->events) {
		struct own_event *e = list_entry(it, struct own_event, queue);
		if (rule && e->only != rule)
			continue;
		list_remove(&e->queue);
		if (e->change) {
			host->change_count--;
			host->change_bytes -= e->message->len;
		} else {
			host->event_count--;
		}
		own_event_release(&e);
	}
}
