#include "live/live_internal.h"

#include <stdlib.h>

#include "base/mem.h"

static bool is_named(int kind)
{
	return kind < LIVE_SETS || kind >= LIVE_KINDS;
}

void live_object_init(struct live_object *object, int kind, struct live_server *s, struct live_name *key)
{
	object->kind = (uint8_t)kind;
	object->refs = 1;
	object->server = s;
	object->key = key;
	object->seen = s->live->now;
	s->alive++;
	if (is_named(kind)) {
		object->same_name = key->objects;
		key->objects = object;
	}
	if (kind < LIVE_SETS)
		object->serial = live_set_add(&s->sets[kind], object);
}

static void free_object(struct live_object *object)
{
	switch (object->kind) {
	case LIVE_CHANNEL: live_channel_free(object); break;
	case LIVE_CALL: live_call_free(object); break;
	case LIVE_BRIDGE: live_bridge_free(object); break;
	case LIVE_CONFERENCE: live_conference_free(object); break;
	case LIVE_PARTICIPANT: live_conference_free_participant(object); break;
	case LIVE_LOT: live_parking_free(object); break;
	case LIVE_PARKED: live_parking_free_parked(object); break;
	case LIVE_QUEUE: live_queue_free(object); break;
	case LIVE_CALLER: live_queue_free_caller(object); break;
	case LIVE_WAIT: live_queue_free_wait(object); break;
	case LIVE_MEMBER: live_member_free(object); break;
	case LIVE_AGENT: live_agent_free(object); break;
	case LIVE_ENDPOINT: live_endpoint_free(object); break;
	default: break; /* aliases and groups own nothing but their key */
	}
}

void live_object_drop_server(struct live_server *s)
{
	if (--s->alive > 0 || !s->removed)
		return;
	live_names_close(&s->names);
	free(s->name);
	free(s);
}

void live_release(struct live_object **held)
{
	struct live_object *object = *held;
	*held = NULL;
	if (!object || --object->refs > 0)
		return;
	struct live_server *s = object->server;
	free_object(object);
	live_names_drop(&s->names, &object->key);
	free(object);
	live_object_drop_server(s);
}

void live_retain(struct live_object *object)
{
	object->refs++;
}

void live_object_remove(struct live_object *object)
{
	if (is_named(object->kind)) {
		struct live_object **at = &object->key->objects;
		while (*at != object)
			at = &(*at)->same_name;
		*at = object->same_name;
	}
	if (object->kind < LIVE_SETS)
		live_set_remove(&object->server->sets[object->kind], object->serial);
	object->gone = true;
	live_release(&object);
}

struct live_object *live_object_named(const struct live_name *name, int kind)
{
	struct live_object *object = name ? name->objects : NULL;
	while (object && object->kind != kind)
		object = object->same_name;
	return object;
}

struct live_object *live_object_find(const struct live_server *s, int kind, struct slice key)
{
	return live_object_named(live_names_find(&s->names, key), kind);
}

bool live_object_fits(struct live_server *s, int kind, uint32_t count, uint32_t limit, struct slice key)
{
	if (count < limit && !mem_is_short() && key.len > 0 && key.len <= LIVE_TEXT_MAX)
		return true;
	if (key.len > 0)
		live_overflow(s, (enum live_kind)kind);
	return false;
}

enum live_kind live_object_kind(const struct live_object *object)
{
	return (enum live_kind)object->kind;
}

struct live_server *live_object_server(const struct live_object *object)
{
	return object->server;
}

bool live_object_gone(const struct live_object *object)
{
	return object->gone;
}

uint64_t live_object_serial(const struct live_object *object)
{
	return object->serial;
}

struct live_object *live_resolve(const struct live_server *server, enum live_kind kind, uint64_t serial)
{
	return kind < LIVE_SETS ? live_set_get(&server->sets[kind], serial) : NULL;
}
