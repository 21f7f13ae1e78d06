#include "observe/log_format.h"

#include <math.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "base/utf8.h"
#include "observe/number.h"

#define DIM "\033[2m"
#define RESET "\033[0m"

enum place {
	PLACE_MESSAGE, /* stands bare in the line */
	PLACE_QUOTED,  /* between quotes */
	PLACE_BLOCK,   /* a line of its own below the record */
	PLACE_VALUE,   /* a field of the journal, which may have lines */
};

/* Bytes of the character at the start of `s` that can be shown as it is; 0: it has to be escaped. */
static size_t harmless(struct slice s, enum place place)
{
	unsigned char c = (unsigned char)s.ptr[0];
	if (place == PLACE_QUOTED && (c == '"' || c == '\\'))
		return 0;
	if ((place == PLACE_BLOCK && c == '\t') || (place == PLACE_VALUE && (c == '\t' || c == '\n')))
		return 1;
	if (c < 0x20 || c == 0x7F)
		return 0;
	/* U+0080 to U+009F are control characters to a terminal. */
	if (c == 0xC2 && s.len > 1 && (unsigned char)s.ptr[1] < 0xA0)
		return 0;
	return utf8_char(s);
}

static void append_escaped(struct buf *out, struct slice s, enum place place)
{
	while (s.len > 0) {
		size_t run = 0, n;
		while (run < s.len && (n = harmless(slice_make(s.ptr + run, s.len - run), place)) > 0)
			run += n;
		buf_append(out, slice_make(s.ptr, run));
		s = slice_make(s.ptr + run, s.len - run);
		if (s.len == 0)
			break;
		switch (s.ptr[0]) {
		case '\n':
			buf_append(out, SLICE("\\n"));
			break;
		case '\r':
			buf_append(out, SLICE("\\r"));
			break;
		case '\t':
			buf_append(out, SLICE("\\t"));
			break;
		case '"':
		case '\\':
			buf_append_char(out, '\\');
			buf_append_char(out, s.ptr[0]);
			break;
		default:
			buf_printf(out, "\\x%02x", (unsigned)(unsigned char)s.ptr[0]);
		}
		s.ptr++;
		s.len--;
	}
}

static bool needs_quotes(struct slice s)
{
	if (s.len == 0)
		return true;
	for (size_t i = 0; i < s.len;) {
		size_t n = harmless(slice_make(s.ptr + i, s.len - i), PLACE_QUOTED);
		if (n == 0 || s.ptr[i] == ' ' || s.ptr[i] == '=')
			return true;
		i += n;
	}
	return false;
}

/* Without line ends at its end: what prints a traceback often leaves one. */
static struct slice without_last_newline(struct slice s)
{
	while (s.len > 0 && (s.ptr[s.len - 1] == '\n' || s.ptr[s.len - 1] == '\r'))
		s.len--;
	return s;
}

static bool is_block(const struct log_field *field)
{
	if (field->type != LOG_FIELD_TEXT)
		return false;
	struct slice s = without_last_newline(field->text);
	return s.len > 0 && memchr(s.ptr, '\n', s.len);
}

static void append_name(struct buf *out, const char *name)
{
	for (struct slice s = slice_cstr(name); s.len > 0;) {
		size_t n = harmless(s, PLACE_QUOTED);
		if (n == 0 || s.ptr[0] == ' ' || s.ptr[0] == '=') {
			buf_append_char(out, '_');
			n = 1;
		} else {
			buf_append(out, slice_make(s.ptr, n));
		}
		s = slice_make(s.ptr + n, s.len - n);
	}
}

static void append_scalar(struct buf *out, const struct log_field *field)
{
	char number[NUMBER_TEXT_MAX];

	if (field->type == LOG_FIELD_INT)
		buf_printf(out, "%lld", (long long)field->integer);
	else if (field->type == LOG_FIELD_NUMBER)
		buf_append_cstr(out, number_text(field->number, number));
	else
		buf_append_cstr(out, field->boolean ? "true" : "false");
}

static void append_text_field(struct buf *out, const struct log_field *field, bool colour)
{
	buf_append_char(out, ' ');
	if (colour)
		buf_append_cstr(out, DIM);
	append_name(out, field->name);
	buf_append_char(out, '=');
	if (colour)
		buf_append_cstr(out, RESET);
	if (!log_field_has_text(field)) {
		append_scalar(out, field);
		return;
	}
	/* JSON has quotes and braces of its own. */
	bool quotes = field->type == LOG_FIELD_TEXT && needs_quotes(field->text);
	if (quotes)
		buf_append_char(out, '"');
	append_escaped(out, field->text, quotes ? PLACE_QUOTED : PLACE_MESSAGE);
	if (quotes)
		buf_append_char(out, '"');
}

/* The name on one line, each line of the value below it: none of them can be taken for a record. */
static void append_block(struct buf *out, const struct log_field *field)
{
	struct slice rest = without_last_newline(field->text);

	buf_append_cstr(out, "    ");
	append_name(out, field->name);
	buf_append_cstr(out, ":\n");
	for (;;) {
		const char *end = rest.len > 0 ? memchr(rest.ptr, '\n', rest.len) : NULL;
		struct slice line = { rest.ptr, end ? (size_t)(end - rest.ptr) : rest.len };
		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (line.len > 0)
			buf_append_cstr(out, "        ");
		append_escaped(out, line, PLACE_BLOCK);
		buf_append_char(out, '\n');
		if (!end)
			break;
		rest = slice_make(end + 1, rest.len - (size_t)(end + 1 - rest.ptr));
	}
}

/* The text with its fields; ends with a line end. */
static void append_body(struct buf *out, const struct log_entry *entry, bool colour)
{
	append_escaped(out, entry->text, PLACE_MESSAGE);
	for (size_t i = 0; i < entry->count; i++)
		if (!is_block(&entry->fields[i]))
			append_text_field(out, &entry->fields[i], colour);
	if (entry->cut > 0)
		append_text_field(out, &F_INT("cut_bytes", entry->cut), colour);
	buf_append_char(out, '\n');
	for (size_t i = 0; i < entry->count; i++)
		if (is_block(&entry->fields[i]))
			append_block(out, &entry->fields[i]);
}

static void format_text(struct buf *out, const struct log_entry *entry, bool colour)
{
	static const char *const colours[LOG_LEVELS] = { "\033[2m", "\033[32m", "\033[33m", "\033[1;31m" };
	time_t seconds = (time_t)(entry->wall_ms / 1000);
	struct tm tm;
	char stamp[32];

	localtime_r(&seconds, &tm);
	strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &tm);
	buf_printf(out, "%s.%03d %s%-5s%s ", stamp, (int)(entry->wall_ms % 1000), colour ? colours[entry->level] : "",
	           log_level_name(entry->level), colour ? RESET : "");
	append_body(out, entry, colour);
}

/* The record's own keys stay unique: a field of that name gets a '_' behind it. */
static const char *own_name(const char *name)
{
	static const char *const own[][2] = {
		{ "time", "time_" }, { "level", "level_" }, { "msg", "msg_" }, { "cut_bytes", "cut_bytes_" },
	};

	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (strcasecmp(name, own[i][0]) == 0)
			return own[i][1];
	return name;
}

static void append_utc(struct buf *out, int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;
	char stamp[32];

	gmtime_r(&seconds, &tm);
	strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
	buf_printf(out, "%s.%03dZ", stamp, (int)(wall_ms % 1000));
}

static void format_json(struct buf *out, const struct log_entry *entry)
{
	buf_append_cstr(out, "{\"time\":\"");
	append_utc(out, entry->wall_ms);
	buf_printf(out, "\",\"level\":\"%s\",\"msg\":", log_level_name(entry->level));
	buf_append_json(out, entry->text);
	for (size_t i = 0; i < entry->count; i++) {
		const struct log_field *field = &entry->fields[i];
		/* JSON has no NaN and no infinity. */
		bool quotes = field->type == LOG_FIELD_NUMBER && !isfinite(field->number);
		buf_append_char(out, ',');
		buf_append_json(out, slice_cstr(own_name(field->name)));
		buf_append_cstr(out, quotes ? ":\"" : ":");
		if (field->type == LOG_FIELD_TEXT)
			buf_append_json(out, field->text);
		else if (field->type == LOG_FIELD_JSON)
			buf_append(out, field->text);
		else
			append_scalar(out, field);
		if (quotes)
			buf_append_char(out, '"');
	}
	if (entry->cut > 0)
		buf_printf(out, ",\"cut_bytes\":%zu", entry->cut);
	buf_append_cstr(out, "}\n");
}

/* The journal's native protocol: NAME=value lines; a value with line ends of its own is NAME, line end, its length in eight
 * bytes (least first), value, line end. Names are up to 64 of A-Z, 0-9 and _. */

#define PREFIX "HOOKSWITCH_"
#define JOURNAL_NAME_MAX 64

static void append_journal_name(struct buf *out, const char *name)
{
	buf_append(out, SLICE(PREFIX));
	for (size_t i = 0; name[i] && i < JOURNAL_NAME_MAX - (sizeof PREFIX - 1); i++) {
		char c = name[i];
		bool digit = c >= '0' && c <= '9', upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z';
		buf_append_char(out, lower ? (char)(c - 'a' + 'A') : upper || digit ? c : '_');
	}
}

/* Behind its name. */
static void append_journal_value(struct buf *out, struct slice value)
{
	if (memchr(value.ptr, '\n', value.len)) {
		buf_append_char(out, '\n');
		for (int i = 0; i < 8; i++)
			buf_append_char(out, (char)((uint64_t)value.len >> (8 * i)));
	} else {
		buf_append_char(out, '=');
	}
	buf_append(out, value);
	buf_append_char(out, '\n');
}

static void append_journal_text(struct buf *out, struct slice text, struct buf *work)
{
	buf_clear(work);
	append_escaped(work, text, PLACE_VALUE);
	append_journal_value(out, buf_slice(work));
}

static void append_journal_field(struct buf *out, const struct log_field *field, struct buf *work)
{
	append_journal_name(out, own_name(field->name));
	if (log_field_has_text(field)) {
		append_journal_text(out, field->text, work);
		return;
	}
	buf_append_char(out, '=');
	append_scalar(out, field);
	buf_append_char(out, '\n');
}

/* `journalctl` shows MESSAGE alone, so it has the fields too; unless escapes make it so long that they might not fit twice. */
static void append_journal_message(struct buf *out, const struct log_entry *entry, struct buf *work)
{
	append_body(work, entry, false);
	if (buf_len(work) > LOG_DATAGRAM_MAX / 4) {
		buf_clear(work);
		append_escaped(work, entry->text, PLACE_MESSAGE);
	}
	buf_append_cstr(out, "MESSAGE");
	append_journal_value(out, without_last_newline(buf_slice(work)));
}

static void format_journal(struct buf *out, const struct log_entry *entry)
{
	static const int priorities[LOG_LEVELS] = { 7, 6, 4, 3 };
	struct buf work;

	buf_init(&work, 0);
	append_journal_message(out, entry, &work);
	buf_printf(out, "PRIORITY=%d\nSYSLOG_IDENTIFIER=hookswitch\n" PREFIX "TIME=", priorities[entry->level]);
	append_utc(out, entry->wall_ms);
	buf_append_cstr(out, "\n" PREFIX "MSG");
	append_journal_text(out, entry->text, &work);
	for (size_t i = 0; i < entry->count; i++)
		append_journal_field(out, &entry->fields[i], &work);
	if (entry->cut > 0)
		buf_printf(out, PREFIX "CUT_BYTES=%zu\n", entry->cut);
	buf_close(&work);
}

void log_format_entry(struct buf *out, const struct log_entry *entry, enum log_format format, bool colour)
{
	if (format == LOG_JOURNAL)
		format_journal(out, entry);
	else if (format == LOG_JSON)
		format_json(out, entry);
	else
		format_text(out, entry, colour);
}
