/* What must hold in every run of a fuzz target: otherwise it ends as a crash, which libFuzzer keeps the input of. */
#ifndef TESTS_FUZZ_REQUIRE_H
#define TESTS_FUZZ_REQUIRE_H

#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(condition)                                                                    \
	do {                                                                                      \
		if (!(condition)) {                                                                   \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);           \
			abort();                                                                          \
		}                                                                                     \
	} while (0)

#endif
