/* `record`: what a server sends, as it comes in its running session. The answer is a stream of blocks, "B LENGTH SECONDS\n" and
 * so many bytes that arrived at that time (epoch); "E REASON\n" when the session has ended. Nothing is left out of it: a client
 * that is slower than the server is closed. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/clock.h"
#include "control/capture.h"
#include "control/internal.h"
#include "control/table.h"

struct record {
	struct client *client;
	struct link *link; /* NULL: the session has ended */
	struct link_tap tap;
	bool failed; /* it has a hole and was ended */
	struct capture capture;
};

static void write_block(void *ctx, struct slice bytes, double at)
{
	const struct record *record = ctx;
	struct client *client = record->client;

	client_flush_later(client);
	/* What would come behind a block that is left out has a hole. */
	if (client->cut || buf_len(&client->out) > CONSOLE_ANSWER_MAX)
		client->cut = true;
	else
		client->cut = buf_printf(&client->out, "B %zu %.6f\n", bytes.len, at) || buf_append(&client->out, bytes);
}

static void on_bytes(void *ctx, struct slice bytes, double at)
{
	struct record *record = ctx;
	struct client *client = record->client;

	if (record->failed || capture_feed(&record->capture, bytes, at) == 0)
		return;
	record->failed = true;
	buf_append_cstr(&client->out, "E system: no memory left for the recording\n");
	client_flush_later(client);
}

static void on_ended(void *ctx, const char *reason, const char *text)
{
	struct record *record = ctx;
	struct client *client = record->client;

	record->link = NULL;
	if (!record->failed) {
		capture_end(&record->capture, clock_wall());
		buf_append_cstr(&client->out, "E ");
		text_clean(&client->out, slice_cstr(reason));
		buf_append_cstr(&client->out, ": ");
		text_clean(&client->out, slice_cstr(text));
		buf_append_char(&client->out, '\n');
	}
	client->cancel(client);
	client_finish(client, 0);
}

static void cancel(struct client *client)
{
	struct record *record = client->work;

	client->work = NULL;
	if (record->link)
		link_set_tap(record->link, NULL);
	capture_close(&record->capture);
	free(record);
}

int command_record(struct request *request)
{
	struct client *client = request->client;
	const char *name = request->argv[0];
	struct link *link = engine_server_link(request->engine, slice_cstr(name));

	if (!link)
		return client_refuse(client, 1, "record: the configuration has no server '%s'", name);
	if (link_state(link) != LINK_READY)
		return client_refuse(client, 1, "record: %s has no session now (%s)", name, link_state_name(link_state(link)));
	command_log(client, "console: record", name);
	struct record *record = mem_zalloc(sizeof *record);
	record->client = client;
	record->link = link;
	record->tap = (struct link_tap){ .ctx = record, .bytes = on_bytes, .ended = on_ended };
	capture_init(&record->capture, write_block, record);
	client->work = record;
	client->cancel = cancel;
	if (link_set_tap(link, &record->tap) == -1) {
		record->link = NULL;
		client->cancel = NULL;
		cancel(client);
		return client_refuse(client, 1, "record: somebody records %s already", name);
	}
	client_flush_later(client);
	return COMMAND_LATER;
}
