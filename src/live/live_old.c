/* Events of servers before Asterisk 12: no bridges with ids, no Linkedids. Two channels that are linked are put into a bridge
 * of our own. */
#include "live/live_internal.h"

/* Channel1 and Channel2 of Bridge, Link and Unlink. */
static struct live_channel *side(struct live_server *s, const struct live_reader *r, unsigned uniqueid, unsigned name)
{
	struct live_channel *channel = live_channel_by_id(s, live_headers_get(r, uniqueid));
	if (!channel)
		channel = live_channel_by_name(s, live_headers_get(r, name));
	if (channel)
		live_channel_touch(channel);
	return channel;
}

static void link_two(struct live_server *s, struct live_channel *one, struct live_channel *two)
{
	char id[2 * LIVE_TEXT_MAX + 2];
	struct slice a = live_name_text(one->object.key), b = live_name_text(two->object.key);
	if (one->bridge && one->bridge == two->bridge)
		return;
	live_merge_join(one, two);
	if (a.len + b.len + 1 > LIVE_TEXT_MAX)
		return;
	memcpy(id, a.ptr, a.len);
	id[a.len] = '\n'; /* stands in no id of a server's */
	memcpy(id + a.len + 1, b.ptr, b.len);
	struct live_bridge *bridge = live_bridge_get(s, slice_make(id, a.len + 1 + b.len), true);
	if (!bridge)
		return;
	/* While it is not `own` leaving does not end it. */
	bridge->own = false;
	live_bridge_enter(bridge, one);
	live_bridge_enter(bridge, two);
	bridge->own = true;
}

static void unlink_two(struct live_channel *one, struct live_channel *two)
{
	struct live_bridge *bridge = one->bridge;
	if (bridge && bridge->own && bridge == two->bridge)
		live_bridge_end(bridge);
}

static void dial(struct live_server *s, const struct live_reader *r)
{
	struct slice sub = live_headers_get(r, LIVE_H_SUB_EVENT), status = live_headers_get(r, LIVE_H_DIAL_STATUS);
	struct live_channel *caller = live_channel_get(s, r, LIVE_PLAIN);
	if (!caller)
		caller = live_channel_by_id(s, live_headers_get(r, LIVE_H_SRC_UNIQUEID));
	if (!caller)
		caller = live_channel_by_name(s, live_headers_get(r, LIVE_H_SOURCE));
	struct live_channel *leg = live_channel_by_id(s, live_headers_of(r, LIVE_DEST, LIVE_H_UNIQUEID));
	if (!leg)
		leg = live_channel_by_name(s, live_headers_get(r, LIVE_H_DESTINATION));
	if (slice_eq_nocase(sub, SLICE("End"))) {
		if (caller && caller->call)
			live_result_dial_status(caller->call, status);
		return;
	}
	if (!caller || !leg)
		return;
	leg->dialled = true;
	live_names_set(&s->names, &leg->dialer, live_name_text(caller->object.key));
	live_merge_join(caller, leg);
	if (leg->endpoint)
		live_endpoint_dialled(leg->endpoint, live_headers_get(r, LIVE_H_DIAL_STRING));
}

static void rename_channel(struct live_server *s, const struct live_reader *r)
{
	struct live_channel *channel = live_channel_get(s, r, LIVE_PLAIN);
	if (channel)
		live_channel_rename(channel, live_headers_get(r, LIVE_H_NEW_NAME));
}

/* The party of the clone goes on as the original, whose id stays and which gets the clone's name; the clone hangs up. */
static void masquerade(struct live_server *s, const struct live_reader *r)
{
	struct live_channel *clone = live_channel_by_name(s, live_headers_get(r, LIVE_H_CLONE));
	struct live_channel *original = live_channel_by_name(s, live_headers_get(r, LIVE_H_ORIGINAL));
	live_merge_join(clone, original);
	if (clone && original && clone->call && clone->call == original->call && clone->call->caller == clone)
		clone->call->caller = original;
}

void live_old_event(struct live_server *s, const struct live_reader *r, int what)
{
	struct live_channel *one = NULL, *two = NULL;
	if (what == LIVE_OLD_BRIDGE || what == LIVE_OLD_LINK || what == LIVE_OLD_UNLINK) {
		one = side(s, r, LIVE_H_UNIQUEID_1, LIVE_H_CHANNEL_1);
		two = side(s, r, LIVE_H_UNIQUEID_2, LIVE_H_CHANNEL_2);
		if (!one || !two || one == two)
			return;
	}
	switch (what) {
	case LIVE_OLD_DIAL:
		dial(s, r);
		break;
	case LIVE_OLD_BRIDGE:
		if (slice_eq_nocase(live_headers_get(r, LIVE_H_BRIDGE_STATE), SLICE("Unlink")))
			unlink_two(one, two);
		else
			link_two(s, one, two);
		break;
	case LIVE_OLD_LINK:
		link_two(s, one, two);
		break;
	case LIVE_OLD_UNLINK:
		unlink_two(one, two);
		break;
	case LIVE_OLD_MASQUERADE:
		masquerade(s, r);
		break;
	default:
		rename_channel(s, r);
	}
}
