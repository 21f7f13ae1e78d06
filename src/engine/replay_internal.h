/* What the files of a replay share. */
#ifndef ENGINE_REPLAY_INTERNAL_H
#define ENGINE_REPLAY_INTERNAL_H

#include <stdio.h>

#include "engine/frame_counts.h"
#include "engine/mapping.h"
#include "engine/replay.h"
#include "http/http_access.h"
#include "persist/persist.h"

#define REPLAY_SERVER_ID 1u

struct waiting_answer {
	struct waiting_answer *next;
	struct reply *reply;
	uint64_t due;
};

struct replay {
	struct replay_options options;
	struct config *config;
	struct metrics *metrics;
	struct host *host;     /* NULL: no rules */
	struct pool pool;
	struct frame_log log;  /* of events that some rule takes later */
	struct host_feed *feed;
	struct persist *persist; /* in memory only: nothing is read from disk or written there */
	bool ready;            /* the server, as the rules see it */
	uint64_t now;          /* virtual monotonic ns */
	double wall;           /* virtual epoch seconds */
	double wall_set;       /* as it was set last … */
	uint64_t wall_set_at;  /* … when `now` was that */
	bool wall_known;
	uint64_t sequence;
	bool stands;           /* a rule kept time from passing: the replay has ended with this error */
	struct err standing;
	struct waiting_answer *answers, **last_answer;
	enum { REPLAY_HTTP_CANCELLED, REPLAY_HTTP_STATUS, REPLAY_HTTP_TIMEOUT, REPLAY_HTTP_FILE } http;
	unsigned http_status;
	struct value http_answers; /* of a file */
	struct http_policy *http_policy;
	struct waiting_response *responses, **last_response;
	struct replay_list {
		const char *action; /* NULL: none is open */
		char id[ACTION_ID_MAX + 1];
	} list;
	struct frame_counts counts;
	struct buf line;
	char version[16];
	/* The side file of a recording: when its bytes arrived. */
	FILE *times;           /* NULL: none */
	uint64_t offset;       /* of the capture, of the frame that is taken */
	uint64_t next_offset;  /* from here on the bytes came at `next_at`; UINT64_MAX: no more lines */
	double at, next_at;
};

/* replay_http.c */
/* `how` as replay_options.http. -1 with faults. */
int replay_http_open(struct replay *replay, const char *how, struct faults *faults);
/* As host_ops.http. */
int replay_http_request(void *replay, const char *rule, const struct http_request *request, void *tag, struct err *err);
/* When the next answer is due; UINT64_MAX: none waits. */
uint64_t replay_http_next(const struct replay *replay);
/* Hands over those that are due at `now`. True when there were any. */
bool replay_http_complete(struct replay *replay, uint64_t now);
/* Ends what waits. */
void replay_http_close(struct replay *replay);

/* replay_lists.c: an event that may be an item or the end of a list. */
void replay_list_take(struct replay *replay, const struct message *message);

/* replay_ops.c: what rules ask of it. */
extern const struct host_ops replay_ops;

#endif
