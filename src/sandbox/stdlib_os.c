/* os.time, date, clock and difftime; the rest of os is absent. */
#include <limits.h>
#include <math.h>
#include <time.h>

#include "sandbox/stdlib_parts.h"

enum { FORMAT_MAX = 256 };

static time_t wall_now(lua_State *L)
{
	const struct stdlib_options *lib = stdlib_of(L);
	return (time_t)floor(lib->wall(lib->ctx));
}

/* os.date */

static void set_field(lua_State *L, const char *name, int value, int base)
{
	lua_pushinteger(L, (lua_Integer)value + base);
	lua_setfield(L, -2, name);
}

/* Into the table on top. */
static void set_fields(lua_State *L, const struct tm *tm)
{
	set_field(L, "year", tm->tm_year, 1900);
	set_field(L, "month", tm->tm_mon, 1);
	set_field(L, "day", tm->tm_mday, 0);
	set_field(L, "hour", tm->tm_hour, 0);
	set_field(L, "min", tm->tm_min, 0);
	set_field(L, "sec", tm->tm_sec, 0);
	set_field(L, "yday", tm->tm_yday, 1);
	set_field(L, "wday", tm->tm_wday, 1);
	if (tm->tm_isdst >= 0) {
		lua_pushboolean(L, tm->tm_isdst);
		lua_setfield(L, -2, "isdst");
	}
}

/* One conversion of C99's strftime, its modifiers E and O in the places where C99 has them. Each makes some dozens
 * of bytes at most. */
static size_t add_conversion(lua_State *L, luaL_Buffer *out, const char *at, const char *end, const struct tm *tm)
{
	size_t left = (size_t)(end - at) - 1;
	const char *valid = "aAbBcCdDeFgGhHIjmMnprRStTuUVwWxXyYzZ%";
	size_t letter = 1;
	char format[4] = { '%', '\0', '\0', '\0' };

	if (left > 1 && (at[1] == 'E' || at[1] == 'O')) {
		valid = at[1] == 'E' ? "cCxXyY" : "deHImMSuUVwWy";
		letter = 2;
	}
	if (left < letter || at[letter] == '\0' || !strchr(valid, at[letter]))
		return (size_t)luaL_argerror(L, 1, lua_pushfstring(L, "invalid conversion specifier '%%%s'", at + 1));
	memcpy(format + 1, at + 1, letter);
	char *to = luaL_prepbuffsize(out, 256);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	luaL_addsize(out, strftime(to, 256, format, tm));
#pragma GCC diagnostic pop
	return letter + 1;
}

static int lib_date(lua_State *L)
{
	size_t len;
	const char *format = luaL_optlstring(L, 1, "%c", &len);
	time_t when = lua_isnoneornil(L, 2) ? wall_now(L) : (time_t)luaL_checkinteger(L, 2);
	struct tm tm, *made;
	luaL_Buffer out;

	if (len > FORMAT_MAX)
		return luaL_argerror(L, 1, "format too long");
	const char *at = format, *end = format + len;
	if (at < end && *at == '!') {
		made = gmtime_r(&when, &tm);
		at++;
	} else {
		made = localtime_r(&when, &tm);
	}
	if (!made)
		return luaL_error(L, "date result cannot be represented");
	if (strcmp(at, "*t") == 0) {
		lua_createtable(L, 0, 9);
		set_fields(L, &tm);
		return 1;
	}
	luaL_buffinit(L, &out);
	while (at < end) {
		if (*at == '%')
			at += add_conversion(L, &out, at, end, &tm);
		else
			luaL_addchar(&out, *at++);
	}
	luaL_pushresult(&out);
	return 1;
}

/* os.time */

/* A field of the table on top, less `base`. `fallback` below 0: it must be there. */
static int get_field(lua_State *L, const char *name, int fallback, int base)
{
	int is_integer;
	int type = lua_getfield(L, -1, name);
	lua_Integer value = lua_tointegerx(L, -1, &is_integer);

	if (!is_integer) {
		if (type != LUA_TNIL)
			return luaL_error(L, "field '%s' is not an integer", name);
		if (fallback < 0)
			return luaL_error(L, "field '%s' missing in date table", name);
		value = fallback;
	} else {
		if (value < (lua_Integer)INT_MIN + base || value > (lua_Integer)INT_MAX + base)
			return luaL_error(L, "field '%s' is out-of-bound", name);
		value -= base;
	}
	lua_pop(L, 1);
	return (int)value;
}

static int get_dst(lua_State *L)
{
	int dst = lua_getfield(L, -1, "isdst") == LUA_TNIL ? -1 : lua_toboolean(L, -1);
	lua_pop(L, 1);
	return dst;
}

static int lib_time(lua_State *L)
{
	time_t when;

	if (lua_isnoneornil(L, 1)) {
		when = wall_now(L);
	} else {
		struct tm tm = { 0 };
		luaL_checktype(L, 1, LUA_TTABLE);
		lua_settop(L, 1);
		tm.tm_year = get_field(L, "year", -1, 1900);
		tm.tm_mon = get_field(L, "month", -1, 1);
		tm.tm_mday = get_field(L, "day", -1, 0);
		tm.tm_hour = get_field(L, "hour", 12, 0);
		tm.tm_min = get_field(L, "min", 0, 0);
		tm.tm_sec = get_field(L, "sec", 0, 0);
		tm.tm_isdst = get_dst(L);
		/* mktime sets the weekday when it could make a time of it; -1 alone is also a second of 1969. */
		tm.tm_wday = -1;
		when = mktime(&tm);
		if (tm.tm_wday == -1)
			return luaL_error(L, "time result cannot be represented");
		set_fields(L, &tm);
	}
	lua_pushinteger(L, (lua_Integer)when);
	return 1;
}

static int lib_clock(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)clock() / (lua_Number)CLOCKS_PER_SEC);
	return 1;
}

static int lib_difftime(lua_State *L)
{
	time_t later = (time_t)luaL_checkinteger(L, 1), earlier = (time_t)luaL_checkinteger(L, 2);
	lua_pushnumber(L, difftime(later, earlier));
	return 1;
}

static const luaL_Reg functions[] = {
	{ "clock", lib_clock }, { "date", lib_date }, { "difftime", lib_difftime }, { "time", lib_time }, { NULL, NULL },
};

void stdlib_push_os(lua_State *L, int lib)
{
	/* Reads the time zone's file now, while rules are loaded, and not at the first date on the loop (P1). */
	tzset();
	lua_newtable(L);
	lua_pushvalue(L, lib);
	luaL_setfuncs(L, functions, 1);
}
