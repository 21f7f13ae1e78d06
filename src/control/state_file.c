/* `persist`: how the state file is, and a copy of it while it is in use. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "control/internal.h"
#include "control/table.h"
#include "persist/persist.h"
#include "view/json_writer.h"

static const char *state_of(const struct persist_status *s)
{
	return s->rewriting ? "being written anew, it was damaged" : s->failing ? "failing, changes wait in memory" : "good";
}

static void status_json(const struct persist_status *s, struct buf *out)
{
	struct writer writer;

	writer_init(&writer, out);
	writer_open(&writer, NULL, '{');
	writer_text(&writer, "file", s->file);
	writer_bool(&writer, "failing", s->failing);
	writer_bool(&writer, "rewriting", s->rewriting);
	writer_text(&writer, "last_error", s->error);
	writer_integer(&writer, "entries", s->entries);
	writer_integer(&writer, "dirty_bytes", s->dirty_bytes);
	writer_integer(&writer, "file_bytes", s->file_bytes);
	writer_integer(&writer, "wal_bytes", s->wal_bytes);
	writer_integer(&writer, "unfolded_rows", s->log_rows);
	writer_integer(&writer, "commits", s->commits);
	writer_integer(&writer, "rows", s->rows);
	writer_integer(&writer, "failures", s->failures);
	writer_integer(&writer, "damaged", s->damages);
	writer_close(&writer, '}');
	buf_append_char(out, '\n');
}

static int show_status(struct request *request, struct persist *persist)
{
	struct persist_status s;

	persist_status(persist, &s);
	if (request->json) {
		status_json(&s, request->out);
		return 0;
	}
	buf_append_cstr(request->out, "file       ");
	text_clean(request->out, slice_cstr(s.file));
	buf_printf(request->out, "\nstate      %s\n", state_of(&s));
	buf_printf(request->out, "entries    %zu\n", s.entries);
	buf_printf(request->out, "unsaved    %zu bytes\n", s.dirty_bytes);
	buf_printf(request->out, "on disk    %zu bytes, %zu of write-ahead log, %zu changes to fold\n", s.file_bytes, s.wal_bytes, s.log_rows);
	buf_printf(request->out, "written    %llu rows in %llu commits, %llu failed\n", (unsigned long long)s.rows,
	           (unsigned long long)s.commits, (unsigned long long)s.failures);
	if (s.damages > 0)
		buf_printf(request->out, "damaged    %llu times since the start; see the log\n", (unsigned long long)s.damages);
	if (s.error)
		text_lines(request->out, "last error ", s.error);
	return 0;
}

/* A backup on its way; the client may be gone before it ends. */
struct backup {
	struct client *client;
};

static void forget_client(struct client *client)
{
	struct backup *backup = client->work;
	backup->client = NULL;
	client->work = NULL;
}

static void backed_up(void *arg, int64_t id, const struct err *err)
{
	struct backup *backup = arg;
	struct client *client = backup->client;

	(void)id;
	free(backup);
	if (!client)
		return;
	client->cancel = NULL;
	client->work = NULL;
	if (err)
		client_refuse(client, 1, "persist: %s", err->text);
	else
		buf_append_cstr(&client->out, "the copy is complete\n");
	client_finish(client, err ? 1 : 0);
}

static int begin_backup(struct request *request, struct persist *persist)
{
	struct client *client = request->client;
	const char *file = request->argv[1];
	struct err err;

	if (!client_has_role(client, ROLE_ADMIN))
		return command_refuse_role(client, "persist backup", ROLE_ADMIN);
	if (file[0] != '/')
		return client_refuse(client, 2, "persist: the daemon writes the copy: give it an absolute path");
	command_log(client, "console: persist backup", file);
	struct backup *backup = mem_zalloc(sizeof *backup);
	backup->client = client;
	if (persist_backup(persist, file, backed_up, backup, &err)) {
		free(backup);
		return client_refuse(client, 1, "persist: %s", err.text);
	}
	client->work = backup;
	client->cancel = forget_client;
	client->as_json = request->json;
	return COMMAND_LATER;
}

int command_persist(struct request *request)
{
	struct persist *persist = engine_persist(request->engine);
	const char *what = request->argv[0];
	bool status = strcmp(what, "status") == 0 && request->argc == 1, backup = strcmp(what, "backup") == 0 && request->argc == 2;

	if (!status && !backup)
		return client_refuse(request->client, 2, "persist: say `persist status` or `persist backup FILE`");
	if (!persist)
		return client_refuse(request->client, 1, "the daemon has no state file: give it one (persist.file) and restart it");
	return status ? show_status(request, persist) : begin_backup(request, persist);
}
