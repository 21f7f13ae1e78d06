#include <ev.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/version.h"
#include "cli/cmd.h"
#include "cli/daemon.h"
#include "control/console.h"
#include "engine/engine.h"
#include "observe/log.h"
#include "web/web.h"

/* Bytes for what is under way when the system has no memory left; untouched until then. */
#define MEMORY_RESERVE ((size_t)4 << 20)

static void print_help(void)
{
	puts("usage: hookswitch run [-c FILE] [--log-format FORMAT] [--strict] [--pid-file PATH] [--core]\n"
	     "                      [--allow-root]\n"
	     "\n"
	     "Reads the configuration, connects to its servers and runs the rules, in the foreground.\n"
	     "\n"
	     "  -c, --config FILE   the configuration (default: conf/hookswitch.lua, else /etc/hookswitch/hookswitch.lua)\n"
	     "      --log-format F  text, json or journal, whatever the configuration says\n"
	     "      --strict        do not start when a rule file fails; without it the file is left out, loudly\n"
	     "      --pid-file PATH write the pid there; a second daemon with the same file does not start\n"
	     "      --core          allow core dumps, which hold the secrets\n"
	     "      --allow-root    run as root all the same; without it root is refused, because nothing here needs it\n"
	     "  -h, --help          this text\n"
	     "\n"
	     "under systemd (Type=notify) it reports when it is ready, reloads and stops, and feeds the watchdog\n"
	     "signals: HUP reloads configuration and rules, all or nothing; USR1 reopens the log's files;\n"
	     "TERM and INT end the sessions in order and exit 0, a second one at once\n"
	     "exit codes: 0 ended when asked to, 1 could not start (each fault on stderr), 2 called wrongly");
}

/* To the log once the engine is there, else to stderr. Exact: none is held back as a repetition of another. */
static void report_faults(const struct faults *faults, bool started)
{
	static const struct slice warning = { "warning: ", 9 };
	if (!started)
		cmd_print_faults(faults);
	for (size_t i = 0; started && i < faults->count; i++) {
		const char *line = faults->lines[i];
		if (slice_starts_with(slice_cstr(line), warning))
			log_record_exact(LOG_WARN, "looks wrong", &F_TEXT("reason", line + warning.len), 1);
		else
			log_record_exact(LOG_ERROR, "left out, the rest runs", &F_TEXT("reason", line), 1);
	}
}

/* The ways in that the configuration names. */
static int open_ways_in(struct engine *engine, struct console **console, struct web **web)
{
	struct err err;

	if (!(*console = console_open(engine, &err)) && err.code != ERR_NONE) {
		log_write(LOG_ERROR, "the console cannot be opened", F_TEXT("reason", err.text));
		return -1;
	}
	if (!(*web = web_create(engine, &err)) && err.code != ERR_NONE) {
		log_write(LOG_ERROR, "HTTP cannot be served", F_TEXT("reason", err.text));
		return -1;
	}
	return 0;
}

static int run(const struct engine_options *options)
{
	struct notifier *notifier = NULL;
	struct ev_loop *loop = ev_default_loop(EVFLAG_AUTO);
	struct console *console = NULL;
	struct web *web = NULL;
	struct faults faults;
	int rc = CMD_FAULT;

	if (!loop) {
		fprintf(stderr, "hookswitch run: libev finds no way to wait for sockets on this machine\n");
		return CMD_FAULT;
	}
	struct engine *engine = engine_create(loop, options, &faults);
	report_faults(&faults, engine != NULL);
	faults_close(&faults);
	if (!engine) {
		fprintf(stderr, "hookswitch run: not started; `hookswitch check -c %s` names every fault of the configuration and the rules\n", options->config_path);
		log_stop(1);
		return CMD_FAULT;
	}
	if (open_ways_in(engine, &console, &web) == 0) {
		log_write(LOG_INFO, "started", F_TEXT("version", HOOKSWITCH_VERSION), F_INT("servers", engine_config(engine)->server_count),
		          F_INT("generation", host_generation(engine_host(engine))));
		engine_start(engine);
		notifier = notifier_create(engine);
		ev_run(loop, 0);
		rc = CMD_OK;
	}
	notifier_destroy(&notifier);
	web_destroy(&web);
	console_destroy(&console);
	engine_destroy(&engine);
	log_text(LOG_INFO, "stopped");
	log_stop(2);
	ev_loop_destroy(loop);
	return rc;
}

int cmd_run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "log-format", required_argument, NULL, 'f' },
		{ "strict", no_argument, NULL, 's' }, { "pid-file", required_argument, NULL, 'p' },
		{ "core", no_argument, NULL, 'C' }, { "allow-root", no_argument, NULL, 'R' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	struct engine_options engine = { .config_path = NULL };
	const char *pid_path = NULL;
	struct pid_file *pid_file = NULL;
	struct err err;
	bool core = false, allow_root = false;
	int c;
	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			engine.config_path = optarg;
			break;
		case 'f':
			if (strcmp(optarg, "text") != 0 && strcmp(optarg, "json") != 0 && strcmp(optarg, "journal") != 0) {
				fprintf(stderr, "hookswitch run: --log-format: text, json or journal is expected, not '%s'\n", optarg);
				return cmd_usage_error("run");
			}
			engine.log_format = optarg;
			break;
		case 's':
			engine.strict = true;
			break;
		case 'p':
			pid_path = optarg;
			break;
		case 'C':
			core = true;
			break;
		case 'R':
			allow_root = true;
			break;
		case 'h':
			print_help();
			return CMD_OK;
		default:
			return cmd_usage_error("run");
		}
	}
	if (optind < argc) {
		fprintf(stderr, "hookswitch run: '%s' is no option; a configuration is given with -c FILE\n", argv[optind]);
		return cmd_usage_error("run");
	}
	if (!engine.config_path)
		engine.config_path = cmd_default_config();
	if (geteuid() == 0 && !allow_root) {
		fprintf(stderr, "hookswitch run: not started as root, which nothing here needs: start the unit (systemctl start hookswitch), "
		                "or as a user of its own (setpriv, su, runuser), or give --allow-root\n");
		return CMD_FAULT;
	}
	daemon_limits(core);
	mem_reserve(MEMORY_RESERVE);
	if (pid_path && !(pid_file = pid_file_create(pid_path, &err))) {
		fprintf(stderr, "hookswitch run: --pid-file %s\n", err.text);
		return CMD_FAULT;
	}
	int rc = run(&engine);
	pid_file_destroy(&pid_file);
	return rc;
}
