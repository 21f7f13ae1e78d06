/* An action of a rule on its way: the tag of its reply. */
#ifndef RULES_REQUEST_H
#define RULES_REQUEST_H

#include "rules/task.h"

struct request {
	struct list of_rule;
	struct rule *rule;   /* NULL once it is gone */
	struct task *task;   /* who waits in call(), or NULL */
	int callback;        /* of send(), LUA_NOREF: none */
	uint32_t server;
	bool charged;        /* to its rule's memory */
	char server_name[RULE_NAME_MAX + 1];
};

struct request *request_create(struct rule *rule, uint32_t server, const char *server_name);
void request_free(struct request *request);
/* Its answer goes to nobody. */
void request_forget(struct request *request);
/* Its rule is being dropped: the reply, when it comes, finds nobody. */
void request_orphan(struct request *request);
/* It has ended: resumes the task or calls the callback. Takes over both. */
void request_complete(struct request *request, struct reply *reply);
/* Ends its callback as `cancelled`; the action itself goes on. */
void request_cancel(struct request *request);

#endif
