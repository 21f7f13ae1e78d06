#include "base/faults.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"

void faults_init(struct faults *faults)
{
	*faults = (struct faults){ 0 };
}

void faults_close(struct faults *faults)
{
	for (size_t i = 0; i < faults->count; i++)
		free(faults->lines[i]);
	free(faults->lines);
	faults_init(faults);
}

static void add(struct faults *faults, const char *prefix, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

static void add(struct faults *faults, const char *prefix, const char *format, va_list args)
{
	char *text = NULL;
	if (vasprintf(&text, format, args) < 0)
		text = mem_strdup(format);
	if (faults->count == faults->cap) {
		faults->cap = faults->cap ? faults->cap * 2 : 8;
		faults->lines = mem_realloc(faults->lines, faults->cap, sizeof *faults->lines);
	}
	faults->lines[faults->count++] = mem_printf("%s%s", prefix, text);
	free(text);
}

void faults_add(struct faults *faults, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add(faults, "", format, args);
	va_end(args);
}

void faults_warn(struct faults *faults, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add(faults, FAULTS_WARNING, format, args);
	va_end(args);
	faults->warnings++;
}

char *faults_text(const struct faults *faults)
{
	struct buf text;
	buf_init(&text, 0);
	for (size_t i = 0; i < faults->count; i++) {
		buf_append_cstr(&text, faults->lines[i]);
		buf_append_char(&text, '\n');
	}
	char *copy = mem_slicedup(buf_slice(&text));
	buf_close(&text);
	return copy;
}
