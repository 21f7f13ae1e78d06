/* Events in any order about a few channels, bridges, queues and rooms that know nothing of one another: the picture never
 * crashes, its counts agree with what a walk finds, and when all channels have hung up nothing of them is left. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ami/framer.h"
#include "live/live.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHANNELS 16u
#define SERVERS 2u

struct world {
	const uint8_t *at, *end;
	struct live *live;
	struct live_server *servers[SERVERS];
	struct framer framer;
	int64_t now;
	char text[4096];
	size_t len;
	struct live_object *held[4];
	unsigned started, ended;
};

static unsigned take_byte(struct world *w)
{
	return w->at < w->end ? *w->at++ : 0;
}

/* ---- what is reported ---- */

static void read_object(const struct live_object *object, int64_t now, int depth)
{
	enum live_kind kind = live_object_kind(object);
	for (uint32_t i = 0; live_field_name(kind, i); i++) {
		struct live_value value = live_get(object, (int)i, now), item;
		struct slice key;
		REQUIRE(live_field(kind, slice_cstr(live_field_name(kind, i))) == (int)i);
		if (value.type != LIVE_LIST && value.type != LIVE_MAP)
			continue;
		for (uint32_t n = 0; n < value.list.count && n < 20; n++) {
			const struct live_object *part = live_item(&value, n, &key, &item);
			if (part && depth < 2)
				read_object(part, now, depth + 1);
		}
	}
}

static void changed(void *ctx, const struct live_change *change)
{
	struct world *w = ctx;
	REQUIRE(live_change_name(change->kind) != NULL);
	if (change->object)
		read_object(change->object, change->at, 0);
	w->started += change->kind == LIVE_CALL_STARTED;
	w->ended += change->kind == LIVE_CALL_ENDED;
	REQUIRE(w->ended <= w->started);
}

/* ---- making events ---- */

__attribute__((format(printf, 2, 3))) static void add(struct world *w, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(w->text + w->len, sizeof w->text - w->len, format, args);
	va_end(args);
	if (n > 0 && w->len + (size_t)n < sizeof w->text)
		w->len += (size_t)n;
}

static void add_name(struct world *w, unsigned c)
{
	if (c >= 12)
		add(w, "Local/9@x-0000000%u;%u", (c - 12) / 2, c % 2 + 1);
	else
		add(w, "SIP/%u-0000000%u", 1000 + c % 5, c);
}

/* The headers of one channel, some of them sometimes missing. */
static void add_channel(struct world *w, const char *prefix, unsigned which)
{
	unsigned c = which % CHANNELS, more = take_byte(w);
	add(w, "%sChannel: ", prefix);
	add_name(w, c);
	add(w, "\r\n");
	if (more % 16 != 15)
		add(w, "%sUniqueid: u%u\r\n", prefix, c);
	if (more % 4 != 3)
		add(w, "%sLinkedid: u%u\r\n", prefix, (more >> 4) % CHANNELS);
	if (more % 8 < 6)
		add(w, "%sChannelState: %u\r\n%sCallerIDNum: %u\r\n%sExten: %u\r\n", prefix, more % 8, prefix, 1000 + c, prefix, 500 + more % 3);
}

static const struct message *parse(struct world *w, struct message *m)
{
	size_t used;
	add(w, "\r\n");
	framer_reset(&w->framer, false);
	REQUIRE(framer_next(&w->framer, slice_make(w->text, w->len), m, &used) == FRAMER_FRAME);
	return m;
}

static void begin(struct world *w, const char *event)
{
	w->len = 0;
	add(w, "Event: %s\r\n", event);
}

/* One event; its name is chosen of all that the picture knows, its headers of all that might matter to it. */
static void make_event(struct world *w)
{
	static const char *const names[] = {
		"Newchannel", "Newchannel", "Newchannel", "Newstate", "Hangup", "HangupRequest", "SoftHangupRequest", "NewCallerid", "Newexten",
		"VarSet", "Hold", "Unhold", "DialBegin", "DialEnd", "OriginateResponse", "BridgeCreate", "BridgeDestroy", "BridgeEnter", "BridgeEnter",
		"BridgeLeave", "BlindTransfer", "AttendedTransfer", "Pickup", "LocalBridge", "ParkedCall", "UnParkedCall", "ParkedCallTimeOut",
		"QueueCallerJoin", "QueueCallerLeave", "QueueCallerAbandon", "QueueMemberStatus", "QueueMemberRemoved", "QueueMemberPause",
		"AgentCalled", "AgentConnect", "AgentComplete", "AgentRingNoAnswer", "DeviceStateChange", "ContactStatus", "PeerStatus",
		"ConfbridgeStart", "ConfbridgeJoin", "ConfbridgeLeave", "ConfbridgeEnd", "ConfbridgeTalking", "FullyBooted", "Dial", "Bridge",
		"Masquerade", "Rename", "MessageWaiting", "MixMonitorStart", "MeetmeJoin", "Leave", "Join",
	};
	static const char *const statuses[] = { "ANSWER", "BUSY", "NOANSWER", "CANCEL", "CHANUNAVAIL", "TIMEOUT", "FULL", "JOINEMPTY", "LEAVEEMPTY", "" };
	static const char *const variables[] = { "DIALSTATUS", "QUEUESTATUS", "BRIDGEPEER", "CRM_ID", "MIXMONITOR_FILENAME" };
	static const char *const applications[] = { "Dial", "AppDial", "AppDial2", "AppQueue", "Queue", "ConfBridge" };
	unsigned what = take_byte(w) % (sizeof names / sizeof *names), a = take_byte(w), b = take_byte(w), c = take_byte(w);
	begin(w, names[what]);
	if (c % 32 != 31)
		add_channel(w, "", a);
	switch (c % 4) {
	case 0: add_channel(w, "Dest", a >> 4); break;
	case 1: add_channel(w, "Parkee", a >> 4); add_channel(w, "Retriever", b); break;
	case 2: add_channel(w, "Transferee", a >> 4); add_channel(w, "Transferer", b); add_channel(w, "OrigTransferer", b); add_channel(w, "SecondTransferer", b >> 4); break;
	default: add_channel(w, "LocalOne", a >> 4); add_channel(w, "LocalTwo", b); add_channel(w, "Target", b >> 4); break;
	}
	add(w, "BridgeUniqueid: b%u\r\nBridgeType: %s\r\nBridgeTechnology: %s\r\n", b % 4, c & 4 ? "basic" : "parking", c & 8 ? "softmix" : "holding_bridge");
	if (c & 16)
		add(w, "BridgeCreator: ConfBridge\r\nSwapUniqueid: u%u\r\n", b % CHANNELS);
	add(w, "Queue: q%u\r\nPosition: %u\r\nInterface: SIP/%u\r\nStatus: %u\r\nPaused: %u\r\nCallsTaken: %u\r\n", b % 3, b % 7, 1000 + b % 5, b % 9, c & 1, b % 3);
	add(w, "DialStatus: %s\r\nVariable: %s\r\nValue: %s\r\nApplication: %s\r\nAppData: q%u,t\r\n", statuses[b % 10], variables[b % 5],
	    statuses[(b >> 4) % 10], applications[b % 6], b % 3);
	add(w, "Cause: %u\r\nResult: Success\r\nExtension: %u\r\nConference: r%u\r\nParkinglot: l%u\r\nDevice: SIP/%u\r\nState: INUSE\r\n", b, a, b % 3, b % 2, 1000 + b % 5);
	add(w, "Uptime: %u\r\nResponse: %s\r\nReason: %u\r\nUniqueid1: u%u\r\nUniqueid2: u%u\r\nSubEvent: %s\r\n", b, c & 2 ? "Failure" : "Success", b % 9,
	    a % CHANNELS, b % CHANNELS, c & 2 ? "Begin" : "End");
	add(w, "BridgedUniqueID: u%u\r\nBridgeId: b%u\r\nWait: %u\r\nName: agent\r\nLocation: SIP/%u\r\nNewname: SIP/%u-0000000%u\r\nTalkingStatus: on\r\n",
	    b % CHANNELS, b % 4, c, 1000 + b % 5, 1000 + c % 5, c % CHANNELS);
	add(w, "Clone: SIP/%u-0000000%u\r\nOriginal: SIP/%u-0000000%u\r\nTalkTime: %u\r\nWrapuptime: %u\r\nEndpointName: %u\r\nPeer: SIP/%u\r\n", 1000 + a % 5,
	    a % 12, 1000 + b % 5, b % 12, b, c % 3, 1000 + b % 5, 1000 + b % 5);
}

static void event(struct world *w)
{
	struct message m;
	make_event(w);
	struct live_server *s = w->servers[take_byte(w) % 8 == 7];
	live_event(s, parse(w, &m), w->now);
}

/* A list, with some items or none, that ends well or does not. */
static void list(struct world *w)
{
	static const char *const items[] = {
		"CoreShowChannel", "CoreShowChannel", "BridgeListItem", "BridgeInfoChannel", "QueueParams", "QueueMember", "QueueEntry", "DeviceStateChange",
		"ContactList", "PeerEntry", "ParkedCall", "ConfbridgeListRooms", "ConfbridgeList", "Status",
	};
	struct live_request request;
	struct message m;
	if (!live_next_request(w->live, &request, w->now))
		return;
	REQUIRE(request.action != NULL && request.header_count <= LIVE_REQUEST_HEADERS);
	for (unsigned n = take_byte(w) % 6; n > 0; n--) {
		make_event(w);
		/* The event's name becomes an item's. */
		char rest[sizeof w->text];
		const char *line = strstr(w->text, "\r\n");
		snprintf(rest, sizeof rest, "%.*s", (int)(w->len - (size_t)(line - w->text)), line);
		w->len = 0;
		add(w, "Event: %s%s", items[take_byte(w) % (sizeof items / sizeof *items)], rest);
		live_list_item(request.server, parse(w, &m), w->now);
	}
	w->len = 0;
	add(w, "Response: Error\r\nMessage: %s\r\n", take_byte(w) & 1 ? "No active conferences." : "Permission denied");
	enum live_answer how = (enum live_answer)(take_byte(w) % 3);
	parse(w, &m);
	live_answer(request.server, how, how == LIVE_FAILED ? NULL : &m, w->now);
}

/* ---- what must hold ---- */

static void check(struct world *w)
{
	struct live_filter filter = { .count = 1 };
	uint64_t sum = 0, walked = 0;
	static const char *const states[] = { "new", "ringing", "queued", "up", "held", "parked", "conference" };
	filter.equal[0].field = live_field(LIVE_CALL, SLICE("state"));
	for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
		filter.equal[0].value = slice_cstr(states[i]);
		sum += live_count(w->live, LIVE_CALL, &filter, w->now);
	}
	REQUIRE(sum == live_count(w->live, LIVE_CALL, NULL, w->now));
	struct live_cursor cursor;
	live_walk(w->live, LIVE_CALL, NULL, &cursor);
	for (struct live_object *o; (o = live_next(&cursor, w->now));) {
		walked++;
		read_object(o, w->now, 0);
		REQUIRE(live_resolve(live_object_server(o), LIVE_CALL, live_object_serial(o)) == o);
	}
	REQUIRE(walked == sum);
	uint64_t in_calls = 0;
	live_walk(w->live, LIVE_CALL, NULL, &cursor);
	for (struct live_object *o; (o = live_next(&cursor, w->now));)
		in_calls += live_get(o, live_field(LIVE_CALL, SLICE("channels")), w->now).list.count;
	REQUIRE(in_calls <= live_count(w->live, LIVE_CHANNEL, NULL, w->now));
	REQUIRE(walked <= w->started - w->ended + 64); /* some are undecided */
}

static void hang_up_all(struct world *w)
{
	struct live_cursor cursor;
	struct live_object *o;
	struct message m;
	for (;;) {
		live_walk(w->live, LIVE_CHANNEL, NULL, &cursor);
		o = live_next(&cursor, w->now);
		if (!o)
			return;
		struct slice id = live_get(o, live_field(LIVE_CHANNEL, SLICE("uniqueid")), w->now).text;
		begin(w, "Hangup");
		add(w, "Uniqueid: %.*s\r\n", SLICE_ARG(id));
		live_event(live_object_server(o), parse(w, &m), w->now);
	}
}

static uint64_t sum_of(struct world *w, enum live_kind kind, const char *field)
{
	struct live_cursor cursor;
	uint64_t sum = 0;
	live_walk(w->live, kind, NULL, &cursor);
	for (struct live_object *o; (o = live_next(&cursor, w->now));)
		sum += (uint64_t)live_get(o, live_field(kind, slice_cstr(field)), w->now).integer;
	return sum;
}

static void nothing_remains(struct world *w)
{
	hang_up_all(w);
	w->now += 11 * LIVE_SECOND;
	live_tick(w->live, w->now);
	REQUIRE(live_count(w->live, LIVE_CHANNEL, NULL, w->now) == 0);
	REQUIRE(live_count(w->live, LIVE_CALL, NULL, w->now) == 0);
	REQUIRE(sum_of(w, LIVE_BRIDGE, "count") == 0);
	REQUIRE(sum_of(w, LIVE_QUEUE, "count") == 0);
	REQUIRE(sum_of(w, LIVE_CONFERENCE, "count") == 0);
	REQUIRE(sum_of(w, LIVE_LOT, "count") == 0);
	REQUIRE(w->started == w->ended);
	/* Without a session all the rest goes too, to the last text. */
	for (unsigned i = 0; i < 4; i++)
		if (w->held[i])
			live_release(&w->held[i]);
	for (unsigned i = 0; i < SERVERS; i++)
		live_lost(w->servers[i], w->now);
	w->now += 601 * LIVE_SECOND;
	live_tick(w->live, w->now);
	for (int kind = 0; kind < LIVE_SETS; kind++)
		REQUIRE(live_count(w->live, (enum live_kind)kind, NULL, w->now) == 0);
	for (unsigned i = 0; i < SERVERS; i++) {
		REQUIRE(live_stats(w->servers[i])->texts == 0);
		REQUIRE(live_stats(w->servers[i])->idle_texts <= 64);
	}
}

static void hold(struct world *w)
{
	struct live_object **held = &w->held[take_byte(w) % 4];
	enum live_kind kind = (enum live_kind)(take_byte(w) % LIVE_SETS);
	struct live_cursor cursor;
	if (*held) {
		read_object(*held, w->now, 0);
		live_release(held);
	}
	live_walk(w->live, kind, NULL, &cursor);
	*held = live_next(&cursor, w->now);
	if (*held)
		live_retain(*held);
}

static void session(struct world *w)
{
	struct live_server *s = w->servers[take_byte(w) % SERVERS];
	switch (take_byte(w) % 4) {
	case 0: live_lost(s, w->now); break;
	case 1: live_gap(s, w->now); break;
	default: live_session(s, take_byte(w) & 1 ? 13000 : 1003, w->now);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct framer_limits limits = { .max_frame = 8192, .max_headers = 256 };
	static const char *const variables[] = { "CRM_ID" };
	struct world *w = calloc(1, sizeof *w);
	struct live_options options;
	if (!w)
		abort();
	w->at = data;
	w->end = data + size;
	w->now = INT64_C(1800000000) * LIVE_SECOND;
	live_options_init(&options);
	options.variables = variables;
	options.variable_count = 1;
	if (take_byte(w) & 1)
		options.limits = (struct live_limits){ 6, 3, 2, 3, 3, 8, 2, 2 };
	w->live = live_create(&options, changed, w);
	framer_init(&w->framer, &limits, false);
	w->servers[0] = live_server_add(w->live, SLICE("pbx1"));
	w->servers[1] = live_server_add(w->live, SLICE("pbx2"));
	while (w->at < w->end) {
		unsigned what = take_byte(w);
		switch (what % 16) {
		case 0: w->now += (int64_t)take_byte(w) * 100000; live_tick(w->live, w->now); break;
		case 1: session(w); break;
		case 2:
		case 3: list(w); break;
		case 4: hold(w); break;
		case 5:
			if (take_byte(w) < 16)
				live_new_day(w->live, w->now);
			break;
		default: event(w);
		}
		w->now += 1000;
		(void)live_deadline(w->live);
	}
	check(w);
	nothing_remains(w);
	live_destroy(&w->live);
	framer_close(&w->framer);
	free(w);
	return 0;
}
