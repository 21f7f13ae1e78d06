#include "rules/store.h"

#include <math.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"

/* What an entry costs beside its own bytes: its place in the table and among those that expire. */
enum { PLACE_BYTES = 2 * sizeof(struct map_entry) + sizeof(void *) };

enum { NO_EXPIRY_INDEX = -1 };

struct store_owner {
	char *name; /* owned */
	struct store_usage usage;
	size_t spaces; /* names that it opened first */
};

struct store_space {
	struct store *store;
	struct map entries; /* canonical key -> struct entry, owned */
};

struct entry {
	struct store_space *space;
	struct value key, item;
	unsigned owner; /* who wrote it last and pays for it */
	size_t bytes;   /* what is charged */
	uint64_t expires; /* UINT64_MAX: never */
	ptrdiff_t expiry_index; /* in store->expiry, or NO_EXPIRY_INDEX */
};

struct store {
	struct store_limits limits;
	struct persist *disk; /* not owned; NULL: no store survives */
	struct map spaces; /* name -> struct store_space, owned */
	struct map owner_numbers; /* name -> number + 1 */
	struct store_owner *owners;
	size_t owner_count, owner_cap;
	struct entry **expiry; /* a heap: none expires before the one at (its index - 1) / 2 */
	size_t expiry_count, expiry_cap;
};

struct store *store_create(const struct store_limits *limits)
{
	struct store *store = mem_zalloc(sizeof *store);

	map_init(&store->spaces, false);
	map_init(&store->owner_numbers, false);
	store_limit(store, limits);
	return store;
}

void store_limit(struct store *store, const struct store_limits *limits)
{
	store->limits = limits ? *limits : (struct store_limits){ 0 };
	if (!store->limits.entries)
		store->limits.entries = 10000;
	if (!store->limits.bytes)
		store->limits.bytes = (size_t)16 << 20;
	if (!store->limits.spaces)
		store->limits.spaces = 1000;
}

void store_use_disk(struct store *store, struct persist *disk)
{
	store->disk = disk;
}

struct persist *store_disk(const struct store *store)
{
	return store->disk;
}

static void free_entry(struct entry *entry)
{
	value_close(&entry->key);
	value_close(&entry->item);
	free(entry);
}

void store_destroy(struct store **store)
{
	struct map_entry *s, *e;

	if (!*store)
		return;
	for (size_t i = 0; (s = map_next(&(*store)->spaces, &i));) {
		struct store_space *space = s->value;
		for (size_t j = 0; (e = map_next(&space->entries, &j));)
			free_entry(e->value);
		map_close(&space->entries);
		free(space);
	}
	map_close(&(*store)->spaces);
	map_close(&(*store)->owner_numbers);
	for (size_t i = 0; i < (*store)->owner_count; i++)
		free((*store)->owners[i].name);
	free((*store)->owners);
	free((*store)->expiry);
	free(*store);
	*store = NULL;
}

/* Owners */

unsigned store_owner(struct store *store, struct slice rule)
{
	void *known = map_get(&store->owner_numbers, rule);

	if (known)
		return (unsigned)((uintptr_t)known - 1);
	if (store->owner_count == store->owner_cap) {
		store->owner_cap = store->owner_cap ? store->owner_cap * 2 : 8;
		store->owners = mem_realloc(store->owners, store->owner_cap, sizeof *store->owners);
	}
	store->owners[store->owner_count] = (struct store_owner){ .name = mem_slicedup(rule) };
	map_set(&store->owner_numbers, rule, (void *)(uintptr_t)(store->owner_count + 1));
	return (unsigned)store->owner_count++;
}

struct store_usage store_owner_usage(const struct store *store, unsigned owner)
{
	return store->owners[owner].usage;
}

struct store_usage store_usage(const struct store *store)
{
	struct store_usage all = { 0 };

	for (size_t i = 0; i < store->owner_count; i++) {
		all.entries += store->owners[i].usage.entries;
		all.bytes += store->owners[i].usage.bytes;
	}
	return all;
}

/* Whether `owner` may hold one entry of `bytes` in the place of `old` (NULL: a new one). */
static int check_share(const struct store *store, unsigned owner, size_t bytes, const struct entry *old,
                       struct err *err)
{
	const struct store_owner *o = &store->owners[owner];
	struct store_usage rest = o->usage;

	if (old && old->owner == owner) {
		rest.entries--;
		rest.bytes -= old->bytes;
		/* What makes it smaller is always allowed, also when limits shrank below what is held. */
		if (bytes <= old->bytes)
			return 0;
	}
	if (rest.entries >= store->limits.entries)
		return err_set(err, ERR_OVERFLOW, "store: %s holds %zu entries, the most for one rule (delete some, or give a ttl)",
		               o->name, rest.entries);
	if (bytes > store->limits.bytes || rest.bytes > store->limits.bytes - bytes)
		return err_set(err, ERR_OVERFLOW, "store: %s holds %zu of %zu bytes, %zu more do not fit (delete some, or give a ttl)",
		               o->name, rest.bytes, store->limits.bytes, bytes);
	return 0;
}

static void charge(struct entry *entry, unsigned owner, size_t bytes)
{
	struct store_usage *usage = &entry->space->store->owners[owner].usage;

	entry->owner = owner;
	entry->bytes = bytes;
	usage->entries++;
	usage->bytes += bytes;
}

static void discharge(const struct entry *entry)
{
	struct store_usage *usage = &entry->space->store->owners[entry->owner].usage;

	usage->entries--;
	usage->bytes -= entry->bytes;
}

/* Expiry */

static void expiry_place(struct store *store, size_t i, struct entry *entry)
{
	store->expiry[i] = entry;
	entry->expiry_index = (ptrdiff_t)i;
}

/* Moves the entry at `i` to where it belongs. */
static void expiry_settle(struct store *store, size_t i)
{
	struct entry *entry = store->expiry[i];

	for (; i > 0 && store->expiry[(i - 1) / 2]->expires > entry->expires; i = (i - 1) / 2)
		expiry_place(store, i, store->expiry[(i - 1) / 2]);
	for (;;) {
		size_t child = 2 * i + 1;
		if (child + 1 < store->expiry_count && store->expiry[child + 1]->expires < store->expiry[child]->expires)
			child++;
		if (child >= store->expiry_count || store->expiry[child]->expires >= entry->expires)
			break;
		expiry_place(store, i, store->expiry[child]);
		i = child;
	}
	expiry_place(store, i, entry);
}

static void expiry_remove(struct entry *entry)
{
	struct store *store = entry->space->store;

	if (entry->expiry_index == NO_EXPIRY_INDEX)
		return;
	size_t i = (size_t)entry->expiry_index;
	struct entry *last = store->expiry[--store->expiry_count];
	entry->expiry_index = NO_EXPIRY_INDEX;
	if (last != entry) {
		expiry_place(store, i, last);
		expiry_settle(store, i);
	}
}

static void expiry_set(struct entry *entry, uint64_t expires)
{
	struct store *store = entry->space->store;

	expiry_remove(entry);
	entry->expires = expires;
	if (expires == UINT64_MAX)
		return;
	if (store->expiry_count == store->expiry_cap) {
		store->expiry_cap = store->expiry_cap ? store->expiry_cap * 2 : 64;
		store->expiry = mem_realloc(store->expiry, store->expiry_cap, sizeof *store->expiry);
	}
	expiry_place(store, store->expiry_count++, entry);
	expiry_settle(store, store->expiry_count - 1);
}

static uint64_t expiry_time(uint64_t now, uint64_t ttl)
{
	uint64_t at;
	return ttl == 0 || __builtin_add_overflow(now, ttl, &at) ? UINT64_MAX : at;
}

/* Keys */

/* One text for each key, written to `to` (STORE_KEY_MAX + 1 bytes): a letter for the type, then its bytes. */
static int canonical_key(const struct value *key, char *to, struct slice *out, struct err *err)
{
	int64_t integer = key->integer;
	bool integral = key->type == VALUE_INT;

	if (key->type == VALUE_NUMBER) {
		if (isnan(key->number))
			return err_set(err, ERR_INVALID, "store: NaN cannot be a key");
		integral = floor(key->number) == key->number && key->number >= -0x1p63 && key->number < 0x1p63;
		if (integral)
			integer = (int64_t)key->number;
	}
	size_t len;
	if (integral) {
		to[0] = 'i';
		memcpy(to + 1, &integer, len = sizeof integer);
	} else if (key->type == VALUE_NUMBER) {
		to[0] = 'n';
		memcpy(to + 1, &key->number, len = sizeof key->number);
	} else if (key->type == VALUE_BOOL) {
		to[0] = 'b';
		to[1] = key->boolean ? 1 : 0;
		len = 1;
	} else if (key->type == VALUE_TEXT) {
		if (key->text.len > STORE_KEY_MAX)
			return err_set(err, ERR_INVALID, "store: the key is too long (%zu bytes, at most %d)", key->text.len,
			               STORE_KEY_MAX);
		to[0] = 's';
		memcpy(to + 1, key->text.bytes, len = key->text.len);
	} else {
		return err_set(err, ERR_INVALID, "store: a key must be a string, a number or a boolean");
	}
	*out = slice_make(to, len + 1);
	return 0;
}

int store_check_key(const struct value *key, struct err *err)
{
	char bytes[STORE_KEY_MAX + 1];
	struct slice canonical;
	return canonical_key(key, bytes, &canonical, err);
}

/* Removes and frees; the entry must be in its space. */
static void remove_entry(struct entry *entry)
{
	char bytes[STORE_KEY_MAX + 1];
	struct slice canonical;

	/* A key that was stored once is valid. */
	if (canonical_key(&entry->key, bytes, &canonical, NULL) == 0)
		map_remove(&entry->space->entries, canonical);
	expiry_remove(entry);
	discharge(entry);
	free_entry(entry);
}

/* The entry or NULL; one that has expired is removed. */
static struct entry *find_live(struct store_space *space, struct slice canonical, uint64_t now)
{
	struct entry *entry = map_get(&space->entries, canonical);

	if (entry && entry->expires <= now) {
		remove_entry(entry);
		return NULL;
	}
	return entry;
}

/* Spaces */

struct store_space *store_open(struct store *store, unsigned owner, struct slice name, struct err *err)
{
	struct store_space *space = map_get(&store->spaces, name);
	size_t bytes = sizeof *space + name.len + PLACE_BYTES;

	if (space)
		return space;
	if (name.len == 0 || name.len > STORE_KEY_MAX) {
		err_set(err, ERR_INVALID, "store: a name must have 1 to %d bytes", STORE_KEY_MAX);
		return NULL;
	}
	if (store->spaces.count >= store->limits.spaces) {
		err_set(err, ERR_OVERFLOW, "store: there are %zu stores already, the most in all", store->spaces.count);
		return NULL;
	}
	/* The others find space too. */
	if (store->limits.spaces >= 8 && store->owners[owner].spaces >= store->limits.spaces / 4) {
		err_set(err, ERR_OVERFLOW, "store: the rule has opened %zu stores already", store->owners[owner].spaces);
		return NULL;
	}
	if (check_share(store, owner, bytes, NULL, err))
		return NULL;
	space = mem_zalloc(sizeof *space);
	space->store = store;
	map_init(&space->entries, false);
	map_set(&store->spaces, name, space);
	store->owners[owner].spaces++;
	store->owners[owner].usage.entries++;
	store->owners[owner].usage.bytes += bytes;
	return space;
}

int store_get(struct store_space *space, const struct value *key, uint64_t now, const struct value **out,
              struct err *err)
{
	char bytes[STORE_KEY_MAX + 1];
	struct slice canonical;

	*out = NULL;
	if (canonical_key(key, bytes, &canonical, err))
		return -1;
	const struct entry *entry = map_get(&space->entries, canonical);
	if (entry && entry->expires > now)
		*out = &entry->item;
	return 0;
}

/* Puts `item` into `entry` (NULL: a new one under `key`). Takes `item` over only when it succeeds. */
static int put(struct store_space *space, struct entry *entry, unsigned owner, const struct value *key,
               struct slice canonical, struct value *item, struct err *err)
{
	size_t bytes = sizeof *entry + value_size(key) + canonical.len + value_size(item) + PLACE_BYTES;

	if (check_share(space->store, owner, bytes, entry, err))
		return -1;
	if (entry) {
		discharge(entry);
		value_close(&entry->item);
	} else {
		entry = mem_zalloc(sizeof *entry);
		entry->space = space;
		entry->key = value_copy(key);
		entry->expires = UINT64_MAX;
		entry->expiry_index = NO_EXPIRY_INDEX;
		map_set(&space->entries, canonical, entry);
	}
	entry->item = *item;
	*item = (struct value){ .type = VALUE_NIL };
	charge(entry, owner, bytes);
	return 0;
}

int store_set(struct store_space *space, unsigned owner, const struct value *key, struct value *item, uint64_t ttl,
              uint64_t now, struct err *err)
{
	char bytes[STORE_KEY_MAX + 1];
	struct slice canonical;
	int rc = canonical_key(key, bytes, &canonical, err);

	if (rc == 0) {
		struct entry *entry = find_live(space, canonical, now);
		if (item->type != VALUE_NIL) {
			rc = put(space, entry, owner, key, canonical, item, err);
			if (rc == 0)
				expiry_set(map_get(&space->entries, canonical), expiry_time(now, ttl));
		} else if (entry) {
			remove_entry(entry);
		}
	}
	value_close(item);
	return rc;
}

/* An integer never wraps. */
int store_add(const struct value *before, const struct value *by, struct value *sum, struct err *err)
{
	static const struct value zero = { .type = VALUE_INT };
	const struct value *a = before && before->type != VALUE_NIL ? before : &zero;

	if (by->type != VALUE_INT && by->type != VALUE_NUMBER)
		return err_set(err, ERR_INVALID, "store: only a number can be added");
	if (a->type != VALUE_INT && a->type != VALUE_NUMBER)
		return err_set(err, ERR_INVALID, "store: what stands there is no number");
	if (a->type == VALUE_INT && by->type == VALUE_INT) {
		*sum = (struct value){ .type = VALUE_INT };
		if (__builtin_add_overflow(a->integer, by->integer, &sum->integer))
			return err_set(err, ERR_OVERFLOW, "store: the counter would leave the range of integers");
		return 0;
	}
	double left = a->type == VALUE_INT ? (double)a->integer : a->number;
	double right = by->type == VALUE_INT ? (double)by->integer : by->number;
	*sum = (struct value){ .type = VALUE_NUMBER, .number = left + right };
	return 0;
}

int store_incr(struct store_space *space, unsigned owner, const struct value *key, const struct value *by, uint64_t ttl,
               uint64_t now, struct value *out, struct err *err)
{
	char bytes[STORE_KEY_MAX + 1];
	struct slice canonical;
	struct value sum;

	*out = (struct value){ .type = VALUE_NIL };
	if (canonical_key(key, bytes, &canonical, err))
		return -1;
	struct entry *entry = find_live(space, canonical, now);
	if (store_add(entry ? &entry->item : NULL, by, &sum, err))
		return -1;
	struct value item = sum;
	if (put(space, entry, owner, key, canonical, &item, err))
		return -1;
	if (!entry)
		expiry_set(map_get(&space->entries, canonical), expiry_time(now, ttl));
	*out = sum;
	return 0;
}

int store_delete(struct store_space *space, const struct value *key, uint64_t now, struct err *err)
{
	char bytes[STORE_KEY_MAX + 1];
	struct slice canonical;

	if (canonical_key(key, bytes, &canonical, err))
		return -1;
	struct entry *entry = find_live(space, canonical, now);
	if (!entry)
		return 0;
	remove_entry(entry);
	return 1;
}

bool store_next(const struct store_space *space, size_t *cursor, uint64_t now, const struct value **key,
                const struct value **item)
{
	const struct map_entry *e;

	while ((e = map_next(&space->entries, cursor))) {
		const struct entry *entry = e->value;
		if (entry->expires <= now)
			continue;
		*key = &entry->key;
		*item = &entry->item;
		return true;
	}
	return false;
}

size_t store_sweep(struct store *store, uint64_t now, size_t max)
{
	size_t removed = 0;

	while (removed < max && store->expiry_count > 0 && store->expiry[0]->expires <= now) {
		remove_entry(store->expiry[0]);
		removed++;
	}
	return removed;
}

uint64_t store_next_expiry(const struct store *store)
{
	return store->expiry_count > 0 ? store->expiry[0]->expires : UINT64_MAX;
}
