#include "base/map.h"

#include <stdlib.h>

#include "base/mem.h"

void map_init(struct map *map, bool nocase)
{
	*map = (struct map){ .nocase = nocase };
}

void map_close(struct map *map)
{
	for (size_t i = 0; i < map->cap; i++)
		free(map->entries[i].key);
	free(map->entries);
	*map = (struct map){ .nocase = map->nocase };
}

static uint32_t hash_key(const struct map *map, struct slice key)
{
	return map->nocase ? slice_hash_nocase(key) : slice_hash(key);
}

/* The slot that holds `key`, or the free one where it would go. Needs cap > 0. */
static size_t find_slot(const struct map *map, struct slice key, uint32_t hash)
{
	size_t i = hash & (map->cap - 1);
	for (;; i = (i + 1) & (map->cap - 1)) {
		const struct map_entry *e = &map->entries[i];
		if (!e->key)
			return i;
		struct slice have = { e->key, e->key_len };
		if (e->hash == hash && (map->nocase ? slice_eq_nocase(have, key) : slice_eq(have, key)))
			return i;
	}
}

static void grow(struct map *map)
{
	struct map_entry *old = map->entries;
	size_t old_cap = map->cap;

	map->cap = old_cap ? old_cap * 2 : 8;
	map->entries = mem_zalloc(map->cap * sizeof *map->entries);
	for (size_t i = 0; i < old_cap; i++) {
		if (!old[i].key)
			continue;
		map->entries[find_slot(map, slice_make(old[i].key, old[i].key_len), old[i].hash)] = old[i];
	}
	free(old);
}

void *map_get(const struct map *map, struct slice key)
{
	if (map->count == 0)
		return NULL;
	const struct map_entry *e = &map->entries[find_slot(map, key, hash_key(map, key))];
	return e->key ? e->value : NULL;
}

void *map_set(struct map *map, struct slice key, void *value)
{
	if ((map->count + 1) * 4 > map->cap * 3)
		grow(map);
	uint32_t hash = hash_key(map, key);
	struct map_entry *e = &map->entries[find_slot(map, key, hash)];
	void *before = e->value;
	if (!e->key) {
		before = NULL;
		e->key = mem_slicedup(key);
		e->key_len = (uint32_t)key.len;
		e->hash = hash;
		map->count++;
	}
	e->value = value;
	return before;
}

void *map_remove(struct map *map, struct slice key)
{
	if (map->count == 0)
		return NULL;
	size_t hole = find_slot(map, key, hash_key(map, key));
	if (!map->entries[hole].key)
		return NULL;
	void *value = map->entries[hole].value;
	free(map->entries[hole].key);
	map->count--;
	/* Close the gap so that probing needs no tombstones. */
	for (size_t i = (hole + 1) & (map->cap - 1); map->entries[i].key; i = (i + 1) & (map->cap - 1)) {
		size_t home = map->entries[i].hash & (map->cap - 1);
		if (((i - home) & (map->cap - 1)) >= ((i - hole) & (map->cap - 1))) {
			map->entries[hole] = map->entries[i];
			hole = i;
		}
	}
	map->entries[hole] = (struct map_entry){ 0 };
	return value;
}

struct map_entry *map_next(const struct map *map, size_t *cursor)
{
	while (*cursor < map->cap) {
		struct map_entry *e = &map->entries[(*cursor)++];
		if (e->key)
			return e;
	}
	return NULL;
}
