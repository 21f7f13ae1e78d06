/* What a client does with the queues. */
#include "sim/sim_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

void sim_action_queue_add(struct sim_client *client, const struct sim_request *request)
{
	struct sim *sim = client->sim;
	const char *name = sim_get(request, "Queue"), *interface = sim_get(request, "Interface");
	const char *member_name = sim_get(request, "MemberName");
	struct sim_queue *queue;
	struct sim_member *member;

	if (!*name) {
		sim_error(client, request, "'Queue' not specified.");
	} else if (!*interface) {
		sim_error(client, request, "'Interface' not specified.");
	} else if (!(queue = sim_queue_find(sim, name))) {
		sim_error(client, request, "Unable to add interface to queue: No such queue");
	} else if (sim_member_find(queue, interface)) {
		sim_error(client, request, "Unable to add interface: Already there");
	} else if (queue->member_count == SIM_MEMBERS_MAX || strlen(interface) >= sizeof(member->interface)) {
		sim_error(client, request, "Out of memory");
	} else {
		member = mem_zalloc(sizeof(*member));
		snprintf(member->name, sizeof(member->name), "%s", *member_name ? member_name : interface);
		snprintf(member->interface, sizeof(member->interface), "%s", interface);
		long penalty = strtol(sim_get(request, "Penalty"), NULL, 10);
		member->penalty = penalty > 0 && penalty <= INT32_MAX ? (unsigned)penalty : 0;
		member->dynamic = true;
		member->paused = sim_true(sim_get(request, "Paused"));
		struct sim_endpoint *endpoint = sim_endpoint_add(sim, interface, false);
		sim_endpoint_review(sim, endpoint);
		member->status = endpoint ? endpoint->state : SIM_DEVICE_FREE;
		member->login = (int64_t)sim_wall(sim);
		queue->members[queue->member_count++] = member;
		sim_ack(client, request, "Added interface to queue");
		sim_member_event(sim, queue, member, "QueueMemberAdded");
	}
}

void sim_action_queue_remove(struct sim_client *client, const struct sim_request *request)
{
	struct sim *sim = client->sim;
	const char *name = sim_get(request, "Queue"), *interface = sim_get(request, "Interface");
	struct sim_queue *queue;
	struct sim_member *member;

	if (!*name || !*interface) {
		sim_error(client, request, "Need 'Queue' and 'Interface' parameters.");
	} else if (!(queue = sim_queue_find(sim, name))) {
		sim_error(client, request, "Unable to remove interface from queue: No such queue");
	} else if (!(member = sim_member_find(queue, interface))) {
		sim_error(client, request, "Unable to remove interface: Not there");
	} else if (!member->dynamic) {
		sim_error(client, request, "Member not dynamic");
	} else {
		unsigned i = 0;
		while (queue->members[i] != member)
			i++;
		memmove(&queue->members[i], &queue->members[i + 1], (queue->member_count - i - 1) * sizeof(member));
		queue->member_count--;
		sim_ack(client, request, "Removed interface from queue");
		sim_member_event(sim, queue, member, "QueueMemberRemoved");
		free(member);
	}
}

void sim_action_queue_pause(struct sim_client *client, const struct sim_request *request)
{
	struct sim *sim = client->sim;
	const char *name = sim_get(request, "Queue"), *interface = sim_get(request, "Interface");
	const char *paused = sim_get(request, "Paused");
	unsigned found = 0;

	if (!*interface || !*paused) {
		sim_error(client, request, "Need 'Interface' and 'Paused' parameters.");
		return;
	}
	for (unsigned i = 0; i < SIM_QUEUES; i++)
		if ((!*name || strcasecmp(sim->queues[i].name, name) == 0) && sim_member_find(&sim->queues[i], interface))
			found++;
	if (found == 0) {
		sim_error(client, request, "Interface not found");
		return;
	}
	sim_ack(client, request, sim_true(paused) ? "Interface paused successfully" : "Interface unpaused successfully");
	for (unsigned i = 0; i < SIM_QUEUES; i++) {
		struct sim_queue *queue = &sim->queues[i];
		struct sim_member *member = sim_member_find(queue, interface);
		if (!member || (*name && strcasecmp(queue->name, name) != 0))
			continue;
		member->paused = sim_true(paused);
		if (member->paused)
			member->last_pause = (int64_t)sim_wall(sim);
		snprintf(member->paused_reason, sizeof(member->paused_reason), "%s",
		         member->paused ? sim_get(request, "Reason") : "");
		sim_member_event(sim, queue, member, "QueueMemberPause");
	}
}

static double mean(double sum, unsigned count)
{
	return count ? floor(sum / count) : 0;
}

static void put_member(struct sim_list *list, const struct sim_queue *queue, const struct sim_member *member)
{
	struct buf *out = sim_item(list, "QueueMember");

	sim_put(out, "Queue", "%s", queue->name);
	sim_put(out, "Name", "%s", member->name);
	sim_put(out, "Location", "%s", member->interface);
	sim_put_member(out, member);
	sim_put(out, "Wrapuptime", "0");
	sim_item_end(list);
}

static void put_entry(struct sim_list *list, const struct sim_queue *queue, const struct sim_call *call)
{
	struct buf *out = sim_item(list, "QueueEntry");
	const struct sim_channel *channel = call->caller;

	sim_put(out, "Queue", "%s", queue->name);
	sim_put(out, "Position", "%u", call->position);
	sim_put(out, "Channel", "%s", channel->name);
	sim_put(out, "Uniqueid", "%s", channel->uniqueid);
	sim_put(out, "CallerIDNum", "%s", *channel->caller_num ? channel->caller_num : "unknown");
	sim_put(out, "CallerIDName", "%s", *channel->caller_name ? channel->caller_name : "unknown");
	sim_put(out, "ConnectedLineNum", "%s", *channel->connected_num ? channel->connected_num : "unknown");
	sim_put(out, "ConnectedLineName", "%s", *channel->connected_name ? channel->connected_name : "unknown");
	sim_put(out, "Wait", "%.0f", floor(sim_elapsed(call->sim, call->joined)));
	sim_put(out, "Priority", "0");
	sim_item_end(list);
}

void sim_action_queue_status(struct sim_client *client, const struct sim_request *request)
{
	struct sim *sim = client->sim;
	const char *only = sim_get(request, "Queue"), *member = sim_get(request, "Member");
	struct sim_list list = sim_list_begin(client, request, true, "Queue status will follow");

	for (unsigned i = 0; i < SIM_QUEUES; i++) {
		const struct sim_queue *queue = &sim->queues[i];
		if (*only && strcasecmp(queue->name, only) != 0)
			continue;
		struct buf *out = sim_item(&list, "QueueParams");
		sim_put(out, "Queue", "%s", queue->name);
		sim_put(out, "Max", "0");
		sim_put(out, "Strategy", "%s", queue->strategy);
		sim_put(out, "Calls", "%u", queue->caller_count);
		sim_put(out, "Holdtime", "%.0f", mean(queue->hold_sum, queue->completed));
		sim_put(out, "TalkTime", "%.0f", mean(queue->talk_sum, queue->completed));
		sim_put(out, "Completed", "%u", queue->completed);
		sim_put(out, "Abandoned", "%u", queue->abandoned);
		sim_put(out, "ServiceLevel", "0");
		sim_put(out, "ServicelevelPerf", "0.0");
		sim_put(out, "ServicelevelPerf2", "0.0");
		sim_put(out, "Weight", "0");
		sim_item_end(&list);
		for (unsigned k = 0; k < queue->member_count; k++)
			if (!*member || strcasecmp(member, queue->members[k]->interface) == 0)
				put_member(&list, queue, queue->members[k]);
		list_each(it, &queue->callers)
			put_entry(&list, queue, list_entry(it, struct sim_call, queue_node));
	}
	sim_list_end(&list, "QueueStatusComplete", NULL);
}

void sim_action_queue_summary(struct sim_client *client, const struct sim_request *request)
{
	struct sim *sim = client->sim;
	const char *only = sim_get(request, "Queue");
	struct sim_list list = sim_list_begin(client, request, true, "Queue summary will follow");

	for (unsigned i = 0; i < SIM_QUEUES; i++) {
		const struct sim_queue *queue = &sim->queues[i];
		unsigned available = 0;
		double longest = 0;
		if (*only && strcasecmp(queue->name, only) != 0)
			continue;
		for (unsigned k = 0; k < queue->member_count; k++)
			available += queue->members[k]->status == SIM_DEVICE_FREE && !queue->members[k]->paused;
		if (!list_empty(&queue->callers))
			longest = sim_elapsed(sim, list_entry(queue->callers.next, struct sim_call, queue_node)->joined);
		struct buf *out = sim_item(&list, "QueueSummary");
		sim_put(out, "Queue", "%s", queue->name);
		sim_put(out, "LoggedIn", "%u", queue->member_count);
		sim_put(out, "Available", "%u", available);
		sim_put(out, "Callers", "%u", queue->caller_count);
		sim_put(out, "HoldTime", "%.0f", mean(queue->hold_sum, queue->completed));
		sim_put(out, "TalkTime", "%.0f", mean(queue->talk_sum, queue->completed));
		sim_put(out, "LongestHoldTime", "%.0f", floor(longest));
		sim_item_end(&list);
	}
	sim_list_end(&list, "QueueSummaryComplete", NULL);
}
