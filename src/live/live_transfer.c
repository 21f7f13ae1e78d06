/* Calls that become one, or change hands: transfers, pickups, Local pairs. */
#include "live/live_internal.h"

/* Once a transfer is told: from which device, to whom. */
static void transferred(struct live_call *call, struct slice from, struct slice to)
{
	struct live_names *names = &call->object.server->names;
	struct live_call_more *more = live_call_extra(call);
	live_names_set(names, &more->from_before, live_name_text(more->transferred_from));
	live_names_set(names, &more->to_before, live_name_text(more->transferred_to));
	live_names_set(names, &more->transferred_from, from);
	live_names_set(names, &more->transferred_to, to);
	more->transferred_at = call->object.server->live->now;
	live_call_told(call, LIVE_CALL_TRANSFERRED);
}

static void blind(struct live_server *s, const struct live_reader *r)
{
	struct live_channel *transferee = live_channel_get(s, r, LIVE_TRANSFEREE);
	struct live_channel *transferer = live_channel_get(s, r, LIVE_TRANSFERER);
	struct slice from = live_channel_interface(live_headers_of(r, LIVE_TRANSFERER, LIVE_H_CHANNEL));
	struct live_call *call = transferee ? transferee->call : transferer ? transferer->call : NULL;
	if (!call || !slice_eq_nocase(live_headers_get(r, LIVE_H_RESULT), SLICE("Success")))
		return;
	/* Being parked is told by ParkedCall, which may come first (Q71). */
	if (!transferee || !transferee->parked)
		transferred(call, from, live_headers_get(r, LIVE_H_EXTENSION));
}

/* Whom the transferred party talks to, or will, where the event does not say: the one who is neither of these two. */
static struct live_channel *find_other(const struct live_call *call, const struct live_channel *a, const struct live_channel *b)
{
	int looked = 0;
	for (struct list *node = call->channels.prev; node != &call->channels && looked < 16; node = node->prev, looked++) {
		struct live_channel *channel = list_entry(node, struct live_channel, in_call);
		if (channel != a && channel != b && !channel->local)
			return channel;
	}
	return NULL;
}

/* One of the transferer's two channels was in an application, as in a queue that he called: the other party comes into it in
 * this channel's place, which no further event reports (Q101). */
static void move_into_application(struct live_channel *moves, struct live_channel *into)
{
	if (!moves || !into)
		return;
	if (moves->bridge)
		live_names_set(&moves->object.server->names, &moves->takes, live_name_text(into->object.key));
	else
		live_channel_take_place(moves, into);
}

static void attended(struct live_server *s, const struct live_reader *r)
{
	struct live_channel *first = live_channel_get(s, r, LIVE_ORIG_TRANSFERER), *second = live_channel_get(s, r, LIVE_SECOND_TRANSFERER);
	struct live_channel *transferee = live_channel_get(s, r, LIVE_TRANSFEREE), *target = live_channel_get(s, r, LIVE_TRANSFER_TARGET);
	if (!slice_eq_nocase(live_headers_get(r, LIVE_H_RESULT), SLICE("Success")))
		return;
	char to[LIVE_TEXT_MAX + 1] = "";
	struct slice name = live_headers_of(r, LIVE_TRANSFER_TARGET, LIVE_H_CHANNEL);
	if (name.len > 0 && !(target && target->local))
		slice_to_text(live_channel_interface(name), to, sizeof to);
	else if (name.len == 0 && second && second != first && second->call)
		slice_to_text(live_name_text(second->call->to), to, sizeof to); /* it still rings there */
	struct live_call *call = NULL;
	struct live_channel *const all[] = { transferee, first, second, target };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (all[i] && all[i]->call)
			call = live_merge_calls(call, all[i]->call);
	if (!call)
		return;
	if (slice_eq_nocase(live_headers_get(r, LIVE_H_DEST_TYPE), SLICE("App")))
		move_into_application(transferee ? transferee : target, transferee ? second : first);
	/* Being parked is told by ParkedCallSwap, which comes first. */
	if (transferee && transferee->parked)
		return;
	struct live_channel *other = to[0] == '\0' ? find_other(call, first, transferee) : NULL;
	if (other)
		slice_to_text(live_channel_interface(live_name_text(other->name)), to, sizeof to);
	transferred(call, live_channel_interface(live_headers_of(r, LIVE_ORIG_TRANSFERER, LIVE_H_CHANNEL)), slice_cstr(to));
}

static void local_bridge(struct live_server *s, const struct live_reader *r)
{
	struct live_channel *one = live_channel_seen(s, r, LIVE_LOCAL_ONE, true), *two = live_channel_seen(s, r, LIVE_LOCAL_TWO, true);
	/* Before Asterisk 12: Channel1, Channel2. */
	if (!one)
		one = live_channel_by_id(s, live_headers_get(r, LIVE_H_UNIQUEID_1));
	if (!two)
		two = live_channel_by_id(s, live_headers_get(r, LIVE_H_UNIQUEID_2));
	if (!one || !two)
		return;
	live_channel_pair(one, two);
	live_merge_join(one, two);
}

void live_transfer_event(struct live_server *s, const struct live_reader *r, int what)
{
	struct live_channel *channel, *target;
	switch (what) {
	case LIVE_TRANSFER_BLIND:
		blind(s, r);
		break;
	case LIVE_TRANSFER_ATTENDED:
		attended(s, r);
		break;
	case LIVE_TRANSFER_PICKUP:
		channel = live_channel_seen(s, r, LIVE_PLAIN, true);
		target = live_channel_seen(s, r, LIVE_TARGET, false);
		live_channel_describe(channel, r, LIVE_PLAIN);
		live_merge_join(channel, target);
		if (channel && target)
			channel->dialled = true;
		break;
	default:
		local_bridge(s, r);
	}
}
