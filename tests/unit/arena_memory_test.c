/* What an arena takes from the system and gives back, and what the sanitizers know of its blocks. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

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

/* ---- what the system has back ---- */

static bool is_mapped(const void *at)
{
	unsigned char resident;
	void *page = (void *)((uintptr_t)at & ~(uintptr_t)4095);
	return mincore(page, 1, &resident) == 0 || errno != ENOMEM;
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
	large = arena_lua(&a, large, MIB, 500 * KIB);
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
	arena_trim(&a);
	for (size_t i = 0; i < 40; i++)
		CHECK(!is_mapped(block[i]));
	CHECK(a.used == 0);
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
#endif

int main(void)
{
	nothing_stays_mapped();
	what_is_kept_is_bounded();
#ifdef __SANITIZE_ADDRESS__
	only_what_somebody_has_can_be_used();
	what_a_block_leaves_can_be_used_by_others();
	what_stands_in_a_block_is_no_leak();
#endif
	return check_report();
}
