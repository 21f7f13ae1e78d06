/* `hookswitch ctl`: sends a command to a running daemon's console and shows the answer. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/cmd.h"
#include "cli/hints.h"
#include "cli/take.h"
#include "cli/top.h"
#include "config/config.h"
#include "control/commands.h"
#include "control/console.h"

#define WATCH_S 1   /* between two answers of --watch */
#define IDLE_MS 200 /* so long without a byte, and what has come is shown before the rest */

static void print_help(void)
{
	struct buf list;

	puts("usage: hookswitch ctl [--socket PATH | -c FILE] [--json] COMMAND [ARGUMENT...]\n"
	     "\n"
	     "Sends a command to a running daemon and prints its answer.\n"
	     "\n"
	     "  -s, --socket PATH   the daemon's socket (default: control.socket of the configuration)\n"
	     "  -c, --config FILE   the configuration (default: conf/hookswitch.lua, else /etc/hookswitch/hookswitch.lua)\n"
	     "      --timeout S     seconds until the answer must begin (30; call: 3600)\n"
	     "  -h, --help          this text\n"
	     "\n"
	     "commands (`COMMAND --help`: more about one; --json: for programs, before the command or behind it):");
	buf_init(&list, 0);
	commands_list(&list);
	fwrite(list.data + list.head, 1, buf_len(&list), stdout);
	buf_close(&list);
	puts("\n"
	     "exit codes: 0 done, 1 the daemon refused or failed, 2 called wrongly, 3 no daemon answers");
}

/* What the command line asks for. */
struct request {
	const char *socket, *config;
	double timeout; /* s; 0: as the command needs */
	const char *recording; /* the file for the answer of `record`, or NULL */
	struct top_options top;
	char **words;   /* the command and its arguments */
	int word_count;
	bool json; /* given before the command */
	bool watch; /* asks again and again */
};

/* ---- where the daemon is ---- */

/* The socket that the configuration names, malloc'd; NULL with the reason on stderr. A fault elsewhere in it does not matter:
 * the daemon still runs with what was good, and a secret of its environment is none of this one's. */
static char *configured_socket(const char *path)
{
	struct faults faults;
	struct config *config;
	char *socket = NULL;

	faults_init(&faults);
	config = config_look(path, NULL, &faults);
	if (config && config->control.socket) {
		socket = mem_strdup(config->control.socket);
	} else if (config && faults_errors(&faults) == 0) {
		fprintf(stderr, "hookswitch ctl: %s has no control.socket, so its daemon has no console\n", path);
	} else {
		cmd_print_faults(&faults);
		fprintf(stderr, "hookswitch ctl: the configuration does not say where the daemon is; name its socket with --socket PATH\n");
	}
	faults_close(&faults);
	config_destroy(&config);
	return socket;
}

static int no_daemon(const char *path, int error)
{
	const char *advice = "is this the socket of a daemon?";

	if (error == ENOENT)
		advice = "start it with `hookswitch run`, or name the right socket with --socket PATH";
	else if (error == ECONNREFUSED)
		advice = "it has ended; start it with `hookswitch run`";
	else if (error == EACCES)
		advice = "run this as the daemon's user, or see control.group, control.mode and control.sockets";
	else if (error == EAGAIN)
		advice = "it is there but takes no connection; is it stopped or overloaded?";
	fprintf(stderr, "hookswitch ctl: no daemon answers on %s: %s; %s\n", path, error == EAGAIN ? "timed out" : strerror(error), advice);
	return CMD_NO_DAEMON;
}

/* A connected socket, or -1 with errno. */
static int connect_to(const char *path, double timeout)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval wait = { .tv_sec = (time_t)timeout, .tv_usec = (suseconds_t)((timeout - (double)(time_t)timeout) * 1e6) };
	size_t length = strlen(path);

	if (length == 0 || length >= sizeof address.sun_path) {
		errno = length == 0 ? ENOENT : ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, length);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	/* Bounds connect() too, while the daemon's queue is full. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) == -1 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof address) == -1) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* ---- the request ---- */

/* -1 when it does not fit, with the reason on stderr. */
static int build(const struct request *request, struct buf *out)
{
	bool fits = request->word_count <= CONSOLE_ARGUMENTS_MAX;

	for (int i = 0; fits && i < request->word_count; i++) {
		if (request->words[i][0] == '\0') {
			fprintf(stderr, "hookswitch ctl: an argument is empty\n");
			return -1;
		}
		fits = buf_append(out, slice_make(request->words[i], strlen(request->words[i]) + 1)) == 0;
	}
	if (fits && request->json)
		fits = buf_append(out, slice_make("--json", sizeof "--json")) == 0;
	if (fits && buf_append_char(out, '\0') == 0)
		return 0;
	fprintf(stderr, "hookswitch ctl: too long: at most %d arguments, %d bytes in all\n", CONSOLE_ARGUMENTS_MAX, CONSOLE_REQUEST_MAX);
	return -1;
}

/* A daemon that is full answers and closes without reading: the answer, or its absence, says what a failure here means. */
static void send_all(int fd, struct slice bytes)
{
	while (bytes.len > 0) {
		ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return;
		bytes = slice_make(bytes.ptr + n, bytes.len - (size_t)n);
	}
}

/* ---- the answer ---- */

struct answer {
	struct buf bytes;
	int code; /* -1: its line has not come yet */
	bool json;   /* asked for */
	bool stream; /* it has no end of its own, and is shown as it comes */
	const char *recording; /* the file it goes to; NULL: it is none */
	const struct top_options *top; /* drawn here; NULL: it is another answer */
};

/* Takes the first line when it is there. -1 when it is no exit code. */
static int read_code(struct answer *answer)
{
	struct slice all = buf_slice(&answer->bytes);
	ptrdiff_t end = slice_find(all, SLICE("\n"));
	int64_t code;

	if (answer->code != -1 || (end == -1 && all.len < 4))
		return 0;
	if (end == -1 || !slice_to_int(slice_make(all.ptr, (size_t)end), &code) || code < 0 || code > 255)
		return -1;
	answer->code = (int)code;
	buf_consume(&answer->bytes, (size_t)end + 1);
	return 0;
}

/* Shows what has come. -1 when it cannot be written. */
static int show(struct answer *answer)
{
	struct slice bytes = buf_slice(&answer->bytes);
	/* A program that asked for JSON reads the failure too where it reads the answer. */
	bool is_answer = answer->code == CMD_OK || (answer->json && answer->code == CMD_FAULT && bytes.len > 0 && bytes.ptr[0] == '{');
	FILE *to = is_answer ? stdout : stderr;

	if (fwrite(bytes.ptr, 1, bytes.len, to) != bytes.len || fflush(to) == EOF) {
		fprintf(stderr, "hookswitch ctl: the answer cannot be written: %s\n", strerror(errno));
		return -1;
	}
	buf_consume(&answer->bytes, bytes.len);
	return 0;
}

static int wait_for(int fd, int ms)
{
	struct pollfd watch = { .fd = fd, .events = POLLIN };
	int n;

	do
		n = poll(&watch, 1, ms);
	while (n == -1 && errno == EINTR);
	return n;
}

static int ms_until(uint64_t deadline)
{
	uint64_t now = clock_mono_ns();
	uint64_t ms = now < deadline ? (deadline - now) / CLOCK_NS_PER_MS + 1 : 0;

	return ms < INT32_MAX ? (int)ms : INT32_MAX;
}

/* Gathers the answer before it is shown: the daemon drops who does not read on, as a pager would not. Only when the daemon
 * itself rests is shown what there is. */
static int receive(int fd, const char *path, uint64_t deadline, struct answer *answer)
{
	for (;;) {
		bool begun = answer->code != -1;
		int ready = wait_for(fd, begun ? (buf_len(&answer->bytes) > 0 ? IDLE_MS : -1) : ms_until(deadline));

		if (ready == 0 && begun) {
			if (show(answer) == -1)
				return CMD_FAULT;
			continue;
		}
		if (ready == 0) {
			fprintf(stderr, "hookswitch ctl: no daemon answers on %s: it took the command, but said nothing in time; look at its log, "
			                "or wait longer with --timeout\n", path);
			return CMD_NO_DAEMON;
		}
		char *free_bytes = buf_reserve(&answer->bytes, 65536);
		if (!free_bytes) {
			fprintf(stderr, "hookswitch ctl: the answer is longer than any daemon's\n");
			return CMD_FAULT;
		}
		ssize_t n = recv(fd, free_bytes, 65536, 0);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		buf_commit(&answer->bytes, (size_t)n);
		if (read_code(answer) == -1)
			break;
		if (answer->recording && answer->code == CMD_OK)
			return take_recording(fd, &answer->bytes, answer->recording, answer->json);
		if (answer->top && answer->code == CMD_OK) {
			if (top_run(fd, &answer->bytes, answer->top))
				return CMD_OK;
			break;
		}
		if (answer->stream && answer->code == CMD_OK && show(answer) == -1)
			return CMD_FAULT;
	}
	if (answer->code == -1) {
		fprintf(stderr, "hookswitch ctl: no daemon answers on %s: %s\n", path,
		        buf_len(&answer->bytes) > 0 ? "what answers is no hookswitch" : "the connection was closed without an answer");
		return CMD_NO_DAEMON;
	}
	if (!(answer->top && answer->code == CMD_OK) && show(answer) == -1)
		return CMD_FAULT;
	if ((answer->stream || answer->top) && answer->code == CMD_OK) {
		fprintf(stderr, "hookswitch ctl: the daemon has ended the stream: it stopped, or nothing was read here for a minute\n");
		return CMD_NO_DAEMON;
	}
	return answer->code;
}

static int ask(const struct request *request, const char *path)
{
	uint64_t deadline = clock_mono_ns() + clock_from_seconds(request->timeout);
	struct answer answer = { .code = -1, .stream = strcmp(request->words[0], "tail") == 0 };
	answer.json = request->json;
	for (int i = 1; i < request->word_count; i++)
		answer.json |= strcmp(request->words[i], "--json") == 0;
	answer.recording = request->recording;
	bool top = strcmp(request->words[0], "top") == 0;
	answer.top = top && !answer.json ? &request->top : NULL;
	answer.stream |= top && answer.json && !request->top.once;
	struct buf out;
	int code = CMD_USAGE;

	buf_init(&out, CONSOLE_REQUEST_MAX);
	buf_init(&answer.bytes, CONSOLE_ANSWER_MAX + 131072);
	if (build(request, &out) == 0) {
		int fd = connect_to(path, request->timeout);
		if (fd == -1) {
			code = no_daemon(path, errno);
		} else {
			send_all(fd, buf_slice(&out));
			code = receive(fd, path, deadline, &answer);
			close(fd);
		}
	}
	buf_close(&out);
	buf_close(&answer.bytes);
	return code;
}

/* ---- the command line ---- */

static int read_timeout(const char *text, double *out)
{
	char *end;

	*out = strtod(text, &end);
	if (end != text && *end == '\0' && *out >= 0.01 && *out <= 86400)
		return 0;
	fprintf(stderr, "hookswitch ctl: --timeout %s: give a number from 0.01 to 86400\n", text);
	return -1;
}

/* `COMMAND --help` and `help COMMAND` need no daemon. CMD_OK: go on; -1: the help was shown. */
static int explain(const struct request *request)
{
	const char *name = request->words[0];
	bool asked = strcmp(name, "help") == 0 && request->word_count > 1 && request->words[1][0] != '-';
	struct buf text;

	if (asked)
		name = request->words[1];
	for (int i = 1; i < request->word_count; i++)
		asked |= strcmp(request->words[i], "--help") == 0 || (i == 1 && strcmp(request->words[i], "-h") == 0);
	if (!asked)
		return CMD_OK;
	buf_init(&text, 0);
	bool known = commands_explain(name, &text);
	if (known) {
		fwrite(text.data + text.head, 1, buf_len(&text), stdout);
	} else {
		const char *nearest = commands_nearest(name);
		fprintf(stderr, "hookswitch ctl: there is no command '%s'%s%s%s\n", name, nearest ? "; did you mean " : "", nearest ? nearest : "",
		        nearest ? "?" : "");
	}
	buf_close(&text);
	return known ? -1 : cmd_usage_error("ctl");
}

/* CMD_OK: go on; -1: the help was shown. */
static int read_options(struct request *request, int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' }, { "config", required_argument, NULL, 'c' },
		{ "timeout", required_argument, NULL, 't' }, { "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	int c;

	/* '+': what follows the command is the daemon's to read. */
	while ((c = getopt_long(argc, argv, "+s:c:h", options, NULL)) != -1) {
		switch (c) {
		case 's':
			request->socket = optarg;
			break;
		case 'c':
			request->config = optarg;
			break;
		case 't':
			if (read_timeout(optarg, &request->timeout) == -1)
				return cmd_usage_error("ctl");
			break;
		case 'j':
			request->json = true;
			break;
		case 'h':
			print_help();
			return -1;
		default:
			return cmd_usage_error("ctl");
		}
	}
	if (request->socket && request->config) {
		fprintf(stderr, "hookswitch ctl: --socket and -c both say where the daemon is; give one of them\n");
		return cmd_usage_error("ctl");
	}
	if (optind == argc) {
		fprintf(stderr, "hookswitch ctl: no command, like status\n");
		return cmd_usage_error("ctl");
	}
	request->words = argv + optind;
	request->word_count = argc - optind;
	return explain(request);
}

/* Takes this option from the words of a command that is partly done here; true when it stood there. */
static bool take_option(struct request *request, const char *option)
{
	int kept = 0, count = request->word_count;

	for (int i = 0; i < count; i++)
		if (strcmp(request->words[i], option) != 0)
			request->words[kept++] = request->words[i];
	request->word_count = kept;
	return kept < count;
}

static void take_json(struct request *request)
{
	if (take_option(request, "--json"))
		request->json = true;
}

/* The options of `top` are for who draws it; the daemon learns how many samples to send. */
static int read_top(struct request *request)
{
	static char name[] = "top", once[] = "--once", *words[] = { name, once };

	take_json(request);
	for (int i = 1; i < request->word_count; i++) {
		const char *word = request->words[i], *equals = strchr(word, '=');
		size_t len = equals ? (size_t)(equals - word) : strlen(word);
		const char **value = len == 6 && strncmp(word, "--sort", 6) == 0 ? &request->top.sort :
		                     len == 8 && strncmp(word, "--server", 8) == 0 ? &request->top.server : NULL;
		if (strcmp(word, "--once") == 0) {
			request->top.once = true;
		} else if (value && (equals || i + 1 < request->word_count)) {
			*value = equals ? equals + 1 : request->words[++i];
		} else {
			fprintf(stderr, "hookswitch ctl: top: '%s' is not understood; the options are --once, --json, --sort COLUMN, --server NAME\n", word);
			return CMD_USAGE;
		}
	}
	if (request->top.sort && !top_check_sort(request->top.sort))
		return CMD_USAGE;
	/* Elsewhere than on a terminal that can be drawn on one drawing is enough. */
	const char *terminal = getenv("TERM");
	if (!request->json && (!isatty(STDOUT_FILENO) || !terminal || strcmp(terminal, "dumb") == 0))
		request->top.once = true;
	request->words = words;
	request->word_count = request->top.once ? 2 : 1;
	return CMD_OK;
}

static bool can_watch(const char *command)
{
	static const char *const commands[] = { "calls", "queues", "agents", "channels", "endpoints" };
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(command, commands[i]) == 0)
			return true;
	return false;
}

/* Until it fails or Ctrl-C ends it. */
static int ask_again_and_again(const struct request *request, const char *path)
{
	bool terminal = isatty(STDOUT_FILENO) && !request->json;
	int code;

	for (bool first = true;; first = false) {
		if (terminal)
			fputs("\033[H\033[J", stdout);
		else if (!first && !request->json)
			putchar('\n');
		if ((code = ask(request, path)) != CMD_OK)
			return code;
		sleep(WATCH_S);
	}
}

int cmd_ctl(int argc, char **argv)
{
	struct request request = { .timeout = 0 };
	int code = read_options(&request, argc, argv);
	char *configured = NULL;

	if (code != CMD_OK)
		return code == -1 ? CMD_OK : code;
	/* An action has a deadline of its own. */
	if (request.timeout <= 0)
		request.timeout = strcmp(request.words[0], "call") == 0 ? 3600 : 30;
	/* A reader that has seen enough (`| head`) ends this command quietly. */
	signal(SIGPIPE, SIG_DFL);
	if (!request.socket) {
		configured = configured_socket(request.config ? request.config : cmd_default_config());
		if (!configured)
			return CMD_FAULT;
		request.socket = configured;
	}
	hints_print(request.word_count, request.words);
	char recording[512];
	if (strcmp(request.words[0], "record") == 0) {
		take_json(&request);
		if (request.word_count == 2 || request.word_count == 3) {
			snprintf(recording, sizeof recording, "%s.ami", request.words[1]);
			request.recording = request.word_count == 3 ? request.words[2] : recording;
			request.word_count = 2;
		}
	}
	/* That is for who shows the answers; the daemon sees one request after the other. */
	if (can_watch(request.words[0]))
		request.watch = take_option(&request, "--watch");
	if (strcmp(request.words[0], "top") == 0 && read_top(&request) != CMD_OK)
		code = cmd_usage_error("ctl");
	else
		code = request.watch ? ask_again_and_again(&request, request.socket) : ask(&request, request.socket);
	free(configured);
	return code;
}
