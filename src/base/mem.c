#include "base/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static struct {
	_Atomic(void *) block; /* NULL: in use, or none was taken */
	atomic_size_t bytes;
	atomic_bool is_short;
	atomic_ulong times;
} reserve;

static void out_of_memory(size_t wanted) __attribute__((noreturn));

static void out_of_memory(size_t wanted)
{
	fprintf(stderr, "hookswitch: out of memory: the system has no %zu bytes left, and the reserve is used up\n", wanted);
	abort();
}

void mem_reserve(size_t bytes)
{
	atomic_store(&reserve.bytes, bytes);
	free(atomic_exchange(&reserve.block, bytes > 0 ? malloc(bytes) : NULL));
}

bool mem_is_short(void)
{
	return atomic_load_explicit(&reserve.is_short, memory_order_relaxed);
}

bool mem_recover(void)
{
	if (!mem_is_short())
		return true;
	void *block = malloc(atomic_load(&reserve.bytes));
	if (!block)
		return false;
	free(atomic_exchange(&reserve.block, block));
	atomic_store(&reserve.is_short, false);
	return true;
}

unsigned long mem_shortages(void)
{
	return atomic_load(&reserve.times);
}

/* malloc() has failed: makes the reserve available to it. False when there is none. */
static bool use_reserve(void)
{
	void *block = atomic_exchange(&reserve.block, NULL);
	if (!block)
		return mem_is_short(); /* another thread has just done it, or what is left of it may do */
	atomic_store(&reserve.is_short, true);
	atomic_fetch_add(&reserve.times, 1);
	free(block);
	return true;
}

void *mem_alloc(size_t size)
{
	void *p = malloc(size ? size : 1);
	if (!p && use_reserve())
		p = malloc(size ? size : 1);
	if (!p)
		out_of_memory(size);
	return p;
}

#define SMALL 1024 /* bytes */

void *mem_zalloc(size_t size)
{
	/* calloc() of glibc passes by the thread's cache of small blocks. */
	if (size > 0 && size <= SMALL)
		return memset(mem_alloc(size), 0, size);
	void *p = calloc(1, size ? size : 1);
	if (!p && use_reserve())
		p = calloc(1, size ? size : 1);
	if (!p)
		out_of_memory(size);
	return p;
}

void *mem_realloc(void *ptr, size_t count, size_t size)
{
	size_t total;
	if (__builtin_mul_overflow(count, size, &total))
		out_of_memory(SIZE_MAX);
	void *p = realloc(ptr, total ? total : 1);
	if (!p && use_reserve())
		p = realloc(ptr, total ? total : 1);
	if (!p)
		out_of_memory(total);
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
	va_list args;
	va_start(args, format);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	char *text = mem_alloc(n < 0 ? 1 : (size_t)n + 1);
	text[0] = '\0';
	va_start(args, format);
	if (n > 0)
		vsnprintf(text, (size_t)n + 1, format, args);
	va_end(args);
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
