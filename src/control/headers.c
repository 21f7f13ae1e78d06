#include "control/headers.h"

#include "control/json_writer.h"
#include "control/table.h"
#include "observe/redact.h"

uint32_t headers_count(const struct headers *headers)
{
	return headers->message ? headers->message->header_count : headers->action->count;
}

struct slice headers_name(const struct headers *headers, uint32_t i)
{
	return headers->message ? message_header_name(headers->message, i) : action_field_name(headers->action, i);
}

struct slice headers_value(const struct headers *headers, uint32_t i)
{
	return headers->message ? message_header_value(headers->message, i) : action_field_value(headers->action, i);
}

bool headers_match(const struct headers *headers, struct slice name, struct slice pattern)
{
	for (uint32_t i = 0; i < headers_count(headers); i++)
		if (slice_eq_nocase(headers_name(headers, i), name) && slice_glob(pattern, headers_value(headers, i)))
			return true;
	return false;
}

/* `A=1,password=2`: true when any of its names is a secret's. */
static bool names_secret(struct slice value)
{
	while (value.len > 0) {
		const char *comma = memchr(value.ptr, ',', value.len);
		size_t part = comma ? (size_t)(comma - value.ptr) : value.len;
		const char *equals = memchr(value.ptr, '=', part);
		if (equals && redact_name(slice_trim(slice_make(value.ptr, (size_t)(equals - value.ptr)))))
			return true;
		value = slice_make(value.ptr + part + (comma != NULL), value.len - part - (comma != NULL));
	}
	return false;
}

static bool is_variables(struct slice name)
{
	return slice_eq_nocase(name, SLICE("Variable")) || slice_eq_nocase(name, SLICE("Variables")) ||
	       slice_starts_with_nocase(name, SLICE("ChanVariable"));
}

bool header_is_secret(struct slice name, struct slice value)
{
	return redact_name(name) || (is_variables(name) && names_secret(value));
}

/* A variable's value stands beside its name: `Variable: password`, `Value: 1234` (VarSet, Setvar, GetVar's answer). */
static bool beside_secret(const struct headers *headers)
{
	for (uint32_t i = 0; i < headers_count(headers); i++)
		if (slice_eq_nocase(headers_name(headers, i), SLICE("Variable")) && redact_name(headers_value(headers, i)))
			return true;
	return false;
}

static struct slice masked_value(const struct headers *headers, uint32_t i)
{
	struct slice name = headers_name(headers, i), value = headers_value(headers, i);

	if (header_is_secret(name, value) || (slice_eq_nocase(name, SLICE("Value")) && beside_secret(headers)))
		return SLICE(REDACTED);
	return value;
}

void headers_value_text(const struct headers *headers, uint32_t i, struct buf *out)
{
	text_clean(out, masked_value(headers, i));
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
	writer_item(writer, masked_value(headers, first));
	for (uint32_t i = second; i < headers_count(headers); i++)
		if (slice_eq_nocase(headers_name(headers, i), name))
			writer_item(writer, masked_value(headers, i));
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
			writer_slice(writer, name, masked_value(headers, i));
	}
	writer_close(writer, '}');
}
