/* Hosts: how many requests go to each at the same time, their addresses for a while, their figures. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/http_internal.h"

#define FRESH_NS (10 * CLOCK_NS_PER_S)
#define SERIES_MAX (HTTP_HOSTS_MAX * 16)

/* ---- metrics ---- */

static struct metric *add(struct http_client *c, enum metric_type type, const char *name, const char *help, const char *label, const char *second)
{
	const char *labels[] = { label, second };
	struct err err;
	struct metric *m = metrics_add(c->metrics, type, name, help, labels, label ? second ? 2 : 1 : 0, NULL, 0, SERIES_MAX, &err);
	if (!m)
		abort(); /* two parts of the engine use one name */
	return m;
}

static void collect(void *ctx)
{
	struct http_client *c = ctx;
	struct map_entry *e;

	for (size_t i = 0; (e = map_next(&c->hosts, &i));) {
		const struct http_host *host = e->value;
		struct slice name = slice_cstr(host->name);
		struct series *s = metric_series(c->m.in_flight, &name, 1);
		if (s)
			s->value = host->in_flight;
	}
	c->m.waiting->value = c->count - c->in_flight;
	c->m.held->value = (double)c->held;
}

void http_metrics_open(struct http_client *c)
{
	static const double bounds[] = { 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30 };
	const char *host = "host";
	struct err err;

	c->m.requests = add(c, METRIC_COUNTER, "hookswitch_http_client_requests_total", "Requests of the HTTP client that have ended: 2xx, 3xx, 4xx, 5xx, or why there was no answer.", host, "outcome");
	c->m.bytes = add(c, METRIC_COUNTER, "hookswitch_http_client_bytes_total", "Bytes of requests (out) and answers (in, unpacked), headers included.", host, "direction");
	c->m.in_flight = add(c, METRIC_GAUGE, "hookswitch_http_client_in_flight", "Requests under way.", host, NULL);
	c->m.waiting = metric_series(add(c, METRIC_GAUGE, "hookswitch_http_client_waiting", "Requests that wait for a place (http_client.in_flight, http_client.per_host).", NULL, NULL), NULL, 0);
	c->m.held = metric_series(add(c, METRIC_GAUGE, "hookswitch_http_client_held_bytes", "Bytes of requests and answers that the client holds.", NULL, NULL), NULL, 0);
	c->m.seconds = metrics_add(c->metrics, METRIC_HISTOGRAM, "hookswitch_http_client_seconds", "Time from a request's beginning to its end.", &host, 1, bounds,
	                           sizeof bounds / sizeof *bounds, SERIES_MAX, &err);
	if (!c->m.seconds)
		abort(); /* as in add() */
	metrics_on_collect(c->metrics, collect, c);
}

static struct series *direction(struct http_client *c, struct slice name, const char *word)
{
	const struct slice labels[] = { name, slice_cstr(word) };
	return metric_series(c->m.bytes, labels, 2);
}

void http_host_count(const struct http_exchange *x, const struct http_response *response)
{
	const struct http_host *host = x->host;
	char class[4] = "0xx";

	if (!host)
		return;
	class[0] = (char)('0' + response->status / 100 % 10);
	const struct slice labels[] = { slice_cstr(host->name), slice_cstr(response->err.code == ERR_NONE ? class : err_name(response->err.code)) };
	struct series *s = metric_series(x->client->m.requests, labels, 2);
	if (s)
		s->value++;
	if (host->seconds)
		series_observe(host->seconds, (double)(clock_mono_ns() - x->began) / 1e9);
	if (host->bytes_out)
		host->bytes_out->value += (double)http_request_size(&x->request);
	if (host->bytes_in)
		host->bytes_in->value += (double)(buf_len(&response->headers.text) + buf_len(&response->body));
}

/* ---- hosts ---- */

static void host_free(struct http_client *c, struct http_host *host)
{
	struct slice name = slice_cstr(host->name);
	struct metric *const families[] = { c->m.requests, c->m.bytes, c->m.in_flight, c->m.seconds };

	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		metric_remove_all(families[i], name);
	map_remove(&c->hosts, name);
	free(host->name);
	free(host);
}

/* Makes space for another one. False when all of them are in use. */
static bool drop_oldest(struct http_client *c)
{
	struct http_host *oldest = NULL;
	struct map_entry *e;

	for (size_t i = 0; (e = map_next(&c->hosts, &i));) {
		struct http_host *host = e->value;
		if (host->in_flight == 0 && host->waiting == 0 && (!oldest || host->used < oldest->used))
			oldest = host;
	}
	if (!oldest)
		return false;
	host_free(c, oldest);
	return true;
}

struct http_host *http_host_get(struct http_client *c, const struct http_url *url)
{
	char name[300];

	snprintf(name, sizeof name, "%s:%u", url->host, url->port);
	struct http_host *host = map_get(&c->hosts, slice_cstr(name));
	if (host)
		return host;
	if (c->hosts.count >= HTTP_HOSTS_MAX && !drop_oldest(c))
		return NULL;
	host = mem_zalloc(sizeof *host);
	host->name = mem_strdup(name);
	list_init(&host->running);
	struct slice label = slice_cstr(host->name);
	host->seconds = metric_series(c->m.seconds, &label, 1);
	host->bytes_in = direction(c, label, "in");
	host->bytes_out = direction(c, label, "out");
	map_set(&c->hosts, label, host);
	return host;
}

void http_hosts_close(struct http_client *c)
{
	struct map_entry *e;

	metrics_remove_collect(c->metrics, collect, c);
	for (size_t i = 0; (e = map_next(&c->hosts, &i));) {
		struct http_host *host = e->value;
		free(host->name);
		free(host);
	}
	map_close(&c->hosts);
}

void http_host_keep_addresses(struct http_host *host, const struct address *addresses, size_t count)
{
	if (count > 0)
		memcpy(host->addresses, addresses, count * sizeof *addresses);
	host->count = count;
	host->fresh_until = count > 0 ? clock_mono_ns() + FRESH_NS : 0;
}

/* ---- places ---- */

/* Of a host's places one user leaves a quarter to the others, so that its slow requests do not hold up theirs (P4). */
static bool has_share(const struct http_exchange *x)
{
	uint32_t most = x->client->settings.per_host, used = 0;

	if (most < 4)
		return true;
	list_each(it, &x->host->running) {
		const struct http_exchange *other = list_entry(it, struct http_exchange, in_host);
		used += strcmp(other->user, x->user) == 0 && strcmp(other->kind, x->kind) == 0;
	}
	return used < most - most / 4;
}

static bool may_run(const struct http_exchange *x)
{
	const struct http_client *c = x->client;
	return c->in_flight < c->settings.in_flight && x->host->in_flight < c->settings.per_host && has_share(x);
}

static void take_place(struct http_exchange *x)
{
	list_remove(&x->in_host);
	list_append(&x->host->running, &x->in_host);
	x->running = true;
	x->host->in_flight++;
	x->client->in_flight++;
	x->host->used = clock_mono_ns();
	http_exchange_run(x);
}

void http_host_enter(struct http_exchange *x)
{
	if (may_run(x)) {
		take_place(x);
		return;
	}
	x->host->waiting++;
	list_append(&x->client->waiting, &x->in_host);
}

void http_host_leave(struct http_exchange *x)
{
	struct http_client *c = x->client;

	list_remove(&x->in_host);
	if (!x->running) {
		x->host->waiting--;
		return;
	}
	x->running = false;
	x->host->in_flight--;
	c->in_flight--;
	list_each_safe(it, &c->waiting) {
		struct http_exchange *next = list_entry(it, struct http_exchange, in_host);
		if (c->in_flight >= c->settings.in_flight || c->destroying)
			break;
		if (!may_run(next))
			continue;
		next->host->waiting--;
		take_place(next);
	}
}
