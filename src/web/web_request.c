#include "web/web_request.h"

int web_request_hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

struct slice web_request_header(const struct web_request *request, struct slice name)
{
	for (uint32_t i = 0; i < request->header_count; i++)
		if (slice_eq_nocase(request->headers[i].name, name))
			return request->headers[i].value;
	return (struct slice){ NULL, 0 };
}

bool web_request_has(const struct web_request *request, struct slice tag)
{
	struct slice left = web_request_header(request, SLICE("If-None-Match"));

	while (left.ptr && left.len > 0) {
		const char *comma = memchr(left.ptr, ',', left.len);
		size_t len = comma ? (size_t)(comma - left.ptr) : left.len;
		struct slice item = slice_trim(slice_make(left.ptr, len));
		if (slice_starts_with(item, SLICE("W/")))
			item = slice_make(item.ptr + 2, item.len - 2);
		if (slice_eq(item, tag) || slice_eq(item, SLICE("*")))
			return true;
		len += comma ? 1 : 0;
		left = slice_make(left.ptr + len, left.len - len);
	}
	return false;
}

int web_request_query(struct slice query, size_t *cursor, struct buf *out, size_t *name_len)
{
	bool named = false;

	while (*cursor < query.len && query.ptr[*cursor] == '&')
		++*cursor;
	if (*cursor >= query.len)
		return 0;
	buf_clear(out);
	for (; *cursor < query.len && query.ptr[*cursor] != '&'; ++*cursor) {
		char c = query.ptr[*cursor];
		if (c == '=' && !named) {
			named = true;
			*name_len = buf_len(out);
			continue;
		}
		if (c == '%') {
			int high = *cursor + 2 < query.len ? web_request_hex(query.ptr[*cursor + 1]) : -1;
			int low = high < 0 ? -1 : web_request_hex(query.ptr[*cursor + 2]);
			if (low < 0 || (high == 0 && low == 0))
				return -1;
			c = (char)(high << 4 | low);
			*cursor += 2;
		} else if (c == '+') {
			c = ' ';
		}
		if (buf_append_char(out, c))
			return -1;
	}
	if (!named)
		*name_len = buf_len(out);
	return 1;
}
