#include "base/pool.h"

#include <stdlib.h>

void pool_init(struct pool *pool)
{
	*pool = (struct pool){ .count = 0 };
}

void pool_close(struct pool *pool)
{
	while (pool->count > 0)
		free(pool->free[--pool->count]);
}

char *pool_get(struct pool *pool)
{
	return pool->count > 0 ? pool->free[--pool->count] : malloc(POOL_BUFFER);
}

void pool_put(struct pool *pool, char *buffer)
{
	if (buffer && pool->count < POOL_KEPT)
		pool->free[pool->count++] = buffer;
	else
		free(buffer);
}
