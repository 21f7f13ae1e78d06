#include "config/read.h"

#include <errno.h>
#include <glob.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "config/source.h"
#include "config/tree.h"
#include "sandbox/arena.h"
#include "sandbox/chunk.h"
#include "sandbox/deadline.h"
#include "sandbox/kill.h"

#define HOOK_STEP 1000
#define STUCK_SECONDS (READ_SECONDS_MAX + 0.2)

struct reader {
	struct reading *out;
	struct faults *faults;
	const char *dir;
	struct buf source;  /* of the file that is being compiled, or what `file` reads: here, so that no Lua error leaks it */
	unsigned steps;
	uint64_t cpu_start;
	bool stopped;       /* a limit was reached: nothing goes on */
	unsigned depth;
	char **files;       /* owned; a chunk is named after its place here, so that no long path is cut in a message */
	size_t file_count;
};

static struct reader *reader_of(lua_State *L)
{
	return *(struct reader **)lua_getextraspace(L);
}

static uint64_t cpu_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * CLOCK_NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void count_steps(lua_State *L, lua_Debug *ar)
{
	struct reader *reader = reader_of(L);
	reader->steps += HOOK_STEP;
	if (reader->steps < READ_STEPS_MAX && cpu_now() - reader->cpu_start < READ_SECONDS_MAX * CLOCK_NS_PER_S)
		return;
	reader->stopped = true;
	lua_getinfo(L, "Sl", ar);
	lua_pushfstring(L, "%s:%d: runs too long; a configuration may take %d million steps and %d s", ar->short_src, ar->currentline,
	                (int)(READ_STEPS_MAX / 1000000), READ_SECONDS_MAX);
	lua_error(L);
}

char *read_join(const char *dir, const char *path)
{
	if (path[0] == '/' || strcmp(dir, ".") == 0)
		return mem_strdup(path);
	return mem_printf("%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", path);
}

void reading_add_secret(struct reading *reading, struct slice value)
{
	if (value.len == 0)
		return;
	for (size_t i = 0; i < reading->secret_count; i++)
		if (slice_eq(slice_cstr(reading->secrets[i]), value))
			return;
	reading->secrets = mem_realloc(reading->secrets, reading->secret_count + 1, sizeof *reading->secrets);
	reading->secrets[reading->secret_count++] = mem_slicedup(value);
}

/* ---- What went wrong, for people ---- */

/* "#3:12" of a chunk's name and line to "conf.d/a.lua:12"; a text without one stays as it is. */
static const char *file_of(const struct reader *reader, const char **message)
{
	unsigned index = 0;
	int used = 0;
	if (sscanf(*message, "#%u%n", &index, &used) != 1 || used == 0 || index >= reader->file_count)
		return NULL;
	*message += used;
	return reader->files[index];
}

static bool is_keyword(struct slice word)
{
	static const char words[] = " and break do else elseif end false for function goto if in local nil not or repeat return then true "
	                            "until while ";
	char padded[16];
	if (word.len > 10)
		return false;
	snprintf(padded, sizeof padded, " %.*s ", SLICE_ARG(word));
	return strstr(words, padded) != NULL;
}

/* Lua quotes the token that it stumbled on, or a constant. It may be a secret, or a piece of one that lacks its quotes: only
 * keywords and signs are repeated (P8). */
static size_t safe_length(const char *message)
{
	const char *constant = strstr(message, " (constant '"), *near = strstr(message, " near '");
	if (constant)
		return (size_t)(constant - message);
	if (!near)
		return strlen(message);
	struct slice token = slice_cstr(near + strlen(" near '"));
	if (token.len > 0)
		token.len--;
	bool sign = token.len > 0 && token.len <= 3;
	for (size_t i = 0; i < token.len; i++)
		if (!strchr("+-*/%^#&~|<>=(){}[];:,.", token.ptr[i]))
			sign = false;
	return sign || is_keyword(token) ? strlen(message) : (size_t)(near - message);
}

/* Makes a fault of the error at the top of the stack and pops it. */
static void add_error(lua_State *L, struct reader *reader, int status, const char *path)
{
	const char *message = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
	/* Passed on by an include, running out of memory is an error like any other but for its text. */
	if (status == LUA_ERRMEM || (message && strcmp(message, "not enough memory") == 0)) {
		faults_add(reader->faults, "%s: needs too much memory; a configuration may take %u MiB", path, READ_MEMORY_MAX >> 20);
	} else if (!message) {
		faults_add(reader->faults, "%s: ended with an error that is no text", path);
	} else {
		const char *file = file_of(reader, &message);
		faults_add(reader->faults, "%s%s%.*s", file ? file : path, file ? "" : ": ", (int)safe_length(message), message);
	}
	lua_pop(L, 1);
}

/* "file:line: " of the Lua code that called the running C function, into `out`. */
static void where(lua_State *L, struct reader *reader, char *out, size_t size)
{
	lua_Debug ar;
	if (lua_getstack(L, 1, &ar) && lua_getinfo(L, "Sl", &ar) && ar.currentline > 0) {
		const char *source = ar.short_src, *file = file_of(reader, &source);
		snprintf(out, size, "%s:%d", file ? file : source, ar.currentline);
	} else {
		/* A tail call, as in `return include "x"`, has left no line. */
		snprintf(out, size, "%s", reader->files[0]);
	}
}

/* ---- The three functions ---- */

static struct slice text_argument(lua_State *L, int index, const char *usage)
{
	size_t len = 0;
	if (lua_type(L, index) != LUA_TSTRING)
		luaL_error(L, "give a text: %s", usage);
	const char *text = lua_tolstring(L, index, &len);
	if (len == 0 || strlen(text) != len)
		luaL_error(L, "give a text that is not empty and without NUL: %s", usage);
	return slice_make(text, len);
}

static void push_missing(lua_State *L, const struct reader *reader)
{
	reader->out->has_missing = true;
	lua_pushstring(L, READ_MISSING);
}

SANDBOX_FUNCTION(get_env)
{
	struct reader *reader = reader_of(L);
	struct slice name = text_argument(L, 1, "env \"NAME\" or env(\"NAME\", \"default\")");
	int type = lua_type(L, 2);
	if (type != LUA_TNONE && type != LUA_TSTRING)
		return luaL_error(L, "the default must be a text: env(\"NAME\", \"default\")");

	const char *value = getenv(name.ptr);
	if (value) {
		reading_add_secret(reader->out, slice_cstr(value));
		lua_pushstring(L, value);
	} else if (type == LUA_TSTRING) {
		lua_pushvalue(L, 2);
	} else {
		char at[4400];
		where(L, reader, at, sizeof at);
		faults_add(reader->faults, "%s: the environment has no %.128s; set it, or give a default: env(\"%.128s\", \"default\")", at,
		           name.ptr, name.ptr);
		push_missing(L, reader);
	}
	return 1;
}

SANDBOX_FUNCTION(get_file)
{
	struct reader *reader = reader_of(L);
	struct slice name = text_argument(L, 1, "file \"path\"");
	struct err err = { 0 };
	char *path = read_join(reader->dir, name.ptr);
	int rc = source_read(path, READ_FILE_MAX, &reader->source, &err);
	if (rc == -1) {
		char at[4400];
		where(L, reader, at, sizeof at);
		/* No colon behind the path: pbx1.secret would look like the name of a secret that follows. */
		faults_add(reader->faults, "%s: %s cannot be read: %s", at, path, err.text);
	}
	free(path);
	if (rc == -1) {
		push_missing(L, reader);
		return 1;
	}
	struct slice content = buf_slice(&reader->source);
	if (content.len > 0 && content.ptr[content.len - 1] == '\n')
		content.len--;
	if (content.len > 0 && content.ptr[content.len - 1] == '\r')
		content.len--;
	reading_add_secret(reader->out, content);
	lua_pushlstring(L, content.ptr, content.len);
	return 1;
}

static int compile(lua_State *L, struct reader *reader, unsigned index)
{
	char chunk[32];
	snprintf(chunk, sizeof chunk, "=#%u", index);
	struct slice text = buf_slice(&reader->source);
	if (slice_starts_with(text, SLICE("\xEF\xBB\xBF")))
		text = slice_make(text.ptr + 3, text.len - 3);
	int was = kill_allow();
	int status = chunk_load(L, text, chunk);
	kill_restore(was);
	if (status == LUA_OK)
		source_check_keys(reader->files[index], text, reader->faults);
	return status;
}

/* Compiles and runs files[index]; its table is left on the stack. Raises whatever goes wrong. Arguments: index. */
SANDBOX_FUNCTION(run_file)
{
	struct reader *reader = reader_of(L);
	unsigned index = (unsigned)lua_tointeger(L, 1);
	struct err err = { 0 };

	if (source_read(reader->files[index], READ_SOURCE_MAX, &reader->source, &err) == -1) {
		lua_pushfstring(L, "#%d: %s%s", (int)index, err.text, index == 0 ? " (the configuration; -c FILE names another)" : "");
		return lua_error(L);
	}
	struct slice text = buf_slice(&reader->source);
	if (text.len > 0 && text.ptr[0] == LUA_SIGNATURE[0]) {
		lua_pushfstring(L, "#%d: is compiled Lua; a configuration is text", (int)index);
		return lua_error(L);
	}
	if (slice_trim(text).len == 0) {
		lua_pushfstring(L, "#%d: is empty; it must return a table: return { servers = { … } }", (int)index);
		return lua_error(L);
	}
	if (compile(L, reader, index) != LUA_OK)
		return lua_error(L);
	kill_call(L, 0, 1);
	if (lua_type(L, -1) != LUA_TTABLE) {
		lua_pushfstring(L, "#%d: returns %s%s; it must return a table: return { … }", (int)index, lua_isnil(L, -1) ? "" : "a ",
		                lua_isnil(L, -1) ? "nothing" : lua_typename(L, lua_type(L, -1)));
		return lua_error(L);
	}
	return 1;
}

/* Runs a file and puts what it returns into the result. Arguments: index, result, origins (key -> index of its file). */
SANDBOX_FUNCTION(include_file)
{
	struct reader *reader = reader_of(L);
	lua_pushcfunction(L, run_file);
	lua_pushvalue(L, 1);
	kill_call(L, 1, 1);
	for (lua_pushnil(L); lua_next(L, 4); lua_pop(L, 1)) {
		lua_pushvalue(L, -2);
		if (lua_rawget(L, 3) != LUA_TNIL) {
			const char *before = reader->files[lua_tointeger(L, -1)];
			const char *key = lua_type(L, -3) == LUA_TSTRING ? lua_tostring(L, -3) : "an item of a list";
			faults_add(reader->faults, "%s: \"%.64s\" is given by %s too; rename or remove one", reader->files[lua_tointeger(L, 1)], key,
			           before);
			lua_pop(L, 1);
			continue;
		}
		lua_pop(L, 1);
		lua_pushvalue(L, -2);
		lua_pushvalue(L, -2);
		lua_rawset(L, 2);
		lua_pushvalue(L, -2);
		lua_pushvalue(L, 1);
		lua_rawset(L, 3);
	}
	return 0;
}

/* A folder that is not there is a pattern that matches nothing; one that cannot be read is an error. */
static int glob_error(const char *path, int code)
{
	(void)path;
	return code != ENOENT && code != ENOTDIR;
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_file(struct reader *reader, char *path)
{
	reader->files = mem_realloc(reader->files, reader->file_count + 1, sizeof *reader->files);
	reader->files[reader->file_count++] = path;
}

/* Appends the files that the pattern names, sorted. -1 with `why`. Raises nothing. */
static int find_files(struct reader *reader, const char *pattern, char *why, size_t size)
{
	char *path = read_join(reader->dir, pattern);
	size_t before = reader->file_count;
	if (!strpbrk(pattern, "*?[")) {
		add_file(reader, path);
		return 0;
	}
	free(path);

	/* The folder is no part of the pattern: what glob() would take for its own is escaped. */
	struct buf escaped;
	buf_init(&escaped, 0);
	if (pattern[0] != '/' && strcmp(reader->dir, ".") != 0) {
		for (const char *c = reader->dir; *c; c++) {
			if (strchr("*?[\\", *c))
				buf_append_char(&escaped, '\\');
			buf_append_char(&escaped, *c);
		}
		buf_append_char(&escaped, '/');
	}
	buf_append_cstr(&escaped, pattern);
	glob_t found = { 0 };
	int rc = glob(buf_cstr(&escaped), GLOB_NOSORT, glob_error, &found);
	buf_close(&escaped);
	if (rc == 0 && found.gl_pathc <= READ_FILES_MAX)
		for (size_t i = 0; i < found.gl_pathc; i++)
			add_file(reader, mem_strdup(found.gl_pathv[i]));
	bool many = rc == 0 && found.gl_pathc > READ_FILES_MAX;
	if (rc == 0)
		globfree(&found);
	if (many) {
		snprintf(why, size, "names more than %d files", READ_FILES_MAX);
		return -1;
	}
	if (rc != 0 && rc != GLOB_NOMATCH) {
		snprintf(why, size, "a folder in it cannot be read");
		return -1;
	}
	qsort(reader->files + before, reader->file_count - before, sizeof *reader->files, compare_paths);
	return 0;
}

SANDBOX_FUNCTION(get_include)
{
	struct reader *reader = reader_of(L);
	struct slice pattern = text_argument(L, 1, "include \"conf.d/*.lua\"");
	char why[128], at[4400];

	lua_settop(L, 1);
	lua_newtable(L);
	lua_newtable(L);
	luaL_checkstack(L, 8, NULL);
	if (reader->depth >= READ_DEPTH_MAX)
		return luaL_error(L, "include goes deeper than %d files; does a file include itself?", READ_DEPTH_MAX);
	size_t first = reader->file_count;
	if (find_files(reader, pattern.ptr, why, sizeof why) == -1) {
		where(L, reader, at, sizeof at);
		faults_add(reader->faults, "%s: include \"%s\": %s", at, pattern.ptr, why);
		reader->out->incomplete = true;
	}
	size_t end = reader->file_count;
	if (end > READ_FILES_MAX + 1) {
		reader->stopped = true;
		return luaL_error(L, "more than %d files are included", READ_FILES_MAX);
	}
	reader->depth++;
	for (size_t i = first; i < end; i++) {
		lua_pushcfunction(L, include_file);
		lua_pushinteger(L, (lua_Integer)i);
		lua_pushvalue(L, 2);
		lua_pushvalue(L, 3);
		int status = kill_pcall(L, 3, 0, 0);
		if (reader->stopped || status == LUA_ERRMEM) {
			reader->stopped = true;
			return lua_error(L);
		}
		if (status != LUA_OK) {
			add_error(L, reader, status, reader->files[i]);
			reader->out->incomplete = true;
		}
	}
	reader->depth--;
	lua_pushvalue(L, 2);
	return 1;
}

/* ---- The state ---- */

static int unknown_name(lua_State *L)
{
	/* The name is not repeated: it may be a secret that lacks its quotes. */
	return luaL_error(L, "a name that is not known here; there are env, file, include and your own locals, and a text needs quotes");
}

static int no_assignment(lua_State *L)
{
	return luaL_error(L, "a global name is assigned; use local, and return the settings: return { servers = { … } }");
}

/* The globals are an empty table over a fixed one, so that a file can replace nothing for the next. */
static void set_globals(lua_State *L)
{
	static const luaL_Reg functions[] = { { "env", get_env }, { "file", get_file }, { "include", get_include }, { NULL, NULL } };
	lua_newtable(L);
	lua_newtable(L);
	luaL_newlib(L, functions);
	lua_newtable(L);
	lua_pushcfunction(L, unknown_name);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -2);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, no_assignment);
	lua_setfield(L, -2, "__newindex");
	lua_setmetatable(L, -2);
	lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

static int run_main(lua_State *L)
{
	set_globals(L);
	lua_sethook(L, count_steps, LUA_MASKCOUNT, HOOK_STEP);
	lua_pushcfunction(L, run_file);
	lua_pushinteger(L, 0);
	kill_call(L, 1, 1);
	return 1;
}

/* One run of the whole configuration, in a Lua state that may be killed. */
struct run {
	struct reader *reader;
	struct arena arena;
	lua_State *L;
	int status;
};

static void run_killable(void *arg)
{
	struct run *run = arg;
	lua_State *L = lua_newstate(arena_lua, &run->arena);
	if (!L)
		return;
	run->L = L;
	*(struct reader **)lua_getextraspace(L) = run->reader;
	/* The steps are counted by a hook of our own: what reaches these limits is in one instruction, or in the compiler. */
	deadline_begin(L, STUCK_SECONDS, STUCK_SECONDS);
	lua_pushcfunction(L, run_main);
	run->status = kill_pcall(L, 0, 1, 0);
}

static void read_all(struct run *run, const char *path)
{
	struct reader *reader = run->reader;
	struct faults *faults = reader->faults;

	if (!kill_run(run_killable, run)) {
		deadline_end_killed();
		faults_add(faults, "%s: runs too long; a configuration may take %d million steps and %d s", path,
		           (int)(READ_STEPS_MAX / 1000000), READ_SECONDS_MAX);
		reader->out->incomplete = true;
		return;
	}
	if (!run->L)
		faults_add(faults, "%s: no memory to read it", path);
	else if (run->status != LUA_OK)
		add_error(run->L, reader, run->status, path);
	else
		reader->out->incomplete |= !tree_copy(run->L, &reader->out->root, faults);
	deadline_end();
}

void reading_init(struct reading *reading, const char *path, const char *dir, struct faults *faults)
{
	*reading = (struct reading){ 0 };
	struct reader reader = { .out = reading, .faults = faults, .dir = dir, .cpu_start = cpu_now() };
	buf_init(&reader.source, READ_SOURCE_MAX + 8192);
	add_file(&reader, mem_strdup(path));

	struct err err;
	struct run run = { .reader = &reader };
	arena_init(&run.arena, READ_MEMORY_MAX, NULL);
	if (deadline_start(&err))
		faults_add(faults, "%s: %s", path, err.text);
	else
		read_all(&run, path);
	arena_close(&run.arena); /* with all that it held of secrets (P8) */
	for (size_t i = 0; i < reader.file_count; i++)
		free(reader.files[i]);
	free(reader.files);
	if (reader.source.data)
		explicit_bzero(reader.source.data, reader.source.cap);
	buf_close(&reader.source);
}

void reading_close(struct reading *reading)
{
	value_close(&reading->root);
	for (size_t i = 0; i < reading->secret_count; i++)
		mem_free_secret(&reading->secrets[i]);
	free(reading->secrets);
	*reading = (struct reading){ 0 };
}
