/* The board's folder as board_read() takes it: which names, how deep, how much, in which order. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "check.h"
#include "engine/board.h"

static char folder[] = "/tmp/hookswitch-board-XXXXXX";

static void empty_folder(void)
{
	char *command = mem_printf("rm -rf %s && mkdir %s", folder, folder);
	CHECK(system(command) == 0);
	free(command);
}

/* Makes the folders on the way. */
static void put(const char *name, size_t size, char fill)
{
	char *path = mem_printf("%s/%s", folder, name);

	for (char *slash = strchr(path + sizeof folder, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	FILE *file = fopen(path, "we");
	if (CHECK(file != NULL)) {
		for (size_t i = 0; i < size; i++)
			putc(fill, file);
		CHECK(fclose(file) == 0);
	}
	free(path);
}

static int open_descriptors(void)
{
	int count = 0;
	for (int fd = 0; fd < 64; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}

static bool has(const struct board *board, const char *name)
{
	return board_find(board, slice_cstr(name)) != NULL;
}

static void test_names(void)
{
	struct err err;

	empty_folder();
	put("views/a-Z_0.9.js", 3, 'a');
	put("index.html", 5, 'i');
	put("azAZ09", 0, 'x');
	put(".hidden", 1, 'x');
	put("a b", 1, 'x');
	put("a@b", 1, 'x'); /* the characters next to those that are taken */
	put("a[b", 1, 'x');
	put("a`b", 1, 'x');
	put("a{b", 1, 'x');
	put("a:b", 1, 'x');
	int before = open_descriptors();
	struct board *board = board_read(folder, &err);
	CHECK(open_descriptors() == before);
	if (!CHECK(board != NULL))
		return;
	CHECK(board->count == 3);
	CHECK(has(board, "views/a-Z_0.9.js") && has(board, "index.html") && has(board, "azAZ09"));
	for (size_t i = 1; i < board->count; i++)
		CHECK(strcmp(board->files[i - 1].name, board->files[i].name) < 0);
	const struct board_file *file = board_find(board, SLICE("index.html"));
	CHECK(file && file->len == 5 && memcmp(file->bytes, "iiiii", 5) == 0);
	CHECK(!has(board, "views") && !has(board, "index.htm") && !board_find(NULL, SLICE("index.html")));
	board_destroy(&board);
	CHECK(!board);
	board_destroy(&board);
}

static void test_tags(void)
{
	char tags[2][sizeof ((struct board_file *)0)->tag];
	struct err err;

	for (int i = 0; i < 2; i++) {
		empty_folder();
		put("one", 10, 'x');
		put("same", 10, 'x');
		put("other", 10, i ? 'y' : 'z');
		struct board *board = board_read(folder, &err);
		if (!CHECK(board != NULL))
			return;
		const char *one = board_find(board, SLICE("one"))->tag, *other = board_find(board, SLICE("other"))->tag;
		CHECK(strlen(one) == 26 && one[0] == '"' && one[25] == '"' && strspn(one + 1, "0123456789abcdef") == 24);
		CHECK(strcmp(one, board_find(board, SLICE("same"))->tag) == 0 && strcmp(one, other) != 0);
		strcpy(tags[i], other);
		board_destroy(&board);
	}
	CHECK(strcmp(tags[0], tags[1]) != 0);
}

static void test_depth(void)
{
	struct err err;

	empty_folder();
	put("1/2/3/4/in", 1, 'x');
	put("1/2/3/4/5/out", 1, 'x');
	struct board *board = board_read(folder, &err);
	CHECK(board && board->count == 1 && has(board, "1/2/3/4/in"));
	board_destroy(&board);
}

static void test_missing(void)
{
	struct err err;
	char *path = mem_printf("%s/none", folder);
	struct board *board = board_read(path, &err);

	CHECK(board && board->count == 0);
	board_destroy(&board);
	free(path);

	empty_folder();
	put("file", 1, 'x');
	path = mem_printf("%s/file", folder);
	board = board_read(path, &err);
	CHECK(!board && err.code == ERR_SYSTEM && strstr(err.text, path));
	free(path);

	/* A link that leads nowhere is a file that cannot be read; the ones before it are given back. */
	path = mem_printf("%s/gone", folder);
	CHECK(symlink("/nowhere/at/all", path) == 0);
	board = board_read(folder, &err);
	CHECK(!board && err.code == ERR_SYSTEM && strstr(err.text, path));
	free(path);
}

static void test_bounds(void)
{
	struct err err;
	char name[16];

	empty_folder();
	for (int i = 0; i < BOARD_FILES_MAX; i++) {
		snprintf(name, sizeof name, "%d", i);
		put(name, 1, 'x');
	}
	struct board *board = board_read(folder, &err);
	CHECK(board && board->count == BOARD_FILES_MAX);
	board_destroy(&board);
	put("more", 1, 'x');
	board = board_read(folder, &err);
	CHECK(!board && err.code == ERR_OVERFLOW);

	empty_folder();
	put("half", BOARD_BYTES_MAX / 2, 'x');
	put("rest", BOARD_BYTES_MAX - BOARD_BYTES_MAX / 2, 'x');
	board = board_read(folder, &err);
	CHECK(board && board->count == 2);
	board_destroy(&board);
	put("below/more", 1, 'x');
	board = board_read(folder, &err);
	CHECK(!board && err.code == ERR_OVERFLOW);
}

int main(void)
{
	if (!mkdtemp(folder)) {
		perror("mkdtemp");
		return 1;
	}
	test_names();
	test_tags();
	test_depth();
	test_missing();
	test_bounds();
	char *command = mem_printf("rm -rf %s", folder);
	CHECK(system(command) == 0);
	free(command);
	return check_report();
}
