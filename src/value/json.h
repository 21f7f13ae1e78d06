/* JSON for rules and for the engine's own lines: lua-cjson in a Lua state of its own.
 *
 * lua-cjson allocates outside Lua's allocator, ends the process when that fails and leaks when an error jumps past
 * it: so it never works in a rule's state. A value is copied raw into the scratch state, bounded before, and the
 * result is copied back; what raises in the rule's state raises in no call of lua-cjson. It also knows only floats of
 * 14 digits: numbers travel through it as texts (value/json_text.h), so integers are kept exactly.
 *
 * In Lua a table whose keys are 1 … n is an array (up to ten places, or half of them, may be missing: they become
 * null), any other an object; an empty one is {} unless json.array marked it. Integral floats are written as
 * integers; NaN and infinities are errors; bytes that are not UTF-8 become U+FFFD.
 * Read back, an integer of 64 bits is an integer, every other number a float; null is json.null (a light userdata
 * NULL); of equal keys the last wins; an empty array keeps its mark. */
#ifndef VALUE_JSON_H
#define VALUE_JSON_H

#include <lua.h>

#include "base/buf.h"
#include "base/err.h"

struct json;

struct json_limits {
	size_t bytes;   /* of one text; 0: 1 MiB */
	unsigned depth; /* arrays and objects within each other; 0: 64, never more than 200 */
};

/* Used by one thread at a time. Reads lua-cjson from the system's module path (a file: call it where that may block).
 * NULL and ERR_SYSTEM when it cannot be loaded. NULL limits: the defaults.
 * `push_error` pushes the error of a failed encode or decode as one value and returns 1 (it may raise); NULL: its text. */
struct json *json_create(const struct json_limits *limits, int (*push_error)(lua_State *L, const struct err *err), struct err *err);
void json_destroy(struct json **json);

/* Appends the value at `index` of `from` as one line of JSON. Never raises in `from`, runs no metamethod, leaves its
 * stack as it was. -1 (nothing appended): ERR_INVALID with the field that cannot be written, ERR_OVERFLOW beyond the
 * limits or the cap of `out`. */
int json_encode(struct json *json, lua_State *from, int index, struct buf *out, struct err *err);

/* Pushes the value that `text` is on `to`. -1 (nothing pushed): ERR_INVALID with the place of the fault, ERR_OVERFLOW
 * beyond the limits. May raise in `to` (memory, stack); nothing leaks then. */
int json_decode(struct json *json, lua_State *to, struct slice text, struct err *err);

/* Marks the table on top of the stack as an array. May raise (memory). */
void json_mark_array(lua_State *L);

/* Pushes the table { encode, decode, array, null } for rules, which work with `*json` at the time of each call; `json` must
 * outlive `L`. encode and decode return
 * `nil, error` when they fail. May raise (memory). */
void json_open(lua_State *L, struct json *const *json);

#endif
