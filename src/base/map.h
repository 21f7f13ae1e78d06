/* A hash table from byte strings to pointers. Keys are copied; values are the caller's. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/slice.h"

struct map_entry {
	char *key; /* owned, NUL-terminated; NULL: free slot */
	uint32_t key_len;
	uint32_t hash;
	void *value;
};

struct map {
	struct map_entry *entries; /* power of two, open addressing with linear probing, load <= 3/4 */
	size_t cap;
	size_t count;
	bool nocase; /* keys that differ only in ASCII case are the same key */
};

void map_init(struct map *map, bool nocase);
/* Frees keys and table, not the values. */
void map_close(struct map *map);
/* The value, or NULL. */
void *map_get(const struct map *map, struct slice key);
/* Stores and returns the value that stood there before, or NULL. */
void *map_set(struct map *map, struct slice key, void *value);
/* Removes and returns the value, or NULL when the key is not there. */
void *map_remove(struct map *map, struct slice key);
/* Walks all entries: `for (size_t i = 0; (e = map_next(map, &i));)`. The table must not change meanwhile. */
struct map_entry *map_next(const struct map *map, size_t *cursor);

#endif
