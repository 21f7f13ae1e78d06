/* An address that listens, and the connections that came through it, bounded in number, bytes and time. */
#ifndef WEB_WEB_LISTENER_H
#define WEB_WEB_LISTENER_H

#include "observe/metrics.h"
#include "web/web_connection.h"
#include "web/web_turn.h"

/* Why a connection was ended by us. */
enum web_drop {
	WEB_DROP_CONNECTIONS, /* too many */
	WEB_DROP_DESCRIPTORS, /* no descriptor to spare */
	WEB_DROP_SLOW,        /* a request, an answer or a handshake took too long */
	WEB_DROP_MALFORMED,   /* what came is no request that could be trusted */
	WEB_DROP_TLS,         /* the handshake failed */
	WEB_DROPS
};
const char *web_drop_name(enum web_drop drop);

struct web_listener_options {
	const char *name;    /* "http" or "web": of the section of the configuration, static */
	const char *listen;  /* "127.0.0.1:8080" */
	struct tls *tls;     /* NULL: plain; the listener has its own reference */
	int64_t connections;
	size_t head;         /* bytes of a request's head */
	uint64_t body;
	double timeout;      /* seconds for a request to come, for an answer to be taken, between two requests */
	bool one_request;    /* no keep-alive, and `timeout` is for all of it */
	int descriptors;     /* a socket whose number is not below is closed: they belong to servers */
	/* A whole request: exactly one answer or stream follows, now or later. Slices stand until then. */
	void (*request)(void *ctx, struct web_connection *c, const struct web_request *request);
	void *ctx;
};

struct web_listener {
	struct web_listener_options options;
	struct ev_loop *loop;
	struct address address;
	int fd;
	ev_io accept_io;
	ev_timer accept_pause, sweep;
	struct list connections;
	int64_t count;
	struct web_turn handshakes, reading, streaming; /* reading: of requests */
	struct series *dropped[WEB_DROPS];
};

/* For the time before the loop runs. NULL with `err`. `dropped`: series of the drops, may hold NULLs. */
struct web_listener *web_listener_create(struct ev_loop *loop, const struct web_listener_options *options, struct err *err);
/* Ends every connection. */
void web_listener_destroy(struct web_listener **listener);
/* Counts and logs it; `why` may be NULL. */
void web_listener_dropped(struct web_listener *listener, enum web_drop drop, const struct address *peer, const char *why);

#endif
