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

/* As many lines as the terminal has. */
static void draw(struct slice screen)
{
	struct winsize size;
	unsigned rows = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 ? size.ws_row : 24;

	fputs("\033[H", stdout);
	for (unsigned row = 1; row < rows && screen.len > 0; row++) {
		const char *end = memchr(screen.ptr, '\n', screen.len);
		size_t line = end ? (size_t)(end - screen.ptr) : screen.len;
		printf("%.*s\033[K\n", (int)line, screen.ptr);
		line += end != NULL;
		screen = slice_make(screen.ptr + line, screen.len - line);
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
