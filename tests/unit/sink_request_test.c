/* What a sink makes of the answer to a delivery, and which headers it may be given. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "engine/sink_request.h"

static enum sink_verdict verdict(unsigned status, enum err_code code)
{
	struct http_response *r = code == ERR_NONE ? http_response_create() : http_response_failed(code, "test");
	r->status = status;
	enum sink_verdict v = sink_verdict(r);
	http_response_free(&r);
	return v;
}

static void test_verdicts(void)
{
	static const unsigned of_sink[] = { 401, 403, 404, 405, 407, 408, 421, 423, 425, 429 };

	for (unsigned status = 100; status <= 600; status++) {
		enum sink_verdict wanted = status >= 200 && status <= 299 ? SINK_DELIVERED : status >= 400 && status <= 499 ? SINK_REFUSED : SINK_LATER;
		for (size_t i = 0; i < sizeof of_sink / sizeof *of_sink; i++)
			if (status == of_sink[i])
				wanted = SINK_LATER;
		char name[32];
		snprintf(name, sizeof name, "verdict on status %u", status);
		CHECK_NAMED(verdict(status, ERR_NONE) == wanted, name);
	}
	CHECK(verdict(0, ERR_TIMEOUT) == SINK_LATER);
	CHECK(verdict(400, ERR_LOST) == SINK_LATER);
	CHECK(verdict(200, ERR_LOST) == SINK_DELIVERED); /* taken: only the rest of the answer is lacking */
}

static double retry_after(const char *text, enum err_code code, double wall)
{
	struct http_response *r = code == ERR_NONE ? http_response_create() : http_response_failed(code, "test");
	r->status = 503;
	if (text)
		http_headers_add(&r->headers, SLICE("retry-after"), slice_cstr(text));
	double seconds = sink_retry_after(r, wall);
	http_response_free(&r);
	return seconds;
}

static void test_retry_after(void)
{
	const double wall = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT */

	CHECK(retry_after(NULL, ERR_NONE, wall) == 0);
	CHECK(retry_after("7", ERR_NONE, wall) == 7);
	CHECK(retry_after("0", ERR_NONE, wall) == 0);
	CHECK(retry_after("-7", ERR_NONE, wall) == 0);
	CHECK(retry_after("soon", ERR_NONE, wall) == 0);
	CHECK(retry_after("3600", ERR_NONE, wall) == 3600 && retry_after("3601", ERR_NONE, wall) == 3600);
	CHECK(fabs(retry_after("Sun, 06 Nov 1994 08:50:00 GMT", ERR_NONE, wall) - 23) < 1e-6);
	CHECK(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", ERR_NONE, wall) == 0);
	CHECK(retry_after("Mon, 07 Nov 1994 08:49:37 GMT", ERR_NONE, wall) == 3600);
	CHECK(retry_after("7", ERR_LOST, wall) == 0);
}

static int check_header(const char *name, const char *value, const char *hmac, struct err *err)
{
	struct config_sink sink = { .name = "crm", .url = "https://crm.example.net/", .hmac = hmac ? strdup(hmac) : NULL };

	sink.headers.type = VALUE_TABLE;
	value_add(&sink.headers, value_text(slice_cstr(name)), value_text(slice_cstr(value)));
	int rc = sink_request_check(&sink, err);
	value_close(&sink.headers);
	free(sink.hmac);
	return rc;
}

static void test_headers(void)
{
	struct err err;

	CHECK(check_header("Authorization", "Bearer x", NULL, &err) == 0);
	CHECK(check_header("idempotency-key", "x", NULL, &err) == -1 && strstr(err.text, "Idempotency-Key"));
	CHECK(check_header("X-Signature-256", "x", NULL, &err) == 0);
	CHECK(check_header("X-Signature-256", "x", "key", &err) == -1 && strstr(err.text, "X-Signature-256"));
	CHECK(check_header("X-A", "a\r\nX-B: b", NULL, &err) == -1);
}

static bool stored(struct slice line, const char *wanted, bool is_json)
{
	bool json = !is_json;
	return slice_eq(sink_line_text(line, &json), slice_cstr(wanted)) && json == is_json;
}

static void test_stored(void)
{
	CHECK(stored(SLICE("J{}"), "{}", true) && stored(SLICE("J"), "", true));
	CHECK(stored(SLICE("Ttext"), "text", false) && stored(SLICE("T"), "", false));
	CHECK(stored(slice_make("J{}", 0), "", false));
}

int main(void)
{
	test_verdicts();
	test_retry_after();
	test_headers();
	test_stored();
	return check_report();
}
