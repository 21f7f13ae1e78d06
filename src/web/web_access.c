#include "web/web_access.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

#define FAILURE_SETS 256  /* of FAILURE_WAYS addresses each: 1,024 addresses are remembered */
#define FAILURE_WAYS 4
#define FAILURE_WINDOW 60.0 /* seconds */
#define FORWARDED_MAX 32  /* proxies of one request that are looked at */

struct failures {
	unsigned char address[16]; /* IPv4 mapped; of IPv6 the first 64 bits */
	uint64_t since;            /* monotonic ns; 0: free */
	int64_t count;
};

struct network {
	unsigned char bytes[16];
	unsigned bits;
};

struct web_access {
	struct web_token **tokens;
	size_t token_count;
	struct config_list hosts, origins;
	bool hosts_given;
	char *listen_host; /* of web.listen, as it stands there */
	struct network *proxies;
	size_t proxy_count;
	double rate;
	int64_t failures_max;
	struct failures *failures; /* FAILURE_SETS * FAILURE_WAYS; owned, handed on by web_access_continue() */
};

/* ---- lists ---- */

static struct config_list copy_list(const struct config_list *from)
{
	struct config_list list = { .items = mem_zalloc((from->count + 1) * sizeof(char *)), .count = from->count };

	for (size_t i = 0; i < from->count; i++)
		list.items[i] = mem_strdup(from->items[i]);
	return list;
}

/* ---- addresses ---- */

static void address_bytes(const struct address *address, unsigned char bytes[16])
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (address->any.sa_family == AF_INET6) {
		memcpy(bytes, &address->in6.sin6_addr, 16);
		return;
	}
	memcpy(bytes, mapped, sizeof mapped);
	memcpy(bytes + 12, &address->in.sin_addr, 4);
}

static bool is_mapped(const unsigned char bytes[16])
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	return memcmp(bytes, mapped, sizeof mapped) == 0;
}

/* The option's check has seen to its form. */
static struct network read_network(const char *text)
{
	struct network network = { .bits = 128 };
	struct address address;
	const char *slash = strchr(text, '/');
	char *ip = slash ? mem_slicedup(slice_make(text, (size_t)(slash - text))) : mem_strdup(text);

	if (address_literal(ip, 0, &address)) {
		address_bytes(&address, network.bytes);
		if (slash)
			network.bits = (unsigned)strtoul(slash + 1, NULL, 10) + (address.any.sa_family == AF_INET ? 96 : 0);
	}
	free(ip);
	return network;
}

static bool in_network(const struct network *network, const unsigned char bytes[16])
{
	unsigned whole = network->bits / 8, rest = network->bits % 8;

	if (memcmp(network->bytes, bytes, whole) != 0)
		return false;
	return rest == 0 || (network->bytes[whole] ^ bytes[whole]) >> (8 - rest) == 0;
}

static bool is_proxy(const struct web_access *access, const struct address *address)
{
	unsigned char bytes[16];

	address_bytes(address, bytes);
	for (size_t i = 0; i < access->proxy_count; i++)
		if (in_network(&access->proxies[i], bytes))
			return true;
	return false;
}

void web_access_client(const struct web_access *access, const struct web_request *request, const struct address *peer, struct address *client)
{
	unsigned looked = 0;

	*client = *peer;
	/* From the end on: what stands before an address that is no proxy of ours is that client's own claim. */
	for (uint32_t i = request->header_count; i-- > 0 && is_proxy(access, client);) {
		if (!slice_eq_nocase(request->headers[i].name, SLICE("X-Forwarded-For")))
			continue;
		struct slice list = request->headers[i].value;
		while (list.len > 0 && is_proxy(access, client) && looked++ < FORWARDED_MAX) {
			size_t start = list.len;
			struct address address;
			while (start > 0 && list.ptr[start - 1] != ',')
				start--;
			struct slice item = slice_trim(slice_make(list.ptr + start, list.len - start));
			char text[ADDRESS_TEXT_MAX];
			slice_to_text(item, text, sizeof text);
			if (item.len >= sizeof text || !address_literal(text, 0, &address))
				return;
			*client = address;
			list.len = start > 0 ? start - 1 : 0;
		}
	}
}

/* ---- failures ---- */

static struct failures *find_failures(struct web_access *access, const struct address *client, uint64_t now, bool make)
{
	unsigned char bytes[16];

	address_bytes(client, bytes);
	if (!is_mapped(bytes))
		memset(bytes + 8, 0, 8);
	struct failures *set = access->failures + (size_t)(slice_hash(slice_make((const char *)bytes, sizeof bytes)) % FAILURE_SETS) * FAILURE_WAYS;
	struct failures *oldest = set;
	for (int i = 0; i < FAILURE_WAYS; i++) {
		if (set[i].since != 0 && now - set[i].since > clock_from_seconds(FAILURE_WINDOW))
			set[i].since = 0;
		if (set[i].since != 0 && memcmp(set[i].address, bytes, sizeof bytes) == 0)
			return &set[i];
		if (set[i].since < oldest->since)
			oldest = &set[i];
	}
	if (!make)
		return NULL;
	*oldest = (struct failures){ .since = now };
	memcpy(oldest->address, bytes, sizeof bytes);
	return oldest;
}

/* ---- tokens ---- */

static void add_digest(struct web_token *token, const char *secret)
{
	if (secret)
		SHA256((const unsigned char *)secret, strlen(secret), token->digests[token->digest_count++]);
}

static struct web_token *token_create(const struct config_token *from)
{
	static const char *const names[] = { "read", "emit", "act", "hooks" };
	struct web_token *token = mem_zalloc(sizeof *token);

	token->holders = 1;
	token->name = mem_strdup(from->name);
	add_digest(token, from->secret);
	add_digest(token, from->old_secret);
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (config_list_has(&from->scopes, slice_cstr(names[i])))
			token->scopes |= 1u << i;
	token->emit = copy_list(&from->emit);
	token->servers = copy_list(&from->servers);
	token->queues = copy_list(&from->queues);
	return token;
}

struct web_token *web_token_copy(const struct web_token *token)
{
	struct web_token *copy = mem_zalloc(sizeof *copy);

	copy->holders = 1;
	copy->name = mem_strdup(token->name);
	copy->scopes = token->scopes;
	copy->emit = copy_list(&token->emit);
	copy->servers = copy_list(&token->servers);
	copy->queues = copy_list(&token->queues);
	return copy;
}

void web_token_narrow(struct web_token *copy, bool queue, struct slice name)
{
	struct config_list *list = queue ? &copy->queues : &copy->servers;
	bool *own = queue ? &copy->own_queues : &copy->own_servers;

	if (!*own)
		config_list_close(list);
	*own = true;
	config_list_add(list, name);
}

struct web_token *web_token_hold(struct web_token *token)
{
	token->holders++;
	return token;
}

void web_token_release(struct web_token **token)
{
	struct web_token *t = *token;

	*token = NULL;
	if (!t || --t->holders > 0)
		return;
	free(t->name);
	config_list_close(&t->emit);
	config_list_close(&t->servers);
	config_list_close(&t->queues);
	OPENSSL_cleanse(t->digests, sizeof t->digests);
	free(t);
}

bool web_token_sees_server(const struct web_token *token, struct slice server)
{
	return token->servers.count == 0 || config_list_has(&token->servers, server);
}

bool web_token_sees_queue(const struct web_token *token, struct slice queue)
{
	return token->queues.count == 0 || config_list_has(&token->queues, queue);
}

bool web_token_is_narrow(const struct web_token *token)
{
	return token->servers.count > 0 || token->queues.count > 0;
}

bool web_token_may_emit(const struct web_token *token, struct slice event)
{
	for (size_t i = 0; i < token->emit.count; i++)
		if (slice_glob(slice_cstr(token->emit.items[i]), event))
			return true;
	return false;
}

/* All tokens are looked at, whichever it is: the time says nothing. */
static struct web_token *find_token(struct web_access *access, const unsigned char digest[WEB_DIGEST])
{
	struct web_token *found = NULL;

	for (size_t i = 0; i < access->token_count; i++)
		for (unsigned k = 0; k < access->tokens[i]->digest_count; k++)
			if (CRYPTO_memcmp(access->tokens[i]->digests[k], digest, WEB_DIGEST) == 0)
				found = access->tokens[i];
	return found;
}

static bool read_bearer(const struct web_request *request, struct slice *secret)
{
	static const struct slice scheme = { "Bearer ", 7 };
	uint32_t count = 0;

	for (uint32_t i = 0; i < request->header_count; i++)
		if (slice_eq_nocase(request->headers[i].name, SLICE("Authorization")) && count++ == 0)
			*secret = request->headers[i].value;
	if (count != 1 || !slice_starts_with_nocase(*secret, scheme))
		return false;
	*secret = slice_trim(slice_make(secret->ptr + scheme.len, secret->len - scheme.len));
	return secret->len > 0;
}

/* One request out of what the token has; it fills up again with `rate`, to at most one second's worth. */
static bool take_allowance(const struct web_access *access, struct web_token *token, uint64_t now)
{
	double more = token->counted ? (double)(now - token->counted) / 1e9 * access->rate : access->rate;

	token->allowance = token->allowance + more < access->rate ? token->allowance + more : access->rate;
	token->counted = now;
	if (token->allowance < 1)
		return false;
	token->allowance -= 1;
	return true;
}

bool web_access_is_blocked(struct web_access *access, const struct address *client, uint64_t now)
{
	const struct failures *failures = find_failures(access, client, now, false);
	return failures && failures->count >= access->failures_max;
}

void web_access_failed(struct web_access *access, const struct address *client, uint64_t now)
{
	find_failures(access, client, now, true)->count++;
}

enum web_verdict web_access_check(struct web_access *access, const struct web_request *request, const struct address *client, uint64_t now,
                                  struct web_token **token, unsigned char digest[WEB_DIGEST])
{
	struct slice secret;

	*token = NULL;
	if (web_access_is_blocked(access, client, now))
		return WEB_BLOCKED;
	if (read_bearer(request, &secret)) {
		SHA256((const unsigned char *)secret.ptr, secret.len, digest);
		*token = find_token(access, digest);
	}
	if (*token)
		return take_allowance(access, *token, now) ? WEB_GRANTED : WEB_TOO_FAST;
	web_access_failed(access, client, now);
	return WEB_NO_TOKEN;
}

struct web_token *web_access_still(struct web_access *access, const struct web_token *held, const unsigned char digest[WEB_DIGEST])
{
	struct web_token *now = find_token(access, digest);

	if (!now || strcmp(now->name, held->name) != 0 || now->scopes != held->scopes || !config_list_equal(&now->servers, &held->servers) ||
	    !config_list_equal(&now->queues, &held->queues))
		return NULL;
	return now;
}

/* ---- hosts and origins ---- */

bool web_access_host(const struct web_access *access, struct slice host)
{
	static const char *const own[] = { "localhost", "127.0.0.1", "[::1]" };

	for (size_t i = 0; i < access->hosts.count; i++)
		if (slice_eq_nocase(slice_cstr(access->hosts.items[i]), host))
			return true;
	if (access->hosts_given)
		return false;
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (slice_eq_nocase(slice_cstr(own[i]), host))
			return true;
	return access->listen_host && slice_eq_nocase(slice_cstr(access->listen_host), host);
}

enum web_origin web_access_origin(const struct web_access *access, const struct web_request *request)
{
	struct slice origin = web_request_header(request, SLICE("Origin"));

	if (!origin.ptr)
		return WEB_ORIGIN_NONE;
	if (config_list_has(&access->origins, origin))
		return WEB_ORIGIN_LISTED;
	ptrdiff_t at = slice_find(origin, SLICE("://"));
	if (at < 0)
		return WEB_ORIGIN_FOREIGN;
	struct slice host = slice_make(origin.ptr + at + 3, origin.len - (size_t)at - 3);
	/* Its port is not compared: a proxy may have another one than we. */
	bool own = slice_starts_with_nocase(host, request->host) && (host.len == request->host.len || host.ptr[request->host.len] == ':');
	return own ? WEB_ORIGIN_OWN : WEB_ORIGIN_FOREIGN;
}

/* ---- making it ---- */

struct web_access *web_access_create(const struct config *config)
{
	struct web_access *access = mem_zalloc(sizeof *access);

	access->tokens = mem_zalloc((config->web.token_count + 1) * sizeof *access->tokens);
	for (size_t i = 0; i < config->web.token_count; i++)
		access->tokens[access->token_count++] = token_create(&config->web.tokens[i]);
	access->hosts = copy_list(&config->web.hosts);
	access->hosts_given = config->web.hosts.count > 0;
	access->origins = copy_list(&config->web.origins);
	const char *listen = config->web.listen;
	if (listen)
		access->listen_host = mem_slicedup(slice_make(listen, (size_t)(strrchr(listen, ':') - listen)));
	access->proxies = mem_zalloc((config->web.trusted_proxies.count + 1) * sizeof *access->proxies);
	for (size_t i = 0; i < config->web.trusted_proxies.count; i++)
		access->proxies[access->proxy_count++] = read_network(config->web.trusted_proxies.items[i]);
	access->rate = (double)config->web.requests_per_second;
	access->failures_max = config->web.failures;
	access->failures = mem_zalloc((size_t)FAILURE_SETS * FAILURE_WAYS * sizeof *access->failures);
	return access;
}

void web_access_destroy(struct web_access **access)
{
	struct web_access *a = *access;

	if (!a)
		return;
	*access = NULL;
	for (size_t i = 0; i < a->token_count; i++)
		web_token_release(&a->tokens[i]);
	free(a->tokens);
	config_list_close(&a->hosts);
	config_list_close(&a->origins);
	free(a->listen_host);
	free(a->proxies);
	free(a->failures);
	free(a);
}

void web_access_continue(struct web_access *access, struct web_access *before)
{
	struct failures *fresh = access->failures;

	access->failures = before->failures;
	before->failures = fresh;
	for (size_t i = 0; i < access->token_count; i++)
		for (size_t k = 0; k < before->token_count; k++)
			if (strcmp(access->tokens[i]->name, before->tokens[k]->name) == 0) {
				access->tokens[i]->allowance = before->tokens[k]->allowance;
				access->tokens[i]->counted = before->tokens[k]->counted;
			}
}
