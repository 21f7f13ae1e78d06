/* What is true: the simulator's own state as JSON, for tests that compare what somebody made of its events. Its form is that
 * of the marks in tests/fixtures/captures/live. */
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>

static void put_key(struct buf *out, const char *key)
{
	if (buf_len(out) > 0) {
		char last = out->data[out->tail - 1];
		if (last != '{' && last != '[')
			(void)buf_append_char(out, ',');
	}
	if (!key)
		return;
	(void)buf_append_json(out, slice_cstr(key));
	(void)buf_append_char(out, ':');
}

/* Empty: left out. */
static void put_text(struct buf *out, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	put_key(out, key);
	(void)buf_append_json(out, slice_cstr(value));
}

static void put_number(struct buf *out, const char *key, uint64_t value)
{
	put_key(out, key);
	(void)buf_printf(out, "%llu", (unsigned long long)value);
}

static void put_bool(struct buf *out, const char *key, bool value)
{
	put_key(out, key);
	(void)buf_append_cstr(out, value ? "true" : "false");
}

static void begin(struct buf *out, const char *key, char bracket)
{
	put_key(out, key);
	(void)buf_append_char(out, bracket);
}

static void finish(struct buf *out, char bracket)
{
	(void)buf_append_char(out, bracket);
}

/* ---- calls ---- */

static bool is_up(const struct sim_channel *channel)
{
	return channel && channel->state == 6;
}

/* By the definitions of the live picture. */
static const char *state_of(const struct sim_call *call)
{
	const struct sim_channel *a = call->caller, *b = call->callee;

	switch (call->state) {
	case SIM_ORIGINATING:
		return a && a->state == 5 ? "ringing" : "new";
	case SIM_RINGING:
		return "ringing";
	case SIM_TALKING:
	case SIM_AGENT_TALKING:
		return a->holding || b->holding ? "held" : "up";
	case SIM_QUEUED:
	case SIM_AGENT_RINGING:
		return "queued";
	case SIM_CONFERENCE:
		return "conference";
	case SIM_PARKING:
	case SIM_PARKED:
		return "parked";
	default:
		return is_up(a) ? "up" : "new";
	}
}

static void put_story(struct buf *out, const struct sim_story *story)
{
	put_text(out, "id", story->id);
	put_text(out, "from", story->from);
	put_text(out, "to", story->to);
	put_text(out, "queue", story->queue);
	put_text(out, "agent", story->agent);
	put_text(out, "answered_by", story->answered_by);
	put_text(out, "transferred_from", story->transferred_from);
	put_text(out, "transferred_to", story->transferred_to);
	put_text(out, "forwarded_from", story->forwarded_from);
	put_text(out, "fetched_by", story->fetched_by);
}

static void put_calls(struct buf *out, const struct sim *sim)
{
	begin(out, "calls", '[');
	list_each(it, &sim->calls) {
		const struct sim_call *call = list_entry(it, struct sim_call, node);
		const struct sim_channel *const all[] = { call->caller, call->callee, call->also, call->one, call->two, call->far, call->first, call->parker };
		if (!call->story.id[0])
			continue;
		begin(out, NULL, '{');
		put_story(out, &call->story);
		put_text(out, "state", state_of(call));
		begin(out, "channels", '[');
		for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
			if (all[i])
				put_text(out, NULL, all[i]->name);
		finish(out, ']');
		finish(out, '}');
	}
	finish(out, ']');
}

static void pass(struct sim_call *call, double seconds)
{
	struct sim_story *story = &call->story;
	bool rings = call->state == SIM_RINGING || (call->state == SIM_ORIGINATING && call->caller && call->caller->state == 5);

	if (rings && !story->rang)
		story->ring += seconds;
	else if (story->ring > 0)
		story->rang = true;
	switch (call->state) {
	case SIM_TALKING:
	case SIM_AGENT_TALKING:
		story->hold += call->caller->holding ? seconds : 0;
		story->hold += call->callee->holding ? seconds : 0;
		/* Behind a Local channel there may be the dialplan alone: nobody whom the other one could hear. */
		if (!call->caller->holding && !call->callee->holding && (!call->far || call->first))
			story->talk += seconds;
		break;
	case SIM_QUEUED:
	case SIM_AGENT_RINGING:
		story->wait += seconds;
		break;
	case SIM_CONFERENCE:
		story->conference_time += seconds;
		break;
	default:
		break;
	}
}

void sim_truth_pass(struct sim *sim, uint64_t ns)
{
	if (!sim->options.truth)
		return;
	list_each(it, &sim->calls)
		pass(list_entry(it, struct sim_call, node), (double)ns / (double)CLOCK_NS_PER_S);
}

static void put_seconds(struct buf *out, const char *key, double seconds)
{
	put_key(out, key);
	(void)buf_printf(out, "%.6f", seconds);
}

void sim_truth_ended(struct sim_call *call)
{
	struct sim *sim = call->sim;

	if (!sim->options.truth || !call->story.id[0])
		return;
	if (sim->ended_count == SIM_ENDED_MAX) {
		sim->ended_lost++;
		return;
	}
	if ((sim->ended_count & (sim->ended_count - 1)) == 0)
		sim->ended = mem_realloc(sim->ended, sim->ended_count ? (size_t)sim->ended_count * 2 : 1, sizeof(*sim->ended));
	/* Who talked has been answered, whatever came last. */
	if (strcmp(call->story.result, "merged") != 0 && strcmp(call->story.result, "unseen") != 0) {
		if (call->story.talked)
			call->story.result = "answered";
		else if (call->story.shut_down)
			call->story.result = "failed";
	}
	sim->ended[sim->ended_count++] = call->story;
}

static void put_ended(struct buf *out, struct sim *sim)
{
	begin(out, "ended", '[');
	for (unsigned i = 0; i < sim->ended_count; i++) {
		begin(out, NULL, '{');
		put_story(out, &sim->ended[i]);
		put_text(out, "result", sim->ended[i].result);
		put_text(out, "into", sim->ended[i].into);
		put_seconds(out, "talk", sim->ended[i].talk);
		put_seconds(out, "hold", sim->ended[i].hold);
		put_seconds(out, "wait", sim->ended[i].wait);
		put_seconds(out, "ring", sim->ended[i].ring);
		put_seconds(out, "conference_time", sim->ended[i].conference_time);
		finish(out, '}');
	}
	finish(out, ']');
	put_number(out, "ended_lost", sim->ended_lost);
	free(sim->ended);
	sim->ended = NULL;
	sim->ended_count = sim->ended_lost = 0;
}

/* ---- the rest ---- */

static void put_channels(struct buf *out, const struct sim *sim)
{
	begin(out, "channels", '[');
	list_each(it, &sim->channels) {
		const struct sim_channel *channel = list_entry(it, struct sim_channel, node);
		begin(out, NULL, '{');
		put_text(out, "name", channel->name);
		put_text(out, "uniqueid", channel->uniqueid);
		put_text(out, "linkedid", channel->linkedid);
		put_text(out, "state", sim_state_name(channel->state));
		put_text(out, "bridge", channel->bridge ? channel->bridge->id : "");
		put_bool(out, "held", channel->holding);
		finish(out, '}');
	}
	finish(out, ']');
}

static void put_bridges(struct buf *out, const struct sim *sim)
{
	begin(out, "bridges", '[');
	list_each(it, &sim->bridges) {
		const struct sim_bridge *bridge = list_entry(it, struct sim_bridge, node);
		begin(out, NULL, '{');
		put_text(out, "id", bridge->id);
		put_text(out, "type", bridge->type);
		begin(out, "channels", '[');
		list_each(in, &bridge->channels)
			put_text(out, NULL, list_entry(in, struct sim_channel, in_bridge)->uniqueid);
		finish(out, ']');
		finish(out, '}');
	}
	finish(out, ']');
}

static void put_queues(struct buf *out, const struct sim *sim)
{
	begin(out, "queues", '[');
	for (unsigned i = 0; i < SIM_QUEUES; i++) {
		const struct sim_queue *queue = &sim->queues[i];
		begin(out, NULL, '{');
		put_text(out, "name", queue->name);
		put_text(out, "strategy", queue->strategy);
		put_number(out, "offered", queue->joined);
		put_number(out, "answered", queue->connected);
		put_number(out, "abandoned", queue->given_up);
		begin(out, "waiting", '[');
		list_each(it, &queue->callers) {
			const struct sim_call *call = list_entry(it, struct sim_call, queue_node);
			begin(out, NULL, '{');
			put_number(out, "position", call->position);
			put_text(out, "uniqueid", call->caller->uniqueid);
			put_text(out, "channel", call->caller->name);
			finish(out, '}');
		}
		finish(out, ']');
		begin(out, "members", '[');
		for (unsigned k = 0; k < queue->member_count; k++) {
			const struct sim_member *member = queue->members[k];
			begin(out, NULL, '{');
			put_text(out, "interface", member->interface);
			put_text(out, "name", member->name);
			put_number(out, "status", member->status);
			put_bool(out, "paused", member->paused);
			put_text(out, "paused_reason", member->paused_reason);
			put_number(out, "penalty", member->penalty);
			put_number(out, "calls", member->calls_taken);
			put_bool(out, "in_call", member->in_call);
			finish(out, '}');
		}
		finish(out, ']');
		finish(out, '}');
	}
	finish(out, ']');
}

static void put_parked(struct buf *out, const struct sim *sim)
{
	begin(out, "parked", '[');
	for (unsigned i = 0; i < SIM_SPACES; i++) {
		const struct sim_call *call = sim->spaces[i];
		char space[16];
		if (!call)
			continue;
		begin(out, NULL, '{');
		put_text(out, "channel", call->caller->name);
		put_text(out, "uniqueid", call->caller->uniqueid);
		put_text(out, "lot", "default");
		snprintf(space, sizeof(space), "%u", call->space);
		put_text(out, "space", space);
		put_text(out, "by", call->parker_interface);
		finish(out, '}');
	}
	finish(out, ']');
}

static void put_conferences(struct buf *out, const struct sim *sim)
{
	begin(out, "conferences", '[');
	for (unsigned i = 0; i < SIM_ROOMS; i++) {
		const struct sim_room *room = &sim->rooms[i];
		if (!room->bridge)
			continue;
		begin(out, NULL, '{');
		put_text(out, "name", room->name);
		begin(out, "members", '[');
		list_each(it, &room->calls) {
			const struct sim_channel *channel = list_entry(it, struct sim_call, in_room)->caller;
			begin(out, NULL, '{');
			put_text(out, "channel", channel->name);
			put_text(out, "uniqueid", channel->uniqueid);
			put_text(out, "muted", channel->muted ? "Yes" : "No");
			put_text(out, "talking", channel->talking ? "Yes" : "No");
			put_text(out, "admin", channel->admin ? "Yes" : "No");
			finish(out, '}');
		}
		finish(out, ']');
		finish(out, '}');
	}
	finish(out, ']');
}

static void put_endpoints(struct buf *out, const struct sim *sim)
{
	begin(out, "devices", '{');
	list_each(it, &sim->endpoints) {
		const struct sim_endpoint *endpoint = list_entry(it, struct sim_endpoint, node);
		put_text(out, endpoint->interface, sim_device_name(endpoint->state));
	}
	finish(out, '}');
	begin(out, "endpoints", '[');
	list_each(it, &sim->endpoints) {
		const struct sim_endpoint *endpoint = list_entry(it, struct sim_endpoint, node);
		begin(out, NULL, '{');
		put_text(out, "interface", endpoint->interface);
		put_bool(out, "phone", endpoint->phone);
		put_bool(out, "registered", endpoint->registered);
		finish(out, '}');
	}
	finish(out, ']');
}

void sim_truth(struct sim *sim, struct buf *out)
{
	(void)buf_append_char(out, '{');
	put_key(out, "now");
	(void)buf_printf(out, "%.6f", sim_wall(sim));
	put_number(out, "boots", sim->boots);
	put_bool(out, "down", sim_is_down(sim));
	put_number(out, "begun", sim->calls_processed);
	put_channels(out, sim);
	put_calls(out, sim);
	put_ended(out, sim);
	put_bridges(out, sim);
	put_queues(out, sim);
	put_parked(out, sim);
	put_conferences(out, sim);
	put_endpoints(out, sim);
	(void)buf_append_char(out, '}');
}
