/* The hosts file: names that need no DNS. */
#ifndef NET_HOSTS_H
#define NET_HOSTS_H

#include "net/address.h"

/* The addresses that the file gives to `host` (case ignored, a dot at its end too), in its order; at most `max`, the number of
 * them. 0 also when the file cannot be read. Reads the file: not on the loop's thread (P1). */
size_t hosts_find(const char *path, const char *host, uint16_t port, struct address *to, size_t max);

#endif
