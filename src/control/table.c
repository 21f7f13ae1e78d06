#include "control/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/utf8.h"
#include "observe/redact.h"

#define GAP 2      /* spaces between columns */
#define NAME_MIN 8 /* characters of a first column that is cut */

/* How much from the start is printable ASCII; eight bytes at once as long as it lasts. */
static size_t plain_run(struct slice s)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones * 0x80;
	size_t run = 0;

	for (uint64_t x; run + sizeof x <= s.len; run += sizeof x) {
		memcpy(&x, s.ptr + run, sizeof x);
		/* A byte's top bit stays 0 when it is at least 0x20, at most 0x7e, and below 0x80. */
		if (((x - ones * 0x20) | (x + ones) | x) & tops)
			break;
	}
	while (run < s.len && (unsigned char)s.ptr[run] >= 0x20 && (unsigned char)s.ptr[run] < 0x7f)
		run++;
	return run;
}

void text_clean(struct buf *out, struct slice text)
{
	char *copy;
	struct slice s = redact_text(text, &copy);

	while (s.len > 0) {
		size_t plain = plain_run(s);
		buf_append(out, slice_make(s.ptr, plain));
		s = slice_make(s.ptr + plain, s.len - plain);
		if (s.len == 0)
			break;
		size_t n = utf8_char(s);
		unsigned char first = (unsigned char)s.ptr[0];
		/* U+0080 to U+009F steer some terminals too. */
		bool c1 = n == 2 && first == 0xc2 && (unsigned char)s.ptr[1] < 0xa0;

		if (first == '\n')
			buf_append_cstr(out, "\\n");
		else if (n == 0 || c1 || first < 0x20 || first == 0x7f)
			buf_printf(out, c1 ? "\\u%04x" : "\\x%02x", (unsigned)(unsigned char)s.ptr[c1 ? 1 : 0]);
		else
			buf_append(out, slice_make(s.ptr, n));
		if (n == 0)
			n = 1;
		s = slice_make(s.ptr + n, s.len - n);
	}
	free(copy);
}

void text_lines(struct buf *out, const char *indent, const char *text)
{
	while (*text) {
		size_t length = strcspn(text, "\n");
		buf_append_cstr(out, indent);
		text_clean(out, slice_make(text, length));
		buf_append_char(out, '\n');
		text += length + (text[length] == '\n');
	}
}

static void wrap_line(struct buf *out, const char *indent, struct slice line, unsigned width)
{
	size_t used = strlen(indent);

	buf_append_cstr(out, indent);
	for (bool first = true; line.len > 0; first = false) {
		ptrdiff_t blank = slice_find(line, SLICE(" "));
		struct slice word = slice_make(line.ptr, blank == -1 ? line.len : (size_t)blank);
		size_t length = 0;
		for (size_t i = 0; i < word.len; i++)
			length += ((unsigned char)word.ptr[i] & 0xc0) != 0x80;
		if (!first && used + 1 + length > width) {
			buf_printf(out, "\n%s  ", indent);
			used = strlen(indent) + 2;
		} else if (!first) {
			buf_append_char(out, ' ');
			used++;
		}
		buf_append(out, word);
		used += length;
		size_t taken = word.len + (blank != -1);
		line = slice_make(line.ptr + taken, line.len - taken);
	}
	buf_append_char(out, '\n');
}

void text_wrapped(struct buf *out, const char *indent, const char *text, unsigned width)
{
	struct buf clean;

	buf_init(&clean, 0);
	while (*text) {
		size_t length = strcspn(text, "\n");
		buf_clear(&clean);
		text_clean(&clean, slice_make(text, length));
		wrap_line(out, indent, buf_slice(&clean), width);
		text += length + (text[length] == '\n');
	}
	buf_close(&clean);
}

static size_t characters(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += ((unsigned char)*text & 0xc0) != 0x80;
	return count;
}

void table_init(struct table *table, const struct table_column *columns, size_t column_count)
{
	*table = (struct table){ .columns = columns, .column_count = column_count };
	buf_init(&table->text, 0);
	for (size_t i = 0; i < column_count; i++)
		table->widths[i] = strlen(columns[i].title);
}

void table_cell(struct table *table, const char *format, ...)
{
	size_t column = table->cells++ % table->column_count, start = buf_len(&table->text), width;
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	text_clean(&table->text, text[0] == '\0' ? SLICE("-") : slice_cstr(text));
	buf_append_char(&table->text, '\0');
	width = characters(buf_slice(&table->text).ptr + start);
	if (width > table->widths[column])
		table->widths[column] = width;
}

static void print_cell(const struct table *table, size_t column, const char *text, struct buf *out)
{
	size_t width = characters(text), pad = table->widths[column] > width ? table->widths[column] - width : 0;
	if (width > table->widths[column]) {
		size_t kept = 0, end = 0;
		for (; text[end] && (kept += ((unsigned char)text[end] & 0xc0) != 0x80) < table->widths[column]; end++)
			continue;
		buf_printf(out, "%.*s\u2026%*s", (int)end, text, GAP, "");
		return;
	}
	bool last = column + 1 == table->column_count;

	if (table->columns[column].right)
		buf_printf(out, "%*s%s", (int)pad, "", text);
	else
		buf_printf(out, "%s%*s", text, last ? 0 : (int)pad, "");
	buf_printf(out, "%*s", last ? 0 : GAP, "");
	if (last)
		buf_append_char(out, '\n');
}

void table_print(struct table *table, const char *indent, struct buf *out)
{
	const char *cell = buf_slice(&table->text).ptr;

	buf_append_cstr(out, indent);
	for (size_t i = 0; i < table->column_count; i++)
		print_cell(table, i, table->columns[i].title, out);
	for (size_t i = 0; i < table->cells; i++) {
		if (i % table->column_count == 0)
			buf_append_cstr(out, indent);
		print_cell(table, i % table->column_count, cell, out);
		cell += strlen(cell) + 1;
	}
	buf_close(&table->text);
}

void table_print_within(struct table *table, unsigned width, struct buf *out)
{
	size_t total = (table->column_count - 1) * GAP;

	for (size_t i = 0; i < table->column_count; i++)
		total += table->widths[i];
	if (total > width) {
		size_t over = total - width, first = table->widths[0];
		table->widths[0] = first > over + NAME_MIN ? first - over : first < NAME_MIN ? first : NAME_MIN;
	}
	table_print(table, "", out);
}

const char *text_time(double epoch, char out[TEXT_SHORT])
{
	time_t seconds = (time_t)epoch;
	struct tm tm;

	if (!localtime_r(&seconds, &tm) || strftime(out, TEXT_SHORT, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(out, TEXT_SHORT, "%.0f", epoch);
	return out;
}

const char *text_age(double seconds, char out[TEXT_SHORT])
{
	if (!(seconds > 0))
		seconds = 0;
	unsigned long long s = seconds < 1e15 ? (unsigned long long)seconds : 0;

	if (seconds < 10)
		snprintf(out, TEXT_SHORT, "%.1f s", seconds);
	else if (s < 60)
		snprintf(out, TEXT_SHORT, "%llu s", s);
	else if (s < 3600)
		snprintf(out, TEXT_SHORT, "%llu m %llu s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, TEXT_SHORT, "%llu h %llu m", s / 3600, s / 60 % 60);
	else
		snprintf(out, TEXT_SHORT, "%llu d %llu h", s / 86400, s / 3600 % 24);
	return out;
}

const char *text_bytes(uint64_t bytes, char out[TEXT_SHORT])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < sizeof units / sizeof *units) {
		value /= 1024;
		unit++;
	}
	snprintf(out, TEXT_SHORT, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
	return out;
}
