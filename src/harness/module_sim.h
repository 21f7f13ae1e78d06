/* The simulated Asterisk as Lua functions, for specs: its time stands still but for run(), so that the same seed and the same
 * calls of these functions give the same bytes.
 *
 * sim.new{ seed, calls_per_second, features, lag, ami_version, read, write } -> s   as the options of `hookswitch sim`;
 *   the user is ops, the secret `secret`
 *   s:run(seconds): so much time passes; s:settle(): events on their way arrive; s:now() -> epoch seconds
 *   s:truth() -> its state as JSON; s:restart(clean, down): see sim_restart()
 *   s:connect() -> c, or nothing while it is down
 *   c:send(bytes), c:receive() -> all bytes that came, or nothing: it is closed; c:close()
 *   s:close()
 */
#ifndef HARNESS_MODULE_SIM_H
#define HARNESS_MODULE_SIM_H

#include <lua.h>

/* Sets the table `sim` in the one on top of the stack. */
void sim_open(lua_State *L);

#endif
