/* The yardstick: the least that any C + libev + Lua 5.4 program must do with a stream of AMI events.
 *
 *   floor PORT lua|c|discard|await|ping [SOCKETS [WINDOW COUNT]]
 *
 * Logs in on each socket, says one Ping (which starts the generator's stream), reads, and splits every header. Then, for
 * each event:
 *   lua      one Lua function under lua_pcall with a reused userdata; it reads three headers
 *   c        three headers are looked up in C
 *   await    a Ping is written, and its answer counted
 *   discard  nothing, not even splitting: what the generator can do
 *   ping     no events: COUNT Pings, WINDOW of them on their way at once
 * Ends at the UserEvent FloodDone of every socket, or after COUNT Pings, and prints one JSON object: events, bytes,
 * seconds, cpu (user and system), delay_p50, delay_p99, delay_p999, delay_max (microseconds from SentAt to here, or round trip).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (256 * 1024)
#define TAIL (64 * 1024) /* of a cut frame */
#define HEADERS 256
#define DELAYS 1000000 /* microseconds that are told apart */

static const char ping[] = "Action: Ping\r\nActionID: floor-000000000000\r\n\r\n";

struct header {
	const char *name, *value;
	size_t name_len, value_len;
};

struct sock {
	ev_io io;
	int fd;
	char *tail; /* owned: the cut frame that waits for its rest */
	size_t tail_len;
};

enum mode { LUA, C, AWAIT, DISCARD, PING };

static struct {
	enum mode mode;
	char data[BUFFER]; /* shared: whatever a socket has is worked off at once */
	struct header headers[HEADERS];
	size_t count, sockets, done;
	unsigned long long events, bytes, answered, wanted, sent, ready;
	double started, cpu_started;
	lua_State *L;
	struct ev_loop *loop;
	size_t found; /* keeps the look-ups of the C mode alive */
	char out[BUFFER];
	size_t out_len;
	double sent_at[65536]; /* of Pings, by number */
	unsigned delays[DELAYS], delay_count, delay_max;
} me;

static double read_clock(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const struct header *get(const char *name, size_t len)
{
	for (size_t i = 0; i < me.count; i++)
		if (me.headers[i].name_len == len && strncasecmp(me.headers[i].name, name, len) == 0)
			return &me.headers[i];
	return NULL;
}

static int event_index(lua_State *L)
{
	size_t len;
	const char *name = lua_tolstring(L, 2, &len);
	const struct header *h = get(name, len);
	if (!h)
		return 0;
	lua_pushlstring(L, h->value, h->value_len);
	return 1;
}

static void delayed(double seconds)
{
	unsigned us = seconds > 0 ? (unsigned)(seconds * 1e6) : 0;
	me.delays[us < DELAYS ? us : DELAYS - 1]++;
	me.delay_count++;
	if (us > me.delay_max)
		me.delay_max = us;
}

static unsigned percentile(double share)
{
	double seen = 0;
	for (unsigned i = 0; i < DELAYS; i++)
		if ((seen += me.delays[i]) >= share * me.delay_count)
			return i;
	return DELAYS;
}

static void start_clocks(void)
{
	me.started = read_clock(CLOCK_MONOTONIC);
	me.cpu_started = read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

static void finish(void)
{
	double cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID) - me.cpu_started;
	printf("{\"events\":%llu,\"bytes\":%llu,\"seconds\":%.6f,\"cpu\":%.6f", me.mode == PING ? me.answered : me.events, me.bytes,
	       read_clock(CLOCK_MONOTONIC) - me.started, cpu);
	if (me.delay_count > 0)
		printf(",\"delay_p50\":%u,\"delay_p99\":%u,\"delay_p999\":%u,\"delay_max\":%u", percentile(0.5), percentile(0.99),
		       percentile(0.999), me.delay_max);
	printf("}\n");
	fflush(stdout);
	_exit(0);
}

/* ---- Pings ---- */

static void add_ping(void)
{
	if (me.out_len + sizeof ping > BUFFER) {
		fprintf(stderr, "floor: the server does not take its Pings\n");
		_exit(1);
	}
	memcpy(me.out + me.out_len, ping, sizeof ping - 1);
	char *digit = me.out + me.out_len + sizeof ping - 1 - 5;
	for (unsigned long long n = me.sent; n > 0; n /= 10)
		*digit-- = (char)('0' + n % 10);
	me.out_len += sizeof ping - 1;
	me.sent_at[me.sent++ % 65536] = me.mode == PING ? read_clock(CLOCK_MONOTONIC) : 0;
}

static void flush(int fd)
{
	while (me.out_len > 0) {
		ssize_t n = write(fd, me.out, me.out_len);
		if (n <= 0)
			return; /* what is left goes with the next ones */
		memmove(me.out, me.out + n, me.out_len - (size_t)n);
		me.out_len -= (size_t)n;
	}
}

static void take_response(void)
{
	const struct header *h = get("ActionID", 8);
	if (!h || me.mode < AWAIT)
		return;
	unsigned long long number = strtoull(h->value + h->value_len - 12, NULL, 10);
	me.answered++;
	if (me.mode != PING)
		return;
	delayed(read_clock(CLOCK_MONOTONIC) - me.sent_at[number % 65536]);
	if (me.answered == me.wanted)
		finish();
	if (me.sent < me.wanted)
		add_ping();
}

/* ---- events ---- */

static void take_event(void)
{
	const struct header *h;
	if (me.events++ == 0)
		start_clocks();
	switch (me.mode) {
	case LUA:
		lua_pushvalue(me.L, 1);
		lua_pushvalue(me.L, 2);
		if (lua_pcall(me.L, 1, 0, 0) != LUA_OK)
			lua_pop(me.L, 1);
		break;
	case AWAIT:
		add_ping();
		break;
	default:
		me.found += get("Event", 5) != NULL;
		me.found += get("Channel", 7) != NULL;
		me.found += get("Uniqueid", 8) != NULL;
	}
	/* The generator puts it last: events without it cost no search. */
	h = &me.headers[me.count - 1];
	if (h->name_len == 6 && memcmp(h->name, "SentAt", 6) == 0)
		delayed(read_clock(CLOCK_MONOTONIC) - (double)strtoull(h->value, NULL, 10) / 1e9);
	h = &me.headers[0];
	if (h->value_len != 9 || memcmp(h->value, "UserEvent", 9) != 0)
		return;
	if ((h = get("UserEvent", 9)) && h->value_len == 9 && memcmp(h->value, "FloodDone", 9) == 0 && ++me.done == me.sockets &&
	    me.mode != AWAIT)
		finish();
}

/* Splits the frame at `frame` that ends before `end` (its empty line left out). */
static void split(const char *frame, const char *end)
{
	me.count = 0;
	while (frame < end && me.count < HEADERS) {
		const char *lf = memchr(frame, '\n', (size_t)(end - frame));
		if (!lf)
			break;
		const char *colon = memchr(frame, ':', (size_t)(lf - frame));
		if (colon) {
			const char *value = colon + 1 + (colon[1] == ' ');
			me.headers[me.count++] = (struct header){ frame, value, (size_t)(colon - frame), (size_t)(lf - 1 - value) };
		}
		frame = lf + 1;
	}
	if (me.count == 0)
		return;
	if (me.headers[0].name_len == 5 && memcmp(me.headers[0].name, "Event", 5) == 0)
		take_event();
	else if (me.headers[0].name_len == 8)
		take_response();
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
	struct sock *s = w->data;
	(void)loop;
	(void)events;
	if (s->tail_len > 0)
		memcpy(me.data, s->tail, s->tail_len);
	ssize_t n = read(s->fd, me.data + s->tail_len, BUFFER - s->tail_len);
	if (n <= 0) {
		if (n == -1 && errno == EAGAIN)
			return;
		fprintf(stderr, "floor: the server closed the connection\n");
		_exit(1);
	}
	me.bytes += (unsigned long long)n;
	size_t at = 0, len = s->tail_len + (size_t)n;
	if (me.mode == DISCARD) {
		static const char done[] = "UserEvent: FloodDone";
		if (me.events++ == 0)
			start_clocks();
		/* It stands in the last bytes only. */
		size_t look = len < 512 ? len : 512;
		if (memmem(me.data + len - look, look, done, sizeof done - 1) && ++me.done == me.sockets)
			finish();
		return;
	}
	const char *end;
	while ((end = memmem(me.data + at, len - at, "\r\n\r\n", 4))) {
		split(me.data + at, end + 2);
		at = (size_t)(end + 4 - me.data);
	}
	s->tail_len = len - at;
	if (s->tail_len > TAIL) {
		fprintf(stderr, "floor: a frame of more than %d bytes\n", TAIL);
		_exit(1);
	}
	if (s->tail_len > 0) {
		if (!s->tail)
			s->tail = malloc(TAIL);
		memcpy(s->tail, me.data + at, s->tail_len);
	}
	if (me.out_len > 0)
		flush(s->fd);
	if (me.mode == AWAIT && me.done == me.sockets && me.answered >= me.events)
		finish();
}

static void open_lua(void)
{
	me.L = luaL_newstate();
	luaL_openlibs(me.L);
	if (luaL_dostring(me.L, "local n = 0 return function(ev) local a, b, c = ev.Event, ev.Channel, ev.Uniqueid n = n + 1 end")) {
		fprintf(stderr, "%s\n", lua_tostring(me.L, -1));
		exit(1);
	}
	lua_newuserdatauv(me.L, 1, 0);
	lua_newtable(me.L);
	lua_pushcfunction(me.L, event_index);
	lua_setfield(me.L, -2, "__index");
	lua_setmetatable(me.L, -2);
}

/* Connects and logs in, waiting: nothing is measured yet. */
static int log_in(unsigned short port)
{
	static const char login[] = "Action: Login\r\nUsername: ops\r\nSecret: bench-secret\r\n"
	                            "Events: system,call,dialplan,cdr,user\r\n\r\n";
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const int on = 1;
	char answer[4096];
	size_t got = 0;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd == -1 || connect(fd, (struct sockaddr *)&to, sizeof to) == -1 || write(fd, login, sizeof login - 1) == -1) {
		perror("floor: connect");
		exit(1);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	while (!memmem(answer, got, "FullyBooted", 11) || !memmem(answer + got - 4, 4, "\r\n\r\n", 4)) {
		ssize_t n = read(fd, answer + got, sizeof answer - got);
		if (n <= 0) {
			fprintf(stderr, "floor: the login failed\n");
			exit(1);
		}
		got += (size_t)n;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static enum mode mode_of(const char *name)
{
	static const char *const names[] = { "lua", "c", "await", "discard", "ping" };
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return (enum mode)i;
	fprintf(stderr, "usage: floor PORT lua|c|await|discard|ping [SOCKETS [WINDOW COUNT]]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	me.mode = mode_of(argc > 2 ? argv[2] : "");
	me.sockets = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	unsigned long long window = argc > 5 ? strtoull(argv[4], NULL, 10) : 1;
	me.wanted = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
	if (me.mode == LUA)
		open_lua();
	me.loop = ev_default_loop(EVFLAG_AUTO);
	struct sock *all = calloc(me.sockets, sizeof *all);
	for (size_t i = 0; i < me.sockets; i++) {
		all[i].fd = log_in((unsigned short)atoi(argv[1]));
		ev_io_init(&all[i].io, on_readable, all[i].fd, EV_READ);
		all[i].io.data = &all[i];
		ev_io_start(me.loop, &all[i].io);
	}
	if (me.mode == PING) {
		start_clocks();
		for (unsigned long long i = 0; i < window; i++)
			add_ping();
		flush(all[0].fd);
	} else {
		for (size_t i = 0; i < me.sockets; i++)
			if (write(all[i].fd, "Action: Ping\r\n\r\n", 16) != 16)
				return 1;
	}
	ev_run(me.loop, 0);
	return 0;
}
