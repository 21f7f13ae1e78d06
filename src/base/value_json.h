/* Plain data as JSON text, for people and programs that read it: what a rule pushed, what a replay shows. */
#ifndef BASE_VALUE_JSON_H
#define BASE_VALUE_JSON_H

#include "base/buf.h"
#include "base/value.h"

/* Appends `value`. Tables with the keys 1 … n in order are arrays; keys that are no texts become texts; what is no number in JSON
 * (NaN, infinity) is null. */
void value_json(struct buf *out, const struct value *value);

#endif
