/* Items of fields that are lists or maps. */
#include "live/live_fields.h"

static struct list *nth(const struct list *head, uint32_t i)
{
	struct list *node = head->next;
	while (i-- > 0 && node != head)
		node = node->next;
	return node == head ? NULL : node;
}

static const struct live_object *set_item(const struct live_set *set, uint32_t i)
{
	uint64_t seq = 0;
	if (set->count == set->end - set->begin) /* nothing was removed in between */
		return i < set->count ? set->items[set->begin + i].object : NULL;
	struct live_object *o = live_set_next(set, &seq);
	while (o && i-- > 0)
		o = live_set_next(set, &seq);
	return o;
}

/* The channel whose node `node` is, as a text. */
static struct live_value channel_name(const struct list *node, size_t member)
{
	return node ? live_value_text(LIVE_AS_CONST(channel, ((const char *)node - member))->name) : live_value_nil();
}

static const struct live_object *call_item(const struct live_call *call, uint32_t field, uint32_t i, struct live_value *value)
{
	enum { CALL_FIELDS(FIELD_ENUM) };
	if (field != F_waits) {
		*value = channel_name(nth(&call->channels, i), offsetof(struct live_channel, in_call));
		return NULL;
	}
	const struct live_wait *wait = call->more ? call->more->waits : NULL;
	while (wait && i-- > 0)
		wait = wait->next;
	return wait ? &wait->object : NULL;
}

static const struct live_object *queue_item(const struct live_queue *queue, uint32_t field, uint32_t i)
{
	enum { QUEUE_FIELDS(FIELD_ENUM) };
	if (field == F_members)
		return set_item(&queue->members, i);
	return i < queue->waiting ? &queue->callers[queue->first + i]->object : NULL;
}

static const struct live_object *agent_item(const struct live_agent *agent, uint32_t field, uint32_t i, struct slice *key, struct live_value *value)
{
	enum { AGENT_FIELDS(FIELD_ENUM) };
	if (field == F_pauses) {
		if (i < agent->pause_count) {
			*key = live_name_text(agent->pauses[i].reason);
			*value = live_value_seconds(agent->pauses[i].total);
		}
		return NULL;
	}
	const struct list *node = nth(&agent->members, i);
	const struct live_member *member = node ? LIVE_AS_CONST(member, ((const char *)node - offsetof(struct live_member, in_agent))) : NULL;
	*value = member && member->queue ? live_value_text(member->queue->object.key) : live_value_nil();
	return NULL;
}

const struct live_object *live_item(const struct live_value *list_value, uint32_t i, struct slice *key, struct live_value *value)
{
	const struct live_object *object = list_value->list.object;
	uint32_t field = list_value->list.field;
	const struct live_channel *channel;
	*key = slice_make("", 0);
	*value = live_value_nil();
	switch (object->kind) {
	case LIVE_CHANNEL:
		channel = LIVE_AS_CONST(channel, object);
		*key = slice_cstr(channel->variables->of->names[i]);
		*value = live_value_text(channel->variables->values[i]);
		return NULL;
	case LIVE_CALL:
		return call_item(LIVE_AS_CONST(call, object), field, i, value);
	case LIVE_BRIDGE:
		*value = channel_name(nth(&LIVE_AS_CONST(bridge, object)->channels, i), offsetof(struct live_channel, in_bridge));
		return NULL;
	case LIVE_CONFERENCE:
		return set_item(&LIVE_AS_CONST(conference, object)->participants, i);
	case LIVE_LOT:
		return set_item(&LIVE_AS_CONST(lot, object)->parked, i);
	case LIVE_QUEUE:
		return queue_item(LIVE_AS_CONST(queue, object), field, i);
	case LIVE_AGENT:
		return agent_item(LIVE_AS_CONST(agent, object), field, i, key, value);
	default:
		return NULL;
	}
}

/* ---- all of them ---- */

struct walk {
	live_item_fn *fn;
	void *ctx;
};

static bool give_object(const struct walk *walk, const struct live_object *object)
{
	const struct live_value nil = live_value_nil();
	return walk->fn(walk->ctx, object, slice_make("", 0), &nil);
}

static bool give_text(const struct walk *walk, const struct live_name *name)
{
	struct live_value text = live_value_text(name);
	return walk->fn(walk->ctx, NULL, slice_make("", 0), &text);
}

static void each_of_set(const struct walk *walk, const struct live_set *set)
{
	uint64_t seq = 0;
	for (struct live_object *o; (o = live_set_next(set, &seq));)
		if (!give_object(walk, o))
			return;
}

static void each_of_call(const struct walk *walk, const struct live_call *call, uint32_t field)
{
	enum { CALL_FIELDS(FIELD_ENUM) };
	if (field == F_waits) {
		for (const struct live_wait *w = call->more ? call->more->waits : NULL; w && give_object(walk, &w->object);)
			w = w->next;
		return;
	}
	list_each(node, &call->channels)
		if (!give_text(walk, list_entry(node, struct live_channel, in_call)->name))
			return;
}

/* Short ones: variables, pauses. */
static void each_by_number(const struct walk *walk, const struct live_value *list)
{
	for (uint32_t i = 0; i < list->list.count; i++) {
		struct slice key;
		struct live_value value;
		const struct live_object *object = live_item(list, i, &key, &value);
		if (!walk->fn(walk->ctx, object, key, &value))
			return;
	}
}

void live_each_item(const struct live_value *list, live_item_fn *fn, void *ctx)
{
	enum { QUEUE_FIELDS(FIELD_ENUM) };
	const struct live_object *object = list->list.object;
	const struct walk walk = { fn, ctx };
	const struct live_queue *queue;

	switch (object->kind) {
	case LIVE_CALL:
		each_of_call(&walk, LIVE_AS_CONST(call, object), list->list.field);
		break;
	case LIVE_BRIDGE:
		list_each(node, &LIVE_AS_CONST(bridge, object)->channels)
			if (!give_text(&walk, list_entry(node, struct live_channel, in_bridge)->name))
				return;
		break;
	case LIVE_CONFERENCE:
		each_of_set(&walk, &LIVE_AS_CONST(conference, object)->participants);
		break;
	case LIVE_LOT:
		each_of_set(&walk, &LIVE_AS_CONST(lot, object)->parked);
		break;
	case LIVE_QUEUE:
		queue = LIVE_AS_CONST(queue, object);
		if (list->list.field == F_members)
			each_of_set(&walk, &queue->members);
		for (uint32_t i = 0; list->list.field != F_members && i < queue->waiting; i++)
			if (!give_object(&walk, &queue->callers[queue->first + i]->object))
				return;
		break;
	default:
		each_by_number(&walk, list);
	}
}
