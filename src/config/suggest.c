/* The known option that an unknown one was probably meant to be. */
#include <stdio.h>

#include "config/check.h"
#include "config/options.h"

struct best {
	struct slice key;
	unsigned distance;
	char text[96];
};

static void offer(struct best *best, struct slice name, struct slice text)
{
	unsigned d = slice_distance(best->key, name);
	if (d >= best->distance || d >= name.len || text.len >= sizeof best->text)
		return;
	best->distance = d;
	snprintf(best->text, sizeof best->text, "%.*s", SLICE_ARG(text));
}

/* An option deeper in the section is offered by the names that people give it: `connect`, `connect_timeout`. */
static void offer_deep(struct best *best, const char *rest)
{
	const char *leaf = strrchr(rest, '.') + 1;
	const char *section = leaf - 1;
	while (section > rest && section[-1] != '.')
		section--;
	int len = (int)(leaf - 1 - section);
	struct slice text = slice_cstr(rest);
	char name[96];
	offer(best, slice_cstr(leaf), text);
	for (int plural = 0; plural < 2; plural++) {
		int cut = len - (plural == 0 && section[len - 1] == 's');
		snprintf(name, sizeof name, "%s_%.*s", leaf, cut, section);
		offer(best, slice_cstr(name), text);
		snprintf(name, sizeof name, "%.*s_%s", cut, section, leaf);
		offer(best, slice_cstr(name), text);
	}
}

void check_suggest(const char *pattern, struct slice key, struct buf *out)
{
	size_t len = strlen(pattern);
	struct best best = { .key = key, .distance = key.len <= 3 ? 2 : key.len <= 6 ? 3 : 4 };
	if (len == 0)
		offer(&best, SLICE("defaults"), SLICE("defaults"));
	for (int deep = 0; deep < 2; deep++) {
		for (size_t i = 0; i < option_count; i++) {
			const char *rest = options[i].path;
			if (len > 0) {
				if (strncmp(rest, pattern, len) != 0 || rest[len] != '.')
					continue;
				rest += len + 1;
			}
			struct slice first = slice_make(rest, strcspn(rest, "."));
			if (!deep && !slice_eq(first, SLICE("NAME")))
				offer(&best, first, first);
			else if (deep && rest[first.len] == '.' && !strstr(rest, "NAME"))
				offer_deep(&best, rest);
		}
	}
	if (best.text[0])
		buf_printf(out, " (did you mean %s?)", best.text);
}
