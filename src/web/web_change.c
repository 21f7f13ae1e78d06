#include "web/web_change.h"

#include "base/value_pack.h"
#include "rules/picture.h"
#include "view/headers_json.h"

static void add_queue(struct buf *queues, struct slice name)
{
	if (name.len == 0 || memchr(name.ptr, '\0', name.len))
		return;
	buf_append(queues, name);
	buf_append_char(queues, '\0');
}

static void add_header(const struct message *m, struct slice name, struct buf *queues)
{
	struct slice value;
	if (message_get(m, name, &value))
		add_queue(queues, value);
}

static struct slice text_of(const struct value *value)
{
	return value && value->type == VALUE_TEXT ? slice_make(value->text.bytes, value->text.len) : (struct slice){ "", 0 };
}

/* The items of a packed list: texts, or tables with the member `queue`. */
static void add_list(const struct message *m, struct slice name, struct buf *queues)
{
	struct slice packed;
	struct value list;

	if (!message_get(m, name, &packed) || value_unpack(packed, &list) == -1)
		return;
	for (size_t i = 0; list.type == VALUE_TABLE && i < list.table.count; i++) {
		const struct value *item = &list.table.pairs[i].value;
		add_queue(queues, text_of(item->type == VALUE_TABLE ? value_get(item, SLICE("queue")) : item));
	}
	value_close(&list);
}

static enum web_seen sight_of(const struct message *m, struct buf *queues)
{
	struct slice event = m->name;

	if (slice_starts_with(event, SLICE("call."))) {
		add_header(m, SLICE("queue"), queues);
		add_list(m, SLICE("waits"), queues);
		return WEB_SEEN_QUEUES;
	}
	if (slice_starts_with(event, SLICE("agent."))) {
		add_list(m, SLICE("queues"), queues);
		return WEB_SEEN_QUEUES;
	}
	if (slice_eq(event, SLICE("queue.changed"))) {
		add_header(m, SLICE("name"), queues);
		return WEB_SEEN_QUEUES;
	}
	if (slice_starts_with(event, SLICE("queue."))) {
		add_header(m, SLICE("queue"), queues);
		return WEB_SEEN_QUEUES;
	}
	if (slice_starts_with(event, SLICE("endpoint.")) || slice_starts_with(event, SLICE("conference.")))
		return WEB_SEEN_WIDE;
	return slice_starts_with(event, SLICE("script.")) ? WEB_SEEN_WHOLE : WEB_SEEN_SERVER;
}

bool web_change_is_one(const struct engine_event *event)
{
	static const char *const others[] = { "server.ready", "server.lost", "server.gap", "script.quarantined" };
	struct slice name = event->message->name;

	if (!event->own || event->sender)
		return false;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (slice_eq(name, slice_cstr(others[i])))
			return true;
	return picture_event_names(name);
}

void web_change_read(const struct engine_event *event, struct buf *data, enum web_seen *seen, struct buf *queues)
{
	const struct message *m = event->message;
	struct writer writer;

	*seen = sight_of(m, queues);
	if (buf_len(queues) > 0)
		buf_append_char(queues, '\0');
	writer_init(&writer, data);
	writer_open(&writer, NULL, '{');
	headers_json_members(&(struct headers){ .message = m }, &writer, SLICE("Event"));
	writer_number(&writer, "at", event->at);
	writer_close(&writer, '}');
}
