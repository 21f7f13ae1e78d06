#include "control/capture.h"

#include <stdlib.h>

#include "engine/headers.h"
#include "observe/redact.h"

void capture_init(struct capture *capture, void (*write)(void *ctx, struct slice bytes, double at), void *ctx)
{
	*capture = (struct capture){ .write = write, .ctx = ctx };
	buf_init(&capture->held, 0);
	buf_init(&capture->copy, 0);
}

void capture_close(struct capture *capture)
{
	buf_close(&capture->held);
	buf_close(&capture->copy);
}

/* ---- masking ---- */

/* The next line of `rest`, without its end, which is taken off `rest`. */
static struct slice take_line(struct slice *rest)
{
	const char *end = memchr(rest->ptr, '\n', rest->len);
	size_t whole = end ? (size_t)(end - rest->ptr) + 1 : rest->len, len = end ? whole - 1 : whole;
	struct slice line = slice_make(rest->ptr, len > 0 && rest->ptr[len - 1] == '\r' ? len - 1 : len);

	*rest = slice_make(rest->ptr + whole, rest->len - whole);
	return line;
}

/* Without a colon the whole line is the value. */
static void split_line(struct slice line, struct slice *name, struct slice *value)
{
	const char *colon = memchr(line.ptr, ':', line.len);
	size_t start = colon ? (size_t)(colon - line.ptr) + 1 : 0;

	*name = slice_make(line.ptr, colon ? start - 1 : 0);
	while (start < line.len && line.ptr[start] == ' ')
		start++;
	*value = slice_make(line.ptr + start, line.len - start);
}

static void mask_all(char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != '\r' && bytes[i] != '\n')
			bytes[i] = '*';
}

/* What the headers of these lines say about each other. */
static struct header_context read_context(const struct capture *capture, struct slice rest)
{
	struct header_context context = { .named = capture->long_frame };

	while (rest.len > 0) {
		struct slice line = take_line(&rest), name, value;
		split_line(line, &name, &value);
		header_is_secret(&context, name, value);
	}
	return context;
}

/* Masks the lines in the first `part` of the `len` bytes from `from` on; a known value may go on behind them. The secrets are looked for in a
 * copy, so that none hides behind another one's asterisks. */
static void mask(struct capture *capture, size_t from, size_t part, size_t len)
{
	char *bytes = capture->held.data + capture->held.head + from;
	struct slice text, rest, name, value;

	buf_clear(&capture->copy);
	buf_append(&capture->copy, slice_make(bytes, len)); /* there is memory for it: see capture_feed() */
	text = buf_slice(&capture->copy);
	redact_mask_values(bytes, text);
	rest = slice_make(text.ptr, part);
	struct header_context context = read_context(capture, rest);
	while (rest.len > 0) {
		struct slice line = take_line(&rest);
		split_line(line, &name, &value);
		/* To redact_mask() the line Key: x is a secret with its name. */
		if (!header_is_entry(&context, name))
			redact_mask(bytes + (line.ptr - text.ptr), line);
		if (header_is_secret(&context, name, value))
			mask_all(bytes + (value.ptr - text.ptr), value.len);
		else
			redact_mask(bytes + (value.ptr - text.ptr), value);
	}
}

static void write_out(struct capture *capture, size_t len, double at)
{
	capture->write(capture->ctx, slice_make(buf_slice(&capture->held).ptr, len), at);
	buf_consume(&capture->held, len);
	capture->seen = len < capture->seen ? capture->seen - len : 0;
}

/* ---- frames ---- */

/* Masks the frames that have ended and returns their length. A frame ends with an empty line, the banner is a line. */
static size_t mask_frames(struct capture *capture)
{
	struct slice held = buf_slice(&capture->held), rest = slice_make(held.ptr + capture->seen, held.len - capture->seen);
	size_t done = 0;

	while (memchr(rest.ptr, '\n', rest.len)) {
		struct slice line = take_line(&rest);
		if (line.len > 0 && capture->begun)
			continue;
		mask(capture, done, held.len - rest.len - done, held.len - rest.len - done);
		done = held.len - rest.len;
		capture->begun = true;
		capture->long_frame = false;
	}
	capture->seen = held.len - rest.len;
	return done;
}

/* The rest of a line of which the beginning has been written. False: it has not ended yet. */
static bool write_long_line(struct capture *capture, double at)
{
	struct slice held = buf_slice(&capture->held);
	const char *end = memchr(held.ptr, '\n', held.len);
	size_t len = end ? (size_t)(end - held.ptr) + 1 : held.len;

	capture->long_line = !end;
	if (len > 0) {
		mask_all(capture->held.data + capture->held.head, len);
		write_out(capture, len, at);
	}
	return end;
}

/* More is held than a frame may have: writes its lines, but for the last bytes, in which a known value may have begun. */
static void write_part(struct capture *capture, double at)
{
	struct slice held = buf_slice(&capture->held);
	size_t longest = redact_longest_value();
	const char *last = held.len > longest ? memrchr(held.ptr, '\n', held.len - longest) : NULL;

	capture->long_frame = true;
	if (last) {
		size_t part = (size_t)(last - held.ptr) + 1;
		mask(capture, 0, part, held.len);
		write_out(capture, part, at);
	} else {
		write_long_line(capture, at);
	}
}

int capture_feed(struct capture *capture, struct slice bytes, double at)
{
	size_t done;

	buf_clear(&capture->copy);
	if (!buf_reserve(&capture->copy, buf_len(&capture->held) + bytes.len) || buf_append(&capture->held, bytes) == -1)
		return -1;
	if (capture->long_line && !write_long_line(capture, at))
		return 0;
	if ((done = mask_frames(capture)) > 0)
		write_out(capture, done, at);
	while (buf_len(&capture->held) > CAPTURE_FRAME_MAX)
		write_part(capture, at);
	return 0;
}

void capture_end(struct capture *capture, double at)
{
	size_t len = buf_len(&capture->held);

	if (capture->long_line)
		write_long_line(capture, at);
	else if (len > 0) {
		mask(capture, 0, len, len);
		write_out(capture, len, at);
	}
}
