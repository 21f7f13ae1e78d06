/* The headers of a frame or an action, as they may be shown: secrets masked by name, also where the name stands in another
 * header (P8). What known values and patterns mask in any text is left to whoever shows the value. */
#ifndef ENGINE_HEADERS_H
#define ENGINE_HEADERS_H

#include "ami/action.h"
#include "ami/message.h"

/* One of the two. */
struct headers {
	const struct message *message;
	const struct action *action;
};

uint32_t headers_count(const struct headers *headers);
/* Empty for a line without a colon, the whole line being the value. */
struct slice headers_name(const struct headers *headers, uint32_t i);
/* As it came: nothing is masked. */
struct slice headers_value(const struct headers *headers, uint32_t i);
/* The value, or the mask. */
struct slice headers_masked(const struct headers *headers, uint32_t i);
/* A header of that name, case ignored, has a value that the pattern (`*` and `?`) matches. */
bool headers_match(const struct headers *headers, struct slice name, struct slice pattern);

/* What the headers before say about the next ones, for bytes that come line by line. Zeroed where a frame begins. */
struct header_context {
	bool database; /* a frame of Asterisk's database: its Key is the name of an entry */
	bool named;    /* a Variable, Family or Key was the name of a secret, so Value or Val is one */
};

/* True for the name of an entry in a frame of Asterisk's database, which people look for; unless the configuration hides it. */
bool header_is_entry(const struct header_context *context, struct slice name);
/* True when the value may not be shown: the name is a secret's; it is a list of variables of which one is; or it is the value
 * of the variable or the database entry that headers before have named. */
bool header_is_secret(struct header_context *context, struct slice name, struct slice value);

#endif
