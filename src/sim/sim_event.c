/* Events: built once, then given to every client that wants them. */
#include "sim/sim_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

static const struct {
	const char *name;
	unsigned bit;
} classes[] = {
	{ "system", SIM_SYSTEM }, { "call", SIM_CALL }, { "log", SIM_LOG }, { "verbose", SIM_VERBOSE },
	{ "command", SIM_COMMAND }, { "agent", SIM_AGENT }, { "user", SIM_USER }, { "config", SIM_CONFIG },
	{ "dtmf", SIM_DTMF }, { "reporting", SIM_REPORTING }, { "cdr", SIM_CDR }, { "dialplan", SIM_DIALPLAN },
	{ "originate", SIM_ORIGINATE }, { "agi", SIM_AGI }, { "cc", SIM_CC }, { "aoc", SIM_AOC }, { "test", SIM_TEST },
	{ "security", SIM_SECURITY }, { "message", SIM_MESSAGE }, { "all", SIM_ALL },
};

const char *sim_class_name(unsigned bits)
{
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (classes[i].bit == bits)
			return classes[i].name;
	return "";
}

int sim_class_mask(const char *text)
{
	unsigned mask = 0;

	if (!*text)
		return -1;
	if (strspn(text, "0123456789") == strlen(text)) {
		unsigned long number = strtoul(text, NULL, 10);
		return (int)(number & SIM_ALL);
	}
	if (sim_true(text))
		return (int)SIM_ALL;
	for (const char *at = text; *at;) {
		size_t len = strcspn(at, ",");
		for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
			if (slice_eq_nocase(slice_make(at, len), slice_cstr(classes[i].name)))
				mask |= classes[i].bit;
		at += len;
		at += strspn(at, ", ");
	}
	return (int)mask;
}

unsigned sim_asterisk_version(const struct sim *sim)
{
	unsigned major = sim->ami_version / 1000, minor = sim->ami_version % 1000;

	if (major == 1)
		return minor == 1 ? 8 : 8 + minor; /* 1.1 was 1.8 */
	if (major == 2)
		return minor < 6 ? 12 : 13;
	return major + 11;
}

void sim_put(struct buf *out, const char *name, const char *format, ...)
{
	va_list args;
	char value[2048];

	va_start(args, format);
	vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	/* Text of our own in an unbounded buffer; in a client's, running full is seen when the frame ends. */
	(void)buf_append_cstr(out, name);
	(void)buf_append_cstr(out, ": ");
	(void)buf_append_cstr(out, value);
	(void)buf_append_cstr(out, "\r\n");
}

static void put_part(struct buf *out, const char *prefix, const char *name, const char *value)
{
	(void)buf_append_cstr(out, prefix);
	sim_put(out, name, "%s", value);
}

static const char *or_unknown(const char *text)
{
	return *text ? text : "<unknown>";
}

void sim_put_channel(struct buf *out, const char *prefix, const struct sim_channel *channel)
{
	char number[16];

	put_part(out, prefix, "Channel", channel->name);
	snprintf(number, sizeof(number), "%u", channel->state);
	put_part(out, prefix, "ChannelState", number);
	put_part(out, prefix, "ChannelStateDesc", sim_state_name(channel->state));
	put_part(out, prefix, "CallerIDNum", or_unknown(channel->caller_num));
	put_part(out, prefix, "CallerIDName", or_unknown(channel->caller_name));
	put_part(out, prefix, "ConnectedLineNum", or_unknown(channel->connected_num));
	put_part(out, prefix, "ConnectedLineName", or_unknown(channel->connected_name));
	put_part(out, prefix, "Language", "en");
	put_part(out, prefix, "AccountCode", channel->account);
	put_part(out, prefix, "Context", channel->context);
	put_part(out, prefix, "Exten", channel->exten);
	snprintf(number, sizeof(number), "%u", channel->priority);
	put_part(out, prefix, "Priority", number);
	put_part(out, prefix, "Uniqueid", channel->uniqueid);
	put_part(out, prefix, "Linkedid", channel->linkedid);
}

struct buf *sim_event(struct sim *sim, const char *name, unsigned bits)
{
	buf_clear(&sim->event);
	sim->event_class = bits;
	sim_put(&sim->event, "Event", "%s", name);
	sim_put(&sim->event, "Privilege", "%s,all", sim_class_name(bits));
	sim_put(&sim->event, "Timestamp", "%.6f", sim_wall(sim));
	return &sim->event;
}

/* An event on its way: in Asterisk it passes several queues, while a list is taken at once. So what stands behind a list can
 * be older than it (Q22). */
struct late {
	struct list node;
	unsigned classes;
	uint64_t due; /* simulated ns */
	char text[];  /* NUL-terminated */
};

static void deliver(struct sim *sim, unsigned bits, const char *text, size_t len)
{
	list_each(it, &sim->clients) {
		struct sim_client *client = list_entry(it, struct sim_client, node);
		/* A client to which a capture is played gets those bytes and nothing between. */
		bool playing = client->streaming && sim->options.play;
		if (client->authenticated && !playing && sim_session_wants(client, bits, text))
			sim_client_send(client, slice_make(text, len));
	}
}

static void deliver_late(struct sim *sim, uint64_t until)
{
	while (!list_empty(&sim->late)) {
		struct late *late = list_entry(sim->late.next, struct late, node);
		if (late->due > until) {
			sim_timer_start(&sim->late_timer, (double)(late->due - sim->now) / (double)CLOCK_NS_PER_S);
			return;
		}
		list_remove(&late->node);
		deliver(sim, late->classes, late->text, strlen(late->text));
		free(late);
	}
}

static void on_late(struct sim_timer *timer)
{
	/* The time was rounded on its way through seconds. */
	deliver_late(timer->sim, timer->sim->now + CLOCK_NS_PER_US);
}

void sim_publish(struct sim *sim)
{
	(void)buf_append_cstr(&sim->event, "\r\n");
	const char *text = buf_cstr(&sim->event);
	size_t len = buf_len(&sim->event);

	/* UserEvents do not wait behind the others (Q72). */
	if (sim->options.lag <= 0 || sim->event_class == SIM_USER) {
		deliver(sim, sim->event_class, text, len);
		return;
	}
	uint64_t due = sim->now + (uint64_t)(sim_random_range(&sim->late_random, 0, sim->options.lag) * (double)CLOCK_NS_PER_S);
	struct late *late = mem_alloc(sizeof(*late) + len + 1);
	if (due > sim->late_due)
		sim->late_due = due;
	late->due = sim->late_due;
	late->classes = sim->event_class;
	memcpy(late->text, text, len + 1);
	bool first = list_empty(&sim->late);
	list_init(&late->node);
	list_append(&sim->late, &late->node);
	if (first)
		sim_timer_start(&sim->late_timer, (double)(late->due - sim->now) / (double)CLOCK_NS_PER_S);
}

void sim_events_init(struct sim *sim)
{
	list_init(&sim->late);
	sim_timer_init(&sim->late_timer, sim, on_late);
	buf_init(&sim->event, 0);
}

void sim_events_drop(struct sim *sim)
{
	list_each_safe(it, &sim->late) {
		struct late *late = list_entry(it, struct late, node);
		list_remove(&late->node);
		free(late);
	}
	sim_timer_stop(&sim->late_timer);
	sim->late_due = 0;
}

void sim_settle(struct sim *sim)
{
	deliver_late(sim, UINT64_MAX);
	sim_timer_stop(&sim->late_timer);
}

static void put_time(struct buf *out, const char *name, double when)
{
	struct tm utc;
	char text[32];
	time_t seconds = (time_t)floor(when);

	gmtime_r(&seconds, &utc);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
	sim_put(out, name, "%s.%03u+0000", text, (unsigned)((when - floor(when)) * 1000) % 1000u);
}

void sim_security_event(struct sim_client *client, const char *name, const char *severity, const char *extra_name,
                        const char *extra)
{
	struct sim *sim = client->sim;
	struct buf *out = sim_event(sim, name, SIM_SECURITY);

	put_time(out, "EventTV", sim_wall(sim));
	sim_put(out, "Severity", "%s", severity);
	sim_put(out, "Service", "AMI");
	sim_put(out, "EventVersion", "1");
	sim_put(out, "AccountID", "%s", client->authenticated ? sim->options.user : "");
	sim_put(out, "SessionID", "%s", client->session_id);
	sim_put(out, "LocalAddress", "%s/TCP/%s/%u", strchr(sim->options.host, ':') ? "IPV6" : "IPV4", sim->options.host,
	        (unsigned)sim->port);
	sim_put(out, "RemoteAddress", "%s", client->remote);
	if (extra_name)
		sim_put(out, extra_name, "%s", extra);
	put_time(out, "SessionTV", client->since);
	sim_publish(sim);
}

bool sim_classes_known(const char *text)
{
	for (const char *at = text; *at;) {
		size_t len = strcspn(at, ", ");
		bool known = false;
		for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]) && !known; i++)
			known = slice_eq_nocase(slice_make(at, len), slice_cstr(classes[i].name));
		if (!known)
			return false;
		at += len;
		at += strspn(at, ", ");
	}
	return true;
}
