/* Secrets that a text shows beside their names: `Secret: x`, `password=x`, {"token":"x"}. Nobody but redact.c includes it. */
#ifndef OBSERVE_REDACT_PAIRS_H
#define OBSERVE_REDACT_PAIRS_H

#include "observe/redact_patterns.h"

/* Adds the value of every pair whose sign (`:`, `=`, `=>`) stands in the first `window` bytes and whose name is a secret's, as
 * redact_name() says.
 *
 * A value in quotes, brackets or braces goes to their end. Where nothing but words stands before the name in its line, as in a
 * header, the value goes to the line's end, behind `=` also to a comma, `;` or `&`. Elsewhere it goes to the next blank, comma,
 * `;`, `&` or double quote. Inside a JSON text a line ends where the text or `\n` does.
 *
 * Not a pair: the path of an option or a file before a colon, as in `servers.pbx1.secret: missing`. */
void pairs_find(struct slice text, size_t window, struct spans *spans);

#endif
