#include "http/http_access.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/buf.h"

#define PORTS_MAX 16u

struct http_access {
	unsigned holders;
	struct http_url *urls; /* owned */
	size_t count;
	uint16_t closed[PORTS_MAX];
	size_t closed_count;
	bool trusted;
	struct buf key;        /* made when it is asked for */
};

struct http_access *http_access_create(void)
{
	struct http_access *a = mem_zalloc(sizeof *a);
	a->holders = 1;
	buf_init(&a->key, 0);
	return a;
}

struct http_access *http_access_ref(struct http_access *access)
{
	access->holders++;
	return access;
}

void http_access_unref(struct http_access **access)
{
	struct http_access *a = *access;
	*access = NULL;
	if (!a || --a->holders > 0)
		return;
	for (size_t i = 0; i < a->count; i++)
		http_url_close(&a->urls[i]);
	free(a->urls);
	buf_close(&a->key);
	free(a);
}

int http_access_allow(struct http_access *a, struct slice text, struct err *err)
{
	struct http_url url;

	if (http_url_parse(text, &url, err))
		return -1;
	if (url.query) {
		http_url_close(&url);
		return err_set(err, ERR_INVALID, "a query cannot be required: end the URL before the question mark");
	}
	a->urls = mem_realloc(a->urls, a->count + 1, sizeof *a->urls);
	a->urls[a->count++] = url;
	return 0;
}

void http_access_trust(struct http_access *access)
{
	access->trusted = true;
}

void http_access_close_port(struct http_access *a, uint16_t port)
{
	if (port > 0 && a->closed_count < PORTS_MAX)
		a->closed[a->closed_count++] = port;
}

int http_access_check(const struct http_access *a, const struct http_url *url, const char *user, struct err *err)
{
	for (size_t i = 0; i < a->count; i++)
		if (http_url_below(url, &a->urls[i]))
			return 0;
	return err_set(err, ERR_DENIED, "the policy does not allow this URL; %s = { \"%s://%s%s%s:%u/\" } in the configuration would allow all of that "
	               "host", user, url->https ? "https" : "http", strchr(url->host, ':') ? "[" : "", url->host,
	               strchr(url->host, ':') ? "]" : "", url->port);
}

/* ---- addresses ---- */

static bool special_v4(uint32_t ip)
{
	static const struct {
		uint32_t net;
		unsigned bits;
	} nets[] = {
		{ 0x00000000, 8 },  /* this host */
		{ 0x0A000000, 8 },  /* private */
		{ 0x64400000, 10 }, /* shared by a carrier's customers */
		{ 0x7F000000, 8 },  /* loopback */
		{ 0xA9FE0000, 16 }, /* link-local, clouds' metadata */
		{ 0xAC100000, 12 }, /* private */
		{ 0xC0000000, 24 }, /* protocol assignments */
		{ 0xC0A80000, 16 }, /* private */
		{ 0xC6120000, 15 }, /* benchmarks */
		{ 0xE0000000, 3 },  /* multicast, reserved, broadcast */
	};
	for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
		if ((ip ^ nets[i].net) >> (32 - nets[i].bits) == 0)
			return true;
	return false;
}

static bool is_special(const struct address *address)
{
	if (address->any.sa_family == AF_INET)
		return special_v4(ntohl(address->in.sin_addr.s_addr));
	if (address->any.sa_family != AF_INET6)
		return true;
	const unsigned char *b = address->in6.sin6_addr.s6_addr;
	/* ::/8 has loopback, IPv4 in IPv6 and 64:ff9b::/96; 2002::/16 and 2001::/32 are tunnels to IPv4 addresses. */
	return b[0] == 0 || b[0] == 0xff || (b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && b[1] >= 0x80) || (b[0] == 0x20 && b[1] == 0x02) ||
	       (b[0] == 0x20 && b[1] == 0x01 && b[2] == 0 && b[3] == 0);
}

/* A socket can be bound to it, so it is this machine's. */
static bool is_own(const struct address *address)
{
	struct address any = *address;
	int fd = socket(address->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return true; /* not known: rather closed */
	any.in.sin_port = 0; /* at the same place in both families */
	bool own = bind(fd, &any.any, any.len) == 0;
	close(fd);
	return own;
}

static bool same_address(const struct address *a, const struct address *b)
{
	if (a->any.sa_family != b->any.sa_family || address_port(a) != address_port(b))
		return false;
	if (a->any.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr) == 0;
}

static bool is_named(const struct http_access *a, const struct address *address)
{
	for (size_t i = 0; i < a->count; i++) {
		const struct http_url *url = &a->urls[i];
		if (url->literal && same_address(&url->address, address))
			return true;
		/* By RFC 6761 this name is an address. */
		if (strcmp(url->host, "localhost") == 0 && url->port == address_port(address) && address_is_loopback(address))
			return true;
	}
	return false;
}

int http_access_check_address(const struct http_access *a, const struct address *address, struct err *err)
{
	char text[ADDRESS_TEXT_MAX];
	uint16_t port = address_port(address);
	bool six = address->any.sa_family == AF_INET6;

	address_text(address, text);
	for (size_t i = 0; i < a->closed_count; i++)
		if (a->closed[i] == port && is_own(address))
			return err_set(err, ERR_DENIED, "%s port %u is the engine's own", text, port);
	if (a->trusted || !is_special(address) || is_named(a, address))
		return 0;
	return err_set(err, ERR_DENIED, "%s is an address of this machine, of a private network or of no single host, and no URL of the policy names it; "
	               "\"https://%s%s%s:%u/\" beside the host's own URL would allow it", text, six ? "[" : "", text, six ? "]" : "", port);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct slice http_access_key(struct http_access *a)
{
	if (buf_len(&a->key) > 0)
		return buf_slice(&a->key);
	const char **texts = mem_alloc((a->count + 1) * sizeof *texts);
	for (size_t i = 0; i < a->count; i++)
		texts[i] = a->urls[i].text;
	qsort(texts, a->count, sizeof *texts, by_text);
	buf_append_cstr(&a->key, a->trusted ? "trusted" : "");
	for (size_t i = 0; i < a->count; i++) {
		buf_append_char(&a->key, '\n');
		buf_append_cstr(&a->key, texts[i]);
	}
	for (size_t i = 0; i < a->closed_count; i++)
		buf_printf(&a->key, "\n-%u", a->closed[i]);
	free(texts);
	return buf_slice(&a->key);
}

/* ---- the policy ---- */

struct grant {
	char *rule, *url; /* owned */
};

struct http_policy {
	struct grant *grants; /* owned */
	size_t count;
	uint16_t closed[PORTS_MAX];
	size_t closed_count;
	struct map of;        /* rule -> struct http_access */
};

struct http_policy *http_policy_create(void)
{
	struct http_policy *p = mem_zalloc(sizeof *p);
	map_init(&p->of, true);
	return p;
}

void http_policy_destroy(struct http_policy **policy)
{
	struct http_policy *p = *policy;
	struct map_entry *e;

	*policy = NULL;
	if (!p)
		return;
	for (size_t i = 0; (e = map_next(&p->of, &i));) {
		struct http_access *access = e->value;
		http_access_unref(&access);
	}
	map_close(&p->of);
	for (size_t i = 0; i < p->count; i++) {
		free(p->grants[i].rule);
		free(p->grants[i].url);
	}
	free(p->grants);
	free(p);
}

int http_policy_allow(struct http_policy *p, const char *rule, struct slice url, struct err *err)
{
	struct http_access *tried = http_access_create();
	int rc = http_access_allow(tried, url, err);

	http_access_unref(&tried);
	if (rc)
		return -1;
	p->grants = mem_realloc(p->grants, p->count + 1, sizeof *p->grants);
	p->grants[p->count++] = (struct grant){ .rule = mem_strdup(rule), .url = mem_slicedup(url) };
	return 0;
}

void http_policy_close_port(struct http_policy *p, uint16_t port)
{
	if (port > 0 && p->closed_count < PORTS_MAX)
		p->closed[p->closed_count++] = port;
}

bool http_policy_is_empty(const struct http_policy *policy)
{
	return policy->count == 0;
}

struct http_access *http_policy_of(struct http_policy *p, const char *rule)
{
	struct http_access *access = map_get(&p->of, slice_cstr(rule));

	if (access)
		return access;
	access = http_access_create();
	for (size_t i = 0; i < p->count; i++)
		if (strcmp(p->grants[i].rule, "*") == 0 || slice_eq_nocase(slice_cstr(p->grants[i].rule), slice_cstr(rule)))
			http_access_allow(access, slice_cstr(p->grants[i].url), NULL); /* it was good before */
	for (size_t i = 0; i < p->closed_count; i++)
		http_access_close_port(access, p->closed[i]);
	map_set(&p->of, slice_cstr(rule), access);
	return access;
}
