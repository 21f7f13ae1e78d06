/* tostring: as Lua's own, but without addresses. What has no text of its own is shown with a number in place of its address: the
 * address, enciphered with a key of the state. It is the same as long as the object lives, differs between objects, needs no
 * memory, and says nothing about where the process keeps what. */
#include <stdio.h>
#include <sys/random.h>

#include "sandbox/kill.h"
#include "sandbox/stdlib_parts.h"

enum { ROUNDS = 4 };

/* The registry holds the key under its address. */
static const char key_place;

void stdlib_open_text(lua_State *L)
{
	uint64_t *key = lua_newuserdatauv(L, ROUNDS * sizeof *key, 0);

	if (getrandom(key, ROUNDS * sizeof *key, GRND_NONBLOCK) != (ssize_t)(ROUNDS * sizeof *key))
		/* Early in the life of a machine: still another one for each state. */
		for (int i = 0; i < ROUNDS; i++)
			key[i] = (uint64_t)(uintptr_t)key * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)i;
	lua_rawsetp(L, LUA_REGISTRYINDEX, &key_place);
}

/* A Feistel network: each address gives another number. */
static uint64_t encipher(uint64_t address, const uint64_t key[ROUNDS])
{
	uint32_t left = (uint32_t)(address >> 32), right = (uint32_t)address;

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t mixed = (right ^ key[i]) * UINT64_C(0x9E3779B97F4A7C15);
		mixed = (mixed ^ mixed >> 29 ^ key[i] >> 32) * UINT64_C(0xBF58476D1CE4E5B9);
		uint32_t next = left ^ (uint32_t)(mixed >> 32);
		left = right;
		right = next;
	}
	return (uint64_t)left << 32 | right;
}

void stdlib_number(lua_State *L, const void *object, char out[STDLIB_NUMBER_SIZE])
{
	static const uint64_t no_key[ROUNDS];

	luaL_checkstack(L, 1, NULL);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &key_place);
	const uint64_t *key = lua_touserdata(L, -1);
	snprintf(out, STDLIB_NUMBER_SIZE, "%016llx", (unsigned long long)encipher((uintptr_t)object, key ? key : no_key));
	lua_pop(L, 1);
}

const char *stdlib_tostring(lua_State *L, int index, size_t *len)
{
	const void *object = lua_type(L, index) == LUA_TSTRING ? NULL : lua_topointer(L, index);
	char number[STDLIB_NUMBER_SIZE];

	if (object && luaL_getmetafield(L, index, "__tostring") != LUA_TNIL) {
		lua_pop(L, 1);
		object = NULL;
	}
	if (!object) {
		int was = kill_allow();
		const char *text = luaL_tolstring(L, index, len);
		kill_restore(was);
		return text;
	}
	index = lua_absindex(L, index);
	stdlib_number(L, object, number);
	int type = luaL_getmetafield(L, index, "__name");
	lua_pushfstring(L, "%s: %s", type == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, index), number);
	if (type != LUA_TNIL)
		lua_remove(L, -2);
	return lua_tolstring(L, -1, len);
}
