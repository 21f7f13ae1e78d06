/* The metrics registry and its two renderings. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "observe/log.h"
#include "observe/metrics.h"
#include "observe/redact.h"

static struct metric *add(struct metrics *metrics, enum metric_type type, const char *name, const char *label,
                          struct err *err)
{
	return metrics_add(metrics, type, name, "Help.", label ? &label : NULL, label != NULL, NULL, 0, 0, err);
}

static struct series *one(struct metric *metric, const char *value)
{
	struct slice v = slice_cstr(value);
	return metric_series(metric, &v, 1);
}

static bool renders(struct metrics *metrics, const char *text)
{
	struct buf out;
	buf_init(&out, 0);
	metrics_render(metrics, &out);
	bool found = strstr(buf_cstr(&out), text) != NULL;
	if (!found)
		printf("%s\n", buf_cstr(&out));
	buf_close(&out);
	return found;
}

static bool renders_json(struct metrics *metrics, const char *text)
{
	struct buf out;
	buf_init(&out, 0);
	metrics_render_json(metrics, &out);
	bool found = strstr(buf_cstr(&out), text) != NULL;
	if (!found)
		printf("%s\n", buf_cstr(&out));
	buf_close(&out);
	return found;
}

static void renders_counters_and_gauges_sorted_by_name(void)
{
	struct metrics *metrics = metrics_create();
	struct metric *b = add(metrics, METRIC_GAUGE, "b", NULL, NULL);
	struct metric *a = metrics_add(metrics, METRIC_COUNTER, "a_total", "Back\\slash and\nline.",
	                               (const char *const[]){ "server", "code" }, 2, NULL, 0, 0, NULL);

	metric_series(b, NULL, 0)->value = -0.25;
	metric_series(a, (struct slice[]){ SLICE("pbx1"), SLICE("a\"b\\c\nd") }, 2)->value = 12345678901234567.0;
	metric_series(a, (struct slice[]){ SLICE("pbx2"), SLICE("") }, 2)->value += 1;
	CHECK(renders(metrics, "# HELP a_total Back\\\\slash and\\nline.\n# TYPE a_total counter\n"
	                       "a_total{server=\"pbx1\",code=\"a\\\"b\\\\c\\nd\"} 12345678901234568\n"
	                       "a_total{server=\"pbx2\",code=\"\"} 1\n"
	                       "# HELP b Help.\n# TYPE b gauge\nb -0.25\n"));
	CHECK(renders_json(metrics, "{\"a_total\":{\"type\":\"counter\",\"help\":\"Back\\\\slash and\\nline.\",\"series\":["
	                            "{\"labels\":{\"server\":\"pbx1\",\"code\":\"a\\\"b\\\\c\\nd\"},\"value\":12345678901234568},"
	                            "{\"labels\":{\"server\":\"pbx2\",\"code\":\"\"},\"value\":1}]},\"b\":{\"type\":\"gauge\""));
	metrics_destroy(&metrics);
	CHECK(metrics == NULL);
}

static void writes_numbers_without_needless_exponent(void)
{
	static const struct {
		double number;
		const char *text;
	} cases[] = {
		{ 0, "g 0\n" },
		{ -0.0, "g 0\n" },
		{ 1e6, "g 1000000\n" },
		{ 1e15, "g 1000000000000000\n" },
		{ -9007199254740993.0, "g -9007199254740992\n" },
		{ 0.1, "g 0.1\n" },
		{ 0.1 + 0.2, "g 0.30000000000000004\n" },
		{ 1e300, "g 1e+300\n" },
		{ INFINITY, "g +Inf\n" },
		{ -INFINITY, "g -Inf\n" },
		{ NAN, "g NaN\n" },
	};
	struct metrics *metrics = metrics_create();
	struct series *g = metric_series(add(metrics, METRIC_GAUGE, "g", NULL, NULL), NULL, 0);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		g->value = cases[i].number;
		CHECK(renders(metrics, cases[i].text));
	}
	CHECK(renders_json(metrics, "\"value\":null"));
	metrics_destroy(&metrics);
}

static void a_histogram_is_cumulative(void)
{
	struct metrics *metrics = metrics_create();
	const char *label = "server";
	struct slice pbx = SLICE("pbx1");
	struct metric *h = metrics_add(metrics, METRIC_HISTOGRAM, "wait_seconds", "Waits.", &label, 1,
	                               (const double[]){ 0.0625, 1, 10 }, 3, 0, NULL);
	struct series *series = metric_series(h, &pbx, 1);

	series_observe(series, 0.0625);
	series_observe(series, 0.5);
	series_observe(series, 1);
	series_observe(series, 11);
	series_observe(series, NAN);
	CHECK(series->buckets[0] == 1 && series->buckets[1] == 2 && series->buckets[2] == 0);
	CHECK(renders(metrics, "# TYPE wait_seconds histogram\n"
	                       "wait_seconds_bucket{server=\"pbx1\",le=\"0.0625\"} 1\n"
	                       "wait_seconds_bucket{server=\"pbx1\",le=\"1\"} 3\n"
	                       "wait_seconds_bucket{server=\"pbx1\",le=\"10\"} 3\n"
	                       "wait_seconds_bucket{server=\"pbx1\",le=\"+Inf\"} 4\n"
	                       "wait_seconds_sum{server=\"pbx1\"} 12.5625\n"
	                       "wait_seconds_count{server=\"pbx1\"} 4\n"));
	CHECK(renders_json(metrics, "{\"labels\":{\"server\":\"pbx1\"},\"count\":4,\"sum\":12.5625,"
	                            "\"buckets\":{\"0.0625\":1,\"1\":3,\"10\":3,\"+Inf\":4}}"));
	struct metric *bare = metrics_add(metrics, METRIC_HISTOGRAM, "bare", "", NULL, 0, NULL, 0, 0, NULL);
	series_observe(metric_series(bare, NULL, 0), 2);
	CHECK(renders(metrics, "bare_bucket{le=\"+Inf\"} 1\nbare_sum 2\nbare_count 1\n"));
	metrics_destroy(&metrics);
}

static void the_same_family_keeps_its_values(void)
{
	struct metrics *metrics = metrics_create();
	struct err err = { 0 };
	struct metric *calls = add(metrics, METRIC_COUNTER, "calls_total", "rule", &err);

	one(calls, "missed")->value = 7;
	CHECK(add(metrics, METRIC_COUNTER, "calls_total", "rule", &err) == calls);
	CHECK(metrics_find(metrics, "calls_total") == calls);
	CHECK(one(calls, "missed")->value > 6.5);
	CHECK(!add(metrics, METRIC_GAUGE, "calls_total", "rule", &err) && err.code == ERR_INVALID);
	CHECK(!add(metrics, METRIC_COUNTER, "calls_total", "server", &err));
	CHECK(!add(metrics, METRIC_COUNTER, "calls_total", NULL, &err));
	metrics_add(metrics, METRIC_HISTOGRAM, "h", "", NULL, 0, (const double[]){ 1, 2 }, 2, 0, &err);
	CHECK(!metrics_add(metrics, METRIC_HISTOGRAM, "h", "", NULL, 0, (const double[]){ 1, 3 }, 2, 0, &err));
	metrics_drop(metrics, "calls_total");
	metrics_drop(metrics, "never_there");
	CHECK(!metrics_find(metrics, "calls_total"));
	CHECK(add(metrics, METRIC_GAUGE, "calls_total", NULL, &err) != NULL);
	metrics_destroy(&metrics);
}

static void refuses_what_prometheus_could_not_read(void)
{
	struct metrics *metrics = metrics_create();
	struct err err = { 0 };
	static const char *const bad_names[] = { "", "1a", "a-b", "a b", "caf\xC3\xA9" };
	static const char *const bad_labels[] = { "", "1a", "a:b", "__x", "a-b" };
	const char *many[METRIC_LABELS_MAX + 1] = { "a", "b", "c", "d", "e", "f", "g", "h", "i" };
	const char *twice[] = { "a", "a" }, *le = "le";

	for (size_t i = 0; i < sizeof bad_names / sizeof *bad_names; i++)
		CHECK(!add(metrics, METRIC_GAUGE, bad_names[i], NULL, &err));
	for (size_t i = 0; i < sizeof bad_labels / sizeof *bad_labels; i++)
		CHECK(!add(metrics, METRIC_GAUGE, "g", bad_labels[i], &err));
	CHECK(!metrics_add(metrics, METRIC_GAUGE, "g", "", many, METRIC_LABELS_MAX + 1, NULL, 0, 0, &err));
	CHECK(!metrics_add(metrics, METRIC_GAUGE, "g", "", twice, 2, NULL, 0, 0, &err));
	CHECK(!metrics_add(metrics, METRIC_HISTOGRAM, "h", "", &le, 1, NULL, 0, 0, &err));
	CHECK(!metrics_add(metrics, METRIC_HISTOGRAM, "h", "", NULL, 0, (const double[]){ 2, 1 }, 2, 0, &err));
	CHECK(!metrics_add(metrics, METRIC_HISTOGRAM, "h", "", NULL, 0, (const double[]){ 1, INFINITY }, 2, 0, &err));
	CHECK(!metrics_add(metrics, METRIC_GAUGE, "g", "", NULL, 0, (const double[]){ 1 }, 1, 0, &err));
	CHECK(add(metrics, METRIC_GAUGE, "x_count", NULL, &err) != NULL);
	CHECK(!add(metrics, METRIC_HISTOGRAM, "x", NULL, &err));
	CHECK(add(metrics, METRIC_HISTOGRAM, "y", NULL, &err) != NULL);
	CHECK(!add(metrics, METRIC_GAUGE, "y_sum", NULL, &err));
	metrics_destroy(&metrics);
}

static void label_sets_are_never_confused(void)
{
	struct metrics *metrics = metrics_create();
	struct metric *m = metrics_add(metrics, METRIC_GAUGE, "m", "", (const char *const[]){ "a", "b" }, 2, NULL, 0, 0, NULL);
	struct series *x = metric_series(m, (struct slice[]){ SLICE("1\xFF"), SLICE("2") }, 2);
	struct series *y = metric_series(m, (struct slice[]){ SLICE("1"), SLICE("\xFF" "2") }, 2);
	struct series *z = metric_series(m, (struct slice[]){ SLICE(""), SLICE("12") }, 2);
	struct series *same = metric_series(m, (struct slice[]){ SLICE("1\xFE"), SLICE("2") }, 2);

	CHECK(x && y && z && x != y && y != z && x != z);
	/* Not UTF-8: shown, and so counted, as the same text. */
	CHECK(x == same && strcmp(x->labels[0], "1\xEF\xBF\xBD") == 0);
	CHECK(metric_series(m, (struct slice[]){ SLICE("1\0002"), SLICE("caf\xC3\xA9") }, 2) != NULL);
	CHECK(renders(metrics, "m{a=\"1\xEF\xBF\xBD" "2\",b=\"caf\xC3\xA9\"} 0\n"));
	CHECK(!metric_series(m, (struct slice[]){ SLICE("1") }, 1));
	CHECK(metric_label_count(m) == 2 && metric_type(m) == METRIC_GAUGE);
	CHECK(metric_remove(m, (struct slice[]){ SLICE("1"), SLICE("\xFF" "2") }, 2));
	CHECK(!metric_remove(m, (struct slice[]){ SLICE("1"), SLICE("\xFF" "2") }, 2));
	char *longest = malloc(METRIC_LABEL_VALUE_MAX + 1);
	memset(longest, 'x', METRIC_LABEL_VALUE_MAX + 1);
	struct slice fits[] = { { longest, METRIC_LABEL_VALUE_MAX }, { longest, METRIC_LABEL_VALUE_MAX } };
	struct series *big = metric_series(m, fits, 2);
	CHECK(big && metric_series(m, fits, 2) == big && strlen(big->labels[1]) == METRIC_LABEL_VALUE_MAX);
	fits[1].len++;
	CHECK(!metric_series(m, fits, 2));
	/* All of one first label, of no other that begins like it. */
	metric_series(m, (struct slice[]){ SLICE("1"), SLICE("x") }, 2);
	metric_series(m, (struct slice[]){ SLICE("1"), SLICE("y") }, 2);
	metric_series(m, (struct slice[]){ SLICE("11"), SLICE("x") }, 2);
	metric_remove_all(m, SLICE("1"));
	CHECK(!renders(metrics, "m{a=\"1\",") && renders(metrics, "m{a=\"11\",b=\"x\"} 0\n"));
	CHECK(!metric_remove(m, (struct slice[]){ SLICE("1"), SLICE("x") }, 2));
	free(longest);
	metrics_destroy(&metrics);
}

static void counts_refused_label_sets(void)
{
	struct metrics *metrics = metrics_create();
	const char *label = "channel";
	struct metric *m = metrics_add(metrics, METRIC_COUNTER, "m_total", "", &label, 1, NULL, 0, 100, NULL);
	struct log_counts before, after;
	char name[16];
	int refused = 0;

	log_count(&before);
	for (int i = 0; i < 150; i++) {
		snprintf(name, sizeof name, "ch%d", i);
		refused += one(m, name) == NULL;
	}
	log_count(&after);
	CHECK(refused == 50);
	CHECK(one(m, "ch99") != NULL);
	CHECK(renders(metrics, "hookswitch_metric_series_refused_total{metric=\"m_total\"} 50\n"));
	CHECK(after.records[LOG_WARN] - before.records[LOG_WARN] == 1);
	struct slice first = SLICE("ch0");
	CHECK(metric_remove(m, &first, 1) && one(m, "ch149") != NULL);
	metrics_destroy(&metrics);
}

static void collect(void *ctx)
{
	++*(double *)ctx;
}

static void collectors_run_before_each_rendering(void)
{
	struct metrics *metrics = metrics_create();
	struct series *g = metric_series(add(metrics, METRIC_GAUGE, "g", NULL, NULL), NULL, 0);

	metrics_on_collect(metrics, collect, &g->value);
	CHECK(renders(metrics, "\ng 1\n"));
	CHECK(renders_json(metrics, "\"value\":2"));
	metrics_remove_collect(metrics, collect, &g->value);
	CHECK(renders(metrics, "\ng 2\n"));
	metrics_destroy(&metrics);
}

static void masks_known_secrets(void)
{
	struct metrics *metrics = metrics_create();
	struct metric *m = add(metrics, METRIC_GAUGE, "m", "what", NULL);

	redact_add_value("s3cret-of-pbx");
	CHECK(one(m, "login s3cret-of-pbx failed") == one(m, "login " REDACTED " failed"));
	CHECK(renders(metrics, "m{what=\"login [redacted] failed\"} 0\n"));
	redact_clear();
	metrics_destroy(&metrics);
}

int main(void)
{
	renders_counters_and_gauges_sorted_by_name();
	writes_numbers_without_needless_exponent();
	a_histogram_is_cumulative();
	the_same_family_keeps_its_values();
	refuses_what_prometheus_could_not_read();
	label_sets_are_never_confused();
	counts_refused_label_sets();
	collectors_run_before_each_rendering();
	masks_known_secrets();
	return check_report();
}
