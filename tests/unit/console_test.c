/* The console as its clients see it: a daemon in a process of its own, and bytes on its socket. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "control/console.h"
#include "observe/log.h"

#define ANSWER_MS 15000
#define MANY_FAMILIES 3000 /* of metrics, with a long help: more than a socket holds */

static char *folder, *config_path, *socket_path;
static char *look_path; /* of a socket with the role look; NULL: none */

/* ---- the daemon ---- */

static void add_families(struct engine *engine)
{
	char name[32], help[512];

	memset(help, 'x', sizeof help - 1);
	help[sizeof help - 1] = '\0';
	for (int i = 0; i < MANY_FAMILIES; i++) {
		snprintf(name, sizeof name, "family_%d", i);
		metrics_add(engine_metrics(engine), METRIC_GAUGE, name, help, NULL, 0, NULL, 0, 0, NULL);
	}
}

/* Reports through `result` how it went: a NUL, or what is wrong. */
static int serve(int result, unsigned mode)
{
	struct ev_loop *loop = ev_default_loop(EVFLAG_AUTO);
	struct engine_options options = { .config_path = config_path };
	struct console *console = NULL;
	struct err err = { .text = "" };
	struct faults faults;
	struct engine *engine = engine_create(loop, &options, &faults);

	if (engine)
		console = console_create(engine, (const struct console_socket[]){
			{ .path = socket_path, .mode = mode, .roles = ROLE_ADMIN }, { .name = "look", .path = look_path, .mode = mode, .roles = ROLE_LOOK },
		}, look_path ? 2 : 1, &err);
	else
		snprintf(err.text, sizeof err.text, "%s", faults.count > 0 ? faults.lines[0] : "no engine");
	faults_close(&faults);
	if (console)
		add_families(engine);
	if (write(result, err.text, strlen(err.text) + 1) == -1)
		return EXIT_FAILURE;
	close(result);
	if (console) {
		engine_start(engine);
		ev_run(loop, 0);
	}
	console_destroy(&console);
	engine_destroy(&engine);
	log_stop(1);
	ev_loop_destroy(loop);
	return EXIT_SUCCESS;
}

/* The daemon's pid when its console is open; else -1 and why in `why`. */
static pid_t start(unsigned mode, char why[512])
{
	int ends[2];
	size_t len = 0;
	ssize_t n;

	fflush(stdout);
	if (pipe2(ends, O_CLOEXEC) == -1)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[0]);
		exit(serve(ends[1], mode));
	}
	close(ends[1]);
	while (len < 511 && (n = read(ends[0], why + len, 511 - len)) > 0)
		len += (size_t)n;
	why[len] = '\0';
	close(ends[0]);
	if (len == 0 || why[0] == '\0')
		return pid;
	waitpid(pid, NULL, 0);
	return -1;
}

static pid_t start_good(void)
{
	char why[512];
	pid_t pid = start(0600, why);

	if (!CHECK(pid != -1))
		printf("%s\n", why);
	return pid;
}

/* Ends it by a signal; true when it exits with 0. */
static bool end(pid_t pid, int sig)
{
	int status = -1;

	/* A daemon that did not start has the pid -1, which is everybody to kill(). */
	return pid > 0 && kill(pid, sig) == 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- a client ---- */

static int join_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	close(fd);
	return -1;
}

static int join(void)
{
	return join_at(socket_path);
}

static void say(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
		if (n == -1)
			return;
		bytes += n;
		len -= (size_t)n;
	}
}

#define SAY(fd, literal) say((fd), (literal), sizeof(literal) - 1)

/* Everything up to the end of the stream; closes it. The text is the caller's. */
static char *hear(int fd)
{
	struct pollfd watch = { .fd = fd, .events = POLLIN };
	struct buf all;
	char *space;
	ssize_t n = -1;

	buf_init(&all, 0);
	while (poll(&watch, 1, ANSWER_MS) == 1 && (space = buf_reserve(&all, 65536)) && (n = recv(fd, space, 65536, 0)) > 0)
		buf_commit(&all, (size_t)n);
	close(fd);
	char *text = mem_slicedup(buf_slice(&all));
	buf_close(&all);
	return text;
}

static char *ask(const char *bytes, size_t len)
{
	int fd = join();

	if (fd == -1)
		return mem_strdup("nobody listens");
	say(fd, bytes, len);
	return hear(fd);
}

static bool begins(char *answer, const char *with)
{
	bool good = strncmp(answer, with, strlen(with)) == 0;

	if (!good)
		printf("answer: %.200s\n", answer);
	free(answer);
	return good;
}

#define ANSWERS(literal, with) CHECK(begins(ask((literal), sizeof(literal) - 1), (with)))

static double metric(const char *line)
{
	char *answer = ask("metrics\0\0", 9), *at = strstr(answer, line);
	double value = at ? strtod(at + strlen(line), NULL) : -1;

	free(answer);
	return value;
}

/* ---- what must hold ---- */

static void answers_requests_however_they_come(void)
{
	static const char bytes[] = "status\0--json\0\0";
	int fd;

	ANSWERS("status\0\0", "0\nhookswitch ");
	ANSWERS("status\0--json\0\0", "0\n{\"version\":");
	ANSWERS("servers\0\0", "0\nno servers");
	ANSWERS("scripts\0--json\0\0", "0\n{\"generation\":1,");
	ANSWERS("metrics\0\0", "0\n# HELP ");
	fd = join();
	for (size_t i = 0; i < sizeof bytes - 1; i++)
		say(fd, bytes + i, 1);
	CHECK(begins(hear(fd), "0\n{\"version\":"));
	fd = join();
	SAY(fd, "log\0info\0\0");
	shutdown(fd, SHUT_WR);
	CHECK(begins(hear(fd), "0\nlog level info (was info)\n"));
	ANSWERS("status\0\0and more\0\0that nobody asked for", "0\nhookswitch ");
}

static void refuses_what_is_no_request(void)
{
	char big[3 * CONSOLE_REQUEST_MAX], many[2 * (CONSOLE_ARGUMENTS_MAX + 1) + 1];
	int fd;

	ANSWERS("\0", "2\nno command; commands:\n  status");
	ANSWERS("nosuch\0\0", "2\nunknown command 'nosuch'; commands:\n  status");
	ANSWERS("\x1b[2J\xff\0\0", "2\nunknown command '\\x1b[2J\\xff'");
	ANSWERS("status\0now\0\0", "2\nusage: status [--json]");
	ANSWERS("log\0loud\0\0", "2\nlog: the level is one of debug, info, warn, error");
	ANSWERS("emit\0crm.answered\0novalue\0\0", "2\nemit: a field is NAME=VALUE, not 'novalue'");
	ANSWERS("emit\0server.lost\0\0", "1\nemit: 'server.lost' cannot be emitted");
	memset(big, 'x', sizeof big);
	CHECK(begins(ask(big, sizeof big), "2\nno request: "));
	CHECK(begins(ask(big, CONSOLE_REQUEST_MAX), "2\nno request: "));
	big[CONSOLE_REQUEST_MAX - 2] = big[CONSOLE_REQUEST_MAX - 1] = '\0';
	CHECK(begins(ask(big, CONSOLE_REQUEST_MAX), "2\nunknown command 'xxx"));
	for (size_t i = 0; i + 1 < sizeof many; i += 2)
		memcpy(many + i, "a", 2);
	many[sizeof many - 1] = '\0';
	CHECK(begins(ask(many, sizeof many), "2\nno request: "));
	fd = join();
	SAY(fd, "status\0");
	shutdown(fd, SHUT_WR);
	CHECK(begins(hear(fd), "2\nno request: "));
	CHECK(metric("hookswitch_console_dropped_total{reason=\"request\"} ") == 4);
	for (int i = 0; i < 100; i++) {
		fd = join();
		say(fd, big, (size_t)(i * 31));
		close(fd);
	}
	ANSWERS("status\0\0", "0\nhookswitch ");
}

static void turns_away_who_is_one_too_many(void)
{
	int fds[CONSOLE_CLIENTS_MAX];
	bool good = true;

	for (int i = 0; i < CONSOLE_CLIENTS_MAX; i++)
		good &= (fds[i] = join()) != -1;
	CHECK(good);
	/* Taken in the order they came, so this one comes too late for a place. */
	ANSWERS("status\0\0", "1\ntoo many clients on this console");
	for (int i = 0; i < CONSOLE_CLIENTS_MAX; i++)
		SAY(fds[i], "log\0info\0\0");
	for (int i = 0; i < CONSOLE_CLIENTS_MAX; i++)
		good &= begins(hear(fds[i]), "0\nlog level info");
	CHECK(good);
	CHECK(metric("hookswitch_console_dropped_total{reason=\"clients\"} ") == 1);
}

/* The silent one, the slow one and the stuck one at the same time: each costs its patience, and nobody else anything. */
static void keeps_places_for_administrators(void)
{
	int fds[CONSOLE_CLIENTS_SHARED];
	bool good = true;

	for (int i = 0; i < CONSOLE_CLIENTS_SHARED; i++)
		good &= (fds[i] = join_at(look_path)) != -1;
	CHECK(good);
	CHECK(begins(hear(join_at(look_path)), "1\ntoo many clients on this console"));
	ANSWERS("log\0info\0\0", "0\nlog level info");
	for (int i = 0; i < CONSOLE_CLIENTS_SHARED; i++)
		SAY(fds[i], "log\0info\0\0");
	for (int i = 0; i < CONSOLE_CLIENTS_SHARED; i++)
		good &= begins(hear(fds[i]), "1\nlog needs the role admin; this socket (control.sockets.look) grants look\n");
	CHECK(good);
	CHECK(metric("\nhookswitch_console_refused_total ") == CONSOLE_CLIENTS_SHARED);
	CHECK(begins(hear((SAY(fds[0] = join_at(look_path), "scripts\0--json\0\0"), fds[0])), "0\n{\"generation\":1,"));
}

static void drops_who_wastes_its_time(void)
{
	int silent = join(), slow = join(), stuck = join();
	uint64_t began = clock_mono_ns();
	struct pollfd watch = { .fd = silent, .events = POLLIN };
	char *answer;

	SAY(slow, "stat");
	SAY(stuck, "metrics\0\0");
	ANSWERS("status\0\0", "0\nhookswitch ");
	CHECK(clock_mono_ns() - began < clock_from_seconds(CONSOLE_PATIENCE / 2));
	while (poll(&watch, 1, 500) == 0 && clock_mono_ns() - began < clock_from_seconds(4 * CONSOLE_PATIENCE))
		say(slow, "u", 1);
	CHECK(clock_mono_ns() - began > clock_from_seconds(CONSOLE_PATIENCE / 2));
	CHECK(begins(hear(silent), ""));
	CHECK(begins(hear(slow), ""));
	while (metric("hookswitch_console_dropped_total{reason=\"slow\"} ") < 1 &&
	       clock_mono_ns() - began < clock_from_seconds(4 * CONSOLE_PATIENCE))
		poll(NULL, 0, 50);
	CHECK(metric("hookswitch_console_dropped_total{reason=\"slow\"} ") == 1);
	CHECK(metric("hookswitch_console_dropped_total{reason=\"silent\"} ") == 2);
	answer = hear(stuck);
	CHECK(strlen(answer) < MANY_FAMILIES * 512);
	free(answer);
	answer = ask("metrics\0\0", 9);
	CHECK(strlen(answer) > MANY_FAMILIES * 512);
	free(answer);
}

static void tells_each_what_its_reload_came_to(void)
{
	int fds[20];
	bool good = true;

	for (int i = 0; i < 20; i++) {
		fds[i] = join();
		SAY(fds[i], "reload\0\0");
	}
	close(fds[19]);
	for (int i = 0; i < 19; i++)
		good &= begins(hear(fds[i]), "0\nreloaded, generation ");
	CHECK(good);
	FILE *file = fopen(config_path, "a");
	fputs("x = = 1\n", file);
	fclose(file);
	ANSWERS("reload\0\0", "1\nnot reloaded; what ran before goes on:\n  ");
	ANSWERS("scripts\0\0", "0\ngeneration ");
}

static void write_config(void)
{
	FILE *file = fopen(config_path, "w");

	fprintf(file, "return { servers = {}, log = { file = \"log\", throttle_burst = 1000000 } }\n");
	fclose(file);
}

static void keeps_the_door(void)
{
	char why[512];
	struct stat st;
	pid_t pid;

	umask(0);
	pid = start(0620, why);
	CHECK(pid != -1 && lstat(socket_path, &st) == 0 && (st.st_mode & 07777) == 0620);
	CHECK(end(pid, SIGTERM) && access(socket_path, F_OK) == -1);
	umask(077);
	pid = start(0666, why);
	CHECK(pid != -1 && lstat(socket_path, &st) == 0 && (st.st_mode & 07777) == 0666);
	CHECK(start(0600, why) == -1 && strstr(why, "another daemon answers there"));
	ANSWERS("status\0\0", "0\nhookswitch ");
	if (pid > 0 && kill(pid, SIGKILL) == 0)
		waitpid(pid, NULL, 0);
	CHECK(access(socket_path, F_OK) == 0);
	CHECK((pid = start_good()) != -1);
	ANSWERS("status\0\0", "0\nhookswitch ");
	/* Its file was replaced by another's: that stays. */
	CHECK(unlink(socket_path) == 0);
	pid_t other = start_good();
	CHECK(end(pid, SIGTERM));
	ANSWERS("status\0\0", "0\nhookswitch ");
	CHECK(end(other, SIGTERM) && access(socket_path, F_OK) == -1);
	close(open(socket_path, O_CREAT | O_WRONLY, 0600));
	CHECK(start(0600, why) == -1 && strstr(why, "something else that is no socket"));
	CHECK(unlink(socket_path) == 0);
	char *good = socket_path;
	socket_path = mem_printf("%s/nosuch/console", folder);
	CHECK(start(0600, why) == -1 && strstr(why, "its folder does not exist"));
	free(socket_path);
	socket_path = good;
}

static void stays_open_until_it_has_stopped(pid_t pid)
{
	int status = -1;

	ANSWERS("stop\0\0", "0\nstopping\n");
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CHECK(access(socket_path, F_OK) == -1);
}

/* P9: every kind of it that this test has seen counted. */
static void logs_who_was_dropped(const char *path)
{
	static const char *const reasons[] = { "request", "clients", "slow", "silent" };
	char *text = mem_zalloc(1 << 20);
	FILE *file = fopen(path, "r");

	CHECK(file && fread(text, 1, (1 << 20) - 1, file) > 0);
	if (file)
		fclose(file);
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
		char *record = mem_printf("\"msg\":\"console client dropped\",\"reason\":\"%s\"", reasons[i]);
		CHECK_NAMED(strstr(text, record), record);
		free(record);
	}
	free(text);
}

int main(void)
{
	const char *where = getenv("TMPDIR");
	pid_t pid;

	alarm(120);
	signal(SIGPIPE, SIG_IGN);
	folder = mem_printf("%s/console-XXXXXX", where ? where : P_tmpdir);
	if (!mkdtemp(folder)) {
		perror(folder);
		return EXIT_FAILURE;
	}
	config_path = mem_printf("%s/hookswitch.lua", folder);
	socket_path = mem_printf("%s/console", folder);
	char *scripts = mem_printf("%s/scripts", folder), *log = mem_printf("%s/log", folder);
	mkdir(scripts, 0700);
	write_config();
	keeps_the_door();
	look_path = mem_printf("%s/look", folder);
	if ((pid = start_good()) != -1) {
		answers_requests_however_they_come();
		refuses_what_is_no_request();
		turns_away_who_is_one_too_many();
		keeps_places_for_administrators();
		drops_who_wastes_its_time();
		tells_each_what_its_reload_came_to();
		stays_open_until_it_has_stopped(pid);
		logs_who_was_dropped(log);
	}
	unlink(log);
	unlink(config_path);
	rmdir(scripts);
	rmdir(folder);
	free(scripts);
	free(log);
	free(config_path);
	free(socket_path);
	free(look_path);
	free(folder);
	return check_report();
}
