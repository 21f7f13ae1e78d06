/* When to ask for which list, and what its end means.
 *
 *   session or gap or contradiction -> wanted -> first pass: every list of `steps` that the server has, one at a time
 *   -> synced; something was missing -> grace -> second pass: those lists again; still missing: it is no more
 *
 * An event never stands inside a list, and those right behind it may be older than it (Q22). So what a list lacks is only
 * suspected until a second one, `grace` later, lacks it too and no event has named it in between.
 */
#include "live/live_internal.h"

#include "ami/catalogue.h"
#include "live/live_items.h"

static const struct {
	const char *action;
	const char *header;   /* whose value is what is asked about */
	unsigned part;
	bool each;            /* only for what stands in `asks` */
} steps[LIVE_STEPS] = {
	[LIVE_STEP_COMMANDS] = { "ListCommands", NULL, 0, false },
	[LIVE_STEP_CHANNELS] = { "CoreShowChannels", NULL, LIVE_PART_CHANNELS, false },
	[LIVE_STEP_BRIDGES] = { "BridgeList", NULL, LIVE_PART_BRIDGES, false },
	[LIVE_STEP_QUEUES] = { "QueueStatus", NULL, LIVE_PART_QUEUES, false },
	[LIVE_STEP_DEVICES] = { "DeviceStateList", NULL, LIVE_PART_DEVICES, false },
	[LIVE_STEP_CONTACTS] = { "PJSIPShowContacts", NULL, LIVE_PART_ENDPOINTS, false },
	[LIVE_STEP_PEERS] = { "SIPpeers", NULL, LIVE_PART_ENDPOINTS, false },
	[LIVE_STEP_PARKED] = { "ParkedCalls", NULL, LIVE_PART_PARKING, false },
	[LIVE_STEP_ROOMS] = { "ConfbridgeListRooms", NULL, LIVE_PART_CONFERENCES, false },
	[LIVE_STEP_ROOM] = { "ConfbridgeList", "Conference", LIVE_PART_CONFERENCES, true },
	[LIVE_STEP_BRIDGE] = { "BridgeInfo", "BridgeUniqueid", LIVE_PART_BRIDGES, true },
	[LIVE_STEP_STATUS] = { "Status", "Channel", LIVE_PART_CHANNELS, true },
};
#define ENDED_AT_ONCE 1000u /* channels of a server that stays away, in one tick */
#define BIT(step) (1u << (step))
#define ALL_LISTS (BIT(LIVE_STEPS) - 1 - BIT(LIVE_STEP_COMMANDS) - BIT(LIVE_STEP_ROOM) - BIT(LIVE_STEP_BRIDGE) - BIT(LIVE_STEP_STATUS))
#define FROM_12 (BIT(LIVE_STEP_BRIDGES) | BIT(LIVE_STEP_BRIDGE) | BIT(LIVE_STEP_DEVICES))
#define AMI_12 2000u

/* ---- what is asked next ---- */

static bool runs(const struct live_server *s)
{
	return s->todo != 0 || s->open || s->ask_count > 0;
}

static uint32_t possible(const struct live_server *s)
{
	uint32_t lists = ALL_LISTS & ~s->refused_steps;
	return s->ami_version != 0 && s->ami_version < AMI_12 ? lists & ~FROM_12 : lists;
}

static void begin(struct live_server *s, uint32_t todo, int64_t now)
{
	s->todo = todo;
	s->began = now;
	s->running = true;
	s->confirmed = s->gone_by_list = s->corrected = 0;
	s->live->in_flight++;
}

static void look_for_unknown(struct live_server *s)
{
	unsigned unknown = 0, known = 0;
	for (int i = LIVE_STEP_CHANNELS; i <= LIVE_STEP_ROOMS; i++)
		*(s->told_steps & BIT(i) ? &known : &unknown) |= steps[i].part;
	s->unknown = unknown & ~known;
}

static void finish(struct live_server *s)
{
	if (runs(s))
		return;
	s->step = -1;
	live_names_drop(&s->names, &s->asked);
	if (!s->running)
		return;
	s->running = false;
	s->live->in_flight--;
	if (s->second || !s->connected)
		return;
	look_for_unknown(s);
	s->synced_once = true;
	s->overflowed = false;
	s->stats.snapshots++;
	s->stats.snapshot_time = s->live->now - s->began;
	live_report_change(s, &(struct live_change){
		.kind = LIVE_SYNCED, .reason = s->why, .count = s->confirmed, .gone = s->gone_by_list, .corrected = s->corrected,
	});
}

void live_snapshot_want(struct live_server *s, const char *why, int64_t at)
{
	if (!s->connected)
		return;
	/* One that runs was perhaps begun before the cause: another follows it. */
	if (!s->want)
		s->why = why;
	if (s->synced_once && at < s->last_began + s->live->options.resync_every)
		at = s->last_began + s->live->options.resync_every;
	if (!s->want || at < s->wanted_at)
		s->wanted_at = at;
	s->want = true;
}

void live_want_snapshot(struct live_server *s, int64_t now)
{
	live_snapshot_want(s, "asked", now);
}

void live_snapshot_ask(struct live_server *s, enum live_step step, struct live_name *what)
{
	if (s->ask_count == LIVE_ASKS || (s->refused_steps & BIT(step)) || slice_find(live_name_text(what), SLICE("\n")) >= 0)
		return;
	for (uint32_t i = 0; i < s->ask_count; i++)
		if (s->asks[i].step == (int)step && s->asks[i].what == what)
			return;
	s->asks[s->ask_count].step = (int)step;
	s->asks[s->ask_count++].what = live_names_keep(what);
}

/* Until when nothing is wrong with a channel that nothing names. */
static int64_t believed(const struct live_channel *channel)
{
	const struct live_object *object = &channel->object;
	return !object->suspect && object->suspect_until > object->seen ? object->suspect_until : object->seen;
}

/* The channel that nothing has named for longest, when that is too long. */
static struct live_channel *doubtful(const struct live_server *s, int64_t now)
{
	if (list_empty(&s->by_time) || (s->refused_steps & BIT(LIVE_STEP_STATUS)))
		return NULL;
	struct live_channel *channel = list_entry(s->by_time.next, struct live_channel, by_time);
	return now - believed(channel) >= s->live->options.doubt ? channel : NULL;
}

/* False: of what it would ask nothing is possible, it is through. */
static bool goes_on(struct live_server *s)
{
	finish(s);
	return runs(s);
}

/* Makes the server ready to ask something; false: nothing is due. */
static bool is_due(struct live_server *s, int64_t now)
{
	if (!s->connected || s->open)
		return false;
	if (runs(s))
		return true;
	if (s->live->in_flight >= s->live->options.snapshots_in_flight)
		return false;
	if (s->want && now >= s->wanted_at) {
		s->want = false;
		s->second = false;
		s->last_began = now;
		begin(s, possible(s) | (s->listed_commands ? 0 : BIT(LIVE_STEP_COMMANDS)), now);
		return goes_on(s);
	}
	if (s->suspected != 0 && now >= s->suspects_at) {
		s->second = true;
		begin(s, s->suspected & possible(s), now);
		s->suspected = 0;
		return goes_on(s);
	}
	struct live_channel *channel = doubtful(s, now);
	if (!channel)
		return false;
	channel->object.suspect = false;
	channel->object.suspect_until = now;
	s->stats.doubts++;
	s->second = true;
	begin(s, 0, now);
	live_snapshot_ask(s, LIVE_STEP_STATUS, channel->name);
	return goes_on(s);
}

static void open_step(struct live_server *s, int step)
{
	s->step = step;
	s->open = true;
	s->list_began = s->live->now;
}

static void fill(struct live_server *s, struct live_request *request)
{
	*request = (struct live_request){ .server = s, .action = steps[s->step].action };
	if (!s->asked)
		return;
	request->headers[0].name = steps[s->step].header;
	slice_to_text(live_name_text(s->asked), request->headers[0].value, sizeof request->headers[0].value);
	request->header_count = 1;
}

static void next_step(struct live_server *s)
{
	live_names_drop(&s->names, &s->asked);
	/* Rooms and bridges are asked about behind the list that named them. */
	if (s->ask_count > 0) {
		s->asked = s->asks[0].what;
		open_step(s, s->asks[0].step);
		s->ask_count--;
		memmove(s->asks, s->asks + 1, s->ask_count * sizeof *s->asks);
		return;
	}
	int step = __builtin_ctz(s->todo);
	s->todo &= ~BIT(step);
	open_step(s, step);
}

bool live_next_request(struct live *live, struct live_request *request, int64_t now)
{
	if (now > live->now)
		live->now = now;
	struct live_server *first = live->turn ? live->turn : live->first, *s = first;
	if (!s)
		return false;
	do {
		struct live_server *next = s->next ? s->next : live->first;
		if (is_due(s, live->now)) {
			next_step(s);
			fill(s, request);
			live->turn = next;
			return true;
		}
		s = next;
	} while (s != first);
	return false;
}

bool live_list_begin(struct live_server *s, struct slice action, int64_t now)
{
	if (now > s->live->now)
		s->live->now = now;
	if (s->open || runs(s))
		return false;
	for (int i = 0; i < LIVE_STEPS; i++) {
		if (!slice_eq_nocase(action, slice_cstr(steps[i].action)))
			continue;
		begin(s, 0, now);
		open_step(s, i);
		return true;
	}
	return false;
}

void live_list_item(struct live_server *s, const struct message *item, int64_t now)
{
	if (now > s->live->now)
		s->live->now = now;
	if (!s->open)
		return;
	s->resync = true;
	live_items_take(s, item);
	live_call_settle(s);
	s->resync = false;
}

/* ---- what a list's end means ---- */

/* It was not in the list: true when it is no more. */
static bool is_gone(struct live_server *s, struct live_object *object)
{
	if (object->seen >= s->list_began)
		return false;
	if (object->suspect && s->list_began >= object->suspect_until) {
		s->gone_by_list++;
		return true;
	}
	if (!object->suspect) {
		object->suspect = true;
		object->suspect_until = s->live->now + s->live->options.grace;
	}
	s->suspected |= BIT(s->step);
	s->suspects_at = s->live->now + s->live->options.grace;
	return false;
}

static void missing_channels(struct live_server *s)
{
	/* Those that were named since the list began stand behind the others. */
	for (struct list *node = s->by_time.next, *next; node != &s->by_time; node = next) {
		next = node->next;
		struct live_channel *channel = list_entry(node, struct live_channel, by_time);
		if (channel->object.seen >= s->list_began)
			break;
		if (is_gone(s, &channel->object))
			live_channel_end(channel, true);
	}
}

static void missing_queues(struct live_server *s)
{
	uint64_t at = 0;
	for (struct live_object *o; (o = live_set_next(&s->sets[LIVE_QUEUE], &at));) {
		struct live_queue *queue = LIVE_AS(queue, o);
		uint64_t in = 0;
		for (struct live_object *m; (m = live_set_next(&queue->members, &in));)
			if (is_gone(s, m))
				live_member_end(LIVE_AS(member, m));
		for (uint32_t i = 0; i < queue->waiting;) {
			struct live_caller *caller = queue->callers[queue->first + i];
			if (is_gone(s, &caller->object))
				live_queue_left(caller, LIVE_LEFT_UNSEEN);
			else
				i++;
		}
		if (is_gone(s, o))
			live_queue_end(queue);
	}
}

static void missing_bridges(struct live_server *s)
{
	uint64_t at = 0;
	for (struct live_object *o; (o = live_set_next(&s->sets[LIVE_BRIDGE], &at));)
		if (!LIVE_AS(bridge, o)->own && is_gone(s, o))
			live_bridge_end(LIVE_AS(bridge, o));
}

static void missing_parked(struct live_server *s)
{
	uint64_t at = 0;
	for (struct live_object *o; (o = live_set_next(&s->sets[LIVE_LOT], &at));) {
		uint64_t in = 0;
		for (struct live_object *p; (p = live_set_next(&LIVE_AS(lot, o)->parked, &in));)
			if (is_gone(s, p))
				live_parking_remove(LIVE_AS(parked, p));
	}
}

static void missing_rooms(struct live_server *s)
{
	uint64_t at = 0;
	for (struct live_object *o; (o = live_set_next(&s->sets[LIVE_CONFERENCE], &at));)
		if (is_gone(s, o))
			live_conference_end(LIVE_AS(conference, o));
}

static void missing_participants(struct live_server *s)
{
	struct live_conference *conference = s->asked ? live_conference_get(s, live_name_text(s->asked), false) : NULL;
	uint64_t at = 0;
	for (struct live_object *p; conference && (p = live_set_next(&conference->participants, &at));)
		if (is_gone(s, p))
			live_conference_leave(LIVE_AS(participant, p));
	/* The second pass asks the rooms again, and those name their lists. */
	if (s->suspected & BIT(LIVE_STEP_ROOM))
		s->suspected = (s->suspected & ~BIT(LIVE_STEP_ROOM)) | BIT(LIVE_STEP_ROOMS);
}

/* Contacts that are not listed are not registered: their events would have said when that changed again. */
static void missing_contacts(struct live_server *s, struct slice tech)
{
	uint64_t at = 0;
	for (struct live_object *o; (o = live_set_next(&s->sets[LIVE_ENDPOINT], &at));) {
		struct live_endpoint *endpoint = LIVE_AS(endpoint, o);
		if (endpoint->registered != 1 || endpoint->registered_told >= s->list_began || !slice_starts_with(live_name_text(o->key), tech))
			continue;
		endpoint->registered = 0;
		live_names_drop(&s->names, &endpoint->contact);
		s->corrected++;
		live_report(s, LIVE_ENDPOINT_CHANGED, o, "registered");
	}
}

/* Asked for by itself, and not there. */
static void missing_channel(struct live_server *s)
{
	struct live_channel *channel = live_channel_by_name(s, live_name_text(s->asked));
	if (channel && channel->object.seen < s->list_began) {
		s->gone_by_list++;
		live_channel_end(channel, true);
	}
}

static void look_for_missing(struct live_server *s)
{
	switch (s->step) {
	case LIVE_STEP_CHANNELS: missing_channels(s); break;
	case LIVE_STEP_BRIDGES: missing_bridges(s); break;
	case LIVE_STEP_QUEUES: missing_queues(s); break;
	case LIVE_STEP_CONTACTS: missing_contacts(s, SLICE("PJSIP/")); break;
	case LIVE_STEP_PEERS: missing_contacts(s, SLICE("SIP/")); break;
	case LIVE_STEP_PARKED: missing_parked(s); break;
	case LIVE_STEP_ROOMS: missing_rooms(s); break;
	case LIVE_STEP_ROOM: missing_participants(s); break;
	case LIVE_STEP_STATUS: missing_channel(s); break;
	default: break;
	}
}

/* ---- answers ---- */

static void read_commands(struct live_server *s, const struct message *response)
{
	s->listed_commands = true;
	for (int i = LIVE_STEP_CHANNELS; i < LIVE_STEPS; i++)
		if (message_find(response, slice_cstr(steps[i].action), 0) < 0)
			s->refused_steps |= BIT(i);
	s->todo &= ~s->refused_steps;
}

/* `Response: Error` is also how some say that there is nothing (Q29, Q75). */
static bool is_empty(const struct live_server *s, const struct message *response)
{
	struct slice text = response ? message_value(response, SLICE("Message")) : slice_make("", 0);
	if (s->step == LIVE_STEP_STATUS || s->step == LIVE_STEP_ROOM || s->step == LIVE_STEP_BRIDGE)
		return slice_find(text, SLICE("ermission")) < 0 && slice_find(text, SLICE("nvalid/unknown command")) < 0;
	return slice_starts_with_nocase(text, SLICE("No "));
}

void live_answer(struct live_server *s, enum live_answer how, const struct message *response, int64_t now)
{
	if (now > s->live->now)
		s->live->now = now;
	if (!s->open)
		return;
	s->open = false;
	s->blind &= s->step != LIVE_STEP_CHANNELS;
	s->list_ended = s->live->now;
	s->resync = true;
	if (how == LIVE_REFUSED && is_empty(s, response))
		how = LIVE_ANSWERED;
	if (how == LIVE_REFUSED && !(s->refused_steps & BIT(s->step))) {
		s->refused_steps |= BIT(s->step);
		s->stats.refused++;
	}
	if (how != LIVE_ANSWERED) {
		s->told_steps &= ~BIT(s->step);
		s->listed_commands |= s->step == LIVE_STEP_COMMANDS && how == LIVE_REFUSED;
	} else if (s->step == LIVE_STEP_COMMANDS) {
		if (response)
			read_commands(s, response);
	} else {
		s->told_steps |= BIT(s->step);
		look_for_missing(s);
	}
	live_call_settle(s);
	finish(s);
	s->resync = false;
}

const char *live_list_of(struct slice event)
{
	int item = live_items_step(event);

	for (int i = LIVE_STEP_CHANNELS; i < LIVE_STEPS; i++)
		if (i == item || slice_eq_nocase(event, slice_cstr(catalogue_action(slice_cstr(steps[i].action))->terminal)))
			return steps[i].action;
	return NULL;
}

void live_list_end(struct live_server *s, bool whole, int64_t now)
{
	if (now > s->live->now)
		s->live->now = now;
	if (!s->open)
		return;
	s->open = false;
	s->second = true; /* no snapshot is complete with it */
	s->list_ended = s->live->now;
	s->resync = true;
	s->told_steps |= BIT(s->step);
	/* What is asked about has no name here. */
	if (whole && !steps[s->step].each)
		look_for_missing(s);
	live_call_settle(s);
	s->resync = false;
	s->synced_once |= (s->told_steps & BIT(LIVE_STEP_CHANNELS)) != 0;
	while (s->ask_count > 0)
		live_names_drop(&s->names, &s->asks[--s->ask_count].what);
	finish(s);
	look_for_unknown(s);
}

/* ---- the session ---- */

static void stop(struct live_server *s)
{
	if (s->running)
		s->live->in_flight--;
	s->running = s->open = s->want = false;
	s->todo = s->suspected = 0;
	s->step = -1;
	while (s->ask_count > 0)
		live_names_drop(&s->names, &s->asks[--s->ask_count].what);
	live_names_drop(&s->names, &s->asked);
}

void live_session(struct live_server *s, unsigned ami_version, int64_t now)
{
	if (now > s->live->now)
		s->live->now = now;
	stop(s);
	s->connected = true;
	s->ami_version = ami_version;
	s->listed_commands = s->synced_once = false;
	s->refused_steps = s->told_steps = 0;
	s->unknown = 0;
	live_call_blind(s);
	live_snapshot_want(s, "session", s->live->now);
}

static void mark_incomplete(struct live_server *s)
{
	uint64_t at = 0;
	for (struct live_object *o; (o = live_set_next(&s->sets[LIVE_CALL], &at));)
		LIVE_AS(call, o)->incomplete = true;
}

void live_lost(struct live_server *s, int64_t now)
{
	if (now > s->live->now)
		s->live->now = now;
	stop(s);
	s->connected = s->synced_once = false;
	s->lost_at = s->live->now;
	mark_incomplete(s);
}

void live_gap(struct live_server *s, int64_t now)
{
	if (now > s->live->now)
		s->live->now = now;
	mark_incomplete(s);
	live_call_blind(s);
	live_snapshot_want(s, "gap", s->live->now);
}

/* FullyBooted says how long the exchange runs: begun after the last session ended, it knows nothing of the old calls. */
void live_snapshot_event(struct live_server *s, const struct live_reader *r, int what)
{
	int64_t uptime = live_headers_int(r, LIVE_H_UPTIME, -1);
	(void)what;
	if (uptime < 0 || uptime > INT32_MAX || s->lost_at == 0)
		return;
	/* Uptime is in whole seconds, and the session may have been lost while the exchange stopped. */
	if (s->live->now - (uptime + 1) * LIVE_SECOND > s->lost_at) {
		int64_t now = s->live->now;
		s->live->now = s->lost_at; /* what was going on then ended then */
		live_snapshot_clear(s);
		s->live->now = now;
	}
	s->lost_at = 0;
}

static void clear_set(struct live_server *s, enum live_kind kind, void (*end)(struct live_object *))
{
	uint64_t at = 0;
	for (struct live_object *o; (o = live_set_next(&s->sets[kind], &at));)
		end(o);
}

static void end_channel(struct live_object *o) { live_channel_end(LIVE_AS(channel, o), true); }
static void end_bridge(struct live_object *o) { live_bridge_end(LIVE_AS(bridge, o)); }
static void end_conference(struct live_object *o) { live_conference_end(LIVE_AS(conference, o)); }
static void end_lot(struct live_object *o) { live_parking_end(LIVE_AS(lot, o)); }
static void end_queue(struct live_object *o) { live_queue_end(LIVE_AS(queue, o)); }
static void end_endpoint(struct live_object *o) { live_endpoint_end(LIVE_AS(endpoint, o)); }

/* Calls, conferences and bridges of an exchange that was restarted. Queues and endpoints are configured: they are confirmed
 * or missed by the lists. */
void live_snapshot_clear(struct live_server *s)
{
	bool was = s->resync;
	s->resync = true;
	clear_set(s, LIVE_CHANNEL, end_channel);
	live_call_settle(s);
	while (!list_empty(&s->lingering))
		live_call_finish(list_entry(s->lingering.next, struct live_call, lingering));
	clear_set(s, LIVE_CONFERENCE, end_conference);
	clear_set(s, LIVE_LOT, end_lot);
	clear_set(s, LIVE_BRIDGE, end_bridge);
	live_call_settle(s);
	s->resync = was;
}

void live_snapshot_close(struct live_server *s)
{
	stop(s);
	s->connected = false;
	clear_set(s, LIVE_QUEUE, end_queue);
	clear_set(s, LIVE_ENDPOINT, end_endpoint);
}

void live_snapshot_leave(struct live_server *s)
{
	stop(s);
	s->connected = false;
	s->leaves = true;
}

/* What is left of `left` objects that may end. */
static unsigned end_some_of(struct live_server *s, enum live_kind kind, void (*end)(struct live_object *), unsigned left)
{
	struct live_object *o;
	uint64_t at = 0;

	for (; left > 0 && (o = live_set_next(&s->sets[kind], &at)); left--)
		end(o);
	return left;
}

/* Ends some of what it has, in the order of live_snapshot_clear(); true when nothing is left. A hundred thousand at once would hold up
 * everybody. */
static bool end_some(struct live_server *s)
{
	bool was = s->resync;
	s->resync = true;
	unsigned left = end_some_of(s, LIVE_CHANNEL, end_channel, ENDED_AT_ONCE);
	live_call_settle(s);
	for (; left > 0 && !list_empty(&s->lingering); left--)
		live_call_finish(list_entry(s->lingering.next, struct live_call, lingering));
	left = end_some_of(s, LIVE_CONFERENCE, end_conference, left);
	left = end_some_of(s, LIVE_LOT, end_lot, left);
	left = end_some_of(s, LIVE_BRIDGE, end_bridge, left);
	live_call_settle(s);
	left = end_some_of(s, LIVE_QUEUE, end_queue, left);
	left = end_some_of(s, LIVE_ENDPOINT, end_endpoint, left);
	s->resync = was;
	return left > 0;
}

void live_snapshot_tick(struct live_server *s, int64_t now)
{
	bool stays_away = !s->connected && s->lost_at != 0 && now - s->lost_at >= s->live->options.doubt;
	if (!(stays_away || s->leaves) || !end_some(s))
		return;
	live_snapshot_clear(s);
	live_snapshot_close(s);
	s->lost_at = 0;
	s->leaves = false;
}

int64_t live_snapshot_deadline(const struct live_server *s)
{
	int64_t at = INT64_MAX;
	if (s->leaves)
		return s->live->now;
	if (!s->connected)
		return s->lost_at != 0 ? s->lost_at + s->live->options.doubt : at;
	if (s->open)
		return at;
	if (runs(s))
		return s->live->now;
	if (s->want)
		at = s->wanted_at;
	if (s->suspected != 0 && s->suspects_at < at)
		at = s->suspects_at;
	if (!list_empty(&s->by_time) && !(s->refused_steps & BIT(LIVE_STEP_STATUS))) {
		const struct live_channel *channel = list_entry(s->by_time.next, struct live_channel, by_time);
		int64_t doubt = believed(channel) + s->live->options.doubt;
		at = doubt < at ? doubt : at;
	}
	return at;
}

/* ---- what it looks like from outside ---- */

enum live_state live_state(const struct live_server *s)
{
	if (!s->connected)
		return LIVE_NONE;
	if (!s->synced_once)
		return LIVE_SYNCING;
	return s->unknown != 0 || s->overflowed ? LIVE_PARTIAL : LIVE_FULL;
}

const char *live_state_name(enum live_state state)
{
	static const char *const names[] = { "none", "syncing", "partial", "full" };
	return names[state];
}

unsigned live_unknown(const struct live_server *s)
{
	return s->unknown;
}

const char *live_part_name(unsigned part)
{
	switch (part) {
	case LIVE_PART_CHANNELS: return "channels";
	case LIVE_PART_BRIDGES: return "bridges";
	case LIVE_PART_QUEUES: return "queues";
	case LIVE_PART_DEVICES: return "devices";
	case LIVE_PART_ENDPOINTS: return "endpoints";
	case LIVE_PART_PARKING: return "parking";
	case LIVE_PART_CONFERENCES: return "conferences";
	default: return NULL;
	}
}
