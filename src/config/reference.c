/* The option table as conf/README.md shows it: one Markdown table for each section. */
#include <math.h>

#include "config/options.h"

static void print_bytes(struct buf *out, double bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB" };
	unsigned unit = 0;
	while (unit < 3 && bytes >= 1024 && fmod(bytes, 1024) == 0) {
		bytes /= 1024;
		unit++;
	}
	buf_printf(out, "%.15g %s", bytes, units[unit]);
}

static bool is_bytes(const struct option *option)
{
	return option->unit && strcmp(option->unit, "bytes") == 0;
}

/* Each word of `words` in code marks, as Lua writes it. */
static void print_words(struct buf *out, const char *words)
{
	while (*words) {
		size_t len = strcspn(words, " ");
		buf_printf(out, "`\"%.*s\"`", (int)len, words);
		words += len;
		if (*words == ' ') {
			buf_append_cstr(out, ", ");
			words++;
		}
	}
}

static void print_type(struct buf *out, const struct option *option)
{
	static const char *const names[] = {
		[OPTION_TEXT] = "text",
		[OPTION_INTEGER] = "integer",
		[OPTION_NUMBER] = "number",
		[OPTION_BOOLEAN] = "boolean",
		[OPTION_LIST] = "list of texts",
		[OPTION_WORD] = "word",
		[OPTION_ENUM] = "word",
		[OPTION_TREE] = "table",
	};
	buf_append_cstr(out, names[option->type]);
}

static void print_range(struct buf *out, const struct option *option)
{
	switch (option->type) {
	case OPTION_INTEGER:
	case OPTION_NUMBER:
		if (is_bytes(option)) {
			print_bytes(out, option->min);
			buf_append_cstr(out, " to ");
			print_bytes(out, option->max);
		} else {
			buf_printf(out, "%.15g to %.15g", option->min, option->max);
		}
		break;
	case OPTION_TEXT:
		buf_printf(out, "%.15g to %.15g bytes", option->min, option->max);
		break;
	case OPTION_LIST:
		if (option->min > 0)
			buf_printf(out, "%.15g to %.15g", option->min, option->max);
		else
			buf_printf(out, "up to %.15g", option->max);
		break;
	case OPTION_WORD:
	case OPTION_ENUM:
		print_words(out, option->choices);
		break;
	case OPTION_BOOLEAN:
		buf_append_cstr(out, "`true`, `false`");
		break;
	case OPTION_TREE:
		break;
	}
}

static void print_default(struct buf *out, const struct option *option)
{
	if (option->flags & OPTION_REQUIRED) {
		buf_append_cstr(out, "required");
		return;
	}
	switch (option->type) {
	case OPTION_INTEGER:
	case OPTION_NUMBER:
		if (is_bytes(option))
			print_bytes(out, option->number);
		else
			buf_printf(out, "%.15g", option->number);
		break;
	case OPTION_BOOLEAN:
		buf_append_cstr(out, option->number != 0 ? "`true`" : "`false`");
		break;
	case OPTION_TREE:
	case OPTION_LIST:
	case OPTION_TEXT:
	case OPTION_WORD:
	case OPTION_ENUM:
		if (option->text)
			print_words(out, option->text);
		else
			buf_append_cstr(out, option->type == OPTION_TEXT ? "none" : "`{}`");
		break;
	}
}

void config_print_reference(struct buf *out)
{
	struct slice section = { "", 0 };
	for (size_t i = 0; i < option_count; i++) {
		const struct option *option = &options[i];
		struct slice first = slice_make(option->path, strcspn(option->path, "."));
		if (!slice_eq(first, section)) {
			buf_printf(out, "%s### %.*s\n\n", i ? "\n" : "", SLICE_ARG(first));
			buf_append_cstr(out, "| Option | Type | Unit | Range | Default | Meaning |\n|---|---|---|---|---|---|\n");
			section = first;
		}
		buf_printf(out, "| `%s` | ", option->path);
		print_type(out, option);
		buf_printf(out, " | %s | ", option->unit ? option->unit : "");
		print_range(out, option);
		buf_append_cstr(out, " | ");
		print_default(out, option);
		buf_printf(out, " | %s%s |\n", option->help, option->flags & OPTION_RESTART ? " Needs a restart." : "");
	}
}
