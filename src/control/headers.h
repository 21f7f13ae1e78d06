/* The headers of a frame or an action, as they may be shown: secrets masked by name and by value, also inside Variable (P8). */
#ifndef CONTROL_HEADERS_H
#define CONTROL_HEADERS_H

#include "ami/action.h"
#include "ami/message.h"
#include "base/buf.h"

struct writer;

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
/* A header of that name, case ignored, has a value that the pattern (`*` and `?`) matches. */
bool headers_match(const struct headers *headers, struct slice name, struct slice pattern);

/* The name is a secret's, or it is a list of variables of which one is. */
bool header_is_secret(struct slice name, struct slice value);
/* Appends the value masked and cleaned as by text_clean(). */
void headers_value_text(const struct headers *headers, uint32_t i, struct buf *out);
/* An object of all headers; a repeated one has a list. */
void headers_json(const struct headers *headers, struct writer *writer, const char *key);

#endif
