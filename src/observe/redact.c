#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "observe/redact_pairs.h"
#include "observe/redact_patterns.h"

/* Values are found by their first four bytes, so that text is scanned once however many secrets there are. */
#define PREFIX 4
#define BUCKETS 1024
/* How far behind the end of a copy's space patterns look for the end of what begins before it. */
#define LOOK_AHEAD 4096

struct secret {
	struct secret *next; /* fixed once the node stands in its bucket */
	size_t len;
	char bytes[];
};

/* Nodes are only ever added, at the head by compare-and-swap; so readers need no lock (P1). */
static _Atomic(struct secret *) buckets[BUCKETS];
static atomic_size_t secret_count, longest_secret;
/* Whether some value begins with that byte: most text is passed over by this alone. */
static atomic_bool begins[UCHAR_MAX + 1];
static _Atomic(struct redact_patterns *) patterns;

static const struct redact_patterns *patterns_now(void)
{
	return atomic_load_explicit(&patterns, memory_order_acquire);
}

/* Asked for every header of an event that a tail shows, so what is no secret's name is found out quickly. */
#define WORD(text) { (text), sizeof(text) - 1 }

/* A set of letters as bits; a byte's last five bits find its place whatever its case. Other bytes may be taken for letters:
 * the comparison that follows distinguishes them. */
#define LETTER(c) (UINT32_C(1) << ((unsigned char)(c) & 31))

static bool begins_part(struct slice rest)
{
	switch (slice_lower(*rest.ptr)) {
	case 's':
		return slice_starts_with_nocase(rest, SLICE("secret"));
	case 'p':
		return slice_starts_with_nocase(rest, SLICE("passw")) || slice_starts_with_nocase(rest, SLICE("passphrase"));
	case 'c':
		return slice_starts_with_nocase(rest, SLICE("challenge")) || slice_starts_with_nocase(rest, SLICE("credential"));
	case 't':
		return slice_starts_with_nocase(rest, SLICE("token"));
	default:
		return false;
	}
}

static bool has_secret_part(struct slice name)
{
	const uint32_t first = LETTER('s') | LETTER('p') | LETTER('c') | LETTER('t');
	const uint32_t second = LETTER('e') | LETTER('a') | LETTER('h') | LETTER('o') | LETTER('r');

	for (size_t i = 0; i + 1 < name.len; i++)
		if ((first & LETTER(name.ptr[i])) && (second & LETTER(name.ptr[i + 1])) &&
		    begins_part(slice_make(name.ptr + i, name.len - i)))
			return true;
	return false;
}

static bool is_secret_word(struct slice name)
{
	static const struct slice words[] = {
		WORD("key"), WORD("apikey"), WORD("api_key"), WORD("api-key"), WORD("authkey"), WORD("auth_key"), WORD("privatekey"),
		WORD("private_key"), WORD("authorization"), WORD("cookie"), WORD("set-cookie"), WORD("pin"), WORD("md5cred"),
		WORD("receivedhash"), WORD("expectedresponse"),
	};
	const uint32_t first = LETTER('k') | LETTER('a') | LETTER('p') | LETTER('c') | LETTER('s') | LETTER('m') | LETTER('r') | LETTER('e');
	/* Of "key", "cookie", "md5cred", "receivedhash", "authorization", "expectedresponse". */
	const uint32_t last = LETTER('y') | LETTER('e') | LETTER('n') | LETTER('d') | LETTER('h');

	if (name.len == 0 || !(first & LETTER(name.ptr[0])) || !(last & LETTER(name.ptr[name.len - 1])))
		return false;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (slice_eq_nocase(name, words[i]))
			return true;
	return false;
}

bool redact_name(struct slice name)
{
	return is_secret_word(name) || has_secret_part(name) || patterns_hide_name(patterns_now(), name);
}

bool redact_name_configured(struct slice name)
{
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

static void add_value(struct slice value)
{
	_Atomic(struct secret *) *head = &buckets[bucket_of(value.ptr)];
	struct secret *first = atomic_load_explicit(head, memory_order_acquire);

	for (const struct secret *it = first; it; it = it->next)
		if (it->len == value.len && memcmp(it->bytes, value.ptr, value.len) == 0)
			return;
	struct secret *secret = mem_alloc(sizeof *secret + value.len);
	secret->len = value.len;
	atomic_store_explicit(&begins[(unsigned char)*value.ptr], true, memory_order_release);
	memcpy(secret->bytes, value.ptr, value.len);
	do
		secret->next = first;
	while (!atomic_compare_exchange_weak_explicit(head, &first, secret, memory_order_release, memory_order_acquire));
	for (size_t longest = atomic_load(&longest_secret); longest < value.len;)
		if (atomic_compare_exchange_weak(&longest_secret, &longest, value.len))
			break;
	atomic_fetch_add(&secret_count, 1);
}

/* As it stands in a JSON text; lua-cjson puts a backslash before a slash too. */
static void add_json_value(struct slice value, bool slashes)
{
	struct buf plain, json;

	buf_init(&plain, 0);
	buf_init(&json, 0);
	buf_append_json(&plain, value);
	for (size_t i = 1; i + 1 < buf_len(&plain); i++) {
		char c = buf_slice(&plain).ptr[i];
		if (c == '/' && slashes)
			buf_append_char(&json, '\\');
		buf_append_char(&json, c);
	}
	add_value(buf_slice(&json));
	explicit_bzero(plain.data, buf_len(&plain));
	explicit_bzero(json.data, buf_len(&json));
	buf_close(&plain);
	buf_close(&json);
}

void redact_add_value(const char *text)
{
	struct slice value = slice_cstr(text ? text : "");

	if (value.len < PREFIX)
		return;
	add_value(value);
	add_json_value(value, false);
	add_json_value(value, true);
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

/* Length of the known value that begins at `i`, or 0. */
static size_t value_at(struct slice text, size_t i)
{
	if (!atomic_load_explicit(&begins[(unsigned char)text.ptr[i]], memory_order_relaxed))
		return 0;
	return match(slice_make(text.ptr + i, text.len - i));
}

/* What to hide of what begins in the first `window` bytes. -1: all of it. */
static int find_spans(struct slice text, size_t window, struct spans *spans)
{
	const struct redact_patterns *now = patterns_now();

	spans->count = 0;
	if (atomic_load_explicit(&secret_count, memory_order_relaxed) > 0)
		for (size_t i = 0; i < window; i++) {
			size_t len = value_at(text, i);
			if (len > 0)
				spans_add(spans, i, i + len);
		}
	pairs_find(text, window, spans);
	if (patterns_have_values(now) && window > 0 && patterns_find(now, slice_make(text.ptr, window), window < text.len, spans) == -1)
		return -1;
	if (spans->count > 1)
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
	size_t size = text.len + spans.count * mask.len;
	*masked = mem_alloc(size);
	return slice_make(*masked, copy(*masked, size, text, text.len, &spans, &used));
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

void redact_mask(char *to, struct slice text)
{
	struct spans spans;

	if (find_spans(text, text.len, &spans) == -1) {
		memset(to, '*', text.len);
		return;
	}
	for (size_t i = 0; i < spans.count; i++) {
		size_t end = spans.items[i].to < text.len ? spans.items[i].to : text.len;
		memset(to + spans.items[i].from, '*', end - spans.items[i].from);
	}
}

void redact_mask_values(char *to, struct slice text)
{
	size_t end = 0; /* of the values that begin before */

	if (atomic_load_explicit(&secret_count, memory_order_relaxed) == 0)
		return;
	for (size_t i = 0; i < text.len; i++) {
		size_t len = value_at(text, i);
		if (len > 0 && i + len > end)
			end = i + len;
		if (i < end && text.ptr[i] != '\r' && text.ptr[i] != '\n')
			to[i] = '*';
	}
}

size_t redact_longest_value(void)
{
	return atomic_load(&longest_secret);
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
	atomic_store(&longest_secret, 0);
	for (size_t i = 0; i <= UCHAR_MAX; i++)
		atomic_store(&begins[i], false);
	struct redact_patterns *all = atomic_exchange(&patterns, NULL);
	redact_patterns_destroy(&all);
}
