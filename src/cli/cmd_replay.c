#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "cli/cmd.h"
#include "engine/replay.h"
#include "observe/log.h"

static void print_help(void)
{
	puts("usage: hookswitch replay [OPTION…] CAPTURE…\n"
	     "\n"
	     "Runs rules on what a server has sent, in the capture's own time. Nothing is sent: each action that a rule would\n"
	     "send is printed as a JSON line {\"server\":…,\"rule\":…,\"action\":{…}}, each line to a sink as {\"sink\":…,\"line\":…},\n"
	     "each request as {\"rule\":…,\"http\":{…}}, each job that is pushed as {\"rule\":…,\"queue\":…,\"job\":…}. Jobs and persistent stores are kept in memory.\n"
	     "What rules log goes to stderr, and for each capture how many of its frames were skipped: malformed ones, too large ones (64 MiB,\n"
	     "1,048,576 headers), one that its end cuts.\n"
	     "\n"
	     "  -c, --config FILE    take folders, settings, limits and policy from this configuration\n"
	     "      --rules DIR      the rules folder (default: the configuration's; without -c: scripts)\n"
	     "      --lib DIR        the folder of modules (default: lib beside the rules of --rules, if it is there, else the configuration's;\n"
	     "                       without -c: lib)\n"
	     "      --server NAME    the server's name for the rules (default: replay)\n"
	     "      --answer WHAT    what a rule's action gets: cancelled (default), success, error, timeout\n"
	     "      --http WHAT      what a rule's request gets: a status such as 200 or 404, timeout, or a file of answers (default:\n"
	     "                       it ends as cancelled)\n"
	     "      --jobs           run the jobs that rules push (default: they are only shown)\n"
	     "      --speed X        pace: 1 or 1x is the capture's own time (default: as fast as it goes); CAPTURE.times, which\n"
	     "                       `record` writes, says when its bytes came, else Timestamp headers do\n"
	     "      --chunk N        feed N bytes at once (default 65536)\n"
	     "      --summary        print counts of each capture as a JSON object; rules run only with --rules or -c\n"
	     "      --json           log as JSON lines\n"
	     "      --log LEVEL      debug, info, warn, error (default info)\n"
	     "  -h, --help           this text\n"
	     "\n"
	     "exit codes: 0 every capture was read, 1 one was not or the rules have faults, 2 called wrongly");
}

static void print_line(void *ctx, struct slice line)
{
	(void)ctx;
	fwrite(line.ptr, 1, line.len, stdout);
	putchar('\n');
}

static void report_skipped(const struct replay *r, const char *capture)
{
	struct buf text;

	buf_init(&text, 0);
	replay_skipped(r, &text);
	if (buf_len(&text) > 0)
		fprintf(stderr, "%s: frames skipped: %s\n", capture, buf_cstr(&text));
	buf_close(&text);
}

static int replay(const struct replay_options *options, char *const *captures, int count, bool summary)
{
	struct faults faults;
	struct replay *r = replay_create(options, &faults);
	int rc = r ? CMD_OK : CMD_FAULT;
	cmd_print_faults(&faults);
	faults_close(&faults);
	for (int i = 0; r && i < count; i++) {
		struct err err;
		if (replay_file(r, captures[i], &err)) {
			fprintf(stderr, "%s: %s\n", captures[i], err.text);
			rc = CMD_FAULT;
			continue;
		}
		report_skipped(r, captures[i]);
		if (!summary)
			continue;
		struct buf out;
		buf_init(&out, 0);
		replay_summary(r, &out);
		print_line(NULL, buf_slice(&out));
		buf_close(&out);
	}
	replay_destroy(&r);
	if (fflush(stdout) != 0) {
		perror("hookswitch replay: standard output");
		rc = CMD_FAULT;
	}
	return rc;
}

/* The folder `lib` beside the rules folder; NULL when there is none. */
static char *lib_beside(const char *rules)
{
	struct stat st;
	char *path = realpath(rules, NULL);
	const char *slash = path ? strrchr(path, '/') : NULL;
	char *lib = slash ? mem_printf("%.*s/lib", (int)(slash - path), path) : NULL;

	free(path);
	if (lib && (stat(lib, &st) == -1 || !S_ISDIR(st.st_mode))) {
		free(lib);
		lib = NULL;
	}
	return lib;
}

static int choose(const char *word, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	return -1;
}

static bool read_number(const char *text, double least, double *out)
{
	char *end;
	*out = strtod(text, &end);
	if (*end == 'x' && end != text)
		end++;
	return end != text && *end == '\0' && *out >= least;
}

static int bad_value(const char *option, const char *expected)
{
	fprintf(stderr, "hookswitch replay: --%s: %s is expected, not '%s'\n", option, expected, optarg);
	return cmd_usage_error("replay");
}

int cmd_replay(int argc, char **argv)
{
	enum { RULES = 256, LIB, SERVER, ANSWER, SPEED, CHUNK, SUMMARY, JSON, LEVEL, JOBS, HTTP };
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "rules", required_argument, NULL, RULES },
		{ "lib", required_argument, NULL, LIB }, { "server", required_argument, NULL, SERVER },
		{ "answer", required_argument, NULL, ANSWER }, { "speed", required_argument, NULL, SPEED },
		{ "chunk", required_argument, NULL, CHUNK }, { "summary", no_argument, NULL, SUMMARY },
		{ "json", no_argument, NULL, JSON }, { "jobs", no_argument, NULL, JOBS }, { "http", required_argument, NULL, HTTP }, { "log", required_argument, NULL, LEVEL }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	static const char *const answers[] = { "cancelled", "success", "error", "timeout", NULL };
	struct replay_options o = { .server = "replay", .chunk = 65536, .line = print_line };
	struct log_options log = { .level = LOG_INFO, .format = LOG_TEXT };
	bool summary = false;
	double number;
	int c;

	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o.config = optarg;
			break;
		case RULES:
			o.rules = optarg;
			break;
		case LIB:
			o.lib = optarg;
			break;
		case SERVER:
			if (*optarg == '\0' || strlen(optarg) > 64)
				return bad_value("server", "a name of 1 to 64 bytes");
			o.server = optarg;
			break;
		case ANSWER:
			if (choose(optarg, answers) < 0)
				return bad_value("answer", "cancelled, success, error or timeout");
			o.answer = (enum replay_answer)choose(optarg, answers);
			break;
		case SPEED:
			if (!read_number(optarg, 0.001, &o.speed))
				return bad_value("speed", "a number such as 1x");
			break;
		case CHUNK:
			if (!read_number(optarg, 1, &number) || number > 1e9)
				return bad_value("chunk", "a number of bytes from 1");
			o.chunk = (size_t)number;
			break;
		case JOBS:
			o.jobs = true;
			break;
		case HTTP:
			o.http = optarg;
			break;
		case SUMMARY:
			summary = true;
			break;
		case JSON:
			log.format = LOG_JSON;
			break;
		case LEVEL:
			if (log_level_parse(optarg) < 0)
				return bad_value("log", "debug, info, warn or error");
			log.level = (enum log_level)log_level_parse(optarg);
			break;
		case 'h':
			print_help();
			return CMD_OK;
		default:
			return cmd_usage_error("replay");
		}
	}
	if (optind == argc) {
		fprintf(stderr, "hookswitch replay: name at least one capture\n");
		return cmd_usage_error("replay");
	}
	if (!summary && !o.rules && !o.config)
		o.rules = "scripts";
	struct err err;
	if (log_start(&log, &err)) {
		fprintf(stderr, "hookswitch replay: %s\n", err.text);
		return CMD_FAULT;
	}
	char *beside = o.rules && !o.lib ? lib_beside(o.rules) : NULL;
	if (beside)
		o.lib = beside;
	int rc = replay(&o, argv + optind, argc - optind, summary);
	free(beside);
	log_stop(2);
	return rc;
}
