/* Originate: the first leg, its answer, and the OriginateResponse (Q45, Q46). */
#include "sim/sim_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define TIMEOUT_DEFAULT 30.0 /* s */
#define TIMEOUT_MAX 3600.0

/* Asterisk's reasons in OriginateResponse. */
enum { REASON_FAILED = 0, REASON_NO_ANSWER = 3, REASON_ANSWERED = 4, REASON_BUSY = 5, REASON_CONGESTED = 8 };

void sim_originate_free(struct sim_originate **originate_ptr)
{
	struct sim_originate *o = *originate_ptr;

	if (!o)
		return;
	*originate_ptr = NULL;
	free(o->id);
	free(o->channel_id);
	free(o->channel);
	free(o->context);
	free(o->exten);
	free(o->application);
	free(o->data);
	free(o->caller_num);
	free(o->caller_name);
	free(o);
}

static void tell_client(struct sim *sim, const struct sim_originate *o, bool success)
{
	struct sim_client *client = sim_client_find(sim, o->client);
	struct sim_request request = { 0 };

	if (!client)
		return;
	if (*o->id)
		request.lines[request.count++] = mem_printf("ActionID: %s", o->id);
	client->held = false; /* the answer goes before what had to wait */
	if (success)
		sim_ack(client, &request, "Originate successfully queued");
	else
		sim_error(client, &request, "Originate failed");
	sim_client_release(client);
	if (request.count)
		free(request.lines[0]);
}

void sim_originate_answer(struct sim_call *call, unsigned reason)
{
	struct sim *sim = call->sim;
	struct sim_originate *o = call->originate;
	bool success = reason == REASON_ANSWERED;

	if (!o)
		return;
	call->originate = NULL;
	if (!o->async) {
		tell_client(sim, o, success);
		sim_originate_free(&o);
		return;
	}
	snprintf(call->story.to, sizeof(call->story.to), "%s", o->exten);
	struct buf *out = sim_event(sim, "OriginateResponse", SIM_CALL);
	if (*o->id)
		sim_put(out, "ActionID", "%s", o->id);
	sim_put(out, "Response", "%s", success ? "Success" : "Failure");
	sim_put(out, "Channel", "%s", success ? call->caller->name : o->channel);
	if (*o->application) {
		sim_put(out, "Application", "%s", o->application);
		sim_put(out, "Data", "%s", o->data);
	} else {
		sim_put(out, "Context", "%s", o->context);
		sim_put(out, "Exten", "%s", o->exten);
	}
	sim_put(out, "Reason", "%u", reason);
	sim_put(out, "Uniqueid", "%s", success ? call->caller->uniqueid : "<unknown>");
	sim_put(out, "CallerIDNum", "%s", *o->caller_num ? o->caller_num : "<unknown>");
	sim_put(out, "CallerIDName", "%s", *o->caller_name ? o->caller_name : "<unknown>");
	sim_publish(sim);
	sim_originate_free(&o);
}

static void fail(struct sim_call *call, const char *status, unsigned reason, unsigned cause)
{
	if (reason != REASON_NO_ANSWER)
		sim_origin_failed(call, status, cause);
	sim_dial_event(call, "DialEnd", status);
	sim_originate_answer(call, reason);
	call->story.result = reason == REASON_BUSY ? "busy" : reason == REASON_CONGESTED ? "congestion" : "no_answer";
	sim_call_over(call, cause, reason == REASON_BUSY ? "BUSY" : reason == REASON_CONGESTED ? "FAILED" : "NO ANSWER");
}

static void answered(struct sim_call *call)
{
	const struct sim_originate *o = call->originate;
	struct sim_channel *channel = call->caller;
	bool application = *o->application != '\0';
	char app[40], data[128], context[80], exten[80];
	unsigned priority = o->priority;

	snprintf(app, sizeof(app), "%s", o->application);
	snprintf(data, sizeof(data), "%s", o->data);
	snprintf(context, sizeof(context), "%s", o->context);
	snprintf(exten, sizeof(exten), "%s", o->exten);
	snprintf(call->story.to, sizeof(call->story.to), "%s", exten); /* nothing told it before */
	sim_origin_answered(call);
	sim_channel_state(channel, 6);
	call->answered = call->sim->now;
	sim_dial_event(call, "DialEnd", "ANSWER");
	sim_originate_answer(call, REASON_ANSWERED);
	if (application) {
		double seconds = strtod(data, NULL);
		channel->exten[0] = '\0';
		sim_channel_app(channel, 1, app, "%s", data);
		call->state = SIM_WAITING;
		sim_call_after(call, strcasecmp(app, "Wait") == 0 && seconds > 0 && seconds < TIMEOUT_MAX ? seconds : 1);
		return;
	}
	snprintf(channel->context, sizeof(channel->context), "%s", context);
	snprintf(channel->exten, sizeof(channel->exten), "%s", exten);
	channel->priority = priority;
	call->state = SIM_RUN;
	sim_call_run(call);
}

/* Turns: before any ringing, and when the ringing ends. */
void sim_originate_timer(struct sim_call *call)
{
	if (call->outcome == SIM_UNREACHABLE) {
		sim_originate_answer(call, REASON_FAILED);
		sim_call_over(call, 0, "FAILED");
	} else if (call->outcome == SIM_BUSY) {
		fail(call, "BUSY", REASON_BUSY, 17);
	} else if (call->outcome == SIM_CONGESTED) {
		fail(call, "CONGESTION", REASON_CONGESTED, 34);
	} else if (call->caller->state != 5 && call->ring_time > 0) {
		sim_origin_rings(call);
		sim_channel_state(call->caller, 5);
		sim_dial_event(call, "DialState", "RINGING");
		sim_call_after(call, call->ring_time);
	} else if (call->outcome == SIM_NO_ANSWER) {
		fail(call, "NOANSWER", REASON_NO_ANSWER, 19);
	} else {
		answered(call);
	}
}

/* "PJSIP/1001", "Local/102@default/n" -> what happens when it is called. */
static enum sim_outcome foresee(const char *number, size_t len, double *ring)
{
	struct slice digits = slice_make(number, len);

	*ring = 0;
	if (len == 0 || slice_eq(digits, SLICE("nosuch")))
		return SIM_UNREACHABLE;
	if (slice_eq(digits, SLICE("102")))
		return SIM_BUSY;
	if (slice_eq(digits, SLICE("103")))
		return SIM_CONGESTED;
	*ring = 1;
	if (slice_eq(digits, SLICE("104")))
		return SIM_NO_ANSWER;
	if (slice_eq(digits, SLICE("100")) || slice_eq(digits, SLICE("900")))
		*ring = 0;
	return SIM_ANSWERED;
}

static bool known_technology(const char *channel, size_t len)
{
	static const char *const known[] = { "Local", "PJSIP", "SIP", "IAX2", "DAHDI" };
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (slice_eq_nocase(slice_make(channel, len), slice_cstr(known[i])))
			return true;
	return false;
}

/* `"Name" <number>`, `Name <number>` or a bare number. */
static void split_caller(const char *text, char **name, char **number)
{
	const char *open = strrchr(text, '<');
	struct slice rest;

	if (!open) {
		*number = mem_strdup(text);
		*name = mem_strdup("");
		return;
	}
	*number = mem_slicedup(slice_make(open + 1, strcspn(open + 1, ">")));
	rest = slice_trim(slice_make(text, (size_t)(open - text)));
	if (rest.len >= 2 && rest.ptr[0] == '"' && rest.ptr[rest.len - 1] == '"')
		rest = slice_make(rest.ptr + 1, rest.len - 2);
	*name = mem_slicedup(rest);
}

/* Every `Variable: a=1,b=2` line; commas may be escaped (Q32). */
static void set_variables(struct sim_call *call, const struct sim_request *request)
{
	for (unsigned i = 0; i < request->count; i++) {
		const char *line = request->lines[i];
		char part[SIM_LINE_MAX];
		size_t len = 0;
		if (strncasecmp(line, "Variable:", 9) != 0)
			continue;
		for (line += 9 + strspn(line + 9, " ");; line++) {
			if (*line == '\\' && line[1]) {
				part[len++] = *++line;
			} else if (*line == ',' || *line == '\0') {
				part[len] = '\0';
				char *equals = strchr(part, '=');
				if (equals && equals != part) {
					*equals = '\0';
					/* Past the bound the rest is left out. */
					(void)sim_variable_set(call->sim, call->caller, part, equals + 1);
				}
				len = 0;
				if (*line == '\0')
					break;
			} else {
				part[len++] = *line;
			}
		}
	}
}

static void begin(struct sim *sim, struct sim_originate *o, const struct sim_request *request, double timeout)
{
	struct sim_call *call = sim_call_new(sim);
	const char *slash = strchr(o->channel, '/'), *number = slash + 1;
	size_t number_len = strcspn(number, "@/");
	char prefix[96], exten[80];

	call->originate = o;
	call->state = SIM_ORIGINATING;
	call->outcome = foresee(number, number_len, &call->ring_time);
	if (!known_technology(o->channel, (size_t)(slash - o->channel)))
		call->outcome = SIM_UNREACHABLE;
	if (call->outcome == SIM_UNREACHABLE) {
		sim_call_after(call, 0.01); /* no channel is made for it */
		return;
	}
	if (call->outcome == SIM_NO_ANSWER || call->ring_time > timeout) {
		call->outcome = SIM_NO_ANSWER;
		call->ring_time = timeout;
	}
	snprintf(prefix, sizeof(prefix), "%.*s", (int)(number - o->channel + (ptrdiff_t)strcspn(number, "/")), o->channel);
	snprintf(exten, sizeof(exten), "%.*s", (int)(number_len < sizeof(exten) ? number_len : sizeof(exten) - 1), number);
	snprintf(call->dial_string, sizeof(call->dial_string), "%s", number);
	bool local = strncasecmp(prefix, "Local/", 6) == 0;
	call->far_stays = strcasecmp(number + strcspn(number, "/"), "/n") == 0;
	if (local)
		sim_origin_make(call, prefix, o->channel_id, exten);
	else
		sim_call_begins(call, sim_channel_new(call, prefix, o->channel_id, 0, "", "", exten, NULL), exten, "");
	snprintf(call->caller->account, sizeof(call->caller->account), "%s", sim_get(request, "Account"));
	sim_channel_app(call->caller, 1, "AppDial2", "(Outgoing Line)");
	if (*o->caller_num) {
		snprintf(call->caller->caller_num, sizeof(call->caller->caller_num), "%s", o->caller_num);
		snprintf(call->caller->caller_name, sizeof(call->caller->caller_name), "%s", o->caller_name);
		sim_channel_identified(call->caller);
		snprintf(call->caller->connected_num, sizeof(call->caller->connected_num), "%s", o->caller_num);
		snprintf(call->caller->connected_name, sizeof(call->caller->connected_name), "%s", o->caller_name);
		sim_channel_event(call->caller, "NewConnectedLine", SIM_CALL);
	}
	set_variables(call, request);
	if (local)
		sim_origin_begin(call, exten, call->ring_time > 0 || call->outcome != SIM_ANSWERED);
	else
		sim_dial_event(call, "DialBegin", NULL);
	sim_call_after(call, 0.02);
}

static bool id_is_taken(struct sim *sim, const char *id)
{
	list_each(it, &sim->channels)
		if (*id && strcmp(list_entry(it, struct sim_channel, node)->uniqueid, id) == 0)
			return true;
	return false;
}

void sim_action_originate(struct sim_client *client, const struct sim_request *request)
{
	struct sim *sim = client->sim;
	const char *channel = sim_get(request, "Channel"), *exten = sim_get(request, "Exten");
	const char *context = sim_get(request, "Context"), *priority = sim_get(request, "Priority");
	const char *application = sim_get(request, "Application"), *timeout_text = sim_get(request, "Timeout");
	double timeout = TIMEOUT_DEFAULT;
	int64_t number = 1, milliseconds;

	if (!*channel) {
		sim_error(client, request, "Channel not specified");
		return;
	}
	if (*priority && (!slice_to_int(slice_cstr(priority), &number) || number < 1 || number > INT32_MAX)) {
		sim_error(client, request, "Invalid priority");
		return;
	}
	if (*timeout_text) {
		if (!slice_to_int(slice_cstr(timeout_text), &milliseconds) || milliseconds < 0) {
			sim_error(client, request, "Invalid timeout");
			return;
		}
		timeout = fmin((double)milliseconds / 1000, TIMEOUT_MAX);
	}
	if (!strchr(channel, '/')) {
		sim_error(client, request, "Invalid channel");
		return;
	}
	if (!*application && !(*exten && *context && *priority)) {
		sim_error(client, request, "Originate with 'Exten' requires 'Context' and 'Priority'");
		return;
	}
	if (strlen(sim_get(request, "ChannelId")) > SIM_ID_MAX) {
		sim_error(client, request, "Uniqueid length exceeds maximum of %d", SIM_ID_MAX);
		return;
	}
	if (id_is_taken(sim, sim_get(request, "ChannelId"))) {
		sim_error(client, request, "Originate failed");
		return;
	}
	if (sim->call_count >= sim->options.max_calls) {
		sim_error(client, request, "Originate failed");
		return;
	}
	struct sim_originate *o = mem_zalloc(sizeof(*o));
	o->client = client->number;
	o->async = sim_true(sim_get(request, "Async"));
	o->priority = (unsigned)number;
	o->id = mem_strdup(sim_get(request, "ActionID"));
	o->channel_id = mem_strdup(sim_get(request, "ChannelId"));
	o->channel = mem_strdup(channel);
	o->context = mem_strdup(context);
	o->exten = mem_strdup(exten);
	o->application = mem_strdup(application);
	o->data = mem_strdup(sim_get(request, "Data"));
	split_caller(sim_get(request, "CallerID"), &o->caller_name, &o->caller_num);
	if (o->async)
		sim_ack(client, request, "Originate successfully queued");
	else
		sim_client_hold(client); /* Q45: nothing else on this session until it is decided */
	begin(sim, o, request, timeout);
}
