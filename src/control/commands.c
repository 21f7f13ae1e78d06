/* The commands of the console: one table, one function for each. */
#include "control/commands.h"

#include <stdio.h>
#include <string.h>

#include "control/internal.h"
#include "control/render.h"
#include "control/table.h"
#include "observe/log.h"
#include "view/engine_json.h"
#include "view/json_writer.h"

struct command {
	const char *name, *arguments;
	const char *help;    /* one line */
	const char *details; /* more lines for `COMMAND --help`, each with its end; NULL: none */
	int min, max;        /* of `argc`; max -1: as many as there are */
	bool order;          /* says one text, which becomes a JSON object */
	unsigned role;       /* that it needs; 0: none */
	int (*run)(struct request *request);
};

/* ---- views ---- */

static int run_status(struct request *request)
{
	if (request->json)
		engine_json_status(request->engine, request->out);
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
	engine_json_servers(request->engine, &writer, NULL, NULL);
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
	engine_json_rules(request->engine, &writer);
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

static int run_help(struct request *request);

/* ---- the table ---- */

static const struct command commands[] = {
	{ "status", "[--json]", "the daemon, its servers, its rules, the last failed reload",
	  "Says at a glance whether all is well: lost log records, each server's session, what each rule\n"
	  "did, and why the last reload failed.\n", 0, 0, false, ROLE_LOOK, run_status },
	{ "servers", "[--json]", "the servers and their sessions",
	  "Of each server: the state of its session and since when, its address, the events that came,\n"
	  "were shed and wait, the round trip of the last Ping, the next try and the last failure.\n", 0, 0, false, ROLE_LOOK, run_servers },
	{ "scripts", "[--json]", "the rules that run",
	  "Of each rule: what it holds (listeners, timers, waiting calls, actions), what it did (calls,\n"
	  "missed events, errors, overruns, CPU time), its memory, its file and the file's digest.\n", 0, 0, false, ROLE_LOOK, run_scripts },
	{ "pending", "[--json]", "the actions that wait for their answer",
	  "Of each action: its server, who sent it, for how long it has waited and until when it may.\n", 0, 0, false, ROLE_LOOK, run_pending },
	{ "calls", "[FIELD=VALUE...] [--limit N] [--watch] [--json]", "who talks to whom: the calls of all servers",
	  "  FIELD=VALUE  only those, such as queue=support, state=queued, server=pbx1 (or --queue support); several: all of them\n"
	  "               A field or value that there is not is refused with those that there are.\n"
	  "  --limit N    at most N of them (500)\n"
	  "  --watch      again every second, until Ctrl-C\n"
	  "With --json each has every field that rules see (lib/README.md, live).\n"
	  "example: hookswitch ctl calls queue=support state=queued\n", 0, -1, false, ROLE_LOOK, command_calls },
	{ "queues", "[NAME | FIELD=VALUE...] [--limit N] [--watch] [--json]", "who waits: the queues, or one with its callers and members",
	  "Figures are those of today (live.day_starts); in time: answered within live.service_level.\n"
	  "example: hookswitch ctl queues support --watch\n", 0, -1, false, ROLE_LOOK, command_queues },
	{ "agents", "[FIELD=VALUE...] [--limit N] [--watch] [--json]", "who is free: the agents of the queues",
	  "example: hookswitch ctl agents state=free\n", 0, -1, false, ROLE_LOOK, command_agents },
	{ "channels", "[FIELD=VALUE...] [--limit N] [--watch] [--json]", "the channels of all servers",
	  "example: hookswitch ctl channels state=ringing\n", 0, -1, false, ROLE_LOOK, command_channels },
	{ "endpoints", "[FIELD=VALUE...] [--limit N] [--watch] [--json]", "the endpoints: registered or not, and their devices",
	  "example: hookswitch ctl endpoints registered=false\n", 0, -1, false, ROLE_LOOK, command_endpoints },
	{ "persist", "status|backup FILE [--json]", "the state file: whether it is written, how large it is; or a copy of it",
	  "  status       whether the file is written, what waits for the disk, sizes\n"
	  "  backup FILE  a copy, while the daemon runs; FILE is absolute and must not exist\n"
	  "example: hookswitch ctl persist backup /var/lib/hookswitch/state.backup\n", 1, 2, false, ROLE_LOOK, command_persist },
	{ "work", "[QUEUE | retry|drop QUEUE|NUMBER] [--json]", "the queues of jobs, or the jobs of one; dead ones are tried again or dropped",
	  "  QUEUE                the jobs of that queue: dead ones, those that run, those that wait\n"
	  "  retry QUEUE|NUMBER   dead jobs wait again, with all their tries: all of the queue, or that one\n"
	  "  drop QUEUE|NUMBER    dead jobs are removed: all of the queue; with NUMBER one that is dead or waits\n"
	  "retry and drop need the role admin.\n"
	  "example: hookswitch ctl work retry callback\n", 0, 2, false, ROLE_LOOK, command_work },
	{ "spool", "[SINK | resend|drop SINK|NUMBER] [--json]", "the sinks with a URL, or the dead letters of one; they are sent again or dropped",
	  "  SINK                 its lines, and the dead letters: what the other side refused, or what was tried too often\n"
	  "  resend SINK|NUMBER   dead letters wait again, behind all other lines: all of the sink, or that one\n"
	  "  drop SINK|NUMBER     dead letters are removed: all of the sink, or that one\n"
	  "resend and drop need the role admin.\n"
	  "example: hookswitch ctl spool resend crm\n", 0, 2, false, ROLE_LOOK, command_spool },
	{ "metrics", "[--json]", "every counter, in Prometheus' text form", NULL, 0, 0, false, ROLE_LOOK, run_metrics },
	{ "reload", "[--all] [--json]", "reload configuration and rules, and wait for the result",
	  "All or nothing: with a fault in any file, what ran before goes on. Prints every fault and every\n"
	  "warning that `hookswitch check` prints. Rules that have not changed keep running untouched.\n"
	  "  --all  restart every rule\n", 0, 1, true, ROLE_ADMIN, command_reload },
	{ "call", "SERVER Action=NAME [K=V...] [--json]", "send an action with these headers and wait for its answer; exits 1 when it fails",
	  "With --json the failure is on stdout too. The action has its own deadline\n"
	  "(servers.NAME.timeouts.action).\n"
	  "example: hookswitch ctl call pbx1 Action=QueueStatus Queue=support\n", 2, -1, false, ROLE_ACT, command_call },
	{ "tail", "[--server NAME] [--event NAME|GLOB] [--where HEADER=VALUE|GLOB] [--actions] [--json]",
	  "events as they come, until Ctrl-C; with --actions: actions and answers",
	  "  --server NAME         of this server only\n"
	  "  --event NAME|GLOB     of this name only, case ignored; several: any of them. Servers with\n"
	  "                        events = \"auto\" are asked for them meanwhile\n"
	  "  --where HEADER=VALUE  with such a header only, the value may be a glob; several: all of them\n"
	  "  --actions             actions and their answers instead of events; with --event: both\n"
	  "At most 2,000 lines a second are shown; how many more there were is said. Lines with * are the\n"
	  "engine's own events and those that rules and the console emit.\n"
	  "example: hookswitch ctl tail --event 'Queue*' --where Queue=support\n", 0, -1, false, ROLE_LOOK, command_tail },
	{ "top", "[--once] [--sort COLUMN] [--server NAME] [--json]", "a screen of rates every second: servers, queues, slowest rules; q ends it",
	  "  --once         one screen, as where there is no terminal\n"
	  "  --sort COLUMN  sort by this column, such as events/s, longest, cpu or memory\n"
	  "  --server NAME  this server alone, with the actions that wait for its answer\n"
	  "  --json         a line with all that is measured every second; with --once only one\n"
	  "keys: tab other table, left and right sort by another column, r reverse, up, down and pages\n"
	  "select, enter the selected server alone, escape back. Without colours where NO_COLOR is set.\n", 0, 1, false, ROLE_LOOK, command_top },
	{ "record", "SERVER [OUT] [--json]", "record what a server sends in the daemon's session, until Ctrl-C",
	  "As `hookswitch record` does, with secrets masked, for `hookswitch replay`. OUT is the file\n"
	  "(default: SERVER.ami). One client at a time can record a server.\n", 1, 1, false, ROLE_LOOK, command_record },
	{ "emit", "NAME [K=V...] [--json]", "an event for the rules, like crm.answered",
	  "The name has a dot and does not begin with server. or script. The answer says how many listeners\n"
	  "it is queued for.\n"
	  "example: hookswitch ctl emit crm.answered order=42\n", 1, -1, true, ROLE_EMIT, command_emit },
	{ "enable", "RULE [--json]", "let a rule that was disabled hear events again", NULL, 1, 1, true, ROLE_ADMIN, command_enable },
	{ "disable", "RULE [--json]", "stop a rule's listeners and timers until it is enabled or the next reload",
	  "What the rule has begun goes on. Once enabled it hears server.gap when it has missed events.\n", 1, 1, true, ROLE_ADMIN, command_disable },
	{ "log", "LEVEL [--json]", "log from this level on (debug, info, warn, error), until the next reload", NULL, 1, 1, true, ROLE_ADMIN, command_log_level },
	{ "stop", "[--json]", "end the sessions in order, then the daemon, and wait for it; again: at once", NULL, 0, 0, false, ROLE_ADMIN, command_stop },
	{ "help", "[COMMAND] [--json]", "this list, or one command in full", NULL, 0, 1, false, 0, run_help },
};

#define COMMANDS (sizeof commands / sizeof *commands)
#define HELP_INDENT 22

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

const char *commands_nearest(const char *name)
{
	size_t nearest = COMMANDS;
	unsigned least = strlen(name) <= 4 ? 2 : 3; /* fewer edits than these */

	for (size_t i = 0; i < COMMANDS; i++) {
		unsigned distance = slice_distance(slice_cstr(name), slice_cstr(commands[i].name));
		if (distance < least) {
			least = distance;
			nearest = i;
		}
	}
	return nearest < COMMANDS ? commands[nearest].name : NULL;
}

static const char *role_name(unsigned role)
{
	return role == ROLE_LOOK ? "look" : role == ROLE_EMIT ? "emit" : role == ROLE_ACT ? "act" : "admin";
}

static bool may_run(const struct client *client, const struct command *command)
{
	return command->role == 0 || client_has_role(client, command->role);
}

/* Those that the client may run; NULL: all. */
static void list_commands(const struct client *client, struct buf *out)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		const struct command *c = &commands[i];
		if (client && !may_run(client, c))
			continue;
		int used = (int)(strlen(c->name) + strlen(c->arguments)) + 3;
		buf_printf(out, "  %s %s", c->name, c->arguments);
		if (used > HELP_INDENT - 2)
			buf_printf(out, "\n%*s%s\n", HELP_INDENT, "", c->help);
		else
			buf_printf(out, "%*s%s\n", HELP_INDENT - used, "", c->help);
	}
}

void commands_list(struct buf *out)
{
	list_commands(NULL, out);
}

bool commands_explain(const char *name, struct buf *out)
{
	const struct command *c = find_command(name);

	if (!c)
		return false;
	buf_printf(out, "usage: hookswitch ctl %s%s%s\n\n%s\n", c->name, c->arguments[0] ? " " : "", c->arguments, c->help);
	if (c->details)
		buf_printf(out, "\n%s", c->details);
	if (c->role)
		buf_printf(out, "\nneeds the role %s on a socket of control.sockets\n", role_name(c->role));
	return true;
}

/* ---- running them ---- */

static void list_as_json(const struct client *client, struct buf *out)
{
	struct writer writer;

	writer_init(&writer, out);
	writer_open(&writer, NULL, '{');
	writer_open(&writer, "commands", '[');
	for (size_t i = 0; i < COMMANDS; i++) {
		if (!may_run(client, &commands[i]))
			continue;
		writer_open(&writer, NULL, '{');
		writer_text(&writer, "name", commands[i].name);
		writer_text(&writer, "arguments", commands[i].arguments);
		writer_text(&writer, "help", commands[i].help);
		writer_close(&writer, '}');
	}
	writer_close(&writer, ']');
	writer_close(&writer, '}');
	buf_append_char(out, '\n');
}

static int refuse_unknown(struct client *client, const char *name)
{
	const char *nearest = name ? commands_nearest(name) : NULL;

	buf_append_cstr(&client->out, name ? "unknown command '" : "no command");
	if (name) {
		text_clean(&client->out, slice_cstr(name));
		buf_append_char(&client->out, '\'');
	}
	if (nearest)
		buf_printf(&client->out, " (did you mean %s?)", nearest);
	buf_append_cstr(&client->out, "; commands:\n");
	list_commands(client, &client->out);
	return 2;
}

static int run_help(struct request *request)
{
	if (request->argc > 0)
		return commands_explain(request->argv[0], request->out) ? 0 : refuse_unknown(request->client, request->argv[0]);
	if (request->json) {
		list_as_json(request->client, request->out);
		return 0;
	}
	buf_append_cstr(request->out, "commands:\n");
	list_commands(request->client, request->out);
	return 0;
}

int command_refuse_role(struct client *client, const char *what, enum console_role role)
{
	char granted[32] = "";

	for (unsigned bit = ROLE_LOOK; bit <= ROLE_ADMIN; bit <<= 1)
		if (client->listener->roles & bit) {
			size_t used = strlen(granted);
			snprintf(granted + used, sizeof granted - used, "%s%s", used ? ", " : "", role_name(bit));
		}
	client->console->refused->value++;
	log_write(LOG_WARN, "console request refused", F_TEXT("command", what), F_TEXT("role", role_name(role)),
	          F_TEXT("socket", client->listener->section), F_INT("uid", client->uid), F_INT("pid", client->pid));
	return client_refuse(client, 1, "%s needs the role %s; this socket (%s) grants %s", what, role_name(role), client->listener->section,
	                     granted);
}

int command_run(struct client *client, int argc, char **argv)
{
	struct request request = { .client = client, .engine = client->console->engine, .out = &client->out, .argv = argv + 1 };
	const struct command *command = argc > 0 ? find_command(argv[0]) : NULL;

	if (!command)
		return refuse_unknown(client, argc > 0 ? argv[0] : NULL);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			commands_explain(command->name, request.out);
			return 0;
		}
		if (strcmp(argv[i], "--json") == 0)
			request.json = true;
		else
			request.argv[request.argc++] = argv[i];
	}
	if (!may_run(client, command)) {
		client->as_json = request.json;
		return command_refuse_role(client, command->name, command->role);
	}
	if (request.argc < command->min || (command->max != -1 && request.argc > command->max))
		return client_refuse(client, 2, "usage: %s%s%s", command->name, command->arguments[0] ? " " : "", command->arguments);
	client->as_json = request.json && command->order;
	return command->run(&request);
}
