/* What readers of /api/live share: each gets exactly the changes that its limits allow, in order, however it is fed; and all together
 * have a part of a turn of the loop. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "web/web_group.h"
#include "web/web_turn.h"

#define SERVERS 2
#define QUEUES 3
#define CHANGES 4000
#define READERS 60

static const char *const server_names[SERVERS] = { "pbx1", "pbx2" }, *const queue_names[QUEUES] = { "sales", "support", "vip" };

/* A change and a reader's limits, as sets of bits: nothing of the code under test decides who may see what. */
struct made {
	enum web_seen seen;
	unsigned server, queues;
	char text[120];
};

struct limits {
	unsigned servers, queues; /* 0: all */
};

struct reader {
	struct limits limits;
	struct web_token *sight;
	struct web_group *group;
	uint64_t next;
};

static struct made made[CHANGES + 1]; /* by their numbers */

static unsigned chance(unsigned below)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state % below);
}

static bool may_see(struct limits limits, const struct made *change)
{
	if (change->seen == WEB_SEEN_WHOLE)
		return limits.servers == 0 && limits.queues == 0;
	if (limits.servers && !(limits.servers >> change->server & 1))
		return false;
	if (change->seen == WEB_SEEN_SERVER || limits.queues == 0)
		return true;
	return change->seen == WEB_SEEN_QUEUES && (limits.queues & change->queues);
}

static struct web_token *sight_of(struct limits limits, const char *name)
{
	struct web_token plain = { .holders = 1, .name = mem_strdup(name) }, *sight = web_token_copy(&plain);

	free(plain.name);
	for (unsigned i = 0; i < SERVERS; i++)
		if (limits.servers >> i & 1)
			web_token_narrow(sight, false, slice_cstr(server_names[i]));
	for (unsigned i = 0; i < QUEUES; i++)
		if (limits.queues >> i & 1)
			web_token_narrow(sight, true, slice_cstr(queue_names[i]));
	return sight;
}

static void reader_open(struct reader *r, struct web_groups *groups, struct limits limits, const char *name)
{
	r->limits = limits;
	r->sight = sight_of(limits, name);
	r->group = web_group_hold(groups, r->sight);
}

static void reader_close(struct reader *r)
{
	web_group_release(&r->group);
	web_token_release(&r->sight);
}

static void add_change(struct web_ring *ring)
{
	uint64_t number = web_ring_next(ring);
	struct made *change = &made[number];
	struct buf queues;

	change->seen = (enum web_seen)chance(4);
	change->server = chance(SERVERS);
	change->queues = change->seen == WEB_SEEN_QUEUES ? chance(1u << QUEUES) : 0;
	snprintf(change->text, sizeof change->text, "%llu:%0*d\n", (unsigned long long)number, (int)chance(80) + 1, 0);
	buf_init(&queues, 0);
	for (unsigned i = 0; i < QUEUES; i++)
		if (change->queues >> i & 1)
			buf_append(&queues, slice_make(queue_names[i], strlen(queue_names[i]) + 1));
	if (buf_len(&queues) > 0)
		buf_append_char(&queues, '\0');
	web_ring_add(ring, slice_cstr(change->text), change->seen, slice_cstr(change->seen == WEB_SEEN_WHOLE ? "" : server_names[change->server]),
	             buf_slice(&queues));
	buf_close(&queues);
}

/* One piece; whether it is what lies between, and nothing else. */
static bool take_piece(struct reader *r, const struct web_ring *ring, const struct web_flush *flush)
{
	uint64_t from = r->next;
	struct slice piece = web_group_read(r->group, ring, flush, &r->next);

	if (r->next <= from || r->next > flush->upto || (piece.len == 0 && r->next != flush->upto) || piece.len > flush->most + sizeof made->text)
		return false;
	for (; from < r->next; from++) {
		if (!may_see(r->limits, &made[from]))
			continue;
		size_t len = strlen(made[from].text);
		if (piece.len < len || memcmp(piece.ptr, made[from].text, len) != 0)
			return false;
		piece = slice_make(piece.ptr + len, piece.len - len);
	}
	return piece.len == 0;
}

/* Readers of all limits, most of them in step, some behind, some that fall out of the ring. */
static void test_exactly_what_is_allowed(void)
{
	struct web_groups groups;
	struct web_ring ring;
	struct web_flush flush = { .upto = 1 };
	struct reader readers[READERS];
	unsigned pieces = 0, wrong = 0, behind = 0;

	web_groups_init(&groups);
	web_ring_init(&ring, 4000);
	for (unsigned i = 0; i < READERS; i++) {
		reader_open(&readers[i], &groups, (struct limits){ chance(1u << SERVERS), chance(1u << QUEUES) }, i % 2 ? "wall" : "other");
		readers[i].next = 1;
	}
	while (web_ring_next(&ring) + 40 < CHANGES) {
		for (unsigned n = chance(20); n > 0; n--)
			add_change(&ring);
		flush = (struct web_flush){ flush.serial + 1, flush.upto, web_ring_next(&ring), chance(4) ? 100000 : 1 + chance(500) };
		unsigned asleep = chance(READERS);
		for (unsigned i = 0; i < READERS; i++) {
			struct reader *r = &readers[i];
			/* Changes come while the readers are fed in turn. */
			if (chance(30) == 0)
				add_change(&ring);
			if (i == asleep || (i % 10 == 0 && chance(8)))
				continue;
			if (r->next < ring.first) {
				behind++;
				r->next = web_ring_next(&ring);
			}
			for (; r->next < flush.upto; pieces++)
				if (!take_piece(r, &ring, &flush)) {
					wrong++;
					r->next = flush.upto;
				}
		}
	}
	CHECK(pieces > READERS * 100);
	CHECK(behind > 0);
	CHECK(wrong == 0);
	for (unsigned i = 0; i < READERS; i++)
		reader_close(&readers[i]);
	CHECK(list_empty(&groups.groups));
	web_groups_close(&groups);
	web_ring_close(&ring);
}

/* A piece that was made for one flush is not that of another whose numbers are equal. */
static void test_a_ring_that_begins_anew(void)
{
	struct web_groups groups;
	struct web_ring ring;
	struct reader r;

	web_groups_init(&groups);
	web_ring_init(&ring, 4000);
	reader_open(&r, &groups, (struct limits){ 1, 0 }, "wall");
	for (uint64_t serial = 1; serial <= 20; serial++) {
		web_ring_clear(&ring);
		for (int i = 0; i < 10; i++)
			add_change(&ring);
		r.next = 1;
		const struct web_flush flush = { serial, 1, web_ring_next(&ring), 100000 };
		CHECK(take_piece(&r, &ring, &flush));
	}
	reader_close(&r);
	web_groups_close(&groups);
	web_ring_close(&ring);
}

static void test_one_piece_for_equal_readers(void)
{
	struct web_groups groups;
	struct web_ring ring;
	struct reader one, equal, other, server;

	web_groups_init(&groups);
	web_ring_init(&ring, 100000);
	reader_open(&one, &groups, (struct limits){ 0, 2 }, "wall");
	reader_open(&equal, &groups, (struct limits){ 0, 2 }, "another token");
	reader_open(&other, &groups, (struct limits){ 0, 6 }, "wall");
	reader_open(&server, &groups, (struct limits){ 1, 2 }, "wall");
	CHECK(one.group == equal.group);
	CHECK(one.group != other.group && one.group != server.group && other.group != server.group);
	for (int i = 0; i < 100; i++)
		add_change(&ring);
	const struct web_flush flush = { 1, 1, web_ring_next(&ring), 100000 };
	uint64_t a = 1, b = 1;
	struct slice first = web_group_read(one.group, &ring, &flush, &a), second = web_group_read(equal.group, &ring, &flush, &b);
	CHECK(first.len > 0 && first.ptr == second.ptr && first.len == second.len && a == b);
	reader_close(&one);
	equal.next = 1;
	CHECK(take_piece(&equal, &ring, &flush));
	reader_close(&equal);
	reader_close(&other);
	reader_close(&server);
	CHECK(list_empty(&groups.groups));
	web_groups_close(&groups);
	web_ring_close(&ring);
}

static void work(uint64_t ns)
{
	uint64_t end = clock_mono_ns() + ns;

	while (clock_mono_ns() < end)
		;
}

static void test_a_part_of_a_turn(void)
{
	struct ev_loop *loop = ev_loop_new(0);
	struct web_turn turn;
	unsigned pieces = 0;

	web_turn_init(&turn, loop);
	for (int i = 0; i < 3; i++) {
		ev_run(loop, EVRUN_NOWAIT);
		CHECK(!web_turn_is_over(&turn));
		web_turn_begin(&turn);
		work(1000000);
		CHECK(!web_turn_end(&turn));
		CHECK(web_turn_is_over(&turn));
		/* Another kind of work may do its one piece. */
		web_turn_begin(&turn);
		CHECK(!web_turn_end(&turn));
	}
	ev_run(loop, EVRUN_NOWAIT);
	do {
		web_turn_begin(&turn);
		work(1000);
		pieces++;
	} while (web_turn_end(&turn) && pieces < 100000);
	CHECK(pieces > 1 && pieces < 1000);
	ev_loop_destroy(loop);
}

int main(void)
{
	test_exactly_what_is_allowed();
	test_a_ring_that_begins_anew();
	test_one_piece_for_equal_readers();
	test_a_part_of_a_turn();
	return check_report();
}
