#include "view/live_json.h"

#define DEPTH_MAX 2 /* of lists in lists */

static void write_object(struct writer *writer, const char *key, const struct live_object *object, int64_t now, int depth, bool brief);

static void write_value(struct writer *writer, const char *key, const struct live_value *v, int64_t now, int depth, bool brief);

struct items {
	struct writer *writer;
	bool map, brief;
	int64_t now;
	int depth;
};

static bool write_item(void *ctx, const struct live_object *object, struct slice key, const struct live_value *value)
{
	const struct items *items = ctx;
	char name[LIVE_TEXT_MAX + 1];

	slice_to_text(key, name, sizeof name);
	if (object)
		write_object(items->writer, items->map ? name : NULL, object, items->now, items->depth, items->brief);
	else
		write_value(items->writer, items->map ? name : NULL, value, items->now, items->depth, items->brief);
	return true;
}

static void write_value(struct writer *writer, const char *key, const struct live_value *v, int64_t now, int depth, bool brief)
{
	switch (v->type) {
	case LIVE_NIL:
		writer_null(writer, key);
		break;
	case LIVE_BOOL:
		writer_bool(writer, key, v->boolean);
		break;
	case LIVE_INT:
		writer_number(writer, key, (double)v->integer);
		break;
	case LIVE_NUMBER:
	case LIVE_TIME:
		writer_number(writer, key, v->number);
		break;
	case LIVE_TEXT:
		if (key)
			writer_slice(writer, slice_cstr(key), v->text);
		else
			writer_item(writer, v->text);
		break;
	case LIVE_LIST:
	case LIVE_MAP: {
		bool map = v->type == LIVE_MAP;
		writer_open(writer, key, map ? '{' : '[');
		if (depth < DEPTH_MAX)
			live_each_item(v, write_item, &(struct items){ writer, map, brief, now, depth + 1 });
		writer_close(writer, map ? '}' : ']');
		break;
	}
	}
}

static void write_object(struct writer *writer, const char *key, const struct live_object *object, int64_t now, int depth, bool brief)
{
	enum live_kind kind = live_object_kind(object);
	const char *name;

	writer_open(writer, key, '{');
	for (uint32_t i = 0; (name = live_field_name(kind, i)); i++) {
		struct live_value v = live_get(object, (int)i, now);
		if (!brief || v.type != LIVE_NIL)
			write_value(writer, name, &v, now, depth, brief);
	}
	writer_close(writer, '}');
}

void live_json_object(struct writer *writer, const char *key, const struct live_object *object, int64_t now)
{
	write_object(writer, key, object, now, 0, false);
}

void live_json_brief(struct writer *writer, const char *key, const struct live_object *object, int64_t now)
{
	write_object(writer, key, object, now, 0, true);
}

static bool is_shown(const struct live_json_query *query, const struct live_object *object)
{
	return !query->sees || query->sees(query->ctx, object, query->now);
}

void live_json_list(struct writer *writer, const char *plural, const struct live_json_query *query)
{
	struct live_cursor cursor;
	const struct live_object *object;
	uint64_t shown = 0, total = 0;

	writer_open(writer, plural, '[');
	live_walk(query->live, query->kind, query->filter, &cursor);
	while ((shown < query->limit || query->sees) && (object = live_next(&cursor, query->now))) {
		if (!is_shown(query, object))
			continue;
		total++;
		if (shown == query->limit)
			continue;
		live_json_object(writer, NULL, object, query->now);
		shown++;
	}
	writer_close(writer, ']');
	if (!query->sees)
		total = shown < query->limit ? shown : live_count(query->live, query->kind, query->filter, query->now);
	writer_integer(writer, "total", total);
}

void live_json_unknown(struct writer *writer, const struct live_server *server)
{
	writer_open(writer, "unknown", '[');
	for (unsigned part = 1; live_part_name(part); part <<= 1)
		if (live_unknown(server) & part)
			writer_item(writer, slice_cstr(live_part_name(part)));
	writer_close(writer, ']');
}

void live_json_states(struct writer *writer, struct live *live, live_json_server_fn *sees, void *ctx)
{
	writer_open(writer, "servers", '[');
	for (struct live_server *s = live_server_next(live, NULL); s; s = live_server_next(live, s)) {
		if (sees && !sees(ctx, live_server_name(s)))
			continue;
		writer_open(writer, NULL, '{');
		writer_slice(writer, SLICE("name"), live_server_name(s));
		writer_text(writer, "state", live_state_name(live_state(s)));
		live_json_unknown(writer, s);
		writer_close(writer, '}');
	}
	writer_close(writer, ']');
}
