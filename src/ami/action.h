/* Actions on their way out: a list of headers, checked and serialised as Asterisk accepts them (Q30 .. Q34). */
#ifndef AMI_ACTION_H
#define AMI_ACTION_H

#include "base/buf.h"
#include "base/err.h"

#define ACTION_LINE_MAX 1022  /* Q30: "Key: value" without its line end */
#define ACTION_HEADERS_MAX 128 /* Q31, with Action and ActionID */
#define ACTION_ID_MAX 64       /* Q33 */
#define ACTION_NAME_MAX 47     /* of an action, where it is kept for logs and metrics: the longest that Asterisk has is 42 */
#define ACTION_VARIABLES_MAX 64 /* Q32: parts of one Variable line */

struct action_info;

/* Everything is held in one growing block; offsets, so that it may move. */
struct action {
	struct buf bytes; /* names and values behind one another */
	struct action_field {
		uint32_t name, value;
		uint16_t name_len;
		uint32_t value_len;
	} *fields; /* owned */
	uint32_t count, cap;
	uint32_t named;                 /* its Action header, from 1; 0: it has none yet */
	const struct action_info *info; /* what the catalogue knows of that name; NULL: nothing */
	const struct action_info *last; /* the same of the action that stood here before: mostly the next one is such a one again */
};

void action_init(struct action *action);
void action_close(struct action *action);
void action_clear(struct action *action);

/* Adds one header. -1 with ERR_INVALID for an empty name, a name with a byte outside Q06/Q32, a value with CR, LF or NUL,
 * a line over Q30, a header too many (Q31), a second Action, one whose name begins or ends with a blank or control byte, or the ActionID,
 * which is the engine's; ERR_BACKPRESSURE without memory. */
int action_add(struct action *action, struct slice name, struct slice value, struct err *err);
/* Adds the one `Variable` part `name=value` to the action's Variable lines: in the value a backslash goes before commas
 * (Q32) and before what else Asterisk's splitting would take away or hide commas with: backslashes, double quotes, and
 * opening brackets when one has no end. A new line is begun when the old one would pass Q30 or hold more than
 * ACTION_VARIABLES_MAX parts. -1 with ERR_INVALID as action_add, or when the name is empty, holds one of `=,"\` or
 * leaves a bracket open. */
int action_add_variable(struct action *action, struct slice name, struct slice value, struct err *err);
/* The first value of that header, case ignored (Q34); false when absent. */
bool action_get(const struct action *action, struct slice name, struct slice *value);
/* Its name, the Action header; empty when it has none. */
struct slice action_name(const struct action *action);
struct slice action_field_name(const struct action *action, uint32_t i);
struct slice action_field_value(const struct action *action, uint32_t i);

/* Appends `Action`, then ActionID (Q30: second, so that a later error still carries it), the other headers in order, and
 * the empty line. -1 with ERR_INVALID when there is no Action or it is empty; ERR_BACKPRESSURE when `out` is full
 * (nothing is appended then). `id` may be empty: no ActionID line. */
int action_write(const struct action *action, struct slice id, struct buf *out, struct err *err);

#endif
