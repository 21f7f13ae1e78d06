/* The status: everything at a glance. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/version.h"
#include "control/render.h"
#include "control/table.h"
#include "observe/log.h"

static void print_reload_error(struct engine *engine, struct buf *out)
{
	double when = 0;
	const char *error = engine_reload_error(engine, &when);
	char text[160], time[TEXT_SHORT], age[TEXT_SHORT];

	if (!error || error[0] == '\0')
		return;
	snprintf(text, sizeof text, "the last reload failed at %s (%s ago); what ran before goes on:", text_time(when, time),
	         text_age(clock_wall() - when, age));
	buf_append_char(out, '\n');
	text_wrapped(out, "", text, STATUS_WIDTH);
	text_wrapped(out, "  ", error, STATUS_WIDTH);
}

/* What was shed and missed stands with the servers and the rules. */
static void print_lost(struct buf *out)
{
	struct log_counts counts;

	log_count(&counts);
	uint64_t records = counts.dropped_queue + counts.dropped_write;
	if (records > 0 || counts.sink_dropped > 0)
		buf_printf(out, "lost so far: %llu log record%s, %llu line%s of sinks\n", (unsigned long long)records, records == 1 ? "" : "s",
		           (unsigned long long)counts.sink_dropped, counts.sink_dropped == 1 ? "" : "s");
}

void render_status(struct engine *engine, struct buf *out)
{
	double started = engine_started(engine);
	char time[TEXT_SHORT], age[TEXT_SHORT];

	buf_printf(out, "hookswitch %s, pid %ld, up %s since %s\nlog level %s, configuration ", HOOKSWITCH_VERSION, (long)getpid(),
	           text_age(engine_uptime(engine), age), text_time(started, time), log_level_name(log_get_level()));
	text_clean(out, slice_cstr(engine_config(engine)->path));
	buf_append_char(out, '\n');
	print_lost(out);
	buf_append_char(out, '\n');
	render_servers_brief(engine, out);
	buf_append_char(out, '\n');
	render_scripts_brief(engine, out);
	print_reload_error(engine, out);
}
