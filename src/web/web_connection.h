/* One client's connection: reads its requests one after the other, and sends the answers.
 *
 *   TLS --> READING --> HANDLING --> WRITING --> READING …   (keep-alive)
 *                           |            |
 *                           |            +-----> LINGERING --> gone   (the last answer: until the client closes, or LINGER s)
 *                           +--> STREAMING ------------------> gone
 *
 * Whatever fails, is too slow or too large ends it from any state. Bounds are the listener's (web_listener.h). Its owner is the
 * listener's list. */
#ifndef WEB_WEB_CONNECTION_H
#define WEB_WEB_CONNECTION_H

#include "base/list.h"
#include "net/stream.h"
#include "web/web_reader.h"

struct web_listener;

enum web_state { WEB_TLS, WEB_READING, WEB_HANDLING, WEB_WRITING, WEB_STREAMING, WEB_LINGERING };

struct web_connection {
	struct list node;
	struct web_listener *listener;
	struct stream *stream; /* owned */
	struct address peer;   /* the stream forgets it when it fails */
	enum web_state state;
	struct web_reader reader;
	struct buf extra;      /* lines of the next answer's head, each with its end */
	struct buf in, out;    /* came early, behind the request; waits to be sent */
	bool keep_alive;       /* after this answer */
	bool head_only;        /* HEAD: the body is left out */
	bool served;           /* an answer was sent: it may be idle now */
	bool gone;             /* freed at the end of the callback that is under way */
	unsigned busy;         /* callbacks under way */
	uint64_t since;        /* monotonic ns: accepted */
	uint64_t deadline;     /* of the state; UINT64_MAX: none */
	ev_timer again;        /* something is to be done without the socket */
	/* Set by who answers later or streams: called once when the connection goes before that. */
	void (*cancel)(void *work);
	/* A stream's: all that it gave was sent. */
	void (*drained)(void *work);
	void *work;
};

struct web_answer {
	unsigned status;
	const char *type;    /* Content-Type; NULL: there is no body */
	struct slice body;
	struct slice headers; /* more lines, each with its end */
	bool close;          /* the connection ends with it */
};

/* Takes over `fd`. */
void web_connection_create(struct web_listener *listener, int fd, const struct address *peer);
/* Ends it now; cancel() is called. Inside of its own callbacks it is freed a little later. */
void web_connection_end(struct web_connection *c);
/* Exactly one for each request, from inside the handler or later. The connection may be gone when this returns. */
void web_connection_answer(struct web_connection *c, const struct web_answer *answer);
/* Instead of an answer: a head, and a body that lasts until the connection ends. False as below. */
bool web_connection_stream(struct web_connection *c, const char *type, struct slice headers);
/* Adds to a stream; nothing of `bytes` is kept when all was sent at once. False: the connection is gone, cancel() was called. */
bool web_connection_send(struct web_connection *c, struct slice bytes);
/* Bytes of a stream wait: drained() comes. */
bool web_connection_is_full(const struct web_connection *c);
/* The client's address; behind a proxy the proxy's. */
const struct address *web_connection_peer(const struct web_connection *c);
/* "OK", "Not Found" */
const char *web_connection_status(unsigned status);

#endif
