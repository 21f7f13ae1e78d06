/* A byte stream to a server, or from a client that was accepted: TCP, with TLS on top where it is wanted. Non-blocking, driven by
 * the loop.
 *
 *   CLOSED -- stream_connect() --> CONNECTING -- connected() --> OPEN -- stream_start_tls() --> HANDSHAKE -- secured() --> OPEN
 *     ^                                |                          |                                 |
 *     +--------------------------------+--- failed(), a read or write that says -1, stream_close() -+
 *
 * A client's begins OPEN, with stream_accept(); stream_serve_tls() stands for stream_start_tls() there.
 * One object serves one connection after the other. It buffers nothing of its own: what may wait is its user's to bound.
 * The process must ignore SIGPIPE.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <ev.h>
#include <sys/types.h>

#include "net/address.h"
#include "net/tls.h"

struct stream;

enum stream_failure {
	STREAM_REFUSED,
	STREAM_UNREACHABLE,
	STREAM_TIMEOUT, /* of the connect */
	STREAM_TLS,
	STREAM_RESET,
	STREAM_EOF,
	STREAM_SYSTEM,  /* this host's own trouble: no descriptors, no memory */
};

/* Each may close or destroy the stream; only one is called at a time, but for those that stream_poll() calls. */
struct stream_handler {
	void (*connected)(void *ctx); /* TCP is up, TCP_NODELAY and keepalive are set; nothing is read yet */
	void (*secured)(void *ctx);   /* the handshake is done, the certificate checked */
	void (*failed)(void *ctx, enum stream_failure why, const struct err *err); /* no address answered, or the handshake failed */
	void (*handshake)(void *ctx); /* its next step is stream_poll()'s to take, now or when this is called again; NULL: it is taken at once */
	void (*readable)(void *ctx);  /* after stream_start_read() */
	void (*writable)(void *ctx);  /* while stream_want_write() says so */
};

struct stream *stream_create(struct ev_loop *loop, const struct stream_handler *handler, void *ctx);
void stream_destroy(struct stream **stream);
/* That of its watchers in the loop, 0 at first: in a turn, those of a higher one are called before those of a lower one. While CLOSED. */
void stream_set_priority(struct stream *stream, int priority);

/* Tries the addresses (copied) in turn, until one takes the connection or `timeout` seconds are over: each try gets an
 * even share of the time that is left, so a silent address does not use up that of the next. May call connected() or
 * failed() before it returns. */
void stream_connect(struct stream *stream, const struct address *addresses, size_t count, double timeout);
/* From OPEN, before anything was read or written. `name` as in tls_session(). The deadline is the caller's. May call
 * failed() before it returns. */
void stream_start_tls(struct stream *stream, struct tls *tls, const char *name);
/* Takes over `fd`, the connected, non-blocking socket of a client at `peer` (copied): from CLOSED to OPEN. */
void stream_accept(struct stream *stream, int fd, const struct address *peer);
/* The server's side of stream_start_tls(), with a `tls` of tls_options.server. The client speaks first. */
void stream_serve_tls(struct stream *stream, struct tls *tls);
/* Does at once what the socket is ready for while connecting or in the handshake: for deadlines that are due, and for who paces
 * handshakes. */
void stream_poll(struct stream *stream);
void stream_start_read(struct stream *stream);
/* readable() is not called until stream_start_read(). */
void stream_stop_read(struct stream *stream);
void stream_want_write(struct stream *stream, bool wanted);

/* Bytes read (> 0), perhaps fewer than there are: readable() comes again; 0: nothing now; -1: the connection is over, `*why` and `err` say
 * how. */
ssize_t stream_read(struct stream *stream, char *to, size_t space, enum stream_failure *why, struct err *err);
/* Bytes taken (> 0); 0: none now, ask for writable(); -1 as above. With TLS, bytes of a call that returned 0 may have left
 * already. */
ssize_t stream_write(struct stream *stream, struct slice bytes, enum stream_failure *why, struct err *err);

/* Nothing more is written; the peer reads the end, and may still send. */
void stream_finish(struct stream *stream);
/* What the kernel may hold that the peer has not taken, about; without it, it decides by itself. */
void stream_limit_unsent(struct stream *stream, int bytes);
/* Ends the connection at once; what was not taken is gone. */
void stream_close(struct stream *stream);
bool stream_is_tls(const struct stream *stream);
/* As tls_certificate_end(); 0 without TLS. */
double stream_certificate_end(const struct stream *stream);
/* The address that is connected or being tried; NULL when closed. */
const struct address *stream_peer(const struct stream *stream);

#endif
