#include "persist/persist_spool.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "observe/log.h"
#include "persist/internal.h"

struct line {
	struct list node; /* of spool->lines or spool->dead */
	struct list all;  /* of all spools */
	struct persist_spool *spool;
	int64_t id;
	int64_t pushed;
	uint64_t expires; /* in memory's time; UINT64_MAX: never */
	char *error;      /* owned; NULL: it is no dead letter */
	bool pending;     /* somebody waits until it is on disk: it stands in no batch before */
	uint32_t len;
	char text[];
};

struct batch {
	struct list node; /* of spool->batches */
	int64_t id;
	char key[PERSIST_SPOOL_KEY_LEN + 1];
	int64_t first, last; /* lines */
	size_t count;
	unsigned try;
	bool on_disk;
};

struct persist_spool {
	struct persist *persist;
	char *name;
	struct list lines;   /* that wait, the oldest first; those of the batches come first, in their order */
	struct list batches; /* the head first */
	struct list dead;
	size_t batched;      /* lines in batches */
	bool splitting;      /* the head and the one behind it are on their way to the disk */
	char split_key[PERSIST_SPOOL_KEY_LEN + 1]; /* the head's until then */
	unsigned split_try;
	struct persist_spool_stats stats; /* `oldest` is not kept */
};

static struct slice text_of(const struct line *line)
{
	return slice_make(line->text, line->len);
}

static struct line *first_line(const struct persist_spool *s)
{
	return list_empty(&s->lines) ? NULL : list_entry(s->lines.next, struct line, node);
}

static struct batch *head(const struct persist_spool *s)
{
	return list_empty(&s->batches) ? NULL : list_entry(s->batches.next, struct batch, node);
}

/* Rows */

static void save_line(struct persist_spool *s, struct line *line, change_fn *done, persist_fn *fn, void *arg)
{
	struct persist *p = s->persist;
	buf_clear(&p->row);
	row_put_bytes(&p->row, slice_cstr(s->name));
	row_put_bytes(&p->row, text_of(line));
	row_put_bytes(&p->row, line->error ? SLICE("dead") : SLICE("waiting"));
	row_put_int(&p->row, line->pushed);
	row_put_int(&p->row, persist_time_of(p, line->expires));
	row_put_bytes(&p->row, slice_cstr(line->error ? line->error : ""));
	persist_submit_n(p, CHANGE_PUT, ROW_LINE, line->id, done, fn, arg, (intptr_t)s);
}

static void save_batch(struct persist_spool *s, struct batch *batch, change_fn *done, persist_fn *fn, void *arg)
{
	struct persist *p = s->persist;
	buf_clear(&p->row);
	row_put_bytes(&p->row, slice_cstr(s->name));
	row_put_bytes(&p->row, slice_cstr(batch->key));
	row_put_int(&p->row, batch->first);
	row_put_int(&p->row, batch->last);
	row_put_int(&p->row, batch->try);
	persist_submit_n(p, CHANGE_PUT, ROW_BATCH, batch->id, done, fn, arg, (intptr_t)s);
}

static void delete_row(struct persist_spool *s, enum row_table table, int64_t id)
{
	persist_submit(s->persist, CHANGE_DELETE, table, id, NULL, NULL, NULL);
}

/* Lines */

static void count(struct persist_spool *s, const struct line *line, int sign)
{
	if (sign > 0) {
		s->stats.lines++;
		s->stats.bytes += line->len;
		s->persist->spools.lines++;
	} else {
		s->stats.lines--;
		s->stats.bytes -= line->len;
		s->persist->spools.lines--;
	}
}

static struct line *append(struct persist_spool *s, int64_t id, struct slice text)
{
	struct line *line = mem_alloc(sizeof *line + text.len);
	*line = (struct line){ .spool = s, .id = id, .expires = UINT64_MAX, .len = (uint32_t)text.len };
	if (text.len > 0)
		memcpy(line->text, text.ptr, text.len);
	list_append(&s->lines, &line->node);
	list_append(&s->persist->spools.all, &line->all);
	count(s, line, 1);
	return line;
}

static void free_line(struct line *line)
{
	struct persist_spools *spools = &line->spool->persist->spools;
	if (spools->copied == &line->all)
		spools->copied = line->all.next;
	list_remove(&line->all);
	free(line->error);
	free(line);
}

/* A line that waits is gone, here and on disk. */
static void remove_line(struct persist_spool *s, struct line *line)
{
	list_remove(&line->node);
	count(s, line, -1);
	delete_row(s, ROW_LINE, line->id);
	free_line(line);
}

static void remove_dead(struct persist_spool *s, struct line *line)
{
	list_remove(&line->node);
	s->stats.dead--;
	delete_row(s, ROW_LINE, line->id);
	free_line(line);
}

/* A line that waits becomes a dead letter; too many push out the oldest. */
static void bury(struct persist_spool *s, struct line *line, struct slice error)
{
	list_remove(&line->node);
	count(s, line, -1);
	line->error = mem_slicedup(slice_make(error.ptr, error.len < 1024 ? error.len : 1024));
	list_append(&s->dead, &line->node);
	s->stats.dead++;
	s->stats.died++;
	save_line(s, line, NULL, NULL, NULL);
	log_write(LOG_WARN, "line could not be delivered and is a dead letter now", F_TEXT("spool", s->name), F_INT("id", line->id),
	          F_TEXT("reason", line->error));
	while (s->stats.dead > s->persist->options.limits.spool_dead) {
		struct line *oldest = list_entry(s->dead.next, struct line, node);
		s->stats.dropped++;
		log_write(LOG_WARN, "dead letter dropped: there are too many", F_TEXT("spool", s->name), F_INT("id", oldest->id),
		          F_INT("dead", s->stats.dead));
		remove_dead(s, oldest);
	}
}

/* Spools */

static struct persist_spool *open_spool(struct persist *p, struct slice name)
{
	struct persist_spool *s = map_get(&p->spools.spools, name);
	if (s)
		return s;
	s = mem_zalloc(sizeof *s);
	s->persist = p;
	s->name = mem_slicedup(name);
	list_init(&s->lines);
	list_init(&s->batches);
	list_init(&s->dead);
	map_set(&p->spools.spools, name, s);
	return s;
}

struct persist_spool *persist_spool_open(struct persist *p, struct slice name, struct err *err)
{
	if (name.len == 0 || name.len > PERSIST_SPOOL_NAME_MAX || memchr(name.ptr, '\0', name.len)) {
		err_set(err, ERR_INVALID, "spool: a name must have 1 to %d bytes, none of them NUL", PERSIST_SPOOL_NAME_MAX);
		return NULL;
	}
	return open_spool(p, name);
}

bool persist_spools_next(const struct persist *p, size_t *cursor, struct persist_spool **spool, struct slice *name)
{
	struct map_entry *e = map_next(&p->spools.spools, cursor);
	if (!e)
		return false;
	*spool = e->value;
	*name = slice_make(e->key, e->key_len);
	return true;
}

static struct line *find_pending(const struct persist_spool *s, int64_t id)
{
	for (struct list *it = s->lines.prev; it != &s->lines; it = it->prev) {
		struct line *line = list_entry(it, struct line, node);
		if (line->id == id)
			return line;
	}
	return NULL;
}

static void written(void *ctx, struct change *change, const struct err *err)
{
	struct persist_spool *s = (struct persist_spool *)(intptr_t)change->n;
	struct line *line = find_pending(s, change->id);
	(void)ctx;
	if (line && err) {
		s->stats.written--;
		remove_line(s, line);
	} else if (line) {
		line->pending = false;
	}
	change->fn(change->arg, 0, err);
}

int persist_spool_write(struct persist_spool *s, struct slice text, uint64_t ttl, uint64_t now, persist_fn *fn, void *arg,
                        struct err *err)
{
	struct persist *p = s->persist;
	const struct persist_limits *limits = &p->options.limits;

	p->now = now;
	if (s->stats.lines >= limits->spool_lines || text.len > limits->spool_bytes ||
	    s->stats.bytes > limits->spool_bytes - text.len)
		return err_set(err, ERR_BACKPRESSURE, "the spool of %s is full (%zu lines, %zu bytes)", s->name, s->stats.lines,
		               s->stats.bytes);
	if ((fn && persist_check_disk(p, err)) ||
	    persist_check_room(p, sizeof(struct change) + text.len + strlen(s->name) + 64, err))
		return -1;
	struct line *line = append(s, persist_new_id(p), text);
	line->pushed = persist_time(p);
	if (ttl > 0 && __builtin_add_overflow(now, ttl, &line->expires))
		line->expires = UINT64_MAX;
	line->pending = fn;
	s->stats.written++;
	save_line(s, line, fn ? written : NULL, fn, arg);
	return 0;
}

/* Batches */

/* 128 random bits. */
static void make_key(char *key)
{
	unsigned char bytes[PERSIST_SPOOL_KEY_LEN / 2];
	while (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		continue;
	for (size_t i = 0; i < sizeof bytes; i++)
		snprintf(key + 2 * i, 3, "%02x", bytes[i]);
}

static struct batch *create_batch(struct persist_spool *s)
{
	struct batch *batch = mem_zalloc(sizeof *batch);
	batch->id = persist_new_id(s->persist);
	make_key(batch->key);
	return batch;
}

static void remove_batch(struct persist_spool *s, struct batch *batch)
{
	list_remove(&batch->node);
	s->stats.batches--;
	s->batched -= batch->count;
	delete_row(s, ROW_BATCH, batch->id);
	free(batch);
}

static struct batch *find_batch(const struct persist_spool *s, int64_t id)
{
	list_each(it, &s->batches) {
		struct batch *batch = list_entry(it, struct batch, node);
		if (batch->id == id)
			return batch;
	}
	return NULL;
}

/* The head, when it is this one and may be worked on. */
static struct batch *find_head(const struct persist_spool *s, int64_t id)
{
	struct batch *batch = head(s);
	return batch && batch->id == id && batch->on_disk && !s->splitting ? batch : NULL;
}

/* It is on disk, or there is no batch. */
static void batched(void *ctx, struct change *change, const struct err *err)
{
	struct persist_spool *s = (struct persist_spool *)(intptr_t)change->n;
	struct batch *batch = find_batch(s, change->id);
	(void)ctx;
	if (batch && err)
		remove_batch(s, batch);
	else if (batch)
		batch->on_disk = true;
	change->fn(change->arg, err ? 0 : change->id, err);
}

static void expire(struct persist_spool *s, struct line *line)
{
	s->stats.expired++;
	log_write(LOG_WARN, "line expired before it was delivered", F_TEXT("spool", s->name));
	remove_line(s, line);
}

/* Picks the lines of a new batch; those that have expired are removed on the way. */
static void pick(struct persist_spool *s, struct batch *batch, size_t lines, size_t bytes)
{
	size_t total = 0;
	list_each_safe(it, &s->lines) {
		struct line *line = list_entry(it, struct line, node);
		if (line->pending || (batch->count > 0 && (batch->count >= lines || total + line->len > bytes)))
			return;
		if (line->expires <= s->persist->now) {
			expire(s, line);
			continue;
		}
		total += line->len;
		if (batch->count++ == 0)
			batch->first = line->id;
		batch->last = line->id;
	}
}

int persist_spool_batch(struct persist_spool *s, size_t lines, size_t bytes, uint64_t now, persist_fn *fn, void *arg,
                        struct err *err)
{
	s->persist->now = now;
	if (s->stats.batches > 0 || !first_line(s))
		return 0;
	if (persist_check_disk(s->persist, err))
		return -1;
	struct batch *batch = create_batch(s);
	pick(s, batch, lines, bytes);
	if (batch->count == 0) {
		free(batch);
		return 0;
	}
	list_append(&s->batches, &batch->node);
	s->stats.batches++;
	s->batched += batch->count;
	save_batch(s, batch, batched, fn, arg);
	return 1;
}

bool persist_spool_head(const struct persist_spool *s, uint64_t now, struct persist_batch *out)
{
	const struct batch *batch = head(s);
	if (!batch || !batch->on_disk || s->splitting)
		return false;
	*out = (struct persist_batch){ .id = batch->id, .key = batch->key, .lines = batch->count, .try = batch->try, .expired = true };
	struct list *it = s->lines.next;
	for (size_t n = batch->count; n > 0; n--, it = it->next)
		out->expired &= list_entry(it, const struct line, node)->expires <= now;
	return true;
}

bool persist_spool_line(const struct persist_spool *s, const void **cursor, struct slice *text)
{
	const struct batch *batch = head(s);
	const struct line *last = *cursor;
	if (!batch || (last && last->id == batch->last))
		return false;
	const struct line *line = list_entry(last ? last->node.next : s->lines.next, const struct line, node);
	*cursor = line;
	*text = text_of(line);
	return true;
}

int persist_spool_tried(struct persist_spool *s, int64_t id, uint64_t now)
{
	struct batch *batch = find_head(s, id);
	s->persist->now = now;
	if (!batch)
		return -1;
	batch->try++;
	save_batch(s, batch, NULL, NULL, NULL);
	return 0;
}

int persist_spool_ack(struct persist_spool *s, int64_t id, uint64_t now)
{
	struct batch *batch = find_head(s, id);
	s->persist->now = now;
	if (!batch)
		return -1;
	for (size_t n = batch->count; n > 0; n--)
		remove_line(s, first_line(s));
	s->stats.delivered += batch->count;
	remove_batch(s, batch);
	return 0;
}

int persist_spool_reject(struct persist_spool *s, int64_t id, struct slice error, uint64_t now)
{
	struct batch *batch = find_head(s, id);
	s->persist->now = now;
	if (!batch)
		return -1;
	for (size_t n = batch->count; n > 0; n--)
		bury(s, first_line(s), error);
	remove_batch(s, batch);
	return 0;
}

static struct batch *after(const struct persist_spool *s, const struct batch *batch)
{
	return batch->node.next == &s->batches ? NULL : list_entry(batch->node.next, struct batch, node);
}

static void split(void *ctx, struct change *change, const struct err *err)
{
	struct persist_spool *s = (struct persist_spool *)(intptr_t)change->n;
	struct batch *first = head(s), *second = after(s, first);
	(void)ctx;
	s->splitting = false;
	second->on_disk = true;
	if (err) {
		first->count += second->count;
		first->last = second->last;
		first->try = s->split_try;
		memcpy(first->key, s->split_key, sizeof first->key);
		s->batched += second->count; /* remove_batch() takes them off */
		remove_batch(s, second);
		save_batch(s, first, NULL, NULL, NULL);
	}
	change->fn(change->arg, err ? 0 : change->id, err);
}

/* The second half's row comes first: when the process ends in between, it overlaps the whole and is forgotten at the start; nobody
 * has seen its key. */
int persist_spool_split(struct persist_spool *s, int64_t id, uint64_t now, persist_fn *fn, void *arg, struct err *err)
{
	struct batch *first = find_head(s, id);

	s->persist->now = now;
	if (!first || first->count < 2)
		return err_set(err, ERR_INVALID, "spool: a batch of one line cannot be split");
	if (persist_check_disk(s->persist, err))
		return -1;
	struct batch *second = create_batch(s);
	struct list *it = s->lines.next;
	second->last = first->last;
	second->count = first->count / 2;
	first->count -= second->count;
	for (size_t n = 1; n < first->count; n++)
		it = it->next;
	first->last = list_entry(it, struct line, node)->id;
	second->first = list_entry(it->next, struct line, node)->id;
	memcpy(s->split_key, first->key, sizeof s->split_key);
	s->split_try = first->try;
	make_key(first->key);
	first->try = 0;
	/* In front of the one after it. */
	list_append(first->node.next, &second->node);
	s->stats.batches++;
	s->splitting = true;
	save_batch(s, second, NULL, NULL, NULL);
	save_batch(s, first, split, fn, arg);
	return 0;
}

/* Dead letters */

static struct line *find_letter(const struct persist_spool *s, int64_t id)
{
	list_each(it, &s->dead) {
		struct line *line = list_entry(it, struct line, node);
		if (line->id == id)
			return line;
	}
	return NULL;
}

static struct persist_letter letter_of(const struct line *line)
{
	return (struct persist_letter){
		.id = line->id, .text = text_of(line), .error = slice_cstr(line->error), .written = (double)line->pushed / 1000,
	};
}

bool persist_spool_letters_next(const struct persist_spool *s, int64_t *after_id, struct persist_letter *out)
{
	const struct line *last = *after_id ? find_letter(s, *after_id) : NULL;
	struct list *it = last ? last->node.next : s->dead.next;
	if ((*after_id && !last) || it == &s->dead)
		return false;
	const struct line *line = list_entry(it, const struct line, node);
	*after_id = line->id;
	*out = letter_of(line);
	return true;
}

bool persist_spool_letter(const struct persist_spool *s, int64_t id, struct persist_letter *out)
{
	const struct line *line = find_letter(s, id);
	if (line)
		*out = letter_of(line);
	return line;
}

int persist_spool_resend(struct persist_spool *s, int64_t id, uint64_t now)
{
	struct line *line = find_letter(s, id);
	if (!line || persist_spool_write(s, text_of(line), 0, now, NULL, NULL, NULL))
		return -1;
	remove_dead(s, line);
	return 0;
}

int persist_spool_drop(struct persist_spool *s, int64_t id, uint64_t now)
{
	struct line *line = find_letter(s, id);
	s->persist->now = now;
	if (!line)
		return -1;
	s->stats.dropped++;
	remove_dead(s, line);
	return 0;
}

void persist_spool_stats(const struct persist_spool *s, struct persist_spool_stats *out)
{
	const struct line *line = first_line(s);
	*out = s->stats;
	if (line)
		out->oldest = (double)(persist_time(s->persist) - line->pushed) / 1000;
}

/* For the layer */

void persist_spools_init(struct persist *p)
{
	p->spools = (struct persist_spools){ 0 };
	map_init(&p->spools.spools, false);
	list_init(&p->spools.all);
	p->spools.copied = &p->spools.all;
}

void persist_spools_close(struct persist *p)
{
	struct map_entry *e;
	list_each_safe(it, &p->spools.all)
		free_line(list_entry(it, struct line, all));
	for (size_t i = 0; (e = map_next(&p->spools.spools, &i));) {
		struct persist_spool *s = e->value;
		list_each_safe(it, &s->batches)
			free(list_entry(it, struct batch, node));
		free(s->name);
		free(s);
	}
	map_close(&p->spools.spools);
}

bool persist_spools_load_line(struct persist *p, int64_t id, struct slice row)
{
	struct slice name, text, state, error;
	int64_t pushed, expires;

	if (!row_take(row, row_defs[ROW_LINE].types, &name, &text, &state, &pushed, &expires, &error) || name.len == 0)
		return false;
	struct persist_spool *s = open_spool(p, name);
	struct line *line = append(s, id, text);
	line->pushed = pushed;
	line->expires = persist_when(p, expires);
	if (slice_eq(state, SLICE("dead"))) {
		list_remove(&line->node);
		count(s, line, -1);
		line->error = mem_slicedup(error);
		list_append(&s->dead, &line->node);
		s->stats.dead++;
	}
	return true;
}

bool persist_spools_load_batch(struct persist *p, int64_t id, struct slice row)
{
	struct slice name, key;
	int64_t first, last, try;

	if (!row_take(row, row_defs[ROW_BATCH].types, &name, &key, &first, &last, &try) || name.len == 0 ||
	    key.len != PERSIST_SPOOL_KEY_LEN)
		return false;
	struct persist_spool *s = open_spool(p, name);
	struct batch *batch = mem_zalloc(sizeof *batch);
	*batch = (struct batch){ .id = id, .first = first, .last = last, .try = (unsigned)try, .on_disk = true };
	slice_to_text(key, batch->key, sizeof batch->key);
	/* In the order of their lines; of two that begin with the same line the older one comes first. */
	struct list *before = &s->batches;
	while (before->prev != &s->batches && list_entry(before->prev, struct batch, node)->first > first)
		before = before->prev;
	list_append(before, &batch->node);
	s->stats.batches++;
	return true;
}

/* Batches must be the spool's oldest lines, in order. One without lines is half of a split that was cut short, and was never tried; one
 * that lacks some was delivered by a process that ended before all of them were gone, or a damaged file has lost them: the other side
 * knows what is left by its key. */
static void check_batches(struct persist_spool *s)
{
	struct list *it = s->lines.next;
	list_each_safe(node, &s->batches) {
		struct batch *batch = list_entry(node, struct batch, node);
		int64_t last = batch->last;
		for (; it != &s->lines; it = it->next) {
			int64_t id = list_entry(it, const struct line, node)->id;
			if (id < batch->first || id > last)
				break;
			batch->last = id;
			batch->count++;
		}
		s->batched += batch->count;
		if (batch->count == 0)
			remove_batch(s, batch);
	}
}

void persist_spools_loaded(struct persist *p)
{
	struct map_entry *e;
	for (size_t i = 0; (e = map_next(&p->spools.spools, &i));)
		check_batches(e->value);
}

bool persist_spools_copy(struct persist *p, size_t max)
{
	struct persist_spools *spools = &p->spools;
	struct map_entry *e;
	for (; spools->copied != &spools->all && max > 0; max--, spools->copied = spools->copied->next) {
		struct line *line = list_entry(spools->copied, struct line, all);
		save_line(line->spool, line, NULL, NULL, NULL);
	}
	if (spools->copied != &spools->all)
		return false;
	for (size_t i = 0; (e = map_next(&spools->spools, &i));) {
		struct persist_spool *s = e->value;
		list_each(it, &s->batches)
			save_batch(s, list_entry(it, struct batch, node), NULL, NULL, NULL);
	}
	return true;
}
