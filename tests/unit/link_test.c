/* Links on a real loop, against a small server in the same process: what needs neither rules nor a daemon. */
#include <arpa/inet.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "link/link.h"
#include "observe/log.h"

#define PATIENCE 20 /* s, for what must happen */
#define BACKLOG_EVENTS 100
#define EVENT "Event: Newchannel\r\nChannel: SIP/7\r\n\r\n"

/* ---- a server that logs in whom it does not turn away ---- */

struct server {
	struct ev_loop *loop;
	int fd, client; /* -1: none */
	uint16_t port;
	unsigned refusals; /* so many connections are closed at once */
	double lives;      /* s of a session; 0: until the other side ends it */
	bool silent;       /* sends nothing behind the login's answer, else an event at the end of its life */
	bool mute;         /* sends its banner only, to many at once */
	int muted[64];
	unsigned muted_count;
	bool floods;       /* sends more events than fit, with the login's answer */
	ev_io accepts, reads;
	ev_timer end;
	char input[4096];
	size_t len;
};

static void drop_client(struct server *s)
{
	ev_io_stop(s->loop, &s->reads);
	ev_timer_stop(s->loop, &s->end);
	if (s->client >= 0)
		close(s->client);
	s->client = -1;
	s->len = 0;
}

static void on_end(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct server *s = timer->data;
	if (!s->silent && s->client >= 0)
		CHECK(write(s->client, EVENT, sizeof EVENT - 1) == sizeof EVENT - 1);
	drop_client(s);
}

static void on_input(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop, (void)events;
	struct server *s = io->data;
	char answer[256], id[128];
	ssize_t n = read(s->client, s->input + s->len, sizeof s->input - 1 - s->len);
	if (n <= 0) {
		drop_client(s);
		return;
	}
	s->len += (size_t)n;
	s->input[s->len] = '\0';
	const char *found = strstr(s->input, "ActionID: ");
	if (!strstr(s->input, "\r\n\r\n") || !found || sscanf(found, "ActionID: %127s", id) != 1)
		return;
	int len = snprintf(answer, sizeof answer, "Response: Success\r\nActionID: %s\r\n\r\n", id);
	CHECK(write(s->client, answer, (size_t)len) == len);
	s->len = 0;
	for (int i = 0; s->floods && i < 2 * BACKLOG_EVENTS; i++)
		CHECK(write(s->client, EVENT, sizeof EVENT - 1) == sizeof EVENT - 1);
	if (s->lives > 0) {
		ev_now_update(s->loop);
		ev_timer_set(&s->end, s->lives, 0);
		ev_timer_start(s->loop, &s->end);
	}
}

static void on_connection(struct ev_loop *loop, ev_io *io, int events)
{
	(void)events;
	struct server *s = io->data;
	static const char banner[] = "Asterisk Call Manager/9.0.0\r\n";
	int client = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (client == -1)
		return;
	if (s->refusals > 0) {
		s->refusals--;
		close(client);
		return;
	}
	CHECK(write(client, banner, sizeof banner - 1) == sizeof banner - 1);
	if (s->mute) {
		s->muted[s->muted_count++ % 64] = client;
		return;
	}
	drop_client(s);
	s->client = client;
	ev_io_set(&s->reads, client, EV_READ);
	ev_io_start(loop, &s->reads);
}

static void server_open(struct server *s, struct ev_loop *loop)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof address;

	*s = (struct server){ .loop = loop, .client = -1 };
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(s->fd, (struct sockaddr *)&address, len) || listen(s->fd, 64) || getsockname(s->fd, (struct sockaddr *)&address, &len))
		abort();
	s->port = ntohs(address.sin_port);
	ev_io_init(&s->accepts, on_connection, s->fd, EV_READ);
	ev_io_init(&s->reads, on_input, -1, EV_READ);
	ev_timer_init(&s->end, on_end, 0, 0);
	s->accepts.data = s->reads.data = s->end.data = s;
	ev_io_start(loop, &s->accepts);
}

static void server_close(struct server *s)
{
	for (unsigned i = 0; i < s->muted_count; i++)
		close(s->muted[i]);
	drop_client(s);
	ev_io_stop(s->loop, &s->accepts);
	close(s->fd);
}

/* ---- a link, and what its owner hears ---- */

struct bench {
	struct ev_loop *loop;
	struct metrics *metrics;
	struct link_hub *hub;
	struct link *link;
	struct server server;
	unsigned ready, lost, shed, stopped;
	bool lags;
	struct frame_cursor cursor;
	uint64_t stamp;
	ev_idle spin;
};

/* Everything waits: one cursor reads the log, and never moves. */
static unsigned on_event(void *ctx, struct link *link, const struct message *message, double at, uint64_t *stamp)
{
	struct bench *b = ctx;
	(void)message, (void)at;
	if (b->lags && !frame_cursor_is_open(&b->cursor))
		frame_cursor_open(&b->cursor, link_log(link), &(struct frame_cursor_options){ .max_events = BACKLOG_EVENTS, .max_bytes = 1 << 20 });
	*stamp = ++b->stamp;
	return b->lags ? LINK_EVENT_WAITS : 0;
}

static void on_shed(void *ctx, struct link *link, void *cursor, struct slice name)
{
	struct bench *b = ctx;
	(void)link, (void)cursor, (void)name;
	b->shed++;
}

static void on_completed(void *ctx, struct link *link, struct reply *reply)
{
	(void)ctx, (void)link;
	reply_free(&reply);
}

static void on_ready(void *ctx, struct link *link)
{
	struct bench *b = ctx;
	(void)link;
	b->ready++;
}

static void on_lost(void *ctx, struct link *link, const char *reason)
{
	struct bench *b = ctx;
	(void)link, (void)reason;
	b->lost++;
}

static void on_gap(void *ctx, struct link *link, uint64_t count, const char *names)
{
	(void)ctx, (void)link, (void)count, (void)names;
}

static void on_stopped(void *ctx, struct link *link)
{
	struct bench *b = ctx;
	(void)link;
	b->stopped++;
}

static void on_spin(struct ev_loop *loop, ev_idle *idle, int events)
{
	(void)loop, (void)idle, (void)events;
}

static void bench_open_paced(struct bench *b, uint32_t in_flight, uint32_t per_turn)
{
	struct err err;
	*b = (struct bench){ .loop = ev_loop_new(EVFLAG_AUTO), .metrics = metrics_create() };
	b->hub = link_hub_create(&(struct link_hub_options){ .loop = b->loop, .metrics = b->metrics, .connects_in_flight = in_flight,
	                                                     .connects_per_turn = per_turn, .rng_fixed = true }, &err);
	if (!b->hub)
		abort();
	server_open(&b->server, b->loop);
	ev_idle_init(&b->spin, on_spin);
}

static void bench_open(struct bench *b)
{
	bench_open_paced(b, 8, 8);
}

/* How the link reconnects; `wait`: ceiling of the wait after a failure. Seconds. */
struct pace {
	double wait, longest, success_after, read; /* longest 0: as `wait` */
	uint32_t failures;
	double open;
	uint32_t probes;
};

#define LIMITS .frame = 65536, .headers = 256, .backlog_events = BACKLOG_EVENTS, .backlog_bytes = 1 << 20, .kept_bytes = 1 << 20, \
	.write_buffer = 65536, .pending = 100, .list_events = 100, .list_bytes = 1 << 20

static struct link *start_link(struct bench *b, const struct pace *pace)
{
	const struct link_owner owner = { .ctx = b, .event = on_event, .shed = on_shed, .completed = on_completed, .ready = on_ready, .lost = on_lost,
	                                  .gap = on_gap, .stopped = on_stopped };
	struct link_config config = {
		.name = "pbx1", .host = "127.0.0.1", .port = b->server.port, .username = "operator", .secret = "wombat-4711", .plain_login = true,
		.timeouts = { .resolve = 5, .connect = 5, .tls = 5, .banner = 5, .login = 5, .action = 5, .drain = 5,
		              .read = pace->read },
		.reconnect = { .first = pace->wait, .max = pace->longest > 0 ? pace->longest : pace->wait, .auth_first = 1, .auth_max = 1, .success_after = pace->success_after,
		               .breaker_failures = pace->failures, .breaker_open = pace->open, .breaker_probes = pace->probes },
		.limits = { LIMITS },
	};
	struct err err;
	struct link *link = link_create(b->hub, &config, &owner, &err);
	if (!link)
		abort();
	link_start(link);
	return link;
}

static void bench_start(struct bench *b, const struct pace *pace)
{
	b->link = start_link(b, pace);
}

static void bench_close(struct bench *b)
{
	link_destroy(&b->link);
	link_hub_destroy(&b->hub);
	server_close(&b->server);
	metrics_destroy(&b->metrics);
	ev_idle_stop(b->loop, &b->spin);
	ev_loop_destroy(b->loop);
}

/* Turns the loop until `*counter` is at least `wanted`; false when that takes too long. */
static bool await(struct bench *b, const unsigned *counter, unsigned wanted)
{
	uint64_t until = clock_mono_ns() + PATIENCE * CLOCK_NS_PER_S;
	while (*counter < wanted && clock_mono_ns() < until)
		ev_run(b->loop, EVRUN_ONCE);
	return *counter >= wanted;
}

static const char *breaker(const struct bench *b)
{
	struct link_view view;
	link_view(b->link, &view);
	return view.breaker;
}

/* ---- tests ---- */

/* Each session that lasts counts, though it ends one day. */
static void breaker_closes_after_its_probes(void)
{
	struct bench b;
	bench_open(&b);
	b.server.refusals = 1;
	b.server.lives = 0.03;
	bench_start(&b, &(struct pace){ .wait = 0.001, .success_after = 0.02, .failures = 1, .open = 0.01, .probes = 3 });
	for (unsigned n = 1; n <= 3; n++) {
		CHECK(await(&b, &b.ready, n));
		CHECK_NAMED(strcmp(breaker(&b), "half_open") == 0, breaker(&b));
		CHECK(await(&b, &b.lost, n));
		CHECK_NAMED(strcmp(breaker(&b), n < 3 ? "half_open" : "closed") == 0, breaker(&b));
	}
	bench_close(&b);
}

static void a_login_is_success_enough_when_nothing_more_is_asked(void)
{
	struct bench b;
	bench_open(&b);
	b.server.refusals = 1;
	bench_start(&b, &(struct pace){ .wait = 0.001, .failures = 1, .open = 0.01, .probes = 1 });
	CHECK(await(&b, &b.ready, 1));
	CHECK_NAMED(strcmp(breaker(&b), "closed") == 0, breaker(&b));
	bench_close(&b);
}

/* A server that takes logins and drops them at once has not come back. */
static void breaker_opens_again_for_a_session_that_does_not_last(void)
{
	struct bench b;
	bench_open(&b);
	b.server.refusals = 1;
	b.server.lives = 0.01;
	bench_start(&b, &(struct pace){ .wait = 0.001, .success_after = 1, .failures = 1, .open = 0.02, .probes = 1 });
	CHECK(await(&b, &b.lost, 1));
	CHECK_NAMED(strcmp(breaker(&b), "open") == 0, breaker(&b));
	bench_close(&b);
}

/* Nor has one that takes logins and says nothing more, however long the silence is waited for. */
static void silence_behind_the_login_is_no_success(void)
{
	struct bench b;
	struct link_view view;
	bench_open(&b);
	b.server.silent = true;
	bench_start(&b, &(struct pace){ .wait = 0.001, .success_after = 0.01, .read = 0.05, .failures = 3, .open = 60, .probes = 1 });
	CHECK(await(&b, &b.lost, 3));
	link_view(b.link, &view);
	CHECK_NAMED(strcmp(view.breaker, "open") == 0, view.breaker);
	CHECK_NAMED(strcmp(view.last_reason, "read_timeout") == 0, view.last_reason);
	bench_close(&b);
}

/* 1 ms, then twice as long each time: twenty sessions would take minutes. */
static void waits_grow_while_sessions_do_not_last(void)
{
	struct bench b;
	bench_open(&b);
	ev_idle_start(b.loop, &b.spin);
	b.server.lives = 1e-6;
	bench_start(&b, &(struct pace){ .wait = 0.001, .longest = 3600, .success_after = 10 });
	uint64_t until = clock_mono_ns() + CLOCK_NS_PER_S / 2;
	while (clock_mono_ns() < until)
		ev_run(b.loop, EVRUN_ONCE);
	CHECK(b.ready >= 2);
	CHECK(b.ready <= 20);
	bench_close(&b);
}

static void waits_begin_again_behind_a_session_that_lasted(void)
{
	struct bench b;
	bench_open(&b);
	b.server.lives = 0.012;
	bench_start(&b, &(struct pace){ .wait = 0.001, .longest = 3600, .success_after = 0.01 });
	CHECK(await(&b, &b.lost, 25));
	bench_close(&b);
}

/* The loop's timers ring a little early: a try begun then is the probe all the same. */
static void breaker_is_never_open_while_a_session_stands(void)
{
	unsigned wrong = 0;
	for (int n = 0; n < 100; n++) {
		struct bench b;
		bench_open(&b);
		ev_idle_start(b.loop, &b.spin);
		b.server.refusals = 1;
		bench_start(&b, &(struct pace){ .wait = 0.0001, .success_after = 1, .failures = 1, .open = 0.002, .probes = 1 });
		CHECK(await(&b, &b.ready, 1));
		wrong += strcmp(breaker(&b), "half_open") != 0;
		bench_close(&b);
	}
	CHECK(wrong == 0);
}

static void ten_thousand_failures_cost_no_memory(void)
{
	struct bench b;
	struct link_view view;
	size_t before = 0;
	uint64_t until = clock_mono_ns() + 3 * PATIENCE * CLOCK_NS_PER_S;
	bench_open(&b);
	ev_idle_start(b.loop, &b.spin);
	bench_start(&b, &(struct pace){ .wait = 0.0001 });
	/* Nobody listens any more. */
	ev_io_stop(b.loop, &b.server.accepts);
	close(b.server.fd);
	b.server.fd = -1;
	for (view.failures = 0; view.failures < 11000 && clock_mono_ns() < until; link_view(b.link, &view)) {
		ev_run(b.loop, EVRUN_ONCE);
		if (before == 0 && view.failures >= 1000)
			before = mallinfo2().uordblks;
	}
	CHECK(view.failures >= 11000);
	CHECK(strcmp(view.last_reason, "refused") == 0);
	/* The last text's length may differ. */
	CHECK(mallinfo2().uordblks <= before + 4096);
	bench_close(&b);
}

static bool renders(struct bench *b, const char *text)
{
	struct buf out;
	buf_init(&out, 0);
	metrics_render(b->metrics, &out);
	bool found = strstr(buf_cstr(&out), text) != NULL;
	buf_close(&out);
	return found;
}

static void nothing_is_counted_of_a_link_that_is_gone(void)
{
	struct bench b;
	bench_open(&b);
	b.server.refusals = 1;
	b.server.floods = true;
	b.lags = true;
	bench_start(&b, &(struct pace){ .wait = 0.001 });
	CHECK(await(&b, &b.shed, 1));
	CHECK(renders(&b, "hookswitch_server_shed_total{server=\"pbx1\",event=\"Newchannel\"}"));
	CHECK(renders(&b, "hookswitch_server_failures_total{server=\"pbx1\",reason=\"eof\"} 1\n"));
	link_destroy(&b.link);
	CHECK(!renders(&b, "pbx1"));
	bench_close(&b);
}

/* What the hub would have done for it in its next turn is forgotten with it. */
static void a_link_may_go_when_its_stop_was_asked_for(void)
{
	for (int n = 0; n < 2; n++) {
		struct bench b;
		bench_open(&b);
		ev_idle_start(b.loop, &b.spin);
		bench_start(&b, &(struct pace){ .wait = 60 });
		CHECK(await(&b, &b.ready, 1));
		link_stop(b.link, "removed");
		link_destroy(&b.link);
		for (int i = 0; i < 10; i++)
			ev_run(b.loop, EVRUN_NOWAIT);
		CHECK(b.stopped == 0);
		bench_start(&b, &(struct pace){ .wait = 60 });
		CHECK(await(&b, &b.ready, 2));
		bench_close(&b);
	}
}

#define MANY 12

/* Links that are past waiting, by state. */
static unsigned connecting(struct link *const links[MANY])
{
	unsigned count = 0;
	for (int i = 0; i < MANY; i++)
		count += link_state(links[i]) != LINK_WAITING;
	return count;
}

static void only_so_many_connects_begin_in_a_turn(void)
{
	struct bench b;
	struct link *links[MANY];
	bench_open_paced(&b, 100, 2);
	b.server.mute = true;
	ev_idle_start(b.loop, &b.spin);
	for (int i = 0; i < MANY; i++)
		links[i] = start_link(&b, &(struct pace){ .wait = 60 });
	for (unsigned turn = 0, before = 0; before < MANY && turn < 1000; turn++) {
		ev_run(b.loop, EVRUN_NOWAIT);
		unsigned now = connecting(links);
		CHECK(now <= before + 2);
		before = now;
	}
	CHECK(connecting(links) == MANY);
	for (int i = 0; i < MANY; i++)
		link_destroy(&links[i]);
	bench_close(&b);
}

/* Asterisk counts a session among its unauthenticated ones until then. */
static void a_connect_is_in_flight_until_its_login(void)
{
	struct bench b;
	struct link *links[MANY];
	bench_open_paced(&b, 3, 100);
	b.server.mute = true;
	ev_idle_start(b.loop, &b.spin);
	for (int i = 0; i < MANY; i++)
		links[i] = start_link(&b, &(struct pace){ .wait = 60 });
	uint64_t until = clock_mono_ns() + PATIENCE * CLOCK_NS_PER_S;
	unsigned waiting_for_login = 0;
	while (waiting_for_login < 3 && clock_mono_ns() < until) {
		ev_run(b.loop, EVRUN_NOWAIT);
		waiting_for_login = 0;
		for (int i = 0; i < MANY; i++)
			waiting_for_login += link_state(links[i]) == LINK_LOGIN;
	}
	for (int turn = 0; turn < 100; turn++)
		ev_run(b.loop, EVRUN_NOWAIT);
	CHECK(connecting(links) == 3);
	/* Nobody knows when the others' turn comes: "now", not the end of time. */
	for (int i = 0; i < MANY; i++) {
		struct link_view view;
		link_view(links[i], &view);
		CHECK(view.next_try == (link_state(links[i]) == LINK_WAITING ? 0 : -1));
	}
	/* One that fails makes way for the next. */
	for (int i = 0; i < MANY; i++)
		if (link_state(links[i]) == LINK_LOGIN) {
			link_destroy(&links[i]);
			links[i] = start_link(&b, &(struct pace){ .wait = 60 });
			break;
		}
	for (int turn = 0; turn < 10; turn++)
		ev_run(b.loop, EVRUN_NOWAIT);
	CHECK(connecting(links) == 3);
	for (int i = 0; i < MANY; i++)
		link_destroy(&links[i]);
	bench_close(&b);
}

/* The configuration's check says the same first; here nobody has to have asked it. */
static void a_secret_for_everybody_to_read_is_refused(void)
{
	static const struct {
		const char *host, *username, *secret;
		bool plain, tls, allow;
		const char *why; /* NULL: good */
	} cases[] = {
		{ "192.0.2.1", "u", "wombat-4711", true, false, false, "would send the secret readable over the network to 192.0.2.1" },
		{ "2001:db8::1", "u", "wombat-4711", true, false, false, "would send the secret readable over the network" },
		{ "pbx.example", "u", "wombat-4711", true, false, false, "would send the secret readable over the network to pbx.example" },
		{ "0.0.0.0", "u", "wombat-4711", true, false, false, "would send the secret readable over the network" },
		{ "192.0.2.1", "u", "wombat-4711", true, false, true, NULL },
		{ "192.0.2.1", "u", "wombat-4711", true, true, false, NULL },
		{ "192.0.2.1", "u", "wombat-4711", false, false, false, NULL },
		{ "127.8.8.8", "u", "wombat-4711", true, false, false, NULL },
		{ "::1", "u", "wombat-4711", true, false, false, NULL },
		{ "LocalHost", "u", "wombat-4711", true, false, false, NULL },
		{ "127.0.0.1", "", "wombat-4711", false, false, false, "username and secret must be set" },
		{ "127.0.0.1", NULL, "wombat-4711", false, false, false, "username and secret must be set" },
		{ "127.0.0.1", "u", NULL, false, false, false, "username and secret must be set" },
		{ "127.0.0.1", "u", "wombat\r\n4711", false, false, false, "cannot be sent to Asterisk" },
		{ "127.0.0.1", "u\nSecret: x", "wombat-4711", false, false, false, "cannot be sent to Asterisk" },
	};
	const struct link_owner owner = { .ctx = NULL };
	struct bench b;

	bench_open(&b);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct link_config config = { .name = "pbx1", .host = cases[i].host, .port = 5038, .username = cases[i].username,
			                      .secret = cases[i].secret, .plain_login = cases[i].plain, .allow_plaintext = cases[i].allow,
			                      .tls = { .enabled = cases[i].tls }, .limits = { LIMITS } };
		struct err err = { .code = ERR_NONE };
		struct link *link = link_create(b.hub, &config, &owner, &err);
		if (cases[i].why) {
			CHECK_NAMED(!link && err.code == ERR_INVALID && strstr(err.text, cases[i].why), cases[i].host);
			CHECK(!strstr(err.text, "4711"));
		} else {
			CHECK_NAMED(link, err.text);
		}
		link_destroy(&link);
	}
	bench_close(&b);
}

int main(void)
{
	log_set_level(LOG_LEVELS);
	a_secret_for_everybody_to_read_is_refused();
	breaker_closes_after_its_probes();
	a_login_is_success_enough_when_nothing_more_is_asked();
	breaker_opens_again_for_a_session_that_does_not_last();
	silence_behind_the_login_is_no_success();
	waits_grow_while_sessions_do_not_last();
	waits_begin_again_behind_a_session_that_lasted();
	breaker_is_never_open_while_a_session_stands();
	a_link_may_go_when_its_stop_was_asked_for();
	only_so_many_connects_begin_in_a_turn();
	a_connect_is_in_flight_until_its_login();
	ten_thousand_failures_cost_no_memory();
	nothing_is_counted_of_a_link_that_is_gone();
	return check_report();
}
