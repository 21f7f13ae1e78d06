#ifndef LIVE_ITEMS_H
#define LIVE_ITEMS_H

#include "live/live_internal.h"

/* Takes over one item of the open list; items of no interest are ignored. */
/* The list that has such items, an enum live_step; -1: none. */
int live_items_step(struct slice event);
void live_items_take(struct live_server *s, const struct message *item);

#endif
