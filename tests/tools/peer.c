/* A bad Asterisk by script: listens on a free port of 127.0.0.1, prints "listening on 127.0.0.1:PORT", and plays the script
 * to each connection, in a process of its own, until it is killed. What clients send is appended to RECEIVED as it comes,
 * one file for all; "connected", "closed" and what `say` says go to stdout.
 *
 * usage: peer [--port N] [--tls PEM [--client-ca PEM]] [--receive BYTES] [--deaf] SCRIPT RECEIVED [PORT]
 *   --port       listens there
 *   --tls        speaks TLS with the certificate and key of that file; --client-ca: wants a client's certificate
 *   --receive    size of the receive buffer: how soon who is not read from stands still
 *   --deaf       accepts nothing, and its queue is full: who connects meets silence
 *
 * With a port at the end it is a bad client instead: connects there, plays the script once and ends.
 *
 * One command a line; the part after a line "----" is for the second connection, and so on; the last part is for all that
 * follow. Texts know \r \n \t \\ \xHH, and $id: the ActionID that `action` has seen last.
 *   send TEXT      line TEXT (with CRLF)      file PATH (its bytes)      say TEXT (to stdout)
 *   times N TEXT   sends it N times; $n is the number, from 1
 *   pieces N MS TEXT   sends it N bytes at a time, with a pause after each
 *   expect TEXT    reads until TEXT has come
 *   action NAME    reads until the message "Action: NAME" is whole
 *   shuffle N LEFT reads N actions, then answers all but LEFT of them with Success, in random order
 *   wait PATH      until that file is there
 *   sleep MS
 *   serve          answers Ping and Logoff as Asterisk does, every other action with Success, until the other side closes
 *   hold           reads until the other side closes
 *   stall          reads nothing, for ever
 *   rst            closes with a reset
 * At its end the connection is closed ("done"). When the other side closes first, the script ends there.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ID_MAX 128
#define INPUT_MAX (1 << 20)

struct session {
	int fd, received;
	SSL *ssl;        /* NULL without TLS */
	char *input;     /* what came and no `expect` or `action` has taken, ended by NUL */
	size_t len;
	char id[ID_MAX + 1];
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

static char *read_text(const char *path, size_t *len)
{
	FILE *file = fopen(path, "rb");
	char *text = NULL;
	size_t cap = 0;

	if (!file)
		die(path);
	*len = 0;
	do {
		cap += 65536;
		text = realloc(text, cap + 1);
		if (!text)
			die("memory");
		*len += fread(text + *len, 1, cap - *len, file);
	} while (*len == cap);
	fclose(file);
	text[*len] = '\0';
	return text;
}

static _Noreturn void leave(const struct session *s)
{
	printf("closed\n");
	if (s->ssl)
		SSL_shutdown(s->ssl);
	close(s->fd);
	exit(0);
}

static ssize_t receive(const struct session *s, char *to, size_t space)
{
	return s->ssl ? SSL_read(s->ssl, to, (int)space) : recv(s->fd, to, space, 0);
}

static ssize_t transmit(const struct session *s, const char *bytes, size_t len)
{
	return s->ssl ? SSL_write(s->ssl, bytes, (int)(len < 65536 ? len : 65536)) : send(s->fd, bytes, len, MSG_NOSIGNAL);
}

static void take_in(struct session *s)
{
	if (s->len + 4096 >= INPUT_MAX) {
		fprintf(stderr, "peer: more than %d bytes that nothing expects\n", INPUT_MAX);
		exit(1);
	}
	ssize_t n = receive(s, s->input + s->len, 4096);
	if (n <= 0)
		leave(s);
	if (write(s->received, s->input + s->len, (size_t)n) != n)
		die("received");
	s->len += (size_t)n;
	s->input[s->len] = '\0';
}

static void drop_input(struct session *s, size_t n)
{
	s->len -= n;
	memmove(s->input, s->input + n, s->len + 1);
}

static void send_all(const struct session *s, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = transmit(s, bytes, len);
		if (n <= 0)
			leave(s);
		bytes += n;
		len -= (size_t)n;
	}
}

static int hex(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Escapes and $id, in place of what they stand for; the text's new length. `out` has space for all. */
static size_t expand(const struct session *s, const char *text, char *out)
{
	size_t len = 0;

	for (; *text; text++) {
		if (strncmp(text, "$id", 3) == 0) {
			len += (size_t)sprintf(out + len, "%s", s->id);
			text += 2;
		} else if (*text != '\\' || !text[1]) {
			out[len++] = *text;
		} else if (*++text == 'x' && isxdigit((unsigned char)text[1]) && isxdigit((unsigned char)text[2])) {
			out[len++] = (char)(hex(text[1]) * 16 + hex(text[2]));
			text += 2;
		} else {
			out[len++] = *text == 'r' ? '\r' : *text == 'n' ? '\n' : *text == 't' ? '\t' : *text;
		}
	}
	out[len] = '\0';
	return len;
}

static void await_text(struct session *s, const char *text)
{
	const char *at;

	while (!(at = strstr(s->input, text)))
		take_in(s);
	drop_input(s, (size_t)(at - s->input) + strlen(text));
}

/* The value of that header in the message, "" when it has none. */
static void read_header(const char *message, const char *name, char *out)
{
	size_t len = strlen(name);
	const char *line = message, *end;

	*out = '\0';
	for (; (end = strstr(line, "\r\n")); line = end + 2) {
		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		const char *value = line + len + 1 + (line[len + 1] == ' ');
		snprintf(out, ID_MAX + 1, "%.*s", (int)(end - value), value);
		return;
	}
}

/* Reads the next whole message: its Action, and its ActionID to `id`. */
static void next_action(struct session *s, char action[ID_MAX + 1])
{
	char *end;

	while (!(end = strstr(s->input, "\r\n\r\n")))
		take_in(s);
	end[2] = '\0';
	read_header(s->input, "Action", action);
	read_header(s->input, "ActionID", s->id);
	drop_input(s, (size_t)(end - s->input) + 4);
}

static void await_action(struct session *s, const char *name)
{
	char action[ID_MAX + 1];

	do
		next_action(s, action);
	while (strcasecmp(action, name) != 0);
}

static void answer(const struct session *s, const char *response, const char *id, const char *header)
{
	char text[2 * ID_MAX + 100];
	int len = snprintf(text, sizeof text, "Response: %s\r\nActionID: %s\r\n%s\r\n", response, id, header);

	send_all(s, text, (size_t)len);
}

/* True when it was one of the engine's own, and answered. */
static bool answer_own(const struct session *s, const char *action)
{
	bool ping = strcasecmp(action, "Ping") == 0, logoff = strcasecmp(action, "Logoff") == 0;

	if (ping)
		answer(s, "Success", s->id, "Ping: Pong\r\n");
	if (logoff)
		answer(s, "Goodbye", s->id, "Message: Thanks for all the fish.\r\n");
	return ping || logoff;
}

static void serve_actions(struct session *s)
{
	char action[ID_MAX + 1];

	for (;;) {
		next_action(s, action);
		if (!answer_own(s, action))
			answer(s, "Success", s->id, "");
	}
}

static void shuffle(struct session *s, size_t count, size_t left)
{
	char (*ids)[ID_MAX + 1] = calloc(count, sizeof *ids), action[ID_MAX + 1];

	if (!ids)
		die("memory");
	for (size_t n = 0; n < count;) {
		next_action(s, action);
		if (!answer_own(s, action))
			memcpy(ids[n++], s->id, sizeof s->id);
	}
	for (size_t n = count; n > left; n--) {
		size_t chosen = (size_t)random() % n;
		answer(s, "Success", ids[chosen], "");
		memmove(ids[chosen], ids[n - 1], sizeof ids[chosen]);
	}
	free(ids);
}

static void send_times(const struct session *s, const char *text, size_t len, long times)
{
	const char *mark = strstr(text, "$n");
	size_t before = mark ? (size_t)(mark - text) : len;
	char *all = malloc(len + 24);

	if (!all)
		die("memory");
	memcpy(all, text, before);
	for (long n = 1; n <= times; n++) {
		size_t size = before;
		if (mark) {
			size += (size_t)sprintf(all + size, "%ld", n);
			memcpy(all + size, mark + 2, len - before - 2);
			size += len - before - 2;
		}
		send_all(s, all, size);
	}
	free(all);
}

static void send_pieces(const struct session *s, const char *text, size_t len, size_t piece, long pause)
{
	for (size_t at = 0; at < len; at += piece) {
		send_all(s, text + at, piece < len - at ? piece : len - at);
		pause_ms(pause);
	}
}

/* Takes a number off the front of `*text`. */
static long take_number(char **text)
{
	long n = strtol(*text, text, 10);
	*text += **text == ' ';
	return n;
}

static void reset(const struct session *s)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };
	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	leave(s);
}

static void run(struct session *s, char *line)
{
	char *argument = line + strcspn(line, " ");
	long first = 0, second = 0;
	if (*argument)
		*argument++ = '\0';
	if (strcmp(line, "times") == 0 || strcmp(line, "pieces") == 0 || strcmp(line, "shuffle") == 0)
		first = take_number(&argument);
	if (strcmp(line, "pieces") == 0)
		second = take_number(&argument);
	char *text = malloc(strlen(argument) * ID_MAX + 3);
	if (!text)
		die("memory");
	size_t len = expand(s, argument, text);

	if (strcmp(line, "send") == 0) {
		send_all(s, text, len);
	} else if (strcmp(line, "line") == 0) {
		memcpy(text + len, "\r\n", 2);
		send_all(s, text, len + 2);
	} else if (strcmp(line, "file") == 0) {
		char *bytes = read_text(text, &len);
		send_all(s, bytes, len);
		free(bytes);
	} else if (strcmp(line, "times") == 0) {
		send_times(s, text, len, first);
	} else if (strcmp(line, "pieces") == 0) {
		send_pieces(s, text, len, (size_t)first, second);
	} else if (strcmp(line, "shuffle") == 0) {
		shuffle(s, (size_t)first, (size_t)atol(text));
	} else if (strcmp(line, "serve") == 0) {
		serve_actions(s);
	} else if (strcmp(line, "say") == 0) {
		printf("%s\n", text);
	} else if (strcmp(line, "expect") == 0) {
		await_text(s, text);
	} else if (strcmp(line, "action") == 0) {
		await_action(s, text);
	} else if (strcmp(line, "wait") == 0) {
		while (access(text, F_OK) != 0)
			pause_ms(5);
	} else if (strcmp(line, "sleep") == 0) {
		pause_ms(atol(text));
	} else if (strcmp(line, "hold") == 0) {
		for (;;) {
			take_in(s);
			drop_input(s, s->len);
		}
	} else if (strcmp(line, "stall") == 0) {
		for (;;)
			pause();
	} else if (strcmp(line, "rst") == 0) {
		reset(s);
	} else if (*line) {
		fprintf(stderr, "peer: no command '%s'\n", line);
		exit(1);
	}
	free(text);
}

/* The script's part for connection `number`, from 1: the last one when there are fewer. */
static char *find_part(char *script, unsigned number)
{
	char *next;

	while (--number > 0 && (next = strstr(script, "\n----\n")))
		script = next + strlen("\n----\n");
	if ((next = strstr(script, "\n----\n")))
		*next = '\0';
	return script;
}

struct options {
	const char *cert, *client_ca, *script, *received;
	int port, receive, client_of; /* 0: none */
	bool deaf;
};

static SSL_CTX *make_tls(const struct options *options)
{
	if (!options->cert)
		return NULL;
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, options->cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, options->cert, SSL_FILETYPE_PEM) != 1)
		die(options->cert);
	if (options->client_ca) {
		if (SSL_CTX_load_verify_locations(ctx, options->client_ca, NULL) != 1)
			die(options->client_ca);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	return ctx;
}

static void shake_hands(struct session *s, SSL_CTX *tls)
{
	s->ssl = SSL_new(tls);
	if (!s->ssl || SSL_set_fd(s->ssl, s->fd) != 1)
		die("tls");
	if (SSL_accept(s->ssl) == 1)
		return;
	SSL_free(s->ssl);
	s->ssl = NULL;
	printf("no handshake\n");
	leave(s);
}

static _Noreturn void serve(int fd, char *script, unsigned number, SSL_CTX *tls, const char *received)
{
	struct session s = { .fd = fd, .input = calloc(1, INPUT_MAX), .received = open(received, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) };
	char *rest = find_part(script, number), *line;
	const int one = 1;

	if (!s.input || s.received == -1)
		die(received);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	printf("connected\n");
	if (tls)
		shake_hands(&s, tls);
	while ((line = strsep(&rest, "\n")))
		run(&s, line);
	printf("done\n");
	if (s.ssl)
		SSL_shutdown(s.ssl);
	close(fd);
	exit(0);
}

static int read_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{ "port", required_argument, NULL, 'p' },    { "tls", required_argument, NULL, 't' },
		{ "client-ca", required_argument, NULL, 'c' }, { "receive", required_argument, NULL, 'r' },
		{ "deaf", no_argument, NULL, 'd' },          { 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'p')
			options->port = atoi(optarg);
		else if (option == 't')
			options->cert = optarg;
		else if (option == 'c')
			options->client_ca = optarg;
		else if (option == 'r')
			options->receive = atoi(optarg);
		else if (option == 'd')
			options->deaf = true;
		else
			return -1;
	}
	if (argc - optind < 2 || argc - optind > 3)
		return -1;
	options->script = argv[optind];
	options->received = argv[optind + 1];
	options->client_of = argc - optind == 3 ? atoi(argv[optind + 2]) : 0;
	return 0;
}

static int listen_on(const struct options *options, struct sockaddr_in *address)
{
	socklen_t size = sizeof *address;
	const int one = 1;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener == -1 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == -1)
		die("socket");
	if (options->receive && setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &options->receive, sizeof options->receive) == -1)
		die("--receive");
	if (bind(listener, (const struct sockaddr *)address, size) == -1 || listen(listener, options->deaf ? 0 : 1024) == -1 ||
	    getsockname(listener, (struct sockaddr *)address, &size) == -1)
		die("listen");
	return listener;
}

/* Linux drops what comes to a full queue, and one place more than asked for there is. */
static void fill_queue(const struct sockaddr_in *address)
{
	for (int i = 0; i < 4; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd == -1 || (connect(fd, (const struct sockaddr *)address, sizeof *address) == -1 && errno != EINPROGRESS))
			die("connect");
	}
}

static _Noreturn void accept_all(int listener, char *script, SSL_CTX *tls, const char *received)
{
	for (unsigned number = 1;; number++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd == -1)
			die("accept");
		pid_t child = fork();
		if (child == -1)
			die("fork");
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(listener);
			serve(fd, script, number, tls, received);
		}
		close(fd);
	}
}

int main(int argc, char **argv)
{
	struct options options = { .port = 0 };
	size_t len;

	if (read_options(argc, argv, &options)) {
		fprintf(stderr, "usage: peer [--port N] [--tls PEM [--client-ca PEM]] [--receive BYTES] [--deaf] SCRIPT RECEIVED [PORT]\n");
		return 2;
	}
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char *script = read_text(options.script, &len);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (options.client_of) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		address.sin_port = htons((uint16_t)options.client_of);
		if (fd == -1 || (options.receive && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &options.receive, sizeof options.receive) == -1) ||
		    connect(fd, (const struct sockaddr *)&address, sizeof address) == -1)
			die("connect");
		serve(fd, script, 1, NULL, options.received);
	}
	address.sin_port = htons((uint16_t)options.port);
	SSL_CTX *tls = make_tls(&options);
	int listener = listen_on(&options, &address);
	if (options.deaf)
		fill_queue(&address);
	signal(SIGCHLD, SIG_IGN);
	printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
	while (options.deaf)
		pause();
	accept_all(listener, script, tls, options.received);
}
