/* The log of frames and its cursors. The module's source is compiled into this program, so that its allocations can fail. */
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"
#include "check.h"
#include "frame_log_drive.h"

static long fail_after; /* the n-th allocation from now fails, and all that follow; 0: none */

static bool is_refused(void)
{
	if (fail_after > 1)
		fail_after--;
	else if (fail_after == 1)
		return true;
	return false;
}

static void *weak_malloc(size_t size)
{
	return is_refused() ? NULL : malloc(size);
}

static void *weak_realloc(void *ptr, size_t size)
{
	return is_refused() ? NULL : realloc(ptr, size);
}

static void *weak_calloc(size_t count, size_t size)
{
	return is_refused() ? NULL : calloc(count, size);
}

#define malloc weak_malloc
#define calloc weak_calloc
#define realloc weak_realloc
#include "../../src/ami/frame_cursor.c"
#include "../../src/ami/frame_log.c"
#undef malloc
#undef calloc
#undef realloc

/* ---- beside the model ---- */

static void agrees_with_the_model(void)
{
	static uint8_t bytes[12000];
	struct drive_seen seen = { 0 };
	uint64_t state = 20261;
	int line = 0;

	for (unsigned round = 0; round < 120; round++) {
		size_t size = round % 10 == 0 ? sizeof bytes : 2000;
		for (size_t i = 0; i < size; i++) {
			state = state * 6364136223846793005u + 1442695040888963407u;
			bytes[i] = (uint8_t)(state >> 56);
		}
		const char *broken = drive_run(bytes, size, &line, &seen);
		if (!CHECK_NAMED(!broken, "log and model agree")) {
			printf("round %u, frame_log_drive.h:%d: %s\n", round, line, broken);
			return;
		}
	}
	CHECK(seen.stored > 10000 && seen.popped > 10000 && seen.gaps > 1000 && seen.shed > 10000 && seen.grown > 10);
}

/* ---- by hand ---- */

struct bench {
	struct pool pool;
	struct frame_log log;
	struct framer framer;
	uint64_t stamp, skips, firsts;
	unsigned headers; /* more of them in each event */
};

static void count_shed(void *ctx, void *cursor_ctx, struct slice name, bool first)
{
	struct bench *b = ctx;
	(void)cursor_ctx, (void)name;
	b->skips++;
	b->firsts += first;
}

static void bench_open(struct bench *b, uint32_t events)
{
	static const char *const shed_first[] = { "VarSet" };
	*b = (struct bench){ .stamp = 0 };
	pool_init(&b->pool);
	frame_log_init(&b->log,
	               &(struct frame_log_options){ .events = events, .bytes = UINT32_MAX, .kept_bytes = 1000, .shed_first = shed_first,
	                                            .shed_count = 1, .shed = count_shed, .ctx = b },
	               &b->pool);
	framer_init(&b->framer, &(struct framer_limits){ .max_frame = 65536, .max_headers = 256 }, false);
}

static void bench_close(struct bench *b)
{
	frame_log_close(&b->log);
	framer_close(&b->framer);
	pool_close(&b->pool);
}

static void cursor_open(struct bench *b, struct frame_cursor *c, uint32_t events)
{
	frame_cursor_open(c, &b->log, &(struct frame_cursor_options){ .max_events = events, .max_bytes = UINT32_MAX });
}

static bool receive(struct bench *b, const char *bytes, size_t len)
{
	size_t size = 0;
	char *to = frame_log_room(&b->log, &size);
	if (!to || size < len)
		return false;
	memcpy(to, bytes, len);
	frame_log_commit(&b->log, len);
	return true;
}

/* Stores the next frame that has come. */
static int store_next(struct bench *b)
{
	struct message m;
	size_t consumed;
	if (framer_next(&b->framer, frame_log_unframed(&b->log), &m, &consumed) != FRAMER_FRAME)
		return -2;
	return frame_log_store(&b->log, &m, consumed, 0, ++b->stamp, false);
}

static int put(struct bench *b, const char *name)
{
	char frame[4096];
	int len = snprintf(frame, sizeof frame, "Event: %s\r\nChannel: SIP/7-%08u\r\n", name, (unsigned)b->stamp);
	for (unsigned i = 0; i < b->headers; i++)
		len += snprintf(frame + len, sizeof frame - (size_t)len, "H: %u\r\n", i);
	len += snprintf(frame + len, sizeof frame - (size_t)len, "\r\n");
	return receive(b, frame, (size_t)len) ? store_next(b) : -2;
}

static bool front_is(struct frame_cursor *c, const char *name, uint64_t stamp)
{
	struct frame_item item;
	return frame_cursor_front(c, &item) == FRAME_EVENT && slice_eq(item.message.name, slice_cstr(name)) && item.stamp == stamp;
}

static bool front_is_gap(struct frame_cursor *c, uint64_t count, const char *names, uint64_t stamp)
{
	struct frame_item item;
	return frame_cursor_front(c, &item) == FRAME_GAP && item.count == count && strcmp(item.names, names) == 0 && item.stamp == stamp;
}

static void an_idle_log_holds_no_buffer(void)
{
	struct bench b;
	struct frame_cursor c = { .log = NULL };
	struct frame_item item;
	bench_open(&b, 100);

	CHECK(put(&b, "Newchannel") == 0); /* nobody needs it */
	frame_log_settle(&b.log);
	CHECK(b.log.data == NULL && b.pool.count == 1);

	cursor_open(&b, &c, 100);
	CHECK(put(&b, "Newchannel") == 0 && receive(&b, "Event: Han", 10));
	frame_log_settle(&b.log);
	CHECK(b.log.cap == POOL_BUFFER && front_is(&c, "Newchannel", 2));
	frame_cursor_pop(&c);
	CHECK(frame_cursor_front(&c, &item) == FRAME_NONE);
	frame_log_settle(&b.log);
	CHECK(b.log.cap == 10 && b.pool.count == 1); /* the cut frame waits elsewhere */
	CHECK(receive(&b, "gup\r\n\r\n", 7) && store_next(&b) == 0 && front_is(&c, "Hangup", 3));
	frame_cursor_close(&c);
	frame_log_settle(&b.log);
	CHECK(b.log.data == NULL && frame_log_waiting(&b.log).events == 0);

	CHECK(receive(&b, "Event: Han", 10));
	frame_log_drop_unframed(&b.log);
	CHECK(b.log.data == NULL);
	bench_close(&b);
}

static void what_a_burst_has_grown_does_not_stay(void)
{
	struct bench b;
	struct frame_cursor c;
	size_t size = 0;
	bench_open(&b, 100000);
	cursor_open(&b, &c, 100000);
	for (unsigned i = 0; i < 20000; i++)
		if (put(&b, "Newchannel"))
			CHECK(!"stored");
	CHECK(frame_log_room(&b.log, &size) && b.log.cap > 4 * POOL_BUFFER && size <= POOL_BUFFER); /* P5 */
	frame_cursor_close(&c);
	frame_log_settle(&b.log);
	CHECK(b.log.data == NULL && b.log.records == NULL && b.log.headers == NULL);
	bench_close(&b);
}

/* The oldest record stays for good, and every later one becomes a hole: the index, the headers and the bytes stay small. */
static void a_rule_that_hangs_costs_no_more_than_its_bound(unsigned headers)
{
	struct bench b;
	struct frame_cursor hangs, reads;
	bench_open(&b, 1000000);
	b.headers = 120;
	cursor_open(&b, &hangs, 100);
	cursor_open(&b, &reads, 100);
	CHECK(put(&b, "Newchannel") == 0 && front_is(&hangs, "Newchannel", 1));
	b.headers = headers;
	for (unsigned i = 0; i < 50000; i++) {
		struct frame_item item;
		if (put(&b, i % 50 ? "Newexten" : "VarSet") || frame_cursor_front(&reads, &item) != FRAME_EVENT)
			CHECK(!"stored for both");
		frame_cursor_pop(&reads);
	}
	CHECK(b.log.cap == POOL_BUFFER && b.log.record_cap <= 256 && hangs.mark_cap <= 256);
	CHECK(b.log.header_cap <= (headers > 0 ? 8192 : 1024));
	CHECK(front_is(&hangs, "Newchannel", 1));
	frame_cursor_pop(&hangs);
	CHECK(frame_cursor_stamp(&hangs) == 2);
	CHECK(front_is_gap(&hangs, b.skips, "VarSet,Newexten", 2) || front_is_gap(&hangs, b.skips, "Newexten,VarSet", 2));
	bench_close(&b);
}

/* Never empty, and never much in it. */
static void a_reader_that_is_always_behind_costs_no_more_than_its_lag(void)
{
	struct bench b;
	struct frame_cursor c;
	struct frame_item item;
	bench_open(&b, 1000);
	cursor_open(&b, &c, 1000);
	for (unsigned i = 0; i < 50000; i++) {
		if (put(&b, "Newexten"))
			CHECK(!"stored");
		if (i < 3)
			continue;
		frame_cursor_front(&c, &item);
		frame_cursor_pop(&c);
	}
	CHECK(frame_log_waiting(&b.log).events == 3 && b.log.cap == POOL_BUFFER && b.log.record_cap == 64 && b.log.header_cap == 512);
	bench_close(&b);
}

/* Wherever what is skipped ends. */
static void a_cursor_reads_all_that_it_has_not_skipped(void)
{
	for (unsigned high = 0; high < 20; high++) {
		struct bench b;
		struct frame_cursor c, all;
		struct frame_item item;
		uint64_t events, bytes, stamp = 0;
		bench_open(&b, 1000000);
		cursor_open(&b, &all, 1000000);
		cursor_open(&b, &c, 40);
		for (unsigned i = 0; i < 400; i++)
			CHECK(put(&b, i < high ? "Hangup" : "VarSet") == 0);
		frame_cursor_lag(&c, &events, &bytes);
		CHECK(events + b.skips == 400 && events <= 40);
		while (frame_cursor_front(&c, &item) != FRAME_NONE) {
			if (item.type == FRAME_EVENT) {
				events--;
				stamp = item.stamp;
			}
			frame_cursor_pop(&c);
		}
		CHECK(events == 0 && stamp == 400);
		bench_close(&b);
	}
}

static void frames_stay_whole_when_holes_are_closed(void)
{
	struct bench b;
	struct frame_cursor c, other;
	struct frame_item item;
	bench_open(&b, 100000);
	b.headers = 40;
	cursor_open(&b, &other, 100000);
	for (unsigned i = 0; i < 20; i++)
		CHECK(put(&b, "Newchannel") == 0);
	cursor_open(&b, &c, 1);
	CHECK(put(&b, "Newchannel") == 0 && front_is(&c, "Newchannel", 21));
	/* That one stays for good; what follows becomes holes; then nothing is popped any more. */
	for (unsigned i = 21; i < 200; i++)
		CHECK(put(&b, "Newchannel") == 0);
	for (unsigned i = 0; i < 200; i++) {
		frame_cursor_front(&other, &item);
		frame_cursor_pop(&other);
	}
	CHECK(put(&b, "Newchannel") == 0);
	b.stamp = 1000;
	while (b.log.cap == POOL_BUFFER)
		CHECK(put(&b, "Hangup") == 0);
	uint64_t last = b.stamp;
	CHECK(front_is(&c, "Newchannel", 21) && front_is(&other, "Newchannel", 201));
	frame_cursor_pop(&other);
	for (uint64_t stamp = 1001; stamp <= last; stamp++) {
		char channel[32];
		struct slice value;
		snprintf(channel, sizeof channel, "SIP/7-%08u", (unsigned)stamp - 1);
		CHECK(front_is(&other, "Hangup", stamp) && frame_cursor_front(&other, &item) == FRAME_EVENT);
		CHECK(message_get(&item.message, SLICE("Channel"), &value) && slice_eq(value, slice_cstr(channel)));
		frame_cursor_pop(&other);
	}
	bench_close(&b);
}

static void a_cursor_may_go_while_another_shows_its_event(void)
{
	struct bench b;
	struct frame_cursor c, other;
	struct frame_item item;
	bench_open(&b, 4);
	cursor_open(&b, &c, 100);
	cursor_open(&b, &other, 100);
	CHECK(put(&b, "Newchannel") == 0 && put(&b, "Hangup") == 0);
	CHECK(frame_cursor_front(&c, &item) == FRAME_EVENT && front_is(&other, "Newchannel", 1));
	frame_cursor_pop(&other);
	frame_cursor_close(&other);
	cursor_open(&b, &other, 100);
	CHECK(frame_cursor_stamp(&other) == UINT64_MAX);
	CHECK(slice_eq(item.message.name, SLICE("Newchannel"))); /* where it was */
	for (int i = 0; i < 10; i++)
		CHECK(put(&b, "VarSet") == 0); /* sheds, but not what is shown */
	CHECK(front_is(&c, "Newchannel", 1));
	frame_cursor_pop(&c);
	CHECK(front_is(&c, "Hangup", 2));
	frame_cursor_pop(&c);
	frame_cursor_pop(&c); /* nothing is shown */
	CHECK(frame_cursor_stamp(&c) == 3);
	frame_cursor_front(&c, &item);
	CHECK(item.type == FRAME_GAP && b.firsts > 0 && b.skips == 2 * b.firsts); /* both skipped the same */
	/* Closed and opened by the rule in between: its pop ends nothing of the new one. */
	frame_cursor_close(&c);
	cursor_open(&b, &c, 100);
	CHECK(put(&b, "Hangup") == 0);
	frame_cursor_pop(&c);
	CHECK(front_is(&c, "Hangup", 13));
	frame_log_close(&b.log);
	CHECK(!frame_cursor_is_open(&c) && !frame_cursor_is_open(&other) && frame_cursor_front(&c, &item) == FRAME_NONE);
	bench_close(&b);
}

static void kept_and_held_bytes_share_a_cap(void)
{
	struct bench b;
	struct frame_cursor c;
	bench_open(&b, 4);
	cursor_open(&b, &c, 1);
	frame_log_hold(&b.log, 990);
	CHECK(!frame_log_overflowed(&b.log) && put(&b, "FullyBooted") == 0 && frame_log_overflowed(&b.log));
	for (int i = 0; i < 20; i++)
		CHECK(put(&b, "VarSet") == 0);
	CHECK(front_is(&c, "FullyBooted", 1));
	frame_log_release(&b.log, 980);
	CHECK(!frame_log_overflowed(&b.log) && frame_log_held(&b.log) == 10);
	frame_log_hold(&b.log, 980);
	frame_cursor_pop(&c);
	CHECK(!frame_log_overflowed(&b.log));
	frame_log_hold(&b.log, 11);
	CHECK(frame_log_overflowed(&b.log));
	bench_close(&b);
}

/* ---- out of memory ---- */

static void a_store_that_fails_changes_nothing(void)
{
	for (long n = 1; n <= 2; n++) {
		struct bench b;
		struct frame_cursor c;
		bench_open(&b, 100);
		cursor_open(&b, &c, 100);
		CHECK(receive(&b, "Event: Hangup\r\n\r\n", 17));
		struct message m;
		size_t consumed;
		CHECK(framer_next(&b.framer, frame_log_unframed(&b.log), &m, &consumed) == FRAMER_FRAME);
		fail_after = n;
		CHECK(frame_log_store(&b.log, &m, consumed, 0, 7, false) == -1);
		fail_after = 0;
		CHECK(frame_log_waiting(&b.log).events == 0 && frame_cursor_stamp(&c) == UINT64_MAX);
		CHECK(frame_log_unframed(&b.log).len == 17);
		CHECK(frame_log_store(&b.log, &m, consumed, 0, 8, false) == 0 && front_is(&c, "Hangup", 8));
		bench_close(&b);
	}
}

/* A copy that cannot be kept leaves no bytes behind, which the next frame would begin with. */
static void an_append_that_fails_changes_nothing(void)
{
	for (long n = 1; n <= 2; n++) {
		struct bench b;
		struct frame_cursor c;
		struct message m;
		size_t consumed;
		bench_open(&b, 100);
		cursor_open(&b, &c, 100);
		CHECK(framer_next(&b.framer, SLICE("Event: Hangup\r\n\r\n"), &m, &consumed) == FRAMER_FRAME);
		fail_after = n;
		CHECK(frame_log_append(&b.log, &m, 0, 7, false) == -1);
		fail_after = 0;
		CHECK(frame_log_waiting(&b.log).events == 0 && frame_log_unframed(&b.log).len == 0);
		CHECK(frame_log_append(&b.log, &m, 0, 8, false) == 0 && front_is(&c, "Hangup", 8));
		bench_close(&b);
	}
}

static void a_buffer_that_cannot_grow_keeps_its_frames(void)
{
	struct bench b;
	struct frame_cursor c;
	size_t size;
	unsigned stored = 0;
	bench_open(&b, 1000000);
	cursor_open(&b, &c, 1000000);
	while (b.log.cap < 4 * POOL_BUFFER && put(&b, "Newchannel") == 0)
		stored++;
	while (b.log.tail - b.log.base < b.log.cap - POOL_BUFFER / 4)
		stored += put(&b, "Newchannel") == 0;
	fail_after = 1;
	CHECK(frame_log_room(&b.log, &size) == NULL);
	fail_after = 0;
	CHECK(frame_log_room(&b.log, &size) != NULL);
	while (front_is(&c, "Newchannel", b.stamp - stored + 1)) {
		frame_cursor_pop(&c);
		stored--;
	}
	CHECK(stored == 0 && frame_cursor_stamp(&c) == UINT64_MAX);
	bench_close(&b);
}

/* It still counts all that is lost. */
static void a_cursor_without_memory_skips_what_it_may(void)
{
	struct bench b;
	struct frame_cursor c, other;
	bench_open(&b, 1000);
	cursor_open(&b, &c, 10);
	cursor_open(&b, &other, 1000);
	CHECK(put(&b, "Newchannel") == 0 && put(&b, "Newexten") == 0 && put(&b, "FullyBooted") == 0);
	for (int i = 0; i < 8; i++)
		CHECK(put(&b, "Hangup") == 0);
	CHECK(front_is(&c, "Newchannel", 1));
	fail_after = 1;
	CHECK(put(&b, "Hangup") == 0);
	fail_after = 0;
	CHECK(b.skips == 10 && b.firsts == 10 && frame_log_waiting(&b.log).events == 12);
	CHECK(front_is(&c, "Newchannel", 1));
	frame_cursor_pop(&c);
	CHECK(front_is_gap(&c, 10, "", 2)); /* no memory for names either */
	CHECK(put(&b, "Newstate") == 0);
	frame_cursor_pop(&c);
	CHECK(front_is(&c, "FullyBooted", 3));
	frame_cursor_pop(&c);
	CHECK(front_is(&c, "Newstate", 13));
	CHECK(front_is(&other, "Newchannel", 1));
	bench_close(&b);
}

static void what_such_a_cursor_skips_ends_where_memory_was_out(void)
{
	struct bench b;
	struct frame_cursor c, other;
	bench_open(&b, 1000);
	cursor_open(&b, &c, 40);
	cursor_open(&b, &other, 1000);
	CHECK(put(&b, "FullyBooted") == 0 && front_is(&c, "FullyBooted", 1));
	for (int i = 0; i < 40; i++)
		CHECK(put(&b, "Hangup") == 0);
	fail_after = 1;
	CHECK(put(&b, "Hangup") == 0);
	fail_after = 0;
	CHECK(b.skips == 41);
	frame_cursor_close(&other);
	for (int i = 0; i < 30; i++)
		CHECK(put(&b, "Newstate") == 0);
	CHECK(b.log.record_cap == 64); /* the records moved together */
	frame_cursor_pop(&c);
	CHECK(front_is_gap(&c, 41, "", 2));
	frame_cursor_pop(&c);
	for (uint64_t stamp = 43; stamp <= 72; stamp++) {
		CHECK(front_is(&c, "Newstate", stamp));
		frame_cursor_pop(&c);
	}
	bench_close(&b);
}

/* A long name is cut in the gap, the seventeenth is left out, one of the same name is not repeated. */
static void a_gap_names_at_most_sixteen(void)
{
	struct bench b;
	struct frame_cursor c;
	struct frame_item item;
	char name[16];
	bench_open(&b, 1000);
	cursor_open(&b, &c, 1000);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof name, "E%02d", i % 20);
		frame_log_lost(&b.log, slice_cstr(name), 5);
	}
	frame_log_lost(&b.log, SLICE(""), 6);
	CHECK(front_is_gap(&c, 41, "E00,E01,E02,E03,E04,E05,E06,E07,E08,E09,E10,E11,E12,E13,E14,E15", 5));
	frame_log_lost(&b.log, SLICE("x"), 9); /* what comes while it is shown is the next one's */
	CHECK(frame_cursor_front(&c, &item) == FRAME_GAP && item.count == 41);
	frame_cursor_pop(&c);
	CHECK(front_is_gap(&c, 1, "x", 9));
	bench_close(&b);
}

/* What several rules take, and what one takes and another skips, is counted once. */
static void an_event_is_counted_by_its_first_reader_only(void)
{
	struct bench b;
	struct frame_cursor c, other;
	struct frame_item item;
	bench_open(&b, 1000);
	cursor_open(&b, &c, 1000);
	cursor_open(&b, &other, 8);
	CHECK(!frame_cursor_count(&c)); /* nothing is shown */
	CHECK(put(&b, "VarSet") == 0 && put(&b, "VarSet") == 0);
	CHECK(front_is(&c, "VarSet", 1) && frame_cursor_count(&c));
	CHECK(!frame_cursor_count(&c));
	CHECK(front_is(&other, "VarSet", 1) && !frame_cursor_count(&other));
	frame_cursor_pop(&other);
	CHECK(front_is(&other, "VarSet", 2) && frame_cursor_count(&other));
	frame_cursor_pop(&c);
	CHECK(front_is(&c, "VarSet", 2) && !frame_cursor_count(&c));
	frame_cursor_pop(&other);
	/* What `other` skips first is counted as shed; whoever takes it then does not count it again. */
	for (int i = 0; i < 9; i++)
		CHECK(put(&b, "VarSet") == 0);
	CHECK(b.skips > 0 && b.firsts == b.skips);
	frame_cursor_pop(&c);
	uint64_t taken = 0;
	while (frame_cursor_front(&c, &item) == FRAME_EVENT) {
		taken += frame_cursor_count(&c);
		frame_cursor_pop(&c);
	}
	CHECK(taken == 9 - b.firsts);
	bench_close(&b);
}

static void an_append_that_nobody_waits_for_keeps_nothing(void)
{
	const struct message m = { .bytes = "Event: Hangup\r\n\r\n", .len = 17, .name = { "Hangup", 6 }, .kind = MESSAGE_EVENT };
	struct bench b;

	bench_open(&b, 10);
	CHECK(frame_log_append(&b.log, &m, 0, 1, false) == 0);
	CHECK(!b.log.data && frame_log_unframed(&b.log).len == 0);
	bench_close(&b);
}

int main(void)
{
	an_idle_log_holds_no_buffer();
	what_a_burst_has_grown_does_not_stay();
	a_rule_that_hangs_costs_no_more_than_its_bound(0);
	a_rule_that_hangs_costs_no_more_than_its_bound(30);
	a_reader_that_is_always_behind_costs_no_more_than_its_lag();
	a_cursor_reads_all_that_it_has_not_skipped();
	a_cursor_may_go_while_another_shows_its_event();
	kept_and_held_bytes_share_a_cap();
	a_store_that_fails_changes_nothing();
	an_append_that_fails_changes_nothing();
	an_append_that_nobody_waits_for_keeps_nothing();
	a_buffer_that_cannot_grow_keeps_its_frames();
	a_cursor_without_memory_skips_what_it_may();
	what_such_a_cursor_skips_ends_where_memory_was_out();
	a_gap_names_at_most_sixteen();
	an_event_is_counted_by_its_first_reader_only();
	frames_stay_whole_when_holes_are_closed();
	agrees_with_the_model();
	return check_report();
}
