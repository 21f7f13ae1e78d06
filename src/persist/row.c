#include "persist/row.h"

#include <endian.h>
#include <stdarg.h>

#include "persist/crc.h"

const struct row_def row_defs[ROW_TABLES] = {
	[ROW_META] = { "meta", "tt", { "name", "value" } },
	[ROW_ENTRY] = { "entry", "tbbti", { "store", "key", "value", "writer", "expires" } },
	/* A change of `entry` that was not folded into that table yet. */
	[ROW_LOG] = { "log", "iitbbti", { "entry", "gone", "store", "key", "value", "writer", "expires" } },
	[ROW_JOB] = { "job",
	              "ttbtiiiiiiit",
	              { "queue", "name", "body", "state", "priority", "due", "try", "tries", "dedup", "pushed", "changed", "error" } },
	[ROW_LINE] = { "line", "tbtiit", { "spool", "text", "state", "pushed", "expires", "error" } },
	[ROW_BATCH] = { "batch", "ttiii", { "spool", "key", "first", "last", "try" } },
};

uint32_t row_crc(enum row_table table, int64_t id, struct slice row)
{
	uint32_t number = htole32((uint32_t)table);
	uint64_t le = htole64((uint64_t)id);
	uint32_t crc = crc_add(0, &number, sizeof number);
	crc = crc_add(crc, &le, sizeof le);
	return crc_add(crc, row.ptr, row.len);
}

void row_put_int(struct buf *row, int64_t n)
{
	uint64_t le = htole64((uint64_t)n);
	buf_append(row, slice_make((const char *)&le, sizeof le));
}

void row_put_bytes(struct buf *row, struct slice s)
{
	uint32_t le = htole32((uint32_t)s.len);
	char *to = buf_reserve(row, sizeof le + s.len);
	if (!to)
		return;
	memcpy(to, &le, sizeof le);
	if (s.len > 0)
		memcpy(to + sizeof le, s.ptr, s.len);
	buf_commit(row, sizeof le + s.len);
}

bool row_take_int(struct slice *row, int64_t *n)
{
	uint64_t le;
	if (row->len < sizeof le)
		return false;
	memcpy(&le, row->ptr, sizeof le);
	*n = (int64_t)le64toh(le);
	*row = slice_make(row->ptr + sizeof le, row->len - sizeof le);
	return true;
}

bool row_take_bytes(struct slice *row, struct slice *s)
{
	uint32_t le;
	if (row->len < sizeof le)
		return false;
	memcpy(&le, row->ptr, sizeof le);
	size_t len = le32toh(le);
	if (row->len - sizeof le < len)
		return false;
	*s = slice_make(row->ptr + sizeof le, len);
	*row = slice_make(s->ptr + len, row->len - sizeof le - len);
	return true;
}

bool row_take(struct slice row, const char *types, ...)
{
	bool good = true;
	va_list args;
	va_start(args, types);
	for (const char *t = types; *t && good; t++)
		good = *t == 'i' ? row_take_int(&row, va_arg(args, int64_t *)) : row_take_bytes(&row, va_arg(args, struct slice *));
	va_end(args);
	return good && row.len == 0;
}
