/* What clients have sent, as it arrived, for tests (`--ask PATH actions`). Logins are left out: they carry secrets. */
#include "sim/sim_internal.h"

#include <stdlib.h>
#include <strings.h>

static void forget(struct sim *sim)
{
	for (unsigned i = 0; i < sim->received_count; i++)
		free(sim->received[i]);
	sim->received_count = 0;
}

void sim_received(struct sim *sim, const struct sim_request *request)
{
	const char *name = sim_get(request, "Action");
	struct buf text;

	if (sim->truth_fd == -1 || strcasecmp(name, "Login") == 0 || strcasecmp(name, "Challenge") == 0)
		return;
	if (sim->received_count == SIM_RECEIVED_MAX) {
		free(sim->received[0]);
		memmove(sim->received, sim->received + 1, --sim->received_count * sizeof sim->received[0]);
	}
	buf_init(&text, 0);
	for (unsigned i = 0; i < request->count; i++) {
		(void)buf_append_char(&text, i > 0 ? ',' : '[');
		(void)buf_append_json(&text, slice_cstr(request->lines[i]));
	}
	(void)buf_append_char(&text, ']');
	sim->received[sim->received_count++] = mem_slicedup(buf_slice(&text));
	buf_close(&text);
}

void sim_received_write(struct sim *sim, struct buf *out)
{
	(void)buf_append_cstr(out, "{\"actions\":[");
	for (unsigned i = 0; i < sim->received_count; i++) {
		if (i > 0)
			(void)buf_append_char(out, ',');
		(void)buf_append_cstr(out, sim->received[i]);
	}
	(void)buf_append_cstr(out, "]}");
	forget(sim);
}

void sim_received_close(struct sim *sim)
{
	forget(sim);
}
