#include "config/config.h"

#include <limits.h>
#include <stdlib.h>

#include "base/http_message.h"
#include "base/mem.h"
#include "config/check.h"
#include "config/options.h"

#define SECRET_MIN 4 /* shorter values are not masked: that would garble every text */

/* ---- Folders ---- */

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return mem_strdup(".");
	while (slash > path && slash[-1] == '/')
		slash--;
	return slash == path ? mem_strdup("/") : mem_slicedup(slice_make(path, (size_t)(slash - path)));
}

static const char *last_name(const char *folder)
{
	const char *slash = strrchr(folder, '/');
	return slash ? slash + 1 : folder;
}

/* Where rules, logs and sockets count from: beside the folder when it is called conf, else the folder itself. */
static char *home_of(const char *folder)
{
	char real[PATH_MAX];
	const char *name = last_name(folder);
	if (strcmp(name, "conf") == 0)
		return folder_of(folder);
	if ((strcmp(name, ".") == 0 || strcmp(name, "..") == 0) && realpath(folder, real) && strcmp(last_name(real), "conf") == 0)
		return strcmp(folder, ".") == 0 ? mem_strdup("..") : mem_printf("%s/..", folder);
	return mem_strdup(folder);
}

/* ---- Secrets (P8) ---- */

static void add_server_secret(struct reading *reading, const struct value *server)
{
	const struct value *secret = check_find(server, "secret");
	if (secret && secret->type == VALUE_TEXT)
		reading_add_secret(reading, slice_make(secret->text.bytes, secret->text.len));
}

static void add_token_secrets(struct reading *reading, const struct value *token)
{
	static const char *const names[] = { "secret", "old_secret" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const struct value *secret = check_find(token, names[i]);
		if (secret && secret->type == VALUE_TEXT)
			reading_add_secret(reading, slice_make(secret->text.bytes, secret->text.len));
	}
}

/* Values of its headers may prove who we are, whatever their names. */
static void add_sink_secrets(struct reading *reading, const struct value *sink)
{
	const struct value *hmac = check_find(sink, "hmac"), *headers = check_find(sink, "headers");
	if (hmac && hmac->type == VALUE_TEXT)
		reading_add_secret(reading, slice_make(hmac->text.bytes, hmac->text.len));
	for (size_t i = 0; headers && headers->type == VALUE_TABLE && i < headers->table.count; i++) {
		const struct value *key = &headers->table.pairs[i].key, *value = &headers->table.pairs[i].value;
		if (key->type == VALUE_TEXT && value->type == VALUE_TEXT && http_header_is_secret(slice_make(key->text.bytes, key->text.len)))
			reading_add_secret(reading, slice_make(value->text.bytes, value->text.len));
	}
}

static void collect_secrets(struct reading *reading)
{
	const struct value *sinks = check_find(&reading->root, "sinks");
	if (sinks && sinks->type == VALUE_TABLE)
		for (size_t i = 0; i < sinks->table.count; i++)
			add_sink_secrets(reading, &sinks->table.pairs[i].value);
	const struct value *servers = check_find(&reading->root, "servers");
	add_server_secret(reading, check_find(&reading->root, "defaults"));
	if (servers && servers->type == VALUE_TABLE)
		for (size_t i = 0; i < servers->table.count; i++)
			add_server_secret(reading, &servers->table.pairs[i].value);
	const struct value *tokens = check_find(&reading->root, "web.tokens");
	if (tokens && tokens->type == VALUE_TABLE)
		for (size_t i = 0; i < tokens->table.count; i++)
			add_token_secrets(reading, &tokens->table.pairs[i].value);
}

static int longer_first(const void *a, const void *b)
{
	size_t x = strlen(*(const char *const *)a), y = strlen(*(const char *const *)b);
	return (x < y) - (x > y);
}

/* Replaces the secret in one line, which it owns. */
static char *mask(char *line, const char *secret)
{
	char *at;
	while ((at = strstr(line, secret))) {
		char *masked = mem_printf("%.*s\1%s", (int)(at - line), line, at + strlen(secret));
		mem_free_secret(&line);
		line = masked;
	}
	return line;
}

/* No fault quotes a text on purpose, but a key, a path or a message of Lua may hold one. \1 stands for the mask until the
 * end, so that no secret can match in it. */
static void mask_faults(struct reading *reading, struct faults *faults, size_t first)
{
	if (reading->secret_count > 1)
		qsort(reading->secrets, reading->secret_count, sizeof *reading->secrets, longer_first);
	for (size_t i = first; i < faults->count; i++) {
		for (size_t j = 0; j < reading->secret_count; j++)
			if (strlen(reading->secrets[j]) >= SECRET_MIN)
				faults->lines[i] = mask(faults->lines[i], reading->secrets[j]);
		char *at;
		while ((at = strchr(faults->lines[i], '\1'))) {
			char *masked = mem_printf("%.*s[redacted]%s", (int)(at - faults->lines[i]), faults->lines[i], at + 1);
			free(faults->lines[i]);
			faults->lines[i] = masked;
		}
	}
}

/* ---- The whole ---- */

struct config *config_look(const char *path, void (*secret)(const char *value), struct faults *faults)
{
	size_t first = faults->count;
	struct config *config = NULL;
	struct reading reading;
	char *folder = folder_of(path), *home = home_of(folder);

	reading_init(&reading, path, folder, faults);
	if (reading.root.type == VALUE_TABLE)
		config = check_reading(&reading, path, folder, home, faults);
	collect_secrets(&reading);
	for (size_t i = 0; secret && i < reading.secret_count; i++)
		secret(reading.secrets[i]);
	mask_faults(&reading, faults, first);
	reading_close(&reading);
	free(folder);
	free(home);
	return config;
}

struct config *config_load(const char *path, void (*secret)(const char *value), struct faults *faults)
{
	size_t errors = faults_errors(faults);
	struct config *config = config_look(path, secret, faults);
	if (faults_errors(faults) > errors)
		config_destroy(&config);
	return config;
}

struct config *config_defaults(void)
{
	struct config *config = mem_zalloc(sizeof *config);
	for (size_t i = 0; i < option_count; i++)
		if (options[i].scope == SCOPE_CONFIG)
			option_store(&options[i], NULL, config);
	config->path = mem_strdup("");
	return config;
}

static void close_scope(enum option_scope scope, void *base)
{
	for (size_t i = 0; i < option_count; i++)
		if (options[i].scope == scope)
			option_close(&options[i], base);
}

void config_destroy(struct config **config)
{
	struct config *c = *config;
	if (!c)
		return;
	for (size_t i = 0; i < c->server_count; i++) {
		close_scope(SCOPE_SERVER, &c->servers[i]);
		free(c->servers[i].name);
	}
	for (size_t i = 0; i < c->rule_count; i++) {
		close_scope(SCOPE_RULE, &c->rules[i]);
		free(c->rules[i].name);
	}
	for (size_t i = 0; i < c->sink_count; i++) {
		close_scope(SCOPE_SINK, &c->sinks[i]);
		free(c->sinks[i].name);
	}
	for (size_t i = 0; i < c->policy_count; i++) {
		close_scope(SCOPE_POLICY, &c->policies[i]);
		free(c->policies[i].rule);
	}
	for (size_t i = 0; i < c->control.socket_count; i++) {
		close_scope(SCOPE_SOCKET, &c->control.sockets[i]);
		free(c->control.sockets[i].name);
	}
	free(c->control.sockets);
	for (size_t i = 0; i < c->web.token_count; i++) {
		close_scope(SCOPE_TOKEN, &c->web.tokens[i]);
		free(c->web.tokens[i].name);
	}
	free(c->web.tokens);
	close_scope(SCOPE_WEB_POLICY, &c->web.policy);
	close_scope(SCOPE_CONFIG, c);
	free(c->servers);
	free(c->rules);
	free(c->sinks);
	free(c->policies);
	free(c->path);
	free(c);
	*config = NULL;
}

static bool sockets_equal(const struct config *a, const struct config *b)
{
	bool equal = a->control.socket_count == b->control.socket_count;
	for (size_t i = 0; equal && i < a->control.socket_count; i++) {
		const struct config_socket *x = &a->control.sockets[i], *y = &b->control.sockets[i];
		equal = strcmp(x->name, y->name) == 0;
		for (size_t k = 0; equal && k < option_count; k++)
			equal = options[k].scope != SCOPE_SOCKET || option_equal(&options[k], x, y);
	}
	return equal;
}

const char *config_needs_restart(const struct config *running, const struct config *wanted)
{
	for (size_t i = 0; i < option_count; i++)
		if (options[i].scope == SCOPE_CONFIG && (options[i].flags & OPTION_RESTART) && !option_equal(&options[i], running, wanted))
			return options[i].path;
	return sockets_equal(running, wanted) ? NULL : "control.sockets";
}

bool config_server_equal(const struct config_server *a, const struct config_server *b)
{
	if (strcmp(a->name, b->name) != 0)
		return false;
	for (size_t i = 0; i < option_count; i++)
		if (options[i].scope == SCOPE_SERVER && !(options[i].flags & OPTION_BESIDE_SESSION) && !option_equal(&options[i], a, b))
			return false;
	return true;
}
