#include "rules/commit.h"

#include <stdlib.h>

#include "base/mem.h"

struct commit {
	struct wait wait;
	const char *what;
	bool done;
	struct err err; /* once it is done */
};

static bool is_done(const struct wait *wait)
{
	return wait_entry_const(wait, struct commit, wait)->done;
}

static void cancel(struct wait *wait)
{
	struct commit *commit = wait_entry(wait, struct commit, wait);
	if (commit->done) /* else the answer frees it */
		free(commit);
}

static void describe(const struct wait *wait, struct buf *out)
{
	buf_append_cstr(out, wait_entry_const(wait, struct commit, wait)->what);
}

static const struct wait_kind commit_kind = { is_done, cancel, describe };

struct commit *commit_create(const char *what)
{
	struct commit *commit = mem_zalloc(sizeof *commit);
	commit->what = what;
	return commit;
}

void commit_discard(struct commit **commit)
{
	free(*commit);
	*commit = NULL;
}

void commit_answered(void *arg, int64_t id, const struct err *err)
{
	struct commit *commit = arg;
	(void)id;
	if (!commit->wait.task) {
		free(commit);
		return;
	}
	commit->done = true;
	if (err)
		commit->err = *err;
	task_wake_later(commit->wait.task);
}

void commit_await(struct commit *commit, struct task *task)
{
	wait_begin(&commit->wait, &commit_kind, task);
}

int commit_end(struct wait *wait, struct err *err)
{
	struct commit *commit = wait_entry(wait, struct commit, wait);
	int rc = commit->err.code == ERR_NONE ? 0 : -1;
	*err = commit->err;
	wait_end(wait);
	free(commit);
	return rc;
}
