/* From the configuration's struct to what the other layers ask for. */
#ifndef ENGINE_MAPPING_H
#define ENGINE_MAPPING_H

#include "config/config.h"
#include "link/link.h"
#include "observe/log.h"
#include "rules/host.h"

/* The result points into `server`. */
void mapping_link(const struct config_server *server, struct link_config *out);
/* `options` without a file: nothing is written (check, replay). */
struct persist_options;
void mapping_persist(const struct config *config, struct persist_options *options);
/* Points into `config`. */
struct picture_options;
void mapping_picture(const struct config *config, struct picture_options *out);
/* A new policy, the caller's. */
struct policy *mapping_policy(const struct config *config);
/* Of the HTTP client; points into `config`. */
struct http_client_settings;
void mapping_http(const struct config *config, struct http_client_settings *out);
/* The port of "127.0.0.1:9150"; 0: none (`listen` NULL), or any that is free. */
uint16_t mapping_port(const char *listen);
/* A new one, the caller's; NULL with faults. */
struct http_policy *mapping_http_policy(const struct config *config, struct faults *faults);
/* The same of who acts over HTTP. */
struct policy *mapping_web_policy(const struct config *config);
/* Points into `config`; format "auto" is text on a terminal, the journal when stderr is its stream, JSON elsewhere. `format` (may be NULL) overrides it. */
void mapping_log(const struct config *config, const char *format, struct log_options *out);
/* -1 with `err` when what `wanted` says of the log's destination contradicts itself, or differs from the running
 * configuration's (may be NULL). */
int mapping_log_check(const struct config *running, const struct config *wanted, const char *format, struct err *err);
/* Everything that rule_set_load() reads of the configuration; `names` (of servers and tokens) and `settings` are the caller's to free
 * (free(), value_close()). */
void mapping_rules(const struct config *config, struct rules_options *out, const char ***names, struct value *settings);
/* A new set of patterns, for redact_use(); NULL with `err` when one is wrong. */
struct redact_patterns *mapping_redact(const struct config *config, struct err *err);

#endif
