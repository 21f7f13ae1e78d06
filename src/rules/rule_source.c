#include "rules/rule_source.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

struct source_text {
	atomic_uint holders;
	bool found;
	struct err err; /* code ERR_NONE: it was read, or is not there */
	struct buf text;
	char digest[65];
};

struct source_entry {
	char *path;
	struct source_text *text; /* held */
};

struct source_store {
	char *name;
	bool persistent;
};

struct rule_source {
	atomic_uint holders;
	char *name, *file, *path;
	struct source_entry *files;
	size_t file_count;
	struct value sections; /* table: name -> section, false where there was none */
	char **sinks;
	size_t sink_count;
	struct source_store *stores;
	size_t store_count;
	char **queues;
	size_t queue_count;
	struct source_hook *hooks;
	size_t hook_count;
	char **warnings;
	size_t warning_count;
	char servers[65]; /* digest of their names; "": it did not ask */
};

/* ---- texts ---- */

static void digest_hex(struct slice text, char out[65])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (!EVP_Digest(text.ptr, text.len, sum, &len, EVP_sha256(), NULL))
		len = 0;
	out[0] = '\0';
	for (unsigned i = 0; i < len && i < 32; i++)
		snprintf(out + 2 * (size_t)i, 3, "%02x", sum[i]);
}

static int read_all(int fd, struct buf *out, struct err *err)
{
	for (;;) {
		char *to = buf_reserve(out, 8192);
		ssize_t n = to ? read(fd, to, 8192) : -1;
		if (!to)
			return err_set(err, ERR_OVERFLOW, "is larger than %d bytes", SOURCE_FILE_MAX);
		if (n == -1)
			return err_system(err, "cannot be read");
		if (n == 0)
			return 0;
		buf_commit(out, (size_t)n);
	}
}

/* Regular files only, and no links: what a link points to may change unseen. */
static void read_text(struct source_text *t, const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

	if (fd == -1 && (errno == ENOENT || errno == ENOTDIR))
		return;
	t->found = true;
	if (fd == -1) {
		if (errno == ELOOP)
			err_set(&t->err, ERR_INVALID, "is a symbolic link; rules are read from regular files only");
		else
			err_system(&t->err, "cannot be opened");
		return;
	}
	if (fstat(fd, &st) == -1)
		err_system(&t->err, "cannot be read");
	else if (!S_ISREG(st.st_mode))
		err_set(&t->err, ERR_INVALID, "is no regular file");
	else if (read_all(fd, &t->text, &t->err) == 0)
		digest_hex(buf_slice(&t->text), t->digest);
	close(fd);
}

static void text_unref(struct source_text *t)
{
	if (atomic_fetch_sub(&t->holders, 1) > 1)
		return;
	buf_close(&t->text);
	free(t);
}

void rule_source_cache_init(struct rule_source_cache *cache)
{
	map_init(&cache->texts, false);
}

void rule_source_cache_close(struct rule_source_cache *cache)
{
	struct map_entry *e;
	for (size_t i = 0; (e = map_next(&cache->texts, &i));)
		text_unref(e->value);
	map_close(&cache->texts);
}

static struct source_text *cached(struct rule_source_cache *cache, const char *path)
{
	struct source_text *t = map_get(&cache->texts, slice_cstr(path));
	if (t)
		return t;
	t = mem_zalloc(sizeof *t);
	atomic_init(&t->holders, 1);
	buf_init(&t->text, SOURCE_FILE_MAX);
	read_text(t, path);
	map_set(&cache->texts, slice_cstr(path), t);
	return t;
}

/* ---- sources ---- */

struct rule_source *rule_source_create(const char *name, const char *file, const char *path)
{
	struct rule_source *s = mem_zalloc(sizeof *s);
	atomic_init(&s->holders, 1);
	s->name = mem_strdup(name);
	s->file = mem_strdup(file);
	s->path = mem_strdup(path);
	s->sections = (struct value){ .type = VALUE_TABLE };
	return s;
}

struct rule_source *rule_source_ref(struct rule_source *source)
{
	atomic_fetch_add(&source->holders, 1);
	return source;
}

void rule_source_unref(struct rule_source **source)
{
	struct rule_source *s = *source;
	*source = NULL;
	if (!s || atomic_fetch_sub(&s->holders, 1) > 1)
		return;
	for (size_t i = 0; i < s->file_count; i++) {
		free(s->files[i].path);
		text_unref(s->files[i].text);
	}
	for (size_t i = 0; i < s->sink_count; i++)
		free(s->sinks[i]);
	free(s->sinks);
	for (size_t i = 0; i < s->store_count; i++)
		free(s->stores[i].name);
	free(s->stores);
	for (size_t i = 0; i < s->queue_count; i++)
		free(s->queues[i]);
	free(s->queues);
	for (size_t i = 0; i < s->hook_count; i++) {
		free(s->hooks[i].key);
		free(s->hooks[i].token);
		free(s->hooks[i].header);
		mem_free_secret(&s->hooks[i].secret);
		free(s->hooks[i].prefix);
		free(s->hooks[i].where);
	}
	free(s->hooks);
	for (size_t i = 0; i < s->warning_count; i++)
		free(s->warnings[i]);
	free(s->warnings);
	free(s->files);
	value_close(&s->sections);
	free(s->name);
	free(s->file);
	free(s->path);
	free(s);
}

const char *rule_source_name(const struct rule_source *source)
{
	return source->name;
}

const char *rule_source_file(const struct rule_source *source)
{
	return source->file;
}

const char *rule_source_path(const struct rule_source *source)
{
	return source->path;
}

static struct source_text *noted(const struct rule_source *s, const char *path)
{
	for (size_t i = 0; i < s->file_count; i++)
		if (strcmp(s->files[i].path, path) == 0)
			return s->files[i].text;
	return NULL;
}

const char *rule_source_digest(const struct rule_source *source)
{
	const struct source_text *t = noted(source, source->path);
	return t ? t->digest : "";
}

int rule_source_read(struct rule_source *s, struct rule_source_cache *cache, const char *path, bool *found, struct slice *text,
                struct err *err)
{
	struct source_text *t = noted(s, path);

	*found = false;
	if (!t && cache) {
		t = cached(cache, path);
		atomic_fetch_add(&t->holders, 1);
		s->files = mem_realloc(s->files, s->file_count + 1, sizeof *s->files);
		s->files[s->file_count++] = (struct source_entry){ .path = mem_strdup(path), .text = t };
	}
	if (!t || !t->found)
		return 0;
	*found = true;
	if (t->err.code != ERR_NONE)
		return err_set(err, t->err.code, "%s", t->err.text);
	*text = buf_slice(&t->text);
	return 0;
}

const struct value *rule_source_settings(struct rule_source *s, const struct value *settings, const char *name)
{
	static const struct value none = { .type = VALUE_BOOL };
	const struct value *section = value_get(&s->sections, slice_cstr(name));

	if (!section && settings) {
		const struct value *given = value_get(settings, slice_cstr(name));
		value_add(&s->sections, value_text(slice_cstr(name)), value_copy(given ? given : &none));
		section = value_get(&s->sections, slice_cstr(name));
	}
	return section && section->type == VALUE_TABLE ? section : NULL;
}

bool rule_source_has_section(const struct rule_source *source, const char *name)
{
	return value_get(&source->sections, slice_cstr(name)) != NULL;
}

bool rule_source_has_file(const struct rule_source *source, const char *path)
{
	const struct source_text *t = noted(source, path);
	return t && t->found;
}

void rule_source_add_sink(struct rule_source *s, struct slice name)
{
	for (size_t i = 0; i < s->sink_count; i++)
		if (slice_eq(slice_cstr(s->sinks[i]), name))
			return;
	s->sinks = mem_realloc(s->sinks, s->sink_count + 1, sizeof *s->sinks);
	s->sinks[s->sink_count++] = mem_slicedup(name);
}

void rule_source_add_store(struct rule_source *s, struct slice name, bool persistent)
{
	for (size_t i = 0; i < s->store_count; i++)
		if (slice_eq(slice_cstr(s->stores[i].name), name) && s->stores[i].persistent == persistent)
			return;
	s->stores = mem_realloc(s->stores, s->store_count + 1, sizeof *s->stores);
	s->stores[s->store_count++] = (struct source_store){ mem_slicedup(name), persistent };
}

bool rule_source_next_store(const struct rule_source *s, size_t *cursor, struct slice *name, bool *persistent)
{
	if (*cursor >= s->store_count)
		return false;
	*name = slice_cstr(s->stores[*cursor].name);
	*persistent = s->stores[(*cursor)++].persistent;
	return true;
}

void rule_source_add_queue(struct rule_source *s, struct slice name)
{
	if (rule_source_serves(s, name))
		return;
	s->queues = mem_realloc(s->queues, s->queue_count + 1, sizeof *s->queues);
	s->queues[s->queue_count++] = mem_slicedup(name);
}

bool rule_source_serves(const struct rule_source *s, struct slice queue)
{
	for (size_t i = 0; i < s->queue_count; i++)
		if (slice_eq(slice_cstr(s->queues[i]), queue))
			return true;
	return false;
}

bool rule_source_next_queue(const struct rule_source *s, size_t *cursor, struct slice *name)
{
	if (*cursor >= s->queue_count)
		return false;
	*name = slice_cstr(s->queues[(*cursor)++]);
	return true;
}

static char *copy_of(const char *text)
{
	return text ? mem_strdup(text) : NULL;
}

void rule_source_add_hook(struct rule_source *s, const struct source_hook *hook, const char *where)
{
	if (rule_source_has_hook(s, slice_cstr(hook->key)))
		return;
	s->hooks = mem_realloc(s->hooks, s->hook_count + 1, sizeof *s->hooks);
	s->hooks[s->hook_count++] = (struct source_hook){ .key = mem_strdup(hook->key), .token = copy_of(hook->token), .header = copy_of(hook->header),
	                                                  .secret = copy_of(hook->secret), .prefix = copy_of(hook->prefix), .where = mem_strdup(where) };
}

const struct source_hook *rule_source_hook(const struct rule_source *s, struct slice key)
{
	for (size_t i = 0; i < s->hook_count; i++)
		if (slice_eq(slice_cstr(s->hooks[i].key), key))
			return &s->hooks[i];
	return NULL;
}

bool rule_source_has_hook(const struct rule_source *s, struct slice key)
{
	return rule_source_hook(s, key) != NULL;
}

bool rule_source_next_hook(const struct rule_source *s, size_t *cursor, struct slice *key)
{
	if (*cursor >= s->hook_count)
		return false;
	*key = slice_cstr(s->hooks[(*cursor)++].key);
	return true;
}

bool rule_source_next_token(const struct rule_source *s, size_t *cursor, const char **token, const char **where)
{
	while (*cursor < s->hook_count && !s->hooks[*cursor].token)
		(*cursor)++;
	if (*cursor == s->hook_count)
		return false;
	*token = s->hooks[*cursor].token;
	*where = s->hooks[(*cursor)++].where;
	return true;
}

bool rule_source_next_sink(const struct rule_source *s, size_t *cursor, struct slice *name)
{
	if (*cursor >= s->sink_count)
		return false;
	*name = slice_cstr(s->sinks[(*cursor)++]);
	return true;
}

static void digest_names(const char *const *names, size_t count, char out[65])
{
	struct buf all;
	buf_init(&all, 0);
	for (size_t i = 0; i < count; i++)
		buf_append(&all, slice_make(names[i], strlen(names[i]) + 1));
	digest_hex(buf_slice(&all), out);
	buf_close(&all);
}

void rule_source_note_servers(struct rule_source *s, const char *const *names, size_t count)
{
	if (s->servers[0] == '\0')
		digest_names(names, count, s->servers);
}

void rule_source_note_warnings(struct rule_source *s, const struct faults *faults, size_t from)
{
	static const struct slice warning = { "warning: ", 9 };
	for (size_t i = from; i < faults->count; i++) {
		if (!slice_starts_with(slice_cstr(faults->lines[i]), warning))
			continue;
		s->warnings = mem_realloc(s->warnings, s->warning_count + 1, sizeof *s->warnings);
		s->warnings[s->warning_count++] = mem_strdup(faults->lines[i] + warning.len);
	}
}

void rule_source_warn_again(const struct rule_source *s, struct faults *faults)
{
	for (size_t i = 0; i < s->warning_count; i++)
		faults_warn(faults, "%s", s->warnings[i]);
}

static bool same_text(const struct source_text *a, const struct source_text *b)
{
	return a->found == b->found && a->err.code == ERR_NONE && b->err.code == ERR_NONE && strcmp(a->digest, b->digest) == 0;
}

static bool same_servers(const struct rule_source *s, const struct rule_source_world *world)
{
	char now[65];
	if (s->servers[0] == '\0')
		return true;
	digest_names(world->servers, world->server_count, now);
	return strcmp(now, s->servers) == 0;
}

bool rule_source_is_current(const struct rule_source *s, struct rule_source_cache *cache, const struct rule_source_world *world)
{
	if (!same_servers(s, world))
		return false;
	for (size_t i = 0; i < s->file_count; i++)
		if (!same_text(s->files[i].text, cached(cache, s->files[i].path)))
			return false;
	for (size_t i = 0; i < s->sections.table.count; i++) {
		const struct value_pair *pair = &s->sections.table.pairs[i];
		const struct value *now = world->settings ? value_get(world->settings, slice_cstr(pair->key.text.bytes)) : NULL;
		if (now && now->type != VALUE_TABLE)
			now = NULL;
		if (now ? !value_equal(now, &pair->value) : pair->value.type == VALUE_TABLE)
			return false;
	}
	return true;
}
