#include "cli/hints.h"

#include <stdio.h>
#include <string.h>

#include "ami/catalogue.h"

static void hint(const char *kind, const char *name, const char *nearest)
{
	if (nearest)
		fprintf(stderr, "hookswitch ctl: no %s '%s' is known; did you mean %s?\n", kind, name, nearest);
	else
		fprintf(stderr, "hookswitch ctl: no %s '%s' is known\n", kind, name);
}

/* The engine's own events that a tail shows. */
static void hint_own(const char *name)
{
	static const char *const own[] = { "server.ready", "server.lost", "server.gap", "script.quarantined" };
	const char *nearest = NULL;
	unsigned least = 4;

	for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
		unsigned distance = slice_distance(slice_cstr(name), slice_cstr(own[i]));
		if (distance == 0)
			return;
		if (distance < least) {
			least = distance;
			nearest = own[i];
		}
	}
	/* Any other name with a dot may be what rules emit. */
	if (nearest)
		hint("event", name, nearest);
}

static void hint_event(const char *name)
{
	if (strpbrk(name, "*?"))
		return;
	if (strchr(name, '.'))
		hint_own(name);
	else if (!catalogue_event(slice_cstr(name)))
		hint("event", name, catalogue_nearest_event(slice_cstr(name)));
}

static void hint_action(const char *name)
{
	if (name[0] != '\0' && !catalogue_action(slice_cstr(name)))
		hint("action", name, catalogue_nearest_action(slice_cstr(name)));
}

void hints_print(int word_count, char *const *words)
{
	bool tail = strcmp(words[0], "tail") == 0, call = strcmp(words[0], "call") == 0;

	for (int i = 1; i < word_count; i++) {
		if (tail && strcmp(words[i], "--event") == 0 && i + 1 < word_count)
			hint_event(words[++i]);
		else if (tail && strncmp(words[i], "--event=", 8) == 0)
			hint_event(words[i] + 8);
		else if (call && strncasecmp(words[i], "Action=", 7) == 0)
			hint_action(words[i] + 7);
	}
}
