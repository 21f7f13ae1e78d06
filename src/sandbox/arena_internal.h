/* An arena's parts: arena_memory.c takes chunks and mappings from the system and divides the chunks into runs of units, arena.c
 * makes blocks of them. Nobody else includes this. */
#ifndef SANDBOX_ARENA_INTERNAL_H
#define SANDBOX_ARENA_INTERNAL_H

#include "sandbox/arena.h"

#define PAGE ((size_t)4096)
#define CHUNK ((size_t)65536)
#define UNIT ((size_t)1024)
#define UNITS (CHUNK / UNIT)
#define PAGE_UNITS (PAGE / UNIT)
#define CELL_MAX ((size_t)1024) /* larger blocks are runs of units */
#define RUN_MAX ((size_t)20480) /* larger blocks are mappings: fewer than three would stand in a chunk */
#define RUN_CLASS UINT8_MAX

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
/* LeakSanitizer looks into mappings only when it is asked to. */
#define WATCH(start, bytes) __lsan_register_root_region(start, bytes)
#define UNWATCH(start, bytes) __lsan_unregister_root_region(start, bytes)
#else
#define ASAN_POISON_MEMORY_REGION(start, bytes) ((void)(start), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(start, bytes) ((void)(start), (void)(bytes))
#define WATCH(start, bytes) ((void)(start), (void)(bytes))
#define UNWATCH(start, bytes) ((void)(start), (void)(bytes))
#endif

/* A run of units: cells of one size, or one block. */
struct span {
	struct list of_class; /* in arena.spans while a cell is free */
	void *free;           /* freed cells; each begins with a pointer to the next */
	uint16_t live, fresh, cells; /* in use; handed out at least once; in all */
	uint8_t class;        /* of its cells; RUN_CLASS: one block */
	uint8_t units;
};

/* Stands in its first units. A span's data is outside of it, so that a cell can be as large as a unit. */
struct chunk {
	struct list of_length;     /* in arena.chunks or arena.empty */
	uint64_t free;           /* units, one bit each */
	uint16_t taken;          /* pages that count as used, one bit each */
	uint8_t first[UNITS];    /* of each unit that a block can begin in: the first one of its span */
	struct span spans[UNITS]; /* at the number of their first unit */
};

#define HEAD_UNITS ((sizeof(struct chunk) + UNIT - 1) / UNIT)
#define ALL_FREE (~UINT64_C(0) << HEAD_UNITS)

/* In front of a large block. Mappings are aligned like chunks, and no cell stands this near to a chunk's begin. */
struct large {
	struct list of_arena;
	size_t bytes; /* of the mapping */
	size_t unused; /* keeps the alignment of what follows */
};

_Static_assert(UNITS == 64, "units are bits");
_Static_assert(sizeof(struct large) < HEAD_UNITS * UNIT, "a large block is known by its address");

static inline struct chunk *arena_chunk_of(const void *inside)
{
	return (struct chunk *)((uintptr_t)inside & ~(CHUNK - 1));
}

static inline bool arena_is_large(const void *block)
{
	return ((uintptr_t)block & (CHUNK - 1)) < HEAD_UNITS * UNIT;
}

static inline unsigned char *arena_units_of(const struct span *span)
{
	struct chunk *chunk = arena_chunk_of(span);
	return (unsigned char *)chunk + (size_t)(span - chunk->spans) * UNIT;
}

/* Of a block that is no large one. */
static inline struct span *arena_span_of(const void *block)
{
	struct chunk *chunk = arena_chunk_of(block);
	return &chunk->spans[chunk->first[((uintptr_t)block & (CHUNK - 1)) / UNIT]];
}

/* The newest comes first. */
static inline void arena_push(struct list *head, struct list *node)
{
	list_append(head->next, node);
}

/* ---- what counts ---- */

/* Counts `bytes` more; false when `limit` or the budget forbid them. */
bool arena_take(struct arena *arena, size_t bytes);
void arena_give(struct arena *arena, size_t bytes);

/* ---- runs of units ---- */

/* A run of `count` units as one block, from the chunks that are fullest and still have one; NULL when memory is out. `all`: looks
 * at every chunk before a new one is made. */
struct span *arena_take_run(struct arena *arena, unsigned count, bool all);
void arena_free_run(struct arena *arena, struct span *span);
/* Makes it hold `size` bytes where it is; false, and as before, when it cannot grow there. */
bool arena_resize_run(struct arena *arena, struct span *span, size_t size);

/* ---- large blocks ---- */

/* NULL when memory is out. */
void *arena_take_large(struct arena *arena, size_t size);
void arena_free_large(struct arena *arena, void *block);
/* Where the block is then, its content kept; NULL, and as before, when memory is out. */
void *arena_resize_large(struct arena *arena, struct large *large, size_t size);

/* ---- back to the system ---- */

/* What holds nothing, until at most `keep` bytes of it are left; free pages of a chunk that holds something. */
void arena_drop_kept(struct arena *arena, size_t keep);
void arena_trim_chunk(struct arena *arena, struct chunk *chunk);
/* One piece of at most `bytes`, a chunk at least, whatever stands in it: its bytes; 0: nothing is left. */
size_t arena_release_one(struct arena *arena, size_t bytes);

#endif
