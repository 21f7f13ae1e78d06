/* Streams for one client: a capture's frames here, a flood in sim_flood.c; both paced here. */
#include "sim/sim_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PACE_TICK 0.001 /* s between looks at what is due */
#define CAPTURE_MAX ((size_t)1 << 30)

/* Without the banner and the answer to the login: both are the simulator's own. */
static void strip(struct buf *capture)
{
	struct slice all = buf_slice(capture), rest;
	ptrdiff_t at = slice_find(all, SLICE("\n"));

	if (at >= 0 && slice_find(slice_make(all.ptr, (size_t)at), SLICE("Call Manager/")) >= 0)
		buf_consume(capture, (size_t)at + 1);
	rest = buf_slice(capture);
	if (slice_starts_with_nocase(rest, SLICE("Response:")) && (at = slice_find(rest, SLICE("\r\n\r\n"))) >= 0)
		buf_consume(capture, (size_t)at + 4);
}

int sim_play_load(struct sim *sim, const char *path, struct err *err)
{
	FILE *file = fopen(path, "rb");
	int result = 0;
	size_t n;

	if (!file)
		return err_system(err, "cannot read the capture %s", path);
	do {
		char *to = buf_len(&sim->capture) < CAPTURE_MAX ? buf_reserve(&sim->capture, 65536) : NULL;
		if (!to) {
			result = err_set(err, ERR_INVALID, "the capture %s is larger than 1 GiB; cut it", path);
			break;
		}
		n = fread(to, 1, 65536, file);
		buf_commit(&sim->capture, n);
	} while (n > 0);
	if (result == 0 && ferror(file))
		result = err_system(err, "cannot read the capture %s", path);
	fclose(file);
	if (result == -1)
		return -1;
	strip(&sim->capture);
	if (buf_len(&sim->capture) == 0)
		return err_set(err, ERR_INVALID, "the capture %s holds nothing to play", path);
	return 0;
}

static void on_pace(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct sim_client *client = timer->data;
	(void)loop, (void)events;
	sim_stream_pump(client);
}

void sim_stream_begin(struct sim_client *client)
{
	client->streaming = true;
	client->stream_start = clock_mono_ns();
	ev_init(&client->pace, on_pace);
	if (client->sim->options.rate > 0) {
		client->pace.repeat = PACE_TICK;
		ev_timer_again(client->sim->loop, &client->pace);
	}
	sim_stream_pump(client);
}

void sim_stream_ping(struct sim_client *client)
{
	const struct sim *sim = client->sim;

	if (!sim->options.on_ping || !(sim->flood || sim->options.play))
		return;
	client->stream_asked += sim->options.per_ping;
	if (client->stream_start == 0)
		sim_stream_begin(client);
	else
		sim_stream_pump(client);
}

uint64_t sim_stream_allowance(struct sim_client *client)
{
	double rate = client->sim->options.rate, due;
	uint64_t asked = client->sim->options.per_ping ? client->stream_asked - client->stream_sent : UINT64_MAX;

	if (rate <= 0)
		return asked;
	due = (double)(clock_mono_ns() - client->stream_start) / (double)CLOCK_NS_PER_S * rate;
	uint64_t allowed = due > (double)client->stream_sent ? (uint64_t)due - client->stream_sent : 0;
	return allowed < asked ? allowed : asked;
}

/* False when there is no more. Only whole frames: answers go between them. */
bool sim_play_fill(struct sim_client *client, uint64_t count)
{
	struct slice all = buf_slice(&client->sim->capture);
	bool paced = client->sim->options.rate > 0 || client->sim->options.per_ping > 0;

	while (count > 0 && buf_len(&client->out) < SIM_STREAM_CHUNK) {
		struct slice rest = slice_make(all.ptr + client->play_offset, all.len - client->play_offset);
		if (rest.len == 0) {
			if (!client->sim->options.loop)
				return false;
			client->play_offset = 0;
			continue;
		}
		/* Unpaced, a whole chunk at once: from its end on the next frame's end is looked for. */
		size_t skip = !paced && rest.len > SIM_STREAM_CHUNK ? SIM_STREAM_CHUNK : 0;
		ptrdiff_t at = slice_find(slice_make(rest.ptr + skip, rest.len - skip), SLICE("\r\n\r\n"));
		size_t len = at >= 0 && (paced || skip) ? skip + (size_t)at + 4 : rest.len;
		if (buf_append(&client->out, slice_make(rest.ptr, len)) == -1)
			return false;
		client->play_offset += len;
		client->stream_sent++;
		count--;
	}
	return true;
}

void sim_stream_pump(struct sim_client *client)
{
	bool more;

	if (!client->streaming || client->held || client->closing || client->dead || buf_len(&client->out) >= SIM_STREAM_CHUNK)
		return;
	if (client->sim->options.play)
		more = sim_play_fill(client, sim_stream_allowance(client));
	else
		more = sim_flood_fill(client, sim_stream_allowance(client));
	if (!more) {
		client->streaming = false;
		ev_timer_stop(client->sim->loop, &client->pace);
	}
	sim_client_wake(client);
}
