#include "observe/redact_patterns.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "base/mem.h"

/* Steps of one pattern from one place of a text, and the memory it may take for going back (P1). */
#define MATCH_LIMIT 2000
#define HEAP_LIMIT 256 /* KiB */
#define NAME_MAX_BYTES 256

struct redact_patterns {
	char **names; /* in lower case */
	size_t name_count;
	pcre2_code **values;
	size_t value_count;
	char **sources; /* of the values */
	struct redact_patterns *before;
	pcre2_match_context *context; /* never written to after it was made, so every thread may use it */
};

/* The number says which one, because the pattern itself may be masked where this is shown: `password=\S+`. */
static int refuse(struct err *err, size_t number, const char *pattern, const char *why)
{
	return err_set(err, ERR_INVALID, "redact.values[%zu]: the pattern %s %s", number, pattern, why);
}

/* The pattern that comes next. */
static pcre2_code *compile(const struct redact_patterns *patterns, const char *pattern, struct err *err)
{
	size_t number = patterns->value_count + 1;
	int code;
	size_t at;
	pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
	                                     PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &at, NULL);

	if (!compiled) {
		unsigned char text[128];
		pcre2_get_error_message(code, text, sizeof text);
		err_set(err, ERR_INVALID, "redact.values[%zu]: the pattern %s is wrong at byte %zu: %s", number, pattern, at, (char *)text);
		return NULL;
	}
	/* No just-in-time compiling: the unit forbids memory that is both written and run. */
	pcre2_match_data *match = pcre2_match_data_create(1, NULL);
	int rc = match ? pcre2_match(compiled, (PCRE2_SPTR) "", 0, 0, 0, match, patterns->context) : PCRE2_ERROR_NOMEMORY;
	pcre2_match_data_free(match);
	if (rc == PCRE2_ERROR_NOMATCH)
		return compiled;
	refuse(err, number, pattern, rc >= 0 ? "matches the empty text, so it would match everywhere" : "takes too long on the empty text");
	pcre2_code_free(compiled);
	return NULL;
}

void redact_patterns_destroy(struct redact_patterns **patterns)
{
	struct redact_patterns *p = *patterns;

	*patterns = NULL;
	while (p) {
		struct redact_patterns *before = p->before;
		for (size_t i = 0; i < p->name_count; i++)
			free(p->names[i]);
		for (size_t i = 0; i < p->value_count; i++) {
			pcre2_code_free(p->values[i]);
			free(p->sources[i]);
		}
		free(p->names);
		free(p->values);
		free(p->sources);
		pcre2_match_context_free(p->context);
		free(p);
		p = before;
	}
}

struct redact_patterns *redact_patterns_create(char *const *names, size_t name_count, char *const *values, size_t value_count,
                                               struct err *err)
{
	struct redact_patterns *p = mem_zalloc(sizeof *p);

	if (!(p->context = pcre2_match_context_create(NULL)))
		abort(); /* a small allocation at start-up, as in base/mem.h */
	pcre2_set_match_limit(p->context, MATCH_LIMIT);
	pcre2_set_heap_limit(p->context, HEAP_LIMIT);
	p->names = mem_realloc(NULL, name_count + 1, sizeof *p->names);
	p->values = mem_realloc(NULL, value_count + 1, sizeof *p->values);
	for (; p->name_count < name_count; p->name_count++) {
		p->names[p->name_count] = mem_strdup(names[p->name_count]);
		for (char *c = p->names[p->name_count]; *c; c++)
			*c = slice_lower(*c);
	}
	p->sources = mem_realloc(NULL, value_count + 1, sizeof *p->sources);
	for (; p->value_count < value_count; p->value_count++) {
		if (!(p->values[p->value_count] = compile(p, values[p->value_count], err))) {
			redact_patterns_destroy(&p);
			return NULL;
		}
		p->sources[p->value_count] = mem_strdup(values[p->value_count]);
	}
	return p;
}

static bool texts_equal(char *const *a, size_t a_count, char *const *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

bool patterns_equal(const struct redact_patterns *a, const struct redact_patterns *b)
{
	if (!a || !b)
		return !a && !b;
	return texts_equal(a->names, a->name_count, b->names, b->name_count) &&
	       texts_equal(a->sources, a->value_count, b->sources, b->value_count);
}

void patterns_follow(struct redact_patterns *fresh, struct redact_patterns *before)
{
	fresh->before = before;
}

bool patterns_hide_name(const struct redact_patterns *patterns, struct slice name)
{
	char lower[NAME_MAX_BYTES];

	if (!patterns || patterns->name_count == 0)
		return false;
	if (name.len > sizeof lower)
		return true; /* nobody calls a header so; not worth the risk */
	for (size_t i = 0; i < name.len; i++)
		lower[i] = slice_lower(name.ptr[i]);
	for (size_t i = 0; i < patterns->name_count; i++)
		if (slice_glob(slice_cstr(patterns->names[i]), slice_make(lower, name.len)))
			return true;
	return false;
}

bool patterns_have_values(const struct redact_patterns *patterns)
{
	return patterns && patterns->value_count > 0;
}

/* All matches of one pattern. -1: it took too long. */
static int find(const pcre2_code *code, pcre2_match_context *context, pcre2_match_data *match, struct slice text, bool cut,
                struct spans *spans)
{
	const size_t *place = pcre2_get_ovector_pointer(match);
	size_t at = 0;

	while (at < text.len) {
		int rc = pcre2_match(code, (PCRE2_SPTR)text.ptr, text.len, at, PCRE2_NOTEMPTY | (cut ? PCRE2_PARTIAL_HARD : 0), match, context);
		if (rc == PCRE2_ERROR_NOMATCH)
			return 0;
		if (rc == PCRE2_ERROR_PARTIAL) {
			spans_add(spans, place[0], text.len);
			return 0;
		}
		if (rc < 0)
			return -1;
		/* With \K the start can lie behind the end. */
		size_t from = place[0] < place[1] ? place[0] : place[1], to = place[0] < place[1] ? place[1] : place[0];
		spans_add(spans, from, to);
		at = to > at ? to : at + 1;
	}
	return 0;
}

int patterns_find(const struct redact_patterns *patterns, struct slice text, bool cut, struct spans *spans)
{
	pcre2_match_data *match = pcre2_match_data_create(1, NULL);
	int rc = match ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < patterns->value_count; i++)
		rc = find(patterns->values[i], patterns->context, match, text, cut, spans);
	pcre2_match_data_free(match);
	return rc;
}

void spans_add(struct spans *spans, size_t from, size_t to)
{
	struct span *last = spans->count > 0 ? &spans->items[spans->count - 1] : NULL;

	if (last && from >= last->from && from < last->to) {
		last->to = to > last->to ? to : last->to;
	} else if (spans->count < SPANS_MAX) {
		spans->items[spans->count++] = (struct span){ from, to };
	} else {
		/* Too many to distinguish: hide from the first of these to the end. */
		last->from = from < last->from ? from : last->from;
		last->to = SIZE_MAX;
	}
}

static int by_place(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	return (x->from > y->from) - (x->from < y->from);
}

void spans_join(struct spans *spans)
{
	size_t kept = 0;

	qsort(spans->items, spans->count, sizeof *spans->items, by_place);
	for (size_t i = 0; i < spans->count; i++) {
		struct span *last = kept > 0 ? &spans->items[kept - 1] : NULL;
		if (last && spans->items[i].from < last->to)
			last->to = spans->items[i].to > last->to ? spans->items[i].to : last->to;
		else
			spans->items[kept++] = spans->items[i];
	}
	spans->count = kept;
}
