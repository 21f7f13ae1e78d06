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

/* Looks through all headers, and notes where this one stands. NULL: nowhere. Out of line: it is needed seldom. */
__attribute__((noinline)) static const struct header *search(const struct live_reader *reader, unsigned header)
{
	const struct message *m = reader->message;
	int64_t found = message_find(m, names[header], 0);
	if (found >= 0 && found <= UINT8_MAX)
		reader->places[header] = (uint8_t)found;
	return found >= 0 ? &m->headers[found] : NULL;
}

/* NULL: it is absent. */
static inline const struct header *find(const struct live_reader *reader, unsigned header)
{
	const struct message *m = reader->message;
	uint32_t place = reader->places[header];
	/* Names do not repeat in what is read here, so wherever it stands it is the first one; and it is nearly always written in one way. */
	if (place < m->header_count && slice_eq_short(message_header_name(m, place), names[header]))
		return &m->headers[place];
	return search(reader, header);
}

static inline bool is_nothing(struct slice value)
{
	if ((value.len != 6 && value.len != 9) || (value.ptr[0] != '<' && value.ptr[0] != '('))
		return false;
	return slice_eq(value, SLICE("<none>")) || slice_eq(value, SLICE("(null)")) || slice_eq(value, SLICE("<null>")) ||
	       slice_eq(value, SLICE("<unknown>"));
}

struct slice live_headers_get(const struct live_reader *reader, unsigned header)
{
	const struct header *h = find(reader, header);
	if (!h)
		return slice_make("", 0);
	struct slice value = slice_make(reader->message->bytes + h->name + h->name_len + h->value_gap, h->value_len);
	return is_nothing(value) ? slice_make("", 0) : value;
}

bool live_headers_has(const struct live_reader *reader, unsigned header)
{
	return find(reader, header) != NULL;
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
