#include "web/web_board.h"

#include <stdio.h>

#include "engine/board.h"

/* Nothing but its own files and the API: no inline script, no frame around it, no text that becomes HTML. */
#define HEADERS \
	"Content-Security-Policy: default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " \
	"manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'\r\n" \
	"Referrer-Policy: no-referrer\r\nX-Frame-Options: DENY\r\nCross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\n" \
	"Cache-Control: no-cache\r\n"

static const struct {
	const char *ending, *type;
} types[] = {
	{ ".html", "text/html; charset=utf-8" }, { ".css", "text/css; charset=utf-8" }, { ".js", "text/javascript; charset=utf-8" },
	{ ".mjs", "text/javascript; charset=utf-8" }, { ".json", "application/json" }, { ".svg", "image/svg+xml" }, { ".png", "image/png" },
	{ ".ico", "image/x-icon" }, { ".woff2", "font/woff2" }, { ".webmanifest", "application/manifest+json" }, { ".txt", "text/plain; charset=utf-8" },
};

static const char *type_of(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		size_t end = strlen(types[i].ending);
		if (len > end && strcmp(name + len - end, types[i].ending) == 0)
			return types[i].type;
	}
	return NULL;
}

bool web_board_has(struct slice path)
{
	return slice_eq(path, SLICE("/")) || slice_eq(path, SLICE("/board")) || slice_starts_with(path, SLICE("/board/"));
}

static void redirect(struct web *web, struct web_connection *c, const struct web_request *request)
{
	struct buf headers;

	buf_init(&headers, 0);
	/* The query has no character that could end the line: the reader has seen to that. */
	buf_printf(&headers, "Location: /board/%s%.*s\r\nCache-Control: no-cache\r\n", request->query.len > 0 ? "?" : "", SLICE_ARG(request->query));
	web_answer(web, c, &(struct web_answer){ .status = 307, .headers = buf_slice(&headers) });
	buf_close(&headers);
}

void web_board_answer(struct web *web, struct web_connection *c, const struct web_request *request)
{
	static const struct slice folder = { "/board/", 7 };
	const struct board *board = engine_board(web->engine);
	struct slice path = request->path, none = { "", 0 };

	if (!slice_eq(request->method, SLICE("GET")) && !slice_eq(request->method, SLICE("HEAD"))) {
		web_fail(web, c, 405, SLICE("Allow: GET, HEAD\r\n"), "only GET here");
		return;
	}
	if (path.len < folder.len && board && board->count > 0) {
		redirect(web, c, request);
		return;
	}
	struct slice name = path.len > folder.len ? slice_make(path.ptr + folder.len, path.len - folder.len) : SLICE("index.html");
	const struct board_file *file = path.len < folder.len ? NULL : board_find(board, name);
	const char *type = file ? type_of(file->name) : NULL;
	if (!type) {
		web_fail(web, c, 404, none, "the board has no such file");
		return;
	}
	char headers[sizeof HEADERS + 64];
	int n = snprintf(headers, sizeof headers, "%sETag: %s\r\n", HEADERS, file->tag);
	struct web_answer answer = { .status = 200, .type = type, .body = slice_make(file->bytes, file->len), .headers = slice_make(headers, (size_t)n) };
	if (web_request_has(request, slice_cstr(file->tag)))
		answer = (struct web_answer){ .status = 304, .headers = answer.headers };
	web_answer(web, c, &answer);
}
