/* The metrics registry: families of counters, gauges and histograms with label sets; rendered for Prometheus
 * (text exposition format 0.0.4) or as JSON. Used by the loop's thread only; a hot path keeps the pointer to
 * its `struct series` and adds to `value` without any look-up.
 */
#ifndef OBSERVE_METRICS_H
#define OBSERVE_METRICS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metrics; /* the registry */
struct metric;  /* one family */

/* One label set of a family. Valid until metric_remove() or metric_remove_all() of it, metrics_drop() of its family or metrics_destroy(). */
struct series {
	double value;      /* counter, gauge; of a histogram the sum */
	uint64_t count;    /* histogram: observations */
	uint64_t *buckets; /* histogram: count for each bound, not cumulative; NULL otherwise */
	struct metric *metric;
	char **labels; /* values, in the order of the family's label names */
};

#define METRICS_MAX 4096 /* families */
#define METRIC_LABELS_MAX 8
#define METRIC_BUCKETS_MAX 32
#define METRIC_LABEL_VALUE_MAX 1024 /* bytes */

struct metrics *metrics_create(void);
void metrics_destroy(struct metrics **metrics);

/* Adds a family, or returns the one of that name when type, label names and buckets agree (so a rule's metric keeps its
 * value over a reload); help and bound are then the new ones. NULL with `err` when they do not, when a name is not a
 * Prometheus name or would be taken for another family's ("x_count" beside the histogram "x"), or a bound is passed.
 * `labels` and `buckets` (upper bounds, rising, without +Inf) are copied. `max_series` bounds the label sets (0: 1000). */
struct metric *metrics_add(struct metrics *metrics, enum metric_type type, const char *name, const char *help,
                           const char *const *labels, size_t label_count, const double *buckets, size_t bucket_count,
                           size_t max_series, struct err *err);
/* Adds every family of `from`, without its series. -1 with `err` (may be NULL) when the two do not agree in one. */
int metrics_merge(struct metrics *to, const struct metrics *from, struct err *err);
/* Looks a family up by name; NULL when there is none. */
struct metric *metrics_find(const struct metrics *metrics, const char *name);
/* The series of these label values (as many as the family has names), made when it is new. Bytes that are not UTF-8 and
 * NULs become U+FFFD, known secrets are masked (P8). NULL when `count` is wrong, a value is longer than
 * METRIC_LABEL_VALUE_MAX or max_series is reached; the last two are counted in
 * hookswitch_metric_series_refused_total{metric="…"} and logged, for each family at most every ten seconds. */
struct series *metric_series(struct metric *metric, const struct slice *values, size_t count);
/* Removes one series; false when there was none. */
bool metric_remove(struct metric *metric, const struct slice *values, size_t count);
/* Removes every series whose first label has that value. */
void metric_remove_all(struct metric *metric, struct slice first);
/* Removes a whole family; its series are gone. */
void metrics_drop(struct metrics *metrics, const char *name);
size_t metric_label_count(const struct metric *metric);
enum metric_type metric_type(const struct metric *metric);
/* Adds to the right bucket, to sum and count. NaN is ignored: it would spoil the sum for ever. */
void series_observe(struct series *series, double value);
/* The same as so many observations of one value: one that stands for others that were not measured. */
void series_observe_times(struct series *series, double value, uint64_t times);

/* Called before each rendering, to refresh gauges that are cheaper to compute when asked. It may add families and
 * series, but no collectors. */
typedef void metrics_collect_fn(void *ctx);
void metrics_on_collect(struct metrics *metrics, metrics_collect_fn *fn, void *ctx);
void metrics_remove_collect(struct metrics *metrics, metrics_collect_fn *fn, void *ctx);

/* Families sorted by name, with HELP and TYPE; label values escaped. */
void metrics_render(struct metrics *metrics, struct buf *out);
/* {"name":{"type":"counter","help":"…","series":[{"labels":{…},"value":1}]}}; of a histogram
 * {"labels":{…},"count":3,"sum":1.5,"buckets":{"0.1":1,"1":2,"+Inf":3}}, cumulative as in Prometheus.
 * A value that is not finite is null. */
void metrics_render_json(struct metrics *metrics, struct buf *out);

#endif
