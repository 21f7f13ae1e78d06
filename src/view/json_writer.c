#include "view/json_writer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "observe/redact.h"

void writer_init(struct writer *writer, struct buf *out)
{
	*writer = (struct writer){ .out = out };
}

static void put_comma(struct writer *writer)
{
	if (writer->more)
		buf_append_char(writer->out, ',');
	writer->more = true;
}

static void put_masked(struct writer *writer, struct slice text)
{
	char *copy;

	buf_append_json(writer->out, redact_text(text, &copy));
	free(copy);
}

static void put_key(struct writer *writer, const char *key)
{
	put_comma(writer);
	if (key) {
		buf_append_json(writer->out, slice_cstr(key));
		buf_append_char(writer->out, ':');
	}
}

static void put_slice_key(struct writer *writer, struct slice key)
{
	put_comma(writer);
	put_masked(writer, key);
	buf_append_char(writer->out, ':');
}

void writer_open_slice(struct writer *writer, struct slice key, char bracket)
{
	put_slice_key(writer, key);
	buf_append_char(writer->out, bracket);
	writer->more = false;
}

void writer_slice(struct writer *writer, struct slice key, struct slice text)
{
	put_slice_key(writer, key);
	put_masked(writer, text);
}

void writer_item(struct writer *writer, struct slice text)
{
	put_comma(writer);
	put_masked(writer, text);
}

void writer_open(struct writer *writer, const char *key, char bracket)
{
	put_key(writer, key);
	buf_append_char(writer->out, bracket);
	writer->more = false;
}

void writer_close(struct writer *writer, char bracket)
{
	buf_append_char(writer->out, bracket);
	writer->more = true;
}

void writer_text(struct writer *writer, const char *key, const char *text)
{
	if (!text) {
		writer_null(writer, key);
		return;
	}
	put_key(writer, key);
	put_masked(writer, slice_cstr(text));
}

void writer_integer(struct writer *writer, const char *key, uint64_t value)
{
	put_key(writer, key);
	buf_printf(writer->out, "%" PRIu64, value);
}

void writer_number(struct writer *writer, const char *key, double value)
{
	if (!isfinite(value)) {
		writer_null(writer, key);
		return;
	}
	put_key(writer, key);
	buf_printf(writer->out, "%.6f", value);
}

void writer_bool(struct writer *writer, const char *key, bool value)
{
	put_key(writer, key);
	buf_append_cstr(writer->out, value ? "true" : "false");
}

void writer_json(struct writer *writer, const char *key, struct slice json)
{
	char *copy;

	put_key(writer, key);
	buf_append(writer->out, redact_text(json, &copy));
	free(copy);
}

void writer_null(struct writer *writer, const char *key)
{
	put_key(writer, key);
	buf_append_cstr(writer->out, "null");
}

void writer_lines(struct writer *writer, const char *key, const char *text)
{
	writer_open(writer, key, '[');
	while (*text) {
		size_t length = strcspn(text, "\n");
		writer_item(writer, slice_make(text, length));
		text += length + (text[length] == '\n');
	}
	writer_close(writer, ']');
}
