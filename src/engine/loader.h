/* The loader thread: reads configurations and rules, makes and closes Lua states, so that the loop never does (P1). It talks to
 * the loop through two bounded queues. */
#ifndef ENGINE_LOADER_H
#define ENGINE_LOADER_H

#include <ev.h>

#include "base/err.h"
#include "rules/host.h"

struct loader;

/* `work` runs on the loader's thread, then `done` on the loop's. */
typedef void loader_fn(void *arg);

struct loader *loader_create(struct ev_loop *loop, struct err *err);
/* Interrupts, and waits for the jobs to end. Not while the loop runs. */
void loader_destroy(struct loader **loader);
/* Rules that load, now or later, are ended within some ticks: what they would make is not wanted any more. */
void loader_interrupt(struct loader *loader);
/* 0, or -1 with ERR_BACKPRESSURE. `done` may be NULL. */
int loader_post(struct loader *loader, loader_fn *work, loader_fn *done, void *arg, struct err *err);
/* From inside `work`: runs `fn` on the loop's thread and waits for it. */
void loader_on_loop(struct loader *loader, loader_fn *fn, void *arg);

#endif
