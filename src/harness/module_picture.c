/* The live picture in the harness: the lists that it asks for are given by the test. */
#include "harness/module_harness.h"
#include "rules/picture.h"

void harness_picture_open(struct harness *h)
{
	struct picture_options options = { .enabled = true };

	live_options_init(&options.live);
	options.live.resync_every = 0; /* a test asks as often as it likes */
	picture_configure(host_picture(h->host), &options);
	for (size_t i = 0; i < h->server_count; i++)
		picture_add(host_picture(h->host), h->servers[i]->id, h->servers[i]->name);
}

static const struct reply *find_list(struct reply *const *lists, size_t count, const char *action)
{
	for (size_t i = 0; i < count; i++)
		if (slice_eq_nocase(slice_cstr(lists[i]->action), slice_cstr(action)))
			return lists[i];
	return NULL;
}

static bool knows_nothing(struct harness *h, struct live_server *server)
{
	static const enum live_kind kinds[] = { LIVE_CHANNEL, LIVE_QUEUE, LIVE_ENDPOINT, LIVE_CONFERENCE, LIVE_LOT };
	const struct live_filter filter = { .server = server };

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (live_count(picture_live(host_picture(h->host)), kinds[i], &filter, 0) > 0)
			return false;
	return true;
}

void harness_picture_ready(struct harness *h, struct harness_server *s)
{
	struct picture *p = host_picture(h->host);

	picture_session(p, s->id, slice_cstr(s->version));
	if (knows_nothing(h, picture_server(p, s->id)))
		harness_snapshot(h, s, NULL, 0);
}

/* Those of other servers are empty, too. */
void harness_snapshot(struct harness *h, struct harness_server *s, struct reply *const *lists, size_t count)
{
	struct picture *p = host_picture(h->host);
	struct live_request request;
	uint32_t id;

	picture_want(p, s->id);
	while (picture_next_request(p, &id, &request)) {
		const struct reply *list = id == s->id ? find_list(lists, count, request.action) : NULL;
		for (uint32_t i = 0; list && i < list->event_count; i++)
			picture_item(p, id, list->events[i]);
		picture_answer(p, id, LIVE_ANSWERED, NULL);
	}
}
