#include "control/headers.h"

#include "control/json_writer.h"
#include "control/table.h"

void headers_value_text(const struct headers *headers, uint32_t i, struct buf *out)
{
	text_clean(out, headers_masked(headers, i));
}

/* Where the header of that name stood first; `i` itself when here. */
static uint32_t first_of(const struct headers *headers, uint32_t i)
{
	struct slice name = headers_name(headers, i);
	uint32_t first = 0;

	while (!slice_eq_nocase(headers_name(headers, first), name))
		first++;
	return first;
}

static void write_repeated(const struct headers *headers, struct writer *writer, uint32_t first, uint32_t second)
{
	struct slice name = headers_name(headers, first);

	writer_open_slice(writer, name, '[');
	writer_item(writer, headers_masked(headers, first));
	for (uint32_t i = second; i < headers_count(headers); i++)
		if (slice_eq_nocase(headers_name(headers, i), name))
			writer_item(writer, headers_masked(headers, i));
	writer_close(writer, ']');
}

void headers_json(const struct headers *headers, struct writer *writer, const char *key)
{
	uint32_t count = headers_count(headers);

	writer_open(writer, key, '{');
	for (uint32_t i = 0; i < count; i++) {
		struct slice name = headers_name(headers, i);
		uint32_t second = i + 1;
		if (name.len == 0 || first_of(headers, i) < i)
			continue;
		while (second < count && !slice_eq_nocase(headers_name(headers, second), name))
			second++;
		if (second < count)
			write_repeated(headers, writer, i, second);
		else
			writer_slice(writer, name, headers_masked(headers, i));
	}
	writer_close(writer, '}');
}
