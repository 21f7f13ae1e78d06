/* What the files of `live` share: questions to the picture, and objects of it. */
#ifndef RULES_API_LIVE_H
#define RULES_API_LIVE_H

#include "live/live.h"
#include "rules/rule.h"

/* The iterator, and whatever else looks through objects: its filter without pointers into the picture, which changes. */
struct live_search {
	uint64_t generation;       /* of the picture in which it began; 0: not begun */
	struct live_cursor cursor; /* points to `filter`: the search does not move */
	struct live_filter filter; /* texts are Lua strings, which the caller keeps alive */
	enum live_kind kind;
	bool one_server;
	struct slice server;       /* a Lua string, too */
};

enum live_op { LIVE_OP_NEXT, LIVE_OP_COUNT, LIVE_OP_FIND, LIVE_OP_STATE, LIVE_OP_GET, LIVE_OP_TABLE, LIVE_OP_DROP };

/* One question to the picture. While the rule loads it is asked on the loop's thread, and the loader's waits. */
struct live_question {
	enum live_op op;
	struct rule *rule;
	struct live_search *search;  /* NEXT, COUNT */
	struct slice server, name;   /* FIND, STATE */
	enum live_kind kind;         /* FIND; of what was found */
	uint64_t handle;             /* GET, TABLE, DROP; of what was found: 0: nothing */
	const void *identity;        /* of what was found: equal for the same object */
	int field;                   /* GET */
	uint64_t count;
	enum live_state state;       /* STATE */
	unsigned unknown;
	struct live_value value;     /* GET: when it is not a text, a list or a map; those are packed */
	bool packed;                 /* the answer stands in the scratch's text */
	bool too_long;               /* a list of more than LIVE_LIST_MAX items, while loading */
};

#define LIVE_LIST_MAX 1000u /* items of a list that is read while the rule loads: the loop packs it */

void live_ask(struct live_question *question);

/* Around a question that finds an object: pushes an empty one, then fills it, or puts nil in its place. Nothing of Lua may be
 * called in between: it could raise. */
void live_object_begin(lua_State *L) RAISES;
void live_object_end(lua_State *L, const struct live_question *found);
/* Pushes a table of the object's fields; false when there is none at `index`. */
bool live_object_table(lua_State *L, int index) RAISES;
/* Raises: `what` has no field `name`, and which it has. */
int live_no_field(lua_State *L, enum live_kind kind, struct slice name) RAISES;

/* Pushes the table `live`. */
void live_open_table(lua_State *L, struct rule *rule) RAISES;

#endif
