/* What rules need while they load, and only then. One for each load, on one thread. */
#ifndef RULES_LOADING_H
#define RULES_LOADING_H

#include "rules/rule.h"

struct loading {
	const struct rules_options *options;
	struct faults *faults;
	struct rule_source_cache *cache;      /* NULL: a rule begins anew, no file is read */
	char *rules_shown, *lib_shown;   /* folders as in error texts; owned */
	struct scratch scratch;
};

int loading_init(struct loading *loading, const struct rules_options *options, struct rule_source_cache *cache, struct faults *faults);
void loading_close(struct loading *loading);
/* A rule that loads asks which servers there are: it depends on them. */
void loading_note_servers(struct rule *rule);

#endif
