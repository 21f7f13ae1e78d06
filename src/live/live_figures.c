/* What a queue did in the last hour, by minutes, and today. */
#include "live/live_internal.h"

#define MINUTE (60 * LIVE_SECOND)

static void add(struct live_figures *to, const struct live_figures *more)
{
	to->offered += more->offered;
	to->answered += more->answered;
	to->abandoned += more->abandoned;
	to->in_time += more->in_time;
	to->wait += more->wait;
	to->talk += more->talk;
}

/* Empties the minutes that have passed since the last one. */
static void turn(struct live_queue *queue, int64_t now)
{
	int64_t minute = now / MINUTE, passed = minute - queue->minute;
	for (int64_t i = 1; i <= passed && i <= LIVE_MINUTES; i++)
		queue->minutes[(queue->minute + i) % LIVE_MINUTES] = (struct live_figures){ 0 };
	if (passed > 0)
		queue->minute = minute;
}

void live_figures_add(struct live_queue *queue, const struct live_figures *more)
{
	struct live_server *s = queue->object.server;
	turn(queue, s->live->now);
	add(&queue->minutes[queue->minute % LIVE_MINUTES], more);
	add(&queue->today, more);
	if (list_empty(&queue->dirty))
		list_append(&s->dirty, &queue->dirty);
}

struct live_figures live_figures_hour(const struct live_queue *queue, int64_t now)
{
	struct live_figures sum = { 0 };
	int64_t minute = now / MINUTE;
	for (int64_t i = minute - LIVE_MINUTES + 1; i <= minute; i++)
		if (i > queue->minute - LIVE_MINUTES && i <= queue->minute && i >= 0)
			add(&sum, &queue->minutes[i % LIVE_MINUTES]);
	return sum;
}

void live_figures_report(struct live_server *s, int64_t now)
{
	list_each_safe(node, &s->dirty) {
		struct live_queue *queue = list_entry(node, struct live_queue, dirty);
		if (queue->told != 0 && now - queue->told < LIVE_SECOND)
			continue;
		list_remove(&queue->dirty);
		queue->told = now;
		live_report(s, LIVE_QUEUE_CHANGED, &queue->object, NULL);
	}
}
