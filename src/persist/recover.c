#include "persist/recover.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "observe/log.h"
#include "persist/files.h"
#include "persist/image.h"
#include "persist/salvage.h"

struct disk *recover_begin(const char *path, struct err *err)
{
	char *name = files_rewrite_name(path);
	enum disk_result result;
	struct disk *disk = NULL;

	files_discard_rewrite(path);
	if (files_create(name, err) == 0)
		disk = disk_open(name, &result, err);
	free(name);
	return disk;
}

/* The lock follows the file to its place. */
static int swap_in(const char *path, int *lock, char **aside, struct err *err)
{
	char *name = files_rewrite_name(path);
	int fresh = access(name, F_OK) == 0 ? files_lock(name, err) : -1;
	bool locked = fresh != -1 || access(name, F_OK) != 0;
	free(name);
	if (!locked || files_swap(path, aside, err)) {
		if (fresh != -1)
			close(fresh);
		return -1;
	}
	close(*lock);
	*lock = fresh != -1 ? fresh : files_lock(path, err);
	return *lock == -1 ? -1 : 0;
}

int recover_end(const char *path, struct disk **disk, int *lock, char **aside, struct err *err)
{
	enum disk_result result;

	if (*disk) {
		if (disk_checkpoint(*disk, err) != DISK_OK)
			return -1;
		if (disk_wal_bytes(*disk) > 0)
			return err_set(err, ERR_SYSTEM, "cannot checkpoint the new file for %s", path);
		disk_close(disk, true);
	}
	if (swap_in(path, lock, aside, err))
		return -1;
	*disk = disk_open(path, &result, err);
	return *disk ? 0 : -1;
}

struct rescue {
	struct disk *to;
	disk_row_fn *load;
	void *ctx;
	enum disk_result result;
	struct err *err;
};

static void rescue_row(void *ctx, enum row_table table, int64_t id, struct slice row)
{
	struct rescue *r = ctx;
	if (r->result == DISK_OK)
		r->result = disk_put(r->to, table, id, row, r->err);
	r->load(r->ctx, table, id, row);
}

/* A new file with the good rows of the damaged one. */
static struct disk *salvage(const char *path, const char *reason, disk_row_fn *load, void *ctx, int *lock, struct err *err)
{
	struct rescue r = { .load = load, .ctx = ctx, .err = err };
	struct salvage_counts counts;
	char *aside = NULL;

	r.to = recover_begin(path, err);
	if (!r.to)
		return NULL;
	r.result = disk_begin(r.to, err);
	int rc = r.result == DISK_OK ? salvage_read(path, rescue_row, &r, &counts, err) : -1;
	if (rc == 0 && r.result == DISK_OK)
		r.result = disk_commit(r.to, err);
	if (rc || r.result != DISK_OK || recover_end(path, &r.to, lock, &aside, err)) {
		disk_close(&r.to, false);
		files_discard_rewrite(path);
		free(aside);
		return NULL;
	}
	log_write(LOG_ERROR, "persistent state was damaged; the rows that are good were salvaged", F_TEXT("file", path),
	          F_TEXT("reason", reason), F_TEXT("damaged", aside), F_INT("salvaged", counts.rows), F_INT("bad", counts.bad_rows));
	free(aside);
	return r.to;
}

/* Locks the file, after what an earlier process had left half done was ended. */
static int lock_file(const char *path, struct err *err)
{
	char *aside = NULL;
	int lock = files_lock(path, err);
	if (lock == -1)
		return -1;
	if (!files_swap_pending(path)) {
		files_discard_rewrite(path);
		return lock;
	}
	int rc = files_swap(path, &aside, err);
	close(lock);
	if (rc == 0)
		log_write(LOG_ERROR, "persistent state was damaged; the file that was written anew takes its place", F_TEXT("file", path),
		          F_TEXT("damaged", aside));
	free(aside);
	return rc ? -1 : files_lock(path, err);
}

struct disk *recover_open(const char *path, disk_row_fn *load, void (*reset)(void *ctx), void *ctx, int *lock, bool *salvaged,
                          struct err *err)
{
	enum disk_result result = DISK_OK;
	struct disk *disk = NULL;
	struct err reason;

	*salvaged = false;
	*lock = lock_file(path, err);
	if (*lock == -1)
		return NULL;
	struct image *image = image_open(path, err);
	if (image && image_wal_damaged(image)) {
		err_set(&reason, ERR_SYSTEM, "%s-wal is damaged", path);
		result = DISK_DAMAGED;
	}
	image_close(&image);
	if (result == DISK_OK) {
		disk = disk_open(path, &result, &reason);
		if (disk)
			result = disk_load(disk, load, ctx, &reason);
	}
	if (result == DISK_OK)
		return disk;
	disk_close(&disk, false);
	if (result == DISK_DAMAGED) {
		reset(ctx);
		*salvaged = true;
		disk = salvage(path, reason.text, load, ctx, lock, err);
	} else if (err) {
		*err = reason;
	}
	if (!disk)
		close(*lock);
	return disk;
}
