/* What may be asked: which URLs, and at which addresses. One object for each user of the client (a rule, a sink), shared by the
 * requests that go by it. On the loop's thread, but for making one. */
#ifndef HTTP_HTTP_ACCESS_H
#define HTTP_HTTP_ACCESS_H

#include "base/map.h"
#include "http/http_url.h"

struct http_access;

struct http_access *http_access_create(void);
struct http_access *http_access_ref(struct http_access *access);
void http_access_unref(struct http_access **access);
/* Whatever lies below that URL. -1 with `err`: it is none, or has a query. */
int http_access_allow(struct http_access *access, struct slice url, struct err *err);
/* Its URLs come from the operator alone: the address may be any but those of ports that are closed. */
void http_access_trust(struct http_access *access);
/* Ports of the engine's own listeners, on every address of this machine. */
void http_access_close_port(struct http_access *access, uint16_t port);

/* 0, or -1 with ERR_DENIED and a text that names the configuration line that would allow it to `user` ("policy.http"). */
int http_access_check(const struct http_access *access, const struct http_url *url, const char *user, struct err *err);
/* The same for an address that a name has led to: one of this machine, of its network or of no single host is open only when a URL
 * of the policy names it, with its port. */
int http_access_check_address(const struct http_access *access, const struct address *address, struct err *err);
/* What is equal for two that allow the same. */
struct slice http_access_key(struct http_access *access);

/* The rules' policy: what all of them may ask, and what one of them may besides. */
struct http_policy;

struct http_policy *http_policy_create(void);
void http_policy_destroy(struct http_policy **policy);
/* `rule` "*": all rules. -1 as http_access_allow(). */
int http_policy_allow(struct http_policy *policy, const char *rule, struct slice url, struct err *err);
void http_policy_close_port(struct http_policy *policy, uint16_t port);
/* It allows nothing to anybody. */
bool http_policy_is_empty(const struct http_policy *policy);
/* What that rule may ask; the policy's, made when it is first asked for. */
struct http_access *http_policy_of(struct http_policy *policy, const char *rule);

#endif
