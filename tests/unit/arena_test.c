/* The arena of a Lua state: against a model, at its cap, with bursts of one size, under real Lua states, from several threads. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

#include "check.h"
#include "sandbox/arena.h"

#define KIB ((size_t)1024)
#define MIB (KIB * 1024)
#define IDLE_MAX (48 * KIB)

static uint64_t seed = 88172645463325252u;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* As Lua asks: mostly small, now and then a table's array or a long string. */
static size_t random_size(void)
{
	uint64_t r = next_random(), kind = r % 100;
	r >>= 8;
	if (kind < 80)
		return 16 + r % 112;
	if (kind < 94)
		return 1 + r % 1100;
	if (kind < 99)
		return 1 + r % 40000;
	return 1 + r % 300000;
}

static void *get(struct arena *a, size_t size)
{
	return arena_lua(a, NULL, LUA_TSTRING, size);
}

static void put(struct arena *a, void *block, size_t size)
{
	CHECK(arena_lua(a, block, size, 0) == NULL);
}

/* ---- the model ---- */

struct model_block {
	unsigned char *at;
	size_t size;
	unsigned char mark;
};

static void fill(struct model_block *b)
{
	b->mark = (unsigned char)next_random();
	memset(b->at, b->mark, b->size);
}

static bool holds(const struct model_block *b, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (b->at[i] != b->mark)
			return false;
	return true;
}

static void change(struct arena *a, struct model_block *b, size_t size)
{
	size_t least = size < b->size ? size : b->size;
	unsigned char *moved = arena_lua(a, b->at, b->at ? b->size : LUA_TTABLE, size);
	if (!moved) {
		CHECK_NAMED(size > b->size, "a block that shrinks is never refused");
		CHECK_NAMED(!b->at || holds(b, b->size), "a refused block is as it was");
		return;
	}
	CHECK_NAMED(((uintptr_t)moved & 7) == 0, "aligned");
	bool had = b->at;
	b->at = moved;
	if (had)
		CHECK_NAMED(holds(b, least), "the content moves along");
	b->size = size;
	fill(b);
}

static void model(size_t limit, unsigned steps)
{
	enum { BLOCKS = 4000 };
	struct model_block *blocks = calloc(BLOCKS, sizeof *blocks);
	struct arena_budget budget = { 0 };
	struct arena a;
	size_t live = 0;
	arena_init(&a, limit, &budget);
	for (unsigned i = 0; i < steps; i++) {
		struct model_block *b = &blocks[next_random() % BLOCKS];
		live -= b->size;
		if (b->at && next_random() % 3 == 0) {
			CHECK_NAMED(holds(b, b->size), "nobody else wrote to the block");
			put(&a, b->at, b->size);
			*b = (struct model_block){ 0 };
		} else {
			change(&a, b, random_size());
		}
		live += b->size;
		if (a.used > limit || a.used < live || budget.used != a.used) {
			CHECK_NAMED(false, "what is live <= used <= limit, and the budget agrees");
			break;
		}
	}
	for (unsigned i = 0; i < BLOCKS; i++)
		if (blocks[i].at) {
			CHECK_NAMED(holds(&blocks[i], blocks[i].size), "nobody else wrote to the block");
			put(&a, blocks[i].at, blocks[i].size);
		}
	arena_trim(&a);
	CHECK_NAMED(a.used == 0 && budget.used == 0, "all is given back when nothing is live");
	arena_close(&a);
	free(blocks);
}

/* ---- bursts of one size ---- */

/* Blocks of `size` in a chain through their first bytes, until one is refused. */
static size_t hoard(struct arena *a, size_t size, void **chain)
{
	size_t count = 0;
	for (void **block; (block = get(a, size)) != NULL; count++) {
		*block = *chain;
		*chain = block;
	}
	return count;
}

/* Frees all but every n-th. */
static void thin(struct arena *a, size_t size, void **chain, size_t keep_each)
{
	void *kept = NULL;
	for (size_t i = 1; *chain; i++) {
		void **block = *chain;
		*chain = *block;
		if (keep_each && i % keep_each == 0) {
			*block = kept;
			kept = block;
		} else {
			put(a, block, size);
		}
	}
	*chain = kept;
}

static void bursts(void)
{
	static const size_t sizes[] = { 600, 24, 1024, 40, 5000, 600, 32768, 100000, 16, 700 };
	size_t limit = 8 * MIB;
	struct arena a;
	arena_init(&a, limit, NULL);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		void *chain = NULL;
		size_t count = hoard(&a, sizes[i], &chain);
		if (!CHECK_NAMED(count * sizes[i] > limit / 100 * 75, "a size gets the memory that others had before"))
			printf("%zu blocks of %zu bytes\n", count, sizes[i]);
		CHECK(a.used <= limit);
		thin(&a, sizes[i], &chain, 0);
	}
	/* Also long before the cap: what one size has left, the next one takes first. */
	arena_trim(&a);
	for (size_t size = 16; size <= 1024; size += 16) {
		void *chain = NULL;
		for (size_t have = 0; have < MIB; have += size) {
			void **block = get(&a, size);
			*block = chain;
			chain = block;
		}
		thin(&a, size, &chain, 0);
	}
	CHECK_NAMED(a.used < 2 * MIB, "sizes that come one after the other use the same memory");

	void *chain = NULL, *block;
	hoard(&a, 600, &chain);
	CHECK(get(&a, 4 * MIB) == NULL);
	thin(&a, 600, &chain, 0);
	CHECK_NAMED((block = get(&a, 7 * MIB)) != NULL, "one large block gets what small ones had");
	put(&a, block, 7 * MIB);
	/* What lives on of a burst holds its own spans only. */
	hoard(&a, 600, &chain);
	thin(&a, 600, &chain, 100);
	arena_trim(&a);
	CHECK(a.used < limit / 2);
	arena_close(&a);
}

static void budget_is_shared(void)
{
	enum { HOARDERS = 6 };
	struct arena_budget budget = { .limit = 32 * MIB };
	struct arena a[HOARDERS], innocent;
	void *chain[HOARDERS] = { NULL };
	size_t sum = 0;

	arena_init(&innocent, 8 * MIB, &budget);
	void *block[100];
	for (size_t i = 0; i < 100; i++)
		block[i] = get(&innocent, 100);
	size_t before = innocent.used;
	for (size_t i = 0; i < HOARDERS; i++) {
		arena_init(&a[i], 8 * MIB, &budget);
		hoard(&a[i], 40 + 8 * i, &chain[i]);
		sum += a[i].used;
		CHECK(a[i].used <= 8 * MIB);
	}
	CHECK_NAMED(budget.used == sum + innocent.used && budget.used <= budget.limit, "the budget is the sum, and exact");
	CHECK(a[0].used > 8 * MIB - 64 * KIB && !a[0].by_budget);
	CHECK_NAMED(a[HOARDERS - 1].by_budget, "the failure names the budget");
	CHECK(innocent.refused == 0);
	for (unsigned i = 0; i < 100000; i++) {
		size_t at = next_random() % 100;
		put(&innocent, block[at], 100);
		block[at] = get(&innocent, 100);
		if (!CHECK_NAMED(block[at] != NULL, "another arena's failure takes nothing away"))
			break;
	}
	CHECK(innocent.refused == 0 && innocent.used == before);
	arena_close(&a[2]);
	void *more = get(&innocent, 4 * MIB);
	CHECK_NAMED(more != NULL, "what one gives back, another can have");
	for (size_t i = 0; i < HOARDERS; i++)
		if (i != 2)
			arena_close(&a[i]);
	arena_close(&innocent);
	CHECK(budget.used == 0);
}

static unsigned refusals_seen;

static void on_refused(void *ctx)
{
	const struct arena *a = ctx;
	CHECK(a->call_refused == ++refusals_seen);
}

static bool late;

static bool is_late(void *ctx)
{
	(void)ctx;
	return late;
}

static void refusals(void)
{
	struct arena a;
	arena_init(&a, MIB, NULL);
	a.on_refused = on_refused;
	a.late = is_late;
	a.ctx = &a;
	CHECK(get(&a, 2 * MIB) == NULL);
	CHECK_NAMED(a.refused == 0, "the first refusal is no failure: Lua collects and asks again");
	CHECK(get(&a, 2 * MIB) == NULL);
	CHECK(a.refused == 1 && refusals_seen == 1);
	CHECK(get(&a, 2 * MIB) == NULL);
	void *block = get(&a, 100);
	CHECK(block && get(&a, 2 * MIB) == NULL);
	CHECK_NAMED(a.refused == 1, "a success between two refusals");
	CHECK(get(&a, 2 * MIB) == NULL && a.refused == 2);

	late = true;
	CHECK_NAMED(get(&a, 64 * KIB) == NULL && get(&a, 64 * KIB) == NULL && a.refused == 3, "large blocks are refused when it is late");
	CHECK(get(&a, 64 * KIB - 1) != NULL);
	late = false;
	CHECK(get(&a, 64 * KIB) != NULL);

	size_t used = a.used;
	CHECK(arena_charge(&a, 100 * KIB) && a.used == used + 100 * KIB && a.charged == 100 * KIB);
	CHECK(!arena_charge(&a, MIB) && a.refused == 4);
	arena_credit(&a, 100 * KIB);
	CHECK(a.used == used);

	a.fail_at = 3;
	CHECK(get(&a, 100) && get(&a, 100) && !get(&a, 100) && !get(&a, 100));
	arena_close(&a);
	CHECK(a.used == 0);
}

/* Also one that needs nothing but a free cell. */
static void a_success_between_two_refusals_is_seen(void)
{
	struct arena a;
	arena_init(&a, MIB, NULL);
	CHECK(get(&a, 100) && get(&a, 100));
	for (unsigned i = 0; i < 3; i++) {
		CHECK(get(&a, 2 * MIB) == NULL && a.refused == 0);
		CHECK(get(&a, 100));
	}
	CHECK(get(&a, 2 * MIB) == NULL && get(&a, 2 * MIB) == NULL && a.refused == 1);
	a.fail_at = 2;
	CHECK_NAMED(get(&a, 100) && !get(&a, 100), "such a cell is counted, too");
	arena_close(&a);
}

static void tight_is_more_than_three_quarters(void)
{
	struct arena_budget budget = { .limit = 4 * MIB };
	struct arena a, other, free_one;

	arena_init(&a, MIB, &budget);
	arena_init(&other, 0, &budget);
	arena_init(&free_one, 0, NULL);
	CHECK(arena_charge(&a, MIB - MIB / 4) && !arena_is_tight(&a));
	CHECK(arena_charge(&a, 1) && arena_is_tight(&a) && !arena_is_tight(&other));
	CHECK(arena_charge(&other, 3 * MIB - budget.used) && !arena_is_tight(&other));
	CHECK(arena_charge(&other, 1) && arena_is_tight(&other));
	arena_credit(&a, a.charged);
	CHECK(!arena_is_tight(&a) && !arena_is_tight(&other));
	CHECK(arena_charge(&free_one, 100 * MIB) && !arena_is_tight(&free_one));
	budget.limit = 0;
	CHECK(!arena_is_tight(&other));
	arena_credit(&other, other.charged);
	arena_credit(&free_one, free_one.charged);
	arena_close(&a);
	arena_close(&other);
	arena_close(&free_one);
}

/* At the cap a shrinking block may have no smaller cell to go to: it stays, and is still freed as what it is. */
static void shrinks_at_the_cap(void)
{
	static const size_t from[] = { 200000, 40000, 20000, 3000, 1000, 600 };
	for (size_t i = 0; i < sizeof from / sizeof *from; i++)
		for (size_t to = 1; to < from[i]; to = to * 3 + 7) {
			struct arena a;
			arena_init(&a, MIB, NULL);
			void *block = get(&a, from[i]), *chain = NULL;
			memset(block, 7, from[i]);
			hoard(&a, 8, &chain);
			a.limit = 1;
			unsigned char *small = arena_lua(&a, block, from[i], to);
			if (CHECK(small && small[0] == 7 && small[to - 1] == 7))
				put(&a, small, to);
			thin(&a, 8, &chain, 0);
			arena_trim(&a);
			CHECK(a.used == 0);
			arena_close(&a);
		}
}

static void slices(void)
{
	struct arena_budget budget = { 0 };
	struct arena a;
	void *chain = NULL;
	arena_init(&a, 24 * MIB, &budget);
	get(&a, 7 * MIB);
	hoard(&a, 600, &chain);
	bool more;
	unsigned count = 0;
	do {
		size_t before = a.used;
		more = arena_release_some(&a, MIB);
		count++;
		CHECK(before - a.used <= MIB + 64 * KIB && (!more || before - a.used >= MIB - 64 * KIB));
	} while (more);
	CHECK(a.used == 0 && budget.used == 0 && count >= 23 && count <= 26);
	CHECK(!arena_release_some(&a, MIB));
	arena_close(&a);
}

/* ---- where a block stays ---- */

static void a_run_grows_where_it_is(void)
{
	struct arena a;
	arena_init(&a, 0, NULL);
	size_t largest = 20 * KIB;
	unsigned char *block = get(&a, 2 * KIB);
	CHECK(arena_lua(&a, block, 2 * KIB, largest) == block);
	CHECK_NAMED(arena_lua(&a, block, largest, largest + 1) != block, "larger ones stand in a mapping");
	arena_close(&a);

	/* Up to its chunk's last byte. */
	arena_init(&a, 0, NULL);
	CHECK(get(&a, largest) && get(&a, largest) && get(&a, 3 * KIB));
	size_t size = 2 * KIB;
	block = get(&a, size);
	while (size < largest && arena_lua(&a, block, size, size + KIB) == block)
		size += KIB;
	CHECK(size > 10 * KIB && (uintptr_t)(block + size) % (64 * KIB) == 0);
	arena_close(&a);
}

/* ---- under Lua ---- */

static const char work[] =
	"local t, n = {}, 0\n"
	"for i = 1, 3000 do t[i] = { name = 'n' .. i, i, i * 0.5, function() return n + i end } n = n + #t[i].name end\n"
	"for i = 1, 3000, 3 do t[i] = nil end\n"
	"local s = {}\n"
	"for i = 1, 2000 do s[#s + 1] = ('x'):rep(i % 900) end\n"
	"local all = table.concat(s)\n"
	"local co = {}\n"
	"for i = 1, 50 do co[i] = coroutine.wrap(function(a) while true do a = coroutine.yield(a .. i) end end) co[i]('a') end\n"
	"assert(co[7]('b') == 'b7')\n"
	"return n, #all";

static int run_work(lua_State *L, lua_Integer *n, lua_Integer *len)
{
	int status = luaL_loadbuffer(L, work, sizeof work - 1, "work");
	if (status == LUA_OK)
		status = lua_pcall(L, 0, 2, 0);
	if (status == LUA_OK && n) {
		*n = lua_tointeger(L, -2);
		*len = lua_tointeger(L, -1);
	}
	lua_settop(L, 0);
	return status;
}

static int open_libraries(lua_State *L)
{
	luaL_openlibs(L);
	return 0;
}

/* Everything with the n-th allocation failing: nothing may crash, and all must come back. */
static bool starved(uint64_t fail_at, lua_Integer n, lua_Integer len)
{
	struct arena_budget budget = { 0 };
	struct arena a;
	bool ok = false;
	arena_init(&a, 0, &budget);
	a.fail_at = fail_at;
	lua_State *L = lua_newstate(arena_lua, &a);
	if (L) {
		lua_pushcfunction(L, open_libraries);
		ok = lua_pcall(L, 0, 0, 0) == LUA_OK && run_work(L, NULL, NULL) == LUA_OK;
		/* The state is as good as before the failure. */
		a.fail_at = 0;
		lua_Integer n2 = 0, len2 = 0;
		lua_settop(L, 0);
		lua_pushcfunction(L, open_libraries);
		CHECK(lua_pcall(L, 0, 0, 0) == LUA_OK && run_work(L, &n2, &len2) == LUA_OK && n2 == n && len2 == len);
		CHECK(ok || a.refused > 0);
		if (fail_at % 2)
			lua_close(L);
	}
	arena_close(&a);
	CHECK(budget.used == 0);
	return ok;
}

static void under_lua(void)
{
	struct arena a;
	lua_Integer n = 0, len = 0;
	arena_init(&a, 0, NULL);
	lua_State *L = lua_newstate(arena_lua, &a);
	luaL_openlibs(L);
	lua_gc(L, LUA_GCCOLLECT);
	arena_trim(&a);
	printf("an idle state takes %zu bytes, Lua counts %d\n", a.used, lua_gc(L, LUA_GCCOUNT) * 1024 + lua_gc(L, LUA_GCCOUNTB));
	CHECK(a.used <= IDLE_MAX);
	CHECK(run_work(L, &n, &len) == LUA_OK);
	lua_gc(L, LUA_GCCOLLECT);
	lua_gc(L, LUA_GCCOLLECT);
	arena_trim(&a);
	CHECK_NAMED(a.used <= IDLE_MAX * 2, "idle again");

	/* At its cap the state gets an error that it can catch, and goes on. */
	a.limit = 2 * MIB;
	static const char greedy[] = "local t = {} for i = 1, 1e9 do t[i] = { i } end";
	for (unsigned i = 1; i <= 3; i++) {
		CHECK(luaL_loadstring(L, greedy) == LUA_OK && lua_pcall(L, 0, 0, 0) == LUA_ERRMEM);
		CHECK(a.refused == i && a.used <= a.limit && a.used > a.limit / 2);
		lua_settop(L, 0);
	}
	CHECK(luaL_dostring(L, "local s = ('x'):rep(1000000) return #s") == LUA_OK);
	lua_close(L);
	arena_trim(&a);
	CHECK_NAMED(a.used == 0, "lua_close() gives every block back with its size");
	arena_close(&a);

	for (uint64_t at = 1; at < 150; at++)
		starved(at, n, len);
	for (uint64_t at = 150; !starved(at, n, len) && at < 10000000; at += at / 4)
		continue;
}

static void *in_thread(void *ctx)
{
	struct arena_budget *budget = ctx;
	for (int i = 0; i < 40; i++) {
		struct arena a;
		arena_init(&a, 4 * MIB, budget);
		lua_State *L = lua_newstate(arena_lua, &a);
		if (L) {
			run_work(L, NULL, NULL);
			if (i % 2)
				lua_close(L);
		}
		while (arena_release_some(&a, 256 * KIB))
			continue;
		arena_close(&a);
	}
	return NULL;
}

static void threads(void)
{
	struct arena_budget budget = { .limit = 6 * MIB };
	pthread_t thread[3];
	for (size_t i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, in_thread, &budget);
	for (size_t i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	CHECK(budget.used == 0);
}

int main(void)
{
	model(64 * MIB, 300000);
	model(2 * MIB, 300000);
	bursts();
	budget_is_shared();
	refusals();
	a_success_between_two_refusals_is_seen();
	tight_is_more_than_three_quarters();
	shrinks_at_the_cap();
	slices();
	a_run_grows_where_it_is();
	under_lua();
	threads();
	return check_report();
}
