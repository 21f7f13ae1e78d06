#include "web/web.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "observe/log.h"
#include "web/web_listener.h"
#include "web/web_pages.h"

#define HEAD_MAX (16u << 10)      /* bytes of a request's head */
#define DESCRIPTORS_KEPT 64       /* for files, consoles and look-ups, beside two for each server */

struct web {
	struct engine *engine;
	struct web_listener *monitoring; /* of section `http` */
	struct web_pages *pages;
};

static void on_monitoring(void *ctx, struct web_connection *c, const struct web_request *request)
{
	struct web *web = ctx;
	web_pages_answer(web->pages, c, request);
}

/* Sockets with a higher number are not for clients of ours: AMI comes first. */
static int descriptor_bound(const struct engine *engine)
{
	struct rlimit limit;
	rlim_t kept = DESCRIPTORS_KEPT + 2 * engine_config(engine)->server_count;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1 || limit.rlim_cur >= INT32_MAX)
		return INT32_MAX;
	return limit.rlim_cur > kept * 2 ? (int)(limit.rlim_cur - kept) : (int)(limit.rlim_cur / 2);
}

static int add_dropped(struct web *web, struct web_listener *listener, const char *family, const char *help, struct err *err)
{
	static const char *const reason[] = { "reason" };
	struct metric *dropped = metrics_add(engine_metrics(web->engine), METRIC_COUNTER, family, help, reason, 1, NULL, 0, 0, err);

	if (!dropped)
		return -1;
	for (size_t i = 0; i < WEB_DROPS; i++) {
		struct slice name = slice_cstr(web_drop_name((enum web_drop)i));
		listener->dropped[i] = metric_series(dropped, &name, 1);
	}
	return 0;
}

static int open_monitoring(struct web *web, struct err *err)
{
	const struct config *config = engine_config(web->engine);
	const struct web_listener_options options = {
		.name = "http", .listen = config->http.listen, .connections = config->http.connections, .head = HEAD_MAX, .body = HEAD_MAX,
		.timeout = config->http.timeout, .one_request = true, .descriptors = descriptor_bound(web->engine), .request = on_monitoring, .ctx = web,
	};

	if (!(web->monitoring = web_listener_create(engine_loop(web->engine), &options, err)))
		return -1;
	log_write(LOG_INFO, "metrics are served", F_TEXT("listen", config->http.listen), F_INT("port", address_port(&web->monitoring->address)));
	return add_dropped(web, web->monitoring, "hookswitch_http_dropped_total",
	                   "Connections of section http ended by a bound: connections (too many), descriptors (none to spare), slow (older than "
	                   "http.timeout), malformed (no request that could be trusted), tls (never).", err);
}

struct web *web_create(struct engine *engine, struct err *err)
{
	err->code = ERR_NONE;
	if (!engine_config(engine)->http.listen)
		return NULL;
	struct web *web = mem_zalloc(sizeof *web);
	web->engine = engine;
	if (!(web->pages = web_pages_create(engine, err)) || open_monitoring(web, err))
		web_destroy(&web);
	return web;
}

void web_destroy(struct web **web)
{
	struct web *w = *web;

	if (!w)
		return;
	*web = NULL;
	web_listener_destroy(&w->monitoring);
	web_pages_destroy(&w->pages);
	free(w);
}
