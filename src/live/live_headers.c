#include "live/live_headers.h"

#include <stdlib.h>

#include "base/mem.h"

#define SLICE_INIT(text) { text, sizeof(text) - 1 }
#define CHANNEL_HEADERS(prefix) \
	SLICE_INIT(prefix "Uniqueid"), SLICE_INIT(prefix "Channel"), SLICE_INIT(prefix "Linkedid"), SLICE_INIT(prefix "ChannelState"), \
	SLICE_INIT(prefix "CallerIDNum"), SLICE_INIT(prefix "CallerIDName"), SLICE_INIT(prefix "ConnectedLineNum"), \
	SLICE_INIT(prefix "ConnectedLineName"), SLICE_INIT(prefix "AccountCode"), SLICE_INIT(prefix "Context"), SLICE_INIT(prefix "Exten")
#define HEADER_NAME(id, text) SLICE_INIT(text),

/* In the order of enum live_prefix with enum live_channel_header, then of enum live_header. */
static const struct slice names[LIVE_HEADERS] = {
	CHANNEL_HEADERS(""), CHANNEL_HEADERS("Dest"), CHANNEL_HEADERS("Parkee"), CHANNEL_HEADERS("Parker"), CHANNEL_HEADERS("Retriever"),
	CHANNEL_HEADERS("Transferer"), CHANNEL_HEADERS("Transferee"), CHANNEL_HEADERS("OrigTransferer"), CHANNEL_HEADERS("SecondTransferer"),
	CHANNEL_HEADERS("TransferTarget"), CHANNEL_HEADERS("Target"), CHANNEL_HEADERS("LocalOne"), CHANNEL_HEADERS("LocalTwo"),
	LIVE_HEADER_LIST(HEADER_NAME)
};

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

/* As it is nearly always written. Whole words at once, the last one overlaps the one before: several headers are looked up for each
 * event. */
static inline bool same_bytes(const char *a, const char *b, size_t len)
{
	uint64_t x, y;
	uint32_t p, q;

	if (len >= 8) {
		for (size_t i = 0; i + 8 < len; i += 8) {
			memcpy(&x, a + i, sizeof x);
			memcpy(&y, b + i, sizeof y);
			if (x != y)
				return false;
		}
		memcpy(&x, a + len - 8, sizeof x);
		memcpy(&y, b + len - 8, sizeof y);
		return x == y;
	}
	if (len < 4)
		return memcmp(a, b, len) == 0;
	memcpy(&p, a, sizeof p);
	memcpy(&q, b, sizeof q);
	if (p != q)
		return false;
	memcpy(&p, a + len - 4, sizeof p);
	memcpy(&q, b + len - 4, sizeof q);
	return p == q;
}

/* Index of the header, or -1. */
static int64_t find(const struct live_reader *reader, unsigned header)
{
	const struct message *m = reader->message;
	struct slice name = names[header];
	uint32_t place = reader->places[header];
	/* Names do not repeat in what is read here, so wherever it stands it is the first one. */
	if (place < m->header_count && m->headers[place].name_len == name.len && same_bytes(m->bytes + m->headers[place].name, name.ptr, name.len))
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
