/* The fields of queues, callers, members, agents and waits. */
#include "live/live_fields.h"

static struct live_value share(int64_t part, int64_t of, double unit)
{
	return of > 0 ? (struct live_value){ .type = LIVE_NUMBER, .number = (double)part / (double)of / unit } : live_value_nil();
}

/* Offered, answered, abandoned, in time, their share, speed of answer, talk time: `which` from 0. */
static struct live_value figure(const struct live_figures *f, int which)
{
	switch (which) {
	case 0: return live_value_integer(f->offered);
	case 1: return live_value_integer(f->answered);
	case 2: return live_value_integer(f->abandoned);
	case 3: return live_value_integer(f->in_time);
	case 4: return share(f->in_time, (int64_t)f->answered + f->abandoned, 1);
	case 5: return share(f->wait, f->answered, 1e6);
	default: return share(f->talk, f->answered, 1e6);
	}
}

static uint32_t count_free(const struct live_queue *queue)
{
	uint32_t free = 0;
	uint64_t next = 0;
	for (struct live_object *o; (o = live_set_next(&queue->members, &next));)
		free += !LIVE_AS(member, o)->paused && !LIVE_AS(member, o)->in_call && LIVE_AS(member, o)->status <= 1;
	return free;
}

struct live_value live_fields_queue(const struct live_queue *q, int field, int64_t now)
{
	enum { QUEUE_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_name: return live_value_text(q->object.key);
	case F_strategy: return live_value_text(q->strategy);
	case F_count: return live_value_integer(q->waiting);
	case F_waiting: return live_value_list(&q->object, F_waiting, q->waiting);
	case F_longest_wait: {
		int64_t since = q->waiting > 0 ? q->callers[q->first]->since : 0;
		/* Whoever is first need not have waited longest: priorities. */
		for (uint32_t i = 1; i < q->waiting && i < 64; i++)
			since = q->callers[q->first + i]->since < since ? q->callers[q->first + i]->since : since;
		return live_value_seconds(q->waiting > 0 && now > since ? now - since : 0);
	}
	case F_member_count: return live_value_integer(q->members.count);
	case F_members: return live_value_list(&q->object, F_members, q->members.count);
	case F_free: return live_value_integer(count_free(q));
	case F_max: return live_value_integer(q->max);
	default: break;
	}
	if (field >= F_offered_today)
		return figure(&q->today, field - F_offered_today);
	if (field < F_offered)
		return live_value_nil();
	struct live_figures hour = live_figures_hour(q, now);
	return figure(&hour, field - F_offered);
}

struct live_value live_fields_caller(const struct live_caller *c, int field, int64_t now)
{
	enum { CALLER_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_queue: return c->queue ? live_value_text(c->queue->object.key) : live_value_nil();
	case F_position: return live_value_integer(live_queue_position(c));
	case F_position_joined: return live_value_integer(c->position_joined);
	case F_priority: return c->priority != 0 ? live_value_integer(c->priority) : live_value_nil();
	case F_number: return live_value_text(c->number);
	case F_name: return live_value_text(c->name);
	case F_uniqueid: return live_value_text(c->object.key);
	case F_channel: return live_value_text(c->channel);
	case F_call: return live_fields_call_id(c->call);
	case F_since: return live_value_at(c->since);
	case F_wait: return live_value_seconds((c->left ? c->until : now > c->since ? now : c->since) - c->since);
	case F_reason: return live_value_word(live_lefts[c->reason]);
	default: return live_value_nil();
	}
}

struct live_value live_fields_member(const struct live_member *m, int field)
{
	enum { MEMBER_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_queue: return m->queue ? live_value_text(m->queue->object.key) : live_value_nil();
	case F_interface: return live_value_text(m->object.key);
	case F_name: return live_value_text(m->name);
	case F_state: return live_value_word(live_endpoint_device_name(m->status));
	case F_status: return live_value_integer(m->status);
	case F_paused: return live_value_boolean(m->paused);
	case F_paused_reason: return live_value_text(m->paused_reason);
	case F_paused_since: return live_value_at(m->paused_since);
	case F_in_call: return live_value_boolean(m->in_call);
	case F_calls: return live_value_integer(m->calls);
	case F_penalty: return live_value_integer(m->penalty);
	case F_wrapup: return live_value_integer(m->wrapup);
	case F_dynamic: return live_value_boolean(m->dynamic);
	case F_agent: return m->agent ? live_value_text(m->agent->object.key) : live_value_nil();
	case F_logged_in: return live_value_at(m->logged_in);
	case F_last_call: return m->last_call > 0 && m->last_call < INT64_MAX / LIVE_SECOND ? live_value_at(m->last_call * LIVE_SECOND) : live_value_nil();
	default: return live_value_nil();
	}
}

struct live_value live_fields_agent(const struct live_agent *a, int field, int64_t now)
{
	enum { AGENT_FIELDS(FIELD_ENUM) };
	int64_t paused = a->paused_since != 0 && now > a->paused_since ? now - a->paused_since : 0;
	uint32_t queues = 0;
	switch (field) {
	case F_interface: return live_value_text(a->object.key);
	case F_name: return live_value_text(a->name);
	case F_state: return live_value_word(live_agent_states[a->state]);
	case F_since: return live_value_at(a->since);
	case F_call: return live_fields_call_id(a->call);
	case F_logged_in: return live_value_at(a->logged_in);
	case F_calls: return live_value_integer(a->calls);
	case F_talk: return live_value_seconds(a->talk);
	case F_missed: return live_value_integer(a->missed);
	case F_paused_time:
		for (uint32_t i = 0; i < a->pause_count; i++)
			paused += a->pauses[i].total;
		return live_value_seconds(paused);
	case F_pauses: return live_value_map_of(&a->object, F_pauses, a->pause_count);
	case F_paused_reason: return live_value_text(a->paused_reason);
	case F_queues:
		for (const struct list *n = a->members.next; n != &a->members; n = n->next)
			queues++;
		return live_value_list(&a->object, F_queues, queues);
	default: return live_value_nil();
	}
}

struct live_value live_fields_wait(const struct live_wait *w, int field, int64_t now)
{
	enum { WAIT_FIELDS(FIELD_ENUM) };
	switch (field) {
	case F_queue: return live_value_text(w->object.key);
	case F_since: return live_value_at(w->since);
	case F_wait: return live_value_seconds((w->until != 0 ? w->until : now > w->since ? now : w->since) - w->since);
	case F_agent: return live_value_text(w->agent);
	case F_reason: return live_value_word(live_lefts[w->reason]);
	default: return live_value_nil();
	}
}
