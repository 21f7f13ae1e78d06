#include "observe/metrics.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "observe/log.h"
#include "observe/metrics_registry.h"
#include "observe/redact.h"

#define DEFAULT_SERIES 1000
#define TELL_REFUSALS_EVERY (10 * CLOCK_NS_PER_S)

struct metrics *metrics_create(void)
{
	static const char *const label[] = { "metric" };
	struct metrics *metrics = mem_zalloc(sizeof *metrics);

	map_init(&metrics->families, false);
	metrics->refused = metrics_add(metrics, METRIC_COUNTER, "hookswitch_metric_series_refused_total",
	                               "Label sets that were refused because their metric has as many as it may, or a value "
	                               "was too long.",
	                               label, 1, NULL, 0, METRICS_MAX, NULL);
	return metrics;
}

static void free_series(struct series_node *node)
{
	list_remove(&node->node);
	free(node);
}

static void free_metric(struct metric *metric)
{
	list_each_safe (it, &metric->order)
		free_series(list_entry(it, struct series_node, node));
	map_close(&metric->series);
	for (size_t i = 0; i < metric->label_count; i++)
		free(metric->labels[i]);
	free(metric->name);
	free(metric->help);
	free(metric);
}

void metrics_destroy(struct metrics **metrics)
{
	struct map_entry *entry;

	if (!*metrics)
		return;
	for (size_t i = 0; (entry = map_next(&(*metrics)->families, &i));)
		free_metric(entry->value);
	map_close(&(*metrics)->families);
	free((*metrics)->collectors);
	free(*metrics);
	*metrics = NULL;
}

/* Label values */

/* The values of a look-up, as they will be shown, joined to a key: each stands behind its length, so that no two sets
 * have the same one. */
struct label_key {
	char *bytes; /* `local`, or malloc'd when that is too small */
	size_t len, cap;
	char local[512];
};

static void key_append(struct label_key *key, const void *bytes, size_t n)
{
	if (n > key->cap - key->len) {
		size_t cap = (key->len + n) * 2;
		char *grown = mem_realloc(key->bytes == key->local ? NULL : key->bytes, cap, 1);
		if (key->bytes == key->local)
			memcpy(grown, key->local, key->len);
		key->bytes = grown;
		key->cap = cap;
	}
	if (n > 0)
		memcpy(key->bytes + key->len, bytes, n);
	key->len += n;
}

static void key_append_safe(struct label_key *key, struct slice text)
{
	while (text.len > 0) {
		size_t n = text.ptr[0] ? utf8_char(text) : 0;
		if (n > 0)
			key_append(key, text.ptr, n);
		else
			key_append(key, UTF8_REPLACEMENT, sizeof UTF8_REPLACEMENT - 1);
		n += n == 0;
		text = slice_make(text.ptr + n, text.len - n);
	}
}

static bool is_plain(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((signed char)text.ptr[i] <= 0)
			return false;
	return true;
}

static void key_append_value(struct label_key *key, struct slice value)
{
	size_t at = key->len;
	uint32_t len = 0;
	char *masked;
	struct slice text = redact_text(value, &masked);

	key_append(key, &len, sizeof len);
	if (is_plain(text))
		key_append(key, text.ptr, text.len);
	else
		key_append_safe(key, text);
	len = (uint32_t)(key->len - at - sizeof len);
	memcpy(key->bytes + at, &len, sizeof len);
	free(masked);
}

/* False when a value is too long. */
static bool key_open(struct label_key *key, const struct slice *values, size_t count)
{
	key->bytes = key->local;
	key->len = 0;
	key->cap = sizeof key->local;
	for (size_t i = 0; i < count; i++)
		if (values[i].len > METRIC_LABEL_VALUE_MAX)
			return false;
	for (size_t i = 0; i < count; i++)
		key_append_value(key, values[i]);
	return true;
}

static void key_close(struct label_key *key)
{
	if (key->bytes != key->local)
		free(key->bytes);
}

/* Families */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name(const char *name, bool colons)
{
	if (!name || !name[0])
		return false;
	for (const char *c = name; *c; c++)
		if (!is_letter(*c) && !(*c == ':' && colons) && !(*c >= '0' && *c <= '9' && c > name))
			return false;
	return true;
}

static int check_labels(enum metric_type type, const char *name, const char *const *labels, size_t count,
                        struct err *err)
{
	if (count > METRIC_LABELS_MAX)
		return err_set(err, ERR_INVALID, "metric %s: %zu labels, at most %d are allowed", name, count,
		               METRIC_LABELS_MAX);
	for (size_t i = 0; i < count; i++) {
		if (!is_name(labels[i], false) || strncmp(labels[i], "__", 2) == 0)
			return err_set(err, ERR_INVALID,
			               "metric %s: \"%s\" is no label name (letters, digits and _, no digit or __ first)", name,
			               labels[i] ? labels[i] : "");
		if (type == METRIC_HISTOGRAM && strcmp(labels[i], "le") == 0)
			return err_set(err, ERR_INVALID, "metric %s: the label \"le\" of a histogram names its buckets", name);
		for (size_t j = 0; j < i; j++)
			if (strcmp(labels[i], labels[j]) == 0)
				return err_set(err, ERR_INVALID, "metric %s: the label \"%s\" is given twice", name, labels[i]);
	}
	return 0;
}

static int check_buckets(enum metric_type type, const char *name, const double *buckets, size_t count, struct err *err)
{
	if (type != METRIC_HISTOGRAM && count > 0)
		return err_set(err, ERR_INVALID, "metric %s: only a histogram has buckets", name);
	if (count > METRIC_BUCKETS_MAX)
		return err_set(err, ERR_INVALID, "metric %s: %zu buckets, at most %d are allowed", name, count,
		               METRIC_BUCKETS_MAX);
	for (size_t i = 0; i < count; i++)
		if (!isfinite(buckets[i]) || (i > 0 && !(buckets[i] > buckets[i - 1])))
			return err_set(err, ERR_INVALID, "metric %s: bucket %zu is not a number above the one before it", name,
			               i + 1);
	return 0;
}

static const char *const histogram_suffixes[] = { "_bucket", "_sum", "_count" };

/* A histogram's lines are named after it: no other family may have one of those names. */
static int check_clashes(const struct metrics *metrics, enum metric_type type, const char *name, struct err *err)
{
	struct slice whole = slice_cstr(name);

	for (size_t i = 0; i < sizeof histogram_suffixes / sizeof *histogram_suffixes; i++) {
		struct slice suffix = slice_cstr(histogram_suffixes[i]);
		if (type == METRIC_HISTOGRAM) {
			char *line = mem_printf("%s%s", name, suffix.ptr);
			bool taken = metrics_find(metrics, line) != NULL;
			free(line);
			if (taken)
				return err_set(err, ERR_INVALID, "metric %s: there is a metric %s%s already", name, name, suffix.ptr);
		}
		if (whole.len <= suffix.len || strcmp(name + whole.len - suffix.len, suffix.ptr) != 0)
			continue;
		const struct metric *other = map_get(&metrics->families, slice_make(name, whole.len - suffix.len));
		if (other && other->type == METRIC_HISTOGRAM)
			return err_set(err, ERR_INVALID, "metric %s: the histogram %s has a line of that name", name, other->name);
	}
	return 0;
}

static int check_same(const struct metric *metric, enum metric_type type, const char *const *labels, size_t label_count,
                      const double *buckets, size_t bucket_count, struct err *err)
{
	bool same = metric->label_count == label_count;

	if (metric->type != type)
		return err_set(err, ERR_INVALID, "metric %s exists with another type", metric->name);
	for (size_t i = 0; same && i < label_count; i++)
		same = strcmp(metric->labels[i], labels[i]) == 0;
	if (!same)
		return err_set(err, ERR_INVALID, "metric %s exists with other labels", metric->name);
	same = metric->bound_count == bucket_count;
	for (size_t i = 0; same && i < bucket_count; i++)
		same = !(metric->bounds[i] < buckets[i]) && !(metric->bounds[i] > buckets[i]);
	if (!same)
		return err_set(err, ERR_INVALID, "metric %s exists with other buckets", metric->name);
	return 0;
}

static void set_help(struct metric *metric, const char *help)
{
	struct label_key key;
	char *masked;

	key_open(&key, NULL, 0);
	key_append_safe(&key, redact_text(slice_cstr(help ? help : ""), &masked));
	free(metric->help);
	metric->help = mem_slicedup(slice_make(key.bytes, key.len));
	free(masked);
	key_close(&key);
}

static struct metric *create_metric(struct metrics *metrics, enum metric_type type, const char *name)
{
	struct metric *metric = mem_zalloc(sizeof *metric);
	metric->metrics = metrics;
	metric->type = type;
	metric->name = mem_strdup(name);
	map_init(&metric->series, false);
	list_init(&metric->order);
	map_set(&metrics->families, slice_cstr(name), metric);
	return metric;
}

struct metric *metrics_add(struct metrics *metrics, enum metric_type type, const char *name, const char *help,
                           const char *const *labels, size_t label_count, const double *buckets, size_t bucket_count,
                           size_t max_series, struct err *err)
{
	if (!is_name(name, true)) {
		err_set(err, ERR_INVALID, "\"%s\" is no metric name (letters, digits, _ and :, no digit first)",
		        name ? name : "");
		return NULL;
	}
	if (check_labels(type, name, labels, label_count, err) || check_buckets(type, name, buckets, bucket_count, err))
		return NULL;
	struct metric *metric = metrics_find(metrics, name);
	if (metric) {
		if (check_same(metric, type, labels, label_count, buckets, bucket_count, err))
			return NULL;
	} else {
		if (check_clashes(metrics, type, name, err))
			return NULL;
		if (metrics->families.count >= METRICS_MAX) {
			err_set(err, ERR_BACKPRESSURE, "metric %s: there are %d metrics already", name, METRICS_MAX);
			return NULL;
		}
		metric = create_metric(metrics, type, name);
		for (size_t i = 0; i < label_count; i++)
			metric->labels[i] = mem_strdup(labels[i]);
		metric->label_count = label_count;
		for (size_t i = 0; i < bucket_count; i++)
			metric->bounds[i] = buckets[i];
		metric->bound_count = bucket_count;
	}
	set_help(metric, help);
	metric->max_series = max_series ? max_series : DEFAULT_SERIES;
	return metric;
}

int metrics_merge(struct metrics *to, const struct metrics *from, struct err *err)
{
	const struct map_entry *e;
	for (size_t i = 0; (e = map_next(&from->families, &i));) {
		const struct metric *m = e->value;
		if (!metrics_add(to, m->type, m->name, m->help, (const char *const *)m->labels, m->label_count, m->bounds, m->bound_count,
		                 m->max_series, err))
			return -1;
	}
	return 0;
}

struct metric *metrics_find(const struct metrics *metrics, const char *name)
{
	return map_get(&metrics->families, slice_cstr(name));
}

void metrics_drop(struct metrics *metrics, const char *name)
{
	struct metric *metric = metrics_find(metrics, name);
	struct slice label = slice_cstr(name);

	if (!metric || metric == metrics->refused)
		return;
	map_remove(&metrics->families, label);
	metric_remove(metrics->refused, &label, 1);
	free_metric(metric);
}

size_t metric_label_count(const struct metric *metric)
{
	return metric->label_count;
}

enum metric_type metric_type(const struct metric *metric)
{
	return metric->type;
}

/* Series */

static struct series *add_series(struct metric *metric, const struct label_key *key)
{
	size_t buckets = metric->bound_count * sizeof(uint64_t), labels = metric->label_count * sizeof(char *);
	/* The values with a NUL behind each need no more space than in the key with their lengths. */
	struct series_node *node = mem_zalloc(sizeof *node + buckets + labels + key->len + key->len);
	struct series *series = &node->series;
	char *to = node->memory + buckets + labels;

	series->metric = metric;
	series->buckets = metric->type == METRIC_HISTOGRAM ? (uint64_t *)(void *)node->memory : NULL;
	series->labels = (char **)(void *)(node->memory + buckets);
	memcpy(to, key->bytes, key->len);
	node->key = slice_make(to, key->len);
	const char *from = to;
	to += key->len;
	for (size_t i = 0; i < metric->label_count; i++) {
		uint32_t len;
		memcpy(&len, from, sizeof len);
		series->labels[i] = memcpy(to, from + sizeof len, len);
		from += sizeof len + len;
		to += len + 1;
	}
	map_set(&metric->series, node->key, node);
	list_append(&metric->order, &node->node);
	return series;
}

static void refuse(struct metric *metric, const char *why)
{
	struct slice name = slice_cstr(metric->name);
	uint64_t now = clock_mono_ns();

	if (metric != metric->metrics->refused) {
		struct series *refused = metric_series(metric->metrics->refused, &name, 1);
		if (refused)
			refused->value++;
	}
	if (metric->refusals_told && now - metric->refusals_told < TELL_REFUSALS_EVERY)
		return;
	metric->refusals_told = now;
	log_write(LOG_WARN, why, F_TEXT("metric", metric->name), F_INT("max_series", metric->max_series));
}

struct series *metric_series(struct metric *metric, const struct slice *values, size_t count)
{
	struct label_key key;
	struct series *series = NULL;

	if (count != metric->label_count)
		return NULL;
	if (!key_open(&key, values, count)) {
		refuse(metric, "label set refused: a value is too long");
		return NULL;
	}
	/* A node begins with its series. */
	series = map_get(&metric->series, slice_make(key.bytes, key.len));
	if (!series && metric->series.count < metric->max_series)
		series = add_series(metric, &key);
	key_close(&key);
	if (!series)
		refuse(metric, "label set refused: the metric has as many as it may");
	return series;
}

bool metric_remove(struct metric *metric, const struct slice *values, size_t count)
{
	struct label_key key;
	struct series_node *node = NULL;

	if (count != metric->label_count)
		return false;
	if (key_open(&key, values, count))
		node = map_remove(&metric->series, slice_make(key.bytes, key.len));
	key_close(&key);
	if (node)
		free_series(node);
	return node != NULL;
}

void metric_remove_all(struct metric *metric, struct slice first)
{
	struct label_key key;

	if (metric->label_count > 0 && key_open(&key, &first, 1)) {
		/* A series' key begins with the part of its first label. */
		list_each_safe (it, &metric->order) {
			struct series_node *node = list_entry(it, struct series_node, node);
			if (slice_starts_with(node->key, slice_make(key.bytes, key.len))) {
				map_remove(&metric->series, node->key);
				free_series(node);
			}
		}
		key_close(&key);
	}
}

void series_observe(struct series *series, double value)
{
	series_observe_times(series, value, 1);
}

void series_observe_times(struct series *series, double value, uint64_t times)
{
	const struct metric *metric = series->metric;

	if (isnan(value))
		return;
	series->value += value * (double)times;
	series->count += times;
	for (size_t i = 0; i < metric->bound_count; i++) {
		if (value <= metric->bounds[i]) {
			series->buckets[i] += times;
			break;
		}
	}
}

/* Collectors */

void metrics_on_collect(struct metrics *metrics, metrics_collect_fn *fn, void *ctx)
{
	metrics->collectors = mem_realloc(metrics->collectors, metrics->collector_count + 1, sizeof *metrics->collectors);
	metrics->collectors[metrics->collector_count++] = (struct collector){ fn, ctx };
}

void metrics_remove_collect(struct metrics *metrics, metrics_collect_fn *fn, void *ctx)
{
	for (size_t i = 0; i < metrics->collector_count; i++) {
		if (metrics->collectors[i].fn != fn || metrics->collectors[i].ctx != ctx)
			continue;
		metrics->collector_count--;
		memmove(&metrics->collectors[i], &metrics->collectors[i + 1],
		        (metrics->collector_count - i) * sizeof *metrics->collectors);
		return;
	}
}
