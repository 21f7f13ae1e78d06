/* Lua's patterns, as section 6.4.1 of the Lua 5.4 manual describes them, matched within a budget. Pure: no Lua here. */
#ifndef SANDBOX_PATTERN_H
#define SANDBOX_PATTERN_H

#include "base/slice.h"

enum { PATTERN_CAPTURES = 32, PATTERN_NESTING = 200 };
/* Lengths of captures that have none. */
#define PATTERN_UNFINISHED ((ptrdiff_t)-1)
#define PATTERN_POSITION ((ptrdiff_t)-2)

struct pattern_capture {
	const char *start;
	ptrdiff_t len; /* or one of the two above */
};

struct pattern {
	/* Set by the caller. */
	struct slice subject;
	struct slice text; /* the pattern, without the '^' that anchors it */
	uint64_t steps;    /* budget, shared by all calls with this struct */
	void (*poll)(void *ctx); /* called every few thousand steps; may jump away: nothing is held. NULL: none */
	void *ctx;
	/* Set by pattern_match. */
	const char *error; /* a fixed text */
	int error_index;   /* the capture that it is about, as the pattern has it (%1 is 1); -1: none */
	unsigned captures;
	struct pattern_capture capture[PATTERN_CAPTURES];
	unsigned depth;
	uint64_t next_poll;
};

/* Tries to match at offset `at` of the subject. 1 and where the match ends; 0 when there is none; -1 when the pattern
 * is malformed, nested too deep or too expensive: `error` says which. A fault in a pattern shows only where
 * matching comes to it, as in Lua. */
int pattern_match(struct pattern *p, size_t at, size_t *end);

/* True when the pattern is a plain text, so that a plain search finds the same. */
bool pattern_is_plain(struct slice text);

#endif
