#include "net/hosts.h"

#include <stdio.h>
#include <stdlib.h>

static const char BLANKS[] = " \t\r\n";

static bool has_name(char *names, struct slice host)
{
	char *rest = NULL;

	for (const char *name = strtok_r(names, BLANKS, &rest); name; name = strtok_r(NULL, BLANKS, &rest))
		if (slice_eq_nocase(slice_cstr(name), host))
			return true;
	return false;
}

size_t hosts_find(const char *path, const char *host, uint16_t port, struct address *to, size_t max)
{
	struct slice name = slice_cstr(host);
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0, count = 0;

	if (!file)
		return 0;
	if (name.len > 0 && name.ptr[name.len - 1] == '.')
		name.len--;
	while (count < max && getline(&line, &cap, file) >= 0) {
		char *rest = NULL;
		line[strcspn(line, "#")] = '\0';
		const char *address = strtok_r(line, BLANKS, &rest);
		if (address && has_name(rest, name) && address_literal(address, port, &to[count]))
			count++;
	}
	free(line);
	fclose(file);
	return count;
}
