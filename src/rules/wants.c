#include "rules/wants.h"

#include <stdlib.h>

#include "ami/event_mask.h"
#include "base/mem.h"

static bool has_bit(const uint8_t *bits, int number)
{
	return bits[number / 8] >> (number % 8) & 1;
}

static void set_bit(uint8_t *bits, int number)
{
	bits[number / 8] = (uint8_t)(bits[number / 8] | 1u << (number % 8));
}

void wants_close(struct wants *w)
{
	for (uint32_t i = 0; i < w->server_count; i++)
		free(w->servers[i].server);
	w->server_count = 0;
}

void wants_copy(struct wants *to, const struct wants *from)
{
	*to = *from;
	for (uint32_t i = 0; i < to->server_count; i++)
		to->servers[i].server = mem_strdup(from->servers[i].server);
}

static bool add(uint32_t *to, uint32_t classes)
{
	bool more = (classes & ~*to) != 0;
	*to |= classes;
	return more;
}

static bool add_of(struct wants *w, const char *server, uint32_t classes)
{
	for (uint32_t i = 0; i < w->server_count; i++)
		if (strcmp(w->servers[i].server, server) == 0)
			return add(&w->servers[i].classes, classes);
	if (w->server_count == WANTS_SERVERS)
		return add(&w->everywhere, classes);
	w->servers[w->server_count].server = mem_strdup(server);
	w->servers[w->server_count++].classes = classes;
	return true;
}

/* One of its accepted forms may fit servers that do not exist yet. */
static bool names_servers(const struct filter *filter)
{
	for (size_t i = 0; i < filter->server_count; i++)
		if (filter->servers[i].kind != TEST_EQUAL)
			return false;
	return filter->server_count > 0;
}

bool wants_listen(struct wants *w, const struct slice *names, size_t count, const struct filter *filter, bool loads)
{
	uint32_t classes = 0;
	bool more = false;

	for (size_t i = 0; i < count; i++) {
		/* The engine's own events and the rules' come from no server. */
		if (memchr(names[i].ptr, '.', names[i].len))
			continue;
		classes |= catalogue_event_classes(names[i]); /* "*" is no name that anybody knows */
		int number = catalogue_event_number(names[i]);
		if (loads && number >= 0)
			set_bit(w->heard, number);
	}
	if (classes == 0)
		return false;
	if (!names_servers(filter))
		return add(&w->everywhere, classes);
	for (size_t i = 0; i < filter->server_count; i++)
		more |= add_of(w, filter->servers[i].text, classes);
	return more;
}

/* The action to send: no event that is waited for. */
static bool is_action(struct slice text, size_t quote)
{
	size_t at = quote;

	while (at > 0 && (text.ptr[at - 1] == ' ' || text.ptr[at - 1] == '='))
		at--;
	return at < quote && at >= 6 && memcmp(text.ptr + at - 6, "Action", 6) == 0;
}

void wants_read(struct wants *w, struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		if (c != '"' && c != '\'')
			continue;
		size_t len = 0, left = text.len - i - 1;
		while (len < left && len <= CATALOGUE_NAME_MAX && text.ptr[i + 1 + len] != c)
			len++;
		/* What ends one text may begin the next: each quote is tried. */
		int number = len < left && text.ptr[i + 1 + len] == c ? catalogue_event_number(slice_make(text.ptr + i + 1, len)) : -1;
		if (number >= 0 && !is_action(text, i))
			set_bit(w->written, number);
	}
}

uint32_t wants_everywhere(const struct wants *w)
{
	uint32_t classes = w->everywhere;

	for (int i = 0; i < CATALOGUE_EVENTS_MAX; i++)
		if (has_bit(w->written, i) && !has_bit(w->heard, i))
			classes |= catalogue_event_number_classes(i);
	return classes;
}

uint32_t wants_of(const struct wants *w, struct slice server)
{
	for (uint32_t i = 0; i < w->server_count; i++)
		if (slice_eq(slice_cstr(w->servers[i].server), server))
			return w->servers[i].classes;
	return 0;
}
