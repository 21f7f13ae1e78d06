/* Values of the live picture packed as value_pack() does, to be kept or handed to another thread. */
#ifndef RULES_PICTURE_PACK_H
#define RULES_PICTURE_PACK_H

#include "base/buf.h"
#include "live/live.h"

void picture_pack_text(struct buf *out, struct slice text);
/* Anything but nil; the items of a list that are objects become tables without their own lists. */
void picture_pack_value(struct buf *out, const struct live_value *value, int64_t now);
/* A table of the object's fields. `whole`: its lists too. */
void picture_pack_object(struct buf *out, const struct live_object *object, bool whole, int64_t now);

#endif
