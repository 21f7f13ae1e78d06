/* Bridges: basic ones of two, holding ones of a parking lot, mixing ones of conferences. */
#include "sim/sim_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void sim_put_bridge(struct buf *out, const char *prefix, const struct sim_bridge *bridge)
{
	const struct {
		const char *name, *value;
	} texts[] = {
		{ "BridgeUniqueid", bridge->id }, { "BridgeType", bridge->type }, { "BridgeTechnology", bridge->technology },
		{ "BridgeCreator", bridge->creator }, { "BridgeName", bridge->name },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		(void)buf_append_cstr(out, prefix);
		sim_put(out, texts[i].name, "%s", texts[i].value);
	}
	(void)buf_append_cstr(out, prefix);
	sim_put(out, "BridgeNumChannels", "%u", bridge->count + bridge->hidden);
	(void)buf_append_cstr(out, prefix);
	sim_put(out, "BridgeVideoSourceMode", "none");
}

static void bridge_event(struct sim_bridge *bridge, const char *event, const struct sim_channel *channel,
                         const struct sim_channel *swap)
{
	struct buf *out = sim_event(bridge->sim, event, SIM_CALL);

	sim_put_bridge(out, "", bridge);
	if (channel)
		sim_put_channel(out, "", channel);
	if (swap)
		sim_put(out, "SwapUniqueid", "%s", swap->uniqueid);
	sim_publish(bridge->sim);
}

struct sim_bridge *sim_bridge_new(struct sim *sim, const char *type, const char *technology, const char *creator, const char *name)
{
	struct sim_bridge *bridge = mem_zalloc(sizeof(*bridge));
	uint64_t high = sim_random(&sim->bridge_random, UINT64_MAX), low = sim_random(&sim->bridge_random, UINT64_MAX);

	bridge->sim = sim;
	bridge->type = type ? type : "basic";
	bridge->technology = technology ? technology : "simple_bridge";
	bridge->creator = creator ? creator : "<unknown>";
	snprintf(bridge->name, sizeof(bridge->name), "%s", name ? name : "<unknown>");
	snprintf(bridge->id, sizeof(bridge->id), "%08x-%04x-4%03x-a%03x-%012llx", (unsigned)(high >> 32),
	         (unsigned)(high >> 16) & 0xffffu, (unsigned)high & 0xfffu, (unsigned)(low >> 52),
	         (unsigned long long)(low & UINT64_C(0xffffffffffff)));
	list_init(&bridge->channels);
	list_append(&sim->bridges, &bridge->node);
	bridge_event(bridge, "BridgeCreate", NULL, NULL);
	return bridge;
}

/* Told by no event: the next one of each channel shows it (Q63). */
static void link_oldest(struct sim_bridge *bridge)
{
	const struct sim_channel *oldest = NULL;

	if (strcmp(bridge->type, "basic") != 0)
		return;
	list_each(it, &bridge->channels) {
		const struct sim_channel *channel = list_entry(it, struct sim_channel, in_bridge);
		if (!oldest || channel->linked_age < oldest->linked_age)
			oldest = channel;
	}
	list_each(it, &bridge->channels) {
		struct sim_channel *channel = list_entry(it, struct sim_channel, in_bridge);
		if (channel == oldest)
			continue;
		memcpy(channel->linkedid, oldest->linkedid, sizeof(channel->linkedid));
		channel->linked_age = oldest->linked_age;
	}
}

void sim_bridge_enter(struct sim_bridge *bridge, struct sim_channel *channel, const struct sim_channel *swap)
{
	channel->bridge = bridge;
	list_append(&bridge->channels, &channel->in_bridge);
	bridge->count++;
	link_oldest(bridge);
	bridge_event(bridge, "BridgeEnter", channel, swap);
}

void sim_bridge_leave(struct sim_channel *channel)
{
	struct sim_bridge *bridge = channel->bridge;

	if (!bridge)
		return;
	list_remove(&channel->in_bridge);
	bridge->count--;
	channel->bridge = NULL;
	bridge_event(bridge, "BridgeLeave", channel, NULL);
}

static void destroy(struct sim_bridge *bridge)
{
	list_remove(&bridge->node);
	free(bridge);
}

void sim_bridge_destroy(struct sim_bridge **bridge)
{
	(*bridge)->hidden = 0;
	bridge_event(*bridge, "BridgeDestroy", NULL, NULL);
	destroy(*bridge);
	*bridge = NULL;
}

void sim_bridges_close(struct sim *sim)
{
	list_each_safe(it, &sim->bridges)
		destroy(list_entry(it, struct sim_bridge, node));
	sim->lot = NULL;
}

struct sim_bridge *sim_bridge_find(struct sim *sim, const char *id)
{
	list_each(it, &sim->bridges) {
		struct sim_bridge *bridge = list_entry(it, struct sim_bridge, node);
		if (strcmp(bridge->id, id) == 0)
			return bridge;
	}
	return NULL;
}

void sim_bridge_peers(const struct sim_bridge *bridge)
{
	if (bridge->count != 2)
		return;
	struct sim_channel *a = list_entry(bridge->channels.next, struct sim_channel, in_bridge);
	struct sim_channel *b = list_entry(bridge->channels.prev, struct sim_channel, in_bridge);
	sim_variable_set(bridge->sim, a, "BRIDGEPEER", b->name);
	sim_variable_set(bridge->sim, b, "BRIDGEPEER", a->name);
}

void sim_bridge_call(struct sim_call *call)
{
	struct sim_bridge *bridge = sim_bridge_new(call->sim, NULL, NULL, NULL, NULL);

	sim_bridge_enter(bridge, call->callee, NULL);
	sim_bridge_enter(bridge, call->caller, NULL);
	sim_bridge_peers(bridge);
	call->story.talked = true;
	sim_origin_optimize(call);
}

/* Whoever is still in it goes. */
static void empty(struct sim_bridge *bridge)
{
	while (!list_empty(&bridge->channels)) {
		struct sim_channel *channel = list_entry(bridge->channels.next, struct sim_channel, in_bridge);
		sim_variable_set(bridge->sim, channel, "BRIDGEPEER", "");
		sim_bridge_leave(channel);
	}
}

void sim_bridge_apart(struct sim_call *call)
{
	struct sim *sim = call->sim;
	struct sim_channel *const all[] = { call->caller, call->callee, call->one, call->two };
	char seconds[24];
	bool was = false;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct sim_bridge *bridge = all[i] ? all[i]->bridge : NULL;
		if (!bridge || strcmp(bridge->type, "basic") != 0)
			continue;
		was = true;
		empty(bridge);
		sim_bridge_destroy(&bridge);
	}
	if (!was || !call->caller)
		return;
	snprintf(seconds, sizeof(seconds), "%.0f", floor(sim_elapsed(sim, call->answered)));
	sim_variable_set(sim, call->caller, "ANSWEREDTIME", seconds);
	snprintf(seconds, sizeof(seconds), "%.0f", floor(sim_elapsed(sim, call->dialled)));
	sim_variable_set(sim, call->caller, "DIALEDTIME", seconds);
}
