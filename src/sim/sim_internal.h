/* What the files of this layer share. Nobody else includes it. */
#ifndef SIM_INTERNAL_H
#define SIM_INTERNAL_H

#include "sim/sim_model.h"

/* sim.c */
/* 0 .. below - 1, from a state that its owner seeds: what one call does never depends on what others drew. */
uint64_t sim_random(uint64_t *state, uint64_t below);
/* Evenly in low .. high. */
double sim_random_range(uint64_t *state, double low, double high);

/* sim_time.c */
void sim_time_init(struct sim *sim);
void sim_time_close(struct sim *sim);
/* Something comes from outside: it is as late as the clock says, and all that was due before has happened. */
void sim_time_update(struct sim *sim);
void sim_timer_init(struct sim_timer *timer, struct sim *sim, void (*fire)(struct sim_timer *timer));
/* In so many simulated seconds; one that runs is set anew. Of those that are due together the one set first fires first. */
void sim_timer_start(struct sim_timer *timer, double seconds);
void sim_timer_stop(struct sim_timer *timer);
/* Simulated seconds since that simulated time. */
double sim_elapsed(const struct sim *sim, uint64_t since);

/* sim_client.c */
void sim_client_accept(struct sim *sim, int fd, const char *remote);
/* Frees it. */
void sim_client_destroy(struct sim_client **client);
/* What waits is still written, then it is closed. */
void sim_client_close(struct sim_client *client);
struct sim_client *sim_client_find(struct sim *sim, uint64_t number);
/* Bytes are waiting in `out`, or none any more. */
void sim_client_wake(struct sim_client *client);
/* Sends `text`, or keeps it while the line is held. Past the bound the client is lost. */
void sim_client_send(struct sim_client *client, struct slice text);
void sim_client_hold(struct sim_client *client);
/* Sends what had to wait, reads on. */
void sim_client_release(struct sim_client *client);

/* sim_session.c */
void sim_session_begin(struct sim_client *client);
/* One whole message of the client. */
void sim_session_request(struct sim_client *client, const struct sim_request *request);
/* True when an event of these classes goes to that client (Q60, Q62). */
bool sim_session_wants(const struct sim_client *client, unsigned classes, const char *text);

/* True when the pattern is cheap to compile and to match whatever it is matched with. */
bool sim_regex_safe(const char *pattern);

/* sim_reply.c. The value of the first header of that name that is not empty, or "" (Q34). */
const char *sim_get(const struct sim_request *request, const char *name);
bool sim_true(const char *text);
/* `Response: …` and ActionID; further headers and sim_end() follow. */
struct buf *sim_reply(struct sim_client *client, const struct sim_request *request, const char *response);
void sim_end(struct sim_client *client);
void sim_ack(struct sim_client *client, const struct sim_request *request, const char *message);
void sim_error(struct sim_client *client, const struct sim_request *request, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void sim_put(struct buf *out, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
void sim_put_channel(struct buf *out, const char *prefix, const struct sim_channel *channel);
/* Lists: `bare` ones have no EventList below AMI 2.6 (Q26). */
struct sim_list {
	struct sim_client *client;
	const struct sim_request *request;
	bool bare;
	bool id_first; /* items have their ActionID second instead of last */
	const struct sim_bridge *about; /* its headers stand in the end of the list too, or NULL */
	unsigned items;
};
struct sim_list sim_list_begin(struct sim_client *client, const struct sim_request *request, bool bare, const char *message);
/* The item's event line; its headers, sim_item_end(). */
struct buf *sim_item(struct sim_list *list, const char *event);
void sim_item_end(struct sim_list *list);
/* `extra` (or NULL) is a header with the count that this list also ends with. */
void sim_list_end(struct sim_list *list, const char *event, const char *extra);

/* sim_event.c: sim_event() begins one, the headers follow, sim_publish() sends it. */
struct buf *sim_event(struct sim *sim, const char *name, unsigned classes);
/* Sent at once, or late (`lag`): then behind all that was published before. */
void sim_publish(struct sim *sim);
void sim_events_init(struct sim *sim);
/* What is on its way is lost. */
void sim_events_drop(struct sim *sim);
const char *sim_class_name(unsigned classes);
/* As Asterisk reads a mask: number, on/off, list of classes; -1 when empty. */
int sim_class_mask(const char *text);
/* The branch of Asterisk that speaks this AMI version: 11, 13, 22 … */
unsigned sim_asterisk_version(const struct sim *sim);
void sim_security_event(struct sim_client *client, const char *name, const char *severity, const char *extra_name,
                        const char *extra);

/* sim_channel.c */
/* `id` NULL or empty: made up. */
struct sim_channel *sim_channel_new(struct sim_call *call, const char *prefix, const char *id, unsigned state, const char *num,
                                    const char *name, const char *exten, const struct sim_channel *linked);
/* "PJSIP/1001" of "PJSIP/1001-00000002". */
void sim_channel_interface(const struct sim_channel *channel, char *out, size_t size);
struct sim_channel *sim_channel_find(struct sim *sim, const char *name);
/* Hangup event, and the channel is gone. */
void sim_channel_hangup(struct sim_channel **channel, unsigned cause);
void sim_channel_destroy(struct sim_channel **channel);
void sim_channel_event(struct sim_channel *channel, const char *event, unsigned classes);
/* Its caller's number or name changed. */
void sim_channel_identified(struct sim_channel *channel);
void sim_channel_state(struct sim_channel *channel, unsigned state);
void sim_channel_app(struct sim_channel *channel, unsigned priority, const char *app, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Sets and tells it. `channel` NULL: a global one. -1 when there are too many. */
int sim_variable_set(struct sim *sim, struct sim_channel *channel, const char *name, const char *value);
/* The value into `out` (cut to fit); empty when there is none. */
void sim_variable_get(struct sim *sim, struct sim_channel *channel, const char *name, char *out, size_t size);
const char *sim_state_name(unsigned state);

/* sim_calls.c */
void sim_calls_stop(struct sim *sim);
struct sim_call *sim_call_new(struct sim *sim);
void sim_call_after(struct sim_call *call, double seconds);
void sim_call_destroy(struct sim_call **call);
/* A call of that channel begins: whom it is from and where to. */
void sim_call_begins(struct sim_call *call, struct sim_channel *caller, const char *from, const char *to);
/* Ends it: `by` hung up itself, or was hung up (`soft`). */
void sim_call_end(struct sim_call *call, struct sim_channel *by, unsigned cause, bool soft);
/* Its channels are another call's now: nothing of it is left. */
void sim_call_merged(struct sim_call *call, struct sim_call *into);
/* The channel leaves what it is in and goes on at `exten`. */
void sim_call_redirect(struct sim_channel *channel, const char *context, const char *exten, unsigned priority);
/* The caller's channel goes, and the call with it. */
void sim_call_over(struct sim_call *call, unsigned cause, const char *disposition);
void sim_cdr(struct sim_call *call, const char *disposition);
void sim_hangup_request(struct sim_channel *channel, unsigned cause, bool soft);

/* sim_dial.c */
/* `also`: a second phone that is rung at the same time, or NULL. */
void sim_dial(struct sim_call *call, const char *number, const char *also, enum sim_outcome outcome);
void sim_dial_timer(struct sim_call *call);
/* Makes the phone that `app` rings, as the caller's counterpart. */
struct sim_channel *sim_dial_callee(struct sim_call *call, const char *prefix, const char *number, const char *app);
/* The same without becoming the callee. */
struct sim_channel *sim_dial_leg(struct sim_call *call, const char *prefix, const char *number, const char *app);
/* Frees the callee, tells why the dialling ended. */
void sim_dial_failed(struct sim_call *call, const char *status, unsigned cause);
/* DialBegin (no status), DialState, DialEnd of the caller and the callee; of a Local channel see sim_local.c. */
void sim_dial_event(struct sim_call *call, const char *event, const char *status);
void sim_put_dial(struct sim *sim, const char *event, const struct sim_channel *from, const struct sim_channel *to);
/* The callee is up: they talk. */
void sim_dial_answered(struct sim_call *call);

/* sim_bridge.c. Without a type: a basic one. */
struct sim_bridge *sim_bridge_new(struct sim *sim, const char *type, const char *technology, const char *creator, const char *name);
/* `swap`: whose place it takes, or NULL. In a basic bridge all get the oldest Linkedid (Q96). */
void sim_bridge_enter(struct sim_bridge *bridge, struct sim_channel *channel, const struct sim_channel *swap);
void sim_bridge_leave(struct sim_channel *channel);
void sim_bridge_destroy(struct sim_bridge **bridge);
void sim_bridges_close(struct sim *sim);
struct sim_bridge *sim_bridge_find(struct sim *sim, const char *id);
void sim_put_bridge(struct buf *out, const char *prefix, const struct sim_bridge *bridge);
/* BRIDGEPEER of the two in it. */
void sim_bridge_peers(const struct sim_bridge *bridge);
/* Caller and callee are bridged, and apart again (nothing when they were not). */
void sim_bridge_call(struct sim_call *call);
void sim_bridge_apart(struct sim_call *call);

/* sim_endpoint.c */
void sim_endpoints_init(struct sim *sim);
void sim_endpoints_close(struct sim *sim);
/* Everything is as at the start. */
void sim_endpoints_reset(struct sim *sim);
/* The endpoint of "PJSIP/1001" or of a channel's name; NULL: none. */
struct sim_endpoint *sim_endpoint_find(struct sim *sim, const char *name);
/* One more, unless it is there, in state UNKNOWN until it is reviewed; NULL when there are too many. */
struct sim_endpoint *sim_endpoint_add(struct sim *sim, const char *interface, bool phone);
/* Before and after a channel's state or hold changes: `by` is -1 and 1. */
void sim_endpoint_count(const struct sim_channel *channel, int by);
/* Publishes its device state, when that has changed, and that of the members it stands for. */
void sim_endpoint_review(struct sim *sim, struct sim_endpoint *endpoint);
const char *sim_device_name(enum sim_device state);
/* A registered phone, by chance. */
const struct sim_endpoint *sim_endpoint_any(struct sim *sim, uint64_t *random);
void sim_endpoints_start(struct sim *sim);

/* sim_dialplan.c: the caller's channel goes on at its extension. */
void sim_call_run(struct sim_call *call);

/* sim_traffic.c: calls by chance. */
void sim_traffic_start(struct sim *sim);

/* sim_plan.c */
/* The two talk: what they will do, and when. */
void sim_plan_choose(struct sim_call *call);
/* It is time for the next step. */
void sim_plan_next(struct sim_call *call);
/* The consultation rings, or the two of it talk. */
void sim_plan_consulted(struct sim_call *consultation);
/* One of the two is over. */
void sim_plan_lost(struct sim_call *call);

/* sim_transfer.c */
void sim_hold(struct sim_channel *channel, bool hold);
/* The callee, or the caller, sends the other one to `exten`. */
void sim_transfer_blind(struct sim_call *call, bool by_caller, const char *exten);
void sim_put_blind_transfer(struct sim_call *call, const struct sim_channel *from, const struct sim_channel *who, const char *exten);
/* Who holds `call` joins its other side with the one that he consults. */
void sim_transfer_attended(struct sim_call *call);

/* sim_local.c */
/* The caller dials `number` through a Local channel: `stays` (/n), or optimised away at the answer. */
void sim_local_dial(struct sim_call *call, const char *number, bool stays, enum sim_outcome outcome);
void sim_local_rings(struct sim_call *call);
void sim_local_answered(struct sim_call *call);
/* A queue's member "Local/101@default/n": its halves, then `app` calls the first of them and the second one the phone. */
void sim_local_make(struct sim_call *call, struct slice number, struct slice context, bool stays, const char *app);
void sim_local_call(struct sim_call *call);
/* The phone and both halves are up; then they are joined with the caller. */
void sim_local_up(struct sim_call *call);
void sim_local_join(struct sim_call *call);
/* Of the caller and the first half. */
void sim_local_event(struct sim_call *call, const char *event, const char *header, const char *value);
/* Nobody waits for the phone any more. */
void sim_local_cancel(struct sim_call *call, unsigned cause);
/* The far end failed with that status; what it was between goes too. */
void sim_local_failed(struct sim_call *call, const char *status, unsigned cause);
/* It is taken out of its bridges and hung up. */
void sim_local_end(struct sim_call *call, unsigned cause);
/* LocalBridge of two halves; `stays`: /n. */
void sim_local_bridged(const struct sim_channel *one, const struct sim_channel *two, const char *number, bool stays);
/* Asterisk takes the halves out of the way: `other` leaves its bridge for the place of `two`. The halves are left to the caller. */
void sim_local_swap(const struct sim_channel *one, struct sim_channel *two, struct sim_channel *other);
/* The phone says 302: the caller is sent to `number`. */
void sim_local_forward(struct sim_call *call, const char *number, enum sim_outcome outcome);

/* sim_origin.c: the Local channel that an Originate calls; nothing where it calls none. */
/* "Local/1001@default", the id of the first half or "". */
void sim_origin_make(struct sim_call *call, const char *prefix, const char *id, const char *number);
/* Both halves are joined; without a phone the dialplan answers. */
void sim_origin_begin(struct sim_call *call, const char *number, bool has_phone);
void sim_origin_rings(struct sim_call *call);
void sim_origin_failed(struct sim_call *call, const char *status, unsigned cause);
void sim_origin_answered(struct sim_call *call);
/* The caller has been joined with somebody. */
void sim_origin_optimize(struct sim_call *call);
void sim_origin_end(struct sim_call *call, unsigned cause);

/* sim_pickup.c: another phone takes the call that rings. */
void sim_pickup(struct sim_call *call, const char *interface);

/* sim_parking.c */
void sim_park(struct sim_call *call, bool by_caller);
void sim_parking_timer(struct sim_call *call);
/* The parked one gives up, or is taken out. */
void sim_parking_leave(struct sim_call *call, bool gives_up);
/* The caller dials a space of the lot. False: nobody is parked there. */
bool sim_parking_fetch(struct sim_call *call, unsigned space);

/* sim_conference.c */
void sim_conferences_init(struct sim *sim);
void sim_conference_enter(struct sim_call *call, struct sim_room *room);
void sim_conference_timer(struct sim_call *call);
void sim_conference_leave(struct sim_call *call);

/* sim_truth.c: what the call was is kept for sim_truth(). */
void sim_truth_ended(struct sim_call *call);
/* So many nanoseconds pass in which nothing happens. */
void sim_truth_pass(struct sim *sim, uint64_t ns);

/* sim_ask.c */
int sim_ask_listen(struct sim *sim, struct err *err);
void sim_ask_close(struct sim *sim);

/* sim_received.c: keeps what a client has sent; appends what was kept since the last time, the last SIM_RECEIVED_MAX, as JSON. */
void sim_received(struct sim *sim, const struct sim_request *request);
void sim_received_write(struct sim *sim, struct buf *out);
void sim_received_close(struct sim *sim);

/* sim_restart.c: see sim.h. */
void sim_restart_init(struct sim *sim);
bool sim_is_down(const struct sim *sim);

/* sim_queue.c */
void sim_queues_init(struct sim *sim);
void sim_queues_close(struct sim *sim);
struct sim_queue *sim_queue_find(struct sim *sim, const char *name);
/* Not by chance: `missed`, the first agent lets it ring; `gives_up`, the caller does. */
void sim_queue_enter(struct sim_call *call, struct sim_queue *queue, bool missed, bool gives_up);
void sim_queue_timer(struct sim_call *call);
/* The caller gives up, or is taken out. */
void sim_queue_abandon(struct sim_call *call);
/* The agent did not take it; the caller waits on. */
void sim_queue_no_answer(struct sim_call *call);
void sim_queue_complete(struct sim_call *call, const char *reason);
/* The headers that its events and its list items share. */
void sim_put_member(struct buf *out, const struct sim_member *member);
void sim_member_event(struct sim *sim, const struct sim_queue *queue, const struct sim_member *member, const char *event);
struct sim_member *sim_member_find(struct sim_queue *queue, const char *interface);

/* Actions: each answers exactly once, or holds the line and answers later. */
typedef void sim_action_fn(struct sim_client *client, const struct sim_request *request);
struct sim_action {
	const char *name;
	sim_action_fn *run;
	const char *privilege; /* as ListCommands shows it */
};
/* True when a user with these classes may send it: one of them is enough. */
bool sim_action_allowed(const struct sim_action *action, unsigned classes);
/* Sorted by name; ends with a NULL name. */
extern const struct sim_action sim_actions[];
sim_action_fn sim_action_originate, sim_action_command, sim_action_queue_add, sim_action_queue_remove,
	sim_action_queue_pause, sim_action_queue_status, sim_action_queue_summary, sim_action_channels, sim_action_status,
	sim_action_bridge_list, sim_action_bridge_info, sim_action_endpoints, sim_action_contacts, sim_action_devices,
	sim_action_parked, sim_action_rooms, sim_action_room;
/* sim_originate.c: the first leg's outcome is known. */
void sim_originate_answer(struct sim_call *call, unsigned reason);
void sim_originate_free(struct sim_originate **originate);
/* Rings, or gives the outcome. */
void sim_originate_timer(struct sim_call *call);

/* sim_play.c, sim_flood.c: fill `out` while the client takes it; whole frames only, so that answers may come between. */
#define SIM_STREAM_CHUNK ((size_t)256 * 1024)
int sim_play_load(struct sim *sim, const char *path, struct err *err);
void sim_stream_begin(struct sim_client *client);
void sim_stream_pump(struct sim_client *client);
/* The client has sent a Ping: its answer is in `out` already. */
void sim_stream_ping(struct sim_client *client);
/* How many may be sent now; arms the pace timer when that is 0. */
uint64_t sim_stream_allowance(struct sim_client *client);
bool sim_play_fill(struct sim_client *client, uint64_t count);
struct sim_flood *sim_flood_create(bool stamp);
void sim_flood_destroy(struct sim_flood **flood);
bool sim_flood_fill(struct sim_client *client, uint64_t count);

#endif
