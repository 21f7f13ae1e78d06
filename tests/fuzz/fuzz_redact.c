/* Secrets are planted in any bytes: no output of the masking shows one, and a recording keeps its length, its line ends and
 * every byte that is not masked, however its bytes come. */
#include <string.h>

#include "base/buf.h"
#include "control/capture.h"
#include "observe/redact.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Known values, one that only its name or another header gives away, and one that a pattern matches. None can stand in what the
 * fuzzer makes: their letters are taken out of it. */
#define KNOWN "QZQZ@Q:Z Q"
#define LINES "QQZ\r\nZZQ"
#define NAMED "ZQZQ-77"
#define CARD "ZZZ1234-5678"
#define BANNER "Asterisk Call Manager/9.0.0\r\n"

enum plant { PLANT_KNOWN, PLANT_LINES, PLANT_PATTERN, PLANT_EQUALS, PLANT_HEADER, PLANT_JSON, PLANT_VARIABLE, PLANT_VALUE_FIRST, PLANT_DATABASE, PLANTS };

static bool shows(struct slice text)
{
	static const char *const secrets[] = { KNOWN, LINES, NAMED, CARD, "QQZ", "ZZQ", "1234-" };

	for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
		if (slice_find(text, slice_cstr(secrets[i])) != -1)
			return true;
	return false;
}

/* The fuzzer's bytes: no letter of a secret, and, where both parts must stay in one frame, no empty line. */
static void add_bytes(struct buf *out, const uint8_t *bytes, size_t len, bool lines)
{
	for (size_t i = 0; i < len; i++) {
		char c = (char)bytes[i];
		if (c == 'Q' || c == 'Z' || c == '-')
			c = 'q';
		if (lines && (c == '\n' || c == '\r'))
			c = ' ';
		REQUIRE(buf_append_char(out, c) == 0);
	}
}

static void plant(struct buf *out, enum plant kind, const uint8_t *between, size_t len)
{
	static const char *const texts[PLANTS] = {
		[PLANT_KNOWN] = KNOWN, [PLANT_LINES] = LINES, [PLANT_PATTERN] = CARD, [PLANT_EQUALS] = "password=" NAMED, [PLANT_HEADER] = "\r\nSecret: a " NAMED "\r\n", [PLANT_JSON] = "{\"token\":\"" NAMED "\"}",
	};

	if (texts[kind]) {
		buf_append_cstr(out, texts[kind]);
		return;
	}
	const char *first = kind == PLANT_VARIABLE ? "Variable: PASSWORD" : kind == PLANT_VALUE_FIRST ? "Value: " NAMED : "Key: a/secret";
	const char *second = kind == PLANT_VARIABLE ? "Value: " NAMED : kind == PLANT_VALUE_FIRST ? "Variable: PASSWORD" : "Val: " NAMED;
	/* A header has an end in front and behind; what is between them is one header more. */
	buf_append_cstr(out, kind == PLANT_DATABASE ? "\r\n\r\nEvent: DBGetResponse\r\n" : "\r\n");
	buf_printf(out, "%s\r\nX: ", first);
	add_bytes(out, between, len, true);
	buf_printf(out, "\r\n%s\r\n", second);
}

static void take(void *ctx, struct slice bytes, double at)
{
	(void)at;
	REQUIRE(buf_append(ctx, bytes) == 0);
}

static void record(struct slice text, size_t chunk, struct buf *out)
{
	struct capture capture;

	capture_init(&capture, take, out);
	for (size_t i = 0; i < text.len; i += chunk)
		capture_feed(&capture, slice_make(text.ptr + i, chunk < text.len - i ? chunk : text.len - i), 1);
	capture_end(&capture, 1);
	capture_close(&capture);
}

static void check_recording(struct slice text, size_t chunk)
{
	struct buf whole, pieces;

	buf_init(&whole, 0);
	buf_init(&pieces, 0);
	record(text, text.len, &whole);
	record(text, chunk, &pieces);
	REQUIRE(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
	REQUIRE(buf_len(&whole) == text.len && !shows(buf_slice(&whole)));
	for (size_t i = 0; i < text.len; i++) {
		char c = buf_slice(&whole).ptr[i];
		REQUIRE(c == text.ptr[i] || (c == '*' && text.ptr[i] != '\n'));
	}
	buf_close(&whole);
	buf_close(&pieces);
}

/* Free text: what needs other headers is no secret there. */
static void check_text(struct slice text, size_t cap)
{
	char *copy, out[512];
	size_t used;

	REQUIRE(!shows(redact_text(text, &copy)));
	free(copy);
	size_t len = redact_copy(out, cap, text, &used);
	REQUIRE(len <= cap && used <= text.len && !shows(slice_make(out, len)));
	/* Not even the beginning of one. */
	for (size_t n = 2; n < sizeof KNOWN && n <= len; n++)
		REQUIRE(memcmp(out + len - n, KNOWN, n) != 0);
}

static void prepare(void)
{
	static char card[] = "ZZZ[0-9]{4}-[0-9]{4}", *const cards[] = { card };
	static bool done;
	struct err err;

	if (done)
		return;
	redact_add_value(KNOWN);
	redact_add_value(LINES);
	struct redact_patterns *patterns = redact_patterns_create(NULL, 0, cards, 1, &err);
	REQUIRE(patterns);
	redact_use(&patterns);
	done = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf text;

	if (size < 6)
		return 0;
	enum plant kind = data[0] % PLANTS;
	size_t chunk = data[1] + 1u, cap = data[2] * 2u, len = size - 5;
	size_t before = len * data[3] / 256, between = (len - before) * data[4] / 256;

	prepare();
	buf_init(&text, 0);
	buf_append_cstr(&text, BANNER);
	add_bytes(&text, data + 5, before, false);
	plant(&text, kind, data + 5 + before, between);
	add_bytes(&text, data + 5 + before + between, len - before - between, false);
	check_recording(buf_slice(&text), chunk);
	if (kind <= PLANT_JSON)
		check_text(buf_slice(&text), cap);
	buf_close(&text);
	return 0;
}
