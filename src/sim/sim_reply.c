/* Reading requests and writing what answers them. */
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "ami/catalogue.h"

const char *sim_get(const struct sim_request *request, const char *name)
{
	size_t len = strlen(name);

	for (unsigned i = 0; i < request->count; i++) {
		const char *line = request->lines[i];
		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		line += len + 1;
		while (*line && (unsigned char)*line <= ' ')
			line++;
		if (*line)
			return line;
	}
	return "";
}

bool sim_true(const char *text)
{
	static const char *const words[] = { "yes", "true", "y", "t", "1", "on" };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(text, words[i]) == 0)
			return true;
	return false;
}

struct buf *sim_reply(struct sim_client *client, const struct sim_request *request, const char *response)
{
	const char *id = sim_get(request, "ActionID");

	sim_put(&client->out, "Response", "%s", response);
	if (*id)
		sim_put(&client->out, "ActionID", "%s", id);
	return &client->out;
}

void sim_end(struct sim_client *client)
{
	sim_client_send(client, SLICE("\r\n"));
}

static void answer(struct sim_client *client, const struct sim_request *request, const char *response, const char *message)
{
	struct buf *out = sim_reply(client, request, response);
	sim_put(out, "Message", "%s", message);
	sim_end(client);
}

void sim_ack(struct sim_client *client, const struct sim_request *request, const char *message)
{
	answer(client, request, "Success", message);
}

void sim_error(struct sim_client *client, const struct sim_request *request, const char *format, ...)
{
	char message[1400];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	answer(client, request, "Error", message);
}

struct sim_list sim_list_begin(struct sim_client *client, const struct sim_request *request, bool bare, const char *message)
{
	struct sim_list list = { client, request, bare && client->sim->ami_version < CATALOGUE_AMI_EVENTLIST, false, NULL, 0 };
	struct buf *out = sim_reply(client, request, "Success");

	if (!list.bare)
		sim_put(out, "EventList", "start");
	sim_put(out, "Message", "%s", message);
	sim_end(client);
	return list;
}

static void put_id(const struct sim_list *list)
{
	const char *id = sim_get(list->request, "ActionID");
	if (*id)
		sim_put(&list->client->out, "ActionID", "%s", id);
}

struct buf *sim_item(struct sim_list *list, const char *event)
{
	list->items++;
	sim_put(&list->client->out, "Event", "%s", event);
	if (list->id_first)
		put_id(list);
	return &list->client->out;
}

void sim_item_end(struct sim_list *list)
{
	if (!list->id_first)
		put_id(list);
	sim_end(list->client);
}

void sim_list_end(struct sim_list *list, const char *event, const char *extra)
{
	struct buf *out = &list->client->out;

	sim_put(out, "Event", "%s", event);
	put_id(list);
	if (!list->bare) {
		sim_put(out, "EventList", "Complete");
		sim_put(out, "ListItems", "%u", list->items);
	}
	if (extra)
		sim_put(out, extra, "%u", list->items);
	if (list->about)
		sim_put_bridge(out, "", list->about);
	sim_end(list->client);
}
