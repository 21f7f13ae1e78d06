/* A simulated Asterisk: speaks AMI on a TCP port, with calls and queues that live, for tests, demos and load.
 *
 * Its dialplan, for calls that it makes itself and for Originate:
 *   100        answers, sets GREETING, hangs up after 1 s      200, 201, 202  dial a phone: answered, busy, no answer
 *   300, 301   the queues `support` and `sales`                900            waits 60 s
 *   302, 303   `support`: the first agent does not answer; the caller gives up after 2 s
 *   600, 601   the conferences 8600 and 8601                   701-720        fetches the call that is parked there
 *   1000-1019  dials a phone with an outcome by chance; 1100-1119 through a Local channel, 1200-1219 through one that stays,
 *              1300-1319 together with the next phone
 *   others     answer and hang up after 1 s
 * A channel of Originate behaves by its number: 102 is busy, 103 congested, 104 rings only, `nosuch` and unknown
 * technologies fail, every other one answers (101 and phones after ringing for 1 s).
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct sim_options {
	const char *host;         /* IP literal to listen on */
	uint16_t port;            /* 0: any free one, see sim_port() */
	const char *user, *secret;
	const char *ami_version;  /* for the banner; below 3.0 Command answers in its old form, below 2.6 lists have no EventList */
	uint64_t seed;            /* the same seed gives the same calls */
	unsigned max_clients;     /* 1 .. 65536; one more is closed without a banner */
	double write_timeout;     /* s; a client that takes no byte for so long is closed */
	size_t max_backlog;       /* bytes that wait for one client; beyond, it is closed */
	const char *read, *write; /* classes that the user may hear and send, as in manager.conf; NULL: all */
	double calls_per_second;  /* 0: none but those of Originate */
	bool features;            /* calls by chance hold, transfer, park, confer …; phones come and go */
	unsigned max_calls;       /* at once; further ones are not begun */
	double speed;             /* 2: calls live twice as fast */
	double lag;               /* simulated s; events arrive up to so late, while lists tell what is: they race (Q22) */
	bool truth;               /* calls that have ended are kept for sim_truth() */
	const char *truth_path;   /* a unix socket that is made, where questions are answered (sim_ask.c); NULL: none. Implies `truth` */
	bool step;                /* time stands still but for sim_run() */
	const char *play;         /* a capture to send to each client after its login, or NULL */
	bool loop;                /* play it again and again */
	bool flood;               /* send `events` made-up events to each client after its login */
	uint64_t events;          /* 0: without end */
	bool stamp;               /* flood: each event has SentAt, CLOCK_MONOTONIC in nanoseconds */
	bool on_ping;             /* play and flood begin with the client's first Ping, not with its login */
	uint64_t per_ping;        /* with on_ping: each Ping brings so many frames more, behind its answer; 0: the first brings all */
	double rate;              /* of play and flood, events a second for each client; 0: as fast as its socket takes them */
};

void sim_options_init(struct sim_options *options);

struct sim;

/* Listens on `loop`. The strings of `options` must live as long as the object. NULL with `err` when the address cannot be
 * bound or the capture not read (the only blocking file access, before anything runs). */
struct sim *sim_create(struct ev_loop *loop, const struct sim_options *options, struct err *err);
/* Closes every connection at once; frees everything. */
void sim_destroy(struct sim **sim);
/* True when every word of `text` (commas between) is a class of events that Asterisk knows. */
bool sim_classes_known(const char *text);
/* Lets so many simulated seconds pass at once (0 or more). Only with `step`. */
void sim_run(struct sim *sim, double seconds);
/* Its time, epoch seconds. */
double sim_wall(const struct sim *sim);
/* Events that are on their way arrive now. */
void sim_settle(struct sim *sim);
/* Appends its state as one JSON object (tests/README.md tells its fields). What has ended is told once. */
void sim_truth(struct sim *sim, struct buf *out);
/* All connections end, as when the network fails; calls go on. */
void sim_cut(struct sim *sim);
/* The exchange is stopped: with `clean` as by `core stop now`, every call with its events and then Shutdown; else killed, without
 * a word. All connections end, and for `down` simulated seconds none is taken. Then another one runs: with other calls, whose
 * channel names begin anew. */
void sim_restart(struct sim *sim, bool clean, double down);
/* A connection without the network: the client's end of a socket pair, which is the caller's; -1 while the exchange is down. */
int sim_attach(struct sim *sim);
/* The port that it listens on. */
uint16_t sim_port(const struct sim *sim);

#endif
