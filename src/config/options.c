#include "config/options.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

_Static_assert(sizeof(enum config_auth) == sizeof(unsigned), "an enum is stored as an unsigned");

const struct option *option_find(const char *path)
{
	for (size_t i = 0; i < option_count; i++)
		if (strcmp(options[i].path, path) == 0)
			return &options[i];
	return NULL;
}

bool option_is_section(const char *path)
{
	size_t len = strlen(path);
	if (len == 0)
		return true;
	for (size_t i = 0; i < option_count; i++)
		if (strncmp(options[i].path, path, len) == 0 && options[i].path[len] == '.')
			return true;
	return false;
}

bool option_name_ok(struct slice name)
{
	if (name.len < 1 || name.len > 64)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i], lower = slice_lower(c);
		if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '.' && c != '-')
			return false;
	}
	return true;
}

static const char *type_text(const struct value *value)
{
	switch (value->type) {
	case VALUE_BOOL: return value->boolean ? "true" : "false";
	case VALUE_INT: return "an integer";
	case VALUE_NUMBER: return "a number";
	case VALUE_TEXT: return "a text";
	case VALUE_TABLE: return "a table";
	case VALUE_NIL: break;
	}
	return "nothing";
}

static struct slice text_of(const struct value *value)
{
	return slice_make(value->text.bytes, value->text.len);
}

static int wrong_type(struct buf *why, const char *wanted, const struct value *value)
{
	buf_printf(why, "must be %s, is %s", wanted, type_text(value));
	return -1;
}

/* Control characters have no place in any option: they would end up in actions, paths and logs. */
static int check_text(const struct option *option, struct slice text, struct buf *why)
{
	bool list = option->type == OPTION_LIST;
	double max = list ? 256 : option->max, min = list ? 1 : option->min;
	const char *complaint = NULL;
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
			complaint = "must not hold control characters such as line ends";
	if (text.len == 0 && min > 0)
		complaint = list ? "must not hold an empty text" : "must not be empty";
	else if ((double)text.len > max || (double)text.len < min) {
		buf_printf(why, "must be %g to %g bytes long, is %zu", min, max, text.len);
		return -1;
	}
	if (!complaint && option->check)
		complaint = option->check(text);
	return complaint ? (buf_append_cstr(why, complaint), -1) : 0;
}

/* Place of the word among the choices, or -1. */
static int choice_index(const char *choices, struct slice word)
{
	int index = 0;
	while (*choices) {
		size_t len = strcspn(choices, " ");
		if (slice_eq(word, slice_make(choices, len)))
			return index;
		choices += len + (choices[len] == ' ');
		index++;
	}
	return -1;
}

static int check_choice(const struct option *option, const struct value *value, struct buf *why)
{
	if (value->type == VALUE_TEXT && choice_index(option->choices, text_of(value)) >= 0)
		return 0;
	buf_append_cstr(why, "must be one of ");
	for (const char *c = option->choices; *c;) {
		size_t len = strcspn(c, " ");
		buf_printf(why, "\"%.*s\"", (int)len, c);
		c += len;
		if (*c == ' ') {
			c++;
			buf_append_cstr(why, strchr(c, ' ') ? ", " : " or ");
		}
	}
	if (value->type != VALUE_TEXT)
		buf_printf(why, ", is %s", type_text(value));
	return -1;
}

static int check_list(const struct option *option, const struct value *value, struct buf *why)
{
	if (value->type != VALUE_TABLE)
		return wrong_type(why, "a list of texts in braces", value);
	if ((double)value->table.count > option->max) {
		buf_printf(why, "must be at most %g texts, is %zu", option->max, value->table.count);
		return -1;
	}
	if ((double)value->table.count < option->min) {
		buf_printf(why, "must be at least %g text%s, is empty", option->min, option->min > 1 ? "s" : "");
		return -1;
	}
	/* Pairs are sorted: integers first, in order. */
	for (size_t i = 0; i < value->table.count; i++) {
		const struct value_pair *pair = &value->table.pairs[i];
		if (pair->key.type != VALUE_INT || pair->key.integer != (int64_t)i + 1) {
			buf_append_cstr(why, "must be a list of texts in braces, without names or gaps");
			return -1;
		}
		if (pair->value.type != VALUE_TEXT) {
			buf_printf(why, "must be a list of texts, but item %zu is %s", i + 1, type_text(&pair->value));
			return -1;
		}
		if (check_text(option, text_of(&pair->value), why) == -1) {
			buf_printf(why, " (item %zu)", i + 1);
			return -1;
		}
	}
	return 0;
}

static int check_number(const struct option *option, const struct value *value, struct buf *why)
{
	bool whole = option->type == OPTION_INTEGER;
	if (value->type != VALUE_INT && value->type != VALUE_NUMBER)
		return wrong_type(why, whole ? "an integer" : "a number", value);
	double number = value->type == VALUE_INT ? (double)value->integer : value->number;
	const char *unit = option->unit ? option->unit : "", *space = option->unit ? " " : "";
	if (isnan(number)) {
		buf_append_cstr(why, "must be a number, is the result of a division by zero or the like");
		return -1;
	}
	if (!(number >= option->min && number <= option->max)) {
		buf_printf(why, "must be %.15g to %.15g%s%s, is %.15g", option->min, option->max, space, unit, number);
		return -1;
	}
	if (whole && number != floor(number)) {
		buf_printf(why, "must be an integer, is %.15g", number);
		return -1;
	}
	return 0;
}

int option_check(const struct option *option, const struct value *value, struct buf *why)
{
	switch (option->type) {
	case OPTION_TEXT:
		return value->type == VALUE_TEXT ? check_text(option, text_of(value), why) : wrong_type(why, "a text in quotes", value);
	case OPTION_INTEGER:
	case OPTION_NUMBER:
		return check_number(option, value, why);
	case OPTION_BOOLEAN:
		return value->type == VALUE_BOOL ? 0 : wrong_type(why, "true or false", value);
	case OPTION_LIST:
		return check_list(option, value, why);
	case OPTION_WORD:
	case OPTION_ENUM:
		return check_choice(option, value, why);
	case OPTION_TREE:
		return value->type == VALUE_TABLE ? 0 : wrong_type(why, "a table", value);
	}
	return 0;
}

static struct config_list list_of(const struct value *value)
{
	struct config_list list = { 0 };
	for (size_t i = 0; i < value->table.count; i++)
		config_list_add(&list, text_of(&value->table.pairs[i].value));
	return list;
}

static struct config_list list_of_words(const char *words)
{
	struct config_list list = { 0 };
	while (words && *words) {
		size_t len = strcspn(words, " ");
		config_list_add(&list, slice_make(words, len));
		words += len + (words[len] == ' ');
	}
	return list;
}

void option_store(const struct option *option, const struct value *value, void *base)
{
	void *at = (char *)base + option->offset;
	double number = option->number;
	if (value && (value->type == VALUE_INT || value->type == VALUE_NUMBER))
		number = value->type == VALUE_INT ? (double)value->integer : value->number;

	switch (option->type) {
	case OPTION_TEXT:
	case OPTION_WORD:
		if (value)
			*(char **)at = mem_slicedup(text_of(value));
		else
			*(char **)at = option->text ? mem_strdup(option->text) : NULL;
		break;
	case OPTION_INTEGER:
		if (option->width == sizeof(uint32_t))
			*(uint32_t *)at = (uint32_t)number;
		else
			*(int64_t *)at = (int64_t)number;
		break;
	case OPTION_NUMBER:
		*(double *)at = number;
		break;
	case OPTION_BOOLEAN:
		*(bool *)at = value ? value->boolean : number != 0;
		break;
	case OPTION_LIST:
		*(struct config_list *)at = value ? list_of(value) : list_of_words(option->text);
		break;
	case OPTION_ENUM: {
		unsigned index = (unsigned)choice_index(option->choices, value ? text_of(value) : slice_cstr(option->text));
		memcpy(at, &index, sizeof index);
		break;
	}
	case OPTION_TREE:
		*(struct value *)at = value ? value_copy(value) : (struct value){ .type = VALUE_TABLE };
		break;
	}
}

void option_close(const struct option *option, void *base)
{
	void *at = (char *)base + option->offset;
	if (option->type == OPTION_TEXT || option->type == OPTION_WORD) {
		mem_free_secret((char **)at);
	} else if (option->type == OPTION_LIST) {
		config_list_close(at);
	} else if (option->type == OPTION_TREE) {
		value_close(at);
	}
}

static bool text_equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool tree_equal(const struct value *a, const struct value *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case VALUE_NIL: return true;
	case VALUE_BOOL: return a->boolean == b->boolean;
	case VALUE_INT: return a->integer == b->integer;
	case VALUE_NUMBER: return a->number == b->number;
	case VALUE_TEXT: return slice_eq(text_of(a), text_of(b));
	case VALUE_TABLE: break;
	}
	if (a->table.count != b->table.count)
		return false;
	for (size_t i = 0; i < a->table.count; i++)
		if (!tree_equal(&a->table.pairs[i].key, &b->table.pairs[i].key) ||
		    !tree_equal(&a->table.pairs[i].value, &b->table.pairs[i].value))
			return false;
	return true;
}

bool option_equal(const struct option *option, const void *a, const void *b)
{
	const void *x = (const char *)a + option->offset, *y = (const char *)b + option->offset;
	switch (option->type) {
	case OPTION_TEXT:
	case OPTION_WORD: return text_equal(*(char *const *)x, *(char *const *)y);
	case OPTION_INTEGER: return memcmp(x, y, option->width ? option->width : sizeof(int64_t)) == 0;
	case OPTION_NUMBER: return *(const double *)x == *(const double *)y;
	case OPTION_BOOLEAN: return *(const bool *)x == *(const bool *)y;
	case OPTION_LIST: return config_list_equal(x, y);
	case OPTION_ENUM: return memcmp(x, y, sizeof(unsigned)) == 0;
	case OPTION_TREE: return tree_equal(x, y);
	}
	return true;
}
