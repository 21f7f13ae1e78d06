/* Memory that start-up and the engine's own bookkeeping need: running out of it aborts, here only.
 * What the network or a rule can grow is bounded first and uses buf_* or the rule's own allocator. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/slice.h"

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull));
/* `count * size` is checked for overflow. */
void *mem_realloc(void *ptr, size_t count, size_t size) __attribute__((returns_nonnull));
char *mem_strdup(const char *text) __attribute__((malloc, returns_nonnull));
/* A NUL-terminated copy. */
char *mem_slicedup(struct slice s) __attribute__((malloc, returns_nonnull));
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2), malloc, returns_nonnull));
/* Overwrites before freeing, in a way that the compiler keeps: for secrets (P8). */
void mem_free_secret(char **text);

#endif
