#include "cli/top_draw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli/top_columns.h"
#include "control/table.h"

#define KEYS "q quit  tab other table  \u2190 \u2192 sort  r reverse  \u2191 \u2193 select  enter server"
#define KEYS_SERVER "q quit  esc back"
#define BOLD "\033[1m"
#define REVERSE "\033[7m"
#define RED "\033[31m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define PLAIN "\033[0m"

static const struct top_table *table_of(enum top_part part)
{
	return part == TOP_SERVERS ? &top_servers : part == TOP_QUEUES ? &top_queues : &top_rules;
}

static const struct top_rows *rows_of(const struct top_data *data, enum top_part part)
{
	return part == TOP_SERVERS ? &data->servers : part == TOP_QUEUES ? &data->queues : &data->rules;
}

static unsigned sorted_column(const struct top_view *view, enum top_part part)
{
	/* Column 2 is the figure that matters most: events, callers waiting, CPU. */
	return view->parts[part].column == 0 && !view->parts[part].by_name ? 2 : view->parts[part].column;
}

/* ---- order ---- */

struct order {
	const struct top_rows *rows;
	const struct top_column *column;
	bool reverse;
};

static int compare_text(struct slice x, struct slice y)
{
	int less = memcmp(x.ptr, y.ptr, x.len < y.len ? x.len : y.len);

	return less ? less : (x.len > y.len) - (x.len < y.len);
}

/* Texts go up, numbers down; a value that is missing comes last; the engine's order decides between equal ones. */
static int compare_rows(const void *a, const void *b, void *ctx)
{
	const struct order *order = ctx;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	const struct top_row *first = &order->rows->rows[x], *second = &order->rows->rows[y];
	int result;

	if (order->column->kind == TOP_TEXT) {
		result = compare_text(top_row_get(first, order->column->key), top_row_get(second, order->column->key));
	} else {
		double p = top_row_number(first, order->column->key), q = top_row_number(second, order->column->key);
		p = isnan(p) ? -1 : p;
		q = isnan(q) ? -1 : q;
		result = (p < q) - (p > q);
	}
	if (order->reverse)
		result = -result;
	return result ? result : (x > y) - (x < y);
}

/* Indexes of the rows as they are shown; the caller frees them. */
static size_t *sort_rows(const struct top_data *data, const struct top_view *view, enum top_part part)
{
	const struct top_rows *rows = rows_of(data, part);
	struct order order = { rows, &table_of(part)->columns[sorted_column(view, part)], view->parts[part].reverse };
	size_t *indexes = mem_alloc((rows->count + 1) * sizeof *indexes);

	for (size_t i = 0; i < rows->count; i++)
		indexes[i] = i;
	qsort_r(indexes, rows->count, sizeof *indexes, compare_rows, &order);
	return indexes;
}

/* What tells it from the others: queues of two servers may have one name. */
static struct slice row_key(const struct top_row *row)
{
	struct slice key = top_row_get(row, "key");
	return key.len > 0 ? key : top_row_get(row, "name");
}

/* Where the selected row stands; the first one when it is gone. */
static size_t find_selected(const struct top_rows *rows, const size_t *indexes, const char *name)
{
	for (size_t i = 0; i < rows->count && name[0]; i++)
		if (slice_eq(row_key(&rows->rows[indexes[i]]), slice_cstr(name)))
			return i;
	return 0;
}

/* ---- lines ---- */

static const char *colour_of(const struct top_row *row, const struct top_column *column)
{
	struct slice text = top_row_get(row, column->key);
	double value = column->kind == TOP_TEXT ? 0 : top_row_number(row, column->key);

	if (strcmp(column->key, "state") == 0) {
		if (slice_eq(text, SLICE("ready")))
			return GREEN;
		if (slice_eq(text, SLICE("runs")))
			return NULL;
		return slice_eq(text, SLICE("failed")) || slice_eq(text, SLICE("quarantined")) || slice_eq(text, SLICE("down")) ? RED : YELLOW;
	}
	bool loss = strcmp(column->key, "shed_per_second") == 0 || strcmp(column->key, "errors_per_second") == 0 ||
	            strcmp(column->key, "missed_per_second") == 0;
	return loss && value > 0 ? RED : NULL;
}

/* Nothing stands behind the last text of a line. */
static void put_cell(const struct top_layout *layout, unsigned i, const struct top_column *column, const char *text, bool padded,
                     struct buf *out)
{
	bool last = i + 1 == layout->count && column->kind == TOP_TEXT && !padded;
	unsigned width = layout->widths[i], count = top_characters(slice_cstr(text));

	top_fit(out, slice_cstr(text), last && count < width ? count : width, column->kind != TOP_TEXT);
}

/* `part` TOP_PARTS: a table of no part, which nothing sorts. */
static void draw_titles(const struct top_view *view, enum top_part part, const struct top_table *table, const struct top_layout *layout,
                        int sorted, struct buf *out)
{
	bool bold = view->styled && view->focus == part;

	if (bold)
		buf_append_cstr(out, BOLD);
	for (unsigned i = 0; i < layout->count; i++) {
		const struct top_column *column = &table->columns[layout->columns[i]];
		bool is_sorted = (int)layout->columns[i] == sorted;
		bool up = is_sorted && (column->kind == TOP_TEXT) != view->parts[part].reverse;
		char title[64];
		snprintf(title, sizeof title, "%s%s", column->title, !is_sorted ? "" : up ? "\u2191" : "\u2193");
		buf_append_cstr(out, i > 0 ? "  " : "");
		put_cell(layout, i, column, title, false, out);
	}
	buf_append_cstr(out, bold ? PLAIN "\n" : "\n");
}

static void draw_row(const struct top_view *view, const struct top_table *table, const struct top_layout *layout, const struct top_row *row,
                     bool selected, struct buf *out)
{
	char cell[512];

	if (selected)
		buf_append_cstr(out, REVERSE);
	for (unsigned i = 0; i < layout->count; i++) {
		const struct top_column *column = &table->columns[layout->columns[i]];
		const char *colour = view->coloured && !selected ? colour_of(row, column) : NULL;
		top_cell(row, column, cell, sizeof cell);
		buf_append_cstr(out, i > 0 ? "  " : "");
		if (colour)
			buf_append_cstr(out, colour);
		put_cell(layout, i, column, cell, selected, out);
		if (colour)
			buf_append_cstr(out, PLAIN);
	}
	buf_append_cstr(out, selected ? PLAIN "\n" : "\n");
}

/* A line that is cut where the terminal ends. */
static void draw_line(const struct top_view *view, const char *text, struct buf *out)
{
	struct slice line = slice_cstr(text);

	if (view->width > 0 && top_characters(line) > view->width)
		top_fit(out, line, view->width, false);
	else
		buf_append(out, line);
	buf_append_char(out, '\n');
}

/* `lines` with its titles and, when not all rows fit, a line that says which do. */
static void draw_part(const struct top_data *data, struct top_view *view, enum top_part part, size_t lines, struct buf *out)
{
	const struct top_table *table = table_of(part);
	const struct top_rows *rows = rows_of(data, part);
	int sorted = view->height > 0 ? (int)sorted_column(view, part) : -1; /* an arrow is for who can change it */
	size_t *indexes = sort_rows(data, view, part), selected = find_selected(rows, indexes, view->parts[part].selected);
	struct top_layout layout;
	char text[64];

	if (lines > 0) {
		bool all = rows->count < lines;
		size_t shown = all ? rows->count : lines > 2 ? lines - 2 : 0, *offset = &view->parts[part].offset;
		view->parts[part].shown = shown;
		if (selected < *offset)
			*offset = selected;
		if (shown > 0 && selected >= *offset + shown)
			*offset = selected - shown + 1;
		if (*offset + shown > rows->count)
			*offset = rows->count - shown;
		top_lay_out(table, rows, sorted, view->width, &layout);
		draw_titles(view, part, table, &layout, sorted, out);
		for (size_t i = *offset; i < *offset + shown; i++)
			draw_row(view, table, &layout, &rows->rows[indexes[i]], view->styled && view->focus == part && i == selected, out);
		if (!all && lines > 1) {
			snprintf(text, sizeof text, "\u2026 %zu to %zu of %zu", shown > 0 ? *offset + 1 : 0, *offset + shown, rows->count);
			draw_line(view, text, out);
		}
	}
	free(indexes);
}

/* Says what fits: the process goes first, then the generation, then the time. */
static void draw_head(const struct top_data *data, const struct top_view *view, struct buf *out)
{
	char pieces[6][96], age[TEXT_SHORT], line[512];
	static const unsigned drop[] = { 1, 3, 2, 0 }; /* in this order */
	bool gone[6] = { false };
	size_t ready = 0;
	double events = 0;

	for (size_t i = 0; i < data->servers.count; i++) {
		double rate = top_row_number(&data->servers.rows[i], "events_per_second");
		ready += slice_eq(top_row_get(&data->servers.rows[i], "state"), SLICE("ready"));
		events += isnan(rate) ? 0 : rate;
	}
	double uptime = top_row_number(&data->daemon, "uptime");
	snprintf(pieces[0], sizeof pieces[0], "hookswitch %.*s", SLICE_ARG(top_row_get(&data->daemon, "version")));
	snprintf(pieces[1], sizeof pieces[1], "pid %.*s", SLICE_ARG(top_row_get(&data->daemon, "pid")));
	snprintf(pieces[2], sizeof pieces[2], "up %s", text_age(isnan(uptime) ? 0 : uptime, age));
	snprintf(pieces[3], sizeof pieces[3], "generation %.*s", SLICE_ARG(top_row_get(&data->daemon, "generation")));
	snprintf(pieces[4], sizeof pieces[4], "%zu of %zu servers ready", ready, data->servers.count);
	snprintf(pieces[5], sizeof pieces[5], "%.0f events/s", events);
	for (unsigned dropped = 0;; dropped++) {
		size_t used = 0;
		line[0] = '\0';
		for (unsigned i = 0; i < 6; i++)
			if (!gone[i])
				used += (size_t)snprintf(line + used, sizeof line - used, "%s%s", used ? ", " : "", pieces[i]);
		if (view->width == 0 || used <= view->width || dropped == sizeof drop / sizeof *drop)
			break;
		gone[drop[dropped]] = true;
	}
	draw_line(view, line, out);
}

/* What each part gets of `left` lines: what it needs where all do with it, else a fair share and what the others leave. */
static void share_lines(size_t need[TOP_PARTS], size_t left)
{
	size_t given[TOP_PARTS] = { 0 }, parts = 0, total = 0;
	bool settled[TOP_PARTS] = { false };

	for (int part = 0; part < TOP_PARTS; part++) {
		total += need[part];
		settled[part] = need[part] == 0;
		parts += !settled[part];
	}
	if (total <= left)
		return;
	for (bool again = true; again && parts > 0;) {
		again = false;
		for (int part = 0; part < TOP_PARTS; part++) {
			if (settled[part] || need[part] > left / parts)
				continue;
			given[part] = need[part];
			left -= need[part];
			parts--;
			settled[part] = again = true;
			if (parts == 0)
				break;
		}
	}
	for (int part = 0; part < TOP_PARTS; part++)
		if (!settled[part]) {
			given[part] = left / parts--;
			left -= given[part];
		}
	memcpy(need, given, sizeof given);
}

/* All parts, in `lines` lines (0: as many as there are). Without a queue there is no part for them. */
static void draw_overview(const struct top_data *data, struct top_view *view, size_t lines, struct buf *out)
{
	size_t need[TOP_PARTS] = { data->servers.count + 1, data->queues.count > 0 ? data->queues.count + 1 : 0, data->rules.count + 1 };
	size_t shown = 2 + (data->queues.count > 0);

	draw_head(data, view, out);
	if (lines > 0)
		share_lines(need, lines > shown + 1 ? lines - shown - 1 : 0); /* the head, an empty line before each */
	for (int part = 0; part < TOP_PARTS; part++) {
		buf_append_cstr(out, need[part] > 0 ? "\n" : "");
		draw_part(data, view, (enum top_part)part, need[part], out);
	}
}

/* ---- one server ---- */

struct fact {
	const char *label;
	char text[400];
};

#define FACTS 9

static void write_rate(const struct top_row *row, const char *rate, const char *total, char out[400])
{
	double value = top_row_number(row, rate);

	snprintf(out, 400, "%.1f a second, %.*s in all", isnan(value) ? 0 : value, SLICE_ARG(top_row_get(row, total)));
}

static const char *or_dash(const struct top_row *row, const struct top_column *column, char *out, size_t size)
{
	top_cell(row, column, out, size);
	return out;
}

static void collect_facts(const struct top_row *row, struct fact facts[FACTS])
{
	static const struct top_column in = { "bytes_in_per_second", "", TOP_BYTES, 0 }, sent = { "bytes_out_per_second", "", TOP_BYTES, 0 },
	                               bytes = { "backlog_bytes", "", TOP_BYTES, 0 }, ping = { "heartbeat_rtt", "", TOP_MS, 0 },
	                               next = { "next_try", "", TOP_AGE, 0 }, failure = { "last_reason", "", TOP_TEXT, 0 },
	                               breaker = { "breaker", "", TOP_TEXT, 0 }, version = { "version", "", TOP_TEXT, 0 };
	char a[128], b[128];

	facts[0].label = "address";
	snprintf(facts[0].text, sizeof facts[0].text, "%.*s:%.*s, AMI %s", SLICE_ARG(top_row_get(row, "address")),
	         SLICE_ARG(top_row_get(row, "port")), or_dash(row, &version, a, sizeof a));
	facts[1].label = "events";
	write_rate(row, "events_per_second", "events", facts[1].text);
	facts[2].label = "shed";
	write_rate(row, "shed_per_second", "shed", facts[2].text);
	facts[3].label = "backlog";
	snprintf(facts[3].text, sizeof facts[3].text, "%.*s events, %s", SLICE_ARG(top_row_get(row, "backlog_events")),
	         or_dash(row, &bytes, a, sizeof a));
	facts[4].label = "bytes";
	snprintf(facts[4].text, sizeof facts[4].text, "%s in, %s out a second", or_dash(row, &in, a, sizeof a), or_dash(row, &sent, b, sizeof b));
	facts[5].label = "ping";
	snprintf(facts[5].text, sizeof facts[5].text, "%s", or_dash(row, &ping, a, sizeof a));
	facts[6].label = "sessions";
	snprintf(facts[6].text, sizeof facts[6].text, "%.*s, and %.*s failures, breaker %s", SLICE_ARG(top_row_get(row, "sessions")),
	         SLICE_ARG(top_row_get(row, "failures")), or_dash(row, &breaker, a, sizeof a));
	facts[7].label = "next try";
	snprintf(facts[7].text, sizeof facts[7].text, "%s", or_dash(row, &next, a, sizeof a));
	facts[8].label = "last failure";
	top_cell(row, &failure, facts[8].text, sizeof facts[8].text);
}

static void draw_actions(const struct top_data *data, const struct top_view *view, size_t lines, struct buf *out)
{
	struct top_rows own = { .rows = NULL };
	struct top_layout layout;
	char text[64];

	own.rows = mem_alloc((data->actions.count + 1) * sizeof *own.rows);
	for (size_t i = 0; i < data->actions.count; i++)
		if (slice_eq(top_row_get(&data->actions.rows[i], "server"), slice_cstr(view->server)))
			own.rows[own.count++] = data->actions.rows[i];
	size_t shown = own.count < lines ? own.count : lines > 2 ? lines - 2 : 0;
	if (own.count == 0) {
		draw_line(view, "no action waits for its answer", out);
	} else if (lines > 1) {
		top_lay_out(&top_actions, &own, -1, view->width, &layout);
		draw_titles(view, TOP_PARTS, &top_actions, &layout, -1, out);
		for (size_t i = 0; i < shown; i++)
			draw_row(view, &top_actions, &layout, &own.rows[i], false, out);
		snprintf(text, sizeof text, "\u2026 %zu of %zu", shown, own.count);
		if (shown < own.count)
			draw_line(view, text, out);
	}
	free(own.rows);
}

static void draw_server(const struct top_data *data, const struct top_view *view, size_t lines, struct buf *out)
{
	const struct top_row *row = top_rows_find(&data->servers, slice_cstr(view->server));
	struct fact facts[FACTS];
	char text[512], age[TEXT_SHORT];

	if (!row) {
		snprintf(text, sizeof text, "%s: the configuration has no such server", view->server);
		draw_line(view, text, out);
		return;
	}
	double since = top_row_number(row, "state_age");
	snprintf(text, sizeof text, "%s: %.*s for %s", view->server, SLICE_ARG(top_row_get(row, "state")), text_age(isnan(since) ? 0 : since, age));
	draw_line(view, text, out);
	collect_facts(row, facts);
	size_t shown = lines == 0 || lines > FACTS + 1 ? FACTS : lines - 1;
	for (size_t i = 0; i < shown; i++) {
		snprintf(text, sizeof text, "  %-13s %s", facts[i].label, facts[i].text);
		draw_line(view, text, out);
	}
	if (lines == 0 || lines > FACTS + 2) {
		buf_append_char(out, '\n');
		draw_actions(data, view, lines == 0 ? SIZE_MAX : lines - FACTS - 2, out);
	}
}

void top_draw(const struct top_data *data, struct top_view *view, struct buf *out)
{
	size_t lines = view->height > 1 ? view->height - 1 : view->height; /* the last one has the keys */

	if (view->server[0])
		draw_server(data, view, lines, out);
	else
		draw_overview(data, view, lines, out);
	if (view->height > 1)
		draw_line(view, view->server[0] ? KEYS_SERVER : KEYS, out);
}

/* ---- keys ---- */

static void move(const struct top_data *data, struct top_view *view, ptrdiff_t by)
{
	const struct top_rows *rows = rows_of(data, view->focus);
	size_t *indexes = sort_rows(data, view, view->focus);
	ptrdiff_t at = (ptrdiff_t)find_selected(rows, indexes, view->parts[view->focus].selected), last = (ptrdiff_t)rows->count - 1;

	/* A step beyond either end stops there. */
	at = by > last - at ? last : by < -at ? 0 : at + by;
	if (last >= 0)
		slice_to_text(row_key(&rows->rows[indexes[at]]), view->parts[view->focus].selected,
		              sizeof view->parts[view->focus].selected);
	free(indexes);
}

static void change_column(struct top_view *view, int by)
{
	unsigned count = table_of(view->focus)->count, column = sorted_column(view, view->focus);

	column = (column + count + (unsigned)by) % count;
	view->parts[view->focus].column = column;
	view->parts[view->focus].by_name = column == 0;
}

static void open_server(const struct top_data *data, struct top_view *view)
{
	if (view->focus != TOP_SERVERS || data->servers.count == 0)
		return;
	move(data, view, 0);
	memcpy(view->server, view->parts[TOP_SERVERS].selected, sizeof view->server);
}

static void next_part(const struct top_data *data, struct top_view *view)
{
	view->focus = (view->focus + 1) % TOP_PARTS;
	if (view->focus == TOP_QUEUES && data->queues.count == 0)
		view->focus++;
}

bool top_press(const struct top_data *data, struct top_view *view, int key)
{
	ptrdiff_t page = view->parts[view->focus].shown > 0 ? (ptrdiff_t)view->parts[view->focus].shown : 1;

	if (key == 'q' || key == 'Q' || key == 3)
		return false;
	if (view->server[0]) {
		if (key == TOP_ESCAPE || key == TOP_LEFT || key == '\r' || key == '\n' || key == 127 || key == 8)
			view->server[0] = '\0';
		return true;
	}
	switch (key) {
	case '\t': next_part(data, view); break;
	case 'r': view->parts[view->focus].reverse = !view->parts[view->focus].reverse; break;
	case TOP_LEFT: case '<': change_column(view, -1); break;
	case TOP_RIGHT: case '>': change_column(view, 1); break;
	case TOP_UP: case 'k': move(data, view, -1); break;
	case TOP_DOWN: case 'j': move(data, view, 1); break;
	case TOP_PAGE_UP: move(data, view, -page); break;
	case TOP_PAGE_DOWN: move(data, view, page); break;
	case TOP_HOME: case 'g': move(data, view, PTRDIFF_MIN / 2); break;
	case TOP_END: case 'G': move(data, view, PTRDIFF_MAX / 2); break;
	case '\r': case '\n': open_server(data, view); break;
	default: break;
	}
	return true;
}

bool top_sort_by(struct top_view *view, const char *name)
{
	for (int part = 0; part < TOP_PARTS; part++) {
		int column = top_column_find(table_of((enum top_part)part), name);
		if (column == -1)
			continue;
		view->focus = (enum top_part)part;
		view->parts[part].column = (unsigned)column;
		view->parts[part].by_name = column == 0;
		return true;
	}
	return false;
}
