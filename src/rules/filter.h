/* What a listener's filter asks of an event: plain C, tested before anything of Lua is made. */
#ifndef RULES_FILTER_H
#define RULES_FILTER_H

#include "ami/message.h"

enum test_kind { TEST_EQUAL, TEST_PREFIX, TEST_GLOB };

/* One accepted form of a value. */
struct value_test {
	enum test_kind kind;
	char *text; /* owned */
	size_t len;
};

/* A header's first value must pass one of the tests; an absent header passes none. */
struct header_test {
	char *name; /* owned */
	struct value_test *tests;
	size_t count;
};

/* All of its headers must pass. */
struct header_set {
	struct header_test *headers;
	size_t count;
};

struct filter {
	struct value_test *servers; /* any of them; none: every server */
	size_t server_count;
	size_t bytes;               /* what it and its listener take: charged to the rule */
	struct header_set *sets;    /* any of them; none: every event */
	size_t set_count;
};

/* Steps that one filter may take for one event: its globs may be compared with long texts. */
#define FILTER_STEPS_MAX ((size_t)4000000)

bool value_test_passes(const struct value_test *test, struct slice value);
/* Each takes what it costs from `steps`, and passes nothing when that is 0. */
bool filter_server_passes(const struct filter *filter, struct slice server, size_t *steps);
bool filter_headers_pass(const struct filter *filter, const struct message *message, size_t *steps);
void filter_close(struct filter *filter);

#endif
