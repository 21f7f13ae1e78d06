/* SQLite's file system with faults: a disk that is full, that fails, or that loses power. */
#ifndef TESTS_UNIT_FAULTY_VFS_H
#define TESTS_UNIT_FAULTY_VFS_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* From now on writes fail with this code; 0: none. */
static atomic_int fault_write, fault_sync;
/* The n-th write from now fails once with fault_once_code, or the power is cut there; 0: never. */
static atomic_int fault_in, fault_once_code, fault_cut;
static atomic_uint fault_writes, fault_syncs; /* so far */
/* Writes take until it is false again. */
static atomic_bool fault_hold;

/* Before a power cut: what unsynced writes have overwritten, newest first. */
struct undo {
	struct undo *next;
	sqlite3_file *file;
	sqlite3_int64 at, size; /* of the write; of the file before */
	int len;
	char old[];
};
static struct undo *undos;
static int fault_record; /* keep undos */

static const sqlite3_vfs *real_vfs;
static sqlite3_vfs faulty;
/* SQLite has other methods for files that it locks than for those that it does not. */
static const sqlite3_io_methods *real_methods[4];
static sqlite3_io_methods faulty_methods[4];

static const sqlite3_io_methods *real(const sqlite3_file *file)
{
	return real_methods[file->pMethods - faulty_methods];
}

static void remember(sqlite3_file *file, int len, sqlite3_int64 at)
{
	struct undo *undo = malloc(sizeof *undo + (size_t)len);
	*undo = (struct undo){ .next = undos, .file = file, .at = at, .len = len };
	real(file)->xFileSize(file, &undo->size);
	memset(undo->old, 0, (size_t)len);
	if (at < undo->size)
		real(file)->xRead(file, undo->old, len, at);
	undos = undo;
}

static void forget(sqlite3_file *file)
{
	for (struct undo **u = &undos; *u;) {
		struct undo *undo = *u;
		if (file && undo->file != file) {
			u = &undo->next;
			continue;
		}
		*u = undo->next;
		free(undo);
	}
}

/* What was written and not synced is lost, each write or none of it, and the process ends. */
static void cut_power(void)
{
	int keep = rand() % 4;
	for (struct undo *u = undos; u; u = u->next) {
		if (keep == 3 || (keep > 0 && rand() % 2))
			continue;
		real(u->file)->xWrite(u->file, u->old, u->len, u->at);
		if (keep == 0)
			real(u->file)->xTruncate(u->file, u->size);
	}
	_exit(0);
}

static int faulty_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
	atomic_fetch_add(&fault_writes, 1);
	while (atomic_load(&fault_hold))
		usleep(1000);
	if (atomic_load(&fault_write))
		return atomic_load(&fault_write);
	if (fault_record)
		remember(file, len, at);
	if (atomic_load(&fault_in) > 0 && atomic_fetch_sub(&fault_in, 1) == 1) {
		if (!atomic_load(&fault_cut))
			return atomic_load(&fault_once_code);
		real(file)->xWrite(file, bytes, len, at);
		cut_power();
	}
	return real(file)->xWrite(file, bytes, len, at);
}

static int faulty_sync(sqlite3_file *file, int flags)
{
	atomic_fetch_add(&fault_syncs, 1);
	if (atomic_load(&fault_sync))
		return atomic_load(&fault_sync);
	if (fault_record)
		forget(file);
	return real(file)->xSync(file, flags);
}

static int faulty_close(sqlite3_file *file)
{
	if (fault_record)
		forget(file);
	return real(file)->xClose(file);
}

static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	int rc = real_vfs->xOpen(vfs, name, file, flags, out);
	if (rc == SQLITE_OK && file->pMethods) {
		size_t i = 0;
		while (real_methods[i] && real_methods[i] != file->pMethods)
			i++;
		if (!real_methods[i]) {
			faulty_methods[i] = *file->pMethods;
			faulty_methods[i].xWrite = faulty_write;
			faulty_methods[i].xSync = faulty_sync;
			faulty_methods[i].xClose = faulty_close;
			real_methods[i] = file->pMethods;
		}
		file->pMethods = &faulty_methods[i];
	}
	return rc;
}

static inline void faulty_install(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	faulty = *real_vfs;
	faulty.zName = "faulty";
	faulty.xOpen = faulty_open;
	sqlite3_vfs_register(&faulty, 1);
}

#endif
