/* A web server for tests, with a thread for each connection. What it answers depends on the path:
 *   /echo                   200, the request's body
 *   /json                   200, {"name":"Ann","n":1}
 *   /status/CODE            that status, the body "status CODE"; with ?retry=S also Retry-After: S
 *   /slow?ms=N              200 after N ms                       /drip?ms=N&n=K   K bytes, N ms apart
 *   /size?n=N               N bytes                              /endless         bytes without end
 *   /short                  says 100 bytes, sends 10, closes     /long            says 5, sends 50
 *   /close                  closes without an answer             /garbage         no HTTP at all
 *   /once                   answers the first request of its connection, closes at the second
 *   /headers?n=N            N bytes of headers                   /file?name=F     the file F of the folder, as gzip
 *   /line?n=N               a header of N bytes
 *   /redirect?to=URL        302 (or ?status=CODE) to URL         anything else: 404
 *   /sink                   what the file `mode` of the folder says: a status, "429 S" with Retry-After, "late"
 *                           (takes the body, then closes without an answer), or "400 WORD": 400 where the body holds WORD; 200 without it
 * Each request is a line of JSON in FOLDER/requests: connection, method, path, headers, body, for /sink also the mode.
 *
 * usage: httpd [--tls PEM] [--ca PEM] [--address IP] [--port N] FOLDER
 * --ca: a client's certificate is required, signed by it.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 65536
#define BODY_MAX (16u << 20)

static const char *folder;
static SSL_CTX *tls;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct connection {
	int fd, number, requests;
	SSL *ssl;
	char *head; /* HEAD_MAX + 1 bytes */
	size_t held;
};

struct request {
	char method[32], path[8192];
	char *headers; /* in connection->head */
	char *body;
	size_t body_len;
	char mode[1024];
};

/* ---- bytes ---- */

static ssize_t take(struct connection *c, char *to, size_t space)
{
	return c->ssl ? SSL_read(c->ssl, to, (int)space) : read(c->fd, to, space);
}

static int put(struct connection *c, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = c->ssl ? SSL_write(c->ssl, bytes, (int)len) : write(c->fd, bytes, len);
		if (n <= 0)
			return -1;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int put_text(struct connection *c, const char *text)
{
	return put(c, text, strlen(text));
}

static void pause_ms(long ms)
{
	usleep((useconds_t)(ms * 1000));
}

/* ---- requests ---- */

static const char *header(const struct request *r, const char *name, size_t *len)
{
	size_t name_len = strlen(name);
	for (const char *line = r->headers; line && *line && *line != '\r'; line = strstr(line, "\r\n") ? strstr(line, "\r\n") + 2 : NULL)
		if (strncasecmp(line, name, name_len) == 0 && line[name_len] == ':') {
			const char *value = line + name_len + 1;
			value += strspn(value, " ");
			*len = strcspn(value, "\r\n");
			return value;
		}
	return NULL;
}

static void append_json(FILE *out, const char *text, size_t len)
{
	putc('"', out);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c == '"' || c == '\\' || c < 0x20 || c >= 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			putc(c, out);
	}
	putc('"', out);
}

/* Once for each request: what is noted is what is answered. */
static void read_mode(struct request *r)
{
	char path[4200];
	snprintf(path, sizeof path, "%s/mode", folder);
	r->mode[0] = '\0';
	FILE *file = strncmp(r->path, "/sink", 5) == 0 ? fopen(path, "r") : NULL;
	if (!file)
		return;
	if (!fgets(r->mode, sizeof r->mode, file))
		r->mode[0] = '\0';
	fclose(file);
	r->mode[strcspn(r->mode, "\n")] = '\0';
}

static void note(const struct connection *c, const struct request *r)
{
	char *line = NULL, path[4200];
	size_t len = 0;
	FILE *out = open_memstream(&line, &len);

	fprintf(out, "{\"connection\":%d,\"method\":\"%s\",\"path\":", c->number, r->method);
	append_json(out, r->path, strlen(r->path));
	fputs(",\"headers\":{", out);
	int first = 1;
	for (const char *at = r->headers; *at && *at != '\r';) {
		size_t all = strcspn(at, "\r\n"), name = strcspn(at, ":");
		if (name < all) {
			const char *value = at + name + 1;
			value += strspn(value, " ");
			if (!first)
				putc(',', out);
			first = 0;
			append_json(out, at, name);
			putc(':', out);
			append_json(out, value, (size_t)(at + all - value));
		}
		at += all + strspn(at + all, "\n") + 2;
	}
	fputs("},\"body\":", out);
	append_json(out, r->body, r->body_len);
	if (r->mode[0]) {
		fputs(",\"mode\":", out);
		append_json(out, r->mode, strlen(r->mode));
	}
	fputs("}\n", out);
	fclose(out);
	snprintf(path, sizeof path, "%s/requests", folder);
	pthread_mutex_lock(&lock);
	FILE *file = fopen(path, "a");
	if (file) {
		fwrite(line, 1, len, file);
		fclose(file);
	}
	pthread_mutex_unlock(&lock);
	free(line);
}

/* 0, or -1: the connection has ended. */
static int read_request(struct connection *c, struct request *r)
{
	char *end;

	while (c->head[c->held] = '\0', !(end = strstr(c->head, "\r\n\r\n"))) {
		if (c->held == HEAD_MAX)
			return -1;
		ssize_t n = take(c, c->head + c->held, HEAD_MAX - c->held);
		if (n <= 0)
			return -1;
		c->held += (size_t)n;
	}
	if (sscanf(c->head, "%31s %8191s", r->method, r->path) != 2)
		return -1;
	r->headers = strstr(c->head, "\r\n") + 2;
	size_t len, head = (size_t)(end + 4 - c->head);
	const char *length = header(r, "Content-Length", &len);
	r->body_len = length ? strtoul(length, NULL, 10) : 0;
	if (r->body_len > BODY_MAX)
		return -1;
	r->body = calloc(1, r->body_len + 1);
	size_t have = c->held - head < r->body_len ? c->held - head : r->body_len;
	memcpy(r->body, c->head + head, have);
	while (have < r->body_len) {
		ssize_t n = take(c, r->body + have, r->body_len - have);
		if (n <= 0) {
			free(r->body);
			return -1;
		}
		have += (size_t)n;
	}
	end[2] = '\0'; /* the headers end there; nothing is pipelined */
	c->held = 0;
	return 0;
}

/* The value of `name` in the query, decoded; "" when it is not there. */
static const char *query(const struct request *r, const char *name, char *to, size_t size)
{
	const char *at = strchr(r->path, '?');
	size_t n = 0, len = strlen(name);

	to[0] = '\0';
	for (; at; at = strchr(at, '&')) {
		at++;
		if (strncmp(at, name, len) != 0 || at[len] != '=')
			continue;
		for (at += len + 1; *at && *at != '&' && n + 1 < size; at++) {
			unsigned code;
			if (*at == '%' && sscanf(at + 1, "%2x", &code) == 1) {
				to[n++] = (char)code;
				at += 2;
			} else {
				to[n++] = *at;
			}
		}
		to[n] = '\0';
		return to;
	}
	return to;
}

static long number(const struct request *r, const char *name, long otherwise)
{
	char text[64];
	query(r, name, text, sizeof text);
	return text[0] ? strtol(text, NULL, 10) : otherwise;
}

/* ---- answers ---- */

static int answer(struct connection *c, int status, const char *more, const char *body, size_t len)
{
	char head[9000];
	int n = snprintf(head, sizeof head, "HTTP/1.1 %d Status\r\nContent-Length: %zu\r\nServer: httpd\r\n%s\r\n", status, len, more);
	return put(c, head, (size_t)n) || put(c, body, len) ? -1 : 0;
}

static int answer_text(struct connection *c, int status, const char *more, const char *body)
{
	return answer(c, status, more, body, strlen(body));
}

static int answer_bytes(struct connection *c, long n)
{
	char *bytes = malloc((size_t)n + 1);
	memset(bytes, 'x', (size_t)n);
	int rc = answer(c, 200, "", bytes, (size_t)n);
	free(bytes);
	return rc;
}

static int answer_endless(struct connection *c)
{
	static const char chunk[] = "1000\r\n";
	char bytes[4096];
	memset(bytes, 'x', sizeof bytes);
	if (put_text(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
		return -1;
	while (put_text(c, chunk) == 0 && put(c, bytes, sizeof bytes) == 0 && put_text(c, "\r\n") == 0)
		continue;
	return -1;
}

static int answer_drip(struct connection *c, const struct request *r)
{
	char head[128];
	long n = number(r, "n", 10), ms = number(r, "ms", 100);
	snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %ld\r\n\r\n", n);
	if (put_text(c, head))
		return -1;
	for (; n > 0; n--) {
		pause_ms(ms);
		if (put_text(c, "x"))
			return -1;
	}
	return 0;
}

static int answer_headers(struct connection *c, long n)
{
	if (put_text(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"))
		return -1;
	for (; n > 0; n -= 100)
		if (put_text(c, "X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"))
			return -1;
	return put_text(c, "\r\n");
}

/* One header of so many bytes. */
static int answer_line(struct connection *c, long n)
{
	if (put_text(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Filler: "))
		return -1;
	for (; n > 0; n -= 10)
		if (put_text(c, "aaaaaaaaaa"))
			return -1;
	return put_text(c, "\r\n\r\n");
}

static int answer_file(struct connection *c, const struct request *r)
{
	char name[256], path[4600];
	snprintf(path, sizeof path, "%s/%s", folder, query(r, "name", name, sizeof name));
	FILE *file = fopen(path, "rb");
	if (!file)
		return answer_text(c, 404, "", "no such file");
	char *bytes = malloc(BODY_MAX);
	size_t len = fread(bytes, 1, BODY_MAX, file);
	fclose(file);
	int rc = answer(c, 200, "Content-Encoding: gzip\r\n", bytes, len);
	free(bytes);
	return rc;
}

static int answer_redirect(struct connection *c, const struct request *r)
{
	char to[2048], more[2100];
	snprintf(more, sizeof more, "Location: %s\r\n", query(r, "to", to, sizeof to));
	return answer_text(c, (int)number(r, "status", 302), more, "moved");
}

static int answer_sink(struct connection *c, const struct request *r)
{
	char more[256] = "";
	const char *word = strchr(r->mode, ' ');
	int status = r->mode[0] ? atoi(r->mode) : 200;

	if (strcmp(r->mode, "late") == 0)
		return -1;
	if (status == 400 && word)
		return answer_text(c, strstr(r->body, word + 1) ? 400 : 200, "", "");
	if (word)
		snprintf(more, sizeof more, "Retry-After: %.200s\r\n", word + 1);
	return answer_text(c, status, more, "");
}

static int is(const struct request *r, const char *path)
{
	size_t len = strlen(path);
	return strncmp(r->path, path, len) == 0 && (r->path[len] == '\0' || r->path[len] == '?' || path[len - 1] == '/');
}

/* 0: the connection goes on. */
static int serve(struct connection *c, const struct request *r)
{
	char text[128], more[128] = "";

	if (is(r, "/echo"))
		return answer(c, 200, "X-Echo: One\r\nx-echo: Two\r\n", r->body, r->body_len);
	if (is(r, "/json"))
		return answer_text(c, 200, "Content-Type: application/json\r\n", "{\"name\":\"Ann\",\"n\":1}");
	if (is(r, "/status/")) {
		if (number(r, "retry", 0) > 0)
			snprintf(more, sizeof more, "Retry-After: %ld\r\n", number(r, "retry", 0));
		snprintf(text, sizeof text, "status %d", atoi(r->path + 8));
		return answer_text(c, atoi(r->path + 8), more, text);
	}
	if (is(r, "/slow")) {
		pause_ms(number(r, "ms", 1000));
		return answer_text(c, 200, "", "slow");
	}
	if (is(r, "/drip"))
		return answer_drip(c, r);
	if (is(r, "/size"))
		return answer_bytes(c, number(r, "n", 10));
	if (is(r, "/endless"))
		return answer_endless(c);
	if (is(r, "/short"))
		return put_text(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789"), -1;
	if (is(r, "/long"))
		return put_text(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n01234567890123456789012345678901234567890123456789"), 0;
	if (is(r, "/close"))
		return -1;
	if (is(r, "/garbage"))
		return put_text(c, "SSH-2.0-OpenSSH_9.2\r\n\r\n"), -1;
	if (is(r, "/once"))
		return c->requests > 1 ? -1 : answer_text(c, 200, "", "once");
	if (is(r, "/headers"))
		return answer_headers(c, number(r, "n", 1000));
	if (is(r, "/line"))
		return answer_line(c, number(r, "n", 1000));
	if (is(r, "/file"))
		return answer_file(c, r);
	if (is(r, "/redirect"))
		return answer_redirect(c, r);
	if (is(r, "/sink"))
		return answer_sink(c, r);
	return answer_text(c, 404, "", "no such path");
}

static void *run(void *arg)
{
	struct connection *c = arg;
	struct request r = { .mode = "" };

	c->head = malloc(HEAD_MAX + 1);
	if (tls) {
		c->ssl = SSL_new(tls);
		SSL_set_fd(c->ssl, c->fd);
	}
	if (!c->ssl || SSL_accept(c->ssl) == 1) {
		int over = 0;
		while (!over && read_request(c, &r) == 0) {
			c->requests++;
			read_mode(&r);
			note(c, &r);
			over = serve(c, &r) != 0;
			free(r.body);
		}
		if (c->ssl)
			SSL_shutdown(c->ssl);
	}
	SSL_free(c->ssl);
	close(c->fd);
	free(c->head);
	free(c);
	return NULL;
}

static void use_tls(const char *pem, const char *ca)
{
	tls = SSL_CTX_new(TLS_server_method());
	if (SSL_CTX_use_certificate_chain_file(tls, pem) != 1 || SSL_CTX_use_PrivateKey_file(tls, pem, SSL_FILETYPE_PEM) != 1) {
		fprintf(stderr, "httpd: %s cannot be used\n", pem);
		exit(1);
	}
	if (!ca)
		return;
	SSL_CTX_load_verify_locations(tls, ca, NULL);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

int main(int argc, char **argv)
{
	const char *pem = NULL, *ca = NULL, *address = "127.0.0.1";
	struct sockaddr_in own = { .sin_family = AF_INET };
	socklen_t size = sizeof own;
	int yes = 1, i;

	for (i = 1; i + 1 < argc && argv[i][0] == '-'; i += 2) {
		if (strcmp(argv[i], "--tls") == 0)
			pem = argv[i + 1];
		else if (strcmp(argv[i], "--ca") == 0)
			ca = argv[i + 1];
		else if (strcmp(argv[i], "--address") == 0)
			address = argv[i + 1];
		else if (strcmp(argv[i], "--port") == 0)
			own.sin_port = htons((uint16_t)atoi(argv[i + 1]));
	}
	if (i + 1 != argc || inet_pton(AF_INET, address, &own.sin_addr) != 1) {
		fprintf(stderr, "usage: httpd [--tls PEM] [--ca PEM] [--address IP] [--port N] FOLDER\n");
		return 2;
	}
	folder = argv[i];
	signal(SIGPIPE, SIG_IGN);
	if (pem)
		use_tls(pem, ca);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (fd == -1 || bind(fd, (const struct sockaddr *)&own, sizeof own) == -1 || listen(fd, 128) == -1) {
		perror(address);
		return 1;
	}
	getsockname(fd, (struct sockaddr *)&own, &size);
	printf("listening on %s:%d\n", address, ntohs(own.sin_port));
	fflush(stdout);
	for (int n = 1;; n++) {
		pthread_t thread;
		struct connection *c = calloc(1, sizeof *c);
		c->fd = accept(fd, NULL, NULL);
		c->number = n;
		if (c->fd == -1 || pthread_create(&thread, NULL, run, c) != 0) {
			free(c);
			continue;
		}
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
		pthread_detach(thread);
	}
}
