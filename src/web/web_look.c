#include "web/web_look.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "web/web_snapshot.h"

struct reported {
	struct list node;
	bool rule, seen;
	char *name;
	char state[32]; /* of a server */
	double since;   /* epoch seconds */
	uint32_t hash;
};

void web_look_init(struct web_look *look)
{
	list_init(&look->reported);
}

static void forget(struct reported *reported)
{
	list_remove(&reported->node);
	free(reported->name);
	free(reported);
}

void web_look_clear(struct web_look *look)
{
	list_each_safe(it, &look->reported)
		forget(list_entry(it, struct reported, node));
}

static struct reported *find(struct web_look *look, bool rule, struct slice name)
{
	list_each(it, &look->reported) {
		struct reported *reported = list_entry(it, struct reported, node);
		if (reported->rule == rule && slice_eq(slice_cstr(reported->name), name))
			return reported;
	}
	struct reported *reported = mem_zalloc(sizeof *reported);
	reported->rule = rule;
	reported->name = mem_slicedup(name);
	list_append(&look->reported, &reported->node);
	return reported;
}

static void add(struct web_intake *intake, const struct reported *reported, const char *event, struct slice data)
{
	web_intake_add(intake, event, data, reported->rule ? WEB_SEEN_WHOLE : WEB_SEEN_SERVER, reported->rule ? "" : reported->name);
}

/* When it is not what was reported last. */
static void report(struct web_intake *intake, struct reported *reported, struct slice data)
{
	uint32_t hash = slice_hash(data);

	reported->seen = true;
	if (hash == reported->hash)
		return;
	reported->hash = hash;
	add(intake, reported, reported->rule ? "rule" : "server", data);
}

static void look_at_servers(struct web_look *look, struct web *web, struct web_intake *intake)
{
	struct link_view view;
	struct writer writer;
	struct slice name;
	struct buf data;

	buf_init(&data, 0);
	for (size_t i = 0; engine_server_view(web->engine, i, &view); i++) {
		struct reported *reported = find(look, false, slice_cstr(view.name));
		if (strcmp(reported->state, view.state) != 0)
			reported->since = clock_wall() - view.state_age;
		snprintf(reported->state, sizeof reported->state, "%s", view.state);
		buf_clear(&data);
		writer_init(&writer, &data);
		if (web_snapshot_server(web, i, reported->since, &name, &writer))
			report(intake, reported, buf_slice(&data));
	}
	buf_close(&data);
}

static void look_at_rules(struct web_look *look, struct web *web, struct web_intake *intake)
{
	struct writer writer;
	struct slice name;
	struct buf data;

	buf_init(&data, 0);
	for (size_t i = 0;; i++) {
		buf_clear(&data);
		writer_init(&writer, &data);
		if (!web_snapshot_rule(web, i, &name, &writer))
			break;
		report(intake, find(look, true, name), buf_slice(&data));
	}
	buf_close(&data);
}

static void report_gone(struct web_look *look, struct web_intake *intake)
{
	list_each_safe(it, &look->reported) {
		struct reported *reported = list_entry(it, struct reported, node);
		bool seen = reported->seen;
		reported->seen = false;
		if (seen)
			continue;
		struct writer writer;
		struct buf data;
		buf_init(&data, 0);
		writer_init(&writer, &data);
		writer_open(&writer, NULL, '{');
		writer_text(&writer, "name", reported->name);
		writer_close(&writer, '}');
		add(intake, reported, reported->rule ? "rule.removed" : "server.removed", buf_slice(&data));
		buf_close(&data);
		forget(reported);
	}
}

void web_look(struct web_look *look, struct web *web, struct web_intake *intake)
{
	look_at_servers(look, web, intake);
	look_at_rules(look, web, intake);
	report_gone(look, intake);
}
