#include "cli/top_data.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

static void add_row(struct top_rows *rows, struct slice fields)
{
	rows->rows = mem_realloc(rows->rows, rows->count + 1, sizeof *rows->rows);
	rows->rows[rows->count++] = (struct top_row){ fields };
}

static void read_line(struct top_data *data, struct slice line)
{
	ptrdiff_t tab = slice_find(line, SLICE("\t"));
	struct slice kind = slice_make(line.ptr, tab == -1 ? line.len : (size_t)tab);
	struct slice fields = tab == -1 ? (struct slice){ "", 0 } : slice_make(line.ptr + tab + 1, line.len - (size_t)tab - 1);

	if (slice_eq(kind, SLICE("daemon")))
		data->daemon.fields = fields;
	else if (slice_eq(kind, SLICE("server")))
		add_row(&data->servers, fields);
	else if (slice_eq(kind, SLICE("queue")))
		add_row(&data->queues, fields);
	else if (slice_eq(kind, SLICE("rule")))
		add_row(&data->rules, fields);
	else if (slice_eq(kind, SLICE("action")))
		add_row(&data->actions, fields);
}

void top_data_read(struct top_data *data, struct slice sample)
{
	*data = (struct top_data){ .text = mem_slicedup(sample), .daemon = { { "", 0 } } };
	struct slice rest = slice_make(data->text, sample.len);

	while (rest.len > 0) {
		ptrdiff_t end = slice_find(rest, SLICE("\n"));
		size_t len = end == -1 ? rest.len : (size_t)end;
		read_line(data, slice_make(rest.ptr, len));
		len += end != -1;
		rest = slice_make(rest.ptr + len, rest.len - len);
	}
}

void top_data_close(struct top_data *data)
{
	free(data->servers.rows);
	free(data->queues.rows);
	free(data->rules.rows);
	free(data->actions.rows);
	free(data->text);
	*data = (struct top_data){ .text = NULL };
}

struct slice top_row_get(const struct top_row *row, const char *name)
{
	struct slice rest = row->fields, wanted = slice_cstr(name);

	while (rest.len > 0) {
		ptrdiff_t end = slice_find(rest, SLICE("\t"));
		size_t len = end == -1 ? rest.len : (size_t)end;
		if (len > wanted.len && rest.ptr[wanted.len] == '=' && slice_starts_with(slice_make(rest.ptr, len), wanted))
			return slice_make(rest.ptr + wanted.len + 1, len - wanted.len - 1);
		len += end != -1;
		rest = slice_make(rest.ptr + len, rest.len - len);
	}
	return (struct slice){ "", 0 };
}

double top_row_number(const struct top_row *row, const char *name)
{
	struct slice text = top_row_get(row, name);
	char copy[32], *end;

	if (text.len == 0 || text.len >= sizeof copy)
		return (double)NAN;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	double value = strtod(copy, &end);
	return *end == '\0' ? value : (double)NAN;
}

const struct top_row *top_rows_find(const struct top_rows *rows, struct slice name)
{
	for (size_t i = 0; i < rows->count; i++)
		if (slice_eq(top_row_get(&rows->rows[i], "name"), name))
			return &rows->rows[i];
	return NULL;
}
