#include <string.h>

#include "base/mem.h"
#include "sandbox/arena_internal.h"

#define LATE_BLOCK ((size_t)65536)
#define LODGE_STEPS 4 /* sizes */

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

/* ---- cells ---- */

/* The first spans of a size are short, so that a small state stays small. */
static unsigned span_units(const struct arena *a, unsigned class)
{
	unsigned least = cell_sizes[class] <= 512 || cell_sizes[class] == UNIT ? 1 : 2, count = a->span_count[class];
	return count < 8 ? least : count < 16 ? 4 : 8;
}

static struct span *new_span(struct arena *a, unsigned class, bool all)
{
	struct span *span = arena_take_run(a, span_units(a, class), all);
	if (!span)
		return NULL;
	span->class = (uint8_t)class;
	span->free = NULL;
	span->live = span->fresh = 0;
	span->cells = (uint16_t)(span->units * UNIT / cell_sizes[class]);
	a->span_count[class]++;
	arena_push(&a->spans[class], &span->of_class);
	return span;
}

static inline void *get_cell(struct span *span, unsigned class)
{
	void *cell = span->free;
	span->live++;
	if (!cell)
		return arena_units_of(span) + (size_t)span->fresh++ * cell_sizes[class];
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

static void free_span(struct arena *a, struct span *span)
{
	a->span_count[span->class]--;
	list_remove(&span->of_class);
	arena_free_run(a, span);
}

static void free_cell(struct arena *a, struct span *span, void *cell)
{
	struct list *spans = &a->spans[span->class];
	if (span->live == span->cells)
		arena_push(spans, &span->of_class);
	put_cell(span, cell);
	/* The last span of a size stays, so that one cell that comes and goes costs little. */
	if (span->live == 0 && !(spans->next == &span->of_class && spans->prev == &span->of_class))
		free_span(a, span);
}

/* ---- blocks ---- */

static void *take_block(struct arena *a, size_t size, bool all)
{
	void *block;
	if (size <= CELL_MAX) {
		block = take_cell(a, class_of(size), all);
	} else if (size <= RUN_MAX) {
		struct span *span = arena_take_run(a, (unsigned)((size + UNIT - 1) / UNIT), all);
		block = span ? arena_units_of(span) : NULL;
	} else {
		block = arena_take_large(a, size);
	}
	if (block)
		ASAN_UNPOISON_MEMORY_REGION(block, size);
	return block;
}

static void free_block(struct arena *a, void *block) __attribute__((noinline));

static void free_block(struct arena *a, void *block)
{
	if (arena_is_large(block)) {
		arena_free_large(a, block);
		return;
	}
	struct span *span = arena_span_of(block);
	if (span->class == RUN_CLASS)
		arena_free_run(a, span);
	else
		free_cell(a, span, block);
}

/* NULL: not possible where it is. */
static void *resize_in_place(struct arena *a, void *block, size_t size)
{
	if (arena_is_large(block))
		return size > RUN_MAX ? arena_resize_large(a, (struct large *)block - 1, size) : NULL;
	struct span *span = arena_span_of(block);
	if (span->class == RUN_CLASS)
		return size > CELL_MAX && size <= RUN_MAX && arena_resize_run(a, span, size) ? block : NULL;
	return size <= CELL_MAX && class_of(size) == span->class ? block : NULL;
}

/* `size` bytes of a block can be used, those after it cannot. */
static void mark(void *block, size_t size)
{
#ifdef __SANITIZE_ADDRESS__
	const struct span *span = arena_is_large(block) ? NULL : arena_span_of(block);
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
		struct span *span = arena_is_large(block) ? NULL : arena_span_of(block);
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
	if (mem_is_short()) {
		fail(a);
		return false;
	}
	if (!arena_take(a, bytes)) {
		arena_trim(a);
		if (!arena_take(a, bytes)) {
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
	arena_give(a, bytes);
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

void arena_trim(struct arena *a)
{
	for (unsigned class = 0; class < ARENA_CLASSES; class++)
		list_each_safe(it, &a->spans[class]) {
			struct span *span = list_entry(it, struct span, of_class);
			if (span->live == 0)
				free_span(a, span);
		}
	arena_drop_kept(a, 0);
	for (unsigned length = 1; length < ARENA_LENGTHS; length++)
		list_each(it, &a->chunks[length])
			arena_trim_chunk(a, list_entry(it, struct chunk, of_length));
}

bool arena_release_some(struct arena *a, size_t bytes)
{
	size_t done = 0;
	do {
		size_t released = arena_release_one(a, bytes - done);
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
	while (arena_release_one(a, SIZE_MAX / 2) > 0)
		continue;
	arena_give(a, a->charged);
	arena_init(a, a->limit, NULL);
}
