/* The live picture as JSON, for the console and the API. */
#ifndef VIEW_LIVE_JSON_H
#define VIEW_LIVE_JSON_H

#include "live/live.h"
#include "view/json_writer.h"

/* Every field; one without a value is null. */
void live_json_object(struct writer *writer, const char *key, const struct live_object *object, int64_t now);
/* Without the fields that have no value. */
void live_json_brief(struct writer *writer, const char *key, const struct live_object *object, int64_t now);

typedef bool live_json_sees_fn(void *ctx, const struct live_object *object, int64_t now);
typedef bool live_json_server_fn(void *ctx, struct slice server);

struct live_json_query {
	struct live *live;
	enum live_kind kind;
	const struct live_filter *filter;
	uint32_t limit;
	int64_t now;
	live_json_sees_fn *sees; /* which objects there are for who asks; NULL: all */
	void *ctx;
};

/* The members `plural` (at most `limit` objects) and `total` (how many match), inside an object. */
void live_json_list(struct writer *writer, const char *plural, const struct live_json_query *query);
/* The member `unknown` of a server: what its picture lacks. */
void live_json_unknown(struct writer *writer, const struct live_server *server);
/* The member `servers`: how much the picture knows of each. `sees` NULL: all. */
void live_json_states(struct writer *writer, struct live *live, live_json_server_fn *sees, void *ctx);

#endif
