#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "observe/metrics_registry.h"
#include "observe/number.h"

static const char *const type_names[] = {
	[METRIC_COUNTER] = "counter",
	[METRIC_GAUGE] = "gauge",
	[METRIC_HISTOGRAM] = "histogram",
};

static int by_name(const void *a, const void *b)
{
	const struct metric *const *x = a, *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

/* All families by name, after the collectors have run; malloc'd. */
static struct metric **sorted_families(struct metrics *metrics, size_t *count)
{
	struct map_entry *entry;
	size_t n = 0;

	for (size_t i = 0; i < metrics->collector_count; i++)
		metrics->collectors[i].fn(metrics->collectors[i].ctx);
	struct metric **families = mem_alloc(metrics->families.count * sizeof(struct metric *));
	for (size_t i = 0; (entry = map_next(&metrics->families, &i));)
		families[n++] = entry->value;
	qsort(families, n, sizeof(struct metric *), by_name);
	*count = n;
	return families;
}

/* Prometheus */

static void append_escaped(struct buf *out, const char *text, bool quotes)
{
	for (const char *c = text; *c; c++) {
		if (*c == '\n')
			buf_append(out, SLICE("\\n"));
		else if (*c == '\\')
			buf_append(out, SLICE("\\\\"));
		else if (*c == '"' && quotes)
			buf_append(out, SLICE("\\\""));
		else
			buf_append_char(out, *c);
	}
}

static void append_number(struct buf *out, double number)
{
	char text[NUMBER_TEXT_MAX];
	buf_append_cstr(out, number_text(number, text));
}

/* name{label="value",le="bound"}; `le` NULL: none. */
static void append_series_name(struct buf *out, const struct series *series, const char *suffix, const char *le)
{
	const struct metric *metric = series->metric;
	char sign = '{';

	buf_append_cstr(out, metric->name);
	buf_append_cstr(out, suffix);
	for (size_t i = 0; i < metric->label_count; i++) {
		buf_append_char(out, sign);
		buf_append_cstr(out, metric->labels[i]);
		buf_append_cstr(out, "=\"");
		append_escaped(out, series->labels[i], true);
		buf_append_char(out, '"');
		sign = ',';
	}
	if (le)
		buf_printf(out, "%cle=\"%s\"", sign, le);
	if (le || metric->label_count > 0)
		buf_append_char(out, '}');
	buf_append_char(out, ' ');
}

static void append_histogram(struct buf *out, const struct series *series)
{
	const struct metric *metric = series->metric;
	char bound[NUMBER_TEXT_MAX];
	uint64_t below = 0;

	for (size_t i = 0; i < metric->bound_count; i++) {
		below += series->buckets[i];
		append_series_name(out, series, "_bucket", number_text(metric->bounds[i], bound));
		buf_printf(out, "%llu\n", (unsigned long long)below);
	}
	append_series_name(out, series, "_bucket", "+Inf");
	buf_printf(out, "%llu\n", (unsigned long long)series->count);
	append_series_name(out, series, "_sum", NULL);
	append_number(out, series->value);
	buf_append_char(out, '\n');
	append_series_name(out, series, "_count", NULL);
	buf_printf(out, "%llu\n", (unsigned long long)series->count);
}

static void append_family(struct buf *out, const struct metric *metric)
{
	buf_printf(out, "# HELP %s ", metric->name);
	append_escaped(out, metric->help, false);
	buf_printf(out, "\n# TYPE %s %s\n", metric->name, type_names[metric->type]);
	list_each (it, &metric->order) {
		const struct series *series = &list_entry(it, struct series_node, node)->series;
		if (metric->type == METRIC_HISTOGRAM) {
			append_histogram(out, series);
			continue;
		}
		append_series_name(out, series, "", NULL);
		append_number(out, series->value);
		buf_append_char(out, '\n');
	}
}

void metrics_render(struct metrics *metrics, struct buf *out)
{
	size_t count;
	struct metric **families = sorted_families(metrics, &count);

	for (size_t i = 0; i < count; i++)
		append_family(out, families[i]);
	free(families);
}

/* JSON */

static void append_json_number(struct buf *out, double number)
{
	if (isfinite(number))
		append_number(out, number);
	else
		buf_append_cstr(out, "null");
}

static void append_json_series(struct buf *out, const struct series *series)
{
	const struct metric *metric = series->metric;
	char bound[NUMBER_TEXT_MAX];
	uint64_t below = 0;

	buf_append_cstr(out, "{\"labels\":{");
	for (size_t i = 0; i < metric->label_count; i++) {
		buf_printf(out, "%s\"%s\":", i > 0 ? "," : "", metric->labels[i]);
		buf_append_json(out, slice_cstr(series->labels[i]));
	}
	buf_append_cstr(out, "},");
	if (metric->type != METRIC_HISTOGRAM) {
		buf_append_cstr(out, "\"value\":");
		append_json_number(out, series->value);
		buf_append_char(out, '}');
		return;
	}
	buf_printf(out, "\"count\":%llu,\"sum\":", (unsigned long long)series->count);
	append_json_number(out, series->value);
	buf_append_cstr(out, ",\"buckets\":{");
	for (size_t i = 0; i < metric->bound_count; i++) {
		below += series->buckets[i];
		buf_printf(out, "\"%s\":%llu,", number_text(metric->bounds[i], bound), (unsigned long long)below);
	}
	buf_printf(out, "\"+Inf\":%llu}}", (unsigned long long)series->count);
}

static void append_json_family(struct buf *out, const struct metric *metric)
{
	buf_printf(out, "\"%s\":{\"type\":\"%s\",\"help\":", metric->name, type_names[metric->type]);
	buf_append_json(out, slice_cstr(metric->help));
	buf_append_cstr(out, ",\"series\":[");
	list_each (it, &metric->order) {
		if (it != metric->order.next)
			buf_append_char(out, ',');
		append_json_series(out, &list_entry(it, struct series_node, node)->series);
	}
	buf_append_cstr(out, "]}");
}

void metrics_render_json(struct metrics *metrics, struct buf *out)
{
	size_t count;
	struct metric **families = sorted_families(metrics, &count);

	buf_append_char(out, '{');
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_append_char(out, ',');
		append_json_family(out, families[i]);
	}
	buf_append_char(out, '}');
	free(families);
}
