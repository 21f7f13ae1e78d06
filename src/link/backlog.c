#include "link/backlog.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define ROOM_MIN (POOL_BUFFER / 4)
#define TAIL_SMALL 4096u /* a cut frame up to this waits in a block of its own */
#define CLASS_UNKNOWN UINT16_MAX

struct backlog_record {
	uint8_t type; /* enum backlog_type */
	bool kept;    /* never shed */
	uint16_t class;
	uint32_t len, header_count;
	uint32_t name, name_len, id, id_len; /* offsets in the frame */
	union {
		struct {
			uint64_t bytes, headers; /* logical */
		} at;
		struct {
			struct reply *reply;
			size_t size;
		} done;
	};
	double arrived;
};

void backlog_init(struct backlog *b, const struct backlog_options *options, struct pool *pool)
{
	*b = (struct backlog){ .options = *options, .pool = pool };
	b->classes = mem_zalloc((options->shed_count + 1) * sizeof *b->classes);
}

static void release(struct backlog *b)
{
	if (b->cap == POOL_BUFFER)
		pool_put(b->pool, b->data);
	else
		free(b->data);
	b->data = NULL;
	b->cap = 0;
	b->base = b->head = b->framed = b->tail = 0;
}

static struct backlog_record *record(const struct backlog *b, uint32_t i)
{
	return &b->records[(b->first + i) & (b->record_cap - 1)];
}

void backlog_close(struct backlog *b)
{
	for (uint32_t i = 0; i < b->count; i++)
		if (record(b, i)->type == BACKLOG_REPLY)
			reply_free(&record(b, i)->done.reply);
	release(b);
	free(b->headers);
	free(b->records);
	free(b->gap);
	free(b->classes);
	*b = (struct backlog){ .pool = b->pool };
}

/* ---- bytes ---- */

/* Moves the bytes from `head` on to the front of `data`, which may be another block. */
static void slide(struct backlog *b, char *data)
{
	memmove(data, b->data + (b->head - b->base), b->tail - b->head);
	b->base = b->head;
}

/* The buffer goes where it came from. */
static void give_back(struct backlog *b)
{
	if (b->cap == POOL_BUFFER)
		pool_put(b->pool, b->data);
	else
		free(b->data);
}

static void squeeze(struct backlog *b);

static int grow(struct backlog *b)
{
	size_t cap = b->cap * 2;
	bool pooled = b->cap == POOL_BUFFER;
	/* A large block grows in its place, without a second one beside it. */
	if (!pooled)
		slide(b, b->data);
	char *data = pooled ? malloc(cap) : realloc(b->data, cap);
	if (!data)
		return -1;
	if (pooled) {
		slide(b, data);
		give_back(b);
	}
	b->data = data;
	b->cap = cap;
	return 0;
}

/* A buffer of the pool, with the cut frame (if any) at its front. */
static int take_buffer(struct backlog *b)
{
	char *data = pool_get(b->pool);
	if (!data)
		return -1;
	if (b->data) {
		slide(b, data);
		free(b->data);
	}
	b->data = data;
	b->cap = POOL_BUFFER;
	return 0;
}

/* Nothing but a short cut frame is held: that waits elsewhere. So a thousand links read into one buffer, which stays in the
 * processor's cache, instead of into one each. */
static void set_tail_aside(struct backlog *b)
{
	char *data = malloc(b->tail - b->head);
	if (!data)
		return; /* it waits where it is */
	slide(b, data);
	give_back(b);
	b->data = data;
	b->cap = b->tail - b->head;
}

char *backlog_room(struct backlog *b, size_t *room)
{
	if (b->cap < POOL_BUFFER && take_buffer(b))
		return NULL;
	if (b->cap - (b->tail - b->base) < ROOM_MIN) {
		size_t held = b->tail - b->head;
		size_t holes = (size_t)(b->framed - b->head - b->event_bytes);
		if (holes >= b->cap / 2)
			squeeze(b);
		else if (held <= b->cap / 2)
			slide(b, b->data);
		else if (grow(b))
			return NULL;
	}
	size_t space = b->cap - (b->tail - b->base);
	/* One read stays small, however large the buffer has grown: the other links wait (P5). */
	*room = space < POOL_BUFFER ? space : POOL_BUFFER;
	return b->data + (b->tail - b->base);
}

void backlog_commit(struct backlog *b, size_t n)
{
	b->tail += n;
}

struct slice backlog_unframed(const struct backlog *b)
{
	return b->data ? slice_make(b->data + (b->framed - b->base), b->tail - b->framed) : slice_make("", 0);
}

void backlog_skip(struct backlog *b, size_t n)
{
	b->framed += n;
	if (b->all_events == 0)
		b->head = b->framed;
}

void backlog_drop_unframed(struct backlog *b)
{
	b->tail = b->framed;
	backlog_settle(b);
}

void backlog_settle(struct backlog *b)
{
	if (b->data && b->head == b->tail)
		release(b);
	else if (b->all_events == 0 && b->cap >= POOL_BUFFER && b->tail - b->head <= TAIL_SMALL)
		set_tail_aside(b);
	if (b->count > 0)
		return;
	/* What a burst has grown does not stay. */
	if (b->record_cap > 256) {
		free(b->records);
		b->records = NULL;
		b->record_cap = b->first = 0;
	}
	if (b->header_cap > 4096) {
		free(b->headers);
		b->headers = NULL;
		b->header_cap = 0;
		b->header_base = b->header_head = b->header_tail = 0;
	}
}

/* ---- the queue ---- */

static struct backlog_record *push(struct backlog *b)
{
	if (b->count == b->record_cap) {
		uint32_t cap = b->record_cap ? b->record_cap * 2 : 64;
		struct backlog_record *records = malloc(cap * sizeof *records);
		if (!records)
			return NULL;
		for (uint32_t i = 0; i < b->count; i++)
			records[i] = *record(b, i);
		free(b->records);
		b->records = records;
		b->record_cap = cap;
		b->first = 0;
	}
	struct backlog_record *r = record(b, b->count++);
	*r = (struct backlog_record){ .class = CLASS_UNKNOWN };
	return r;
}

/* Room for `n` more headers at the tail. */
static int reserve_headers(struct backlog *b, uint32_t n)
{
	size_t held = (size_t)(b->header_tail - b->header_head), used = (size_t)(b->header_tail - b->header_base);
	if (used + n <= b->header_cap)
		return 0;
	struct header *to = b->headers;
	size_t cap = b->header_cap;
	if (held + n > cap / 2) {
		cap = cap ? cap : 512;
		while (cap < held + n)
			cap *= 2;
		cap = cap == b->header_cap ? cap * 2 : cap;
		to = malloc(cap * sizeof *to);
		if (!to)
			return -1;
	}
	if (held > 0)
		memmove(to, b->headers + (b->header_head - b->header_base), held * sizeof *to);
	if (to != b->headers)
		free(b->headers);
	b->headers = to;
	b->header_cap = cap;
	b->header_base = b->header_head;
	return 0;
}

static uint32_t frame_offset(const struct message *m, struct slice s)
{
	return s.len > 0 ? (uint32_t)(s.ptr - m->bytes) : 0;
}

/* These say what everything else depends on: a server that starts, and one that ends (Q41, Q47). */
static bool is_kept(struct slice name)
{
	return slice_eq_nocase(name, SLICE("FullyBooted")) || slice_eq_nocase(name, SLICE("Shutdown"));
}

static uint16_t class_of(const struct backlog *b, struct slice name)
{
	size_t i = 0;
	while (i < b->options.shed_count && !slice_glob(slice_cstr(b->options.shed_first[i]), name))
		i++;
	return (uint16_t)i;
}

static char *frame_bytes(const struct backlog *b, const struct backlog_record *r)
{
	return b->data + (r->at.bytes - b->base);
}

static struct slice frame_name(const struct backlog *b, const struct backlog_record *r)
{
	return slice_make(frame_bytes(b, r) + r->name, r->name_len);
}

static void note_lost(struct backlog *b, struct slice name)
{
	struct backlog_gap *gap = b->gap;

	gap->count++;
	if (name.len == 0 || gap->name_count == BACKLOG_GAP_NAMES)
		return;
	for (uint32_t i = 0; i < gap->name_count; i++)
		if (slice_eq(slice_cstr(gap->names[i]), slice_make(name.ptr, strnlen(name.ptr, name.len < 47 ? name.len : 47))))
			return;
	snprintf(gap->names[gap->name_count++], sizeof gap->names[0], "%.*s", SLICE_ARG(name));
}

static void uncount(struct backlog *b, const struct backlog_record *r)
{
	if (r->type == BACKLOG_REPLY) {
		b->kept_bytes -= r->done.size;
		return;
	}
	if (r->type != BACKLOG_EVENT)
		return;
	b->all_events--;
	b->event_bytes -= r->len;
	if (r->kept) {
		b->kept_bytes -= r->len;
	} else {
		b->plain_events--;
		b->plain_bytes -= r->len;
	}
}

/* What one pass drops: every event of a class below `whole`, and the oldest of class `whole` until both needs are met. */
struct shedding {
	uint16_t whole;
	uint64_t events, bytes;
};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool is_shed(struct shedding *shedding, const struct backlog_record *r)
{
	if (r->kept || r->class > shedding->whole)
		return false;
	if (r->class < shedding->whole)
		return true;
	if (shedding->events == 0 && shedding->bytes == 0)
		return false;
	shedding->events -= least(shedding->events, 1);
	shedding->bytes -= least(shedding->bytes, r->len);
	return true;
}

/* One pass: drops what `shedding` says (NULL: nothing), closes every hole, puts the gap where the first loss was. */
static void compact(struct backlog *b, struct shedding *shedding)
{
	uint32_t kept = 0, count = b->count;
	uint64_t byte = 0, header = 0;
	bool gap_placed = false;
	size_t unframed = b->tail - b->framed;

	for (uint32_t i = 0; i < count; i++) {
		struct backlog_record r = *record(b, i);
		bool shed = shedding && r.type == BACKLOG_EVENT && is_shed(shedding, &r);
		if (shed) {
			note_lost(b, frame_name(b, &r));
			b->options.shed(b->options.ctx, frame_name(b, &r));
			uncount(b, &r);
		}
		if (shed || r.type == BACKLOG_GAP) {
			if (gap_placed)
				continue;
			gap_placed = true;
			r = (struct backlog_record){ .type = BACKLOG_GAP };
		} else if (r.type == BACKLOG_EVENT) {
			memmove(b->data + byte, frame_bytes(b, &r), r.len);
			memmove(b->headers + header, b->headers + (r.at.headers - b->header_base), r.header_count * sizeof *b->headers);
			r.at.bytes = byte;
			r.at.headers = header;
			byte += r.len;
			header += r.header_count;
		}
		/* `base` is still the old one: positions of what was moved are not read again in this pass. */
		*record(b, kept++) = r;
	}
	b->count = kept;
	if (unframed > 0)
		memmove(b->data + byte, b->data + (b->framed - b->base), unframed);
	b->base = b->head = 0;
	b->framed = byte;
	b->tail = byte + unframed;
	b->header_base = b->header_head = 0;
	b->header_tail = header;
}

static void squeeze(struct backlog *b)
{
	compact(b, NULL);
}

static void shed(struct backlog *b)
{
	uint64_t low_events = b->options.events - b->options.events / 4, low_bytes = b->options.bytes - b->options.bytes / 4;
	struct shedding shedding = {
		.events = b->plain_events > low_events ? b->plain_events - low_events : 0,
		.bytes = b->plain_bytes > low_bytes ? b->plain_bytes - low_bytes : 0,
	};

	memset(b->classes, 0, (b->options.shed_count + 1) * sizeof *b->classes);
	for (uint32_t i = 0; i < b->count; i++) {
		struct backlog_record *r = record(b, i);
		if (r->type != BACKLOG_EVENT || r->kept)
			continue;
		if (r->class == CLASS_UNKNOWN)
			r->class = class_of(b, frame_name(b, r));
		b->classes[r->class].events++;
		b->classes[r->class].bytes += r->len;
	}
	/* Whole classes while even all of one is not enough. */
	while (shedding.whole < b->options.shed_count && (b->classes[shedding.whole].events < shedding.events ||
	                                                  b->classes[shedding.whole].bytes < shedding.bytes)) {
		shedding.events -= least(shedding.events, b->classes[shedding.whole].events);
		shedding.bytes -= least(shedding.bytes, b->classes[shedding.whole].bytes);
		shedding.whole++;
	}
	if (!b->gap)
		b->gap = mem_zalloc(sizeof *b->gap);
	compact(b, &shedding);
}

int backlog_store(struct backlog *b, const struct message *m, size_t consumed, double at)
{
	if (reserve_headers(b, m->header_count))
		return -1;
	struct backlog_record *r = push(b);
	if (!r)
		return -1;
	if (b->all_events == 0)
		b->head = b->base + (uint64_t)(m->bytes - b->data);
	r->type = BACKLOG_EVENT;
	r->kept = is_kept(m->name);
	r->len = m->len;
	r->header_count = m->header_count;
	r->name = frame_offset(m, m->name);
	r->name_len = (uint32_t)m->name.len;
	r->id = frame_offset(m, m->action_id);
	r->id_len = (uint32_t)m->action_id.len;
	r->at.bytes = b->base + (uint64_t)(m->bytes - b->data);
	r->at.headers = b->header_tail;
	r->arrived = at;
	if (m->header_count > 0)
		memcpy(b->headers + (b->header_tail - b->header_base), m->headers, m->header_count * sizeof *m->headers);
	b->header_tail += m->header_count;
	b->framed += consumed;
	b->all_events++;
	b->event_bytes += r->len;
	if (r->kept) {
		b->kept_bytes += r->len;
	} else {
		b->plain_events++;
		b->plain_bytes += r->len;
	}
	if (b->plain_events > b->options.events || b->plain_bytes > b->options.bytes)
		shed(b);
	return 0;
}

static size_t reply_size(const struct reply *reply)
{
	size_t size = sizeof *reply + (reply->response ? message_copy_size(reply->response) : 0);
	for (uint32_t i = 0; i < reply->event_count; i++)
		size += message_copy_size(reply->events[i]);
	return size;
}

void backlog_reply(struct backlog *b, struct reply *reply)
{
	struct backlog_record *r = push(b);
	if (!r) /* an action must not get lost (P3) */
		abort();
	r->type = BACKLOG_REPLY;
	r->done.reply = reply;
	r->done.size = reply_size(reply);
	b->kept_bytes += r->done.size;
}

void backlog_lost(struct backlog *b, struct slice name)
{
	if (!b->gap) {
		struct backlog_record *r = push(b);
		if (!r)
			return; /* out of memory: the counter has it */
		r->type = BACKLOG_GAP;
		b->gap = mem_zalloc(sizeof *b->gap);
	}
	note_lost(b, name);
}

bool backlog_overflowed(const struct backlog *b)
{
	return b->kept_bytes > b->options.kept_bytes;
}

static void gap_names(const struct backlog_gap *gap, char *out, size_t size)
{
	size_t n = 0;
	out[0] = '\0';
	for (uint32_t i = 0; i < gap->name_count && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%s", i ? "," : "", gap->names[i]);
}

void backlog_front(const struct backlog *b, struct backlog_item *item)
{
	const struct backlog_record *r = record(b, 0);

	item->type = r->type;
	if (r->type == BACKLOG_EVENT) {
		const char *bytes = frame_bytes(b, r);
		item->at = r->arrived;
		item->message = (struct message){
			.bytes = bytes, .len = r->len, .header_count = r->header_count,
			.headers = b->headers + (r->at.headers - b->header_base), .kind = MESSAGE_EVENT,
			.name = { bytes + r->name, r->name_len }, .action_id = { bytes + r->id, r->id_len },
		};
	} else if (r->type == BACKLOG_REPLY) {
		item->reply = r->done.reply;
	} else {
		item->count = b->gap->count;
		gap_names(b->gap, item->names, sizeof item->names);
	}
}

void backlog_pop(struct backlog *b)
{
	const struct backlog_record *r = record(b, 0);

	uncount(b, r);
	if (r->type == BACKLOG_EVENT) {
		b->head = r->at.bytes + r->len;
		b->header_head = r->at.headers + r->header_count;
		if (b->all_events == 0)
			b->head = b->framed;
	} else if (r->type == BACKLOG_GAP) {
		free(b->gap);
		b->gap = NULL;
	}
	b->first = (b->first + 1) & (b->record_cap - 1);
	b->count--;
	backlog_settle(b);
}
