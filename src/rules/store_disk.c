#include "rules/store_disk.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/value_pack.h"
#include "rules/store.h"
#include "rules/task.h"

/* Longest packed key: a text with its length. */
#define PACKED_KEY_MAX (STORE_KEY_MAX + 16)
_Static_assert(PACKED_KEY_MAX <= PERSIST_KEY_MAX, "every key of a rule is one of the layer below");

/* One packed form for each key: a float with an integral value is that integer, as in Lua. */
static int pack_key(const struct value *key, struct buf *out, struct err *err)
{
	struct value k = *key;

	if (store_check_key(key, err))
		return -1;
	if (k.type == VALUE_NUMBER && floor(k.number) == k.number && k.number >= -0x1p63 && k.number < 0x1p63)
		k = (struct value){ .type = VALUE_INT, .integer = (int64_t)k.number };
	return value_pack(out, &k);
}

int store_disk_get(const struct persist_store *store, const struct value *key, uint64_t now, struct value *out, struct err *err)
{
	struct buf packed;
	struct slice found;

	*out = (struct value){ .type = VALUE_NIL };
	buf_init(&packed, 0);
	int rc = pack_key(key, &packed, err);
	if (rc == 0 && persist_store_get(store, buf_slice(&packed), now, &found) && value_unpack(found, out))
		rc = err_set(err, ERR_INVALID, "what stands there was not written by a rule");
	buf_close(&packed);
	return rc;
}

int store_disk_delete(struct persist_store *store, const struct value *key, uint64_t now, struct err *err)
{
	struct buf packed;
	buf_init(&packed, 0);
	int rc = pack_key(key, &packed, err);
	if (rc == 0)
		rc = persist_store_delete(store, buf_slice(&packed), now, err);
	buf_close(&packed);
	return rc;
}

int store_disk_set(struct persist_store *store, unsigned writer, const struct value *key, const struct value *item, uint64_t ttl,
                   uint64_t now, struct err *err)
{
	struct buf packed, text;

	if (item->type == VALUE_NIL)
		return store_disk_delete(store, key, now, err) < 0 ? -1 : 0;
	buf_init(&packed, 0);
	buf_init(&text, 0);
	int rc = pack_key(key, &packed, err);
	if (rc == 0) {
		value_pack(&text, item);
		rc = persist_store_set(store, writer, buf_slice(&packed), buf_slice(&text), ttl, now, err);
	}
	buf_close(&packed);
	buf_close(&text);
	return rc;
}

int store_disk_incr(struct persist_store *store, unsigned writer, const struct value *key, const struct value *by, uint64_t ttl,
                    uint64_t now, struct value *out, struct err *err)
{
	struct value before, sum;

	*out = (struct value){ .type = VALUE_NIL };
	if (store_disk_get(store, key, now, &before, err))
		return -1;
	bool fresh = before.type == VALUE_NIL;
	int rc = store_add(&before, by, &sum, err);
	value_close(&before);
	if (rc == 0)
		rc = store_disk_set(store, writer, key, &sum, fresh ? ttl : PERSIST_KEEP_TTL, now, err);
	if (rc == 0)
		*out = sum;
	return rc;
}

struct value store_disk_snapshot(const struct persist_store *store, uint64_t now)
{
	struct value all = { .type = VALUE_TABLE }, k, v;
	struct slice key, item;
	size_t cursor = 0;

	while (persist_store_next(store, &cursor, now, &key, &item)) {
		if (value_unpack(key, &k))
			continue;
		if (value_unpack(item, &v) == 0)
			value_add(&all, k, v);
		else
			value_close(&k);
	}
	return all;
}
