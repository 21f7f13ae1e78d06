/* Plain data as JSON text, for people and programs that read it: what a rule pushed, what a replay shows. */
#ifndef BASE_VALUE_JSON_H
#define BASE_VALUE_JSON_H

#include "base/buf.h"
#include "base/value.h"

/* Appends `value`. Tables with the keys 1 … n are arrays; others are written in the order of their keys, which become texts; what is no number in JSON
 * (NaN, infinity) is null. */
void value_json(struct buf *out, const struct value *value);

#endif
