/* A parsed AMI frame: slices into bytes that somebody else owns, or one owned copy of them. */
#ifndef AMI_MESSAGE_H
#define AMI_MESSAGE_H

#include <stdint.h>

#include "base/slice.h"

/* One header line, by offsets from the frame's first byte, so that a frame can be moved. */
struct header {
	uint32_t name;       /* offset of the name */
	uint32_t value_len;
	uint16_t name_len;   /* 0: a line without a colon (Q09); the whole line is the value */
	uint16_t value_gap;  /* value's offset is name + name_len + value_gap */
};

/* Q20: by the presence of Event, then of Response. */
enum message_kind { MESSAGE_EVENT, MESSAGE_RESPONSE, MESSAGE_OTHER };

struct message {
	const char *bytes; /* the frame's first byte */
	uint32_t len;
	uint32_t header_count;
	const struct header *headers; /* in wire order, repeats kept (Q07) */
	enum message_kind kind;
	struct slice name;      /* of the event ("Newchannel") or of the response ("Success"); empty for other */
	struct slice action_id; /* empty when there is none */
	struct slice text;      /* raw text of `Response: Follows` without the end marker (Q12); NULL ptr otherwise */
};

static inline struct slice message_header_name(const struct message *m, uint32_t i)
{
	return (struct slice){ m->bytes + m->headers[i].name, m->headers[i].name_len };
}

static inline struct slice message_header_value(const struct message *m, uint32_t i)
{
	const struct header *h = &m->headers[i];
	return (struct slice){ m->bytes + h->name + h->name_len + h->value_gap, h->value_len };
}

/* The first value of that name, case ignored (Q08); false when the header is absent (an empty value is present). */
bool message_get(const struct message *m, struct slice name, struct slice *value);
/* As message_get, for the `nth` (from 0) header of that name. */
bool message_get_nth(const struct message *m, struct slice name, uint32_t nth, struct slice *value);
/* Convenience: the first value, or an empty slice. */
struct slice message_value(const struct message *m, struct slice name);
/* Index of the first header of that name at or after `from`, or -1. */
int64_t message_find(const struct message *m, struct slice name, uint32_t from);

/* A copy in one block that owns its bytes; freed with message_free(). NULL only when memory is out. */
struct message *message_copy(const struct message *m);
/* Size of that block in bytes. */
size_t message_copy_size(const struct message *m);
void message_free(struct message **m);

/* What the value of a header is. */
enum message_type {
	MESSAGE_TEXT = ' ',
	MESSAGE_INTEGER = 'i', MESSAGE_NUMBER = 'n', MESSAGE_BOOLEAN = 'b', /* as they print: 42, 2.5, true */
	MESSAGE_LIST = 'l', MESSAGE_MAP = 'm'                             /* tables, packed as value_pack() does: an empty one is `{}` in both */
};

/* Anything but text is found in messages of message_build_typed() alone: it stands where a wire has a blank. */
static inline enum message_type message_header_type(const struct message *m, uint32_t i)
{
	const struct header *h = &m->headers[i];
	char type = h->value_gap == 2 ? m->bytes[h->name + h->name_len + 1] : ' ';

	switch (type) {
	case MESSAGE_INTEGER:
	case MESSAGE_NUMBER:
	case MESSAGE_BOOLEAN:
	case MESSAGE_LIST:
	case MESSAGE_MAP:
		return (enum message_type)type;
	default:
		return MESSAGE_TEXT;
	}
}

static inline bool message_header_is_table(const struct message *m, uint32_t i)
{
	enum message_type type = message_header_type(m, i);
	return type == MESSAGE_LIST || type == MESSAGE_MAP;
}

/* Builds messages that no wire carried: the engine's own events. `names` and `values` are `count` long; the first
 * header becomes `Event: <name>`. Names and values may hold any byte. */
struct message *message_build(struct slice event, const struct slice *names, const struct slice *values, size_t count);
/* The same with the type of each value, `types[i]` one of enum message_type. */
struct message *message_build_typed(struct slice event, const struct slice *names, const struct slice *values, const char *types,
                                    size_t count);

#endif
