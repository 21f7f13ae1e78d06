#include "ami/event_mask.h"

/* The classes, and the bit of each in a mask that is a number. */
static const struct {
	const char *name;
	unsigned bit;
} classes[] = {
	{ "system", 0 },     { "call", 1 },    { "log", 2 },    { "verbose", 3 }, { "command", 4 },    { "agent", 5 },
	{ "user", 6 },       { "config", 7 },  { "dtmf", 8 },   { "reporting", 9 }, { "cdr", 10 },     { "dialplan", 11 },
	{ "originate", 12 }, { "agi", 13 },    { "cc", 15 },    { "aoc", 16 },    { "test", 17 },      { "security", 18 },
	{ "message", 30 },
};

#define COUNT (sizeof classes / sizeof *classes)

static bool is_one_of(struct slice text, const char *const *words)
{
	for (; *words; words++)
		if (slice_eq_nocase(text, slice_cstr(*words)))
			return true;
	return false;
}

static bool is_number(struct slice mask)
{
	for (size_t i = 0; i < mask.len; i++)
		if (mask.ptr[i] < '0' || mask.ptr[i] > '9')
			return false;
	return mask.len > 0;
}

static bool means_all(struct slice mask)
{
	static const char *const words[] = { "on", "yes", "true", "y", "t", NULL };
	return mask.len == 0 || is_one_of(mask, words);
}

static bool means_none(struct slice mask)
{
	static const char *const words[] = { "off", "no", "false", "n", "f", NULL };
	return is_one_of(mask, words);
}

/* The next word of a list with commas; false at its end. */
static bool next_word(struct slice *rest, struct slice *word)
{
	if (!rest->ptr)
		return false;
	const char *comma = memchr(rest->ptr, ',', rest->len);
	*word = slice_make(rest->ptr, comma ? (size_t)(comma - rest->ptr) : rest->len);
	*rest = comma ? slice_make(comma + 1, rest->len - word->len - 1) : slice_make(NULL, 0);
	return true;
}

static const unsigned *find_bit(struct slice class)
{
	for (size_t i = 0; i < COUNT; i++)
		if (slice_eq(class, slice_cstr(classes[i].name)))
			return &classes[i].bit;
	return NULL;
}

bool event_mask_hears(struct slice mask, struct slice class)
{
	struct slice rest = mask, word;

	if (is_number(mask)) {
		const unsigned *bit = find_bit(class);
		int64_t bits;
		return bit && slice_to_int(mask, &bits) && bits >> *bit & 1;
	}
	if (means_all(mask))
		return true;
	if (means_none(mask))
		return false;
	while (next_word(&rest, &word))
		if (slice_eq(word, class) || slice_eq(word, SLICE("all")))
			return true;
	return false;
}

bool event_mask_unknown(struct slice mask, struct slice *word)
{
	struct slice rest = mask;

	if (is_number(mask) || means_all(mask) || means_none(mask))
		return false;
	while (next_word(&rest, word))
		if (!find_bit(*word) && !slice_eq(*word, SLICE("all")) && !slice_eq(*word, SLICE("none")))
			return true;
	return false;
}
