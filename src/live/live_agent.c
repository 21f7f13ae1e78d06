#include "live/live_internal.h"

#include "base/mem.h"

enum { FREE, RINGING, BUSY, WRAPUP, PAUSED, AWAY };

/* By the numbers above. */
const char *const live_agent_states[] = { "free", "ringing", "busy", "wrapup", "paused", "away", NULL };

struct live_agent *live_agent_get(struct live_server *s, struct slice interface, bool make)
{
	struct live_agent *agent = LIVE_AS(agent, live_object_find(s, LIVE_AGENT, interface));
	if (agent || !make || !live_object_fits(s, LIVE_AGENT, s->sets[LIVE_AGENT].count, s->live->options.limits.agents, interface))
		return agent;
	agent = mem_zalloc(sizeof *agent);
	list_init(&agent->members);
	list_init(&agent->wrapping);
	list_init(&agent->in_call);
	agent->since = s->live->now;
	agent->state = AWAY;
	live_object_init(&agent->object, LIVE_AGENT, s, live_names_intern(&s->names, interface));
	return agent;
}

/* enum ast_device_state, as QueueMemberStatus numbers it. */
static int state_of_device(uint8_t status)
{
	switch (status) {
	case 2: /* in use */
	case 3: /* busy */
	case 7: /* ringing and in use */
	case 8: /* on hold */
		return BUSY;
	case 4: /* invalid */
	case 5: /* unavailable */
		return AWAY;
	case 6:
		return RINGING;
	default: /* not in use; unknown, which queues call too */
		return FREE;
	}
}

/* Paused is who is paused wherever he is a member. */
static int state_of(const struct live_agent *agent)
{
	bool paused = true, any = false, in_call = agent->call != NULL;
	int device = AWAY;
	list_each(node, &agent->members) {
		const struct live_member *member = list_entry(node, struct live_member, in_agent);
		any = true;
		paused &= member->paused;
		in_call |= member->in_call; /* a list told it, or a Local channel's device is free while he talks */
		device = state_of_device(member->status);
	}
	if (!any)
		return AWAY;
	if (in_call || device == BUSY)
		return BUSY;
	if (device == RINGING || device == AWAY)
		return device;
	if (paused)
		return PAUSED;
	return agent->wrapup_until > agent->object.server->live->now ? WRAPUP : FREE;
}

static void count_pause(struct live_agent *agent, struct live_name *reason, int64_t spent)
{
	uint32_t i = 0;
	while (i < agent->pause_count && agent->pauses[i].reason != reason)
		i++;
	if (i == LIVE_PAUSES)
		i = LIVE_PAUSES - 1; /* more reasons than are kept apart */
	if (i == agent->pause_count) {
		agent->pauses[i].reason = live_names_keep(reason);
		agent->pauses[i].total = 0;
		agent->pause_count++;
	}
	agent->pauses[i].total += spent;
}

static struct live_name *reason_of(const struct live_agent *agent)
{
	list_each(node, &agent->members) {
		const struct live_member *member = list_entry(node, struct live_member, in_agent);
		if (member->paused && member->paused_reason)
			return member->paused_reason;
	}
	return NULL;
}

static bool is_paused(const struct live_agent *agent)
{
	if (list_empty(&agent->members))
		return false;
	list_each(node, &agent->members)
		if (!list_entry(node, struct live_member, in_agent)->paused)
			return false;
	return true;
}

/* The paused time runs by pauses, whatever else goes on meanwhile. */
static void review_pause(struct live_agent *agent)
{
	struct live_server *s = agent->object.server;
	bool paused = is_paused(agent);
	struct live_name *reason = paused ? reason_of(agent) : NULL;
	if (agent->paused_since != 0 && (!paused || reason != agent->paused_reason)) {
		count_pause(agent, agent->paused_reason, s->live->now - agent->paused_since);
		agent->paused_since = 0;
		live_names_drop(&s->names, &agent->paused_reason);
	}
	if (paused && agent->paused_since == 0) {
		agent->paused_since = s->live->now;
		agent->paused_reason = live_names_keep(reason);
	}
}

void live_agent_review(struct live_agent *agent)
{
	struct live_server *s = agent->object.server;
	int64_t first = 0;
	list_each(node, &agent->members) {
		const struct live_member *member = list_entry(node, struct live_member, in_agent);
		if (member->logged_in != 0 && (first == 0 || member->logged_in < first))
			first = member->logged_in;
	}
	agent->logged_in = first;
	review_pause(agent);
	int state = state_of(agent);
	if (state != agent->state) {
		agent->state = (uint8_t)state;
		agent->since = s->live->now;
		live_report(s, LIVE_AGENT_CHANGED, &agent->object, "state");
	}
	if (list_empty(&agent->members) && !agent->call)
		live_agent_end(agent);
}

void live_agent_tick(struct live_server *s, int64_t now)
{
	list_each_safe(node, &s->wrapping) {
		struct live_agent *agent = list_entry(node, struct live_agent, wrapping);
		if (agent->wrapup_until > now)
			continue;
		list_remove(&agent->wrapping);
		live_agent_review(agent);
	}
}

static void set_call(struct live_agent *agent, struct live_call *call)
{
	agent->call = call;
	list_remove(&agent->in_call);
	if (call)
		list_append(&call->agents, &agent->in_call);
}

void live_agent_moved(struct live_call *from, struct live_call *to)
{
	while (!list_empty(&from->agents)) {
		struct live_agent *agent = list_entry(from->agents.next, struct live_agent, in_call);
		set_call(agent, to);
		/* Its AgentComplete may have been missed. */
		if (!to)
			list_each(in, &agent->members)
				list_entry(in, struct live_member, in_agent)->in_call = false;
		live_agent_review(agent);
	}
}

void live_agent_connect(struct live_agent *agent, struct live_call *call)
{
	set_call(agent, call);
	agent->calls++;
	live_agent_review(agent);
}

void live_agent_listed(struct live_agent *agent)
{
	list_each(node, &agent->members)
		if (list_entry(node, struct live_member, in_agent)->in_call)
			return;
	if (agent->call)
		set_call(agent, NULL);
}

void live_agent_complete(struct live_agent *agent, int64_t talk, uint32_t wrapup)
{
	struct live_server *s = agent->object.server;
	set_call(agent, NULL);
	agent->talk += talk;
	agent->wrapup_until = wrapup > 0 ? s->live->now + wrapup * LIVE_SECOND : 0;
	list_remove(&agent->wrapping);
	if (wrapup > 0)
		list_append(&s->wrapping, &agent->wrapping);
	live_agent_review(agent);
}

void live_agent_new_day(struct live_agent *agent)
{
	struct live_server *s = agent->object.server;
	for (uint32_t i = 0; i < agent->pause_count; i++)
		live_names_drop(&s->names, &agent->pauses[i].reason);
	agent->pause_count = agent->calls = agent->missed = 0;
	agent->talk = 0;
	if (agent->paused_since != 0)
		agent->paused_since = s->live->now;
}

void live_agent_end(struct live_agent *agent)
{
	list_remove(&agent->wrapping);
	set_call(agent, NULL);
	live_object_remove(&agent->object);
}

void live_agent_free(struct live_object *object)
{
	struct live_agent *a = LIVE_AS(agent, object);
	live_names_drop(&object->server->names, &a->name);
	live_names_drop(&object->server->names, &a->paused_reason);
	for (uint32_t i = 0; i < a->pause_count; i++)
		live_names_drop(&object->server->names, &a->pauses[i].reason);
}
