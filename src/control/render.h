/* What the console shows: the engine's views as text for people. They append to `out`. */
#ifndef CONTROL_RENDER_H
#define CONTROL_RENDER_H

#include "base/buf.h"
#include "engine/engine.h"

void render_status(struct engine *engine, struct buf *out);

#define STATUS_WIDTH 80 /* characters of its lines */

void render_servers(struct engine *engine, struct buf *out);
/* The part of the status: fewer columns, failures in lines of their own. */
void render_servers_brief(struct engine *engine, struct buf *out);
/* The actions that wait for their end. */
void render_pending(struct engine *engine, struct buf *out);
void render_pending_json(struct engine *engine, struct buf *out);
void render_scripts(struct engine *engine, struct buf *out);
void render_scripts_brief(struct engine *engine, struct buf *out);

#endif
