#include <stdlib.h>

#include "ami/frame_log_internal.h"
#include "base/mem.h"

#define ROOM_MIN (POOL_BUFFER / 4)
#define TAIL_SMALL 4096u /* a cut frame up to this waits in a block of its own */
#define RECORDS_IDLE 256u /* an empty log keeps an index up to this */
#define HEADERS_IDLE 4096u

void frame_log_init(struct frame_log *log, const struct frame_log_options *options, struct pool *pool)
{
	*log = (struct frame_log){ .options = *options, .pool = pool, .check = { UINT64_MAX, UINT64_MAX } };
	list_init(&log->cursors);
	log->classes = mem_zalloc((options->shed_count + 1) * sizeof *log->classes);
}

/* The buffer goes where it came from. */
static void give_back(struct frame_log *log)
{
	if (log->cap == POOL_BUFFER)
		pool_put(log->pool, log->data);
	else
		free(log->data);
}

static void release_buffer(struct frame_log *log)
{
	give_back(log);
	log->data = NULL;
	log->cap = 0;
	log->base = log->head = log->framed = log->tail = 0;
}

void frame_log_close(struct frame_log *log)
{
	list_each_safe(it, &log->cursors)
		frame_cursor_close(list_entry(it, struct frame_cursor, node));
	release_buffer(log);
	free(log->headers);
	free(log->records);
	free(log->classes);
	*log = (struct frame_log){ .pool = log->pool };
	list_init(&log->cursors);
}

static bool is_empty(const struct frame_log *log)
{
	return log->first == log->end;
}

/* ---- records ---- */

void frame_log_unneed(struct frame_log *log, struct frame_record *r)
{
	if (--r->needs > 0)
		return;
	log->waiting.events--;
	log->waiting.bytes -= r->len;
	log->headers_live -= r->header_count;
	if (r->kept) {
		log->kept_bytes -= r->len;
	} else {
		log->waiting_plain.events--;
		log->waiting_plain.bytes -= r->len;
	}
}

void frame_log_trim(struct frame_log *log)
{
	while (log->first < log->end && frame_record(log, log->first)->needs == 0)
		log->first++;
	if (is_empty(log)) {
		log->head = log->framed;
		log->header_count = 0;
	} else {
		log->head = frame_record(log, log->first)->bytes;
	}
}

uint64_t frame_log_renumbered(const struct frame_log *log, uint64_t position)
{
	if (position <= log->first)
		return log->first;
	if (position >= log->end)
		return log->first + log->waiting.events;
	return log->first + frame_record(log, position)->before;
}

/* Closes every hole among the records and their headers. */
static void squeeze_index(struct frame_log *log)
{
	uint64_t to = log->first;
	size_t headers = 0;
	uint32_t before = 0;

	for (uint64_t p = log->first; p < log->end; p++) {
		struct frame_record *r = frame_record(log, p);
		r->before = before;
		before += r->needs > 0;
	}
	list_each(it, &log->cursors)
		frame_cursor_renumber(list_entry(it, struct frame_cursor, node));
	for (uint64_t p = log->first; p < log->end; p++) {
		struct frame_record r = *frame_record(log, p);
		if (r.needs == 0)
			continue;
		if (r.header_count > 0)
			memmove(log->headers + headers, log->headers + r.headers, r.header_count * sizeof *log->headers);
		r.headers = headers;
		headers += r.header_count;
		*frame_record(log, to++) = r;
	}
	log->end = to;
	log->header_count = headers;
}

/* Space for one more record. */
static int reserve_record(struct frame_log *log)
{
	if (log->end - log->first < log->record_cap)
		return 0;
	if (log->record_cap > 0 && log->waiting.events <= log->record_cap / 2) {
		squeeze_index(log);
		return 0;
	}
	uint32_t cap = log->record_cap ? log->record_cap * 2 : 64;
	struct frame_record *records = malloc(cap * sizeof *records);
	if (!records)
		return -1;
	for (uint64_t p = log->first; p < log->end; p++)
		records[p & (cap - 1)] = *frame_record(log, p);
	free(log->records);
	log->records = records;
	log->record_cap = cap;
	return 0;
}

/* Space for `n` more headers. */
static int reserve_headers(struct frame_log *log, uint32_t n)
{
	if (log->header_count + n <= log->header_cap)
		return 0;
	if (log->header_count - log->headers_live > log->header_cap / 2) {
		squeeze_index(log);
		if (log->header_count + n <= log->header_cap)
			return 0;
	}
	size_t cap = log->header_cap ? log->header_cap * 2 : 512;
	while (cap < log->header_count + n)
		cap *= 2;
	struct header *headers = realloc(log->headers, cap * sizeof *headers);
	if (!headers)
		return -1;
	log->headers = headers;
	log->header_cap = cap;
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

static void add(struct frame_sums *sums, uint32_t bytes)
{
	sums->events++;
	sums->bytes += bytes;
}

int frame_log_store(struct frame_log *log, const struct message *m, size_t consumed, double at, uint64_t stamp, bool taken)
{
	if (log->cursor_count == 0) {
		frame_log_skip(log, consumed);
		return 0;
	}
	if (reserve_headers(log, m->header_count) || reserve_record(log))
		return -1;
	struct frame_record r = {
		.bytes = log->base + (uint64_t)(m->bytes - log->data), .headers = log->header_count, .at = at, .stamp = stamp, .needs = log->cursor_count, .len = m->len, .header_count = m->header_count,
		.name = frame_offset(m, m->name), .name_len = (uint32_t)m->name.len,
		.id = frame_offset(m, m->action_id), .id_len = (uint32_t)m->action_id.len,
		.class = FRAME_CLASS_UNKNOWN, .kept = is_kept(m->name), .counted = taken,
	};
	*frame_record(log, log->end++) = r;
	if (r.header_count > 0)
		memcpy(log->headers + log->header_count, m->headers, r.header_count * sizeof *m->headers);
	log->header_count += r.header_count;
	log->headers_live += r.header_count;
	log->framed += consumed;
	add(&log->waiting, r.len);
	add(&log->stored, r.len);
	if (r.kept) {
		log->kept_bytes += r.len;
		return 0;
	}
	add(&log->waiting_plain, r.len);
	add(&log->stored_plain, r.len);
	if (log->stored_plain.events > log->check.events || log->stored_plain.bytes > log->check.bytes)
		frame_cursor_check_all(log);
	if (log->waiting_plain.events > log->options.events || log->waiting_plain.bytes > log->options.bytes)
		frame_cursor_shed_all(log);
	return 0;
}

void frame_log_hold(struct frame_log *log, uint64_t bytes)
{
	log->held_bytes += bytes;
}

void frame_log_release(struct frame_log *log, uint64_t bytes)
{
	log->held_bytes -= bytes;
}

bool frame_log_overflowed(const struct frame_log *log)
{
	return log->kept_bytes + log->held_bytes > log->options.kept_bytes;
}

struct frame_sums frame_log_waiting(const struct frame_log *log)
{
	return log->waiting;
}

uint64_t frame_log_held(const struct frame_log *log)
{
	return log->held_bytes;
}

/* ---- bytes ---- */

/* Moves the bytes from `head` on to the front of `data`, which may be another block. */
static void slide(struct frame_log *log, char *data)
{
	memmove(data, log->data + (log->head - log->base), (size_t)(log->tail - log->head));
	log->base = log->head;
}

static int grow(struct frame_log *log)
{
	size_t cap = log->cap * 2;
	bool pooled = log->cap == POOL_BUFFER;
	/* A large block grows in its place, without a second one beside it. */
	if (!pooled)
		slide(log, log->data);
	char *data = pooled ? malloc(cap) : realloc(log->data, cap);
	if (!data)
		return -1;
	if (pooled) {
		slide(log, data);
		give_back(log);
	}
	log->data = data;
	log->cap = cap;
	return 0;
}

/* A buffer of the pool, with the cut frame (if any) at its front. */
static int take_buffer(struct frame_log *log)
{
	char *data = pool_get(log->pool);
	if (!data)
		return -1;
	if (log->data) {
		slide(log, data);
		free(log->data);
	}
	log->data = data;
	log->cap = POOL_BUFFER;
	return 0;
}

/* Nothing but a short cut frame is held: that waits elsewhere. So a thousand links read into one buffer, which stays in the
 * processor's cache, instead of into one each. */
static void set_tail_aside(struct frame_log *log)
{
	char *data = malloc((size_t)(log->tail - log->head));
	if (!data)
		return; /* it waits where it is */
	slide(log, data);
	give_back(log);
	log->data = data;
	log->cap = (size_t)(log->tail - log->head);
}

/* Closes every hole among the bytes. */
static void squeeze_bytes(struct frame_log *log)
{
	size_t unframed = (size_t)(log->tail - log->framed);
	uint64_t byte = 0;

	/* `base` is the old one until the end: positions of what was moved are not read again. */
	for (uint64_t p = log->first; p < log->end; p++) {
		struct frame_record *r = frame_record(log, p);
		if (r->needs == 0)
			continue;
		memmove(log->data + byte, frame_record_bytes(log, r), r->len);
		r->bytes = byte;
		byte += r->len;
	}
	memmove(log->data + byte, log->data + (log->framed - log->base), unframed);
	log->base = log->head = 0;
	log->framed = byte;
	log->tail = byte + unframed;
}

char *frame_log_room(struct frame_log *log, size_t *size)
{
	if (log->cap < POOL_BUFFER && take_buffer(log))
		return NULL;
	if (log->cap - (log->tail - log->base) < ROOM_MIN) {
		uint64_t held = log->tail - log->head, holes = log->framed - log->head - log->waiting.bytes;
		/* Each frees at least a quarter of the buffer; it grows only for frames that wait. */
		if (held <= log->cap / 2)
			slide(log, log->data);
		else if (holes >= held / 2)
			squeeze_bytes(log);
		else if (grow(log))
			return NULL;
	}
	size_t space = log->cap - (size_t)(log->tail - log->base);
	/* One read stays small, however large the buffer has grown: the other links wait (P5). */
	*size = space < POOL_BUFFER ? space : POOL_BUFFER;
	return log->data + (log->tail - log->base);
}

void frame_log_commit(struct frame_log *log, size_t n)
{
	log->tail += n;
}

struct slice frame_log_unframed(const struct frame_log *log)
{
	if (!log->data)
		return slice_make("", 0);
	return slice_make(log->data + (log->framed - log->base), (size_t)(log->tail - log->framed));
}

void frame_log_skip(struct frame_log *log, size_t n)
{
	log->framed += n;
	if (is_empty(log))
		log->head = log->framed;
}

void frame_log_drop_unframed(struct frame_log *log)
{
	log->tail = log->framed;
	frame_log_settle(log);
}

void frame_log_settle(struct frame_log *log)
{
	if (!is_empty(log))
		return;
	if (log->head == log->tail)
		release_buffer(log);
	else if (log->cap >= POOL_BUFFER && log->tail - log->head <= TAIL_SMALL)
		set_tail_aside(log);
	/* What a burst has grown does not stay. */
	if (log->record_cap > RECORDS_IDLE) {
		free(log->records);
		log->records = NULL;
		log->record_cap = 0;
	}
	if (log->header_cap > HEADERS_IDLE) {
		free(log->headers);
		log->headers = NULL;
		log->header_cap = 0;
	}
}

static struct slice moved(struct slice part, const struct message *message, const char *bytes)
{
	return part.len > 0 ? slice_make(bytes + (part.ptr - message->bytes), part.len) : part;
}

int frame_log_append(struct frame_log *log, const struct message *message, double at, uint64_t stamp, bool taken)
{
	if (!frame_log_has_cursors(log))
		return 0;
	for (size_t done = 0, size; done < message->len; done += size) {
		char *to = frame_log_room(log, &size);
		if (!to) {
			frame_log_drop_unframed(log);
			return -1;
		}
		size = size < message->len - done ? size : message->len - done;
		memcpy(to, message->bytes + done, size);
		frame_log_commit(log, size);
	}
	struct message copy = *message;
	copy.bytes = frame_log_unframed(log).ptr;
	copy.name = moved(message->name, message, copy.bytes);
	copy.action_id = moved(message->action_id, message, copy.bytes);
	if (frame_log_store(log, &copy, message->len, at, stamp, taken) == 0)
		return 0;
	frame_log_drop_unframed(log);
	return -1;
}
