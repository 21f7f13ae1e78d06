#include "engine/board.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define DEPTH_MAX 4

struct walk {
	struct board *board;
	size_t bytes;
};

static bool name_ok(const char *name)
{
	if (name[0] == '.' || name[0] == '\0')
		return false;
	for (const char *c = name; *c; c++)
		if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') && !(*c >= '0' && *c <= '9') && !strchr("._-", *c))
			return false;
	return true;
}

static int read_whole(int fd, const char *path, struct board_file *file, struct err *err)
{
	size_t got = 0;

	while (got < file->len) {
		ssize_t n = read(fd, file->bytes + got, file->len - got);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return err_system(err, "%s cannot be read", path);
		if (n == 0)
			break;
		got += (size_t)n;
	}
	file->len = got;
	return 0;
}

static int add_file(struct walk *walk, const char *path, const char *name, const struct stat *st, struct err *err)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	struct board *board = walk->board;

	walk->bytes += (size_t)st->st_size;
	if (board->count == BOARD_FILES_MAX || walk->bytes > BOARD_BYTES_MAX)
		return err_set(err, ERR_OVERFLOW, "%s: the board has more than %d files or %zu MiB", path, BOARD_FILES_MAX, BOARD_BYTES_MAX >> 20);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return err_system(err, "%s cannot be read", path);
	board->files = mem_realloc(board->files, board->count + 1, sizeof *board->files);
	struct board_file *file = &board->files[board->count++];
	*file = (struct board_file){ .name = mem_strdup(name), .len = (size_t)st->st_size };
	file->bytes = mem_alloc(file->len);
	int rc = read_whole(fd, path, file, err);
	close(fd);
	SHA256((const unsigned char *)file->bytes, file->len, digest);
	int n = snprintf(file->tag, sizeof file->tag, "\"");
	for (int i = 0; i < 12; i++)
		n += snprintf(file->tag + n, sizeof file->tag - (size_t)n, "%02x", digest[i]);
	snprintf(file->tag + n, sizeof file->tag - (size_t)n, "\"");
	return rc;
}

static int read_folder(struct walk *walk, const char *folder, const char *prefix, int depth, struct err *err)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int rc = 0;

	if (!dir)
		return errno == ENOENT && depth == 0 ? 0 : err_system(err, "%s cannot be read", folder);
	while (rc == 0 && (entry = readdir(dir))) {
		struct stat st;
		if (!name_ok(entry->d_name))
			continue;
		char *path = mem_printf("%s/%s", folder, entry->d_name), *name = mem_printf("%s%s", prefix, entry->d_name);
		if (stat(path, &st) == -1) {
			rc = err_system(err, "%s cannot be read", path);
		} else if (S_ISREG(st.st_mode)) {
			rc = add_file(walk, path, name, &st, err);
		} else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
			char *below = mem_printf("%s/", name);
			rc = read_folder(walk, path, below, depth + 1, err);
			free(below);
		}
		free(path);
		free(name);
	}
	closedir(dir);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct board_file *)a)->name, ((const struct board_file *)b)->name);
}

struct board *board_read(const char *folder, struct err *err)
{
	struct walk walk = { .board = mem_zalloc(sizeof *walk.board) };

	if (read_folder(&walk, folder, "", 0, err) == -1)
		board_destroy(&walk.board);
	else if (walk.board->count > 1)
		qsort(walk.board->files, walk.board->count, sizeof *walk.board->files, by_name);
	return walk.board;
}

void board_destroy(struct board **board)
{
	struct board *b = *board;

	if (!b)
		return;
	*board = NULL;
	for (size_t i = 0; i < b->count; i++) {
		free(b->files[i].name);
		free(b->files[i].bytes);
	}
	free(b->files);
	free(b);
}

const struct board_file *board_find(const struct board *board, struct slice name)
{
	for (size_t i = 0; board && i < board->count; i++)
		if (slice_eq(slice_cstr(board->files[i].name), name))
			return &board->files[i];
	return NULL;
}
