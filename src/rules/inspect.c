/* What the engine asks about rules, and steers of them, from outside. */
#include "rules/state.h"

const char *host_tag_rule(const void *tag)
{
	const struct request *request = tag;
	return request->rule ? request->rule->name : "";
}

static struct rule *find_rule(const struct host *host, struct slice name)
{
	for (size_t i = 0; host->current && i < host->current->rule_count; i++)
		if (slice_eq(slice_cstr(host->current->rules[i]->name), name))
			return host->current->rules[i];
	return NULL;
}

int host_rule_enable(struct host *host, struct slice name, bool enable)
{
	struct rule *rule = find_rule(host, name);

	if (!rule)
		return -1;
	rule->disabled = !enable;
	if (enable && rule->missed > 0) {
		rule->gap += rule->missed;
		rule->missed = 0;
		rule_report_gap(rule, "disabled");
	}
	return 0;
}
