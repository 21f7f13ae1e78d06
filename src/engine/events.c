/* events = "auto": a server is asked for the classes of events that the live picture, rules or watchers want, and for no others.
 *
 * What is wanted beyond what a session was asked for is asked for at once, by `Events`, before anything else that the rule sends: what
 * that causes is heard. Asterisk compares an event with the mask when it sends it, behind the answer to `Events`, so that nothing is
 * lost on the way (Q99). Fewer are asked for some seconds later, for rules and consoles come and go.
 *
 * Of VarSet, half of what a busy server sends, the picture wants that of some variables only, and of CEL nothing. The rest is held
 * back by one `Filter` that includes all but them, where ListCommands has that action and CoreSettings proves a version that
 * reads it as an extended regular expression. A filter is there for the session, but a second one that includes everything opens it
 * again (Q60, Q100). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ami/catalogue.h"
#include "base/clock.h"
#include "base/mem.h"
#include "engine/internal.h"
#include "observe/log.h"
#include "rules/picture.h"

#define FEWER_AFTER (10 * CLOCK_NS_PER_S)
#define LOOK_AGAIN (CLOCK_NS_PER_S / 4) /* at what could not be sent, and for a quiet moment */
#define QUIET CLOCK_NS_PER_S            /* without an event or an action under way */
#define ANSWERED_IN CLOCK_NS_PER_S      /* before rules are taken over that want more */
#define PATIENCE (60 * CLOCK_NS_PER_S)  /* with which it is waited for */
#define HELD_UP 6                       /* times timeouts.action: an action of Q45 may hold up the answer */
#define ALWAYS (EVENT_SYSTEM | EVENT_CALL) /* Shutdown and FullyBooted; OriginateResponse, without which no Originate is sent (Q46) */
#define CLASSES (~EVENT_BULK)
#define EXTENDED 13                     /* version since which a filter is an extended regular expression; up to 11 it is a basic one */
#define FILTER_MAX 900                  /* bytes: a line that Asterisk accepts has 1022 (Q30) */

static void wake(struct engine *e, uint64_t at)
{
	if (at < e->events_at)
		e->events_at = at;
}

/* ---- what is wanted ---- */

static uint32_t picture_classes(void)
{
	static uint32_t known; /* of tables that never change */
	uint32_t classes = 0;
	const char *name;

	for (uint32_t i = 0; known == 0 && (name = live_event_name(i)); i++)
		classes |= catalogue_event_classes(slice_cstr(name));
	known |= classes & CLASSES;
	return known;
}

/* Of every server. */
static uint32_t wanted(const struct engine *e)
{
	return host_wants(e->host) | (e->coming ? rule_set_wants(e->coming) : 0);
}

static uint32_t wanted_of(struct engine *e, const struct server *s, uint32_t everywhere)
{
	uint32_t classes = ALWAYS | everywhere | host_wants_of(e->host, slice_cstr(s->name));

	if (e->coming)
		classes |= rule_set_wants_of(e->coming, slice_cstr(s->name));
	if (picture_server(host_picture(e->host), s->id))
		classes |= picture_classes();
	list_each(it, &e->watches) {
		const struct engine_watch *watch = list_entry(it, struct engine_watch, node);
		if (watch->event && (!watch->server || strcmp(watch->server, s->name) == 0))
			classes |= watch->classes;
	}
	return classes;
}

/* ---- asking ---- */

/* A server's id is what these actions carry. */
static struct server *server_of(const struct engine *e, const void *ctx)
{
	return engine_server(e, (uint32_t)(uintptr_t)ctx);
}

/* Seconds for an answer. */
static double timeout_of(const struct server *s)
{
	const struct engine *e = s->engine;
	for (size_t i = 0; i < e->server_count; i++)
		if (e->servers[i] == s)
			return HELD_UP * e->config->servers[i].timeouts.action;
	return 0; /* one that leaves: the link's own */
}

static bool send_own(struct server *s, const struct engine_sender *sender, const char *action, const char *const *headers, size_t count)
{
	struct action a;
	char id[ACTION_ID_MAX + 1];
	struct err err;

	action_init(&a);
	bool good = action_add(&a, SLICE("Action"), slice_cstr(action), &err) == 0;
	for (size_t i = 0; good && i + 1 < count; i += 2)
		good = action_add(&a, slice_cstr(headers[i]), slice_cstr(headers[i + 1]), &err) == 0;
	good = good && engine_send(s->engine, s->id, &a, timeout_of(s), sender, (void *)(uintptr_t)s->id, id, &err);
	action_close(&a);
	if (!good)
		wake(s->engine, clock_mono_ns() + LOOK_AGAIN);
	return good;
}

/* Only a login asks anew. */
static void log_in_again(struct server *s, const struct reply *reply)
{
	if (s->events.again || reply->code == ERR_LOST || reply->code == ERR_CANCELLED)
		return;
	log_write(LOG_WARN, "the server did not take another event mask: logging in again", F_TEXT("server", s->name), F_TEXT("action", reply->action),
	          F_TEXT("reason", err_name(reply->code)), F_TEXT("error", reply->text));
	s->events.again = true;
	s->events.again_since = s->events.busy_at = clock_mono_ns();
	wake(s->engine, clock_mono_ns() + LOOK_AGAIN);
}

static void asked(struct engine *e, void *ctx, struct reply *reply)
{
	struct server *s = server_of(e, ctx);

	e->asking--;
	if (s && reply->code != ERR_NONE)
		log_in_again(s, reply);
	reply_free(&reply);
}

static void ask(struct server *s, uint32_t classes)
{
	static const struct engine_sender sender = { .name = "events", .done = asked };
	char mask[EVENT_MASK_TEXT];

	/* By name: with brokeneventsaction nothing answers a mask of all (Q24). */
	event_mask_write(classes, true, mask);
	if (!send_own(s, &sender, "Events", (const char *const[]){ "EventMask", mask }, 2))
		return;
	s->engine->asking++;
	s->events.asked = classes;
	log_write(LOG_INFO, "other events are asked for", F_TEXT("server", s->name), F_TEXT("events", mask));
}

/* ---- filters ---- */

static size_t escape(char *out, const char *text)
{
	size_t n = 0;
	for (; *text; text++) {
		if (strchr(".[]()*+?{}|^$\\", *text))
			out[n++] = '\\';
		out[n++] = *text;
	}
	return n;
}

/* All but CEL, and VarSet of a variable that means nothing to the picture. A value cannot hold a line's beginning (Q02): [[:cntrl:]] stands for
 * it, because no header can hold a line end. NULL when that is too long. */
static char *filter_text(const struct live *live)
{
	static const char begin[] = "^Event: ([^CV]|C[^E]|CE[^L]|CEL[^[:cntrl:]]|V[^a]|Va[^r]|Var[^S]|VarS[^e]|VarSe[^t]|VarSet([^[:cntrl:]]|.*[[:cntrl:]]Variable: (";
	char text[FILTER_MAX];
	size_t n = sizeof begin - 1;
	const char *name;

	memcpy(text, begin, n);
	for (uint32_t i = 0; (name = live_variable_name(live, i)); i++) {
		if (n + 2 * strlen(name) + 20 > sizeof text)
			return NULL;
		if (i > 0)
			text[n++] = '|';
		n += escape(text + n, name);
	}
	return mem_printf("%.*s)[[:cntrl:]]))", (int)n, text);
}

static void forget_filter(struct server *s)
{
	free(s->events.filter);
	s->events.filter = NULL;
	s->events.opened = false;
}

static void opened(struct engine *e, void *ctx, struct reply *reply)
{
	asked(e, ctx, reply);
}

static void filtered(struct engine *e, void *ctx, struct reply *reply)
{
	struct server *s = server_of(e, ctx);
	if (s && reply->code == ERR_ERROR) {
		log_write(LOG_INFO, "the server does not filter its events", F_TEXT("server", s->name), F_TEXT("error", reply->text));
		s->events.filters = false;
		forget_filter(s);
	} else if (s && reply->code != ERR_NONE) {
		log_in_again(s, reply);
	}
	reply_free(&reply);
}

static bool add_filter(struct server *s, const struct engine_sender *sender, const char *text)
{
	return send_own(s, sender, "Filter", (const char *const[]){ "Operation", "Add", "Filter", text }, 4);
}

static void hold_back(struct server *s)
{
	static const struct engine_sender sender = { .name = "events", .done = filtered };
	const struct live *live = picture_live(host_picture(s->engine->host));
	char *text = live && picture_server(host_picture(s->engine->host), s->id) ? filter_text(live) : NULL;

	if (text && add_filter(s, &sender, text))
		s->events.filter = text;
	else
		free(text);
}

/* Is what it lets pass still all that the picture reads? */
static bool filter_holds(const struct server *s)
{
	const struct live *live = picture_live(host_picture(s->engine->host));
	char *text = live ? filter_text(live) : NULL;
	bool same = text && strcmp(text, s->events.filter) == 0;

	free(text);
	return same || !live;
}

static void open_filter(struct server *s)
{
	static const struct engine_sender sender = { .name = "events", .done = opened };

	/* Also good where the first one was refused. */
	s->events.opened = add_filter(s, &sender, "^Event: ");
	s->engine->asking += s->events.opened;
}

/* "20.11.1", "certified-18.9-cert14": the first number. A build of one's own ("GIT-master-1234") proves nothing. */
static unsigned read_version(struct slice text)
{
	static const struct slice certified = { "certified-", 10 }, certified_path = { "certified/", 10 };
	unsigned version = 0;
	size_t i = slice_starts_with(text, certified) || slice_starts_with(text, certified_path) ? certified.len : 0, from = i;

	for (; i < text.len && i < from + 3 && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++)
		version = version * 10 + (unsigned)(text.ptr[i] - '0');
	return i > from && i < text.len && text.ptr[i] == '.' ? version : 0;
}

static void apply(struct server *s, uint32_t wanted);

static void settings(struct engine *e, void *ctx, struct reply *reply)
{
	struct server *s = server_of(e, ctx);
	if (s && reply->code == ERR_NONE && reply->response && read_version(message_value(reply->response, SLICE("AsteriskVersion"))) >= EXTENDED) {
		s->events.filters = true;
		apply(s, wanted_of(e, s, host_wants(e->host)));
	}
	reply_free(&reply);
}

void engine_events_commands(struct server *s, const struct message *response)
{
	static const struct engine_sender sender = { .name = "events", .done = settings };

	if (s->events.automatic && !s->events.filters && message_find(response, SLICE("Filter"), 0) >= 0 &&
	    message_find(response, SLICE("CoreSettings"), 0) >= 0)
		send_own(s, &sender, "CoreSettings", NULL, 0);
}

/* ---- what follows ---- */

/* Brings the session to what is wanted: to more at once, to less when it is time. */
static void apply(struct server *s, uint32_t wanted)
{
	struct server_events *ev = &s->events;
	uint64_t now = clock_mono_ns();

	if (ev->again)
		return;
	if (wanted & ~ev->asked & CLASSES)
		ask(s, wanted | ev->asked);
	if (ev->filter && !ev->opened && ((wanted & EVENT_BULK) || !filter_holds(s)))
		open_filter(s);
	else if (!ev->filter && ev->filters && (wanted & EVENT_DIALPLAN) && !(wanted & EVENT_BULK))
		hold_back(s);
	if (!(ev->asked & ~wanted & CLASSES)) {
		ev->fewer_at = 0;
		return;
	}
	if (ev->fewer_at == 0)
		ev->fewer_at = now + FEWER_AFTER;
	if (ev->fewer_at > now) {
		wake(s->engine, ev->fewer_at);
		return;
	}
	ev->fewer_at = 0;
	ask(s, wanted);
}

static void update(struct server *s, uint32_t wanted)
{
	char mask[EVENT_MASK_TEXT];

	/* A login that is under way may have the old mask or the new one. */
	s->events.login = link_state(s->link) == LINK_LOGIN ? s->events.login & wanted : wanted;
	event_mask_write(wanted, false, mask);
	link_set_events(s->link, mask);
	if (link_state(s->link) == LINK_READY)
		apply(s, wanted);
}

void engine_events_update(struct engine *e)
{
	struct host_view view;
	uint32_t everywhere = wanted(e);

	for (size_t i = 0; i < e->server_count; i++)
		if (e->servers[i]->events.automatic)
			update(e->servers[i], wanted_of(e, e->servers[i], everywhere));
	/* What a replaced rule wants goes when that has ended. */
	host_view(e->host, &view);
	if (view.draining_count > 0)
		wake(e, clock_mono_ns() + FEWER_AFTER);
}

bool engine_events_prepare(struct engine *e, const struct rule_set *rules)
{
	e->coming = rules;
	engine_events_update(e);
	if (e->asking == 0) {
		e->coming = NULL;
		return false;
	}
	e->coming_by = clock_mono_ns() + ANSWERED_IN;
	wake(e, e->coming_by);
	return true;
}

void engine_events_ready(struct server *s)
{
	struct server_events *ev = &s->events;

	if (!ev->automatic)
		return;
	ev->asked = ev->login;
	ev->fewer_at = 0;
	ev->filters = ev->again = false;
	forget_filter(s);
	apply(s, wanted_of(s->engine, s, host_wants(s->engine->host)));
}

/* A quiet moment costs least: nothing is under way, and nothing has come for a while. */
static void look_for_quiet(struct server *s, uint64_t now)
{
	struct server_events *ev = &s->events;
	struct link_view view;

	link_view(s->link, &view);
	if (view.events != ev->seen || view.pending > 0)
		ev->busy_at = now;
	ev->seen = view.events;
	if (now - ev->busy_at < QUIET && now - ev->again_since < PATIENCE) {
		wake(s->engine, now + LOOK_AGAIN);
		return;
	}
	link_stop(s->link, "events");
}

uint64_t engine_events_turn(struct engine *e)
{
	if (e->events_at == UINT64_MAX && !e->coming)
		return UINT64_MAX;
	uint64_t now = clock_mono_ns();
	if (e->coming && (e->asking == 0 || now >= e->coming_by || e->stopping))
		engine_reload_go_on(e);
	if (now >= e->events_at && !e->stopping) {
		e->events_at = UINT64_MAX;
		engine_events_update(e);
		for (size_t i = 0; i < e->server_count; i++)
			if (e->servers[i]->events.again && link_state(e->servers[i]->link) == LINK_READY)
				look_for_quiet(e->servers[i], now);
	}
	return e->stopping ? UINT64_MAX : e->events_at;
}

bool engine_events_stopped(struct server *s)
{
	if (!s->events.again || s->engine->stopping || !list_empty(&s->leaving))
		return false;
	s->events.again = false;
	link_start(s->link);
	return true;
}

bool engine_events_view(const struct engine *e, size_t index, struct engine_events_view *out)
{
	if (index >= e->server_count)
		return false;
	const struct server *s = e->servers[index];
	bool ready = link_state(s->link) == LINK_READY;
	*out = (struct engine_events_view){ .automatic = s->events.automatic, .filter = ready && !s->events.opened ? s->events.filter : NULL };
	if (s->events.automatic)
		event_mask_write(ready ? s->events.asked : s->events.login, false, out->events);
	else
		snprintf(out->events, sizeof out->events, "%s", e->config->servers[index].events);
	return true;
}
