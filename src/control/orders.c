/* The commands that change something: each is reported to the log, with who gave it. */
#include <stdio.h>
#include <string.h>

#include "control/internal.h"
#include "control/table.h"
#include "observe/log.h"
#include "view/json_writer.h"

void command_log(const struct client *client, const char *order, const char *argument)
{
	log_write(LOG_INFO, order, F_TEXT("argument", argument), F_TEXT("socket", client->listener->section), F_INT("uid", client->uid), F_INT("pid", client->pid));
}

/* The lines that are warnings, or those that are not. */
static void write_faults(struct writer *writer, const char *name, const struct faults *faults, bool warnings)
{
	writer_open(writer, name, '[');
	for (size_t i = 0; i < faults->count; i++) {
		bool is_warning = strncmp(faults->lines[i], FAULTS_WARNING, sizeof FAULTS_WARNING - 1) == 0;
		if (is_warning == warnings)
			writer_item(writer, slice_cstr(faults->lines[i] + (is_warning ? sizeof FAULTS_WARNING - 1 : 0)));
	}
	writer_close(writer, ']');
}

/* Warnings do not fail a reload, but say what `check` says. */
static void on_reloaded(void *ctx, bool applied, const struct faults *faults)
{
	struct client *client = ctx;
	struct engine *engine = client->console->engine;
	struct writer writer;
	struct buf text;

	buf_init(&text, 0);
	if (applied)
		buf_printf(&text, "reloaded, generation %u\n", host_generation(engine_host(engine)));
	else
		buf_append_cstr(&text, "not reloaded; what ran before goes on:\n");
	/* As JSON the warnings are a list of their own. */
	for (size_t i = 0; i < faults->count && !(applied && client->as_json); i++)
		text_lines(&text, "  ", faults->lines[i]);
	if (client->as_json) {
		client->as_json = false;
		writer_init(&writer, &client->out);
		writer_open(&writer, NULL, '{');
		writer_bool(&writer, "success", applied);
		writer_slice(&writer, SLICE("message"), slice_make(text.data + text.head, buf_len(&text) - 1));
		write_faults(&writer, "faults", faults, false);
		write_faults(&writer, "warnings", faults, true);
		writer_close(&writer, '}');
		buf_append_char(&client->out, '\n');
	} else {
		buf_append(&client->out, buf_slice(&text));
	}
	buf_close(&text);
	client_finish(client, applied ? 0 : 1);
}

static void cancel_reload(struct client *client)
{
	engine_reload_forget(client->console->engine, client);
}

int command_reload(struct request *request)
{
	bool all = request->argc > 0 && strcmp(request->argv[0], "--all") == 0;

	if (request->argc > 0 && !all)
		return client_refuse(request->client, 2, "reload: unknown option '%s'; there is --all", request->argv[0]);
	command_log(request->client, "console: reload", all ? "--all" : NULL);
	request->client->cancel = cancel_reload;
	engine_reload(request->engine, all, on_reloaded, request->client);
	return COMMAND_LATER;
}

/* The stream ends with the daemon, so a client that reads to its end knows when that is. */
int command_stop(struct request *request)
{
	struct engine *engine = request->engine;

	command_log(request->client, "console: stop", NULL);
	buf_append_cstr(request->out, request->json ? "{\"success\":true,\"message\":\"stopping\"}\n" : "stopping\n");
	client_flush(request->client);
	engine_stop(engine, "shutdown");
	return COMMAND_LATER;
}

int command_log_level(struct request *request)
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

int command_enable(struct request *request)
{
	return switch_rule(request, true);
}

int command_disable(struct request *request)
{
	return switch_rule(request, false);
}

/* Nobody need listen: rules come and go. But the answer shows a mistyped name. */
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

int command_emit(struct request *request)
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
