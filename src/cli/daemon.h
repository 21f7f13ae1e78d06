/* The manners of a daemon: limits, pid file, and what it reports to systemd (when that has started it). */
#ifndef CLI_DAEMON_H
#define CLI_DAEMON_H

#include <stdbool.h>

#include "base/err.h"
#include "engine/engine.h"

/* As many descriptors as the system allows; no core dumps, which would hold secrets (P8), unless they are asked for. What the
 * system refuses is left as it is and logged. */
void daemon_limits(bool core);

struct pid_file;
/* Writes our pid and locks the file, so that there is one daemon for each. NULL with `err`. */
struct pid_file *pid_file_create(const char *path, struct err *err);
/* Removes the file; nothing when there is none. */
void pid_file_destroy(struct pid_file **file);

struct notifier;
/* Notifies systemd that the daemon is ready, from then on each reload and the stop, and feeds its watchdog from the loop itself: a
 * loop that stands still is restarted. Does nothing when systemd did not ask. */
struct notifier *notifier_create(struct engine *engine);
void notifier_destroy(struct notifier **notifier);

#endif
