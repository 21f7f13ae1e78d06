#include "persist/persist.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "observe/log.h"
#include "persist/crc.h"
#include "persist/internal.h"

#define DIRTY_BYTES ((size_t)64 << 20)
#define WAL_BYTES ((size_t)256 << 20)
#define IDS_AT_ONCE 1000
#define TIME_EVERY 1000 /* ms */
/* While something waits for its time, the time on disk is never older. */
#define TIME_IDLE (60 * CLOCK_NS_PER_S)
/* While there is no space for the end of what has expired. */
#define SWEEP_AGAIN CLOCK_NS_PER_S

/* Time */

static int64_t wall_ms(const struct persist *p)
{
	return (int64_t)(p->options.wall() * 1000);
}

int64_t persist_time(struct persist *p)
{
	if (p->now > p->time_now) {
		/* What is less than a millisecond is kept for later. */
		uint64_t ms = (p->now - p->time_now) / CLOCK_NS_PER_MS;
		p->time += (int64_t)ms;
		p->time_now += ms * CLOCK_NS_PER_MS;
	}
	int64_t wall = wall_ms(p);
	if (wall > p->time)
		p->time = wall;
	return p->time;
}

int64_t persist_time_of(struct persist *p, uint64_t when)
{
	if (when == UINT64_MAX)
		return 0;
	int64_t time = persist_time(p);
	if (when >= p->now)
		return time + (int64_t)((when - p->now) / CLOCK_NS_PER_MS);
	return time - (int64_t)((p->now - when) / CLOCK_NS_PER_MS);
}

uint64_t persist_when(struct persist *p, int64_t time)
{
	if (time == 0)
		return UINT64_MAX;
	int64_t now = persist_time(p);
	return time <= now ? p->now : p->now + (uint64_t)(time - now) * CLOCK_NS_PER_MS;
}

/* Changes */

static void hand_over(struct persist *p, struct change *change)
{
	if (p->writer) {
		disk_thread_push(p->writer, change);
	} else if (change->done) {
		change_queue_push(&p->local, change);
		if (p->options.notify)
			p->options.notify(p->options.ctx);
	} else {
		change_free(change);
	}
}

static void save_number(struct persist *p, enum row_meta id, const char *name, int64_t n)
{
	char text[24];
	struct buf row;
	buf_init(&row, 0);
	snprintf(text, sizeof text, "%" PRId64, n);
	row_put_bytes(&row, slice_cstr(name));
	row_put_bytes(&row, slice_cstr(text));
	hand_over(p, change_create(CHANGE_PUT, ROW_META, id, buf_slice(&row)));
	buf_close(&row);
}

static void save_time(struct persist *p)
{
	p->time_saved = p->time;
	save_number(p, META_TIME, "time", p->time);
}

void persist_submit_n(struct persist *p, enum change_kind kind, enum row_table table, int64_t id, change_fn *done, persist_fn *fn,
                      void *arg, int64_t n)
{
	struct slice row = kind == CHANGE_PUT || (kind == CHANGE_DELETE && table == ROW_ENTRY) ? buf_slice(&p->row) : SLICE("");
	struct change *change = change_create(kind, table, id, row);
	change->done = done;
	change->ctx = p;
	change->fn = fn;
	change->arg = arg;
	change->n = n;
	if (persist_time(p) - p->time_saved >= TIME_EVERY)
		save_time(p);
	hand_over(p, change);
}

void persist_submit(struct persist *p, enum change_kind kind, enum row_table table, int64_t id, change_fn *done, persist_fn *fn,
                    void *arg)
{
	persist_submit_n(p, kind, table, id, done, fn, arg, 0);
}

int persist_check_room(const struct persist *p, size_t size, struct err *err)
{
	size_t dirty = p->writer ? disk_thread_dirty(p->writer) : 0;
	if (dirty + size <= p->options.dirty_bytes)
		return 0;
	return err_set(err, ERR_BACKPRESSURE, "%zu bytes wait for the disk already (persist.dirty_bytes = %zu)%s", dirty,
	               p->options.dirty_bytes, disk_thread_failing(p->writer) ? "; it is full or failing" : "");
}

int persist_check_disk(struct persist *p, struct err *err)
{
	return p->writer && disk_thread_failing(p->writer) ? err_set(err, ERR_BACKPRESSURE, "the disk is full or failing (see ctl persist status)")
	                                              : persist_check_room(p, 0, err);
}

int64_t persist_new_id(struct persist *p)
{
	if (p->next_id >= p->ids_reserved) {
		/* On disk before any of these ids is: a restart gives none of them away again. */
		p->ids_reserved = p->next_id + IDS_AT_ONCE;
		save_number(p, META_IDS, "ids", p->ids_reserved);
	}
	return p->next_id++;
}

/* Loading; on the writer's thread, while persist_open() waits */

static bool load_meta(struct persist *p, int64_t id, struct slice row)
{
	struct slice name, value;
	int64_t n;
	if (!row_take(row, "tt", &name, &value))
		return false;
	if (id != META_TIME && id != META_IDS)
		return true;
	if (!slice_to_int(value, &n))
		return false;
	if (id == META_TIME && n > p->time)
		p->time = p->time_saved = n;
	if (id == META_IDS)
		p->next_id = n;
	return true;
}

static void load(void *ctx, enum row_table table, int64_t id, struct slice row)
{
	struct persist *p = ctx;
	bool good = false;

	if (table != ROW_META && table != ROW_LOG && id >= p->next_id)
		p->next_id = id + 1;
	switch (table) {
	case ROW_META:
		good = load_meta(p, id, row);
		break;
	case ROW_ENTRY:
		good = persist_stores_load(p, id, row);
		break;
	case ROW_LOG:
		good = persist_stores_load_log(p, row);
		break;
	case ROW_JOB:
		good = persist_jobs_load(p, id, row);
		break;
	case ROW_LINE:
		good = persist_spools_load_line(p, id, row);
		break;
	case ROW_BATCH:
		good = persist_spools_load_batch(p, id, row);
		break;
	case ROW_TABLES:
		break;
	}
	if (!good)
		log_write(LOG_ERROR, "persistent state: a row makes no sense and is left out", F_TEXT("table", row_defs[table].name),
		          F_INT("id", id));
}

static void init_data(struct persist *p)
{
	p->next_id = 1;
	p->time = p->time_saved = 0;
	persist_stores_init(p);
	persist_jobs_init(p);
	persist_spools_init(p);
}

static void close_data(struct persist *p)
{
	persist_stores_close(p);
	persist_jobs_close(p);
	persist_spools_close(p);
}

static void reset(void *ctx)
{
	close_data(ctx);
	init_data(ctx);
}

/* Opening and closing */

static void set_defaults(struct persist_limits *limits)
{
	static const struct persist_limits defaults = {
		.stores = 1000, .store_entries = 10000, .store_bytes = (size_t)16 << 20, .queues = 1000, .queue_jobs = 10000,
		.queue_dead = 1000, .job_bytes = 64 << 10, .spool_lines = 100000, .spool_bytes = (size_t)64 << 20, .spool_dead = 1000,
	};
	size_t *limit = (size_t *)limits;
	const size_t *other = (const size_t *)&defaults;
	for (size_t i = 0; i < sizeof defaults / sizeof *other; i++)
		if (limit[i] == 0)
			limit[i] = other[i];
}

void persist_limit(struct persist *p, const struct persist_limits *limits, size_t dirty_bytes)
{
	p->options.limits = *limits;
	set_defaults(&p->options.limits);
	p->options.dirty_bytes = dirty_bytes ? dirty_bytes : DIRTY_BYTES;
}

static void destroy(struct persist **persist)
{
	struct persist *p = *persist;
	close_data(p);
	buf_close(&p->row);
	free(p->file);
	free(p);
	*persist = NULL;
}

struct persist *persist_open(const struct persist_options *options, uint64_t now, struct err *err)
{
	struct persist *p = mem_zalloc(sizeof *p);

	crc_init();
	p->options = *options;
	persist_limit(p, &options->limits, options->dirty_bytes);
	if (!p->options.wal_bytes)
		p->options.wal_bytes = WAL_BYTES;
	if (!p->options.wall)
		p->options.wall = clock_wall;
	buf_init(&p->row, 0);
	p->now = p->time_now = now;
	init_data(p);
	if (options->file) {
		p->file = mem_strdup(options->file);
		p->options.file = p->file;
		struct disk_thread_options writer = {
			.path = p->file, .wal_bytes = p->options.wal_bytes, .notify = options->notify, .load = load, .reset = reset, .ctx = p,
			.notify_ctx = options->ctx,
		};
		p->writer = disk_thread_open(&writer, err);
		if (!p->writer) {
			destroy(&p);
			return NULL;
		}
	}
	p->ids_reserved = p->next_id;
	persist_jobs_loaded(p);
	persist_spools_loaded(p);
	return p;
}

static void answer(struct persist *p, struct change *list)
{
	(void)p;
	while (list) {
		struct change *next = list->next;
		list->done(list->ctx, list, list->err);
		change_free(list);
		list = next;
	}
}

/* A copy of everything, for a file that is written anew */

static void copy_slice(struct persist *p)
{
	/* The writer keeps up: half of what may wait for the disk is left for other changes. */
	if (disk_thread_dirty(p->writer) > p->options.dirty_bytes / 2)
		return;
	switch (p->copying) {
	case COPY_NONE:
		break;
	case COPY_META:
		save_number(p, META_IDS, "ids", p->ids_reserved);
		persist_time(p);
		save_time(p);
		p->stores.copied = p->stores.entries.next;
		p->jobs.copied = p->jobs.all.next;
		p->spools.copied = p->spools.all.next;
		p->copying = COPY_STORES;
		break;
	case COPY_STORES:
		if (persist_stores_copy(p, PERSIST_SLICE))
			p->copying = COPY_JOBS;
		break;
	case COPY_JOBS:
		if (persist_jobs_copy(p, PERSIST_SLICE))
			p->copying = COPY_SPOOLS;
		break;
	case COPY_SPOOLS:
		if (persist_spools_copy(p, PERSIST_SLICE)) {
			struct change *end = change_create(CHANGE_REWROTE, ROW_META, 0, SLICE(""));
			end->n = (int64_t)p->copy_number;
			hand_over(p, end);
			p->copying = COPY_NONE;
		}
		break;
	}
}

static void copy(struct persist *p)
{
	uint64_t wanted = disk_thread_copy_wanted(p->writer);
	if (wanted != p->copy_number) {
		p->copy_number = wanted;
		p->copying = COPY_META;
	}
	if (p->copying != COPY_NONE)
		copy_slice(p);
}

/* What came since the damage is nowhere but in memory and in the new file. */
static void end_rewrite(struct persist *p, uint64_t deadline)
{
	while (disk_thread_rewriting(p->writer) && clock_mono_ns() < deadline) {
		copy(p);
		nanosleep(&(struct timespec){ .tv_nsec = (long)CLOCK_NS_PER_MS }, NULL);
	}
}

int persist_close(struct persist **persist, uint64_t now, double seconds)
{
	struct persist *p = *persist;
	uint64_t deadline = clock_mono_ns() + clock_from_seconds(seconds);
	size_t lost = 0;

	if (!p)
		return 0;
	p->now = now;
	persist_jobs_release_all(p);
	persist_time(p);
	if (p->writer) {
		struct change *list;
		end_rewrite(p, deadline);
		save_time(p);
		lost = disk_thread_close(&p->writer, deadline, &list);
		answer(p, list);
	}
	answer(p, change_queue_take(&p->local));
	destroy(persist);
	return lost > 0 ? -1 : 0;
}

/* Running */

void persist_poll(struct persist *p, uint64_t now)
{
	p->now = now;
	answer(p, p->writer ? disk_thread_take(p->writer) : change_queue_take(&p->local));
	persist_stores_sweep(p);
	persist_jobs_sweep(p);
	if (!p->writer)
		return;
	copy(p);
	if ((p->stores.expiry.count > 0 || p->jobs.due.count > 0) && persist_time(p) - p->time_saved >= (int64_t)(TIME_IDLE / CLOCK_NS_PER_MS))
		save_time(p);
}

uint64_t persist_next(const struct persist *p)
{
	const struct heap_node *entry = heap_top(&p->stores.expiry), *job = heap_top(&p->jobs.due);
	uint64_t next = UINT64_MAX;

	if (atomic_load(&p->local.newest))
		return 0;
	if (p->copying != COPY_NONE && disk_thread_dirty(p->writer) <= p->options.dirty_bytes / 2)
		return p->now;
	if (entry)
		next = entry->key > p->now || persist_stores_may_sweep(p) ? entry->key : p->now + SWEEP_AGAIN;
	if (job && job->key < next)
		next = job->key;
	if (next != UINT64_MAX && p->writer && p->now + TIME_IDLE < next)
		next = p->now + TIME_IDLE;
	return next;
}

static void synced(void *ctx, struct change *change, const struct err *err)
{
	(void)ctx;
	change->fn(change->arg, 0, err);
}

int persist_sync(struct persist *p, persist_fn *fn, void *arg, struct err *err)
{
	if (persist_check_disk(p, err))
		return -1;
	persist_submit(p, CHANGE_SYNC, ROW_META, 0, synced, fn, arg);
	return 0;
}

int persist_backup(struct persist *p, const char *file, persist_fn *fn, void *arg, struct err *err)
{
	if (!p->writer)
		return err_set(err, ERR_NOT_READY, "there is no state file to back up (persist.file is not set)");
	struct change *change = change_create(CHANGE_BACKUP, ROW_META, 0, slice_make(file, strlen(file) + 1));
	change->done = synced;
	change->ctx = p;
	change->fn = fn;
	change->arg = arg;
	hand_over(p, change);
	return 0;
}

void persist_status(struct persist *p, struct persist_status *out)
{
	*out = (struct persist_status){ .file = p->file, .entries = p->stores.count, .jobs = p->jobs.ids.count, .lines = p->spools.lines };
	if (!p->writer)
		return;
	struct disk_thread_status w;
	disk_thread_status(p->writer, &w);
	out->failing = w.failing;
	out->rewriting = w.rewriting;
	out->error = w.error;
	out->commits = w.commits;
	out->rows = w.rows;
	out->failures = w.failures;
	out->damages = w.damages;
	out->commit_seconds = w.commit_seconds;
	out->commit_began = w.commit_began;
	out->dirty_bytes = disk_thread_dirty(p->writer);
	out->wal_bytes = w.wal_bytes;
	out->file_bytes = w.file_bytes;
	out->log_rows = w.log_rows;
}
