/* A Lua table as plain data: the tree that the checks walk when the Lua state is gone. */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H

#include <lua.h>

#include "base/buf.h"
#include "base/faults.h"
#include "base/value.h"

#define TREE_DEPTH_MAX 32
#define TREE_NODES_MAX 200000
#define TREE_BYTES_MAX (16u << 20)

/* Copies the table at the top of the stack into `out`, pairs sorted (integers, numbers, booleans, then texts, each in order).
 * What is no plain data (functions, tables that contain themselves, too much or too deep) is left out and becomes a fault
 * with its path. False when the tree was cut for its size. Raises nothing in Lua and leaves the stack as it was. */
bool tree_copy(lua_State *L, struct value *out, struct faults *faults);

/* Appends the key to a path for people (`servers.pbx1`, `list[3]`, `servers["my pbx"]`), with bytes that are not
 * printable masked; gives what tree_path_pop() needs. */
size_t tree_path_push(struct buf *path, const struct value *key);
void tree_path_pop(struct buf *path, size_t mark);

#endif
