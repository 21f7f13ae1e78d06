#include "persist/disk_thread.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/wake.h"
#include "observe/log.h"
#include "persist/files.h"
#include "persist/group.h"
#include "persist/recover.h"

#define RETRY CLOCK_NS_PER_S
#define IDLE CLOCK_NS_PER_S            /* without a change, before the log is folded */
#define FOLD_ROWS 1000                 /* in one go, between commits */
#define LOG_ROWS_MAX 500000            /* beyond it the log is folded also when there is no idle time */
#define CHECKPOINT_BYTES (4 << 20)
#define BACKUP_PAGES 256
#define REMIND (60 * CLOCK_NS_PER_S)   /* a failing disk is logged again */

struct disk_thread {
	char *path;
	struct disk_thread_options options;
	pthread_t thread;
	struct wake wake;         /* work for the writer */
	struct wake opened, done; /* its answers to open and close */
	struct change_queue to_writer, to_loop;
	atomic_size_t dirty;
	atomic_bool begun; /* the writer knows of changes and will look by itself */
	atomic_bool failing, rewriting, closing;
	atomic_bool over; /* the thread has ended, or nobody waits for it any more: the second of both frees */
	pthread_mutex_t notifying; /* held while the loop is notified */
	bool left;                 /* nobody waits for it any more, and there may be no loop; by `notifying` */
	atomic_uint_least64_t deadline, copy_wanted;
	atomic_uint_least64_t commits, rows, failures, damages, commit_ns, commit_began;
	atomic_size_t wal_bytes, file_bytes, log_rows, lost;
	char *_Atomic error; /* the last, until the loop takes it */
	char *shown_error;   /* the loop's */

	/* The thread's own from here on. */
	bool opened_well;
	struct err open_err;
	int lock;
	struct disk *disk; /* NULL: the new file of a rewrite could not be made yet */
	struct group group;
	uint64_t group_began, last_change, retry_at, failing_since, next_reminder;
	bool copied;              /* the loop's copy is complete: the new file takes its place */
	struct change_queue held; /* what comes back once the new file is in place */
	struct disk_backup *backup;
	struct change *backup_request;
	bool checkpointed; /* since the last change */
};

/* Back to the loop */

static void notify(struct disk_thread *w)
{
	pthread_mutex_lock(&w->notifying);
	if (!w->left)
		w->options.notify(w->options.notify_ctx);
	pthread_mutex_unlock(&w->notifying);
}

static void give_back(struct disk_thread *w, struct change *change, const struct err *err)
{
	if (err) {
		change->err = mem_alloc(sizeof *change->err);
		*change->err = *err;
	}
	change_queue_push(&w->to_loop, change);
	notify(w);
}

static void publish(struct disk_thread *w)
{
	if (!w->disk)
		return;
	atomic_store(&w->wal_bytes, disk_wal_bytes(w->disk));
	atomic_store(&w->file_bytes, disk_file_bytes(w->disk));
	atomic_store(&w->log_rows, disk_log_rows(w->disk));
}

/* Trouble */

static void keep_error(struct disk_thread *w, const struct err *err)
{
	free(atomic_exchange(&w->error, mem_strdup(err->text)));
	atomic_fetch_add(&w->failures, 1);
}

/* The disk fails: what waits for it gets an error, the rest is tried again later. */
static void fail(struct disk_thread *w, const struct err *err)
{
	uint64_t now = clock_mono_ns();
	struct err answer;

	keep_error(w, err);
	if (!atomic_exchange(&w->failing, true)) {
		w->failing_since = now;
		w->next_reminder = now;
	}
	if (now >= w->next_reminder) {
		log_write(LOG_ERROR, "persistent state cannot be written; changes wait in memory", F_TEXT("file", w->path),
		          F_TEXT("reason", err->text), F_INT("dirty_bytes", atomic_load(&w->dirty)));
		w->next_reminder = now + REMIND;
	}
	w->retry_at = now + RETRY;
	err_set(&answer, ERR_BACKPRESSURE, "%s", err->text);
	size_t bytes = group_failed(&w->group, &w->to_loop, &answer);
	atomic_fetch_sub(&w->dirty, bytes);
	notify(w);
}

static void works_again(struct disk_thread *w)
{
	if (atomic_exchange(&w->failing, false))
		log_write(LOG_WARN, "persistent state is written again", F_TEXT("file", w->path),
		          F_NUMBER("seconds", (double)(clock_mono_ns() - w->failing_since) / 1e9));
}

static void end_backup(struct disk_thread *w, const struct err *err)
{
	disk_backup_end(&w->backup);
	if (w->backup_request)
		give_back(w, w->backup_request, err);
	w->backup_request = NULL;
}

/* The file is damaged: it stays as it is, and a new one is begun. */
static void begin_rewrite(struct disk_thread *w, const struct err *err)
{
	static const struct err backup_ended = { ERR_SYSTEM, "the backup was ended: the file was found damaged" };

	keep_error(w, err);
	atomic_fetch_add(&w->damages, 1);
	atomic_store(&w->rewriting, true);
	log_write(LOG_ERROR, "persistent state is damaged; it is written anew from memory", F_TEXT("file", w->path),
	          F_TEXT("reason", err->text));
	if (w->backup)
		end_backup(w, &backup_ended);
	disk_close(&w->disk, false);
	w->copied = false;
}

static bool good(struct disk_thread *w, enum disk_result result, const struct err *err)
{
	if (result == DISK_FAILING || result == DISK_REFUSED)
		fail(w, err);
	if (result == DISK_DAMAGED)
		begin_rewrite(w, err);
	return result == DISK_OK;
}

/* Makes the new file, and asks the loop for a copy. */
static bool open_rewrite(struct disk_thread *w)
{
	struct err err;
	w->disk = recover_begin(w->path, &err);
	if (!w->disk) {
		fail(w, &err);
		return false;
	}
	w->copied = false;
	atomic_fetch_add(&w->copy_wanted, 1);
	notify(w);
	return true;
}

static void finish_rewrite(struct disk_thread *w)
{
	struct err err;
	char *aside = NULL;
	struct change *list;

	if (recover_end(w->path, &w->disk, &w->lock, &aside, &err)) {
		fail(w, &err);
		return;
	}
	log_write(LOG_ERROR, "persistent state was written anew from memory", F_TEXT("file", w->path), F_TEXT("damaged", aside));
	free(aside);
	w->copied = false;
	atomic_store(&w->rewriting, false);
	for (list = change_queue_take(&w->held); list;) {
		struct change *next = list->next;
		change_queue_push(&w->to_loop, list);
		list = next;
	}
	publish(w);
	notify(w);
}

/* Commits */

static enum disk_result check_wal(struct disk_thread *w, struct err *err)
{
	if (disk_wal_bytes(w->disk) < CHECKPOINT_BYTES)
		return DISK_OK;
	enum disk_result result = disk_checkpoint(w->disk, err);
	if (result != DISK_OK || disk_wal_bytes(w->disk) <= w->options.wal_bytes)
		return result;
	err_set(err, ERR_SYSTEM, "%s-wal has reached its limit of %zu bytes: another process has been reading the file for long", w->path,
	        w->options.wal_bytes);
	return DISK_FAILING;
}

static enum disk_result write_change(struct disk_thread *w, const struct change *change, struct err *err)
{
	struct slice row = { change->row, change->len };
	if (change->table == ROW_ENTRY)
		return disk_append(w->disk, change->id, change->kind == CHANGE_DELETE, row, err);
	if (change->kind == CHANGE_PUT)
		return disk_put(w->disk, change->table, change->id, row, err);
	return disk_delete(w->disk, change->table, change->id, err);
}

/* name "attempt", value "" */
static const char attempt_row[] = "\7\0\0\0attempt\0\0\0\0";

static enum disk_result write_group(struct disk_thread *w, struct err *err)
{
	enum disk_result result = check_wal(w, err);
	if (result == DISK_OK)
		result = disk_begin(w->disk, err);
	/* An attempt after a failure must write something to know more. */
	if (result == DISK_OK && atomic_load(&w->failing))
		result = disk_put(w->disk, ROW_META, META_ATTEMPT, (struct slice){ attempt_row, sizeof attempt_row - 1 }, err);
	for (size_t i = 0; i < w->group.write_count && result == DISK_OK; i++)
		result = write_change(w, w->group.writes[i], err);
	return result == DISK_OK ? disk_commit(w->disk, err) : result;
}

/* Commits the group; an empty one is an attempt whether the disk works again. */
static void commit(struct disk_thread *w)
{
	struct err err;
	uint64_t began = clock_mono_ns();

	if (!w->disk && !open_rewrite(w))
		return;
	atomic_store(&w->commit_began, began);
	enum disk_result result = write_group(w, &err);
	atomic_store(&w->commit_began, 0);
	if (!good(w, result, &err))
		return;
	works_again(w);
	atomic_fetch_add(&w->commits, 1);
	atomic_fetch_add(&w->rows, w->group.write_count);
	atomic_fetch_add(&w->commit_ns, clock_mono_ns() - began);
	bool answers = w->group.waiting_count > 0;
	size_t bytes = group_committed(&w->group, atomic_load(&w->rewriting) ? &w->held : &w->to_loop);
	atomic_fetch_sub(&w->dirty, bytes);
	publish(w);
	if (answers || atomic_load(&w->rewriting))
		notify(w);
}

/* Between commits */

static void fold(struct disk_thread *w)
{
	struct err err;
	enum disk_result result = check_wal(w, &err);
	if (result == DISK_OK)
		result = disk_fold(w->disk, FOLD_ROWS, &err);
	good(w, result, &err);
	publish(w);
}

static void checkpoint(struct disk_thread *w)
{
	struct err err;
	w->checkpointed = true;
	good(w, disk_checkpoint(w->disk, &err), &err);
	publish(w);
}

static void step_backup(struct disk_thread *w)
{
	struct err err;
	int rc = disk_backup_step(w->backup, BACKUP_PAGES, &err);
	if (rc != 0)
		end_backup(w, rc == -1 ? &err : NULL);
}

static void begin_backup(struct disk_thread *w, struct change *change)
{
	struct err err;
	if (w->backup || !w->disk || atomic_load(&w->rewriting)) {
		err_set(&err, ERR_NOT_READY, w->backup ? "another backup is under way" : "the file is being written anew");
		give_back(w, change, &err);
		return;
	}
	w->backup_request = change;
	w->backup = disk_backup_begin(w->disk, change->row, &err);
	if (!w->backup)
		end_backup(w, &err);
}

/* The queue */

static void take(struct disk_thread *w, struct change *change)
{
	static const struct err full = { ERR_BACKPRESSURE, "the disk is full or failing" };
	bool write = change->kind == CHANGE_PUT || change->kind == CHANGE_DELETE;

	if (change->kind == CHANGE_BACKUP) {
		begin_backup(w, change);
	} else if (change->kind == CHANGE_REWROTE) {
		w->copied |= change->n == (int64_t)atomic_load(&w->copy_wanted);
		change_free(change);
	} else if (change->done && atomic_load(&w->failing)) {
		if (write)
			atomic_fetch_sub(&w->dirty, change_size(change));
		give_back(w, change, &full);
	} else {
		if (group_empty(&w->group))
			w->group_began = clock_mono_ns();
		size_t saved = group_add(&w->group, change);
		atomic_fetch_sub(&w->dirty, saved);
		w->last_change = clock_mono_ns();
		w->checkpointed = false;
	}
}

static void drain(struct disk_thread *w)
{
	for (struct change *list = change_queue_take(&w->to_writer); list;) {
		struct change *next = list->next;
		take(w, list);
		list = next;
	}
}

static bool commit_due(const struct disk_thread *w, uint64_t now)
{
	if (atomic_load(&w->failing))
		return now >= w->retry_at;
	if (atomic_load(&w->rewriting) && !w->disk)
		return true;
	return !group_empty(&w->group) &&
	       (w->group.waiting_count > 0 || now >= w->group_began + DISK_THREAD_GROUP_NS || atomic_load(&w->closing) || w->copied);
}

/* One step of what is not urgent; false when there is nothing to do now, and `*until` is when there might be. */
static bool background(struct disk_thread *w, uint64_t now, uint64_t *until)
{
	*until = WAKE_FOREVER;
	if (!w->disk || atomic_load(&w->failing))
		return false;
	if (w->copied && group_empty(&w->group)) {
		finish_rewrite(w);
		return true;
	}
	if (w->backup) {
		step_backup(w);
		return true;
	}
	if (atomic_load(&w->rewriting))
		return false;
	bool idle = now >= w->last_change + IDLE;
	if (disk_log_rows(w->disk) > (idle ? 0 : LOG_ROWS_MAX)) {
		fold(w);
		return true;
	}
	if (idle && !w->checkpointed && disk_wal_bytes(w->disk) > 0) {
		checkpoint(w);
		return true;
	}
	if (!idle)
		*until = w->last_change + IDLE;
	return false;
}

static void await_work(struct disk_thread *w, uint64_t until)
{
	if (atomic_load(&w->failing)) {
		until = w->retry_at;
	} else if (!group_empty(&w->group)) {
		until = w->group_began + DISK_THREAD_GROUP_NS;
	} else {
		/* From now on the first change wakes this thread; one that came before is seen here. */
		atomic_store(&w->begun, false);
		drain(w);
		if (!group_empty(&w->group) || w->copied)
			return;
	}
	wake_wait(&w->wake, until);
}

static void run(struct disk_thread *w)
{
	for (;;) {
		/* Before the queue is looked at: what was pushed before the end is then seen. */
		bool closing = atomic_load(&w->closing);
		uint64_t until, now = clock_mono_ns();
		drain(w);
		if (commit_due(w, now)) {
			commit(w);
			background(w, now, &until);
		} else if (closing && group_empty(&w->group) && !w->copied && !w->backup && !atomic_load(&w->rewriting)) {
			return;
		} else if (!background(w, now, &until)) {
			if (closing && atomic_load(&w->deadline) < until)
				until = atomic_load(&w->deadline);
			await_work(w, until);
		}
		if (closing && clock_mono_ns() >= atomic_load(&w->deadline))
			return;
	}
}

/* Beginning and end */

static void destroy(struct disk_thread **writer)
{
	struct disk_thread *w = *writer;
	for (struct change *list = change_queue_take(&w->to_loop); list;) {
		struct change *next = list->next;
		change_free(list);
		list = next;
	}
	pthread_mutex_destroy(&w->notifying);
	wake_close(&w->wake);
	wake_close(&w->opened);
	wake_close(&w->done);
	free(atomic_load(&w->error));
	free(w->shown_error);
	free(w->path);
	free(w);
	*writer = NULL;
}

static void end(struct disk_thread *w)
{
	static const struct err late = { ERR_CANCELLED, "the engine ended before it was on disk" };
	struct err err;

	drain(w);
	/* Of a file that could not be written anew, what came since the damage; as one. */
	bool rewriting = atomic_load(&w->rewriting);
	size_t lost = w->group.write_count + rewriting;
	atomic_store(&w->lost, lost);
	if (lost > 0)
		log_write(LOG_ERROR, "persistent state: changes were lost, the disk did not take them in time", F_TEXT("file", w->path),
		          F_INT("count", lost));
	group_failed(&w->group, &w->to_loop, &late);
	for (size_t i = 0; i < w->group.write_count; i++)
		change_free(w->group.writes[i]);
	group_close(&w->group);
	for (struct change *list = change_queue_take(&w->held); list;) {
		struct change *next = list->next;
		give_back(w, list, &late);
		list = next;
	}
	if (w->backup)
		end_backup(w, &late);
	if (w->disk && !rewriting && !atomic_load(&w->failing))
		disk_checkpoint(w->disk, &err);
	disk_close(&w->disk, !rewriting);
	if (rewriting)
		files_discard_rewrite(w->path);
	close(w->lock);
}

static void *disk_thread_main(void *arg)
{
	struct disk_thread *w = arg;
	bool salvaged = false;

	w->disk = recover_open(w->path, w->options.load, w->options.reset, w->options.ctx, &w->lock, &salvaged, &w->open_err);
	bool opened = w->opened_well = w->disk;
	atomic_store(&w->damages, salvaged);
	w->last_change = clock_mono_ns();
	publish(w);
	wake_post(&w->opened);
	if (opened) {
		run(w);
		end(w);
	}
	wake_post(&w->done);
	/* disk_thread_close() did not wait that long. */
	if (atomic_exchange(&w->over, true))
		destroy(&w);
	return NULL;
}

struct disk_thread *disk_thread_open(const struct disk_thread_options *options, struct err *err)
{
	struct disk_thread *w = mem_zalloc(sizeof *w);
	sigset_t all, before;

	w->path = mem_strdup(options->path);
	w->options = *options;
	w->lock = -1;
	pthread_mutex_init(&w->notifying, NULL);
	wake_init(&w->wake);
	wake_init(&w->opened);
	wake_init(&w->done);
	/* Signals are the loop's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&w->thread, NULL, disk_thread_main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc) {
		err_set(err, ERR_SYSTEM, "cannot start the thread of persistent state: %s", strerror(rc));
		destroy(&w);
		return NULL;
	}
	pthread_setname_np(w->thread, "hookswitch-disk");
	wake_wait(&w->opened, WAKE_FOREVER);
	if (w->opened_well)
		return w;
	pthread_join(w->thread, NULL);
	if (err)
		*err = w->open_err;
	destroy(&w);
	return NULL;
}

size_t disk_thread_close(struct disk_thread **writer, uint64_t deadline, struct change **list)
{
	struct disk_thread *w = *writer;
	size_t lost = 0;

	*writer = NULL;
	*list = NULL;
	atomic_store(&w->deadline, deadline);
	atomic_store(&w->closing, true);
	wake_post(&w->wake);
	/* A little more than the writer gives itself, for the last checkpoint. */
	if (wake_wait(&w->done, deadline + CLOCK_NS_PER_S)) {
		pthread_join(w->thread, NULL);
		lost = atomic_load(&w->lost);
		*list = disk_thread_take(w);
		destroy(&w);
		return lost;
	}
	/* It hangs in the kernel and frees its memory when it comes back. */
	pthread_mutex_lock(&w->notifying);
	w->left = true;
	pthread_mutex_unlock(&w->notifying);
	log_write(LOG_ERROR, "persistent state: the disk does not answer, changes may be lost", F_TEXT("file", w->path));
	pthread_detach(w->thread);
	if (atomic_exchange(&w->over, true))
		destroy(&w);
	return 1;
}

/* The loop's side */

void disk_thread_push(struct disk_thread *w, struct change *change)
{
	bool urgent = change->done || change->kind == CHANGE_REWROTE;
	if (change->kind == CHANGE_PUT || change->kind == CHANGE_DELETE)
		atomic_fetch_add(&w->dirty, change_size(change));
	change_queue_push(&w->to_writer, change);
	/* Not both in one condition: the exchange must happen. */
	bool first = !atomic_exchange(&w->begun, true);
	if (urgent || first)
		wake_post(&w->wake);
}

struct change *disk_thread_take(struct disk_thread *w)
{
	return change_queue_take(&w->to_loop);
}

size_t disk_thread_dirty(const struct disk_thread *w)
{
	return atomic_load(&w->dirty);
}

bool disk_thread_failing(const struct disk_thread *w)
{
	return atomic_load(&w->failing);
}

bool disk_thread_rewriting(const struct disk_thread *w)
{
	return atomic_load(&w->rewriting);
}

uint64_t disk_thread_copy_wanted(const struct disk_thread *w)
{
	return atomic_load(&w->copy_wanted);
}

void disk_thread_status(struct disk_thread *w, struct disk_thread_status *out)
{
	char *fresh = atomic_exchange(&w->error, NULL);
	if (fresh) {
		free(w->shown_error);
		w->shown_error = fresh;
	}
	*out = (struct disk_thread_status){
		.failing = atomic_load(&w->failing),
		.rewriting = atomic_load(&w->rewriting),
		.error = w->shown_error,
		.commits = atomic_load(&w->commits),
		.rows = atomic_load(&w->rows),
		.failures = atomic_load(&w->failures),
		.damages = atomic_load(&w->damages),
		.commit_seconds = (double)atomic_load(&w->commit_ns) / 1e9,
		.commit_began = atomic_load(&w->commit_began),
		.wal_bytes = atomic_load(&w->wal_bytes),
		.file_bytes = atomic_load(&w->file_bytes),
		.log_rows = atomic_load(&w->log_rows),
	};
}
