#include "ami/event_mask.h"

#include <stdio.h>

static const struct {
	const char *name;
	uint32_t bit;
} classes[] = {
	{ "system", EVENT_SYSTEM },       { "call", EVENT_CALL },           { "log", EVENT_LOG },     { "verbose", EVENT_VERBOSE },
	{ "command", EVENT_COMMAND },     { "agent", EVENT_AGENT },         { "user", EVENT_USER },   { "config", EVENT_CONFIG },
	{ "dtmf", EVENT_DTMF },           { "reporting", EVENT_REPORTING }, { "cdr", EVENT_CDR },     { "dialplan", EVENT_DIALPLAN },
	{ "originate", EVENT_ORIGINATE }, { "agi", EVENT_AGI },             { "cc", EVENT_CC },       { "aoc", EVENT_AOC },
	{ "test", EVENT_TEST },           { "security", EVENT_SECURITY },   { "message", EVENT_MESSAGE },
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

static const uint32_t *find_bit(struct slice class)
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
		const uint32_t *bit = find_bit(class);
		int64_t bits;
		return bit && slice_to_int(mask, &bits) && (bits & *bit);
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

void event_mask_write(uint32_t wanted, bool listed, char out[EVENT_MASK_TEXT])
{
	size_t n = 0;

	snprintf(out, EVENT_MASK_TEXT, "%s", wanted == EVENT_CLASSES_ALL && !listed ? "on" : "none");
	if (wanted == EVENT_CLASSES_ALL && !listed)
		return;
	for (size_t i = 0; i < COUNT; i++)
		if (wanted & classes[i].bit)
			n += (size_t)snprintf(out + n, EVENT_MASK_TEXT - n, "%s%s", n > 0 ? "," : "", classes[i].name);
}
