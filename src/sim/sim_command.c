/* Command: a few of the console's, in the form of the version that is played (Q12, Q13). */
#include "sim/sim_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#define OUTPUT_VERSION 3000u /* AMI 3.0: from here on in `Output` headers */

static void show_version(struct sim *sim, struct buf *text)
{
	(void)buf_printf(text, "Asterisk simulated, AMI %s\n", sim->options.ami_version);
}

static void show_uptime(struct sim *sim, struct buf *text)
{
	unsigned up = (unsigned)(sim_wall(sim) - sim->started);
	(void)buf_printf(text, "System uptime: %u seconds\nLast reload: %u seconds\n", up, up);
}

static void show_channels(struct sim *sim, struct buf *text)
{
	unsigned count = 0;

	(void)buf_printf(text, "%-64s %-32s %-7s %s\n", "Channel", "Location", "State", "Application(Data)             ");
	list_each(it, &sim->channels) {
		const struct sim_channel *channel = list_entry(it, struct sim_channel, node);
		char location[200], application[200];
		snprintf(location, sizeof(location), "%s@%s:%u", channel->exten, channel->context, channel->priority);
		snprintf(application, sizeof(application), "%s(%s)", channel->app, channel->data);
		(void)buf_printf(text, "%-64.64s %-32.32s %-7s %s\n", channel->name, location, sim_state_name(channel->state),
		                 application);
		count++;
	}
	(void)buf_printf(text, "%u active channel%s\n%u active call%s\n%llu calls processed\n", count, count == 1 ? "" : "s",
	                 sim->call_count, sim->call_count == 1 ? "" : "s", (unsigned long long)sim->calls_processed);
}

static const char *status_text(const struct sim_member *member)
{
	return member->status == 6 ? "Ringing" : member->status == 2 ? "In use" : "Not in use";
}

static void show_queues(struct sim *sim, struct buf *text)
{
	for (unsigned i = 0; i < SIM_QUEUES; i++) {
		const struct sim_queue *queue = &sim->queues[i];
		double n = queue->completed ? queue->completed : 1;
		(void)buf_printf(text,
		                 "%s has %u calls (max unlimited) in '%s' strategy (%.0fs holdtime, %.0fs talktime), W:0, C:%u, A:%u, "
		                 "SL:0.0%%, SL2:0.0%% within 0s\n",
		                 queue->name, queue->caller_count, queue->strategy, floor(queue->hold_sum / n),
		                 floor(queue->talk_sum / n), queue->completed, queue->abandoned);
		(void)buf_append_cstr(text, queue->member_count ? "   Members: \n" : "   No Members\n");
		for (unsigned k = 0; k < queue->member_count; k++) {
			const struct sim_member *member = queue->members[k];
			(void)buf_printf(text, "      %s (%s)%s (ringinuse enabled)%s (%s) has taken %u calls\n", member->name,
			                 member->interface, member->dynamic ? " (dynamic)" : "", member->paused ? " (paused)" : "",
			                 status_text(member), member->calls_taken);
		}
		(void)buf_append_cstr(text, queue->caller_count ? "   Callers: \n" : "   No Callers\n");
		list_each(it, &queue->callers) {
			const struct sim_call *call = list_entry(it, struct sim_call, queue_node);
			unsigned waited = (unsigned)sim_elapsed(sim, call->joined);
			(void)buf_printf(text, "      %u. %s (wait: %u:%02u, prio: 0)\n", call->position, call->caller->name, waited / 60,
			                 waited % 60);
		}
		(void)buf_append_cstr(text, "\n");
	}
}

static void show_database(struct sim *sim, struct buf *text)
{
	struct map_entry *entry;

	for (size_t i = 0; (entry = map_next(&sim->database, &i));)
		(void)buf_printf(text, "%-50s: %-25s\n", entry->key, (const char *)entry->value);
	(void)buf_printf(text, "%zu results found.\n", sim->database.count);
}

static const struct {
	const char *name;
	void (*print)(struct sim *sim, struct buf *text);
} commands[] = {
	{ "core show version", show_version }, { "core show uptime", show_uptime }, { "core show channels", show_channels },
	{ "queue show", show_queues },         { "database show", show_database },
};

static void put_output(struct buf *out, struct slice text)
{
	while (text.len > 0) {
		const char *lf = memchr(text.ptr, '\n', text.len);
		size_t len = lf ? (size_t)(lf - text.ptr) : text.len;
		sim_put(out, "Output", "%.*s", (int)len, text.ptr);
		len += lf != NULL;
		text = slice_make(text.ptr + len, text.len - len);
	}
}

void sim_action_command(struct sim_client *client, const struct sim_request *request)
{
	struct sim *sim = client->sim;
	const char *command = sim_get(request, "Command");
	struct buf text;
	bool known = false;

	if (!*command) {
		sim_error(client, request, "No command provided");
		return;
	}
	buf_init(&text, 0);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]) && !known; i++) {
		if (strcasecmp(commands[i].name, command) == 0) {
			commands[i].print(sim, &text);
			known = true;
		}
	}
	if (!known)
		(void)buf_printf(&text, "No such command '%s' (type 'core show help %s' for other possible commands)\n", command, command);
	if (sim->ami_version >= OUTPUT_VERSION) {
		struct buf *out = sim_reply(client, request, known ? "Success" : "Error");
		sim_put(out, "Message", "Command output follows");
		put_output(out, buf_slice(&text));
		sim_end(client);
	} else {
		const char *id = sim_get(request, "ActionID");
		struct buf *out = &client->out;
		sim_put(out, "Response", "Follows");
		sim_put(out, "Privilege", "Command");
		if (*id)
			sim_put(out, "ActionID", "%s", id);
		(void)buf_append(out, buf_slice(&text));
		(void)buf_append_cstr(out, "--END COMMAND--\r\n");
		sim_end(client);
	}
	buf_close(&text);
}
