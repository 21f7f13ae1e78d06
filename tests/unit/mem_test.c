/* The system has no memory left at each allocation in C, one after the other, while a rule uses all that rules have, while actions are
 * answered, and while the live picture takes events. What was asked for comes back as an error or goes well; nothing ends the
 * process, everything goes on once there is memory again, and (under AddressSanitizer) nothing is lost.
 *
 * malloc(), calloc() and realloc() of our own objects go through here (the linker's --wrap). From the chosen one on they fail,
 * until the reserve was given back; then as many bytes as it had are there. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "live/live.h"
#include "observe/log.h"
#include "rules_folder.h"

#define RESERVE ((size_t)48 << 10) /* little, so that what should be refused would use it up */
#define SECOND UINT64_C(1000000000)

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *ptr, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *ptr, size_t size);

static struct {
	bool armed;
	pthread_t thread;
	unsigned long after;  /* allocations that still go well */
	unsigned long failed;
	size_t left;          /* of the reserve, once it was given back */
} starve;

/* True when there is memory for so many bytes. */
static bool granted(size_t size)
{
	if (!starve.armed || !pthread_equal(starve.thread, pthread_self()))
		return true;
	if (starve.after > 0) {
		starve.after--;
		return true;
	}
	if (mem_is_short() && size <= starve.left) {
		starve.left -= size;
		return true;
	}
	starve.failed++;
	errno = ENOMEM;
	return false;
}

void *__wrap_malloc(size_t size)
{
	return granted(size) ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return granted(count * size) ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *ptr, size_t size)
{
	return granted(size) ? __real_realloc(ptr, size) : NULL;
}

static void begin(unsigned long after)
{
	CHECK(mem_recover());
	starve.after = after;
	starve.failed = 0;
	starve.left = RESERVE;
	starve.thread = pthread_self();
	starve.armed = true;
}

/* True when any allocation has failed. */
static bool end(void)
{
	starve.armed = false;
	CHECK(mem_recover());
	return starve.failed > 0;
}

/* ---- the reserve itself ---- */

static void a_reserve_serves_what_cannot_fail(void)
{
	unsigned long before = mem_shortages();
	CHECK(!mem_is_short());
	begin(0);
	char *text = mem_strdup("kept");
	CHECK(mem_is_short() && mem_shortages() == before + 1);
	char *more = mem_printf("%s %d", text, 7);
	CHECK(strcmp(more, "kept 7") == 0);
	CHECK(!mem_recover());
	CHECK(mem_is_short());
	CHECK(end());
	CHECK(!mem_is_short() && mem_shortages() == before + 1);
	free(text);
	free(more);
}

/* ---- rules ---- */

static const char other[] = "local heard = sink.open 'heard' ami.on('Probe', function() heard:write 'x' end)\n"
                            "ami.on('Grow', function() for _ = 1, 1000 do pcall(timer.after, 9, print) end end)\n";

/* Calls fn(ctx, message) with memory as the test has it; the message itself is made without failures. */
static void with_message(const char *text, void (*fn)(void *ctx, const struct message *message), void *ctx)
{
	static const struct framer_limits frames = { .max_frame = 65536, .max_headers = 64 };
	struct framer framer;
	struct message m;
	size_t consumed;
	bool armed = starve.armed;

	starve.armed = false;
	framer_init(&framer, &frames, false);
	if (CHECK(framer_next(&framer, slice_cstr(text), &m, &consumed) == FRAMER_FRAME)) {
		starve.armed = armed;
		fn(ctx, &m);
		starve.armed = false;
	}
	framer_close(&framer);
	starve.armed = armed;
}

static void hear(void *ctx, const struct message *m)
{
	struct harness *h = ctx;
	struct harness_server *s = h->servers[0];
	uint64_t stamp;
	unsigned fate = host_event(h->host, s->feed, m, h->wall, &stamp);

	starve.armed = false; /* the log of frames has a test of its own */
	if (fate & HOST_WAITS)
		CHECK(frame_log_append(&s->log, m, h->wall, stamp, fate & HOST_HEARD) == 0);
}

static void feed(struct harness *h, const char *text)
{
	with_message(text, hear, h);
}

static void advance(struct harness *h, double seconds)
{
	struct err err;
	harness_advance(h, (uint64_t)(seconds * (double)SECOND), &err);
}

static void answer_all(struct harness *h)
{
	for (size_t i = 0; i < h->sent_count; i++)
		if (h->sent[i]->tag)
			harness_answer(h, h->sent[i], reply_failed(ERR_TIMEOUT, "no answer", NULL, "Ping"));
}

static void use_everything(struct harness *h)
{
	feed(h, "Event: Begin\r\nN: 1\r\nN: 2\r\n\r\n");
	advance(h, 0.01);
	answer_all(h);
	feed(h, "Event: Hangup\r\nN: 1\r\n\r\n");
	advance(h, 1);
	answer_all(h);
	advance(h, 1);
	feed(h, "Event: More\r\nN: 1\r\n\r\n");
	advance(h, 0.1);
}

static size_t heard(const struct harness *h)
{
	size_t count = 0;
	for (size_t i = 0; i < h->line_count; i++)
		count += strcmp(h->lines[i].sink, "heard") == 0;
	return count;
}

/* The n-th allocation and those behind it fail while the rule runs, or (`loads`) while a newer state of it is loaded. */
static bool a_rule_without_memory(unsigned long n, bool loads)
{
	struct harness h;

	harness_init(&h);
	h.limits.drain = 2;
	rules_folder_use(&h);
	harness_add_server(&h, SLICE("pbx"));
	CHECK(harness_load(&h) == 0);
	harness_ready(&h, h.servers[0], SLICE("18.0"));
	advance(&h, 0);

	begin(n);
	if (loads) {
		h.reload_all = true;
		harness_load(&h);
	} else {
		use_everything(&h);
	}
	bool failed = end();

	size_t before = heard(&h);
	advance(&h, 1);
	feed(&h, "Event: Probe\r\nN: 1\r\n\r\n");
	advance(&h, 0);
	if (!CHECK_NAMED(heard(&h) == before + 1, "the other rule goes on"))
		printf("allocation %lu, %s\n", n, loads ? "load" : "life");
	answer_all(&h);
	advance(&h, 40);
	h.reload_all = true;
	CHECK(harness_load(&h) == 0);
	advance(&h, 3);
	before = heard(&h);
	feed(&h, "Event: Probe\r\nN: 1\r\n\r\n");
	advance(&h, 0);
	CHECK_NAMED(heard(&h) == before + 1, "newer rules run");
	harness_close(&h);
	return failed;
}

/* More than the reserve holds: it is refused, and the reserve lasts. */
static void a_rule_that_wants_much(void)
{
	struct harness h;
	harness_init(&h);
	rules_folder_use(&h);
	h.limits.deadline = h.limits.stuck = 20;
	harness_add_server(&h, SLICE("pbx"));
	CHECK(harness_load(&h) == 0);
	advance(&h, 0);
	begin(0);
	feed(&h, "Event: Grow\r\n\r\n");
	CHECK(end());
	advance(&h, 40);
	feed(&h, "Event: Probe\r\nN: 1\r\n\r\n");
	advance(&h, 0);
	CHECK_NAMED(heard(&h) == 1, "it goes on, or has begun anew");
	harness_close(&h);
}

/* ---- answers ---- */

static const char list_start[] = "Response: Success\r\nActionID: %s\r\nEventList: start\r\n\r\n";
static const char list_item[] = "Event: CoreShowChannel\r\nActionID: %s\r\nChannel: PJSIP/1-%u\r\n\r\n";
static const char list_end[] = "Event: CoreShowChannelsComplete\r\nActionID: %s\r\nEventList: Complete\r\n\r\n";

/* One that ended well has all of its items; all others have a code that says why. */
static void check_reply(struct reply **done, unsigned *ended)
{
	if (!*done)
		return;
	++*ended;
	enum err_code code = (*done)->code;
	CHECK(code == ERR_NONE ? (*done)->event_count == 20 && (*done)->response : code == ERR_OVERFLOW || code == ERR_TIMEOUT);
	reply_free(done);
}

static bool answers_without_memory(unsigned long n)
{
	static const struct pending_limits limits = { .max_actions = 10, .max_list_events = 100, .max_list_bytes = 1 << 20 };
	static const struct framer_limits frames = { .max_frame = 65536, .max_headers = 64 };
	struct pending_options options = { .now = 1, .deadline = 100 };
	struct pending *p = pending_create(&limits, SLICE("abc"));
	struct framer framer;
	struct action action;
	struct message m;
	struct reply *done = NULL;
	struct err err;
	char id[ACTION_ID_MAX + 1], text[256];
	size_t consumed;
	unsigned ended = 0;

	framer_init(&framer, &frames, false);
	action_init(&action);
	pending_reset(p);
	pending_set_version(p, 80000);
	CHECK(action_add(&action, SLICE("Action"), SLICE("CoreShowChannels"), &err) == 0);
	begin(n);
	bool sent = pending_add(p, &action, &options, id, &err) > 0;
	CHECK(sent || err.code == ERR_BACKPRESSURE);
	pending_written(p, 1000);
	for (unsigned i = 0; sent && i < 22; i++) {
		snprintf(text, sizeof text, i == 0 ? list_start : i == 21 ? list_end : list_item, id, i);
		enum framer_status status = framer_next(&framer, slice_cstr(text), &m, &consumed);
		if (status == FRAMER_FRAME)
			pending_match(p, &m, &done);
		else if (status == FRAMER_OVERSIZE)
			done = pending_overflow(p, m.action_id, m.kind == MESSAGE_RESPONSE);
		check_reply(&done, &ended);
	}
	bool failed = end();
	/* A frame without memory for its headers is nobody's: its action times out. */
	done = pending_expire(p, options.deadline);
	check_reply(&done, &ended);
	CHECK_NAMED(!sent || ended == 1, "exactly one answer");
	CHECK(pending_count(p) == 0);
	framer_close(&framer);
	action_close(&action);
	pending_destroy(&p);
	return failed;
}

/* ---- the live picture ---- */

static unsigned overflows, started, finished;

static void on_change(void *ctx, const struct live_change *change)
{
	(void)ctx;
	overflows += change->kind == LIVE_OVERFLOW;
	started += change->kind == LIVE_CALL_STARTED;
	finished += change->kind == LIVE_CALL_ENDED;
}

static int64_t now;

static void picture_event(void *server, const struct message *m)
{
	live_event(server, m, now += LIVE_SECOND / 10);
}

static bool a_picture_without_memory(unsigned long n, unsigned calls)
{
	static const char *const life[] = {
		"Event: Newchannel\r\nChannel: PJSIP/%u-1\r\nChannelState: 4\r\nChannelStateDesc: Ring\r\nCallerIDNum: 10%u\r\nExten: 200\r\n"
		"Context: default\r\nUniqueid: %u.1\r\nLinkedid: %u.1\r\n\r\n",
		"Event: QueueCallerJoin\r\nChannel: PJSIP/%u-1\r\nUniqueid: %u.1\r\nLinkedid: %u.1\r\nQueue: q%u\r\nPosition: 1\r\nCount: 1\r\n\r\n",
		"Event: QueueCallerAbandon\r\nChannel: PJSIP/%u-1\r\nUniqueid: %u.1\r\nLinkedid: %u.1\r\nQueue: q%u\r\nPosition: 1\r\n\r\n",
		"Event: QueueCallerLeave\r\nChannel: PJSIP/%u-1\r\nUniqueid: %u.1\r\nLinkedid: %u.1\r\nQueue: q%u\r\nPosition: 1\r\nCount: 0\r\n\r\n",
		"Event: Hangup\r\nChannel: PJSIP/%u-1\r\nUniqueid: %u.1\r\nLinkedid: %u.1\r\nCause: 16\r\nN: %u\r\n\r\n",
	};
	struct live_options options;
	struct live *live;
	char text[512];

	now = LIVE_SECOND;
	live_options_init(&options);
	live = live_create(&options, on_change, NULL);
	struct live_server *s = live_server_add(live, SLICE("pbx"));
	live_session(s, 80000, now);
	overflows = started = finished = 0;
	begin(n);
	for (size_t i = 0; i < sizeof life / sizeof *life; i++)
		for (unsigned call = 1; call <= calls; call++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			snprintf(text, sizeof text, life[i], call, call, call, call);
#pragma GCC diagnostic pop
			with_message(text, picture_event, s);
		}
	bool failed = end();
	live_tick(live, now + 2 * LIVE_SECOND);
	CHECK_NAMED(started == finished && live_count(live, LIVE_CHANNEL, NULL, now) == 0 && live_count(live, LIVE_CALL, NULL, now) == 0,
	            "nothing stays");
	if (!CHECK_NAMED(started == calls || overflows > 0, "what does not fit is reported"))
		printf("allocation %lu: %u calls, %u overflows\n", n, started, overflows);
	live_destroy(&live);
	return failed;
}

int main(void)
{
	unsigned long n, runs = 0;

	log_set_level(LOG_ERROR);
	mem_reserve(RESERVE);
	a_reserve_serves_what_cannot_fail();
	for (n = 0; answers_without_memory(n) && check_failed == 0; n++)
		runs++;
	CHECK(runs > 25);
	for (n = 0, runs = 0; a_picture_without_memory(n, 8) && check_failed == 0; n++)
		runs++;
	CHECK(runs > 25);
	CHECK(a_picture_without_memory(100, 500));

	rules_folder_make(other);
	for (n = 0, runs = 0; a_rule_without_memory(n, false) && check_failed == 0; n++)
		runs++;
	CHECK(runs > 100);
	for (n = 0, runs = 0; a_rule_without_memory(n, true) && check_failed == 0; n++)
		runs++;
	CHECK(runs > 50);
	a_rule_that_wants_much();
	rules_folder_remove();
	mem_reserve(0);
	return check_report();
}
