/* Questions to name servers, by c-ares in the loop (P1): one set of settings, as resolv.conf had them. The hosts file is not asked. */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <ares.h>
#include <ev.h>

#include "base/err.h"

struct dns;

/* Reads resolv.conf, so it may block; on any thread. NULL with `err`. */
struct dns *dns_create(struct err *err);
/* Ends what is still asked for: each is answered, by an error. */
void dns_destroy(struct dns **dns);
/* Before the first question, on the loop's thread, as everything from here on. */
void dns_attach(struct dns *dns, struct ev_loop *loop);

/* As ares_addrinfo_callback: `result` is the callee's, by ares_freeaddrinfo(). */
typedef void dns_fn(void *ctx, int status, struct ares_addrinfo *result);
/* `fn` is called once, perhaps from inside this call. */
void dns_ask(struct dns *dns, const char *host, int family, dns_fn *fn, void *ctx);
/* Questions that have no answer yet. */
unsigned dns_open(const struct dns *dns);
/* Reads what its sockets hold already. */
void dns_read(struct dns *dns);

#endif
