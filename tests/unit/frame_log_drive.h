/* Drives a frame log by operations that are read from bytes, beside a model that is too simple to be wrong: a list of all events
 * ever stored, and for each cursor what has become of each. For the unit test (random bytes) and the fuzz target. */
#ifndef TESTS_UNIT_FRAME_LOG_DRIVE_H
#define TESTS_UNIT_FRAME_LOG_DRIVE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ami/frame_log.h"
#include "ami/framer.h"

#ifndef DRIVE_EVENTS
#define DRIVE_EVENTS 6000 /* stored at most */
#endif
#define DRIVE_CURSORS 6
#define DRIVE_FRAME 4096

static const char *const drive_classes[] = { "VarSet", "RTCP*" };
static const char *const drive_names[] = {
	"Newchannel", "VarSet", "RTCPSent", "FullyBooted", "Hangup", "RTCPReceived", "Shutdown", "Newexten",
	"AnEventWhoseNameIsSoLongThatAGapCannotHoldAllOfItsBytesInOneName",
};

enum drive_fate { FATE_NONE, FATE_WAITS, FATE_SKIPPED, FATE_DONE };

struct drive_event {
	char name[80];
	uint32_t len, number;
	uint32_t padding; /* bytes of its last header's value */
	uint32_t headers;
	size_t class;
	bool kept, skipped, drops;
	uint64_t stamp;
};

struct drive_gap {
	uint64_t count, stamp;
	uint32_t place; /* before the event of this number */
	uint32_t name_count;
	char names[FRAME_GAP_NAMES][FRAME_GAP_NAME_MAX];
};

struct drive_cursor {
	struct frame_cursor cursor;
	bool open;
	struct frame_cursor_options options;
	uint8_t fate[DRIVE_EVENTS];
	enum frame_item_type shown;
	uint32_t shown_event;
	struct drive_gap gap, shown_gap;
	uint64_t skips, model_skips; /* that the callback counted; that the model expects */
};

struct drive {
	const uint8_t *at, *end;
	const char *broken; /* NULL: log and model agree */
	int line;
	struct pool pool;
	struct frame_log log;
	struct frame_log_options options;
	struct framer framer;
	struct drive_event events[DRIVE_EVENTS];
	uint32_t count;
	uint32_t first; /* none before it waits */
	uint64_t stamp, held;
	uint64_t firsts, model_firsts;
	struct drive_cursor cursors[DRIVE_CURSORS];
	/* What has been seen, so that a test can demand that it happened. */
	uint64_t popped, gaps, shed, grown, largest, most;
};

#define DRIVE_REQUIRE(d, condition)        \
	do {                                   \
		if (!(condition) && !(d)->broken) { \
			(d)->broken = #condition;      \
			(d)->line = __LINE__;          \
		}                                  \
	} while (0)

static unsigned drive_byte(struct drive *d)
{
	return d->at < d->end ? *d->at++ : 0;
}

/* ---- the model ---- */

static void drive_note(struct drive_gap *gap, uint32_t place, uint64_t stamp, const char *name)
{
	char cut[FRAME_GAP_NAME_MAX];
	uint32_t i = 0;

	if (gap->count++ == 0 || place < gap->place) {
		gap->place = place;
		gap->stamp = stamp;
	}
	snprintf(cut, sizeof cut, "%.*s", FRAME_GAP_NAME_MAX - 1, name);
	while (i < gap->name_count && strcmp(gap->names[i], cut) != 0)
		i++;
	if (cut[0] && i == gap->name_count && i < FRAME_GAP_NAMES)
		memcpy(gap->names[gap->name_count++], cut, sizeof cut);
}

static void drive_skip(struct drive *d, struct drive_cursor *c, uint32_t n)
{
	struct drive_event *e = &d->events[n];
	c->fate[n] = FATE_SKIPPED;
	c->model_skips++;
	d->model_firsts += !e->skipped;
	e->skipped = true;
	drive_note(&c->gap, n, e->stamp, e->name);
	d->shed++;
}

static bool drive_is_shown(const struct drive_cursor *c, uint32_t n)
{
	return c->shown == FRAME_EVENT && c->shown_event == n;
}

/* Whether somebody needs it; by whom it is shown does not matter. */
static bool drive_waits(const struct drive *d, uint32_t n)
{
	for (size_t i = 0; i < DRIVE_CURSORS; i++)
		if (d->cursors[i].open && d->cursors[i].fate[n] == FATE_WAITS)
			return true;
	return false;
}

static struct frame_sums drive_plain(const struct drive *d, const struct drive_cursor *c)
{
	struct frame_sums sums = { 0, 0 };
	for (uint32_t n = d->first; n < d->count; n++) {
		if (d->events[n].kept || !(c ? c->fate[n] == FATE_WAITS : drive_waits(d, n)))
			continue;
		sums.events++;
		sums.bytes += d->events[n].len;
	}
	return sums;
}

/* `c`: that cursor only; NULL: all. */
static void drive_shed(struct drive *d, struct drive_cursor *c, uint32_t events, uint32_t bytes)
{
	struct frame_sums waiting = drive_plain(d, c);
	if (waiting.events <= events && waiting.bytes <= bytes)
		return;
	for (size_t class = 0; class <= sizeof drive_classes / sizeof *drive_classes; class++) {
		for (uint32_t n = d->first; n < d->count; n++) {
			bool may = d->events[n].class == class && !d->events[n].kept && (c ? c->fate[n] == FATE_WAITS : drive_waits(d, n));
			for (size_t i = 0; i < DRIVE_CURSORS; i++)
				if ((!c || c == &d->cursors[i]) && d->cursors[i].open && drive_is_shown(&d->cursors[i], n))
					may = false;
			if (!may || (waiting.events <= events - events / 4 && waiting.bytes <= bytes - bytes / 4))
				continue;
			waiting.events--;
			waiting.bytes -= d->events[n].len;
			d->events[n].drops = true;
		}
	}
	for (uint32_t n = d->first; n < d->count; n++) {
		for (size_t i = 0; i < DRIVE_CURSORS && d->events[n].drops; i++)
			if ((!c || c == &d->cursors[i]) && d->cursors[i].open && d->cursors[i].fate[n] == FATE_WAITS)
				drive_skip(d, &d->cursors[i], n);
		d->events[n].drops = false;
	}
}

/* The first that waits, or `count`. */
static uint32_t drive_next(const struct drive *d, const struct drive_cursor *c)
{
	uint32_t n = d->first;
	while (n < d->count && c->fate[n] != FATE_WAITS)
		n++;
	return n;
}

/* ---- operations ---- */

static void drive_on_shed(void *ctx, void *cursor_ctx, struct slice name, bool first)
{
	struct drive *d = ctx;
	struct drive_cursor *c = cursor_ctx;
	DRIVE_REQUIRE(d, name.len > 0);
	c->skips++;
	d->firsts += first;
}

/* Writes the frame of `e` into `out`; its length. */
static uint32_t drive_frame(const struct drive_event *e, char *out)
{
	int n = snprintf(out, DRIVE_FRAME, "Event: %s\r\nActionID: id-%u\r\n", e->name, e->number);
	for (uint32_t i = 0; i < e->headers; i++)
		n += snprintf(out + n, DRIVE_FRAME - (size_t)n, "H%u: %u\r\n", i, e->number + i);
	n += snprintf(out + n, DRIVE_FRAME - (size_t)n, "Pad: ");
	memset(out + n, (int)('a' + e->number % 26), e->padding);
	n += (int)e->padding;
	memcpy(out + n, "\r\n\r\n", 4);
	return (uint32_t)n + 4;
}

static void drive_write(struct drive *d, const char *bytes, size_t len)
{
	while (len > 0) {
		size_t size = 0;
		char *to = frame_log_room(&d->log, &size);
		DRIVE_REQUIRE(d, to && size > 0 && size <= POOL_BUFFER);
		if (!to || size == 0)
			return;
		size = len < size ? len : size;
		memcpy(to, bytes, size);
		frame_log_commit(&d->log, size);
		bytes += size;
		len -= size;
	}
	d->grown += d->log.cap > POOL_BUFFER && d->log.cap > d->largest;
	if (d->log.cap > d->largest)
		d->largest = d->log.cap;
}

static void drive_check_message(struct drive *d, const struct drive_event *e, const struct message *m)
{
	char bytes[DRIVE_FRAME], id[32];
	struct slice value;
	uint32_t len = drive_frame(e, bytes);

	DRIVE_REQUIRE(d, m->kind == MESSAGE_EVENT && slice_eq(slice_make(bytes, len), slice_make(m->bytes, m->len)));
	DRIVE_REQUIRE(d, slice_eq(m->name, slice_cstr(e->name)));
	snprintf(id, sizeof id, "id-%u", e->number);
	DRIVE_REQUIRE(d, slice_eq(m->action_id, slice_cstr(id)) && m->header_count == e->headers + 3);
	DRIVE_REQUIRE(d, message_get(m, SLICE("Pad"), &value) && value.len == e->padding);
	for (uint32_t i = 0; i < e->headers && !d->broken; i++)
		DRIVE_REQUIRE(d, message_header_name(m, i + 2).ptr[0] == 'H' && message_header_value(m, i + 2).len > 0);
}

static void drive_new_event(struct drive *d, struct drive_event *e)
{
	unsigned shape = drive_byte(d);
	const char *name = drive_names[shape % (sizeof drive_names / sizeof *drive_names)];

	*e = (struct drive_event){ .number = d->count, .padding = drive_byte(d), .headers = shape >> 4, .stamp = d->stamp };
	d->stamp += shape & 1;
	if (e->padding > 220)
		e->padding = 3000;
	/* Many names, for gaps that cannot hold them all. */
	snprintf(e->name, sizeof e->name, shape % 64 == 0 ? "%s%u" : "%s", name, d->count % 32);
	e->kept = strcmp(e->name, "FullyBooted") == 0 || strcmp(e->name, "Shutdown") == 0;
	e->class = strcmp(e->name, "VarSet") == 0 ? 0 : strncmp(e->name, "RTCP", 4) == 0 ? 1 : 2;
}

/* One frame comes in, cut in two by `cut`, and is stored. */
static void drive_store(struct drive *d)
{
	struct drive_event *e = &d->events[d->count];
	struct message m;
	size_t consumed = 0;
	char bytes[DRIVE_FRAME];
	bool any = false;

	if (d->count == DRIVE_EVENTS)
		return;
	drive_new_event(d, e);
	e->len = drive_frame(e, bytes);
	size_t cut = drive_byte(d) % e->len;
	struct slice left = frame_log_unframed(&d->log);
	DRIVE_REQUIRE(d, left.len == 0);
	drive_write(d, bytes, cut);
	if (cut % 3 == 0)
		frame_log_settle(&d->log);
	DRIVE_REQUIRE(d, slice_eq(frame_log_unframed(&d->log), slice_make(bytes, cut)));
	drive_write(d, bytes + cut, e->len - cut);
	DRIVE_REQUIRE(d, framer_next(&d->framer, frame_log_unframed(&d->log), &m, &consumed) == FRAMER_FRAME && consumed == e->len);
	if (d->broken)
		return;
	for (size_t i = 0; i < DRIVE_CURSORS; i++)
		any |= d->cursors[i].open;
	DRIVE_REQUIRE(d, frame_log_has_cursors(&d->log) == any);
	if (!any) {
		frame_log_skip(&d->log, consumed);
		return;
	}
	DRIVE_REQUIRE(d, frame_log_store(&d->log, &m, consumed, d->count / 2.0, e->stamp, false) == 0);
	drive_check_message(d, e, &m); /* still there */
	d->count++;
	for (size_t i = 0; i < DRIVE_CURSORS; i++)
		d->cursors[i].fate[e->number] = d->cursors[i].open ? FATE_WAITS : FATE_NONE;
	if (e->kept)
		return;
	for (size_t i = 0; i < DRIVE_CURSORS; i++)
		if (d->cursors[i].open)
			drive_shed(d, &d->cursors[i], d->cursors[i].options.max_events, d->cursors[i].options.max_bytes);
	drive_shed(d, NULL, d->options.events, d->options.bytes);
}

static void drive_open(struct drive *d, struct drive_cursor *c)
{
	unsigned bounds = drive_byte(d);
	if (c->open)
		return;
	memset(c, 0, sizeof *c);
	c->open = true;
	c->options = (struct frame_cursor_options){ .max_events = 1 + (bounds & 15) * (bounds & 16 ? 100 : 3),
	                                            .max_bytes = bounds & 32 ? UINT32_MAX : 1000 * (1 + (bounds >> 6)), .ctx = c };
	frame_cursor_open(&c->cursor, &d->log, &c->options);
}

static void drive_close(struct drive_cursor *c)
{
	frame_cursor_close(&c->cursor);
	c->open = false;
	c->shown = FRAME_NONE;
}

static void drive_check_gap(struct drive *d, const struct drive_gap *gap, const struct frame_item *item)
{
	char text[FRAME_GAP_TEXT_MAX + 1] = "";
	size_t len = 0;
	for (uint32_t i = 0; i < gap->name_count; i++)
		len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i ? "," : "", gap->names[i]);
	DRIVE_REQUIRE(d, item->count == gap->count && item->stamp == gap->stamp && strcmp(text, item->names) == 0);
}

static void drive_front(struct drive *d, struct drive_cursor *c)
{
	struct frame_item item;
	uint32_t next = drive_next(d, c);

	if (c->open && c->shown == FRAME_NONE) {
		if (c->gap.count > 0 && c->gap.place <= next) {
			c->shown = FRAME_GAP;
			c->shown_gap = c->gap;
			c->gap.count = c->gap.name_count = 0;
			d->gaps++;
		} else if (next < d->count) {
			c->shown = FRAME_EVENT;
			c->shown_event = next;
		}
	}
	DRIVE_REQUIRE(d, frame_cursor_front(&c->cursor, &item) == c->shown && item.type == c->shown);
	if (d->broken)
		return;
	if (c->shown == FRAME_EVENT) {
		const struct drive_event *e = &d->events[c->shown_event];
		DRIVE_REQUIRE(d, item.stamp == e->stamp && (uint32_t)(item.at * 2) == e->number);
		drive_check_message(d, e, &item.message);
	} else if (c->shown == FRAME_GAP) {
		drive_check_gap(d, &c->shown_gap, &item);
	}
}

static void drive_pop(struct drive *d, struct drive_cursor *c)
{
	frame_cursor_pop(&c->cursor);
	if (c->shown == FRAME_EVENT) {
		c->fate[c->shown_event] = FATE_DONE;
		d->popped++;
	}
	c->shown = FRAME_NONE;
}

static void drive_lose(struct drive *d)
{
	const char *name = drive_byte(d) & 1 ? "Oversized" : "";
	frame_log_lost(&d->log, slice_cstr(name), d->stamp);
	for (size_t i = 0; i < DRIVE_CURSORS; i++)
		if (d->cursors[i].open)
			drive_note(&d->cursors[i].gap, d->count, d->stamp, name);
}

static void drive_hold(struct drive *d)
{
	unsigned n = drive_byte(d) * 100;
	if (n & 4 && d->held >= n) {
		frame_log_release(&d->log, n);
		d->held -= n;
	} else {
		frame_log_hold(&d->log, n);
		d->held += n;
	}
}

/* ---- comparison ---- */

static void drive_compare_cursor(struct drive *d, struct drive_cursor *c)
{
	uint64_t events, bytes, want_events = 0, want_bytes = 0, stamp = UINT64_MAX;
	uint32_t next = drive_next(d, c);

	for (uint32_t n = d->first; c->open && n < d->count; n++) {
		want_events += c->fate[n] == FATE_WAITS;
		want_bytes += c->fate[n] == FATE_WAITS ? d->events[n].len : 0;
	}
	frame_cursor_lag(&c->cursor, &events, &bytes);
	DRIVE_REQUIRE(d, events == want_events && bytes == want_bytes);
	if (c->open && c->shown == FRAME_GAP)
		stamp = c->shown_gap.stamp;
	else if (c->open && c->shown == FRAME_NONE && c->gap.count > 0 && c->gap.place <= next)
		stamp = c->gap.stamp;
	else if (c->open && next < d->count)
		stamp = d->events[next].stamp;
	DRIVE_REQUIRE(d, frame_cursor_stamp(&c->cursor) == stamp && frame_cursor_is_open(&c->cursor) == c->open);
	DRIVE_REQUIRE(d, c->skips == c->model_skips);
}

static void drive_compare(struct drive *d)
{
	struct frame_sums waiting = { 0, 0 };
	uint64_t kept = 0;

	while (d->first < d->count && !drive_waits(d, d->first))
		d->first++;
	for (uint32_t n = d->first; n < d->count; n++) {
		if (!drive_waits(d, n))
			continue;
		waiting.events++;
		waiting.bytes += d->events[n].len;
		kept += d->events[n].kept ? d->events[n].len : 0;
	}
	for (size_t i = 0; i < DRIVE_CURSORS; i++)
		drive_compare_cursor(d, &d->cursors[i]);
	struct frame_sums have = frame_log_waiting(&d->log);
	DRIVE_REQUIRE(d, have.events == waiting.events && have.bytes == waiting.bytes && d->firsts == d->model_firsts);
	DRIVE_REQUIRE(d, frame_log_overflowed(&d->log) == (kept + d->held > d->options.kept_bytes) && frame_log_held(&d->log) == d->held);
	DRIVE_REQUIRE(d, d->log.base <= d->log.head && d->log.head + have.bytes <= d->log.framed && d->log.framed <= d->log.tail);
	/* Holes are closed before they take more than the frames do. */
	DRIVE_REQUIRE(d, d->log.cap <= POOL_BUFFER || d->log.cap <= 8 * d->most);
	if (have.bytes + DRIVE_FRAME > d->most)
		d->most = have.bytes + DRIVE_FRAME;
}

static void drive_step(struct drive *d)
{
	unsigned what = drive_byte(d);
	struct drive_cursor *c = &d->cursors[(what >> 4) % DRIVE_CURSORS];

	switch (what & 15) {
	case 0:
		drive_open(d, c);
		break;
	case 1:
		if (drive_byte(d) < 40)
			drive_close(c);
		break;
	case 2:
		drive_lose(d);
		break;
	case 3:
		drive_hold(d);
		break;
	case 4:
		frame_log_settle(&d->log);
		break;
	case 5:
		drive_pop(d, c);
		break;
	case 6:
		drive_front(d, c);
		break;
	case 7:
	case 8:
		for (unsigned n = drive_byte(d) % 32; n > 0; n--) {
			drive_front(d, c);
			drive_pop(d, c);
		}
		break;
	default:
		drive_store(d);
		break;
	}
}

/* Runs the operations of `size` bytes at `data`. What is broken, or NULL; `*line` is where. `seen` (may be NULL) gets the sums of
 * what happened. */
struct drive_seen {
	uint64_t stored, popped, gaps, shed, grown;
};

static const char *drive_run(const uint8_t *data, size_t size, int *line, struct drive_seen *seen)
{
	struct drive *d = calloc(1, sizeof *d);

	if (!d)
		abort();
	d->at = data;
	d->end = data + size;
	unsigned bounds = drive_byte(d);
	d->options = (struct frame_log_options){
		.events = 1 + (bounds & 7) * 97, .bytes = bounds & 8 ? 1u << 30 : 4000 + (bounds >> 4) * 20000,
		.kept_bytes = 5000, .shed_first = drive_classes, .shed_count = sizeof drive_classes / sizeof *drive_classes,
		.shed = drive_on_shed, .ctx = d,
	};
	if (bounds & 8)
		d->options.events = 1 + (bounds & 7) * 600;
	pool_init(&d->pool);
	frame_log_init(&d->log, &d->options, &d->pool);
	framer_init(&d->framer, &(struct framer_limits){ .max_frame = 65536, .max_headers = 64 }, false);
	while (d->at < d->end && !d->broken) {
		drive_step(d);
		drive_compare(d);
	}
	for (size_t i = 0; i < DRIVE_CURSORS && !d->broken; i++)
		if (i % 2 == 0)
			drive_close(&d->cursors[i]);
	if (!d->broken)
		drive_compare(d);
	if (seen) {
		seen->stored += d->count;
		seen->popped += d->popped;
		seen->gaps += d->gaps;
		seen->shed += d->shed;
		seen->grown += d->grown;
	}
	const char *broken = d->broken;
	if (line)
		*line = d->line;
	frame_log_close(&d->log);
	framer_close(&d->framer);
	pool_close(&d->pool);
	free(d);
	return broken;
}

#endif
