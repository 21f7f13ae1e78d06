/* Interned texts of one server: equal texts are one pointer. A name is counted: each who keeps it holds a reference. */
#ifndef LIVE_NAMES_H
#define LIVE_NAMES_H

#include "base/slice.h"

struct live_object;
struct live_channel;

struct live_name {
	uint32_t refs;
	uint32_t hash;
	uint32_t len;
	uint16_t recent;              /* how often it stands among the channels that hung up a moment ago */
	bool idle;                    /* it stands in `idle` */
	struct live_object *objects;  /* that bear it as their key; each kind at most once */
	struct live_channel *channel; /* whose name (not uniqueid) it is */
	char text[];                  /* with a NUL behind it */
};

/* Texts that nobody keeps any more stay for a while: the next call has most of them again (accounts, contexts, applications). */
#define LIVE_IDLE 64

struct live_names {
	struct live_name **slots; /* power of two, open addressing, load <= 3/4 */
	uint32_t cap, count;
	uint32_t unused;          /* of them nobody keeps */
	uint32_t idle_at;
	struct live_name *idle[LIVE_IDLE]; /* a ring of those that were dropped last; some are kept again */
};

static inline struct slice live_name_text(const struct live_name *name)
{
	return name ? slice_make(name->text, name->len) : slice_make("", 0);
}

/* One reference more. */
static inline struct live_name *live_names_keep(struct live_name *name)
{
	if (name)
		name->refs++;
	return name;
}

/* The name of that text, made if there is none; a reference for the caller. Longer texts are cut to LIVE_TEXT_MAX; NULL for
 * an empty one. */
struct live_name *live_names_intern(struct live_names *names, struct slice text);
/* Without a reference; NULL when nobody has it. */
struct live_name *live_names_find(const struct live_names *names, struct slice text);
/* Nobody keeps it any more. */
void live_names_release(struct live_names *names, struct live_name *name);
/* Drops a reference and clears the caller's pointer. NULL is ignored. */
static inline void live_names_drop(struct live_names *names, struct live_name **name)
{
	struct live_name *old = *name;
	*name = NULL;
	if (old && --old->refs == 0)
		live_names_release(names, old);
}
/* live_names_set() of another text. */
bool live_names_change(struct live_names *names, struct live_name **field, struct slice text);
/* `*field` becomes `text` (NULL when that is empty). True when it was something else. */
static inline bool live_names_set(struct live_names *names, struct live_name **field, struct slice text)
{
	return !slice_eq_short(live_name_text(*field), text) && live_names_change(names, field, text);
}
void live_names_close(struct live_names *names);

#endif
