#include "web/web_pages.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

#define TEXT_TYPE "text/plain; charset=utf-8"
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum page { PAGE_METRICS, PAGE_HEALTHZ, PAGE_READY, PAGE_OTHER, PAGES };

static const char *const page_names[PAGES] = {
	[PAGE_METRICS] = "/metrics", [PAGE_HEALTHZ] = "/healthz", [PAGE_READY] = "/ready", [PAGE_OTHER] = "other",
};

struct web_pages {
	struct engine *engine;
	struct buf metrics; /* rendered last */
	uint64_t rendered;  /* when; monotonic ns; 0: not yet */
	struct series *requests[PAGES];
};

static void answer_text(struct web_connection *c, unsigned status, const char *text, struct slice headers)
{
	web_connection_answer(c, &(struct web_answer){ .status = status, .type = TEXT_TYPE, .body = slice_cstr(text), .headers = headers, .close = true });
}

static void answer_metrics(struct web_pages *pages, struct web_connection *c)
{
	uint64_t now = clock_mono_ns();

	if (pages->rendered == 0 || now - pages->rendered >= clock_from_seconds(WEB_PAGES_FRESH)) {
		buf_clear(&pages->metrics);
		metrics_render(engine_metrics(pages->engine), &pages->metrics);
		pages->rendered = now;
	}
	web_connection_answer(c, &(struct web_answer){ .status = 200, .type = METRICS_TYPE, .body = buf_slice(&pages->metrics), .close = true });
}

static void answer_ready(struct web_pages *pages, struct web_connection *c)
{
	size_t ready = 0, count = 0;
	struct link_view view;
	char text[96];

	for (; engine_server_view(pages->engine, count, &view); count++)
		if (strcmp(view.state, "ready") == 0)
			ready++;
	snprintf(text, sizeof text, "%zu of %zu servers ready\n", ready, count);
	bool all = strcmp(engine_config(pages->engine)->http.ready, "all") == 0;
	answer_text(c, (all ? ready == count : ready > 0) ? 200 : 503, text, (struct slice){ "", 0 });
}

static enum page find_page(struct slice path)
{
	enum page page = PAGE_METRICS;

	while (page < PAGE_OTHER && !slice_eq(path, slice_cstr(page_names[page])))
		page++;
	return page;
}

bool web_pages_has(struct slice path)
{
	return find_page(path) != PAGE_OTHER;
}

void web_pages_answer(struct web_pages *pages, struct web_connection *c, const struct web_request *request)
{
	enum page page = find_page(request->path);

	if (pages->requests[page])
		pages->requests[page]->value++;
	if (page == PAGE_OTHER)
		answer_text(c, 404, "not found; there are /metrics, /healthz and /ready\n", (struct slice){ "", 0 });
	else if (!slice_eq(request->method, SLICE("GET")) && !slice_eq(request->method, SLICE("HEAD")))
		answer_text(c, 405, "only GET and HEAD\n", SLICE("Allow: GET, HEAD\r\n"));
	else if (page == PAGE_METRICS)
		answer_metrics(pages, c);
	else if (page == PAGE_READY)
		answer_ready(pages, c);
	else
		answer_text(c, 200, "ok\n", (struct slice){ "", 0 });
}

struct web_pages *web_pages_create(struct engine *engine, struct err *err)
{
	static const char *const path[] = { "path" };
	struct metric *requests = metrics_add(engine_metrics(engine), METRIC_COUNTER, "hookswitch_http_requests_total",
	                                      "HTTP requests of monitoring, by path.", path, 1, NULL, 0, 0, err);

	if (!requests)
		return NULL;
	struct web_pages *pages = mem_zalloc(sizeof *pages);
	pages->engine = engine;
	buf_init(&pages->metrics, 0);
	for (size_t i = 0; i < PAGES; i++) {
		struct slice name = slice_cstr(page_names[i]);
		pages->requests[i] = metric_series(requests, &name, 1);
	}
	return pages;
}

void web_pages_destroy(struct web_pages **pages)
{
	if (!*pages)
		return;
	buf_close(&(*pages)->metrics);
	free(*pages);
	*pages = NULL;
}
