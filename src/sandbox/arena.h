/* The memory of one Lua state: a lua_Alloc with an exact cap, which can be released without the state's help (P2, P4).
 *
 * Chunks of 64 KiB are divided into units of 1 KiB, and a run of free units serves whatever comes next: a span of cells of one
 * size (up to 1 KiB), or a block of up to 20 KiB. A span whose last cell is freed becomes free units again, so no size can
 * keep memory from another. Larger blocks are mappings of their own. What counts is what was taken from the system: whole
 * pages, from their first use until they are given back.
 *
 * Lua answers a refusal with a full collection and asks once more: only the second refusal in a row is a failure.
 *
 * One thread uses an arena at a time; the budget is shared by all of them. Nothing here is left by a longjmp, so that an
 * arena is consistent whenever Lua's own code is interrupted for good (see kill.h).
 */
#ifndef SANDBOX_ARENA_H
#define SANDBOX_ARENA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

#define ARENA_CLASSES 28 /* sizes of cells */
#define ARENA_LENGTHS 7  /* chunks by their longest run of free units: none, 1, 2, 4, 8, 16, 32 or more */

/* The sum of all arenas. Its owner sets `limit` and outlives them. */
struct arena_budget {
	size_t limit; /* bytes; 0: none */
	_Atomic size_t used;
};

struct arena {
	/* Set by the owner after arena_init(), before the first allocation or later. */
	size_t limit; /* bytes; 0: none. Lower than `used`: nothing is taken any more */
	/* When not NULL and it returns true, growth of 64 KiB and more is refused: some loops inside of Lua end in no other way. */
	bool (*late)(void *ctx);
	/* Called with true when the first request was refused, for Lua collects all garbage next; with false when that is over. */
	void (*on_collect)(void *ctx, bool begins);
	/* Called for every failure, `refused` and `call_refused` included it already. NULL: not. */
	void (*on_refused)(void *ctx);
	void *ctx;
	uint64_t fail_at; /* tests: the n-th growth from now on fails, and all after it; 0: none */

	/* To read. */
	size_t used;           /* bytes taken from the system, and charged */
	size_t charged;        /* of them, memory outside of Lua: arena_charge() */
	uint64_t refused;      /* failures */
	unsigned call_refused; /* since the owner set it to 0 */
	bool by_budget;        /* the last failure came of the budget, not of `limit` */

	/* Its own. */
	struct arena_budget *budget; /* borrowed; NULL: none */
	bool asked_twice;            /* the last request was refused, and Lua collects and asks again */
	size_t kept;                 /* bytes of empty chunks and of large blocks that wait for use */
	struct list spans[ARENA_CLASSES]; /* with a free cell, by size */
	uint32_t span_count[ARENA_CLASSES];
	struct list chunks[ARENA_LENGTHS]; /* that hold something */
	struct list empty;              /* chunks that hold nothing */
	struct list large;              /* blocks that are mappings */
	struct list large_kept;         /* mappings that hold nothing */
};

/* `budget` may be NULL. Takes nothing from the system yet. */
void arena_init(struct arena *arena, size_t limit, struct arena_budget *budget);
/* Gives all memory back at once, whatever the Lua state on it was doing. Its blocks are gone. */
void arena_close(struct arena *arena);
/* The same in slices, for large arenas: gives back about `bytes` (at least one piece). True while there is more to give back. The
 * Lua state must never be used again after the first call. Any thread; arena_close() ends it. */
bool arena_release_some(struct arena *arena, size_t bytes);
/* More than three quarters of its limit, or of the budget's, are used: time to collect garbage. */
bool arena_is_tight(const struct arena *arena);
/* The call that allocated has ended: what was refused last will not be asked again. */
void arena_call_ended(struct arena *arena);
/* Gives back what holds nothing: for a state that has loaded, or that will be idle. */
void arena_trim(struct arena *arena);
/* A lua_Alloc; `ud` is the struct arena. Alignment is 8. Blocks that shrink never fail. */
void *arena_lua(void *ud, void *block, size_t old_size, size_t new_size);
/* Memory outside of Lua that the state's owner makes the host keep counts like its own. False when `limit` or the budget forbid
 * it: a failure. */
bool arena_charge(struct arena *arena, size_t bytes);
void arena_credit(struct arena *arena, size_t bytes);

#endif
