/* Finding objects: by name, by index, by filter. */
#include "live/live_internal.h"

#include <stdio.h>

struct live_object *live_call(const struct live_server *s, struct slice id)
{
	struct live_call *call = live_call_by_id(s, id);
	if (call)
		return &call->object;
	struct live_channel *channel = live_channel_by_id(s, id);
	if (!channel)
		channel = live_channel_by_name(s, id);
	return channel && channel->call ? &channel->call->object : NULL;
}

struct live_object *live_find(const struct live_server *s, enum live_kind kind, struct slice name)
{
	struct live_object *object = live_object_find(s, (int)kind, name);
	if (kind == LIVE_CALL)
		return live_call(s, name);
	if (!object && kind == LIVE_CHANNEL) {
		struct live_channel *channel = live_channel_by_name(s, name);
		return channel ? &channel->object : NULL;
	}
	if (object && kind == LIVE_BRIDGE && LIVE_AS(bridge, object)->own)
		return NULL;
	if (!object && kind == LIVE_AGENT) {
		uint64_t seq = 0;
		for (struct live_object *o; (o = live_set_next(&s->sets[LIVE_AGENT], &seq));)
			if (slice_eq(live_name_text(LIVE_AS(agent, o)->name), name))
				return o;
	}
	return object;
}

/* ---- filters ---- */

static bool equals(const struct live_value *value, struct slice wanted)
{
	char printed[40];
	switch (value->type) {
	case LIVE_TEXT:
		return slice_eq(value->text, wanted);
	case LIVE_BOOL:
		return slice_eq(wanted, value->boolean ? SLICE("true") : SLICE("false"));
	case LIVE_INT:
		snprintf(printed, sizeof printed, "%lld", (long long)value->integer);
		return slice_eq(wanted, slice_cstr(printed));
	case LIVE_NUMBER:
	case LIVE_TIME:
		snprintf(printed, sizeof printed, "%.14g", value->number);
		return slice_eq(wanted, slice_cstr(printed));
	default:
		return false;
	}
}

static bool matches(const struct live_filter *filter, const struct live_object *object, int64_t now)
{
	if (object->kind == LIVE_BRIDGE && LIVE_AS_CONST(bridge, object)->own)
		return false;
	if (!filter)
		return true;
	for (uint32_t i = 0; i < filter->count; i++) {
		struct live_value value = live_get(object, filter->equal[i].field, now);
		if (!equals(&value, filter->equal[i].value))
			return false;
	}
	return true;
}

/* The fields that have an index, in the order of the groups, and then the state. */
static const char *const indexed[LIVE_GROUPS + 1] = { "account", "queue", "agent", "trunk", "state" };

/* The set of the filter's field `i` on this server; NULL: it has no index. */
static const struct live_set *index_of(const struct live_server *s, const struct live_filter *filter, uint32_t i)
{
	static const struct live_set empty;
	const char *field = live_field_name(LIVE_CALL, (uint32_t)filter->equal[i].field);
	for (int g = 0; field && g < LIVE_GROUPS; g++) {
		if (strcmp(field, indexed[g]) != 0)
			continue;
		struct live_object *group = live_object_find(s, LIVE_GROUP_ACCOUNT + g, filter->equal[i].value);
		return group ? &LIVE_AS(group, group)->calls : &empty;
	}
	for (int state = 0; field && strcmp(field, indexed[LIVE_GROUPS]) == 0 && state < LIVE_CALL_STATES; state++)
		if (slice_eq(filter->equal[i].value, slice_cstr(live_call_states[state])))
			return &s->states[state];
	return NULL;
}

/* The smallest set of this server that holds all that match; `*index`: the filter's field whose index it is, or -1. */
static const struct live_set *choose(const struct live_server *s, enum live_kind kind, const struct live_filter *filter, int *index)
{
	const struct live_set *best = &s->sets[kind];
	*index = -1;
	for (uint32_t i = 0; kind == LIVE_CALL && filter && i < filter->count; i++) {
		const struct live_set *set = index_of(s, filter, i);
		if (set && set->count < best->count) {
			best = set;
			*index = (int)i;
		}
	}
	return best;
}

void live_walk(struct live *live, enum live_kind kind, const struct live_filter *filter, struct live_cursor *cursor)
{
	*cursor = (struct live_cursor){ .live = live, .kind = kind, .filter = filter };
}

struct live_object *live_next(struct live_cursor *c, int64_t now)
{
	for (struct live_server *s = c->live->first; s; s = s->next) {
		const struct live_set *set;
		if (s->number < c->server || (c->filter && c->filter->server && c->filter->server != s))
			continue;
		if (s->number == c->server) { /* another index may have become the smaller one: numbers are this one's */
			set = c->index < 0 ? &s->sets[c->kind] : index_of(s, c->filter, (uint32_t)c->index);
		} else {
			set = choose(s, c->kind, c->filter, &c->index);
			c->server = s->number;
			c->after = 0;
		}
		for (struct live_object *o; (o = live_set_next(set, &c->after));) {
			s->stats.walked++;
			if (matches(c->filter, o, now))
				return o;
		}
	}
	return NULL;
}

uint64_t live_count(struct live *live, enum live_kind kind, const struct live_filter *filter, int64_t now)
{
	uint64_t count = 0;
	struct live_cursor cursor;
	if (!filter || filter->count <= 1) {
		int index;
		bool exact = !filter || filter->count == 0;
		for (int i = 0; !exact && kind == LIVE_CALL && i <= LIVE_GROUPS; i++)
			exact = strcmp(live_field_name(kind, (uint32_t)filter->equal[0].field), indexed[i]) == 0;
		if (exact && kind != LIVE_BRIDGE) {
			for (const struct live_server *s = live->first; s; s = s->next)
				if (!filter || !filter->server || filter->server == s)
					count += choose(s, kind, filter, &index)->count;
			return count;
		}
	}
	live_walk(live, kind, filter, &cursor);
	while (live_next(&cursor, now))
		count++;
	return count;
}
