/* Objects of the live picture that a rule holds. They stay readable until they are dropped, or the rule ends.
 *
 * A holder belongs to the picture and is used where the picture is, on the loop's thread; its rule has a pointer to it. So a rule
 * can be dropped on any thread, at any instant: the loop releases what it held. */
#ifndef RULES_PICTURE_HOLD_H
#define RULES_PICTURE_HOLD_H

#include "rules/picture.h"

struct picture_holder;

struct picture_holder *picture_holder_open(struct picture *picture);
/* Drops all that it holds. */
void picture_holder_close(struct picture_holder **holder);
/* The same from any thread, by the loop in its next turn. The picture must outlive the call. */
void picture_holder_leave(struct picture_holder **holder);

/* A handle, never 0. */
uint64_t picture_hold(struct picture_holder *holder, struct live_object *object);
/* NULL: it was dropped, or the picture was turned off. */
struct live_object *picture_held(const struct picture_holder *holder, uint64_t handle);
void picture_drop(struct picture_holder *holder, uint64_t handle);

/* Of the picture: releases what holders have left; and everything, when it is turned off. */
void picture_holders_sweep(struct picture *picture);
void picture_holders_clear(struct picture *picture);

#endif
