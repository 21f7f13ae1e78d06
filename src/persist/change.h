/* What the loop asks the writer to do, and what comes back. A change is made on the loop's thread, owned by the writer from the
 * push on, and by the loop again when it comes back. */
#ifndef PERSIST_CHANGE_H
#define PERSIST_CHANGE_H

#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "persist/persist.h"
#include "persist/row.h"

enum change_kind {
	CHANGE_PUT,     /* store the row under its id */
	CHANGE_DELETE,  /* remove the row of that id */
	CHANGE_SYNC,    /* comes back when all that was pushed before is on disk */
	CHANGE_REWROTE, /* the loop has pushed a copy of all it holds (disk_thread.h) */
	CHANGE_BACKUP,  /* `row` is the file's name */
};

struct change;
/* On the loop's thread. `err` is NULL when it is on disk. */
typedef void change_fn(void *ctx, struct change *change, const struct err *err);

struct change {
	struct change *next;
	enum change_kind kind;
	enum row_table table;
	int64_t id;
	/* NULL: it does not come back. Otherwise, when a commit fails, nothing of it reaches the disk and it comes back with an
	 * error. */
	change_fn *done;
	void *ctx;
	persist_fn *fn;  /* whom the owner calls then, with */
	void *arg;       /* this */
	int64_t n;       /* the owner's; of CHANGE_REWROTE the number of the copy */
	struct err *err; /* owned; NULL: success */
	size_t len;
	char row[];
};

static inline struct change *change_create(enum change_kind kind, enum row_table table, int64_t id, struct slice row)
{
	struct change *change = mem_alloc(sizeof *change + row.len);
	*change = (struct change){ .kind = kind, .table = table, .id = id, .len = row.len };
	if (row.len > 0)
		memcpy(change->row, row.ptr, row.len);
	return change;
}

static inline void change_free(struct change *change)
{
	free(change->err);
	free(change);
}

/* What it counts against persist.dirty_bytes. */
static inline size_t change_size(const struct change *change)
{
	return sizeof *change + change->len;
}

/* A queue from one thread to one other, without a bound of its own: the layer counts bytes. */
struct change_queue {
	struct change *_Atomic newest;
};

static inline void change_queue_push(struct change_queue *queue, struct change *change)
{
	struct change *top = atomic_load_explicit(&queue->newest, memory_order_relaxed);
	do
		change->next = top;
	while (!atomic_compare_exchange_weak_explicit(&queue->newest, &top, change, memory_order_release, memory_order_relaxed));
}

/* Takes all, as a list with the oldest first. */
static inline struct change *change_queue_take(struct change_queue *queue)
{
	struct change *newest = atomic_exchange_explicit(&queue->newest, NULL, memory_order_acquire), *oldest = NULL;
	while (newest) {
		struct change *next = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	return oldest;
}

#endif
