/* What hides in everything that leaves the process (P8): values of certain names, known secret values in text, and what the
 * configuration's patterns match.
 *
 * All functions but redact_clear() may be called from any thread and never lock.
 */
#ifndef OBSERVE_REDACT_H
#define OBSERVE_REDACT_H

#include "base/err.h"
#include "base/slice.h"

#define REDACTED "[redacted]"

/* True for Secret, Password, Key of a login, Challenge, MD5Secret and the like, and for what redact_use() added; case is
 * ignored. */
bool redact_name(struct slice name);
/* True only for what redact_use() added. */
bool redact_name_configured(struct slice name);
/* Secrets of the configuration: each value given here is masked wherever it stands in free text, also as JSON writes it, for as long as the
 * process lives (an old secret may still be valid somewhere). NULL, and values shorter than 4 bytes, are ignored, because
 * masking them would garble every line. Adding a value twice costs nothing. */
void redact_add_value(const char *secret);
/* Patterns of the configuration: `names` are globs as in a shell, case ignored; `values` are Perl-compatible regular
 * expressions, in UTF-8. NULL with `err` when one is wrong, or matches the empty text. */
struct redact_patterns;
struct redact_patterns *redact_patterns_create(char *const *names, size_t name_count, char *const *values, size_t value_count,
                                               struct err *err);
void redact_patterns_destroy(struct redact_patterns **patterns);
/* Makes them the ones that count and clears the pointer. Those before stay in memory, because another thread may look into
 * them; the same ones again cost nothing. For one thread. A text on which a pattern takes too long is masked whole. */
void redact_use(struct redact_patterns **patterns);

/* `text` with every secret in it masked (known values, what patterns match, and the values of secret names as redact_pairs.h
 * says): a malloc'd copy in `*copy`, or `text` itself with `*copy` NULL
 * when there is nothing to mask (the usual case). */
struct slice redact_text(struct slice text, char **copy);
/* Copies as much of `text` to `to` as fits in `cap`, masked; never a part of a secret, never a part of the mask.
 * Returns the bytes written; `*used` is how many bytes of `text` they stand for. */
size_t redact_copy(char *to, size_t cap, struct slice text, size_t *used);
/* For what must keep its length: puts an asterisk for each byte of every secret in `text` into `to`, which has space for as many
 * bytes; the others are left as they are. */
void redact_mask(char *to, struct slice text);
/* The same for known values alone, however many there are. Bytes of line ends are left as they are. */
void redact_mask_values(char *to, struct slice text);
/* Bytes of the longest known value; 0: there is none. */
size_t redact_longest_value(void);
/* Forgets all values and patterns: for tests and exit, when no other thread uses this module. */
void redact_clear(void);

#endif
