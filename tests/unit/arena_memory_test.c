/* What an arena takes from the system and gives back, and what the sanitizers know of its blocks. */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <lua.h>

#include "check.h"
#include "sandbox/arena.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#endif

#define KIB ((size_t)1024)
#define MIB (KIB * 1024)

static void *get(struct arena *a, size_t size)
{
	return arena_lua(a, NULL, LUA_TSTRING, size);
}

static void put(struct arena *a, void *block, size_t size)
{
	CHECK(arena_lua(a, block, size, 0) == NULL);
}

/* ---- the system's calls, which fail when they shall ---- */

static unsigned mmaps_that_fail, mremaps_that_fail, without_huge_pages;

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	if (mmaps_that_fail > 0) {
		mmaps_that_fail--;
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}

void *mremap(void *from, size_t old_bytes, size_t bytes, int flags, ...)
{
	va_list more;
	va_start(more, flags);
	void *to = flags & MREMAP_FIXED ? va_arg(more, void *) : NULL;
	va_end(more);
	if (mremaps_that_fail > 0) {
		mremaps_that_fail--;
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return (void *)syscall(SYS_mremap, from, old_bytes, bytes, flags, to);
}

int madvise(void *at, size_t bytes, int advice)
{
	without_huge_pages += advice == MADV_NOHUGEPAGE;
	return (int)syscall(SYS_madvise, at, bytes, advice);
}

/* ---- what the system has back ---- */

static bool is_mapped(const void *at)
{
	unsigned char resident;
	void *page = (void *)((uintptr_t)at & ~(uintptr_t)4095);
	return mincore(page, 1, &resident) == 0 || errno != ENOMEM;
}

/* It uses memory, too. */
static bool is_resident(const void *at)
{
	unsigned char resident = 0;
	return mincore((void *)((uintptr_t)at & ~(uintptr_t)4095), 1, &resident) == 0 && (resident & 1);
}

static bool same_chunk(const void *a, const void *b)
{
	return (uintptr_t)a / (64 * KIB) == (uintptr_t)b / (64 * KIB);
}

/* Pages of address space. */
static unsigned long address_space(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;
	CHECK(file && fscanf(file, "%lu", &pages) == 1);
	if (file)
		fclose(file);
	return pages;
}

static void nothing_stays_mapped(void)
{
	struct arena a;
	unsigned long before = address_space();
	arena_init(&a, 0, NULL);
	unsigned char *cell = get(&a, 100), *run = get(&a, 20000), *large = get(&a, MIB), *freed = get(&a, 300 * KIB);
	CHECK(is_mapped(cell) && is_mapped(run + 19999) && is_mapped(large + MIB - 1));
	CHECK_NAMED(arena_lua(&a, large, MIB, 500 * KIB) == large, "what shrinks stays where it is");
	CHECK(is_mapped(large + 500 * KIB - 1));
	CHECK_NAMED(!is_mapped(large + MIB - 1), "what a block no longer needs goes at once");
	put(&a, freed, 300 * KIB);
	CHECK_NAMED(arena_release_some(&a, 100 * KIB) && is_mapped(large) && !is_mapped(large + 450 * KIB), "a slice of it");
	arena_close(&a);
	CHECK(!is_mapped(cell) && !is_mapped(run + 19999) && !is_mapped(large) && !is_mapped(freed));
#ifndef __SANITIZE_ADDRESS__
	CHECK_NAMED(address_space() == before, "nor what was mapped for the alignment only");
#else
	(void)before;
#endif
}

/* What is kept for the next burst is given back when it is asked for. */
static void what_is_kept_is_bounded(void)
{
	struct arena a;
	unsigned char *block[40];
	arena_init(&a, 0, NULL);
	for (size_t i = 0; i < 40; i++)
		block[i] = get(&a, 100 * KIB);
	for (size_t i = 0; i < 40; i++)
		put(&a, block[i], 100 * KIB);
	size_t mapped = 0;
	for (size_t i = 0; i < 40; i++)
		mapped += is_mapped(block[i]);
	CHECK(mapped == 2 && a.used <= 256 * KIB);
	CHECK_NAMED(get(&a, 100 * KIB) == block[39], "what is kept serves a block of the same size");
	put(&a, block[39], 100 * KIB);
	arena_trim(&a);
	for (size_t i = 0; i < 40; i++)
		CHECK(!is_mapped(block[i]));
	CHECK(a.used == 0);

	/* Empty chunks, too. */
	for (size_t i = 0; i < 30; i++)
		block[i] = get(&a, 20000);
	for (size_t i = 0; i < 30; i++)
		put(&a, block[i], 20000);
	CHECK(a.used <= 256 * KIB);
	arena_close(&a);
}

static void free_pages_of_a_chunk_are_given_back(void)
{
	struct arena a;
	arena_init(&a, 0, NULL);
	unsigned char *cell = get(&a, 100), *run = get(&a, 20000);
	memset(run, 1, 20000);
	size_t used = a.used;
	CHECK(same_chunk(cell, run) && is_resident(run + 10000));
	put(&a, run, 20000);
	CHECK(a.used == used);
	arena_trim(&a);
	CHECK(a.used <= used - 16 * KIB && !is_resident(run + 10000) && is_resident(cell));
	arena_close(&a);
}

/* ---- what counts ---- */

static void what_counts_are_whole_pages(void)
{
	struct arena a;
	arena_init(&a, 0, NULL);
	without_huge_pages = 0;
	void *cell = get(&a, 8);
	CHECK_NAMED(a.used == 4 * KIB, "the chunk's own page has room for a first cell");
	CHECK_NAMED(without_huge_pages == 1, "a huge page would take more than counts");
	put(&a, cell, 8);
	arena_trim(&a);
	CHECK(a.used == 0);
	/* In front of it stand two pointers and two sizes. */
	void *block = get(&a, 96 * KIB - 32);
	CHECK(a.used == 96 * KIB);
	put(&a, block, 96 * KIB - 32);
	arena_trim(&a);
	CHECK(a.used == 0 && (block = get(&a, 96 * KIB - 31)) && a.used == 100 * KIB);
	CHECK(arena_lua(&a, block, 96 * KIB - 31, 96 * KIB - 32) == block && a.used == 96 * KIB);
	a.limit = 1;
	CHECK_NAMED(arena_lua(&a, block, 96 * KIB - 40, 96 * KIB - 32) == block, "what takes nothing needs no limit");
	arena_close(&a);
}

static void a_limit_is_exact(void)
{
	struct arena_budget budget = { .limit = MIB };
	struct arena a;
	arena_init(&a, MIB, &budget);
	CHECK(arena_charge(&a, MIB) && a.used == MIB && budget.used == MIB);
	arena_credit(&a, MIB);
	CHECK(arena_charge(&a, MIB / 2) && arena_charge(&a, MIB / 2) && !arena_charge(&a, 1) && !a.by_budget);
	arena_credit(&a, MIB);
	budget.limit = MIB - 1;
	CHECK(!arena_charge(&a, MIB) && a.by_budget && budget.used == 0 && a.used == 0);
	CHECK(!arena_charge(&a, MIB + 1));
	CHECK_NAMED(!a.by_budget, "the last failure is what counts");
	CHECK(arena_charge(&a, MIB - 1) && a.charged == MIB - 1);
	arena_credit(&a, MIB - 2);
	CHECK(a.charged == 1 && a.used == 1 && budget.used == 1);
	arena_credit(&a, 1);
	arena_close(&a);
}

/* ---- where a run of units is looked for ---- */

/* Chunks without room, but for three units in the first and two in each of the others. */
static unsigned char *fill_chunks(struct arena *a, size_t count)
{
	unsigned char *first = NULL;
	arena_init(a, 0, NULL);
	for (size_t i = 0; i < count; i++) {
		unsigned char *one = get(a, 20 * KIB), *two = get(a, 20 * KIB), *three = get(a, (i == 0 ? 18 : 19) * KIB);
		CHECK(same_chunk(one, two) && same_chunk(two, three) && (!first || !same_chunk(first, one)));
		if (i == 0)
			first = one;
	}
	return first;
}

static void few_chunks_are_looked_at(void)
{
	struct arena a;
	unsigned char *first = fill_chunks(&a, 16);
	CHECK_NAMED(same_chunk(get(&a, 3 * KIB), first), "the sixteenth is");
	arena_close(&a);
	first = fill_chunks(&a, 17);
	CHECK_NAMED(!same_chunk(get(&a, 3 * KIB), first), "a new one costs less than looking at all");
	arena_close(&a);
	first = fill_chunks(&a, 17);
	a.limit = a.used;
	CHECK_NAMED(same_chunk(get(&a, 3 * KIB), first), "unless there is no new one");
	arena_close(&a);
}

static void what_a_run_leaves_is_found(void)
{
	struct arena a;
	arena_init(&a, 0, NULL);
	unsigned char *one = get(&a, 20 * KIB), *two = get(&a, 20 * KIB), *three = get(&a, 20 * KIB);
	CHECK(same_chunk(one, two) && same_chunk(two, three));
	CHECK(arena_lua(&a, two, 20 * KIB, 2 * KIB) == two);
	CHECK(get(&a, 18 * KIB) == two + 2 * KIB);
	arena_close(&a);
}

/* ---- without the system's help ---- */

static void nothing_is_lost_when_the_system_refuses(void)
{
	struct arena a;
	arena_init(&a, 0, NULL);
	/* A request is tried twice. */
	mmaps_that_fail = 2;
	CHECK(get(&a, 100) == NULL && a.used == 0 && mmaps_that_fail == 0);
	mmaps_that_fail = 2;
	CHECK(get(&a, MIB) == NULL && a.used == 0 && mmaps_that_fail == 0);

	unsigned char *block = get(&a, MIB);
	memset(block, 7, MIB);
	/* It can neither grow where it is nor move: it is copied. */
	mremaps_that_fail = mmaps_that_fail = 1;
	block = arena_lua(&a, block, MIB, 2 * MIB);
	CHECK(block && block[0] == 7 && block[MIB - 1] == 7 && mmaps_that_fail == 0 && mremaps_that_fail == 0);
	arena_trim(&a);
	CHECK(a.used == 2 * MIB + 4 * KIB);
	arena_close(&a);

	arena_init(&a, 2 * MIB, NULL);
	block = get(&a, MIB);
	memset(block, 7, MIB);
	size_t used = a.used;
	unsigned long pages = address_space();
	mremaps_that_fail = 4;
	CHECK(arena_lua(&a, block, MIB, MIB + MIB / 2) == NULL && mremaps_that_fail == 0);
	CHECK_NAMED(a.used == used && block[0] == 7 && block[MIB - 1] == 7, "the block is as it was");
#ifndef __SANITIZE_ADDRESS__
	CHECK_NAMED(address_space() == pages, "the place to move to is given back");
#else
	(void)pages;
#endif
	/* It moves when there is no room behind it. */
	mremaps_that_fail = 1;
	unsigned char *moved = arena_lua(&a, block, MIB, MIB + MIB / 2);
	CHECK(moved && moved != block && moved[0] == 7 && moved[MIB - 1] == 7 && !is_mapped(block) && a.used == used + MIB / 2);
	/* What could not move is known all the same. */
	mremaps_that_fail = 4;
	CHECK(arena_lua(&a, moved, MIB + MIB / 2, MIB + MIB / 2 + 100 * KIB) == NULL && mremaps_that_fail == 0);
	arena_close(&a);
	CHECK(a.used == 0 && !is_mapped(moved));
}

static void a_slice_is_whole_pages(void)
{
	struct arena a;
	arena_init(&a, 0, NULL);
	unsigned char *block = get(&a, 96 * KIB - 32), *other = get(&a, 96 * KIB - 32);
	CHECK(arena_release_some(&a, 5000) && a.used == (192 - 8) * KIB && is_mapped(other) && !is_mapped(other + 90 * KIB));
	CHECK(arena_release_some(&a, 88 * KIB) && a.used == 96 * KIB && !is_mapped(other));
	CHECK(!arena_release_some(&a, 96 * KIB) && a.used == 0 && !is_mapped(block));
	arena_close(&a);
}

/* ---- under AddressSanitizer ---- */

#ifdef __SANITIZE_ADDRESS__
static bool is_open(const unsigned char *at)
{
	return !__asan_address_is_poisoned(at);
}

static void only_what_somebody_has_can_be_used(void)
{
	struct arena a;
	arena_init(&a, 0, NULL);
	unsigned char *cell = get(&a, 100), *other = get(&a, 100), *run = get(&a, 5000), *large = get(&a, 180 * KIB);
	CHECK(is_open(cell) && is_open(cell + 99) && !is_open(cell + 104));
	CHECK(is_open(run) && is_open(run + 4999) && !is_open(run + 5000) && is_open(large + 180 * KIB - 1));
	CHECK_NAMED(!is_open((unsigned char *)((uintptr_t)cell | 65535)), "the rest of a chunk");

	CHECK(arena_lua(&a, run, 5000, 4000) == run && is_open(run + 3999) && !is_open(run + 4000));
	CHECK(arena_lua(&a, run, 4000, 4999) == run && is_open(run + 4998));
	CHECK(arena_lua(&a, cell, 100, 98) == cell && is_open(cell + 97) && !is_open(cell + 98));
	CHECK((large = arena_lua(&a, large, 180 * KIB, 160 * KIB)) && is_open(large + 160 * KIB - 1) && !is_open(large + 160 * KIB));
	CHECK((large = arena_lua(&a, large, 160 * KIB, 220 * KIB)) && is_open(large) && is_open(large + 220 * KIB - 1));

	put(&a, cell, 98);
	put(&a, run, 4999);
	put(&a, large, 220 * KIB);
	CHECK(!is_open(cell) && !is_open(cell + 97) && is_open(other));
	CHECK(!is_open(run) && !is_open(run + 4998));
	CHECK(!is_open(large) && !is_open(large + 220 * KIB - 1));
	CHECK(get(&a, 100) == cell && is_open(cell) && is_open(cell + 99));
	CHECK(get(&a, 210 * KIB) == large && is_open(large) && is_open(large + 210 * KIB - 1));
	CHECK(get(&a, 5000) == run && is_open(run + 4999));
	put(&a, large, 210 * KIB);
	arena_close(&a);
	CHECK_NAMED(is_open(cell) && is_open(run) && is_open(large), "who gets these addresses next may use them");
}

static void what_a_block_leaves_can_be_used_by_others(void)
{
	struct arena a;
	arena_init(&a, 0, NULL);
	/* The place of a freed cell holds a pointer, however small its block was. */
	unsigned char *small = get(&a, 3);
	CHECK(is_open(small + 2) && !is_open(small + 3));
	put(&a, small, 3);
	CHECK(!is_open(small));
	/* The first mapping stands right behind the second, which has to move. */
	unsigned char *first = get(&a, 100 * KIB), *second = get(&a, 180 * KIB), *moved;
	CHECK(arena_lua(&a, second, 180 * KIB, 180 * KIB - 20) == second && !is_open(second + 180 * KIB - 1));
	CHECK((moved = arena_lua(&a, second, 180 * KIB - 20, 400 * KIB)) != second && is_open(moved + 400 * KIB - 1));
	CHECK(!is_mapped(second) && is_open(second + 180 * KIB - 1));
	put(&a, first, 100 * KIB);
	put(&a, moved, 400 * KIB);
	/* Of one that is kept, the last part. */
	unsigned char *kept = get(&a, 200 * KIB);
	put(&a, kept, 200 * KIB);
	CHECK(!is_open(kept + 190 * KIB));
	CHECK(arena_release_some(&a, 50 * KIB) && is_open(kept + 190 * KIB) && !is_open(kept + 100 * KIB));
	arena_close(&a);
}

enum { LINKS = 20 };

/* What only an arena's blocks point to. */
static void __attribute__((noinline)) link_from(void **block)
{
	for (size_t i = 0; i < LINKS; i++)
		block[i] = malloc(100 + i);
}

static void __attribute__((noinline)) unlink_from(void **block)
{
	for (size_t i = 0; i < LINKS; i++)
		free(block[i]);
}

static void what_stands_in_a_block_is_no_leak(void)
{
	struct arena a;
	arena_init(&a, 0, NULL);
	size_t size = LINKS * sizeof(void *);
	void **cell = get(&a, size), **large = get(&a, 300 * KIB);
	link_from(cell);
	link_from(large);
	CHECK(__lsan_do_recoverable_leak_check() == 0);
	large = arena_lua(&a, large, 300 * KIB, 700 * KIB);
	CHECK(__lsan_do_recoverable_leak_check() == 0);
	large = arena_lua(&a, large, 700 * KIB, 200 * KIB);
	CHECK(__lsan_do_recoverable_leak_check() == 0);
	unlink_from(cell);
	unlink_from(large);
	arena_close(&a);
}

/* Whether leaks are missed that only a page from `at` on points to: the first one that the sanitizer has not taken itself. */
static bool __attribute__((noinline)) hides_leaks(unsigned char *at, size_t bytes)
{
	void **page = MAP_FAILED;
	at = (unsigned char *)((uintptr_t)at & ~(uintptr_t)4095);
	for (size_t i = 0; page == MAP_FAILED && i < bytes; i += 4 * KIB)
		page = mmap(at + i, 4 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (page == MAP_FAILED)
		return false;
	link_from(page);
	bool hidden = __lsan_do_recoverable_leak_check() == 0;
	unlink_from(page);
	munmap(page, 4096);
	return hidden;
}

static void what_was_given_back_hides_no_leak(void)
{
	struct arena a;
	arena_init(&a, 0, NULL);
	unsigned char *cell = get(&a, 100), *before = get(&a, 700 * KIB), *after, *sliced;
	mremaps_that_fail = 1;
	CHECK((after = arena_lua(&a, before, 700 * KIB, 800 * KIB)) != before);
	CHECK(!hides_leaks(before, 700 * KIB));
	arena_close(&a);
	arena_init(&a, 0, NULL);
	sliced = get(&a, 900 * KIB);
	CHECK(arena_release_some(&a, 100 * KIB) && !hides_leaks(sliced + 804 * KIB, 90 * KIB));
	arena_close(&a);
	CHECK(!hides_leaks(cell, 60 * KIB));
	CHECK(!hides_leaks(after, 800 * KIB));
}
#endif

int main(void)
{
	nothing_stays_mapped();
	what_is_kept_is_bounded();
	free_pages_of_a_chunk_are_given_back();
	what_counts_are_whole_pages();
	a_limit_is_exact();
	few_chunks_are_looked_at();
	what_a_run_leaves_is_found();
	nothing_is_lost_when_the_system_refuses();
	a_slice_is_whole_pages();
#ifdef __SANITIZE_ADDRESS__
	only_what_somebody_has_can_be_used();
	what_a_block_leaves_can_be_used_by_others();
	what_stands_in_a_block_is_no_leak();
	what_was_given_back_hides_no_leak();
#endif
	return check_report();
}
