/* Who may use the API: tokens, hosts, origins, and how often. Everything is copied from the configuration and replaced as a whole at a
 * reload. Secrets are kept as SHA-256 digests and compared in constant time (P8). */
#ifndef WEB_WEB_ACCESS_H
#define WEB_WEB_ACCESS_H

#include "config/config.h"
#include "net/address.h"
#include "web/web_request.h"

enum web_scope { WEB_SCOPE_READ = 1, WEB_SCOPE_EMIT = 2, WEB_SCOPE_ACT = 4, WEB_SCOPE_HOOKS = 8 };

#define WEB_DIGEST 32

/* What a token may do. Shared by those who hold it; one that the configuration has no more stays as it was for them. */
struct web_token {
	unsigned holders;
	char *name;
	unsigned char digests[2][WEB_DIGEST]; /* of its secrets */
	unsigned digest_count;
	unsigned scopes;
	struct config_list emit, servers, queues; /* servers, queues: empty is all */
	bool own_servers, own_queues; /* of a copy: the lists are those of web_token_narrow() */
	double allowance;   /* requests that may come now */
	uint64_t counted;   /* when that was; monotonic ns */
};

struct web_access;

/* Of the configuration's section `web`; it is not kept. */
struct web_access *web_access_create(const struct config *config);
void web_access_destroy(struct web_access **access);
/* Takes over the failures that were counted in `before`, and what is left to each token of the same name. */
void web_access_continue(struct web_access *access, struct web_access *before);

/* True when a request for this host (without its port) may be served. */
bool web_access_host(const struct web_access *access, struct slice host);
/* Pages of other origins: LISTED may use the API, OWN is the listener itself. */
enum web_origin { WEB_ORIGIN_NONE, WEB_ORIGIN_OWN, WEB_ORIGIN_LISTED, WEB_ORIGIN_FOREIGN };
enum web_origin web_access_origin(const struct web_access *access, const struct web_request *request);
/* The client's own address: `peer`, or what trusted proxies say. */
void web_access_client(const struct web_access *access, const struct web_request *request, const struct address *peer, struct address *client);

enum web_verdict {
	WEB_GRANTED,
	WEB_NO_TOKEN, /* none, or not a valid one: counted as a failure of that address */
	WEB_BLOCKED,  /* too many failures from there */
	WEB_TOO_FAST, /* too many requests with this token */
};
/* `*token` is the one that the request has, not held for the caller; also for TOO_FAST. `digest` is that of its secret. */
enum web_verdict web_access_check(struct web_access *access, const struct web_request *request, const struct address *client, uint64_t now,
                                  struct web_token **token, unsigned char digest[WEB_DIGEST]);
/* For those who prove who they are otherwise: whether that address is blocked; one more failure of it. */
bool web_access_is_blocked(struct web_access *access, const struct address *client, uint64_t now);
void web_access_failed(struct web_access *access, const struct address *client, uint64_t now);
/* The token that stands for `held` now: of the same name and rights, and the secret of that digest is still good; else NULL. */
struct web_token *web_access_still(struct web_access *access, const struct web_token *held, const unsigned char digest[WEB_DIGEST]);

/* One of its own with the same rights; web_token_narrow() takes some of them away: it then sees, of all queues or servers, those that were
 * named so. */
struct web_token *web_token_copy(const struct web_token *token);
void web_token_narrow(struct web_token *copy, bool queue, struct slice name);
struct web_token *web_token_hold(struct web_token *token);
void web_token_release(struct web_token **token);
bool web_token_sees_server(const struct web_token *token, struct slice server);
bool web_token_sees_queue(const struct web_token *token, struct slice queue);
/* It sees less than everything. */
bool web_token_is_narrow(const struct web_token *token);
bool web_token_may_emit(const struct web_token *token, struct slice event);

#endif
