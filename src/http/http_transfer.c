/* One transfer: libcurl's handle for one hop of a request, what it may do, and what its end means. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/version.h"
#include "http/http_internal.h"

/* ---- limits on what comes ---- */

static int overflow(struct http_exchange *x)
{
	return err_set(&x->failure, ERR_OVERFLOW, "the answer is larger than %zu bytes (http_client.response_bytes)", x->client->settings.response_bytes);
}

/* Counts bytes of the answer. -1: they are too many, for this request or for all. */
static int hold(struct http_exchange *x, size_t bytes)
{
	struct http_client *c = x->client;

	if (http_response_size(x->response) - sizeof *x->response + bytes > c->settings.response_bytes)
		return overflow(x);
	if (c->held + bytes > c->settings.queued_bytes)
		return err_set(&x->failure, ERR_OVERFLOW, "the client holds too many bytes of requests and answers (http_client.queued_bytes)");
	c->held += bytes;
	x->held += bytes;
	return 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct http_exchange *x = arg;
	size_t len = size * count;

	x->body_began = true;
	if (hold(x, len))
		return 0;
	if (buf_append(&x->response->body, slice_make(bytes, len))) {
		err_set(&x->failure, ERR_OVERFLOW, "the system has no memory for the answer");
		return 0;
	}
	return len;
}

/* Without the blanks around it and the line's end. */
static struct slice field(const char *from, const char *to)
{
	while (from < to && (*from == ' ' || *from == '\t'))
		from++;
	while (to > from && (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\r' || to[-1] == '\n'))
		to--;
	return slice_make(from, (size_t)(to - from));
}

static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
	struct http_exchange *x = arg;
	struct slice line = slice_make(bytes, size * count);
	const char *colon = memchr(line.ptr, ':', line.len);

	if (x->body_began)
		return line.len; /* a trailer */
	if (slice_starts_with(line, SLICE("HTTP/"))) { /* of a final answer after "100 Continue" */
		buf_clear(&x->response->headers.text);
		x->response->headers.count = 0;
		return line.len;
	}
	if (!colon)
		return line.len;
	struct slice name = field(line.ptr, colon), value = field(colon + 1, line.ptr + line.len);
	if (hold(x, line.len))
		return 0;
	return http_headers_add(&x->response->headers, name, value) ? 0 : line.len;
}

/* ---- addresses ---- */

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_exchange *x = arg;
	struct address at;

	(void)purpose;
	if (!address_from(&address->addr, 0, &at))
		return CURL_SOCKET_BAD;
	at.in.sin_port = ((const struct sockaddr_in *)(const void *)&address->addr)->sin_port; /* at the same place in both families */
	if (http_access_check_address(x->access, &at, &x->failure))
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
}

/* Before the request goes out, on a new connection or on one that was used before. */
static int before_sending(void *arg, char *remote, char *local, int remote_port, int local_port)
{
	struct http_exchange *x = arg;
	struct address at;

	(void)local, (void)local_port;
	if (!address_literal(remote, (uint16_t)remote_port, &at)) {
		err_set(&x->failure, ERR_DENIED, "the address of the connection is not known");
		return CURL_PREREQFUNC_ABORT;
	}
	if (http_access_check_address(x->access, &at, &x->failure))
		return CURL_PREREQFUNC_ABORT;
	/* libcurl sends a request again when the connection that it was sent on ends without an answer. */
	if (x->sends++ > 0 && !http_method_is_idempotent(x->request.method)) {
		err_set(&x->failure, ERR_LOST, "the connection ended before an answer came: what became of the request is not known");
		return CURL_PREREQFUNC_ABORT;
	}
	return CURL_PREREQFUNC_OK;
}

/* The name was resolved by us: libcurl asks nobody. */
static int no_look_up(void *resolver, void *reserved, void *arg)
{
	(void)resolver, (void)reserved, (void)arg;
	return 1;
}

static CURLcode lend_tls(CURL *easy, void *context, void *arg)
{
	const struct http_exchange *x = arg;
	(void)easy;
	return x->pool && x->pool->tls && tls_lend(x->pool->tls, context) == 0 ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
}

/* ---- making it ---- */

static int add_line(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);
	if (!longer)
		return -1;
	*list = longer;
	return 0;
}

static int make_headers(struct http_exchange *x)
{
	struct slice name, value;
	int rc = 0;

	for (size_t i = 0; rc == 0 && http_headers_next(&x->request.headers, &i, &name, &value);) {
		/* An empty one is written with a semicolon for libcurl. */
		char *line = mem_printf("%.*s%s%.*s", SLICE_ARG(name), value.len > 0 ? ": " : ";", SLICE_ARG(value));
		rc = add_line(&x->headers, line);
		free(line);
	}
	/* No wait for "100 Continue", and no Content-Type that nobody gave. */
	if (rc == 0)
		rc = add_line(&x->headers, "Expect:");
	if (rc == 0 && !http_headers_get(&x->request.headers, SLICE("Content-Type"), &value))
		rc = add_line(&x->headers, "Content-Type:");
	return rc;
}

/* Those that the access lets through; -1: none of them. */
static int pin_addresses(struct http_exchange *x, struct err *err)
{
	struct buf line;
	size_t good = 0;
	char text[ADDRESS_TEXT_MAX];

	buf_init(&line, 0);
	buf_printf(&line, "%s:%u:", x->url.host, x->url.port);
	for (size_t i = 0; i < x->count; i++) {
		if (http_access_check_address(x->access, &x->addresses[i], err))
			continue;
		bool six = x->addresses[i].any.sa_family == AF_INET6;
		address_text(&x->addresses[i], text);
		buf_printf(&line, "%s%s%s%s", good++ > 0 ? "," : "", six ? "[" : "", text, six ? "]" : "");
	}
	int rc = good > 0 ? 0 : -1;
	if (rc == 0 && !x->url.literal && add_line(&x->pinned, buf_cstr(&line)))
		rc = err_set(err, ERR_BACKPRESSURE, "no memory left for a request");
	buf_close(&line);
	return rc;
}

static void set_method(struct http_exchange *x)
{
	const char *method = x->request.method;
	bool body = x->request.has_body;
	CURL *easy = x->easy;

	if (strcmp(method, "HEAD") == 0) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (body || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0) {
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)buf_len(&x->request.body));
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, buf_slice(&x->request.body).ptr);
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

static void set_rest(struct http_exchange *x)
{
	const struct http_client_settings *s = &x->client->settings;
	CURL *easy = x->easy;

	curl_easy_setopt(easy, CURLOPT_URL, x->url.text);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->error);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* none, whatever the environment says */
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "hookswitch/" HOOKSWITCH_VERSION);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->headers);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(s->connect * 1000));
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)s->response_bytes);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, x);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_sending);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, x);
	if (!x->url.literal) {
		curl_easy_setopt(easy, CURLOPT_RESOLVE, x->pinned);
		curl_easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, no_look_up);
	}
	/* Verified against what net/tls has read on the loader's thread: libcurl opens no file. */
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, lend_tls);
	curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, x);
}

int http_transfer_make(struct http_exchange *x, struct err *err)
{
	if (x->url.https && !x->client->tls)
		return err_set(err, ERR_TLS, "no trusted authorities were read");
	if (pin_addresses(x, err))
		return -1;
	x->easy = curl_easy_init();
	x->response = http_response_create();
	x->body_began = false;
	x->sends = 0;
	x->error[0] = '\0';
	if (!x->easy || make_headers(x))
		return err_set(err, ERR_BACKPRESSURE, "no memory left for a request");
	set_method(x);
	set_rest(x);
	return 0;
}

/* ---- its end ---- */

static enum err_code meaning(CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return ERR_RESOLVE;
	case CURLE_COULDNT_CONNECT:
		return ERR_REFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return ERR_TIMEOUT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_SSL_CLIENTCERT:
		return ERR_TLS;
	case CURLE_FILESIZE_EXCEEDED:
		return ERR_OVERFLOW;
	case CURLE_URL_MALFORMAT:
		return ERR_INVALID;
	case CURLE_OUT_OF_MEMORY:
		return ERR_BACKPRESSURE;
	default:
		return ERR_LOST; /* it was sent, and no whole answer came, or one that is no HTTP */
	}
}

struct http_response *http_transfer_take(struct http_exchange *x, CURLcode code)
{
	struct http_response *r = x->response;
	long status = 0;

	x->response = NULL;
	curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	r->status = (unsigned)status;
	if (code == CURLE_OK) {
		r->url = mem_strdup(x->url.text);
	} else if (x->failure.code != ERR_NONE) {
		r->err = x->failure;
	} else if (code == CURLE_OUT_OF_MEMORY && x->sends > 0 && !x->body_began) {
		/* What libcurl says of a line of more than 100 KiB too. */
		err_set(&r->err, ERR_OVERFLOW, "a line in the head of the answer is too long, or the system has no memory left");
	} else if (code == CURLE_FILESIZE_EXCEEDED) {
		overflow(x);
		r->err = x->failure;
	} else {
		err_set(&r->err, meaning(code), "%s", x->error[0] ? x->error : curl_easy_strerror(code));
	}
	http_transfer_close(x);
	return r;
}

void http_transfer_close(struct http_exchange *x)
{
	if (x->pool)
		http_pool_remove(x->pool, x);
	if (x->easy)
		curl_easy_cleanup(x->easy);
	curl_slist_free_all(x->headers);
	curl_slist_free_all(x->pinned);
	http_response_free(&x->response);
	x->easy = NULL;
	x->headers = x->pinned = NULL;
}
