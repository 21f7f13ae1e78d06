/* Made-up events for load. The events of one call are rendered once; what differs from call to call has a fixed width and
 * is patched in place, so that making an event costs little more than copying it. */
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define SERIAL_FIRST UINT64_C(100000000) /* nine digits from the first to the last */
#define TIME_WIDTH 17                    /* 1795204864.585366 */
#define SERIAL_WIDTH 9
#define STAMP_WIDTH 20
#define TEMPLATES_MAX 48
#define PATCHES_MAX 12

/* In the text of a template: the time, the call's number and the monotonic time as decimal digits. */
#define MARK_TIME "@TTTTTTTTTTTTTTT@"
#define MARK_SERIAL "@SSSSSSS@"
#define MARK_STAMP "@NNNNNNNNNNNNNNNNNN@"

struct template {
	char *text; /* owned */
	size_t len;
	unsigned class;
	unsigned patch_count;
	struct {
		uint16_t at;
		uint8_t width; /* which tells what stands there */
	} patches[PATCHES_MAX];
};

struct sim_flood {
	bool stamp;
	struct template templates[TEMPLATES_MAX];
	unsigned count;
};

/* Of the mark that stands there; 0: none. */
static uint8_t mark_width(const char *text)
{
	static const char *const marks[] = { MARK_TIME, MARK_SERIAL, MARK_STAMP };
	for (size_t i = 0; *text == '@' && i < sizeof(marks) / sizeof(*marks); i++)
		if (strncmp(text, marks[i], strlen(marks[i])) == 0)
			return (uint8_t)strlen(marks[i]);
	return 0;
}

static void finish(struct sim_flood *flood, struct buf *text, unsigned class)
{
	struct template *t = &flood->templates[flood->count++];

	if (flood->stamp)
		sim_put(text, "SentAt", MARK_STAMP);
	(void)buf_append_cstr(text, "\r\n");
	t->len = buf_len(text);
	t->text = mem_slicedup(buf_slice(text));
	t->class = class;
	for (size_t i = 0; i < t->len; i++) {
		uint8_t width = mark_width(t->text + i);
		if (width == 0)
			continue;
		t->patches[t->patch_count].at = (uint16_t)i;
		t->patches[t->patch_count++].width = width;
		i += width - 1u;
	}
	buf_clear(text);
}

static void head(struct buf *text, const char *event, unsigned class)
{
	sim_put(text, "Event", "%s", event);
	sim_put(text, "Privilege", "%s,all", sim_class_name(class));
	sim_put(text, "Timestamp", MARK_TIME);
}

/* `leg` 1 is the caller's channel, 2 the one that is dialled. */
static void channel(struct buf *text, const char *prefix, unsigned leg, unsigned state, unsigned priority)
{
	struct sim_channel c = { .state = state, .priority = priority };

	snprintf(c.name, sizeof(c.name), "PJSIP/%s-" MARK_SERIAL, leg == 1 ? "carrier-trunk" : "agent-1001");
	snprintf(c.uniqueid, sizeof(c.uniqueid), "1795204864.%u" MARK_SERIAL, leg);
	snprintf(c.linkedid, sizeof(c.linkedid), "1795204864.1" MARK_SERIAL);
	snprintf(c.caller_num, sizeof(c.caller_num), "%s", leg == 1 ? "4930555" : "1001");
	snprintf(c.caller_name, sizeof(c.caller_name), "%s", leg == 1 ? "Carla Diaz" : "Support Desk");
	snprintf(c.connected_num, sizeof(c.connected_num), "%s", leg == 1 ? "1001" : "4930555");
	snprintf(c.connected_name, sizeof(c.connected_name), "%s", leg == 1 ? "Support Desk" : "Carla Diaz");
	snprintf(c.account, sizeof(c.account), "billing-account-7");
	snprintf(c.context, sizeof(c.context), "%s", leg == 1 ? "from-carrier" : "internal-phones");
	snprintf(c.exten, sizeof(c.exten), "%s", "4930555300");
	sim_put_channel(text, prefix, &c);
}

static void caller_id(struct sim_flood *flood, struct buf *text)
{
	head(text, "NewCallerid", SIM_CALL);
	channel(text, "", 2, 0, 1);
	sim_put(text, "CID-CallingPres", "0 (Presentation Allowed, Not Screened)");
	finish(flood, text, SIM_CALL);
}

static void plain(struct sim_flood *flood, struct buf *text, const char *event, unsigned leg, unsigned state)
{
	head(text, event, SIM_CALL);
	channel(text, "", leg, state, 1);
	finish(flood, text, SIM_CALL);
}

static void newexten(struct sim_flood *flood, struct buf *text, unsigned leg, unsigned priority, const char *app,
                     const char *data)
{
	head(text, "Newexten", SIM_DIALPLAN);
	channel(text, "", leg, 6, priority);
	sim_put(text, "Extension", "4930555300");
	sim_put(text, "Application", "%s", app);
	sim_put(text, "AppData", "%s", data);
	finish(flood, text, SIM_DIALPLAN);
}

static void varset(struct sim_flood *flood, struct buf *text, const char *name, const char *value)
{
	head(text, "VarSet", SIM_DIALPLAN);
	channel(text, "", 1, 6, 2);
	sim_put(text, "Variable", "%s", name);
	sim_put(text, "Value", "%s", value);
	finish(flood, text, SIM_DIALPLAN);
}

static void cel(struct sim_flood *flood, struct buf *text, const char *name, unsigned leg)
{
	head(text, "CEL", SIM_CALL);
	sim_put(text, "EventName", "%s", name);
	sim_put(text, "AccountCode", "billing-account-7");
	sim_put(text, "CallerIDnum", "4930555");
	sim_put(text, "CallerIDname", "Carla Diaz");
	sim_put(text, "CallerIDani", "4930555");
	sim_put(text, "CallerIDrdnis", "%s", "");
	sim_put(text, "CallerIDdnid", "4930555300");
	sim_put(text, "Exten", "4930555300");
	sim_put(text, "Context", "from-carrier");
	sim_put(text, "Channel", "PJSIP/%s-" MARK_SERIAL, leg == 1 ? "carrier-trunk" : "agent-1001");
	sim_put(text, "Application", "Dial");
	sim_put(text, "AppData", "PJSIP/agent-1001,20,tTkK");
	sim_put(text, "EventTime", "2026-11-20 20:01:04");
	sim_put(text, "AMAFlags", "DOCUMENTATION");
	sim_put(text, "UniqueID", "1795204864.%u" MARK_SERIAL, leg);
	sim_put(text, "LinkedID", "1795204864.1" MARK_SERIAL);
	sim_put(text, "Userfield", "%s", "");
	sim_put(text, "Peer", "%s", "");
	sim_put(text, "PeerAccount", "%s", "");
	sim_put(text, "Extra", "%s", "");
	finish(flood, text, SIM_CALL);
}

static void with_cause(struct sim_flood *flood, struct buf *text, const char *event, unsigned leg, bool cause_text)
{
	head(text, event, SIM_CALL);
	channel(text, "", leg, 6, 3);
	sim_put(text, "Cause", "16");
	if (cause_text)
		sim_put(text, "Cause-txt", "Normal Clearing");
	finish(flood, text, SIM_CALL);
}

static void dial(struct sim_flood *flood, struct buf *text, const char *event, const char *header, const char *value)
{
	head(text, event, SIM_CALL);
	channel(text, "", 1, 4, 2);
	channel(text, "Dest", 2, 5, 1);
	sim_put(text, header, "%s", value);
	finish(flood, text, SIM_CALL);
}

static void cdr(struct sim_flood *flood, struct buf *text)
{
	static const char *const lines[][2] = {
		{ "AccountCode", "billing-account-7" }, { "Source", "4930555" }, { "Destination", "4930555300" },
		{ "DestinationContext", "from-carrier" }, { "CallerID", "\"Carla Diaz\" <4930555>" },
		{ "Channel", "PJSIP/carrier-trunk-" MARK_SERIAL }, { "DestinationChannel", "PJSIP/agent-1001-" MARK_SERIAL },
		{ "LastApplication", "Dial" }, { "LastData", "PJSIP/agent-1001,20,tTkK" },
		{ "StartTime", "2026-11-20 20:01:04" }, { "AnswerTime", "2026-11-20 20:01:07" },
		{ "EndTime", "2026-11-20 20:03:05" }, { "Duration", "121" }, { "BillableSeconds", "118" },
		{ "Disposition", "ANSWERED" }, { "AMAFlags", "DOCUMENTATION" }, { "UniqueID", "1795204864.1" MARK_SERIAL },
		{ "UserField", "" },
	};
	head(text, "Cdr", SIM_CDR);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		sim_put(text, lines[i][0], "%s", lines[i][1]);
	finish(flood, text, SIM_CDR);
}

struct sim_flood *sim_flood_create(bool stamp)
{
	struct sim_flood *flood = mem_zalloc(sizeof(*flood));
	struct buf text;

	flood->stamp = stamp;
	buf_init(&text, 0);
	cel(flood, &text, "CHAN_START", 1);
	plain(flood, &text, "Newchannel", 1, 4);
	newexten(flood, &text, 1, 1, "Set", "CDR(accountcode)=billing-account-7");
	varset(flood, &text, "SIPDOMAIN", "sip.example.net");
	newexten(flood, &text, 1, 2, "Gosub", "record-check,s,1(out,4930555300)");
	newexten(flood, &text, 1, 3, "GotoIf", "0?closed,s,1");
	newexten(flood, &text, 1, 4, "Dial", "PJSIP/agent-1001,20,tTkK");
	varset(flood, &text, "DIALSTATUS", "");
	cel(flood, &text, "CHAN_START", 2);
	plain(flood, &text, "Newchannel", 2, 0);
	newexten(flood, &text, 2, 1, "AppDial", "(Outgoing Line)");
	caller_id(flood, &text);
	plain(flood, &text, "NewConnectedLine", 2, 0);
	dial(flood, &text, "DialBegin", "DialString", "agent-1001");
	plain(flood, &text, "Newstate", 2, 5);
	plain(flood, &text, "Newstate", 2, 6);
	cel(flood, &text, "ANSWER", 2);
	dial(flood, &text, "DialEnd", "DialStatus", "ANSWER");
	varset(flood, &text, "BRIDGEPEER", "PJSIP/agent-1001-" MARK_SERIAL);
	cel(flood, &text, "BRIDGE_ENTER", 1);
	with_cause(flood, &text, "SoftHangupRequest", 2, false);
	cel(flood, &text, "BRIDGE_EXIT", 1);
	with_cause(flood, &text, "Hangup", 2, true);
	with_cause(flood, &text, "Hangup", 1, true);
	cel(flood, &text, "HANGUP", 1);
	cdr(flood, &text);
	newexten(flood, &text, 1, 1, "NoOp", "h");
	cel(flood, &text, "LINKEDID_END", 1);
	buf_close(&text);
	return flood;
}

void sim_flood_destroy(struct sim_flood **flood_ptr)
{
	struct sim_flood *flood = *flood_ptr;

	if (!flood)
		return;
	*flood_ptr = NULL;
	for (unsigned i = 0; i < flood->count; i++)
		free(flood->templates[i].text);
	free(flood);
}

static void done(struct sim_client *client)
{
	struct buf *out = &client->out;

	if (!(client->mask & SIM_USER))
		return;
	sim_put(out, "Event", "UserEvent");
	sim_put(out, "Privilege", "user,all");
	sim_put(out, "Timestamp", "%.6f", clock_wall());
	sim_put(out, "UserEvent", "FloodDone");
	sim_put(out, "Count", "%llu", (unsigned long long)client->flood_passed);
	sim_end(client);
}

static void digits(char *to, size_t width, uint64_t value)
{
	while (width-- > 0) {
		to[width] = (char)('0' + value % 10);
		value /= 10;
	}
}

/* False when the last one is out. A client that wants nothing of it yet is waited for. */
bool sim_flood_fill(struct sim_client *client, uint64_t count)
{
	const struct sim *sim = client->sim;
	const struct sim_flood *flood = sim->flood;
	char now[TIME_WIDTH + 1] = "";

	if (!(client->mask & (SIM_CALL | SIM_DIALPLAN | SIM_CDR)))
		return true;
	snprintf(now, sizeof(now), "%.6f", clock_wall());
	uint64_t stamp = flood->stamp ? clock_mono_ns() : 0;
	while (count > 0 && buf_len(&client->out) < SIM_STREAM_CHUNK) {
		if (sim->options.events && client->stream_sent == sim->options.events) {
			done(client);
			return false;
		}
		const struct template *t = &flood->templates[client->stream_sent % flood->count];
		uint64_t serial = SERIAL_FIRST + client->stream_sent / flood->count;
		client->stream_sent++;
		count--;
		if ((client->mask & t->class) != t->class)
			continue;
		char *to = buf_reserve(&client->out, t->len);
		if (!to)
			return false;
		memcpy(to, t->text, t->len);
		for (unsigned i = 0; i < t->patch_count; i++) {
			char *at = to + t->patches[i].at;
			if (t->patches[i].width == TIME_WIDTH)
				memcpy(at, now, TIME_WIDTH);
			else
				digits(at, t->patches[i].width, t->patches[i].width == STAMP_WIDTH ? stamp : serial);
		}
		buf_commit(&client->out, t->len);
		client->flood_passed++;
	}
	return true;
}
