/* The console: a unix stream socket on the engine's loop, where `hookswitch ctl` and other programs look inside and give
 * orders. Who may open the socket may use it; its permissions are the only door.
 *
 * On the wire: the request is the command's arguments, each ended by a NUL, and one NUL more ("status\0--json\0\0"). The
 * answer's first line is the exit code in decimal (0 done, 1 refused or failed, 2 wrong usage), the rest up to the end of
 * the stream its output. `help` lists the commands.
 *
 * Bounds: CONSOLE_CLIENTS_MAX clients, one more is told so and closed; a request has CONSOLE_REQUEST_MAX bytes and
 * CONSOLE_PATIENCE seconds to arrive; an answer has CONSOLE_ANSWER_MAX bytes, all waiting answers CONSOLE_WAITING_MAX; a
 * client that takes no byte for CONSOLE_PATIENCE seconds is closed, never waited for (P1). Each is counted in
 * hookswitch_console_dropped_total{reason="…"} and logged (P2).
 */
#ifndef CONTROL_CONSOLE_H
#define CONTROL_CONSOLE_H

#include "base/err.h"
#include "engine/engine.h"

#define CONSOLE_CLIENTS_MAX 256
#define CONSOLE_REQUEST_MAX 4096          /* bytes, with its NULs */
#define CONSOLE_ARGUMENTS_MAX 128
#define CONSOLE_ANSWER_MAX (16u << 20)    /* bytes */
#define CONSOLE_WAITING_MAX (64u << 20)   /* bytes */
#define CONSOLE_PATIENCE 5.0              /* seconds */

struct console;

/* Listens on `socket_path` with the permissions `mode`, which nobody can connect before, given to `group` (name or number; NULL:
 * as it is made). A socket that a dead daemon left is
 * replaced. NULL with `err` when another daemon answers there, something else is in the way, or the socket cannot be made.
 * Touches the file system, so it is for the time before the loop runs. */
struct console *console_create(struct engine *engine, const char *socket_path, unsigned mode, const char *group,
                               struct err *err);
/* Closes every client, removes the socket if it is still ours. Before engine_destroy(). */
void console_destroy(struct console **console);

#endif
