#include "live/live_headers.h"

#include <stdlib.h>

#include "base/mem.h"

static const char *const prefixes[LIVE_PREFIXES] = {
	"", "Dest", "Parkee", "Parker", "Retriever", "Transferer", "Transferee", "OrigTransferer", "SecondTransferer",
	"TransferTarget", "Target", "LocalOne", "LocalTwo",
};

static const char *const channel_headers[LIVE_CHANNEL_HEADERS] = {
	"Uniqueid", "Channel", "Linkedid", "ChannelState", "CallerIDNum", "CallerIDName", "ConnectedLineNum", "ConnectedLineName",
	"AccountCode", "Context", "Exten",
};

#define HEADER_NAME(id, text) SLICE_INIT(text),
#define SLICE_INIT(text) { text, sizeof(text) - 1 }
static const struct slice plain_headers[] = { LIVE_HEADER_LIST(HEADER_NAME) };

void live_headers_close(struct live_headers *headers)
{
	for (uint32_t i = 0; i < headers->events; i++)
		free(headers->places[i]);
	free(headers->places);
	*headers = (struct live_headers){ 0 };
}

struct live_reader live_headers_read(struct live_headers *headers, uint32_t event, const struct message *message)
{
	if (event >= headers->events) {
		headers->places = mem_realloc(headers->places, event + 1, sizeof *headers->places);
		while (headers->events <= event)
			headers->places[headers->events++] = NULL;
	}
	if (!headers->places[event])
		headers->places[event] = mem_zalloc(LIVE_HEADERS);
	return (struct live_reader){ message, headers->places[event] };
}

static struct slice header_name(unsigned header, char text[64])
{
	if (header > LIVE_H_FIRST)
		return plain_headers[header - LIVE_H_FIRST - 1];
	const char *prefix = prefixes[header / LIVE_CHANNEL_HEADERS], *name = channel_headers[header % LIVE_CHANNEL_HEADERS];
	size_t prefix_len = strlen(prefix), len = strlen(name);
	if (prefix_len == 0)
		return slice_make(name, len);
	memcpy(text, prefix, prefix_len);
	memcpy(text + prefix_len, name, len);
	return slice_make(text, prefix_len + len);
}

/* Index of the header, or -1. */
static int64_t find(const struct live_reader *reader, unsigned header)
{
	const struct message *m = reader->message;
	char text[64];
	struct slice name = header_name(header, text);
	uint32_t place = reader->places[header];
	/* Names do not repeat in what is read here, so wherever it stands it is the first one. */
	if (place < m->header_count && slice_eq(message_header_name(m, place), name))
		return place;
	int64_t found = message_find(m, name, 0);
	if (found >= 0 && found <= UINT8_MAX)
		reader->places[header] = (uint8_t)found;
	return found;
}

static bool is_nothing(struct slice value)
{
	switch (value.len) {
	case 6:
		return slice_eq(value, SLICE("<none>")) || slice_eq(value, SLICE("(null)")) || slice_eq(value, SLICE("<null>"));
	case 9:
		return slice_eq(value, SLICE("<unknown>"));
	default:
		return false;
	}
}

struct slice live_headers_get(const struct live_reader *reader, unsigned header)
{
	int64_t i = find(reader, header);
	if (i < 0)
		return slice_make("", 0);
	struct slice value = message_header_value(reader->message, (uint32_t)i);
	return is_nothing(value) ? slice_make("", 0) : value;
}

bool live_headers_has(const struct live_reader *reader, unsigned header)
{
	return find(reader, header) >= 0;
}

int64_t live_headers_int(const struct live_reader *reader, unsigned header, int64_t otherwise)
{
	int64_t n;
	return slice_to_int(live_headers_get(reader, header), &n) ? n : otherwise;
}

bool live_headers_true(const struct live_reader *reader, unsigned header)
{
	struct slice value = live_headers_get(reader, header);
	return slice_eq(value, SLICE("1")) || slice_eq_nocase(value, SLICE("yes")) || slice_eq_nocase(value, SLICE("true")) ||
	       slice_eq_nocase(value, SLICE("on"));
}

struct slice live_headers_interface(const struct live_reader *reader)
{
	struct slice value = live_headers_get(reader, LIVE_H_INTERFACE);
	if (value.len == 0)
		value = live_headers_get(reader, LIVE_H_LOCATION);
	return value.len > 0 ? value : live_headers_get(reader, LIVE_H_MEMBER);
}

struct slice live_headers_member_name(const struct live_reader *reader)
{
	struct slice value = live_headers_get(reader, LIVE_H_MEMBER_NAME);
	return value.len > 0 ? value : message_value(reader->message, SLICE("Name"));
}
