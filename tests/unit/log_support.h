/* A log in a folder of its own: what log_test.c and log_files_test.c share. */
#ifndef TESTS_UNIT_LOG_SUPPORT_H
#define TESTS_UNIT_LOG_SUPPORT_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "observe/log.h"

static char folder[] = "/tmp/hookswitch-log-XXXXXX";
static char *path, *other_path;

static inline char *read_file(const char *name)
{
	struct buf text;
	ssize_t n = 0;
	int fd = open(name, O_RDONLY | O_NONBLOCK);

	buf_init(&text, 0);
	do {
		buf_commit(&text, n > 0 ? (size_t)n : 0);
		n = fd == -1 ? 0 : read(fd, buf_reserve(&text, 65536), 65536);
	} while (n > 0);
	if (fd != -1)
		close(fd);
	char *copy = mem_strdup(buf_cstr(&text));
	buf_close(&text);
	return copy;
}

static inline size_t occurrences(const char *text, const char *what)
{
	size_t n = 0;
	while ((text = strstr(text, what))) {
		text += strlen(what);
		n++;
	}
	return n;
}

static inline bool contains(const char *text, const char *what)
{
	bool found = strstr(text, what) != NULL;
	if (!found)
		printf("no \"%s\" in:\n%.2000s\n", what, text);
	return found;
}

/* The number behind the first `key` after the first `what`, or 0. */
static inline unsigned long number_after(const char *text, const char *what, const char *key)
{
	const char *at = strstr(text, what);
	at = at ? strstr(at, key) : NULL;
	return at ? strtoul(at + strlen(key), NULL, 10) : 0;
}

/* Sends stderr to `other_path`; what is returned gives it back. */
static inline int capture_stderr(void)
{
	int saved = dup(STDERR_FILENO), fd = open(other_path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
	dup2(fd, STDERR_FILENO);
	close(fd);
	return saved;
}

static inline void release_stderr(int saved)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
}

/* A running log on a new, empty `path`. */
static inline void start(struct log_options options)
{
	struct err err;
	unlink(path);
	options.file = path;
	if (!options.throttle_burst)
		options.throttle_burst = 1000000;
	CHECK(log_start(&options, &err) == 0);
}

static inline char *stop_and_read(void)
{
	log_stop(10);
	return read_file(path);
}

/* Waits until the file holds the text; false after ten seconds. */
static inline bool await_text(const char *name, const char *what)
{
	for (int i = 0; i < 1000; i++) {
		char *text = read_file(name);
		bool found = strstr(text, what) != NULL;
		free(text);
		if (found)
			return true;
		usleep(10000);
	}
	return false;
}

/* Makes the folder; false when that fails. */
static inline bool folder_open(void)
{
	setenv("TZ", "UTC", 1);
	if (!mkdtemp(folder))
		return false;
	path = mem_printf("%s/log", folder);
	other_path = mem_printf("%s/other", folder);
	return true;
}

static inline void folder_close(void)
{
	unlink(path);
	unlink(other_path);
	rmdir(folder);
	free(path);
	free(other_path);
}

#endif
