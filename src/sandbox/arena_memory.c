/* Chunks, runs of units in them, and mappings: what an arena takes from the system. */
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "sandbox/arena_internal.h"

#define SEARCH_MAX 16 /* chunks that may have a run of the length, before one is taken that must have */
#define KEPT_MIN ((size_t)262144)

static size_t round_up(size_t size, size_t step)
{
	return (size + step - 1) & ~(step - 1);
}

/* ---- what counts ---- */

bool arena_take(struct arena *a, size_t bytes)
{
	a->by_budget = false;
	if (a->limit && (bytes > a->limit || a->used > a->limit - bytes))
		return false;
	if (a->budget) {
		size_t before = atomic_fetch_add_explicit(&a->budget->used, bytes, memory_order_relaxed);
		if (a->budget->limit && before + bytes > a->budget->limit) {
			atomic_fetch_sub_explicit(&a->budget->used, bytes, memory_order_relaxed);
			a->by_budget = true;
			return false;
		}
	}
	a->used += bytes;
	return true;
}

void arena_give(struct arena *a, size_t bytes)
{
	a->used -= bytes;
	if (a->budget)
		atomic_fetch_sub_explicit(&a->budget->used, bytes, memory_order_relaxed);
}

/* ---- from the system ---- */

/* Address space, aligned like a chunk. */
static void *map(size_t bytes)
{
	size_t more = bytes + CHUNK - PAGE;
	if (mem_is_short())
		return NULL;
	unsigned char *start = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (start == MAP_FAILED)
		return NULL;
	/* The highest place: the next one, which the kernel puts below, stands right before it. */
	unsigned char *end = start + more, *at = (unsigned char *)((uintptr_t)(end - bytes) & ~(CHUNK - 1));
	if (at > start)
		munmap(start, (size_t)(at - start));
	if (at + bytes < end)
		munmap(at + bytes, (size_t)(end - at) - bytes);
	WATCH(at, bytes);
	return at;
}

static void unmap(void *start, size_t bytes)
{
	ASAN_UNPOISON_MEMORY_REGION(start, bytes);
	UNWATCH(start, bytes);
	munmap(start, bytes);
}

static size_t pages_in(unsigned mask)
{
	return (size_t)__builtin_popcount(mask) * PAGE;
}

static void drop_chunk(struct arena *a, struct chunk *chunk)
{
	list_remove(&chunk->of_length);
	arena_give(a, pages_in(chunk->taken));
	unmap(chunk, CHUNK);
}

static void drop_large(struct arena *a, struct large *large)
{
	list_remove(&large->of_arena);
	arena_give(a, large->bytes);
	unmap(large, large->bytes);
}

/* Empty chunks and mappings are kept for the next burst, up to half of what is used. */
void arena_drop_kept(struct arena *a, size_t keep)
{
	while (a->kept > keep) {
		if (!list_empty(&a->large_kept)) {
			struct large *large = list_entry(a->large_kept.prev, struct large, of_arena);
			a->kept -= large->bytes;
			drop_large(a, large);
		} else {
			struct chunk *chunk = list_entry(a->empty.prev, struct chunk, of_length);
			a->kept -= pages_in(chunk->taken);
			drop_chunk(a, chunk);
		}
	}
}

static void bound_kept(struct arena *a)
{
	size_t keep = a->used / 2;
	arena_drop_kept(a, keep > KEPT_MIN ? keep : KEPT_MIN);
}

/* ---- runs of units ---- */

/* Bit i is set when the units i to i + count - 1 are free. */
static uint64_t runs_of(uint64_t free, unsigned count)
{
	for (unsigned have = 1; have < count;) {
		unsigned step = have < count - have ? have : count - have;
		free &= free >> step;
		have += step;
	}
	return free;
}

/* The power of two that fits into the longest run, from 1; 0: nothing is free. A chunk's first units never are. */
static unsigned length_of(uint64_t free)
{
	unsigned length = 0;
	for (unsigned step = 1; free; step *= 2, length++)
		free &= free >> step;
	return length;
}

static void place_chunk(struct arena *a, struct chunk *chunk)
{
	list_remove(&chunk->of_length);
	if (chunk->free != ALL_FREE) {
		arena_push(&a->chunks[length_of(chunk->free)], &chunk->of_length);
		return;
	}
	arena_push(&a->empty, &chunk->of_length);
	a->kept += pages_in(chunk->taken);
}

static uint64_t unit_mask(unsigned first, unsigned count)
{
	return (~UINT64_C(0) >> (UNITS - count)) << first;
}

/* Takes the units out of their chunk, and their pages from the system if they are used for the first time. */
static bool take_units(struct arena *a, struct chunk *chunk, unsigned first, unsigned count)
{
	unsigned from = first / PAGE_UNITS, to = (first + count - 1) / PAGE_UNITS;
	unsigned pages = (2u << to) - (1u << from), more = pages & ~(unsigned)chunk->taken;
	if (more && !arena_take(a, pages_in(more)))
		return false;
	if (chunk->free == ALL_FREE)
		a->kept -= pages_in(chunk->taken);
	chunk->taken |= (uint16_t)more;
	chunk->free &= ~unit_mask(first, count);
	return true;
}

static struct span *run_in(struct arena *a, struct chunk *chunk, unsigned count)
{
	uint64_t fits = runs_of(chunk->free, count);
	if (!fits)
		return NULL;
	unsigned first = (unsigned)__builtin_ctzll(fits);
	if (!take_units(a, chunk, first, count))
		return NULL;
	place_chunk(a, chunk);
	struct span *span = &chunk->spans[first];
	memset(&chunk->first[first], (int)first, count);
	span->units = (uint8_t)count;
	span->class = RUN_CLASS;
	return span;
}

static struct chunk *new_chunk(struct arena *a)
{
	size_t head = round_up(HEAD_UNITS * UNIT, PAGE);
	if (!arena_take(a, head))
		return NULL;
	struct chunk *chunk = map(CHUNK);
	if (!chunk) {
		arena_give(a, head);
		return NULL;
	}
	/* A huge page would take more than is counted. */
	madvise(chunk, CHUNK, MADV_NOHUGEPAGE);
	chunk->free = ALL_FREE;
	chunk->taken = (uint16_t)((1u << head / PAGE) - 1);
	list_init(&chunk->of_length);
	ASAN_POISON_MEMORY_REGION((unsigned char *)chunk + HEAD_UNITS * UNIT, CHUNK - HEAD_UNITS * UNIT);
	place_chunk(a, chunk);
	return chunk;
}

struct span *arena_take_run(struct arena *a, unsigned count, bool all)
{
	unsigned length = length_of(unit_mask(0, count)), looked = 0;
	for (; length < ARENA_LENGTHS; length++)
		list_each(it, &a->chunks[length]) {
			struct chunk *chunk = list_entry(it, struct chunk, of_length);
			struct span *span = run_in(a, chunk, count);
			if (span)
				return span;
			if (++looked >= SEARCH_MAX && !all)
				break;
		}
	struct chunk *chunk = list_empty(&a->empty) ? new_chunk(a) : list_entry(a->empty.next, struct chunk, of_length);
	return chunk ? run_in(a, chunk, count) : NULL;
}

void arena_free_run(struct arena *a, struct span *span)
{
	struct chunk *chunk = arena_chunk_of(span);
	ASAN_POISON_MEMORY_REGION(arena_units_of(span), span->units * UNIT);
	chunk->free |= unit_mask((unsigned)(span - chunk->spans), span->units);
	place_chunk(a, chunk);
	if (chunk->free == ALL_FREE)
		bound_kept(a);
}

/* Pages of `chunk` in which no unit is used go back to the system. */
void arena_trim_chunk(struct arena *a, struct chunk *chunk)
{
	for (unsigned page = 0; page < CHUNK / PAGE; page++) {
		uint64_t units = unit_mask(page * PAGE_UNITS, PAGE_UNITS);
		if (!(chunk->taken & 1u << page) || (chunk->free & units) != units)
			continue;
		madvise((unsigned char *)chunk + page * PAGE, PAGE, MADV_DONTNEED);
		chunk->taken &= (uint16_t)~(1u << page);
		arena_give(a, PAGE);
	}
}

bool arena_resize_run(struct arena *a, struct span *span, size_t size)
{
	struct chunk *chunk = arena_chunk_of(span);
	unsigned first = (unsigned)(span - chunk->spans), have = span->units, want = (unsigned)((size + UNIT - 1) / UNIT);
	if (want > have) {
		uint64_t more = first + want <= UNITS ? unit_mask(first + have, want - have) : ~UINT64_C(0);
		if ((chunk->free & more) != more || !take_units(a, chunk, first + have, want - have))
			return false;
	} else {
		chunk->free |= want < have ? unit_mask(first + want, have - want) : 0;
	}
	span->units = (uint8_t)want;
	if (want != have)
		place_chunk(a, chunk);
	return true;
}

/* ---- large blocks ---- */

void *arena_take_large(struct arena *a, size_t size)
{
	size_t bytes = round_up(sizeof(struct large) + size, PAGE);
	struct large *large = NULL;
	if (bytes < size)
		return NULL;
	list_each(it, &a->large_kept) {
		large = list_entry(it, struct large, of_arena);
		if (large->bytes >= bytes && large->bytes / 2 <= bytes)
			break;
		large = NULL;
	}
	if (large) {
		a->kept -= large->bytes;
		list_remove(&large->of_arena);
	} else {
		if (!arena_take(a, bytes))
			return NULL;
		large = map(bytes);
		if (!large) {
			arena_give(a, bytes);
			return NULL;
		}
		large->bytes = bytes;
	}
	arena_push(&a->large, &large->of_arena);
	return large + 1;
}

void arena_free_large(struct arena *a, void *block)
{
	struct large *large = (struct large *)block - 1;
	ASAN_POISON_MEMORY_REGION(block, large->bytes - sizeof *large);
	list_remove(&large->of_arena);
	arena_push(&a->large_kept, &large->of_arena);
	a->kept += large->bytes;
	bound_kept(a);
}

/* A mapping grows without being copied; may move. */
void *arena_resize_large(struct arena *a, struct large *large, size_t size)
{
	size_t old = large->bytes, bytes = round_up(sizeof *large + size, PAGE);
	if (bytes < size || (bytes > old && !arena_take(a, bytes - old)))
		return NULL;
	UNWATCH(large, old);
	ASAN_UNPOISON_MEMORY_REGION(large, old);
	if (bytes != old && mremap(large, old, bytes, 0) == MAP_FAILED) {
		void *to = bytes > old ? map(bytes) : NULL;
		struct list *before = large->of_arena.prev;
		list_remove(&large->of_arena);
		if (!to || mremap(large, old, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) {
			if (to)
				unmap(to, bytes);
			if (bytes > old)
				arena_give(a, bytes - old);
			WATCH(large, old);
			arena_push(before, &large->of_arena);
			return NULL;
		}
		UNWATCH(to, bytes);
		large = to;
		arena_push(before, &large->of_arena);
	}
	if (bytes < old)
		arena_give(a, old - bytes);
	large->bytes = bytes;
	WATCH(large, bytes);
	return large + 1;
}

/* ---- back to the system ---- */

/* The last `bytes` of a large mapping, or all of it. */
static size_t release_large(struct arena *a, struct large *large, size_t bytes)
{
	bytes = round_up(bytes, PAGE);
	if (bytes >= large->bytes) {
		bytes = large->bytes;
		drop_large(a, large);
		return bytes;
	}
	UNWATCH(large, large->bytes);
	large->bytes -= bytes;
	ASAN_UNPOISON_MEMORY_REGION((unsigned char *)large + large->bytes, bytes);
	munmap((unsigned char *)large + large->bytes, bytes);
	WATCH(large, large->bytes);
	arena_give(a, bytes);
	return bytes;
}

size_t arena_release_one(struct arena *a, size_t bytes)
{
	struct list *large[] = { &a->large, &a->large_kept };
	for (size_t i = 0; i < 2; i++)
		if (!list_empty(large[i]))
			return release_large(a, list_entry(large[i]->next, struct large, of_arena), bytes ? bytes : PAGE);
	for (unsigned i = 0; i <= ARENA_LENGTHS; i++) {
		struct list *chunks = i < ARENA_LENGTHS ? &a->chunks[i] : &a->empty;
		if (list_empty(chunks))
			continue;
		drop_chunk(a, list_entry(chunks->next, struct chunk, of_length));
		return CHUNK;
	}
	return 0;
}
