/* The live picture as Lua functions, for specs.
 *
 * live.new{ channels, bridges, queues, members, agents, endpoints, conferences, parked = limits; grace, doubt, resync_every,
 *   service_level = seconds; snapshots_in_flight; variables, trunks = lists } -> l
 *   Times are seconds since the epoch; each may be left out: the last one given, or read from a Timestamp, then.
 *   l:server(name), l:remove(name [, now]), l:leave(name [, now]), l:session(name, version [, now]), l:lost(name [, now]), l:gap(name [, now])
 *   l:event(name, event, headers [, now]) -> true when it was of interest; `headers` as in frame_read()
 *   l:feed(name, bytes [, fn]): raw AMI in any pieces. fn(fields) is asked about each frame with an ActionID, response and
 *     UserEvent: "item", "answered", "refused" (of the open list), or nothing: an event
 *   l:begin(name, action [, now]), l:item(name, event, headers [, now]), l:answer(name, "answered"|"refused"|"failed" [, headers [, now]])
 *   l:request([now]) -> { server, action, … }, or nothing; l:want(name [, now]), l:tick([now]), l:new_day([now])
 *   l:deadline() -> seconds, or nothing
 *   l:changes() -> list of { kind, server, object = fields, reason, resync, at, count, gone, corrected, number, name, queue } since the last call
 *   l:deaf(true): from now on none are collected
 *   l:variables() -> list of the variables whose VarSet is read
 *   l:walk(kind [, filter [, now]]) -> list of fields; l:iterate(kind [, filter]) -> iterator; l:count(kind [, filter])
 *   l:find(name, kind, key [, now]) -> fields or nothing
 *   l:state(name) -> "full", list of what is unknown; l:stats(name) -> table
 *   l:hold(name, kind, key) -> h: h:get([now]) -> fields, gone; h:release()
 *   l:close()
 * live.memory() -> bytes of the process's heap; live.changes() -> list of the names of all changes
 */
#ifndef HARNESS_MODULE_LIVE_H
#define HARNESS_MODULE_LIVE_H

#include <lua.h>

/* Sets the table `live` in the one on top of the stack. */
void live_open(lua_State *L);

#endif
