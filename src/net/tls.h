/* TLS by OpenSSL: what a client is configured with, one session's handshake, and errors in an operator's words. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/slice.h"

struct tls_options {
	bool verify;            /* the certificate and the name in it */
	const char *ca;         /* PEM file of trusted authorities; NULL: the system's */
	const char *cert, *key; /* PEM files of the own certificate, with what is between it and an authority; NULL: none */
	bool server;            /* for tls_serve(), whose clients show no certificate: `verify` and `ca` mean nothing */
};

/* What sessions with the same options share: a set of trusted authorities takes a megabyte and 50 ms to read. */
struct tls;
struct tls_pool;

struct tls_pool *tls_pool_create(void);
/* Everything it gave must have been released. */
void tls_pool_destroy(struct tls_pool **pool);
/* One with these options: TLS 1.2 and up. It is the one that somebody has already, unless a file has changed since it was read.
 * Reads files, so it may block: at start-up or on the loader's thread only, one thread at a time. NULL with `err`. */
struct tls *tls_get(struct tls_pool *pool, const struct tls_options *options, struct err *err);
/* From any thread; never blocks. The pool frees what nobody has any more in its next tls_get(). */
void tls_release(struct tls **tls);

/* One more user of it, to be released too. */
struct tls *tls_hold(struct tls *tls);
/* Gives the trusted authorities and the client's certificate to a context that another library has made: 0, or -1. */
int tls_lend(const struct tls *tls, SSL_CTX *to);

/* A client session on the connected socket `fd`, handshake not begun. `name` is asked for and, with verify, must stand in
 * the certificate; an IP literal is checked as an address. NULL with `err`. */
SSL *tls_session(struct tls *tls, int fd, const char *name, struct err *err);
/* A server's session on the accepted socket `fd`, handshake not begun. NULL with `err`. */
SSL *tls_serve(struct tls *tls, int fd, struct err *err);
/* Says in `err` why a call on `ssl` that returned `result` failed, with OpenSSL's name of it; empties the error queue. `name`: of the
 * server, for errors of a client session.
 * True when the peer just went away (`err` is ERR_SYSTEM then, else ERR_PROTOCOL). */
bool tls_failed(SSL *ssl, int result, const char *name, struct err *err);

/* When the peer's certificate expires, epoch seconds; 0: it has shown none. */
double tls_certificate_end(SSL *ssl);

#endif
