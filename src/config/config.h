/* The configuration: conf/hookswitch.lua read into a checked struct. Reading happens in its own small Lua state with a time
 * and memory limit; it may run on the loader's thread. Every option stands in one table, options.c, with type, unit,
 * range, default and help; conf/README.md is checked against it.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/faults.h"
#include "base/rule_limits.h"
#include "base/value.h"

struct config_list {
	char **items; /* owned */
	size_t count;
};

bool config_list_equal(const struct config_list *a, const struct config_list *b);
bool config_list_has(const struct config_list *list, struct slice item);
/* Appends a copy. */
void config_list_add(struct config_list *list, struct slice item);
/* Leaves it empty. */
void config_list_close(struct config_list *list);

enum config_auth { CONFIG_AUTH_MD5, CONFIG_AUTH_PLAIN };

/* Times in seconds, sizes in bytes. Texts are owned; NULL where the option has no default and was not given. Paths are
 * ready to be opened: relative ones were joined to their folder, that of the configuration file for `tls`, else home (see
 * `scripts`). Servers, rules, sinks and policies are sorted by name. */
struct config_server {
	char *name, *host;
	int64_t port;
	char *username, *secret;
	enum config_auth auth;
	bool allow_plaintext;
	char *events;
	bool live;
	struct {
		bool enabled, verify;
		char *ca, *cert, *key, *server_name;
	} tls;
	struct {
		double resolve, connect, tls, banner, login, read, heartbeat_interval, heartbeat, action, drain;
	} timeouts;
	struct {
		double first, max, auth_first, auth_max, success_after;
		int64_t breaker_failures;
		double breaker_open;
		int64_t breaker_probes;
	} reconnect;
	struct {
		int64_t frame, headers, backlog_events, backlog_bytes, kept_bytes, write_buffer, pending, list_events, list_bytes;
		struct config_list shed_first;
	} limits;
};

/* Rights of one rule, or of all ("*"). */
struct config_policy {
	char *rule;                   /* "*": all rules; else the file's name without .lua */
	struct config_list allow;     /* names of actions; "*" is every action */
	struct config_list deny;      /* wins over allow */
	struct config_list originate; /* applications that Originate may name */
	struct config_list http;      /* URLs below which requests may go */
};

struct config_rule {
	char *name;            /* file name without .lua */
	struct value settings; /* its section of `rules` */
};

/* A file or a URL. */
struct config_sink {
	char *name, *file;     /* file: NULL: */
	char *url;             /* lines are POSTed there */
	struct value headers;  /* table of texts */
	char *hmac;            /* NULL: requests are not signed */
	int64_t batch, tries;  /* tries: 0: as often as it takes */
	double every, timeout, retry_first, retry_max;
};

/* A socket of the console beside control.socket. */
struct config_socket {
	char *name, *path, *mode, *group; /* mode: "0660", octal; group: NULL: as it is made */
	struct config_list roles;         /* "look", "emit", "act", "admin" */
};

/* Who may use the API over HTTP. */
struct config_token {
	char *name;                 /* its label in logs */
	char *secret, *old_secret;  /* old_secret: NULL: none */
	struct config_list scopes;  /* "read", "emit", "act", "hooks" */
	struct config_list emit;    /* globs over names of events that it may emit */
	struct config_list servers; /* empty: all */
	struct config_list queues;  /* empty: all */
};

struct config {
	char *path; /* of the file that was read */
	struct config_server *servers;
	size_t server_count;
	struct {
		char *rules, *lib; /* folders; relative ones count from home: the configuration file's folder's parent when that
		                      folder is named conf, else the folder itself */
	} scripts;
	struct config_rule *rules;
	size_t rule_count;
	struct config_sink *sinks;
	size_t sink_count;
	struct {
		struct rule_limits rules;
		int64_t connects_in_flight, connects_per_turn;
		int64_t live_channels, live_bridges, live_queues, live_members, live_agents, live_endpoints, live_conferences,
		        live_parked;                                   /* of one server */
	} limits;
	struct {
		bool enabled;
		struct config_list variables, trunks;
		double service_level, grace, doubt, resync_every;
		int64_t snapshots_in_flight;
		char *day_starts; /* "07:30", local time */
	} live;
	struct config_policy *policies;
	size_t policy_count;
	struct {
		char *level, *format, *file; /* "info"; "auto", "text", "json" or "journal"; NULL: none */
		int64_t queue_records, queue_bytes, throttle_burst;
		double throttle_window;
	} log;
	struct {
		struct config_list names, values; /* globs of names, patterns of values */
	} redact;
	struct {
		char *file; /* NULL: nothing survives the process */
		int64_t dirty_bytes, wal_bytes, spool_lines, spool_bytes, spool_dead;
		double close; /* seconds */
	} persist;
	struct {
		double timeout, connect;
		int64_t request_bytes, response_bytes, queued_bytes, in_flight, per_host;
		char *ca, *cert, *key;
		int64_t breaker_failures;
		double breaker_open;
	} http_client;
	struct {
		char *listen; /* "127.0.0.1:9150"; NULL: no HTTP */
		char *ready;  /* "one" or "all" */
		int64_t connections;
		double timeout;
	} http;
	struct {
		char *listen; /* "127.0.0.1:8080"; NULL: no API */
		bool allow_plaintext;
		struct {
			char *cert, *key; /* NULL: no TLS */
		} tls;
		struct config_list hosts, origins, trusted_proxies;
		double timeout;
		int64_t connections, streams, body, requests_per_second, failures, replay;
		struct config_token *tokens;
		size_t token_count;
		struct config_policy policy; /* of actions; `rule` is not used */
	} web;
	struct {
		char *socket; /* NULL: no console */
		char *mode;   /* "0600", octal */
		char *group;  /* name or number; NULL: the daemon's own */
		struct config_socket *sockets;
		size_t socket_count;
	} control;
};

/* Reads and checks `path`. NULL when anything is wrong: every fault is then in `faults`, each line `file:line: …` or
 * `servers.pbx1.conect_timeout: unknown option (did you mean connect_timeout?)`. Warnings do not fail it. Secrets
 * (every value of env and file, every server's secret) are made known to the caller through `secret` (may be NULL). */
struct config *config_load(const char *path, void (*secret)(const char *value), struct faults *faults);
/* The same for looking at it only: with faults it is filled as far as it goes, NULL when the file gives no table. */
struct config *config_look(const char *path, void (*secret)(const char *value), struct faults *faults);
/* A configuration in which nothing was given: no servers, every option at its default, paths as they stand there. */
struct config *config_defaults(void);
void config_destroy(struct config **config);
/* The first option that differs and cannot change while running, as its path ("control.socket"), or NULL. */
const char *config_needs_restart(const struct config *running, const struct config *wanted);
/* True when all of the server's own settings agree that its session depends on. */
bool config_server_equal(const struct config_server *a, const struct config_server *b);
/* Prints the table of all options, as conf/README.md holds it. */
struct buf;
void config_print_reference(struct buf *out);

#endif
