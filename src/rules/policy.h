/* Which rule may send which action. Pure: no Lua. */
#ifndef RULES_POLICY_H
#define RULES_POLICY_H

#include "ami/action.h"

struct policy;

struct policy *policy_create(void);
/* One more holder; policies are shared by rules, also of different threads. Returns it. */
struct policy *policy_ref(struct policy *policy);
/* One holder less; the last one frees it. */
void policy_unref(struct policy **policy);
/* Whether both say the same of that rule. Either may be NULL. */
bool policy_equal(const struct policy *a, const struct policy *b, const char *rule);
/* For others than rules: where the configuration has it ("policy.web"), static, for texts; `rule` is "*" then. */
void policy_section(struct policy *policy, const char *section);
/* `rule` "*": for all rules. Names without case; "*" is every action. deny wins over allow. */
void policy_allow(struct policy *policy, const char *rule, const char *action);
void policy_deny(struct policy *policy, const char *rule, const char *action);
/* Applications that Originate may name. */
void policy_originate(struct policy *policy, const char *rule, const char *application);

/* 0, or -1 with ERR_DENIED and a text that names the configuration line that would allow it. The engine's own actions
 * (Login, Logoff, Challenge, Events, Filter) are denied whatever the policy says. `policy` may be NULL: the defaults. */
int policy_check(const struct policy *policy, const char *rule, const struct action *action, struct err *err);

#endif
