#include "persist/persist_store.h"

#include "persist/internal.h"

/* What an entry costs beside itself: its place in the table and among those that expire. */
enum { PLACE_BYTES = 2 * 16 + sizeof(void *) };

struct entry {
	struct list all;
	struct heap_node expiry; /* key: when it expires; UINT64_MAX: never, and it is not in the heap */
	struct persist_store *store;
	int64_t id;
	uint32_t writer;
	uint32_t hash;
	uint32_t key_len, value_len, cap; /* cap: bytes there are for both */
	char bytes[];
};

struct slot {
	uint32_t hash;
	struct entry *entry; /* NULL: free */
};

struct persist_store {
	struct persist *persist;
	char *name;
	struct slot *slots; /* open addressing with linear probing, load <= 3/4 */
	size_t cap;         /* a power of two, or 0 */
	struct persist_usage usage;
};

struct persist_writer {
	char *name;
	struct persist_usage usage;
};

static struct slice key_of(const struct entry *e)
{
	return slice_make(e->bytes, e->key_len);
}

static struct slice value_of(const struct entry *e)
{
	return slice_make(e->bytes + e->key_len, e->value_len);
}

static size_t cost(size_t key, size_t value)
{
	return sizeof(struct entry) + key + value + PLACE_BYTES;
}

static void charge(struct entry *e, int sign)
{
	struct persist_usage *writer = &e->store->persist->stores.writers[e->writer].usage, *store = &e->store->usage;
	size_t bytes = cost(e->key_len, e->value_len);
	if (sign > 0) {
		writer->entries++, store->entries++;
		writer->bytes += bytes, store->bytes += bytes;
	} else {
		writer->entries--, store->entries--;
		writer->bytes -= bytes, store->bytes -= bytes;
	}
}

/* The table */

/* The slot of `key`, or the free one where it would go. Needs cap > 0. */
static size_t find(const struct persist_store *s, struct slice key, uint32_t hash)
{
	for (size_t i = hash & (s->cap - 1);; i = (i + 1) & (s->cap - 1)) {
		const struct slot *slot = &s->slots[i];
		if (!slot->entry || (slot->hash == hash && slice_eq(key_of(slot->entry), key)))
			return i;
	}
}

static struct entry *look_up(const struct persist_store *s, struct slice key)
{
	return s->usage.entries > 0 ? s->slots[find(s, key, slice_hash(key))].entry : NULL;
}

static void grow(struct persist_store *s)
{
	struct slot *old = s->slots;
	size_t old_cap = s->cap;
	s->cap = old_cap ? old_cap * 2 : 16;
	s->slots = mem_zalloc(s->cap * sizeof *s->slots);
	for (size_t i = 0; i < old_cap; i++) {
		if (!old[i].entry)
			continue;
		size_t to = old[i].hash & (s->cap - 1);
		while (s->slots[to].entry)
			to = (to + 1) & (s->cap - 1);
		s->slots[to] = old[i];
	}
	free(old);
}

static void unlink_slot(struct persist_store *s, size_t hole)
{
	/* Close the gap so that probing needs no tombstones. */
	for (size_t i = (hole + 1) & (s->cap - 1); s->slots[i].entry; i = (i + 1) & (s->cap - 1)) {
		size_t home = s->slots[i].hash & (s->cap - 1);
		if (((i - home) & (s->cap - 1)) >= ((i - hole) & (s->cap - 1))) {
			s->slots[hole] = s->slots[i];
			hole = i;
		}
	}
	s->slots[hole].entry = NULL;
}

/* Entries */

static void set_expiry(struct entry *e, uint64_t expires)
{
	struct heap *heap = &e->store->persist->stores.expiry;
	if (e->expiry.key == expires)
		return;
	if (e->expiry.key != UINT64_MAX)
		heap_remove(heap, &e->expiry);
	e->expiry.key = expires;
	if (expires != UINT64_MAX)
		heap_push(heap, &e->expiry);
}

static struct entry *create(struct persist_store *s, struct slice key, size_t value_len)
{
	struct persist_stores *stores = &s->persist->stores;
	size_t bytes = key.len + value_len;
	struct entry *e = mem_alloc(sizeof *e + bytes);
	*e = (struct entry){
		.expiry.key = UINT64_MAX, .store = s, .hash = slice_hash(key), .key_len = (uint32_t)key.len, .cap = (uint32_t)bytes,
	};
	if (key.len > 0)
		memcpy(e->bytes, key.ptr, key.len);
	list_append(&stores->entries, &e->all);
	stores->count++;
	return e;
}

static void destroy(struct entry *e)
{
	struct persist_stores *stores = &e->store->persist->stores;
	set_expiry(e, UINT64_MAX);
	if (stores->copied == &e->all)
		stores->copied = e->all.next;
	list_remove(&e->all);
	stores->count--;
	free(e);
}

static void add(struct persist_store *s, struct entry *e)
{
	if ((s->usage.entries + 1) * 4 > s->cap * 3)
		grow(s);
	s->slots[find(s, key_of(e), e->hash)] = (struct slot){ e->hash, e };
}

static void remove_entry(struct entry *e)
{
	struct persist_store *s = e->store;
	charge(e, -1);
	unlink_slot(s, find(s, key_of(e), e->hash));
	destroy(e);
}

/* Puts the value into the entry, or into a larger one that takes its place. */
static struct entry *fill(struct entry *e, unsigned writer, struct slice value)
{
	if (e->cap - e->key_len < value.len) {
		struct entry *larger = create(e->store, key_of(e), value.len);
		larger->id = e->id;
		set_expiry(larger, e->expiry.key);
		e->store->slots[find(e->store, key_of(e), e->hash)].entry = larger;
		destroy(e);
		e = larger;
	}
	if (value.len > 0)
		memcpy(e->bytes + e->key_len, value.ptr, value.len);
	e->value_len = (uint32_t)value.len;
	e->writer = writer;
	charge(e, 1);
	return e;
}

static void pack(struct persist *p, struct entry *e)
{
	buf_clear(&p->row);
	row_put_bytes(&p->row, slice_cstr(e->store->name));
	row_put_bytes(&p->row, key_of(e));
	row_put_bytes(&p->row, value_of(e));
	row_put_bytes(&p->row, slice_cstr(p->stores.writers[e->writer].name));
	row_put_int(&p->row, persist_time_of(p, e->expiry.key));
}

static void save(struct persist *p, struct entry *e)
{
	pack(p, e);
	persist_submit(p, CHANGE_PUT, ROW_ENTRY, e->id, NULL, NULL, NULL);
}

static void forget(struct persist *p, struct entry *e)
{
	pack(p, e);
	persist_submit(p, CHANGE_DELETE, ROW_ENTRY, e->id, NULL, NULL, NULL);
	remove_entry(e);
}

/* Names */

unsigned persist_store_writer(struct persist *p, struct slice name)
{
	struct persist_stores *stores = &p->stores;
	uintptr_t number = (uintptr_t)map_get(&stores->numbers, name);
	if (number > 0)
		return (unsigned)number - 1;
	if (stores->writer_count == stores->writer_cap) {
		stores->writer_cap = stores->writer_cap ? stores->writer_cap * 2 : 16;
		stores->writers = mem_realloc(stores->writers, stores->writer_cap, sizeof *stores->writers);
	}
	stores->writers[stores->writer_count++] = (struct persist_writer){ .name = mem_slicedup(name) };
	map_set(&stores->numbers, name, (void *)(uintptr_t)stores->writer_count);
	return stores->writer_count - 1;
}

struct persist_usage persist_store_writer_usage(const struct persist *p, unsigned writer)
{
	return p->stores.writers[writer].usage;
}

static struct persist_store *open_store(struct persist *p, struct slice name)
{
	struct persist_store *s = map_get(&p->stores.spaces, name);
	if (s)
		return s;
	s = mem_zalloc(sizeof *s);
	s->persist = p;
	s->name = mem_slicedup(name);
	map_set(&p->stores.spaces, name, s);
	return s;
}

struct persist_store *persist_store_open(struct persist *p, struct slice name, struct err *err)
{
	if (name.len == 0 || name.len > PERSIST_KEY_MAX || memchr(name.ptr, '\0', name.len)) {
		err_set(err, ERR_INVALID, "store: a name must have 1 to %d bytes, none of them NUL", PERSIST_KEY_MAX);
		return NULL;
	}
	if (!map_get(&p->stores.spaces, name) && p->stores.spaces.count >= p->options.limits.stores) {
		err_set(err, ERR_OVERFLOW, "store: there are %zu persistent stores already, the most in all", p->stores.spaces.count);
		return NULL;
	}
	return open_store(p, name);
}

struct persist_usage persist_store_usage(const struct persist_store *s)
{
	return s->usage;
}

/* Reading and writing */

bool persist_store_get(const struct persist_store *s, struct slice key, uint64_t now, struct slice *value)
{
	const struct entry *e = look_up(s, key);
	if (!e || e->expiry.key <= now)
		return false;
	*value = value_of(e);
	return true;
}

/* True when the writer's share allows `bytes` more in place of `old`. */
static int check_share(struct persist *p, const struct entry *old, unsigned writer, size_t bytes, struct err *err)
{
	const struct persist_limits *limits = &p->options.limits;
	struct persist_usage rest = p->stores.writers[writer].usage;

	if (old && old->writer == writer) {
		size_t before = cost(old->key_len, old->value_len);
		/* What makes it smaller is always allowed, also when limits shrank below what is held. */
		if (bytes <= before)
			return 0;
		rest.entries--;
		rest.bytes -= before;
	}
	if (rest.entries >= limits->store_entries)
		return err_set(err, ERR_OVERFLOW, "store: %s holds %zu entries, the most for one rule (delete some, or give a ttl)",
		               p->stores.writers[writer].name, rest.entries);
	if (bytes > limits->store_bytes || rest.bytes > limits->store_bytes - bytes)
		return err_set(err, ERR_OVERFLOW, "store: %s holds %zu of %zu bytes, %zu more do not fit (delete some, or give a ttl)",
		               p->stores.writers[writer].name, rest.bytes, limits->store_bytes, bytes);
	return 0;
}

/* What a change of an entry adds to what waits for the disk, about. */
static size_t change_bytes(const struct persist_store *s, struct slice key, struct slice value)
{
	return sizeof(struct change) + strlen(s->name) + key.len + value.len + 64;
}

int persist_store_set(struct persist_store *s, unsigned writer, struct slice key, struct slice value, uint64_t ttl, uint64_t now,
                      struct err *err)
{
	struct persist *p = s->persist;
	uint64_t expires;

	p->now = now;
	if (key.len > PERSIST_KEY_MAX)
		return err_set(err, ERR_INVALID, "store: the key is too long (%zu bytes, at most %d)", key.len, PERSIST_KEY_MAX);
	if (value.len > p->options.limits.store_bytes || value.len > UINT32_MAX / 2)
		return err_set(err, ERR_OVERFLOW, "store: the value is too large (%zu bytes)", value.len);
	struct entry *e = look_up(s, key);
	if (check_share(p, e, writer, cost(key.len, value.len), err) || persist_check_room(p, change_bytes(s, key, value), err))
		return -1;
	/* One that has expired makes way: the new one is another entry. */
	if (e && e->expiry.key <= now) {
		forget(p, e);
		e = NULL;
	}
	if (ttl == PERSIST_KEEP_TTL)
		expires = e ? e->expiry.key : UINT64_MAX;
	else if (ttl == 0 || __builtin_add_overflow(now, ttl, &expires))
		expires = UINT64_MAX;
	if (e) {
		charge(e, -1);
	} else {
		e = create(s, key, value.len);
		e->id = persist_new_id(p);
		add(s, e);
	}
	e = fill(e, writer, value);
	set_expiry(e, expires);
	save(p, e);
	return 0;
}

int persist_store_delete(struct persist_store *s, struct slice key, uint64_t now, struct err *err)
{
	struct persist *p = s->persist;
	struct entry *e = look_up(s, key);

	p->now = now;
	if (!e || e->expiry.key <= now)
		return 0;
	if (persist_check_room(p, change_bytes(s, SLICE(""), SLICE("")), err))
		return -1;
	forget(p, e);
	return 1;
}

bool persist_store_next(const struct persist_store *s, size_t *cursor, uint64_t now, struct slice *key, struct slice *value)
{
	while (*cursor < s->cap) {
		const struct entry *e = s->slots[(*cursor)++].entry;
		if (!e || e->expiry.key <= now)
			continue;
		*key = key_of(e);
		*value = value_of(e);
		return true;
	}
	return false;
}

/* For the layer */

void persist_stores_init(struct persist *p)
{
	p->stores = (struct persist_stores){ 0 };
	map_init(&p->stores.spaces, false);
	map_init(&p->stores.numbers, false);
	list_init(&p->stores.entries);
	p->stores.copied = &p->stores.entries;
}

void persist_stores_close(struct persist *p)
{
	struct persist_stores *stores = &p->stores;
	struct map_entry *e;
	list_each_safe(it, &stores->entries)
		free(list_entry(it, struct entry, all));
	for (size_t i = 0; (e = map_next(&stores->spaces, &i));) {
		struct persist_store *s = e->value;
		free(s->slots);
		free(s->name);
		free(s);
	}
	for (unsigned i = 0; i < stores->writer_count; i++)
		free(stores->writers[i].name);
	free(stores->writers);
	map_close(&stores->spaces);
	map_close(&stores->numbers);
	heap_close(&stores->expiry);
}

bool persist_stores_load(struct persist *p, int64_t id, struct slice row)
{
	struct slice name, key, value, writer;
	int64_t expires;

	if (!row_take(row, row_defs[ROW_ENTRY].types, &name, &key, &value, &writer, &expires) || name.len == 0)
		return false;
	struct persist_store *s = open_store(p, name);
	struct entry *e = look_up(s, key);
	if (e) {
		charge(e, -1);
	} else {
		e = create(s, key, value.len);
		add(s, e);
	}
	e = fill(e, persist_store_writer(p, writer), value);
	e->id = id;
	set_expiry(e, persist_when(p, expires));
	return true;
}

/* A key that was set again since is another entry. */
static bool load_gone(struct persist *p, int64_t id, struct slice row)
{
	struct slice name, key, value, writer;
	int64_t expires;

	if (!row_take(row, row_defs[ROW_ENTRY].types, &name, &key, &value, &writer, &expires))
		return false;
	struct persist_store *s = map_get(&p->stores.spaces, name);
	struct entry *e = s ? look_up(s, key) : NULL;
	if (e && e->id == id)
		remove_entry(e);
	return true;
}

bool persist_stores_load_log(struct persist *p, struct slice row)
{
	int64_t id, gone;
	if (!row_take_int(&row, &id) || !row_take_int(&row, &gone))
		return false;
	if (id >= p->next_id)
		p->next_id = id + 1;
	return gone ? load_gone(p, id, row) : persist_stores_load(p, id, row);
}

bool persist_stores_copy(struct persist *p, size_t max)
{
	struct persist_stores *stores = &p->stores;
	for (; stores->copied != &stores->entries && max > 0; max--, stores->copied = stores->copied->next)
		save(p, list_entry(stores->copied, struct entry, all));
	return stores->copied == &stores->entries;
}

bool persist_stores_may_sweep(const struct persist *p)
{
	return persist_check_room(p, sizeof(struct change), NULL) == 0;
}

void persist_stores_sweep(struct persist *p)
{
	for (size_t n = 0; n < PERSIST_SLICE; n++) {
		struct heap_node *top = heap_top(&p->stores.expiry);
		if (!top || top->key > p->now || !persist_stores_may_sweep(p))
			return;
		forget(p, heap_entry(top, struct entry, expiry));
	}
}
