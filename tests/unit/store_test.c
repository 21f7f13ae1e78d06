/* The store that rules keep data in beyond a reload. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/value_pack.h"
#include "check.h"
#include "rules/store.h"

static struct value text(const char *s)
{
	return value_text(slice_cstr(s));
}

static struct value integer(int64_t n)
{
	return (struct value){ .type = VALUE_INT, .integer = n };
}

static struct value number(double n)
{
	return (struct value){ .type = VALUE_NUMBER, .number = n };
}

/* A text key that need not be freed. */
static struct value key(char *s)
{
	return (struct value){ .type = VALUE_TEXT, .text = { s, strlen(s) } };
}

static int set(struct store_space *space, unsigned owner, struct value k, struct value item, uint64_t ttl, uint64_t now,
               struct err *err)
{
	return store_set(space, owner, &k, &item, ttl, now, err);
}

static const struct value *get(struct store_space *space, struct value k, uint64_t now)
{
	const struct value *item;
	return store_get(space, &k, now, &item, NULL) ? NULL : item;
}

static int64_t get_int(struct store_space *space, struct value k, uint64_t now)
{
	const struct value *item = get(space, k, now);
	return item && item->type == VALUE_INT ? item->integer : -1;
}

static void keeps_and_replaces(void)
{
	struct store *store = store_create(NULL);
	unsigned rule = store_owner(store, SLICE("scripts/a.lua"));
	struct store_space *calls = store_open(store, rule, SLICE("calls"), NULL);
	struct store_space *other = store_open(store, rule, SLICE("other"), NULL);
	char k[] = "k";

	CHECK(store_open(store, rule, SLICE("calls"), NULL) == calls && other != calls);
	CHECK(store_owner(store, SLICE("scripts/a.lua")) == rule);
	CHECK(set(calls, rule, key(k), text("one"), 0, 1, NULL) == 0);
	CHECK(get(other, key(k), 1) == NULL);
	CHECK(strcmp(get(calls, key(k), 1)->text.bytes, "one") == 0);
	CHECK(set(calls, rule, key(k), integer(2), 0, 1, NULL) == 0);
	CHECK(get_int(calls, key(k), 1) == 2);
	struct value kk = key(k);
	CHECK(store_delete(calls, &kk, 1, NULL) == 1 && store_delete(calls, &kk, 1, NULL) == 0);
	CHECK(set(calls, rule, key(k), integer(3), 0, 1, NULL) == 0);
	CHECK(set(calls, rule, key(k), (struct value){ .type = VALUE_NIL }, 0, 1, NULL) == 0 && !get(calls, key(k), 1));
	store_destroy(&store);
	CHECK(store == NULL);
	store_destroy(&store);
}

static void keys_are_as_in_lua(void)
{
	struct store *store = store_create(NULL);
	struct store_space *s = store_open(store, store_owner(store, SLICE("r")), SLICE("s"), NULL);
	char one[] = "1", zeros[] = "a\0b", zeros2[] = "a\0c";
	struct value with_zero = { .type = VALUE_TEXT, .text = { zeros, 3 } };
	struct value with_zero2 = { .type = VALUE_TEXT, .text = { zeros2, 3 } };
	struct err err;

	CHECK(set(s, 0, integer(1), integer(10), 0, 0, NULL) == 0);
	CHECK(get_int(s, number(1.0), 0) == 10 && !get(s, key(one), 0));
	CHECK(set(s, 0, number(1.5), integer(11), 0, 0, NULL) == 0 && get_int(s, number(1.5), 0) == 11);
	CHECK(set(s, 0, number(-0.0), integer(12), 0, 0, NULL) == 0 && get_int(s, integer(0), 0) == 12);
	CHECK(set(s, 0, (struct value){ .type = VALUE_BOOL, .boolean = true }, integer(13), 0, 0, NULL) == 0);
	CHECK(get_int(s, (struct value){ .type = VALUE_BOOL, .boolean = true }, 0) == 13);
	CHECK(!get(s, (struct value){ .type = VALUE_BOOL }, 0));
	CHECK(set(s, 0, with_zero, integer(14), 0, 0, NULL) == 0 && get_int(s, with_zero, 0) == 14 && !get(s, with_zero2, 0));
	CHECK(set(s, 0, number(1e300), integer(15), 0, 0, NULL) == 0 && get_int(s, number(1e300), 0) == 15);
	CHECK(set(s, 0, number(INFINITY), integer(16), 0, 0, NULL) == 0 && get_int(s, number(INFINITY), 0) == 16);
	CHECK(set(s, 0, number(NAN), text("x"), 0, 0, &err) == -1 && err.code == ERR_INVALID);
	CHECK(set(s, 0, (struct value){ .type = VALUE_NIL }, text("x"), 0, 0, &err) == -1 && err.code == ERR_INVALID);
	CHECK(set(s, 0, (struct value){ .type = VALUE_TABLE }, text("x"), 0, 0, &err) == -1 && err.code == ERR_INVALID);
	static char long_key[STORE_KEY_MAX + 2];
	memset(long_key, 'k', STORE_KEY_MAX + 1);
	CHECK(set(s, 0, key(long_key), integer(1), 0, 0, &err) == -1 && err.code == ERR_INVALID);
	long_key[STORE_KEY_MAX] = '\0';
	CHECK(set(s, 0, key(long_key), integer(1), 0, 0, &err) == 0);
	store_destroy(&store);
}

static void expires(void)
{
	struct store *store = store_create(NULL);
	struct store_space *s = store_open(store, store_owner(store, SLICE("r")), SLICE("s"), NULL);
	size_t cursor = 0, walked = 0;
	const struct value *k, *item;

	CHECK(store_next_expiry(store) == UINT64_MAX);
	for (int64_t i = 0; i < 1000; i++)
		CHECK(set(s, 0, integer(i), integer(i), (uint64_t)(1000 + i * 7919 % 1000), 100, NULL) == 0);
	set(s, 0, integer(5000), integer(1), 0, 100, NULL);
	CHECK(store_next_expiry(store) == 1100);
	CHECK(get_int(s, integer(0), 1099) == 0 && !get(s, integer(0), 1100));
	CHECK(store_sweep(store, 1099, 100) == 0);
	while (store_next(s, &cursor, 1599, &k, &item))
		walked++;
	CHECK(walked == 501);
	CHECK(store_sweep(store, 1599, 200) == 200);
	CHECK(store_sweep(store, 1599, 1000) == 300);
	CHECK(store_next_expiry(store) == 1600);
	/* Written again, an entry has its new time. */
	CHECK(set(s, 0, integer(1), integer(2), 0, 1599, NULL) == 0);
	CHECK(set(s, 0, integer(2), integer(2), 1, 1599, NULL) == 0 && store_next_expiry(store) == 1600);
	CHECK(set(s, 0, integer(2), integer(3), UINT64_MAX, 1599, NULL) == 0 && get_int(s, integer(2), UINT64_MAX - 1) == 3);
	store_sweep(store, UINT64_MAX - 1, SIZE_MAX);
	CHECK(store_usage(store).entries == 4 && store_next_expiry(store) == UINT64_MAX);
	store_destroy(&store);
}

static void counts(void)
{
	struct store *store = store_create(NULL);
	struct store_space *s = store_open(store, store_owner(store, SLICE("r")), SLICE("s"), NULL);
	struct value k = integer(1), one = integer(1), half = number(0.5), out, wrong = integer(2);
	struct err err;

	CHECK(store_incr(s, 0, &k, &one, 50, 100, &out, NULL) == 0 && out.type == VALUE_INT && out.integer == 1);
	CHECK(store_incr(s, 0, &k, &one, 50, 140, &out, NULL) == 0 && out.integer == 2);
	CHECK(store_incr(s, 0, &k, &half, 0, 149, &out, NULL) == 0 && out.type == VALUE_NUMBER && out.number > 2.4);
	/* The time to live counts from when it was made. */
	CHECK(store_incr(s, 0, &k, &one, 0, 150, &out, NULL) == 0 && out.type == VALUE_INT && out.integer == 1);
	CHECK(set(s, 0, k, integer(INT64_MAX), 0, 200, NULL) == 0);
	CHECK(store_incr(s, 0, &k, &one, 0, 200, &out, &err) == -1 && err.code == ERR_OVERFLOW);
	CHECK(get_int(s, k, 200) == INT64_MAX);
	CHECK(set(s, 0, wrong, text("x"), 0, 200, NULL) == 0);
	CHECK(store_incr(s, 0, &wrong, &one, 0, 200, &out, &err) == -1 && err.code == ERR_INVALID);
	struct value by = text("1");
	CHECK(store_incr(s, 0, &k, &by, 0, 200, &out, &err) == -1 && err.code == ERR_INVALID);
	value_close(&by);
	store_destroy(&store);
}

/* Stores are few, and a rule may have a quarter of them; its error says which bound it was. */
static void stores_are_bounded(void)
{
	struct store *store = store_create(&(struct store_limits){ .entries = 100, .bytes = 100000, .spaces = 8 });
	unsigned greedy = store_owner(store, SLICE("greedy"));
	struct err err;

	CHECK(store_open(store, greedy, SLICE("a"), &err) && store_open(store, greedy, SLICE("b"), &err));
	CHECK(store_open(store, greedy, SLICE("a"), &err)); /* it is there already */
	CHECK(!store_open(store, greedy, SLICE("c"), &err) && err.code == ERR_OVERFLOW);
	CHECK_NAMED(strcmp(err.text, "store: the rule has opened 2 stores already") == 0, err.text);
	static const char *const rules[] = { "r1", "r2", "r3" };
	for (size_t i = 0; i < 3; i++) {
		char names[2][3] = { { (char)('d' + i), '1' }, { (char)('d' + i), '2' } };
		unsigned owner = store_owner(store, slice_cstr(rules[i]));
		CHECK(store_open(store, owner, slice_cstr(names[0]), &err) && store_open(store, owner, slice_cstr(names[1]), &err));
	}
	CHECK(!store_open(store, store_owner(store, SLICE("late")), SLICE("z"), &err) && err.code == ERR_OVERFLOW);
	CHECK_NAMED(strcmp(err.text, "store: there are 8 stores already, the most in all") == 0, err.text);
	CHECK(!store_open(store, greedy, SLICE(""), &err) && err.code == ERR_INVALID);
	store_destroy(&store);
}

static void charges_the_writer(void)
{
	struct store_limits limits = { .entries = 10, .bytes = 20000, .spaces = 3 };
	struct store *store = store_create(&limits);
	unsigned greedy = store_owner(store, SLICE("greedy")), modest = store_owner(store, SLICE("modest"));
	struct store_space *s = store_open(store, greedy, SLICE("s"), NULL);
	struct err err;

	for (int64_t i = 0; i < 9; i++)
		CHECK(set(s, greedy, integer(i), integer(i), 0, 0, NULL) == 0);
	CHECK(set(s, greedy, integer(100), integer(1), 0, 0, &err) == -1 && err.code == ERR_OVERFLOW);
	CHECK(strstr(err.text, "greedy") != NULL);
	CHECK(set(s, greedy, integer(0), integer(50), 0, 0, NULL) == 0);
	CHECK(set(s, modest, integer(100), integer(1), 0, 0, NULL) == 0);
	/* Who overwrites, pays. */
	CHECK(set(s, modest, integer(0), integer(1), 0, 0, NULL) == 0);
	CHECK(store_owner_usage(store, greedy).entries == 9 && store_owner_usage(store, modest).entries == 2);
	CHECK(set(s, greedy, integer(101), integer(1), 0, 0, NULL) == 0);

	char *big = calloc(1, 20001);
	memset(big, 'x', 20000);
	CHECK(set(s, modest, integer(102), text(big), 0, 0, &err) == -1 && err.code == ERR_OVERFLOW);
	/* A write that fails leaves what stood there. */
	CHECK(set(s, modest, integer(100), text(big), 0, 0, &err) == -1 && get_int(s, integer(100), 0) == 1);
	big[18000] = '\0';
	CHECK(set(s, modest, integer(100), text(big), 0, 0, NULL) == 0);
	CHECK(store_owner_usage(store, modest).bytes > 18000 && store_owner_usage(store, modest).bytes <= 20000);
	big[9000] = '\0';
	limits.bytes = 1000;
	store_limit(store, &limits);
	/* Over a limit that shrank, only what makes it smaller passes. */
	CHECK(set(s, modest, integer(103), integer(1), 0, 0, NULL) == -1);
	CHECK(set(s, modest, integer(100), text(big), 0, 0, NULL) == 0);
	CHECK(set(s, modest, integer(100), (struct value){ .type = VALUE_NIL }, 0, 0, NULL) == 0);
	CHECK(store_owner_usage(store, modest).entries == 1);
	free(big);

	CHECK(store_open(store, modest, SLICE("t"), NULL) && store_open(store, modest, SLICE("u"), NULL));
	CHECK(!store_open(store, modest, SLICE("v"), &err) && err.code == ERR_OVERFLOW);
	CHECK(!store_open(store, modest, SLICE(""), &err) && err.code == ERR_INVALID);
	store_destroy(&store);
}

/* The same random changes on a store and on a plain array. */
static void agrees_with_a_model(void)
{
	enum { KEYS = 50, STEPS = 50000 };
	struct store *store = store_create(NULL);
	struct store_space *s = store_open(store, store_owner(store, SLICE("r")), SLICE("s"), NULL);
	struct store_usage empty = store_usage(store);
	struct { int64_t item; uint64_t expires; bool there; } model[KEYS] = { { 0 } };
	unsigned seed = 1;
	bool good = true;

	for (uint64_t now = 1; now < STEPS && good; now++) {
		seed = seed * 1103515245 + 12345;
		unsigned i = seed >> 16 & 0x7fff, what = seed >> 8 & 3;
		struct value k = integer(i % KEYS), one = integer(1), out;
		i %= KEYS;
		if (model[i].there && model[i].expires <= now)
			model[i].there = false;
		uint64_t ttl = now % 3 ? now % 97 + 1 : 0, until = ttl ? now + ttl : UINT64_MAX;
		if (what == 0) {
			good = set(s, 0, k, integer((int64_t)now), ttl, now, NULL) == 0;
			model[i].item = (int64_t)now;
			model[i].expires = until;
			model[i].there = true;
		} else if (what == 1) {
			good = store_delete(s, &k, now, NULL) == (model[i].there ? 1 : 0);
			model[i].there = false;
		} else if (what == 2) {
			if (!model[i].there) {
				model[i].item = 0;
				model[i].expires = until;
				model[i].there = true;
			}
			good = store_incr(s, 0, &k, &one, ttl, now, &out, NULL) == 0 && out.integer == ++model[i].item;
		} else {
			good = get_int(s, k, now) == (model[i].there ? model[i].item : -1);
			store_sweep(store, now, 2);
		}
	}
	CHECK(good);
	store_sweep(store, UINT64_MAX - 1, SIZE_MAX);
	for (int64_t i = 0; i < KEYS; i++) {
		struct value k = integer(i);
		store_delete(s, &k, STEPS, NULL);
	}
	CHECK(store_usage(store).bytes == empty.bytes && store_usage(store).entries == empty.entries);
	store_destroy(&store);
}

/* Every float stands on disk as printf's %a writes it, and comes back as it was. */
static void numbers_are_packed_exactly(void)
{
	double some[] = { 0.0, -0.0, 1.0, -1.0, 1.5, 0.1, -1e9, 1e-300, 1700000000.25, 9007199254740993.0, 0x1p-1022, 0x1p-1023, 0x1p-1074,
		0x1.fffffffffffffp+1023, 0x1.0000000000001p+0, 0x1.8p-1, 0x1.00fp+10, INFINITY, -INFINITY };
	uint64_t bits = 42;

	for (size_t i = 0; i < 100000; i++) {
		double n = i < sizeof some / sizeof *some ? some[i] : 0;
		if (i >= sizeof some / sizeof *some) {
			bits = bits * UINT64_C(6364136223846793005) + 1442695040888963407;
			memcpy(&n, &bits, sizeof n);
		}
		if (isnan(n))
			continue;
		struct value v = number(n), back;
		struct buf packed;
		char expected[64];
		buf_init(&packed, 0);
		snprintf(expected, sizeof expected, "n%a;", n);
		bool same = value_pack(&packed, &v) == 0 && strcmp(buf_cstr(&packed), expected) == 0;
		if (!CHECK_NAMED(same && value_unpack(buf_slice(&packed), &back) == 0 && memcmp(&back.number, &n, sizeof n) == 0, expected))
			i = 100000;
		buf_close(&packed);
	}
}

int main(void)
{
	keeps_and_replaces();
	keys_are_as_in_lua();
	expires();
	counts();
	stores_are_bounded();
	charges_the_writer();
	agrees_with_a_model();
	numbers_are_packed_exactly();
	return check_report();
}
