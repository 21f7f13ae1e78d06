#include "cli/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t ended;

static void on_signal(int sig)
{
	(void)sig;
	ended = 1;
}

/* A screen has parts with an empty line between them: the head, the servers, the rules. */
#define PARTS_MAX 3

static size_t count_lines(struct slice text)
{
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += text.ptr[i] == '\n';
	return count;
}

/* The parts, without the empty lines; returns their number. */
static size_t split(struct slice screen, struct slice parts[PARTS_MAX])
{
	size_t count = 0;

	while (screen.len > 0 && count < PARTS_MAX) {
		ptrdiff_t end = count + 1 < PARTS_MAX ? slice_find(screen, SLICE("\n\n")) : -1;
		size_t len = end == -1 ? screen.len : (size_t)end + 1;
		parts[count++] = slice_make(screen.ptr, len);
		len += end != -1;
		screen = slice_make(screen.ptr + len, screen.len - len);
	}
	return count;
}

/* At most `rows` lines; the last of them says how many there are beside them. */
static void draw_part(struct slice part, size_t rows)
{
	size_t count = count_lines(part);

	for (size_t row = 1; row <= rows && part.len > 0; row++) {
		if (row == rows && count > rows) {
			printf("… %zu more\033[K\n", count - rows + 1);
			return;
		}
		const char *end = memchr(part.ptr, '\n', part.len);
		size_t line = end ? (size_t)(end - part.ptr) : part.len;
		printf("%.*s\033[K\n", (int)line, part.ptr);
		line += end != NULL;
		part = slice_make(part.ptr + line, part.len - line);
	}
}

/* As many lines as the terminal has. When the last two parts do not both fit, each gets half, and what the other leaves. */
static void draw(struct slice screen)
{
	struct winsize size;
	size_t rows = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 ? size.ws_row - 1u : 23;
	struct slice parts[PARTS_MAX];
	size_t count = split(screen, parts), need[PARTS_MAX] = { 0 };

	fputs("\033[H", stdout);
	for (size_t i = 0; i < count; i++) {
		need[i] = count_lines(parts[i]);
		rows -= i > 0 && rows > 0; /* the empty line before it */
	}
	for (size_t i = 0; i < count; i++) {
		size_t next = i + 1 < count ? need[i + 1] : 0, half = rows / 2;
		size_t room = i == 0 && count > 1 ? need[0] : next < rows - half ? rows - next : half;
		room = room < rows ? room : rows;
		if (i > 0 && room > 0)
			fputs("\033[K\n", stdout);
		draw_part(parts[i], room);
		rows -= need[i] < room ? need[i] : room;
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

static void draw_all(struct buf *held)
{
	ptrdiff_t end;

	while ((end = slice_find(buf_slice(held), SLICE("\f"))) != -1) {
		draw(slice_make(buf_slice(held).ptr, (size_t)end));
		buf_consume(held, (size_t)end + 1);
	}
}

/* False at the end of the stream. */
static bool take(int fd, struct buf *held)
{
	char *room = buf_reserve(held, 65536);
	ssize_t n = room ? recv(fd, room, 65536, 0) : 0;

	if (n == -1 && errno == EINTR)
		return true;
	if (n <= 0)
		return false;
	buf_commit(held, (size_t)n);
	return true;
}

static bool asks_to_end(void)
{
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof keys);

	for (ssize_t i = 0; i < n; i++)
		if (keys[i] == 'q' || keys[i] == 'Q' || keys[i] == 3)
			return true;
	return n == 0;
}

static bool run(int fd, struct buf *held, bool has_keys)
{
	struct pollfd watch[2] = { { .fd = fd, .events = POLLIN }, { .fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN } };

	while (!ended) {
		draw_all(held);
		if (poll(watch, 2, -1) == -1)
			continue; /* a signal */
		if (watch[1].revents && asks_to_end())
			return true;
		if (watch[0].revents && !take(fd, held))
			return false;
	}
	return true;
}

bool screen_show(int fd, struct buf *held)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct termios was, raw;
	bool has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &was) == 0;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (has_keys) {
		raw = was;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	/* The other screen, no cursor, no wrapping of long lines; all back at the end. */
	fputs("\033[?1049h\033[?25l\033[?7l\033[2J", stdout);
	bool by_user = run(fd, held, has_keys);
	fputs("\033[?7h\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &was);
	return by_user;
}
