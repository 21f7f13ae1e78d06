/* Lists of channels and bridges: what is there at that moment, whatever the events on their way still tell. */
#include "sim/sim_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void sim_action_channels(struct sim_client *client, const struct sim_request *request)
{
	struct sim_list list = sim_list_begin(client, request, false, "Channels will follow");

	list.id_first = true;
	list_each(it, &client->sim->channels) {
		const struct sim_channel *channel = list_entry(it, struct sim_channel, node);
		unsigned seconds = (unsigned)sim_elapsed(client->sim, channel->created);
		struct buf *out = sim_item(&list, "CoreShowChannel");
		sim_put_channel(out, "", channel);
		sim_put(out, "Application", "%s", channel->app);
		sim_put(out, "ApplicationData", "%s", channel->data);
		sim_put(out, "Duration", "%02u:%02u:%02u", seconds / 3600, seconds / 60 % 60, seconds % 60);
		sim_put(out, "BridgeId", "%s", channel->bridge ? channel->bridge->id : "");
		sim_item_end(&list);
	}
	sim_list_end(&list, "CoreShowChannelsComplete", NULL);
}

static void put_status(struct sim_list *list, const struct sim_channel *channel)
{
	struct sim *sim = list->client->sim;
	struct buf *out = sim_item(list, "Status");

	sim_put(out, "Privilege", "Call");
	sim_put_channel(out, "", channel);
	sim_put(out, "Type", "%.*s", (int)strcspn(channel->name, "/"), channel->name);
	sim_put(out, "DNID", "%s", channel->exten);
	sim_put(out, "EffectiveConnectedLineNum", "%s", *channel->connected_num ? channel->connected_num : "<unknown>");
	sim_put(out, "EffectiveConnectedLineName", "%s", *channel->connected_name ? channel->connected_name : "<unknown>");
	sim_put(out, "TimeToHangup", "0");
	sim_put(out, "BridgeID", "%s", channel->bridge ? channel->bridge->id : "");
	sim_put(out, "Application", "%s", channel->app);
	sim_put(out, "Data", "%s", channel->data);
	sim_put(out, "Nativeformats", "(ulaw)");
	sim_put(out, "Readformat", "ulaw");
	sim_put(out, "Readtrans", "%s", "");
	sim_put(out, "Writeformat", "ulaw");
	sim_put(out, "Writetrans", "%s", "");
	sim_put(out, "Callgroup", "0");
	sim_put(out, "Pickupgroup", "0");
	sim_put(out, "Seconds", "%.0f", floor(sim_elapsed(sim, channel->created)));
	sim_item_end(list);
}

void sim_action_status(struct sim_client *client, const struct sim_request *request)
{
	const char *name = sim_get(request, "Channel");
	const struct sim_channel *one = *name ? sim_channel_find(client->sim, name) : NULL;

	if (*name && !one) {
		sim_error(client, request, "No such channel");
		return;
	}
	struct sim_list list = sim_list_begin(client, request, true, "Channel status will follow");
	if (one) {
		put_status(&list, one);
	} else {
		list_each(it, &client->sim->channels)
			put_status(&list, list_entry(it, struct sim_channel, node));
	}
	sim_list_end(&list, "StatusComplete", "Items");
}

void sim_action_bridge_list(struct sim_client *client, const struct sim_request *request)
{
	struct sim_list list = sim_list_begin(client, request, false, "Bridge listing will follow");

	list.id_first = true;
	list_each(it, &client->sim->bridges) {
		const struct sim_bridge *bridge = list_entry(it, struct sim_bridge, node);
		struct buf *out = sim_item(&list, "BridgeListItem");
		sim_put_bridge(out, "", bridge);
		sim_item_end(&list);
	}
	sim_list_end(&list, "BridgeListComplete", NULL);
}

void sim_action_bridge_info(struct sim_client *client, const struct sim_request *request)
{
	const char *id = sim_get(request, "BridgeUniqueid");
	struct sim_bridge *bridge = *id ? sim_bridge_find(client->sim, id) : NULL;

	if (!bridge) {
		sim_error(client, request, *id ? "Bridge specified by BridgeUniqueid not found" : "BridgeUniqueid must be provided");
		return;
	}
	struct sim_list list = sim_list_begin(client, request, false, "Bridge channel listing will follow");
	list.id_first = true;
	list_each(it, &bridge->channels) {
		struct buf *out = sim_item(&list, "BridgeInfoChannel");
		sim_put_channel(out, "", list_entry(it, struct sim_channel, in_bridge));
		sim_item_end(&list);
	}
	list.about = bridge;
	sim_list_end(&list, "BridgeInfoComplete", NULL);
}
