#include "persist/disk.h"

#include <sched.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "persist/files.h"
#include "persist/schema.h"

#define PAGE_SIZE 4096
#define WAL_FRAME (PAGE_SIZE + 24)
/* One connection at a time writes, so waiting for a lock means that a person works in the file by hand. */
#define BUSY_MS 1000
/* After so many rows the core is offered to others: where there are few cores the loop may wait for this one, and without that the
 * scheduler lets the writer run on for milliseconds. */
#define YIELD_ROWS 32

enum statement { PUT, DELETE, LOAD, STATEMENTS };

struct disk {
	char *path;
	sqlite3 *db;
	sqlite3_stmt *statements[ROW_TABLES][STATEMENTS];
	sqlite3_stmt *begin, *commit, *trim, *oldest;
	int64_t next_log; /* id of the next change */
	size_t log_rows, tx_log_rows; /* tx_: what the running transaction adds */
	int wal_frames;
	unsigned steps; /* rows written, in all */
	struct buf packed; /* of rows on their way */
};

/* Errors */

static enum disk_result classify(int rc)
{
	if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE)
		return DISK_OK;
	int primary = rc & 0xff;
	return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || primary == SQLITE_FORMAT || rc == SQLITE_IOERR_SHORT_READ ||
	               rc == SQLITE_IOERR_CORRUPTFS
	           ? DISK_DAMAGED
	           : DISK_FAILING;
}

/* `rc` as a result, with SQLite's words in `err` unless it is good; ends the transaction then. */
static enum disk_result check(struct disk *d, int rc, const char *what, struct err *err)
{
	enum disk_result result = classify(rc);
	if (result == DISK_OK)
		return result;
	int system = sqlite3_system_errno(d->db);
	const char *reason = (rc & 0xff) == SQLITE_IOERR && system ? strerror(system) : sqlite3_errmsg(d->db);
	err_set(err, ERR_SYSTEM, "cannot %s %s: %s", what, d->path, reason);
	if (!sqlite3_get_autocommit(d->db))
		sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
	return result;
}

static enum disk_result bad_row(struct disk *d, enum row_table table, int64_t id, struct err *err)
{
	err_set(err, ERR_SYSTEM, "%s: row %lld of table %s is damaged", d->path, (long long)id, row_defs[table].name);
	if (!sqlite3_get_autocommit(d->db))
		sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
	return DISK_DAMAGED;
}

/* Opening */

static int prepare(struct disk *d, const char *sql, sqlite3_stmt **out)
{
	return sqlite3_prepare_v3(d->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
}

static int prepare_table(struct disk *d, enum row_table table)
{
	const struct row_def *def = &row_defs[table];
	struct buf columns, marks, sql;
	buf_init(&columns, 0);
	buf_init(&marks, 0);
	buf_init(&sql, 0);
	size_t n = strlen(def->types);
	for (size_t i = 0; i < n; i++) {
		buf_printf(&columns, "%s,", def->columns[i]);
		buf_append_cstr(&marks, "?,");
	}
	buf_printf(&sql, "INSERT OR REPLACE INTO %s(id,%scrc) VALUES(?,%s?)", def->name, buf_cstr(&columns), buf_cstr(&marks));
	int rc = prepare(d, buf_cstr(&sql), &d->statements[table][PUT]);
	buf_clear(&sql);
	buf_printf(&sql, "SELECT id,%scrc FROM %s ORDER BY id", buf_cstr(&columns), def->name);
	if (rc == SQLITE_OK)
		rc = prepare(d, buf_cstr(&sql), &d->statements[table][LOAD]);
	buf_printf(&sql, " LIMIT ?");
	if (rc == SQLITE_OK && table == ROW_LOG)
		rc = prepare(d, buf_cstr(&sql), &d->oldest);
	buf_clear(&sql);
	buf_printf(&sql, "DELETE FROM %s WHERE id=?", def->name);
	if (rc == SQLITE_OK)
		rc = prepare(d, buf_cstr(&sql), &d->statements[table][DELETE]);
	buf_close(&columns);
	buf_close(&marks);
	buf_close(&sql);
	return rc;
}

static int on_wal(void *ctx, sqlite3 *db, const char *name, int frames)
{
	struct disk *d = ctx;
	(void)db;
	(void)name;
	d->wal_frames = frames;
	return SQLITE_OK;
}

static int configure(struct disk *d)
{
	/* No schema trick of a hostile file runs; a page that lies about its cells is an error. */
	int rc = sqlite3_exec(d->db,
	                      "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA page_size=4096; PRAGMA journal_mode=WAL;"
	                      "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=16777216;"
	                      "PRAGMA cache_size=-8192; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0",
	                      NULL, NULL, NULL);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_wal_hook(d->db, on_wal, d);
	return rc;
}

static int prepare_all(struct disk *d)
{
	int rc = SQLITE_OK;
	for (int table = 0; table < ROW_TABLES && rc == SQLITE_OK; table++)
		rc = prepare_table(d, (enum row_table)table);
	if (rc == SQLITE_OK)
		rc = prepare(d, "BEGIN IMMEDIATE", &d->begin);
	if (rc == SQLITE_OK)
		rc = prepare(d, "COMMIT", &d->commit);
	if (rc == SQLITE_OK)
		rc = prepare(d, "DELETE FROM log WHERE id<=?", &d->trim);
	return rc;
}

/* Where the log ends. */
static int measure_log(struct disk *d)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(d->db, "SELECT count(*), ifnull(max(id), 0) FROM log", -1, &stmt, NULL);
	if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		d->log_rows = (size_t)sqlite3_column_int64(stmt, 0);
		d->next_log = sqlite3_column_int64(stmt, 1) + 1;
		rc = SQLITE_OK;
	}
	sqlite3_finalize(stmt);
	return rc;
}

struct disk *disk_open(const char *path, enum disk_result *result, struct err *err)
{
	struct disk *d = mem_zalloc(sizeof *d);
	int rc;

	d->path = mem_strdup(path);
	buf_init(&d->packed, 0);
	rc = sqlite3_open_v2(path, &d->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc == SQLITE_OK)
		sqlite3_busy_timeout(d->db, BUSY_MS);
	/* The file of another program stays as it is: nothing is set before that is known. */
	bool refused = rc == SQLITE_OK && schema_check(d->db, path, schema_version, &rc, err);
	if (!refused && rc == SQLITE_OK && (rc = configure(d)) == SQLITE_OK)
		refused = schema_upgrade(d->db, path, schema_steps, schema_version, &rc, err);
	if (refused) {
		*result = rc == SQLITE_OK ? DISK_REFUSED : classify(rc);
	} else if (rc != SQLITE_OK) {
		*result = check(d, rc, "open", err);
	} else {
		rc = prepare_all(d);
		if (rc == SQLITE_OK)
			rc = measure_log(d);
		*result = check(d, rc, "read the schema of", err);
		/* Version and application are right, but tables are missing: nobody but damage does that. */
		if ((rc & 0xff) == SQLITE_ERROR)
			*result = DISK_DAMAGED;
	}
	if (*result != DISK_OK)
		disk_close(&d, false);
	return d;
}

void disk_close(struct disk **disk, bool checkpoint)
{
	struct disk *d = *disk;
	if (!d)
		return;
	*disk = NULL;
	for (int table = 0; table < ROW_TABLES; table++)
		for (int i = 0; i < STATEMENTS; i++)
			sqlite3_finalize(d->statements[table][i]);
	sqlite3_finalize(d->begin);
	sqlite3_finalize(d->commit);
	sqlite3_finalize(d->trim);
	sqlite3_finalize(d->oldest);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !checkpoint, NULL);
	sqlite3_close(d->db);
	buf_close(&d->packed);
	free(d->path);
	free(d);
}

/* Rows */

static bool plain_text(struct slice s)
{
	if (memchr(s.ptr, '\0', s.len))
		return false;
	while (s.len > 0) {
		size_t n = utf8_char(s);
		if (n == 0)
			return false;
		s = slice_make(s.ptr + n, s.len - n);
	}
	return true;
}

static int bind(sqlite3_stmt *stmt, const char *types, struct slice row)
{
	int rc = SQLITE_OK;
	int column = 2;
	for (const char *t = types; *t && rc == SQLITE_OK; t++, column++) {
		int64_t n;
		struct slice s;
		if (*t == 'i') {
			rc = row_take_int(&row, &n) ? sqlite3_bind_int64(stmt, column, n) : SQLITE_MISUSE;
		} else if (!row_take_bytes(&row, &s)) {
			rc = SQLITE_MISUSE;
		} else if (plain_text(s)) {
			rc = sqlite3_bind_text(stmt, column, s.ptr, (int)s.len, SQLITE_STATIC);
		} else {
			rc = sqlite3_bind_blob(stmt, column, s.ptr, (int)s.len, SQLITE_STATIC);
		}
	}
	return rc;
}

static void wrote_row(struct disk *d)
{
	if (++d->steps % YIELD_ROWS == 0)
		sched_yield();
}

enum disk_result disk_put(struct disk *d, enum row_table table, int64_t id, struct slice row, struct err *err)
{
	sqlite3_stmt *stmt = d->statements[table][PUT];
	const char *types = row_defs[table].types;
	int rc = sqlite3_bind_int64(stmt, 1, id);
	if (rc == SQLITE_OK)
		rc = bind(stmt, types, row);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(stmt, (int)strlen(types) + 2, row_crc(table, id, row));
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	sqlite3_reset(stmt);
	wrote_row(d);
	return check(d, rc, "write to", err);
}

enum disk_result disk_delete(struct disk *d, enum row_table table, int64_t id, struct err *err)
{
	sqlite3_stmt *stmt = d->statements[table][DELETE];
	sqlite3_bind_int64(stmt, 1, id);
	int rc = sqlite3_step(stmt);
	sqlite3_reset(stmt);
	wrote_row(d);
	return check(d, rc, "write to", err);
}

enum disk_result disk_append(struct disk *d, int64_t entry, bool gone, struct slice row, struct err *err)
{
	struct buf *packed = &d->packed;
	buf_clear(packed);
	row_put_int(packed, entry);
	row_put_int(packed, gone);
	buf_append(packed, row);
	enum disk_result result = disk_put(d, ROW_LOG, d->next_log, buf_slice(packed), err);
	if (result == DISK_OK) {
		d->next_log++;
		d->tx_log_rows++;
	}
	return result;
}

/* The row that `stmt` stands on, into `packed`; false when it is damaged. */
static bool read_row(sqlite3_stmt *stmt, enum row_table table, struct buf *packed)
{
	const char *types = row_defs[table].types;
	int column = 1;
	buf_clear(packed);
	for (const char *t = types; *t; t++, column++) {
		int type = sqlite3_column_type(stmt, column);
		if (*t == 'i') {
			if (type != SQLITE_INTEGER)
				return false;
			row_put_int(packed, sqlite3_column_int64(stmt, column));
		} else {
			if (type != SQLITE_TEXT && type != SQLITE_BLOB)
				return false;
			const void *bytes = sqlite3_column_blob(stmt, column);
			row_put_bytes(packed, slice_make(bytes ? bytes : "", (size_t)sqlite3_column_bytes(stmt, column)));
		}
	}
	return sqlite3_column_type(stmt, column) == SQLITE_INTEGER &&
	       sqlite3_column_int64(stmt, column) == row_crc(table, sqlite3_column_int64(stmt, 0), buf_slice(packed));
}

static enum disk_result load_table(struct disk *d, enum row_table table, disk_row_fn *fn, void *ctx, struct err *err)
{
	sqlite3_stmt *stmt = d->statements[table][LOAD];
	int rc;

	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		int64_t id = sqlite3_column_int64(stmt, 0);
		if (!read_row(stmt, table, &d->packed)) {
			sqlite3_reset(stmt);
			return bad_row(d, table, id, err);
		}
		fn(ctx, table, id, buf_slice(&d->packed));
	}
	sqlite3_reset(stmt);
	return check(d, rc, "read", err);
}

/* Rows that have vanished with a page's count of cells leave no bad row behind. */
static enum disk_result check_pages(struct disk *d, struct err *err)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(d->db, "PRAGMA quick_check(1)", -1, &stmt, NULL);
	enum disk_result result = DISK_OK;
	if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(stmt, 0);
		if (!text || strcmp(text, "ok") != 0) {
			/* The first line only names the database. */
			const char *line = text ? strchr(text, '\n') : NULL;
			err_set(err, ERR_SYSTEM, "%s is inconsistent: %s", d->path, line ? line + 1 : text ? text : "");
			result = DISK_DAMAGED;
		}
	}
	if (result == DISK_OK)
		result = check(d, rc, "check", err);
	sqlite3_finalize(stmt);
	return result;
}

enum disk_result disk_load(struct disk *d, disk_row_fn *fn, void *ctx, struct err *err)
{
	enum disk_result result = check_pages(d, err);
	for (int table = 0; table < ROW_TABLES && result == DISK_OK; table++)
		result = load_table(d, (enum row_table)table, fn, ctx, err);
	return result;
}

/* Transactions */

static enum disk_result run(struct disk *d, sqlite3_stmt *stmt, const char *what, struct err *err)
{
	int rc = sqlite3_step(stmt);
	sqlite3_reset(stmt);
	return check(d, rc, what, err);
}

enum disk_result disk_begin(struct disk *d, struct err *err)
{
	d->tx_log_rows = 0;
	return run(d, d->begin, "write to", err);
}

enum disk_result disk_commit(struct disk *d, struct err *err)
{
	enum disk_result result = run(d, d->commit, "write to", err);
	if (result == DISK_OK)
		d->log_rows += d->tx_log_rows;
	return result;
}

/* Folding */

size_t disk_log_rows(const struct disk *d)
{
	return d->log_rows;
}

/* Applies the change that `oldest` stands on. */
static enum disk_result fold_row(struct disk *d, int64_t id, struct err *err)
{
	struct slice row;
	int64_t entry, gone;

	if (!read_row(d->oldest, ROW_LOG, &d->packed))
		return bad_row(d, ROW_LOG, id, err);
	row = buf_slice(&d->packed);
	row_take_int(&row, &entry);
	row_take_int(&row, &gone);
	return gone ? disk_delete(d, ROW_ENTRY, entry, err) : disk_put(d, ROW_ENTRY, entry, row, err);
}

enum disk_result disk_fold(struct disk *d, size_t max, struct err *err)
{
	enum disk_result result = disk_begin(d, err);
	int64_t last = 0;
	size_t folded = 0;
	int rc = SQLITE_OK;

	if (result != DISK_OK)
		return result;
	sqlite3_bind_int64(d->oldest, 1, (int64_t)max);
	while (result == DISK_OK && (rc = sqlite3_step(d->oldest)) == SQLITE_ROW) {
		last = sqlite3_column_int64(d->oldest, 0);
		result = fold_row(d, last, err);
		folded++;
	}
	sqlite3_reset(d->oldest);
	if (result == DISK_OK)
		result = check(d, rc, "read", err);
	if (result != DISK_OK)
		return result;
	sqlite3_bind_int64(d->trim, 1, last);
	result = run(d, d->trim, "write to", err);
	if (result == DISK_OK)
		result = disk_commit(d, err);
	if (result == DISK_OK)
		d->log_rows = folded < max ? 0 : d->log_rows - folded;
	return result;
}

/* WAL */

size_t disk_wal_bytes(const struct disk *d)
{
	return (size_t)d->wal_frames * WAL_FRAME;
}

size_t disk_file_bytes(const struct disk *d)
{
	struct stat there;
	return stat(d->path, &there) == 0 ? (size_t)there.st_size : 0;
}

enum disk_result disk_checkpoint(struct disk *d, struct err *err)
{
	int frames = 0, done = 0;
	int rc = sqlite3_wal_checkpoint_v2(d->db, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &done);
	if (rc == SQLITE_OK || rc == SQLITE_BUSY)
		d->wal_frames = frames - done;
	return rc == SQLITE_BUSY ? DISK_OK : check(d, rc, "checkpoint", err);
}

/* Backups */

struct disk_backup {
	char *file;
	sqlite3 *target;
	sqlite3_backup *copy;
	bool done;
};

struct disk_backup *disk_backup_begin(struct disk *d, const char *file, struct err *err)
{
	if (files_create(file, err))
		return NULL;
	struct disk_backup *b = mem_zalloc(sizeof *b);
	b->file = mem_strdup(file);
	int rc = sqlite3_open_v2(file, &b->target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc == SQLITE_OK)
		b->copy = sqlite3_backup_init(b->target, "main", d->db, "main");
	if (b->copy)
		return b;
	err_set(err, ERR_SYSTEM, "cannot begin a backup to %s: %s", file, sqlite3_errmsg(b->target));
	disk_backup_end(&b);
	return NULL;
}

int disk_backup_step(struct disk_backup *b, int pages, struct err *err)
{
	int rc = sqlite3_backup_step(b->copy, pages);
	if (rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
		return 0;
	if (rc == SQLITE_DONE) {
		rc = sqlite3_backup_finish(b->copy);
		b->copy = NULL;
		if (rc == SQLITE_OK) {
			b->done = true;
			return files_sync_folder(b->file, err) ? -1 : 1;
		}
	}
	return err_set(err, ERR_SYSTEM, "cannot write the backup %s: %s", b->file, sqlite3_errstr(rc));
}

void disk_backup_end(struct disk_backup **backup)
{
	struct disk_backup *b = *backup;
	if (!b)
		return;
	*backup = NULL;
	sqlite3_backup_finish(b->copy);
	sqlite3_close(b->target);
	if (!b->done)
		unlink(b->file);
	free(b->file);
	free(b);
}
