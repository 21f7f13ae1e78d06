/* Recorded bytes through the same framer, dispatch and rules as a session's, in virtual time. Nothing is sent. */
#ifndef ENGINE_REPLAY_H
#define ENGINE_REPLAY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/faults.h"

enum replay_answer { REPLAY_CANCELLED, REPLAY_SUCCESS, REPLAY_ERROR, REPLAY_TIMEOUT };

struct replay_options {
	const char *config;  /* file, or NULL: defaults */
	const char *rules, *lib; /* folders, NULL: the configuration's; without both no rule runs */
	const char *server;  /* the name that the rules see */
	size_t chunk;        /* bytes that come at once */
	double speed;        /* of the capture's time; 0: as fast as it goes */
	enum replay_answer answer; /* what a rule's call gets */
	const char *http;    /* what a request of `http` gets: a status, "timeout", or a file with answers; NULL: it ends as `cancelled` */
	bool jobs;           /* jobs run; else they are only shown */
	/* One line for each action that would have been sent, each line to a sink, each request and each job that is pushed. */
	void (*line)(void *ctx, struct slice line);
	void *ctx;
};

struct replay;

/* Loads the rules. NULL with faults; warnings may be in `faults` all the same. */
struct replay *replay_create(const struct replay_options *options, struct faults *faults);
/* Feeds one file. 0, or -1 when it is no capture; then no rule has heard of it, unless it could not be read to its end. */
int replay_file(struct replay *replay, const char *path, struct err *err);
/* Appends which frames of the last file were skipped, as a text; nothing when all were read. */
void replay_skipped(const struct replay *replay, struct buf *out);
/* Appends the counts of the last file as one JSON object. */
void replay_summary(const struct replay *replay, struct buf *out);
void replay_destroy(struct replay **replay);

#endif
