#include "config/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"

static int read_all(int fd, size_t max, struct buf *out, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) == -1)
		return err_system(err, "cannot be read");
	if (S_ISDIR(st.st_mode))
		return err_set(err, ERR_INVALID, "is a folder; give a file in it");
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "is no regular file");
	for (;;) {
		char *at = buf_reserve(out, 4096);
		if (!at)
			return err_set(err, ERR_OVERFLOW, "is too large; at most %zu KiB are read", max / 1024);
		ssize_t n = read(fd, at, 4096);
		if (n == -1 && errno != EINTR)
			return err_system(err, "cannot be read");
		if (n == 0)
			break;
		if (n > 0)
			buf_commit(out, (size_t)n);
		if (buf_len(out) > max)
			return err_set(err, ERR_OVERFLOW, "is too large; at most %zu KiB are read", max / 1024);
	}
	return 0;
}

int source_read(const char *path, size_t max, struct buf *out, struct err *err)
{
	buf_clear(out);
	/* O_NONBLOCK: a FIFO must not hold up the reader before it is found out. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1) {
		if (errno == ENOENT)
			return err_set(err, ERR_INVALID, "there is no such file; check the path");
		if (errno == EACCES)
			return err_set(err, ERR_INVALID, "may not be read; give the user that runs hookswitch the right to");
		return err_system(err, "cannot be opened");
	}
	int rc = read_all(fd, max, out, err);
	close(fd);
	return rc;
}

/* One table constructor that is open. */
struct frame {
	struct frame *outer;
	struct map keys;   /* key -> line number */
	bool opaque;       /* holds a function: commas and names in there are no fields of ours */
	bool at_field;     /* the next token begins a field */
	unsigned parens;
};

struct scan {
	const char *name;
	struct slice text;
	size_t at;
	unsigned line;
	struct frame *top;
	struct faults *faults;
};

static char peek(const struct scan *scan, size_t ahead)
{
	return scan->at + ahead < scan->text.len ? scan->text.ptr[scan->at + ahead] : '\0';
}

static void advance(struct scan *scan)
{
	if (scan->text.ptr[scan->at] == '\n')
		scan->line++;
	scan->at++;
}

static bool is_name(char c)
{
	char lower = slice_lower(c);
	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* At a '[': the number of '=' of a long bracket, or -1 when it is none. */
static int long_bracket(const struct scan *scan)
{
	size_t n = 1;
	while (peek(scan, n) == '=')
		n++;
	return peek(scan, n) == '[' ? (int)(n - 1) : -1;
}

static void skip_long(struct scan *scan, int level)
{
	while (scan->at < scan->text.len) {
		if (peek(scan, 0) == ']') {
			int n = 0;
			while (peek(scan, 1 + (size_t)n) == '=')
				n++;
			if (n == level && peek(scan, 1 + (size_t)n) == ']') {
				scan->at += (size_t)n + 2;
				return;
			}
		}
		advance(scan);
	}
}

/* At a quote; the slice is what stands between, escapes as they are. */
static struct slice skip_string(struct scan *scan)
{
	char quote = peek(scan, 0);
	size_t start = ++scan->at;
	while (scan->at < scan->text.len && peek(scan, 0) != quote) {
		if (peek(scan, 0) == '\\' && scan->at + 1 < scan->text.len)
			advance(scan);
		advance(scan);
	}
	struct slice inside = slice_make(scan->text.ptr + start, scan->at - start);
	scan->at += scan->at < scan->text.len;
	return inside;
}

static void skip_blank(struct scan *scan)
{
	while (scan->at < scan->text.len) {
		char c = peek(scan, 0);
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f') {
			advance(scan);
		} else if (c == '-' && peek(scan, 1) == '-') {
			scan->at += 2;
			int level = peek(scan, 0) == '[' ? long_bracket(scan) : -1;
			if (level >= 0)
				skip_long(scan, level);
			else
				while (scan->at < scan->text.len && peek(scan, 0) != '\n')
					scan->at++;
		} else {
			return;
		}
	}
}

static void note_key(struct scan *scan, struct slice key, unsigned line)
{
	void *before = map_set(&scan->top->keys, key, (void *)(uintptr_t)line);
	if (before)
		faults_add(scan->faults, "%s:%u: \"%.*s\" stands twice in one table, before in line %u; rename or remove one", scan->name,
		           line, key.len < 64 ? (int)key.len : 64, key.ptr, (unsigned)(uintptr_t)before);
}

/* At the first token of a field: notes `name =` and `["name"] =`. Moves on only past what it has understood. */
static void read_key(struct scan *scan)
{
	struct scan ahead = *scan;
	struct slice key;
	if (peek(&ahead, 0) == '[' && long_bracket(&ahead) < 0) {
		ahead.at++;
		skip_blank(&ahead);
		if (peek(&ahead, 0) != '"' && peek(&ahead, 0) != '\'')
			return;
		key = skip_string(&ahead);
		skip_blank(&ahead);
		if (peek(&ahead, 0) != ']' || (key.len > 0 && memchr(key.ptr, '\\', key.len)))
			return;
		ahead.at++;
	} else {
		size_t start = ahead.at;
		while (is_name(peek(&ahead, 0)))
			ahead.at++;
		if (ahead.at == start)
			return;
		key = slice_make(ahead.text.ptr + start, ahead.at - start);
	}
	skip_blank(&ahead);
	if (peek(&ahead, 0) != '=' || peek(&ahead, 1) == '=')
		return;
	note_key(scan, key, scan->line);
	scan->at = ahead.at;
	scan->line = ahead.line;
}

static void open_frame(struct scan *scan)
{
	struct frame *frame = mem_zalloc(sizeof *frame);
	map_init(&frame->keys, false);
	frame->at_field = true;
	frame->outer = scan->top;
	scan->top = frame;
}

static void close_frame(struct scan *scan)
{
	struct frame *frame = scan->top;
	if (!frame)
		return;
	scan->top = frame->outer;
	map_close(&frame->keys);
	free(frame);
}

static void scan_token(struct scan *scan)
{
	struct frame *frame = scan->top;
	if (frame && frame->at_field && !frame->opaque)
		read_key(scan);
	if (frame)
		frame->at_field = false;

	char c = peek(scan, 0);
	if (is_name(c)) {
		size_t start = scan->at;
		while (is_name(peek(scan, 0)))
			scan->at++;
		if (frame && slice_eq(slice_make(scan->text.ptr + start, scan->at - start), SLICE("function")))
			frame->opaque = true;
		return;
	}
	if (c == '"' || c == '\'') {
		skip_string(scan);
		return;
	}
	if (c == '[' && long_bracket(scan) >= 0) {
		skip_long(scan, long_bracket(scan));
		return;
	}
	if (frame && c == '(')
		frame->parens++;
	else if (frame && c == ')' && frame->parens > 0)
		frame->parens--;
	else if (frame && (c == ',' || c == ';') && frame->parens == 0)
		frame->at_field = true;
	else if (c == '{')
		open_frame(scan);
	else if (c == '}')
		close_frame(scan);
	scan->at++;
}

void source_check_keys(const char *name, struct slice text, struct faults *faults)
{
	struct scan scan = { .name = name, .text = text, .line = 1, .faults = faults };
	for (skip_blank(&scan); scan.at < text.len; skip_blank(&scan))
		scan_token(&scan);
	while (scan.top)
		close_frame(&scan);
}
