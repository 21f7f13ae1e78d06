#include "web/web_intake.h"

#include <stdlib.h>

#include "base/mem.h"
#include "web/web_change.h"
#include "web/web_sse.h"

struct change {
	struct list node;
	size_t bytes;
	char *server;            /* owned */
	struct message *message; /* owned; NULL: `event` and `data` are it */
	double at;
	char *event;             /* owned */
	struct buf data;
	enum web_seen seen;
};

void web_intake_init(struct web_intake *intake)
{
	*intake = (struct web_intake){ 0 };
	list_init(&intake->changes);
	buf_init(&intake->frame, 0);
}

static void change_free(struct web_intake *intake, struct change *change)
{
	list_remove(&change->node);
	intake->count--;
	intake->bytes -= change->bytes;
	message_free(&change->message);
	buf_close(&change->data);
	free(change->event);
	free(change->server);
	free(change);
}

void web_intake_clear(struct web_intake *intake)
{
	list_each_safe(it, &intake->changes)
		change_free(intake, list_entry(it, struct change, node));
}

void web_intake_close(struct web_intake *intake)
{
	web_intake_clear(intake);
	buf_close(&intake->frame);
}

static struct change *append(struct web_intake *intake, const char *server, size_t bytes)
{
	struct change *change = mem_zalloc(sizeof *change);

	change->server = mem_strdup(server);
	change->bytes = sizeof *change + bytes;
	buf_init(&change->data, 0);
	list_append(&intake->changes, &change->node);
	intake->count++;
	intake->bytes += change->bytes;
	return change;
}

void web_intake_add_event(struct web_intake *intake, const struct engine_event *event)
{
	struct message *message = message_copy(event->message);

	if (!message)
		return;
	struct change *change = append(intake, event->server, message_copy_size(message));
	change->message = message;
	change->at = event->at;
}

void web_intake_add(struct web_intake *intake, const char *event, struct slice data, enum web_seen seen, const char *server)
{
	struct change *change = append(intake, server, data.len);

	change->event = mem_strdup(event);
	buf_append(&change->data, data);
	change->seen = seen;
}

bool web_intake_make(struct web_intake *intake, struct web_ring *ring, uint32_t epoch)
{
	struct buf *frame = &intake->frame, queues;
	char name[64], id[WEB_SSE_ID];

	if (list_empty(&intake->changes))
		return false;
	struct change *change = list_entry(intake->changes.next, struct change, node);
	const struct engine_event event = { .server = change->server, .message = change->message, .at = change->at, .own = true };
	if (change->message)
		slice_to_text(change->message->name, name, sizeof name);
	buf_clear(frame);
	buf_init(&queues, 0);
	web_sse_open(frame, change->message ? name : change->event, web_sse_id(epoch, web_ring_next(ring), id));
	if (change->message)
		web_change_read(&event, frame, &change->seen, &queues);
	else
		buf_append(frame, buf_slice(&change->data));
	web_sse_close(frame);
	web_ring_add(ring, buf_slice(frame), change->seen, slice_cstr(change->server), buf_slice(&queues));
	buf_close(&queues);
	change_free(intake, change);
	return true;
}
