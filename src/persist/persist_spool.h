/* Spools: lines that wait to be delivered elsewhere, in order, at least once.
 *
 *   write ──> waiting ──batch──> in a batch ──ack──> gone
 *                │ ttl is over       │ reject
 *                v                   v
 *              gone              dead letter ──resend──> waiting, at the end
 *
 * A batch's bounds and its key are on disk before persist_spool_batch() answers, so they stay the same over tries and restarts: whoever
 * receives it can know it by its key. Batches are a spool's oldest lines; only the first of them, the head, is worked on. */
#ifndef PERSIST_PERSIST_SPOOL_H
#define PERSIST_PERSIST_SPOOL_H

#include "persist/persist.h"

#define PERSIST_SPOOL_NAME_MAX 1024
#define PERSIST_SPOOL_KEY_LEN 32 /* hexadecimal digits */

struct persist_spool; /* lives as long as the layer */

struct persist_batch {
	int64_t id;
	const char *key; /* the idempotency key */
	size_t lines;
	unsigned try;    /* how often persist_spool_tried() was called, over restarts too */
	bool expired;    /* the ttl of all its lines is over: delivering it would do harm */
};

struct persist_letter {
	int64_t id;
	struct slice text, error;
	double written; /* epoch seconds, of the engine's time */
};

struct persist_spool_stats {
	size_t lines, bytes, batches, dead;
	double oldest; /* seconds that the oldest line has waited; 0: none */
	/* Since the process began. */
	uint64_t written, delivered, expired, died, dropped;
};

/* NULL: ERR_INVALID for an empty or too long name. Names come from the configuration. */
struct persist_spool *persist_spool_open(struct persist *persist, struct slice name, struct err *err);
bool persist_spools_next(const struct persist *persist, size_t *cursor, struct persist_spool **spool, struct slice *name);

/* Appends a line. `ttl` in nanoseconds, 0: none; it counts until the line stands in a batch. `fn` may be NULL: then it is on disk within 100 ms;
 * else `fn(arg, 0, NULL)` when it is, or `fn(arg, 0, err)`, then it is in the spool no more. 0, or -1 with ERR_BACKPRESSURE: the
 * spool is full, or the disk (with `fn`) or dirty_bytes (without). */
int persist_spool_write(struct persist_spool *spool, struct slice text, uint64_t ttl, uint64_t now, persist_fn *fn, void *arg,
                        struct err *err);

/* Fixes the next batch: the oldest lines that stand in none, at most `lines` of them (at least 1) with at most `bytes` of text (at least one
 * line). 1: `fn(arg, id of the batch, NULL)` follows when it is on disk, or `fn(arg, 0, err)`, then there is none. 0: there is
 * a batch, one is being fixed, or there is no line. -1: ERR_BACKPRESSURE. */
int persist_spool_batch(struct persist_spool *spool, size_t lines, size_t bytes, uint64_t now, persist_fn *fn, void *arg,
                        struct err *err);
/* The first batch that is on disk; false when there is none. `key` stands until the next change. */
bool persist_spool_head(const struct persist_spool *spool, uint64_t now, struct persist_batch *out);
/* Walks the lines of the head: `*cursor` is NULL at first. Nothing may change meanwhile. */
bool persist_spool_line(const struct persist_spool *spool, const void **cursor, struct slice *text);

/* For the head, by its id (otherwise -1, and nothing happens). All are on disk within 100 ms. */
/* A try begins. */
int persist_spool_tried(struct persist_spool *spool, int64_t batch, uint64_t now);
/* It was delivered, or has expired: its lines are gone. */
int persist_spool_ack(struct persist_spool *spool, int64_t batch, uint64_t now);
/* All its lines become dead letters. */
int persist_spool_reject(struct persist_spool *spool, int64_t batch, struct slice error, uint64_t now);
/* In place of it stand two batches with a half of its lines and a key each; `fn` as for persist_spool_batch(), with the id of the first; when it
 * fails, the batch is as it was. -1 also when it has only one line, with `err`. */
int persist_spool_split(struct persist_spool *spool, int64_t batch, uint64_t now, persist_fn *fn, void *arg, struct err *err);

/* Walks the dead letters, the oldest first: `*after` is 0 at first, then the id of the last one. */
bool persist_spool_letters_next(const struct persist_spool *spool, int64_t *after, struct persist_letter *out);
/* One of them; false when there is none. */
bool persist_spool_letter(const struct persist_spool *spool, int64_t letter, struct persist_letter *out);
/* Appends it again, without a ttl, or drops it. 0, or -1: no such letter, or the spool is full. */
int persist_spool_resend(struct persist_spool *spool, int64_t letter, uint64_t now);
int persist_spool_drop(struct persist_spool *spool, int64_t letter, uint64_t now);

void persist_spool_stats(const struct persist_spool *spool, struct persist_spool_stats *out);

#endif
