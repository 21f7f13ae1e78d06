#include "persist/schema.h"

#include <stdlib.h>

#include "base/mem.h"
#include "observe/log.h"
#include "persist/files.h"

/* All are ordinary tables with a rowid and no index: the rows that hold an id are found by it, and a damaged file can be read
 * leaf by leaf (salvage.h). Times are milliseconds since 1970. */
const char *const schema_steps[] = {
	"CREATE TABLE meta(id INTEGER PRIMARY KEY, name TEXT, value TEXT, crc INTEGER);"
	"CREATE TABLE entry(id INTEGER PRIMARY KEY, store TEXT, key BLOB, value BLOB, writer TEXT, expires INTEGER, crc INTEGER);"
	"CREATE TABLE log(id INTEGER PRIMARY KEY, entry INTEGER, gone INTEGER, store TEXT, key BLOB, value BLOB, writer TEXT,"
	" expires INTEGER, crc INTEGER);"
	"CREATE TABLE job(id INTEGER PRIMARY KEY, queue TEXT, name TEXT, body BLOB, state TEXT, priority INTEGER, due INTEGER,"
	" try INTEGER, tries INTEGER, dedup INTEGER, pushed INTEGER, changed INTEGER, error TEXT, crc INTEGER);"
	"CREATE TABLE line(id INTEGER PRIMARY KEY, spool TEXT, text BLOB, state TEXT, pushed INTEGER, expires INTEGER, error TEXT,"
	" crc INTEGER);"
	"CREATE TABLE batch(id INTEGER PRIMARY KEY, spool TEXT, key TEXT, first INTEGER, last INTEGER, try INTEGER, crc INTEGER);",
};

const int schema_version = sizeof schema_steps / sizeof *schema_steps;

/* The number that a statement gives, e.g. a pragma. */
static int query(sqlite3 *db, const char *sql, int64_t *out)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		*out = sqlite3_column_int64(stmt, 0);
		rc = SQLITE_OK;
	}
	sqlite3_finalize(stmt);
	return rc;
}

static int copy(sqlite3 *db, const char *path, int64_t version, struct err *err)
{
	char *name = mem_printf("%s.schema-%lld", path, (long long)version);
	char *to = files_timed_name(name);
	sqlite3 *target = NULL;
	sqlite3_backup *backup = NULL;
	int rc = files_create(to, err) ? SQLITE_CANTOPEN : sqlite3_open_v2(to, &target, SQLITE_OPEN_READWRITE, NULL);

	if (rc == SQLITE_OK)
		backup = sqlite3_backup_init(target, "main", db, "main");
	if (backup) {
		sqlite3_backup_step(backup, -1);
		rc = sqlite3_backup_finish(backup);
	} else if (target) {
		rc = sqlite3_errcode(target);
	}
	sqlite3_close(target);
	if (rc == SQLITE_OK)
		log_write(LOG_INFO, "persistent state: the file was copied before its schema is upgraded", F_TEXT("file", path),
		          F_TEXT("copy", to));
	else
		err_set(err, ERR_SYSTEM, "%s: cannot copy it to %s before the upgrade of its schema: %s", path, to, sqlite3_errstr(rc));
	free(name);
	free(to);
	return rc;
}

static int apply(sqlite3 *db, const char *const *steps, int from, int count)
{
	int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	for (int i = from; i < count && rc == SQLITE_OK; i++)
		rc = sqlite3_exec(db, steps[i], NULL, NULL, NULL);
	char sql[120];
	sqlite3_snprintf(sizeof sql, sql, "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT", SCHEMA_APPLICATION_ID, count);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
	if (rc != SQLITE_OK && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

static int check(sqlite3 *db, const char *path, int count, int64_t *version, int *rc, struct err *err)
{
	int64_t application = 0, tables = 0;

	if ((*rc = query(db, "PRAGMA user_version", version)) || (*rc = query(db, "PRAGMA application_id", &application)) ||
	    (*rc = query(db, "SELECT count(*) FROM sqlite_schema", &tables)))
		return err_set(err, ERR_SYSTEM, "%s: cannot read the schema: %s", path, sqlite3_errmsg(db));
	if (tables > 0 && application != SCHEMA_APPLICATION_ID)
		return err_set(err, ERR_INVALID, "%s is a database of another program; choose another file", path);
	if (*version > count)
		return err_set(err, ERR_INVALID,
		               "%s has schema %lld, made by a newer hookswitch; this one knows up to %d: run the newer one, or choose another "
		               "file", path, (long long)*version, count);
	return 0;
}

int schema_check(sqlite3 *db, const char *path, int count, int *rc, struct err *err)
{
	int64_t version = 0;
	return check(db, path, count, &version, rc, err);
}

int schema_upgrade(sqlite3 *db, const char *path, const char *const *steps, int count, int *rc, struct err *err)
{
	int64_t version = 0;

	if (check(db, path, count, &version, rc, err))
		return -1;
	if (version == count)
		return 0;
	if (version > 0 && (*rc = copy(db, path, version, err)))
		return -1;
	*rc = apply(db, steps, (int)version, count);
	return *rc == SQLITE_OK ? 0 : err_set(err, ERR_SYSTEM, "%s: cannot %s the schema: %s", path, version ? "upgrade" : "create",
	                                      sqlite3_errmsg(db));
}
