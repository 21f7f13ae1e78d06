#include "sim/sim_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ami/catalogue.h"

#define ACCEPT_PAUSE 0.5 /* s without listening when descriptors are out */

void sim_options_init(struct sim_options *options)
{
	*options = (struct sim_options){
		.host = "127.0.0.1",
		.port = 5038,
		.user = "ops",
		.secret = "secret",
		.ami_version = "13.0.0",
		.seed = 1,
		.max_clients = 1024,
		.write_timeout = 10,
		.max_backlog = (size_t)64 << 20,
		.max_calls = 10000,
		.speed = 1,
	};
}

/* splitmix64: small, and the same on every machine. */
uint64_t sim_random(uint64_t *state, uint64_t below)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % below;
}

double sim_random_range(uint64_t *state, double low, double high)
{
	return low + (high - low) * ((double)sim_random(state, 1000000) / 1e6);
}

static void describe(const struct sockaddr_storage *address, char *text, size_t size)
{
	char ip[INET6_ADDRSTRLEN] = "?";
	uint16_t port;

	if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)address;
		inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof(ip));
		port = ntohs(v6->sin6_port);
	} else {
		const struct sockaddr_in *v4 = (const void *)address;
		inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof(ip));
		port = ntohs(v4->sin_port);
	}
	snprintf(text, size, "%s/TCP/%s/%u", address->ss_family == AF_INET6 ? "IPV6" : "IPV4", ip, (unsigned)port);
}

static void on_accept_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct sim *sim = timer->data;
	(void)events;
	ev_timer_stop(loop, timer);
	ev_io_start(loop, &sim->accept_io);
}

static void on_accept(struct ev_loop *loop, ev_io *io, int events)
{
	struct sim *sim = io->data;
	(void)events;

	for (int i = 0; i < 64; i++) {
		struct sockaddr_storage address = { 0 };
		socklen_t len = sizeof(address);
		char remote[64];
		int fd = accept4(sim->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd == -1) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
				ev_io_stop(loop, io);
				ev_timer_again(loop, &sim->accept_pause);
				return;
			}
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				return;
			continue; /* that one connection was lost before we took it */
		}
		if (sim_is_down(sim) || sim->client_count >= sim->options.max_clients) {
			close(fd); /* Q01: too many sessions, and no banner */
			continue;
		}
		describe(&address, remote, sizeof(remote));
		sim_client_accept(sim, fd, remote);
	}
}

/* Runs once in each turn of the loop, when no callback holds a pointer to what died in it. */
static void on_reap(struct ev_loop *loop, ev_prepare *reaper, int events)
{
	struct sim *sim = reaper->data;
	(void)loop, (void)events;

	list_each_safe(it, &sim->clients) {
		struct sim_client *client = list_entry(it, struct sim_client, node);
		if (client->dead)
			sim_client_destroy(&client);
	}
	list_each_safe(it, &sim->over) {
		struct sim_call *call = list_entry(it, struct sim_call, node);
		sim_call_destroy(&call);
	}
}

int sim_attach(struct sim *sim)
{
	int ends[2];

	if (sim_is_down(sim) || sim->client_count >= sim->options.max_clients ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == -1)
		return -1;
	sim_client_accept(sim, ends[0], "IPV4/TCP/127.0.0.1/0");
	return ends[1];
}

static int listen_on(struct sim *sim, struct err *err)
{
	struct sockaddr_storage address = { 0 };
	struct sockaddr_in *v4 = (void *)&address;
	struct sockaddr_in6 *v6 = (void *)&address;
	socklen_t len;
	const struct sim_options *o = &sim->options;
	int one = 1;

	if (inet_pton(AF_INET, o->host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(o->port);
		len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, o->host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(o->port);
		len = sizeof(*v6);
	} else {
		return err_set(err, ERR_INVALID, "'%s' is no IP address; give one like 127.0.0.1 or ::1", o->host);
	}
	sim->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (sim->fd == -1)
		return err_system(err, "cannot make a socket");
	/* Failing here only means that the port cannot be used again at once. */
	(void)setsockopt(sim->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(sim->fd, (struct sockaddr *)&address, len) == -1) {
		if (errno == EADDRINUSE)
			return err_set(err, ERR_SYSTEM, "port %u of %s is in use; stop what listens there or give another port (0: any)",
			               (unsigned)o->port, o->host);
		return err_system(err, "cannot listen on %s port %u", o->host, (unsigned)o->port);
	}
	if (listen(sim->fd, 512) == -1)
		return err_system(err, "cannot listen on %s port %u", o->host, (unsigned)o->port);
	len = sizeof(address);
	if (getsockname(sim->fd, (struct sockaddr *)&address, &len) == -1)
		return err_system(err, "cannot read the socket's port");
	sim->port = ntohs(address.ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port);
	return 0;
}

struct sim *sim_create(struct ev_loop *loop, const struct sim_options *options, struct err *err)
{
	struct sim *sim = mem_zalloc(sizeof(*sim));

	sim->loop = loop;
	sim->options = *options;
	sim->fd = sim->truth_fd = -1;
	sim->options.truth |= options->truth_path != NULL;
	sim->random = options->seed;
	sim->bridge_random = options->seed ^ UINT64_C(0x5bf03635);
	sim->late_random = options->seed ^ UINT64_C(0x27d4eb2f);
	sim_time_init(sim);
	sim->ami_version = catalogue_ami_version(slice_cstr(options->ami_version));
	list_init(&sim->clients);
	list_init(&sim->channels);
	list_init(&sim->calls);
	list_init(&sim->over);
	list_init(&sim->bridges);
	list_init(&sim->askers);
	map_init(&sim->channel_names, true);
	map_init(&sim->globals, false);
	map_init(&sim->database, false);
	sim_events_init(sim);
	buf_init(&sim->capture, 0);
	sim_endpoints_init(sim);
	sim_queues_init(sim);
	sim_conferences_init(sim);
	sim_restart_init(sim);
	ev_init(&sim->accept_pause, on_accept_pause);
	sim->accept_pause.repeat = ACCEPT_PAUSE;
	sim->accept_pause.data = sim;
	ev_io_init(&sim->accept_io, on_accept, -1, EV_READ);
	ev_prepare_init(&sim->reaper, on_reap);
	if ((options->play && sim_play_load(sim, options->play, err) == -1) || listen_on(sim, err) == -1 ||
	    (options->truth_path && sim_ask_listen(sim, err) == -1)) {
		sim_destroy(&sim);
		return NULL;
	}
	if (options->flood)
		sim->flood = sim_flood_create(options->stamp);
	ev_io_set(&sim->accept_io, sim->fd, EV_READ);
	sim->accept_io.data = sim;
	ev_io_start(loop, &sim->accept_io);
	sim->reaper.data = sim;
	ev_prepare_start(loop, &sim->reaper);
	sim_traffic_start(sim);
	sim_endpoints_start(sim);
	return sim;
}

static void free_values(struct map *map)
{
	struct map_entry *entry;
	for (size_t i = 0; (entry = map_next(map, &i));)
		free(entry->value);
	map_close(map);
}

void sim_destroy(struct sim **sim_ptr)
{
	struct sim *sim = *sim_ptr;

	if (!sim)
		return;
	*sim_ptr = NULL;
	ev_io_stop(sim->loop, &sim->accept_io);
	ev_timer_stop(sim->loop, &sim->accept_pause);
	ev_prepare_stop(sim->loop, &sim->reaper);
	sim_calls_stop(sim);
	list_each_safe(it, &sim->clients) {
		struct sim_client *client = list_entry(it, struct sim_client, node);
		sim_client_destroy(&client);
	}
	sim_ask_close(sim);
	sim_received_close(sim);
	sim_queues_close(sim);
	sim_bridges_close(sim);
	sim_endpoints_close(sim);
	sim_events_drop(sim);
	sim_time_close(sim);
	free(sim->ended);
	sim_flood_destroy(&sim->flood);
	free_values(&sim->globals);
	free_values(&sim->database);
	map_close(&sim->channel_names);
	buf_close(&sim->event);
	buf_close(&sim->capture);
	if (sim->fd != -1)
		close(sim->fd);
	free(sim);
}

uint16_t sim_port(const struct sim *sim)
{
	return sim->port;
}
