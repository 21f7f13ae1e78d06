/* What Prometheus expects of every process, under the names that its other clients use: process_cpu_seconds_total,
 * process_resident_memory_bytes, process_virtual_memory_bytes, process_open_fds, process_max_fds, process_start_time_seconds. */
#ifndef OBSERVE_PROCESS_METRICS_H
#define OBSERVE_PROCESS_METRICS_H

#include "observe/metrics.h"

struct process_metrics;

/* Adds the families, to be read anew at each rendering. `started`: epoch seconds. */
struct process_metrics *process_metrics_create(struct metrics *metrics, double started);
/* Before the registry goes; the families stay in it. */
void process_metrics_destroy(struct process_metrics **process);

#endif
