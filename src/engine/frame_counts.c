#include "engine/frame_counts.h"

#include <stdlib.h>

#include "base/mem.h"

static void count_name(struct map *map, struct slice name)
{
	uint64_t *n = map_get(map, name);
	if (!n) {
		n = mem_zalloc(sizeof *n);
		map_set(map, name, n);
	}
	++*n;
}

void frame_counts_add(struct frame_counts *c, const struct message *m)
{
	c->frames++;
	if (m->kind == MESSAGE_EVENT) {
		c->events++;
		count_name(&c->by_event, m->name);
	} else if (m->kind == MESSAGE_RESPONSE) {
		c->responses++;
		count_name(&c->by_response, m->name);
	} else {
		c->other_frames++;
	}
	for (uint32_t i = 0; i < m->header_count; i++) {
		if (m->headers[i].name_len == 0)
			continue;
		c->headers++;
		c->value_bytes += m->headers[i].value_len;
	}
}

void frame_counts_close(struct frame_counts *c)
{
	struct map *const maps[] = { &c->by_event, &c->by_response };
	for (size_t k = 0; k < 2; k++) {
		struct map_entry *e;
		for (size_t i = 0; (e = map_next(maps[k], &i));)
			free(e->value);
		map_close(maps[k]);
	}
	*c = (struct frame_counts){ 0 };
}

static int compare_entries(const void *a, const void *b)
{
	const struct map_entry *const *x = a, *const *y = b;
	return strcmp((*x)->key, (*y)->key);
}

static void append_names(struct buf *out, const char *title, const struct map *map)
{
	struct map_entry **sorted = mem_alloc(map->count * sizeof(struct map_entry *)), *e;
	size_t n = 0;
	for (size_t i = 0; (e = map_next(map, &i));)
		sorted[n++] = e;
	qsort(sorted, n, sizeof *sorted, compare_entries);
	buf_printf(out, "\"%s\":{", title);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_append_char(out, ',');
		buf_append_json(out, slice_make(sorted[i]->key, sorted[i]->key_len));
		buf_printf(out, ":%llu", (unsigned long long)*(uint64_t *)sorted[i]->value);
	}
	buf_append_char(out, '}');
	free(sorted);
}

void frame_counts_append(const struct frame_counts *c, struct buf *out)
{
	buf_printf(out, "{\"bytes\":%llu,\"frames\":%llu,\"events\":%llu,\"responses\":%llu,\"other_frames\":%llu,\"headers\":%llu,"
	           "\"value_bytes\":%llu,\"partial_tail\":%s,\"malformed\":%llu,\"oversized\":%llu,\"skipped_bytes\":%llu,", (unsigned long long)c->bytes, (unsigned long long)c->frames,
	           (unsigned long long)c->events, (unsigned long long)c->responses, (unsigned long long)c->other_frames,
	           (unsigned long long)c->headers, (unsigned long long)c->value_bytes, c->partial_tail ? "true" : "false",
	           (unsigned long long)c->malformed, (unsigned long long)c->oversized, (unsigned long long)c->skipped_bytes);
	append_names(out, "by_event", &c->by_event);
	buf_append_char(out, ',');
	append_names(out, "by_response", &c->by_response);
	buf_append_char(out, '}');
}

void frame_counts_append_skipped(const struct frame_counts *c, struct buf *out)
{
	if (c->malformed == 0 && c->oversized == 0 && !c->partial_tail)
		return;
	buf_printf(out, "%llu malformed, %llu too large%s; %llu bytes", (unsigned long long)c->malformed, (unsigned long long)c->oversized,
	           c->partial_tail ? ", 1 cut by the end" : "", (unsigned long long)c->skipped_bytes);
}
