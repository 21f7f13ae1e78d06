/* Host names to addresses: the hosts file first, then name servers.
 *
 * One resolver for each loop. /etc/hosts and /etc/resolv.conf are read on a thread of its own (P1), which begins with the first
 * name: at each question the one, and the other when it has changed. Everything that waits is in the loop.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include <ev.h>

#include "base/err.h"
#include "net/address.h"

#define RESOLVE_ADDRESSES_MAX 16 /* more are left out */

struct resolver;
struct resolve; /* one question */

/* NULL with `err` when c-ares cannot start. */
struct resolver *resolver_create(struct ev_loop *loop, struct err *err);
/* Every question must have been answered or cancelled. */
void resolver_destroy(struct resolver **resolver);

/* The answer: all A and AAAA addresses in the order to try them, or none and `err`. The question is over: cancelling it
 * any more is a mistake. */
typedef void resolve_fn(void *ctx, const struct address *addresses, size_t count, const struct err *err);

/* Asks; `fn` is called once from the loop, never from inside this call. An IP literal is answered without DNS. Without an
 * answer in half of `timeout` seconds it asks for IPv4 alone, too, without one in all of them it fails; before both, what has
 * already come in is read (a paused process loses nothing). */
struct resolve *resolve_start(struct resolver *resolver, const char *host, uint16_t port, double timeout, resolve_fn *fn,
                              void *ctx);
/* `fn` will not be called. */
void resolve_cancel(struct resolve **resolve);

#endif
