/* string.format, as section 6.4 of the manual has it. */
#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "sandbox/stdlib_parts.h"

/* One conversion: '%', flags, width, precision, letter. Longest: "%" + 20 characters + "ll" + letter. */
struct conversion {
	char format[28]; /* for snprintf; without length modifier and letter */
	size_t len;
	char letter;
	bool plain;    /* nothing between '%' and the letter */
	bool precise;  /* it has a precision */
};

/* A double with 99 digits behind the point is the longest that a number can become. */
enum { NUMBER_MAX = DBL_MAX_10_EXP + 120 };

static int invalid_conversion(lua_State *L, const char *from, const char *to)
{
	int len = to - from < 20 ? (int)(to - from) : 20;
	char text[24];
	snprintf(text, sizeof text, "%.*s", len, from);
	return luaL_error(L, "invalid conversion '%s' to 'format'", text);
}

static const char *allowed_flags(char letter)
{
	switch (letter) {
	case 'c':
	case 'p':
	case 's':
		return "-";
	case 'd':
	case 'i':
		return "-+0 ";
	case 'u':
		return "-0";
	case 'o':
	case 'x':
	case 'X':
		return "-#0";
	case 'a':
	case 'A':
	case 'e':
	case 'E':
	case 'f':
	case 'F':
	case 'g':
	case 'G':
		return "-+#0 ";
	default:
		return NULL;
	}
}

static void skip_digits(const char **at, const char *end)
{
	for (int i = 0; i < 2 && *at < end && isdigit((unsigned char)**at); i++)
		(*at)++;
}

/* Reads the conversion behind the '%' at `at`, returns where the format goes on. */
static const char *read_conversion(lua_State *L, const char *at, const char *end, struct conversion *c)
{
	const char *begin = at++, *letter = at;

	/* The letter decides what may stand before it. */
	while (letter < end && strchr("-+#0 .123456789", *letter) && *letter)
		letter++;
	const char *past = letter < end ? letter + 1 : end;
	if (letter == end || letter - begin > 21)
		invalid_conversion(L, begin, past);
	c->letter = *letter;
	c->plain = letter == at;
	c->precise = false;
	if (c->letter == 'q') {
		if (!c->plain)
			luaL_error(L, "specifier '%%q' cannot have modifiers");
		return past;
	}
	const char *flags = allowed_flags(c->letter);
	if (!flags || c->letter == 'F')
		invalid_conversion(L, begin, past);
	while (at < letter && strchr(flags, *at))
		at++;
	if (*at != '0')
		skip_digits(&at, letter);
	if (*at == '.' && c->letter != 'c' && c->letter != 'p') {
		at++;
		c->precise = true;
		skip_digits(&at, letter);
	}
	if (at != letter)
		invalid_conversion(L, begin, past);
	c->len = (size_t)(letter - begin);
	memcpy(c->format, begin, c->len);
	return past;
}

static void conversion_end(struct conversion *c, const char *tail)
{
	memcpy(c->format + c->len, tail, strlen(tail) + 1);
}

/* snprintf with a format that was checked letter by letter; the compiler cannot see that. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static char *reserve(lua_State *L, luaL_Buffer *out, size_t bytes)
{
	stdlib_check_bytes(L, luaL_bufflen(out), bytes);
	return luaL_prepbuffsize(out, bytes);
}

static void add_char(lua_State *L, luaL_Buffer *out, struct conversion *c, int arg)
{
	int value = (int)luaL_checkinteger(L, arg);
	conversion_end(c, "c");
	char *to = reserve(L, out, 128);
	luaL_addsize(out, (size_t)snprintf(to, 128, c->format, value));
}

static void add_integer(lua_State *L, luaL_Buffer *out, struct conversion *c, int arg)
{
	long long value = (long long)luaL_checkinteger(L, arg);
	char tail[4] = { 'l', 'l', c->letter, '\0' };
	conversion_end(c, tail);
	char *to = reserve(L, out, 256);
	luaL_addsize(out, (size_t)snprintf(to, 256, c->format, value));
}

static void add_float(lua_State *L, luaL_Buffer *out, struct conversion *c, int arg)
{
	double value = luaL_checknumber(L, arg);
	char tail[2] = { c->letter, '\0' };
	conversion_end(c, tail);
	char *to = reserve(L, out, NUMBER_MAX);
	luaL_addsize(out, (size_t)snprintf(to, NUMBER_MAX, c->format, value));
}

static void add_pointer(lua_State *L, luaL_Buffer *out, struct conversion *c, int arg)
{
	const void *value = lua_topointer(L, arg);
	char number[STDLIB_NUMBER_SIZE] = "(null)";
	if (value)
		stdlib_number(L, value, number);
	conversion_end(c, "s");
	char *to = reserve(L, out, 128);
	luaL_addsize(out, (size_t)snprintf(to, 128, c->format, number));
}

static void add_text(lua_State *L, luaL_Buffer *out, struct conversion *c, int arg)
{
	size_t len;
	const char *text = stdlib_tostring(L, arg, &len);
	luaL_argcheck(L, c->plain || strlen(text) == len, arg, "string contains zeros");
	/* Without a precision, what is longer than any width needs no padding. */
	if (c->plain || (!c->precise && len >= 100)) {
		stdlib_check_bytes(L, luaL_bufflen(out), len);
		luaL_addvalue(out);
		return;
	}
	/* Width and precision are at most 99, and a text without precision is shorter than 100. The text stays on the
	 * stack meanwhile; the buffer must not be touched above it, so it is made aside. */
	char made[128];
	conversion_end(c, "s");
	int n = snprintf(made, sizeof made, c->format, text);
	lua_pop(L, 1);
	stdlib_check_bytes(L, luaL_bufflen(out), (size_t)n);
	luaL_addlstring(out, made, (size_t)n);
}

#pragma GCC diagnostic pop

static void add_quoted_text(lua_State *L, luaL_Buffer *out, struct slice s)
{
	char code[8];

	luaL_addchar(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if (i % 1024 == 0)
			stdlib_check_bytes(L, luaL_bufflen(out), 0);
		if (c == '"' || c == '\\' || c == '\n') {
			luaL_addchar(out, '\\');
			luaL_addchar(out, (char)c);
		} else if (iscntrl(c)) {
			bool digit = i + 1 < s.len && isdigit((unsigned char)s.ptr[i + 1]);
			snprintf(code, sizeof code, digit ? "\\%03d" : "\\%d", c);
			luaL_addstring(out, code);
		} else {
			luaL_addchar(out, (char)c);
		}
	}
	luaL_addchar(out, '"');
	stdlib_check_bytes(L, luaL_bufflen(out), 0);
}

static void quote_number(lua_State *L, int arg, char *to, size_t size)
{
	if (lua_isinteger(L, arg)) {
		long long n = (long long)lua_tointeger(L, arg);
		/* The smallest integer has no decimal literal. */
		snprintf(to, size, n == LUA_MININTEGER ? "0x%llx" : "%lld", n);
		return;
	}
	double n = lua_tonumber(L, arg);
	if (n != n)
		snprintf(to, size, "(0/0)");
	else if (n > DBL_MAX || n < -DBL_MAX)
		snprintf(to, size, n > 0 ? "1e9999" : "-1e9999");
	else
		snprintf(to, size, "%a", n);
}

/* What the Lua reader reads back. */
static void add_quoted(lua_State *L, luaL_Buffer *out, int arg)
{
	char number[64];

	switch (lua_type(L, arg)) {
	case LUA_TSTRING:
		add_quoted_text(L, out, stdlib_check_text(L, arg));
		break;
	case LUA_TNUMBER:
		quote_number(L, arg, number, sizeof number);
		luaL_addstring(out, number);
		break;
	case LUA_TNIL:
		luaL_addstring(out, "nil");
		break;
	case LUA_TBOOLEAN:
		luaL_addstring(out, lua_toboolean(L, arg) ? "true" : "false");
		break;
	default:
		luaL_argerror(L, arg, "value has no literal form");
	}
}

static void add_conversion(lua_State *L, luaL_Buffer *out, struct conversion *c, int arg)
{
	switch (c->letter) {
	case 'c':
		add_char(L, out, c, arg);
		break;
	case 'd':
	case 'i':
	case 'u':
	case 'o':
	case 'x':
	case 'X':
		add_integer(L, out, c, arg);
		break;
	case 'p':
		add_pointer(L, out, c, arg);
		break;
	case 's':
		add_text(L, out, c, arg);
		break;
	case 'q':
		add_quoted(L, out, arg);
		break;
	default:
		add_float(L, out, c, arg);
	}
}

int stdlib_format(lua_State *L)
{
	struct slice format = stdlib_check_text(L, 1);
	const char *at = format.ptr, *end = format.ptr + format.len;
	int arg = 1, last = lua_gettop(L);
	size_t work = 0;
	struct conversion c;
	luaL_Buffer out;

	luaL_buffinit(L, &out);
	while (at < end) {
		const char *sign = memchr(at, '%', (size_t)(end - at));
		const char *run = sign ? sign : end;
		stdlib_check_bytes(L, luaL_bufflen(&out), (size_t)(run - at));
		luaL_addlstring(&out, at, (size_t)(run - at));
		at = run;
		if (!sign)
			break;
		if (end - at > 1 && at[1] == '%') {
			luaL_addchar(&out, '%');
			at += 2;
			continue;
		}
		if (++arg > last)
			return luaL_argerror(L, arg, "no value");
		at = read_conversion(L, at, end, &c);
		add_conversion(L, &out, &c, arg);
		/* "%.1s" reads all of a long text. */
		stdlib_poll(L, &work, 32 + (lua_type(L, arg) == LUA_TSTRING ? lua_rawlen(L, arg) / 64 : 0));
	}
	luaL_pushresult(&out);
	return 1;
}
