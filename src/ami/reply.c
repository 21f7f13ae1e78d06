#include "ami/reply.h"

#include <stdlib.h>

#include "base/mem.h"

void reply_write_id(struct slice head, uint64_t sequence, char id[ACTION_ID_MAX + 1])
{
	char digits[20];
	size_t n = sizeof digits;
	do
		digits[--n] = (char)('0' + sequence % 10);
	while ((sequence /= 10) > 0);
	memcpy(id, head.ptr, head.len);
	memcpy(id + head.len, digits + n, sizeof digits - n);
	id[head.len + sizeof digits - n] = '\0';
}

void reply_id(const struct reply *reply, char id[ACTION_ID_MAX + 1])
{
	if (reply->sequence > 0)
		reply_write_id(slice_make(reply->id_head, reply->id_head_len), reply->sequence, id);
	else
		id[0] = '\0';
}

bool reply_output(const struct reply *reply, size_t *cursor, struct slice *line)
{
	const struct message *m = reply->response;
	if (!m)
		return false;
	if (!m->text.ptr) {
		int64_t i = message_find(m, SLICE("Output"), (uint32_t)*cursor);
		if (i < 0)
			return false;
		*line = message_header_value(m, (uint32_t)i);
		*cursor = (size_t)i + 1;
		return true;
	}
	if (*cursor >= m->text.len)
		return false;
	const char *start = m->text.ptr + *cursor;
	const char *lf = memchr(start, '\n', m->text.len - *cursor);
	size_t len = lf ? (size_t)(lf - start) : m->text.len - *cursor;
	*cursor += len + 1;
	*line = slice_make(start, len > 0 && start[len - 1] == '\r' ? len - 1 : len);
	return true;
}

struct reply *reply_failed(enum err_code code, const char *text, void *tag, const char *action)
{
	struct reply *r = mem_zalloc(sizeof *r);
	r->size = sizeof *r;
	r->code = code;
	r->tag = tag;
	slice_to_text(slice_cstr(text), r->text, sizeof r->text);
	slice_to_text(slice_cstr(action), r->action, sizeof r->action);
	return r;
}

static void drop_messages(struct reply *reply)
{
	message_free(&reply->response);
	for (uint32_t i = 0; i < reply->event_count; i++)
		message_free(&reply->events[i]);
	free(reply->events);
	reply->events = NULL;
	reply->event_count = 0;
}

void reply_overflow(struct reply *reply, const char *text)
{
	drop_messages(reply);
	reply->code = ERR_OVERFLOW;
	reply->is_list = reply->has_output = false;
	slice_to_text(slice_cstr(text), reply->text, sizeof reply->text);
}

void reply_free(struct reply **reply)
{
	struct reply *r = *reply;
	if (!r)
		return;
	drop_messages(r);
	free(r);
	*reply = NULL;
}

size_t reply_size(const struct reply *reply)
{
	size_t size = reply->size + (reply->response ? message_copy_size(reply->response) : 0);
	for (uint32_t i = 0; i < reply->event_count; i++)
		size += message_copy_size(reply->events[i]);
	return size;
}
