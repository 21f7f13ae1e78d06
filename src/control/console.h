/* The console: a unix stream socket on the engine's loop, where `hookswitch ctl` and other programs look inside and give
 * orders. Who may open a socket may use it, for what its roles grant: file permissions say who that is.
 *
 * On the wire: the request is the command's arguments, each ended by a NUL, and one NUL more ("status\0--json\0\0"). The
 * answer's first line is the exit code in decimal (0 done, 1 refused or failed, 2 wrong usage), the rest up to the end of
 * the stream its output. `help` lists the commands.
 *
 * Bounds: CONSOLE_CLIENTS_MAX clients, of them CONSOLE_CLIENTS_SHARED on sockets without `admin`, one more gets an error and is closed; a request has CONSOLE_REQUEST_MAX bytes and
 * CONSOLE_PATIENCE seconds to arrive; an answer has CONSOLE_ANSWER_MAX bytes, all waiting answers CONSOLE_WAITING_MAX; a
 * client that takes no byte for CONSOLE_PATIENCE seconds is closed, never waited for (P1). Each is counted in
 * hookswitch_console_dropped_total{reason="…"} and logged (P2).
 */
#ifndef CONTROL_CONSOLE_H
#define CONTROL_CONSOLE_H

#include "base/err.h"
#include "engine/engine.h"

#define CONSOLE_CLIENTS_MAX 256
#define CONSOLE_CLIENTS_SHARED 192        /* the others are for those who may end a daemon that is besieged */
#define CONSOLE_REQUEST_MAX 4096          /* bytes, with its NULs */
#define CONSOLE_ARGUMENTS_MAX 128
#define CONSOLE_ANSWER_MAX (16u << 20)    /* bytes */
#define CONSOLE_WAITING_MAX (64u << 20)   /* bytes */
#define CONSOLE_PATIENCE 5.0              /* seconds */

struct console;

/* What the clients of a socket may do. Each command needs one; `admin` stands for all. */
enum console_role {
	ROLE_LOOK = 1,  /* see everything */
	ROLE_EMIT = 2,  /* emit events for the rules */
	ROLE_ACT = 4,   /* send the actions that rules may send without a policy */
	ROLE_ADMIN = 8, /* change what runs, send any action */
};

/* All texts are borrowed for console_create(). */
struct console_socket {
	const char *name; /* of control.sockets; NULL: control.socket itself */
	const char *path, *group; /* group: name or number; NULL: as it is made */
	unsigned mode;
	unsigned roles;   /* enum console_role */
};

/* Listens on each socket with the permissions `mode`, which nobody can connect before, given to `group`. A socket that a dead
 * daemon left is replaced. NULL with `err` when another daemon answers there, something else is in the way, or a socket cannot
 * be made. Touches the file system, so it is for the time before the loop runs. */
struct console *console_create(struct engine *engine, const struct console_socket *sockets, size_t count, struct err *err);
/* The same with the sockets of the engine's configuration; NULL without an error in `err` when it has none. */
struct console *console_open(struct engine *engine, struct err *err);
/* Closes every client, removes the sockets that are still ours. Before engine_destroy(). */
void console_destroy(struct console **console);

#endif
