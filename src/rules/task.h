/* A task is one activity of a rule: a listener's call, a callback, a timer's tick, the loading of a file. It runs in a
 * coroutine of its own, which begins with a C body around lua_pcallk; arguments are pushed inside it, so nothing can raise
 * outside of a protected call. A task that waits (rules/wait.h) yields with nothing; what it waited for is kept before it is
 * resumed, and the waiting function's continuation makes Lua values of it, protected again.
 */
#ifndef RULES_TASK_H
#define RULES_TASK_H

#include "ami/pending.h"
#include "rules/rule.h"
#include "rules/wait.h"

#define TASK_EVENT_MAX 48

struct hook_call;
struct job_try;
struct listener;
struct own_thread;
struct rule_timer;

/* Pushes the function and its arguments on `co` and returns the number of arguments. RAISES. */
typedef int task_push_fn(lua_State *co, struct task *task, void *arg);

struct task {
	struct list of_rule; /* in rule->tasks while it waits, else alone */
	struct list in_queue; /* host->wakes, or the rule's pool */
	struct rule *rule;
	struct listener *listener; /* NULL: no listener's call */
	lua_State *co;
	int ref;              /* of the coroutine in the registry */
	bool waiting;
	bool suspending;      /* a waiting function yields just now, not the rule's own coroutine.yield */
	bool dead;            /* its coroutine failed and is never used again */
	unsigned closing;     /* coroutines that are being closed in it, one out of the other */
	struct own_thread *inner; /* the rule's own coroutine that runs or waits in it, the innermost; NULL: none */
	task_push_fn *push;
	void *push_arg;
	enum outcome outcome; /* of the body */
	char event[TASK_EVENT_MAX]; /* what started it, for the error record */
	const char *what;     /* "listener", "callback", "http callback", "timer", "job", "endpoint", "load" */
	char server[RULE_NAME_MAX + 1];
	char action_id[ACTION_ID_MAX + 1]; /* of a callback, whose action stands in `event`; of a job, whose queue does */
	struct wait *wait;        /* what it waits for; NULL: nothing */
	struct rule_timer *limit; /* for how long; NULL: without a limit, or it has passed */
	bool limit_passed;
	struct hook_call *hook;   /* the request over HTTP that it serves */
	struct job_try *job;      /* the job that it runs */
	struct rule_timer *tick_of; /* the interval whose tick it is: no next one while it waits */
	struct reply *reply;      /* the answer that a callback is called with */
	struct http_response *response; /* the same of a request of `http` */
};

/* One from the pool or new; NULL when memory is refused (counted as the rule's failure). */
struct task *task_take(struct rule *rule, const char *what);
/* What a record calls that which is in task->event, and in task->action_id. */
const char *task_event_name(const struct task *task);
const char *task_id_name(const struct task *task);
/* Runs `push` and then the function. Returns true when the task has ended (it is back in the pool then), false when it waits, or
 * when its rule was killed: then nothing of that rule runs any more, and all of it stays where it is until host_turn() ends. */
bool task_start(struct task *task, task_push_fn *push, void *arg);
/* Goes on after a wait, when that is over (wait_is_over()). Returns as task_start() does. */
bool task_resume(struct task *task);
/* Wakes it in the next turn. */
void task_wake_later(struct task *task);
/* Ends a waiting task without resuming it: its to-be-closed variables run. */
void task_close(struct task *task);
/* Ends a waiting task without running any more of its code. */
void task_drop(struct task *task);
/* Frees those that are kept for the next calls. */
void task_free_idle(struct rule *rule);
/* Frees all tasks of the rule; its Lua state is dropped next. */
void task_free_all(struct rule *rule);
/* Suspends the running task, which has begun to wait; `k` is called with the task's wait as its context when it goes on. After
 * task_check_wait(): nothing is raised here. */
int task_wait(lua_State *L, lua_KFunction k);
/* RAISES when this place cannot wait (`what` names it). */
void task_check_wait(lua_State *L, const char *what) RAISES;
/* Raises "… is not possible while the rules are loading" or, where `drains` is set, while they drain. */
void task_check_live(lua_State *L, const char *what, bool drains) RAISES;

/* A coroutine that a rule made (api/coroutine.c). Its Lua thread is kept by whoever resumes it. */
struct own_thread {
	lua_State *co;
	struct rule *rule;
	struct own_thread *parent; /* who resumed it, while it runs or waits; NULL: the task itself */
	enum { THREAD_READY, THREAD_RUNNING, THREAD_YIELDED, THREAD_DEAD } state;
};
/* Its end: what is dead does not count any more, even if it is still held. */
void task_thread_ended(struct own_thread *thread);

#endif
