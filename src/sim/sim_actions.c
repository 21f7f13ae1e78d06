/* Actions on channels, variables and the database, and the table of all. */
#include "sim/sim_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

static void ping(struct sim_client *client, const struct sim_request *request)
{
	struct buf *out = sim_reply(client, request, "Success");
	sim_put(out, "Ping", "Pong");
	sim_put(out, "Timestamp", "%.6f", clock_wall());
	sim_end(client);
	sim_stream_ping(client);
}

static void core_settings(struct sim_client *client, const struct sim_request *request)
{
	struct buf *out = sim_reply(client, request, "Success");

	sim_put(out, "AMIversion", "%s", client->sim->options.ami_version);
	sim_put(out, "AsteriskVersion", "%s", "simulated");
	sim_put(out, "SystemName", "%s", "");
	sim_put(out, "CoreMaxCalls", "%u", client->sim->options.max_calls);
	sim_put(out, "CoreMaxLoadAvg", "0.000000");
	sim_put(out, "CoreRunUser", "%s", "");
	sim_put(out, "CoreRunGroup", "%s", "");
	sim_put(out, "CoreMaxFilehandles", "0");
	sim_put(out, "CoreRealTimeEnabled", "No");
	sim_put(out, "CoreCDRenabled", "Yes");
	sim_put(out, "CoreHTTPenabled", "No");
	sim_end(client);
}

static void core_status(struct sim_client *client, const struct sim_request *request)
{
	struct buf *out = sim_reply(client, request, "Success");
	time_t started = (time_t)client->sim->started;
	char date[16], clock[16];
	struct tm utc;

	gmtime_r(&started, &utc);
	strftime(date, sizeof(date), "%Y-%m-%d", &utc);
	strftime(clock, sizeof(clock), "%H:%M:%S", &utc);
	sim_put(out, "CoreStartupDate", "%s", date);
	sim_put(out, "CoreStartupTime", "%s", clock);
	sim_put(out, "CoreReloadDate", "%s", date);
	sim_put(out, "CoreReloadTime", "%s", clock);
	sim_put(out, "CoreCurrentCalls", "%u", client->sim->call_count);
	sim_put(out, "CoreProcessedCalls", "%llu", (unsigned long long)client->sim->calls_processed);
	sim_end(client);
}

static void core_show_channels(struct sim_client *client, const struct sim_request *request)
{
	struct sim_list list = sim_list_begin(client, request, false, "Channels will follow");

	list_each(it, &client->sim->channels) {
		const struct sim_channel *channel = list_entry(it, struct sim_channel, node);
		unsigned seconds = (unsigned)sim_elapsed(client->sim, channel->created);
		struct buf *out = sim_item(&list, "CoreShowChannel");
		sim_put_channel(out, "", channel);
		sim_put(out, "Application", "%s", channel->app);
		sim_put(out, "ApplicationData", "%s", channel->data);
		sim_put(out, "Duration", "%02u:%02u:%02u", seconds / 3600, seconds / 60 % 60, seconds % 60);
		sim_put(out, "BridgeId", "%s", channel->bridged ? channel->call->bridge : "");
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
	sim_put(out, "BridgeID", "%s", channel->bridged ? channel->call->bridge : "");
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

static void status(struct sim_client *client, const struct sim_request *request)
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

/* `/regex/`: the list of Q27. Names are gathered first: a hang-up may end other channels too. */
static void hangup_matching(struct sim_client *client, const struct sim_request *request, const char *pattern)
{
	struct sim *sim = client->sim;
	size_t len = strlen(pattern), count = 0;
	char text[SIM_LINE_MAX];
	char **names = NULL;
	regex_t regex;

	snprintf(text, sizeof(text), "%.*s", (int)(len - 2), pattern + 1);
	if (!sim_regex_safe(text) || regcomp(&regex, text, REG_EXTENDED | REG_NOSUB) != 0) {
		sim_error(client, request, "Regex format invalid for Channel");
		return;
	}
	list_each(it, &sim->channels) {
		const struct sim_channel *channel = list_entry(it, struct sim_channel, node);
		if (regexec(&regex, channel->name, 0, NULL, 0) != 0)
			continue;
		names = mem_realloc(names, count + 1, sizeof(*names));
		names[count++] = mem_strdup(channel->name);
	}
	regfree(&regex);
	struct sim_list list = sim_list_begin(client, request, false, "Channels hung up will follow");
	for (size_t i = 0; i < count; i++) {
		sim_put(sim_item(&list, "ChannelHungup"), "Channel", "%s", names[i]);
		sim_item_end(&list);
	}
	sim_list_end(&list, "ChannelsHungupListComplete", NULL);
	for (size_t i = 0; i < count; i++) {
		struct sim_channel *channel = map_get(&sim->channel_names, slice_cstr(names[i]));
		if (channel)
			sim_call_end(channel->call, channel, 16, true);
		free(names[i]);
	}
	free(names);
}

static void hangup(struct sim_client *client, const struct sim_request *request)
{
	const char *name = sim_get(request, "Channel"), *cause_text = sim_get(request, "Cause");
	size_t len = strlen(name);
	int64_t cause = 16;

	if (len == 0) {
		sim_error(client, request, "No channel specified");
		return;
	}
	if (len > 2 && name[0] == '/' && name[len - 1] == '/') {
		hangup_matching(client, request, name);
		return;
	}
	struct sim_channel *channel = sim_channel_find(client->sim, name);
	if (!channel) {
		sim_error(client, request, "No such channel");
		return;
	}
	if (*cause_text && (!slice_to_int(slice_cstr(cause_text), &cause) || cause < 0 || cause > 127))
		cause = 16;
	sim_ack(client, request, "Channel Hungup");
	sim_call_end(channel->call, channel, (unsigned)cause, true);
}

static void redirect(struct sim_client *client, const struct sim_request *request)
{
	const char *name = sim_get(request, "Channel"), *exten = sim_get(request, "Exten");
	const char *context = sim_get(request, "Context"), *priority_text = sim_get(request, "Priority");
	struct sim_channel *channel;
	int64_t priority = 1;

	if (!*name) {
		sim_error(client, request, "Channel not specified");
		return;
	}
	if (*priority_text && (!slice_to_int(slice_cstr(priority_text), &priority) || priority < 1 || priority > INT32_MAX)) {
		sim_error(client, request, "Invalid priority");
		return;
	}
	channel = sim_channel_find(client->sim, name);
	if (!channel) {
		sim_error(client, request, "Channel does not exist: %s", name);
		return;
	}
	if (channel->call->state == SIM_ORIGINATING || channel->state != 6) {
		sim_error(client, request, "Redirect failed, channel not up.");
		return;
	}
	sim_ack(client, request, "Redirect successful");
	sim_call_redirect(channel, *context ? context : SIM_CONTEXT, exten, (unsigned)priority);
}

/* NULL and answered when the channel that is named does not exist. */
static bool variable_channel(struct sim_client *client, const struct sim_request *request, struct sim_channel **channel)
{
	const char *name = sim_get(request, "Channel");

	*channel = *name ? sim_channel_find(client->sim, name) : NULL;
	if (!*sim_get(request, "Variable")) {
		sim_error(client, request, "No variable specified");
		return false;
	}
	if (*name && !*channel) {
		sim_error(client, request, "No such channel");
		return false;
	}
	return true;
}

static void getvar(struct sim_client *client, const struct sim_request *request)
{
	struct sim_channel *channel;
	char value[SIM_LINE_MAX];

	if (!variable_channel(client, request, &channel))
		return;
	sim_variable_get(client->sim, channel, sim_get(request, "Variable"), value, sizeof(value));
	struct buf *out = sim_reply(client, request, "Success");
	sim_put(out, "Variable", "%s", sim_get(request, "Variable"));
	sim_put(out, "Value", "%s", value);
	sim_end(client);
}

static void setvar(struct sim_client *client, const struct sim_request *request)
{
	struct sim_channel *channel;

	if (!variable_channel(client, request, &channel))
		return;
	if (sim_variable_set(client->sim, channel, sim_get(request, "Variable"), sim_get(request, "Value")) == -1)
		sim_error(client, request, "Variable not set");
	else
		sim_ack(client, request, "Variable Set");
}

/* Q21: every header but Action and UserEvent comes back, the ActionID too. */
static void user_event(struct sim_client *client, const struct sim_request *request)
{
	struct sim *sim = client->sim;

	sim_ack(client, request, "Event Sent");
	struct buf *out = sim_event(sim, "UserEvent", SIM_USER);
	sim_put(out, "UserEvent", "%s", sim_get(request, "UserEvent"));
	for (unsigned i = 0; i < request->count; i++) {
		const char *line = request->lines[i];
		if (strncasecmp(line, "Action:", 7) == 0 || strncasecmp(line, "UserEvent:", 10) == 0)
			continue;
		(void)buf_append_cstr(out, line);
		(void)buf_append_cstr(out, "\r\n");
	}
	sim_publish(sim);
}

static char *database_key(const struct sim_request *request)
{
	return mem_printf("/%s/%s", sim_get(request, "Family"), sim_get(request, "Key"));
}

static bool database_named(struct sim_client *client, const struct sim_request *request)
{
	if (!*sim_get(request, "Family"))
		sim_error(client, request, "No family specified.");
	else if (!*sim_get(request, "Key"))
		sim_error(client, request, "No key specified.");
	else
		return true;
	return false;
}

static void db_put(struct sim_client *client, const struct sim_request *request)
{
	struct map *database = &client->sim->database;

	if (!database_named(client, request))
		return;
	char *key = database_key(request);
	if (database->count >= SIM_DATABASE_MAX && !map_get(database, slice_cstr(key))) {
		sim_error(client, request, "Failed to update entry");
	} else {
		free(map_set(database, slice_cstr(key), mem_strdup(sim_get(request, "Val"))));
		sim_ack(client, request, "Updated database successfully");
	}
	free(key);
}

static void db_get(struct sim_client *client, const struct sim_request *request)
{
	if (!database_named(client, request))
		return;
	char *key = database_key(request);
	const char *value = map_get(&client->sim->database, slice_cstr(key));
	free(key);
	if (!value) {
		sim_error(client, request, "Database entry not found");
		return;
	}
	struct sim_list list = sim_list_begin(client, request, true, "Result will follow");
	struct buf *out = sim_item(&list, "DBGetResponse");
	sim_put(out, "Family", "%s", sim_get(request, "Family"));
	sim_put(out, "Key", "%s", sim_get(request, "Key"));
	sim_put(out, "Val", "%s", value);
	sim_item_end(&list);
	sim_list_end(&list, "DBGetComplete", NULL);
}

static void db_del(struct sim_client *client, const struct sim_request *request)
{
	if (!database_named(client, request))
		return;
	char *key = database_key(request), *value = map_remove(&client->sim->database, slice_cstr(key));
	if (value)
		sim_ack(client, request, "Key deleted successfully");
	else
		sim_error(client, request, "Database entry not found");
	free(value);
	free(key);
}

/* Q29 */
static void no_conferences(struct sim_client *client, const struct sim_request *request)
{
	sim_error(client, request, "No active conferences.");
}

static void no_voicemail(struct sim_client *client, const struct sim_request *request)
{
	sim_ack(client, request, "There are no voicemail users currently defined.");
}

static void parked_calls(struct sim_client *client, const struct sim_request *request)
{
	struct sim_list list = sim_list_begin(client, request, true, "Parked calls will follow");
	sim_list_end(&list, "ParkedCallsComplete", "Total");
}

static void presence_states(struct sim_client *client, const struct sim_request *request)
{
	struct sim_list list = sim_list_begin(client, request, false, "Presence State Changes will follow");
	sim_list_end(&list, "PresenceStateListComplete", NULL);
}

static void bridge_list(struct sim_client *client, const struct sim_request *request)
{
	struct sim_list list = sim_list_begin(client, request, false, "Bridge listing will follow");

	list_each(it, &client->sim->calls) {
		const struct sim_call *call = list_entry(it, struct sim_call, node);
		if (!call->bridge[0])
			continue;
		struct buf *out = sim_item(&list, "BridgeListItem");
		sim_put_bridge(out, call);
		sim_item_end(&list);
	}
	sim_list_end(&list, "BridgeListComplete", NULL);
}

static void pjsip_endpoints(struct sim_client *client, const struct sim_request *request)
{
	struct sim_list list = sim_list_begin(client, request, false,
	                                      "A listing of Endpoints follows, presented as EndpointList events");

	for (unsigned i = 0; i < SIM_PHONES; i++) {
		struct buf *out = sim_item(&list, "EndpointList");
		sim_put(out, "ObjectType", "endpoint");
		sim_put(out, "ObjectName", "%u", 1000 + i);
		sim_put(out, "Transport", "transport-udp");
		sim_put(out, "Aor", "%u", 1000 + i);
		sim_put(out, "Auths", "%u", 1000 + i);
		sim_put(out, "OutboundAuths", "%s", "");
		sim_put(out, "Contacts", "%s", "");
		sim_put(out, "DeviceState", "Not in use");
		sim_put(out, "ActiveChannels", "%s", "");
		sim_item_end(&list);
	}
	sim_list_end(&list, "EndpointListComplete", NULL);
}

static void list_commands(struct sim_client *client, const struct sim_request *request);

/* Those without a function are the session's own. */
const struct sim_action sim_actions[] = {
	{ "BridgeList", bridge_list, "<none>" },
	{ "Challenge", NULL, "<none>" },
	{ "Command", sim_action_command, "command,all" },
	{ "ConfbridgeList", no_conferences, "reporting,all" },
	{ "ConfbridgeListRooms", no_conferences, "reporting,all" },
	{ "CoreSettings", core_settings, "system,reporting,all" },
	{ "CoreShowChannels", core_show_channels, "system,reporting,all" },
	{ "CoreStatus", core_status, "system,reporting,all" },
	{ "DBDel", db_del, "system,all" },
	{ "DBGet", db_get, "system,reporting,all" },
	{ "DBPut", db_put, "system,all" },
	{ "Events", NULL, "<none>" },
	{ "Filter", NULL, "system,all" },
	{ "Getvar", getvar, "call,reporting,all" },
	{ "Hangup", hangup, "system,call,all" },
	{ "ListCommands", list_commands, "<none>" },
	{ "Login", NULL, "<none>" },
	{ "Logoff", NULL, "<none>" },
	{ "Originate", sim_action_originate, "originate,all" },
	{ "PJSIPShowEndpoints", pjsip_endpoints, "system,all" },
	{ "ParkedCalls", parked_calls, "<none>" },
	{ "Ping", ping, "<none>" },
	{ "PresenceStateList", presence_states, "call,reporting,all" },
	{ "QueueAdd", sim_action_queue_add, "agent,all" },
	{ "QueuePause", sim_action_queue_pause, "agent,all" },
	{ "QueueRemove", sim_action_queue_remove, "agent,all" },
	{ "QueueStatus", sim_action_queue_status, "<none>" },
	{ "QueueSummary", sim_action_queue_summary, "<none>" },
	{ "Redirect", redirect, "call,all" },
	{ "Setvar", setvar, "call,all" },
	{ "Status", status, "system,call,reporting,all" },
	{ "UserEvent", user_event, "user,all" },
	{ "VoicemailUsersList", no_voicemail, "call,reporting,all" },
	{ NULL, NULL, NULL },
};

static void list_commands(struct sim_client *client, const struct sim_request *request)
{
	struct buf *out = sim_reply(client, request, "Success");

	for (const struct sim_action *action = sim_actions; action->name; action++)
		sim_put(out, action->name, " (Priv: %s)", action->privilege);
	sim_end(client);
}
