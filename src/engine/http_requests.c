/* Requests of rules on their way to the client: their policy, the client's settings. */
#include <stdio.h>

#include "engine/internal.h"
#include "engine/mapping.h"
#include "engine/plan.h"

int engine_http_open(struct engine *e, struct err *err)
{
	e->http = http_client_create(e->loop, e->metrics, err);
	return e->http ? 0 : -1;
}

void engine_http_configure(struct engine *e, struct plan *plan)
{
	struct http_client_settings settings;

	mapping_http(e->config, &settings);
	http_client_configure(e->http, &settings, plan->http_tls);
	plan->http_tls = NULL;
	/* Requests hold what they go by. */
	http_policy_destroy(&e->http_policy);
	e->http_policy = plan->http_policy;
	plan->http_policy = NULL;
}

void engine_http_close(struct engine *e)
{
	http_client_destroy(&e->http);
	http_policy_destroy(&e->http_policy);
}

static void done(void *ctx, struct http_response *response)
{
	host_http_complete(ctx, response);
}

int engine_http_request(void *ctx, const char *rule, const struct http_request *request, void *tag, struct err *err)
{
	struct engine *e = ctx;
	const struct http_user user = { .kind = "rule", .name = rule };
	char policy[128];

	snprintf(policy, sizeof policy, "policy.rules[\"%s\"].http", rule);
	return http_client_start(e->http, http_policy_of(e->http_policy, rule), &user, policy, request, done, tag, err);
}
