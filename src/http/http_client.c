#include "http/http_client.h"

#include <stdlib.h>

#include "base/mem.h"
#include "http/http_internal.h"

struct http_client *http_client_create(struct ev_loop *loop, struct metrics *metrics, struct err *err)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		err_set(err, ERR_SYSTEM, "libcurl cannot start");
		return NULL;
	}
	struct resolver *resolver = resolver_create(loop, err);
	if (!resolver) {
		curl_global_cleanup();
		return NULL;
	}
	struct http_client *c = mem_zalloc(sizeof *c);
	c->loop = loop;
	c->metrics = metrics;
	c->resolver = resolver;
	map_init(&c->hosts, false);
	list_init(&c->pools);
	list_init(&c->exchanges);
	list_init(&c->waiting);
	http_metrics_open(c);
	return c;
}

void http_client_destroy(struct http_client **client)
{
	struct http_client *c = *client;

	*client = NULL;
	if (!c)
		return;
	c->destroying = true;
	while (!list_empty(&c->exchanges))
		http_exchange_finish(list_entry(c->exchanges.next, struct http_exchange, in_client), http_response_failed(ERR_CANCELLED, "the engine stops"));
	http_pools_close(c);
	http_hosts_close(c);
	resolver_destroy(&c->resolver);
	tls_release(&c->tls);
	curl_global_cleanup();
	free(c);
}

void http_client_configure(struct http_client *c, const struct http_client_settings *settings, struct tls *tls)
{
	c->settings = *settings;
	http_pools_retire(c);
	tls_release(&c->tls);
	c->tls = tls;
}
