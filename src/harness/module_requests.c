/* What rules ask with `http`, kept for the test. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "harness/module_harness.h"

int harness_http(void *ctx, const char *rule, const struct http_request *request, void *tag, struct err *err)
{
	struct harness *h = ctx;
	struct http_url url;
	struct slice name, value;
	char policy[128];

	if (!h->http_policy)
		h->http_policy = http_policy_create();
	snprintf(policy, sizeof policy, "policy.rules[\"%s\"].http", rule);
	if (http_url_parse(buf_slice(&request->url), &url, err))
		return -1;
	const struct http_access *access = http_policy_of(h->http_policy, rule);
	int rc = http_access_check(access, &url, policy, err);
	if (rc == 0 && url.literal)
		rc = http_access_check_address(access, &url.address, err);
	http_url_close(&url);
	if (rc)
		return -1;
	struct harness_request *r = mem_zalloc(sizeof *r);
	*r = (struct harness_request){ .rule = mem_strdup(rule), .tag = tag };
	http_request_init(&r->request);
	memcpy(r->request.method, request->method, sizeof request->method);
	buf_append(&r->request.url, buf_slice(&request->url));
	buf_append(&r->request.body, buf_slice(&request->body));
	r->request.has_body = request->has_body;
	r->request.timeout = request->timeout;
	r->request.follow = request->follow;
	for (size_t i = 0; http_headers_next(&request->headers, &i, &name, &value);)
		http_headers_add(&r->request.headers, name, value);
	h->requests = mem_realloc(h->requests, h->request_count + 1, sizeof *h->requests);
	h->requests[h->request_count++] = r;
	return 0;
}

void harness_respond(struct harness_request *r, struct http_response *response)
{
	void *tag = r->tag;
	r->tag = NULL;
	host_http_complete(tag, response);
}

void harness_http_close(struct harness *h)
{
	for (size_t i = 0; i < h->request_count; i++) {
		if (h->requests[i]->tag)
			harness_respond(h->requests[i], http_response_failed(ERR_CANCELLED, "the harness was closed"));
		http_request_close(&h->requests[i]->request);
		free(h->requests[i]->rule);
		free(h->requests[i]);
	}
	free(h->requests);
	h->requests = NULL;
	h->request_count = 0;
}
