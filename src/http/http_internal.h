/* What the files of the client share. */
#ifndef HTTP_HTTP_INTERNAL_H
#define HTTP_HTTP_INTERNAL_H

#include <curl/curl.h>

#include "base/list.h"
#include "base/map.h"
#include "http/http_client.h"
#include "net/resolve.h"

#define HTTP_HOSTS_MAX 1000u

/* A host and port that requests go to. */
struct http_host {
	struct list running;  /* struct http_exchange.in_host */
	uint32_t in_flight, waiting;
	char *name;           /* "crm.example.net:443"; owned */
	struct address addresses[RESOLVE_ADDRESSES_MAX]; /* as they were resolved last */
	size_t count;
	uint64_t fresh_until; /* monotonic ns */
	uint64_t used;        /* when a request last began */
	struct series *seconds, *bytes_in, *bytes_out;
};

/* Connections of all users with the same access: one multi handle. */
struct http_pool {
	struct list in_client;
	struct http_client *client;
	char *key;            /* owned; NULL: retired, it ends with its last request */
	size_t key_len;
	CURLM *multi;
	struct tls *tls;      /* held; NULL: none */
	ev_timer timer;       /* libcurl's */
	ev_timer idle;        /* it is destroyed when nothing was asked for so long */
	struct list sockets;  /* struct pool_socket */
	uint32_t requests;
	bool busy;            /* libcurl, or what it reports, is on the stack */
};

struct http_exchange {
	struct list in_client; /* client->exchanges */
	struct list in_host;   /* client->waiting, or its host's `running` */
	struct http_client *client;
	struct http_access *access; /* held */
	char *kind, *user, *policy; /* owned */
	http_done_fn *done;
	void *ctx;
	struct http_request request; /* as of this hop */
	struct http_url url;
	unsigned hops;
	double timeout;
	uint64_t began;
	ev_timer timer;        /* its deadline; at once when it has ended already */
	bool late;             /* the deadline is over: what has come in is read once more */
	struct http_host *host;
	bool running;          /* it has a place */
	struct resolve *resolve;
	struct address addresses[RESOLVE_ADDRESSES_MAX];
	size_t count;
	/* The transfer. */
	struct http_pool *pool;
	CURL *easy;            /* NULL: none under way */
	struct curl_slist *headers, *pinned;
	char error[CURL_ERROR_SIZE];
	struct http_response *response;
	bool body_began;
	unsigned sends;        /* how often libcurl was about to send it */
	struct err failure;    /* why the client ended it itself; code ERR_NONE: it did not */
	size_t held;           /* counted in client->held */
};

struct http_client {
	struct ev_loop *loop;
	struct metrics *metrics;
	struct resolver *resolver;
	struct http_client_settings settings;
	struct tls *tls;       /* NULL: none */
	struct map hosts;      /* name -> struct http_host */
	struct list pools;
	struct list exchanges; /* all */
	struct list waiting;   /* for a place; oldest first */
	uint32_t count, in_flight;
	size_t held;
	bool destroying;
	struct { struct metric *requests, *seconds, *bytes, *in_flight; struct series *waiting, *held; } m;
};

/* http_host.c */
/* NULL: there are too many, and none is idle. */
struct http_host *http_host_get(struct http_client *client, const struct http_url *url);
void http_hosts_close(struct http_client *client);
/* Gives it a place, or lets it wait for one. */
void http_host_enter(struct http_exchange *x);
/* Gives its place back; others may begin. */
void http_host_leave(struct http_exchange *x);
void http_host_keep_addresses(struct http_host *host, const struct address *addresses, size_t count);
void http_metrics_open(struct http_client *client);
/* Counts how a request has ended: "2xx" …, or the name of its error. */
void http_host_count(const struct http_exchange *x, const struct http_response *response);

/* http_pool.c */
/* That of the exchange's access. NULL: no memory for one. */
struct http_pool *http_pool_get(struct http_client *client, struct http_access *access);
/* -1: libcurl refused it. */
int http_pool_add(struct http_pool *pool, struct http_exchange *x);
void http_pool_remove(struct http_pool *pool, struct http_exchange *x);
/* New requests get new ones. */
void http_pools_retire(struct http_client *client);
void http_pools_close(struct http_client *client);

/* http_transfer.c */
/* Makes the easy handle of this hop. -1 with `err`. */
int http_transfer_make(struct http_exchange *x, struct err *err);
/* It has ended in this way: the hop's answer, or why there is none. Frees the handle. */
struct http_response *http_transfer_take(struct http_exchange *x, CURLcode code);
void http_transfer_close(struct http_exchange *x);

/* http_exchange.c */
/* It has a place: goes on to its look-up. */
void http_exchange_run(struct http_exchange *x);
/* Its transfer has ended. */
void http_exchange_ended(struct http_exchange *x, CURLcode code);
/* Ends it: reports the answer (taken over) and frees it. */
void http_exchange_finish(struct http_exchange *x, struct http_response *response);

#endif
