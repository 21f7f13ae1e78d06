/* Fields with fixed words, so that a filter on another one is refused instead of never fitting. What comes from Asterisk (devices'
 * states, names, technologies) has none: it may have a word that is not known here. */
#include "live/live_fields.h"

#include <stdio.h>

#include "ami/catalogue.h"

const char *const live_channel_states[] = {
	"down", "reserved", "off_hook", "dialing", "ring", "ringing", "up", "busy", "dialing_off_hook", "pre_ring", "mute", NULL,
};

const char *const live_call_states[LIVE_CALL_STATES + 1] = { "new", "ringing", "queued", "up", "held", "parked", "conference", "ended", NULL };

const char *const live_results[LIVE_RESULTS + 1] = {
	NULL, "answered", "busy", "no_answer", "cancelled", "congestion", "unreachable", "rejected", "abandoned", "timeout",
	"failed", "merged", "unseen", NULL,
};

const char *const live_kinds[LIVE_KINDS + 1] = {
	"channel", "call", "bridge", "conference", "lot", "queue", "agent", "endpoint", "participant", "parked", "caller", "member", "wait", NULL,
};

const char *const live_directions[] = { NULL, "in", "out", "internal", NULL };
const char *const live_enders[] = { NULL, "caller", "callee", "agent", NULL };

const char *const live_lefts[LIVE_LEFTS + 1] = {
	NULL, "answered", "abandoned", "timeout", "joinempty", "leaveempty", "redirected", "transferred", "unseen", NULL,
};

static const char *const truths[] = { "true", "false", NULL };

static const struct {
	enum live_kind kind;
	const char *field;
	const char *const *words;
} fixed[] = {
	{ LIVE_CHANNEL, "state", live_channel_states },     { LIVE_CHANNEL, "held", truths },
	{ LIVE_CALL, "state", live_call_states },           { LIVE_CALL, "result", live_results + 1 },
	{ LIVE_CALL, "direction", live_directions + 1 },    { LIVE_CALL, "ended_by", live_enders + 1 },
	{ LIVE_CALL, "incomplete", truths },                { LIVE_CONFERENCE, "locked", truths },
	{ LIVE_CONFERENCE, "muted", truths },               { LIVE_CONFERENCE, "recording", truths },
	{ LIVE_PARTICIPANT, "admin", truths },              { LIVE_PARTICIPANT, "marked", truths },
	{ LIVE_PARTICIPANT, "muted", truths },              { LIVE_PARTICIPANT, "talking", truths },
	{ LIVE_PARTICIPANT, "waiting", truths },            { LIVE_CALLER, "reason", live_lefts + 1 },
	{ LIVE_WAIT, "reason", live_lefts + 1 },            { LIVE_MEMBER, "paused", truths },
	{ LIVE_MEMBER, "in_call", truths },                 { LIVE_MEMBER, "dynamic", truths },
	{ LIVE_AGENT, "state", live_agent_states },         { LIVE_ENDPOINT, "endpoint", truths },
	{ LIVE_ENDPOINT, "registered", truths },            { LIVE_ENDPOINT, "trunk", truths },
};

const char *const *live_field_words(enum live_kind kind, int field)
{
	const char *name = live_field_name(kind, (uint32_t)field);

	for (size_t i = 0; name && i < sizeof fixed / sizeof *fixed; i++)
		if (fixed[i].kind == kind && strcmp(fixed[i].field, name) == 0)
			return fixed[i].words;
	return NULL;
}

void live_words_fault(const char *const *words, struct slice field, struct slice value, char text[LIVE_FAULT_MAX])
{
	struct catalogue_nearest nearest;
	int n;

	catalogue_nearest_begin(&nearest);
	for (const char *const *w = words; *w; w++)
		catalogue_nearest_try(&nearest, value, *w);
	bool close = nearest.name && nearest.distance * 2 <= value.len;
	n = snprintf(text, LIVE_FAULT_MAX, "%.*s is never '%.*s'%s%s%s; it can be", SLICE_ARG(field), (int)(value.len < 60 ? value.len : 60), value.ptr,
	             close ? " (did you mean " : "", close ? nearest.name : "", close ? "?)" : "");
	for (const char *const *w = words; *w && n < LIVE_FAULT_MAX; w++)
		n += snprintf(text + n, (size_t)(LIVE_FAULT_MAX - n), "%s%s", w == words ? " " : ", ", *w);
}

bool live_value_fits(enum live_kind kind, int field, struct slice value, char why[LIVE_FAULT_MAX])
{
	const char *const *words = live_field_words(kind, field);
	struct slice name = live_field_text(kind, (uint32_t)field);

	if (live_field_table(kind, (uint32_t)field) != LIVE_NIL) {
		snprintf(why, LIVE_FAULT_MAX, "%.*s is a list, and a filter compares single values", SLICE_ARG(name));
		return false;
	}
	for (const char *const *w = words; w && *w; w++)
		if (slice_eq(value, slice_cstr(*w)))
			return true;
	if (words)
		live_words_fault(words, name, value, why);
	return !words;
}

const char *const *live_change_reasons(enum live_change_kind kind)
{
	static const char *const refused[] = { "full", "joinempty", NULL }, *const member[] = { "added", "removed", "paused", "unpaused", "state", NULL },
	                  *const agent[] = { "state", "missed", NULL }, *const endpoint[] = { "registered", "device", "contact", "messages", NULL },
	                  *const synced[] = { "session", "gap", "contradiction", "asked", NULL };
	switch (kind) {
	case LIVE_QUEUE_LEFT: return live_lefts + 1;
	case LIVE_QUEUE_REFUSED: return refused;
	case LIVE_QUEUE_MEMBER: return member;
	case LIVE_AGENT_CHANGED: return agent;
	case LIVE_ENDPOINT_CHANGED: return endpoint;
	case LIVE_SYNCED: return synced;
	case LIVE_OVERFLOW: return live_kinds;
	default: return NULL;
	}
}
