/* Stores that survive: named tables of bytes, read and written in memory, on disk within 100 ms (persist.h).
 *
 * Keys and values are bytes of the caller's making. Every entry is charged to the writer that wrote it last; beyond its share that
 * writer's changes fail and nobody else's do (P2). */
#ifndef PERSIST_PERSIST_STORE_H
#define PERSIST_PERSIST_STORE_H

#include "persist/persist.h"

#define PERSIST_KEY_MAX 1100 /* bytes of a key or a name */

/* For persist_store_set(): an entry that is there keeps its time to live, a new one has none. */
#define PERSIST_KEEP_TTL UINT64_MAX

struct persist_store; /* lives as long as the layer */

struct persist_usage {
	size_t entries, bytes;
};

/* The number of a writer (a rule), the same for the same name while the process runs. */
unsigned persist_store_writer(struct persist *persist, struct slice name);
struct persist_usage persist_store_writer_usage(const struct persist *persist, unsigned writer);

/* The store of that name, made when it is new. NULL: ERR_INVALID for an empty or too long name, ERR_OVERFLOW. */
struct persist_store *persist_store_open(struct persist *persist, struct slice name, struct err *err);
/* Of all writers together. */
struct persist_usage persist_store_usage(const struct persist_store *store);

/* True and the value, which stands until the next change or persist_poll(); false when there is none or it has expired. */
bool persist_store_get(const struct persist_store *store, struct slice key, uint64_t now, struct slice *value);
/* `ttl` in nanoseconds from now; 0: for ever. -1, and nothing has changed: ERR_INVALID (key), ERR_OVERFLOW (the writer's share), ERR_BACKPRESSURE
 * (dirty_bytes). */
int persist_store_set(struct persist_store *store, unsigned writer, struct slice key, struct slice value, uint64_t ttl,
                      uint64_t now, struct err *err);
/* 1 when there was one, 0 when not; -1: ERR_BACKPRESSURE. */
int persist_store_delete(struct persist_store *store, struct slice key, uint64_t now, struct err *err);
/* Walks the live entries in no order: start with `*cursor` 0; false at the end. Nothing may change meanwhile. */
bool persist_store_next(const struct persist_store *store, size_t *cursor, uint64_t now, struct slice *key, struct slice *value);

#endif
