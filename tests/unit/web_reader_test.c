/* Requests that must be read, and every form by which one request could hide in another or come to a place that is not its own. */
#include <stdlib.h>

#include "base/mem.h"
#include "check.h"
#include "web/web_reader.h"

#define HEAD_MAX 2048
#define BODY_MAX 64

/* Reads all of `bytes`, `step` at a time, until a request is whole or refused. */
static enum web_read read_all(struct web_reader *r, struct slice bytes, size_t step, size_t *taken)
{
	enum web_read result = WEB_READ_MORE;

	*taken = 0;
	while (*taken < bytes.len && result != WEB_READ_REQUEST && result != WEB_READ_REFUSED) {
		size_t n = bytes.len - *taken < step ? bytes.len - *taken : step, got;
		/* A block of just that size, so that a read beyond it is seen. */
		char *block = mem_alloc(n);
		memcpy(block, bytes.ptr + *taken, n);
		result = web_reader_feed(r, slice_make(block, n), &got);
		free(block);
		*taken += got;
		if (result == WEB_READ_MORE && got != n)
			return WEB_READ_REFUSED;
	}
	return result;
}

#define H "Host: a.example\r\n"
#define S(literal) { literal, sizeof(literal) - 1 }

static const struct {
	struct slice bytes;
	unsigned status;
} refused[] = {
	/* two lengths */
	{ S("POST / HTTP/1.1\r\n" H "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Content-Length: 4, 4\r\n\r\nabcd"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400 },
	/* lengths that are none */
	{ S("POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Content-Length: +4\r\n\r\nabcd"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Content-Length: 0x4\r\n\r\nabcd"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Content-Length: 65\r\n\r\n"), 413 },
	/* encodings */
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501 },
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"), 501 },
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 501 },
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b" "chunked\r\n\r\n0\r\n\r\n"), 400 },
	{ S("POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400 },
	/* chunks */
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n4;a=b\r\nabcd\r\n0\r\n\r\n"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n4\nabcd\r\n0\r\n\r\n"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd0\r\n\r\n"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\n0\r\n\r\n"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n-4\r\nabcd\r\n0\r\n\r\n"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0x4\r\nabcd\r\n0\r\n\r\n"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n10000000000000004\r\nabcd\r\n0\r\n\r\n"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n41\r\n" "0123456789012345678901234567890123456789012345678901234567890123456789"), 413 },
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nab: y\r\n\r\n"), 400 },
	/* lines */
	{ S("GET / HTTP/1.1\n" H "\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\nHost: a.example\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\nHost: a.example\n\n"), 400 },
	{ S("GET / HTTP/1.1\r\nHost: a.example\r\rX: y\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n"), 400 },
	{ S("\r\nGET / HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\n X: a\r\n" H "\r\n"), 400 },
	/* fields */
	{ S("POST / HTTP/1.1\r\n" H "Content-Length : 4\r\n\r\nabcd"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Content-Length\t: 4\r\n\r\nabcd"), 400 },
	{ S("POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\n" H "nonsense\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\n" H ": x\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\n" H "X\0Y: x\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\n" H "X: a\x01" "b\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\n" H "Expect: nonsense\r\n\r\n"), 417 },
	/* Host */
	{ S("GET / HTTP/1.1\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.0\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\nHost:\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\n" H H "\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\n" H "host: b.example\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\nHost: a.example\0.b.example\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\nHost: a.example b.example\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\nHost: a.example/x\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\nHost: b@a.example\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\nHost: a.example:80x\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), 400 },
	{ S("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"), 400 },
	/* targets */
	{ S("GET http://b.example/ HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET http:///x HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET b.example:443 HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("CONNECT b.example:443 HTTP/1.1\r\n" H "\r\n"), 501 },
	{ S("CONNECT / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nGET /"), 501 },
	{ S("OPTIONS * HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET x HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /a b HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET  / HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET\t/ HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /a#b HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /.. HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /a/../b HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /a/./b HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /a/%2e%2e/b HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /a/.%2E HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /a%2fb HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /a%5c..%5cb HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /a\\b HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /a//b HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET //a.example/b HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /a%00b HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /a%0d%0aX:%20y HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /a%2 HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /a%zz HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /%c3%28 HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /%c0%ae%c0%ae/ HTTP/1.1\r\n" H "\r\n"), 400 },
	/* versions and methods */
	{ S("GET / HTTP/2.0\r\n" H "\r\n"), 505 },
	{ S("GET / HTTP/1.2\r\n" H "\r\n"), 505 },
	{ S("GET / http/1.1\r\n" H "\r\n"), 400 },
	{ S("GET /\r\n" H "\r\n"), 400 },
	{ S("NONSENSE / HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("get / HTTP/1.1\r\n" H "\r\n"), 400 },
	{ S("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505 },
	{ S("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 400 },
};

static void test_refuses(void)
{
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		for (size_t step = 1; step < 300; step += 97) {
			struct web_reader r;
			size_t taken, again;
			web_reader_init(&r, HEAD_MAX, BODY_MAX);
			enum web_read result = read_all(&r, refused[i].bytes, step, &taken);
			if (!check_that(result == WEB_READ_REFUSED && r.status == refused[i].status && r.reason, refused[i].bytes.ptr, __FILE__, (int)i))
				printf("  %u %s\n", r.status, r.reason ? r.reason : "-");
			/* For good. */
			CHECK(web_reader_feed(&r, SLICE("GET / HTTP/1.1\r\n" H "\r\n"), &again) == WEB_READ_REFUSED && again == 0);
			web_reader_close(&r);
		}
}

static void test_reads(void)
{
	static const struct {
		struct slice bytes;
		const char *path, *query, *host, *body;
		bool keep_alive;
	} good[] = {
		{ S("GET / HTTP/1.1\r\n" H "\r\n"), "/", "", "a.example", "", true },
		{ S("GET /api/calls?state=up&from=%2B49 HTTP/1.1\r\nHost: [::1]:8080\r\nConnection: close\r\n\r\n"), "/api/calls", "state=up&from=%2B49", "[::1]", "", false },
		{ S("GET /a%20b/%C3%A4/.../.x HTTP/1.1\r\nhost: A.Example:80\r\n\r\n"), "/a b/\xc3\xa4/.../.x", "", "A.Example", "", true },
		{ S("GET /a/ HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"), "/a/", "", "127.0.0.1", "", false },
		{ S("GET http://a.example/x?y HTTP/1.1\r\n" H "\r\n"), "/x", "y", "a.example", "", true },
		{ S("POST /x HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nabcd"), "/x", "", "a.example", "abcd", true },
		{ S("POST /x HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"), "/x", "", "a.example", "", true },
		{ S("POST /x HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n4\r\na\r\nb\r\nA\r\n0123456789\r\n0\r\n\r\n"), "/x", "", "a.example", "a\r\nb0123456789", true },
		{ S("POST /x HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n\n"), "/x", "", "a.example", "\n", true },
		/* An upgrade is not taken up. */
		{ S("GET /x HTTP/1.1\r\n" H "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n"), "/x", "", "a.example", "", true },
	};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		for (size_t step = 1; step < 300; step += 49) {
			struct web_reader r;
			struct buf twice;
			size_t taken;
			buf_init(&twice, 0);
			buf_append(&twice, good[i].bytes);
			buf_append(&twice, SLICE("GET /next HTTP/1.1\r\n" H "\r\n"));
			web_reader_init(&r, HEAD_MAX, BODY_MAX);
			CHECK(!web_reader_begun(&r));
			enum web_read result = read_all(&r, buf_slice(&twice), step, &taken);
			const struct web_request *q = &r.request;
			if (CHECK_NAMED(result == WEB_READ_REQUEST, good[i].bytes.ptr)) {
				CHECK(taken == good[i].bytes.len);
				CHECK(slice_eq(q->path, slice_cstr(good[i].path)) && slice_eq(q->query, slice_cstr(good[i].query)));
				CHECK(slice_eq(q->host, slice_cstr(good[i].host)) && slice_eq(q->body, slice_cstr(good[i].body)));
				CHECK(q->keep_alive == good[i].keep_alive);
				CHECK(slice_starts_with(good[i].bytes, q->method));
			} else {
				printf("  %u %s\n", r.status, r.reason ? r.reason : "-");
			}
			/* What stands behind it is a request of its own. */
			web_reader_next(&r);
			buf_consume(&twice, taken);
			CHECK(read_all(&r, buf_slice(&twice), step, &taken) == WEB_READ_REQUEST && slice_eq(r.request.path, SLICE("/next")));
			web_reader_close(&r);
			buf_close(&twice);
		}
}

static void test_bounds(void)
{
	struct web_reader r;
	struct buf text;
	size_t taken;

	buf_init(&text, 0);
	web_reader_init(&r, HEAD_MAX, BODY_MAX);
	buf_append_cstr(&text, "GET /");
	for (int i = 0; i < HEAD_MAX; i++)
		buf_append_char(&text, 'a');
	CHECK(read_all(&r, buf_slice(&text), 300, &taken) == WEB_READ_REFUSED && r.status == 414);
	web_reader_next(&r);
	buf_clear(&text);
	buf_append_cstr(&text, "GET / HTTP/1.1\r\n" H "X: ");
	for (int i = 0; i < HEAD_MAX; i++)
		buf_append_char(&text, 'a');
	CHECK(read_all(&r, buf_slice(&text), 300, &taken) == WEB_READ_REFUSED && r.status == 431);
	web_reader_next(&r);
	buf_clear(&text);
	buf_append_cstr(&text, "GET / HTTP/1.1\r\n" H);
	for (int i = 0; i < WEB_HEADERS_MAX; i++)
		buf_append_cstr(&text, "A: b\r\n");
	buf_append_cstr(&text, "\r\n");
	CHECK(read_all(&r, buf_slice(&text), 300, &taken) == WEB_READ_REFUSED && r.status == 431);
	web_reader_close(&r);
	buf_close(&text);
}

static void test_continue(void)
{
	struct web_reader r;
	size_t taken;

	web_reader_init(&r, HEAD_MAX, BODY_MAX);
	CHECK(web_reader_feed(&r, SLICE("POST /x HTTP/1.1\r\n" H "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"), &taken) == WEB_READ_CONTINUE);
	CHECK(web_reader_feed(&r, SLICE("a"), &taken) == WEB_READ_MORE && taken == 1);
	CHECK(web_reader_feed(&r, SLICE("bGET"), &taken) == WEB_READ_REQUEST && taken == 1);
	web_reader_next(&r);
	CHECK(web_reader_feed(&r, SLICE("POST /x HTTP/1.1\r\n" H "Content-Length: 2\r\nExpect: 100-continue\r\n\r\na"), &taken) == WEB_READ_MORE);
	web_reader_close(&r);
}

static void test_parts(void)
{
	struct web_reader r;
	struct buf out;
	size_t taken, cursor = 0, name;

	buf_init(&out, 0);
	web_reader_init(&r, HEAD_MAX, BODY_MAX);
	CHECK(web_reader_feed(&r, SLICE("GET /?a=1&&b+c=%26%3D=&d HTTP/1.1\r\n" H "X-A:  one \r\nx-a: two\r\n\r\n"), &taken) == WEB_READ_REQUEST);
	CHECK(slice_eq(web_request_header(&r.request, SLICE("X-a")), SLICE("one")) && !web_request_header(&r.request, SLICE("Y")).ptr);
	CHECK(web_request_query(r.request.query, &cursor, &out, &name) == 1 && name == 1 && slice_eq(buf_slice(&out), SLICE("a1")));
	CHECK(web_request_query(r.request.query, &cursor, &out, &name) == 1 && name == 3 && slice_eq(buf_slice(&out), SLICE("b c&==")));
	CHECK(web_request_query(r.request.query, &cursor, &out, &name) == 1 && name == 1 && slice_eq(buf_slice(&out), SLICE("d")));
	CHECK(web_request_query(r.request.query, &cursor, &out, &name) == 0);
	cursor = 0;
	CHECK(web_request_query(SLICE("a=%"), &cursor, &out, &name) == -1);
	cursor = 0;
	CHECK(web_request_query(SLICE("a=%00"), &cursor, &out, &name) == -1);
	web_reader_close(&r);
	buf_close(&out);
}

int main(void)
{
	test_refuses();
	test_reads();
	test_bounds();
	test_continue();
	test_parts();
	return check_report();
}
