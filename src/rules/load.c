#include "rules/load.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "sandbox/chunk.h"
#include "value/luavalue.h"
#include "sandbox/stdlib.h"

/* ---- rules ---- */

struct rule *rule_create(struct generation *gen, const char *name, const char *file, const char *path, struct err *err)
{
	if (gen->alloc.owner_count >= ALLOC_OWNERS) {
		err_set(err, ERR_OVERFLOW, "%s: more than %d rule files and modules", file, ALLOC_OWNERS - 1);
		return NULL;
	}
	struct rule *r = mem_zalloc(sizeof *r);
	r->gen = gen;
	r->name = mem_strdup(name);
	r->file = mem_strdup(file);
	r->path = mem_strdup(path);
	r->owner = gen->alloc.owner_count++;
	list_init(&r->listeners);
	list_init(&r->timers);
	list_init(&r->requests);
	list_init(&r->tasks);
	if (gen->rule_count == gen->rule_cap) {
		gen->rule_cap = gen->rule_cap ? gen->rule_cap * 2 : 16;
		gen->rules = mem_realloc(gen->rules, gen->rule_cap, sizeof(struct rule *));
	}
	gen->rules[gen->rule_count++] = r;
	return r;
}

void rule_destroy(struct rule *rule)
{
	free(rule->name);
	free(rule->file);
	free(rule->path);
	free(rule->last_error);
	free(rule->rates);
	free(rule);
}

/* ---- files ---- */

static void digest_hex(struct slice text, char out[65])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (!EVP_Digest(text.ptr, text.len, sum, &len, EVP_sha256(), NULL))
		len = 0;
	for (unsigned i = 0; i < len && i < 32; i++)
		snprintf(out + 2 * (size_t)i, 3, "%02x", sum[i]);
}

/* Reads a regular file that is no link into `out`; -1 with `err`. */
static int read_file(const char *path, struct buf *out, struct err *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd == -1 && errno == ELOOP)
		return err_set(err, ERR_INVALID, "is a symbolic link; rules are read from regular files only");
	if (fd == -1)
		return err_system(err, "cannot be opened");
	int rc = 0;
	if (fstat(fd, &st) == -1)
		rc = err_system(err, "cannot be read");
	else if (!S_ISREG(st.st_mode))
		rc = err_set(err, ERR_INVALID, "is no regular file");
	buf_init(out, RULE_FILE_MAX);
	while (rc == 0) {
		char *to = buf_reserve(out, 8192);
		ssize_t n = to ? read(fd, to, 8192) : -1;
		if (!to)
			rc = err_set(err, ERR_OVERFLOW, "is larger than %d bytes", RULE_FILE_MAX);
		else if (n == -1)
			rc = err_system(err, "cannot be read");
		else if (n == 0)
			break;
		else
			buf_commit(out, (size_t)n);
	}
	close(fd);
	if (rc)
		buf_close(out);
	return rc;
}

/* ---- read-only proxies ---- */

static void push_proxy(lua_State *L);

static int proxy_index(lua_State *L)
{
	lua_settop(L, 2);
	lua_gettable(L, lua_upvalueindex(1));
	push_proxy(L);
	return 1;
}

static int proxy_newindex(lua_State *L)
{
	return luaL_error(L, "this table is read-only: it belongs to a module, or to the settings");
}

static int proxy_len(lua_State *L)
{
	lua_pushinteger(L, luaL_len(L, lua_upvalueindex(1)));
	return 1;
}

static int proxy_next(lua_State *L)
{
	lua_settop(L, 2);
	if (!lua_next(L, lua_upvalueindex(1)))
		return 0;
	push_proxy(L);
	return 2;
}

static int proxy_pairs(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushcclosure(L, proxy_next, 1);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

static int proxy_called(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	return lua_gettop(L);
}

static int proxy_call(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_replace(L, 1);
	lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, proxy_called); /* what it calls may wait */
	return lua_gettop(L);
}

/* Replaces a table on top of the stack by its read-only proxy, always the same one for the same table. Tables inside it are
 * given out as proxies too. Anything else stays. */
static void push_proxy(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__index", proxy_index }, { "__newindex", proxy_newindex }, { "__len", proxy_len },
		{ "__pairs", proxy_pairs }, { "__call", proxy_call }, { NULL, NULL },
	};
	struct generation *gen = generation_of(L);
	if (!lua_istable(L, -1))
		return;
	luaL_checkstack(L, 8, NULL);
	lua_rawgeti(L, LUA_REGISTRYINDEX, gen->proxies);
	lua_pushvalue(L, -2);
	if (lua_rawget(L, -2) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_newtable(L); /* the proxy */
		lua_newtable(L); /* its metatable */
		lua_pushvalue(L, -4);
		luaL_setfuncs(L, meta, 1);
		stdlib_mark_sealed(L); /* or one rule could put a field over what another sees */
		lua_pushboolean(L, 0);
		lua_setfield(L, -2, "__metatable");
		lua_pushvalue(L, -4);
		lua_rawsetp(L, -2, &luavalue_proxy);
		lua_setmetatable(L, -2);
		lua_pushvalue(L, -3);
		lua_pushvalue(L, -2);
		lua_rawset(L, -4);
		/* A proxy is its own proxy. */
		lua_pushvalue(L, -1);
		lua_pushvalue(L, -2);
		lua_rawset(L, -4);
	}
	lua_replace(L, -3);
	lua_pop(L, 1);
}

/* ---- running a file ---- */

static void push_environment(lua_State *L, struct generation *gen)
{
	lua_newtable(L);
	lua_rawgeti(L, LUA_REGISTRYINDEX, gen->environment_meta);
	lua_setmetatable(L, -2);
}

/* Compiles the rule's file and runs it in an environment of its own; keeps what it returned for require. */
static int run_file(lua_State *L)
{
	struct rule *rule = lua_touserdata(L, 1);
	struct generation *gen = rule->gen;
	struct buf text;
	struct err err;

	rule->run = true;
	if (read_file(rule->path, &text, &err))
		return luaL_error(L, "%s: %s", rule->file, err.text);
	digest_hex(buf_slice(&text), rule->digest);
	struct slice source = buf_slice(&text);
	char chunk[256]; /* Lua itself shortens what it shows, at the front */
	snprintf(chunk, sizeof chunk, "@%s", rule->file);
	int status = chunk_load(L, source, chunk);
	buf_close(&text);
	if (status != LUA_OK)
		return lua_error(L);
	push_environment(L, gen);
	lua_setupvalue(L, -2, 1);
	lua_call(L, 0, 1);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_pushboolean(L, true);
	}
	push_proxy(L);
	lua_rawgeti(L, LUA_REGISTRYINDEX, gen->modules);
	lua_insert(L, -2);
	lua_setfield(L, -2, rule->file);
	return 0;
}

static int push_run_file(lua_State *co, struct task *task, void *arg)
{
	(void)task;
	lua_pushcfunction(co, run_file);
	lua_pushlightuserdata(co, arg);
	return 1;
}

bool rule_load(struct rule *rule)
{
	if (rule->run) /* another file has required it already */
		return !rule->last_error;
	struct task *task = task_take(rule, "load");
	if (!task) {
		faults_add(rule->gen->faults, "%s: no memory left to load it (limits.memory)", rule->file);
		return false;
	}
	task_start(task, push_run_file, rule);
	return !rule->last_error;
}

/* ---- require ---- */

static bool is_module_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
			return false;
	}
	return name.len > 0 && name.len < RULE_NAME_MAX;
}

static struct rule *find_rule(struct generation *gen, const char *file)
{
	for (size_t i = 0; i < gen->rule_count; i++)
		if (strcmp(gen->rules[i]->file, file) == 0)
			return gen->rules[i];
	return NULL;
}

/* The rule of `name` in one of the two folders: known already, or made when the file is there. */
static struct rule *find_module(lua_State *L, struct generation *gen, const char *folder, const char *shown, const char *prefix,
                                const char *name)
{
	struct err err;
	struct stat st;
	char file[256], owner[RULE_NAME_MAX + 8];
	snprintf(file, sizeof file, "%s/%s.lua", shown, name);
	snprintf(owner, sizeof owner, "%s%s", prefix, name);
	struct rule *rule = find_rule(gen, file);
	if (rule || !gen->loading)
		return rule;
	char *path = mem_printf("%s/%s.lua", folder, name);
	if (lstat(path, &st) == 0)
		rule = rule_create(gen, owner, file, path, &err);
	else
		err.code = ERR_NONE;
	free(path);
	if (!rule && err.code != ERR_NONE)
		luaL_error(L, "%s", err.text);
	return rule;
}

/* Loads a module for the first time: it is its own owner while it runs. */
static void load_module(lua_State *L, struct rule *rule)
{
	struct generation *gen = rule->gen;
	struct rule *by = gen->current_rule;
	uint32_t owner = gen->alloc.owner;

	lua_pushcfunction(L, run_file);
	lua_pushlightuserdata(L, rule);
	gen->current_rule = rule;
	gen->alloc.owner = rule->owner;
	int status = lua_pcall(L, 1, 0, 0);
	gen->current_rule = by;
	gen->alloc.owner = owner;
	if (status != LUA_OK) {
		free(rule->last_error);
		rule->last_error = mem_strdup(lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "error object is not a string");
		lua_error(L);
	}
}

static int require(lua_State *L)
{
	struct generation *gen = generation_of(L);
	struct slice name;
	name.ptr = luaL_checklstring(L, 1, &name.len);
	if (!is_module_name(name))
		return luaL_error(L, "require \"%s\": a module's name has letters, digits, '_' and '-' only", name.ptr);
	struct rule *rule = find_module(L, gen, gen->rules_folder, gen->rules_shown, "", name.ptr);
	if (!rule)
		rule = find_module(L, gen, gen->lib_folder, gen->lib_shown, "lib/", name.ptr);
	if (!rule && !gen->loading)
		return luaL_error(L, "require \"%s\": modules are read while the rules load; require it at the top of the file", name.ptr);
	if (!rule)
		return luaL_error(L, "require \"%s\": there is no %s/%s.lua and no %s/%s.lua", name.ptr, gen->rules_shown, name.ptr,
		                  gen->lib_shown, name.ptr);
	if (!rule->run)
		load_module(L, rule);
	lua_rawgeti(L, LUA_REGISTRYINDEX, gen->modules);
	if (lua_getfield(L, -1, rule->file) == LUA_TNIL)
		return luaL_error(L, rule->last_error ? "require \"%s\": it failed to load: %s" : "require \"%s\": it requires itself%s", name.ptr,
		                  rule->last_error ? rule->last_error : "");
	return 1;
}

const char *rule_where(lua_State *L)
{
	const struct rule *rule = generation_of(L)->current_rule;
	lua_Debug ar;
	/* A tail call has left no line. */
	if (lua_getstack(L, 1, &ar) && lua_getinfo(L, "Sl", &ar) && ar.currentline > 0)
		return lua_pushfstring(L, "%s:%d", ar.short_src, ar.currentline);
	return lua_pushstring(L, rule ? rule->file : "?");
}

/* ---- settings ---- */

static const char *kind_of(lua_State *L, int index)
{
	int type = lua_type(L, index);
	return lua_typename(L, type);
}

/* A table whose keys are options of its own, not a list that is replaced whole. */
static bool has_options(lua_State *L, int index)
{
	bool any = false;
	index = lua_absindex(L, index);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		any = true;
		if (lua_type(L, -2) != LUA_TSTRING) {
			lua_pop(L, 2);
			return false;
		}
	}
	return any;
}

/* Puts the section over the defaults at the top of the stack; `path` for error texts. */
static void overlay(lua_State *L, const struct value *section, const char *path)
{
	for (size_t i = 0; i < section->table.count; i++) {
		const struct value_pair *pair = &section->table.pairs[i];
		if (pair->key.type != VALUE_TEXT)
			luaL_error(L, "%s: an option's name is a string", path);
		lua_pushfstring(L, "%s.%s", path, pair->key.text.bytes);
		const char *full = lua_tostring(L, -1);
		int type = lua_getfield(L, -2, pair->key.text.bytes);
		if (type == LUA_TNIL)
			luaL_error(L, "%s: unknown option: the rule's settings() does not name it", full);
		luavalue_push(L, &pair->value);
		if (lua_type(L, -1) != type)
			luaL_error(L, "%s: a %s is expected, not a %s", full, kind_of(L, -2), kind_of(L, -1));
		if (type == LUA_TTABLE && has_options(L, -2)) {
			lua_pop(L, 1);
			overlay(L, &pair->value, full);
			lua_pop(L, 2); /* the table stands where it stood */
			continue;
		}
		lua_setfield(L, -4, pair->key.text.bytes);
		lua_pop(L, 2);
	}
}

/* A copy of the plain table at `index`, so that the rule's own defaults stay. */
static void copy_table(lua_State *L, int index)
{
	struct err err;
	struct value *copy = lua_newuserdatauv(L, sizeof *copy, 0);
	*copy = (struct value){ .type = VALUE_NIL };
	lua_rawgeti(L, LUA_REGISTRYINDEX, generation_of(L)->value_meta);
	lua_setmetatable(L, -2);
	if (luavalue_read(L, index, copy, NULL, &err))
		luaL_error(L, "settings: %s", err.text);
	luavalue_push(L, copy);
}

static int settings(lua_State *L)
{
	struct generation *gen = generation_of(L);
	struct rule *rule = gen->current_rule;
	const struct value *section = value_get(&gen->settings, slice_cstr(rule->name));
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkstack(L, 40, NULL);
	rule->has_settings = true;
	copy_table(L, 1);
	if (section && section->type == VALUE_TABLE) {
		char path[RULE_NAME_MAX + 8];
		snprintf(path, sizeof path, "rules.%s", rule->name);
		overlay(L, section, path);
	}
	push_proxy(L);
	return 1;
}

/* ---- the environment ---- */

static int undefined_global(lua_State *L)
{
	return luaL_error(L, "undefined global '%s'", lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2));
}

static void make_weak_table(lua_State *L, const char *mode)
{
	lua_newtable(L);
	lua_newtable(L);
	lua_pushstring(L, mode);
	lua_setfield(L, -2, "__mode");
	lua_setmetatable(L, -2);
}

void environment_open(lua_State *L, struct generation *gen)
{
	/* The libraries, then, for what is not there, an error that names it. */
	lua_pushcfunction(L, require);
	lua_setfield(L, -2, "require");
	lua_pushcfunction(L, settings);
	lua_setfield(L, -2, "settings");
	lua_newtable(L);
	lua_pushcfunction(L, undefined_global);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);

	lua_newtable(L);
	lua_insert(L, -2);
	lua_setfield(L, -2, "__index");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	gen->environment_meta = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_newtable(L);
	gen->modules = luaL_ref(L, LUA_REGISTRYINDEX);
	make_weak_table(L, "k");
	gen->proxies = luaL_ref(L, LUA_REGISTRYINDEX);
}
