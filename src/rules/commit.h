/* Waiting until something is on disk. */
#ifndef RULES_COMMIT_H
#define RULES_COMMIT_H

#include "rules/task.h"

struct commit;

/* `what` is static, for operators: "a store, to be on disk". */
struct commit *commit_create(const char *what);
/* When nothing was asked for: commit_answered() will not come. */
void commit_discard(struct commit **commit);
/* A persist_fn, with the commit as its argument. */
void commit_answered(void *commit, int64_t id, const struct err *err);
/* The task begins to wait for it. */
void commit_await(struct commit *commit, struct task *task);
/* For the continuation: 0, or -1 with `err`. The commit is gone. */
int commit_end(struct wait *wait, struct err *err);

#endif
