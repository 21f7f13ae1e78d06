#include "cli/top_columns.h"

#include <math.h>
#include <stdio.h>

#include "control/table.h"

#define GAP 2         /* spaces between columns */
#define NAME_MIN 8    /* characters of a name that every width has */
#define TEXT_MIN 12   /* of another text that is cut */
#define ELLIPSIS "\u2026"

static const struct top_column server_columns[] = {
	{ "name", "SERVER", TOP_TEXT, 0 },
	{ "state", "STATE", TOP_TEXT, 1 },
	{ "events_per_second", "EVENTS/S", TOP_RATE, 2 },
	{ "calls", "CALLS", TOP_COUNT, 3 },
	{ "callers_waiting", "WAITING", TOP_COUNT, 4 },
	{ "longest_wait", "LONGEST", TOP_AGE, 15 },
	{ "shed_per_second", "SHED/S", TOP_RATE, 5 },
	{ "backlog_events", "BACKLOG", TOP_COUNT, 6 },
	{ "pending", "PENDING", TOP_COUNT, 7 },
	{ "heartbeat_rtt", "PING", TOP_MS, 8 },
	{ "bytes_in_per_second", "IN/S", TOP_BYTES, 10 },
	{ "bytes_out_per_second", "OUT/S", TOP_BYTES, 11 },
	{ "state_age", "FOR", TOP_AGE, 12 },
	{ "version", "AMI", TOP_TEXT, 13 },
	{ "address", "ADDRESS", TOP_TEXT, 14 },
	{ "last_reason", "LAST FAILURE", TOP_TEXT, 9 },
};

static const struct top_column queue_columns[] = {
	{ "name", "QUEUE", TOP_TEXT, 0 },
	{ "server", "SERVER", TOP_TEXT, 4 },
	{ "waiting", "WAITING", TOP_COUNT, 1 },
	{ "longest_wait", "LONGEST", TOP_AGE, 2 },
	{ "free", "FREE", TOP_COUNT, 3 },
	{ "members", "MEMBERS", TOP_COUNT, 5 },
	{ "answered_today", "ANSWERED", TOP_COUNT, 6 },
	{ "abandoned_today", "ABANDONED", TOP_COUNT, 7 },
};

static const struct top_column rule_columns[] = {
	{ "name", "RULE", TOP_TEXT, 0 },
	{ "state", "STATE", TOP_TEXT, 1 },
	{ "load", "CPU", TOP_PERCENT, 2 },
	{ "calls_per_second", "CALLS/S", TOP_RATE, 3 },
	{ "errors_per_second", "ERRORS/S", TOP_RATE, 4 },
	{ "missed_per_second", "MISSED/S", TOP_RATE, 5 },
	{ "waiting", "WAITING", TOP_COUNT, 6 },
	{ "pending", "PENDING", TOP_COUNT, 7 },
	{ "memory", "MEMORY", TOP_BYTES, 8 },
	{ "seconds", "CPU TIME", TOP_SECONDS, 9 },
	{ "errors", "ERRORS", TOP_COUNT, 10 },
	{ "missed", "MISSED", TOP_COUNT, 11 },
	{ "calls", "CALLS", TOP_COUNT, 12 },
};

static const struct top_column action_columns[] = {
	{ "action", "ACTION", TOP_TEXT, 0 },
	{ "sent_by", "SENT BY", TOP_TEXT, 2 },
	{ "age", "AGE", TOP_AGE, 1 },
	{ "left", "DEADLINE IN", TOP_AGE, 3 },
};

#define TABLE(columns) { columns, sizeof columns / sizeof *columns }
const struct top_table top_servers = TABLE(server_columns), top_queues = TABLE(queue_columns), top_rules = TABLE(rule_columns), top_actions = TABLE(action_columns);

/* "CPU TIME" is cpu_time, cpu-time or cputime. */
static bool same_name(const char *title, const char *name)
{
	for (;; title++, name++) {
		while (*title == ' ' || *title == '_')
			title++;
		while (*name == ' ' || *name == '_' || *name == '-')
			name++;
		if (slice_lower(*title) != slice_lower(*name))
			return false;
		if (*title == '\0')
			return true;
	}
}

int top_column_find(const struct top_table *table, const char *name)
{
	for (unsigned i = 0; i < table->count; i++)
		if (same_name(table->columns[i].title, name) || same_name(table->columns[i].key, name))
			return (int)i;
	return -1;
}

/* ---- cells ---- */

/* At most six characters. */
static void print_count(double value, bool whole, char *out, size_t size)
{
	if (value >= 1e9)
		snprintf(out, size, "%.1fG", value / 1e9);
	else if (value >= 1e6)
		snprintf(out, size, "%.1fM", value / 1e6);
	else if (value >= 1e5)
		snprintf(out, size, "%.0fk", value / 1e3);
	else if (whole || value >= 9.95 || value < 0.05)
		snprintf(out, size, "%.0f", value);
	else
		snprintf(out, size, "%.1f", value);
}

void top_cell(const struct top_row *row, const struct top_column *column, char *out, size_t size)
{
	struct slice text = top_row_get(row, column->key);
	double value = column->kind == TOP_TEXT ? 0 : top_row_number(row, column->key);
	char shorter[TEXT_SHORT];

	if (text.len == 0 || isnan(value)) {
		snprintf(out, size, "-");
		return;
	}
	switch (column->kind) {
	case TOP_TEXT: {
		/* The last failure is its reason and what people read. */
		struct slice more = strcmp(column->key, "last_reason") == 0 ? top_row_get(row, "last_text") : (struct slice){ "", 0 };
		snprintf(out, size, "%.*s%s%.*s", SLICE_ARG(text), more.len > 0 ? ": " : "", SLICE_ARG(more));
		break;
	}
	case TOP_RATE:
	case TOP_COUNT:
		print_count(value, column->kind == TOP_COUNT, out, size);
		break;
	case TOP_BYTES:
		snprintf(out, size, "%s", text_bytes((uint64_t)value, shorter));
		break;
	case TOP_MS:
		snprintf(out, size, "%.1f ms", value * 1e3);
		break;
	case TOP_AGE:
		snprintf(out, size, "%s", text_age(value, shorter));
		break;
	case TOP_PERCENT:
		snprintf(out, size, "%.1f %%", value * 100);
		break;
	case TOP_SECONDS:
		snprintf(out, size, "%.3f s", value);
		break;
	}
}

unsigned top_characters(struct slice text)
{
	unsigned count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
	return count;
}

void top_fit(struct buf *out, struct slice text, unsigned width, bool right)
{
	unsigned count = top_characters(text);

	if (count > width) {
		size_t end = 0;
		for (unsigned kept = 0; end < text.len; end++) {
			kept += ((unsigned char)text.ptr[end] & 0xc0) != 0x80;
			if (kept == width)
				break;
		}
		buf_append(out, slice_make(text.ptr, width > 0 ? end : 0));
		buf_append_cstr(out, width > 0 ? ELLIPSIS : "");
		return;
	}
	if (right)
		buf_printf(out, "%*s", (int)(width - count), "");
	buf_append(out, text);
	if (!right)
		buf_printf(out, "%*s", (int)(width - count), "");
}

/* ---- the layout ---- */

static unsigned natural_width(const struct top_column *column, const struct top_rows *rows, bool sorted)
{
	unsigned widest = (unsigned)strlen(column->title) + (sorted ? 1 : 0);
	char cell[512];

	for (size_t i = 0; i < rows->count; i++) {
		top_cell(&rows->rows[i], column, cell, sizeof cell);
		unsigned width = top_characters(slice_cstr(cell));
		widest = width > widest ? width : widest;
	}
	return widest;
}

static int by_rank(const struct top_table *table, unsigned rank)
{
	for (unsigned i = 0; i < table->count; i++)
		if (table->columns[i].rank == rank)
			return (int)i;
	return -1;
}

void top_lay_out(const struct top_table *table, const struct top_rows *rows, int sorted, unsigned width, struct top_layout *layout)
{
	unsigned natural[TOP_COLUMNS_MAX], given[TOP_COLUMNS_MAX] = { 0 }, used = 0;
	bool full = false;

	for (unsigned i = 0; i < table->count; i++)
		natural[i] = natural_width(&table->columns[i], rows, (int)i == sorted);
	for (unsigned rank = 0; rank < table->count && !full; rank++) {
		int column = by_rank(table, rank);
		unsigned gap = used > 0 ? GAP : 0, left = width > used + gap ? width - used - gap : 0, wanted;
		if (column == -1)
			continue;
		wanted = natural[column];
		/* A name takes a third at first; what is left goes to it later. */
		if (column == 0 && width > 0 && wanted > width / 3)
			wanted = width / 3 > NAME_MIN ? width / 3 : NAME_MIN;
		if (width > 0 && wanted > left) {
			full = true;
			if (table->columns[column].kind != TOP_TEXT || left < TEXT_MIN)
				break;
			wanted = left;
		}
		given[column] = wanted;
		used += gap + wanted;
	}
	if (width > used) {
		unsigned more = natural[0] - given[0];
		given[0] += more < width - used ? more : width - used;
	}
	layout->count = 0;
	for (unsigned i = 0; i < table->count; i++)
		if (given[i] > 0) {
			layout->columns[layout->count] = i;
			layout->widths[layout->count++] = given[i];
		}
}
