/* Values on their way between a rule's state and the scratch state of script/json.h. */
#ifndef VALUE_JSON_COPY_H
#define VALUE_JSON_COPY_H

#include <lua.h>

#include "base/buf.h"
#include "base/err.h"

/* Copies the value at `index` of `from` to the top of `scratch`, tagged for json_text_untag; `work` is overwritten.
 * Raw: nothing raises or runs in `from`. May raise in `scratch`. -1 and `err` (`scratch` then holds rubbish). */
int json_copy_in(lua_State *scratch, lua_State *from, int index, size_t bytes, unsigned depth, struct buf *work,
                 struct err *err);

/* Copies the tagged value on top of `scratch` to the top of `to`. Raises nothing in `scratch`, may raise in `to`.
 * -1 and `err`: nothing pushed on `to`. */
int json_copy_out(lua_State *scratch, lua_State *to, struct err *err);

#endif
