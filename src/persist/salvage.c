#include "persist/salvage.h"

#include <stdlib.h>

#include "base/mem.h"
#include "persist/image.h"

/* https://www.sqlite.org/fileformat2.html, "B-tree Pages" and "Record Format". Pages of 4096 bytes, none reserved. */
#define LEAF 0x0d
#define LEAF_HEADER 8
#define LOCAL_MAX (IMAGE_PAGE - 35)
#define LOCAL_MIN ((IMAGE_PAGE - 12) * 32 / 255 - 23)
#define PAYLOAD_MAX (64 * 1024 * 1024)
#define COLUMNS_MAX 16

struct found {
	enum row_table table;
	int64_t id;
	size_t at, len; /* in `rows` */
};

struct salvage {
	struct image *image;
	struct buf rows, payload, packed;
	struct found *found;
	size_t count, cap, bad;
};

/* SQLite's varint: 1 to 9 bytes; 0 when it does not end in time. */
static size_t varint(const unsigned char *p, size_t len, uint64_t *out)
{
	uint64_t n = 0;
	for (size_t i = 0; i < 9 && i < len; i++) {
		if (i == 8) {
			*out = n << 8 | p[i];
			return 9;
		}
		n = n << 7 | (p[i] & 0x7f);
		if (!(p[i] & 0x80)) {
			*out = n;
			return i + 1;
		}
	}
	return 0;
}

struct column {
	uint64_t type;
	const unsigned char *bytes;
	size_t len;
};

static size_t column_len(uint64_t type)
{
	static const size_t lens[] = { 0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0 };
	return type < 12 ? lens[type] : (size_t)(type - 12) / 2;
}

static bool column_int(const struct column *c, int64_t *out)
{
	uint64_t n = c->len > 0 && c->bytes[0] & 0x80 ? UINT64_MAX : 0;
	if (c->type == 0 || c->type == 7 || c->type > 9)
		return false;
	if (c->type == 8 || c->type == 9)
		n = c->type - 8;
	for (size_t i = 0; i < c->len; i++)
		n = n << 8 | c->bytes[i];
	*out = (int64_t)n;
	return true;
}

/* The columns of a record, the id's place first; their number, or 0. */
static size_t columns_of(struct slice record, struct column *columns)
{
	const unsigned char *p = (const unsigned char *)record.ptr;
	uint64_t header, type;
	size_t at = varint(p, record.len, &header), count = 0, body;

	if (at == 0 || header > record.len)
		return 0;
	body = (size_t)header;
	while (at < header) {
		size_t n = varint(p + at, (size_t)header - at, &type);
		if (n == 0 || count == COLUMNS_MAX || column_len(type) > record.len - body)
			return 0;
		columns[count++] = (struct column){ type, p + body, column_len(type) };
		body += column_len(type);
		at += n;
	}
	return count;
}

/* Packs the columns as a row of that table; true when its CRC is right. */
static bool is_row_of(struct salvage *s, enum row_table table, int64_t id, const struct column *columns, size_t count)
{
	const char *types = row_defs[table].types;
	size_t n = strlen(types);
	int64_t number;

	if (count != n + 2)
		return false;
	buf_clear(&s->packed);
	for (size_t i = 0; i < n; i++) {
		const struct column *c = &columns[i + 1];
		if (types[i] != 'i') {
			if (c->type < 12)
				return false;
			row_put_bytes(&s->packed, slice_make((const char *)c->bytes, c->len));
		} else if (column_int(c, &number)) {
			row_put_int(&s->packed, number);
		} else {
			return false;
		}
	}
	return column_int(&columns[n + 1], &number) && number == row_crc(table, id, buf_slice(&s->packed));
}

static void keep_row(struct salvage *s, enum row_table table, int64_t id)
{
	if (s->count == s->cap)
		s->found = mem_realloc(s->found, s->cap = s->cap ? s->cap * 2 : 1024, sizeof *s->found);
	s->found[s->count++] = (struct found){ table, id, buf_len(&s->rows), buf_len(&s->packed) };
	buf_append(&s->rows, buf_slice(&s->packed));
}

/* Follows the overflow pages of a row until `total` bytes are together. */
static bool gather(struct salvage *s, uint32_t next, size_t total)
{
	unsigned char page[IMAGE_PAGE];
	while (buf_len(&s->payload) < total) {
		size_t n = total - buf_len(&s->payload);
		if (!image_read(s->image, next, page))
			return false;
		if (n > IMAGE_PAGE - 4)
			n = IMAGE_PAGE - 4;
		buf_append(&s->payload, slice_make((const char *)page + 4, n));
		next = (uint32_t)page[0] << 24 | (uint32_t)page[1] << 16 | (uint32_t)page[2] << 8 | page[3];
	}
	return true;
}

static bool read_cell(struct salvage *s, const unsigned char *page, size_t at)
{
	struct column columns[COLUMNS_MAX];
	uint64_t total, id;
	size_t n = varint(page + at, IMAGE_PAGE - at, &total);
	if (n == 0 || total > PAYLOAD_MAX)
		return false;
	at += n;
	if ((n = varint(page + at, IMAGE_PAGE - at, &id)) == 0)
		return false;
	at += n;
	size_t local = (size_t)total;
	if (local > LOCAL_MAX) {
		local = LOCAL_MIN + (local - LOCAL_MIN) % (IMAGE_PAGE - 4);
		if (local > LOCAL_MAX)
			local = LOCAL_MIN;
	}
	if (local + (local < total ? 4 : 0) > IMAGE_PAGE - at)
		return false;
	buf_clear(&s->payload);
	buf_append(&s->payload, slice_make((const char *)page + at, local));
	if (local < total) {
		const unsigned char *p = page + at + local;
		if (!gather(s, (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3], (size_t)total))
			return false;
	}
	size_t count = columns_of(buf_slice(&s->payload), columns);
	for (int table = 0; table < ROW_TABLES; table++) {
		if (!is_row_of(s, (enum row_table)table, (int64_t)id, columns, count))
			continue;
		keep_row(s, (enum row_table)table, (int64_t)id);
		return true;
	}
	return false;
}

static void read_page(struct salvage *s, const unsigned char *page)
{
	if (page[0] != LEAF)
		return;
	size_t cells = (size_t)page[3] << 8 | page[4];
	for (size_t i = 0; i < cells && LEAF_HEADER + 2 * i + 2 <= IMAGE_PAGE; i++) {
		const unsigned char *pointer = page + LEAF_HEADER + 2 * i;
		size_t at = (size_t)pointer[0] << 8 | pointer[1];
		if (at < LEAF_HEADER || at >= IMAGE_PAGE || !read_cell(s, page, at))
			s->bad++;
	}
}

static int by_table_and_id(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	if (x->table != y->table)
		return x->table < y->table ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

int salvage_read(const char *path, disk_row_fn *fn, void *ctx, struct salvage_counts *counts, struct err *err)
{
	struct salvage s = { .image = image_open(path, err) };
	unsigned char page[IMAGE_PAGE];

	if (!s.image)
		return -1;
	bool *free_pages = image_free_pages(s.image);
	/* Page 1 is the schema. */
	for (uint32_t n = 2; n <= image_pages(s.image); n++)
		if (!free_pages[n] && image_read(s.image, n, page))
			read_page(&s, page);
	bool ours = s.count > 0 || image_is_ours(s.image);
	if (s.count > 0)
		qsort(s.found, s.count, sizeof *s.found, by_table_and_id);
	*counts = (struct salvage_counts){ .bad_rows = s.bad };
	for (size_t i = 0; i < s.count; i++) {
		const struct found *f = &s.found[i];
		if (i > 0 && by_table_and_id(f - 1, f) == 0)
			continue;
		fn(ctx, f->table, f->id, slice_make(buf_slice(&s.rows).ptr + f->at, f->len));
		counts->rows++;
	}
	free(free_pages);
	free(s.found);
	buf_close(&s.rows);
	buf_close(&s.payload);
	buf_close(&s.packed);
	image_close(&s.image);
	return ours ? 0
	            : err_set(err, ERR_INVALID, "%s is neither a state file of hookswitch nor the rest of one; choose another file", path);
}
