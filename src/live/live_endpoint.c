#include "live/live_internal.h"

#include "base/mem.h"

/* As DeviceStateChange writes enum ast_device_state. */
static const char *const device_states[] = {
	"UNKNOWN", "NOT_INUSE", "INUSE", "BUSY", "INVALID", "UNAVAILABLE", "RINGING", "RINGINUSE", "ONHOLD",
};
#define DEVICE_STATES (int)(sizeof device_states / sizeof *device_states)

int live_endpoint_device(struct slice state)
{
	for (int i = 0; i < DEVICE_STATES; i++)
		if (slice_eq_nocase(state, slice_cstr(device_states[i])))
			return i;
	return LIVE_DEVICE_UNTOLD;
}

const char *live_endpoint_device_name(int state)
{
	return state < DEVICE_STATES ? device_states[state] : NULL;
}

struct live_endpoint *live_endpoint_get(struct live_server *s, struct slice interface, bool make)
{
	struct live_endpoint *endpoint = LIVE_AS(endpoint, live_object_find(s, LIVE_ENDPOINT, interface));
	if (endpoint) {
		endpoint->object.seen = s->live->now;
		endpoint->object.suspect = false;
		return endpoint;
	}
	if (!make || !live_object_fits(s, LIVE_ENDPOINT, s->sets[LIVE_ENDPOINT].count, s->live->options.limits.endpoints, interface))
		return NULL;
	endpoint = mem_zalloc(sizeof *endpoint);
	endpoint->rtt = endpoint->messages = endpoint->old_messages = -1;
	endpoint->registered = -1;
	endpoint->device = LIVE_DEVICE_UNTOLD;
	live_object_init(&endpoint->object, LIVE_ENDPOINT, s, live_names_intern(&s->names, interface));
	for (uint32_t i = 0; i < s->live->options.trunk_count; i++)
		endpoint->trunk |= slice_glob(slice_cstr(s->live->trunks[i]), live_name_text(endpoint->object.key));
	return endpoint;
}

int live_endpoint_trunk(const struct live_endpoint *endpoint)
{
	return endpoint->trunk ? 1 : endpoint->phone ? 0 : -1;
}

/* Phones are called by their own name ("1001"), trunks by a number through them ("5550199@carrier", "carrier/5550199"). */
void live_endpoint_dialled(struct live_endpoint *endpoint, struct slice dial_string)
{
	struct slice interface = live_name_text(endpoint->object.key), device = live_channel_device(interface);
	if (slice_eq(dial_string, device) || slice_eq(dial_string, interface)) {
		endpoint->phone = true;
		return;
	}
	const char *at = dial_string.len > 0 ? memchr(dial_string.ptr, '@', dial_string.len) : NULL;
	struct slice behind = at ? slice_make(at + 1, dial_string.len - (size_t)(at + 1 - dial_string.ptr)) : slice_make("", 0);
	bool prefixed = slice_starts_with(dial_string, device) && dial_string.len > device.len && dial_string.ptr[device.len] == '/';
	if (slice_eq(behind, device) || prefixed)
		endpoint->trunk = true;
}

void live_endpoint_end(struct live_endpoint *endpoint)
{
	live_object_remove(&endpoint->object);
}

void live_endpoint_free(struct live_object *object)
{
	live_names_drop(&object->server->names, &LIVE_AS(endpoint, object)->contact);
	live_names_drop(&object->server->names, &LIVE_AS(endpoint, object)->status);
}

static void changed(struct live_endpoint *endpoint, const char *what)
{
	live_report(endpoint->object.server, LIVE_ENDPOINT_CHANGED, &endpoint->object, what);
}

static void set_registered(struct live_endpoint *endpoint, int registered)
{
	endpoint->registered_told = endpoint->object.server->live->now;
	if (endpoint->registered == registered)
		return;
	endpoint->registered = (int8_t)registered;
	changed(endpoint, "registered");
}

static void device(struct live_server *s, const struct live_reader *r)
{
	int state = live_endpoint_device(live_headers_get(r, LIVE_H_STATE_NAME));
	struct live_endpoint *endpoint = live_endpoint_get(s, live_headers_get(r, LIVE_H_DEVICE), true);
	if (!endpoint || endpoint->device == state)
		return;
	endpoint->device = (uint8_t)state;
	changed(endpoint, "device");
}

/* Endpoints of PJSIP by their name alone. */
static struct live_endpoint *pjsip(struct live_server *s, struct slice name)
{
	char interface[LIVE_TEXT_MAX + 8] = "PJSIP/";
	if (name.len == 0 || name.len > LIVE_TEXT_MAX)
		return NULL;
	memcpy(interface + 6, name.ptr, name.len);
	return live_endpoint_get(s, slice_make(interface, name.len + 6), true);
}

static void contact(struct live_server *s, const struct live_reader *r)
{
	/* In lists (ContactList): Endpoint, Status, RoundtripUsec, Uri. */
	struct slice name = live_headers_get(r, LIVE_H_ENDPOINT_NAME), status = live_headers_get(r, LIVE_H_CONTACT_STATUS);
	if (name.len == 0)
		name = message_value(r->message, SLICE("Endpoint"));
	if (name.len == 0)
		name = live_headers_get(r, LIVE_H_AOR);
	if (status.len == 0)
		status = live_headers_get(r, LIVE_H_STATUS);
	struct live_endpoint *endpoint = pjsip(s, name);
	if (!endpoint)
		return;
	bool removed = slice_eq_nocase(status, SLICE("Removed"));
	struct slice uri = removed ? slice_make("", 0) : live_headers_get(r, LIVE_H_URI);
	int64_t rtt = live_headers_int(r, LIVE_H_ROUND_TRIP, -1);
	bool differs = live_names_set(&s->names, &endpoint->contact, uri);
	differs |= live_names_set(&s->names, &endpoint->status, status);
	endpoint->rtt = rtt > 0 && !removed ? rtt : -1;
	int registered = !removed && !slice_eq_nocase(status, SLICE("Unreachable")) && !slice_eq_nocase(status, SLICE("Unavail"));
	bool same = endpoint->registered == registered;
	set_registered(endpoint, registered);
	if (same && differs)
		changed(endpoint, "contact");
}

static void peer(struct live_server *s, const struct live_reader *r)
{
	struct slice name = live_headers_get(r, LIVE_H_PEER), status = live_headers_get(r, LIVE_H_PEER_STATUS);
	struct live_endpoint *endpoint = memchr(name.ptr, '/', name.len) ? live_endpoint_get(s, name, true) : NULL;
	if (!endpoint)
		return;
	int64_t time = live_headers_int(r, LIVE_H_TIME, -1); /* ms */
	if (time >= 0 && time < INT32_MAX)
		endpoint->rtt = time * 1000;
	live_names_set(&s->names, &endpoint->status, status);
	set_registered(endpoint, slice_eq_nocase(status, SLICE("Registered")) || slice_eq_nocase(status, SLICE("Reachable")) ||
	                         slice_eq_nocase(status, SLICE("Lagged")));
}

/* PeerEntry of SIPpeers. */
static void peer_entry(struct live_server *s, const struct live_reader *r)
{
	char interface[LIVE_TEXT_MAX + 16];
	struct slice tech = live_headers_get(r, LIVE_H_CHANNEL_TYPE), name = live_headers_get(r, LIVE_H_OBJECT_NAME);
	struct slice address = live_headers_get(r, LIVE_H_IP_ADDRESS), status = live_headers_get(r, LIVE_H_STATUS);
	if (tech.len == 0 || tech.len > 8 || name.len == 0 || name.len > LIVE_TEXT_MAX)
		return;
	memcpy(interface, tech.ptr, tech.len);
	interface[tech.len] = '/';
	memcpy(interface + tech.len + 1, name.ptr, name.len);
	struct live_endpoint *endpoint = live_endpoint_get(s, slice_make(interface, tech.len + 1 + name.len), true);
	if (!endpoint)
		return;
	if (slice_eq(address, SLICE("-none-")))
		address.len = 0;
	live_names_set(&s->names, &endpoint->contact, address);
	live_names_set(&s->names, &endpoint->status, status);
	set_registered(endpoint, address.len > 0 && !slice_starts_with(status, SLICE("UNREACHABLE")) && !slice_starts_with(status, SLICE("UNKNOWN")));
	int64_t rtt;
	ptrdiff_t open = slice_find(status, SLICE("(")), close = slice_find(status, SLICE(" ms)"));
	if (open >= 0 && close > open && slice_to_int(slice_make(status.ptr + open + 1, (size_t)(close - open - 1)), &rtt) && rtt >= 0 && rtt < INT32_MAX)
		endpoint->rtt = rtt * 1000;
}

static void messages(struct live_server *s, const struct live_reader *r)
{
	struct slice mailbox = live_headers_get(r, LIVE_H_MAILBOX);
	const char *at = mailbox.len > 0 ? memchr(mailbox.ptr, '@', mailbox.len) : NULL;
	if (at)
		mailbox.len = (size_t)(at - mailbox.ptr);
	int64_t fresh = live_headers_int(r, LIVE_H_NEW, -1), old = live_headers_int(r, LIVE_H_OLD, -1);
	static const char *const techs[] = { "PJSIP/", "SIP/", "IAX2/", "SCCP/" };
	for (size_t i = 0; i < sizeof techs / sizeof *techs; i++) {
		char interface[LIVE_TEXT_MAX + 8];
		size_t len = strlen(techs[i]);
		if (mailbox.len == 0 || mailbox.len > LIVE_TEXT_MAX)
			return;
		memcpy(interface, techs[i], len);
		memcpy(interface + len, mailbox.ptr, mailbox.len);
		struct live_endpoint *endpoint = live_endpoint_get(s, slice_make(interface, len + mailbox.len), false);
		if (!endpoint)
			continue;
		endpoint->messages = fresh >= 0 && fresh < INT32_MAX ? (int32_t)fresh : -1;
		endpoint->old_messages = old >= 0 && old < INT32_MAX ? (int32_t)old : -1;
		changed(endpoint, "messages");
	}
}

void live_endpoint_event(struct live_server *s, const struct live_reader *r, int what)
{
	switch (what) {
	case LIVE_ENDPOINT_DEVICE:
		device(s, r);
		break;
	case LIVE_ENDPOINT_CONTACT:
		contact(s, r);
		break;
	case LIVE_ENDPOINT_PEER:
		peer(s, r);
		break;
	case LIVE_ENDPOINT_ENTRY:
		peer_entry(s, r);
		break;
	default:
		messages(s, r);
	}
}
