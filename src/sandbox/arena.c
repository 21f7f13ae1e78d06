#include "sandbox/arena.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE ((size_t)4096)
#define CHUNK ((size_t)65536)
#define UNIT ((size_t)1024)
#define UNITS (CHUNK / UNIT)
#define PAGE_UNITS (PAGE / UNIT)
#define CELL_MAX ((size_t)1024) /* larger blocks are runs of units */
#define RUN_MAX ((size_t)20480) /* larger blocks are mappings: fewer than three would stand in a chunk */
#define LATE_BLOCK ((size_t)65536)
#define RUN_CLASS UINT8_MAX
#define SEARCH_MAX 16 /* chunks that may have a run of the length, before one is taken that must have */
#define LODGE_STEPS 4 /* sizes */
#define KEPT_MIN ((size_t)262144)

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
	uint8_t first[UNITS];    /* of each unit in use: the first one of its span */
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

/* Steps of 8 bytes up to 64, of 16 up to 256, four in each power of two above. */
static const uint16_t cell_sizes[ARENA_CLASSES] = { 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240,
	                                            256, 320, 384, 448, 512, 640, 768, 896, 1024 };

/* Of each size in steps of 8 bytes, the class of its cells. */
#define X8(class) class, class, class, class, class, class, class, class
#define X16(class) X8(class), X8(class)
static const uint8_t classes[CELL_MAX / 8 + 1] = {
	0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15, 16, 16, 17, 17, 18, 18, 19, 19,
	X8(20), X8(21), X8(22), X8(23), X16(24), X16(25), X16(26), X16(27),
};

static inline unsigned class_of(size_t size)
{
	return classes[(size + 7) / 8];
}

static size_t round_up(size_t size, size_t step)
{
	return (size + step - 1) & ~(step - 1);
}

static struct chunk *chunk_of(const void *inside)
{
	return (struct chunk *)((uintptr_t)inside & ~(CHUNK - 1));
}

static bool is_large(const void *block)
{
	return ((uintptr_t)block & (CHUNK - 1)) < HEAD_UNITS * UNIT;
}

static unsigned char *units_of(const struct span *span)
{
	struct chunk *chunk = chunk_of(span);
	return (unsigned char *)chunk + (size_t)(span - chunk->spans) * UNIT;
}

static struct span *span_of(const void *block)
{
	struct chunk *chunk = chunk_of(block);
	return &chunk->spans[chunk->first[((uintptr_t)block & (CHUNK - 1)) / UNIT]];
}

static void push(struct list *head, struct list *node)
{
	list_append(head->next, node);
}

/* ---- from the system ---- */

/* Counts `bytes` more, or refuses them. */
static bool take(struct arena *a, size_t bytes)
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

static void give(struct arena *a, size_t bytes)
{
	a->used -= bytes;
	if (a->budget)
		atomic_fetch_sub_explicit(&a->budget->used, bytes, memory_order_relaxed);
}

/* Address space, aligned like a chunk. */
static void *map(size_t bytes)
{
	size_t more = bytes + CHUNK - PAGE;
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
	give(a, pages_in(chunk->taken));
	unmap(chunk, CHUNK);
}

static void drop_large(struct arena *a, struct large *large)
{
	list_remove(&large->of_arena);
	give(a, large->bytes);
	unmap(large, large->bytes);
}

/* Empty chunks and mappings are kept for the next burst, up to half of what is used. */
static void drop_kept(struct arena *a, size_t keep)
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
	drop_kept(a, keep > KEPT_MIN ? keep : KEPT_MIN);
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

/* The power of two that fits into the longest run, from 1; 0: nothing is free. */
static unsigned length_of(uint64_t free)
{
	unsigned length = 0;
	for (unsigned step = 1; free && length < ARENA_LENGTHS - 1; step *= 2, length++)
		free &= free >> step;
	return length;
}

static void place_chunk(struct arena *a, struct chunk *chunk)
{
	list_remove(&chunk->of_length);
	if (chunk->free != ALL_FREE) {
		push(&a->chunks[length_of(chunk->free)], &chunk->of_length);
		return;
	}
	push(&a->empty, &chunk->of_length);
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
	if (more && !take(a, pages_in(more)))
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
	list_init(&span->of_class);
	span->units = (uint8_t)count;
	span->class = RUN_CLASS;
	return span;
}

static struct chunk *new_chunk(struct arena *a)
{
	size_t head = round_up(HEAD_UNITS * UNIT, PAGE);
	if (!take(a, head))
		return NULL;
	struct chunk *chunk = map(CHUNK);
	if (!chunk) {
		give(a, head);
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

/* A run of `count` units, from the chunks that are fullest and still have one. `all`: looks at every chunk first. */
static struct span *take_run(struct arena *a, unsigned count, bool all)
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

static void free_run(struct arena *a, struct span *span)
{
	struct chunk *chunk = chunk_of(span);
	ASAN_POISON_MEMORY_REGION(units_of(span), span->units * UNIT);
	chunk->free |= unit_mask((unsigned)(span - chunk->spans), span->units);
	place_chunk(a, chunk);
	if (chunk->free == ALL_FREE)
		bound_kept(a);
}

/* Pages of `chunk` in which no unit is used go back to the system. */
static void trim_chunk(struct arena *a, struct chunk *chunk)
{
	for (unsigned page = 0; page < CHUNK / PAGE; page++) {
		uint64_t units = unit_mask(page * PAGE_UNITS, PAGE_UNITS);
		if (!(chunk->taken & 1u << page) || (chunk->free & units) != units)
			continue;
		madvise((unsigned char *)chunk + page * PAGE, PAGE, MADV_DONTNEED);
		chunk->taken &= (uint16_t)~(1u << page);
		give(a, PAGE);
	}
}

static void free_span(struct arena *a, struct span *span)
{
	a->span_count[span->class]--;
	list_remove(&span->of_class);
	free_run(a, span);
}

void arena_trim(struct arena *a)
{
	for (unsigned class = 0; class < ARENA_CLASSES; class++)
		list_each_safe(it, &a->spans[class]) {
			struct span *span = list_entry(it, struct span, of_class);
			if (span->live == 0)
				free_span(a, span);
		}
	drop_kept(a, 0);
	for (unsigned length = 1; length < ARENA_LENGTHS; length++)
		list_each(it, &a->chunks[length])
			trim_chunk(a, list_entry(it, struct chunk, of_length));
}

/* ---- blocks ---- */

/* The first spans of a size are short, so that a small state stays small. */
static unsigned span_units(const struct arena *a, unsigned class)
{
	unsigned least = cell_sizes[class] <= 512 || cell_sizes[class] == UNIT ? 1 : 2, count = a->span_count[class];
	return count < 8 ? least : count < 16 ? 4 : 8;
}

static struct span *new_span(struct arena *a, unsigned class, bool all)
{
	struct span *span = take_run(a, span_units(a, class), all);
	if (!span)
		return NULL;
	span->class = (uint8_t)class;
	span->free = NULL;
	span->live = span->fresh = 0;
	span->cells = (uint16_t)(span->units * UNIT / cell_sizes[class]);
	a->span_count[class]++;
	push(&a->spans[class], &span->of_class);
	return span;
}

static inline void *get_cell(struct span *span, unsigned class)
{
	void *cell = span->free;
	span->live++;
	if (!cell)
		return units_of(span) + (size_t)span->fresh++ * cell_sizes[class];
	ASAN_UNPOISON_MEMORY_REGION(cell, sizeof(void *));
	span->free = *(void **)cell;
	return cell;
}

static inline void put_cell(struct span *span, void *cell)
{
	ASAN_UNPOISON_MEMORY_REGION(cell, sizeof(void *));
	*(void **)cell = span->free;
	span->free = cell;
	span->live--;
	ASAN_POISON_MEMORY_REGION(cell, cell_sizes[span->class]);
}

/* In a small state, the first cells of a size stand in a span of larger ones that has some left: most sizes are rare there. */
static struct span *lodge(const struct arena *a, unsigned class)
{
	if (a->span_count[class] > 0 || a->used > CHUNK)
		return NULL;
	for (unsigned larger = class + 1; larger < ARENA_CLASSES && larger <= class + LODGE_STEPS; larger++)
		if (!list_empty(&a->spans[larger]))
			return list_entry(a->spans[larger].next, struct span, of_class);
	return NULL;
}

static void *take_cell(struct arena *a, unsigned class, bool all)
{
	struct list *spans = &a->spans[class];
	struct span *span = list_empty(spans) ? lodge(a, class) : list_entry(spans->next, struct span, of_class);
	if (!span)
		span = new_span(a, class, all);
	if (!span)
		return NULL;
	void *cell = get_cell(span, span->class);
	if (span->live == span->cells)
		list_remove(&span->of_class);
	return cell;
}

static void free_cell(struct arena *a, struct span *span, void *cell)
{
	struct list *spans = &a->spans[span->class];
	if (span->live == span->cells)
		push(spans, &span->of_class);
	put_cell(span, cell);
	/* The last span of a size stays, so that one cell that comes and goes costs little. */
	if (span->live == 0 && !(spans->next == &span->of_class && spans->prev == &span->of_class))
		free_span(a, span);
}

static void *take_large(struct arena *a, size_t size)
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
		if (!take(a, bytes))
			return NULL;
		large = map(bytes);
		if (!large) {
			give(a, bytes);
			return NULL;
		}
		large->bytes = bytes;
		list_init(&large->of_arena);
	}
	push(&a->large, &large->of_arena);
	return large + 1;
}

static void free_large(struct arena *a, void *block)
{
	struct large *large = (struct large *)block - 1;
	ASAN_POISON_MEMORY_REGION(block, large->bytes - sizeof *large);
	list_remove(&large->of_arena);
	push(&a->large_kept, &large->of_arena);
	a->kept += large->bytes;
	bound_kept(a);
}

static void *take_block(struct arena *a, size_t size, bool all)
{
	void *block;
	if (size <= CELL_MAX) {
		block = take_cell(a, class_of(size), all);
	} else if (size <= RUN_MAX) {
		struct span *span = take_run(a, (unsigned)((size + UNIT - 1) / UNIT), all);
		block = span ? units_of(span) : NULL;
	} else {
		block = take_large(a, size);
	}
	if (block)
		ASAN_UNPOISON_MEMORY_REGION(block, size);
	return block;
}

static void free_block(struct arena *a, void *block) __attribute__((noinline));

static void free_block(struct arena *a, void *block)
{
	if (is_large(block)) {
		free_large(a, block);
		return;
	}
	struct span *span = span_of(block);
	if (span->class == RUN_CLASS)
		free_run(a, span);
	else
		free_cell(a, span, block);
}

/* ---- changing a block's size where it is ---- */

static bool resize_run(struct arena *a, struct span *span, size_t size)
{
	struct chunk *chunk = chunk_of(span);
	unsigned first = (unsigned)(span - chunk->spans), have = span->units, want = (unsigned)((size + UNIT - 1) / UNIT);
	if (want > have) {
		uint64_t more = first + want <= UNITS ? unit_mask(first + have, want - have) : ~UINT64_C(0);
		if ((chunk->free & more) != more || !take_units(a, chunk, first + have, want - have))
			return false;
		memset(&chunk->first[first], (int)first, want);
	} else {
		chunk->free |= want < have ? unit_mask(first + want, have - want) : 0;
	}
	span->units = (uint8_t)want;
	if (want != have)
		place_chunk(a, chunk);
	return true;
}

/* A mapping grows without being copied; may move. */
static void *resize_large(struct arena *a, struct large *large, size_t size)
{
	size_t old = large->bytes, bytes = round_up(sizeof *large + size, PAGE);
	if (bytes < size || (bytes > old && !take(a, bytes - old)))
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
				give(a, bytes - old);
			WATCH(large, old);
			push(before, &large->of_arena);
			return NULL;
		}
		UNWATCH(to, bytes);
		large = to;
		push(before, &large->of_arena);
	}
	if (bytes < old)
		give(a, old - bytes);
	large->bytes = bytes;
	WATCH(large, bytes);
	return large + 1;
}

/* NULL: not possible where it is. */
static void *resize_in_place(struct arena *a, void *block, size_t size)
{
	if (is_large(block))
		return size > RUN_MAX ? resize_large(a, (struct large *)block - 1, size) : NULL;
	struct span *span = span_of(block);
	if (span->class == RUN_CLASS)
		return size > CELL_MAX && size <= RUN_MAX && resize_run(a, span, size) ? block : NULL;
	return size <= CELL_MAX && class_of(size) == span->class ? block : NULL;
}

/* `size` bytes of a block can be used, those after it cannot. */
static void mark(void *block, size_t size)
{
#ifdef __SANITIZE_ADDRESS__
	const struct span *span = is_large(block) ? NULL : span_of(block);
	size_t whole = !span ? ((struct large *)block - 1)->bytes - sizeof(struct large)
	             : span->class == RUN_CLASS ? span->units * UNIT : cell_sizes[span->class];
	ASAN_POISON_MEMORY_REGION(block, whole);
	ASAN_UNPOISON_MEMORY_REGION(block, size);
#else
	(void)block;
	(void)size;
#endif
}

static void *change(struct arena *a, void *block, size_t old_size, size_t new_size, bool all)
{
	if (!block)
		return take_block(a, new_size, all);
	void *moved = resize_in_place(a, block, new_size);
	if (moved) {
		mark(moved, new_size);
		return moved;
	}
	moved = take_block(a, new_size, all);
	if (!moved)
		return NULL;
	memcpy(moved, block, old_size < new_size ? old_size : new_size);
	free_block(a, block);
	return moved;
}

/* ---- the limits ---- */

static void fail(struct arena *a)
{
	a->refused++;
	a->call_refused++;
	if (a->on_refused)
		a->on_refused(a->ctx);
}

static bool forbidden(struct arena *a, size_t more)
{
	a->by_budget = false;
	if (a->fail_at && --a->fail_at == 0) {
		a->fail_at = 1;
		return true;
	}
	return more >= LATE_BLOCK && a->late && a->late(a->ctx);
}

static void ask_twice(struct arena *a, bool on)
{
	a->asked_twice = on;
	if (a->on_collect)
		a->on_collect(a->ctx, on);
}

void arena_call_ended(struct arena *a)
{
	if (a->asked_twice)
		ask_twice(a, false);
}

bool arena_is_tight(const struct arena *a)
{
	const struct arena_budget *b = a->budget;
	if (a->limit && a->used > a->limit - a->limit / 4)
		return true;
	return b && b->limit && atomic_load_explicit(&b->used, memory_order_relaxed) > b->limit - b->limit / 4;
}

static void *allocate(struct arena *a, void *block, size_t old_size, size_t new_size) __attribute__((noinline));

static void *allocate(struct arena *a, void *block, size_t old_size, size_t new_size)
{
	bool grows = new_size > old_size;
	void *moved = NULL;
	if (!grows || !forbidden(a, new_size - old_size)) {
		moved = change(a, block, old_size, new_size, false);
		if (!moved && grows) {
			arena_trim(a);
			moved = change(a, block, old_size, new_size, true);
		}
	}
	if (!grows)
		return moved ? moved : block;
	bool again = a->asked_twice;
	if (!moved || again)
		ask_twice(a, !moved && !again);
	if (!moved && again)
		fail(a);
	return moved;
}

/* What is usual ends here: a cell is taken or freed, and its span stays where it is. */
void *arena_lua(void *ud, void *block, size_t old_size, size_t new_size)
{
	struct arena *a = ud;
	if (block && new_size > 0)
		return allocate(a, block, old_size, new_size);
	if (block) {
		struct span *span = is_large(block) ? NULL : span_of(block);
		if (span && span->class != RUN_CLASS && span->live > 1 && span->live < span->cells)
			put_cell(span, block);
		else
			free_block(a, block);
		return NULL;
	}
	if (new_size == 0)
		return NULL;
	if (new_size <= CELL_MAX && !a->fail_at && !a->asked_twice) {
		unsigned class = class_of(new_size);
		const struct list *spans = &a->spans[class];
		struct span *span = list_entry(spans->next, struct span, of_class);
		if (!list_empty(spans) && span->live + 1 < span->cells) {
			block = get_cell(span, class);
			mark(block, new_size);
			return block;
		}
	}
	return allocate(a, NULL, 0, new_size); /* of a new block Lua passes the object's type as its size */
}

bool arena_charge(struct arena *a, size_t bytes)
{
	if (!take(a, bytes)) {
		arena_trim(a);
		if (!take(a, bytes)) {
			fail(a);
			return false;
		}
	}
	a->charged += bytes;
	return true;
}

void arena_credit(struct arena *a, size_t bytes)
{
	a->charged -= bytes;
	give(a, bytes);
}

/* ---- its life ---- */

void arena_init(struct arena *a, size_t limit, struct arena_budget *budget)
{
	*a = (struct arena){ .limit = limit, .budget = budget };
	for (unsigned i = 0; i < ARENA_CLASSES; i++)
		list_init(&a->spans[i]);
	for (unsigned i = 0; i < ARENA_LENGTHS; i++)
		list_init(&a->chunks[i]);
	list_init(&a->empty);
	list_init(&a->large);
	list_init(&a->large_kept);
}

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
	give(a, bytes);
	return bytes;
}

/* Gives back one piece of at most `bytes`, a chunk at least; 0: nothing is left. */
static size_t release_one(struct arena *a, size_t bytes)
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

bool arena_release_some(struct arena *a, size_t bytes)
{
	size_t done = 0;
	do {
		size_t released = release_one(a, bytes - done);
		if (released == 0)
			return false;
		done += released;
	} while (done < bytes);
	for (unsigned i = 0; i < ARENA_LENGTHS; i++)
		if (!list_empty(&a->chunks[i]))
			return true;
	return !list_empty(&a->empty) || !list_empty(&a->large) || !list_empty(&a->large_kept);
}

void arena_close(struct arena *a)
{
	while (release_one(a, SIZE_MAX / 2) > 0)
		continue;
	give(a, a->charged);
	arena_init(a, a->limit, NULL);
}
