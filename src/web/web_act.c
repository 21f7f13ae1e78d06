#include "web/web_act.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"
#include "rules/picture.h"
#include "value/json_value.h"
#include "view/reply_json.h"
#include "web/web_sight.h"

#define EMIT_FIELDS_MAX 64
#define TIMEOUT_MAX 300.0 /* seconds that a request may wait for its action */

static const struct slice none = { "", 0 };

/* An action that was sent. It stays until its end, also when nobody waits for it any more, so that its end is logged. */
struct act {
	struct list node; /* in web->acts */
	struct web *web;
	struct web_connection *c; /* NULL: nobody waits */
	struct engine_request *sent;
	ev_timer limit;
	uint64_t since;           /* monotonic ns */
	char label[65], address[ADDRESS_TEXT_MAX], server[128], action[ACTION_NAME_MAX + 1], target[128], id[ACTION_ID_MAX + 1];
};

static struct slice text_of(const struct value *value)
{
	return slice_make(value->text.bytes, value->text.len);
}

/* A text, number or boolean as text; `scratch` holds that of a number. */
static bool scalar_text(const struct value *value, char scratch[40], struct slice *out)
{
	int n;

	switch (value->type) {
	case VALUE_TEXT:
		*out = text_of(value);
		return true;
	case VALUE_BOOL:
		*out = value->boolean ? SLICE("true") : SLICE("false");
		return true;
	case VALUE_INT:
		n = snprintf(scratch, 40, "%lld", (long long)value->integer);
		break;
	case VALUE_NUMBER:
		n = floor(value->number) == value->number && fabs(value->number) < 9e15 ? snprintf(scratch, 40, "%lld", (long long)value->number)
		                                                                        : snprintf(scratch, 40, "%.14g", value->number);
		break;
	default:
		return false;
	}
	*out = slice_make(scratch, (size_t)n);
	return true;
}

/* ---- events ---- */

static void log_emit(const struct web_ask *ask, const char *outcome, uint32_t listeners)
{
	char ip[ADDRESS_TEXT_MAX];
	address_text(ask->client, ip);
	struct log_field fields[] = { F_TEXT("client", ask->token->name), F_TEXT("address", ip), F_SLICE("event", ask->parameter), F_TEXT("outcome", outcome),
	                              F_INT("listeners", listeners) };

	log_record_exact(LOG_INFO, "web emit", fields, sizeof fields / sizeof *fields);
}

/* 0, or -1 and the fault is answered. */
static int emit(const struct web_ask *ask, const struct value *body)
{
	struct slice names[EMIT_FIELDS_MAX], values[EMIT_FIELDS_MAX];
	char scratch[EMIT_FIELDS_MAX][40];
	struct err err;

	if (body->table.count > EMIT_FIELDS_MAX) {
		web_fail(ask->web, ask->c, 400, none, "an event has at most %d fields", EMIT_FIELDS_MAX);
		return -1;
	}
	for (size_t i = 0; i < body->table.count; i++) {
		names[i] = text_of(&body->table.pairs[i].key);
		if (names[i].len == 0 || names[i].len > 255 || !scalar_text(&body->table.pairs[i].value, scratch[i], &values[i])) {
			web_fail(ask->web, ask->c, 400, none, "field '%.*s': a text, number or boolean is expected, under a name of 1 to 255 bytes",
			         (int)(names[i].len < 60 ? names[i].len : 60), names[i].ptr);
			return -1;
		}
	}
	if (host_emit(engine_host(ask->web->engine), "web", NULL, ask->parameter, names, values, body->table.count, &err) == 0)
		return 0;
	log_emit(ask, err_name(err.code), 0);
	web_fail(ask->web, ask->c, err.code == ERR_INVALID ? 400 : 503, none, "%s", err.text);
	return -1;
}

void web_serve_emit(const struct web_ask *ask)
{
	struct value body;

	if (!web_token_may_emit(ask->token, ask->parameter)) {
		web_refused(ask->web, WEB_REFUSED_SCOPE, ask->client, ask->token->name);
		log_emit(ask, "denied", 0);
		web_fail(ask->web, ask->c, 403, none, "this token may not emit this event; web.tokens.NAME.emit names those that it may");
		return;
	}
	if (!web_read_object(ask->web, ask->c, ask->request, &body))
		return;
	if (emit(ask, &body) == 0) {
		uint32_t listeners = host_listening(engine_host(ask->web->engine), ask->parameter);
		char text[64];
		int n = snprintf(text, sizeof text, "{\"listeners\":%u}\n", listeners);
		log_emit(ask, "success", listeners);
		web_answer_json(ask, 200, slice_make(text, (size_t)n));
	}
	value_close(&body);
}

/* ---- actions ---- */

static int add_header(struct action *action, struct slice name, const struct value *value, struct err *err)
{
	char scratch[40];
	struct slice text;

	if (!scalar_text(value, scratch, &text))
		return err_set(err, ERR_INVALID, "header '%.*s': a text, number, boolean or a list of these is expected", (int)(name.len < 60 ? name.len : 60), name.ptr);
	return action_add(action, name, text, err);
}

static int add_variables(struct action *action, const struct value *table, struct err *err)
{
	char scratch[40];
	struct slice text;

	for (size_t i = 0; i < table->table.count; i++) {
		struct slice name = text_of(&table->table.pairs[i].key);
		if (!scalar_text(&table->table.pairs[i].value, scratch, &text))
			return err_set(err, ERR_INVALID, "Variable '%.*s': a text, number or boolean is expected", (int)(name.len < 60 ? name.len : 60), name.ptr);
		if (action_add_variable(action, name, text, err))
			return -1;
	}
	return 0;
}

static int add_list(struct action *action, struct slice name, const struct value *list, struct err *err)
{
	for (size_t i = 0; i < list->table.count; i++) {
		if (list->table.pairs[i].key.type != VALUE_INT)
			return err_set(err, ERR_INVALID, "header '%.*s' is an object; a list is expected", (int)(name.len < 60 ? name.len : 60), name.ptr);
		if (add_header(action, name, &list->table.pairs[i].value, err))
			return -1;
	}
	return 0;
}

static bool has_names(const struct value *value)
{
	return value_is_object(value) && value->table.count > 0;
}

static int build_action(const struct value *body, struct action *action, struct err *err)
{
	struct slice async;

	for (size_t i = 0; i < body->table.count; i++) {
		struct slice name = text_of(&body->table.pairs[i].key);
		const struct value *value = &body->table.pairs[i].value;
		int rc = has_names(value) && slice_eq_nocase(name, SLICE("Variable")) ? add_variables(action, value, err)
		         : value->type == VALUE_TABLE                                 ? add_list(action, name, value, err)
		                                                                      : add_header(action, name, value, err);
		if (rc)
			return -1;
	}
	struct slice called = action_name(action);
	if (called.len == 0)
		return err_set(err, ERR_INVALID, "the action has no name: \"Action\" is a text");
	if (slice_eq_nocase(called, SLICE("Originate")) && !action_get(action, SLICE("Async"), &async))
		return action_add(action, SLICE("Async"), SLICE("true"), err);
	return 0;
}

/* The header that says what an action is about: a queue or a channel. NULL: it is not about one of these alone, whatever headers it has. */
static const char *bound_by(struct slice action)
{
	static const char *const of_queue[] = { "QueueAdd", "QueueChangePriorityCaller", "QueueLog", "QueueMemberRingInUse", "QueuePause", "QueuePenalty",
	                                        "QueueRemove", "QueueReset", "QueueStatus", "QueueSummary", "QueueWithdrawCaller" };
	static const char *const of_channel[] = { "AbsoluteTimeout", "Atxfer", "BlindTransfer", "CancelAtxfer", "ChangeMonitor", "ControlPlayback", "Hangup",
	                                          "MixMonitor", "MixMonitorMute", "Monitor", "MuteAudio", "Park", "PauseMonitor", "PlayDTMF", "Redirect",
	                                          "SendText", "Status", "StopMixMonitor", "StopMonitor", "UnpauseMonitor" };

	for (size_t i = 0; i < sizeof of_queue / sizeof *of_queue; i++)
		if (slice_eq_nocase(action, slice_cstr(of_queue[i])))
			return "Queue";
	for (size_t i = 0; i < sizeof of_channel / sizeof *of_channel; i++)
		if (slice_eq_nocase(action, slice_cstr(of_channel[i])))
			return "Channel";
	return NULL;
}

static bool names_channel(struct slice header)
{
	static const struct slice word = { "Channel", 7 };

	for (size_t i = 0; i + word.len <= header.len; i++)
		if (slice_eq_nocase(slice_make(header.ptr + i, word.len), word))
			return true;
	return false;
}

/* A token that is limited to queues acts on these, and on calls that are or were in one of them: the header that bounds the action must be
 * there, and every Queue and channel that it names must be such a one. */
static bool acts_within(const struct web_ask *ask, const struct action *action, struct slice server)
{
	struct picture *picture = host_picture(engine_host(ask->web->engine));
	struct live *live = picture_live(picture);
	struct live_server *of = live ? live_server_find(live, server) : NULL;
	struct slice bound = { "", 0 };

	if (ask->token->queues.count == 0)
		return true;
	const char *by = bound_by(action_name(action));
	if (!by || !action_get(action, slice_cstr(by), &bound))
		return false;
	for (uint32_t i = 0; i < action->count; i++) {
		struct slice name = action_field_name(action, i), value = action_field_value(action, i);
		if (slice_eq_nocase(name, SLICE("Queue"))) {
			if (!web_token_sees_queue(ask->token, value))
				return false;
		} else if (names_channel(name)) {
			const struct live_object *call = of ? live_call(of, value) : NULL;
			if (!call || !web_sight(ask->token, call, picture_now(picture)))
				return false;
		} else if (slice_eq_nocase(name, SLICE("Variable")) || slice_eq_nocase(name, SLICE("Application"))) {
			return false;
		}
	}
	return true;
}

static unsigned status_of(enum err_code code)
{
	switch (code) {
	case ERR_NONE: return 200;
	case ERR_ERROR: return 409;
	case ERR_INVALID: return 400;
	case ERR_DENIED: return 403;
	case ERR_TIMEOUT: return 504;
	case ERR_LOST: return 502;
	default: return 503;
	}
}

static void log_act(const struct act *act, const char *outcome)
{
	struct log_field fields[] = { F_TEXT("client", act->label), F_TEXT("address", act->address), F_TEXT("server", act->server), F_TEXT("action", act->action),
	                              F_TEXT("target", act->target[0] ? act->target : NULL), F_TEXT("action_id", act->id[0] ? act->id : NULL),
	                              F_TEXT("outcome", outcome), F_NUMBER("seconds", act->since ? (double)(clock_mono_ns() - act->since) / 1e9 : 0) };
	log_record_exact(LOG_INFO, "web action", fields, sizeof fields / sizeof *fields);
}

/* What the action is about, for the log. */
static void find_target(const struct action *action, char *to, size_t cap)
{
	static const struct slice names[] = { { "Channel", 7 }, { "Interface", 9 }, { "Queue", 5 }, { "Exten", 5 }, { "Mailbox", 7 } };
	struct slice value;
	size_t used = 0;

	to[0] = '\0';
	for (size_t i = 0; i < sizeof names / sizeof *names && used < cap; i++)
		if (action_get(action, names[i], &value) && value.len > 0)
			used += (size_t)snprintf(to + used, cap - used, "%s%.*s", used ? " " : "", (int)(value.len < 60 ? value.len : 60), value.ptr);
}

static void act_free(struct act *act)
{
	list_remove(&act->node);
	ev_timer_stop(engine_loop(act->web->engine), &act->limit);
	free(act);
}

/* The client waits no more; the action goes on. */
static void on_gone(void *work)
{
	struct act *act = work;

	act->c = NULL;
	ev_timer_stop(engine_loop(act->web->engine), &act->limit);
}

/* The request ends before its action. */
static void answer_before(struct act *act, unsigned status, const char *error)
{
	struct web_connection *c = act->c;
	char text[256];

	act->c = NULL;
	int n = snprintf(text, sizeof text, "{\"error\":\"%s\",\"action_id\":\"%s\"}\n", error, act->id);
	web_answer(act->web, c, &(struct web_answer){ .status = status, .type = "application/json", .body = slice_make(text, (size_t)n) });
}

static void on_limit(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)events;
	answer_before(timer->data, 504, "the action has not ended in time; it goes on, and the log will say how it ended");
}

static void on_done(struct engine *engine, void *ctx, struct reply *reply)
{
	struct act *act = ctx;
	struct buf body;
	(void)engine;

	log_act(act, reply->code == ERR_NONE ? "success" : err_name(reply->code));
	if (act->c) {
		buf_init(&body, 0);
		reply_json(&body, act->server, act->id, reply);
		web_answer(act->web, act->c, &(struct web_answer){ .status = status_of(reply->code), .type = "application/json", .body = buf_slice(&body),
		                                                   .headers = SLICE("Cache-Control: no-store\r\n") });
		buf_close(&body);
	}
	reply_free(&reply);
	act_free(act);
}

static struct act *act_create(const struct web_ask *ask, struct slice server, const struct action *action)
{
	struct act *act = mem_zalloc(sizeof *act);

	act->web = ask->web;
	snprintf(act->label, sizeof act->label, "%s", ask->token->name);
	address_text(ask->client, act->address);
	slice_to_text(server, act->server, sizeof act->server);
	slice_to_text(action_name(action), act->action, sizeof act->action);
	find_target(action, act->target, sizeof act->target);
	list_append(&ask->web->acts, &act->node);
	ev_timer_init(&act->limit, on_limit, 0, 0);
	act->limit.data = act;
	return act;
}

/* Seconds of ?timeout=; 0: not given. False: the fault is answered. */
static bool read_timeout(const struct web_ask *ask, double *timeout)
{
	size_t cursor = 0, name_len;
	struct buf text;
	bool good = true;
	int got;

	*timeout = 0;
	buf_init(&text, 0);
	while (good && (got = web_request_query(ask->request->query, &cursor, &text, &name_len)) != 0) {
		const char *whole = buf_cstr(&text);
		char *end;
		good = got == 1 && name_len == 7 && memcmp(whole, "timeout", 7) == 0;
		*timeout = good ? strtod(whole + 7, &end) : 0;
		good = good && end != whole + 7 && *end == '\0' && *timeout >= 0.1 && *timeout <= TIMEOUT_MAX;
	}
	buf_close(&text);
	if (!good)
		web_fail(ask->web, ask->c, 400, none, "the only parameter is timeout, 0.1 to %g seconds", TIMEOUT_MAX);
	return good;
}

static void refuse(const struct web_ask *ask, struct act *act, const struct err *err)
{
	struct buf body;

	log_act(act, err_name(err->code));
	buf_init(&body, 0);
	reply_json_refused(&body, act->server, slice_cstr(act->action), err);
	web_answer_json(ask, status_of(err->code), buf_slice(&body));
	buf_close(&body);
	act_free(act);
}

static void send_action(const struct web_ask *ask, uint32_t server, struct slice name, const struct action *action, double timeout)
{
	static const struct engine_sender sender = { .name = "web", .done = on_done };
	struct act *act = act_create(ask, name, action);
	struct ev_loop *loop = engine_loop(ask->web->engine);
	struct err err;

	if (!acts_within(ask, action, name))
		err_set(&err, ERR_DENIED, "this token acts on its queues only: by actions on a queue that name one of them in Queue, or on a channel that name one of a call in them in Channel");
	else if (policy_check(ask->web->policy, "*", action, &err) == 0)
		act->sent = engine_send(ask->web->engine, server, action, timeout, &sender, act, act->id, &err);
	if (!act->sent) {
		refuse(ask, act, &err);
		return;
	}
	act->since = clock_mono_ns();
	act->c = ask->c;
	ask->c->work = act;
	ask->c->cancel = on_gone;
	ev_now_update(loop);
	ev_timer_set(&act->limit, timeout > 0 ? timeout + 1 : engine_config(ask->web->engine)->web.timeout, 0);
	ev_timer_start(loop, &act->limit);
}

void web_serve_action(const struct web_ask *ask)
{
	struct slice name = ask->parameter;
	uint32_t server = web_token_sees_server(ask->token, name) ? engine_server_id(ask->web->engine, name) : 0;
	struct action action;
	struct value body;
	double timeout;
	struct err err;

	if (server == 0) {
		web_fail(ask->web, ask->c, 404, none, "there is no server of this name, or this token does not see it");
		return;
	}
	if (!read_timeout(ask, &timeout) || !web_read_object(ask->web, ask->c, ask->request, &body))
		return;
	action_init(&action);
	if (build_action(&body, &action, &err))
		web_fail(ask->web, ask->c, 400, none, "%s", err.text);
	else
		send_action(ask, server, name, &action, timeout);
	action_close(&action);
	value_close(&body);
}

void web_acts_close(struct web *web)
{
	list_each_safe(it, &web->acts) {
		struct act *act = list_entry(it, struct act, node);
		engine_send_forget(act->sent);
		log_act(act, "cancelled");
		if (act->c)
			answer_before(act, 503, "the engine stops; what becomes of the action is not known");
		act_free(act);
	}
}
