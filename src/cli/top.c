#include "cli/top.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "cli/top_columns.h"
#include "cli/top_draw.h"

static volatile sig_atomic_t ended;

static void on_signal(int sig)
{
	ended |= sig != SIGWINCH; /* that one only ends the wait */
}

static void list_columns(const struct top_table *table)
{
	for (unsigned i = 0; i < table->count; i++)
		fprintf(stderr, " %s", table->columns[i].key);
}

bool top_check_sort(const char *sort)
{
	struct top_view view = { .focus = TOP_SERVERS };

	if (top_sort_by(&view, sort))
		return true;
	fprintf(stderr, "hookswitch ctl: top: no column '%s' to sort by; servers have", sort);
	list_columns(&top_servers);
	fprintf(stderr, "; queues have");
	list_columns(&top_queues);
	fprintf(stderr, "; rules have");
	list_columns(&top_rules);
	fprintf(stderr, "\n");
	return false;
}

/* ---- the terminal ---- */

static void measure(struct top_view *view)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == -1)
		size = (struct winsize){ 0 };
	view->width = size.ws_col > 0 ? size.ws_col : 80;
	view->height = size.ws_row > 0 ? size.ws_row : 24;
}

/* Over the last drawing, without a flash: each line clears what stood behind it. The last line has no end, which would scroll. */
static void put_screen(struct slice text)
{
	fputs("\033[H", stdout);
	while (text.len > 0) {
		ptrdiff_t end = slice_find(text, SLICE("\n"));
		size_t len = end == -1 ? text.len : (size_t)end;
		size_t next = len + (end != -1);
		printf("%.*s\033[K%s", (int)len, text.ptr, next < text.len ? "\n" : "");
		text = slice_make(text.ptr + next, text.len - next);
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

static void draw(const struct top_data *data, struct top_view *view)
{
	struct buf out;

	measure(view);
	buf_init(&out, 0);
	top_draw(data, view, &out);
	put_screen(buf_slice(&out));
	buf_close(&out);
}

/* ---- keys ---- */

/* The key that stands at the start of `keys`, and its length. */
static int read_key(struct slice keys, size_t *len)
{
	static const struct {
		const char *bytes;
		int key;
	} known[] = {
		{ "\033[A", TOP_UP }, { "\033[B", TOP_DOWN }, { "\033[C", TOP_RIGHT }, { "\033[D", TOP_LEFT }, { "\033OA", TOP_UP }, { "\033OB", TOP_DOWN },
		{ "\033OC", TOP_RIGHT }, { "\033OD", TOP_LEFT }, { "\033[5~", TOP_PAGE_UP }, { "\033[6~", TOP_PAGE_DOWN }, { "\033[H", TOP_HOME },
		{ "\033[F", TOP_END }, { "\033[1~", TOP_HOME }, { "\033[4~", TOP_END }, { "\033OH", TOP_HOME }, { "\033OF", TOP_END },
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (slice_starts_with(keys, slice_cstr(known[i].bytes))) {
			*len = strlen(known[i].bytes);
			return known[i].key;
		}
	*len = 1;
	if (keys.ptr[0] != '\033')
		return (unsigned char)keys.ptr[0];
	/* A sequence that nobody knows is no Escape. */
	if (keys.len == 1)
		return TOP_ESCAPE;
	*len = keys.len;
	return 0;
}

/* False when the user ends it. */
static bool take_keys(const struct top_data *data, struct top_view *view)
{
	char bytes[64];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);

	if (n == -1)
		return errno == EINTR;
	for (ssize_t at = 0; at < n;) {
		size_t len;
		int key = read_key(slice_make(bytes + at, (size_t)(n - at)), &len);
		if (!top_press(data, view, key))
			return false;
		at += (ssize_t)len;
	}
	return n > 0;
}

/* ---- samples ---- */

/* The newest whole sample, if one has come. */
static bool take_sample(struct buf *held, struct top_data *data)
{
	bool taken = false;
	ptrdiff_t end;

	while ((end = slice_find(buf_slice(held), SLICE("\f"))) != -1) {
		top_data_close(data);
		top_data_read(data, slice_make(buf_slice(held).ptr, (size_t)end));
		buf_consume(held, (size_t)end + 1);
		taken = true;
	}
	return taken;
}

/* False at the end of the stream. */
static bool receive(int fd, struct buf *held)
{
	char *place = buf_reserve(held, 65536);
	ssize_t n = place ? recv(fd, place, 65536, 0) : 0;

	if (n == -1 && errno == EINTR)
		return true;
	if (n <= 0)
		return false;
	buf_commit(held, (size_t)n);
	return true;
}

static bool run(int fd, struct buf *held, struct top_view *view, bool has_keys)
{
	struct pollfd watch[2] = { { .fd = fd, .events = POLLIN }, { .fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN } };
	struct top_data data = { .text = NULL };
	bool by_user = true;

	take_sample(held, &data);
	while (!ended) {
		if (data.text)
			draw(&data, view);
		if (poll(watch, 2, -1) == -1)
			continue; /* a signal */
		if (watch[1].revents && !take_keys(&data, view))
			break;
		if (watch[0].revents && !receive(fd, held)) {
			by_user = false;
			break;
		}
		take_sample(held, &data);
	}
	top_data_close(&data);
	return by_user;
}

static bool run_once(int fd, struct buf *held, struct top_view *view)
{
	struct top_data data = { .text = NULL };
	struct winsize size;
	struct buf out;

	while (!take_sample(held, &data))
		if (!receive(fd, held))
			return false;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		view->width = size.ws_col;
	view->styled = false;
	buf_init(&out, 0);
	top_draw(&data, view, &out);
	fwrite(out.data + out.head, 1, buf_len(&out), stdout);
	buf_close(&out);
	top_data_close(&data);
	return fflush(stdout) == 0;
}

bool top_run(int fd, struct buf *held, const struct top_options *options)
{
	const struct sigaction action = { .sa_handler = on_signal };
	const char *no_color = getenv("NO_COLOR");
	struct top_view view = { .styled = true };
	struct termios was, raw;
	bool has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &was) == 0;

	view.coloured = isatty(STDOUT_FILENO) && !(no_color && no_color[0]);
	if (options->sort)
		top_sort_by(&view, options->sort);
	if (options->server)
		snprintf(view.server, sizeof view.server, "%s", options->server);
	if (options->once)
		return run_once(fd, held, &view);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGWINCH, &action, NULL);
	if (has_keys) {
		raw = was;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	/* The other screen, no cursor, no wrapping of long lines; all back at the end. */
	fputs("\033[?1049h\033[?25l\033[?7l\033[2J", stdout);
	bool by_user = run(fd, held, &view, has_keys);
	fputs("\033[?7h\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &was);
	return by_user;
}
