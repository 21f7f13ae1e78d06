/* The pure modules of net: addresses, backoff, circuit breaker. */
#include <arpa/inet.h>
#include <string.h>

#include "base/slice.h"
#include "check.h"
#include "net/address.h"
#include "net/backoff.h"
#include "net/breaker.h"

/* ---- addresses ---- */

static bool reads_as(const char *literal, int family, const char *text)
{
	struct address address;
	char ip[ADDRESS_TEXT_MAX];

	if (!address_literal(literal, 5038, &address))
		return false;
	address_text(&address, ip);
	return address.any.sa_family == family && strcmp(ip, text) == 0 && address_port(&address) == 5038;
}

static void literals_are_read_and_names_are_not(void)
{
	struct address address;

	CHECK(reads_as("192.0.2.7", AF_INET, "192.0.2.7"));
	CHECK(reads_as("2001:db8::7", AF_INET6, "2001:db8::7"));
	CHECK(reads_as("fe80::1%lo", AF_INET6, "fe80::1%lo"));
	CHECK(!address_literal("pbx.example", 5038, &address));
	CHECK(!address_literal("localhost", 5038, &address));
	CHECK(!address_literal("192.0.2.777", 5038, &address));
	CHECK(!address_literal("", 5038, &address));
}

static void addresses_of_other_families_are_refused(void)
{
	struct sockaddr from = { .sa_family = AF_UNIX };
	struct address address;
	char ip[ADDRESS_TEXT_MAX] = "left over";

	memset(&address, 0x55, sizeof address);
	CHECK(!address_from(&from, 5038, &address));
	CHECK(address.len == 0);
	CHECK(address_port(&address) == 0);
	address_text(&address, ip);
	CHECK(strcmp(ip, "") == 0);
	/* A family that nobody can print. */
	address = (struct address){ .any.sa_family = 250, .len = sizeof address.in };
	address_text(&address, ip);
	CHECK_NAMED(strcmp(ip, "?") == 0, ip);
}

static void the_port_is_set_in_both_families(void)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(1) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(1) };
	struct address address;

	CHECK(address_from((const struct sockaddr *)&v4, 5038, &address));
	CHECK(address.len == sizeof v4);
	CHECK(ntohs(address.in.sin_port) == 5038);
	CHECK(address_from((const struct sockaddr *)&v6, 5039, &address));
	CHECK(address.len == sizeof v6);
	CHECK(ntohs(address.in6.sin6_port) == 5039);
	CHECK(address_port(&address) == 5039);
}

static bool is_loopback(const char *literal)
{
	struct address address;
	return CHECK_NAMED(address_literal(literal, 1, &address), literal) && address_is_loopback(&address);
}

static void loopback_is_this_host_and_nothing_else(void)
{
	const char *const own[] = { "127.0.0.1", "127.255.255.254", "127.1.2.3", "::1", "::ffff:127.0.0.1", "::ffff:127.9.9.9" };
	const char *const others[] = { "126.255.255.255", "128.0.0.1", "10.127.0.1", "::2", "::", "7f00::1", "::ffff:10.0.0.127", "::127.0.0.1",
	                               "0:0:0:0:0:0:7f00:1", "2001:db8::7f00:1" };
	struct address address = { .any.sa_family = AF_UNIX };

	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		CHECK_NAMED(is_loopback(own[i]), own[i]);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		CHECK_NAMED(!is_loopback(others[i]), others[i]);
	/* The bytes of ::1 in another family. */
	address.in6.sin6_addr = in6addr_loopback;
	CHECK(!address_is_loopback(&address));
}

/* ---- backoff ---- */

static void waits_grow_to_their_cap(void)
{
	struct backoff backoff = { .first = 0.5, .max = 3 };
	const double ceilings[] = { 0.5, 1, 2, 3, 3 };

	for (size_t i = 0; i < sizeof ceilings / sizeof *ceilings; i++) {
		CHECK(backoff_ceiling(&backoff) == ceilings[i]);
		CHECK(backoff_next(&backoff, 0.5) == ceilings[i] / 2);
	}
	backoff_reset(&backoff);
	CHECK(backoff_next(&backoff, 0) == 0);
	CHECK(backoff_next(&backoff, 0.75) == 0.75);
	/* The first may already be over the cap. */
	backoff = (struct backoff){ .first = 5, .max = 3 };
	CHECK(backoff_next(&backoff, 0.5) == 1.5);
}

static void no_wait_is_shorter_than_the_floor(void)
{
	struct backoff backoff = { .first = 1, .max = 8, .min = 3 };

	/* A ceiling below `min` holds. */
	CHECK(backoff_next(&backoff, 0) == 1);
	CHECK(backoff_next(&backoff, 1) == 2);
	CHECK(backoff_next(&backoff, 0) == 3);
	CHECK(backoff_next(&backoff, 0) == 3);
	CHECK(backoff_next(&backoff, 0.5) == 5.5);
}

static void attempts_are_counted_as_far_as_they_matter(void)
{
	struct backoff backoff = { .first = 1, .max = 1e30 };

	for (int i = 0; i < 64; i++)
		(void)backoff_next(&backoff, 0);
	CHECK(backoff.attempt == 64);
	for (int i = 0; i < 1000; i++)
		(void)backoff_next(&backoff, 0);
	CHECK(backoff.attempt == 64);
	CHECK(backoff_ceiling(&backoff) == 0x1p64);
	/* The cap is reached exactly and kept. */
	backoff = (struct backoff){ .first = 1, .max = 4, .attempt = 2 };
	CHECK(backoff_ceiling(&backoff) == 4);
	backoff.attempt = 3;
	CHECK(backoff_ceiling(&backoff) == 4);
}

static void jitter_is_even_and_depends_on_its_seed(void)
{
	struct backoff_random one, other;
	unsigned tenths[10] = { 0 }, same = 0, outside = 0;

	backoff_random_seed(&one, 1);
	backoff_random_seed(&other, 2);
	for (int i = 0; i < 100000; i++) {
		double a = backoff_random_next(&one), b = backoff_random_next(&other);
		same += a == b;
		if (a >= 0 && a < 1)
			tenths[(int)(a * 10)]++;
		else
			outside++;
	}
	CHECK(outside == 0);
	CHECK(same == 0);
	for (int i = 0; i < 10; i++)
		CHECK(tenths[i] > 9500 && tenths[i] < 10500);
	backoff_random_seed(&one, 7);
	backoff_random_seed(&other, 7);
	for (int i = 0; i < 100; i++)
		CHECK(backoff_random_next(&one) == backoff_random_next(&other));
	/* SplitMix64 as published: its first number of seed 1234567. */
	backoff_random_seed(&one, 1234567);
	CHECK(backoff_random_next(&one) == (double)(UINT64_C(6457827717110365317) >> 11) * 0x1p-53);
}

/* ---- breaker ---- */

static void it_opens_after_so_many_failures_in_a_row(void)
{
	struct breaker breaker;

	breaker_init(&breaker, 3, 100, 1);
	CHECK(strcmp(breaker_state_name(breaker.state), "closed") == 0);
	CHECK(!breaker_failure(&breaker, 10));
	CHECK(!breaker_failure(&breaker, 11));
	breaker_success(&breaker);
	CHECK(!breaker_failure(&breaker, 12));
	CHECK(!breaker_failure(&breaker, 13));
	CHECK(breaker_allow(&breaker, 13));
	CHECK(breaker_allowed_at(&breaker, 13) == 13);
	CHECK(breaker_failure(&breaker, 14));
	CHECK(strcmp(breaker_state_name(breaker.state), "open") == 0);
	CHECK(!breaker_allow(&breaker, 113));
	CHECK(breaker_allowed_at(&breaker, 20) == 114);
	CHECK(breaker_allowed_at(&breaker, 114) == 114);
	CHECK(breaker_allowed_at(&breaker, 200) == 200);
	/* One that comes while it is open is not its opening, and does not prolong it. */
	CHECK(!breaker_failure(&breaker, 50));
	CHECK(breaker_allowed_at(&breaker, 50) == 114);
	CHECK(breaker_allow(&breaker, 114));
	CHECK(strcmp(breaker_state_name(breaker.state), "half_open") == 0);
}

static void half_open_a_failure_opens_it_and_probes_close_it(void)
{
	struct breaker breaker;

	breaker_init(&breaker, 1, 100, 2);
	CHECK(breaker_failure(&breaker, 0));
	CHECK(breaker_allow(&breaker, 100));
	breaker_success(&breaker);
	CHECK(breaker.state == BREAKER_HALF_OPEN);
	CHECK(breaker_failure(&breaker, 150));
	CHECK(breaker_allowed_at(&breaker, 150) == 250);
	CHECK(breaker_allow(&breaker, 250));
	/* The success before the failure no longer counts. */
	breaker_success(&breaker);
	CHECK(breaker.state == BREAKER_HALF_OPEN);
	breaker_success(&breaker);
	CHECK(breaker.state == BREAKER_CLOSED);
	/* No probes wanted: one all the same. */
	breaker_init(&breaker, 1, 100, 0);
	CHECK(breaker_failure(&breaker, 0) && breaker_allow(&breaker, 100));
	breaker_success(&breaker);
	CHECK(breaker.state == BREAKER_CLOSED);
	/* A success does not close one that is open. */
	CHECK(breaker_failure(&breaker, 0));
	breaker_success(&breaker);
	CHECK(breaker.state == BREAKER_OPEN);
}

static void without_a_limit_it_never_opens(void)
{
	struct breaker breaker;

	breaker_init(&breaker, 0, 100, 1);
	unsigned opened = 0;
	for (int i = 0; i < 1000; i++)
		opened += breaker_failure(&breaker, 5);
	CHECK(opened == 0);
	CHECK(breaker_allow(&breaker, 5));
	breaker.failures = UINT32_MAX - 1;
	(void)breaker_failure(&breaker, 5);
	(void)breaker_failure(&breaker, 5);
	CHECK(breaker.failures == UINT32_MAX);
}

int main(void)
{
	literals_are_read_and_names_are_not();
	addresses_of_other_families_are_refused();
	the_port_is_set_in_both_families();
	loopback_is_this_host_and_nothing_else();
	waits_grow_to_their_cap();
	no_wait_is_shorter_than_the_floor();
	attempts_are_counted_as_far_as_they_matter();
	jitter_is_even_and_depends_on_its_seed();
	it_opens_after_so_many_failures_in_a_row();
	half_open_a_failure_opens_it_and_probes_close_it();
	without_a_limit_it_never_opens();
	return check_report();
}
