/* What a rule was made of: the texts of its file and modules, and its section of the settings. Kept in memory, so that a rule
 * can begin anew from what was checked, and so that a reload sees whether anything has changed. Immutable once the rule has
 * loaded, shared between threads, counted. */
#ifndef RULES_RULE_SOURCE_H
#define RULES_RULE_SOURCE_H

#include "base/err.h"
#include "base/faults.h"
#include "base/map.h"
#include "base/value.h"

#define SOURCE_FILE_MAX (1024 * 1024) /* bytes of one file */

/* One file, or that there is none of this name. Shared by all rules of one load. */
struct source_text;

/* Reads files once for all rules of a load. One thread. */
struct rule_source_cache {
	struct map texts; /* path -> struct source_text, held */
};
void rule_source_cache_init(struct rule_source_cache *cache);
void rule_source_cache_close(struct rule_source_cache *cache);

struct rule_source;

/* `name` "missed", `file` "scripts/missed.lua" as error texts show it, `path` where it is. */
struct rule_source *rule_source_create(const char *name, const char *file, const char *path);
struct rule_source *rule_source_ref(struct rule_source *source);
void rule_source_unref(struct rule_source **source);
const char *rule_source_name(const struct rule_source *source);
const char *rule_source_file(const struct rule_source *source);
const char *rule_source_path(const struct rule_source *source);
/* SHA-256 of the rule's own file, hex; "" before it was read. */
const char *rule_source_digest(const struct rule_source *source);

/* The text at `path`, noted as one that the rule depends on. `cache` NULL: only what was noted before is found. 0 and `*found`
 * false when there is no such file; -1 with `err` (without the path) when it cannot be read. The text stays the source's. */
int rule_source_read(struct rule_source *source, struct rule_source_cache *cache, const char *path, bool *found, struct slice *text,
                struct err *err);
/* The section `name` of `settings` (NULL: only what was noted before), noted; NULL when there is none. */
const struct value *rule_source_settings(struct rule_source *source, const struct value *settings, const char *name);
/* Whether settings() was called for that name. */
bool rule_source_has_section(const struct rule_source *source, const char *name);
/* Whether there is a file at `path` among those that it depends on. */
bool rule_source_has_file(const struct rule_source *source, const char *path);
/* Notes that the rule has opened that sink. */
void rule_source_add_sink(struct rule_source *source, struct slice name);
bool rule_source_next_sink(const struct rule_source *source, size_t *cursor, struct slice *name);
/* Notes that the rule has opened that store while it was loaded, and whether it is persistent. */
void rule_source_add_store(struct rule_source *source, struct slice name, bool persistent);
bool rule_source_next_store(const struct rule_source *source, size_t *cursor, struct slice *name, bool *persistent);
/* Notes that the rule serves that queue of jobs. */
void rule_source_add_queue(struct rule_source *source, struct slice name);
bool rule_source_serves(const struct rule_source *source, struct slice queue);
bool rule_source_next_queue(const struct rule_source *source, size_t *cursor, struct slice *name);
/* An endpoint that the rule serves, and what it asks of its clients. */
struct source_hook {
	char *key;                      /* "POST /hooks/dial" */
	char *token;                    /* its label; NULL: any */
	char *header, *secret, *prefix; /* of its signature; NULL: it asks for a token */
	char *where;                    /* "scripts/dial.lua:3" */
};
/* Notes it, with `where` for its own; everything is copied. */
void rule_source_add_hook(struct rule_source *source, const struct source_hook *hook, const char *where);
/* Borrowed from the source; NULL: there is none. */
const struct source_hook *rule_source_hook(const struct rule_source *source, struct slice key);
bool rule_source_has_hook(const struct rule_source *source, struct slice key);
bool rule_source_next_hook(const struct rule_source *source, size_t *cursor, struct slice *key);
/* Of the endpoints for one token: its label, and where the rule says so. */
bool rule_source_next_token(const struct rule_source *source, size_t *cursor, const char **token, const char **where);
/* Notes that the rule has asked, while it was loaded, which servers there are. */
void rule_source_note_servers(struct rule_source *source, const char *const *names, size_t count);
/* Notes the warnings among the faults from number `from` on; a rule that is kept gives them again. */
void rule_source_note_warnings(struct rule_source *source, const struct faults *faults, size_t from);
void rule_source_warn_again(const struct rule_source *source, struct faults *faults);

/* What a rule may depend on beside its files. */
struct rule_source_world {
	const struct value *settings;
	const char *const *servers;
	size_t server_count;
};
/* Whether every file and section that it depends on is as it was noted. Reads files through `cache`. */
bool rule_source_is_current(const struct rule_source *source, struct rule_source_cache *cache, const struct rule_source_world *world);

#endif
