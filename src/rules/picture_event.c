/* Changes of the live picture as events of the rules: copied when they happen, so that a rule that lags hears them as they
 * were, and queued before the event that caused them. What no rule listens to is not made at all. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "rules/own_event.h"
#include "rules/picture_internal.h"
#include "rules/picture_pack.h"

#define FIELDS_MAX 48u

/* The fields of one event. Texts that are made here stand in the picture's scratch, whose place may move: by offset. */
struct fields {
	struct buf *made;
	struct slice names[FIELDS_MAX], values[FIELDS_MAX];
	size_t offsets[FIELDS_MAX]; /* + 1; 0: the value is no made one */
	char types[FIELDS_MAX];
	size_t count;
};

static void add(struct fields *f, struct slice name, enum message_type type, struct slice value, size_t offset)
{
	if (f->count == FIELDS_MAX)
		return;
	f->names[f->count] = name;
	f->values[f->count] = value;
	f->offsets[f->count] = offset;
	f->types[f->count++] = (char)type;
}

static void add_text(struct fields *f, struct slice name, struct slice text)
{
	if (text.ptr && text.len > 0)
		add(f, name, MESSAGE_TEXT, text, 0);
}

static void add_word(struct fields *f, struct slice name, const char *word)
{
	if (word)
		add_text(f, name, slice_cstr(word));
}

/* What was appended to `made` from `start` on is the value. */
static void add_made(struct fields *f, struct slice name, enum message_type type, size_t start)
{
	add(f, name, type, slice_make("", buf_len(f->made) - start), start + 1);
}

/* Digits of `n` before `end`; where they begin. By hand: a call's event has a dozen numbers, and printf() takes longer for them than
 * all the rest takes. */
static char *write_digits(char *end, uint64_t n)
{
	do
		*--end = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	return end;
}

static void add_digits(struct fields *f, struct slice name, enum message_type type, const char *from, const char *to)
{
	size_t start = buf_len(f->made);
	buf_append(f->made, slice_make(from, (size_t)(to - from)));
	add_made(f, name, type, start);
}

static uint64_t magnitude(int64_t n)
{
	return n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
}

static void add_integer(struct fields *f, struct slice name, int64_t integer)
{
	char text[24], *end = text + sizeof text, *at = write_digits(end, magnitude(integer));
	if (integer < 0)
		*--at = '-';
	add_digits(f, name, MESSAGE_INTEGER, at, end);
}

/* To the microsecond, which is what the picture knows. */
static void add_number(struct fields *f, struct slice name, double number)
{
	int64_t us = fabs(number) < 9e12 ? (int64_t)(number * 1e6 + (number < 0 ? -0.5 : 0.5)) : 0;
	uint64_t whole = magnitude(us) / 1000000, part = magnitude(us) % 1000000;
	char text[40], *end = text + sizeof text, *at = end;

	if (part > 0) {
		at = write_digits(end, part + 1000000); /* with a digit in front, which becomes the point */
		*at = '.';
		while (end[-1] == '0')
			end--;
	}
	at = write_digits(at, whole);
	if (us < 0)
		*--at = '-';
	add_digits(f, name, MESSAGE_NUMBER, at, end);
}

static void add_list(struct fields *f, struct slice name, const struct live_value *list, int64_t now)
{
	enum message_type type = list->type == LIVE_MAP ? MESSAGE_MAP : MESSAGE_LIST;
	size_t start = buf_len(f->made);
	if (list->list.count == 0) {
		add(f, name, type, SLICE("{}"), 0);
		return;
	}
	picture_pack_value(f->made, list, now);
	add_made(f, name, type, start);
}

/* ---- the event ---- */

/* Lists that may be as long as a server is large stay out: `queue.changed` has figures. */
static void add_object(struct fields *f, const struct live_object *object, int64_t now)
{
	enum live_kind kind = live_object_kind(object);
	struct slice name;

	for (uint32_t i = 1; (name = live_field_text(kind, i)).ptr; i++) {
		struct live_value value = live_get(object, (int)i, now);
		switch (value.type) {
		case LIVE_NIL: break;
		case LIVE_BOOL: add(f, name, MESSAGE_BOOLEAN, value.boolean ? SLICE("true") : SLICE("false"), 0); break;
		case LIVE_INT: add_integer(f, name, value.integer); break;
		case LIVE_NUMBER:
		case LIVE_TIME: add_number(f, name, value.number); break;
		case LIVE_TEXT: add(f, name, MESSAGE_TEXT, value.text, 0); break;
		case LIVE_LIST:
		case LIVE_MAP:
			if (kind == LIVE_CALL || kind == LIVE_AGENT)
				add_list(f, name, &value, now);
			break;
		}
	}
}

static void add_unknown(struct fields *f, const struct live_server *server)
{
	size_t start = buf_len(f->made);
	int n = 0;

	buf_append_char(f->made, '{');
	for (unsigned bit = 1; live_part_name(bit); bit <<= 1)
		if (live_unknown(server) & bit) {
			buf_printf(f->made, "i%d;", ++n);
			picture_pack_text(f->made, slice_cstr(live_part_name(bit)));
		}
	buf_append_char(f->made, '}');
	add_made(f, SLICE("unknown"), MESSAGE_LIST, start);
}

static void add_change(struct fields *f, const struct live_change *change)
{
	add_text(f, SLICE("server"), live_server_name(change->server));
	if (change->object && change->kind != LIVE_QUEUE_REFUSED) /* the queue's figures are no part of that one */
		add_object(f, change->object, change->at);
	switch (change->kind) {
	case LIVE_QUEUE_REFUSED:
		add_text(f, SLICE("queue"), change->queue);
		add_text(f, SLICE("number"), change->number);
		add_text(f, SLICE("name"), change->name);
		add_word(f, SLICE("reason"), change->reason);
		break;
	case LIVE_QUEUE_MEMBER:
		add_word(f, SLICE("change"), change->reason);
		break;
	case LIVE_SYNCED:
		add_word(f, SLICE("reason"), change->reason);
		add_word(f, SLICE("state"), live_state_name(live_state(change->server)));
		add_unknown(f, change->server);
		add_integer(f, SLICE("count"), (int64_t)change->count);
		add_integer(f, SLICE("gone"), (int64_t)change->gone);
		add_integer(f, SLICE("corrected"), (int64_t)change->corrected);
		break;
	case LIVE_OVERFLOW:
		add_word(f, SLICE("kind"), change->reason);
		add_integer(f, SLICE("count"), (int64_t)change->count);
		break;
	case LIVE_QUEUE_LEFT:
		break; /* the caller has its reason */
	default:
		add_word(f, SLICE("reason"), change->reason);
	}
	if (change->resync)
		add(f, SLICE("resync"), MESSAGE_BOOLEAN, SLICE("true"), 0);
}

static bool is_heard(struct picture *p, enum live_change_kind kind)
{
	const struct host *host = p->host;

	if (p->heard_version != host->listeners.own_version) {
		p->heard_version = host->listeners.own_version;
		p->heard = 0;
		for (int k = 0; k < LIVE_CHANGES; k++)
			if (listeners_name_own(host, slice_cstr(live_change_name((enum live_change_kind)k))))
				p->heard |= 1u << k;
	}
	return p->watched || (p->heard >> kind & 1);
}

void picture_event_queue(struct picture *p, const struct live_change *change)
{
	const struct picture_server *s;
	struct fields f; /* large, and most changes are heard by nobody */

	if (!is_heard(p, change->kind) || !(s = picture_find(p, change->server)))
		return;
	f.made = &p->packed;
	f.count = 0;
	buf_clear(&p->packed);
	add_change(&f, change);
	const char *made = buf_slice(&p->packed).ptr;
	for (size_t i = 0; i < f.count; i++)
		if (f.offsets[i] > 0)
			f.values[i].ptr = made + f.offsets[i] - 1;
	char name[RULE_NAME_MAX + 1];
	slice_to_text(live_server_name(change->server), name, sizeof name);
	const struct host_server server = { .id = s->id, .name = name };
	struct message *m = message_build_typed(slice_cstr(live_change_name(change->kind)), f.names, f.values, f.types, f.count);
	if (own_event_queue_change(p->host, m, &server, (double)change->at / 1e6) == 0)
		return;
	p->dropped++;
	p->dropped_of = s->id;
}

void picture_event_report_dropped(struct picture *p)
{
	struct host *host = p->host;
	struct host_server server;
	char text[24];

	if (p->dropped == 0)
		return;
	int n = snprintf(text, sizeof text, "%" PRIu64, p->dropped);
	p->dropped = 0;
	if (host->ops.server_by_id(host->ctx, p->dropped_of, &server))
		own_event_queue(host, "server.gap", &server, NULL,
		                (const struct host_field[]){ { "count", slice_make(text, (size_t)n) }, { "names", SLICE("live") }, { "reason", SLICE("live") } }, 3);
}

void picture_event_deliver(struct picture *p)
{
	if (p->dropped > 0)
		picture_event_report_dropped(p);
	if (p->host->change_count > 0)
		own_event_deliver_all(p->host);
}

const char *picture_event_name(uint32_t index)
{
	return index < LIVE_CHANGES ? live_change_name((enum live_change_kind)index) : NULL;
}

bool picture_event_names(struct slice event)
{
	const char *name;
	for (uint32_t i = 0; (name = picture_event_name(i)); i++)
		if (slice_eq_nocase(event, slice_cstr(name)))
			return true;
	return false;
}

/* The object of an event, whose fields it has, and what it has beside them. */
static const struct {
	int kind; /* -1: none */
	const char *more[8];
} shapes[LIVE_CHANGES] = {
#define CALL { LIVE_CALL, { "resync", "Event" } }
	[LIVE_CALL_STARTED] = CALL, [LIVE_CALL_RINGING] = CALL, [LIVE_CALL_ANSWERED] = CALL, [LIVE_CALL_CONNECTED] = CALL, [LIVE_CALL_CHANGED] = CALL,
	[LIVE_CALL_QUEUED] = CALL, [LIVE_CALL_HELD] = CALL, [LIVE_CALL_UNHELD] = CALL, [LIVE_CALL_TRANSFERRED] = CALL, [LIVE_CALL_PARKED] = CALL,
	[LIVE_CALL_MERGED] = CALL, [LIVE_CALL_ENDED] = CALL,
#undef CALL
	[LIVE_QUEUE_JOINED] = { LIVE_CALLER, { "resync", "Event" } }, [LIVE_QUEUE_LEFT] = { LIVE_CALLER, { "resync", "Event" } },
	[LIVE_QUEUE_REFUSED] = { -1, { "server", "queue", "number", "name", "reason", "resync", "Event" } },
	[LIVE_QUEUE_CHANGED] = { LIVE_QUEUE, { "resync", "Event" } }, [LIVE_QUEUE_MEMBER] = { LIVE_MEMBER, { "change", "resync", "Event" } },
	[LIVE_AGENT_CHANGED] = { LIVE_AGENT, { "reason", "resync", "Event" } }, [LIVE_ENDPOINT_CHANGED] = { LIVE_ENDPOINT, { "reason", "resync", "Event" } },
	[LIVE_CONFERENCE_JOINED] = { LIVE_PARTICIPANT, { "resync", "Event" } }, [LIVE_CONFERENCE_LEFT] = { LIVE_PARTICIPANT, { "resync", "Event" } },
	[LIVE_SYNCED] = { -1, { "server", "reason", "state", "unknown", "count", "gone", "corrected", "Event" } },
	[LIVE_OVERFLOW] = { -1, { "server", "kind", "count", "Event" } },
};

/* LIVE_CHANGES when there is no such event. */
static int change_of(struct slice event)
{
	int change = 0;
	while (change < LIVE_CHANGES && !slice_eq_nocase(event, slice_cstr(live_change_name((enum live_change_kind)change))))
		change++;
	return change;
}

const char *const *picture_event_words(struct slice event, struct slice field)
{
	static const char *const resync[] = { "true", NULL };
	int change = change_of(event);
	const char *name;

	if (change == LIVE_CHANGES)
		return NULL;
	enum live_kind kind = (enum live_kind)shapes[change].kind;
	for (uint32_t i = 0; shapes[change].kind >= 0 && (name = live_field_name(kind, i)); i++)
		if (slice_eq_nocase(field, slice_cstr(name)))
			return live_field_words(kind, (int)i);
	if (slice_eq_nocase(field, SLICE("resync")))
		return resync;
	if (slice_eq_nocase(field, SLICE("reason")) || slice_eq_nocase(field, SLICE("change")) || slice_eq_nocase(field, SLICE("kind")))
		return live_change_reasons((enum live_change_kind)change);
	return NULL;
}

const char *picture_event_field(struct slice event, uint32_t index)
{
	int change = change_of(event);
	const char *field;

	if (change == LIVE_CHANGES)
		return NULL;
	uint32_t count = 0;
	while (shapes[change].kind >= 0 && (field = live_field_name((enum live_kind)shapes[change].kind, count))) {
		if (count == index)
			return field;
		count++;
	}
	return index - count < sizeof shapes[change].more / sizeof *shapes[change].more ? shapes[change].more[index - count] : NULL;
}
