#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void out_of_memory(void) __attribute__((noreturn));

static void out_of_memory(void)
{
	fputs("hookswitch: out of memory\n", stderr);
	abort();
}

void *mem_alloc(size_t size)
{
	void *p = malloc(size ? size : 1);
	if (!p)
		out_of_memory();
	return p;
}

void *mem_zalloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);
	if (!p)
		out_of_memory();
	return p;
}

void *mem_realloc(void *ptr, size_t count, size_t size)
{
	size_t total;
	if (__builtin_mul_overflow(count, size, &total))
		out_of_memory();
	void *p = realloc(ptr, total ? total : 1);
	if (!p)
		out_of_memory();
	return p;
}

char *mem_strdup(const char *text)
{
	return mem_slicedup(slice_cstr(text));
}

char *mem_slicedup(struct slice s)
{
	char *copy = mem_alloc(s.len + 1);
	if (s.len > 0)
		memcpy(copy, s.ptr, s.len);
	copy[s.len] = '\0';
	return copy;
}

char *mem_printf(const char *format, ...)
{
	char *text = NULL;
	va_list args;
	va_start(args, format);
	int n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		out_of_memory();
	return text;
}

void mem_free_secret(char **text)
{
	if (!*text)
		return;
	explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
}
