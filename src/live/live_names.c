#include "live/live_names.h"

#include <stdlib.h>

#include "base/mem.h"
#include "live/live.h"

/* Where the text stands, or the free slot where it would go. Needs cap > 0. */
static uint32_t find_slot(const struct live_names *names, struct slice text, uint32_t hash)
{
	uint32_t i = hash & (names->cap - 1);
	for (;; i = (i + 1) & (names->cap - 1)) {
		const struct live_name *name = names->slots[i];
		if (!name || (name->hash == hash && slice_eq_short(slice_make(name->text, name->len), text)))
			return i;
	}
}

static void resize(struct live_names *names, uint32_t cap)
{
	struct live_name **old = names->slots;
	uint32_t old_cap = names->cap;
	names->cap = cap;
	names->slots = mem_zalloc(cap * sizeof *names->slots);
	for (uint32_t i = 0; i < old_cap; i++) {
		if (!old[i])
			continue;
		uint32_t to = old[i]->hash & (cap - 1);
		while (names->slots[to])
			to = (to + 1) & (cap - 1);
		names->slots[to] = old[i];
	}
	free(old);
}

struct live_name *live_names_find(const struct live_names *names, struct slice text)
{
	if (names->count == 0 || text.len == 0 || text.len > LIVE_TEXT_MAX)
		return NULL;
	struct live_name *name = names->slots[find_slot(names, text, slice_hash(text))];
	return name && name->refs > 0 ? name : NULL;
}

struct live_name *live_names_intern(struct live_names *names, struct slice text)
{
	if (text.len == 0)
		return NULL;
	if (text.len > LIVE_TEXT_MAX)
		text.len = LIVE_TEXT_MAX;
	if ((names->count + 1) * 4 > names->cap * 3)
		resize(names, names->cap ? names->cap * 2 : 64);
	uint32_t hash = slice_hash(text), i = find_slot(names, text, hash);
	if (!names->slots[i]) {
		struct live_name *name = mem_alloc(sizeof *name + text.len + 1);
		*name = (struct live_name){ .hash = hash, .len = (uint32_t)text.len };
		memcpy(name->text, text.ptr, text.len);
		name->text[text.len] = '\0';
		names->slots[i] = name;
		names->count++;
	} else if (names->slots[i]->refs == 0) {
		names->unused--;
	}
	return live_names_keep(names->slots[i]);
}

static void remove_name(struct live_names *names, const struct live_name *name)
{
	uint32_t mask = names->cap - 1, hole = name->hash & mask;
	while (names->slots[hole] != name)
		hole = (hole + 1) & mask;
	for (uint32_t i = (hole + 1) & mask; names->slots[i]; i = (i + 1) & mask) {
		uint32_t home = names->slots[i]->hash & mask;
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			names->slots[hole] = names->slots[i];
			hole = i;
		}
	}
	names->slots[hole] = NULL;
	names->count--;
	if (names->cap > 64 && names->count * 8 < names->cap)
		resize(names, names->cap / 4 > 64 ? names->cap / 4 : 64);
}

static void make_idle(struct live_names *names, struct live_name *name)
{
	struct live_name **place = &names->idle[names->idle_at++ % LIVE_IDLE], *before = *place;
	*place = name;
	name->idle = true;
	if (!before)
		return;
	before->idle = false;
	if (before->refs > 0)
		return;
	names->unused--;
	remove_name(names, before);
	free(before);
}

void live_names_release(struct live_names *names, struct live_name *name)
{
	names->unused++;
	if (!name->idle)
		make_idle(names, name);
}

bool live_names_change(struct live_names *names, struct live_name **field, struct slice text)
{
	if (text.len > LIVE_TEXT_MAX) {
		text.len = LIVE_TEXT_MAX;
		if (slice_eq_short(live_name_text(*field), text))
			return false;
	}
	struct live_name *name = live_names_intern(names, text);
	live_names_drop(names, field);
	*field = name;
	return true;
}

void live_names_close(struct live_names *names)
{
	for (uint32_t i = 0; i < names->cap; i++)
		free(names->slots[i]);
	free(names->slots);
	*names = (struct live_names){ 0 };
}
