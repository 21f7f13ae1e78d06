#include "observe/log_throttle.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

/* Bounds of what is remembered: with more different records in a window the oldest window ends early. */
#define WINDOWS_MAX 4096
#define TEXT_KEPT 256
#define NAME_KEPT 128

struct key {
	struct slice all;
	struct slice text, server, rule; /* parts of it */
	char bytes[sizeof(uint64_t) + TEXT_KEPT + 2 * NAME_KEPT];
};

struct window {
	struct list node; /* by start: all windows are equally long, so the head ends first */
	struct list holds; /* by start too: those that hold something back; else linked to itself */
	uint64_t start;
	unsigned seen;
	uint64_t held;
	enum log_level level;
	struct slice key;
	struct slice text, server, rule; /* parts of the key */
	char bytes[];
};

struct log_throttle {
	struct map windows;
	struct list by_start;
	struct list holding; /* some of them: the writer asks for the first before each sleep */
	log_throttle_report_fn *fn;
	void *ctx;
};

struct log_throttle *log_throttle_create(log_throttle_report_fn *fn, void *ctx)
{
	struct log_throttle *throttle = mem_zalloc(sizeof *throttle);
	map_init(&throttle->windows, false);
	list_init(&throttle->by_start);
	list_init(&throttle->holding);
	throttle->fn = fn;
	throttle->ctx = ctx;
	return throttle;
}

static void report(struct log_throttle *throttle, const struct window *window, uint64_t now)
{
	struct log_field fields[4];
	size_t count = 0;

	if (window->server.len > 0)
		fields[count++] = F_SLICE("server", window->server);
	if (window->rule.len > 0)
		fields[count++] = F_SLICE("rule", window->rule);
	fields[count++] = F_INT("repeated", window->held);
	fields[count++] = F_INT("seconds", (now - window->start + CLOCK_NS_PER_S / 2) / CLOCK_NS_PER_S);
	struct log_entry entry = {
		.level = window->level,
		.wall_ms = (int64_t)(clock_wall() * 1000),
		.text = window->text,
		.fields = fields,
		.count = count,
	};
	throttle->fn(throttle->ctx, &entry);
}

static void end_window(struct log_throttle *throttle, struct window *window, uint64_t now)
{
	map_remove(&throttle->windows, window->key);
	list_remove(&window->node);
	list_remove(&window->holds);
	if (window->held > 0)
		report(throttle, window, now);
	free(window);
}

void log_throttle_destroy(struct log_throttle **throttle)
{
	if (!*throttle)
		return;
	list_each_safe (it, &(*throttle)->by_start)
		end_window(*throttle, list_entry(it, struct window, node), clock_mono_ns());
	map_close(&(*throttle)->windows);
	free(*throttle);
	*throttle = NULL;
}

static struct slice text_field(const struct log_entry *entry, const char *name)
{
	for (size_t i = 0; i < entry->count; i++)
		if (entry->fields[i].type == LOG_FIELD_TEXT && strcmp(entry->fields[i].name, name) == 0)
			return entry->fields[i].text;
	return SLICE("");
}

static uint64_t hash_more(uint64_t hash, struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		hash = (hash ^ (uint8_t)s.ptr[i]) * UINT64_C(1099511628211);
	/* The length keeps "ab" + "c" apart from "a" + "bc". */
	return (hash ^ s.len) * UINT64_C(1099511628211);
}

static struct slice keep(struct key *key, struct slice s, size_t max)
{
	char *to = key->bytes + key->all.len;
	size_t len = s.len < max ? s.len : max;
	if (len > 0)
		memcpy(to, s.ptr, len);
	key->all.len += len;
	return slice_make(to, len);
}

/* The key is what we keep of the three texts, behind a hash of them in full. */
static void make_key(struct key *key, const struct log_entry *entry)
{
	struct slice server = text_field(entry, "server"), rule = text_field(entry, "rule");
	uint64_t hash = hash_more(hash_more(hash_more(UINT64_C(14695981039346656037), entry->text), server), rule);

	for (size_t i = 0; entry->exact && i < entry->count; i++) {
		const struct log_field *f = &entry->fields[i];
		if (f->varies)
			continue;
		/* Every other kind of value fills the first eight bytes of the union, or one of them. */
		struct slice raw = { (const char *)&f->integer, f->type == LOG_FIELD_BOOL ? 1 : sizeof f->integer };
		hash = hash_more(hash_more(hash, slice_cstr(f->name)), log_field_has_text(f) ? f->text : raw);
	}
	memcpy(key->bytes, &hash, sizeof hash);
	key->all = slice_make(key->bytes, sizeof hash);
	key->text = keep(key, entry->text, TEXT_KEPT);
	key->server = keep(key, server, NAME_KEPT);
	key->rule = keep(key, rule, NAME_KEPT);
}

static struct slice moved(struct slice part, const struct key *from, const struct window *to)
{
	return slice_make(to->bytes + (part.ptr - from->bytes), part.len);
}

static struct window *begin_window(struct log_throttle *throttle, const struct key *key, uint64_t now)
{
	if (throttle->windows.count >= WINDOWS_MAX)
		end_window(throttle, list_entry(throttle->by_start.next, struct window, node), now);
	struct window *window = mem_zalloc(sizeof *window + key->all.len);
	memcpy(window->bytes, key->bytes, key->all.len);
	window->key = moved(key->all, key, window);
	window->text = moved(key->text, key, window);
	window->server = moved(key->server, key, window);
	window->rule = moved(key->rule, key, window);
	window->start = now;
	map_set(&throttle->windows, window->key, window);
	list_append(&throttle->by_start, &window->node);
	list_init(&window->holds);
	return window;
}

/* From the end: what begins to repeat has mostly begun late. */
static void begin_holding(struct log_throttle *throttle, struct window *window)
{
	struct list *before = throttle->holding.prev;

	while (before != &throttle->holding && list_entry(before, struct window, holds)->start > window->start)
		before = before->prev;
	list_append(before->next, &window->holds);
}

bool log_throttle_pass(struct log_throttle *throttle, const struct log_entry *entry, uint64_t now, unsigned burst,
                       uint64_t window_ns)
{
	struct key key;

	log_throttle_expire(throttle, now, window_ns);
	make_key(&key, entry);
	struct window *window = map_get(&throttle->windows, key.all);
	if (!window)
		window = begin_window(throttle, &key, now);
	if (window->seen < burst) {
		window->seen++;
		return true;
	}
	if (window->held++ == 0)
		begin_holding(throttle, window);
	window->level = entry->level;
	return false;
}

static bool is_over(const struct window *window, uint64_t now, uint64_t window_ns)
{
	/* Threads' stamps may come slightly out of order. */
	return now >= window->start && now - window->start >= window_ns;
}

void log_throttle_expire(struct log_throttle *throttle, uint64_t now, uint64_t window_ns)
{
	list_each_safe (it, &throttle->by_start) {
		struct window *window = list_entry(it, struct window, node);
		if (!is_over(window, now, window_ns))
			break;
		end_window(throttle, window, now);
	}
}

uint64_t log_throttle_deadline(const struct log_throttle *throttle, uint64_t window_ns)
{
	if (list_empty(&throttle->holding))
		return UINT64_MAX;
	return list_entry(throttle->holding.next, struct window, holds)->start + window_ns;
}
