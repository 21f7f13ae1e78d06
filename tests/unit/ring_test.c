/* The queue from many threads to one, and its wake-up. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/ring.h"
#include "base/wake.h"
#include "check.h"

#define PUSHERS 4
#define ITEMS 50000

static void *item(uintptr_t n)
{
	return (void *)n; /* the ring never looks into it */
}

static void rounds_the_capacity_up(void)
{
	static const size_t cases[][2] = { { 0, 2 }, { 1, 2 }, { 2, 2 }, { 3, 4 }, { 1000, 1024 } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ring *ring = ring_create(cases[i][0]);
		CHECK(ring_capacity(ring) == cases[i][1]);
		ring_destroy(&ring);
		CHECK(ring == NULL);
	}
	struct ring *none = NULL;
	ring_destroy(&none);
}

static void refuses_when_full_and_keeps_the_order(void)
{
	struct ring *ring = ring_create(4);
	uintptr_t pushed = 0, popped = 0;

	CHECK(ring_pop(ring) == NULL);
	for (int round = 0; round < 1000; round++) {
		size_t n = 0;
		while (ring_push(ring, item(pushed + 1))) {
			pushed++;
			n++;
		}
		if (n != (round == 0 ? 4u : 3u))
			CHECK(!"as many fit as are free");
		for (int i = 0; i < 3; i++)
			if (ring_pop(ring) != item(++popped))
				CHECK(!"first in, first out");
	}
	CHECK(pushed == popped + 1);
	CHECK(ring_pop(ring) == item(popped + 1));
	CHECK(ring_pop(ring) == NULL);
	ring_destroy(&ring);
}

struct crowd {
	struct ring *ring;
	struct wake wake;
	atomic_uint next;
	atomic_ulong refused;
};

static void *push_many(void *arg)
{
	struct crowd *crowd = arg;
	uintptr_t id = atomic_fetch_add(&crowd->next, 1);

	for (uintptr_t n = 1; n <= ITEMS; n++) {
		uintptr_t *made = malloc(sizeof *made);
		*made = (n << 8) | id;
		while (!ring_push(crowd->ring, made)) {
			atomic_fetch_add(&crowd->refused, 1);
			wake_post(&crowd->wake);
			sched_yield();
		}
		wake_post(&crowd->wake);
	}
	return NULL;
}

static void brings_every_item_of_every_thread_in_its_order(size_t capacity)
{
	struct crowd crowd = { .ring = ring_create(capacity) };
	uintptr_t last[PUSHERS] = { 0 };
	size_t got = 0, disorder = 0;
	bool in_time = true;
	pthread_t threads[PUSHERS];

	wake_init(&crowd.wake);
	for (int i = 0; i < PUSHERS; i++)
		pthread_create(&threads[i], NULL, push_many, &crowd);
	while (got < PUSHERS * ITEMS && in_time) {
		uintptr_t *made;
		while ((made = ring_pop(crowd.ring))) {
			uintptr_t id = *made & 0xFF;
			disorder += (*made >> 8) != ++last[id];
			free(made);
			got++;
		}
		/* No wake-up may be lost: the deadline is only there to fail instead of hanging. */
		if (got < PUSHERS * ITEMS)
			in_time = wake_wait(&crowd.wake, clock_mono_ns() + 20 * CLOCK_NS_PER_S);
	}
	CHECK(in_time);
	CHECK(got == PUSHERS * ITEMS);
	CHECK(disorder == 0);
	for (int i = 0; i < PUSHERS && in_time; i++)
		pthread_join(threads[i], NULL);
	CHECK(ring_pop(crowd.ring) == NULL);
	wake_close(&crowd.wake);
	ring_destroy(&crowd.ring);
}

static void waits_no_longer_than_its_deadline(void)
{
	struct wake wake;
	uint64_t start = clock_mono_ns();

	wake_init(&wake);
	CHECK(!wake_wait(&wake, start + 20 * CLOCK_NS_PER_MS));
	CHECK(clock_mono_ns() - start >= 20 * CLOCK_NS_PER_MS);
	CHECK(!wake_wait(&wake, 0));
	wake_post(&wake);
	wake_post(&wake);
	CHECK(wake_wait(&wake, WAKE_FOREVER));
	/* Two posts before the wait are one. */
	CHECK(!wake_wait(&wake, 0));
	wake_close(&wake);
}

int main(void)
{
	rounds_the_capacity_up();
	refuses_when_full_and_keeps_the_order();
	brings_every_item_of_every_thread_in_its_order(2);
	brings_every_item_of_every_thread_in_its_order(1024);
	waits_no_longer_than_its_deadline();
	return check_report();
}
