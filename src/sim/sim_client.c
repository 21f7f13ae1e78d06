/* One connection: its bytes in and out, and the reading of messages as Asterisk does it (Q30 .. Q32). */
#include "sim/sim_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READS_PER_TURN 64 /* of at most SIM_LINE_MAX bytes, so that one client does not starve the others */

static void watch(struct sim_client *client)
{
	int want = client->held || client->closing ? 0 : EV_READ;

	if (buf_len(&client->out) > 0)
		want |= EV_WRITE;
	if ((client->io.events & (EV_READ | EV_WRITE)) == want && (ev_is_active(&client->io) || want == 0))
		return;
	ev_io_stop(client->sim->loop, &client->io);
	ev_io_set(&client->io, client->fd, want);
	if (want)
		ev_io_start(client->sim->loop, &client->io);
}

/* Dead clients are freed by the reaper; until then nothing is done for them. */
static void lose(struct sim_client *client)
{
	client->dead = true;
	ev_io_stop(client->sim->loop, &client->io);
	ev_timer_stop(client->sim->loop, &client->write_timer);
	ev_timer_stop(client->sim->loop, &client->hold_timer);
	ev_timer_stop(client->sim->loop, &client->pace);
}

void sim_client_wake(struct sim_client *client)
{
	if (client->dead)
		return;
	if (buf_len(&client->out) > 0 && !ev_is_active(&client->write_timer)) {
		client->write_timer.repeat = client->sim->options.write_timeout;
		ev_timer_again(client->sim->loop, &client->write_timer);
	} else if (buf_len(&client->out) == 0) {
		ev_timer_stop(client->sim->loop, &client->write_timer);
		if (client->closing) {
			/* Unread input would turn the close into a reset, which can overtake the last bytes. */
			char sink[4096];
			for (int i = 0; i < 16 && recv(client->fd, sink, sizeof(sink), MSG_DONTWAIT) > 0; i++)
				continue;
			lose(client);
			return;
		}
	}
	watch(client);
}

void sim_client_close(struct sim_client *client)
{
	client->closing = true;
	sim_client_wake(client);
}

void sim_client_send(struct sim_client *client, struct slice text)
{
	if (client->dead || client->closing)
		return;
	struct buf *out = client->held ? &client->waiting : &client->out;
	/* The bound is looked at where a frame ends: nothing is ever sent with a hole in it. */
	if (buf_append(out, text) == -1 || buf_len(out) > client->sim->options.max_backlog)
		lose(client);
	else if (!client->held)
		sim_client_wake(client);
}

static void flush(struct sim_client *client)
{
	for (;;) {
		struct slice bytes = buf_slice(&client->out);
		if (bytes.len == 0)
			break;
		ssize_t n = send(client->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
		if (n == -1) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				lose(client);
			return;
		}
		buf_consume(&client->out, (size_t)n);
		ev_timer_again(client->sim->loop, &client->write_timer);
		if ((size_t)n < bytes.len)
			return;
		if (client->streaming && !client->held && !client->closing)
			break;
	}
}

static void request_clear(struct sim_request *request)
{
	for (unsigned i = 0; i < request->count; i++)
		free(request->lines[i]);
	*request = (struct sim_request){ 0 };
}

static void take_line(struct sim_client *client, const char *line, size_t len)
{
	struct sim_request *request = &client->request;
	const char *nul = memchr(line, '\0', len);

	if (nul)
		len = (size_t)(nul - line);
	if (len > 0) {
		if (request->count < SIM_HEADERS_MAX)
			request->lines[request->count++] = mem_slicedup(slice_make(line, len));
		else
			request->too_many = true;
		return;
	}
	/* An empty line ends the message, also one with nothing before it: Asterisk answers that too. */
	struct sim_request whole = *request;
	*request = (struct sim_request){ 0 };
	sim_session_request(client, &whole);
	request_clear(&whole);
}

/* Takes the lines out of the buffer as far as they are whole. */
static void parse(struct sim_client *client)
{
	while (!client->held && !client->closing && !client->dead) {
		const char *lf = memchr(client->in, '\n', client->in_len);
		char line[SIM_LINE_MAX];
		if (!lf) {
			if (client->in_len >= SIM_LINE_MAX) {
				/* As Asterisk: the whole buffer goes, and the rest of the line is read as a line of its own. */
				client->in_len = 0;
				client->request.too_long = true;
			}
			return;
		}
		size_t used = (size_t)(lf - client->in) + 1, len = used - 1;
		if (len > 0 && client->in[len - 1] == '\r')
			len--;
		memcpy(line, client->in, len);
		client->in_len -= used;
		memmove(client->in, client->in + used, client->in_len);
		take_line(client, line, len);
	}
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
	struct sim_client *client = io->data;
	(void)loop;

	if (events & EV_WRITE) {
		flush(client);
		if (!client->dead)
			sim_stream_pump(client);
	}
	if (!(events & EV_READ) || client->dead) {
		sim_client_wake(client);
		return;
	}
	for (int i = 0; i < READS_PER_TURN && !client->held && !client->closing && !client->dead; i++) {
		ssize_t n = recv(client->fd, client->in + client->in_len, SIM_LINE_MAX - client->in_len, 0);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n == -1) {
			lose(client);
			break;
		}
		if (n == 0) {
			sim_client_close(client);
			break;
		}
		client->in_len += (size_t)n;
		parse(client);
	}
	sim_client_wake(client);
}

/* Q50: a client that takes nothing is closed, in the middle of a frame. */
static void on_write_timeout(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)events;
	lose(timer->data);
}

void sim_client_hold(struct sim_client *client)
{
	client->held = true;
	watch(client);
}

void sim_client_release(struct sim_client *client)
{
	if (client->dead)
		return;
	client->held = false;
	if (buf_append(&client->out, buf_slice(&client->waiting)) == -1) {
		lose(client);
		return;
	}
	buf_close(&client->waiting);
	parse(client);
	if (!client->dead)
		sim_stream_pump(client);
	sim_client_wake(client);
}

struct sim_client *sim_client_find(struct sim *sim, uint64_t number)
{
	list_each(it, &sim->clients) {
		struct sim_client *client = list_entry(it, struct sim_client, node);
		if (client->number == number)
			return client->dead || client->closing ? NULL : client;
	}
	return NULL;
}

void sim_client_accept(struct sim *sim, int fd, const char *remote)
{
	struct sim_client *client = mem_zalloc(sizeof(*client));
	int one = 1;

	client->sim = sim;
	client->fd = fd;
	client->number = ++sim->client_number;
	client->since = clock_wall();
	snprintf(client->remote, sizeof(client->remote), "%s", remote);
	snprintf(client->session_id, sizeof(client->session_id), "0x7f35%08x", (unsigned)client->number * 0x1310u);
	buf_init(&client->out, 0);
	buf_init(&client->waiting, 0);
	/* Only speed is lost without it. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	list_append(&sim->clients, &client->node);
	sim->client_count++;
	ev_io_init(&client->io, on_io, fd, EV_READ);
	client->io.data = client;
	ev_init(&client->write_timer, on_write_timeout);
	client->write_timer.data = client;
	ev_init(&client->hold_timer, NULL);
	client->hold_timer.data = client;
	ev_init(&client->pace, NULL);
	client->pace.data = client;
	ev_io_start(sim->loop, &client->io);
	sim_session_begin(client);
}

void sim_client_destroy(struct sim_client **client_ptr)
{
	struct sim_client *client = *client_ptr;

	*client_ptr = NULL;
	lose(client);
	list_remove(&client->node);
	client->sim->client_count--;
	close(client->fd);
	request_clear(&client->request);
	for (unsigned i = 0; i < client->filter_count; i++)
		regfree(&client->filters[i].regex);
	buf_close(&client->out);
	buf_close(&client->waiting);
	free(client);
}
