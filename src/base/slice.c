#include "base/slice.h"

#include <limits.h>

/* Bits that case may change. */
#define CASE8 UINT64_C(0x2020202020202020)
#define CASE4 UINT32_C(0x20202020)

static bool eq_nocase_slow(const char *a, const char *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (a[i] != b[i] && slice_lower(a[i]) != slice_lower(b[i]))
			return false;
	return true;
}

static uint64_t differ8(const char *a, const char *b)
{
	uint64_t x, y;
	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x ^ y;
}

static uint32_t differ4(const char *a, const char *b)
{
	uint32_t x, y;
	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x ^ y;
}

/* Names are nearly always written as expected: words are compared, the last one overlaps the one before. Where only bits
 * differ that case may change, the bytes decide. */
bool slice_eq_nocase_bytes(const char *a, const char *b, size_t len)
{
	if (len >= 8) {
		uint64_t differ = differ8(a + len - 8, b + len - 8);
		for (size_t i = 0; i + 8 < len; i += 8)
			differ |= differ8(a + i, b + i);
		return differ == 0 || (!(differ & ~CASE8) && eq_nocase_slow(a, b, len));
	}
	if (len >= 4) {
		uint32_t differ = differ4(a, b) | differ4(a + len - 4, b + len - 4);
		return differ == 0 || (!(differ & ~CASE4) && eq_nocase_slow(a, b, len));
	}
	return eq_nocase_slow(a, b, len);
}

bool slice_starts_with(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

bool slice_starts_with_nocase(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && slice_eq_nocase(slice_make(s.ptr, prefix.len), prefix);
}

ptrdiff_t slice_find(struct slice s, struct slice needle)
{
	if (needle.len == 0)
		return 0;
	const char *hit = memmem(s.ptr, s.len, needle.ptr, needle.len);
	return hit ? hit - s.ptr : -1;
}

struct slice slice_trim(struct slice s)
{
	while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
		s.ptr++;
		s.len--;
	}
	while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static inline uint64_t mix(uint64_t hash, uint64_t word)
{
	hash ^= word;
	hash ^= hash >> 32; /* ids differ in their last bytes, which are the highest of a word */
	return hash * UINT64_C(0xFF51AFD7ED558CCD);
}

/* Whole words at once, the last one overlaps the one before: names are looked up with every event. `fold` is set in each word.
 * No seed is needed, because every table that is keyed by the network is bounded. */
static inline uint32_t hash_words(struct slice s, uint64_t fold)
{
	uint64_t hash = s.len * UINT64_C(0x9E3779B97F4A7C15), word = 0;
	size_t i = 0;

	for (; i + 8 < s.len; i += 8) {
		memcpy(&word, s.ptr + i, sizeof word);
		hash = mix(hash, word | fold);
	}
	if (s.len >= 8) {
		memcpy(&word, s.ptr + s.len - 8, sizeof word);
	} else if (s.len >= 4) {
		uint32_t first, last;
		memcpy(&first, s.ptr, sizeof first);
		memcpy(&last, s.ptr + s.len - 4, sizeof last);
		word = first | (uint64_t)last << 32;
	} else {
		for (; i < s.len; i++)
			word = word << 8 | (unsigned char)s.ptr[i];
	}
	hash = mix(hash, word | fold);
	/* Once more: numbers of a few digits differ in few bits. */
	return (uint32_t)(mix(hash, 0) >> 32);
}

uint32_t slice_hash(struct slice s)
{
	return hash_words(s, 0);
}

uint32_t slice_hash_nocase(struct slice s)
{
	/* Setting bit 5 folds letters' case; that it also folds a few signs costs only a collision. */
	return hash_words(s, UINT64_C(0x2020202020202020));
}

bool slice_to_int(struct slice s, int64_t *out)
{
	bool negative = s.len > 0 && s.ptr[0] == '-';
	size_t i = negative ? 1 : 0;
	int64_t n = 0;

	if (i == s.len)
		return false;
	for (; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return false;
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_sub_overflow(n, s.ptr[i] - '0', &n))
			return false;
	}
	if (!negative && __builtin_sub_overflow(0, n, &n))
		return false;
	*out = n;
	return true;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;
	return least < c ? least : c;
}

unsigned slice_distance(struct slice a, struct slice b)
{
	unsigned rows[3][SLICE_DISTANCE_MAX + 1];
	if (a.len > SLICE_DISTANCE_MAX || b.len > SLICE_DISTANCE_MAX)
		return UINT_MAX;
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];
	for (unsigned j = 0; j <= b.len; j++)
		last[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		now[0] = (unsigned)i;
		for (size_t j = 1; j <= b.len; j++) {
			char x = slice_lower(a.ptr[i - 1]), y = slice_lower(b.ptr[j - 1]);
			now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == slice_lower(b.ptr[j - 2]) && y == slice_lower(a.ptr[i - 2]) && before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}
		unsigned *spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[b.len];
}

bool slice_glob(struct slice pattern, struct slice s)
{
	size_t steps = SIZE_MAX;
	return slice_glob_bounded(pattern, s, &steps);
}

bool slice_glob_bounded(struct slice pattern, struct slice s, size_t *steps)
{
	size_t p = 0, i = 0;
	size_t star = SIZE_MAX, resume = 0;

	while (i < s.len) {
		if (*steps == 0 || --*steps == 0)
			return false;
		if (p < pattern.len && (pattern.ptr[p] == '?' || (pattern.ptr[p] == s.ptr[i] && pattern.ptr[p] != '*'))) {
			p++;
			i++;
		} else if (p < pattern.len && pattern.ptr[p] == '*') {
			star = p++;
			resume = i;
		} else if (star != SIZE_MAX) {
			/* Let the last star take one byte more; earlier stars never need to move. */
			p = star + 1;
			i = ++resume;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.ptr[p] == '*')
		p++;
	return p == pattern.len;
}
