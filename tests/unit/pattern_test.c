/* Patterns as C sees them: what matching costs, how often it asks for the deadline, and that nothing is read outside of the two
 * texts. What matches is compared with Lua's own library in stdlib_test.lua. */
#include <string.h>

#include "check.h"
#include "sandbox/pattern.h"

static unsigned polls;

static void on_poll(void *ctx)
{
	CHECK(ctx == &polls);
	polls++;
}

/* Of the first bytes of two texts: what stands behind them must not matter. */
static int match(struct pattern *p, const char *subject, size_t subject_len, const char *text, size_t text_len, uint64_t steps)
{
	size_t end = SIZE_MAX;
	/* What the caller does not set holds anything. */
	memset(p, 0xA5, sizeof *p);
	p->subject = slice_make(subject, subject_len);
	p->text = slice_make(text, text_len);
	p->steps = steps;
	p->poll = on_poll;
	p->ctx = &polls;
	p->next_poll = 0;
	polls = 0;
	int rc = pattern_match(p, 0, &end);
	CHECK((rc == 1) == (end != SIZE_MAX) && (rc == -1) == (p->error != NULL));
	return rc == 1 ? (int)end : rc == 0 ? -1 : -2;
}

/* Where the match of the whole texts ends; -1: none; -2: an error. */
static int find(const char *subject, const char *text)
{
	struct pattern p;
	return match(&p, subject, strlen(subject), text, strlen(text), 1000);
}

/* The same for texts that are the first bytes of longer ones. */
static int find_cut(const char *subject, size_t subject_len, const char *text, size_t text_len)
{
	struct pattern p;
	return match(&p, subject, subject_len, text, text_len, 1000);
}

static void nothing_behind_the_texts_is_read(void)
{
	struct pattern p;
	/* A pattern that would go on. */
	CHECK(find("a", "[a]") == 1 && find_cut("a", 1, "[a]", 2) == -2);
	CHECK(find("b", "[^a]") == 1 && find_cut("b", 1, "[^a]", 1) == -2);
	CHECK(find_cut("]", 1, "[%]]", 3) == -2);
	CHECK(find("aaa", "a*") == 3 && find_cut("aaa", 3, "a*", 1) == 1);
	CHECK(find("a", "%f[a]") == 0);
	CHECK(match(&p, "a", 1, "%f[a]", 2, 1000) == -2 && strstr(p.error, "missing '['"));
	CHECK(find("()", "%b()") == 2 && find_cut("()", 2, "%b()", 3) == -2);
	CHECK(find("5", "%d") == 1 && find_cut("5", 1, "%d", 1) == -2);
	CHECK(find("a$", "a$b") == -1 && find_cut("a", 1, "a$b", 2) == 1);
	/* A subject that would go on. */
	CHECK(find_cut("ab", 1, "ab", 2) == -1 && find_cut("aaa", 2, "a*", 2) == 2 && find_cut("aa", 1, "a$", 2) == 1);
	CHECK(find_cut("()", 0, "%b()", 4) == -1 && find_cut("()", 1, "%b()", 4) == -1);
	CHECK(find_cut("aa", 1, "(a)%1", 5) == -1 && find_cut("a", 0, ".", 1) == -1);
	CHECK(find_cut("ab", 1, "a%f[b]", 6) == -1 && find_cut("ab", 1, "a%f[%z]", 7) == 1 && find_cut(&"aa"[1], 1, "%f[a]", 5) == 0);

	CHECK(pattern_is_plain(SLICE("a]b}")) && pattern_is_plain(slice_make("a*", 1)) && pattern_is_plain(slice_make("*", 0)));
	for (const char *magic = "^$*+?.([%-"; *magic; magic++)
		CHECK(!pattern_is_plain(slice_make(magic, 1)));
}

static void captures_are_as_deep_as_they_are_found(void)
{
	struct pattern p;
	CHECK(match(&p, "aab", 3, "(a)(a)()b", 9, 1000) == 3 && p.captures == 3);
	CHECK(p.capture[0].start == p.subject.ptr && p.capture[0].len == 1 && p.capture[2].len == PATTERN_POSITION);
	CHECK(match(&p, "aab", 3, "(a-)(b)", 7, 1000) == 3 && p.captures == 2 && p.capture[0].len == 2);
	CHECK(match(&p, "ab", 2, "(a", 2, 1000) == 1 && p.captures == 1 && p.capture[0].len == PATTERN_UNFINISHED);
	CHECK(match(&p, "ab", 2, "()", 1, 1000) == 0 && p.capture[0].len == PATTERN_UNFINISHED);
	CHECK(match(&p, "ab", 2, "(a)c", 4, 1000) == -1 && p.captures == 0);
	CHECK(match(&p, "aa", 2, "(a)%2", 5, 1000) == -2 && p.error_index == 2);
	CHECK(match(&p, "aa", 2, "%1", 2, 1000) == -2 && p.error_index == 1);
	CHECK(match(&p, "aa", 2, "%0", 2, 1000) == -2 && p.error_index == 0);
	CHECK(match(&p, "9", 1, "%9", 2, 1000) == -2 && p.error_index == 9);
	CHECK_NAMED(match(&p, "aa", 2, "%", 1, 1000) == -2 && p.error_index == -1, "this fault is about no capture");
}

static void matching_has_its_price(void)
{
	struct pattern p;
	/* One for the try, one for the item, one for its class. */
	CHECK(match(&p, "a", 1, "a", 1, 3) == 1 && p.steps == 0);
	CHECK(match(&p, "a", 1, "a", 1, 2) == -2 && p.steps == 0 && strstr(p.error, "too expensive"));
	CHECK(match(&p, "a", 1, "a", 1, 0) == -2);
	CHECK_NAMED(match(&p, "a", 1, "[abc]", 5, 7) == 1 && p.steps == 0, "a set costs its length");
	CHECK(match(&p, "a", 1, "[abc]", 5, 6) == -2 && p.steps == 0);
	CHECK_NAMED(match(&p, "aaaa", 4, "a*", 2, 7) == 4 && p.steps == 0, "each repetition costs");
	CHECK(match(&p, "aaaa", 4, "a*", 2, 6) == -2);
	CHECK(match(&p, "aaab", 4, "a-b", 3, 14) == 4 && p.steps == 0);
	CHECK(match(&p, "aaab", 4, "a-b", 3, 13) == -2);
	CHECK(match(&p, "(())", 4, "%b()", 4, 5) == 4 && p.steps == 0);
	CHECK(match(&p, "(())", 4, "%b()", 4, 4) == -2);
	CHECK(match(&p, "a", 1, "%f[a]", 5, 5) == 0 && p.steps == 0);
	CHECK(match(&p, "a", 1, "%f[a]", 5, 4) == -2);
	CHECK_NAMED(match(&p, "abcabc", 6, "(abc)%1", 7, 11) == 6 && p.steps == 0, "a reference costs what it compares");
	CHECK(match(&p, "abcabc", 6, "(abc)%1", 7, 10) == -2);
	CHECK(match(&p, "", 0, "^$", 0, 1) == 0 && p.steps == 0);
}

static void a_long_match_asks_for_the_deadline(void)
{
	static char subject[10000];
	struct pattern p;
	memset(subject, 'a', sizeof subject);
	CHECK(match(&p, subject, sizeof subject, "a*", 2, 100000) == sizeof subject && p.steps == 100000 - sizeof subject - 3);
	CHECK_NAMED(polls == 2, "every 4096 steps");
	CHECK(match(&p, subject, 4092, "a*", 2, 100000) == 4092 && polls == 0);
	CHECK(match(&p, subject, 4093, "a*", 2, 100000) == 4093 && polls == 1);
	CHECK(match(&p, subject, 4092, "a*", 2, 8192) == 4092 && polls == 0);
	CHECK(match(&p, subject, 4093, "a*", 2, 8192) == 4093 && polls == 1);

	/* What was not asked in one call is asked in the next one of the same budget. */
	size_t end;
	CHECK(match(&p, subject, 3000, "a*", 2, 100000) == 3000 && polls == 0);
	CHECK(pattern_match(&p, 0, &end) == 1 && polls == 1);
	CHECK(pattern_match(&p, 0, &end) == 1 && polls == 2);
	/* A budget that was set anew and is smaller. */
	p.steps = 5000;
	CHECK(pattern_match(&p, 0, &end) == 1 && polls == 2);
	p.steps = p.next_poll = 90000;
	CHECK_NAMED(pattern_match(&p, 0, &end) == 1 && polls == 3, "it was due just now");
	p.poll = NULL;
	p.steps = 100000;
	p.subject.len = sizeof subject;
	CHECK(pattern_match(&p, 0, &end) == 1 && end == sizeof subject);
}

static void nesting_ends_at_its_bound(void)
{
	char text[4 * (PATTERN_NESTING + 2)] = "";
	struct pattern p;
	for (int i = 0; i < PATTERN_NESTING; i++)
		memcpy(text + 2 * i, "a?", 2);
	CHECK(match(&p, "b", 1, text, strlen(text), 100000) == 0);
	memset(text, 0, sizeof text);
	for (int i = 0; i < PATTERN_NESTING; i++)
		memcpy(text + 2 * i, "a-", 2);
	CHECK(match(&p, "b", 1, text, strlen(text), 100000) == 0);
	memcpy(text + 2 * PATTERN_NESTING, "a-", 2);
	CHECK(match(&p, "b", 1, text, strlen(text), 100000) == -2 && strcmp(p.error, "pattern too complex") == 0);
}

int main(void)
{
	nothing_behind_the_texts_is_read();
	captures_are_as_deep_as_they_are_found();
	matching_has_its_price();
	a_long_match_asks_for_the_deadline();
	nesting_ends_at_its_bound();
	return check_report();
}
