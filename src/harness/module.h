/* The Lua C module `hookswitch`: the pure layers as plain Lua functions, for specs and for trying rules without a daemon. */
#ifndef HARNESS_MODULE_H
#define HARNESS_MODULE_H

#include <lua.h>

/* Each pushes one table of functions. May raise; whatever they own belongs to a userdata with __gc. */

/* { framer, message, action, pending, catalogue }: the protocol layer as it stands, one Lua function for each of C's.
 *
 * framer.new{ max_frame = 65536, max_headers = 1000, banner = false } -> f
 *   f:feed(bytes)      -> list of { status = "frame"|"banner"|"oversize"|"malformed"|"not_ami", bytes, kind =
 *                         "event"|"response"|"other", name, action_id, headers = { {name, value}, … } (name "" : a line
 *                         without a colon), text (of `Response: Follows`), version (of a banner) }
 *   f:partial()        -> true when the stream, ending now, cuts a frame
 *   f:held()           -> bytes that wait for more
 *   f:reset(banner)    begins a new stream
 *   f.lf_mode, f.lines_no_colon
 *
 * message.parse(bytes) -> m, or nil when they are not one whole frame; message.build(event, { {name, value}, … }) -> m
 *   m:get(name [, nth = 0]) -> value or nil; m:find(name [, from = 0]) -> index or nil; m:copy() -> m; m:size();
 *   m:fields() -> as a result of f:feed
 *
 * action.serialize(headers [, id [, max]]) -> bytes, or nil, code, text. `headers`: a list of { name, value } or a table
 *   name = value; a value that is a list of { name, value } makes Variable parts. `max` bounds the output.
 *
 * pending.new{ max_actions = 1000, max_list_events = 10000, max_list_bytes = 16 MiB, prefix = "t", max_frame, max_headers,
 *   banner } -> p
 *   p:add(headers [, { now, deadline, offset, no_call_events, tag = integer }]) -> id, sequence, or nil, code, text
 *   p:feed(bytes)      -> list of { what, reply, name = , kind = , action_id = }; `what` is "not_ours", "taken",
 *                         "completed", "completed_event", "stray", or the framer's status when it is not "frame" (an
 *                         oversized answer has its reply then). A banner sets the version.
 *   p:written(offset), p:set_version("2.10.6"), p:forget(sequence), p:reset()
 *   p:expire(now)      -> list of replies; p:next_deadline() -> integer or nil
 *   p:cancel(sequence|id [, text]), p:overflow(id, is_response), p:fail_next(flushed, reason) -> reply or nil
 *   p:count(), p:line_held(), p:stats() -> { late, unmatched, idless }, p:each() -> list of { sequence, action, started,
 *   deadline, tag }
 *   reply: { code ("none": success), text, action, sequence, tag, started, is_list, response = fields or nil, events =
 *   list of fields, output = list of lines or nil }
 *
 * catalogue.action(name) -> table or nil; .event(name), .function_harmless(variable) -> boolean;
 *   .event_classes(name), .events_classes(glob) -> bits;
 *   .nearest_action(name), .nearest_event(name) -> name or nil; .ami_version(text) -> integer
 * event_mask.hears(mask, class) -> boolean; .unknown(mask) -> word or nil; .write(bits [, listed]) -> mask
 */
int module_open_ami(lua_State *L);

/* Rules without a daemon: the host as it runs in the engine, with made-up servers and a clock that stands still until it is
 * moved. The rules' Lua state is their own, apart from the caller's.
 *
 * new{ rules = "scripts", lib = "lib", servers = {"pbx1"}, settings = { missed = { … } }, sinks = { names; none: any },
 *   limits = { deadline = 0.05, … as in the configuration, and drain }, policy = { allow, deny, originate, rules = { missed = { allow … } } } }
 *                          -> h, warnings, or nil, faults: lists of lines such as "scripts/missed.lua:7: …"
 * h:reload{ as new; what is not given stays, but for policy } -> true, warnings, or nil, faults: then nothing has changed
 * h:ready([server [, version]])  the session begins; h:lost(server [, reason]) it ends, its actions fail as `lost`;
 * h:remove(server)       the server is gone from the configuration
 * h:event(name [, headers [, { server = }]]) -> true when some rule heard it. `headers`: a list of { name, value } or a table
 *                        name = value (sent sorted), a list value repeats the header. The first server by default
 * h:feed(bytes [, { server = }]) -> how many events some rule heard: raw AMI, in any pieces; answers in it are ignored
 * h:emit(name [, fields]) -> true, or nil, code, text
 * h:turn()               one turn of the loop: what waits for a turn goes on -> seconds until the next is wanted (0: at once),
 *                        or nothing: never
 * h:advance([seconds = 0]) moves the clock and runs every turn on the way, timers each at its own time
 * h:now()                -> monotonic seconds, epoch seconds
 * h:sent()               -> list of { server, rule, id, answered, timeout (where the rule gave one), action = { Action = … } }
 * h:answer(index|id, reply)  -1 is the newest. `reply`: a table of headers, with Response or Event in it, and of these:
 *                        code ("timeout", "lost", …; `Response = "Error"` alone means "error"), text (of the error), events (a list
 *                        of tables of headers, each with Event), output (a list of lines). { code = "timeout" } alone: no response
 * h:sink_lines()         -> list of { sink, line }
 * h:store(name [, persistent]) -> a copy of what is in it
 * h:work()               runs the jobs that are ready -> how many tries began; without it none runs
 * h:jobs(queue)          -> list of { number, id, state ("waiting", "running", "dead", …), try, tries, due_in, error, job = { … } }
 * h:metrics()            -> text as Prometheus reads it
 * h:rules()              -> name -> { name, file, digest, change, since, generation, listeners, timers, subscriptions, waiting, pending,
 *                        calls, errors, deadlines, refused, skipped, memory, seconds, quarantined, down, failed, last_error }
 * h:draining()           -> list of the same, of replaced rules that finish what they began
 * h:status()             -> { generation, since, memory, rules, draining }
 * h:stop()               ends all waits, as a shutdown does; h:close() also closes the rules; to-be-closed and collected likewise
 *
 * log{ file = path [, level = "info"] } writes the process's log there, as JSON lines; log() ends that and waits until all is
 * written. Without it the log goes to stderr.
 */
int module_open_rules(lua_State *L);

#endif
