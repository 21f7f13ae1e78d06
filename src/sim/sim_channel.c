/* Channels and variables, and the events that tell of one channel. */
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

const char *sim_state_name(unsigned state)
{
	static const char *const names[] = { "Down", "Rsrvd", "OffHook", "Dialing", "Ring", "Ringing", "Up", "Busy" };
	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "Unknown";
}

static const char *cause_text(unsigned cause)
{
	switch (cause) {
	case 16: return "Normal Clearing";
	case 17: return "User busy";
	case 19: return "User alerting, no answer";
	case 20: return "Subscriber absent";
	case 23: return "Redirected to new destination";
	case 26: return "Answered elsewhere";
	case 34: return "Circuit/channel congestion";
	default: return "Unknown";
	}
}

void sim_channel_event(struct sim_channel *channel, const char *event, unsigned classes)
{
	struct sim *sim = channel->call->sim;
	sim_put_channel(sim_event(sim, event, classes), "", channel);
	sim_publish(sim);
}

struct sim_channel *sim_channel_new(struct sim_call *call, const char *prefix, const char *id, unsigned state, const char *num,
                                    const char *name, const char *exten, const struct sim_channel *linked)
{
	struct sim *sim = call->sim;
	struct sim_channel *channel = mem_zalloc(sizeof(*channel));

	channel->call = call;
	channel->state = state;
	channel->priority = 1;
	channel->created = sim->now;
	uint64_t serial = sim->channel_serial++;
	const char *half = strchr(prefix, ';');
	/* Both halves of a Local channel have one number; the second comes right behind the first. */
	unsigned long long number = !half ? sim->name_serial++ : half[1] == '2' ? sim->local_serial - 1 : sim->local_serial++;
	snprintf(channel->name, sizeof(channel->name), "%.*s-%08llx%s", (int)(half ? half - prefix : 80), prefix, number, half ? half : "");
	if (id && *id)
		snprintf(channel->uniqueid, sizeof(channel->uniqueid), "%s", id);
	else
		snprintf(channel->uniqueid, sizeof(channel->uniqueid), "%lld.%llu", (long long)sim_wall(sim), (unsigned long long)serial);
	memcpy(channel->linkedid, linked ? linked->linkedid : channel->uniqueid, sizeof(channel->linkedid));
	channel->linked_age = linked ? linked->linked_age : serial;
	snprintf(channel->caller_num, sizeof(channel->caller_num), "%s", num);
	snprintf(channel->caller_name, sizeof(channel->caller_name), "%s", name);
	snprintf(channel->context, sizeof(channel->context), "%s", SIM_CONTEXT);
	snprintf(channel->exten, sizeof(channel->exten), "%s", exten);
	map_init(&channel->variables, false);
	list_init(&channel->in_bridge);
	channel->endpoint = half ? NULL : sim_endpoint_find(sim, channel->name);
	sim_endpoint_count(channel, 1);
	list_append(&sim->channels, &channel->node);
	map_set(&sim->channel_names, slice_cstr(channel->name), channel);
	sim_channel_event(channel, "Newchannel", SIM_CALL);
	sim_endpoint_review(sim, channel->endpoint);
	return channel;
}

void sim_channel_interface(const struct sim_channel *channel, char *out, size_t size)
{
	const char *dash = strrchr(channel->name, '-');
	snprintf(out, size, "%.*s", dash ? (int)(dash - channel->name) : (int)strlen(channel->name), channel->name);
}

void sim_channel_destroy(struct sim_channel **channel_ptr)
{
	struct sim_channel *channel = *channel_ptr;
	struct map_entry *entry;

	if (!channel)
		return;
	*channel_ptr = NULL;
	list_remove(&channel->node);
	if (channel->bridge) {
		list_remove(&channel->in_bridge);
		channel->bridge->count--;
	}
	sim_endpoint_count(channel, -1);
	map_remove(&channel->call->sim->channel_names, slice_cstr(channel->name));
	for (size_t i = 0; (entry = map_next(&channel->variables, &i));)
		free(entry->value);
	map_close(&channel->variables);
	free(channel);
}

void sim_channel_hangup(struct sim_channel **channel, unsigned cause)
{
	struct sim *sim;
	struct sim_endpoint *endpoint;
	struct buf *out;

	if (!*channel)
		return;
	sim = (*channel)->call->sim;
	endpoint = (*channel)->endpoint;
	out = sim_event(sim, "Hangup", SIM_CALL);
	sim_put_channel(out, "", *channel);
	sim_put(out, "Cause", "%u", cause);
	sim_put(out, "Cause-txt", "%s", cause_text(cause));
	sim_publish(sim);
	sim_channel_destroy(channel);
	sim_endpoint_review(sim, endpoint);
}

struct sim_channel *sim_channel_find(struct sim *sim, const char *name)
{
	struct sim_channel *channel = map_get(&sim->channel_names, slice_cstr(name));

	if (channel)
		return channel;
	/* Asterisk takes a unique id as well. */
	list_each(it, &sim->channels) {
		channel = list_entry(it, struct sim_channel, node);
		if (strcmp(channel->uniqueid, name) == 0)
			return channel;
	}
	return NULL;
}

void sim_channel_identified(struct sim_channel *channel)
{
	struct sim *sim = channel->call->sim;
	struct buf *out = sim_event(sim, "NewCallerid", SIM_CALL);

	sim_put_channel(out, "", channel);
	sim_put(out, "CID-CallingPres", "0 (Presentation Allowed, Not Screened)");
	sim_publish(sim);
}

void sim_channel_state(struct sim_channel *channel, unsigned state)
{
	if (channel->state == state)
		return;
	sim_endpoint_count(channel, -1);
	channel->state = state;
	sim_endpoint_count(channel, 1);
	sim_channel_event(channel, "Newstate", SIM_CALL);
	sim_endpoint_review(channel->call->sim, channel->endpoint);
}

void sim_channel_app(struct sim_channel *channel, unsigned priority, const char *app, const char *format, ...)
{
	struct sim *sim = channel->call->sim;
	va_list args;

	channel->priority = priority;
	snprintf(channel->app, sizeof(channel->app), "%s", app);
	va_start(args, format);
	vsnprintf(channel->data, sizeof(channel->data), format, args);
	va_end(args);
	struct buf *out = sim_event(sim, "Newexten", SIM_DIALPLAN);
	sim_put_channel(out, "", channel);
	sim_put(out, "Extension", "%s", channel->exten);
	sim_put(out, "Application", "%s", app);
	sim_put(out, "AppData", "%s", channel->data);
	sim_publish(sim);
}

int sim_variable_set(struct sim *sim, struct sim_channel *channel, const char *name, const char *value)
{
	struct map *map = channel ? &channel->variables : &sim->globals;
	struct slice key = slice_cstr(name);

	if (map->count >= (channel ? SIM_VARIABLES_MAX : SIM_GLOBALS_MAX) && !map_get(map, key))
		return -1;
	free(map_set(map, key, mem_strdup(value)));
	struct buf *out = sim_event(sim, "VarSet", SIM_DIALPLAN);
	if (channel) {
		sim_put_channel(out, "", channel);
	} else {
		sim_put(out, "Channel", "none");
		sim_put(out, "Uniqueid", "none");
	}
	sim_put(out, "Variable", "%s", name);
	sim_put(out, "Value", "%s", value);
	sim_publish(sim);
	return 0;
}

void sim_variable_get(struct sim *sim, struct sim_channel *channel, const char *name, char *out, size_t size)
{
	const char *value = map_get(channel ? &channel->variables : &sim->globals, slice_cstr(name));

	if (!value && channel) {
		const struct {
			const char *name, *value;
		} builtin[] = {
			{ "CHANNEL", channel->name },           { "UNIQUEID", channel->uniqueid },
			{ "EXTEN", channel->exten },            { "CONTEXT", channel->context },
			{ "CALLERID(num)", channel->caller_num }, { "CALLERID(name)", channel->caller_name },
			{ "CHANNEL(state)", sim_state_name(channel->state) }, { "CHANNEL(language)", "en" },
			{ "CHANNEL(linkedid)", channel->linkedid },
		};
		for (size_t i = 0; i < sizeof(builtin) / sizeof(builtin[0]) && !value; i++)
			if (strcasecmp(builtin[i].name, name) == 0)
				value = builtin[i].value;
	}
	if (!value)
		value = map_get(&sim->globals, slice_cstr(name));
	snprintf(out, size, "%s", value ? value : "");
}
