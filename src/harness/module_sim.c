#include "harness/module_sim.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <lauxlib.h>

#include "base/mem.h"
#include "harness/module_ami.h"
#include "harness/module_values.h"
#include "sim/sim.h"

#define SIM "hookswitch.sim"
#define CLIENT "hookswitch.sim.client"
#define QUIET_TURNS 3 /* turns of the loop without a byte: there is no more */

struct simulator {
	struct sim *sim;
	struct ev_loop *loop;
};

struct client {
	struct simulator *of; /* kept alive as the user value */
	int fd;               /* -1: closed */
};

static struct simulator *check_sim(lua_State *L)
{
	struct simulator *s = luaL_checkudata(L, 1, SIM);
	luaL_argcheck(L, s->sim, 1, "it is closed");
	return s;
}

static double number_field(lua_State *L, const char *key, double otherwise)
{
	lua_getfield(L, 1, key);
	double value = luaL_optnumber(L, -1, otherwise);
	lua_pop(L, 1);
	return value;
}

/* The text stays in the table, which stays with the object. */
static const char *text_field(lua_State *L, const char *key, const char *otherwise)
{
	lua_getfield(L, 1, key);
	const char *value = luaL_optstring(L, -1, otherwise);
	lua_pop(L, 1);
	return value;
}

static int simulator_new(lua_State *L)
{
	struct sim_options options;
	struct err err = { 0 };

	luaL_checktype(L, 1, LUA_TTABLE);
	sim_options_init(&options);
	options.port = 0;
	options.seed = option_integer(L, 1, "seed", 1);
	options.calls_per_second = number_field(L, "calls_per_second", 0);
	options.lag = number_field(L, "lag", 0);
	options.features = option_set(L, 1, "features");
	options.ami_version = text_field(L, "ami_version", options.ami_version);
	options.read = text_field(L, "read", NULL);
	options.write = text_field(L, "write", NULL);
	options.step = options.truth = true;
	options.write_timeout = 3600; /* a test that thinks for long is no lost client */
	struct simulator *s = lua_newuserdatauv(L, sizeof(*s), 1);
	*s = (struct simulator){ .sim = NULL };
	luaL_setmetatable(L, SIM);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	s->loop = ev_loop_new(EVFLAG_AUTO);
	if (!s->loop)
		return luaL_error(L, "no event loop");
	s->sim = sim_create(s->loop, &options, &err);
	if (!s->sim)
		return luaL_error(L, "%s", err.text);
	return 1;
}

static int simulator_close(lua_State *L)
{
	struct simulator *s = luaL_checkudata(L, 1, SIM);

	sim_destroy(&s->sim);
	if (s->loop)
		ev_loop_destroy(s->loop);
	s->loop = NULL;
	return 0;
}

static int simulator_run(lua_State *L)
{
	struct simulator *s = check_sim(L);
	double seconds = luaL_checknumber(L, 2);

	luaL_argcheck(L, seconds >= 0 && seconds < 1e6, 2, "from 0 to a million");
	sim_run(s->sim, seconds);
	ev_run(s->loop, EVRUN_NOWAIT); /* what is over is freed */
	return 0;
}

static int simulator_settle(lua_State *L)
{
	sim_settle(check_sim(L)->sim);
	return 0;
}

static int simulator_now(lua_State *L)
{
	lua_pushnumber(L, sim_wall(check_sim(L)->sim));
	return 1;
}

static int simulator_truth(lua_State *L)
{
	struct simulator *s = check_sim(L);
	struct buf out;

	buf_init(&out, 0);
	sim_truth(s->sim, &out);
	push_slice(L, buf_slice(&out));
	buf_close(&out);
	return 1;
}

static int simulator_restart(lua_State *L)
{
	sim_restart(check_sim(L)->sim, lua_toboolean(L, 2), luaL_checknumber(L, 3));
	return 0;
}

static int simulator_connect(lua_State *L)
{
	struct simulator *s = check_sim(L);
	struct client *c = lua_newuserdatauv(L, sizeof(*c), 1);

	*c = (struct client){ .of = s, .fd = sim_attach(s->sim) };
	luaL_setmetatable(L, CLIENT);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	return c->fd == -1 ? 0 : 1;
}

static struct client *check_client(lua_State *L)
{
	struct client *c = luaL_checkudata(L, 1, CLIENT);
	luaL_argcheck(L, c->of->sim, 1, "the simulator is closed");
	return c;
}

static int client_send(lua_State *L)
{
	struct client *c = check_client(L);
	struct slice bytes = check_slice(L, 2);

	while (bytes.len > 0 && c->fd != -1) {
		ssize_t n = send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
		if (n == -1 && errno != EAGAIN && errno != EINTR)
			break; /* receive() tells that it is closed */
		if (n > 0)
			bytes = slice_make(bytes.ptr + n, bytes.len - (size_t)n);
		ev_run(c->of->loop, EVRUN_NOWAIT);
	}
	return 0;
}

static int client_close(lua_State *L)
{
	struct client *c = luaL_checkudata(L, 1, CLIENT);

	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
	return 0;
}

static int client_receive(lua_State *L)
{
	struct client *c = check_client(L);
	struct buf all;
	bool ended = false;

	buf_init(&all, 0);
	for (int quiet = 0; c->fd != -1 && !ended && quiet < QUIET_TURNS;) {
		char bytes[65536];
		ev_run(c->of->loop, EVRUN_NOWAIT);
		ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
		if (n > 0)
			(void)buf_append(&all, slice_make(bytes, (size_t)n));
		ended = n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR);
		quiet = n > 0 ? 0 : quiet + 1;
	}
	if (ended)
		client_close(L);
	if (buf_len(&all) > 0 || c->fd != -1)
		push_slice(L, buf_slice(&all));
	else
		lua_pushnil(L);
	buf_close(&all);
	return 1;
}

void sim_open(lua_State *L)
{
	static const luaL_Reg functions[] = { { "new", simulator_new }, { NULL, NULL } };
	static const luaL_Reg methods[] = {
		{ "run", simulator_run }, { "settle", simulator_settle }, { "now", simulator_now }, { "truth", simulator_truth },
		{ "restart", simulator_restart }, { "connect", simulator_connect }, { "close", simulator_close }, { NULL, NULL },
	};
	static const luaL_Reg client_methods[] = {
		{ "send", client_send }, { "receive", client_receive }, { "close", client_close }, { NULL, NULL },
	};
	ami_make_type(L, SIM, methods, simulator_close);
	ami_make_type(L, CLIENT, client_methods, client_close);
	ami_add_functions(L, "sim", functions);
}
