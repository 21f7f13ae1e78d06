/* The cursors of a frame log: what each has still to read, what it skips, and its gaps. */
#include <stdio.h>
#include <stdlib.h>

#include "ami/frame_log_internal.h"

#define WORD_BITS 64u

/* ---- what a cursor skips ---- */

static uint64_t *mark_word(const struct frame_cursor *c, uint64_t position)
{
	return &c->marks[(position & (c->mark_cap - 1)) / WORD_BITS];
}

static bool is_marked(const struct frame_cursor *c, uint64_t position)
{
	return position < c->marks_end && *mark_word(c, position) >> position % WORD_BITS & 1;
}

static void set_mark(struct frame_cursor *c, uint64_t position, bool on)
{
	uint64_t bit = UINT64_C(1) << position % WORD_BITS, *word = mark_word(c, position);
	*word = on ? *word | bit : *word & ~bit;
}

/* Only for positions that the cursor has not passed, and not for one that it shows. */
static bool is_skipped(const struct frame_cursor *c, uint64_t position)
{
	const struct frame_record *r = frame_record(c->log, position);
	return r->needs == 0 || is_marked(c, position) || (position < c->plain_until && !r->kept);
}

/* The first needed position at or behind `position`, or the log's end. */
static uint64_t next_needed(const struct frame_cursor *c, uint64_t position)
{
	while (position < c->log->end) {
		if (position % WORD_BITS == 0 && position + WORD_BITS <= c->marks_end && *mark_word(c, position) == UINT64_MAX)
			position += WORD_BITS;
		else if (is_skipped(c, position))
			position++;
		else
			break;
	}
	return position;
}

/* Gives every position from the cursor's own to the log's end a bit. False when memory is out. */
static bool extend_marks(struct frame_cursor *c)
{
	uint64_t end = c->log->end, from = c->marks_end > c->position ? c->marks_end : c->position;

	/* As many as the log has records: renumbering writes to positions that the cursor has passed. */
	if (end - c->log->first > c->mark_cap) {
		struct frame_cursor wider = *c;
		wider.mark_cap = c->log->record_cap; /* a power of two, at least WORD_BITS */
		wider.marks = malloc(wider.mark_cap / 8);
		if (!wider.marks)
			return false;
		for (uint64_t p = c->position; p < from; p++)
			set_mark(&wider, p, is_marked(c, p));
		free(c->marks);
		c->marks = wider.marks;
		c->mark_cap = wider.mark_cap;
	}
	for (uint64_t p = from; p < end; p++)
		set_mark(c, p, false);
	c->marks_end = end;
	return true;
}

void frame_cursor_renumber(struct frame_cursor *c)
{
	/* A record's new position is never behind its old one. */
	for (uint64_t p = c->position; p < c->marks_end; p++)
		if (frame_record(c->log, p)->needs > 0)
			set_mark(c, frame_log_renumbered(c->log, p), is_marked(c, p));
	c->position = frame_log_renumbered(c->log, c->position);
	c->marks_end = frame_log_renumbered(c->log, c->marks_end);
	c->plain_until = frame_log_renumbered(c->log, c->plain_until);
	c->gap.position = frame_log_renumbered(c->log, c->gap.position);
}

/* ---- gaps ---- */

static void add_name(struct frame_gap *gap, struct slice name)
{
	size_t len = name.len < FRAME_GAP_NAME_MAX ? name.len : FRAME_GAP_NAME_MAX - 1;

	if (len == 0 || gap->name_count == FRAME_GAP_NAMES)
		return;
	for (uint32_t i = 0; i < gap->name_count; i++)
		if (strncmp(gap->names[i], name.ptr, len) == 0 && gap->names[i][len] == '\0')
			return;
	if (!gap->names)
		gap->names = calloc(FRAME_GAP_NAMES, sizeof *gap->names);
	if (gap->names)
		slice_to_text(name, gap->names[gap->name_count++], sizeof *gap->names);
}

static void add_to_gap(struct frame_gap *gap, uint64_t position, uint64_t stamp, struct slice name)
{
	if (gap->count++ == 0 || position < gap->position) {
		gap->position = position;
		gap->stamp = stamp;
	}
	add_name(gap, name);
}

static void free_gap(struct frame_gap *gap)
{
	free(gap->names);
	*gap = (struct frame_gap){ .count = 0 };
}

static void gap_text(const struct frame_gap *gap, char *out, size_t size)
{
	size_t n = 0;
	out[0] = '\0';
	for (uint32_t i = 0; i < gap->name_count && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%s", i ? "," : "", gap->names[i]);
}

void frame_log_lost(struct frame_log *log, struct slice name, uint64_t stamp)
{
	list_each(it, &log->cursors)
		add_to_gap(&list_entry(it, struct frame_cursor, node)->gap, log->end, stamp, name);
}

/* ---- shedding ---- */

static void spend(struct frame_sums *sums, uint64_t events, uint64_t bytes)
{
	sums->events -= events < sums->events ? events : sums->events;
	sums->bytes -= bytes < sums->bytes ? bytes : sums->bytes;
}

/* The cursor is done with `r`, one way or the other. */
static void leave(struct frame_cursor *c, struct frame_record *r)
{
	c->done.events++;
	c->done.bytes += r->len;
	if (!r->kept) {
		c->done_plain.events++;
		c->done_plain.bytes += r->len;
	}
	frame_log_unneed(c->log, r);
}

static struct slice record_name(const struct frame_log *log, const struct frame_record *r)
{
	return slice_make(frame_record_bytes(log, r) + r->name, r->name_len);
}

static void skip(struct frame_cursor *c, uint64_t position, struct frame_record *r)
{
	struct frame_log *log = c->log;

	add_to_gap(&c->gap, position, r->stamp, record_name(log, r));
	log->options.shed(log->options.ctx, c->options.ctx, record_name(log, r), !r->counted);
	r->counted = true;
	leave(c, r);
}

/* What a shedding drops: every event of a class below `whole`, and the oldest of class `whole` until nothing is left to
 * drop. */
struct shedding {
	size_t whole;
	struct frame_sums left;
};

static uint16_t class_of(const struct frame_log *log, struct slice name)
{
	size_t i = 0;
	while (i < log->options.shed_count && !slice_glob(slice_cstr(log->options.shed_first[i]), name))
		i++;
	return (uint16_t)i;
}

static void forget_classes(struct frame_log *log)
{
	memset(log->classes, 0, (log->options.shed_count + 1) * sizeof *log->classes);
}

static void count_class(struct frame_log *log, struct frame_record *r)
{
	if (r->class == FRAME_CLASS_UNKNOWN)
		r->class = class_of(log, record_name(log, r));
	log->classes[r->class].events++;
	log->classes[r->class].bytes += r->len;
}

/* From `waiting` down to three quarters of the bounds, with the classes counted. */
static struct shedding plan(const struct frame_log *log, struct frame_sums waiting, uint32_t events, uint32_t bytes)
{
	struct shedding shedding = { .left = waiting };

	spend(&shedding.left, events - events / 4, bytes - bytes / 4);
	/* Whole classes while even all of one is not enough. */
	while (shedding.whole < log->options.shed_count) {
		const struct frame_sums *class = &log->classes[shedding.whole];
		if (class->events >= shedding.left.events && class->bytes >= shedding.left.bytes)
			break;
		spend(&shedding.left, class->events, class->bytes);
		shedding.whole++;
	}
	return shedding;
}

static bool takes(struct shedding *shedding, const struct frame_record *r)
{
	if (r->class > shedding->whole)
		return false;
	if (r->class < shedding->whole)
		return true;
	if (shedding->left.events == 0 && shedding->left.bytes == 0)
		return false;
	spend(&shedding->left, 1, r->len);
	return true;
}

static struct frame_sums plain_lag(const struct frame_cursor *c)
{
	return (struct frame_sums){ c->log->stored_plain.events - c->done_plain.events,
	                            c->log->stored_plain.bytes - c->done_plain.bytes };
}

/* The first record that the cursor may skip: what it shows stays. */
static uint64_t first_open(const struct frame_cursor *c)
{
	return c->shown == FRAME_EVENT ? next_needed(c, c->position + 1) : c->position;
}

/* The cursor has passed its own bound. */
static void shed_one(struct frame_cursor *c)
{
	struct frame_log *log = c->log;

	forget_classes(log);
	for (uint64_t p = first_open(c); p < log->end; p = next_needed(c, p + 1))
		if (!frame_record(log, p)->kept)
			count_class(log, frame_record(log, p));
	struct shedding shedding = plan(log, plain_lag(c), c->options.max_events, c->options.max_bytes);
	bool marks = extend_marks(c);
	if (!marks)
		shedding.whole = SIZE_MAX;
	for (uint64_t p = first_open(c); p < log->end; p = next_needed(c, p + 1)) {
		struct frame_record *r = frame_record(log, p);
		if (r->kept || !takes(&shedding, r))
			continue;
		if (marks)
			set_mark(c, p, true);
		skip(c, p, r);
	}
	if (!marks)
		c->plain_until = log->end;
	if (c->shown != FRAME_EVENT)
		c->position = next_needed(c, c->position);
}

static void lower_check(struct frame_log *log, const struct frame_cursor *c)
{
	uint64_t events = c->done_plain.events + c->options.max_events, bytes = c->done_plain.bytes + c->options.max_bytes;
	if (events < log->check.events)
		log->check.events = events;
	if (bytes < log->check.bytes)
		log->check.bytes = bytes;
}

void frame_cursor_check_all(struct frame_log *log)
{
	log->check = (struct frame_sums){ UINT64_MAX, UINT64_MAX };
	list_each(it, &log->cursors) {
		struct frame_cursor *c = list_entry(it, struct frame_cursor, node);
		struct frame_sums lag = plain_lag(c);
		if (lag.events > c->options.max_events || lag.bytes > c->options.max_bytes)
			shed_one(c);
		lower_check(log, c);
	}
	frame_log_trim(log);
}

/* Only what is no cursor's front may go. */
static bool may_drop(const struct frame_record *r)
{
	return r->needs > 0 && r->fronts == 0 && !r->kept;
}

void frame_cursor_shed_all(struct frame_log *log)
{
	forget_classes(log);
	for (uint64_t p = log->first; p < log->end; p++)
		if (may_drop(frame_record(log, p)))
			count_class(log, frame_record(log, p));
	struct shedding shedding = plan(log, log->waiting_plain, log->options.events, log->options.bytes);
	for (uint64_t p = log->first; p < log->end; p++) {
		struct frame_record *r = frame_record(log, p);
		r->dropped = may_drop(r) && takes(&shedding, r);
	}
	/* Every cursor that needs such a record skips it, so it is a hole in the end and needs no marks. */
	list_each(it, &log->cursors) {
		struct frame_cursor *c = list_entry(it, struct frame_cursor, node);
		for (uint64_t p = c->position; p < log->end; p = next_needed(c, p + 1))
			if (frame_record(log, p)->dropped)
				skip(c, p, frame_record(log, p));
	}
	list_each(it, &log->cursors) {
		struct frame_cursor *c = list_entry(it, struct frame_cursor, node);
		if (c->shown != FRAME_EVENT)
			c->position = next_needed(c, c->position);
	}
	frame_log_trim(log);
}

/* ---- a cursor's life ---- */

void frame_cursor_open(struct frame_cursor *c, struct frame_log *log, const struct frame_cursor_options *options)
{
	*c = (struct frame_cursor){ .log = log, .options = *options, .position = log->end,
	                            .done = log->stored, .done_plain = log->stored_plain };
	list_append(&log->cursors, &c->node);
	log->cursor_count++;
	lower_check(log, c);
}

void frame_cursor_close(struct frame_cursor *c)
{
	struct frame_log *log = c->log;

	if (!log)
		return;
	if (c->shown == FRAME_EVENT)
		frame_record(log, c->position)->fronts--;
	for (uint64_t p = c->position; p < log->end; p = next_needed(c, p + 1))
		frame_log_unneed(log, frame_record(log, p));
	list_remove(&c->node);
	log->cursor_count--;
	free(c->marks);
	free_gap(&c->gap);
	free_gap(&c->shown_gap);
	*c = (struct frame_cursor){ .log = NULL };
	frame_log_trim(log);
}

static bool gap_is_next(const struct frame_cursor *c)
{
	return c->shown == FRAME_NONE && c->gap.count > 0 && c->gap.position <= c->position;
}

static void show_next(struct frame_cursor *c)
{
	if (gap_is_next(c)) {
		c->shown = FRAME_GAP;
		c->shown_gap = c->gap;
		c->gap = (struct frame_gap){ .count = 0 };
	} else if (c->position < c->log->end) {
		c->shown = FRAME_EVENT;
		frame_record(c->log, c->position)->fronts++;
	}
}

static void describe_event(const struct frame_log *log, const struct frame_record *r, struct frame_item *item)
{
	const char *bytes = frame_record_bytes(log, r);

	item->at = r->at;
	item->stamp = r->stamp;
	item->message = (struct message){
		.bytes = bytes, .len = r->len, .header_count = r->header_count,
		.headers = log->headers + r->headers, .kind = MESSAGE_EVENT,
		.name = { bytes + r->name, r->name_len }, .action_id = { bytes + r->id, r->id_len },
	};
}

enum frame_item_type frame_cursor_front(struct frame_cursor *c, struct frame_item *item)
{
	if (c->log && c->shown == FRAME_NONE)
		show_next(c);
	item->type = c->shown;
	if (c->shown == FRAME_EVENT) {
		describe_event(c->log, frame_record(c->log, c->position), item);
	} else if (c->shown == FRAME_GAP) {
		item->count = c->shown_gap.count;
		item->stamp = c->shown_gap.stamp;
		gap_text(&c->shown_gap, item->names, sizeof item->names);
	}
	return item->type;
}

bool frame_cursor_count(struct frame_cursor *c)
{
	if (!c->log || c->shown != FRAME_EVENT)
		return false;
	struct frame_record *r = frame_record(c->log, c->position);
	bool first = !r->counted;
	r->counted = true;
	return first;
}

void frame_cursor_pop(struct frame_cursor *c)
{
	enum frame_item_type shown = c->shown;

	c->shown = FRAME_NONE;
	if (shown == FRAME_GAP) {
		free_gap(&c->shown_gap);
	} else if (shown == FRAME_EVENT) {
		struct frame_record *r = frame_record(c->log, c->position);
		r->fronts--;
		leave(c, r);
		c->position = next_needed(c, c->position + 1);
		frame_log_trim(c->log);
	}
}

uint64_t frame_cursor_stamp(const struct frame_cursor *c)
{
	if (c->shown == FRAME_GAP)
		return c->shown_gap.stamp;
	if (c->log && gap_is_next(c))
		return c->gap.stamp;
	return c->log && c->position < c->log->end ? frame_record(c->log, c->position)->stamp : UINT64_MAX;
}

uint64_t frame_cursor_count_until(const struct frame_cursor *c, uint64_t stamp)
{
	uint64_t n = 0;

	for (uint64_t p = c->position; c->log && p < c->log->end && frame_record(c->log, p)->stamp <= stamp; p = next_needed(c, p + 1))
		n++;
	return n;
}

void frame_cursor_lag(const struct frame_cursor *c, uint64_t *events, uint64_t *bytes)
{
	*events = c->log ? c->log->stored.events - c->done.events : 0;
	*bytes = c->log ? c->log->stored.bytes - c->done.bytes : 0;
}
