/* math.random and math.randomseed: as Lua's own, but each rule has its own numbers, which no other rule can steer. */
#include <string.h>
#include <sys/random.h>

#include "rules/api/api.h"

static uint64_t rotate(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

/* xoshiro256**, the generator that the manual names. */
static uint64_t next_number(uint64_t s[4])
{
	uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

static void seed(struct rule *rule, uint64_t a, uint64_t b)
{
	uint64_t *s = rule->random;
	s[0] = a;
	s[1] = 0xff;
	s[2] = b;
	s[3] = 0;
	for (int i = 0; i < 16; i++)
		next_number(s);
	rule->seeded = true;
}

static void seed_by_chance(struct rule *rule, uint64_t out[2])
{
	if (getrandom(out, 2 * sizeof *out, GRND_NONBLOCK) != 2 * sizeof *out) {
		/* Early in the life of a machine: two rules differ all the same. */
		out[0] = (uint64_t)(uintptr_t)rule;
		out[1] = rule->arena.used;
	}
	seed(rule, out[0], out[1]);
}

/* A number of 0 … `limit`, each as likely as the others. */
static uint64_t number_up_to(uint64_t s[4], uint64_t limit)
{
	uint64_t mask = limit, number;
	for (int shift = 1; shift < 64; shift *= 2)
		mask |= mask >> shift;
	do
		number = next_number(s) & mask;
	while (number > limit);
	return number;
}

int random_number(lua_State *L)
{
	struct rule *rule = rule_of(L);
	lua_Integer low = 1, high;
	uint64_t chance[2];

	if (!rule->seeded)
		seed_by_chance(rule, chance);
	switch (lua_gettop(L)) {
	case 0:
		lua_pushnumber(L, (lua_Number)(next_number(rule->random) >> 11) * 0x1p-53);
		return 1;
	case 1:
		high = luaL_checkinteger(L, 1);
		if (high == 0) {
			lua_pushinteger(L, (lua_Integer)next_number(rule->random));
			return 1;
		}
		break;
	case 2:
		low = luaL_checkinteger(L, 1);
		high = luaL_checkinteger(L, 2);
		break;
	default:
		return luaL_error(L, "wrong number of arguments");
	}
	luaL_argcheck(L, low <= high, lua_gettop(L), "interval is empty");
	lua_pushinteger(L, (lua_Integer)(number_up_to(rule->random, (uint64_t)high - (uint64_t)low) + (uint64_t)low));
	return 1;
}

int random_seed(lua_State *L)
{
	uint64_t parts[2];
	if (lua_isnone(L, 1)) {
		seed_by_chance(rule_of(L), parts);
	} else {
		lua_Number n = luaL_checknumber(L, 1);
		if (lua_isinteger(L, 1))
			parts[0] = (uint64_t)lua_tointeger(L, 1);
		else
			memcpy(&parts[0], &n, sizeof parts[0]);
		parts[1] = (uint64_t)luaL_optinteger(L, 2, 0);
		seed(rule_of(L), parts[0], parts[1]);
	}
	lua_pushinteger(L, (lua_Integer)parts[0]);
	lua_pushinteger(L, (lua_Integer)parts[1]);
	return 2;
}
