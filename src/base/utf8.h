/* Well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing past U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/slice.h"

#define UTF8_REPLACEMENT "\xEF\xBF\xBD"

/* Bytes of the character at the start of `s` (1 to 4), 0 when there is none or `s` is empty. */
size_t utf8_char(struct slice s);
/* Length of `s` without a last character that was cut short; bytes that never were UTF-8 stay. */
size_t utf8_whole(struct slice s);

#endif
