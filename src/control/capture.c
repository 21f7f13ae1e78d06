#include "control/capture.h"

#include <stdlib.h>

#include "observe/redact.h"

void capture_init(struct capture *capture, void (*write)(void *ctx, struct slice bytes, double at), void *ctx)
{
	*capture = (struct capture){ .write = write, .ctx = ctx };
	buf_init(&capture->held, 0);
}

void capture_close(struct capture *capture)
{
	buf_close(&capture->held);
}

static bool holds_secret(struct slice text)
{
	char *copy;

	redact_text(text, &copy);
	bool found = copy != NULL;
	free(copy);
	return found;
}

/* `line` without its end. */
static void mask_line(struct capture *capture, char *line, size_t len)
{
	char *colon = memchr(line, ':', len);
	struct slice name = slice_make(line, colon ? (size_t)(colon - line) : 0), value;
	size_t start = colon ? name.len + 1 : 0;

	while (start < len && line[start] == ' ')
		start++;
	value = slice_make(line + start, len - start);
	if (len == 0) {
		capture->frame = (struct header_context){ 0 };
		return;
	}
	if (header_is_secret(&capture->frame, name, value) || holds_secret(value) || holds_secret(slice_make(line, len)))
		memset(line + start, '*', len - start);
}

static void write_lines(struct capture *capture, size_t len, double at)
{
	char *bytes = capture->held.data + capture->held.head;

	for (size_t begin = 0; begin < len;) {
		char *end = memchr(bytes + begin, '\n', len - begin);
		size_t next = end ? (size_t)(end - bytes) + 1 : len, stop = end ? next - 1 : len;
		if (stop > begin && bytes[stop - 1] == '\r')
			stop--;
		mask_line(capture, bytes + begin, stop - begin);
		begin = next;
	}
	capture->write(capture->ctx, slice_make(bytes, len), at);
	buf_consume(&capture->held, len);
}

void capture_feed(struct capture *capture, struct slice bytes, double at)
{
	if (buf_append(&capture->held, bytes) == -1)
		abort(); /* unbounded: memory is out */
	struct slice held = buf_slice(&capture->held);
	const char *last = memrchr(held.ptr, '\n', held.len);
	if (last)
		write_lines(capture, (size_t)(last - held.ptr) + 1, at);
	else if (held.len > CAPTURE_LINE_MAX)
		write_lines(capture, held.len, at);
}

void capture_end(struct capture *capture, double at)
{
	if (buf_len(&capture->held) > 0)
		write_lines(capture, buf_len(&capture->held), at);
}
