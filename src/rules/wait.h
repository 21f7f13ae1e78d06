/* What a task waits for: an action's answer, an event, a time, a commit. Each kind is an object of its own (a request, a
 * subscription, a timer …) with a struct wait in it. A task waits for one thing at a time, perhaps with a time limit.
 *
 * The order of things: the waiting function makes its object, calls wait_begin() and task_wait(). Whoever brings what was
 * waited for keeps it in the object, so that it is ready, and has the task resumed. The function's continuation finds the
 * object by its wait (the context of task_wait()), calls wait_end(), and makes Lua values of what came. */
#ifndef RULES_WAIT_H
#define RULES_WAIT_H

#include <stdbool.h>

#include "base/buf.h"

struct task;
struct wait;

struct wait_kind {
	/* What it waits for has come, or never will: the task may go on. */
	bool (*ready)(const struct wait *wait);
	/* Its task is gone: whoever brings something finds nobody. wait_end() was called. */
	void (*cancel)(struct wait *wait);
	/* Appends what it waits for, for operators: "the answer to Originate from pbx". */
	void (*describe)(const struct wait *wait, struct buf *out);
};

struct wait {
	const struct wait_kind *kind;
	struct task *task; /* NULL: nobody waits */
};

#define wait_entry(wait, type, member) ((type *)(void *)((char *)(wait) - offsetof(type, member)))
#define wait_entry_const(wait, type, member) ((const type *)(const void *)((const char *)(wait) - offsetof(type, member)))

/* `task` waits for nothing else. */
void wait_begin(struct wait *wait, const struct wait_kind *kind, struct task *task);
/* Parts the two; does nothing when nobody waits. */
void wait_end(struct wait *wait);
/* Takes the task away from what it waits for, and from its time limit. */
void wait_cancel(struct task *task);
/* True when the task may go on: it waits for nothing, what it waits for is there, or its time is over. */
bool wait_is_over(const struct task *task);

#endif
