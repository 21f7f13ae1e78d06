/* `log` and `print`. */
#include <stdlib.h>

#include "observe/log.h"
#include "rules/api/api.h"
#include "rules/api/log_table.h"
#include "value/luavalue.h"
#include "rules/state.h"
#include "rules/task.h"
#include "sandbox/stdlib.h"
#include "sandbox/kill.h"

#define FIELDS_MAX 32

static void count_drop(struct rule *rule)
{
	struct host *host = rule->host;
	rule_count(rule, host->m.log_dropped, &rule->counts.s_log_dropped, 1);
	if (host_may_log(host, &rule->counts.drop_logged))
		log_write(LOG_WARN, "log lines of a rule were dropped (limits.log_lines_per_second)", F_TEXT("rule", rule->name));
}

static bool may_write(struct rule *rule)
{
	struct host *host = rule->host;
	if (!host || rule_take_token(&rule->log_lines, rule->limits.log_lines_per_second, host->ops.now(host->ctx)))
		return true;
	count_drop(rule);
	return false;
}

static int compare_fields(const void *a, const void *b)
{
	const struct log_field *x = a, *y = b;
	return strcmp(x->name, y->name);
}

/* The table on top of the stack becomes its JSON. */
static struct slice table_text(lua_State *L, struct buf *work)
{
	buf_clear(work);
	log_table_append(L, -1, work);
	struct slice text = buf_slice(work);
	text.ptr = lua_pushlstring(L, text.ptr, text.len);
	lua_replace(L, -2);
	return text;
}

/* A table whose rule has given it a text of its own is that text. */
static bool shows_itself(lua_State *L)
{
	if (luaL_getmetafield(L, -1, "__tostring") == LUA_TNIL)
		return false;
	lua_pop(L, 1);
	return true;
}

/* Reads { key = value } into fields, sorted by name: a table has no order of its own. Names and texts stay on the stack, for a
 * __tostring may take them out of the table. */
static size_t read_fields(lua_State *L, int index, struct log_field *fields, size_t max, struct buf *work)
{
	size_t count = 0;
	luaL_checkstack(L, (int)(2 * max) + 10, NULL);
	for (lua_pushnil(L); lua_next(L, index);) {
		if (count == max)
			luaL_error(L, "a log record has at most %d fields", FIELDS_MAX);
		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "a log field's name is a string");
		struct log_field *f = &fields[count++];
		const char *name = lua_tostring(L, -2);
		luavalue_unproxy(L, lua_gettop(L));
		switch (lua_type(L, -1)) {
		case LUA_TBOOLEAN:
			*f = F_BOOL(name, lua_toboolean(L, -1));
			break;
		case LUA_TNUMBER:
			*f = lua_isinteger(L, -1) ? F_INT(name, lua_tointeger(L, -1)) : F_NUMBER(name, lua_tonumber(L, -1));
			break;
		default: {
			struct slice text;
			if (lua_type(L, -1) == LUA_TTABLE && !shows_itself(L)) {
				*f = F_JSON(name, table_text(L, work));
				break;
			}
			text.ptr = stdlib_tostring(L, -1, &text.len);
			*f = F_SLICE(name, text);
			lua_replace(L, -2);
			break;
		}
		}
		lua_pushvalue(L, -2); /* for lua_next, which takes it */
	}
	qsort(fields, count, sizeof *fields, compare_fields);
	return count;
}

static struct log_field *find_field(struct log_field *fields, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (fields[i].name && strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

/* What the rule is called for, or in its place what the rule says itself, which is taken out of `given`. Returns the number
 * of fields, at most FLOW_FIELDS. */
#define FLOW_FIELDS 3

static size_t task_fields(const struct task *task, struct log_field *given, size_t given_count, struct log_field *fields)
{
	const struct log_field all[FLOW_FIELDS] = {
		F_TEXT("server", task->server[0] ? task->server : NULL),
		F_TEXT(task_event_name(task), task->event[0] ? task->event : NULL),
		F_TEXT(task_id_name(task), task->action_id[0] ? task->action_id : NULL),
	};
	size_t count = 0;

	for (size_t i = 0; i < FLOW_FIELDS; i++) {
		struct log_field *own = find_field(given, given_count, all[i].name);
		if (own) {
			fields[count++] = *own;
			own->name = NULL;
		} else if (all[i].text.ptr) {
			fields[count] = all[i];
			/* Else each action's record would be one of its own. */
			fields[count++].varies = i == FLOW_FIELDS - 1;
		}
	}
	return count;
}

static int log_at(lua_State *L, enum log_level level)
{
	struct rule *rule = rule_of(L);
	/* First ours, then the rule's. */
	struct log_field fields[FIELDS_MAX + FLOW_FIELDS + 1], given[FIELDS_MAX];
	size_t count = 0, given_count = 0;
	lua_settop(L, 2);
	const char *text = stdlib_tostring(L, 1, NULL);
	if (level < log_get_level() || !may_write(rule))
		return 0;
	if (!lua_isnoneornil(L, 2)) {
		luaL_checktype(L, 2, LUA_TTABLE);
		given_count = read_fields(L, 2, given, FIELDS_MAX, &rule->scratch->text);
	}
	fields[count++] = F_TEXT("rule", rule->name);
	if (rule->current)
		count += task_fields(rule->current, given, given_count, fields + count);
	for (size_t i = 0; i < given_count; i++) {
		if (!given[i].name)
			continue;
		fields[count] = given[i];
		/* Whose record it is, is not the rule's to say. */
		if (strcmp(given[i].name, "rule") == 0)
			fields[count].name = "rule_";
		count++;
	}
	log_record_exact(level, text, fields, count);
	return 0;
}

SANDBOX_FUNCTION(log_debug)
{
	return log_at(L, LOG_DEBUG);
}

SANDBOX_FUNCTION(log_info)
{
	return log_at(L, LOG_INFO);
}

SANDBOX_FUNCTION(log_warn)
{
	return log_at(L, LOG_WARN);
}

SANDBOX_FUNCTION(log_error)
{
	return log_at(L, LOG_ERROR);
}

/* print() goes to the log: a daemon has no terminal. */
SANDBOX_FUNCTION(print)
{
	int n = lua_gettop(L);
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	for (int i = 1; i <= n; i++) {
		if (i > 1)
			luaL_addchar(&b, ' ');
		stdlib_tostring(L, i, NULL);
		luaL_addvalue(&b);
	}
	luaL_pushresult(&b);
	lua_insert(L, 1);
	lua_settop(L, 1);
	return log_info(L);
}

void log_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "debug", log_debug }, { "info", log_info }, { "warn", log_warn }, { "error", log_error }, { NULL, NULL },
	};
	luaL_newlib(L, functions);
}

void log_open_print(lua_State *L)
{
	lua_pushcfunction(L, print);
}
