/* Two queues, their members, and the calls in them. */
#include "sim/sim_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#define QUEUE_TIMEOUT 5.0 /* s that an agent's phone rings */
#define QUEUE_RETRY 1.0   /* s until the next agent is tried */
#define SCRIPTED_PATIENCE 2.0 /* s of the caller who gives up */

struct sim_member *sim_member_find(struct sim_queue *queue, const char *interface)
{
	for (unsigned i = 0; i < queue->member_count; i++)
		if (strcasecmp(queue->members[i]->interface, interface) == 0)
			return queue->members[i];
	return NULL;
}

static void add_static(struct sim *sim, struct sim_queue *queue, const char *name, const char *interface, unsigned penalty)
{
	struct sim_member *member = mem_zalloc(sizeof(*member));

	snprintf(member->name, sizeof(member->name), "%s", name);
	snprintf(member->interface, sizeof(member->interface), "%s", interface);
	member->penalty = penalty;
	member->status = SIM_DEVICE_FREE;
	member->login = (int64_t)sim->started;
	queue->members[queue->member_count++] = member;
}

void sim_queues_init(struct sim *sim)
{
	static const char *const names[SIM_QUEUES] = { "support", "sales" };
	static const char *const strategies[SIM_QUEUES] = { "rrmemory", "ringall" };

	for (unsigned i = 0; i < SIM_QUEUES; i++) {
		sim->queues[i].name = names[i];
		sim->queues[i].strategy = strategies[i];
		list_init(&sim->queues[i].callers);
	}
	add_static(sim, &sim->queues[0], "Alice", "PJSIP/101", 0);
	add_static(sim, &sim->queues[0], "Bob", "PJSIP/102", 1);
	add_static(sim, &sim->queues[0], "Zoë", "PJSIP/103", 0);
	add_static(sim, &sim->queues[1], "Alice", "PJSIP/101", 0);
	add_static(sim, &sim->queues[1], "Dave", "PJSIP/104", 0);
}

void sim_queues_close(struct sim *sim)
{
	for (unsigned i = 0; i < SIM_QUEUES; i++) {
		for (unsigned k = 0; k < sim->queues[i].member_count; k++)
			free(sim->queues[i].members[k]);
		sim->queues[i].member_count = 0;
	}
}

struct sim_queue *sim_queue_find(struct sim *sim, const char *name)
{
	for (unsigned i = 0; i < SIM_QUEUES; i++)
		if (strcasecmp(sim->queues[i].name, name) == 0)
			return &sim->queues[i];
	return NULL;
}

void sim_put_member(struct buf *out, const struct sim_member *member)
{
	sim_put(out, "StateInterface", "%s", member->interface);
	sim_put(out, "Membership", "%s", member->dynamic ? "dynamic" : "static");
	sim_put(out, "Penalty", "%u", member->penalty);
	sim_put(out, "CallsTaken", "%u", member->calls_taken);
	sim_put(out, "LastCall", "%lld", (long long)member->last_call);
	sim_put(out, "LastPause", "%lld", (long long)member->last_pause);
	sim_put(out, "LoginTime", "%lld", (long long)member->login);
	sim_put(out, "InCall", "%u", member->in_call ? 1u : 0u);
	sim_put(out, "Status", "%u", member->status);
	sim_put(out, "Paused", "%u", member->paused ? 1u : 0u);
	sim_put(out, "PausedReason", "%s", member->paused_reason);
}

void sim_member_event(struct sim *sim, const struct sim_queue *queue, const struct sim_member *member, const char *event)
{
	struct buf *out = sim_event(sim, event, SIM_AGENT);

	sim_put(out, "Queue", "%s", queue->name);
	sim_put(out, "MemberName", "%s", member->name);
	sim_put(out, "Interface", "%s", member->interface);
	sim_put_member(out, member);
	sim_put(out, "Ringinuse", "1");
	sim_put(out, "Wrapuptime", "0");
	sim_publish(sim);
}

static struct buf *caller_event(struct sim_call *call, const char *event)
{
	struct buf *out = sim_event(call->sim, event, SIM_AGENT);
	sim_put_channel(out, "", call->caller);
	return out;
}

static struct buf *agent_event(struct sim_call *call, const char *event)
{
	struct buf *out = caller_event(call, event);

	sim_put_channel(out, "Dest", call->one ? call->one : call->callee);
	sim_put(out, "Queue", "%s", call->queue->name);
	sim_put(out, "Interface", "%s", call->agent_interface);
	sim_put(out, "MemberName", "%s", call->agent_name);
	return out;
}

void sim_queue_enter(struct sim_call *call, struct sim_queue *queue, bool missed, bool gives_up)
{
	struct sim *sim = call->sim;
	static const char *const cleared[] = { "ANSWEREDTIME", "DIALEDTIME", "QUEUEWAIT" };

	sim_channel_app(call->caller, 2, "Queue", "%s,,,,60", queue->name);
	for (size_t i = 0; i < sizeof(cleared) / sizeof(cleared[0]); i++)
		sim_variable_set(sim, call->caller, cleared[i], "");
	call->queue = queue;
	snprintf(call->story.queue, sizeof(call->story.queue), "%s", queue->name);
	call->missed = missed;
	call->state = SIM_QUEUED;
	call->joined = sim->now;
	call->times_out = call->by_chance && sim->options.features && sim_random(&call->random, 6) == 0;
	if (call->by_chance)
		call->patience = sim_random_range(&call->random, 4, 40);
	else
		call->patience = gives_up ? SCRIPTED_PATIENCE : INFINITY;
	list_append(&queue->callers, &call->queue_node);
	call->position = call->original_position = ++queue->caller_count;
	queue->joined++;
	struct buf *out = caller_event(call, "QueueCallerJoin");
	sim_put(out, "Queue", "%s", queue->name);
	sim_put(out, "Position", "%u", call->position);
	sim_put(out, "Count", "%u", queue->caller_count);
	sim_publish(sim);
	sim_call_after(call, 0.05);
}

static void leave(struct sim_call *call)
{
	struct sim_queue *queue = call->queue;
	unsigned position = 0;

	list_remove(&call->queue_node);
	queue->caller_count--;
	struct buf *out = caller_event(call, "QueueCallerLeave");
	sim_put(out, "Queue", "%s", queue->name);
	sim_put(out, "Position", "%u", call->position);
	sim_put(out, "Count", "%u", queue->caller_count);
	sim_publish(call->sim);
	list_each(it, &queue->callers)
		list_entry(it, struct sim_call, queue_node)->position = ++position;
}

/* The next one that may be rung, in turn; lower penalties first. */
static struct sim_member *free_member(struct sim_queue *queue)
{
	struct sim_member *best = NULL;
	unsigned best_index = 0;

	for (unsigned i = 0; i < queue->member_count; i++) {
		unsigned index = (queue->next + i) % queue->member_count;
		struct sim_member *member = queue->members[index];
		if (member->status == SIM_DEVICE_FREE && !member->in_call && !member->paused && (!best || member->penalty < best->penalty)) {
			best = member;
			best_index = index;
		}
	}
	if (best)
		queue->next = best_index + 1;
	return best;
}

/* "Local/101@default/n": both halves, and the phone behind them. */
static void call_local(struct sim_call *call)
{
	const char *number = call->agent_interface + 6, *at = strchr(number, '@'), *context = at ? at + 1 : SIM_CONTEXT;
	size_t len = strcspn(number, "@/"), context_len = strcspn(context, "/");

	sim_local_make(call, slice_make(number, len), slice_make(context, context_len), strcasecmp(context + context_len, "/n") == 0, "AppQueue");
	call->one->endpoint = sim_endpoint_find(call->sim, call->agent_interface);
	agent_event(call, "AgentCalled");
	sim_publish(call->sim);
	sim_local_call(call);
	sim_channel_state(call->callee, 5);
	sim_local_rings(call);
}

static void call_phone(struct sim_call *call)
{
	struct sim *sim = call->sim;
	const char *slash = strchr(call->agent_interface, '/'), *number = slash ? slash + 1 : call->agent_interface;
	char prefix[80];

	snprintf(prefix, sizeof(prefix), "%s", call->agent_interface);
	snprintf(call->dial_string, sizeof(call->dial_string), "%s", number);
	struct sim_channel *b = sim_dial_callee(call, prefix, number, "AppQueue");
	/* A member may be anything that can be dialled: the state is that of the member. */
	if (!b->endpoint)
		b->endpoint = sim_endpoint_find(sim, call->agent_interface);
	sim_variable_set(sim, b, "DIALEDPEERNUMBER", number);
	agent_event(call, "AgentCalled");
	sim_publish(sim);
	sim_dial_event(call, "DialBegin", NULL);
	sim_channel_state(b, 5);
	sim_dial_event(call, "DialState", "RINGING");
}

static void ring(struct sim_call *call, const struct sim_member *member)
{
	struct sim *sim = call->sim;
	double rings, patience_left = call->patience - sim_elapsed(sim, call->joined);

	snprintf(call->agent_name, sizeof(call->agent_name), "%s", member->name);
	snprintf(call->agent_interface, sizeof(call->agent_interface), "%s", member->interface);
	call->state = SIM_AGENT_RINGING;
	call->rung = call->dialled = sim->now;
	if (strncasecmp(member->interface, "Local/", 6) == 0)
		call_local(call);
	else
		call_phone(call);
	if (call->by_chance ? sim_random(&call->random, 4) == 0 : call->missed || isfinite(call->patience))
		call->outcome = SIM_NO_ANSWER;
	else
		call->outcome = SIM_ANSWERED;
	call->missed = false;
	rings = call->outcome == SIM_NO_ANSWER ? QUEUE_TIMEOUT : sim_random_range(&call->random, 1, 4);
	if (patience_left < rings) {
		call->outcome = SIM_CANCELLED;
		rings = fmax(patience_left, 0);
	}
	sim_call_after(call, rings);
}

/* Of what the queue calls: the first half of a Local channel, or the phone. */
static void dial_end(struct sim_call *call, const char *status)
{
	if (call->one)
		sim_local_event(call, "DialEnd", "DialStatus", status);
	else
		sim_dial_event(call, "DialEnd", status);
}

static void drop_agent(struct sim_call *call)
{
	if (call->one)
		sim_local_cancel(call, 0);
	else
		sim_channel_hangup(&call->callee, 0);
}

void sim_queue_no_answer(struct sim_call *call)
{
	struct sim *sim = call->sim;

	sim_put(agent_event(call, "AgentRingNoAnswer"), "RingTime", "%.0f", floor(sim_elapsed(sim, call->rung) * 1000));
	sim_publish(sim);
	dial_end(call, "NOANSWER");
	dial_end(call, "CANCEL"); /* the first is right */
	drop_agent(call);
	call->state = SIM_QUEUED;
	sim_call_after(call, QUEUE_RETRY);
}

static void connect_agent(struct sim_call *call)
{
	struct sim *sim = call->sim;
	struct sim_member *member = sim_member_find(call->queue, call->agent_interface);
	char text[24];

	call->hold = sim_elapsed(sim, call->joined);
	call->queue->connected++;
	if (call->one) {
		sim_local_up(call);
	} else {
		sim_channel_state(call->callee, 6);
		sim_dial_event(call, "DialEnd", "ANSWER");
	}
	leave(call);
	snprintf(text, sizeof(text), "%u", call->original_position);
	sim_variable_set(sim, call->caller, "QUEUEPOSITION", text);
	snprintf(text, sizeof(text), "%.0f", floor(call->hold));
	sim_variable_set(sim, call->caller, "QUEUEWAIT", text);
	struct buf *out = agent_event(call, "AgentConnect");
	sim_put(out, "HoldTime", "%.0f", floor(call->hold));
	sim_put(out, "RingTime", "%.0f", floor(sim_elapsed(sim, call->rung)));
	sim_publish(sim);
	if (member)
		member->in_call = true;
	call->state = SIM_AGENT_TALKING;
	call->rung = sim->now;
	if (call->one)
		sim_local_join(call);
	else
		sim_bridge_call(call);
	if (!call->answered)
		call->answered = sim->now;
	snprintf(call->story.agent, sizeof(call->story.agent), "%s", call->agent_interface);
	if (!call->story.answered_by[0])
		sim_channel_interface(call->callee, call->story.answered_by, sizeof(call->story.answered_by));
	sim_plan_choose(call);
}

void sim_queue_complete(struct sim_call *call, const char *reason)
{
	struct sim *sim = call->sim;
	struct sim_queue *queue = call->queue;
	struct sim_member *member = sim_member_find(queue, call->agent_interface);
	double talk = sim_elapsed(sim, call->rung);
	struct buf *out = agent_event(call, "AgentComplete");

	sim_put(out, "HoldTime", "%.0f", floor(call->hold));
	sim_put(out, "TalkTime", "%.0f", floor(talk));
	sim_put(out, "Reason", "%s", reason);
	sim_publish(sim);
	queue->completed++;
	queue->hold_sum += call->hold;
	queue->talk_sum += talk;
	if (member) {
		member->calls_taken++;
		member->last_call = (int64_t)sim_wall(sim);
		member->in_call = false;
	}
}

void sim_queue_abandon(struct sim_call *call)
{
	struct sim *sim = call->sim;
	struct sim_queue *queue = call->queue;

	bool rings = call->state == SIM_AGENT_RINGING;
	/* Of the agent's phone that rang nothing but the hang-up is told (Q68), or its end twice. */
	for (uint64_t i = rings ? 2 * sim_random(&call->random, 2) : 0; i > 0; i--)
		dial_end(call, "CANCEL");
	struct buf *out = caller_event(call, "QueueCallerAbandon");
	sim_put(out, "Queue", "%s", queue->name);
	sim_put(out, "Position", "%u", call->position);
	sim_put(out, "OriginalPosition", "%u", call->original_position);
	sim_put(out, "HoldTime", "%.0f", floor(sim_elapsed(sim, call->joined)));
	sim_publish(sim);
	queue->abandoned++;
	queue->given_up += !call->timing_out;
	leave(call);
	if (rings)
		drop_agent(call);
	if (!call->story.talked)
		call->story.result = "abandoned";
}

/* It was in the queue for as long as the dialplan lets it (Q67). */
static void timed_out(struct sim_call *call)
{
	call->timing_out = true;
	sim_queue_abandon(call);
	call->timing_out = false;
	sim_variable_set(call->sim, call->caller, "QUEUESTATUS", "TIMEOUT");
	if (!call->story.talked)
		call->story.result = "timeout";
	call->state = SIM_WAITING;
	sim_call_after(call, 0.02);
}

static void gives_up(struct sim_call *call)
{
	if (call->times_out)
		timed_out(call);
	else
		sim_call_end(call, call->caller, 16, false);
}

void sim_queue_timer(struct sim_call *call)
{
	struct sim_member *member;

	switch (call->state) {
	case SIM_QUEUED:
		if (sim_elapsed(call->sim, call->joined) > call->patience)
			gives_up(call);
		else if ((member = free_member(call->queue)) != NULL)
			ring(call, member);
		else
			sim_call_after(call, QUEUE_RETRY / 2);
		break;
	case SIM_AGENT_RINGING:
		if (call->outcome == SIM_NO_ANSWER)
			sim_queue_no_answer(call);
		else if (call->outcome == SIM_CANCELLED)
			gives_up(call);
		else
			connect_agent(call);
		break;
	default:
		sim_plan_next(call);
		break;
	}
}
