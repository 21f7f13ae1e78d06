/* The live picture of a host's servers (live/live.h), as whoever has a host keeps it: the engine, a replay, the harness.
 *
 * host_event() shows it every event before any rule hears it, and host_turn() lets time pass in it; what is left to its owner are
 * sessions, gaps, and the lists that it asks for. Servers are known by their ids. While the picture is off, and for servers
 * that were not added, every function does nothing. */
#ifndef RULES_PICTURE_H
#define RULES_PICTURE_H

#include "live/live.h"
#include "rules/host.h"

struct picture;

struct picture_options {
	bool enabled;
	struct live_options live;
	unsigned day_starts; /* seconds after midnight, local time */
};

struct picture *host_picture(struct host *host);
/* It is off until then, and when it is turned off all that it knew is gone. */
void picture_configure(struct picture *picture, const struct picture_options *options);
/* NULL: it is off. */
struct live *picture_live(const struct picture *picture);
/* Of what it knows: another one when it was turned off and on again; never 0 while it is on. */
uint64_t picture_generation(const struct picture *picture);
/* The picture's time, µs since the epoch: that of the wall clock, but it never goes back; with a wall clock that is set back it
 * runs on ahead of it. */
int64_t picture_now(struct picture *picture);

/* What was added already stays as it is. */
void picture_add(struct picture *picture, uint32_t id, const char *name);
/* Its calls end as `unseen`. */
void picture_remove(struct picture *picture, uint32_t id);
struct live_server *picture_server(const struct picture *picture, uint32_t id);

/* A session has begun (`version` as in its banner), has ended; events of it were lost. */
void picture_session(struct picture *picture, uint32_t id, struct slice version);
void picture_lost(struct picture *picture, uint32_t id);
void picture_gap(struct picture *picture, uint32_t id);

/* A snapshot of its lists is wanted; paced as all. */
void picture_want(struct picture *picture, uint32_t id);

/* Somebody watches: every change becomes an event, whether or not a rule listens. */
void picture_watch(struct picture *picture, bool watched);

/* True for the name of an event that reports a change of the picture ("call.ended"); case is ignored. */
bool picture_event_names(struct slice event);
/* All of them: NULL behind the last. */
const char *picture_event_name(uint32_t index);
/* The field number `index` that such an event may have; NULL behind the last. */
const char *picture_event_field(struct slice event, uint32_t index);
/* The words that this field of such an event can have, NULL behind the last; NULL: any text. Case of the names is ignored. */
const char *const *picture_event_words(struct slice event, struct slice field);

/* A list of a recording, see live_list_begin(). */
bool picture_list_begin(struct picture *picture, uint32_t id, const char *action);
void picture_list_end(struct picture *picture, uint32_t id, bool whole);

/* The next list that it asks for, see live_next_request(). Asked for after each turn. */
bool picture_next_request(struct picture *picture, uint32_t *id, struct live_request *request);
void picture_item(struct picture *picture, uint32_t id, const struct message *item);
/* `response` NULL: none came. */
void picture_answer(struct picture *picture, uint32_t id, enum live_answer how, const struct message *response);

#endif
