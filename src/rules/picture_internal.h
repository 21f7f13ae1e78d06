/* What the files of the picture share, and the host calls. */
#ifndef RULES_PICTURE_INTERNAL_H
#define RULES_PICTURE_INTERNAL_H

#include <stdatomic.h>

#include "rules/picture.h"
#include "rules/state.h"

struct picture_server {
	struct picture *picture;
	struct heap_node due;  /* its key: µs; see live_server_deadline() */
	struct list touched;   /* its deadline may have changed */
	struct live_server *live;
	uint32_t id;
	unsigned unknown;      /* as it was logged last */
	bool leaves;           /* it was removed: what it had ends in steps */
};

struct picture {
	struct host *host;
	struct live *live;     /* NULL: it is off */
	struct picture_server **servers; /* by id from 1; NULL: it is not in the picture */
	uint32_t server_cap;
	struct picture_server *last; /* whose event came last: it is asked for again and again */
	struct heap due;
	struct list touched;
	bool asks;             /* live_next_request() may have something */
	int64_t now;           /* µs */
	uint64_t mono;         /* monotonic ns that it belongs to */
	double arrived;        /* epoch seconds: events that arrived with the last one are taken at the same time */
	unsigned day_starts;
	int64_t next_day;      /* µs; 0: to be looked up */
	uint64_t overflow_logged;
	struct list holders;   /* struct picture_holder */
	atomic_bool left;      /* one of them is to be closed */
	uint64_t generation;   /* changes when it is turned on */
	/* Changes on their way to the rules, see picture_event.c. */
	bool watched;
	uint32_t heard;        /* bits of enum live_change_kind that some rule names */
	uint64_t heard_version;
	struct buf packed;     /* scratch */
	uint64_t dropped;      /* changes that found no place and were not reported yet */
	uint32_t dropped_of;   /* the server of the last one */
};
_Static_assert(LIVE_CHANGES <= 32, "`heard` has a bit for each");

struct picture *picture_create(struct host *host);
void picture_destroy(struct picture **picture);
/* An event of that server has arrived, `at` epoch seconds. */
void picture_event(struct picture *picture, uint32_t id, const struct message *message, double at);
/* Queues what has changed as an event of the rules, if one of them listens. */
void picture_event_queue(struct picture *picture, const struct live_change *change);
/* Queues server.gap for changes that found no place. */
void picture_event_report_dropped(struct picture *picture);
/* Gives the rules what is queued. */
void picture_event_deliver(struct picture *picture);
/* NULL: it is not in the picture. */
struct picture_server *picture_find(const struct picture *picture, const struct live_server *server);
/* Time passes. Monotonic ns when it wants to be called again; UINT64_MAX: never. */
uint64_t picture_turn(struct picture *picture);

#endif
