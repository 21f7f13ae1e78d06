/* The console's commands, as people read about them: the same text from a daemon and from a `ctl` that has none. */
#ifndef CONTROL_COMMANDS_H
#define CONTROL_COMMANDS_H

#include "base/buf.h"

/* All of them, a name with its arguments and what it does. */
void commands_list(struct buf *out);
/* Usage and details of one. False when there is none of that name. */
bool commands_explain(const char *name, struct buf *out);
/* The name that a mistyped one was probably meant to be, or NULL. */
const char *commands_nearest(const char *name);

#endif
