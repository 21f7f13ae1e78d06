#include "rules/picture_pack.h"

#include <inttypes.h>

void picture_pack_text(struct buf *out, struct slice text)
{
	buf_printf(out, "s%zu:", text.len);
	buf_append(out, text);
	buf_append_char(out, ';');
}

static bool is_list(const struct live_value *value)
{
	return value->type == LIVE_LIST || value->type == LIVE_MAP;
}

void picture_pack_object(struct buf *out, const struct live_object *object, bool whole, int64_t now)
{
	enum live_kind kind = live_object_kind(object);
	const char *name;

	buf_append_char(out, '{');
	for (uint32_t i = whole ? 0 : 1; (name = live_field_name(kind, i)); i++) { /* the first is the server */
		struct live_value value = live_get(object, (int)i, now);
		if (value.type == LIVE_NIL || (is_list(&value) && !whole))
			continue;
		picture_pack_text(out, slice_cstr(name));
		picture_pack_value(out, &value, now);
	}
	buf_append_char(out, '}');
}

struct packing {
	struct buf *out;
	int64_t number, now;
	bool map;
};

static bool pack_item(void *ctx, const struct live_object *object, struct slice key, const struct live_value *value)
{
	struct packing *p = ctx;

	if (!object && value->type == LIVE_NIL)
		return true;
	if (p->map)
		picture_pack_text(p->out, key);
	else
		buf_printf(p->out, "i%" PRId64 ";", ++p->number);
	if (object)
		picture_pack_object(p->out, object, false, p->now);
	else
		picture_pack_value(p->out, value, p->now);
	return true;
}

static void pack_list(struct buf *out, const struct live_value *list, int64_t now)
{
	struct packing packing = { .out = out, .now = now, .map = list->type == LIVE_MAP };

	buf_append_char(out, '{');
	live_each_item(list, pack_item, &packing);
	buf_append_char(out, '}');
}

void picture_pack_value(struct buf *out, const struct live_value *value, int64_t now)
{
	switch (value->type) {
	case LIVE_NIL: break;
	case LIVE_BOOL: buf_append_cstr(out, value->boolean ? "t;" : "f;"); break;
	case LIVE_INT: buf_printf(out, "i%" PRId64 ";", value->integer); break;
	case LIVE_NUMBER:
	case LIVE_TIME: buf_printf(out, "n%a;", value->number); break;
	case LIVE_TEXT: picture_pack_text(out, value->text); break;
	case LIVE_LIST:
	case LIVE_MAP: pack_list(out, value, now); break;
	}
}
