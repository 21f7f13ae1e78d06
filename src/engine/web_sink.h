/* Sinks with a URL: the lines of a spool are delivered to it, in order and at least once.
 *
 *   no batch ──lines──> fixing ──on disk──> sending ──2xx──> acknowledged
 *                                  ^          │ ├──4xx that speaks of the lines: split; a single line is a dead letter
 *                                  └─pause────┘ └──tries used up: dead letters
 *
 * One request at a time for each sink. A batch's bounds and its key are on disk before the first try, so both stay the same over
 * tries and restarts. */
#ifndef ENGINE_WEB_SINK_H
#define ENGINE_WEB_SINK_H

#include "engine/engine.h"

struct engine_spool_view {
	const char *url;    /* NULL: the configuration has no such sink any more: its lines wait */
	const char *state;  /* "idle", "waits" (for a full batch), "sends", "fails" */
	const char *error;  /* of the last try, "" when it was good */
	unsigned try;       /* of the batch that is worked on */
	double next;        /* seconds until the next try; 0: now, or none */
	uint64_t delivered, expired; /* lines, since the process began */
};
/* False: it has neither a spool nor a place in the configuration. */
bool engine_spool_view(struct engine *engine, struct slice name, struct engine_spool_view *out);
/* Something has changed from outside (a dead letter was sent again): looks at once. */
void engine_spool_stir(struct engine *engine, struct slice name);

#endif
