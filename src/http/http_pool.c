/* libcurl's multi handles on libev: which sockets it wants to hear of, and when. */
#include <stdlib.h>

#include "base/mem.h"
#include "http/http_internal.h"

#define IDLE_SECONDS 60.0
#define IDLE_CONNECTIONS 32L

struct pool_socket {
	struct list node;
	struct http_pool *pool;
	ev_io io;
};

/* ---- life ---- */

static void pool_free(struct http_pool *pool)
{
	struct ev_loop *loop = pool->client->loop;

	list_remove(&pool->in_client);
	curl_multi_cleanup(pool->multi); /* closes its connections, of which none is in use */
	ev_timer_stop(loop, &pool->timer);
	ev_timer_stop(loop, &pool->idle);
	list_each_safe(it, &pool->sockets) {
		struct pool_socket *socket = list_entry(it, struct pool_socket, node);
		ev_io_stop(loop, &socket->io);
		free(socket);
	}
	tls_release(&pool->tls);
	free(pool->key);
	free(pool);
}

/* Unless libcurl is on the stack: then whoever called it does it. */
static void settle(struct http_pool *pool)
{
	if (pool->busy || pool->requests > 0)
		return;
	if (!pool->key) {
		pool_free(pool);
		return;
	}
	if (!ev_is_active(&pool->idle)) {
		ev_timer_set(&pool->idle, IDLE_SECONDS, 0);
		ev_timer_start(pool->client->loop, &pool->idle);
	}
}

static void on_idle(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct http_pool *pool = timer->data;
	(void)loop, (void)events;
	if (pool->requests == 0)
		pool_free(pool);
}

/* ---- driving it ---- */

static void take_ends(struct http_pool *pool)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(pool->multi, &left))) {
		char *x = NULL;
		CURLcode code = message->data.result;
		if (message->msg == CURLMSG_DONE && curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &x) == CURLE_OK)
			http_exchange_ended((struct http_exchange *)(void *)x, code);
	}
}

static void act(struct http_pool *pool, curl_socket_t fd, int what)
{
	int running;
	pool->busy = true;
	curl_multi_socket_action(pool->multi, fd, what, &running);
	take_ends(pool);
	pool->busy = false;
	settle(pool);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)events;
	act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static void on_socket(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	/* `io` may be gone afterwards. */
	act(((struct pool_socket *)io->data)->pool, io->fd, (events & EV_READ ? CURL_CSELECT_IN : 0) | (events & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
	struct http_pool *pool = arg;
	(void)multi;
	ev_timer_stop(pool->client->loop, &pool->timer);
	if (ms < 0)
		return 0;
	ev_now_update(pool->client->loop); /* a long turn may lie behind us */
	ev_timer_set(&pool->timer, (double)ms / 1000, 0);
	ev_timer_start(pool->client->loop, &pool->timer);
	return 0;
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned)
{
	struct http_pool *pool = arg;
	struct pool_socket *socket = assigned;
	struct ev_loop *loop = pool->client->loop;

	(void)easy;
	if (socket)
		ev_io_stop(loop, &socket->io);
	if (what == CURL_POLL_REMOVE) {
		if (socket)
			list_remove(&socket->node);
		free(socket);
		curl_multi_assign(pool->multi, fd, NULL);
		return 0;
	}
	if (!socket) {
		socket = mem_zalloc(sizeof *socket);
		socket->pool = pool;
		ev_init(&socket->io, on_socket);
		socket->io.data = socket;
		list_append(&pool->sockets, &socket->node);
		curl_multi_assign(pool->multi, fd, socket);
	}
	ev_io_set(&socket->io, fd, (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0));
	ev_io_start(loop, &socket->io);
	return 0;
}

/* ---- the pools ---- */

static struct http_pool *pool_create(struct http_client *c, struct slice key)
{
	CURLM *multi = curl_multi_init();
	if (!multi)
		return NULL;
	struct http_pool *pool = mem_zalloc(sizeof *pool);
	pool->client = c;
	pool->multi = multi;
	pool->key = mem_slicedup(key);
	pool->key_len = key.len;
	pool->tls = c->tls ? tls_hold(c->tls) : NULL;
	list_init(&pool->sockets);
	ev_timer_init(&pool->timer, on_timer, 0, 0);
	ev_timer_init(&pool->idle, on_idle, 0, 0);
	pool->timer.data = pool->idle.data = pool;
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, pool);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(multi, CURLMOPT_TIMERDATA, pool);
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS);
	list_append(&c->pools, &pool->in_client);
	return pool;
}

struct http_pool *http_pool_get(struct http_client *c, struct http_access *access)
{
	struct slice key = http_access_key(access);

	list_each(it, &c->pools) {
		struct http_pool *pool = list_entry(it, struct http_pool, in_client);
		if (pool->key && slice_eq(slice_make(pool->key, pool->key_len), key))
			return pool;
	}
	return pool_create(c, key);
}

int http_pool_add(struct http_pool *pool, struct http_exchange *x)
{
	if (curl_multi_add_handle(pool->multi, x->easy) != CURLM_OK)
		return -1;
	ev_timer_stop(pool->client->loop, &pool->idle);
	pool->requests++;
	x->pool = pool;
	return 0;
}

void http_pool_remove(struct http_pool *pool, struct http_exchange *x)
{
	curl_multi_remove_handle(pool->multi, x->easy);
	x->pool = NULL;
	pool->requests--;
	settle(pool);
}

void http_pools_retire(struct http_client *c)
{
	list_each_safe(it, &c->pools) {
		struct http_pool *pool = list_entry(it, struct http_pool, in_client);
		free(pool->key);
		pool->key = NULL;
		settle(pool);
	}
}

void http_pools_close(struct http_client *c)
{
	list_each_safe(it, &c->pools)
		pool_free(list_entry(it, struct http_pool, in_client));
}
