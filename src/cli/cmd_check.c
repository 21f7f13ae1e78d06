#include <getopt.h>
#include <stdio.h>

#include "cli/cmd.h"
#include "config/config.h"
#include "engine/check.h"

#include "base/buf.h"

static void print_help(void)
{
	puts("usage: hookswitch check [-c FILE] [--options]\n"
	     "\n"
	     "Reads a configuration and its rules and names every fault. Connects to nothing, writes nothing.\n"
	     "\n"
	     "  -c, --config FILE   the configuration (default: conf/hookswitch.lua, else /etc/hookswitch/hookswitch.lua)\n"
	     "      --options       print the table of all options, with unit, range and default\n"
	     "  -h, --help          this text\n"
	     "\n"
	     "exit codes: 0 good (there may be warnings), 1 faults (one a line on stderr), 2 called wrongly");
}

static int check(const char *path)
{
	struct faults faults;
	size_t rules, servers;
	engine_check(path, &faults, &rules, &servers);
	cmd_print_faults(&faults);
	size_t errors = faults_errors(&faults);
	if (errors == 0)
		printf("%s: good (servers: %zu, rule files and modules: %zu)\n", path, servers, rules);
	else
		fprintf(stderr, "%s: %zu fault%s\n", path, errors, errors == 1 ? "" : "s");
	faults_close(&faults);
	return errors == 0 ? CMD_OK : CMD_FAULT;
}

int cmd_check(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "options", no_argument, NULL, 'o' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	const char *path = NULL;
	int c;
	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		struct buf reference;
		switch (c) {
		case 'c':
			path = optarg;
			break;
		case 'o':
			buf_init(&reference, 0);
			config_print_reference(&reference);
			fputs(buf_cstr(&reference), stdout);
			buf_close(&reference);
			return CMD_OK;
		case 'h':
			print_help();
			return CMD_OK;
		default:
			return cmd_usage_error("check");
		}
	}
	if (optind < argc) {
		fprintf(stderr, "hookswitch check: '%s' is no option; a configuration is given with -c FILE\n", argv[optind]);
		return cmd_usage_error("check");
	}
	return check(path ? path : cmd_default_config());
}
