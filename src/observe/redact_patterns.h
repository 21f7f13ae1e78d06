/* Spans of a text that must not be shown: what redact.c collects before it copies. Nobody else includes it. */
#ifndef OBSERVE_REDACT_PATTERNS_H
#define OBSERVE_REDACT_PATTERNS_H

#include "observe/redact.h"

struct span {
	size_t from, to; /* bytes; `to` is behind the last */
};

#define SPANS_MAX 512 /* more than so many secrets in one text: the rest of it is one span */

struct spans {
	struct span items[SPANS_MAX];
	size_t count;
};

/* Adds one; joins it to the last when it begins in that. In any order. */
void spans_add(struct spans *spans, size_t from, size_t to);
/* Sorts them, and joins those that overlap. */
void spans_join(struct spans *spans);

bool patterns_equal(const struct redact_patterns *a, const struct redact_patterns *b);
/* `before` now belongs to `fresh` and is destroyed with it. */
void patterns_follow(struct redact_patterns *fresh, struct redact_patterns *before);
/* True when a name pattern of the configuration matches. */
bool patterns_hide_name(const struct redact_patterns *patterns, struct slice name);
bool patterns_have_values(const struct redact_patterns *patterns);
/* Adds what the value patterns match in `text`. `cut`: the text goes on behind its end, so what could become a match there is
 * one. -1: a pattern took too long, nothing of the text may be shown. */
int patterns_find(const struct redact_patterns *patterns, struct slice text, bool cut, struct spans *spans);

#endif
