#include "ami/message.h"

#include <stdlib.h>

int64_t message_find(const struct message *m, struct slice name, uint32_t from)
{
	if (name.len == 0)
		return -1;
	char first = slice_lower(name.ptr[0]);
	for (uint32_t i = from; i < m->header_count; i++) {
		const struct header *h = &m->headers[i];
		if (h->name_len == name.len && slice_lower(m->bytes[h->name]) == first &&
		    slice_eq_nocase(slice_make(m->bytes + h->name, h->name_len), name))
			return i;
	}
	return -1;
}

bool message_get_nth(const struct message *m, struct slice name, uint32_t nth, struct slice *value)
{
	int64_t i = message_find(m, name, 0);
	while (i >= 0 && nth-- > 0)
		i = message_find(m, name, (uint32_t)i + 1);
	if (i < 0)
		return false;
	*value = message_header_value(m, (uint32_t)i);
	return true;
}

bool message_get(const struct message *m, struct slice name, struct slice *value)
{
	return message_get_nth(m, name, 0, value);
}

struct slice message_value(const struct message *m, struct slice name)
{
	struct slice value = { "", 0 };
	message_get(m, name, &value);
	return value;
}

size_t message_copy_size(const struct message *m)
{
	return sizeof *m + m->header_count * sizeof *m->headers + m->len;
}

/* A slice of the old bytes, as it lies in the new ones. */
static struct slice rebase(struct slice s, const char *from, const char *to)
{
	return s.ptr && s.len > 0 ? slice_make(to + (s.ptr - from), s.len) : slice_make(s.ptr ? to : NULL, 0);
}

struct message *message_copy(const struct message *m)
{
	struct message *copy = malloc(message_copy_size(m));
	if (!copy)
		return NULL;
	struct header *headers = (struct header *)(copy + 1);
	char *bytes = (char *)(headers + m->header_count);

	if (m->header_count > 0)
		memcpy(headers, m->headers, m->header_count * sizeof *headers);
	if (m->len > 0)
		memcpy(bytes, m->bytes, m->len);
	*copy = *m;
	copy->bytes = bytes;
	copy->headers = headers;
	copy->name = rebase(m->name, m->bytes, bytes);
	copy->action_id = rebase(m->action_id, m->bytes, bytes);
	copy->text = rebase(m->text, m->bytes, bytes);
	return copy;
}

void message_free(struct message **m)
{
	free(*m);
	*m = NULL;
}

struct message *message_build(struct slice event, const struct slice *names, const struct slice *values, size_t count)
{
	return message_build_typed(event, names, values, NULL, count);
}

struct message *message_build_typed(struct slice event, const struct slice *names, const struct slice *values, const char *types,
                                    size_t count)
{
	size_t len = sizeof "Event: " + event.len;
	for (size_t i = 0; i < count; i++)
		len += names[i].len + 2 + values[i].len;
	struct message *m = malloc(sizeof *m + (count + 1) * sizeof(struct header) + len);
	if (!m)
		return NULL;
	struct header *headers = (struct header *)(m + 1);
	char *bytes = (char *)(headers + count + 1), *at = bytes;

	for (size_t i = 0; i <= count; i++) {
		struct slice name = i == 0 ? SLICE("Event") : names[i - 1];
		struct slice value = i == 0 ? event : values[i - 1];
		headers[i] = (struct header){ .name = (uint32_t)(at - bytes), .value_len = (uint32_t)value.len,
		                              .name_len = (uint16_t)name.len, .value_gap = 2 };
		at = mempcpy(at, name.ptr, name.len);
		*at++ = ':';
		*at++ = types && i > 0 ? types[i - 1] : ' ';
		if (value.len > 0)
			at = mempcpy(at, value.ptr, value.len);
	}
	*m = (struct message){ .bytes = bytes, .len = (uint32_t)(at - bytes), .headers = headers,
	                       .header_count = (uint32_t)count + 1, .kind = MESSAGE_EVENT };
	m->name = message_header_value(m, 0);
	return m;
}
