/* The one table of all options, and what can be done with a value of each type. No Lua here.
 *
 * A path has the placeholder NAME where the operator chooses a name: `servers.NAME.timeouts.connect`. The section
 * `defaults` has the rows of `servers.NAME` without those marked OPTION_OWN.
 */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include "base/buf.h"
#include "config/config.h"

enum option_type {
	OPTION_TEXT,    /* char * */
	OPTION_INTEGER, /* int64_t, or what `width` says */
	OPTION_NUMBER,  /* double */
	OPTION_BOOLEAN, /* bool */
	OPTION_LIST,    /* struct config_list */
	OPTION_WORD,    /* char *, one of the choices */
	OPTION_ENUM,    /* an enum whose members number the choices */
	OPTION_TREE     /* struct value */
};

/* The struct that an option's offset counts in. */
enum option_scope { SCOPE_CONFIG, SCOPE_SERVER, SCOPE_SINK, SCOPE_POLICY, SCOPE_RULE, SCOPE_SOCKET, SCOPE_TOKEN, SCOPE_WEB_POLICY };

enum option_flags {
	OPTION_RESTART = 1,  /* cannot change while running */
	OPTION_REQUIRED = 2, /* has no default and must be given */
	OPTION_SECRET = 4,   /* its value is never shown (P8) */
	OPTION_OWN = 8,      /* a server's own: not in `defaults` */
	OPTION_BESIDE = 16,  /* a path; a relative one counts from the configuration file's folder */
	OPTION_HOME = 32,    /* a path; a relative one counts from home (see config.h, scripts) */
	OPTION_BESIDE_SESSION = 64 /* of a server; a change of it needs no new session */
};

struct option {
	const char *path;
	const char *unit;    /* "s", "bytes", … or NULL */
	const char *choices; /* OPTION_WORD, OPTION_ENUM: separated by spaces */
	const char *text;    /* default of a text, word or enum; of a list its items, separated by spaces; NULL: none */
	const char *help;
	/* What is wrong with a text (or an item of a list), or NULL; beyond what holds for every text. */
	const char *(*check)(struct slice text);
	double min, max;     /* both ends belong to the range */
	double number;       /* default of an integer, a number, a boolean */
	size_t offset;
	size_t width;        /* of an integer: 4 for uint32_t; else it has 8 bytes */
	enum option_type type;
	enum option_scope scope;
	unsigned flags;
};

extern const struct option options[];
extern const size_t option_count;

/* The option of exactly this path (placeholders written out), or NULL. */
const struct option *option_find(const char *path);
/* True when some option lies below `path`; the empty path is above all. */
bool option_is_section(const char *path);

/* Writes into `why` what is wrong with the value ("must be 1 to 65535, is 70000") and returns -1, or returns 0. Texts
 * are not quoted in it. */
int option_check(const struct option *option, const struct value *value, struct buf *why);
/* Stores a value that option_check() has passed, or the default when `value` is NULL, into the fresh struct `base`. */
void option_store(const struct option *option, const struct value *value, void *base);
/* Frees what the option's place in `base` owns; secrets are overwritten. */
void option_close(const struct option *option, void *base);
bool option_equal(const struct option *option, const void *a, const void *b);

/* Names that operators give to servers, sinks and rules: 1 to 64 of [A-Za-z0-9_.-]. */
bool option_name_ok(struct slice name);

#endif
