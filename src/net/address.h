/* A socket address, and how people read it. */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/slice.h"

#define ADDRESS_TEXT_MAX 64 /* "fe80::…%interface" with its NUL */

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
};

/* Reads an IP literal (v4, v6, with a scope); false when `host` is a name. Never asks DNS. */
bool address_literal(const char *host, uint16_t port, struct address *out);
/* Takes over an AF_INET or AF_INET6 address and sets its port; false for any other family. */
bool address_from(const struct sockaddr *from, uint16_t port, struct address *out);
/* 127.0.0.0/8, ::1 and the mapped ::ffff:127.0.0.0/104. */
bool address_is_loopback(const struct address *address);
uint16_t address_port(const struct address *address);
/* The IP without the port. */
void address_text(const struct address *address, char out[ADDRESS_TEXT_MAX]);

#endif
