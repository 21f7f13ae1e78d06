#include "rules/loading.h"

#include <stdlib.h>

#include "base/mem.h"
#include "rules/api/api.h"
#include "value/json.h"

/* The folder's own name, for error texts: "scripts/missed.lua". */
static char *shown_name(const char *folder)
{
	size_t len = strlen(folder);
	while (len > 1 && folder[len - 1] == '/')
		len--;
	const char *slash = memrchr(folder, '/', len);
	const char *name = slash ? slash + 1 : folder;
	return mem_slicedup(slice_make(name, len - (size_t)(name - folder)));
}

int scratch_init(struct scratch *scratch, const struct rule_limits *limits, struct err *err)
{
	const struct json_limits json_limits = { .bytes = limits->json_bytes, .depth = limits->json_depth };

	*scratch = (struct scratch){ .json = NULL };
	action_init(&scratch->action);
	buf_init(&scratch->text, 0);
	buf_init(&scratch->traceback, 0);
	http_request_init(&scratch->http);
	scratch->json = json_create(&json_limits, error_push_one, err);
	return scratch->json ? 0 : -1;
}

void scratch_close(struct scratch *scratch)
{
	action_close(&scratch->action);
	buf_close(&scratch->text);
	buf_close(&scratch->traceback);
	http_request_close(&scratch->http);
	json_destroy(&scratch->json);
	filter_close(&scratch->filter);
	for (size_t i = 0; i < sizeof scratch->values / sizeof *scratch->values; i++)
		value_close(&scratch->values[i]);
}

int loading_init(struct loading *l, const struct rules_options *options, struct rule_source_cache *cache, struct faults *faults)
{
	struct err err;

	*l = (struct loading){ .options = options, .faults = faults, .cache = cache,
	                       .rules_shown = shown_name(options->rules), .lib_shown = shown_name(options->lib) };
	if (scratch_init(&l->scratch, &options->limits, &err)) {
		faults_add(faults, "%s", err.text);
		return -1;
	}
	return 0;
}

void loading_close(struct loading *l)
{
	scratch_close(&l->scratch);
	free(l->rules_shown);
	free(l->lib_shown);
}

void loading_note_servers(struct rule *rule)
{
	const struct loading *l = rule->loading;
	/* A rule that begins anew notes nothing: its source is shared with other threads by now. */
	if (l->cache)
		rule_source_note_servers(rule->source, l->options->servers, l->options->server_count);
}
