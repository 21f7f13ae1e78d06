#include "live/live_internal.h"

#include "base/mem.h"

/* ---- who talks ---- */

static void set_talking(struct live_bridge *bridge, bool talking)
{
	struct live_call *call = bridge->call;
	if (bridge->talking == talking)
		return;
	bridge->talking = talking;
	if (!call)
		return;
	call->talking += talking ? 1 : UINT32_MAX;
	live_clock_run(&call->talk, call->talking > 0, bridge->object.server->live->now);
	live_call_touch(call);
}

#define REACH_MAX 16
#define LOCALS_MAX 64

/* Bridges that are joined by Local pairs. */
struct reach {
	struct live_bridge *bridges[REACH_MAX];
	uint32_t count;
};

static void reach_add(struct reach *reach, struct live_bridge *bridge)
{
	for (uint32_t i = 0; i < reach->count; i++)
		if (reach->bridges[i] == bridge)
			return;
	if (reach->count < REACH_MAX)
		reach->bridges[reach->count++] = bridge;
}

static void follow_locals(struct reach *reach, const struct live_bridge *bridge)
{
	uint32_t left = bridge->locals, looked = 0;
	list_each(node, &bridge->channels) {
		const struct live_channel *channel = list_entry(node, struct live_channel, in_bridge);
		if (left == 0 || looked++ == LOCALS_MAX)
			return;
		if (!channel->local)
			continue;
		left--;
		if (channel->pair && channel->pair->bridge)
			reach_add(reach, channel->pair->bridge);
	}
}

static bool is_joint(const struct live_bridge *bridge)
{
	return !bridge->apart && !bridge->conference;
}

void live_bridge_changed(struct live_bridge *bridge)
{
	struct reach reach = { .count = 0 };
	uint32_t parties = 0, holding = 0;
	reach_add(&reach, bridge);
	for (uint32_t i = 0; i < reach.count; i++) {
		follow_locals(&reach, reach.bridges[i]);
		if (!is_joint(reach.bridges[i]))
			continue;
		parties += reach.bridges[i]->parties;
		holding += reach.bridges[i]->holding;
	}
	bool talking = parties >= 2 && holding == 0;
	for (uint32_t i = 0; i < reach.count; i++)
		set_talking(reach.bridges[i], talking && is_joint(reach.bridges[i]));
	if (bridge->call)
		live_call_touch(bridge->call);
}

/* Another call is counted for who talks here. */
static void belong_to(struct live_bridge *bridge, struct live_call *call)
{
	bool talking = bridge->talking;
	set_talking(bridge, false);
	bridge->call = call;
	set_talking(bridge, talking);
}

void live_bridge_moved(struct live_bridge *bridge, struct live_call *from, struct live_call *to)
{
	if (!bridge->call || bridge->call == from)
		belong_to(bridge, to);
}

/* ---- coming and going ---- */

struct live_bridge *live_bridge_get(struct live_server *s, struct slice id, bool make)
{
	struct live_bridge *bridge = LIVE_AS(bridge, live_object_find(s, LIVE_BRIDGE, id));
	if (bridge) {
		bridge->object.seen = s->live->now;
		bridge->object.suspect = false;
		return bridge;
	}
	if (!make || !live_object_fits(s, LIVE_BRIDGE, s->sets[LIVE_BRIDGE].count, s->live->options.limits.bridges, id))
		return NULL;
	bridge = mem_zalloc(sizeof *bridge);
	list_init(&bridge->channels);
	bridge->since = s->live->now;
	live_object_init(&bridge->object, LIVE_BRIDGE, s, live_names_intern(&s->names, id));
	return bridge;
}

void live_bridge_describe(struct live_bridge *bridge, const struct live_reader *r)
{
	struct live_names *names = &bridge->object.server->names;
	struct slice type = live_headers_get(r, LIVE_H_BRIDGE_TYPE), technology = live_headers_get(r, LIVE_H_BRIDGE_TECHNOLOGY);
	struct slice creator = live_headers_get(r, LIVE_H_BRIDGE_CREATOR), name = live_headers_get(r, LIVE_H_BRIDGE_NAME);
	bool was_joint = is_joint(bridge);
	if (type.len > 0)
		live_names_set(names, &bridge->type, type);
	if (technology.len > 0)
		live_names_set(names, &bridge->technology, technology);
	if (creator.len > 0)
		live_names_set(names, &bridge->creator, creator);
	if (name.len > 0)
		live_names_set(names, &bridge->name, name);
	bridge->described |= type.len > 0;
	bridge->apart = slice_eq(live_name_text(bridge->type), SLICE("parking")) ||
	                slice_eq(live_name_text(bridge->technology), SLICE("holding_bridge"));
	bridge->conference |= slice_eq(live_name_text(bridge->creator), SLICE("ConfBridge"));
	if (was_joint != is_joint(bridge))
		live_bridge_changed(bridge);
}

void live_bridge_enter(struct live_bridge *bridge, struct live_channel *channel)
{
	if (channel->bridge == bridge)
		return;
	live_bridge_leave(channel);
	/* In a basic bridge all get one Linkedid, and no event says so (Q63, Q96). */
	if (bridge->call && channel->call && bridge->call != channel->call && !bridge->own &&
	    slice_eq(live_name_text(bridge->type), SLICE("basic")))
		live_merge_bridged(bridge->call, channel->call);
	channel->bridge = bridge;
	channel->bridged = true;
	list_append(&bridge->channels, &channel->in_bridge);
	bridge->count++;
	bridge->parties += !channel->local;
	bridge->locals += channel->local;
	bridge->holding += channel->held_since != 0;
	if (!bridge->call)
		belong_to(bridge, channel->call);
	if (bridge->conference)
		live_conference_mark(channel, true);
	live_bridge_changed(bridge);
	if (channel->call)
		live_call_touch(channel->call);
}

void live_bridge_leave(struct live_channel *channel)
{
	struct live_bridge *bridge = channel->bridge;
	if (!bridge)
		return;
	channel->bridge = NULL;
	list_remove(&channel->in_bridge);
	bridge->count--;
	bridge->parties -= !channel->local;
	bridge->locals -= channel->local;
	bridge->holding -= channel->held_since != 0;
	live_bridge_changed(bridge);
	if (channel->pair && channel->pair->bridge)
		live_bridge_changed(channel->pair->bridge);
	if (bridge->conference)
		live_conference_mark(channel, false);
	if (channel->call)
		live_call_touch(channel->call);
	struct live_channel *first = bridge->count > 0 ? list_entry(bridge->channels.next, struct live_channel, in_bridge) : NULL;
	if (!first || first->call != bridge->call)
		belong_to(bridge, first ? first->call : NULL);
	if (bridge->own && bridge->count < 2)
		live_bridge_end(bridge);
}

void live_bridge_end(struct live_bridge *bridge)
{
	bridge->own = false; /* leaving must not end it a second time */
	while (bridge->count > 0)
		live_bridge_leave(list_entry(bridge->channels.next, struct live_channel, in_bridge));
	live_object_remove(&bridge->object);
}

void live_bridge_free(struct live_object *object)
{
	struct live_bridge *b = LIVE_AS(bridge, object);
	struct live_names *names = &object->server->names;
	live_names_drop(names, &b->type);
	live_names_drop(names, &b->technology);
	live_names_drop(names, &b->creator);
	live_names_drop(names, &b->name);
}

/* ---- events ---- */

static void enter(struct live_server *s, const struct live_reader *r)
{
	struct live_channel *channel = live_channel_seen(s, r, LIVE_PLAIN, true);
	struct live_bridge *bridge = live_bridge_get(s, live_headers_get(r, LIVE_H_BRIDGE_UNIQUEID), true);
	struct live_channel *swapped = live_channel_by_id(s, live_headers_get(r, LIVE_H_SWAP_UNIQUEID));
	if (!bridge)
		return;
	live_bridge_describe(bridge, r);
	if (!channel)
		return;
	if (swapped)
		live_merge_join(channel, swapped);
	live_call_own(channel);
	/* Who waits is in no bridge: an action has pulled him out of the queue (Q104). */
	if (channel->in_queue && !channel->in_queue->left)
		live_queue_left(channel->in_queue, LIVE_LEFT_REDIRECTED);
	live_bridge_enter(bridge, channel);
}

static void leave(struct live_server *s, const struct live_reader *r)
{
	struct live_channel *channel = live_channel_seen(s, r, LIVE_PLAIN, true);
	struct live_bridge *bridge = live_bridge_get(s, live_headers_get(r, LIVE_H_BRIDGE_UNIQUEID), false);
	if (bridge)
		live_bridge_describe(bridge, r);
	if (!channel)
		return;
	channel->bridged = true;
	if (bridge && channel->bridge == bridge)
		live_bridge_leave(channel);
	else
		live_contradiction(s);
	struct live_channel *of = channel->takes ? live_channel_by_id(s, live_name_text(channel->takes)) : NULL;
	live_names_drop(&s->names, &channel->takes);
	if (of)
		live_channel_take_place(channel, of);
}

void live_bridge_event(struct live_server *s, const struct live_reader *r, int what)
{
	struct slice id = live_headers_get(r, LIVE_H_BRIDGE_UNIQUEID);
	struct live_bridge *bridge;
	switch (what) {
	case LIVE_BRIDGE_CREATE:
		bridge = live_bridge_get(s, id, true);
		if (bridge)
			live_bridge_describe(bridge, r);
		break;
	case LIVE_BRIDGE_DESTROY:
		bridge = live_bridge_get(s, id, false);
		if (bridge)
			live_bridge_end(bridge);
		break;
	case LIVE_BRIDGE_ENTER:
		enter(s, r);
		break;
	default:
		leave(s, r);
	}
}
