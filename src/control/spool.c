/* `spool`: sinks with a URL, the dead letters of one of them, and what an operator does with those. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "control/internal.h"
#include "control/table.h"
#include "engine/sink_request.h"
#include "engine/web_sink.h"
#include "observe/redact.h"
#include "view/json_writer.h"

#define LETTERS_SHOWN 1000
#define LETTER_WIDTH 100 /* bytes of a line in a table */

static const struct table_column spool_columns[] = {
	{ "SINK", false }, { "STATE", false }, { "LINES", true }, { "BYTES", true }, { "OLDEST", true }, { "DEAD", true }, { "DELIVERED", true }, { "TRY", true },
	{ "NEXT IN", true }, { "LAST ERROR", false },
};

static const struct table_column letter_columns[] = {
	{ "NUMBER", true }, { "AGE", true }, { "REASON", false }, { "LINE", false },
};

/* ---- sinks ---- */

struct spool_entry {
	struct slice name;
	struct persist_spool *spool;
};

static int compare_entries(const void *a, const void *b)
{
	const struct slice *x = &((const struct spool_entry *)a)->name, *y = &((const struct spool_entry *)b)->name;
	size_t len = x->len < y->len ? x->len : y->len;
	int order = memcmp(x->ptr, y->ptr, len);
	return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* By name, malloc'd; they stand until the next change. */
static struct spool_entry *sorted_spools(const struct persist *persist, size_t *count)
{
	struct spool_entry entry, *all = NULL;

	*count = 0;
	for (size_t i = 0; persist_spools_next(persist, &i, &entry.spool, &entry.name);) {
		all = mem_realloc(all, *count + 1, sizeof *all);
		all[(*count)++] = entry;
	}
	if (*count > 0)
		qsort(all, *count, sizeof *all, compare_entries);
	return all;
}

static struct persist_spool *find_spool(const struct persist *persist, struct slice name)
{
	struct persist_spool *spool;
	struct slice other;
	for (size_t i = 0; persist_spools_next(persist, &i, &spool, &other);)
		if (slice_eq(other, name))
			return spool;
	return NULL;
}

static void spool_row(struct table *table, struct slice name, const struct persist_spool_stats *s, const struct engine_spool_view *v)
{
	char text[TEXT_SHORT];
	table_cell(table, "%.*s", SLICE_ARG(name));
	table_cell(table, "%s", v->state);
	table_cell(table, "%zu", s->lines);
	table_cell(table, "%zu", s->bytes);
	table_cell(table, "%s", s->lines > 0 ? text_age(s->oldest, text) : "");
	table_cell(table, "%zu", s->dead);
	table_cell(table, "%llu", (unsigned long long)v->delivered);
	if (v->try > 0)
		table_cell(table, "%u", v->try);
	else
		table_cell(table, "%s", "");
	table_cell(table, "%s", v->next > 0 ? text_age(v->next, text) : "");
	table_cell(table, "%.100s", v->error);
}

static void spool_json(struct writer *writer, struct slice name, const struct persist_spool_stats *s, const struct engine_spool_view *v)
{
	struct buf url;
	writer_slice(writer, SLICE("sink"), name);
	writer_text(writer, "state", v->state);
	if (v->url) {
		buf_init(&url, 0);
		http_url_show(&url, slice_cstr(v->url));
		writer_text(writer, "url", buf_cstr(&url));
		buf_close(&url);
	}
	writer_integer(writer, "lines", s->lines);
	writer_integer(writer, "bytes", s->bytes);
	writer_number(writer, "oldest", s->lines > 0 ? s->oldest : 0);
	writer_integer(writer, "dead", s->dead);
	writer_integer(writer, "written", s->written);
	writer_integer(writer, "delivered", v->delivered);
	writer_integer(writer, "expired", v->expired);
	writer_integer(writer, "died", s->died);
	writer_integer(writer, "dropped", s->dropped);
	writer_integer(writer, "try", v->try);
	writer_number(writer, "next", v->next);
	writer_text(writer, "error", v->error);
}

static int show_spools(struct request *request, const struct persist *persist)
{
	struct persist_spool_stats stats;
	struct engine_spool_view view;
	struct table table;
	struct writer writer;
	size_t count, shown = 0;
	struct spool_entry *all = sorted_spools(persist, &count);

	table_init(&table, spool_columns, sizeof spool_columns / sizeof *spool_columns);
	writer_init(&writer, request->out);
	if (request->json) {
		writer_open(&writer, NULL, '{');
		writer_open(&writer, "sinks", '[');
	}
	for (size_t i = 0; i < count; i++) {
		if (!engine_spool_view(request->engine, all[i].name, &view))
			continue;
		persist_spool_stats(all[i].spool, &stats);
		shown++;
		if (request->json) {
			writer_open(&writer, NULL, '{');
			spool_json(&writer, all[i].name, &stats, &view);
			writer_close(&writer, '}');
		} else {
			spool_row(&table, all[i].name, &stats, &view);
		}
	}
	free(all);
	if (request->json) {
		writer_close(&writer, ']');
		writer_close(&writer, '}');
		buf_append_char(request->out, '\n');
	} else if (shown == 0) {
		buf_append_cstr(request->out, "no sink has a url\n");
	}
	if (shown > 0 && !request->json)
		table_print(&table, "", request->out);
	else
		buf_close(&table.text);
	return 0;
}

/* ---- dead letters ---- */

static int refuse_sink(struct request *request, struct slice name)
{
	return client_refuse(request->client, 1, "spool: there is no sink '%.*s' with a url; `spool` lists them", SLICE_ARG(name));
}

static double age_of(const struct persist_letter *letter)
{
	double age = clock_wall() - letter->written;
	return age > 0 ? age : 0;
}

static void letter_row(struct table *table, const struct persist_letter *letter, struct slice text)
{
	char age[TEXT_SHORT];
	table_cell(table, "%lld", (long long)letter->id);
	table_cell(table, "%s", text_age(age_of(letter), age));
	table_cell(table, "%.*s", (int)(letter->error.len < LETTER_WIDTH ? letter->error.len : LETTER_WIDTH), letter->error.ptr);
	table_cell(table, "%.*s%s", (int)(text.len < LETTER_WIDTH ? text.len : LETTER_WIDTH), text.ptr, text.len > LETTER_WIDTH ? "…" : "");
}

static void letter_json(struct writer *writer, const struct persist_letter *letter, struct slice text)
{
	writer_open(writer, NULL, '{');
	writer_integer(writer, "number", (uint64_t)letter->id);
	writer_number(writer, "age", age_of(letter));
	writer_slice(writer, SLICE("reason"), letter->error);
	writer_slice(writer, SLICE("line"), text);
	writer_close(writer, '}');
}

static int show_letters(struct request *request, const struct persist *persist, struct slice name)
{
	const struct persist_spool *spool = find_spool(persist, name);
	struct persist_spool_stats stats;
	struct engine_spool_view view;
	struct persist_letter letter;
	struct table table;
	struct writer writer;
	size_t shown = 0;
	int64_t after = 0;

	if (!spool || !engine_spool_view(request->engine, name, &view))
		return refuse_sink(request, name);
	persist_spool_stats(spool, &stats);
	table_init(&table, letter_columns, sizeof letter_columns / sizeof *letter_columns);
	writer_init(&writer, request->out);
	if (request->json) {
		writer_open(&writer, NULL, '{');
		spool_json(&writer, name, &stats, &view);
		writer_open(&writer, "letters", '[');
	}
	for (; shown < LETTERS_SHOWN && persist_spool_letters_next(spool, &after, &letter); shown++) {
		bool json;
		char *masked;
		struct slice text = redact_text(sink_line_text(letter.text, &json), &masked);
		if (request->json)
			letter_json(&writer, &letter, text);
		else
			letter_row(&table, &letter, text);
		free(masked);
	}
	if (request->json) {
		buf_close(&table.text);
		writer_close(&writer, ']');
		writer_integer(&writer, "more", stats.dead - shown);
		writer_close(&writer, '}');
		buf_append_char(request->out, '\n');
		return 0;
	}
	buf_printf(request->out, "%zu line%s wait%s, %zu dead letter%s\n", stats.lines, stats.lines == 1 ? "" : "s", stats.lines == 1 ? "s" : "", stats.dead,
	           stats.dead == 1 ? "" : "s");
	if (shown > 0)
		table_print(&table, "", request->out);
	else
		buf_close(&table.text);
	if (stats.dead > shown)
		buf_printf(request->out, "and %zu more\n", stats.dead - shown);
	return 0;
}

/* ---- what changes them ---- */

static int answer(struct request *request, const char *verb, size_t count)
{
	if (request->json)
		buf_printf(request->out, "{\"success\":true,\"message\":\"%s %zu line%s\",\"lines\":%zu}\n", verb, count, count == 1 ? "" : "s", count);
	else
		buf_printf(request->out, "%s %zu line%s\n", verb, count, count == 1 ? "" : "s");
	return 0;
}

static int refuse_full(struct request *request, size_t changed)
{
	return client_refuse(request->client, 1, "spool: sent again: %zu lines; the others stay dead: the spool is full (persist.spool_lines, persist.spool_bytes), or "
	                     "the disk", changed);
}

/* The spool that has that dead letter. */
static struct persist_spool *find_letter(const struct persist *persist, int64_t number, struct slice *name)
{
	struct persist_spool *spool;
	struct persist_letter letter;

	for (size_t i = 0; persist_spools_next(persist, &i, &spool, name);)
		if (persist_spool_letter(spool, number, &letter))
			return spool;
	return NULL;
}

static int change_one(struct request *request, const struct persist *persist, bool resend, int64_t number)
{
	struct slice name;
	struct persist_spool *spool = find_letter(persist, number, &name);
	uint64_t now = clock_mono_ns();

	if (!spool)
		return client_refuse(request->client, 1, "spool: there is no dead letter %lld; `spool SINK` lists them", (long long)number);
	if (resend ? persist_spool_resend(spool, number, now) : persist_spool_drop(spool, number, now))
		return refuse_full(request, 0);
	engine_spool_stir(request->engine, name);
	return answer(request, resend ? "sent again:" : "dropped", 1);
}

static int change_all(struct request *request, const struct persist *persist, bool resend, struct slice name)
{
	struct persist_spool *spool = find_spool(persist, name);
	struct persist_spool_stats stats;
	struct persist_letter letter;
	uint64_t now = clock_mono_ns();
	size_t changed = 0;

	if (!spool)
		return refuse_sink(request, name);
	persist_spool_stats(spool, &stats);
	for (size_t n = stats.dead; n > 0; n--) {
		int64_t first = 0;
		if (!persist_spool_letters_next(spool, &first, &letter))
			break;
		if (resend ? persist_spool_resend(spool, first, now) : persist_spool_drop(spool, first, now))
			break;
		changed++;
	}
	engine_spool_stir(request->engine, name);
	return changed < stats.dead ? refuse_full(request, changed) : answer(request, resend ? "sent again:" : "dropped", changed);
}

static int change(struct request *request, const struct persist *persist, bool resend)
{
	const char *what = request->argv[1];
	int64_t number;

	if (!client_has_role(request->client, ROLE_ADMIN))
		return command_refuse_role(request->client, resend ? "spool resend" : "spool drop", ROLE_ADMIN);
	command_log(request->client, resend ? "console: spool resend" : "console: spool drop", what);
	if (slice_to_int(slice_cstr(what), &number) && number > 0 && !find_spool(persist, slice_cstr(what)))
		return change_one(request, persist, resend, number);
	return change_all(request, persist, resend, slice_cstr(what));
}

int command_spool(struct request *request)
{
	const struct persist *persist = engine_persist(request->engine);
	bool resend = request->argc > 0 && strcmp(request->argv[0], "resend") == 0;
	bool drop = request->argc > 0 && strcmp(request->argv[0], "drop") == 0;

	if ((resend || drop) != (request->argc == 2))
		return client_refuse(request->client, 2, "spool: say `spool`, `spool SINK`, or `spool resend|drop SINK|NUMBER`");
	if (!persist)
		return client_refuse(request->client, 1, "the daemon has no state file: give it one (persist.file) and restart it");
	if (resend || drop)
		return change(request, persist, resend);
	return request->argc == 0 ? show_spools(request, persist) : show_letters(request, persist, slice_cstr(request->argv[0]));
}
