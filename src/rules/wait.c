#include "rules/wait.h"

#include "rules/task.h"
#include "rules/timer.h"

void wait_begin(struct wait *wait, const struct wait_kind *kind, struct task *task)
{
	*wait = (struct wait){ .kind = kind, .task = task };
	task->wait = wait;
}

void wait_end(struct wait *wait)
{
	if (!wait->task)
		return;
	wait->task->wait = NULL;
	wait->task = NULL;
}

void wait_cancel(struct task *task)
{
	struct wait *wait = task->wait;

	if (task->limit)
		rule_timer_cancel(task->limit);
	if (!wait)
		return;
	wait_end(wait);
	wait->kind->cancel(wait);
}

bool wait_is_over(const struct task *task)
{
	return task->limit_passed || !task->wait || task->wait->kind->ready(task->wait);
}
