#include "view/reply_json.h"

#include "view/headers_json.h"

static void write_output(const struct reply *reply, struct writer *writer)
{
	struct slice line;
	size_t cursor = 0;

	writer_open(writer, "output", '[');
	while (reply_output(reply, &cursor, &line))
		writer_item(writer, line);
	writer_close(writer, ']');
}

void reply_json(struct buf *out, const char *server, const char *id, const struct reply *reply)
{
	struct slice message = slice_cstr(reply->text);
	struct writer writer;

	if (reply->code == ERR_NONE && reply->response)
		message = message_value(reply->response, SLICE("Message"));
	writer_init(&writer, out);
	writer_open(&writer, NULL, '{');
	writer_text(&writer, "server", server);
	writer_text(&writer, "action", reply->action);
	writer_text(&writer, "action_id", id);
	writer_bool(&writer, "success", reply->code == ERR_NONE);
	writer_text(&writer, "code", reply->code == ERR_NONE ? NULL : err_name(reply->code));
	writer_slice(&writer, SLICE("message"), message);
	if (reply->response)
		headers_json(&(struct headers){ .message = reply->response }, &writer, "response");
	else
		writer_null(&writer, "response");
	if (reply->is_list) {
		writer_open(&writer, "events", '[');
		for (uint32_t i = 0; i < reply->event_count; i++)
			headers_json(&(struct headers){ .message = reply->events[i] }, &writer, NULL);
		writer_close(&writer, ']');
	}
	if (reply->has_output)
		write_output(reply, &writer);
	writer_close(&writer, '}');
	buf_append_char(out, '\n');
}

void reply_json_refused(struct buf *out, const char *server, struct slice action, const struct err *err)
{
	struct writer writer;

	writer_init(&writer, out);
	writer_open(&writer, NULL, '{');
	writer_text(&writer, "server", server);
	writer_slice(&writer, SLICE("action"), action);
	writer_null(&writer, "action_id");
	writer_bool(&writer, "success", false);
	writer_text(&writer, "code", err_name(err->code));
	writer_text(&writer, "message", err->text);
	writer_null(&writer, "response");
	writer_close(&writer, '}');
	buf_append_char(out, '\n');
}
