/* The option table itself: what may stand in a configuration, in the order of conf/README.md. */
#include <arpa/inet.h>

#include "config/options.h"

#define KIB 1024.0
#define MIB (1024.0 * 1024.0)
#define ALL(member) .scope = SCOPE_CONFIG, .offset = offsetof(struct config, member)
#define SERVER(member) .scope = SCOPE_SERVER, .offset = offsetof(struct config_server, member)
#define SINK(member) .scope = SCOPE_SINK, .offset = offsetof(struct config_sink, member)
#define SOCKET(member) .scope = SCOPE_SOCKET, .offset = offsetof(struct config_socket, member)
#define POLICY(member) .scope = SCOPE_POLICY, .offset = offsetof(struct config_policy, member)
#define TOKEN(member) .scope = SCOPE_TOKEN, .offset = offsetof(struct config_token, member)
#define INTEGER(low, high, value) .type = OPTION_INTEGER, .min = (low), .max = (high), .number = (value)
#define NUMBER(low, high, value) .type = OPTION_NUMBER, .min = (low), .max = (high), .number = (value)
#define SECONDS(low, high, value) NUMBER(low, high, value), .unit = "s"
#define BYTES(low, high, value) INTEGER(low, high, value), .unit = "bytes"
#define BOOLEAN(value) .type = OPTION_BOOLEAN, .number = (value)
#define TEXT(low, high) .type = OPTION_TEXT, .min = (low), .max = (high)

static bool all_of(struct slice text, const char *others)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i], lower = slice_lower(c);
		if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && (c == '\0' || !strchr(others, c)))
			return false;
	}
	return true;
}

static const char *check_host(struct slice text)
{
	return all_of(text, ".-_:%") ? NULL : "must be a host name or an IP address without brackets or port";
}

static const char *check_events(struct slice text)
{
	return all_of(text, ",") ? NULL : "must be \"on\", \"off\", \"auto\" or classes with commas between, such as \"call,agent\"";
}

static const char *check_event(struct slice text)
{
	return all_of(text, "_-.*?") ? NULL : "must be names of events, in which * and ? match as in a shell";
}

static const char *check_action(struct slice text)
{
	if (slice_eq(text, SLICE("*")) || all_of(text, "_-"))
		return NULL;
	return "must be names of actions, or \"*\" for every action";
}

static const char *check_application(struct slice text)
{
	if (slice_eq(text, SLICE("*")) || all_of(text, "_-"))
		return NULL;
	return "must be names of dialplan applications, or \"*\" for every one";
}

static const char *check_url(struct slice text)
{
	bool good = slice_starts_with_nocase(text, SLICE("https://")) || slice_starts_with_nocase(text, SLICE("http://"));
	return good ? NULL : "must be URLs of http or https, such as \"https://crm.example.net/api/\"";
}

static const char *check_mode(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < '0' || text.ptr[i] > '7')
			return "must be octal digits, such as \"0600\" or \"0660\"";
	return text.len == 4 && text.ptr[0] != '0' ? "must be octal digits with a 0 in front, such as \"0600\"" : NULL;
}

static const char *check_role(struct slice text)
{
	static const char *const roles[] = { "look", "emit", "act", "admin" };
	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		if (slice_eq(text, slice_cstr(roles[i])))
			return NULL;
	return "must be of look, emit, act, admin";
}

static const char *check_scope(struct slice text)
{
	static const char *const scopes[] = { "read", "emit", "act", "hooks" };
	for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++)
		if (slice_eq(text, slice_cstr(scopes[i])))
			return NULL;
	return "must be of read, emit, act, hooks";
}

/* As it stands behind "Bearer ". */
static const char *check_token(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] <= ' ' || text.ptr[i] > '~')
			return "must be printable ASCII without blanks, such as `openssl rand -hex 32` prints";
	return NULL;
}

static const char *check_origin(struct slice text)
{
	ptrdiff_t at = slice_find(text, SLICE("://"));
	bool scheme = at > 0 && (slice_eq(slice_make(text.ptr, (size_t)at), SLICE("http")) || slice_eq(slice_make(text.ptr, (size_t)at), SLICE("https")));
	for (size_t i = 0; scheme && i < text.len; i++)
		if (text.ptr[i] <= ' ' || text.ptr[i] > '~' || (i >= (size_t)at + 3 && strchr("/?#*@", text.ptr[i])))
			scheme = false;
	return scheme && text.len > (size_t)at + 3 ? NULL : "must be an origin such as \"https://crm.example.net\", without a path";
}

static const char *check_web_host(struct slice text)
{
	return all_of(text, "._-:[]") ? NULL : "must be a host name or an IP address, without a port";
}

/* "10.0.0.5", "10.0.0.0/8", "fd00::/8" */
static const char *check_network(struct slice text)
{
	char ip[INET6_ADDRSTRLEN + 5];
	struct in6_addr binary;
	int64_t bits = 0;
	static const char wrong[] = "must be an IP address or a network, such as \"10.0.0.5\" or \"10.0.0.0/8\"";
	if (text.len >= sizeof ip)
		return wrong;
	slice_to_text(text, ip, sizeof ip);
	char *slash = strchr(ip, '/');
	if (slash)
		*slash = '\0';
	bool four = inet_pton(AF_INET, ip, &binary) == 1;
	if (!four && inet_pton(AF_INET6, ip, &binary) != 1)
		return wrong;
	if (slash && (!slice_to_int(slice_cstr(slash + 1), &bits) || bits < 0 || bits > (four ? 32 : 128)))
		return wrong;
	return NULL;
}

static const char *check_variable(struct slice text)
{
	return all_of(text, "_") ? NULL : "must be names of channel variables";
}

static const char *check_day(struct slice text)
{
	bool good = text.len == 5 && text.ptr[2] == ':';
	for (size_t i = 0; good && i < text.len; i++)
		good = i == 2 || (text.ptr[i] >= '0' && text.ptr[i] <= '9');
	good = good && text.ptr[3] < '6' && (text.ptr[0] < '2' || (text.ptr[0] == '2' && text.ptr[1] < '4'));
	return good ? NULL : "must be a time of the day, such as \"00:00\" or \"07:30\"";
}

static const char *check_listen(struct slice text)
{
	static const char wrong[] = "must be an IP address and a port, such as \"127.0.0.1:9150\" or \"[::1]:9150\"";
	size_t colon = text.len;
	int64_t port;
	while (colon > 0 && text.ptr[colon - 1] != ':')
		colon--;
	if (colon < 2 || !slice_to_int(slice_make(text.ptr + colon, text.len - colon), &port) || port < 0 || port > 65535)
		return wrong;
	struct slice host = slice_make(text.ptr, colon - 1);
	bool six = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
	char ip[INET6_ADDRSTRLEN + 1];
	struct in6_addr binary;
	if (six)
		host = slice_make(host.ptr + 1, host.len - 2);
	if (host.len >= sizeof ip)
		return wrong;
	memcpy(ip, host.ptr, host.len);
	ip[host.len] = '\0';
	return inet_pton(six ? AF_INET6 : AF_INET, ip, &binary) == 1 ? NULL : wrong;
}

const struct option options[] = {
	{ .path = "servers.NAME.host", TEXT(1, 253), .check = check_host, SERVER(host), .flags = OPTION_REQUIRED | OPTION_OWN,
	  .help = "Host name or IP address. A name is resolved again for each connect, and all its addresses are tried." },
	{ .path = "servers.NAME.port", INTEGER(1, 65535, 5038), SERVER(port),
	  .help = "TCP port of the manager interface. With `tls.enabled` the default is 5039." },
	{ .path = "servers.NAME.username", TEXT(1, 256), SERVER(username), .flags = OPTION_REQUIRED,
	  .help = "The user's section in Asterisk's `manager.conf`." },
	{ .path = "servers.NAME.secret", TEXT(1, 256), SERVER(secret), .flags = OPTION_REQUIRED | OPTION_SECRET,
	  .help = "That user's secret; best as `env \"NAME\"` or `file \"path\"`." },
	{ .path = "servers.NAME.auth", .type = OPTION_ENUM, .choices = "md5 plain", .text = "md5", SERVER(auth),
	  .help = "How the login proves the secret: `md5` answers a challenge, `plain` sends the secret itself." },
	{ .path = "servers.NAME.allow_plaintext", BOOLEAN(false), SERVER(allow_plaintext),
	  .help = "Allows `auth = \"plain\"` without TLS to a host that is not this one: the secret then crosses the network readable." },
	{ .path = "servers.NAME.events", TEXT(1, 256), .text = "on", .check = check_events, SERVER(events),
	  .help = "Which events Asterisk sends: `on`, `off`, classes such as `call,agent`, or `auto`: the classes that the live picture, rules, "
	          "`ctl tail --event` and `GET /api/events?name=` want, no others, and where the server can filter neither CEL nor the VarSets that the picture does not read. Without the class "
	          "`call` an asynchronous Originate is refused: its end is such an event." },

	{ .path = "servers.NAME.live", BOOLEAN(true), SERVER(live), .flags = OPTION_BESIDE_SESSION,
	  .help = "The live picture shows this server, see `live.enabled`." },
	{ .path = "servers.NAME.tls.enabled", BOOLEAN(false), SERVER(tls.enabled), .help = "TLS from the first byte." },
	{ .path = "servers.NAME.tls.verify", BOOLEAN(true), SERVER(tls.verify),
	  .help = "The certificate must be valid and be for this server." },
	{ .path = "servers.NAME.tls.ca", TEXT(1, 4096), SERVER(tls.ca), .flags = OPTION_BESIDE,
	  .help = "PEM file of the authorities to trust, instead of the system's." },
	{ .path = "servers.NAME.tls.cert", TEXT(1, 4096), SERVER(tls.cert), .flags = OPTION_BESIDE,
	  .help = "PEM file of our own certificate, for servers that ask for one." },
	{ .path = "servers.NAME.tls.key", TEXT(1, 4096), SERVER(tls.key), .flags = OPTION_BESIDE,
	  .help = "PEM file of its private key." },
	{ .path = "servers.NAME.tls.server_name", TEXT(1, 253), .check = check_host, SERVER(tls.server_name),
	  .help = "Name that the certificate must be for; without it, `host`." },

	{ .path = "servers.NAME.timeouts.resolve", SECONDS(0.01, 300, 5), SERVER(timeouts.resolve),
	  .help = "For the look-up of the host name." },
	{ .path = "servers.NAME.timeouts.connect", SECONDS(0.01, 300, 5), SERVER(timeouts.connect),
	  .help = "For the TCP connect, of all addresses together." },
	{ .path = "servers.NAME.timeouts.tls", SECONDS(0.01, 300, 5), SERVER(timeouts.tls), .help = "For the TLS handshake." },
	{ .path = "servers.NAME.timeouts.banner", SECONDS(0.01, 300, 5), SERVER(timeouts.banner),
	  .help = "From the connection to the server's first line." },
	{ .path = "servers.NAME.timeouts.login", SECONDS(0.01, 300, 10), SERVER(timeouts.login),
	  .help = "For the login. Asterisk itself waits 1 s before it refuses one." },
	{ .path = "servers.NAME.timeouts.read", SECONDS(0.01, 86400, 60), SERVER(timeouts.read),
	  .help = "The session ends when no whole message has arrived for so long. Must be longer than `heartbeat_interval`." },
	{ .path = "servers.NAME.timeouts.heartbeat_interval", SECONDS(0, 3600, 20), SERVER(timeouts.heartbeat_interval),
	  .help = "A Ping is sent when nothing has arrived for so long; 0: none." },
	{ .path = "servers.NAME.timeouts.heartbeat", SECONDS(0.01, 300, 10), SERVER(timeouts.heartbeat),
	  .help = "For the answer to that Ping; it rests while an action is open that may hold up the session." },
	{ .path = "servers.NAME.timeouts.action", SECONDS(0.01, 86400, 10), SERVER(timeouts.action),
	  .help = "For the answer to an action that sets no timeout of its own. For Originate its `Timeout` and 5 s." },
	{ .path = "servers.NAME.timeouts.drain", SECONDS(0, 300, 5), SERVER(timeouts.drain),
	  .help = "From Logoff to the end of the session, at shutdown or when the server is removed." },

	{ .path = "servers.NAME.reconnect.first", SECONDS(0.01, 3600, 1), SERVER(reconnect.first),
	  .help = "Longest wait before the first new try; it doubles with each failure, and each wait is a random part of it." },
	{ .path = "servers.NAME.reconnect.max", SECONDS(0.01, 86400, 60), SERVER(reconnect.max),
	  .help = "The wait grows no longer than this." },
	{ .path = "servers.NAME.reconnect.auth_first", SECONDS(0.01, 86400, 30), SERVER(reconnect.auth_first),
	  .help = "The same after a refused login: each try takes one of Asterisk's login slots and raises a security event." },
	{ .path = "servers.NAME.reconnect.auth_max", SECONDS(0.01, 86400, 900), SERVER(reconnect.auth_max),
	  .help = "The wait after refused logins grows no longer than this." },
	{ .path = "servers.NAME.reconnect.success_after", SECONDS(0, 86400, 30), SERVER(reconnect.success_after),
	  .help = "A session counts as a success once a whole message has arrived this long after its login: the waits begin with `first` "
	          "again, and its end is no failure. One that ends earlier is a failure. 0: the login is enough." },
	{ .path = "servers.NAME.reconnect.breaker_failures", INTEGER(1, 1000, 5), .unit = "failures",
	  SERVER(reconnect.breaker_failures), .help = "So many failures in a row open the circuit breaker." },
	{ .path = "servers.NAME.reconnect.breaker_open", SECONDS(0.01, 86400, 30), SERVER(reconnect.breaker_open),
	  .help = "An open breaker makes no try for so long, then lets single ones through." },
	{ .path = "servers.NAME.reconnect.breaker_probes", INTEGER(1, 100, 1), .unit = "sessions",
	  SERVER(reconnect.breaker_probes), .help = "So many successes close it again." },

	{ .path = "servers.NAME.limits.frame", BYTES(1 * KIB, 256 * MIB, 1 * MIB), SERVER(limits.frame),
	  .help = "Longest frame. A longer one is skipped and counted, the action that it answers fails as `overflow`, and the session stays." },
	{ .path = "servers.NAME.limits.headers", INTEGER(16, 16777216, 65536), .unit = "headers", SERVER(limits.headers),
	  .help = "Most headers in one frame; beyond, as above." },
	{ .path = "servers.NAME.limits.backlog_events", INTEGER(1, 100000000, 10000), .unit = "events",
	  SERVER(limits.backlog_events), .help = "Events that may wait for the rules. Beyond, events are shed, counted and reported as `server.gap`." },
	{ .path = "servers.NAME.limits.backlog_bytes", BYTES(4 * KIB, 1024 * MIB, 16 * MIB), SERVER(limits.backlog_bytes),
	  .help = "The same in bytes." },
	{ .path = "servers.NAME.limits.kept_bytes", BYTES(4 * KIB, 1024 * MIB, 32 * MIB), SERVER(limits.kept_bytes),
	  .help = "What is never shed (answers, list items, FullyBooted, Shutdown) may wait up to this; beyond, the session ends as `overflow`." },
	{ .path = "servers.NAME.limits.write_buffer", BYTES(4 * KIB, 1024 * MIB, 1 * MIB), SERVER(limits.write_buffer),
	  .help = "Actions that wait for the socket. Beyond, a send fails as `backpressure`." },
	{ .path = "servers.NAME.limits.pending", INTEGER(1, 1000000, 4096), .unit = "actions", SERVER(limits.pending),
	  .help = "Actions without an answer yet. Beyond, a send fails as `backpressure`." },
	{ .path = "servers.NAME.limits.list_events", INTEGER(1, 10000000, 50000), .unit = "events", SERVER(limits.list_events),
	  .help = "Items in the answer to one list action. Beyond, the action fails as `overflow`." },
	{ .path = "servers.NAME.limits.list_bytes", BYTES(4 * KIB, 1024 * MIB, 16 * MIB), SERVER(limits.list_bytes),
	  .help = "The same in bytes." },
	{ .path = "servers.NAME.limits.shed_first", .type = OPTION_LIST, .text = "VarSet Newexten RTCP* CEL", .min = 0, .max = 64,
	  .check = check_event, SERVER(limits.shed_first),
	  .help = "Events that are shed before all others, the first of the list first; `*` and `?` match as in a shell." },

	{ .path = "scripts.rules", TEXT(1, 4096), .text = "scripts", ALL(scripts.rules), .flags = OPTION_HOME,
	  .help = "Folder of the rules." },
	{ .path = "scripts.lib", TEXT(1, 4096), .text = "lib", ALL(scripts.lib), .flags = OPTION_HOME,
	  .help = "Folder of the modules that rules may `require`." },
	{ .path = "scripts.drain", SECONDS(0, 86400, 60), ALL(limits.rules.drain),
	  .help = "After a reload, what the old rules have begun may go on for so long." },

	{ .path = "rules.NAME", .type = OPTION_TREE, .scope = SCOPE_RULE, .offset = offsetof(struct config_rule, settings),
	  .help = "Settings of the rule `NAME.lua`: what it gets from `settings`. Plain data: booleans, numbers, texts, tables of them." },

	{ .path = "sinks.NAME.file", TEXT(1, 4096), SINK(file), .flags = OPTION_HOME,
	  .help = "File that `sink.open \"NAME\"` appends lines to. Its folder must exist. At most 64 sinks; each has a `file` or a `url`." },
	{ .path = "sinks.NAME.url", TEXT(1, 2048), .check = check_url, SINK(url),
	  .help = "URL that the lines are POSTed to instead, at least once and in order: they wait in a spool on disk until a 2xx comes (`persist.file`). What follows is for such sinks." },
	{ .path = "sinks.NAME.headers", .type = OPTION_TREE, SINK(headers),
	  .help = "Headers of each request, texts by name, such as `{ Authorization = env \"CRM_TOKEN\" }`." },
	{ .path = "sinks.NAME.hmac", TEXT(1, 1024), SINK(hmac), .flags = OPTION_SECRET,
	  .help = "Secret that signs each request: the header `X-Signature-256` is `sha256=` and, in hexadecimal digits, HMAC-SHA256 of the `Idempotency-Key`, a dot and the body." },
	{ .path = "sinks.NAME.batch", INTEGER(1, 10000, 1), .unit = "lines", SINK(batch),
	  .help = "Above 1: so many lines at most go in one request, as a JSON array. 1: each line is a body of its own." },
	{ .path = "sinks.NAME.every", SECONDS(0, 3600, 0), SINK(every),
	  .help = "A batch that is not full waits for more lines until its oldest one has waited for so long." },
	{ .path = "sinks.NAME.timeout", SECONDS(0.1, 3600, 10), SINK(timeout), .help = "For the answer to one request." },
	{ .path = "sinks.NAME.tries", INTEGER(0, 1000000, 0), .unit = "tries", SINK(tries),
	  .help = "A line whose delivery has failed so often becomes a dead letter. 0: it is tried until it is delivered. A 4xx that speaks of the line itself makes it one at once." },
	{ .path = "sinks.NAME.retry_first", SECONDS(0.01, 3600, 1), SINK(retry_first),
	  .help = "Longest wait before the second try; it doubles with each failure, and each wait is a random part of it. A `Retry-After` of the other side counts, up to an hour." },
	{ .path = "sinks.NAME.retry_max", SECONDS(0.01, 86400, 60), SINK(retry_max), .help = "The wait grows no longer than this." },

#define RULE_LIMIT(name, ctype, least, greatest, value, its_unit, whose, text) \
	{ .path = "limits." #name, .type = _Generic((ctype)0, double: OPTION_NUMBER, default: OPTION_INTEGER), .min = (least), .max = (greatest), \
	  .number = (value), .unit = its_unit, .width = sizeof(ctype), ALL(limits.rules.name), .help = text },
	RULE_LIMITS(RULE_LIMIT)
#undef RULE_LIMIT
	{ .path = "limits.connects_in_flight", INTEGER(1, 100000, 64), .unit = "connects", ALL(limits.connects_in_flight),
	  .flags = OPTION_RESTART, .help = "Servers that may be between look-up and login at the same time; the others wait in turn." },
	{ .path = "limits.connects_per_turn", INTEGER(1, 100000, 8), .unit = "connects", ALL(limits.connects_per_turn),
	  .flags = OPTION_RESTART, .help = "Connects begun in one turn of the loop." },
	{ .path = "limits.live_channels", INTEGER(16, 10000000, 100000), .unit = "channels", ALL(limits.live_channels),
	  .help = "Channels of one server in the live picture. What does not fit there, of these and those below, is counted, logged and reported as `live.overflow`, and the picture of that server is `partial`." },
	{ .path = "limits.live_bridges", INTEGER(16, 10000000, 100000), .unit = "bridges", ALL(limits.live_bridges),
	  .help = "Bridges of one server." },
	{ .path = "limits.live_queues", INTEGER(1, 1000000, 2000), .unit = "queues", ALL(limits.live_queues), .help = "Queues of one server." },
	{ .path = "limits.live_members", INTEGER(1, 10000000, 50000), .unit = "members", ALL(limits.live_members),
	  .help = "Members of all queues of one server." },
	{ .path = "limits.live_agents", INTEGER(1, 1000000, 20000), .unit = "agents", ALL(limits.live_agents), .help = "Agents of one server." },
	{ .path = "limits.live_endpoints", INTEGER(1, 10000000, 100000), .unit = "endpoints", ALL(limits.live_endpoints),
	  .help = "Endpoints and other devices of one server." },
	{ .path = "limits.live_conferences", INTEGER(1, 1000000, 5000), .unit = "conferences", ALL(limits.live_conferences),
	  .help = "Conferences of one server." },
	{ .path = "limits.live_parked", INTEGER(1, 1000000, 5000), .unit = "calls", ALL(limits.live_parked),
	  .help = "Parked calls of one server, and as many parking lots." },

	{ .path = "live.enabled", BOOLEAN(true), ALL(live.enabled),
	  .help = "The engine keeps a live picture of all servers: channels, calls, queues, agents, endpoints. It needs the event classes call, agent, dialplan and system, and asks each server for lists after a login and when it may have missed something." },
	{ .path = "live.variables", .type = OPTION_LIST, .min = 0, .max = 16, .check = check_variable, ALL(live.variables),
	  .help = "Channel variables that a channel of the picture shows. A change holds for channels that set none of them before." },
	{ .path = "live.trunks", .type = OPTION_LIST, .min = 0, .max = 64, ALL(live.trunks),
	  .help = "Interfaces that are trunks, such as `PJSIP/carrier*`; `*` and `?` match as in a shell. They decide the direction of a call; others are known as trunks or phones only by how they are dialled. A change holds for endpoints that are seen first after it." },
	{ .path = "live.service_level", SECONDS(1, 3600, 20), ALL(live.service_level),
	  .help = "Callers of a queue who are answered within so long count for its service level." },
	{ .path = "live.grace", SECONDS(0.1, 60, 2), ALL(live.grace),
	  .help = "An event may be older than a list that came before it by so much. What a list lacks is looked for once more after this time." },
	{ .path = "live.doubt", SECONDS(1, 86400, 600), ALL(live.doubt),
	  .help = "A channel that nothing has named for so long is asked for by itself; what a server that has no session had ends after this time." },
	{ .path = "live.resync_every", SECONDS(1, 86400, 60), ALL(live.resync_every),
	  .help = "A server is asked for its lists at most once in this time, but for a new session, and each list has as long to end." },
	{ .path = "live.snapshots_in_flight", INTEGER(1, 1000, 4), .unit = "servers", ALL(live.snapshots_in_flight),
	  .help = "Servers that are asked for lists at the same time." },
	{ .path = "live.day_starts", TEXT(5, 5), .text = "00:00", .check = check_day, ALL(live.day_starts),
	  .help = "Local time at which the figures of today begin anew." },

	{ .path = "policy.allow", .type = OPTION_LIST, .min = 0, .max = 1000, .check = check_action, POLICY(allow),
	  .help = "Actions that every rule may send besides those that are allowed from the start. What is named here is not looked into any more: an Originate may set any variable and dialplan function then, also SHELL()." },
	{ .path = "policy.deny", .type = OPTION_LIST, .min = 0, .max = 1000, .check = check_action, POLICY(deny),
	  .help = "Actions that no rule may send; wins over `allow`." },
	{ .path = "policy.originate", .type = OPTION_LIST, .min = 0, .max = 1000, .check = check_application, POLICY(originate),
	  .help = "Applications that every rule's Originate may name." },
	{ .path = "policy.http", .type = OPTION_LIST, .min = 0, .max = 1000, .check = check_url, POLICY(http),
	  .help = "URLs that every rule may ask with `http`, and all below them; nothing else. An address of this machine, of a private network, or of no single host (127.0.0.1, 10.0.0.5, 169.254.169.254 …) is closed, however a name leads there, unless an item of the list names that address, with its port. A change holds at once, for what drains too, and replaces no rule." },
	{ .path = "policy.rules.NAME.allow", .type = OPTION_LIST, .min = 0, .max = 1000, .check = check_action, POLICY(allow),
	  .help = "The same for the rule `NAME.lua` alone." },
	{ .path = "policy.rules.NAME.deny", .type = OPTION_LIST, .min = 0, .max = 1000, .check = check_action, POLICY(deny),
	  .help = "The same for the rule `NAME.lua` alone." },
	{ .path = "policy.rules.NAME.originate", .type = OPTION_LIST, .min = 0, .max = 1000, .check = check_application,
	  POLICY(originate), .help = "The same for the rule `NAME.lua` alone." },
	{ .path = "policy.rules.NAME.http", .type = OPTION_LIST, .min = 0, .max = 1000, .check = check_url, POLICY(http),
	  .help = "The same for the rule `NAME.lua` alone." },
	{ .path = "policy.web.allow", .type = OPTION_LIST, .min = 0, .max = 1000, .check = check_action, .scope = SCOPE_WEB_POLICY, .offset = offsetof(struct config_policy, allow),
	  .help = "Actions that tokens with the scope `act` may send besides those that rules may send from the start. What is allowed to rules is not allowed here by that. Calling, hanging up, redirecting and pausing need no entry; what is named here is not looked into any more, as in `policy.allow`." },
	{ .path = "policy.web.deny", .type = OPTION_LIST, .min = 0, .max = 1000, .check = check_action, .scope = SCOPE_WEB_POLICY, .offset = offsetof(struct config_policy, deny),
	  .help = "Actions that they may not send; wins over `allow`." },
	{ .path = "policy.web.originate", .type = OPTION_LIST, .min = 0, .max = 1000, .check = check_application, .scope = SCOPE_WEB_POLICY, .offset = offsetof(struct config_policy, originate),
	  .help = "Applications that their Originate may name, such as `ChanSpy` for the board's listening in." },

	{ .path = "log.level", .type = OPTION_WORD, .choices = "debug info warn error", .text = "info", ALL(log.level),
	  .help = "Records below this level are not written." },
	{ .path = "log.format", .type = OPTION_WORD, .choices = "auto text json journal", .text = "auto", ALL(log.format),
	  .help = "`auto`: text on a terminal, the journal when systemd has connected stderr to it, JSON lines elsewhere. `journal`: systemd's journal, with native fields; it takes no `log.file`. To or from the journal needs a restart." },
	{ .path = "log.file", TEXT(1, 4096), ALL(log.file), .flags = OPTION_HOME | OPTION_RESTART,
	  .help = "File to append to; without it, stderr." },
	{ .path = "log.queue_records", INTEGER(16, 10000000, 4096), .unit = "records", ALL(log.queue_records),
	  .flags = OPTION_RESTART, .help = "Records that may wait for the writer. Beyond, they are dropped and counted." },
	{ .path = "log.queue_bytes", BYTES(16 * KIB, 1024 * MIB, 4 * MIB), ALL(log.queue_bytes), .flags = OPTION_RESTART,
	  .help = "The same in bytes." },
	{ .path = "log.throttle_burst", INTEGER(1, 1000000, 5), .unit = "records", ALL(log.throttle_burst),
	  .help = "Identical records that pass in a window; the rest is reported as one number." },
	{ .path = "log.throttle_window", SECONDS(0.1, 86400, 10), ALL(log.throttle_window), .help = "That window." },

	{ .path = "redact.names", .type = OPTION_LIST, .min = 0, .max = 100, ALL(redact.names),
	  .help = "Names of headers and fields whose values are masked, besides Secret, Password, Key, Challenge and the like; `*` and `?` match as in a shell, case is ignored." },
	{ .path = "redact.values", .type = OPTION_LIST, .min = 0, .max = 100, ALL(redact.values),
	  .help = "Patterns (PCRE2) of what is masked wherever it stands in a text. A text on which a pattern takes more than 2,000 steps from one place is masked whole." },

	{ .path = "persist.file", TEXT(1, 4096), ALL(persist.file), .flags = OPTION_HOME | OPTION_RESTART,
	  .help = "File that persistent stores, jobs and the lines of sinks with a `url` are kept in, such as `state.db`; made on first use, for its owner alone, with `-wal` and `-shm` beside it. It must be on a local disk. Without it `store.open(name, { persistent = true })`, `work` and such sinks are errors." },
	{ .path = "persist.dirty_bytes", BYTES(64 * KIB, 16384 * MIB, 64 * MIB), ALL(persist.dirty_bytes),
	  .help = "Changes that may wait for the disk, while it is slow, full or failing. Beyond, `set`, `incr` and `delete` raise." },
	{ .path = "persist.wal_bytes", BYTES(8 * MIB, 16384 * MIB, 256 * MIB), ALL(persist.wal_bytes), .flags = OPTION_RESTART,
	  .help = "Size of the file's write-ahead log, which grows while another process reads the file. Beyond, the disk counts as full." },
	{ .path = "persist.spool_lines", INTEGER(1, 10000000, 100000), .unit = "lines", ALL(persist.spool_lines),
	  .help = "Lines of one sink with a `url` that wait for their delivery. Beyond, `write` fails as `backpressure`." },
	{ .path = "persist.spool_bytes", BYTES(1 * KIB, 16384 * MIB, 64 * MIB), ALL(persist.spool_bytes), .help = "The same in bytes." },
	{ .path = "persist.spool_dead", INTEGER(1, 1000000, 1000), .unit = "lines", ALL(persist.spool_dead),
	  .help = "Dead letters of one sink. Beyond, the oldest is dropped, which is counted and logged." },
	{ .path = "persist.close", SECONDS(0.1, 600, 10), ALL(persist.close),
	  .help = "At the end of the daemon, changes must be on disk after so long; what is not is lost, counted and logged." },

	{ .path = "http_client.timeout", SECONDS(0.1, 3600, 10), ALL(http_client.timeout),
	  .help = "For a whole request of `http` that sets no timeout of its own, redirects included." },
	{ .path = "http_client.connect", SECONDS(0.05, 300, 5), ALL(http_client.connect),
	  .help = "For the connect and the TLS handshake." },
	{ .path = "http_client.request_bytes", BYTES(1 * KIB, 64 * MIB, 1 * MIB), ALL(http_client.request_bytes),
	  .help = "URL, headers and body of a request. Beyond, it fails as `overflow`." },
	{ .path = "http_client.response_bytes", BYTES(1 * KIB, 64 * MIB, 1 * MIB), ALL(http_client.response_bytes),
	  .help = "Headers and body of an answer, unpacked. Beyond, the request fails as `overflow`." },
	{ .path = "http_client.queued_bytes", BYTES(64 * KIB, 4096 * MIB, 64 * MIB), ALL(http_client.queued_bytes),
	  .help = "All requests and answers that are held at the same time. Beyond, the next request fails as `backpressure`, an answer as `overflow`." },
	{ .path = "http_client.in_flight", INTEGER(1, 10000, 256), .unit = "requests", ALL(http_client.in_flight),
	  .help = "Requests under way at the same time; others wait, within their timeouts. Each needs a descriptor." },
	{ .path = "http_client.per_host", INTEGER(1, 10000, 16), .unit = "requests", ALL(http_client.per_host),
	  .help = "Of them to one host and port. From 4 on, one rule takes at most three quarters of them." },
	{ .path = "http_client.breaker_failures", INTEGER(1, 1000, 5), .unit = "failures", ALL(http_client.breaker_failures),
	  .help = "So many deliveries of sinks to one host and port that fail in a row open its circuit breaker." },
	{ .path = "http_client.breaker_open", SECONDS(0.01, 86400, 30), ALL(http_client.breaker_open),
	  .help = "An open breaker lets no sink try that host for so long, then single ones." },
	{ .path = "http_client.ca", TEXT(1, 4096), ALL(http_client.ca), .flags = OPTION_BESIDE,
	  .help = "PEM file of the authorities to trust, instead of the system's. Certificates are always verified." },
	{ .path = "http_client.cert", TEXT(1, 4096), ALL(http_client.cert), .flags = OPTION_BESIDE,
	  .help = "PEM file of our own certificate, for servers that ask for one; needs `key`." },
	{ .path = "http_client.key", TEXT(1, 4096), ALL(http_client.key), .flags = OPTION_BESIDE,
	  .help = "PEM file of its private key." },

	{ .path = "http.listen", TEXT(1, 128), .check = check_listen, ALL(http.listen), .flags = OPTION_RESTART,
	  .help = "Address and port of `/metrics`, `/healthz` and `/ready`, such as `127.0.0.1:9150` or `[::1]:9150`; port 0: any that is free. Without it there is no HTTP. It asks for no login: beyond this machine, guard it." },
	{ .path = "http.ready", .type = OPTION_WORD, .choices = "one all", .text = "one", ALL(http.ready), .flags = OPTION_RESTART,
	  .help = "`/ready` is 200 when one server has a session, or only when all have." },
	{ .path = "http.connections", INTEGER(1, 1000, 32), .unit = "connections", ALL(http.connections), .flags = OPTION_RESTART,
	  .help = "Connections at the same time. Beyond, new ones are closed and counted." },
	{ .path = "http.timeout", SECONDS(0.5, 300, 10), ALL(http.timeout), .flags = OPTION_RESTART,
	  .help = "A connection, which carries one request, must have ended after so long." },

	{ .path = "web.listen", TEXT(1, 128), .check = check_listen, ALL(web.listen), .flags = OPTION_RESTART,
	  .help = "Address and port of the API and the board, such as `127.0.0.1:8080`; port 0: any that is free. Without it there is none. The same as `http.listen`: both are served there. An address that is not this machine's own needs `web.tls` or `web.allow_plaintext`." },
	{ .path = "web.allow_plaintext", BOOLEAN(false), ALL(web.allow_plaintext),
	  .help = "Allows an address beyond this machine without TLS: tokens and callers then cross the network readable." },
	{ .path = "web.tls.cert", TEXT(1, 4096), ALL(web.tls.cert), .flags = OPTION_BESIDE,
	  .help = "PEM file of the certificate, then those between it and its authority. A reload takes a renewed one; connections that stand keep theirs." },
	{ .path = "web.tls.key", TEXT(1, 4096), ALL(web.tls.key), .flags = OPTION_BESIDE, .help = "PEM file of its private key, without a passphrase." },
	{ .path = "web.hosts", .type = OPTION_LIST, .min = 0, .max = 64, .check = check_web_host, ALL(web.hosts),
	  .help = "Names by which clients reach it, without ports. A request for another Host is refused (421), which stops pages that rebind their name. Without it: `localhost`, the loopback addresses, and the address of `web.listen`." },
	{ .path = "web.origins", .type = OPTION_LIST, .min = 0, .max = 64, .check = check_origin, ALL(web.origins),
	  .help = "Origins of web pages that may use the API from a browser (CORS), such as `https://crm.example.net`. The board needs none." },
	{ .path = "web.trusted_proxies", .type = OPTION_LIST, .min = 0, .max = 64, .check = check_network, ALL(web.trusted_proxies),
	  .help = "Addresses or networks of proxies whose `X-Forwarded-For` is believed: the client's address in logs and for `web.failures` is the last one there that is no such proxy." },
	{ .path = "web.timeout", SECONDS(0.5, 300, 10), ALL(web.timeout),
	  .help = "A request must have come, its answer been made and been taken, each within so long; a stream's reader must take something in it." },
	{ .path = "web.connections", INTEGER(1, 100000, 512), .unit = "connections", ALL(web.connections),
	  .help = "Connections at the same time. Beyond, new ones are closed and counted." },
	{ .path = "web.streams", INTEGER(1, 100000, 256), .unit = "streams", ALL(web.streams),
	  .help = "Streams (`/api/live`, `/api/events`) at the same time, out of the connections. Beyond, they are refused (503) and counted." },
	{ .path = "web.body", BYTES(1 * KIB, 16 * MIB, 64 * KIB), ALL(web.body), .help = "Longest body of a request." },
	{ .path = "web.requests_per_second", INTEGER(1, 100000, 50), .unit = "requests", ALL(web.requests_per_second),
	  .help = "Of one token, with as many at once. Beyond, they are refused (429) and counted." },
	{ .path = "web.failures", INTEGER(1, 100000, 20), .unit = "requests", ALL(web.failures),
	  .help = "Requests without a valid token that one address (of IPv6 a /64) may send in a minute. Beyond, all of its requests are refused (429) until the minute is over." },
	{ .path = "web.replay", BYTES(64 * KIB, 1024 * MIB, 1 * MIB), ALL(web.replay),
	  .help = "Changes that are kept for readers of `/api/live` that are slower or come back. Who is further behind gets a snapshot." },
	{ .path = "web.tokens.NAME.secret", TEXT(16, 256), .check = check_token, TOKEN(secret), .flags = OPTION_REQUIRED | OPTION_SECRET,
	  .help = "Sent as `Authorization: Bearer SECRET`; best as `env \"NAME\"` or `file \"path\"`. At most 256 tokens." },
	{ .path = "web.tokens.NAME.old_secret", TEXT(16, 256), .check = check_token, TOKEN(old_secret), .flags = OPTION_SECRET,
	  .help = "Is good as well: the one before, until every client has the new one." },
	{ .path = "web.tokens.NAME.scopes", .type = OPTION_LIST, .min = 1, .max = 4, .check = check_scope, TOKEN(scopes), .flags = OPTION_REQUIRED,
	  .help = "`read`: everything that shows something; `emit`: events for rules; `act`: actions, as `policy.web` allows; `hooks`: endpoints of rules." },
	{ .path = "web.tokens.NAME.emit", .type = OPTION_LIST, .min = 0, .max = 64, .check = check_event, TOKEN(emit),
	  .help = "Names of events that it may emit; `*` and `?` match as in a shell. Without it none." },
	{ .path = "web.tokens.NAME.servers", .type = OPTION_LIST, .min = 0, .max = 64, TOKEN(servers),
	  .help = "Servers that it sees and acts on. Without it all." },
	{ .path = "web.tokens.NAME.queues", .type = OPTION_LIST, .min = 0, .max = 256, TOKEN(queues),
	  .help = "Queues that it sees, with their callers, members, agents and calls, and acts on: it sends actions on a queue (such as QueuePause) that name one of them in `Queue`, actions on a channel (such as Hangup) that name one of such a call in `Channel`, and no others. Without it all." },

	{ .path = "control.socket", TEXT(1, 4096), ALL(control.socket), .flags = OPTION_HOME | OPTION_RESTART,
	  .help = "Unix socket for `hookswitch ctl`; without it there is no console." },
	{ .path = "control.mode", TEXT(3, 4), .text = "0600", .check = check_mode, ALL(control.mode), .flags = OPTION_RESTART,
	  .help = "Its permissions, octal, as a text." },
	{ .path = "control.group", TEXT(1, 64), ALL(control.group), .flags = OPTION_RESTART,
	  .help = "Group, by name or number, that the socket is given to; needs `mode = \"0660\"`. The daemon must be root or in that group, and the socket's folder must let its members in. Without it, the daemon's own group." },
	{ .path = "control.sockets.NAME.path", TEXT(1, 4096), SOCKET(path), .flags = OPTION_REQUIRED | OPTION_HOME | OPTION_RESTART,
	  .help = "One more unix socket, which grants its `roles` only; `control.socket` grants all. At most 8." },
	{ .path = "control.sockets.NAME.roles", .type = OPTION_LIST, .min = 1, .max = 4, .check = check_role, SOCKET(roles),
	  .flags = OPTION_REQUIRED | OPTION_RESTART,
	  .help = "`look`: every command that shows something; `emit`: `emit`; `act`: `call` with the actions that rules may send from the start; `admin`: all commands and all actions. One role does not include another, but `admin` all." },
	{ .path = "control.sockets.NAME.mode", TEXT(3, 4), .text = "0660", .check = check_mode, SOCKET(mode), .flags = OPTION_RESTART,
	  .help = "Its permissions, octal, as a text." },
	{ .path = "control.sockets.NAME.group", TEXT(1, 64), SOCKET(group), .flags = OPTION_RESTART,
	  .help = "Group that it is given to, as `control.group`." },
};

const size_t option_count = sizeof options / sizeof *options;
