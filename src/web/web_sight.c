#include "web/web_sight.h"

static bool text_seen(const struct web_token *token, const struct live_object *object, struct slice field, int64_t now)
{
	struct live_value v = live_get(object, live_field(live_object_kind(object), field), now);
	return v.type == LIVE_TEXT && web_token_sees_queue(token, v.text);
}

struct search {
	const struct web_token *token;
	int64_t now;
	bool found;
};

/* A queue's name, or something that was in one. */
static bool look(void *ctx, const struct live_object *object, struct slice key, const struct live_value *value)
{
	struct search *search = ctx;
	(void)key;

	if (object)
		search->found = text_seen(search->token, object, SLICE("queue"), search->now);
	else
		search->found = value->type == LIVE_TEXT && web_token_sees_queue(search->token, value->text);
	return !search->found;
}

static bool list_seen(const struct web_token *token, const struct live_object *object, struct slice field, int64_t now)
{
	struct live_value list = live_get(object, live_field(live_object_kind(object), field), now);
	struct search search = { token, now, false };

	if (list.type == LIVE_LIST)
		live_each_item(&list, look, &search);
	return search.found;
}

bool web_sight(const struct web_token *token, const struct live_object *object, int64_t now)
{
	if (!web_token_sees_server(token, live_server_name(live_object_server(object))))
		return false;
	if (token->queues.count == 0)
		return true;
	switch (live_object_kind(object)) {
	case LIVE_CALL:
		return text_seen(token, object, SLICE("queue"), now) || list_seen(token, object, SLICE("waits"), now);
	case LIVE_QUEUE:
		return text_seen(token, object, SLICE("name"), now);
	case LIVE_AGENT:
		return list_seen(token, object, SLICE("queues"), now);
	case LIVE_CALLER:
	case LIVE_MEMBER:
		return text_seen(token, object, SLICE("queue"), now);
	default:
		return false;
	}
}
