/* Items of lists: what the server says is there. Each is taken over as an event would be, and marked as seen. */
#include "live/live_internal.h"
#include "live/live_items.h"

static int64_t clock_text(struct slice text)
{
	int64_t parts[3], n = 0;
	while (n < 3) {
		const char *colon = text.len > 0 ? memchr(text.ptr, ':', text.len) : NULL;
		struct slice part = colon ? slice_make(text.ptr, (size_t)(colon - text.ptr)) : text;
		if (!slice_to_int(part, &parts[n]) || parts[n] < 0 || parts[n] > 1000000)
			return -1;
		n++;
		if (!colon)
			break;
		text = slice_make(colon + 1, text.len - part.len - 1);
	}
	return n == 3 ? ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * LIVE_SECOND : n == 1 ? parts[0] * LIVE_SECOND : -1;
}

static void put_into_bridge(struct live_server *s, struct live_channel *channel, struct slice id)
{
	if (channel->bridge && (channel->bridge->own || slice_eq(live_name_text(channel->bridge->object.key), id)))
		return;
	if (!channel->bridge && id.len == 0)
		return;
	s->corrected++;
	struct live_bridge *bridge = live_bridge_get(s, id, true);
	if (bridge)
		live_bridge_enter(bridge, channel);
	else
		live_bridge_leave(channel);
}

static void channel(struct live_server *s, const struct live_reader *r)
{
	bool known = live_channel_by_id(s, live_headers_of(r, LIVE_PLAIN, LIVE_H_UNIQUEID)) != NULL;
	struct live_channel *c = live_channel_seen(s, r, LIVE_PLAIN, true);
	if (!c)
		return;
	live_channel_describe(c, r, LIVE_PLAIN);
	struct slice exten = live_headers_get(r, LIVE_H_EXTENSION);
	int64_t age = clock_text(live_headers_get(r, LIVE_H_DURATION));
	struct live_call *call = c->call;
	s->confirmed++;
	if (!c->born && age >= 0 && (!known || s->live->now - age < c->since))
		c->since = s->live->now - age;
	if (exten.len > 0) /* before Asterisk 12 */
		live_names_set(&s->names, &c->exten, exten);
	live_names_set(&s->names, &c->application, live_headers_get(r, LIVE_H_APPLICATION));
	/* Before Asterisk 12 there is no Linkedid, but the other side of the bridge. */
	struct live_channel *other = live_channel_by_id(s, live_headers_get(r, LIVE_H_BRIDGED_UNIQUEID));
	if (other)
		live_merge_join(c, other);
	if (live_headers_has(r, LIVE_H_BRIDGE_ID))
		put_into_bridge(s, c, live_headers_get(r, LIVE_H_BRIDGE_ID));
	call = c->call;
	if (call && call->no_history && c->since < call->started)
		call->started = c->since;
}

static void bridge(struct live_server *s, const struct live_reader *r)
{
	struct live_bridge *b = live_bridge_get(s, live_headers_get(r, LIVE_H_BRIDGE_UNIQUEID), true);
	if (!b)
		return;
	live_bridge_describe(b, r);
	s->confirmed++;
	/* Those of conferences count hidden announcers too. */
	int64_t count = live_headers_int(r, LIVE_H_BRIDGE_CHANNELS, b->count);
	if (!b->conference && count >= 0 && count != b->count)
		live_snapshot_ask(s, LIVE_STEP_BRIDGE, b->object.key);
}

static void bridge_channel(struct live_server *s, const struct live_reader *r)
{
	struct live_channel *c = live_channel_seen(s, r, LIVE_PLAIN, true);
	if (c && s->asked)
		put_into_bridge(s, c, live_name_text(s->asked));
}

static void queue(struct live_server *s, const struct live_reader *r)
{
	struct live_queue *q = live_queue_get(s, live_headers_get(r, LIVE_H_QUEUE), true);
	if (!q)
		return;
	int64_t max = live_headers_int(r, LIVE_H_MAX, 0);
	live_names_set(&s->names, &q->strategy, live_headers_get(r, LIVE_H_STRATEGY));
	q->max = max > 0 && max < UINT32_MAX ? (uint32_t)max : 0;
	s->confirmed++;
}

static void queue_entry(struct live_server *s, const struct live_reader *r)
{
	struct live_queue *q = live_queue_get(s, live_headers_get(r, LIVE_H_QUEUE), true);
	struct live_channel *c = live_channel_get(s, r, LIVE_PLAIN);
	int64_t position = live_headers_int(r, LIVE_H_POSITION, 0), wait = live_headers_int(r, LIVE_H_WAIT, 0);
	int64_t priority = live_headers_int(r, LIVE_H_PRIORITY, 0);
	/* Of a channel that is newer than the list of channels its own events report. */
	if (!q || !c)
		return;
	wait = wait > 0 && wait < INT32_MAX ? wait * LIVE_SECOND : 0;
	struct live_caller *caller = live_queue_join(q, c, position > 0 && position < UINT32_MAX ? (uint32_t)position : 0, s->live->now - wait);
	if (!caller)
		return;
	s->confirmed++;
	caller->priority = priority > 0 && priority < UINT32_MAX ? (uint32_t)priority : 0;
	live_queue_move(caller, position);
}

static void member(struct live_server *s, const struct live_reader *r)
{
	struct live_queue *q = live_queue_get(s, live_headers_get(r, LIVE_H_QUEUE), true);
	if (q && live_member_seen(q, r))
		s->confirmed++;
}

static void parked(struct live_server *s, const struct live_reader *r)
{
	live_parking_event(s, r, LIVE_PARKING_PARK);
	enum live_prefix prefix = live_headers_of(r, LIVE_PARKEE, LIVE_H_CHANNEL).len > 0 ? LIVE_PARKEE : LIVE_PLAIN;
	struct live_channel *c = live_channel_get(s, r, prefix);
	struct live_parked *p = c ? c->parked : NULL;
	int64_t duration = live_headers_int(r, prefix == LIVE_PARKEE ? LIVE_H_PARKING_DURATION : LIVE_H_DURATION, -1);
	if (!p)
		return;
	p->object.seen = s->live->now;
	p->object.suspect = false;
	s->confirmed++;
	/* What is left of the time-out counts from now. */
	if (duration >= 0 && duration < INT32_MAX && p->since == s->live->now) {
		p->since -= duration * LIVE_SECOND;
		p->timeout += p->timeout != 0 ? duration * LIVE_SECOND : 0;
	}
}

static void room(struct live_server *s, const struct live_reader *r)
{
	struct live_conference *c = live_conference_get(s, live_headers_get(r, LIVE_H_CONFERENCE), true);
	if (!c)
		return;
	int64_t marked = live_headers_int(r, LIVE_H_MARKED, -1);
	c->marked = marked >= 0 && marked < INT32_MAX ? (int32_t)marked : -1;
	c->locked = live_headers_true(r, LIVE_H_LOCKED);
	c->muted = live_headers_true(r, LIVE_H_MUTED);
	s->confirmed++;
	live_snapshot_ask(s, LIVE_STEP_ROOM, c->object.key);
}

static void participant(struct live_server *s, const struct live_reader *r)
{
	struct live_conference *c = live_conference_get(s, live_headers_get(r, LIVE_H_CONFERENCE), true);
	struct live_channel *ch = live_channel_get(s, r, LIVE_PLAIN);
	struct live_participant *p = c && ch ? live_conference_join(c, ch) : NULL;
	if (!p)
		return;
	if (ch->bridge && !c->bridge) {
		live_names_set(&s->names, &c->bridge, live_name_text(ch->bridge->object.key));
		ch->bridge->conference = true;
	}
	p->admin = live_headers_true(r, LIVE_H_ADMIN);
	p->marked = live_headers_true(r, LIVE_H_MARKED_USER);
	p->muted = live_headers_true(r, LIVE_H_MUTED);
	p->talking = live_headers_true(r, LIVE_H_TALKING);
	p->waiting = live_headers_true(r, LIVE_H_WAITING);
	s->confirmed++;
}

static void device(struct live_server *s, const struct live_reader *r)
{
	live_endpoint_event(s, r, LIVE_ENDPOINT_DEVICE);
	s->confirmed++;
}

static void contact(struct live_server *s, const struct live_reader *r)
{
	live_endpoint_event(s, r, LIVE_ENDPOINT_CONTACT);
	s->confirmed++;
}

static void peer(struct live_server *s, const struct live_reader *r)
{
	live_endpoint_event(s, r, LIVE_ENDPOINT_ENTRY);
	s->confirmed++;
}

static const struct {
	const char *event;
	void (*take)(struct live_server *s, const struct live_reader *r);
	int step;
} items[] = {
	{ "CoreShowChannel", channel, LIVE_STEP_CHANNELS }, { "Status", channel, LIVE_STEP_STATUS },
	{ "BridgeListItem", bridge, LIVE_STEP_BRIDGES }, { "BridgeInfoChannel", bridge_channel, LIVE_STEP_BRIDGE },
	{ "QueueParams", queue, LIVE_STEP_QUEUES }, { "QueueMember", member, LIVE_STEP_QUEUES },
	{ "QueueEntry", queue_entry, LIVE_STEP_QUEUES }, { "DeviceStateChange", device, LIVE_STEP_DEVICES },
	{ "ContactList", contact, LIVE_STEP_CONTACTS }, { "PeerEntry", peer, LIVE_STEP_PEERS },
	{ "ParkedCall", parked, LIVE_STEP_PARKED }, { "ConfbridgeListRooms", room, LIVE_STEP_ROOMS },
	{ "ConfbridgeList", participant, LIVE_STEP_ROOM },
};
#define FIRST_READER 128u /* behind those of events */

int live_items_step(struct slice event)
{
	for (uint32_t i = 0; i < sizeof items / sizeof *items; i++)
		if (slice_eq_nocase(event, slice_cstr(items[i].event)))
			return items[i].step;
	return -1;
}

void live_items_take(struct live_server *s, const struct message *item)
{
	for (uint32_t i = 0; i < sizeof items / sizeof *items; i++) {
		if (!slice_eq_nocase(item->name, slice_cstr(items[i].event)))
			continue;
		struct live_reader reader = live_headers_read(&s->headers, FIRST_READER + i, item);
		items[i].take(s, &reader);
		return;
	}
}
