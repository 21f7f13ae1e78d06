/* What is read of a client's bytes must not depend on how they were cut, and whatever is taken as a request has one Host, a clean
 * path, and a body within its bound. */
#include <stdio.h>
#include <stdlib.h>

#include "require.h"
#include "web/web_reader.h"

#define HEAD_MAX 512
#define BODY_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(const struct web_request *q)
{
	uint32_t hosts = 0;

	REQUIRE(q->method.len > 0 && q->path.len > 0 && q->path.ptr[0] == '/' && q->host.len > 0 && q->body.len <= BODY_MAX);
	REQUIRE(slice_find(q->path, SLICE("/../")) < 0 && slice_find(q->path, SLICE("//")) < 0 && !memchr(q->path.ptr, '\0', q->path.len));
	REQUIRE(q->path.len < 3 || memcmp(q->path.ptr + q->path.len - 3, "/..", 3) != 0);
	for (uint32_t i = 0; i < q->header_count; i++) {
		struct slice value = q->headers[i].value;
		REQUIRE(q->headers[i].name.len > 0);
		REQUIRE(value.len == 0 || (!memchr(value.ptr, '\r', value.len) && !memchr(value.ptr, '\n', value.len) && !memchr(value.ptr, '\0', value.len)));
		hosts += slice_eq_nocase(q->headers[i].name, SLICE("Host"));
	}
	REQUIRE(hosts == 1);
}

static void note(struct buf *log, const struct web_reader *r, enum web_read result)
{
	const struct web_request *q = &r->request;
	struct buf out;
	size_t cursor = 0, name;

	if (result == WEB_READ_REFUSED) {
		REQUIRE(r->status >= 400 && r->reason);
		buf_printf(log, "refused %u %s\n", r->status, r->reason);
		return;
	}
	check_request(q);
	buf_printf(log, "%.*s %.*s ? %.*s @ %.*s %u %d\n%.*s\n", SLICE_ARG(q->method), SLICE_ARG(q->path), SLICE_ARG(q->query), SLICE_ARG(q->host),
	           q->header_count, q->keep_alive, SLICE_ARG(q->body));
	buf_init(&out, 0);
	while (web_request_query(q->query, &cursor, &out, &name) == 1)
		REQUIRE(name <= buf_len(&out));
	buf_close(&out);
}

static void run(struct slice input, uint32_t cuts, struct buf *log)
{
	struct web_reader r;
	size_t at = 0;

	web_reader_init(&r, HEAD_MAX, BODY_MAX);
	while (at < input.len) {
		size_t n = input.len - at, taken;
		if (cuts > 0)
			cuts = cuts * 1664525u + 1013904223u;
		if (cuts & 1 && n > 1 + (cuts >> 24) % 40)
			n = 1 + (cuts >> 24) % 40;
		char *block = malloc(n);
		REQUIRE(block);
		memcpy(block, input.ptr + at, n);
		enum web_read result = web_reader_feed(&r, slice_make(block, n), &taken);
		free(block);
		at += taken;
		REQUIRE(taken <= n && (taken == n || result == WEB_READ_REQUEST || result == WEB_READ_REFUSED));
		if (result == WEB_READ_MORE || result == WEB_READ_CONTINUE)
			continue;
		note(log, &r, result);
		if (result == WEB_READ_REFUSED)
			break;
		web_reader_next(&r);
	}
	web_reader_close(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, cut;

	if (size < 1)
		return 0;
	struct slice input = slice_make((const char *)data + 1, size - 1);
	buf_init(&whole, 0);
	buf_init(&cut, 0);
	run(input, 0, &whole);
	for (uint32_t i = 1; i <= 3; i++) {
		buf_clear(&cut);
		run(input, data[0] * 31u + i, &cut);
		REQUIRE(slice_eq(buf_slice(&whole), buf_slice(&cut)));
	}
	buf_close(&whole);
	buf_close(&cut);
	return 0;
}
