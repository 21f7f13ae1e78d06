/* Memory for the engine's own bookkeeping, and what happens when the system has none left.
 *
 * What others size (frames, answers, texts, JSON, Lua heaps) is allocated by buf_*, message_copy(), the arena and their like, whose
 * failure is an error that comes back. Bookkeeping is many small blocks: mem_*() below never fail. When malloc() does, they
 * give back a reserve that was taken at the start and are served from it, and memory is short until the reserve could be taken
 * again. While it is, everything that a rule or a server can ask for is refused where it is asked for (mem_is_short()), so
 * that the reserve lasts for what is under way. Without a reserve, or when it is used up, the process ends with a message. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>

#include "base/slice.h"

/* Takes the reserve; 0 gives it back. Any thread. */
void mem_reserve(size_t bytes);
/* The reserve is in use: refuse what can be refused. Any thread, costs a load. */
bool mem_is_short(void);
/* Tries to take the reserve again. True when memory is not short (any more). */
bool mem_recover(void);
/* How often it became short. */
unsigned long mem_shortages(void);

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
