/* The rules of one load, made beside those that run. */
#ifndef RULES_RULE_SET_H
#define RULES_RULE_SET_H

#include "rules/rule.h"

struct rule_set_entry {
	struct rule_source *source; /* held */
	struct rule *rule; /* owned; NULL: the running one of this name has not changed and stays */
};

/* By name. */
struct rule_set {
	struct rule_set_entry *entries;
	size_t count;
};

/* host_snapshot: what runs. */
struct host_snapshot {
	struct snapshot_rule {
		struct rule_source *source; /* held */
		struct metrics *metrics;    /* shapes, a copy; NULL: none */
		struct rule_limits limits;
		struct policy *policy;      /* held; may be NULL */
		bool runs;                  /* it loaded, and its state stands */
	} *rules;
	size_t count;
};

#endif
