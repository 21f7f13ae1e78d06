/* From the banner to the Logoff: logging in, event masks and filters, and which action is whose. */
#include "sim/sim_internal.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define LOGIN_PENALTY 1.0  /* s, Q42 */
#define LOGIN_LIMIT 30.0   /* s from the banner to a login */
#define FILTER_LENGTH 1000

static void on_login_limit(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct sim_client *client = timer->data;
	(void)loop, (void)events;
	sim_client_close(client);
}

void sim_session_begin(struct sim_client *client)
{
	struct sim *sim = client->sim;
	char banner[128];

	int n = snprintf(banner, sizeof(banner), "Asterisk Call Manager/%s\r\n", sim->options.ami_version);
	sim_client_send(client, slice_make(banner, (size_t)n));
	ev_timer_init(&client->hold_timer, on_login_limit, LOGIN_LIMIT, 0);
	ev_timer_start(sim->loop, &client->hold_timer);
}

bool sim_session_wants(const struct sim_client *client, unsigned classes, const char *text)
{
	bool any_include = false, included = false;

	/* Q62: all of them */
	if ((client->mask & client->read & classes) != classes)
		return false;
	for (unsigned i = 0; i < client->filter_count; i++) {
		const struct sim_filter *filter = &client->filters[i];
		bool hit = regexec(&filter->regex, text, 0, NULL, 0) == 0;
		if (filter->exclude && hit)
			return false;
		if (!filter->exclude) {
			any_include = true;
			included = included || hit;
		}
	}
	return !any_include || included;
}

static bool key_matches(const struct sim_client *client, const char *key)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
	char *text = mem_printf("%s%s", client->challenge, client->sim->options.secret);

	int ok = EVP_Digest(text, strlen(text), digest, &len, EVP_md5(), NULL);
	mem_free_secret(&text);
	if (ok != 1)
		return false;
	for (unsigned i = 0; i < len; i++)
		snprintf(hex + (size_t)2 * i, 3, "%02x", digest[i]);
	return strcmp(hex, key) == 0;
}

/* The security event's name when it is wrong, else NULL. */
static const char *login_fault(const struct sim_client *client, const struct sim_request *request)
{
	const struct sim_options *o = &client->sim->options;

	if (strcasecmp(sim_get(request, "Username"), o->user) != 0)
		return "InvalidAccountID";
	if (strcasecmp(sim_get(request, "AuthType"), "MD5") == 0)
		return client->challenge[0] && key_matches(client, sim_get(request, "Key")) ? NULL : "ChallengeResponseFailed";
	return strcmp(sim_get(request, "Secret"), o->secret) == 0 ? NULL : "InvalidPassword";
}

/* The answer to a wrong login stands in `waiting` meanwhile. */
static void on_login_penalty(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct sim_client *client = timer->data;
	(void)loop, (void)events;
	client->in_len = 0;
	sim_client_release(client);
	sim_client_close(client);
}

static void fully_booted(struct sim_client *client)
{
	double up = sim_wall(client->sim) - client->sim->started;
	struct buf *out = &client->out;

	sim_put(out, "Event", "FullyBooted");
	sim_put(out, "Privilege", "system,all");
	sim_put(out, "Uptime", "%.0f", up);
	sim_put(out, "LastReload", "%.0f", up);
	sim_put(out, "Status", "Fully Booted");
	sim_end(client);
}

static void login(struct sim_client *client, const struct sim_request *request)
{
	struct sim *sim = client->sim;
	const char *fault, *events = sim_get(request, "Events");

	if (client->authenticated) {
		sim_ack(client, request, "Already authenticated"); /* Q40 */
		return;
	}
	fault = login_fault(client, request);
	if (fault) {
		const char *id = sim_get(request, "ActionID");
		sim_security_event(client, fault, "Error", NULL, NULL);
		sim_client_hold(client);
		char *text = mem_printf("Response: Error\r\n%s%s%sMessage: Authentication failed\r\n\r\n", *id ? "ActionID: " : "", id,
		                        *id ? "\r\n" : "");
		sim_client_send(client, slice_cstr(text));
		free(text);
		ev_timer_stop(sim->loop, &client->hold_timer);
		ev_timer_init(&client->hold_timer, on_login_penalty, LOGIN_PENALTY, 0);
		ev_timer_start(sim->loop, &client->hold_timer);
		return;
	}
	ev_timer_stop(sim->loop, &client->hold_timer);
	client->authenticated = true;
	client->read = sim->options.read ? (unsigned)sim_class_mask(sim->options.read) : SIM_ALL;
	client->write = sim->options.write ? (unsigned)sim_class_mask(sim->options.write) : SIM_ALL;
	client->mask = *events ? (unsigned)sim_class_mask(events) : SIM_ALL;
	sim_ack(client, request, "Authentication accepted");
	if (sim->options.play) {
		if (!sim->options.on_ping)
			sim_stream_begin(client);
		return;
	}
	if (client->mask & client->read & SIM_SYSTEM)
		fully_booted(client); /* Q41 */
	sim_security_event(client, "SuccessfulAuth", "Informational", "UsingPassword",
	                   strcasecmp(sim_get(request, "AuthType"), "MD5") == 0 ? "0" : "1");
	if (sim->options.flood && !sim->options.on_ping)
		sim_stream_begin(client);
}

static void challenge(struct sim_client *client, const struct sim_request *request)
{
	if (strcasecmp(sim_get(request, "AuthType"), "MD5") != 0) {
		sim_error(client, request, "Must specify AuthType");
		return;
	}
	uint64_t random = client->sim->options.seed ^ clock_mono_ns();
	snprintf(client->challenge, sizeof(client->challenge), "%u",
	         (unsigned)(100000000 + sim_random(&random, 900000000)));
	sim_put(sim_reply(client, request, "Success"), "Challenge", "%s", client->challenge);
	sim_end(client);
}

static void logoff(struct sim_client *client, const struct sim_request *request)
{
	sim_put(sim_reply(client, request, "Goodbye"), "Message", "Thanks for all the fish.");
	sim_end(client);
	sim_client_close(client);
}

static void events_action(struct sim_client *client, const struct sim_request *request)
{
	int mask = sim_class_mask(sim_get(request, "EventMask"));

	if (mask < 0) {
		sim_error(client, request, "Invalid event mask");
		return;
	}
	client->mask = (unsigned)mask;
	sim_put(sim_reply(client, request, "Success"), "Events", "%s", mask ? "On" : "Off");
	sim_end(client);
	sim_stream_pump(client);
}

/* Q60; `MatchCriteria` is not known, as in older servers (Q61). */
static void filter(struct sim_client *client, const struct sim_request *request)
{
	const char *text = sim_get(request, "Filter");
	bool exclude = *text == '!';

	if (strcasecmp(sim_get(request, "Operation"), "Add") != 0) {
		sim_error(client, request, "Unknown operation");
		return;
	}
	text += exclude;
	/* Up to 11 a filter is a basic regular expression. */
	int flags = REG_NOSUB | (sim_asterisk_version(client->sim) > 11 ? REG_EXTENDED : 0);
	if (client->filter_count == SIM_FILTERS_MAX || !sim_regex_safe(text) ||
	    regcomp(&client->filters[client->filter_count].regex, text, flags) != 0) {
		sim_error(client, request, "Filter did not compile");
		return;
	}
	client->filters[client->filter_count++].exclude = exclude;
	sim_ack(client, request, "Success");
}

bool sim_regex_safe(const char *pattern)
{
	/* Counted repetitions and back-references cost time and memory without bound in regcomp and regexec. */
	if (strlen(pattern) > FILTER_LENGTH || strchr(pattern, '{'))
		return false;
	for (const char *at = strchr(pattern, '\\'); at && at[1]; at = strchr(at + 2, '\\'))
		if (at[1] >= '1' && at[1] <= '9')
			return false;
	return true;
}

static int by_name(const void *name, const void *action)
{
	return strcasecmp(name, ((const struct sim_action *)action)->name);
}

static void dispatch(struct sim_client *client, const struct sim_request *request, const char *name)
{
	static const struct sim_action own[] = {
		{ "Challenge", challenge, NULL }, { "Events", events_action, NULL }, { "Filter", filter, NULL },
		{ "Login", login, NULL },         { "Logoff", logoff, NULL },
	};
	const struct sim_action *action = bsearch(name, own, sizeof(own) / sizeof(own[0]), sizeof(own[0]), by_name);

	if (!client->authenticated && !(action && action->run != events_action && action->run != filter)) {
		sim_error(client, request, "Permission denied");
		return;
	}
	const struct sim_action *listed = sim_actions;
	while (listed->name && strcasecmp(listed->name, name) != 0)
		listed++;
	if (client->authenticated && listed->name && !sim_action_allowed(listed, client->write)) {
		sim_error(client, request, "Permission denied");
		sim_security_event(client, "RequestNotAllowed", "Error", "RequestType", name);
		return;
	}
	if (!action && listed->name)
		action = listed;
	if (action && action->run) {
		action->run(client, request);
		return;
	}
	sim_error(client, request, "Invalid/unknown command: %s. Use Action: ListCommands to show available commands.", name);
	char *type = mem_printf("Action: %s", name);
	sim_security_event(client, "RequestBadFormat", "Error", "RequestType", type);
	free(type);
}

void sim_session_request(struct sim_client *client, const struct sim_request *request)
{
	const char *name = sim_get(request, "Action");

	sim_time_update(client->sim);
	sim_received(client->sim, request);
	if (request->too_many) {
		static const struct sim_request without_id;
		sim_error(client, &without_id, "Too many lines in message or allocation failure"); /* Q31 */
	} else if (request->too_long) {
		sim_error(client, request, "Failed to parse message: line too long"); /* Q30 */
	} else if (!*name) {
		sim_error(client, request, "Missing action in request");
	} else {
		dispatch(client, request, name);
	}
}
