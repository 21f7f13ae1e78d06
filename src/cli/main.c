#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/faults.h"
#include "base/version.h"
#include "cli/cmd.h"
#include "observe/redact.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "run", cmd_run, "hold the sessions and run the rules, in the foreground" },
	{ "check", cmd_check, "name every fault of a configuration and its rules; connects to nothing" },
	{ "record", cmd_record, "record what a server sends, byte by byte" },
	{ "replay", cmd_replay, "run rules on recorded bytes; sends nothing" },
	{ "ctl", cmd_ctl, "look into a running daemon and steer it" },
	{ "sim", cmd_sim, "a simulated Asterisk to write rules against" },
};

const char *cmd_default_config(void)
{
	static const char local[] = "conf/hookswitch.lua";
	return access(local, F_OK) == 0 ? local : "/etc/hookswitch/hookswitch.lua";
}

int cmd_usage_error(const char *command)
{
	fprintf(stderr, "try: hookswitch %s --help\n", command);
	return CMD_USAGE;
}

void cmd_print_faults(const struct faults *faults)
{
	for (size_t i = 0; i < faults->count; i++) {
		char *copy;
		struct slice line = redact_text(slice_cstr(faults->lines[i]), &copy);
		fprintf(stderr, "%.*s\n", SLICE_ARG(line));
		free(copy);
	}
}

static void print_help(FILE *out)
{
	fprintf(out, "hookswitch: Lua rules on what happens on your Asterisk servers\n\n"
	             "usage: hookswitch COMMAND [OPTION…]\n\n");
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "  %-8s print the version\n  %-8s this text; `hookswitch COMMAND --help` says more\n\n"
	             "exit codes: 0 it worked, 1 it did not, 2 it was called wrongly, 3 no daemon answers (ctl)\n", "version", "help");
}

static void print_version(void)
{
	puts("hookswitch " HOOKSWITCH_VERSION);
}

static int unknown(const char *name)
{
	fprintf(stderr, "hookswitch: there is no command '%s'\ntry: hookswitch help\n", name);
	return CMD_USAGE;
}

static int extra(const char *command, const char *argument)
{
	fprintf(stderr, "hookswitch %s: '%s' is not expected here\ntry: hookswitch help\n", command, argument);
	return CMD_USAGE;
}

/* The command with its own arguments; getopt begins its complaints with argv[0]. */
static int run_command(const struct command *command, int argc, char **argv)
{
	char name[32];
	char *first = argv[0];
	snprintf(name, sizeof name, "hookswitch %s", command->name);
	argv[0] = name;
	int rc = command->run(argc, argv);
	argv[0] = first;
	return rc;
}

static bool is_help(const char *word)
{
	return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static bool is_version(const char *word)
{
	return strcmp(word, "version") == 0 || strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0;
}

int main(int argc, char **argv)
{
	/* A closed pipe is an error of that write, not the end of the daemon. */
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		print_help(stderr);
		return CMD_USAGE;
	}
	const char *name = argv[1];
	bool help = is_help(name);
	if (!help && is_version(name) && argc == 2) {
		print_version();
		return CMD_OK;
	}
	/* These two have nothing more to say than the help of all. */
	bool general = argc == 2 || (argc == 3 && (is_help(argv[2]) || is_version(argv[2])));
	if ((help || is_version(name)) && general) {
		print_help(stdout);
		return CMD_OK;
	}
	if (is_version(name) || (help && argc > 3))
		return extra(name, argv[help ? 3 : 2]);
	if (help)
		name = argv[2];
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		if (strcmp(name, commands[i].name) != 0)
			continue;
		char *ask[] = { argv[0], (char[]){ "--help" }, NULL };
		return help ? run_command(&commands[i], 2, ask) : run_command(&commands[i], argc - 1, argv + 1);
	}
	return unknown(name);
}
