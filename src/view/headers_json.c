#include "view/headers_json.h"

#include "view/json_writer.h"
#include "view/packed.h"

/* Of the engine's own events some values are numbers, booleans and tables. */
static enum message_type type_of(const struct headers *headers, uint32_t i)
{
	return headers->message ? message_header_type(headers->message, i) : MESSAGE_TEXT;
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

static void write_typed(const struct headers *headers, struct writer *writer, uint32_t i)
{
	struct slice value = headers_value(headers, i);
	char name[64];
	struct buf json;

	buf_init(&json, 0);
	if (message_header_is_table(headers->message, i))
		packed_json(value, type_of(headers, i) == MESSAGE_MAP, &json);
	else
		buf_append(&json, value); /* it prints as JSON has it */
	slice_to_text(headers_name(headers, i), name, sizeof name);
	writer_json(writer, name, buf_slice(&json));
	buf_close(&json);
}

void headers_json_members(const struct headers *headers, struct writer *writer, struct slice but)
{
	uint32_t count = headers_count(headers);

	for (uint32_t i = 0; i < count; i++) {
		struct slice name = headers_name(headers, i);
		uint32_t second = i + 1;
		if (name.len == 0 || slice_eq_nocase(name, but) || first_of(headers, i) < i)
			continue;
		while (second < count && !slice_eq_nocase(headers_name(headers, second), name))
			second++;
		if (type_of(headers, i) != MESSAGE_TEXT)
			write_typed(headers, writer, i);
		else if (second < count)
			write_repeated(headers, writer, i, second);
		else
			writer_slice(writer, name, headers_masked(headers, i));
	}
}

void headers_json(const struct headers *headers, struct writer *writer, const char *key)
{
	writer_open(writer, key, '{');
	headers_json_members(headers, writer, (struct slice){ "", 0 });
	writer_close(writer, '}');
}
