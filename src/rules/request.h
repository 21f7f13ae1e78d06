/* An action of a rule on its way: the tag of its reply. */
#ifndef RULES_REQUEST_H
#define RULES_REQUEST_H

#include "rules/task.h"

struct request {
	struct list of_rule;
	struct rule *rule;   /* NULL once it is gone */
	struct wait answer;  /* who waits in call() */
	struct reply *reply; /* that came for it; owned */
	int callback;        /* of send(), LUA_NOREF: none */
	uint32_t server;
	bool pending;        /* sent, and counted among its rule's pending actions */
	bool charged;        /* to its rule's memory */
	char action[ACTION_NAME_MAX + 1];
	char server_name[RULE_NAME_MAX + 1];
};

/* `action`: its name, cut to fit. It is pending from here on. */
struct request *request_create(struct rule *rule, uint32_t server, const char *server_name, struct slice action);
void request_free(struct request *request);
/* The task begins to wait for its answer. */
void request_await(struct request *request, struct task *task);
/* It was not sent: the task waits for this reply until the next turn. Takes over `reply`. */
void request_refuse(struct rule *rule, struct task *task, uint32_t server, const char *server_name, struct reply *reply);
/* The answer that its task waited for, for the continuation; the request is gone. */
struct reply *request_take_reply(struct wait *answer);
/* Its answer goes to nobody. */
void request_forget(struct request *request);
/* Its rule is being dropped: the reply, when it comes, finds nobody. */
void request_orphan(struct request *request);
/* It has ended: resumes the task or calls the callback. Takes over both. */
void request_complete(struct request *request, struct reply *reply);
/* Ends its callback as `cancelled`; the action itself goes on. */
void request_cancel(struct request *request);

#endif
