/* Rules without a daemon: a real host, servers that are only names, and a clock that is moved by hand.
 * What rules send is kept until the test answers it. One thread; no call raises.
 */
#ifndef HARNESS_MODULE_HARNESS_H
#define HARNESS_MODULE_HARNESS_H

#include "ami/framer.h"
#include "http/http_access.h"
#include "rules/host.h"

struct harness_server {
	uint32_t id;
	char *name;
	char version[32];
	bool ready, removed;
	uint32_t pending;
	struct frame_log log;  /* of events that some rule takes later */
	struct host_feed *feed;
	struct framer framer; /* of fed bytes */
	struct buf held;
};

/* An action that a rule sent. */
struct harness_action {
	uint32_t server; /* its id */
	char *rule;
	struct action action;
	double timeout; /* as the rule asked for; 0: the default */
	void *tag;      /* NULL: it was answered */
	char id[ACTION_ID_MAX + 1];
};

/* A request of `http` that a rule made. */
struct harness_request {
	char *rule;
	struct http_request request;
	void *tag; /* NULL: it was answered */
};

/* A request over HTTP that the test made. */
struct harness_visit {
	struct hook_call *call; /* NULL: it was answered */
	unsigned status;
	char type[128];
	struct buf body, headers, error;
};

struct harness_line {
	char *sink, *text; /* NUL-terminated */
	size_t len;
	double ttl;        /* 0: none */
};

struct harness {
	struct pool pool;
	struct host *host;
	struct persist *persist;  /* in memory */
	struct metrics *metrics;
	struct rule_limits limits;
	char *rules, *lib;        /* folders */
	struct value settings;
	struct policy *policy;    /* owned; of the next loads */
	bool reload_all;          /* the next load loads unchanged rules too */
	struct harness_server **servers; /* owned, by id from 1 */
	size_t server_count;
	char **sinks;             /* names; none: every name will do */
	size_t sink_count;
	struct harness_action **sent; /* owned, oldest first */
	size_t sent_count, answered;  /* all before `answered` were answered */
	struct http_policy *http_policy; /* owned; NULL: nothing is allowed */
	struct harness_request **requests; /* owned, oldest first */
	size_t request_count;
	struct harness_visit **visits; /* owned, oldest first */
	size_t visit_count;
	struct harness_line *lines;
	size_t line_count;
	struct rule **retired;    /* owned: parted from the host, and freed a turn later, as another thread does it in a daemon */
	size_t retired_count;
	uint64_t now;             /* virtual monotonic ns */
	double wall;              /* virtual epoch seconds */
	struct faults faults;     /* of the last load */
	struct buf text;          /* scratch */
};

/* The limits that a configuration without any has, and a time to begin with. Nothing is loaded yet. */
void harness_init(struct harness *harness);
void harness_close(struct harness *harness);
void harness_add_server(struct harness *harness, struct slice name);
/* NULL when there is none of that name. */
struct harness_server *harness_find_server(const struct harness *harness, struct slice name);
/* Loads rules, lib, settings and policy as they stand and takes them over. 0, or -1: nothing has changed
 * then. The faults, warnings too, are in `faults`. */
int harness_load(struct harness *harness);
/* host_turn(), and frees the rules that had been retired before. */
uint64_t harness_turn(struct harness *harness);
/* The session begins: `server.ready` is queued. */
void harness_ready(struct harness *harness, struct harness_server *server, struct slice version);
/* It ends: what is pending fails as `lost`, subscriptions end, `server.lost` is queued. */
void harness_lost(struct harness *harness, struct harness_server *server, const char *reason);
/* An event of the server. True when some rule heard it, or will. */
bool harness_event(struct harness *harness, struct harness_server *server, const struct message *message);
/* Bytes as they come from the server; events go to the rules, everything else is ignored. Returns how many events some rule
 * heard; -1 with `err` when the bytes are no AMI. */
int64_t harness_feed(struct harness *harness, struct harness_server *server, struct slice bytes, struct err *err);
/* Ends an action; takes over `reply`. */
void harness_answer(struct harness *harness, struct harness_action *action, struct reply *reply);
/* host_ops.http of a harness: keeps the request. module_requests.c */
int harness_http(void *harness, const char *rule, const struct http_request *request, void *tag, struct err *err);
/* Ends a request; takes over `response`. */
void harness_respond(struct harness_request *request, struct http_response *response);
/* Ends those that are left and frees all. */
void harness_http_close(struct harness *harness);
/* Reads all lists of the server once into the live picture: lists[i] is the reply to its action, those that are not there are
 * empty. module_picture.c */
void harness_snapshot(struct harness *harness, struct harness_server *server, struct reply *const *lists, size_t count);
/* The picture of a new host. */
void harness_picture_open(struct harness *harness);
/* A session has begun: a server of which nothing is known is idle, its lists are empty. */
void harness_picture_ready(struct harness *harness, struct harness_server *server);
/* Moves the clock by `ns` and runs turns: as many as want to run at once, each timer at its own time. -1 with `err` when a
 * rule always does (HOST_TURNS_STANDING). */
int harness_advance(struct harness *harness, uint64_t ns, struct err *err);

#endif
