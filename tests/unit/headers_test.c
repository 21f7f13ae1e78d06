/* Which values of a frame's or an action's headers may be shown. */
#include <string.h>

#include "check.h"
#include "engine/headers.h"
#include "observe/redact.h"

#define HEADERS_MAX 16

/* An action of these "Name: value" lines; the list ends with NULL. */
static void fill(struct action *action, const char *const *lines)
{
	struct err err;

	action_init(action);
	for (; *lines; lines++) {
		const char *colon = strstr(*lines, ": ");
		CHECK(action_add(action, slice_make(*lines, (size_t)(colon - *lines)), slice_cstr(colon + 2), &err) == 0);
	}
}

/* The lines that end in "wombat" are masked, and no others. */
static void masks(const char *const *lines)
{
	struct action action;
	const struct headers headers = { .action = &action };

	fill(&action, lines);
	CHECK(headers_count(&headers) == action.count);
	for (uint32_t i = 0; i < headers_count(&headers); i++) {
		struct slice shown = headers_masked(&headers, i), value = headers_value(&headers, i);
		bool secret = value.len >= 6 && memcmp(value.ptr + value.len - 6, "wombat", 6) == 0;
		CHECK_NAMED(slice_eq(shown, secret ? SLICE(REDACTED) : value), lines[i]);
	}
	action_close(&action);
}

#define MASKS(...) masks((const char *const[]){ __VA_ARGS__, NULL })

static void test_masked(void)
{
	MASKS("Action: Login", "Username: admin", "Secret: wombat", "Channel: PJSIP/100");
	/* Lists of variables: one of their names is a secret's. */
	MASKS("Action: Originate", "Variable: A=1,PASSWORD=wombat", "Variable: A=1,B=2", "Variable: password = wombat", "Variable: =1,=2", "Variable: PASSWORD");
	MASKS("Action: Originate", "Variables: A=1,API_TOKEN=wombat", "ChanVariable(PJSIP/100): SECRET=wombat", "Other: SECRET=1");
	MASKS("Action: Originate", "Variable: PASSWORD=,B=wombat", "Variable: A,PASSWORD=wombat", "Variable: ,");
	/* The value of a variable that another header names, before or behind it. */
	MASKS("Action: Setvar", "Variable: PASSWORD", "Value: wombat");
	MASKS("Action: Setvar", "Value: wombat", "Variable: PASSWORD");
	MASKS("Action: Setvar", "Value: 1", "Variable: COLOUR", "Val: 2");
	/* Entries of the database: Family or Key name them; only there. */
	MASKS("Action: DBPut", "Family: SIP", "Key: secret", "Val: wombat");
	MASKS("Action: DBPut", "Family: passwords", "Key: 100", "Val: wombat");
	MASKS("Action: DBPut", "Family: SIP", "Key: 100", "Val: 1");
	MASKS("Event: DBGetResponse", "Family: SIP", "Key: secret", "Val: wombat");
	MASKS("Action: UserEvent", "Family: passwords", "Val: 1");
	MASKS("Action: UserEvent", "Key: wombat");
}

/* Bytes that come line by line: what a line says holds for those behind it, in its frame. */
static void test_by_line(void)
{
	struct header_context context = { 0 };

	CHECK(!header_is_secret(&context, SLICE("Value"), SLICE("1")));
	CHECK(!header_is_secret(&context, SLICE("Variable"), SLICE("PASSWORD")));
	CHECK(header_is_secret(&context, SLICE("Value"), SLICE("wombat")));
	context = (struct header_context){ 0 };
	CHECK(!header_is_secret(&context, SLICE("Event"), SLICE("DBGetResponse")));
	CHECK(header_is_entry(&context, SLICE("Key")) && !header_is_entry(&context, SLICE("Family")));
	CHECK(!header_is_secret(&context, SLICE("Family"), SLICE("passwords")));
	CHECK(header_is_secret(&context, SLICE("Val"), SLICE("wombat")));
}

static bool matches(const struct headers *headers, const char *name, const char *pattern)
{
	return headers_match(headers, slice_cstr(name), slice_cstr(pattern));
}

static void test_match(void)
{
	static const char bytes[] = "Event: A\r\nChannel: PJSIP/100\r\nStale: yes\r\n";
	struct header list[HEADERS_MAX] = {
		{ .name = 0, .name_len = 5, .value_gap = 2, .value_len = 1 },
		{ .name = 10, .name_len = 7, .value_gap = 2, .value_len = 9 },
		{ .name = 30, .name_len = 5, .value_gap = 2, .value_len = 3 }, /* of another frame: behind the count */
	};
	const struct message m = { .bytes = bytes, .len = 28, .headers = list, .header_count = 2 };
	const struct headers headers = { .message = &m };

	CHECK(headers_count(&headers) == 2);
	CHECK(matches(&headers, "channel", "PJSIP/*") && matches(&headers, "Event", "A"));
	CHECK(!matches(&headers, "Channel", "SIP/*") && !matches(&headers, "Event", "PJSIP/*"));
	CHECK(!matches(&headers, "Stale", "yes"));
}

int main(void)
{
	test_masked();
	test_by_line();
	test_match();
	return check_report();
}
