/* Actions on channels, variables and the database, and the table of all. */
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

static void ping(struct sim_client *client, const struct sim_request *request)
{
	struct buf *out = sim_reply(client, request, "Success");
	sim_put(out, "Ping", "Pong");
	sim_put(out, "Timestamp", "%.6f", sim_wall(client->sim));
	sim_end(client);
	sim_stream_ping(client);
}

static void core_settings(struct sim_client *client, const struct sim_request *request)
{
	struct buf *out = sim_reply(client, request, "Success");

	sim_put(out, "AMIversion", "%s", client->sim->options.ami_version);
	sim_put(out, "AsteriskVersion", "%u.0.0", sim_asterisk_version(client->sim));
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

static void no_voicemail(struct sim_client *client, const struct sim_request *request)
{
	sim_ack(client, request, "There are no voicemail users currently defined.");
}

static void presence_states(struct sim_client *client, const struct sim_request *request)
{
	struct sim_list list = sim_list_begin(client, request, false, "Presence State Changes will follow");
	sim_list_end(&list, "PresenceStateListComplete", NULL);
}

static void list_commands(struct sim_client *client, const struct sim_request *request);

/* Those without a function are the session's own. */
const struct sim_action sim_actions[] = {
	{ "BridgeInfo", sim_action_bridge_info, "<none>" },
	{ "BridgeList", sim_action_bridge_list, "<none>" },
	{ "Challenge", NULL, "<none>" },
	{ "Command", sim_action_command, "command,all" },
	{ "ConfbridgeList", sim_action_room, "reporting,all" },
	{ "ConfbridgeListRooms", sim_action_rooms, "reporting,all" },
	{ "CoreSettings", core_settings, "system,reporting,all" },
	{ "CoreShowChannels", sim_action_channels, "system,reporting,all" },
	{ "CoreStatus", core_status, "system,reporting,all" },
	{ "DBDel", db_del, "system,all" },
	{ "DBGet", db_get, "system,reporting,all" },
	{ "DBPut", db_put, "system,all" },
	{ "DeviceStateList", sim_action_devices, "call,reporting,all" },
	{ "Events", NULL, "<none>" },
	{ "Filter", NULL, "system,all" },
	{ "Getvar", getvar, "call,reporting,all" },
	{ "Hangup", hangup, "system,call,all" },
	{ "ListCommands", list_commands, "<none>" },
	{ "Login", NULL, "<none>" },
	{ "Logoff", NULL, "<none>" },
	{ "Originate", sim_action_originate, "originate,all" },
	{ "PJSIPShowContacts", sim_action_contacts, "system,all" },
	{ "PJSIPShowEndpoints", sim_action_endpoints, "system,all" },
	{ "ParkedCalls", sim_action_parked, "<none>" },
	{ "Ping", ping, "<none>" },
	{ "PresenceStateList", presence_states, "call,reporting,all" },
	{ "QueueAdd", sim_action_queue_add, "agent,all" },
	{ "QueuePause", sim_action_queue_pause, "agent,all" },
	{ "QueueRemove", sim_action_queue_remove, "agent,all" },
	{ "QueueStatus", sim_action_queue_status, "<none>" },
	{ "QueueSummary", sim_action_queue_summary, "<none>" },
	{ "Redirect", redirect, "call,all" },
	{ "Setvar", setvar, "call,all" },
	{ "Status", sim_action_status, "system,call,reporting,all" },
	{ "UserEvent", user_event, "user,all" },
	{ "VoicemailUsersList", no_voicemail, "call,reporting,all" },
	{ NULL, NULL, NULL },
};

static void list_commands(struct sim_client *client, const struct sim_request *request)
{
	struct buf *out = sim_reply(client, request, "Success");

	for (const struct sim_action *action = sim_actions; action->name; action++)
		if (sim_action_allowed(action, client->write))
			sim_put(out, action->name, " (Priv: %s)", action->privilege);
	sim_end(client);
}

bool sim_action_allowed(const struct sim_action *action, unsigned classes)
{
	const char *all = strstr(action->privilege, ",all");
	char needed[64];

	if (!all)
		return true;
	snprintf(needed, sizeof(needed), "%.*s", (int)(all - action->privilege), action->privilege);
	return ((unsigned)sim_class_mask(needed) & classes) != 0;
}
