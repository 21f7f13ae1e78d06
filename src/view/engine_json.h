/* The engine's own state as JSON, for the console and the API. */
#ifndef VIEW_ENGINE_JSON_H
#define VIEW_ENGINE_JSON_H

#include "engine/engine.h"
#include "view/json_writer.h"

/* One line: an object with everything below and the process's own state. */
void engine_json_status(struct engine *engine, struct buf *out);
/* The member `servers`, inside an object; those that `sees` allows, NULL: all. */
typedef bool engine_json_sees_fn(void *ctx, struct slice server);
void engine_json_servers(struct engine *engine, struct writer *writer, engine_json_sees_fn *sees, void *ctx);
/* The rules' members, inside an object. */
void engine_json_rules(struct engine *engine, struct writer *writer);
/* "runs", "runs in part" (some listeners are in quarantine), "quarantined", "disabled", "failed" */
const char *engine_json_rule_state(const struct host_rule_view *view);

#endif
