#include "base/utf8.h"

static bool continues(struct slice s, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (((unsigned char)s.ptr[i] & 0xC0) != 0x80)
			return false;
	return true;
}

/* Bytes that a character with this first byte has; 0 for a byte that begins none. */
static size_t announced(unsigned char c)
{
	if (c < 0x80)
		return 1;
	if (c < 0xC2 || c > 0xF4)
		return 0;
	return c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

size_t utf8_char(struct slice s)
{
	if (s.len == 0)
		return 0;
	unsigned char c = (unsigned char)s.ptr[0];
	size_t n = announced(c);
	if (n <= 1)
		return n;
	if (s.len < n || !continues(s, 1, n))
		return 0;
	unsigned char second = (unsigned char)s.ptr[1];
	if ((c == 0xE0 && second < 0xA0) || (c == 0xED && second > 0x9F) || (c == 0xF0 && second < 0x90) ||
	    (c == 0xF4 && second > 0x8F))
		return 0;
	return n;
}

size_t utf8_whole(struct slice s)
{
	for (size_t back = 1; back <= 3 && back <= s.len; back++) {
		size_t at = s.len - back;
		unsigned char c = (unsigned char)s.ptr[at];
		if ((c & 0xC0) == 0x80)
			continue;
		return announced(c) > back ? at : s.len;
	}
	return s.len;
}
