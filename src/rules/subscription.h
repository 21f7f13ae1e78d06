/* A bounded queue of events between dispatch and a task that calls `next`. */
#ifndef RULES_SUBSCRIPTION_H
#define RULES_SUBSCRIPTION_H

#include "rules/listener.h"

/* An event for it: wakes the task that waits, or is kept; beyond the bound it ends as `overflow`. */
void subscription_take(struct subscription *subscription, const struct heard *heard);
/* No more events; `next` gives what is kept, then this error. */
void subscription_end(struct subscription *subscription, enum err_code code, const char *text);
void subscription_listener_gone(struct subscription *subscription);
/* Ends every subscription of the rule that hears only that server. */
void subscription_server_lost(struct rule *rule, const char *server);
/* The rule's state is dropped next. */
void subscriptions_free_all(struct rule *rule);

#endif
