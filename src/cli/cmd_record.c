/* `hookswitch record`: a session of its own, of which everything that the server sends goes into a file. */
#include <errno.h>
#include <ev.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cmd.h"
#include "cli/recording.h"
#include "config/config.h"
#include "control/capture.h"
#include "engine/mapping.h"
#include "link/link.h"
#include "observe/log.h"
#include "observe/redact.h"


static void print_help(void)
{
	puts("usage: hookswitch record SERVER [-c FILE] [-o OUT]\n"
	     "\n"
	     "Opens a session of its own to a server of the configuration and records everything that it sends, byte by byte, until\n"
	     "Ctrl-C or the session's end: the banner and what comes after the login. Secrets that are known by name or by value are\n"
	     "replaced by as many asterisks. `hookswitch replay` runs rules on the recording.\n"
	     "\n"
	     "  -c, --config FILE   the configuration (default: conf/hookswitch.lua, else /etc/hookswitch/hookswitch.lua)\n"
	     "  -o, --output OUT    the file of the bytes (default: SERVER.ami); OUT.times gets the times: lines of an offset and the\n"
	     "                      epoch seconds at which the bytes from there on came. Neither may exist\n"
	     "  -h, --help          this text\n"
	     "\n"
	     "`hookswitch ctl record SERVER` does the same in a running daemon, without a session more.\n"
	     "exit codes: 0 ended when asked to, 1 no session, or it ended, or nothing can be written, 2 called wrongly");
}

struct recorder {
	struct ev_loop *loop;
	struct link *link;
	struct recording recording;
	struct capture capture;
	ev_signal interrupt, terminate;
	bool asked, failed;
};

static void end(struct recorder *r)
{
	if (r->link)
		link_stop(r->link, "end of the recording");
}

static void write_bytes(void *ctx, struct slice bytes, double at)
{
	struct recorder *r = ctx;
	if (r->failed || recording_write(&r->recording, bytes, at) == 0)
		return;
	fprintf(stderr, "hookswitch record: the recording cannot be written: %s\n", strerror(errno));
	r->failed = true;
	end(r);
}

static void on_bytes(void *ctx, struct slice bytes, double at)
{
	struct recorder *r = ctx;
	if (r->failed || capture_feed(&r->capture, bytes, at) == 0)
		return;
	fputs("hookswitch record: the system has no memory left for the recording\n", stderr);
	r->failed = true;
	end(r);
}

static void on_tap_ended(void *ctx, const char *reason, const char *text)
{
	struct recorder *r = ctx;
	capture_end(&r->capture, clock_wall());
	if (!r->asked && !r->failed) {
		fprintf(stderr, "hookswitch record: the session has ended: %s: %s\n", reason, text);
		r->failed = true;
	}
	end(r);
}

/* ---- the link's owner: nobody listens ---- */

static unsigned on_event(void *ctx, struct link *link, const struct message *message, double at, uint64_t *stamp)
{
	(void)ctx, (void)link, (void)message, (void)at, (void)stamp;
	return 0;
}

static void on_completed(void *ctx, struct link *link, struct reply *reply)
{
	(void)ctx, (void)link;
	reply_free(&reply);
}

static void on_ready(void *ctx, struct link *link)
{
	(void)ctx;
	printf("recording %s\n", link_name(link));
	fflush(stdout);
}

static void on_lost(void *ctx, struct link *link, const char *reason)
{
	(void)ctx, (void)link, (void)reason;
}

static void on_gap(void *ctx, struct link *link, uint64_t count, const char *names)
{
	(void)ctx, (void)link, (void)count, (void)names;
}

static void on_shed(void *ctx, struct link *link, void *cursor, struct slice name)
{
	(void)ctx, (void)link, (void)cursor, (void)name;
}

static void on_stopped(void *ctx, struct link *link)
{
	struct recorder *r = ctx;
	(void)link;
	ev_break(r->loop, EVBREAK_ALL);
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int events)
{
	struct recorder *r = w->data;
	(void)loop, (void)events;
	r->asked = true;
	end(r);
}

/* ---- the session ---- */

static int record(struct recorder *r, const struct config_server *server)
{
	const struct link_owner owner = { .ctx = r, .event = on_event, .completed = on_completed, .ready = on_ready, .lost = on_lost,
	                                  .gap = on_gap, .shed = on_shed, .stopped = on_stopped };
	const struct link_tap tap = { .ctx = r, .bytes = on_bytes, .ended = on_tap_ended };
	struct metrics *metrics = metrics_create();
	const struct link_hub_options options = { .loop = r->loop, .metrics = metrics, .connects_in_flight = 1, .connects_per_turn = 1 };
	struct link_config config;
	struct err err;

	mapping_link(server, &config);
	struct link_hub *hub = link_hub_create(&options, &err);
	r->link = hub ? link_create(hub, &config, &owner, &err) : NULL;
	if (r->link) {
		link_set_tap(r->link, &tap);
		link_start(r->link);
		ev_run(r->loop, 0);
		link_destroy(&r->link);
	} else {
		fprintf(stderr, "hookswitch record: %s\n", err.text);
		r->failed = true;
	}
	link_hub_destroy(&hub);
	metrics_destroy(&metrics);
	return r->failed ? CMD_FAULT : CMD_OK;
}

static int record_to(const struct config_server *server, const char *path)
{
	struct recorder r = { .loop = ev_default_loop(EVFLAG_AUTO) };

	if (!r.loop) {
		fprintf(stderr, "hookswitch record: libev finds no way to wait for sockets on this machine\n");
		return CMD_FAULT;
	}
	if (recording_open(&r.recording, "hookswitch record", path))
		return CMD_FAULT;
	capture_init(&r.capture, write_bytes, &r);
	ev_signal_init(&r.interrupt, on_signal, SIGINT);
	ev_signal_init(&r.terminate, on_signal, SIGTERM);
	r.interrupt.data = r.terminate.data = &r;
	ev_signal_start(r.loop, &r.interrupt);
	ev_signal_start(r.loop, &r.terminate);
	int rc = record(&r, server);
	ev_signal_stop(r.loop, &r.interrupt);
	ev_signal_stop(r.loop, &r.terminate);
	unsigned long long bytes = r.recording.offset;
	if (recording_close(&r.recording) && rc == CMD_OK) {
		fprintf(stderr, "hookswitch record: the recording cannot be written: %s\n", strerror(errno));
		rc = CMD_FAULT;
	}
	capture_close(&r.capture);
	ev_loop_destroy(r.loop);
	printf("%llu bytes in %s\n", bytes, path);
	return rc;
}

static const struct config_server *find_server(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->server_count; i++)
		if (strcmp(config->servers[i].name, name) == 0)
			return &config->servers[i];
	fprintf(stderr, "hookswitch record: %s has no server '%s'\n", config->path, name);
	return NULL;
}

static int with_config(const char *config_path, const char *name, const char *output)
{
	const struct log_options log = { .level = LOG_WARN, .format = LOG_TEXT };
	char path[512];
	struct faults faults;
	struct err err;
	int rc = CMD_FAULT;

	faults_init(&faults);
	struct config *config = config_load(config_path, redact_add_value, &faults);
	if (!config)
		cmd_print_faults(&faults);
	faults_close(&faults);
	const struct config_server *server = config ? find_server(config, name) : NULL;
	struct redact_patterns *patterns = server ? mapping_redact(config, &err) : NULL;
	if (server && (!patterns || log_start(&log, &err) == -1)) {
		fprintf(stderr, "hookswitch record: %s\n", err.text);
		redact_patterns_destroy(&patterns);
	} else if (server) {
		redact_use(&patterns);
		snprintf(path, sizeof path, "%s.ami", name);
		rc = record_to(server, output ? output : path);
		log_stop(1);
	}
	config_destroy(&config);
	return rc;
}

int cmd_record(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "output", required_argument, NULL, 'o' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	const char *config = NULL, *output = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "c:o:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			config = optarg;
			break;
		case 'o':
			output = optarg;
			break;
		case 'h':
			print_help();
			return CMD_OK;
		default:
			return cmd_usage_error("record");
		}
	}
	if (argc - optind != 1) {
		fprintf(stderr, "hookswitch record: name one server of the configuration\n");
		return cmd_usage_error("record");
	}
	return with_config(config ? config : cmd_default_config(), argv[optind], output);
}
