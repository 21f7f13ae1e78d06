#include "harness/module.h"

#include <lauxlib.h>

#include "base/version.h"
#include "harness/module_live.h"
#include "harness/module_sim.h"

__attribute__((visibility("default"))) int luaopen_hookswitch(lua_State *L);

int luaopen_hookswitch(lua_State *L)
{
	module_open_ami(L);
	live_open(L);
	sim_open(L);
	module_open_rules(L);
	lua_setfield(L, -2, "rules");
	lua_pushliteral(L, HOOKSWITCH_VERSION);
	lua_setfield(L, -2, "version");
	return 1;
}
