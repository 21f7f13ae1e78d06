/* A Lua allocator that fails when it is asked to. */
#ifndef TESTS_UNIT_STARVE_H
#define TESTS_UNIT_STARVE_H

#include <stdlib.h>

/* The n-th allocation from now fails, and all that follow (Lua collects garbage and tries again); 0: none. */
static long starve_after;

static inline void *starve_allocate(void *ctx, void *ptr, size_t old, size_t size)
{
	(void)ctx;
	if (size == 0) {
		free(ptr);
		return NULL;
	}
	if (starve_after > 0 && (!ptr || size > old)) {
		if (starve_after == 1)
			return NULL;
		starve_after--;
	}
	return realloc(ptr, size);
}

#endif
