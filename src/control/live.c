/* `calls`, `queues`, `agents`, `channels`, `endpoints`: the live picture of all servers as tables, or as JSON with every field. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/internal.h"
#include "control/table.h"
#include "rules/picture.h"
#include "view/json_writer.h"
#include "view/live_json.h"

#define ROWS_DEFAULT 500
#define ROWS_MAX 10000

/* How a field is shown to people. */
enum show { SHOW_TEXT, SHOW_PERSON, SHOW_AGE, SHOW_SECONDS, SHOW_RATIO, SHOW_ROUND_TRIP };

struct live_column {
	const char *field, *number; /* `number`: of SHOW_PERSON, whose name is `field` */
	enum show show;
};

/* The two lists below go together. */
struct live_table {
	enum live_kind kind;
	size_t count;
	struct table_column titles[TABLE_COLUMNS_MAX];
	struct live_column columns[TABLE_COLUMNS_MAX];
};

static const struct live_table calls = {
	.kind = LIVE_CALL, .count = 10,
	.titles = { { "FROM", false }, { "TO", false }, { "STATE", false }, { "FOR", true }, { "TALK", true }, { "QUEUE", false },
	            { "AGENT", false }, { "TRUNK", false }, { "SERVER", false }, { "ID", false } },
	.columns = { { "from_name", "from", SHOW_PERSON }, { "to_name", "to", SHOW_PERSON }, { .field = "state" }, { .field = "started", .show = SHOW_AGE },
	             { .field = "talk", .show = SHOW_SECONDS }, { .field = "queue" }, { "agent_name", "agent", SHOW_PERSON }, { .field = "trunk" },
	             { .field = "server" }, { .field = "id" } },
};

static const struct live_table queues = {
	.kind = LIVE_QUEUE, .count = 11,
	.titles = { { "QUEUE", false }, { "WAITING", true }, { "LONGEST", true }, { "FREE", true }, { "MEMBERS", true }, { "TODAY", true },
	            { "ANSWERED", true }, { "GAVE UP", true }, { "IN TIME", true }, { "AVERAGE WAIT", true }, { "SERVER", false } },
	.columns = { { .field = "name" }, { .field = "count" }, { .field = "longest_wait", .show = SHOW_SECONDS }, { .field = "free" },
	             { .field = "member_count" }, { .field = "offered_today" }, { .field = "answered_today" }, { .field = "abandoned_today" },
	             { .field = "service_level_today", .show = SHOW_RATIO }, { .field = "speed_of_answer_today", .show = SHOW_SECONDS },
	             { .field = "server" } },
};

static const struct live_table callers = {
	.kind = LIVE_CALLER, .count = 5,
	.titles = { { "CALLER", false }, { "POSITION", true }, { "WAITS", true }, { "PRIORITY", true }, { "CHANNEL", false } },
	.columns = { { "name", "number", SHOW_PERSON }, { .field = "position" }, { .field = "since", .show = SHOW_AGE }, { .field = "priority" },
	             { .field = "channel" } },
};

static const struct live_table members = {
	.kind = LIVE_MEMBER, .count = 7,
	.titles = { { "MEMBER", false }, { "STATE", false }, { "PAUSED", false }, { "REASON", false }, { "CALLS", true }, { "PENALTY", true },
	            { "INTERFACE", false } },
	.columns = { { .field = "name" }, { .field = "state" }, { .field = "paused" }, { .field = "paused_reason" },
	             { .field = "calls" }, { .field = "penalty" }, { .field = "interface" } },
};

static const struct live_table agents = {
	.kind = LIVE_AGENT, .count = 9,
	.titles = { { "AGENT", false }, { "STATE", false }, { "FOR", true }, { "REASON", false }, { "CALLS", true }, { "TALK", true },
	            { "MISSED", true }, { "INTERFACE", false }, { "SERVER", false } },
	.columns = { { .field = "name" }, { .field = "state" }, { .field = "since", .show = SHOW_AGE }, { .field = "paused_reason" },
	             { .field = "calls" }, { .field = "talk", .show = SHOW_SECONDS }, { .field = "missed" }, { .field = "interface" },
	             { .field = "server" } },
};

static const struct live_table channels = {
	.kind = LIVE_CHANNEL, .count = 9,
	.titles = { { "CALLER", false }, { "CONNECTED", false }, { "STATE", false }, { "FOR", true }, { "EXTENSION", false }, { "APPLICATION", false },
	            { "HELD", false }, { "CHANNEL", false }, { "SERVER", false } },
	.columns = { { "caller_name", "number", SHOW_PERSON }, { "connected_name", "connected_number", SHOW_PERSON }, { .field = "state" },
	             { .field = "since", .show = SHOW_AGE }, { .field = "exten" }, { .field = "application" }, { .field = "held" },
	             { .field = "name" }, { .field = "server" } },
};

static const struct live_table endpoints = {
	.kind = LIVE_ENDPOINT, .count = 8,
	.titles = { { "ENDPOINT", false }, { "REGISTERED", false }, { "DEVICE", false }, { "ROUND TRIP", true }, { "CHANNELS", true },
	            { "MESSAGES", true }, { "CONTACT", false }, { "SERVER", false } },
	.columns = { { .field = "name" }, { .field = "registered" }, { .field = "device" },
	             { .field = "round_trip", .show = SHOW_ROUND_TRIP }, { .field = "channels" }, { .field = "messages" }, { .field = "contact" },
	             { .field = "server" } },
};

/* ---- values ---- */

/* A table that is being filled, with the numbers of its fields: there may be thousands of rows. */
struct rows {
	struct table table;
	const struct live_table *form;
	int fields[TABLE_COLUMNS_MAX], numbers[TABLE_COLUMNS_MAX];
	int64_t now;
	uint32_t count;
};

static void rows_begin(struct rows *rows, const struct live_table *form, int64_t now)
{
	rows->form = form;
	rows->now = now;
	rows->count = 0;
	table_init(&rows->table, form->titles, form->count);
	for (size_t i = 0; i < form->count; i++) {
		rows->fields[i] = live_field(form->kind, slice_cstr(form->columns[i].field));
		if (form->columns[i].show == SHOW_PERSON)
			rows->numbers[i] = live_field(form->kind, slice_cstr(form->columns[i].number));
	}
}

static double number_of(const struct live_value *v)
{
	return v->type == LIVE_INT ? (double)v->integer : v->number;
}

static void cell(struct rows *rows, size_t column, const struct live_object *object)
{
	struct live_value v = live_get(object, rows->fields[column], rows->now), n;
	enum show show = rows->form->columns[column].show;
	struct table *table = &rows->table;
	char text[TEXT_SHORT];

	if (show == SHOW_PERSON) {
		n = live_get(object, rows->numbers[column], rows->now);
		bool named = v.type == LIVE_TEXT && v.text.len > 0, numbered = n.type == LIVE_TEXT && n.text.len > 0;
		if (named && numbered && !slice_eq(v.text, n.text))
			table_cell(table, "%.*s (%.*s)", SLICE_ARG(v.text), SLICE_ARG(n.text));
		else
			table_cell(table, "%.*s", SLICE_ARG(named ? v.text : numbered ? n.text : SLICE("")));
		return;
	}
	switch (v.type) {
	case LIVE_NIL:
		table_cell(table, "%s", "");
		break;
	case LIVE_BOOL:
		table_cell(table, "%s", v.boolean ? "yes" : "no");
		break;
	case LIVE_TEXT:
		table_cell(table, "%.*s", SLICE_ARG(v.text));
		break;
	case LIVE_LIST:
	case LIVE_MAP:
		table_cell(table, "%u", v.list.count);
		break;
	default:
		if (show == SHOW_AGE)
			table_cell(table, "%s", text_age((double)rows->now / 1e6 - number_of(&v), text));
		else if (show == SHOW_SECONDS)
			table_cell(table, "%s", number_of(&v) > 0 ? text_age(number_of(&v), text) : "");
		else if (show == SHOW_RATIO)
			table_cell(table, "%.0f %%", number_of(&v) * 100);
		else if (show == SHOW_ROUND_TRIP)
			table_cell(table, "%.1f ms", number_of(&v) * 1000);
		else
			table_cell(table, "%.15g", number_of(&v));
	}
}

static void rows_add(struct rows *rows, const struct live_object *object)
{
	for (size_t i = 0; i < rows->form->count; i++)
		cell(rows, i, object);
	rows->count++;
}

/* ---- requests ---- */

struct query {
	const struct live_table *form;
	const char *plural;
	struct live *live;
	struct live_filter filter;
	const char *name; /* of `queues NAME` */
	uint32_t limit;
	int64_t now;
};

static void list_fields(enum live_kind kind, struct buf *out)
{
	const char *name;
	for (uint32_t i = 0; (name = live_field_name(kind, i)); i++)
		buf_printf(out, "%s%s", i ? ", " : "", name);
}

static int read_limit(struct request *request, const char *plural, const char *text, uint32_t *limit)
{
	int64_t n;
	if (!slice_to_int(slice_cstr(text), &n) || n < 1 || n > ROWS_MAX)
		return client_refuse(request->client, 2, "%s: --limit is a number from 1 to %d", plural, ROWS_MAX);
	*limit = (uint32_t)n;
	return 0;
}

static int read_condition(struct request *request, struct query *q, struct slice name, const char *value)
{
	int field = live_field(q->form->kind, name);
	char why[LIVE_FAULT_MAX];
	struct buf known;
	int rc;

	if (field >= 0 && !live_value_fits(q->form->kind, field, slice_cstr(value), why))
		return client_refuse(request->client, 2, "%s: %s", q->plural, why);
	if (field >= 0 && q->filter.count < LIVE_FILTERS) {
		q->filter.equal[q->filter.count].field = field;
		q->filter.equal[q->filter.count++].value = slice_cstr(value);
		return 0;
	}
	if (field >= 0)
		return client_refuse(request->client, 2, "%s: at most %d conditions", q->plural, LIVE_FILTERS);
	buf_init(&known, 0);
	list_fields(q->form->kind, &known);
	rc = client_refuse(request->client, 2, "%s: there is no field '%.*s'; there are %.*s", q->plural, SLICE_ARG(name), SLICE_ARG(buf_slice(&known)));
	buf_close(&known);
	return rc;
}

/* "--queue" or "--queue=support": a condition may be written as an option too. */
static bool is_option_of_field(const struct query *q, const char *word, const char *equals)
{
	if (strncmp(word, "--", 2) != 0)
		return false;
	return live_field(q->form->kind, equals ? slice_make(word + 2, (size_t)(equals - word - 2)) : slice_cstr(word + 2)) >= 0;
}

/* 0, or the exit code. */
static int read_query(struct request *request, struct query *q)
{
	for (int i = 0; i < request->argc; i++) {
		const char *word = request->argv[i], *equals = strchr(word, '=');
		int rc;
		if (strcmp(word, "--limit") == 0 && i + 1 < request->argc)
			rc = read_limit(request, q->plural, request->argv[++i], &q->limit);
		else if (strncmp(word, "--limit=", 8) == 0)
			rc = read_limit(request, q->plural, word + 8, &q->limit);
		else if (word[0] != '-' && equals)
			rc = read_condition(request, q, slice_make(word, (size_t)(equals - word)), equals + 1);
		else if (is_option_of_field(q, word, equals) && equals)
			rc = read_condition(request, q, slice_make(word + 2, (size_t)(equals - word - 2)), equals + 1);
		else if (is_option_of_field(q, word, NULL) && i + 1 < request->argc)
			rc = read_condition(request, q, slice_cstr(word + 2), request->argv[++i]);
		else if (word[0] != '-' && q->form == &queues && !q->name) {
			q->name = word;
			rc = 0;
		} else {
			rc = client_refuse(request->client, 2, "%s: '%s' is not understood; conditions are FIELD=VALUE, options --limit N, --watch and --json",
			                   q->plural, word);
		}
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- answers ---- */

/* What of a server is unknown. True when anything is. */
static bool name_unknown(const struct live_server *server, struct buf *out)
{
	unsigned unknown = live_unknown(server);
	bool any = false;

	for (unsigned part = 1; live_part_name(part); part <<= 1) {
		if (!(unknown & part))
			continue;
		buf_printf(out, "%s%s", any ? ", " : "", live_part_name(part));
		any = true;
	}
	return any;
}

/* A line for each server whose picture is not full. */
static void print_states(const struct query *q, struct buf *out)
{
	struct buf unknown;

	buf_init(&unknown, 0);
	for (struct live_server *s = live_server_next(q->live, NULL); s; s = live_server_next(q->live, s)) {
		if (live_state(s) == LIVE_FULL)
			continue;
		buf_clear(&unknown);
		bool any = name_unknown(s, &unknown);
		text_clean(out, live_server_name(s));
		buf_printf(out, ": %s%.*s\n",
		           live_state(s) == LIVE_NONE ? "no session, this is what was known last" : live_state(s) == LIVE_SYNCING ? "its lists are being read" :
		           any ? "not everything is known, the server does not report: " : "not everything is known, a limit of limits.live_* is reached",
		           SLICE_ARG(any && live_state(s) == LIVE_PARTIAL ? buf_slice(&unknown) : SLICE("")));
	}
	buf_close(&unknown);
}

static bool add_item(void *ctx, const struct live_object *object, struct slice key, const struct live_value *value)
{
	struct rows *rows = ctx;
	(void)key;
	(void)value;
	if (object)
		rows_add(rows, object);
	return rows->count < ROWS_DEFAULT;
}

/* A list of a queue. */
static void print_list(const struct live_table *form, const struct live_object *queue, const char *field, int64_t now, struct buf *out)
{
	struct live_value list = live_get(queue, live_field(LIVE_QUEUE, slice_cstr(field)), now);
	struct rows rows;

	if (list.type != LIVE_LIST || list.list.count == 0)
		return;
	buf_append_char(out, '\n');
	rows_begin(&rows, form, now);
	live_each_item(&list, add_item, &rows);
	table_print(&rows.table, "  ", out);
}

/* One queue of each server that has it, with callers and members. */
static int show_queue(struct request *request, struct query *q)
{
	struct slice name = slice_cstr(q->name);
	struct rows rows;
	struct writer writer;
	bool found = false;

	writer_init(&writer, request->out);
	if (request->json) {
		writer_open(&writer, NULL, '{');
		writer_open(&writer, "queues", '[');
	}
	for (struct live_server *s = live_server_next(q->live, NULL); s; s = live_server_next(q->live, s)) {
		const struct live_object *queue = live_find(s, LIVE_QUEUE, name);
		if (!queue)
			continue;
		if (request->json) {
			live_json_object(&writer, NULL, queue, q->now);
		} else {
			if (found)
				buf_append_char(request->out, '\n');
			rows_begin(&rows, &queues, q->now);
			rows_add(&rows, queue);
			table_print(&rows.table, "", request->out);
			print_list(&callers, queue, "waiting", q->now, request->out);
			print_list(&members, queue, "members", q->now, request->out);
		}
		found = true;
	}
	if (!found) {
		buf_clear(request->out);
		return client_refuse(request->client, 1, "queues: no server has a queue '%s'; `queues` lists them", q->name);
	}
	if (request->json) {
		writer_close(&writer, ']');
		writer_close(&writer, '}');
		buf_append_char(request->out, '\n');
	}
	return 0;
}

static void show_json(struct request *request, struct query *q)
{
	struct writer writer;

	writer_init(&writer, request->out);
	writer_open(&writer, NULL, '{');
	live_json_list(&writer, q->plural, &(struct live_json_query){ .live = q->live, .kind = q->form->kind, .filter = &q->filter, .limit = q->limit, .now = q->now });
	live_json_states(&writer, q->live, NULL, NULL);
	writer_close(&writer, '}');
	buf_append_char(request->out, '\n');
}

static void show_table(struct request *request, struct query *q)
{
	struct live_cursor cursor;
	const struct live_object *object;
	struct rows rows;

	rows_begin(&rows, q->form, q->now);
	live_walk(q->live, q->form->kind, &q->filter, &cursor);
	while (rows.count < q->limit && (object = live_next(&cursor, q->now)))
		rows_add(&rows, object);
	uint32_t shown = rows.count;
	if (shown == 0) {
		buf_close(&rows.table.text);
		buf_printf(request->out, "no %s%s\n", q->plural, q->filter.count > 0 ? " with these conditions" : "");
	} else {
		table_print(&rows.table, "", request->out);
	}
	uint64_t total = shown < q->limit ? shown : live_count(q->live, q->form->kind, &q->filter, q->now);
	if (total > shown)
		buf_printf(request->out, "%llu more; see --limit, or name conditions\n", (unsigned long long)(total - shown));
	print_states(q, request->out);
}

static int run(struct request *request, const struct live_table *form, const char *plural)
{
	struct picture *picture = host_picture(engine_host(request->engine));
	struct query q = { .form = form, .plural = plural, .live = picture_live(picture), .limit = ROWS_DEFAULT };
	int rc;

	if (!q.live)
		return client_refuse(request->client, 1, "%s: the live picture is off; set live.enabled and reload", plural);
	if ((rc = read_query(request, &q)))
		return rc;
	q.now = picture_now(picture);
	if (q.name)
		return show_queue(request, &q);
	if (request->json)
		show_json(request, &q);
	else
		show_table(request, &q);
	return 0;
}

int command_calls(struct request *request)
{
	return run(request, &calls, "calls");
}

int command_queues(struct request *request)
{
	return run(request, &queues, "queues");
}

int command_agents(struct request *request)
{
	return run(request, &agents, "agents");
}

int command_channels(struct request *request)
{
	return run(request, &channels, "channels");
}

int command_endpoints(struct request *request)
{
	return run(request, &endpoints, "endpoints");
}
