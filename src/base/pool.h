/* Read buffers that links take when bytes come and give back when nothing is left in them: an idle link holds none. */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>

#define POOL_BUFFER 131072u /* bytes of each */
#define POOL_KEPT 16       /* free ones; more go back to the system */

struct pool {
	char *free[POOL_KEPT];
	size_t count;
};

void pool_init(struct pool *pool);
void pool_close(struct pool *pool);
/* NULL when memory is out. */
char *pool_get(struct pool *pool);
/* A buffer from pool_get(), or NULL. */
void pool_put(struct pool *pool, char *buffer);

#endif
