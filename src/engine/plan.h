/* A configuration with its rules and links, made beside the running ones and taken over whole or thrown away (P7). */
#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H

#include "engine/server.h"
#include "engine/loader.h"
#include "http/http_access.h"
#include "net/tls.h"
#include "observe/log.h"
#include "sandbox/arena.h"

struct log_file;
struct board;
struct tls;
struct tls_pool;
struct redact_patterns;

struct plan {
	/* In. */
	const char *path;
	const struct config *running; /* NULL at start-up */
	struct link_hub *hub;         /* NULL: made later, links too (start-up) */
	struct arena_budget *budget; /* of the host, for limits.memory; NULL: own_budget */
	struct arena_budget own_budget;
	struct store *store;
	struct picture *picture;
	struct host_snapshot *snapshot; /* of the running rules, owned; NULL: all are loaded */
	struct engine *engine;
	struct loader *loader;        /* NULL: this is the loop's thread */
	const char *log_format;       /* instead of the configuration's; NULL: as it says */
	bool skip_bad_files;
	bool looks_only;              /* check: no sink is opened, and rules are loaded whatever the configuration's faults */
	/* Opens the state file once the configuration is sound, before the rules are loaded; NULL: it is open. */
	int (*open_state)(struct plan *plan, struct err *err);
	const struct link_owner *owner; /* callbacks of the links; ctx is set to each server */
	struct tls_pool *tls;         /* of HTTP, both ways; NULL (check): certificates are read and forgotten */
	/* Out: all zero before. */
	struct faults faults;
	struct config *config;
	struct rule_set *rules;
	struct server **servers;      /* as many as the configuration has; NULL: the running one stays as it is */
	struct log_file **sinks;      /* one for each sink of the configuration */
	struct redact_patterns *redact; /* of the configuration */
	struct http_policy *http_policy;
	struct tls *http_tls;         /* NULL: the policy allows no request */
	struct board *board;          /* NULL: without web.listen */
	struct tls *web_tls;          /* of web.listen; NULL: without TLS */
	bool sound;                   /* the configuration itself has no fault */
	bool good;
};

/* Fills the outputs; `good` says whether all of it can be taken over. May block: files are read. */
void plan_make(struct plan *plan);
/* The links of a plan whose hub came later. 0 or -1 with faults. */
int plan_make_links(struct plan *plan);
/* Frees what was not taken over (taken over: the pointer is NULL). */
void plan_close(struct plan *plan);

#endif
