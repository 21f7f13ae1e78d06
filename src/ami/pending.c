#include "ami/pending.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/mem.h"

/* What an action waits for. */
enum stage {
	STAGE_SENT,      /* its response */
	STAGE_LIST,      /* the list's end, or its one event (Q74) */
	STAGE_ORIGINATE  /* its OriginateResponse (Q46) */
};

struct entry {
	struct reply reply; /* first: when the action has ended, all of this is the reply's block. Of it are kept here what came so far
	                       and what is known from the start */
	struct list order; /* in the order they were added, which is the order of the answers (Q22) */
	struct entry *hash_next;
	struct heap_node deadline; /* its key: monotonic ns */
	enum stage stage;
	uint64_t offset;
	const struct action_info *info; /* NULL: not in the catalogue */
	bool awaits_originate;          /* asynchronous: its end is an event */
	bool holds_line;
	bool streams;
	uint32_t event_cap;
	size_t bytes; /* of the copies */
	_Alignas(max_align_t) unsigned char room[]; /* of the caller's */
};

/* Invariant: each entry stands in `order`, in one hash chain and in `deadlines`; `count` is the number of them. */
struct pending {
	struct pending_limits limits;
	char prefix[PENDING_PREFIX_MAX + 1];
	uint32_t connection;
	char head[REPLY_HEAD_MAX]; /* how each id of this connection begins */
	size_t head_len;
	unsigned ami_version; /* 0: not known */
	uint64_t next_sequence;
	uint64_t written;
	struct list order;
	struct entry **hash; /* by sequence, a power of two */
	size_t hash_size;
	struct heap deadlines;
	struct entry *idless_list; /* its response, which had no ActionID, opened a list; NULL: none is open */
	uint32_t count;
	void *item_tag;       /* of the last item that was handed out */
	struct pending_stats stats;
};

_Static_assert(offsetof(struct entry, reply) == 0, "reply_free() frees the entry");
_Static_assert(PENDING_PREFIX_MAX + sizeof "-4294967295-18446744073709551615" - 1 <= ACTION_ID_MAX, "Q33: an id does not fit");

static void make_head(struct pending *p)
{
	p->head_len = (size_t)snprintf(p->head, sizeof p->head, "%s-%u-", p->prefix, p->connection);
}

struct pending *pending_create(const struct pending_limits *limits, struct slice prefix)
{
	struct pending *p = mem_zalloc(sizeof *p);
	p->limits = *limits;
	slice_to_text(prefix, p->prefix, sizeof p->prefix);
	make_head(p);
	p->next_sequence = 1;
	list_init(&p->order);
	p->hash_size = 4;
	p->hash = mem_zalloc(p->hash_size * sizeof *p->hash);
	return p;
}

static void entry_free(struct entry *e)
{
	struct reply *reply = &e->reply;
	reply_free(&reply);
}

static void drop_all(struct pending *p)
{
	list_each_safe(it, &p->order)
		entry_free(list_entry(it, struct entry, order));
	list_init(&p->order);
	memset(p->hash, 0, p->hash_size * sizeof *p->hash);
	p->deadlines.count = 0;
	p->idless_list = NULL;
	p->count = 0;
}

void pending_destroy(struct pending **pending)
{
	if (!*pending)
		return;
	drop_all(*pending);
	free((*pending)->hash);
	heap_close(&(*pending)->deadlines);
	free(*pending);
	*pending = NULL;
}

void pending_reset(struct pending *p)
{
	drop_all(p);
	p->connection++;
	make_head(p);
	p->ami_version = 0;
	p->written = 0;
}

void pending_set_version(struct pending *p, unsigned ami_version)
{
	p->ami_version = ami_version;
}

void pending_written(struct pending *p, uint64_t offset)
{
	p->written = offset;
}

/* ---- entries ---- */

static struct entry *find(const struct pending *p, uint64_t sequence)
{
	struct entry *e = p->hash[sequence & (p->hash_size - 1)];
	while (e && e->reply.sequence != sequence)
		e = e->hash_next;
	return e;
}

static void grow_hash(struct pending *p)
{
	size_t size = p->hash_size * 2;
	struct entry **hash = mem_zalloc(size * sizeof *hash);
	list_each(it, &p->order) {
		struct entry *e = list_entry(it, struct entry, order);
		e->hash_next = hash[e->reply.sequence & (size - 1)];
		hash[e->reply.sequence & (size - 1)] = e;
	}
	free(p->hash);
	p->hash = hash;
	p->hash_size = size;
}

static void insert(struct pending *p, struct entry *e)
{
	if (p->count >= p->hash_size)
		grow_hash(p);
	struct entry **chain = &p->hash[e->reply.sequence & (p->hash_size - 1)];
	e->hash_next = *chain;
	*chain = e;
	list_append(&p->order, &e->order);
	heap_push(&p->deadlines, &e->deadline);
	p->count++;
}

static void detach(struct pending *p, struct entry *e)
{
	struct entry **link = &p->hash[e->reply.sequence & (p->hash_size - 1)];
	while (*link != e)
		link = &(*link)->hash_next;
	*link = e->hash_next;
	list_remove(&e->order);
	if (p->idless_list == e)
		p->idless_list = NULL;
	heap_remove(&p->deadlines, &e->deadline);
	p->count--;
}

/* The one place where an action ends: takes it out and makes its reply (P3). */
static struct reply *complete(struct pending *p, struct entry *e, enum err_code code, struct slice text)
{
	struct reply *r = &e->reply;
	detach(p, e);
	r->code = code;
	slice_to_text(text, r->text, sizeof r->text);
	r->is_list = e->stage == STAGE_LIST;
	r->has_output = r->response && e->info && (e->info->flags & ACTION_TEXT);
	r->deadline = e->deadline.key;
	memcpy(r->id_head, p->head, p->head_len);
	r->id_head_len = (uint32_t)p->head_len;
	return r;
}

/* As Asterisk reads it. */
static bool asks_for_async(const struct action *action)
{
	static const char *const words[] = { "true", "yes", "on", "1", "t", "y" };
	struct slice value;

	if (!action_get(action, SLICE("Async"), &value))
		return false;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (slice_eq_nocase(value, slice_cstr(words[i])))
			return true;
	return false;
}

uint64_t pending_add(struct pending *p, const struct action *action, struct pending_options *options,
                     char id[ACTION_ID_MAX + 1], struct err *err)
{
	struct slice name = action_name(action);
	if (p->count >= p->limits.max_actions) {
		err_set(err, ERR_BACKPRESSURE, "%u actions wait for their answers already, the limit of this server", p->count);
		return 0;
	}
	bool is_originate = slice_eq_nocase(name, SLICE("Originate")), is_async = is_originate && asks_for_async(action);
	if (is_async && options->no_call_events) {
		err_set(err, ERR_INVALID,
		        "the end of an asynchronous Originate could not be heard: the server's `events` lack the class call; add it there, or "
		        "set Async = false");
		return 0;
	}
	struct entry *e = mem_zalloc(sizeof *e + options->room);
	if (options->room > 0)
		options->tag = e->room;
	e->reply.size = (uint32_t)(sizeof *e + options->room);
	e->reply.sequence = p->next_sequence++;
	e->reply.started = options->now;
	e->deadline.key = options->deadline;
	e->offset = options->offset;
	e->reply.tag = options->tag;
	e->info = action->info;
	slice_to_text(name, e->reply.action, sizeof e->reply.action);
	e->streams = options->streams;
	e->awaits_originate = is_async;
	e->holds_line = is_originate ? !is_async : e->info && (e->info->flags & ACTION_HOLDS_LINE);
	insert(p, e);
	reply_write_id(slice_make(p->head, p->head_len), e->reply.sequence, id);
	return e->reply.sequence;
}

void pending_forget(struct pending *p, uint64_t sequence)
{
	struct entry *e = find(p, sequence);
	if (!e)
		return;
	detach(p, e);
	entry_free(e);
}

/* ---- matching ---- */

/* Q21: only an id that this connection made counts. Returns its sequence, or 0. */
static uint64_t own_sequence(const struct pending *p, struct slice id)
{
	struct slice head = { p->head, p->head_len };
	int64_t sequence;

	if (!slice_starts_with(id, head) || id.len - head.len > 19 || id.len == head.len || id.ptr[head.len] == '0' ||
	    !slice_to_int(slice_make(id.ptr + head.len, id.len - head.len), &sequence))
		return 0;
	return sequence > 0 && (uint64_t)sequence < p->next_sequence ? (uint64_t)sequence : 0;
}

/* Q22: whom an answer without ActionID is for. */
static struct entry *oldest_unanswered(const struct pending *p)
{
	list_each(it, &p->order) {
		struct entry *e = list_entry(it, struct entry, order);
		if (e->stage == STAGE_SENT && e->offset < p->written && !(e->info && (e->info->flags & ACTION_NO_ANSWER)))
			return e;
	}
	return NULL;
}

/* Keeps a copy of `m` for the reply, within the limits. */
static int keep_event(struct pending *p, struct entry *e, const struct message *m)
{
	size_t size = message_copy_size(m) + sizeof *e->reply.events;
	if (mem_is_short() || e->reply.event_count >= p->limits.max_list_events || e->bytes + size > p->limits.max_list_bytes)
		return -1;
	if (e->reply.event_count == e->event_cap) {
		uint32_t cap = e->event_cap ? e->event_cap * 2 : 4;
		e->reply.events = mem_realloc(e->reply.events, cap, sizeof *e->reply.events);
		e->event_cap = cap;
	}
	struct message *copy = message_copy(m);
	if (!copy)
		return -1;
	e->reply.events[e->reply.event_count++] = copy;
	e->bytes += size;
	return 0;
}

static int keep_response(struct pending *p, struct entry *e, const struct message *m)
{
	size_t size = message_copy_size(m);
	if (size > p->limits.max_list_bytes)
		return -1;
	message_free(&e->reply.response);
	e->reply.response = message_copy(m);
	e->bytes += size;
	return e->reply.response ? 0 : -1;
}

static enum pending_result overflow(struct pending *p, struct entry *e, struct reply **done)
{
	*done = complete(p, e, ERR_OVERFLOW, SLICE("the answer is larger than limits.list_events or limits.list_bytes allow"));
	return PENDING_COMPLETED;
}

static bool is_success(struct slice word)
{
	/* Q44: 1.4 answered a Ping with Pong; `Events` may answer with its new state. */
	return slice_eq_nocase(word, SLICE("Success")) || slice_eq_nocase(word, SLICE("Goodbye")) ||
	       slice_eq_nocase(word, SLICE("Follows")) || slice_eq_nocase(word, SLICE("Pong")) ||
	       slice_starts_with_nocase(word, SLICE("Events"));
}

/* Q29, Q75: the voicemail lists say so with Success, and send no Complete. */
static bool says_there_is_none(const struct message *m)
{
	struct slice text = message_value(m, SLICE("Message"));
	return slice_starts_with_nocase(text, SLICE("There are no ")) || slice_starts_with_nocase(text, SLICE("There is no "));
}

/* Does a list follow this successful response? */
static bool opens_list(const struct pending *p, const struct entry *e, const struct message *m)
{
	struct slice value;
	if (message_get(m, SLICE("EventList"), &value))
		return slice_eq_nocase(value, SLICE("start"));
	if (!e->info)
		return false;
	if (e->info->flags & ACTION_ONE_EVENT)
		return slice_find(message_value(m, SLICE("Message")), SLICE("event will follow")) >= 0;
	if (!e->info->terminal)
		return false;
	if (says_there_is_none(m))
		return false;
	/* Q27: WaitEvent never has EventList; Q26: the rest, where the peer is old enough. */
	return slice_eq_nocase(slice_cstr(e->info->name), SLICE("WaitEvent")) ||
	       (e->info->list_before_13 && p->ami_version != 0 && p->ami_version < CATALOGUE_AMI_EVENTLIST);
}

static enum pending_result take_response(struct pending *p, struct entry *e, const struct message *m, struct reply **done)
{
	struct slice text = message_value(m, SLICE("Message"));

	if (keep_response(p, e, m))
		return overflow(p, e, done);
	if (!is_success(m->name)) {
		bool empty_list = e->info && (e->info->flags & ACTION_EMPTY_AS_ERROR) && catalogue_says_empty(text);
		if (empty_list)
			e->stage = STAGE_LIST;
		*done = complete(p, e, empty_list ? ERR_NONE : ERR_ERROR, empty_list ? SLICE("") : text);
		return PENDING_COMPLETED;
	}
	if (e->awaits_originate) {
		e->stage = STAGE_ORIGINATE;
		return PENDING_TAKEN;
	}
	if (opens_list(p, e, m)) {
		e->stage = STAGE_LIST;
		if (m->action_id.len == 0)
			p->idless_list = e;
		return PENDING_TAKEN;
	}
	if (e->info && e->info->terminal && says_there_is_none(m))
		e->stage = STAGE_LIST;
	*done = complete(p, e, ERR_NONE, SLICE(""));
	return PENDING_COMPLETED;
}

static enum pending_result match_response(struct pending *p, const struct message *m, struct reply **done)
{
	struct entry *e;
	if (m->action_id.len > 0) {
		uint64_t sequence = own_sequence(p, m->action_id);
		e = sequence ? find(p, sequence) : NULL;
		if (!e || e->stage != STAGE_SENT) {
			if (sequence)
				p->stats.late++;
			else
				p->stats.unmatched++;
			return PENDING_STRAY;
		}
	} else {
		e = oldest_unanswered(p);
		if (!e) {
			p->stats.unmatched++;
			return PENDING_STRAY;
		}
		p->stats.idless++;
	}
	return take_response(p, e, m, done);
}

/* Events of the system that may carry an id of ours and yet are no answer (Q21). */
static bool is_live_event(struct slice name)
{
	return slice_eq_nocase(name, SLICE("UserEvent")) || slice_eq_nocase(name, SLICE("OriginateResponse")) ||
	       slice_eq_nocase(name, SLICE("SIPQualifyPeerDone"));
}

static enum pending_result take_originate_response(struct pending *p, struct entry *e, const struct message *m, struct reply **done)
{
	struct slice word = message_value(m, SLICE("Response")), text = { "", 0 };
	char reason[128];

	if (keep_response(p, e, m)) {
		overflow(p, e, done);
		return PENDING_COMPLETED_EVENT;
	}
	bool success = slice_eq_nocase(word, SLICE("Success"));
	if (!success) {
		struct slice number = message_value(m, SLICE("Reason"));
		const char *meaning = catalogue_originate_reason(number);
		int n = snprintf(reason, sizeof reason, "originate failed, reason %.*s%s%s", SLICE_ARG(number.len < 20 ? number : SLICE("unknown")),
		                 meaning ? ": " : "", meaning ? meaning : "");
		text = slice_make(reason, (size_t)n);
	}
	*done = complete(p, e, success ? ERR_NONE : ERR_ERROR, text);
	return PENDING_COMPLETED_EVENT;
}

static enum pending_result take_list_event(struct pending *p, struct entry *e, const struct message *m, struct reply **done)
{
	struct slice mark = message_value(m, SLICE("EventList"));

	if (slice_eq_nocase(mark, SLICE("Cancelled"))) {
		*done = complete(p, e, ERR_ERROR, SLICE("Asterisk cancelled the list"));
		return PENDING_COMPLETED;
	}
	if (slice_eq_nocase(mark, SLICE("Complete")) ||
	    (e->info && e->info->terminal && slice_eq_nocase(m->name, slice_cstr(e->info->terminal)))) {
		*done = complete(p, e, ERR_NONE, SLICE(""));
		return PENDING_COMPLETED;
	}
	if (e->streams && !(e->info && (e->info->flags & ACTION_ONE_EVENT))) {
		p->item_tag = e->reply.tag;
		return PENDING_ITEM;
	}
	if (keep_event(p, e, m))
		return overflow(p, e, done);
	if (!e->info || !(e->info->flags & ACTION_ONE_EVENT))
		return PENDING_TAKEN;
	*done = complete(p, e, ERR_NONE, SLICE(""));
	return PENDING_COMPLETED;
}

/* Q22: no live event stands inside a list, and each of them has a Privilege. */
static bool is_idless_item(const struct pending *p, const struct message *m)
{
	struct slice value;
	return p->idless_list && m->action_id.len == 0 && !message_get(m, SLICE("Privilege"), &value);
}

static enum pending_result match_event(struct pending *p, const struct message *m, struct reply **done)
{
	if (is_idless_item(p, m))
		return take_list_event(p, p->idless_list, m, done);
	uint64_t sequence = m->action_id.len > 0 ? own_sequence(p, m->action_id) : 0;
	if (!sequence)
		return PENDING_NOT_OURS;
	struct entry *e = find(p, sequence);
	if (is_live_event(m->name)) {
		if (e && e->stage == STAGE_ORIGINATE && slice_eq_nocase(m->name, SLICE("OriginateResponse")))
			return take_originate_response(p, e, m, done);
		return PENDING_NOT_OURS;
	}
	if (!e) {
		p->stats.late++;
		return PENDING_STRAY;
	}
	if (e->stage != STAGE_LIST)
		return PENDING_NOT_OURS;
	return take_list_event(p, e, m, done);
}

enum pending_result pending_match(struct pending *p, const struct message *m, struct reply **done)
{
	*done = NULL;
	switch (m->kind) {
	case MESSAGE_EVENT:
		return match_event(p, m, done);
	case MESSAGE_RESPONSE:
		return match_response(p, m, done);
	default:
		return PENDING_NOT_OURS;
	}
}

void *pending_item_tag(const struct pending *p)
{
	return p->item_tag;
}

struct reply *pending_overflow(struct pending *p, struct slice id, bool is_response)
{
	uint64_t sequence = own_sequence(p, id);
	struct entry *e = sequence ? find(p, sequence) : id.len == 0 && is_response ? oldest_unanswered(p) : NULL;
	if (!e)
		return NULL;
	return complete(p, e, ERR_OVERFLOW, SLICE("the answer is larger than limits.frame or limits.headers allow"));
}

struct reply *pending_cancel(struct pending *p, uint64_t sequence, enum err_code code, const char *text)
{
	struct entry *e = find(p, sequence);
	return e ? complete(p, e, code, slice_cstr(text)) : NULL;
}

struct reply *pending_expire(struct pending *p, uint64_t now)
{
	struct heap_node *nearest = heap_top(&p->deadlines);
	if (!nearest || nearest->key > now)
		return NULL;
	return complete(p, heap_entry(nearest, struct entry, deadline), ERR_TIMEOUT, SLICE("no answer within the action's timeout"));
}

uint64_t pending_next_deadline(const struct pending *p)
{
	const struct heap_node *nearest = heap_top(&p->deadlines);
	return nearest ? nearest->key : UINT64_MAX;
}

struct reply *pending_fail_next(struct pending *p, uint64_t flushed, const char *reason)
{
	if (list_empty(&p->order))
		return NULL;
	struct entry *e = list_entry(p->order.next, struct entry, order);
	return complete(p, e, e->offset < flushed ? ERR_LOST : ERR_NOT_READY, slice_cstr(reason));
}

uint32_t pending_count(const struct pending *p)
{
	return p->count;
}

bool pending_line_held(const struct pending *p)
{
	list_each(it, &p->order) {
		const struct entry *e = list_entry(it, struct entry, order);
		/* WaitEvent holds the line until its list ends. */
		if (e->holds_line && e->offset < p->written)
			return true;
	}
	return false;
}

const struct pending_stats *pending_stats(const struct pending *p)
{
	return &p->stats;
}

void pending_each(const struct pending *p, void (*fn)(void *ctx, const struct pending_view *view), void *ctx)
{
	list_each(it, &p->order) {
		const struct entry *e = list_entry(it, struct entry, order);
		struct pending_view view = { .sequence = e->reply.sequence, .started = e->reply.started, .deadline = e->deadline.key,
		                             .action = e->reply.action, .tag = e->reply.tag };
		fn(ctx, &view);
	}
}
