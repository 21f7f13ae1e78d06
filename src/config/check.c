#include "config/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/options.h"
#include "config/tree.h"

#define SINKS_MAX 64
#define SOCKETS_MAX 8
#define TOKENS_MAX 256

struct check {
	const struct reading *reading;
	struct faults *faults;
	const char *dir, *home;
	struct config *config;
	struct buf path;    /* where the walk is, for people */
	struct buf pattern; /* the same with placeholders */
	bool in_defaults;
};

static struct slice key_of(const struct value_pair *pair)
{
	return pair->key.type == VALUE_TEXT ? slice_make(pair->key.text.bytes, pair->key.text.len) : (struct slice){ "", 0 };
}

const struct value *check_find(const struct value *table, const char *path)
{
	while (table && *path) {
		size_t len = strcspn(path, ".");
		table = value_get(table, slice_make(path, len));
		path += len + (path[len] == '.');
	}
	return table;
}

static bool has_missing(const struct value *value)
{
	if (value->type == VALUE_TEXT)
		return slice_find(slice_make(value->text.bytes, value->text.len), SLICE(READ_MISSING)) >= 0;
	if (value->type == VALUE_TABLE)
		for (size_t i = 0; i < value->table.count; i++)
			if (has_missing(&value->table.pairs[i].value))
				return true;
	return false;
}

/* ---- The walk: is each thing that was given an option, and good? ---- */

static void walk(struct check *check, const struct value *table);

static void walk_value(struct check *check, const struct value *value)
{
	const struct option *option = option_find(buf_cstr(&check->pattern));
	struct buf why;
	buf_init(&why, 0);
	if (option && check->in_defaults && (option->flags & OPTION_OWN))
		faults_add(check->faults, "%s: each server gives its own", buf_cstr(&check->path));
	else if (option && check->reading->has_missing && has_missing(value) && option->type != OPTION_TREE)
		; /* reading has reported it */
	else if (option && option_check(option, value, &why) == -1)
		faults_add(check->faults, "%s: %s", buf_cstr(&check->path), buf_cstr(&why));
	else if (!option && value->type == VALUE_TABLE)
		walk(check, value);
	else if (!option)
		faults_add(check->faults, "%s: must be a table of options", buf_cstr(&check->path));
	buf_close(&why);
}

/* Moves the pattern down to what `key` means there; false with a fault when it means nothing. */
static bool descend(struct check *check, struct slice key)
{
	struct buf *pattern = &check->pattern;
	size_t mark = buf_len(pattern);
	if (mark == 0 && slice_eq(key, SLICE("defaults"))) {
		check->in_defaults = true;
		buf_append_cstr(pattern, "servers.NAME");
		return true;
	}
	if (mark > 0)
		buf_append_char(pattern, '.');
	size_t start = buf_len(pattern);
	buf_append_cstr(pattern, "NAME");
	if (mark && (option_find(buf_cstr(pattern)) || option_is_section(buf_cstr(pattern)))) {
		if (option_name_ok(key))
			return true;
		faults_add(check->faults, "%s: a name has 1 to 64 letters, digits, '_', '-' or '.'", buf_cstr(&check->path));
		return false;
	}
	tree_path_pop(pattern, start);
	buf_append(pattern, key);
	/* A key with a dot or a NUL could only look like an option's path. */
	bool plain = key.len > 0 && !memchr(key.ptr, '.', key.len) && !memchr(key.ptr, '\0', key.len);
	if (plain && (option_find(buf_cstr(pattern)) || option_is_section(buf_cstr(pattern))))
		return true;
	tree_path_pop(pattern, mark);

	struct buf suggestion;
	buf_init(&suggestion, 0);
	check_suggest(buf_cstr(pattern), key, &suggestion);
	faults_add(check->faults, "%s: unknown option%s", buf_cstr(&check->path), buf_cstr(&suggestion));
	buf_close(&suggestion);
	return false;
}

static void walk(struct check *check, const struct value *table)
{
	for (size_t i = 0; i < table->table.count; i++) {
		const struct value_pair *pair = &table->table.pairs[i];
		size_t path_mark = tree_path_push(&check->path, &pair->key), pattern_mark = buf_len(&check->pattern);
		if (pair->key.type != VALUE_TEXT)
			faults_add(check->faults, "%s: unknown option; each is given by its name: name = value", buf_cstr(&check->path));
		else if (descend(check, key_of(pair)))
			walk_value(check, &pair->value);
		if (pattern_mark == 0)
			check->in_defaults = false;
		tree_path_pop(&check->path, path_mark);
		tree_path_pop(&check->pattern, pattern_mark);
	}
}

/* ---- The filling ---- */

static void make_absolute(struct check *check, const struct option *option, void *base)
{
	char **at = (char **)(void *)((char *)base + option->offset);
	if (!*at || !(option->flags & (OPTION_BESIDE | OPTION_HOME)))
		return;
	char *joined = read_join(option->flags & OPTION_HOME ? check->home : check->dir, *at);
	free(*at);
	*at = joined;
}

static void fill(struct check *check, const struct option *option, const struct value *value, void *base)
{
	struct buf why;
	buf_init(&why, 0);
	if (value && option_check(option, value, &why) == -1)
		value = NULL;
	buf_close(&why);
	option_store(option, value, base);
	if (option->type == OPTION_TEXT)
		make_absolute(check, option, base);
}

/* What stands in the option's path behind its prefix: "servers.NAME.tls.ca" -> "tls.ca"; NULL when it has another. */
static const char *below(const struct option *option, const char *prefix)
{
	size_t len = strlen(prefix);
	return strncmp(option->path, prefix, len) == 0 ? option->path + len : NULL;
}

static bool is_loopback(const char *host)
{
	struct slice name = slice_cstr(host);
	if (slice_eq_nocase(name, SLICE("localhost")) || slice_eq(name, SLICE("::1")))
		return true;
	for (size_t i = 0; i < name.len; i++)
		if (!strchr("0123456789.", name.ptr[i]))
			return false;
	return slice_starts_with(name, SLICE("127."));
}

static void check_readable(struct check *check, const char *what, const char *path)
{
	if (path && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == -1)
		faults_add(check->faults, "%s.tls.%s: %s cannot be read: %s", buf_cstr(&check->path), what, path, strerror(errno));
}

static void check_tls(struct check *check, const struct config_server *server, const struct value *own)
{
	const struct value *defaults = check_find(&check->reading->root, "defaults");
	const char *name = buf_cstr(&check->path);
	bool decided = check_find(own, "tls.enabled") || check_find(defaults, "tls.enabled");
	const struct value *given = check_find(own, "tls");
	if (!decided && given && given->type == VALUE_TABLE && given->table.count > 0)
		faults_add(check->faults, "%s.tls: says how, but not enabled = true; without it nothing here is used", name);
	if (!server->tls.enabled)
		return;
	if (!server->tls.cert != !server->tls.key)
		faults_add(check->faults, "%s.tls.%s: missing; cert and key go together", name, server->tls.cert ? "key" : "cert");
	if (!server->tls.verify)
		faults_warn(check->faults, "%s.tls.verify: false; whoever is between can read the secret", name);
	check_readable(check, "ca", server->tls.ca);
	check_readable(check, "cert", server->tls.cert);
	check_readable(check, "key", server->tls.key);
}

/* What no option can be wrong in alone. */
static void check_server(struct check *check, const struct config_server *server)
{
	const char *name = buf_cstr(&check->path);
	if (server->auth == CONFIG_AUTH_PLAIN && !server->tls.enabled && !server->allow_plaintext && server->host &&
	    !is_loopback(server->host))
		faults_add(check->faults,
		           "%s.auth: \"plain\" without TLS would send the secret readable over the network; use \"md5\", "
		           "tls.enabled = true, or allow_plaintext = true if that is meant", name);
	if (server->timeouts.heartbeat_interval > 0 && server->timeouts.read <= server->timeouts.heartbeat_interval)
		faults_add(check->faults, "%s.timeouts.read: must be longer than heartbeat_interval (%.15g s), is %.15g", name,
		           server->timeouts.heartbeat_interval, server->timeouts.read);
	if (server->timeouts.heartbeat_interval <= 0)
		faults_warn(check->faults, "%s.timeouts.heartbeat_interval: 0; a session ends when the server is quiet for %.15g s", name,
		            server->timeouts.read);
	if (server->reconnect.max < server->reconnect.first)
		faults_add(check->faults, "%s.reconnect.max: must be at least first (%.15g s), is %.15g", name, server->reconnect.first,
		           server->reconnect.max);
	if (server->reconnect.auth_max < server->reconnect.auth_first)
		faults_add(check->faults, "%s.reconnect.auth_max: must be at least auth_first (%.15g s), is %.15g", name,
		           server->reconnect.auth_first, server->reconnect.auth_max);
}

static void missing(struct check *check, const char *leaf)
{
	/* With an include that failed, or a name that env could not give, it may well be there. */
	if (check->reading->incomplete)
		return;
	if (strcmp(leaf, "secret") == 0)
		faults_add(check->faults, "%s.secret: missing; give it as env \"NAME\" or file \"path\", here or in defaults",
		           buf_cstr(&check->path));
	else
		faults_add(check->faults, "%s.%s: missing; give it here%s", buf_cstr(&check->path), leaf,
		           strcmp(leaf, "host") == 0 ? "" : " or in defaults");
}

/* `check->path` names the server. */
static void fill_server(struct check *check, struct config_server *server, const struct value *own)
{
	const struct value *defaults = check_find(&check->reading->root, "defaults");
	for (size_t i = 0; i < option_count; i++) {
		const struct option *option = &options[i];
		if (option->scope != SCOPE_SERVER)
			continue;
		const char *leaf = below(option, "servers.NAME.");
		const struct value *value = check_find(own, leaf);
		if (!value && !(option->flags & OPTION_OWN))
			value = check_find(defaults, leaf);
		if (!value && (option->flags & OPTION_REQUIRED))
			missing(check, leaf);
		fill(check, option, value, server);
	}
	if (server->tls.enabled && !check_find(own, "port") && !check_find(defaults, "port"))
		server->port = 5039;
	check_server(check, server);
	check_tls(check, server, own);
}

static size_t table_count(const struct value *table)
{
	return table && table->type == VALUE_TABLE ? table->table.count : 0;
}

/* True when the pair is a name with a table, as every pair of servers, sinks, rules and policy.rules must be; the walk
 * has complained about the others. */
static bool is_named_table(const struct value_pair *pair)
{
	return option_name_ok(key_of(pair)) && pair->value.type == VALUE_TABLE;
}

static void fill_servers(struct check *check)
{
	struct config *config = check->config;
	const struct value *servers = check_find(&check->reading->root, "servers");
	size_t count = table_count(servers);
	if (!servers && !check->reading->incomplete)
		faults_add(check->faults, "servers: missing; name at least one (servers = { pbx1 = { … } }), with its host, username and secret");
	else if (servers && servers->type == VALUE_TABLE && count == 0 && !check->reading->incomplete)
		faults_warn(check->faults, "servers: empty; there is nothing to connect to");
	config->servers = mem_zalloc(count * sizeof *config->servers);
	buf_append_cstr(&check->path, "servers");
	for (size_t i = 0; i < count; i++) {
		const struct value_pair *pair = &servers->table.pairs[i];
		if (!is_named_table(pair))
			continue;
		struct config_server *server = &config->servers[config->server_count++];
		server->name = mem_slicedup(key_of(pair));
		size_t mark = tree_path_push(&check->path, &pair->key);
		fill_server(check, server, &pair->value);
		tree_path_pop(&check->path, mark);
	}
	buf_clear(&check->path);
}

static void fill_rules(struct check *check)
{
	struct config *config = check->config;
	const struct value *rules = check_find(&check->reading->root, "rules");
	config->rules = mem_zalloc(table_count(rules) * sizeof *config->rules);
	for (size_t i = 0; i < table_count(rules); i++) {
		const struct value_pair *pair = &rules->table.pairs[i];
		if (!is_named_table(pair))
			continue;
		struct config_rule *rule = &config->rules[config->rule_count++];
		rule->name = mem_slicedup(key_of(pair));
		fill(check, option_find("rules.NAME"), &pair->value, rule);
	}
}

/* Values of headers are texts; what they may hold is checked where the sink is made. */
static void check_sink_headers(struct check *check, const struct config_sink *sink)
{
	for (size_t i = 0; i < table_count(&sink->headers); i++) {
		const struct value_pair *pair = &sink->headers.table.pairs[i];
		if (pair->key.type != VALUE_TEXT || pair->value.type != VALUE_TEXT)
			faults_add(check->faults, "sinks.%s.headers: must be texts by name, such as { Authorization = env \"TOKEN\" }", sink->name);
	}
}

static void check_sink(struct check *check, const struct config_sink *sink)
{
	if (check->reading->incomplete)
		return;
	if (!sink->file && !sink->url)
		faults_add(check->faults, "sinks.%s.file: missing; give the file that its lines go to, or the url", sink->name);
	if (sink->file && sink->url)
		faults_add(check->faults, "sinks.%s: has file and url; give one of them", sink->name);
	if (sink->url && !check->config->persist.file)
		faults_add(check->faults, "sinks.%s.url: its lines wait on disk: give persist.file too", sink->name);
	if (sink->retry_max < sink->retry_first)
		faults_add(check->faults, "sinks.%s.retry_max: must be at least retry_first (%.15g s), is %.15g", sink->name, sink->retry_first, sink->retry_max);
	check_sink_headers(check, sink);
}

static void fill_sinks(struct check *check)
{
	struct config *config = check->config;
	const struct value *sinks = check_find(&check->reading->root, "sinks");
	if (table_count(sinks) > SINKS_MAX)
		faults_add(check->faults, "sinks: at most %d, there are %zu", SINKS_MAX, table_count(sinks));
	config->sinks = mem_zalloc(table_count(sinks) * sizeof *config->sinks);
	for (size_t i = 0; i < table_count(sinks); i++) {
		const struct value_pair *pair = &sinks->table.pairs[i];
		if (!is_named_table(pair))
			continue;
		struct config_sink *sink = &config->sinks[config->sink_count++];
		sink->name = mem_slicedup(key_of(pair));
		for (size_t k = 0; k < option_count; k++)
			if (options[k].scope == SCOPE_SINK)
				fill(check, &options[k], check_find(&pair->value, below(&options[k], "sinks.NAME.")), sink);
		check_sink(check, sink);
	}
}

static void fill_sockets(struct check *check)
{
	struct config *config = check->config;
	const struct value *sockets = check_find(&check->reading->root, "control.sockets");
	if (table_count(sockets) > SOCKETS_MAX)
		faults_add(check->faults, "control.sockets: at most %d, there are %zu", SOCKETS_MAX, table_count(sockets));
	config->control.sockets = mem_zalloc(table_count(sockets) * sizeof *config->control.sockets);
	for (size_t i = 0; i < table_count(sockets); i++) {
		const struct value_pair *pair = &sockets->table.pairs[i];
		if (!is_named_table(pair))
			continue;
		struct config_socket *socket = &config->control.sockets[config->control.socket_count++];
		socket->name = mem_slicedup(key_of(pair));
		for (size_t k = 0; k < option_count; k++) {
			const char *leaf = below(&options[k], "control.sockets.NAME.");
			const struct value *value = leaf ? check_find(&pair->value, leaf) : NULL;
			if (!leaf)
				continue;
			if (!value && (options[k].flags & OPTION_REQUIRED) && !check->reading->incomplete)
				faults_add(check->faults, "control.sockets.%s.%s: missing; give %s", socket->name, leaf,
				           strcmp(leaf, "path") == 0 ? "the path of the socket" : "what its clients may do: look, emit, act, admin");
			fill(check, &options[k], value, socket);
		}
	}
}

static void fill_token(struct check *check, struct config_token *token, const struct value *table)
{
	for (size_t k = 0; k < option_count; k++) {
		const char *leaf = below(&options[k], "web.tokens.NAME.");
		const struct value *value = leaf ? check_find(table, leaf) : NULL;
		if (!leaf)
			continue;
		if (!value && (options[k].flags & OPTION_REQUIRED) && !check->reading->incomplete)
			faults_add(check->faults, "web.tokens.%s.%s: missing; give %s", token->name, leaf,
			           strcmp(leaf, "secret") == 0 ? "it as env \"NAME\" or file \"path\"" : "what it may do: read, emit, act, hooks");
		fill(check, &options[k], value, token);
	}
}

static void fill_web(struct check *check)
{
	struct config *config = check->config;
	const struct value *tokens = check_find(&check->reading->root, "web.tokens");
	if (table_count(tokens) > TOKENS_MAX)
		faults_add(check->faults, "web.tokens: at most %d, there are %zu", TOKENS_MAX, table_count(tokens));
	config->web.tokens = mem_zalloc(table_count(tokens) * sizeof *config->web.tokens);
	for (size_t i = 0; i < table_count(tokens); i++) {
		const struct value_pair *pair = &tokens->table.pairs[i];
		if (!is_named_table(pair))
			continue;
		struct config_token *token = &config->web.tokens[config->web.token_count++];
		token->name = mem_slicedup(key_of(pair));
		fill_token(check, token, &pair->value);
	}
	for (size_t k = 0; k < option_count; k++)
		if (options[k].scope == SCOPE_WEB_POLICY)
			fill(check, &options[k], check_find(&check->reading->root, options[k].path), &config->web.policy);
}

static bool same_secret(const struct config_token *a, const struct config_token *b)
{
	const char *const x[] = { a->secret, a->old_secret }, *const y[] = { b->secret, b->old_secret };
	for (int i = 0; i < 2; i++)
		for (int k = 0; k < 2; k++)
			if (x[i] && y[k] && strcmp(x[i], y[k]) == 0)
				return true;
	return false;
}

static void check_names(struct check *check, const char *token, const struct config_list *servers)
{
	const struct config *config = check->config;
	for (size_t i = 0; i < servers->count; i++) {
		bool known = check->reading->incomplete;
		for (size_t k = 0; k < config->server_count && !known; k++)
			known = strcmp(config->servers[k].name, servers->items[i]) == 0;
		if (!known)
			faults_add(check->faults, "web.tokens.%s.servers: the configuration has no server \"%s\"", token, servers->items[i]);
	}
}

/* 127.0.0.1:8080 and [::1]:8080 are this machine's own. */
static bool listens_locally(const char *listen)
{
	return strncmp(listen, "127.", 4) == 0 || strncmp(listen, "[::1]:", 6) == 0;
}

static void check_web(struct check *check)
{
	const struct config *config = check->config;
	const char *given = config->web.listen;
	if (!config->web.tls.cert != !config->web.tls.key)
		faults_add(check->faults, "web.tls: cert and key go together, and there is no %s", config->web.tls.cert ? "key" : "cert");
	if (given && !listens_locally(given) && !config->web.tls.cert && !config->web.allow_plaintext)
		faults_add(check->faults, "web.listen: %s is open to other machines, and tokens would cross the network readable; give web.tls with cert and "
		           "key, listen on 127.0.0.1 behind a proxy, or set allow_plaintext = true if that is meant", given);
	if (given && config->web.token_count == 0)
		faults_warn(check->faults, "web.listen: web.tokens has none; nobody can use the API");
	if (config->web.streams > config->web.connections)
		faults_add(check->faults, "web.streams: must be at most connections (%lld), is %lld", (long long)config->web.connections, (long long)config->web.streams);
	for (size_t i = 0; i < config->web.token_count; i++) {
		const struct config_token *token = &config->web.tokens[i];
		check_names(check, token->name, &token->servers);
		if (token->emit.count > 0 && !config_list_has(&token->scopes, SLICE("emit")))
			faults_add(check->faults, "web.tokens.%s.emit: means nothing without the scope emit", token->name);
		if (token->emit.count == 0 && config_list_has(&token->scopes, SLICE("emit")))
			faults_warn(check->faults, "web.tokens.%s.emit: none; with the scope emit it may emit nothing until it names some, such as { \"crm.*\" }", token->name);
		for (size_t k = 0; k < i; k++)
			if (same_secret(token, &config->web.tokens[k]))
				faults_add(check->faults, "web.tokens.%s.secret: the same as that of %s; each token has its own", token->name, config->web.tokens[k].name);
	}
}

static void fill_policy(struct check *check, const char *prefix, struct slice rule, const struct value *table)
{
	struct config *config = check->config;
	struct config_policy *policy = &config->policies[config->policy_count++];
	policy->rule = mem_slicedup(rule);
	for (size_t i = 0; i < option_count; i++) {
		const char *leaf = below(&options[i], prefix);
		if (options[i].scope == SCOPE_POLICY && leaf && !strchr(leaf, '.'))
			fill(check, &options[i], check_find(table, leaf), policy);
	}
}

static void fill_policies(struct check *check)
{
	const struct value *all = check_find(&check->reading->root, "policy"), *rules = check_find(all, "rules");
	check->config->policies = mem_zalloc((table_count(rules) + 1) * sizeof *check->config->policies);
	if (table_count(all) > 0)
		fill_policy(check, "policy.", SLICE("*"), all);
	for (size_t i = 0; i < table_count(rules); i++)
		if (is_named_table(&rules->table.pairs[i]))
			fill_policy(check, "policy.rules.NAME.", key_of(&rules->table.pairs[i]), &rules->table.pairs[i].value);
}

/* Only a warning: systemd makes some folders when the unit starts. */
static void check_folder(struct check *check, const char *option, const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	if (!slash || slash == path)
		return;
	char *folder = mem_slicedup(slice_make(path, (size_t)(slash - path)));
	if (faccessat(AT_FDCWD, folder, F_OK, 0) == -1)
		faults_warn(check->faults, "%s: its folder %s is not there; make it before the daemon starts", option, folder);
	free(folder);
}

static void check_folders(struct check *check)
{
	const struct config *config = check->config;
	for (size_t i = 0; i < config->sink_count; i++) {
		char *option = mem_printf("sinks.%s.file", config->sinks[i].name);
		check_folder(check, option, config->sinks[i].file);
		free(option);
	}
	check_folder(check, "log.file", config->log.file);
	check_folder(check, "control.socket", config->control.socket);
	for (size_t i = 0; i < config->control.socket_count; i++) {
		char *option = mem_printf("control.sockets.%s.path", config->control.sockets[i].name);
		check_folder(check, option, config->control.sockets[i].path);
		free(option);
	}
}

static void check_limits(struct check *check)
{
	const struct config *config = check->config;
	if (config->limits.rules.rule_memory > config->limits.rules.memory)
		faults_add(check->faults, "limits.rule_memory: must be at most memory (%zu bytes), is %zu", config->limits.rules.memory,
		           config->limits.rules.rule_memory);
	if (config->limits.rules.stuck <= config->limits.rules.deadline)
		faults_add(check->faults, "limits.stuck: must be longer than deadline (%.15g s), is %.15g", config->limits.rules.deadline,
		           config->limits.rules.stuck);
	if (config->limits.rules.load_stuck <= config->limits.rules.load_deadline)
		faults_add(check->faults, "limits.load_stuck: must be longer than load_deadline (%.15g s), is %.15g", config->limits.rules.load_deadline,
		           config->limits.rules.load_stuck);
}

static void check_client_file(struct check *check, const char *leaf, const char *path)
{
	if (path && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == -1)
		faults_add(check->faults, "http_client.%s: %s cannot be read: %s", leaf, path, strerror(errno));
}

static void check_http_client(struct check *check)
{
	const struct config *c = check->config;
	if (!c->http_client.cert != !c->http_client.key)
		faults_add(check->faults, "http_client.%s: missing; cert and key go together", c->http_client.cert ? "key" : "cert");
	check_client_file(check, "ca", c->http_client.ca);
	check_client_file(check, "cert", c->http_client.cert);
	check_client_file(check, "key", c->http_client.key);
}

/* `option` is where it stands, with the dot: "control." */
static void check_socket(struct check *check, const char *option, const char *leaf, const char *path, const char *mode, const char *group)
{
	size_t max = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
	if (path && strlen(path) > max)
		faults_add(check->faults, "%s%s: %s is longer than the %zu bytes that a unix socket's path may have", option, leaf, path, max);
	if (group && (strtoul(mode, NULL, 8) & 060) != 060)
		faults_add(check->faults, "%sgroup: the group cannot use a socket of %smode \"%s\"; give mode = \"0660\" too", option, option, mode);
}

static void check_sockets(struct check *check)
{
	const struct config *config = check->config;
	check_socket(check, "control.", "socket", config->control.socket, config->control.mode, config->control.group);
	for (size_t i = 0; i < config->control.socket_count; i++) {
		const struct config_socket *socket = &config->control.sockets[i];
		char *option = mem_printf("control.sockets.%s.", socket->name);
		check_socket(check, option, "path", socket->path, socket->mode, socket->group);
		bool taken = socket->path && config->control.socket && strcmp(socket->path, config->control.socket) == 0;
		for (size_t k = 0; k < i && socket->path && !taken; k++)
			taken = config->control.sockets[k].path && strcmp(socket->path, config->control.sockets[k].path) == 0;
		if (taken)
			faults_add(check->faults, "%spath: %s is the path of another socket too; each has its own", option, socket->path);
		free(option);
	}
}

struct config *check_reading(const struct reading *reading, const char *path, const char *dir, const char *home,
                             struct faults *faults)
{
	struct check check = { .reading = reading, .faults = faults, .dir = dir, .home = home };
	check.config = mem_zalloc(sizeof *check.config);
	check.config->path = mem_strdup(path);
	buf_init(&check.path, 0);
	buf_init(&check.pattern, 0);

	walk(&check, &reading->root);
	for (size_t i = 0; i < option_count; i++)
		if (options[i].scope == SCOPE_CONFIG)
			fill(&check, &options[i], check_find(&reading->root, options[i].path), check.config);
	fill_servers(&check);
	fill_rules(&check);
	fill_sinks(&check);
	fill_sockets(&check);
	fill_policies(&check);
	fill_web(&check);
	check_limits(&check);
	check_sockets(&check);
	check_http_client(&check);
	check_web(&check);
	check_folders(&check);

	buf_close(&check.path);
	buf_close(&check.pattern);
	return check.config;
}
