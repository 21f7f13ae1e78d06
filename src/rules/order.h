/* In which order a rule hears what happens.
 *
 * What comes from one server (frames, answers, server.ready, lost and gap) reaches a rule in the order in which it arrived.
 * What comes from no server (emitted events, due timers) takes its place between them: it waits for all that arrived before.
 * Servers do not wait for each other (P5).
 *
 * A rule that is up to date takes what arrives at once. One that is not (it had its share of the turn, its server had, or
 * something waits for it) lags: it gets a stream, whose cursor reads the server's log of frames, and a list of what else
 * arrived meanwhile. Nothing but plain frames is ever shed; what a cursor skips is told as server.gap in its place.
 */
#ifndef RULES_ORDER_H
#define RULES_ORDER_H

#include "rules/own_event.h"
#include "rules/request.h"
#include "rules/state.h"
#include "rules/timer.h"

/* What a rule has still to take of one server. */
struct rule_stream {
	struct list of_rule, of_feed;
	struct rule *rule;
	struct host_feed *feed;
	struct frame_cursor cursor; /* closed: no frames wait */
	struct list items;          /* struct order_item of this server, in order */
	unsigned run;               /* items in a row */
};

/* Of one server; see host.h. */
struct host_feed {
	struct list in_host;
	struct host *host;
	uint32_t id;
	char *name;
	struct frame_log *log;
	struct series *taken;  /* see host_feed_count() */
	struct list streams;   /* struct rule_stream.of_feed */
	uint32_t stream_count;
	/* Its budget of a phase: what the sockets bring, or what is served from the log. */
	uint64_t phase, until; /* until: monotonic ns */
	uint32_t events, bytes;
	uint32_t deliveries;   /* that the event counted last stands for: one to each rule that lags */
	unsigned clock;        /* deliveries since the last look at the clock */
};

/* Of that server, the latest; NULL: none. */
struct host_feed *host_feed_find(const struct host *host, uint32_t server);

/* The rule may take something of that server (NULL: of none) now. */
bool order_is_free(struct rule *rule, const struct host_feed *feed);
/* The server's budget of this phase lasts; counts one event of `bytes`. */
bool order_take_budget(struct host_feed *feed, size_t bytes);
/* The same for what one rule takes from the log: one to each rule that lags is one event. */
bool order_take_delivery(struct host_feed *feed);
/* The rules' share of the turn is used up. */
bool order_is_spent(struct host *host);
/* From the next frame on the rule reads that server's log. */
void order_lag(struct rule *rule, struct host_feed *feed);

/* Queue what has arrived for the rule. The reply and the event (one holder) are taken over. `feed` NULL: of no server. */
void order_add_reply(struct rule *rule, struct host_feed *feed, struct reply *reply);
void order_add_event(struct rule *rule, struct host_feed *feed, struct own_event *event);
void order_add_timer(struct rule *rule, struct rule_timer *timer);
/* It waits no more; nothing happens when it did not. */
void order_remove_timer(struct rule_timer *timer);
/* Subscriptions of that server's end, once the rule has taken what came before. */
void order_add_lost(struct rule *rule, struct host_feed *feed);

/* What waits for rules outside of their order, such as callbacks of requests: a list of the host. */
struct order_list {
	struct rule *(*rule)(const struct host *host, struct list *node); /* whose it is; NULL: nobody's */
	bool (*serve)(struct host *host, struct list *node);              /* it is gone then; false, and it stays: not in this turn */
};
/* Serves each of `list`, unless its rule's share or all of the turn is used up. What is left of the rule that was served last
 * comes behind what others have there; each rule's own stays in its order. False when something is left. */
bool order_serve_list(struct host *host, struct list *list, const struct order_list *kind);
/* Answers whose deadline has come overtake what they wait for: they are the next that their rules take. */
void order_overtake(struct host *host, uint64_t now);
/* When the next one does; UINT64_MAX: none. */
uint64_t order_next_late(const struct host *host);
/* Serves the rules that lag, one after the other, until nothing can be served in this turn. */
void order_serve(struct host *host);
/* True when some rule lags that may be served in the next turn. */
bool order_waits(const struct host *host);
/* A turn, or its second half, begins. */
void order_begin_phase(struct host *host, bool turn);
/* The rule drains: it takes what has arrived until now, as far as it waits for it. `successor` (NULL: none) hears nothing before. */
void order_replace(struct rule *rule, struct rule *successor);
/* True while a rule that drains has not taken all of that. */
bool order_has_pending(const struct rule *rule);
/* The rule is dropped with what waits for it: its events are counted as not given to it. Returns how many there are. */
uint64_t order_lose(struct rule *rule, const char *reason);
/* The rule is dropped: what waits for it goes with it, and no rule waits for it. */
void order_drop(struct rule *rule);

#endif
