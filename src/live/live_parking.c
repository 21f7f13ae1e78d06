#include "live/live_internal.h"

#include "base/mem.h"

struct live_lot *live_parking_lot(struct live_server *s, struct slice name, bool make)
{
	if (name.len == 0)
		name = SLICE("default");
	struct live_lot *lot = LIVE_AS(lot, live_object_find(s, LIVE_LOT, name));
	if (lot || !make || !live_object_fits(s, LIVE_LOT, s->sets[LIVE_LOT].count, s->live->options.limits.parked, name))
		return lot;
	lot = mem_zalloc(sizeof *lot);
	map_init(&lot->by_id, false);
	live_object_init(&lot->object, LIVE_LOT, s, live_names_intern(&s->names, name));
	return lot;
}

struct live_parked *live_parking_put(struct live_lot *lot, struct live_channel *channel)
{
	struct live_server *s = channel->object.server;
	struct live_parked *parked = channel->parked;
	struct slice id = live_name_text(channel->object.key);
	if (parked && parked->lot == lot)
		return parked;
	if (parked)
		live_parking_remove(parked);
	if (!live_object_fits(s, LIVE_PARKED, s->parts[LIVE_PARKED], s->live->options.limits.parked, id))
		return NULL;
	parked = mem_zalloc(sizeof *parked);
	live_object_init(&parked->object, LIVE_PARKED, s, live_names_keep(channel->object.key));
	parked->object.serial = live_set_add(&lot->parked, &parked->object);
	parked->lot = lot;
	parked->since = s->live->now;
	live_names_set(&s->names, &parked->channel, live_name_text(channel->name));
	map_set(&lot->by_id, id, parked);
	s->parts[LIVE_PARKED]++;
	parked->is = channel;
	channel->parked = parked;
	if (channel->call) {
		channel->call->parked++;
		live_call_touch(channel->call);
	}
	return parked;
}

void live_parking_remove(struct live_parked *parked)
{
	struct live_lot *lot = parked->lot;
	struct live_server *s = parked->object.server;
	struct live_channel *channel = parked->is;
	channel->parked = NULL;
	parked->is = NULL;
	if (channel->call) {
		channel->call->parked--;
		live_call_touch(channel->call);
	}
	live_set_remove(&lot->parked, parked->object.serial);
	map_remove(&lot->by_id, live_name_text(parked->object.key));
	s->parts[LIVE_PARKED]--;
	live_object_remove(&parked->object);
}

void live_parking_end(struct live_lot *lot)
{
	uint64_t at = 0;
	for (struct live_object *o; (o = live_set_next(&lot->parked, &at));)
		live_parking_remove(LIVE_AS(parked, o));
	map_close(&lot->by_id);
	live_set_close(&lot->parked);
	live_object_remove(&lot->object);
}

void live_parking_free(struct live_object *object)
{
	(void)object;
}

void live_parking_free_parked(struct live_object *object)
{
	struct live_parked *p = LIVE_AS(parked, object);
	live_names_drop(&object->server->names, &p->channel);
	live_names_drop(&object->server->names, &p->by);
	live_names_drop(&object->server->names, &p->space);
}

/* Since Asterisk 12 the channel's headers begin with Parkee; before, they are plain and Exten is the space. */
static enum live_prefix parkee_of(const struct live_reader *r)
{
	return live_headers_of(r, LIVE_PARKEE, LIVE_H_CHANNEL).len > 0 ? LIVE_PARKEE : LIVE_PLAIN;
}

static void park(struct live_server *s, const struct live_reader *r)
{
	enum live_prefix prefix = parkee_of(r);
	struct live_channel *channel = live_channel_seen(s, r, prefix, prefix == LIVE_PARKEE);
	struct live_lot *lot = live_parking_lot(s, live_headers_get(r, LIVE_H_PARKING_LOT), true);
	struct live_parked *parked = channel && lot ? live_parking_put(lot, channel) : NULL;
	if (!parked)
		return;
	struct slice by = live_headers_get(r, LIVE_H_PARKER_DIAL_STRING), space = live_headers_get(r, LIVE_H_PARKING_SPACE);
	if (prefix == LIVE_PLAIN) {
		by = live_channel_interface(live_headers_get(r, LIVE_H_FROM));
		space = live_headers_of(r, LIVE_PLAIN, LIVE_H_EXTEN);
	}
	live_names_set(&s->names, &parked->by, by);
	live_names_set(&s->names, &parked->space, space);
	int64_t timeout = live_headers_int(r, prefix == LIVE_PARKEE ? LIVE_H_PARKING_TIMEOUT : LIVE_H_TIMEOUT, 0);
	parked->timeout = timeout > 0 && timeout < INT32_MAX ? timeout * LIVE_SECOND : 0;
	struct live_call *call = channel->call;
	if (!call)
		return;
	/* The REFER to the lot was told as a transfer a moment ago, by the same phone. */
	if (call->more && call->more->transferred_to && s->live->now - call->more->transferred_at < LIVE_SECOND &&
	    (by.len == 0 || slice_eq(by, live_name_text(call->more->transferred_from)))) {
		live_names_set(&s->names, &call->more->transferred_from, live_name_text(call->more->from_before));
		live_names_set(&s->names, &call->more->transferred_to, live_name_text(call->more->to_before));
	}
	live_call_told(call, LIVE_CALL_PARKED);
}

static void unpark(struct live_server *s, const struct live_reader *r, bool fetched)
{
	enum live_prefix prefix = parkee_of(r);
	struct live_channel *channel = live_channel_seen(s, r, prefix, false);
	if (!channel)
		return;
	if (channel->parked)
		live_parking_remove(channel->parked);
	if (!fetched)
		return;
	struct live_channel *retriever = live_channel_seen(s, r, LIVE_RETRIEVER, true);
	if (!retriever)
		retriever = live_channel_by_name(s, live_headers_get(r, LIVE_H_FROM));
	if (!retriever || !channel->call)
		return;
	live_names_set(&s->names, &live_call_extra(channel->call)->fetched_by, live_channel_interface(live_name_text(retriever->name)));
	live_merge_join(channel, retriever);
}

void live_parking_event(struct live_server *s, const struct live_reader *r, int what)
{
	if (what == LIVE_PARKING_PARK)
		park(s, r);
	else
		unpark(s, r, what == LIVE_PARKING_FETCH);
}
