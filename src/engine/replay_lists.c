/* Lists of a recording: what a console, a rule or the recording daemon itself asked for feeds the picture. Their items have the
 * action's ActionID; what was asked does not stand in a recording. */
#include "ami/catalogue.h"
#include "engine/replay_internal.h"
#include "rules/picture.h"

/* Lists that are always asked for whole: what they lack is no more. Others can be asked about one queue, lot or channel. */
static bool is_whole(struct slice action)
{
	static const char *const whole[] = { "CoreShowChannels", "BridgeList", "DeviceStateList", "PJSIPShowContacts", "SIPpeers", "ConfbridgeListRooms" };

	for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
		if (slice_eq(action, slice_cstr(whole[i])))
			return true;
	return false;
}

static void end(struct replay *r, bool whole)
{
	struct replay_list *list = &r->list;

	if (list->action)
		picture_list_end(host_picture(r->host), REPLAY_SERVER_ID, whole);
	list->action = NULL;
}

void replay_list_take(struct replay *r, const struct message *m)
{
	struct replay_list *list = &r->list;
	struct picture *picture = host_picture(r->host);
	const char *action = m->action_id.len > 0 ? live_list_of(m->name) : NULL;

	if (!action)
		return;
	bool same = list->action == action && slice_eq(slice_cstr(list->id), m->action_id);
	if (!same) {
		end(r, false); /* the recording has lost its end */
		if (m->action_id.len >= sizeof list->id || !picture_list_begin(picture, REPLAY_SERVER_ID, action))
			return;
		list->action = action;
		slice_to_text(m->action_id, list->id, sizeof list->id);
	}
	const char *terminal = catalogue_action(slice_cstr(action))->terminal;
	if (terminal && slice_eq_nocase(m->name, slice_cstr(terminal)))
		end(r, is_whole(slice_cstr(action)));
	else
		picture_item(picture, REPLAY_SERVER_ID, m);
}
