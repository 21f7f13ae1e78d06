#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "observe/redact_patterns.h"

/* Values are found by their first four bytes, so that text is scanned once however many secrets there are. */
#define PREFIX 4
#define BUCKETS 1024
/* How far behind the room of a copy patterns look for the end of what begins before it. */
#define LOOK_AHEAD 4096

struct secret {
	struct secret *next; /* fixed once the node stands in its bucket */
	size_t len;
	char bytes[];
};

/* Nodes are only ever added, at the head by compare-and-swap; so readers need no lock (P1). */
static _Atomic(struct secret *) buckets[BUCKETS];
static atomic_size_t secret_count;
static _Atomic(struct redact_patterns *) patterns;

static const struct redact_patterns *patterns_now(void)
{
	return atomic_load_explicit(&patterns, memory_order_acquire);
}

bool redact_name(struct slice name)
{
	static const char *const whole[] = {
		"key", "apikey", "api_key", "api-key", "authkey", "auth_key", "privatekey", "private_key",
		"authorization", "cookie", "set-cookie", "pin", "md5cred", "receivedhash", "expectedresponse",
	};
	static const char *const parts[] = { "secret", "passw", "passphrase", "challenge", "token", "credential" };

	for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
		if (slice_eq_nocase(name, slice_cstr(whole[i])))
			return true;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		for (struct slice rest = name; rest.len > 0; rest.ptr++, rest.len--)
			if (slice_starts_with_nocase(rest, slice_cstr(parts[i])))
				return true;
	return patterns_hide_name(patterns_now(), name);
}

static size_t bucket_of(const char *bytes)
{
	uint32_t prefix;
	memcpy(&prefix, bytes, PREFIX);
	return (prefix * 2654435761u) >> 22;
}

/* Length of the longest secret that begins at the start of `s`, or 0. */
static size_t match(struct slice s)
{
	size_t longest = 0;
	if (s.len < PREFIX)
		return 0;
	const struct secret *it = atomic_load_explicit(&buckets[bucket_of(s.ptr)], memory_order_acquire);
	for (; it; it = it->next)
		if (it->len > longest && it->len <= s.len && memcmp(it->bytes, s.ptr, it->len) == 0)
			longest = it->len;
	return longest;
}

void redact_add_value(const char *text)
{
	size_t len = text ? strlen(text) : 0;
	if (len < PREFIX)
		return;
	_Atomic(struct secret *) *head = &buckets[bucket_of(text)];
	struct secret *first = atomic_load_explicit(head, memory_order_acquire);
	for (const struct secret *it = first; it; it = it->next)
		if (it->len == len && memcmp(it->bytes, text, len) == 0)
			return;
	struct secret *secret = mem_alloc(sizeof *secret + len);
	secret->len = len;
	memcpy(secret->bytes, text, len);
	do
		secret->next = first;
	while (!atomic_compare_exchange_weak_explicit(head, &first, secret, memory_order_release, memory_order_acquire));
	atomic_fetch_add(&secret_count, 1);
}

void redact_use(struct redact_patterns **fresh)
{
	struct redact_patterns *now = atomic_load(&patterns);

	if (!*fresh || patterns_equal(*fresh, now)) {
		redact_patterns_destroy(fresh);
		return;
	}
	patterns_follow(*fresh, now);
	atomic_store_explicit(&patterns, *fresh, memory_order_release);
	*fresh = NULL;
}

/* What to hide of what begins in the first `window` bytes. -1: all of it. */
static int find_spans(struct slice text, size_t window, struct spans *spans)
{
	const struct redact_patterns *now = patterns_now();

	spans->count = 0;
	if (atomic_load_explicit(&secret_count, memory_order_relaxed) > 0)
		for (size_t i = 0; i < window; i++) {
			size_t len = match(slice_make(text.ptr + i, text.len - i));
			if (len > 0)
				spans_add(spans, i, i + len);
		}
	if (patterns_have_values(now) && window > 0 && patterns_find(now, slice_make(text.ptr, window), window < text.len, spans) == -1)
		return -1;
	spans_join(spans);
	return 0;
}

static size_t copy(char *to, size_t cap, struct slice text, size_t window, const struct spans *spans, size_t *used)
{
	struct slice mask = SLICE(REDACTED);
	size_t out = 0, in = 0;

	for (size_t i = 0; i <= spans->count && in < window; i++) {
		size_t next = i < spans->count ? spans->items[i].from : window;
		size_t n = next - in < cap - out ? next - in : cap - out;
		if (n > 0)
			memcpy(to + out, text.ptr + in, n);
		out += n;
		in += n;
		if (in < next || i == spans->count || cap - out < mask.len)
			break;
		memcpy(to + out, mask.ptr, mask.len);
		out += mask.len;
		in = spans->items[i].to < text.len ? spans->items[i].to : text.len;
	}
	*used = in;
	return out;
}

struct slice redact_text(struct slice text, char **masked)
{
	struct slice mask = SLICE(REDACTED);
	struct spans spans;
	size_t used;

	*masked = NULL;
	if (find_spans(text, text.len, &spans) == -1) {
		*masked = mem_slicedup(mask);
		return slice_make(*masked, mask.len);
	}
	if (spans.count == 0)
		return text;
	size_t room = text.len + spans.count * mask.len;
	*masked = mem_alloc(room);
	return slice_make(*masked, copy(*masked, room, text, text.len, &spans, &used));
}

size_t redact_copy(char *to, size_t cap, struct slice text, size_t *used)
{
	struct slice mask = SLICE(REDACTED);
	struct spans spans;
	size_t window = text.len > cap && text.len - cap > LOOK_AHEAD ? cap + LOOK_AHEAD : text.len;

	if (find_spans(text, window, &spans) == 0)
		return copy(to, cap, text, window, &spans, used);
	*used = cap < mask.len ? 0 : text.len;
	if (cap < mask.len)
		return 0;
	memcpy(to, mask.ptr, mask.len);
	return mask.len;
}

void redact_clear(void)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		struct secret *it = atomic_exchange(&buckets[i], NULL);
		while (it) {
			struct secret *next = it->next;
			explicit_bzero(it->bytes, it->len);
			free(it);
			it = next;
		}
	}
	atomic_store(&secret_count, 0);
	struct redact_patterns *all = atomic_exchange(&patterns, NULL);
	redact_patterns_destroy(&all);
}
