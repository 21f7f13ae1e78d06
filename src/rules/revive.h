/* Rules that were killed, or whose memory was used up: their state is given back at once, and they begin anew from their source
 * after a pause (P4). Meanwhile a struct rule without a Lua state stands in their place. */
#ifndef RULES_REVIVE_H
#define RULES_REVIVE_H

#include "rules/rule.h"

/* Nothing of the rule runs any more; revive_turn() releases it. From anywhere, also from inside a call of it. */
void revive_give_up(struct rule *rule, const char *reason);
/* At the end of a turn, when no event is dispatched: releases rules that were given up, and asks for those that are due to begin
 * anew. Returns when the next one is due, in monotonic ns; UINT64_MAX: none. */
uint64_t revive_turn(struct host *host, uint64_t now);
/* `rule`, of a reload, takes the place of `before`: when that was down, `rule` hears what was missed meanwhile. */
void revive_replaced(struct host *host, struct rule *rule, const struct rule *before);

#endif
