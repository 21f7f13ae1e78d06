#include "sandbox/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "sandbox/deadline.h"

/* In front of each block. Eight bytes keep the alignment that Lua needs (numbers, pointers). */
struct block {
	uint32_t owner;
	uint32_t unused;
};

void alloc_init(struct alloc *a, size_t cap, size_t quota)
{
	*a = (struct alloc){ .cap = cap, .quota = quota, .owner_count = 1 };
	a->owners = mem_zalloc(ALLOC_OWNERS * sizeof *a->owners);
}

void alloc_close(struct alloc *a)
{
	for (size_t i = 0; i < ALLOC_CLASSES; i++)
		while (a->free_lists[i]) {
			void *next = *(void **)a->free_lists[i];
			free((struct block *)a->free_lists[i] - 1);
			a->free_lists[i] = next;
		}
	free(a->owners);
	a->owners = NULL;
}

/* Growth that is refused once the call is over its deadline. */
#define LATE_BLOCK 65536u
#define LATE_SLOTS 8192u
#define LATE_NS UINT64_C(15000000)
#define STACK_EXTRA 5u
/* In one call: the first refusal can be caught, one more cannot. */
#define CALL_REFUSED_MAX 2u

static void refused_for_good(struct alloc *a, bool by_cap)
{
	a->owners[a->owner].refused++;
	a->cap_hit |= by_cap;
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

/* May `owner` have `more` bytes? */
static bool allowed(struct alloc *a, uint32_t owner, size_t more)
{
	if (a->fail_at && --a->fail_at == 0) {
		a->fail_at = 1;
		return false;
	}
	size_t used = a->used + more, share = a->owners[owner].used + more;
	bool over_cap = a->cap && used > a->cap;
	bool over_quota = owner != 0 && a->quota && share > a->quota;
	bool late = more >= LATE_BLOCK && (deadline_passed() || stack_grows_late(a, more));
	if (!over_cap && !over_quota && !late) {
		a->pressed |= (a->cap && used > a->cap - a->cap / 4) || (owner != 0 && a->quota && share > a->quota - a->quota / 4);
		if (a->asked_twice)
			deadline_hold(a->asked_twice = false);
		return true;
	}
	bool for_good = a->asked_twice;
	deadline_hold(a->asked_twice = !for_good);
	if (for_good && a->place[0] == '\0')
		deadline_place(a->place, sizeof a->place);
	if (for_good && !late)
		refused_for_good(a, over_cap && !over_quota);
	return false;
}

bool alloc_charge(struct alloc *a, uint32_t owner, size_t size)
{
	bool over_cap = a->cap && a->used + size > a->cap, over_quota = owner != 0 && a->quota && a->owners[owner].used + size > a->quota;
	if (over_cap || over_quota) {
		a->pressed = true;
		refused_for_good(a, over_cap && !over_quota);
		return false;
	}
	a->used += size;
	a->owners[owner].used += size;
	return true;
}

void alloc_credit(struct alloc *a, uint32_t owner, size_t size)
{
	a->used -= size;
	a->owners[owner].used -= size;
}

static size_t class_of(size_t size)
{
	return (size + ALLOC_STEP - 1) / ALLOC_STEP;
}

static struct block *take_block(struct alloc *a, size_t size)
{
	size_t class = class_of(size);
	if (class >= ALLOC_CLASSES)
		return malloc(sizeof(struct block) + size);
	void *free_block = a->free_lists[class];
	if (!free_block)
		return malloc(sizeof(struct block) + class * ALLOC_STEP);
	a->free_lists[class] = *(void **)free_block;
	a->kept -= class * ALLOC_STEP;
	return (struct block *)free_block - 1;
}

static void give_back(struct alloc *a, struct block *block, size_t size)
{
	size_t class = class_of(size), bytes = class * ALLOC_STEP;
	if (class >= ALLOC_CLASSES || a->kept + bytes > ALLOC_KEPT_MAX) {
		free(block);
		return;
	}
	*(void **)(block + 1) = a->free_lists[class];
	a->free_lists[class] = block + 1;
	a->kept += bytes;
}

/* A block of another size with the same content. */
static struct block *resize(struct alloc *a, struct block *block, size_t old_size, size_t new_size)
{
	size_t from = class_of(old_size), to = class_of(new_size);
	if (from == to && to < ALLOC_CLASSES)
		return block;
	if (from >= ALLOC_CLASSES && to >= ALLOC_CLASSES)
		return realloc(block, sizeof *block + new_size);
	struct block *moved = take_block(a, new_size);
	if (!moved)
		return NULL;
	memcpy(moved, block, sizeof *block + (old_size < new_size ? old_size : new_size));
	give_back(a, block, old_size);
	return moved;
}

void *alloc_lua(void *ud, void *ptr, size_t old_size, size_t new_size)
{
	struct alloc *a = ud;
	struct block *block = ptr ? (struct block *)ptr - 1 : NULL;

	if (new_size == 0) {
		if (block) {
			a->used -= old_size;
			a->owners[block->owner].used -= old_size;
			give_back(a, block, old_size);
		}
		return NULL;
	}
	if (!block)
		old_size = 0; /* for a new block Lua passes the object's type there */
	uint32_t owner = block ? block->owner : a->owner;
	if (new_size > old_size && !allowed(a, owner, new_size - old_size))
		return NULL;
	struct block *moved = block ? resize(a, block, old_size, new_size) : take_block(a, new_size);
	if (!moved)
		return NULL;
	moved->owner = owner;
	a->used += new_size - old_size;
	a->owners[owner].used += new_size - old_size;
	return moved + 1;
}
