/* Phones, trunks and what else has a device state; who is registered. */
#include "sim/sim_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define AGENTS_FIRST 101u
#define AGENTS_LAST 104u
#define AWAY_SHARE 3      /* at most every third phone is unregistered at once */
#define REGISTER_EVERY 40 /* s, on average, until a phone goes or comes back */

static const char *const states[] = {
	"UNKNOWN", "NOT_INUSE", "INUSE", "BUSY", "INVALID", "UNAVAILABLE", "RINGING", "RINGINUSE", "ONHOLD",
};

const char *sim_device_name(enum sim_device state)
{
	return states[state];
}

struct sim_endpoint *sim_endpoint_find(struct sim *sim, const char *name)
{
	struct slice interface = slice_cstr(name);
	struct sim_endpoint *endpoint = map_get(&sim->endpoint_names, interface);

	for (size_t i = interface.len; !endpoint && i > 0; i--)
		if (name[i - 1] == '-')
			return map_get(&sim->endpoint_names, slice_make(name, i - 1));
	return endpoint;
}

static enum sim_device state_of(const struct sim_endpoint *endpoint)
{
	if (endpoint->ringing)
		return endpoint->in_use || endpoint->on_hold ? SIM_DEVICE_RING_IN_USE : SIM_DEVICE_RINGING;
	if (endpoint->in_use)
		return SIM_DEVICE_IN_USE;
	if (endpoint->on_hold)
		return SIM_DEVICE_ON_HOLD;
	return endpoint->phone && !endpoint->registered ? SIM_DEVICE_UNAVAILABLE : SIM_DEVICE_FREE;
}

struct sim_endpoint *sim_endpoint_add(struct sim *sim, const char *interface, bool phone)
{
	struct sim_endpoint *endpoint = map_get(&sim->endpoint_names, slice_cstr(interface));

	if (endpoint || sim->endpoint_names.count >= SIM_ENDPOINTS_MAX)
		return endpoint;
	endpoint = mem_zalloc(sizeof(*endpoint));
	snprintf(endpoint->interface, sizeof(endpoint->interface), "%s", interface);
	endpoint->phone = endpoint->registered = phone;
	list_append(&sim->endpoints, &endpoint->node);
	map_set(&sim->endpoint_names, slice_cstr(endpoint->interface), endpoint);
	return endpoint;
}

void sim_endpoints_init(struct sim *sim)
{
	char interface[24];

	list_init(&sim->endpoints);
	map_init(&sim->endpoint_names, true);
	for (unsigned i = 0; i < SIM_PHONES; i++) {
		snprintf(interface, sizeof(interface), "PJSIP/%u", 1000 + i);
		sim_endpoint_add(sim, interface, true);
	}
	for (unsigned i = AGENTS_FIRST; i <= AGENTS_LAST; i++) {
		snprintf(interface, sizeof(interface), "PJSIP/%u", i);
		sim_endpoint_add(sim, interface, true);
	}
	sim_endpoint_add(sim, "PJSIP/trunk", false);
	sim_endpoints_reset(sim);
}

void sim_endpoints_close(struct sim *sim)
{
	list_each_safe(it, &sim->endpoints) {
		struct sim_endpoint *endpoint = list_entry(it, struct sim_endpoint, node);
		list_remove(&endpoint->node);
		free(endpoint);
	}
	map_close(&sim->endpoint_names);
	sim_timer_stop(&sim->registration);
}

void sim_endpoints_reset(struct sim *sim)
{
	list_each(it, &sim->endpoints) {
		struct sim_endpoint *endpoint = list_entry(it, struct sim_endpoint, node);
		endpoint->registered = endpoint->phone;
		endpoint->state = SIM_DEVICE_FREE;
	}
}

void sim_endpoint_count(const struct sim_channel *channel, int by)
{
	struct sim_endpoint *endpoint = channel->endpoint;

	if (!endpoint || channel->state == 0)
		return;
	unsigned *of = channel->state == 5 ? &endpoint->ringing : channel->on_hold ? &endpoint->on_hold : &endpoint->in_use;
	*of += (unsigned)by;
}

void sim_endpoint_review(struct sim *sim, struct sim_endpoint *endpoint)
{
	enum sim_device state = endpoint ? state_of(endpoint) : SIM_DEVICE_UNKNOWN;

	if (!endpoint || state == endpoint->state)
		return;
	endpoint->state = state;
	struct buf *out = sim_event(sim, "DeviceStateChange", SIM_CALL);
	sim_put(out, "Device", "%s", endpoint->interface);
	sim_put(out, "State", "%s", states[state]);
	sim_publish(sim);
	for (unsigned i = 0; i < SIM_QUEUES; i++) {
		struct sim_member *member = sim_member_find(&sim->queues[i], endpoint->interface);
		if (!member)
			continue;
		member->status = state;
		sim_member_event(sim, &sim->queues[i], member, "QueueMemberStatus");
	}
}

const struct sim_endpoint *sim_endpoint_any(struct sim *sim, uint64_t *random)
{
	unsigned start = (unsigned)sim_random(random, SIM_PHONES);
	char interface[24];

	for (unsigned i = 0; i < SIM_PHONES; i++) {
		snprintf(interface, sizeof(interface), "PJSIP/%u", 1000 + (start + i) % SIM_PHONES);
		const struct sim_endpoint *endpoint = sim_endpoint_find(sim, interface);
		if (endpoint->registered)
			return endpoint;
	}
	return NULL;
}

/* ---- registrations ---- */

static const char *aor(const struct sim_endpoint *endpoint)
{
	return strchr(endpoint->interface, '/') + 1;
}

static void put_uri(struct buf *out, const char *name, const struct sim_endpoint *endpoint)
{
	sim_put(out, name, "sip:%s@192.0.2.%u:5060", aor(endpoint), (unsigned)(strtoul(aor(endpoint), NULL, 10) % 254) + 1);
}

static void contact_event(struct sim *sim, const struct sim_endpoint *endpoint)
{
	struct buf *out = sim_event(sim, "ContactStatus", SIM_SYSTEM);

	put_uri(out, "URI", endpoint);
	sim_put(out, "ContactStatus", "%s", endpoint->registered ? "NonQualified" : "Removed");
	sim_put(out, "AOR", "%s", aor(endpoint));
	sim_put(out, "EndpointName", "%s", aor(endpoint));
	sim_put(out, "RoundtripUsec", "0");
	sim_publish(sim);
	out = sim_event(sim, "PeerStatus", SIM_SYSTEM);
	sim_put(out, "ChannelType", "PJSIP");
	sim_put(out, "Peer", "%s", endpoint->interface);
	sim_put(out, "PeerStatus", "%s", endpoint->registered ? "Reachable" : "Unreachable");
	sim_publish(sim);
}

/* A phone that is idle goes, or one that went comes back. */
static void on_registration(struct sim_timer *timer)
{
	struct sim *sim = timer->sim;
	unsigned away = 0, index = (unsigned)sim_random(&sim->random, SIM_PHONES);
	char interface[24];

	list_each(it, &sim->endpoints) {
		const struct sim_endpoint *endpoint = list_entry(it, struct sim_endpoint, node);
		away += endpoint->phone && !endpoint->registered;
	}
	snprintf(interface, sizeof(interface), "PJSIP/%u", 1000 + index);
	struct sim_endpoint *endpoint = sim_endpoint_find(sim, interface);
	bool idle = endpoint->ringing + endpoint->in_use + endpoint->on_hold == 0;
	if (!sim_is_down(sim) && (!endpoint->registered || (idle && away < SIM_PHONES / AWAY_SHARE))) {
		endpoint->registered = !endpoint->registered;
		contact_event(sim, endpoint);
		sim_endpoint_review(sim, endpoint);
	}
	sim_timer_start(timer, sim_random_range(&sim->random, 0, 2 * REGISTER_EVERY));
}

void sim_endpoints_start(struct sim *sim)
{
	sim_timer_init(&sim->registration, sim, on_registration);
	if (sim->options.features)
		sim_timer_start(&sim->registration, REGISTER_EVERY);
}

/* ---- lists ---- */

void sim_action_devices(struct sim_client *client, const struct sim_request *request)
{
	struct sim_list list = sim_list_begin(client, request, false, "Device State Changes will follow");

	list.id_first = true;
	list_each(it, &client->sim->endpoints) {
		const struct sim_endpoint *endpoint = list_entry(it, struct sim_endpoint, node);
		struct buf *out = sim_item(&list, "DeviceStateChange");
		sim_put(out, "Device", "%s", endpoint->interface);
		sim_put(out, "State", "%s", states[endpoint->state]);
		sim_item_end(&list);
	}
	sim_list_end(&list, "DeviceStateListComplete", NULL);
}

void sim_action_endpoints(struct sim_client *client, const struct sim_request *request)
{
	static const char *const texts[] = {
		"Unknown", "Not in use", "In use", "Busy", "Invalid", "Unavailable", "Ringing", "Ring+Inuse", "On Hold",
	};
	struct sim_list list = sim_list_begin(client, request, false,
	                                      "A listing of Endpoints follows, presented as EndpointList events");

	list.id_first = true;
	list_each(it, &client->sim->endpoints) {
		const struct sim_endpoint *endpoint = list_entry(it, struct sim_endpoint, node);
		if (!endpoint->phone)
			continue;
		struct buf *out = sim_item(&list, "EndpointList");
		sim_put(out, "ObjectType", "endpoint");
		sim_put(out, "ObjectName", "%s", aor(endpoint));
		sim_put(out, "Transport", "transport-udp");
		sim_put(out, "Aor", "%s", aor(endpoint));
		sim_put(out, "Auths", "%s", aor(endpoint));
		sim_put(out, "OutboundAuths", "%s", "");
		sim_put(out, "Contacts", "%s", "");
		sim_put(out, "DeviceState", "%s", texts[endpoint->state]);
		sim_put(out, "ActiveChannels", "%s", "");
		sim_item_end(&list);
	}
	sim_list_end(&list, "EndpointListComplete", NULL);
}

void sim_action_contacts(struct sim_client *client, const struct sim_request *request)
{
	struct sim *sim = client->sim;
	unsigned registered = 0;

	list_each(it, &sim->endpoints)
		registered += list_entry(it, struct sim_endpoint, node)->registered;
	if (registered == 0) {
		sim_error(client, request, "No Contacts found\n"); /* Q75, Q77 */
		return;
	}
	struct sim_list list = sim_list_begin(client, request, false,
	                                      "A listing of Contacts follows, presented as ContactList events");
	list.id_first = true;
	list_each(it, &sim->endpoints) {
		const struct sim_endpoint *endpoint = list_entry(it, struct sim_endpoint, node);
		if (!endpoint->registered)
			continue;
		struct buf *out = sim_item(&list, "ContactList");
		sim_put(out, "ObjectType", "contact");
		sim_put(out, "ObjectName", "%s;@%08lx", aor(endpoint), strtoul(aor(endpoint), NULL, 10) * 0x9e3779b1ul & 0xfffffffful);
		sim_put(out, "ViaAddr", "%s", "");
		sim_put(out, "QualifyTimeout", "3.000000");
		sim_put(out, "Qualify2xxOnly", "false");
		sim_put(out, "CallId", "%s", "");
		sim_put(out, "RegServer", "%s", "");
		sim_put(out, "PruneOnBoot", "no");
		sim_put(out, "Path", "%s", "");
		sim_put(out, "Endpoint", "%s", aor(endpoint));
		sim_put(out, "ViaPort", "0");
		sim_put(out, "AuthenticateQualify", "no");
		put_uri(out, "Uri", endpoint);
		sim_put(out, "QualifyFrequency", "0");
		sim_put(out, "UserAgent", "simulated");
		sim_put(out, "ExpirationTime", "%.0f", sim_wall(sim) + 3600);
		sim_put(out, "OutboundProxy", "%s", "");
		sim_put(out, "Status", "NonQualified");
		sim_put(out, "RoundtripUsec", "N/A");
		sim_item_end(&list);
	}
	sim_list_end(&list, "ContactListComplete", NULL);
}
