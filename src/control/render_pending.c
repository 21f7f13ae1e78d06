/* The actions that wait for their end, as a table and as JSON. */
#include "control/render.h"
#include "control/table.h"
#include "view/json_writer.h"

static const struct table_column columns[] = {
	{ "SERVER", false }, { "ACTION", false }, { "SENT BY", false }, { "RULE", false }, { "AGE", true }, { "DEADLINE IN", true }, { "STATE", false },
};

struct pending_rows {
	struct table *table;
	struct writer *writer;
	const char *server;
};

static void pending_row(void *ctx, const struct engine_pending *pending)
{
	struct pending_rows *rows = ctx;
	char text[TEXT_SHORT];

	table_cell(rows->table, "%s", rows->server);
	table_cell(rows->table, "%s", pending->action);
	table_cell(rows->table, "%s", pending->sender);
	table_cell(rows->table, "%s", pending->rule ? pending->rule : "");
	table_cell(rows->table, "%s", text_age(pending->age, text));
	table_cell(rows->table, "%s", text_age(pending->left, text));
	table_cell(rows->table, "%s", pending->answered ? "answered, not delivered" : "sent");
}

void render_pending(struct engine *engine, struct buf *out)
{
	struct table table;
	struct pending_rows rows = { .table = &table };
	struct link_view view;

	table_init(&table, columns, sizeof columns / sizeof *columns);
	for (size_t i = 0; engine_server_view(engine, i, &view); i++) {
		rows.server = view.name;
		engine_pending_each(engine, i, pending_row, &rows);
	}
	if (table.cells > 0) {
		table_print(&table, "", out);
		return;
	}
	buf_close(&table.text);
	buf_append_cstr(out, "no action is pending\n");
}

static void pending_json(void *ctx, const struct engine_pending *pending)
{
	struct pending_rows *rows = ctx;
	struct writer *writer = rows->writer;

	writer_open(writer, NULL, '{');
	writer_text(writer, "server", rows->server);
	writer_text(writer, "action", pending->action);
	writer_text(writer, "sent_by", pending->sender);
	writer_text(writer, "rule", pending->rule && pending->rule[0] ? pending->rule : NULL);
	writer_number(writer, "age", pending->age);
	writer_number(writer, "deadline_in", pending->left);
	writer_bool(writer, "answered", pending->answered);
	writer_close(writer, '}');
}

void render_pending_json(struct engine *engine, struct buf *out)
{
	struct writer writer;
	struct pending_rows rows = { .writer = &writer };
	struct link_view view;

	writer_init(&writer, out);
	writer_open(&writer, NULL, '{');
	writer_open(&writer, "pending", '[');
	for (size_t i = 0; engine_server_view(engine, i, &view); i++) {
		rows.server = view.name;
		engine_pending_each(engine, i, pending_json, &rows);
	}
	writer_close(&writer, ']');
	writer_close(&writer, '}');
	buf_append_char(out, '\n');
}
