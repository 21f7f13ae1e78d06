/* Who watches what happens: a list, called in the order in which they were added. */
#include "engine/internal.h"
#include "rules/picture.h"

void engine_watch_add(struct engine *e, struct engine_watch *watch)
{
	list_append(&e->watches, &watch->node);
	picture_watch(host_picture(e->host), true);
	engine_events_update(e);
}

void engine_watch_remove(struct engine *e, struct engine_watch *watch)
{
	list_remove(&watch->node);
	picture_watch(host_picture(e->host), !list_empty(&e->watches));
	engine_events_update(e);
}

void engine_watch_changed(struct engine *e, const struct engine_watch *watch)
{
	(void)watch;
	engine_events_update(e);
}

void engine_watch_event(const struct engine *e, const struct engine_event *event)
{
	list_each(it, &e->watches) {
		const struct engine_watch *watch = list_entry(it, struct engine_watch, node);
		if (watch->event)
			watch->event(watch->ctx, event);
	}
}

void engine_watch_sent(const struct engine *e, const char *server, const char *sender, const char *rule,
                       const struct action *action, const char *id)
{
	list_each(it, &e->watches) {
		const struct engine_watch *watch = list_entry(it, struct engine_watch, node);
		if (watch->sent)
			watch->sent(watch->ctx, server, sender, rule, action, id);
	}
}

void engine_watch_answered(const struct engine *e, const char *server, const char *sender, const char *rule,
                           const struct reply *reply)
{
	list_each(it, &e->watches) {
		const struct engine_watch *watch = list_entry(it, struct engine_watch, node);
		if (watch->answered)
			watch->answered(watch->ctx, server, sender, rule, reply);
	}
}
