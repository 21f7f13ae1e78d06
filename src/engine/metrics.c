/* What the engine itself counts: the loop and the log. */
#include "engine/internal.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/version.h"
#include "observe/log.h"


static struct metric *add(struct engine *e, enum metric_type type, const char *name, const char *help, const char *label,
                          const double *buckets, size_t count)
{
	struct err err;
	struct metric *m = metrics_add(e->metrics, type, name, help, &label, label ? 1 : 0, buckets, count, 0, &err);
	if (!m)
		abort(); /* two parts of the engine use one name */
	return m;
}

static void set(struct metric *m, const char *label, uint64_t value)
{
	struct slice name = slice_cstr(label);
	struct series *s = metric_series(m, &name, 1);
	if (s)
		s->value = (double)value;
}

static void collect(void *ctx)
{
	struct engine *e = ctx;
	struct log_counts counts;
	log_count(&counts);
	e->longest_turn->value = engine_longest_turn(e);
	e->reloads[0]->value = e->reload_succeeded;
	e->reloads[1]->value = e->reload_failed;
	e->memory_shortages->value = (double)mem_shortages();
	struct metric *records = metrics_find(e->metrics, "hookswitch_log_records_total");
	for (int level = 0; level < LOG_LEVELS; level++)
		set(records, log_level_name((enum log_level)level), counts.records[level]);
	struct metric *lost = metrics_find(e->metrics, "hookswitch_log_lost_total");
	set(lost, "throttled", counts.throttled);
	set(lost, "queue", counts.dropped_queue);
	set(lost, "write", counts.dropped_write);
	struct metric *sink = metrics_find(e->metrics, "hookswitch_sink_lines_total");
	set(sink, "written", counts.sink_written);
	set(sink, "dropped", counts.sink_dropped);
}

void engine_metrics_open(struct engine *e)
{
	static const double buckets[] = { 0.00001, 0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5 };
	e->turn_seconds = metric_series(add(e, METRIC_HISTOGRAM, "hookswitch_loop_turn_seconds", "Time of one turn of the loop, without its wait.",
	                                    NULL, buckets, sizeof buckets / sizeof *buckets), NULL, 0);
	e->turns = metric_series(add(e, METRIC_COUNTER, "hookswitch_loop_turns_total", "Turns of the loop.", NULL, NULL, 0), NULL, 0);
	e->wait_seconds = metric_series(add(e, METRIC_COUNTER, "hookswitch_loop_wait_seconds_total", "Time that the loop has waited.", NULL, NULL, 0), NULL, 0);
	e->lag_seconds = metric_series(add(e, METRIC_GAUGE, "hookswitch_loop_lag_seconds", "How late the last timer of the rules was.", NULL, NULL, 0), NULL, 0);
	e->memory_shortages = metric_series(add(e, METRIC_COUNTER, "hookswitch_memory_shortages_total", "Times that the system had no memory left, and requests of rules and servers were refused.", NULL, NULL, 0), NULL, 0);
	e->longest_turn = metric_series(add(e, METRIC_GAUGE, "hookswitch_loop_longest_turn_seconds", "Longest turn of this minute or the one before.", NULL, NULL, 0), NULL, 0);
	e->reloads[0] = metric_series(add(e, METRIC_GAUGE, "hookswitch_reload_success_timestamp_seconds", "When configuration and rules were last taken over, at the start or by a reload, seconds since 1970.", NULL, NULL, 0), NULL, 0);
	e->reloads[1] = metric_series(add(e, METRIC_GAUGE, "hookswitch_reload_failure_timestamp_seconds", "When a reload last failed, seconds since 1970; 0: never.", NULL, NULL, 0), NULL, 0);
	add(e, METRIC_COUNTER, "hookswitch_log_records_total", "Log records accepted, by level.", "level", NULL, 0);
	add(e, METRIC_COUNTER, "hookswitch_log_lost_total", "Log records not written, by reason: throttled (told with their number), queue (full), write (the destination refused).", "reason", NULL, 0);
	add(e, METRIC_COUNTER, "hookswitch_sink_lines_total", "Lines of sinks by fate: written (the destination took them), dropped (queue full, or the destination refused them). Those in the queue are in neither.", "fate", NULL, 0);
	struct slice version = SLICE(HOOKSWITCH_VERSION);
	metric_series(add(e, METRIC_GAUGE, "hookswitch_build_info", "Always 1; the version stands in the label.", "version", NULL, 0), &version, 1)->value = 1;
	metrics_on_collect(e->metrics, collect, e);
	engine_picture_metrics_open(e);
}
