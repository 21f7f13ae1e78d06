/* A folder of rules for unit tests that drive the harness: the rule of kill_api_test.lua, which uses all that rules have, the module
 * that it requires, and another rule, whose text the test gives. */
#ifndef TESTS_UNIT_RULES_FOLDER_H
#define TESTS_UNIT_RULES_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "harness/module_harness.h"

static char rules_folder[] = "/tmp/hookswitch-rules-XXXXXX";

static inline void rules_folder_write(const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof path, "%s/%s", rules_folder, name);
	FILE *file = fopen(path, "w");
	if (!file || fputs(text, file) == EOF || fclose(file) == EOF) {
		perror(path);
		exit(1);
	}
}

/* A command of the shell; %s: the folder. */
static inline bool rules_folder_run(const char *command)
{
	char text[256];
	const char *at = strstr(command, "%s");
	snprintf(text, sizeof text, "%.*s%s%s", (int)(at - command), command, rules_folder, at + 2);
	return system(text) == 0;
}

/* `other`: the text of the other rule. */
static inline void rules_folder_make(const char *other)
{
	if (!mkdtemp(rules_folder)) {
		perror(rules_folder);
		exit(1);
	}
	if (!CHECK(rules_folder_run("cd %s && mkdir scripts lib") && rules_folder_run("cp tests/unit/kill_api_test.lua %s/scripts/everything.lua")))
		exit(check_report());
	rules_folder_write("scripts/other.lua", other);
	rules_folder_write("lib/part.lua", "local part = {} function part.use(...) return select('#', ...) end return part\n");
}

static inline void rules_folder_remove(void)
{
	CHECK(rules_folder_run("rm -rf %s"));
}

/* Rules and modules are read from there. */
static inline void rules_folder_use(struct harness *h)
{
	h->rules = mem_printf("%s/scripts", rules_folder);
	h->lib = mem_printf("%s/lib", rules_folder);
}

#endif
