#include "net/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>

bool address_from(const struct sockaddr *from, uint16_t port, struct address *out)
{
	*out = (struct address){ .len = 0 };
	if (from->sa_family == AF_INET) {
		memcpy(&out->in, from, sizeof out->in);
		out->in.sin_port = htons(port);
		out->len = sizeof out->in;
	} else if (from->sa_family == AF_INET6) {
		memcpy(&out->in6, from, sizeof out->in6);
		out->in6.sin6_port = htons(port);
		out->len = sizeof out->in6;
	}
	return out->len > 0;
}

bool address_literal(const char *host, uint16_t port, struct address *out)
{
	/* AI_NUMERICHOST keeps libc from asking anybody; it is used for the scope of `fe80::1%eth0`. */
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;

	if (getaddrinfo(host, NULL, &hints, &found) != 0)
		return false;
	bool known = address_from(found->ai_addr, port, out);
	freeaddrinfo(found);
	return known;
}

bool address_is_loopback(const struct address *address)
{
	if (address->any.sa_family == AF_INET)
		return ntohl(address->in.sin_addr.s_addr) >> 24 == 127;
	if (address->any.sa_family != AF_INET6)
		return false;
	const struct in6_addr *ip = &address->in6.sin6_addr;
	return IN6_IS_ADDR_LOOPBACK(ip) || (IN6_IS_ADDR_V4MAPPED(ip) && ip->s6_addr[12] == 127);
}

uint16_t address_port(const struct address *address)
{
	/* The port stands at the same place in both families. */
	return address->len > 0 ? ntohs(address->in.sin_port) : 0;
}

void address_text(const struct address *address, char out[ADDRESS_TEXT_MAX])
{
	out[0] = '\0';
	if (address->len > 0 &&
	    getnameinfo(&address->any, address->len, out, ADDRESS_TEXT_MAX, NULL, 0, NI_NUMERICHOST) != 0)
		snprintf(out, ADDRESS_TEXT_MAX, "?");
}
