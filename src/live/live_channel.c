#include "live/live_internal.h"

#include <stdlib.h>

#include "base/mem.h"

struct slice live_channel_interface(struct slice name)
{
	for (size_t i = name.len; i > 0; i--)
		if (name.ptr[i - 1] == '-')
			return slice_make(name.ptr, i - 1);
	return name;
}

struct slice live_channel_device(struct slice interface)
{
	const char *slash = interface.len > 0 ? memchr(interface.ptr, '/', interface.len) : NULL;
	if (!slash)
		return interface;
	bool local = slice_starts_with_nocase(interface, SLICE("Local/"));
	struct slice device = slice_make(slash + 1, interface.len - (size_t)(slash + 1 - interface.ptr));
	const char *at = local && device.len > 0 ? memchr(device.ptr, '@', device.len) : NULL;
	if (at)
		device.len = (size_t)(at - device.ptr);
	return device;
}

struct live_channel *live_channel_by_id(const struct live_server *s, struct slice uniqueid)
{
	/* Mostly an event is about the same channel as the one before. */
	if (s->latest && slice_eq_short(live_name_text(s->latest->object.key), uniqueid))
		return s->latest;
	return LIVE_AS(channel, live_object_find(s, LIVE_CHANNEL, uniqueid));
}

struct live_channel *live_channel_by_name(const struct live_server *s, struct slice name)
{
	struct live_name *found = live_names_find(&s->names, name);
	return found ? found->channel : NULL;
}

void live_channel_touch(struct live_channel *channel)
{
	struct live_server *s = channel->object.server;
	int64_t now = s->live->now;
	/* The order by time is exact to a second, so that most events leave it alone. */
	if (now - channel->object.seen >= LIVE_SECOND || channel->object.seen <= s->list_began) {
		list_remove(&channel->by_time);
		list_append(&s->by_time, &channel->by_time);
	}
	channel->object.seen = now;
	channel->object.suspect = false;
	s->latest = channel;
}

/* ---- coming and going ---- */

static bool was_recent(const struct live_server *s, struct slice uniqueid)
{
	const struct live_name *name = live_names_find(&s->names, uniqueid);
	return name && name->recent > 0;
}

static void remember(struct live_server *s, struct live_name *id)
{
	if (s->recent_count == LIVE_RECENT) {
		struct live_recent *oldest = &s->recent[s->recent_first];
		oldest->id->recent--;
		live_names_drop(&s->names, &oldest->id);
		s->recent_first = (s->recent_first + 1) % LIVE_RECENT;
		s->recent_count--;
	}
	s->recent[(s->recent_first + s->recent_count++) % LIVE_RECENT] = (struct live_recent){ live_names_keep(id), s->live->now };
	id->recent++;
}

static void bear_name(struct live_channel *channel, struct slice name)
{
	struct live_server *s = channel->object.server;
	if (channel->name && channel->name->channel == channel)
		channel->name->channel = NULL;
	live_names_set(&s->names, &channel->name, name);
	if (channel->name)
		channel->name->channel = channel;
}

/* The halves of a Local channel end in ";1" and ";2". */
static struct live_channel *find_pair(struct live_channel *channel)
{
	struct slice name = live_name_text(channel->name);
	char other[LIVE_TEXT_MAX + 1];
	memcpy(other, name.ptr, name.len);
	other[name.len - 1] = name.ptr[name.len - 1] == '1' ? '2' : '1';
	return live_channel_by_name(channel->object.server, slice_make(other, name.len));
}

void live_channel_pair(struct live_channel *one, struct live_channel *two)
{
	if (one == two || one->pair == two)
		return;
	if (one->pair)
		one->pair->pair = NULL;
	if (two->pair)
		two->pair->pair = NULL;
	one->pair = two;
	two->pair = one;
	if (one->bridge)
		live_bridge_changed(one->bridge);
}

/* Of "DAHDI/i1/5550199-1f" and "WebSocket/line/0x55aa" what stays the same in the next call. Elsewhere what stands behind a second
 * slash is a line's own ("MGCP/aaln/1@gateway"). */
static struct slice endpoint_of(struct slice name)
{
	struct slice interface = live_channel_interface(name);
	if (!slice_starts_with(name, SLICE("DAHDI/i")) && !slice_starts_with(name, SLICE("WebSocket/")))
		return interface;
	struct slice device = live_channel_device(interface);
	const char *slash = device.len > 0 ? memchr(device.ptr, '/', device.len) : NULL;
	return slash ? slice_make(interface.ptr, (size_t)(slash - interface.ptr)) : interface;
}

static void forget_holder(struct live_channel *channel)
{
	if (channel->endpoint && channel->endpoint->holder == channel)
		channel->endpoint->holder = NULL;
}

static void settle_name(struct live_channel *channel)
{
	struct slice name = live_name_text(channel->name);
	struct live_server *s = channel->object.server;
	bool local = slice_starts_with(name, SLICE("Local/")) && name.len > 2 && name.ptr[name.len - 2] == ';';
	if (channel->bridge) { /* renamed while it is in one */
		channel->bridge->locals += local - channel->local;
		channel->bridge->parties += channel->local - local;
	}
	channel->local = local;
	channel->reviewed = false;
	if (local) {
		struct live_channel *other = find_pair(channel);
		if (other && other->local)
			live_channel_pair(channel, other);
		return;
	}
	struct live_endpoint *endpoint = memchr(name.ptr, '/', name.len) ? live_endpoint_get(s, endpoint_of(name), true) : NULL;
	if (endpoint == channel->endpoint)
		return;
	forget_holder(channel);
	if (channel->endpoint)
		channel->endpoint->channels--;
	channel->endpoint = endpoint;
	if (endpoint)
		endpoint->channels++;
}

void live_channel_rename(struct live_channel *channel, struct slice name)
{
	if (name.len == 0 || slice_eq_short(live_name_text(channel->name), name))
		return;
	bear_name(channel, name);
	settle_name(channel);
}

static struct live_channel *make(struct live_server *s, struct slice uniqueid, struct slice name)
{
	/* Names are unique among living channels: who bore it is gone, as after a restart of the exchange. */
	struct live_channel *before = live_channel_by_name(s, name);
	if (before) {
		live_contradiction(s);
		live_channel_end(before, true);
	}
	if (!live_object_fits(s, LIVE_CHANNEL, s->sets[LIVE_CHANNEL].count, s->live->options.limits.channels, uniqueid) ||
	    !live_object_fits(s, LIVE_CHANNEL, 0, 1, name))
		return NULL;
	struct live_channel *channel = mem_zalloc(sizeof *channel);
	live_object_init(&channel->object, LIVE_CHANNEL, s, live_names_intern(&s->names, uniqueid));
	channel->since = s->live->now;
	channel->cause = UINT8_MAX;
	list_init(&channel->in_call);
	list_init(&channel->in_bridge);
	list_init(&channel->by_time);
	list_append(&s->by_time, &channel->by_time);
	bear_name(channel, name);
	settle_name(channel);
	return channel;
}

void live_channel_hold(struct live_channel *channel, bool hold)
{
	int64_t now = channel->object.server->live->now;
	if (hold == (channel->held_since != 0))
		return;
	if (hold) {
		channel->held_since = now;
		if (channel->endpoint)
			channel->endpoint->holder = channel;
	} else {
		forget_holder(channel);
		if (channel->call)
			channel->call->hold += now - channel->held_since;
		channel->held_since = 0;
	}
	if (channel->call)
		channel->call->holding += hold ? 1 : UINT32_MAX;
	if (channel->bridge) {
		channel->bridge->holding += hold ? 1 : UINT32_MAX;
		live_bridge_changed(channel->bridge);
	}
	if (channel->call)
		live_call_told(channel->call, hold ? LIVE_CALL_HELD : LIVE_CALL_UNHELD);
}

void live_channel_take_place(struct live_channel *channel, struct live_channel *of)
{
	if (of == channel || of->call != channel->call)
		return;
	if (of->in_queue)
		live_queue_pass(of->in_queue, channel);
	if (of->in_room)
		live_conference_pass(of->in_room, channel);
	if (of->bridge) {
		struct live_bridge *bridge = of->bridge;
		live_bridge_enter(bridge, channel);
		live_bridge_leave(of);
	}
}

void live_channel_end(struct live_channel *channel, bool unseen)
{
	struct live_server *s = channel->object.server;
	if (unseen)
		s->stats.unseen++;
	live_conference_channel_ended(channel);
	if (channel->parked)
		live_parking_remove(channel->parked);
	live_bridge_leave(channel);
	if (channel->held_since != 0) {
		if (channel->call) {
			channel->call->hold += s->live->now - channel->held_since;
			channel->call->holding--;
		}
		channel->held_since = 0;
	}
	live_queue_channel_ended(channel, unseen);
	if (channel->pair) {
		channel->pair->pair = NULL;
		if (channel->pair->bridge)
			live_bridge_changed(channel->pair->bridge);
		channel->pair = NULL;
	}
	if (channel->call) {
		live_result_declined(channel->call, channel);
		if (unseen && channel->call->channel_count == 1) /* nobody is left who could say how it ended */
			channel->call->result = LIVE_RESULT_UNSEEN;
		live_call_leave(channel);
	}
	forget_holder(channel);
	if (channel->endpoint)
		channel->endpoint->channels--;
	channel->endpoint = NULL;
	list_remove(&channel->by_time);
	if (s->latest == channel)
		s->latest = NULL;
	if (channel->name && channel->name->channel == channel)
		channel->name->channel = NULL;
	remember(s, channel->object.key);
	live_object_remove(&channel->object);
}

void live_channel_free(struct live_object *object)
{
	struct live_channel *c = LIVE_AS(channel, object);
	struct live_names *names = &object->server->names;
	struct live_name **fields[] = {
		&c->name, &c->linkedid, &c->number, &c->caller_name, &c->connected_number, &c->connected_name, &c->context, &c->exten,
		&c->application, &c->account, &c->recording, &c->dialer, &c->takes,
	};
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		live_names_drop(names, fields[i]);
	for (uint32_t i = 0; c->variables && i < c->variables->of->count; i++)
		live_names_drop(names, &c->variables->values[i]);
	if (c->variables)
		live_variables_drop(&c->variables->of);
	free(c->variables);
}

/* ---- what events say of it ---- */

/* It rings, rings no more, or is up. */
static void review_state(struct live_channel *channel)
{
	struct live_call *call = channel->call;
	if (channel->reviewed) /* most events only repeat it */
		return;
	if (!call)
		call = channel->state == LIVE_IS_UP ? live_call_own(channel) : NULL;
	if (!call)
		return;
	/* Without Linkedids a leg that rings may be about to be joined to who calls it (Q70). */
	if (call->undecided && channel->state != LIVE_DOWN && (channel->linkedid || channel->state != LIVE_RINGING))
		live_call_decide(channel, channel->state != LIVE_RING);
	if (channel->state == LIVE_RINGING && !channel->rang && !channel->local) {
		channel->rang = true;
		call->ringing++;
	} else if (channel->state != LIVE_RINGING && channel->rang) {
		channel->rang = false;
		call->ringing--;
		/* Somebody answers: what rang has its end, also where other phones go on ringing for a moment. */
		if (channel->state == LIVE_IS_UP && call->ring_from != 0 && call->ring_to == 0 && !channel->agent)
			call->ring_to = channel->object.server->live->now;
	}
	channel->reviewed = !call->undecided;
	live_call_touch(call);
}

static void take_state(struct live_channel *channel, const struct live_reader *r, enum live_prefix prefix)
{
	int64_t state = live_headers_int(r, (unsigned)prefix * LIVE_CHANNEL_HEADERS + LIVE_H_STATE, -1);
	if (state < 0 || state > 10 || channel->state == state)
		return;
	channel->state = (uint8_t)state;
	channel->reviewed = false;
}

/* Numbers, names and places, which change with events of their own. */
static void take_texts(struct live_channel *channel, const struct live_reader *r, enum live_prefix prefix)
{
	static const struct {
		size_t field;
		enum live_channel_header header;
	} texts[] = {
		{ offsetof(struct live_channel, number), LIVE_H_NUMBER }, { offsetof(struct live_channel, caller_name), LIVE_H_NAME },
		{ offsetof(struct live_channel, connected_number), LIVE_H_CONNECTED_NUMBER },
		{ offsetof(struct live_channel, connected_name), LIVE_H_CONNECTED_NAME },
		{ offsetof(struct live_channel, account), LIVE_H_ACCOUNT }, { offsetof(struct live_channel, context), LIVE_H_CONTEXT },
		{ offsetof(struct live_channel, exten), LIVE_H_EXTEN },
	};
	struct live_names *names = &channel->object.server->names;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		unsigned header = (unsigned)prefix * LIVE_CHANNEL_HEADERS + texts[i].header;
		struct live_name **field = (struct live_name **)(void *)((char *)channel + texts[i].field);
		struct slice value = live_headers_get(r, header);
		/* Older servers leave headers out; an empty one says that it is empty. */
		if (value.len > 0 || (*field && live_headers_has(r, header)))
			live_names_set(names, field, value);
	}
}

static struct live_channel *find(struct live_server *s, const struct live_reader *r, enum live_prefix prefix)
{
	struct slice uniqueid = live_headers_of(r, prefix, LIVE_H_UNIQUEID);
	if (uniqueid.len > 0)
		return live_channel_by_id(s, uniqueid);
	return live_channel_by_name(s, live_headers_of(r, prefix, LIVE_H_CHANNEL));
}

/* The event's Linkedid is the channel's from now on. */
static void take_linkedid(struct live_channel *channel, const struct live_reader *r, enum live_prefix prefix)
{
	struct slice linkedid = live_headers_of(r, prefix, LIVE_H_LINKEDID);
	if (linkedid.len > 0 && !slice_eq_short(linkedid, live_name_text(channel->linkedid)))
		live_merge_link(channel, linkedid);
}

struct live_channel *live_channel_get(struct live_server *s, const struct live_reader *r, enum live_prefix prefix)
{
	struct live_channel *channel = find(s, r, prefix);
	if (channel) {
		live_channel_touch(channel);
		take_linkedid(channel, r, prefix);
	}
	return channel;
}

struct live_channel *live_channel_seen(struct live_server *s, const struct live_reader *r, enum live_prefix prefix, bool make_it)
{
	struct slice uniqueid = live_headers_of(r, prefix, LIVE_H_UNIQUEID), name = live_headers_of(r, prefix, LIVE_H_CHANNEL);
	struct live_channel *channel = uniqueid.len > 0 ? live_channel_by_id(s, uniqueid) : live_channel_by_name(s, name);
	bool made = false;
	if (!channel) {
		if (!make_it || uniqueid.len == 0 || name.len == 0 || was_recent(s, uniqueid))
			return NULL;
		live_contradiction(s);
		channel = make(s, uniqueid, name);
		if (!channel)
			return NULL;
		made = true;
	}
	live_channel_touch(channel);
	live_channel_rename(channel, name);
	take_state(channel, r, prefix);
	if (made)
		take_texts(channel, r, prefix);
	take_linkedid(channel, r, prefix);
	review_state(channel);
	if (made) {
		live_call_own(channel);
		if (channel->call) {
			channel->call->incomplete = true;
			if (channel->call->channel_count == 1)
				live_call_found(channel->call);
		}
	}
	return channel;
}

void live_channel_describe(struct live_channel *channel, const struct live_reader *r, enum live_prefix prefix)
{
	if (channel)
		take_texts(channel, r, prefix);
}

static void new_channel(struct live_server *s, const struct live_reader *r)
{
	struct slice uniqueid = live_headers_of(r, LIVE_PLAIN, LIVE_H_UNIQUEID), name = live_headers_of(r, LIVE_PLAIN, LIVE_H_CHANNEL);
	struct live_channel *channel = live_channel_by_id(s, uniqueid);
	if (uniqueid.len == 0 || name.len == 0)
		return;
	/* A list may have told of it before its event came. Twice born, it is another one: the exchange was restarted. */
	if (channel && (channel->born || !slice_eq(live_name_text(channel->name), name))) {
		live_contradiction(s);
		live_channel_end(channel, true);
		live_call_settle(s); /* its call ends before the other one's begins */
		channel = NULL;
	}
	if (!channel)
		channel = make(s, uniqueid, name);
	if (!channel)
		return;
	channel->born = true;
	live_channel_touch(channel);
	take_state(channel, r, LIVE_PLAIN);
	take_texts(channel, r, LIVE_PLAIN);
	struct slice linkedid = live_headers_of(r, LIVE_PLAIN, LIVE_H_LINKEDID);
	if (linkedid.len > 0 && !slice_eq(linkedid, live_name_text(channel->linkedid)))
		live_merge_link(channel, linkedid);
	else if (linkedid.len == 0)
		live_call_own(channel);
	if (!channel->call)
		return;
	live_call_began(channel);
	live_call_touch(channel->call);
}

static int place_of(const struct live_variable_names *names, struct slice name)
{
	for (uint32_t i = 0; i < names->count; i++)
		if (slice_eq(slice_cstr(names->names[i]), name))
			return (int)i;
	return -1;
}

static void set_variable(struct live_channel *channel, struct slice name, struct slice value)
{
	struct live_variable_names *names = channel->object.server->live->variables;
	if (!channel->variables) {
		channel->variables = mem_zalloc(sizeof *channel->variables + names->count * sizeof channel->variables->values[0]);
		channel->variables->of = names;
		names->refs++;
	}
	int i = place_of(channel->variables->of, name);
	if (i >= 0)
		live_names_set(&channel->object.server->names, &channel->variables->values[i], value);
}

/* Those that meaning_of() knows. */
static const char *const meaningful[] = { "BRIDGEPEER", "DIALSTATUS", "MIXMONITOR_FILENAME", "QUEUESTATUS" };
#define MEANINGFUL (uint32_t)(sizeof meaningful / sizeof *meaningful)

const char *live_variable_name(const struct live *live, uint32_t index)
{
	if (index < MEANINGFUL)
		return meaningful[index];
	return index - MEANINGFUL < live->variables->count ? live->variables->names[index - MEANINGFUL] : NULL;
}

enum { NONE, DIAL_STATUS, QUEUE_STATUS, RECORDING, PEER, KEPT };

/* What a variable means. Most mean nothing, and half of all events set one: nothing is looked up for those. BRIDGEPEER is
 * often the first to show a new Linkedid (Q63). */
static int meaning_of(const struct live *live, struct slice name)
{
	switch (name.len) {
	case 10:
		if (slice_eq(name, SLICE("DIALSTATUS")))
			return DIAL_STATUS;
		if (slice_eq(name, SLICE("BRIDGEPEER")))
			return PEER;
		break;
	case 11:
		if (slice_eq(name, SLICE("QUEUESTATUS")))
			return QUEUE_STATUS;
		break;
	case 19:
		if (slice_eq(name, SLICE("MIXMONITOR_FILENAME")))
			return RECORDING;
		break;
	default:
		break;
	}
	return place_of(live->variables, name) >= 0 ? KEPT : NONE;
}

static void variable(struct live_server *s, const struct live_reader *r)
{
	struct slice name = live_headers_get(r, LIVE_H_VARIABLE);
	int meaning = meaning_of(s->live, name);
	struct live_channel *channel = meaning == NONE ? NULL : live_channel_get(s, r, LIVE_PLAIN);
	if (!channel)
		return;
	struct slice value = live_headers_get(r, LIVE_H_VALUE);
	switch (meaning) {
	case PEER:
		break;
	case DIAL_STATUS:
		/* For an agent the queue tries the next one. ANSWER comes before he who answers has confirmed the call, too (Q103). */
		if (channel->call && !channel->agent && !slice_eq(value, SLICE("ANSWER")))
			live_result_dial_status(channel->call, value);
		break;
	case QUEUE_STATUS:
		live_queue_status(channel, value);
		break;
	case RECORDING:
		live_names_set(&s->names, &channel->recording, value);
		break;
	default:
		set_variable(channel, name, value);
	}
}

/* A full or empty queue says nothing but QUEUESTATUS: which one it is stands here (Q67). */
static void enters_queue(struct live_call *call, struct slice data)
{
	const char *comma = data.len > 0 ? memchr(data.ptr, ',', data.len) : NULL;
	live_call_set(call, &call->queue, comma ? slice_make(data.ptr, (size_t)(comma - data.ptr)) : data);
}

static void new_exten(struct live_server *s, const struct live_reader *r)
{
	struct live_channel *channel = live_channel_seen(s, r, LIVE_PLAIN, true);
	if (!channel)
		return;
	struct slice application = live_headers_get(r, LIVE_H_APPLICATION), exten = live_headers_get(r, LIVE_H_EXTENSION);
	struct live_call *call = channel->call;
	live_names_set(&s->names, &channel->application, application);
	live_names_set(&s->names, &channel->context, live_headers_of(r, LIVE_PLAIN, LIVE_H_CONTEXT));
	if (exten.len > 0)
		live_names_set(&s->names, &channel->exten, exten);
	if (slice_eq(application, SLICE("AppDial2")))
		live_call_decide(channel, true);
	else if (slice_eq(application, SLICE("AppQueue")))
		channel->agent = true;
	if (!call)
		call = live_call_own(channel);
	if (!call)
		return;
	if (channel->in_queue && channel->in_queue->left) {
		if (!slice_eq(exten, SLICE("h")))
			live_queue_gone_on(channel->in_queue);
		else if (channel->in_queue->abandoned && !call->shut_down) /* an analog line has hung up (Q102) */
			live_queue_left(channel->in_queue, LIVE_LEFT_ABANDONED);
	}
	if (slice_eq(application, SLICE("ConfBridge")))
		call->conference_tried = true;
	else if (slice_eq(application, SLICE("Queue")))
		enters_queue(call, live_headers_get(r, LIVE_H_APP_DATA));
	/* Where a Newchannel has no number yet, or an Originate goes on (Q73). */
	if (!call->undecided && !call->to && !call->no_history && call->caller == channel && exten.len > 1 &&
	    (channel->originated ? channel->state == LIVE_IS_UP : !channel->dialled))
		live_call_set(call, &call->to, exten);
}

static void hangup_request(struct live_server *s, const struct live_reader *r)
{
	struct live_channel *channel = live_channel_get(s, r, LIVE_PLAIN);
	if (!channel)
		return;
	int64_t cause = live_headers_int(r, LIVE_H_CAUSE, 0);
	channel->cause = cause >= 0 && cause < UINT8_MAX ? (uint8_t)cause : 0;
	struct live_call *call = channel->call;
	if (!call || channel->local)
		return;
	if (call->ended_by == 0)
		call->ended_by = channel == call->caller ? 1 : channel->agent ? 3 : 2;
	/* A caller who is told busy or congestion is hung up too: that is no giving up (Q92). */
	if (channel == call->caller || (!channel->agent && call->caller && call->caller->local))
		call->caller_hung |= channel->cause == 0 || channel->cause == 16 || channel->cause == 127;
}

static void hangup(struct live_server *s, const struct live_reader *r)
{
	struct live_channel *channel = find(s, r, LIVE_PLAIN);
	if (!channel)
		return;
	struct slice linkedid = live_headers_of(r, LIVE_PLAIN, LIVE_H_LINKEDID);
	if (linkedid.len > 0 && channel->linkedid && !slice_eq(linkedid, live_name_text(channel->linkedid)))
		live_merge_link(channel, linkedid);
	if (!channel->call)
		live_call_own(channel);
	if (channel->call) {
		int64_t cause = live_headers_int(r, LIVE_H_CAUSE, 0);
		live_result_hangup(channel->call, channel, cause > 0 && cause < 255 ? (int)cause : 0);
	}
	live_channel_end(channel, false);
}

void live_channel_event(struct live_server *s, const struct live_reader *r, int what)
{
	struct live_channel *channel;
	switch (what) {
	case LIVE_CHANNEL_NEW:
		new_channel(s, r);
		break;
	case LIVE_CHANNEL_STATE:
		live_channel_seen(s, r, LIVE_PLAIN, true);
		break;
	case LIVE_CHANNEL_CALLER_ID:
		/* One comes for a Local half that has already hung up. */
		live_channel_describe(live_channel_seen(s, r, LIVE_PLAIN, false), r, LIVE_PLAIN);
		break;
	case LIVE_CHANNEL_EXTEN:
		new_exten(s, r);
		break;
	case LIVE_CHANNEL_VARIABLE:
		variable(s, r);
		break;
	case LIVE_CHANNEL_REQUEST:
		hangup_request(s, r);
		break;
	case LIVE_CHANNEL_SOFT:
		/* Its Cause is a set of flags (Q91); 4: the exchange is shutting down. */
		channel = live_channel_get(s, r, LIVE_PLAIN);
		if (channel && channel->call && (live_headers_int(r, LIVE_H_CAUSE, 0) & 4))
			channel->call->shut_down = true;
		break;
	case LIVE_CHANNEL_HANGUP:
		hangup(s, r);
		break;
	case LIVE_CHANNEL_HOLD:
	case LIVE_CHANNEL_UNHOLD:
		/* Before Asterisk 12 an Unhold is a Hold whose Status is Off. */
		channel = live_channel_get(s, r, LIVE_PLAIN);
		if (channel)
			live_channel_hold(channel, what == LIVE_CHANNEL_HOLD && !slice_eq_nocase(live_headers_get(r, LIVE_H_STATUS), SLICE("Off")));
		break;
	default:
		channel = live_channel_get(s, r, LIVE_PLAIN);
		if (channel && what == LIVE_CHANNEL_STOP_RECORD)
			live_names_set(&s->names, &channel->recording, SLICE(""));
		else if (channel && !channel->recording)
			live_names_set(&s->names, &channel->recording, SLICE("yes"));
	}
}
