/* What the files of control/ share. Nobody else includes it. */
#ifndef CONTROL_INTERNAL_H
#define CONTROL_INTERNAL_H

#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/list.h"
#include "control/console.h"

/* Why a client was closed before it had its answer. */
enum drop_reason {
	DROP_CLIENTS,     /* CONSOLE_CLIENTS_MAX were there */
	DROP_DESCRIPTORS, /* no descriptor or memory to accept it */
	DROP_REQUEST,     /* a request that is too long */
	DROP_SILENT,      /* no whole request in time */
	DROP_ANSWER,      /* an answer that is too long, or too many that wait */
	DROP_SLOW,        /* it did not take its answer */
	DROP_REASONS
};

/* A socket that listens. */
struct listener {
	struct console *console;
	char *section; /* of the configuration that names it: "control", "control.sockets.crm" */
	char *option;  /* its path there: "control.socket", "control.sockets.crm.path" */
	char *path;
	unsigned roles;
	int fd;       /* -1: it does not listen */
	dev_t device; /* of the socket's file, to know it again */
	ino_t inode;
	ev_io accept_io;
	ev_timer accept_pause;
};

struct console {
	struct engine *engine;
	struct ev_loop *loop;
	struct listener *listeners; /* owned */
	size_t listener_count;
	struct list clients;
	unsigned client_count;
	unsigned shared_count; /* of them on sockets without ROLE_ADMIN */
	struct list tails; /* struct tail.node: who watches the engine */
	struct engine_watch watch; /* added while there is one */
	time_t shown_second; /* of the line that a tail printed last, and its text */
	char shown_time[16];
	size_t waiting;  /* bytes of all answers that wait */
	unsigned ran_in; /* the loop's turn that ran a command; another waits for the next one, so that many clients delay nobody (P5) */
	struct series *dropped[DROP_REASONS], *requests, *refused;
};

/* One client.
 *
 *   READING ------> RUNNING ------> WRITING ------> destroyed
 *           whole           client_         all
 *          request          finish()       taken
 *
 * A command that answers later, or bit by bit, stays in RUNNING. Any failure destroys the client from any state; so does its
 * hanging up, but one that only sends no more (`nc -N`) still gets its answer. */
struct client {
	struct list node;
	struct console *console;
	const struct listener *listener; /* that it came through */
	enum { CLIENT_READING, CLIENT_RUNNING, CLIENT_WRITING } state;
	int fd;
	ev_io io;
	ev_timer timer;   /* of the request; then runs while bytes wait */
	bool no_more;     /* it sends no more */
	bool as_json;     /* its answer, a text, becomes a JSON object when it is whole */
	bool begun;       /* its answer's first bytes are sent, and with them the exit code */
	bool cut;         /* something of its answer was left out: it gets no more, and is closed when bytes are sent next */
	char in[CONSOLE_REQUEST_MAX];
	size_t in_len;
	struct buf out;   /* begins with the line of the exit code until that is sent */
	size_t charged;   /* what it counts for in console->waiting */
	uid_t uid;        /* who asks, for the log */
	pid_t pid;
	/* Set by a command that stays in RUNNING: forget the client, it is going. May be NULL. */
	void (*cancel)(struct client *client);
	void *work; /* of that command */
	double patience; /* seconds that it may take no byte */
};

/* client.c */

/* Takes over `fd`, which does not block. */
void client_create(const struct listener *listener, int fd);
void client_destroy(struct client **client);
/* The answer is whole: sends it and closes. The client may be gone when this returns. */
void client_finish(struct client *client, int code);
/* Sends what `out` has, later what the socket does not take now. False when the client is gone. For commands that answer bit
 * by bit: their exit code is 0, sent with the first bytes. */
bool client_flush(struct client *client);
/* The same in the loop's next turn, for commands that answer from inside of others' work: the client stays. */
void client_flush_later(struct client *client);
/* Makes this line the whole output and returns `code`: `return client_refuse(client, 1, …)`. */
int client_refuse(struct client *client, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* True when its socket grants one of these roles. */
bool client_has_role(const struct client *client, unsigned roles);
/* Counts it and writes a log line. */
void console_dropped(struct console *console, enum drop_reason reason, const struct client *client);

/* commands.c */

/* Refuses `what` because its socket does not grant `role`: counted and logged. Returns the exit code. */
int command_refuse_role(struct client *client, const char *what, enum console_role role);

/* One request: the arguments after the command's name, without --json. They are gone once the command has returned. */
struct request {
	struct client *client;
	struct engine *engine;
	struct buf *out;
	bool json;
	int argc;
	char **argv;
};

#define COMMAND_LATER (-1) /* client_finish() comes later, or came already: the client must not be touched */
/* Runs a request and returns its exit code, with the output in `client->out`, or COMMAND_LATER. */
int command_run(struct client *client, int argc, char **argv);

/* orders.c */

/* Reports a command that changes something to the log, with who gave it. */
void command_log(const struct client *client, const char *order, const char *argument);

int command_reload(struct request *request);
int command_stop(struct request *request);
int command_log_level(struct request *request);
int command_enable(struct request *request);
int command_disable(struct request *request);
int command_emit(struct request *request);

/* One file each. */
int command_persist(struct request *request);
int command_work(struct request *request);
int command_spool(struct request *request);
int command_calls(struct request *request);
int command_queues(struct request *request);
int command_agents(struct request *request);
int command_channels(struct request *request);
int command_endpoints(struct request *request);
int command_call(struct request *request);
int command_tail(struct request *request);
int command_top(struct request *request);
int command_record(struct request *request);

/* socket.c */

/* Listens at listener->path. -1 with `err`. */
int listener_listen(struct listener *listener, unsigned mode, const char *group, struct err *err);
/* Removes the socket's file unless another one has taken its place. */
void listener_unlink(const struct listener *listener);

#endif
