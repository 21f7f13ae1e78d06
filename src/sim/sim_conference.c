/* Conferences (ConfBridge): rooms 8600 and 8601, extensions 600 and 601. */
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>

void sim_conferences_init(struct sim *sim)
{
	static const char *const names[SIM_ROOMS] = { "8600", "8601" };

	for (unsigned i = 0; i < SIM_ROOMS; i++) {
		sim->rooms[i].name = names[i];
		list_init(&sim->rooms[i].calls);
	}
}

static struct buf *room_event(struct sim *sim, const struct sim_room *room, const char *event, const struct sim_channel *channel)
{
	struct buf *out = sim_event(sim, event, SIM_CALL);

	sim_put(out, "Conference", "%s", room->name);
	sim_put_bridge(out, "", room->bridge);
	if (channel)
		sim_put_channel(out, "", channel);
	return out;
}

static const char *yes(bool value)
{
	return value ? "Yes" : "No";
}

static void put_peers(const struct sim_room *room, struct sim_channel *channel)
{
	char text[SIM_LINE_MAX / 2];
	size_t len = (size_t)snprintf(text, sizeof(text), "CBAnn/%s-%08llx;2", room->name, (unsigned long long)room->serial);

	list_each(it, &room->bridge->channels) {
		const struct sim_channel *other = list_entry(it, struct sim_channel, in_bridge);
		if (other != channel && len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, ",%s", other->name);
	}
	sim_variable_set(room->bridge->sim, channel, "BRIDGEPEER", text);
}

static void next(struct sim_call *call)
{
	sim_call_after(call, sim_random_range(&call->random, 3, 25));
}

void sim_conference_enter(struct sim_call *call, struct sim_room *room)
{
	struct sim *sim = call->sim;
	struct sim_channel *channel = call->caller;

	channel->admin = sim_random(&call->random, 5) == 0;
	channel->muted = channel->talking = false;
	sim_channel_app(channel, 2, "ConfBridge", "%s,room,%s", room->name, channel->admin ? "admin" : "user");
	if (!room->bridge) {
		room->bridge = sim_bridge_new(sim, "base", "softmix", "ConfBridge", room->name);
		room->bridge->hidden = 1;
		room_event(sim, room, "ConfbridgeStart", NULL);
		sim_publish(sim);
	}
	call->room = room;
	list_append(&room->calls, &call->in_room);
	room->count++;
	call->state = SIM_CONFERENCE;
	call->story.talked = true;
	sim_bridge_enter(room->bridge, channel, NULL);
	put_peers(room, channel);
	struct buf *out = room_event(sim, room, "ConfbridgeJoin", channel);
	sim_put(out, "Admin", "%s", yes(channel->admin));
	sim_put(out, "Muted", "%s", yes(channel->muted));
	sim_publish(sim);
	call->step = 1 + (unsigned)sim_random(&call->random, 6);
	next(call);
}

/* He talks, is mute, is heard again, … and hangs up. */
void sim_conference_timer(struct sim_call *call)
{
	struct sim *sim = call->sim;
	struct sim_channel *channel = call->caller;

	if (--call->step == 0) {
		sim_call_end(call, channel, 16, false);
		return;
	}
	if (sim_random(&call->random, 2) == 0) {
		channel->muted = !channel->muted;
		struct buf *out = room_event(sim, call->room, channel->muted ? "ConfbridgeMute" : "ConfbridgeUnmute", channel);
		sim_put(out, "Admin", "%s", yes(channel->admin));
	} else {
		channel->talking = !channel->talking;
		struct buf *out = room_event(sim, call->room, "ConfbridgeTalking", channel);
		sim_put(out, "TalkingStatus", channel->talking ? "on" : "off");
		sim_put(out, "Admin", "%s", yes(channel->admin));
	}
	sim_publish(sim);
	next(call);
}

static void leave_event(struct sim_call *call)
{
	struct buf *out = room_event(call->sim, call->room, "ConfbridgeLeave", call->caller);
	sim_put(out, "Admin", "%s", yes(call->caller->admin));
	sim_publish(call->sim);
}

void sim_conference_leave(struct sim_call *call)
{
	struct sim_room *room = call->room;
	bool first = sim_random(&call->random, 2) == 0; /* either may be told first */

	list_remove(&call->in_room);
	room->count--;
	if (first)
		leave_event(call);
	sim_variable_set(call->sim, call->caller, "BRIDGEPEER", "");
	sim_bridge_leave(call->caller);
	if (!first)
		leave_event(call);
	call->room = NULL;
	if (room->count > 0)
		return;
	room_event(call->sim, room, "ConfbridgeEnd", NULL);
	sim_publish(call->sim);
	sim_bridge_destroy(&room->bridge);
	room->serial++;
}

/* ---- lists ---- */

void sim_action_rooms(struct sim_client *client, const struct sim_request *request)
{
	struct sim *sim = client->sim;
	unsigned open = 0;

	for (unsigned i = 0; i < SIM_ROOMS; i++)
		open += sim->rooms[i].bridge != NULL;
	if (open == 0) {
		sim_error(client, request, "No active conferences."); /* Q29 */
		return;
	}
	struct sim_list list = sim_list_begin(client, request, false, "Confbridge conferences will follow");
	list.id_first = true;
	for (unsigned i = 0; i < SIM_ROOMS; i++) {
		const struct sim_room *room = &sim->rooms[i];
		if (!room->bridge)
			continue;
		struct buf *out = sim_item(&list, "ConfbridgeListRooms");
		sim_put(out, "Conference", "%s", room->name);
		sim_put(out, "Parties", "%u", room->count);
		sim_put(out, "Marked", "0");
		sim_put(out, "Locked", "No");
		sim_put(out, "Muted", "No");
		sim_item_end(&list);
	}
	sim_list_end(&list, "ConfbridgeListRoomsComplete", NULL);
}

void sim_action_room(struct sim_client *client, const struct sim_request *request)
{
	struct sim *sim = client->sim;
	const char *name = sim_get(request, "Conference");
	const struct sim_room *room = NULL;
	unsigned open = 0;

	for (unsigned i = 0; i < SIM_ROOMS; i++) {
		open += sim->rooms[i].bridge != NULL;
		if (sim->rooms[i].bridge && strcmp(sim->rooms[i].name, name) == 0)
			room = &sim->rooms[i];
	}
	if (!*name || !room) {
		sim_error(client, request, !*name ? "No Conference name provided." : open == 0 ? "No active conferences." : "No Conference by that name found.");
		return;
	}
	struct sim_list list = sim_list_begin(client, request, false, "Confbridge user list will follow");
	list.id_first = true;
	list_each(it, &room->calls) {
		const struct sim_call *call = list_entry(it, struct sim_call, in_room);
		struct buf *out = sim_item(&list, "ConfbridgeList");
		sim_put(out, "Conference", "%s", room->name);
		sim_put(out, "Admin", "%s", yes(call->caller->admin));
		sim_put(out, "MarkedUser", "No");
		sim_put(out, "WaitMarked", "No");
		sim_put(out, "EndMarked", "No");
		sim_put(out, "EndMarkedAny", "No");
		sim_put(out, "Waiting", "No");
		sim_put(out, "Muted", "%s", yes(call->caller->muted));
		sim_put(out, "Talking", "%s", yes(call->caller->talking));
		sim_put(out, "AnsweredTime", "%u", (unsigned)sim_elapsed(sim, call->answered));
		sim_put_channel(out, "", call->caller);
		sim_item_end(&list);
	}
	sim_list_end(&list, "ConfbridgeListComplete", NULL);
}
