#include "script/filter.h"

#include <stdlib.h>

bool value_test_passes(const struct value_test *test, struct slice value)
{
	struct slice want = { test->text, test->len };
	switch (test->kind) {
	case TEST_EQUAL:
		return slice_eq(value, want);
	case TEST_PREFIX:
		return slice_starts_with(value, want);
	default:
		return slice_glob(want, value);
	}
}

static bool any_passes(const struct value_test *tests, size_t count, struct slice value)
{
	for (size_t i = 0; i < count; i++)
		if (value_test_passes(&tests[i], value))
			return true;
	return false;
}

bool filter_server_passes(const struct filter *filter, struct slice server)
{
	return filter->server_count == 0 || any_passes(filter->servers, filter->server_count, server);
}

static bool set_passes(const struct header_set *set, const struct message *message)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct header_test *h = &set->headers[i];
		struct slice value;
		if (!message_get(message, slice_cstr(h->name), &value) || !any_passes(h->tests, h->count, value))
			return false;
	}
	return true;
}

bool filter_headers_pass(const struct filter *filter, const struct message *message)
{
	if (filter->set_count == 0)
		return true;
	for (size_t i = 0; i < filter->set_count; i++)
		if (set_passes(&filter->sets[i], message))
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
