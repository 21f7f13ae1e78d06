#include "cli/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "observe/log.h"

static void set_limit(const char *name, __rlimit_resource_t resource, bool most)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) == 0) {
		limit.rlim_cur = most ? limit.rlim_max : 0;
		if (setrlimit(resource, &limit) == 0)
			return;
	}
	log_write(LOG_WARN, "a limit of the process stays as it is", F_TEXT("limit", name), F_TEXT("reason", strerror(errno)));
}

void daemon_limits(bool core)
{
	set_limit("open files", RLIMIT_NOFILE, true);
	set_limit("core", RLIMIT_CORE, core);
}

/* ---- the pid file ---- */

struct pid_file {
	char *path;
	int fd; /* holds the lock */
};

static int lock_and_write(int fd, const char *path, struct err *err)
{
	char text[32];

	if (flock(fd, LOCK_EX | LOCK_NB) == -1)
		return errno == EWOULDBLOCK ? err_set(err, ERR_SYSTEM, "%s: another daemon runs with this pid file", path)
		                            : err_system(err, "%s", path);
	int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) == -1 || pwrite(fd, text, (size_t)len, 0) != len)
		return err_system(err, "%s", path);
	return 0;
}

struct pid_file *pid_file_create(const char *path, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd == -1) {
		err_system(err, "%s", path);
		return NULL;
	}
	if (lock_and_write(fd, path, err) == -1) {
		close(fd);
		return NULL;
	}
	struct pid_file *file = mem_alloc(sizeof *file);
	*file = (struct pid_file){ .path = mem_strdup(path), .fd = fd };
	return file;
}

void pid_file_destroy(struct pid_file **file)
{
	struct pid_file *f = *file;

	if (!f)
		return;
	*file = NULL;
	if (unlink(f->path) == -1)
		log_write(LOG_WARN, "the pid file stays behind", F_TEXT("file", f->path), F_TEXT("reason", strerror(errno)));
	close(f->fd);
	free(f->path);
	free(f);
}

/* ---- systemd ---- */

struct notifier {
	struct engine *engine;
	ev_timer watchdog;
};

static void notify(const char *state)
{
	int rc = sd_notify(0, state);
	if (rc < 0)
		log_write(LOG_WARN, "systemd cannot be notified", F_TEXT("reason", strerror(-rc)));
}

static void on_phase(void *ctx, enum engine_phase phase)
{
	char text[96];
	(void)ctx;

	switch (phase) {
	case ENGINE_RELOADING:
		snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(clock_mono_ns() / CLOCK_NS_PER_US));
		notify(text);
		break;
	case ENGINE_RUNNING:
		notify("READY=1");
		break;
	case ENGINE_STOPPING:
		notify("STOPPING=1");
		break;
	}
}

static void on_watchdog(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)timer;
	(void)events;
	notify("WATCHDOG=1");
}

struct notifier *notifier_create(struct engine *engine)
{
	struct notifier *notifier = mem_zalloc(sizeof *notifier);
	uint64_t microseconds;

	notifier->engine = engine;
	ev_init(&notifier->watchdog, on_watchdog);
	if (sd_watchdog_enabled(0, &microseconds) > 0) {
		/* Half of it, so that one late turn is none too many. */
		double interval = (double)microseconds / 1e6 / 2;
		ev_timer_set(&notifier->watchdog, interval, interval);
		ev_timer_start(engine_loop(engine), &notifier->watchdog);
	}
	engine_watch_phase(engine, on_phase, notifier);
	on_phase(notifier, ENGINE_RUNNING);
	return notifier;
}

void notifier_destroy(struct notifier **notifier)
{
	struct notifier *n = *notifier;

	if (!n)
		return;
	*notifier = NULL;
	engine_watch_phase(n->engine, NULL, NULL);
	ev_timer_stop(engine_loop(n->engine), &n->watchdog);
	free(n);
}
