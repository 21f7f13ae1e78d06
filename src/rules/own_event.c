#include "rules/own_event.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"

struct own_event {
	struct list queue;
	struct message *message;
	uint32_t server;           /* 0: none */
	char server_name[RULE_NAME_MAX + 1];
	struct rule *only;         /* for one rule, NULL: all */
	const char *sender;        /* of an emitted one: who emitted it, a static text; else NULL */
	char *rule;                /* owned; of an emitted one: the rule that did, or NULL */
};

static void own_event_free(struct own_event *e)
{
	list_remove(&e->queue);
	message_free(&e->message);
	free(e->rule);
	free(e);
}

void own_event_dropped(struct host *host, struct slice name)
{
	host->m.dropped->value++;
	if (host_may_log(host, &host->dropped_logged))
		log_write(LOG_WARN, "an engine event was dropped: too many wait (limits.emitted)", F_SLICE("event", name),
		          F_INT("limit", host->limits.emitted));
}

/* As it is queued; NULL when there is no place for it. */
static struct own_event *queue_message(struct host *host, struct message *m, const char *sender)
{
	/* What is emitted leaves some for the engine's own. */
	uint32_t limit = sender ? host->limits.emitted : 2 * host->limits.emitted;
	if (!m || host->event_count >= limit) {
		own_event_dropped(host, m ? m->name : (struct slice){ NULL, 0 });
		message_free(&m);
		return NULL;
	}
	struct own_event *e = mem_zalloc(sizeof *e);
	e->message = m;
	e->sender = sender;
	list_append(&host->events, &e->queue);
	host->event_count++;
	return e;
}

int own_event_queue(struct host *host, const char *name, const struct host_server *server, struct rule *only,
                    const struct host_field *fields, size_t count)
{
	struct slice names[16], values[16];
	if (count > 16)
		count = 16;
	for (size_t i = 0; i < count; i++) {
		names[i] = slice_cstr(fields[i].name);
		values[i] = fields[i].value;
	}
	struct own_event *e = queue_message(host, message_build(slice_cstr(name), names, values, count), NULL);
	if (!e)
		return -1;
	e->only = only;
	if (server) {
		e->server = server->id;
		snprintf(e->server_name, sizeof e->server_name, "%s", server->name);
	}
	return 0;
}

static bool is_own_name(struct slice name)
{
	if (name.len > 128 || !memchr(name.ptr, '.', name.len))
		return false;
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.ptr[i] <= ' ' || (unsigned char)name.ptr[i] == 127)
			return false;
	return !slice_starts_with_nocase(name, SLICE("server.")) && !slice_starts_with_nocase(name, SLICE("script."));
}

int host_emit(struct host *host, const char *sender, const char *rule, struct slice name, const struct slice *names,
              const struct slice *values, size_t count, struct err *err)
{
	if (!is_own_name(name))
		return err_set(err, ERR_INVALID, "'%.*s' cannot be emitted: a name has a dot, as in crm.answered, and does not begin with server. "
		               "or script.", (int)(name.len < 60 ? name.len : 60), name.ptr);
	struct own_event *e = queue_message(host, message_build(name, names, values, count), sender);
	if (!e)
		return err_set(err, ERR_OVERFLOW, "%u events wait to be delivered already (limits.emitted)", host->limits.emitted);
	e->rule = rule ? mem_strdup(rule) : NULL;
	return 0;
}

uint32_t host_listening(const struct host *host, struct slice name)
{
	return listeners_of_own(host, name);
}

static void deliver(struct host *host, struct own_event *e)
{
	const struct host_server server = { .id = e->server, .name = e->server_name };
	const struct heard heard = { .message = e->message, .server = e->server ? &server : NULL, .at = host->ops.wall(host->ctx),
	                             .own = true, .only = e->only };
	if (host->ops.heard && !e->only)
		host->ops.heard(host->ctx, &(struct host_own_event){ .server_id = e->server, .server = e->server_name, .message = e->message,
		                                                     .at = heard.at, .sender = e->sender, .rule = e->rule });
	listeners_dispatch(host, &heard);
}

void own_event_deliver_all(struct host *host)
{
	struct list now;
	if (list_empty(&host->events))
		return;
	/* What these events make others emit waits for the next turn. */
	list_init(&now);
	list_each_safe(it, &host->events) {
		list_remove(it);
		list_append(&now, it);
	}
	host->event_count = 0;
	while (!list_empty(&now)) {
		struct own_event *e = list_entry(now.next, struct own_event, queue);
		deliver(host, e);
		own_event_free(e);
	}
}

void own_event_forget(struct host *host, const struct rule *rule)
{
	list_each_safe(it, &host->events) {
		struct own_event *e = list_entry(it, struct own_event, queue);
		if (rule && e->only != rule)
			continue;
		own_event_free(e);
		host->event_count--;
	}
}
