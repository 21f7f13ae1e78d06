/* Endpoints that rules serve over HTTP (`web.on`): which rule serves which, and what becomes of each request. Who brings the requests (web/, the
 * harness) gets exactly one answer for each, or forgets it.
 *
 *   host_hook_begin() --> waits for the next turn --> a task of the rule --+--returns--> its answer
 *                              |                                           +--fails, is killed--> 500
 *                              +--no rule serves it now--> 503             +--is closed or dropped--> 503
 */
#ifndef RULES_HOOKS_H
#define RULES_HOOKS_H

#include "base/buf.h"
#include "rules/task.h"

/* One endpoint of a rule. */
struct hook {
	struct list of_rule; /* rule->hooks */
	struct list in_host; /* host->hooks, while it takes requests */
	struct rule *rule;
	char *key;           /* "POST /hooks/dial" */
	char *token;         /* the label that a token must have; NULL: any with the scope hooks */
	struct {
		char *header, *secret, *prefix; /* NULL: it asks for a token; prefix: "" when there is none */
	} hmac;
	bool json;           /* it takes JSON objects only */
	int fn;              /* registry */
};

struct hook_call {
	struct list in_host;  /* host->hook_calls until it has begun, then rule->hook_calls */
	struct task *task;    /* NULL: it has not begun */
	char *key;            /* owned */
	struct value request; /* owned */
	char id[20];          /* for logs and for the client of one that fails */
	struct host_hook_answer answer;
	struct buf body, headers; /* of the answer */
	bool answered;            /* the function has returned one */
	host_hook_done_fn *done;  /* NULL: forgotten */
	void *ctx;
};

/* While the rule loads. Takes over `hook`, which is zeroed but for its texts and fn. False when memory is refused: it is freed. */
bool hook_add(struct rule *rule, struct hook *hook);
void hook_free(struct hook *hook);
/* The rule goes live; is replaced; is parted from the host: what it has begun is answered with 503. */
void hooks_arm(struct rule *rule);
void hooks_quit(struct rule *rule);
void hooks_detach(struct rule *rule);
/* Its endpoints, with its memory. */
void hooks_free(struct rule *rule);
/* In every turn: begins what waits. False when some must wait for the next turn. */
bool hooks_turn(struct host *host);
/* The host ends: nobody is answered. */
void hooks_drop(struct host *host);

/* The task that served a request has ended, task->outcome says how; it is closed or dropped. */
void hook_ended(struct task *task);
void hook_released(struct task *task);

#endif
