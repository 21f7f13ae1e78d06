/* Borrowed bytes: a pointer and a length, never owned, never NUL-terminated by promise. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const char *ptr;
	size_t len;
};

#define SLICE(literal) ((struct slice){ (literal), sizeof(literal) - 1 })
/* For printf's "%.*s". */
#define SLICE_ARG(s) (int)(s).len, (s).ptr

static inline struct slice slice_make(const char *ptr, size_t len)
{
	return (struct slice){ ptr, len };
}

static inline struct slice slice_cstr(const char *text)
{
	return (struct slice){ text, strlen(text) };
}

static inline char slice_lower(char c)
{
	return (c >= 'A' && c <= 'Z') ? (char)(c + ('a' - 'A')) : c;
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* As slice_eq(), without a call: for short texts that are compared with every event and mostly equal. Whole words at once, the last
 * one overlaps the one before. */
static inline bool slice_eq_short(struct slice a, struct slice b)
{
	uint64_t x, y;
	uint32_t p, q;
	size_t len = a.len;

	if (len != b.len)
		return false;
	if (len >= 8) {
		for (size_t i = 0; i + 8 < len; i += 8) {
			memcpy(&x, a.ptr + i, sizeof x);
			memcpy(&y, b.ptr + i, sizeof y);
			if (x != y)
				return false;
		}
		memcpy(&x, a.ptr + len - 8, sizeof x);
		memcpy(&y, b.ptr + len - 8, sizeof y);
		return x == y;
	}
	if (len >= 4) {
		memcpy(&p, a.ptr, sizeof p);
		memcpy(&q, b.ptr, sizeof q);
		if (p != q)
			return false;
		memcpy(&p, a.ptr + len - 4, sizeof p);
		memcpy(&q, b.ptr + len - 4, sizeof q);
		return p == q;
	}
	for (size_t i = 0; i < len; i++)
		if (a.ptr[i] != b.ptr[i])
			return false;
	return true;
}

/* ASCII case is ignored, as AMI does (Q08); other bytes compare as they are. */
bool slice_eq_nocase_bytes(const char *a, const char *b, size_t len);
static inline bool slice_eq_nocase(struct slice a, struct slice b)
{
	return a.len == b.len && slice_eq_nocase_bytes(a.ptr, b.ptr, a.len);
}
bool slice_starts_with(struct slice s, struct slice prefix);
bool slice_starts_with_nocase(struct slice s, struct slice prefix);
/* Offset of the first `needle` in `s`, or -1. */
ptrdiff_t slice_find(struct slice s, struct slice needle);
struct slice slice_trim(struct slice s);
/* Copies `s` into `to`, NUL-terminated and cut to fit its `cap` bytes (at least 1). */
static inline void slice_to_text(struct slice s, char *to, size_t cap)
{
	size_t n = s.len < cap - 1 ? s.len : cap - 1;
	if (n > 0)
		memcpy(to, s.ptr, n);
	to[n] = '\0';
}

/* Hashes for tables; the second gives equal values for names that differ only in ASCII case. */
uint32_t slice_hash(struct slice s);
uint32_t slice_hash_nocase(struct slice s);

/* Reads a whole decimal integer; false when anything else stands in `s` or it does not fit. */
bool slice_to_int(struct slice s, int64_t *out);

/* Insertions, deletions, changes and swaps of neighbours that make one of the other; case is ignored. UINT_MAX when one is
 * longer than SLICE_DISTANCE_MAX: what is compared with each of many names must stay cheap. */
#define SLICE_DISTANCE_MAX 64
unsigned slice_distance(struct slice a, struct slice b);

/* '*' and '?' match as in a shell, every other byte itself, case kept. Linear in memory,
 * at most O(len(s) * len(pattern)) steps. */
bool slice_glob(struct slice pattern, struct slice s);
/* Takes its steps from `steps`; false when there are none left (`*steps` is 0 then). */
bool slice_glob_bounded(struct slice pattern, struct slice s, size_t *steps);

#endif
