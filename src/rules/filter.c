#include "rules/filter.h"

#include <stdlib.h>

static bool passes(const struct value_test *test, struct slice value, size_t *steps)
{
	struct slice want = { test->text, test->len };
	switch (test->kind) {
	case TEST_EQUAL:
		return slice_eq(value, want);
	case TEST_PREFIX:
		return slice_starts_with(value, want);
	default:
		return slice_glob_bounded(want, value, steps);
	}
}

bool value_test_passes(const struct value_test *test, struct slice value)
{
	size_t steps = FILTER_STEPS_MAX;
	return passes(test, value, &steps);
}

static bool pay(size_t *steps, size_t cost)
{
	*steps = *steps > cost ? *steps - cost : 0;
	return *steps > 0;
}

static bool any_passes(const struct value_test *tests, size_t count, struct slice value, size_t *steps)
{
	for (size_t i = 0; i < count && pay(steps, 1); i++)
		if (passes(&tests[i], value, steps))
			return true;
	return false;
}

bool filter_server_passes(const struct filter *filter, struct slice server, size_t *steps)
{
	return filter->server_count == 0 || any_passes(filter->servers, filter->server_count, server, steps);
}

static bool set_passes(const struct header_set *set, const struct message *message, size_t *steps)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct header_test *h = &set->headers[i];
		struct slice value;
		if (!pay(steps, message->header_count) || !message_get(message, slice_cstr(h->name), &value) ||
		    !any_passes(h->tests, h->count, value, steps))
			return false;
	}
	return true;
}

bool filter_headers_pass(const struct filter *filter, const struct message *message, size_t *steps)
{
	if (filter->set_count == 0)
		return true;
	for (size_t i = 0; i < filter->set_count; i++)
		if (set_passes(&filter->sets[i], message, steps))
			return true;
	return false;
}

static void tests_free(struct value_test *tests, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(tests[i].text);
	free(tests);
}

void filter_close(struct filter *filter)
{
	tests_free(filter->servers, filter->server_count);
	for (size_t i = 0; i < filter->set_count; i++) {
		for (size_t j = 0; j < filter->sets[i].count; j++) {
			free(filter->sets[i].headers[j].name);
			tests_free(filter->sets[i].headers[j].tests, filter->sets[i].headers[j].count);
		}
		free(filter->sets[i].headers);
	}
	free(filter->sets);
	*filter = (struct filter){ 0 };
}
