/* The commands of the console: one table, one function for each. */
#include <stdio.h>
#include <string.h>

#include "control/internal.h"
#include "control/json_writer.h"
#include "control/render.h"
#include "control/table.h"
#include "observe/log.h"

struct command {
	const char *name, *arguments, *help;
	int min, max; /* of `argc`; max -1: as many as there are */
	bool json;    /* takes --json */
	int (*run)(struct request *request);
	bool order;   /* says one text, which becomes a JSON object */
};

void command_log(const struct client *client, const char *order, const char *argument)
{
	log_write(LOG_INFO, order, F_TEXT("argument", argument), F_INT("uid", client->uid), F_INT("pid", client->pid));
}

/* ---- looking ---- */

static int run_status(struct request *request)
{
	if (request->json)
		render_status_json(request->engine, request->out);
	else
		render_status(request->engine, request->out);
	return 0;
}

static int run_servers(struct request *request)
{
	struct writer writer;

	if (!request->json) {
		render_servers(request->engine, request->out);
		return 0;
	}
	writer_init(&writer, request->out);
	writer_open(&writer, NULL, '{');
	render_servers_json(request->engine, &writer);
	writer_close(&writer, '}');
	buf_append_char(request->out, '\n');
	return 0;
}

static int run_scripts(struct request *request)
{
	struct writer writer;

	if (!request->json) {
		render_scripts(request->engine, request->out);
		return 0;
	}
	writer_init(&writer, request->out);
	writer_open(&writer, NULL, '{');
	render_generation_json(request->engine, 0, &writer);
	writer_close(&writer, '}');
	buf_append_char(request->out, '\n');
	return 0;
}

static int run_metrics(struct request *request)
{
	struct metrics *metrics = engine_metrics(request->engine);

	if (request->json) {
		metrics_render_json(metrics, request->out);
		buf_append_char(request->out, '\n');
	} else {
		metrics_render(metrics, request->out);
	}
	return 0;
}

static int run_pending(struct request *request)
{
	if (request->json)
		render_pending_json(request->engine, request->out);
	else
		render_pending(request->engine, request->out);
	return 0;
}

/* ---- orders ---- */

static void on_reloaded(void *ctx, const struct faults *faults)
{
	struct client *client = ctx;
	struct engine *engine = client->console->engine;

	if (!faults) {
		buf_printf(&client->out, "reloaded, generation %u\n", host_generation(engine_host(engine)));
		client_finish(client, 0);
		return;
	}
	buf_append_cstr(&client->out, "not reloaded; what ran before goes on:\n");
	for (size_t i = 0; i < faults->count; i++)
		text_lines(&client->out, "  ", faults->lines[i]);
	client_finish(client, 1);
}

static void cancel_reload(struct client *client)
{
	engine_reload_forget(client->console->engine, client);
}

static int run_reload(struct request *request)
{
	command_log(request->client, "console: reload", NULL);
	request->client->cancel = cancel_reload;
	engine_reload(request->engine, on_reloaded, request->client);
	return COMMAND_LATER;
}

/* The stream ends with the daemon, so a client that reads to its end knows when that is. */
static int run_stop(struct request *request)
{
	struct engine *engine = request->engine;

	command_log(request->client, "console: stop", NULL);
	buf_append_cstr(request->out, "stopping\n");
	client_flush(request->client);
	engine_stop(engine, "shutdown");
	return COMMAND_LATER;
}

static int run_log(struct request *request)
{
	enum log_level was = log_get_level();
	int level = log_level_parse(request->argv[0]);

	if (level == -1)
		return client_refuse(request->client, 2, "log: the level is one of debug, info, warn, error");
	command_log(request->client, "console: log", log_level_name((enum log_level)level));
	log_set_level((enum log_level)level);
	buf_printf(request->out, "log level %s (was %s)\n", log_level_name((enum log_level)level), log_level_name(was));
	return 0;
}

static int switch_rule(struct request *request, bool enable)
{
	const char *name = request->argv[0];

	if (host_rule_enable(engine_host(request->engine), slice_cstr(name), enable) == -1)
		return client_refuse(request->client, 1, "no rule '%s' runs; `scripts` lists them", name);
	command_log(request->client, enable ? "console: enable" : "console: disable", name);
	text_clean(request->out, slice_cstr(name));
	buf_append_cstr(request->out, enable ? " is enabled\n" : " is disabled until it is enabled or the next reload; what it has begun goes on\n");
	return 0;
}

static int run_enable(struct request *request)
{
	return switch_rule(request, true);
}

static int run_disable(struct request *request)
{
	return switch_rule(request, false);
}

/* Nobody need listen: rules come and go. But who mistyped the name is told. */
static void answer_emitted(struct request *request, uint32_t listening)
{
	struct writer writer;
	char text[64];

	if (listening > 0)
		snprintf(text, sizeof text, "queued for %u listener%s", listening, listening == 1 ? "" : "s");
	else
		snprintf(text, sizeof text, "queued, but no rule listens to it");
	if (!request->json) {
		buf_printf(request->out, "%s\n", text);
		return;
	}
	request->client->as_json = false;
	writer_init(&writer, request->out);
	writer_open(&writer, NULL, '{');
	writer_bool(&writer, "success", true);
	writer_text(&writer, "message", text);
	writer_integer(&writer, "listeners", listening);
	writer_close(&writer, '}');
	buf_append_char(request->out, '\n');
}

static int run_emit(struct request *request)
{
	struct slice names[CONSOLE_ARGUMENTS_MAX], values[CONSOLE_ARGUMENTS_MAX];
	size_t count = (size_t)request->argc - 1;
	struct err err = { 0 };

	for (size_t i = 0; i < count; i++) {
		const char *field = request->argv[i + 1], *equals = strchr(field, '=');
		if (!equals || equals == field)
			return client_refuse(request->client, 2, "emit: a field is NAME=VALUE, not '%s'", field);
		names[i] = slice_make(field, (size_t)(equals - field));
		values[i] = slice_cstr(equals + 1);
	}
	struct slice name = slice_cstr(request->argv[0]);
	command_log(request->client, "console: emit", request->argv[0]);
	if (host_emit(engine_host(request->engine), "console", NULL, name, names, values, count, &err) == -1)
		return client_refuse(request->client, 1, "emit: %s", err.text);
	answer_emitted(request, host_listening(engine_host(request->engine), name));
	return 0;
}

/* ---- the table ---- */

static int run_help(struct request *request);

static const struct command commands[] = {
	{ "status", "[--json]", "the daemon, its servers, its rules, the last failed reload", 0, 0, true, run_status, false },
	{ "servers", "[--json]", "the servers and their sessions", 0, 0, true, run_servers, false },
	{ "scripts", "[--json]", "the rules that run", 0, 0, true, run_scripts, false },
	{ "pending", "[--json]", "the actions that wait for their answer", 0, 0, true, run_pending, false },
	{ "metrics", "[--json]", "every counter, in Prometheus' text form", 0, 0, true, run_metrics, false },
	{ "reload", "[--json]", "reload configuration and rules, and wait for the result", 0, 0, true, run_reload, true },
	{ "call", "SERVER Action=NAME [K=V ...] [--json]", "send an action and wait for its answer", 2, -1, true, command_call, false },
	{ "tail", "[--server NAME] [--event NAME|GLOB] [--where K=V] [--actions] [--json]",
	  "events as they come; actions and answers with --actions", 0, -1, true, command_tail, false },
	{ "top", "[--once]", "a screen of rates every second: servers, slowest rules", 0, 1, false, command_top, false },
	{ "record", "SERVER", "what a server sends, byte by byte, for `hookswitch ctl record`", 1, 1, false, command_record, false },
	{ "emit", "NAME [K=V ...] [--json]", "an event for the rules, like crm.answered", 1, -1, true, run_emit, true },
	{ "enable", "RULE [--json]", "let a rule that was disabled hear events again", 1, 1, true, run_enable, true },
	{ "disable", "RULE [--json]", "stop a rule's listeners and timers until the next reload", 1, 1, true, run_disable, true },
	{ "log", "LEVEL [--json]", "log from this level on: debug, info, warn, error", 1, 1, true, run_log, true },
	{ "stop", "", "end the sessions in order, then the daemon; again: at once", 0, 0, false, run_stop, false },
	{ "help", "", "this list", 0, 0, false, run_help, false },
};

#define HELP_INDENT 27

static void list_commands(struct buf *out)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		const struct command *c = &commands[i];
		int used = (int)(strlen(c->name) + strlen(c->arguments));
		buf_printf(out, "  %s %s", c->name, c->arguments);
		if (used > HELP_INDENT - 4)
			buf_printf(out, "\n%*s%s\n", HELP_INDENT, "", c->help);
		else
			buf_printf(out, "%*s%s\n", HELP_INDENT - 3 - used, "", c->help);
	}
}

static int run_help(struct request *request)
{
	buf_append_cstr(request->out, "commands:\n");
	list_commands(request->out);
	return 0;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int refuse_unknown(struct client *client, const char *name)
{
	if (name) {
		buf_append_cstr(&client->out, "unknown command '");
		text_clean(&client->out, slice_cstr(name));
		buf_append_cstr(&client->out, "'; commands:\n");
	} else {
		buf_append_cstr(&client->out, "no command; commands:\n");
	}
	list_commands(&client->out);
	return 2;
}

int command_run(struct client *client, int argc, char **argv)
{
	struct request request = { .client = client, .engine = client->console->engine, .out = &client->out, .argv = argv + 1 };
	const struct command *command = argc > 0 ? find_command(argv[0]) : NULL;

	if (!command)
		return refuse_unknown(client, argc > 0 ? argv[0] : NULL);
	for (int i = 1; i < argc; i++) {
		if (command->json && strcmp(argv[i], "--json") == 0)
			request.json = true;
		else
			request.argv[request.argc++] = argv[i];
	}
	if (request.argc < command->min || (command->max != -1 && request.argc > command->max))
		return client_refuse(client, 2, "usage: %s%s%s", command->name, command->arguments[0] ? " " : "", command->arguments);
	client->as_json = request.json && command->order;
	return command->run(&request);
}
