/* `hookswitch sim`: a simulated Asterisk, until it is asked to stop. */
#include "cli/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli/sim_ask.h"
#include "sim/sim.h"

static const char usage[] =
	"usage: hookswitch sim [--listen ADDR:PORT] [options]\n"
	"       hookswitch sim --ask PATH state | actions | settle | cut | run SECONDS | restart clean|kill [SECONDS]\n"
	"\n"
	"A simulated Asterisk: speaks AMI, with calls and two queues (support, sales) that live.\n"
	"It prints \"listening on ADDR:PORT\" when it is ready and runs until SIGINT or SIGTERM.\n"
	"\n"
	"  -l, --listen ADDR:PORT     where to listen (127.0.0.1:5038); port 0 takes any free one, [::1]:5038 for IPv6\n"
	"      --user NAME            who may log in (ops)\n"
	"      --secret TEXT          with which secret (secret)\n"
	"      --read CLASSES         which events that user may hear, like system,call (all)\n"
	"      --write CLASSES        which actions that user may send (all); others get Permission denied\n"
	"      --ami-version V        the version in the banner (13.0.0); below 3.0 Command answers in the old form,\n"
	"                             below 2.6 lists come without EventList\n"
	"      --max-clients N        connections at once (1024)\n"
	"      --write-timeout S      seconds after which a client that reads nothing is closed (10)\n"
	"      --max-backlog BYTES    what may wait for one client before it is closed (67108864)\n"
	"      --seed N               the same number gives the same calls (1)\n"
	"      --duration S           stop by itself after so many seconds\n"
	"\n"
	"Calls:\n"
	"      --calls-per-second N   begin calls, some to phones, some to the queues (0)\n"
	"      --max-calls N          at once (10000)\n"
	"      --features             these calls also hold, transfer, park, pick up, forward, confer, ring two phones at\n"
	"                             once, go through Local channels; phones come and go\n"
	"      --speed X              calls live X times as fast (1); the seconds that events\n"
	"                             report are those of the calls, not of the clock\n"
	"\n"
	"Tests:\n"
	"      --lag S                events arrive up to S simulated seconds late, in their order, while lists tell at once\n"
	"                             what is (0)\n"
	"      --truth PATH           make a unix socket at PATH that tells the simulator's own state\n"
	"      --step                 time stands still; --ask PATH run SECONDS lets it pass\n"
	"      --ask PATH COMMAND     ask the simulator that runs with --truth PATH and print its answer, one line of JSON:\n"
	"                             state: channels, calls, what has ended since the last time, bridges, queues, parked\n"
	"                             calls, conferences, devices, endpoints; actions: what clients have sent since the last\n"
	"                             time, the last 256, as lines, without logins; settle: late events arrive; cut: all\n"
	"                             connections end; run: see --step; restart: stop as `core stop now` does, or without\n"
	"                             a word, and be away for 3 s or so many\n"
	"\n"
	"Streams, sent to each client after its login:\n"
	"      --play CAPTURE         the bytes of a capture, without its banner and login\n"
	"      --loop                 play it again and again\n"
	"      --events N             N made-up events, then a UserEvent FloodDone; 0: without end\n"
	"      --stamp                with --events: each has a header SentAt, nanoseconds of CLOCK_MONOTONIC\n"
	"      --on-ping              begin with the client's first Ping instead of its login\n"
	"      --per-ping N           the same, and each Ping brings only the next N frames\n"
	"      --rate R               frames a second for each client; 0: as fast as it takes them (0)\n"
	"\n"
	"  -h, --help                 this text\n"
	"\n"
	"Extensions of context default, for Originate and Redirect: 100 answers for 1 s, 200 dials a phone that answers,\n"
	"201 a busy one, 202 one that nobody takes, 300 and 301 are the queues, 302 has an agent who does not answer first,\n"
	"303 a caller who gives up, 600 and 601 are conferences, 701 to 720 fetch a parked call, 900 waits 60 s, 1000 to 1019\n"
	"dial a phone (from 1100 on through a Local channel, from 1200 on through one that stays, from 1300 on together with\n"
	"the next phone). Of the channels to call, number 102 is busy, 103 congested, 104 is not answered, every other one is.\n"
	"\n"
	"Exit: 0 stopped, 1 could not listen, read the capture or ask, 2 wrong usage.\n";

enum {
	OPT_USER = 256, OPT_SECRET, OPT_VERSION, OPT_MAX_CLIENTS, OPT_WRITE_TIMEOUT, OPT_MAX_BACKLOG, OPT_SEED,
	OPT_DURATION, OPT_CALLS, OPT_MAX_CALLS, OPT_SPEED, OPT_PLAY, OPT_LOOP, OPT_EVENTS, OPT_STAMP, OPT_ON_PING, OPT_PER_PING,
	OPT_RATE, OPT_READ, OPT_WRITE, OPT_FEATURES, OPT_LAG, OPT_TRUTH, OPT_STEP, OPT_ASK
};

static const struct option long_options[] = {
	{ "listen", required_argument, NULL, 'l' },
	{ "user", required_argument, NULL, OPT_USER },
	{ "secret", required_argument, NULL, OPT_SECRET },
	{ "ami-version", required_argument, NULL, OPT_VERSION },
	{ "max-clients", required_argument, NULL, OPT_MAX_CLIENTS },
	{ "write-timeout", required_argument, NULL, OPT_WRITE_TIMEOUT },
	{ "max-backlog", required_argument, NULL, OPT_MAX_BACKLOG },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "duration", required_argument, NULL, OPT_DURATION },
	{ "calls-per-second", required_argument, NULL, OPT_CALLS },
	{ "max-calls", required_argument, NULL, OPT_MAX_CALLS },
	{ "speed", required_argument, NULL, OPT_SPEED },
	{ "play", required_argument, NULL, OPT_PLAY },
	{ "loop", no_argument, NULL, OPT_LOOP },
	{ "events", required_argument, NULL, OPT_EVENTS },
	{ "stamp", no_argument, NULL, OPT_STAMP },
	{ "on-ping", no_argument, NULL, OPT_ON_PING },
	{ "per-ping", required_argument, NULL, OPT_PER_PING },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "read", required_argument, NULL, OPT_READ },
	{ "write", required_argument, NULL, OPT_WRITE },
	{ "features", no_argument, NULL, OPT_FEATURES },
	{ "lag", required_argument, NULL, OPT_LAG },
	{ "truth", required_argument, NULL, OPT_TRUTH },
	{ "step", no_argument, NULL, OPT_STEP },
	{ "ask", required_argument, NULL, OPT_ASK },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* What the command line asks for, with the strings that it owns. */
struct request {
	struct sim_options options;
	char *host, *secret;
	const char *ask; /* a socket to ask at, instead of running */
	double duration; /* s, 0: without end */
	bool help;
};

static int complain(const char *what, const char *value, const char *wanted)
{
	fprintf(stderr, "hookswitch sim: --%s %s: give %s\n", what, value, wanted);
	return -1;
}

static int read_number(const char *what, const char *text, double low, double high, double *out)
{
	char *end, wanted[96];

	errno = 0;
	*out = strtod(text, &end);
	if (end != text && *end == '\0' && errno == 0 && *out >= low && *out <= high)
		return 0;
	snprintf(wanted, sizeof(wanted), "a number from %g to %g", low, high);
	return complain(what, text, wanted);
}

static int read_whole(const char *what, const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
	struct slice s = slice_cstr(text);
	char wanted[96];
	int64_t value;

	if (slice_to_int(s, &value) && value >= 0 && (uint64_t)value >= low && (uint64_t)value <= high) {
		*out = (uint64_t)value;
		return 0;
	}
	snprintf(wanted, sizeof(wanted), "a whole number from %llu to %llu", (unsigned long long)low, (unsigned long long)high);
	return complain(what, text, wanted);
}

static int read_listen(struct request *request, const char *text)
{
	const char *colon = strrchr(text, ':');
	struct slice host;
	uint64_t port;
	int64_t number;

	if (!colon || colon == text || !slice_to_int(slice_cstr(colon + 1), &number) || number < 0 || number > 65535)
		return complain("listen", text, "ADDR:PORT, like 127.0.0.1:5038");
	port = (uint64_t)number;
	host = slice_make(text, (size_t)(colon - text));
	if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		host = slice_make(host.ptr + 1, host.len - 2);
	free(request->host);
	request->host = mem_slicedup(host);
	request->options.host = request->host;
	request->options.port = (uint16_t)port;
	return 0;
}

/* The secret is overwritten in the process' title (P8). */
static void take_secret(struct request *request, char *text)
{
	if (request->secret)
		mem_free_secret(&request->secret);
	request->secret = mem_strdup(text);
	request->options.secret = request->secret;
	memset(text, '*', strlen(text));
}

static int read_classes(const char *what, const char *text)
{
	if (*text && sim_classes_known(text))
		return 0;
	return complain(what, text, "classes as in manager.conf, like system,call,agent");
}

static int read_version(struct request *request, const char *text)
{
	unsigned major, minor;
	char rest;

	request->options.ami_version = text;
	if (strlen(text) < 32 && sscanf(text, "%u.%u%c", &major, &minor, &rest) >= 2 &&
	    strspn(text, "0123456789.") == strlen(text))
		return 0;
	return complain("ami-version", text, "a version like 13.0.0");
}

static int read_option(struct request *request, int option, char *value)
{
	struct sim_options *o = &request->options;
	uint64_t whole;

	switch (option) {
	case 'l':
		return read_listen(request, value);
	case OPT_USER:
		o->user = value;
		return 0;
	case OPT_SECRET:
		take_secret(request, value);
		return 0;
	case OPT_VERSION:
		return read_version(request, value);
	case OPT_MAX_CLIENTS:
		if (read_whole("max-clients", value, 1, 65536, &whole) == -1)
			return -1;
		o->max_clients = (unsigned)whole;
		return 0;
	case OPT_WRITE_TIMEOUT:
		return read_number("write-timeout", value, 0.01, 3600, &o->write_timeout);
	case OPT_MAX_BACKLOG:
		if (read_whole("max-backlog", value, 524288, UINT64_C(1) << 30, &whole) == -1)
			return -1;
		o->max_backlog = (size_t)whole;
		return 0;
	case OPT_SEED:
		return read_whole("seed", value, 0, INT64_MAX, &o->seed);
	case OPT_DURATION:
		return read_number("duration", value, 0.001, 1e9, &request->duration);
	case OPT_CALLS:
		return read_number("calls-per-second", value, 0, 10000, &o->calls_per_second);
	case OPT_MAX_CALLS:
		if (read_whole("max-calls", value, 1, 1000000, &whole) == -1)
			return -1;
		o->max_calls = (unsigned)whole;
		return 0;
	case OPT_SPEED:
		return read_number("speed", value, 0.01, 1000, &o->speed);
	case OPT_PLAY:
		o->play = value;
		return 0;
	case OPT_LOOP:
		o->loop = true;
		return 0;
	case OPT_EVENTS:
		o->flood = true;
		return read_whole("events", value, 0, 25000000000, &o->events);
	case OPT_STAMP:
		o->stamp = true;
		return 0;
	case OPT_ON_PING:
		o->on_ping = true;
		return 0;
	case OPT_PER_PING:
		o->on_ping = true;
		return read_whole("per-ping", value, 1, 1000000, &o->per_ping);
	case OPT_RATE:
		return read_number("rate", value, 0, 1e7, &o->rate);
	case OPT_READ:
		o->read = value;
		return read_classes("read", value);
	case OPT_WRITE:
		o->write = value;
		return read_classes("write", value);
	case OPT_FEATURES:
		o->features = true;
		return 0;
	case OPT_LAG:
		return read_number("lag", value, 0, 60, &o->lag);
	case OPT_TRUTH:
		o->truth_path = value;
		return 0;
	case OPT_STEP:
		o->step = true;
		return 0;
	case OPT_ASK:
		request->ask = value;
		return 0;
	case 'h':
		request->help = true;
		return 0;
	default:
		fputs("Try 'hookswitch sim --help'.\n", stderr);
		return -1;
	}
}

static int read_options(struct request *request, int argc, char **argv)
{
	int option;

	optind = 1;
	while ((option = getopt_long(argc, argv, "l:h", long_options, NULL)) != -1)
		if (read_option(request, option, optarg) == -1)
			return -1;
	if (request->ask && optind == argc) {
		fputs("hookswitch sim: --ask: say what: state, actions, settle, cut, run or restart\n", stderr);
		return -1;
	}
	if (optind < argc && !request->ask) {
		fprintf(stderr, "hookswitch sim: '%s' is no option; try 'hookswitch sim --help'\n", argv[optind]);
		return -1;
	}
	if (request->options.step && !request->options.truth_path) {
		fputs("hookswitch sim: --step: give --truth too, or time never passes\n", stderr);
		return -1;
	}
	if (request->options.play && request->options.flood) {
		fputs("hookswitch sim: --play and --events are two streams; give one of them\n", stderr);
		return -1;
	}
	return 0;
}

static void on_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
	(void)signal, (void)events;
	ev_break(loop, EVBREAK_ALL);
}

static void on_duration(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)timer, (void)events;
	ev_break(loop, EVBREAK_ALL);
}

static int run(const struct request *request)
{
	struct ev_loop *loop = ev_default_loop(0);
	bool ipv6 = strchr(request->options.host, ':') != NULL;
	struct err err = { 0 };
	ev_signal interrupted, terminated;
	ev_timer duration;
	struct sim *sim;

	if (!loop) {
		fputs("hookswitch sim: no event loop; is LIBEV_FLAGS set to something that this system lacks?\n", stderr);
		return CMD_FAULT;
	}
	signal(SIGPIPE, SIG_IGN);
	sim = sim_create(loop, &request->options, &err);
	if (!sim) {
		fprintf(stderr, "hookswitch sim: %s\n", err.text);
		return CMD_FAULT;
	}
	ev_signal_init(&interrupted, on_signal, SIGINT);
	ev_signal_init(&terminated, on_signal, SIGTERM);
	ev_signal_start(loop, &interrupted);
	ev_signal_start(loop, &terminated);
	ev_timer_init(&duration, on_duration, request->duration, 0);
	if (request->duration > 0)
		ev_timer_start(loop, &duration);
	printf("listening on %s%s%s:%u\n", ipv6 ? "[" : "", request->options.host, ipv6 ? "]" : "", (unsigned)sim_port(sim));
	fflush(stdout);
	ev_run(loop, 0);
	ev_signal_stop(loop, &interrupted);
	ev_signal_stop(loop, &terminated);
	ev_timer_stop(loop, &duration);
	sim_destroy(&sim);
	return CMD_OK;
}

int cmd_sim(int argc, char **argv)
{
	struct request request = { 0 };
	int status = CMD_USAGE;

	sim_options_init(&request.options);
	if (read_options(&request, argc, argv) == 0) {
		status = CMD_OK;
		if (request.help)
			fputs(usage, stdout);
		else if (request.ask)
			status = sim_ask(request.ask, argc - optind, argv + optind);
		else
			status = run(&request);
	}
	free(request.host);
	if (request.secret)
		mem_free_secret(&request.secret);
	return status;
}
