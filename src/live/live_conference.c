#include "live/live_internal.h"

#include "base/mem.h"

struct live_conference *live_conference_get(struct live_server *s, struct slice name, bool make)
{
	struct live_conference *conference = LIVE_AS(conference, live_object_find(s, LIVE_CONFERENCE, name));
	if (conference) {
		conference->object.seen = s->live->now;
		conference->object.suspect = false;
		return conference;
	}
	if (!make || !live_object_fits(s, LIVE_CONFERENCE, s->sets[LIVE_CONFERENCE].count, s->live->options.limits.conferences, name))
		return NULL;
	conference = mem_zalloc(sizeof *conference);
	map_init(&conference->by_id, false);
	conference->since = s->live->now;
	conference->marked = -1;
	live_object_init(&conference->object, LIVE_CONFERENCE, s, live_names_intern(&s->names, name));
	return conference;
}

void live_conference_mark(struct live_channel *channel, bool in)
{
	struct live_call *call = channel->call;
	if (channel->in_conference == in)
		return;
	channel->in_conference = in;
	if (!call)
		return;
	call->in_conference += in ? 1 : UINT32_MAX;
	call->conferred |= in;
	live_clock_run(&call->conference, call->in_conference > 0, channel->object.server->live->now);
	live_call_touch(call);
}

struct live_participant *live_conference_join(struct live_conference *conference, struct live_channel *channel)
{
	struct live_server *s = conference->object.server;
	struct slice id = live_name_text(channel->object.key);
	struct live_participant *p = map_get(&conference->by_id, id);
	if (p) {
		p->object.seen = s->live->now;
		p->object.suspect = false;
		return p;
	}
	if (channel->in_room)
		live_conference_leave(channel->in_room);
	if (!live_object_fits(s, LIVE_PARTICIPANT, s->parts[LIVE_PARTICIPANT], s->live->options.limits.channels, id))
		return NULL;
	p = mem_zalloc(sizeof *p);
	live_object_init(&p->object, LIVE_PARTICIPANT, s, live_names_keep(channel->object.key));
	p->object.serial = live_set_add(&conference->participants, &p->object);
	p->conference = conference;
	p->is = channel;
	channel->in_room = p;
	p->since = s->live->now;
	live_names_set(&s->names, &p->channel, live_name_text(channel->name));
	live_names_set(&s->names, &p->number, live_name_text(channel->number));
	live_names_set(&s->names, &p->name, live_name_text(channel->caller_name));
	map_set(&conference->by_id, id, p);
	s->parts[LIVE_PARTICIPANT]++;
	live_conference_mark(channel, true);
	live_report(s, LIVE_CONFERENCE_JOINED, &p->object, NULL);
	return p;
}

void live_conference_leave(struct live_participant *p)
{
	struct live_conference *conference = p->conference;
	struct live_server *s = p->object.server;
	struct live_channel *channel = p->is;
	live_report(s, LIVE_CONFERENCE_LEFT, &p->object, NULL);
	live_set_remove(&conference->participants, p->object.serial);
	map_remove(&conference->by_id, live_name_text(p->object.key));
	s->parts[LIVE_PARTICIPANT]--;
	p->conference = NULL;
	p->is = NULL;
	channel->in_room = NULL;
	live_object_remove(&p->object);
	live_conference_mark(channel, false);
}

void live_conference_pass(struct live_participant *p, struct live_channel *channel)
{
	struct live_participant *next = live_conference_join(p->conference, channel);
	if (next && next != p) {
		next->admin = p->admin;
		next->marked = p->marked;
		next->muted = p->muted;
		next->waiting = p->waiting;
	}
	live_conference_leave(p);
}

void live_conference_channel_ended(struct live_channel *channel)
{
	if (channel->in_room)
		live_conference_leave(channel->in_room);
	live_conference_mark(channel, false);
}

void live_conference_end(struct live_conference *conference)
{
	uint64_t at = 0;
	for (struct live_object *o; (o = live_set_next(&conference->participants, &at));)
		live_conference_leave(LIVE_AS(participant, o));
	map_close(&conference->by_id);
	live_set_close(&conference->participants);
	live_object_remove(&conference->object);
}

void live_conference_free(struct live_object *object)
{
	live_names_drop(&object->server->names, &LIVE_AS(conference, object)->bridge);
}

void live_conference_free_participant(struct live_object *object)
{
	struct live_participant *p = LIVE_AS(participant, object);
	live_names_drop(&object->server->names, &p->channel);
	live_names_drop(&object->server->names, &p->number);
	live_names_drop(&object->server->names, &p->name);
}

/* ---- events ---- */

/* ConfBridge's, or MeetMe's of older servers. */
static struct slice name_of(const struct live_reader *r)
{
	struct slice name = live_headers_get(r, LIVE_H_CONFERENCE);
	return name.len > 0 ? name : live_headers_get(r, LIVE_H_MEETME);
}

static void joined(struct live_conference *conference, struct live_server *s, const struct live_reader *r)
{
	struct live_channel *channel = live_channel_seen(s, r, LIVE_PLAIN, true);
	struct live_participant *p = channel ? live_conference_join(conference, channel) : NULL;
	if (!p)
		return;
	p->admin = live_headers_true(r, LIVE_H_ADMIN);
	p->muted = live_headers_true(r, LIVE_H_MUTED);
}

void live_conference_event(struct live_server *s, const struct live_reader *r, int what)
{
	struct live_conference *conference = live_conference_get(s, name_of(r), what == LIVE_CONFERENCE_START || what == LIVE_CONFERENCE_JOIN);
	if (!conference)
		return;
	struct slice id = live_headers_get(r, LIVE_H_BRIDGE_UNIQUEID);
	if (id.len > 0 && !conference->bridge) {
		struct live_bridge *bridge = live_bridge_get(s, id, true);
		live_names_set(&s->names, &conference->bridge, id);
		if (bridge) {
			bridge->conference = true;
			live_bridge_describe(bridge, r);
		}
	}
	struct live_participant *p = map_get(&conference->by_id, live_headers_of(r, LIVE_PLAIN, LIVE_H_UNIQUEID));
	switch (what) {
	case LIVE_CONFERENCE_JOIN:
		joined(conference, s, r);
		break;
	case LIVE_CONFERENCE_LEAVE:
		live_channel_seen(s, r, LIVE_PLAIN, false);
		if (p)
			live_conference_leave(p);
		break;
	case LIVE_CONFERENCE_END:
		live_conference_end(conference);
		break;
	case LIVE_CONFERENCE_MUTE:
	case LIVE_CONFERENCE_UNMUTE:
		if (p)
			p->muted = what == LIVE_CONFERENCE_MUTE && !slice_eq_nocase(live_headers_get(r, LIVE_H_STATUS), SLICE("off")); /* MeetMe says which */
		break;
	case LIVE_CONFERENCE_TALKING:
		if (p)
			p->talking = live_headers_true(r, LIVE_H_TALKING_STATUS) || live_headers_true(r, LIVE_H_STATUS);
		break;
	case LIVE_CONFERENCE_RECORD:
	case LIVE_CONFERENCE_STOP_RECORD:
		conference->recording = what == LIVE_CONFERENCE_RECORD;
		break;
	default:
		break;
	}
}
