/* What rules keep beyond a reload: named stores of plain data, held by the engine. Pure C, used by the loop's thread.
 *
 * Bounded (P2): every entry is charged to the rule that wrote it last, by number and bytes; beyond a rule's share its
 * writes fail and nobody else's do. The name of a store counts as an entry of the rule that opened it first.
 * Times are nanoseconds of the caller's monotonic (or replayed) clock, given with each call. */
#ifndef RULES_STORE_H
#define RULES_STORE_H

#include "base/err.h"
#include "base/value.h"

struct store;       /* all of them */
struct store_space; /* the one behind store.open(name); lives as long as the store */

struct store_limits {
	size_t entries; /* of one rule; 0: 10,000 */
	size_t bytes;   /* of one rule, with what the entries cost here; 0: 16 MiB */
	size_t spaces;  /* names in all; 0: 1,000 */
};

struct store_usage {
	size_t entries, bytes;
};

/* Longest key or name of a store, in bytes. */
#define STORE_KEY_MAX 1024

struct store *store_create(const struct store_limits *limits);
void store_destroy(struct store **store);
/* New limits, from a reload. What is over them stays, and blocks writes. */
void store_limit(struct store *store, const struct store_limits *limits);

/* Where stores live that survive the process (store_disk.h), borrowed; NULL, as at first: there are none. */
struct persist;
void store_use_disk(struct store *store, struct persist *disk);
struct persist *store_disk(const struct store *store);

/* The number of a rule, the same for the same name for ever. Names come from files: their number is the operator's. */
unsigned store_owner(struct store *store, struct slice rule);
struct store_usage store_owner_usage(const struct store *store, unsigned owner);
/* Of all rules together. */
struct store_usage store_usage(const struct store *store);

/* The space of that name, made when it is new. NULL: ERR_INVALID for an empty or too long name, ERR_OVERFLOW. */
struct store_space *store_open(struct store *store, unsigned owner, struct slice name, struct err *err);

/* Keys are text, integers, floats or booleans; a float with an integral value is the same key as that integer, as in
 * Lua. Anything else, NaN or a text beyond STORE_KEY_MAX: ERR_INVALID. */

int store_check_key(const struct value *key, struct err *err);
/* `before` + `by` as store_incr() adds them; `before` may be NULL or nil. */
int store_add(const struct value *before, const struct value *by, struct value *sum, struct err *err);

/* 0 and `*out`: the item, or NULL when there is none or it has expired; it stands until the next change of any space.
 * -1 for a key that cannot be. */
int store_get(struct store_space *space, const struct value *key, uint64_t now, const struct value **out,
              struct err *err);

/* Puts `item` there, whatever stood there before; nil deletes. Takes over `item` in every case and makes it nil.
 * `ttl` in nanoseconds from `now`, 0: for ever. -1: ERR_INVALID, ERR_OVERFLOW; then the old item stands. */
int store_set(struct store_space *space, unsigned owner, const struct value *key, struct value *item, uint64_t ttl,
              uint64_t now, struct err *err);

/* Adds `by` (an integer or a float) to the number there, or to 0; `*out` is the new one. `ttl` counts only when the
 * entry is made here: an entry that stands keeps its own. -1: ERR_INVALID (no number there), ERR_OVERFLOW (also when
 * an integer would leave its range). */
int store_incr(struct store_space *space, unsigned owner, const struct value *key, const struct value *by, uint64_t ttl,
               uint64_t now, struct value *out, struct err *err);

/* 1 when there was one, 0 when not, -1 for a key that cannot be. */
int store_delete(struct store_space *space, const struct value *key, uint64_t now, struct err *err);

/* Walks the live entries, in no order: start with `*cursor` 0; false at the end. Key and item stand until the next
 * change, and a walk that must see each entry once must not be interrupted by one: a snapshot is a whole walk that
 * copies. */
bool store_next(const struct store_space *space, size_t *cursor, uint64_t now, const struct value **key,
                const struct value **item);

/* Removes entries that have expired, `max` at most; returns how many. Reads do not remove them. */
size_t store_sweep(struct store *store, uint64_t now, size_t max);
/* When the next entry expires; UINT64_MAX: none will. */
uint64_t store_next_expiry(const struct store *store);

#endif
