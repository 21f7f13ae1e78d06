/* What the registry (metrics.c) and its rendering (metrics_render.c) share. */
#ifndef OBSERVE_METRICS_REGISTRY_H
#define OBSERVE_METRICS_REGISTRY_H

#include "base/list.h"
#include "base/map.h"
#include "observe/metrics.h"

struct metric {
	struct metrics *metrics;
	enum metric_type type;
	char *name, *help;
	char *labels[METRIC_LABELS_MAX];
	size_t label_count;
	double bounds[METRIC_BUCKETS_MAX];
	size_t bound_count;
	size_t max_series;
	struct map series;  /* label values, each behind its length, to struct series */
	struct list order;  /* of series_node, as they were made */
	uint64_t refusals_told; /* when the last refusal was logged (monotonic ns); 0: never */
};

struct series_node {
	struct series series; /* first: a pointer to one is a pointer to the other */
	struct list node;
	struct slice key; /* in `memory` */
	/* Buckets, label pointers, key and label values stand behind it in the same block. */
	_Alignas(uint64_t) char memory[];
};

struct collector {
	metrics_collect_fn *fn;
	void *ctx;
};

struct metrics {
	struct map families; /* name to struct metric */
	struct collector *collectors;
	size_t collector_count;
	struct metric *refused;
};

#endif
