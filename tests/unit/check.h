/* The least that a unit test in C needs: counted checks, and a last line "N passed, N failed". */
#ifndef TESTS_UNIT_CHECK_H
#define TESTS_UNIT_CHECK_H

#include <stdbool.h>
#include <stdio.h>

static unsigned check_passed, check_failed;

static inline bool check_that(bool ok, const char *what, const char *file, int line)
{
	if (ok) {
		check_passed++;
	} else {
		check_failed++;
		printf("%s:%d: failed: %s\n", file, line, what);
	}
	return ok;
}

#define CHECK(condition) check_that((condition), #condition, __FILE__, __LINE__)

/* For a condition that does not say itself what it is about. */
#define CHECK_NAMED(condition, what) check_that((condition), (what), __FILE__, __LINE__)

/* For main() to return. */
static inline int check_report(void)
{
	printf("%u passed, %u failed\n", check_passed, check_failed);
	return check_failed > 0;
}

#endif
