/* `call`: sends an action for the operator and shows its answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "control/headers.h"
#include "control/internal.h"
#include "control/table.h"
#include "view/reply_json.h"

struct call {
	struct engine_request *sent;
	char server[128], id[ACTION_ID_MAX + 1];
	bool json;
};

/* ---- the answer for people ---- */

static bool is_frame(struct slice name)
{
	static const char *const names[] = { "Response", "Event", "ActionID", "Message", "EventList", "Output" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (slice_eq_nocase(name, slice_cstr(names[i])))
			return true;
	return name.len == 0;
}

static void print_headers(const struct message *message, const char *indent, struct buf *out)
{
	const struct headers headers = { .message = message };

	for (uint32_t i = 0; i < message->header_count; i++) {
		struct slice name = message_header_name(message, i);
		if (is_frame(name))
			continue;
		buf_append_cstr(out, indent);
		text_clean(out, name);
		buf_append_cstr(out, ": ");
		headers_value_text(&headers, i, out);
		buf_append_char(out, '\n');
	}
}

static void print_success(const struct reply *reply, struct buf *out)
{
	struct slice message, line;
	size_t cursor = 0;

	if (!reply->has_output) {
		buf_append_cstr(out, "Success");
		if (reply->response && message_get(reply->response, SLICE("Message"), &message) && message.len > 0) {
			buf_append_cstr(out, ": ");
			text_clean(out, message);
		}
		buf_append_char(out, '\n');
		if (reply->response)
			print_headers(reply->response, "", out);
	}
	while (reply->has_output && reply_output(reply, &cursor, &line)) {
		text_clean(out, line);
		buf_append_char(out, '\n');
	}
	for (uint32_t i = 0; i < reply->event_count; i++) {
		buf_append_char(out, '\n');
		text_clean(out, reply->events[i]->name);
		buf_append_char(out, '\n');
		print_headers(reply->events[i], "  ", out);
	}
	if (reply->is_list)
		buf_printf(out, "%s%u item%s\n", reply->event_count > 0 ? "\n" : "", reply->event_count, reply->event_count == 1 ? "" : "s");
}

/* ---- the command ---- */

/* Who may open the socket may send everything but the session's own actions. */
static int check_action(const struct action *action, struct err *err)
{
	struct policy *all = policy_create();

	policy_allow(all, "*", "*");
	policy_originate(all, "*", "*");
	int rc = policy_check(all, "*", action, err);
	policy_unref(&all);
	return rc;
}

static void on_answer(struct engine *engine, void *ctx, struct reply *reply)
{
	struct client *client = ctx;
	struct call *call = client->work;
	int code = reply->code == ERR_NONE ? 0 : 1;
	struct slice line;
	size_t cursor = 0;
	(void)engine;

	if (call->json) {
		reply_json(&client->out, call->server, call->id, reply);
	} else if (code == 0) {
		print_success(reply, &client->out);
	} else {
		/* A Command that failed says why in its output. */
		while (reply->has_output && reply_output(reply, &cursor, &line)) {
			text_clean(&client->out, line);
			buf_append_char(&client->out, '\n');
		}
		buf_printf(&client->out, "%s on ", reply->action);
		text_clean(&client->out, slice_cstr(call->server));
		buf_printf(&client->out, ": %s", err_name(reply->code));
		if (reply->text[0]) {
			buf_append_cstr(&client->out, ": ");
			text_clean(&client->out, slice_cstr(reply->text));
		}
		buf_append_char(&client->out, '\n');
	}
	reply_free(&reply);
	client->work = NULL;
	free(call);
	client_finish(client, code);
}

static void cancel(struct client *client)
{
	struct call *call = client->work;

	if (!call)
		return;
	client->work = NULL;
	engine_send_forget(call->sent);
	free(call);
}

/* 0, or -1 with the refusal in the client's output and its exit code in `*code`. */
static int action_build(struct request *request, struct action *action, int *code)
{
	struct err err;

	for (int i = 1; i < request->argc; i++) {
		const char *field = request->argv[i], *equals = strchr(field, '=');
		if (!equals || equals == field) {
			*code = client_refuse(request->client, 2, "call: a header is NAME=VALUE, not '%s'", field);
			return -1;
		}
		if (action_add(action, slice_make(field, (size_t)(equals - field)), slice_cstr(equals + 1), &err)) {
			*code = client_refuse(request->client, 2, "call: %s", err.text);
			return -1;
		}
	}
	if (action_name(action).len > 0)
		return 0;
	*code = client_refuse(request->client, 2, "call: no Action=NAME among the headers");
	return -1;
}

/* What rules may not send without a policy needs a role of its own. */
static bool is_guarded(const struct action *action)
{
	struct err err;

	return policy_check(NULL, "*", action, &err) != 0;
}

static struct engine_request *send_action(const struct request *request, const struct action *action, char id[ACTION_ID_MAX + 1],
                                          struct err *err)
{
	static const struct engine_sender console = { .name = "console", .done = on_answer };
	const char *name = request->argv[0];
	uint32_t server = engine_server_id(request->engine, slice_cstr(name));

	if (server == 0)
		err_set(err, ERR_INVALID, "the configuration has no server '%s'", name);
	if (server == 0 || check_action(action, err))
		return NULL;
	return engine_send(request->engine, server, action, 0, &console, request->client, id, err);
}

int command_call(struct request *request)
{
	struct client *client = request->client;
	struct action action;
	struct err err;
	int code;

	action_init(&action);
	if (action_build(request, &action, &code)) {
		action_close(&action);
		return code;
	}
	struct slice name = action_name(&action);
	if (!client_has_role(client, ROLE_ADMIN) && is_guarded(&action)) {
		char what[128];
		snprintf(what, sizeof what, "call: this %.*s", SLICE_ARG(name));
		action_close(&action);
		client->as_json = request->json;
		return command_refuse_role(client, what, ROLE_ADMIN);
	}
	struct call *call = mem_zalloc(sizeof *call);
	call->json = request->json;
	snprintf(call->server, sizeof call->server, "%s", request->argv[0]);
	char *shown = mem_slicedup(name);
	command_log(client, "console: call", shown);
	free(shown);
	call->sent = send_action(request, &action, call->id, &err);
	if (!call->sent) {
		if (call->json) {
			reply_json_refused(&client->out, call->server, name, &err);
			action_close(&action);
			free(call);
			return 1;
		}
		action_close(&action);
		free(call);
		return client_refuse(client, 1, "call: %s: %s", err_name(err.code), err.text);
	}
	action_close(&action);
	client->work = call;
	client->cancel = cancel;
	return COMMAND_LATER;
}
