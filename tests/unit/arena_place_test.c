/* Where the blocks of an arena stand, so that a small state stays small, and what its owner hears of refusals. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <lua.h>

#include "base/mem.h"
#include "check.h"
#include "sandbox/arena.h"

#define KIB ((size_t)1024)
#define MIB (KIB * 1024)
#define CHUNK (64 * KIB)

static unsigned char *get(struct arena *a, size_t size)
{
	return arena_lua(a, NULL, LUA_TSTRING, size);
}

static void put(struct arena *a, void *block, size_t size)
{
	CHECK(arena_lua(a, block, size, 0) == NULL);
}

/* ---- spans ---- */

/* How many units the n-th span (from 0) of cells of `size` bytes has: what comes next stands right behind it. */
static size_t units_of_span(size_t size, unsigned n)
{
	struct arena a;
	unsigned char *cell = NULL, *next = NULL;
	arena_init(&a, 0, NULL);
	for (unsigned i = 0; i <= n; i++) {
		if (next)
			put(&a, next, 1025);
		cell = get(&a, size);
		next = get(&a, 1025);
		/* Its other cells. */
		size_t cells = (size_t)(next - cell) / size;
		for (size_t k = 1; i < n && k < cells; k++)
			CHECK(get(&a, size) == cell + k * size);
	}
	size_t bytes = (size_t)(next - cell);
	CHECK((uintptr_t)cell / CHUNK == (uintptr_t)next / CHUNK && bytes % KIB == 0);
	arena_close(&a);
	return bytes / KIB;
}

static void the_first_spans_of_a_size_are_short(void)
{
	CHECK(units_of_span(8, 0) == 1 && units_of_span(512, 0) == 1 && units_of_span(1024, 0) == 1);
	CHECK_NAMED(units_of_span(640, 0) == 2 && units_of_span(896, 0) == 2, "one unit would hold a single cell");
	CHECK(units_of_span(512, 7) == 1 && units_of_span(512, 8) == 4 && units_of_span(512, 15) == 4 && units_of_span(512, 16) == 8);
	CHECK(units_of_span(640, 7) == 2 && units_of_span(640, 8) == 4);

	/* Those that are gone do not count. */
	struct arena a;
	unsigned char *cell[20];
	arena_init(&a, 0, NULL);
	for (size_t i = 0; i < 20; i++)
		cell[i] = get(&a, 512);
	CHECK(cell[18] == cell[0] + 9 * KIB);
	for (size_t i = 0; i < 20; i++)
		put(&a, cell[i], 512);
	arena_trim(&a);
	CHECK(get(&a, 512) == cell[0] && get(&a, 1025) == cell[0] + KIB);
	arena_close(&a);
}

static void the_last_span_of_a_size_stays(void)
{
	enum { SPANS = 3, CELLS = 9 }; /* of 112 bytes in a unit */
	struct arena a;
	unsigned char *cell[SPANS * CELLS];
	arena_init(&a, 0, NULL);
	for (size_t i = 0; i < SPANS * CELLS; i++)
		cell[i] = get(&a, 112);
	CHECK(cell[CELLS] == cell[0] + KIB && cell[2 * CELLS] == cell[0] + 2 * KIB);
	put(&a, cell[4], 112);
	CHECK_NAMED(get(&a, 112) == cell[4], "a full span with a cell that was freed is used again");
	for (size_t i = 0; i < SPANS * CELLS; i++)
		put(&a, cell[i], 112);
	unsigned char *run = get(&a, 1025);
	CHECK_NAMED(run == cell[0] + KIB, "the others are free units again");
	put(&a, run, 1025);
	arena_trim(&a);
	CHECK(a.used == 0);
	arena_close(&a);
}

/* Another size in the span of a larger one. */
static void a_rare_size_lodges_in_a_small_state(void)
{
	struct arena a;
	arena_init(&a, 0, NULL);
	unsigned char *cell = get(&a, 112);
	CHECK(get(&a, 96) == cell + 112);
	CHECK_NAMED(get(&a, 56) == cell + 224, "up to four sizes larger");
	unsigned char *own = get(&a, 48);
	CHECK(own == cell + KIB);
	CHECK_NAMED(get(&a, 40) == own + 48, "the nearest one");
	arena_close(&a);

	/* Not when it has a span of its own already. */
	arena_init(&a, 0, NULL);
	own = get(&a, 96);
	for (size_t i = 1; i < 10; i++)
		CHECK(get(&a, 96) == own + i * 96);
	cell = get(&a, 112);
	CHECK(cell == own + KIB && get(&a, 96) == own + 2 * KIB);
	arena_close(&a);

	/* Nor when the state is not small any more. */
	for (size_t more = 0; more < 2; more++) {
		arena_init(&a, 0, NULL);
		cell = get(&a, 112);
		CHECK(arena_charge(&a, CHUNK - a.used + more));
		CHECK(get(&a, 96) == (more ? cell + KIB : cell + 112));
		arena_close(&a);
	}
}

static void blocks_stand_side_by_side(void)
{
	struct arena a;
	arena_init(&a, 0, NULL);
	unsigned char *first = get(&a, 2 * KIB), *second = get(&a, 2 * KIB + 1), *third = get(&a, 2 * KIB);
	CHECK(second == first + 2 * KIB && third == second + 3 * KIB);
	CHECK_NAMED(arena_lua(&a, second, 2 * KIB + 1, KIB) != second, "what fits into a cell becomes one");
	unsigned char *cell = get(&a, KIB);
	CHECK(arena_lua(&a, cell, KIB, 1000) == cell && arena_lua(&a, cell, 1000, KIB) == cell && arena_lua(&a, cell, KIB, 896) != cell);
	arena_close(&a);
}

/* ---- what the owner hears ---- */

static char heard[64];
static size_t heard_count;

static void hear(char what)
{
	if (heard_count + 1 < sizeof heard)
		heard[heard_count++] = what;
	heard[heard_count] = '\0';
}

static bool was_heard(const char *wanted)
{
	bool same = strcmp(heard, wanted) == 0;
	if (!same)
		printf("\"%s\"\n", heard);
	heard_count = 0;
	heard[0] = '\0';
	return same;
}

static void on_collect(void *ctx, bool begins)
{
	(void)ctx;
	hear(begins ? 'c' : 'e');
}

static void on_refused(void *ctx)
{
	(void)ctx;
	hear('r');
}

static bool always(void *ctx)
{
	(void)ctx;
	return true;
}

static void the_owner_hears_of_collections_and_failures(void)
{
	struct arena_budget budget = { .limit = 2 * MIB };
	struct arena a;
	arena_init(&a, 4 * MIB, &budget);
	a.on_collect = on_collect;
	a.on_refused = on_refused;
	unsigned char *cell = get(&a, 100);
	CHECK(cell && was_heard(""));
	CHECK(!get(&a, 3 * MIB) && a.by_budget && was_heard("c"));
	CHECK_NAMED(get(&a, 100) && was_heard("e"), "the collection has helped");
	CHECK(!get(&a, 3 * MIB) && was_heard("c"));
	CHECK_NAMED(arena_lua(&a, cell, 100, 100) == cell && was_heard(""), "what does not grow asks for nothing");
	CHECK_NAMED(!get(&a, 3 * MIB) && was_heard("er"), "it has not");
	CHECK(!get(&a, 3 * MIB) && was_heard("c"));
	arena_call_ended(&a);
	CHECK_NAMED(was_heard("e"), "nobody asks again");
	arena_call_ended(&a);
	CHECK(was_heard(""));
	CHECK(!get(&a, 3 * MIB) && was_heard("c") && a.refused == 1);
	arena_call_ended(&a);
	CHECK(was_heard("e"));
	a.late = always;
	CHECK(!get(&a, 3 * MIB) && !a.by_budget && was_heard("c"));
	arena_call_ended(&a);
	a.late = NULL;
	CHECK(was_heard("e") && !arena_charge(&a, 3 * MIB) && was_heard("r"));
	arena_close(&a);
}

static void what_is_charged_is_given_back_at_the_end(void)
{
	struct arena_budget budget = { .limit = 2 * MIB };
	struct arena a;
	arena_init(&a, MIB, &budget);
	void *block = get(&a, 200 * KIB);
	put(&a, block, 200 * KIB);
	CHECK(a.used > 200 * KIB);
	CHECK_NAMED(arena_charge(&a, MIB - 100 * KIB) && a.used == MIB - 100 * KIB, "what is kept makes room for it");
	arena_close(&a);
	CHECK(budget.used == 0 && a.used == 0 && a.charged == 0);
}

#ifndef __SANITIZE_ADDRESS__
/* The process's limit of address space is reached, and the reserve is used. */
static void nothing_is_taken_while_memory_is_short(void)
{
	struct rlimit before, few;
	struct arena a;
	unsigned long pages = 0;
	arena_init(&a, 0, NULL);
	CHECK(get(&a, 100));
	mem_reserve(64 * MIB);
	FILE *file = fopen("/proc/self/statm", "r");
	CHECK(file && fscanf(file, "%lu", &pages) == 1);
	if (file)
		fclose(file);
	getrlimit(RLIMIT_AS, &before);
	few = before;
	few.rlim_cur = pages * 4096 + 8 * MIB;
	CHECK(setrlimit(RLIMIT_AS, &few) == 0);
	void *block = mem_alloc(32 * MIB);
	setrlimit(RLIMIT_AS, &before);
	CHECK(mem_is_short());
	size_t used = a.used;
	CHECK(!arena_charge(&a, 1) && a.refused == 1 && a.used == used && a.charged == 0);
	CHECK_NAMED(get(&a, 100), "what it has already can be used");
	CHECK(!get(&a, MIB) && a.used == used);
	free(block);
	CHECK(mem_recover() && arena_charge(&a, 1) && get(&a, MIB));
	mem_reserve(0);
	arena_close(&a);
}
#endif

int main(void)
{
	the_first_spans_of_a_size_are_short();
	the_last_span_of_a_size_stays();
	a_rare_size_lodges_in_a_small_state();
	blocks_stand_side_by_side();
	the_owner_hears_of_collections_and_failures();
	what_is_charged_is_given_back_at_the_end();
#ifndef __SANITIZE_ADDRESS__
	nothing_is_taken_while_memory_is_short();
#endif
	return check_report();
}
