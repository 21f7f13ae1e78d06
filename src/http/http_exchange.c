/* A request from its beginning to its end: look-up, transfer, redirects, deadline. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/http_internal.h"
#include "observe/log.h"

static void end_later(struct http_exchange *x)
{
	/* Never from inside http_client_start(). */
	ev_timer_stop(x->client->loop, &x->timer);
	ev_timer_set(&x->timer, 0, 0);
	ev_timer_start(x->client->loop, &x->timer);
}

static double time_left(const struct http_exchange *x)
{
	double used = (double)(clock_mono_ns() - x->began) / 1e9;
	return x->timeout - used > 0.001 ? x->timeout - used : 0.001;
}

/* ---- look-up and transfer ---- */

static void transfer(struct http_exchange *x)
{
	x->failure.code = ERR_NONE;
	if (http_transfer_make(x, &x->failure) == 0) {
		struct http_pool *pool = http_pool_get(x->client, x->access);
		x->failure.code = ERR_NONE; /* of an address that was left out */
		if (pool && http_pool_add(pool, x) == 0)
			return;
		err_set(&x->failure, ERR_BACKPRESSURE, "no memory left for a request");
	}
	end_later(x);
}

static void on_resolved(void *ctx, const struct address *addresses, size_t count, const struct err *err)
{
	struct http_exchange *x = ctx;

	x->resolve = NULL;
	http_host_keep_addresses(x->host, addresses, count);
	if (count == 0) {
		err_set(&x->failure, err->code == ERR_TIMEOUT ? ERR_TIMEOUT : ERR_RESOLVE, "%s", err->text);
		end_later(x);
		return;
	}
	memcpy(x->addresses, addresses, count * sizeof *addresses);
	x->count = count;
	transfer(x);
}

void http_exchange_run(struct http_exchange *x)
{
	struct http_host *host = x->host;

	if (x->url.literal) {
		x->addresses[0] = x->url.address;
		x->count = 1;
	} else if (host->fresh_until > clock_mono_ns()) {
		memcpy(x->addresses, host->addresses, sizeof x->addresses);
		x->count = host->count;
	} else {
		x->resolve = resolve_start(x->client->resolver, x->url.host, x->url.port, time_left(x), on_resolved, x);
		return;
	}
	transfer(x);
}

/* ---- redirects ---- */

static bool keeps_method(unsigned status)
{
	return status == 307 || status == 308;
}

/* What says who is asking, or belongs to the body, stays with the origin that it was meant for. */
static void keep_harmless(struct http_headers *headers, bool body)
{
	static const char *const harmless[] = { "Accept", "Accept-Language", "User-Agent", "Content-Type", NULL };
	struct http_headers kept = { .count = 0 };
	struct slice name, value;

	buf_init(&kept.text, 0);
	for (size_t i = 0; http_headers_next(headers, &i, &name, &value);)
		for (size_t k = 0; harmless[k]; k++)
			if (slice_eq_nocase(name, slice_cstr(harmless[k])) && (body || k < 3))
				http_headers_add(&kept, name, value);
	buf_close(&headers->text);
	*headers = kept;
}

static void change_to_get(struct http_request *request)
{
	struct http_headers kept = { .count = 0 };
	struct slice name, value;

	strcpy(request->method, "GET");
	request->has_body = false;
	buf_clear(&request->body);
	buf_init(&kept.text, 0);
	for (size_t i = 0; http_headers_next(&request->headers, &i, &name, &value);)
		if (!slice_starts_with_nocase(name, SLICE("Content-")))
			http_headers_add(&kept, name, value);
	buf_close(&request->headers.text);
	request->headers = kept;
}

/* Where the answer sends us, checked as the first URL was. 0: on the way there; 1: it is the last answer; -1 with `err`. */
static int redirect(struct http_exchange *x, const struct http_response *r, struct err *err)
{
	unsigned s = r->status;
	struct slice location;
	struct http_url next;
	struct err why;

	if (x->request.follow == 0 || !(s == 301 || s == 302 || s == 303 || keeps_method(s)) ||
	    !http_headers_get(&r->headers, SLICE("Location"), &location))
		return 1;
	if (x->hops++ >= x->request.follow)
		return err_set(err, ERR_INVALID, "more than %u redirects", x->request.follow);
	if (http_url_join(&x->url, location, &next, &why))
		return err_set(err, ERR_INVALID, "redirected: %s", why.text);
	if (http_access_check(x->access, &next, x->policy, &why)) {
		http_url_close(&next);
		return err_set(err, ERR_DENIED, "redirected: %s", why.text);
	}
	bool get = strcmp(x->request.method, "HEAD") != 0 && (s == 303 || (!keeps_method(s) && strcmp(x->request.method, "POST") == 0));
	if (get)
		change_to_get(&x->request);
	if (!http_url_same_origin(&x->url, &next))
		keep_harmless(&x->request.headers, x->request.has_body);
	http_url_close(&x->url);
	x->url = next;
	struct http_host *host = http_host_get(x->client, &next);
	if (!host)
		return err_set(err, ERR_BACKPRESSURE, "requests to more than %u hosts are under way", HTTP_HOSTS_MAX);
	http_host_leave(x);
	x->host = host;
	http_host_enter(x);
	return 0;
}

/* ---- the end ---- */

void http_exchange_ended(struct http_exchange *x, CURLcode code)
{
	struct http_response *r = http_transfer_take(x, code);
	struct err err;

	if (r->err.code == ERR_REFUSED || r->err.code == ERR_TIMEOUT)
		x->host->fresh_until = 0; /* it may have moved */
	int rc = r->err.code == ERR_NONE ? redirect(x, r, &err) : 1;
	if (rc == 0) {
		http_response_free(&r);
	} else if (rc < 0) {
		http_response_free(&r);
		r = http_response_failed(err.code, err.text);
	}
	if (rc != 0)
		http_exchange_finish(x, r);
}

static void report(const struct http_exchange *x, const struct http_response *r)
{
	struct buf shown;

	buf_init(&shown, 0);
	http_url_show(&shown, slice_cstr(x->url.text ? x->url.text : ""));
	const struct log_field user = F_TEXT(x->kind, x->user);
	if (r->err.code == ERR_NONE)
		log_write(LOG_DEBUG, "http request ended", user, F_TEXT("method", x->request.method), F_TEXT("url", buf_cstr(&shown)), F_INT("status", r->status),
		          F_NUMBER("seconds", (double)(clock_mono_ns() - x->began) / 1e9));
	else if (r->err.code != ERR_CANCELLED)
		log_write(LOG_WARN, "http request failed", user, F_TEXT("method", x->request.method), F_TEXT("url", buf_cstr(&shown)),
		          F_TEXT("reason", err_name(r->err.code)), F_TEXT("detail", r->err.text));
	buf_close(&shown);
}

void http_exchange_finish(struct http_exchange *x, struct http_response *r)
{
	struct http_client *c = x->client;

	http_host_count(x, r);
	report(x, r);
	ev_timer_stop(c->loop, &x->timer);
	resolve_cancel(&x->resolve);
	http_transfer_close(x);
	list_remove(&x->in_client);
	c->count--;
	c->held -= x->held;
	http_host_leave(x);
	x->done(x->ctx, r);
	http_access_unref(&x->access);
	http_request_close(&x->request);
	http_url_close(&x->url);
	free(x->kind);
	free(x->user);
	free(x->policy);
	free(x);
}

static void on_due(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct http_exchange *x = timer->data;
	(void)loop, (void)events;

	if (x->failure.code != ERR_NONE) {
		http_exchange_finish(x, http_response_failed(x->failure.code, x->failure.text));
		return;
	}
	if (!x->late) {
		/* A paused process loses nothing: what has come in is read once before the deadline counts. */
		x->late = true;
		end_later(x);
		return;
	}
	char text[128];
	snprintf(text, sizeof text, "no whole answer in %g s%s", x->timeout, x->running ? "" : " (it waited for a place all the time)");
	http_exchange_finish(x, http_response_failed(ERR_TIMEOUT, text));
}

/* ---- the client ---- */

static struct http_exchange *create(struct http_client *c, struct http_access *access, const struct http_user *user, const char *policy,
                                    const struct http_request *request)
{
	struct http_exchange *x = mem_zalloc(sizeof *x);
	struct slice name, value;

	x->client = c;
	x->access = http_access_ref(access);
	x->kind = mem_strdup(user->kind);
	x->user = mem_strdup(user->name);
	x->policy = mem_strdup(policy);
	x->timeout = request->timeout > 0 ? request->timeout : c->settings.timeout;
	x->began = clock_mono_ns();
	list_init(&x->in_host);
	list_init(&x->in_client);
	http_request_init(&x->request);
	memcpy(x->request.method, request->method, sizeof request->method);
	x->request.has_body = request->has_body;
	x->request.follow = request->follow;
	for (size_t i = 0; http_headers_next(&request->headers, &i, &name, &value);)
		http_headers_add(&x->request.headers, name, value);
	buf_append(&x->request.body, buf_slice(&request->body));
	ev_timer_init(&x->timer, on_due, 0, 0);
	x->timer.data = x;
	return x;
}

static int check(const struct http_client *c, const struct http_access *access, const char *policy, const struct http_request *request,
                 struct http_url *url, struct err *err)
{
	size_t size = http_request_size(request);

	if (http_request_check(request, err) || http_url_parse(buf_slice(&request->url), url, err))
		return -1;
	if (http_access_check(access, url, policy, err))
		return -1;
	if (url->literal && http_access_check_address(access, &url->address, err))
		return -1;
	if (size > c->settings.request_bytes)
		return err_set(err, ERR_OVERFLOW, "the request has %zu bytes; %zu are allowed (http_client.request_bytes)", size, c->settings.request_bytes);
	if (c->held + size > c->settings.queued_bytes)
		return err_set(err, ERR_BACKPRESSURE, "requests and answers of %zu bytes are held already (http_client.queued_bytes)", c->held);
	return 0;
}

int http_client_start(struct http_client *c, struct http_access *access, const struct http_user *user, const char *policy,
                      const struct http_request *request, http_done_fn *done, void *ctx, struct err *err)
{
	struct http_url url = { .port = 0 };
	struct http_host *host = NULL;

	int rc = check(c, access, policy, request, &url, err);
	if (rc == 0 && !(host = http_host_get(c, &url)))
		rc = err_set(err, ERR_BACKPRESSURE, "requests to %u hosts are under way", HTTP_HOSTS_MAX);
	if (rc) {
		http_url_close(&url);
		return -1;
	}
	struct http_exchange *x = create(c, access, user, policy, request);
	x->url = url;
	x->host = host;
	x->done = done;
	x->ctx = ctx;
	x->held = http_request_size(request);
	c->held += x->held;
	c->count++;
	list_append(&c->exchanges, &x->in_client);
	ev_now_update(c->loop);
	ev_timer_set(&x->timer, x->timeout, 0);
	ev_timer_start(c->loop, &x->timer);
	http_host_enter(x);
	return 0;
}
