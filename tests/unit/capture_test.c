/* What a recording shows of secrets: nothing, wherever they stand, and every other byte as it came. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "check.h"
#include "control/capture.h"
#include "observe/redact.h"

#define BANNER "Asterisk Call Manager/9.0.0\r\n"

static void take(void *ctx, struct slice bytes, double at)
{
	(void)at;
	if (buf_append(ctx, bytes) == -1)
		abort();
}

/* What is recorded of `text`, which comes in pieces of `chunk` bytes; the caller frees it. */
static char *record(struct slice text, size_t chunk)
{
	struct capture capture;
	struct buf out;

	buf_init(&out, 0);
	capture_init(&capture, take, &out);
	for (size_t i = 0; i < text.len; i += chunk)
		capture_feed(&capture, slice_make(text.ptr + i, chunk < text.len - i ? chunk : text.len - i), 1);
	capture_end(&capture, 1);
	capture_close(&capture);
	CHECK(buf_len(&out) == text.len);
	char *copy = mem_slicedup(buf_slice(&out));
	buf_close(&out);
	return copy;
}

static void masks_secrets_wherever_they_stand(void)
{
	static const char *const cases[][2] = {
		/* In front of a colon, as old versions show the output of Command. */
		{ "Response: Follows\r\nwombat-4711@pbx:5038  up\n--END COMMAND--\r\n\r\n", "Response: Follows\r\n***********@pbx:5038  up\n--END COMMAND--\r\n\r\n" },
		{ "Output: x wombat-4711@pbx: up\r\n\r\n", "Output: x ***********@pbx: up\r\n\r\n" },
		{ "wombat-4711: x\r\n\r\n", "***********: x\r\n\r\n" },
		/* Part of the name, of the value and the colon between them. */
		{ "aab:cdd: e\r\n\r\n", "a*****d: e\r\n\r\n" },
		/* The value before its name. */
		{ "Event: VarSet\r\nValue: hidden\r\nVariable: PASSWORD\r\n\r\n", "Event: VarSet\r\nValue: ******\r\nVariable: PASSWORD\r\n\r\n" },
		{ "Event: VarSet\r\nValue: open\r\nVariable: x\r\n\r\n", "Event: VarSet\r\nValue: open\r\nVariable: x\r\n\r\n" },
		{ "Event: DBGetResponse\r\nVal: hidden\r\nKey: a/secret\r\n\r\n", "Event: DBGetResponse\r\nVal: ******\r\nKey: a/secret\r\n\r\n" },
		/* A frame says nothing about the next one. */
		{ "Variable: PASSWORD\r\n\r\nValue: open\r\n\r\n", "Variable: PASSWORD\r\n\r\nValue: open\r\n\r\n" },
		/* A pair goes to the end of its own line, and no further than its value. */
		{ "Output:   Secret : two words\r\nOutput: a\r\n\r\n", "Output:   Secret : *********\r\nOutput: a\r\n\r\n" },
		{ "Output: (token: abc) x\r\n\r\n", "Output: (token: **** x\r\n\r\n" },
		/* A secret of several lines, of which the line ends stay. */
		{ "Output: one\r\ntwo3 x\r\n\r\n", "Output: ***\r\n**** x\r\n\r\n" },
		/* A frame without an end. */
		{ "Event: A\r\nValue: hidden\r\nVariable: TOKEN", "Event: A\r\nValue: ******\r\nVariable: TOKEN" },
		{ "\r\n\n\r\nEvent: A\r\n\r\n", "\r\n\n\r\nEvent: A\r\n\r\n" },
	};

	redact_add_value("wombat-4711");
	redact_add_value("ab:cd");
	redact_add_value("one\r\ntwo3");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *text = mem_printf(BANNER "%s", cases[i][0]), *wanted = mem_printf(BANNER "%s", cases[i][1]);
		for (size_t chunk = 1; chunk < 200; chunk += chunk < 20 ? 1 : 60) {
			char *got = record(slice_cstr(text), chunk);
			if (strcmp(got, wanted) != 0)
				fprintf(stderr, "in pieces of %zu:\n%s\nbecame\n%s\n", chunk, text, got);
			CHECK(strcmp(got, wanted) == 0);
			free(got);
		}
		free(text);
		free(wanted);
	}
	redact_clear();
}

static void masks_secrets_in_frames_of_any_length(void)
{
	static const char secret[] = "wombat-4711";
	size_t len = 3 * CAPTURE_FRAME_MAX;
	char *text = mem_alloc(len + 1);
	size_t first = sizeof BANNER - 1;

	redact_add_value(secret);
	/* Many lines in one frame, each with a secret. */
	memcpy(text, BANNER, first);
	for (size_t i = first; i < len; i++)
		text[i] = "Value: hidden Output: a wombat-4711 b\r\n"[(i - first) % 39];
	char *got = record(slice_make(text, len), 65536);
	CHECK(memmem(got, len, secret, sizeof secret - 1) == NULL && memmem(got, len, "hidden", 6) == NULL);
	for (size_t i = first + 39; i < len; i += 39)
		CHECK(got[i - 1] == '\n' && memcmp(got + i - 39, "Value: ", 7) == 0);
	free(got);
	/* One line that never ends, a secret wherever it could be cut; then a good frame. */
	memset(text, 'x', len);
	memcpy(text, "Secret: ", 8);
	memcpy(text + CAPTURE_FRAME_MAX - 5, secret, sizeof secret - 1);
	memcpy(text + CAPTURE_FRAME_MAX + 65536 - 5, secret, sizeof secret - 1);
	memcpy(text + len - 4, "\r\n\r\n", 4);
	struct buf all;
	buf_init(&all, 0);
	CHECK(buf_append(&all, SLICE(BANNER)) == 0 && buf_append(&all, slice_make(text, len)) == 0 && buf_append(&all, SLICE("Event: A\r\nValue: b\r\n\r\n")) == 0);
	for (size_t chunk = 4096; chunk < len; chunk *= 4) {
		got = record(buf_slice(&all), chunk);
		CHECK(memmem(got, buf_len(&all), secret, sizeof secret - 1) == NULL && memmem(got, buf_len(&all), "xxxx", 4) == NULL);
		CHECK(memcmp(got + buf_len(&all) - 26, "\r\n\r\nEvent: A\r\nValue: b\r\n\r\n", 26) == 0);
		free(got);
	}
	buf_close(&all);
	free(text);
	redact_clear();
}

int main(void)
{
	masks_secrets_wherever_they_stand();
	masks_secrets_in_frames_of_any_length();
	return check_report();
}
