#include "sandbox/chunk.h"

#include <string.h>

struct source {
	struct slice rest;
	int line; /* the one that the compiler reads */
};

/* A line at a time, so that it is known how far the compiler has come. */
static const char *next_line(lua_State *L, void *arg, size_t *size)
{
	struct source *source = arg;
	const char *line = source->rest.ptr, *end = source->rest.len > 0 ? memchr(line, '\n', source->rest.len) : NULL;

	(void)L;
	*size = end ? (size_t)(end - line) + 1 : source->rest.len;
	if (*size == 0)
		return NULL;
	source->line++;
	source->rest = slice_make(line + *size, source->rest.len - *size);
	return line;
}

int chunk_load(lua_State *L, struct slice source, const char *name)
{
	struct source reading = { .rest = source };
	int status = lua_load(L, next_line, &reading, name, "t");

	if (status != LUA_OK && lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "C stack overflow") == 0) {
		lua_pop(L, 1);
		lua_pushfstring(L, "%s:%d: nested too deeply; Lua takes less than 200 levels of brackets, blocks and functions", name + 1, reading.line);
	}
	return status;
}
