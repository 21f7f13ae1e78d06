/* Stores that survive the process (persist/persist_store.h), with keys and values of rules. The same as store.h otherwise: what is a
 * key, what a ttl means, which errors there are; beyond them ERR_BACKPRESSURE, when too much waits for the disk. */
#ifndef RULES_STORE_DISK_H
#define RULES_STORE_DISK_H

#include "base/value.h"
#include "persist/persist_store.h"

/* `*out`: a copy of the item, the caller's; nil when there is none. */
int store_disk_get(const struct persist_store *store, const struct value *key, uint64_t now, struct value *out, struct err *err);
/* Nil deletes. */
int store_disk_set(struct persist_store *store, unsigned writer, const struct value *key, const struct value *item, uint64_t ttl,
                   uint64_t now, struct err *err);
int store_disk_incr(struct persist_store *store, unsigned writer, const struct value *key, const struct value *by, uint64_t ttl,
                    uint64_t now, struct value *out, struct err *err);
int store_disk_delete(struct persist_store *store, const struct value *key, uint64_t now, struct err *err);
/* All live entries as a table, the caller's. */
struct value store_disk_snapshot(const struct persist_store *store, uint64_t now);

#endif
