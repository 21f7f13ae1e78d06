#include "sandbox/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sandbox/deadline.h"

void alloc_init(struct alloc *a, size_t cap)
{
	*a = (struct alloc){ .cap = cap };
}

void alloc_close(struct alloc *a)
{
	for (size_t i = 0; i < ALLOC_CLASSES; i++)
		while (a->free_lists[i]) {
			void *next = *(void **)a->free_lists[i];
			free(a->free_lists[i]);
			a->free_lists[i] = next;
		}
}

/* Growth that is refused once the call is over its deadline. */
#define LATE_BLOCK 65536u
#define LATE_SLOTS 8192u
#define LATE_NS UINT64_C(15000000)
#define STACK_EXTRA 5u
/* In one call: the first refusal can be caught, one more cannot. */
#define CALL_REFUSED_MAX 2u

static void refused_for_good(struct alloc *a)
{
	a->refused++;
	/* A full collection was made for it: a call that goes on asking, or that cost much already, ends here. */
	if (++a->call_refused >= CALL_REFUSED_MAX || deadline_was_held())
		deadline_end_for_memory();
}

/* A Lua stack grows to twice its slots, and five more: nothing else has such sizes in a row. A stack that is large and takes
 * long to grow is refused: a chain of __call moves all of it for each link, inside of Lua, where no hook comes. */
static bool stack_grows_late(struct alloc *a, size_t size)
{
	size_t slots = size / 16;
	if (size % 16 != 0)
		return false;
	uint64_t now = clock_mono_ns();
	if (slots + STACK_EXTRA == 2 * a->last_stack && slots >= LATE_SLOTS && now - a->last_stack_at >= LATE_NS)
		return true; /* and again, when it is asked again */
	a->last_stack = slots;
	a->last_stack_at = now;
	return false;
}

/* May the state have `more` bytes? */
static bool allowed(struct alloc *a, size_t more)
{
	if (a->fail_at && --a->fail_at == 0) {
		a->fail_at = 1;
		return false;
	}
	size_t used = a->used + more;
	bool over_cap = a->cap && used > a->cap;
	bool late = more >= LATE_BLOCK && (deadline_passed() || stack_grows_late(a, more));
	if (!over_cap && !late) {
		a->pressed |= a->cap && used > a->cap - a->cap / 4;
		if (a->asked_twice)
			deadline_hold(a->asked_twice = false);
		return true;
	}
	bool for_good = a->asked_twice;
	deadline_hold(a->asked_twice = !for_good);
	if (for_good && a->place[0] == '\0')
		deadline_place(a->place, sizeof a->place);
	if (for_good && !late)
		refused_for_good(a);
	return false;
}

bool alloc_charge(struct alloc *a, size_t size)
{
	if (a->cap && a->used + size > a->cap) {
		a->pressed = true;
		refused_for_good(a);
		return false;
	}
	a->used += size;
	return true;
}

void alloc_credit(struct alloc *a, size_t size)
{
	a->used -= size;
}

static size_t class_of(size_t size)
{
	return (size + ALLOC_STEP - 1) / ALLOC_STEP;
}

static void *take_block(struct alloc *a, size_t size)
{
	size_t class = class_of(size);
	if (class >= ALLOC_CLASSES)
		return malloc(size);
	void *free_block = a->free_lists[class];
	if (!free_block)
		return malloc(class * ALLOC_STEP);
	a->free_lists[class] = *(void **)free_block;
	a->kept -= class * ALLOC_STEP;
	return free_block;
}

static void give_back(struct alloc *a, void *block, size_t size)
{
	size_t class = class_of(size), bytes = class * ALLOC_STEP;
	if (class >= ALLOC_CLASSES || a->kept + bytes > ALLOC_KEPT_MAX) {
		free(block);
		return;
	}
	*(void **)block = a->free_lists[class];
	a->free_lists[class] = block;
	a->kept += bytes;
}

/* A block of another size with the same content. */
static void *resize(struct alloc *a, void *block, size_t old_size, size_t new_size)
{
	size_t from = class_of(old_size), to = class_of(new_size);
	if (from == to && to < ALLOC_CLASSES)
		return block;
	if (from >= ALLOC_CLASSES && to >= ALLOC_CLASSES)
		return realloc(block, new_size);
	void *moved = take_block(a, new_size);
	if (!moved)
		return NULL;
	memcpy(moved, block, old_size < new_size ? old_size : new_size);
	give_back(a, block, old_size);
	return moved;
}

void *alloc_lua(void *ud, void *block, size_t old_size, size_t new_size)
{
	struct alloc *a = ud;

	if (new_size == 0) {
		if (block) {
			a->used -= old_size;
			give_back(a, block, old_size);
		}
		return NULL;
	}
	if (!block)
		old_size = 0; /* for a new block Lua passes the object's type there */
	if (new_size > old_size && !allowed(a, new_size - old_size))
		return NULL;
	void *moved = block ? resize(a, block, old_size, new_size) : take_block(a, new_size);
	if (moved)
		a->used += new_size - old_size;
	return moved;
}
