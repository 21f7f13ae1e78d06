#include "engine/mapping.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/http_client.h"
#include "observe/redact.h"
#include "persist/persist.h"
#include "rules/picture.h"

void mapping_link(const struct config_server *s, struct link_config *out)
{
	*out = (struct link_config){
		.name = s->name, .host = s->host, .port = (uint16_t)s->port, .username = s->username, .secret = s->secret,
		.plain_login = s->auth == CONFIG_AUTH_PLAIN, .allow_plaintext = s->allow_plaintext, .events = s->events && strcmp(s->events, "auto") == 0 ? NULL : s->events,
		.tls = { .enabled = s->tls.enabled, .verify = s->tls.verify, .ca = s->tls.ca, .cert = s->tls.cert, .key = s->tls.key,
		         .server_name = s->tls.server_name },
		.timeouts = { .resolve = s->timeouts.resolve, .connect = s->timeouts.connect, .tls = s->timeouts.tls,
		              .banner = s->timeouts.banner, .login = s->timeouts.login, .read = s->timeouts.read,
		              .heartbeat_interval = s->timeouts.heartbeat_interval, .heartbeat = s->timeouts.heartbeat,
		              .action = s->timeouts.action, .drain = s->timeouts.drain },
		.reconnect = { .first = s->reconnect.first, .max = s->reconnect.max, .auth_first = s->reconnect.auth_first,
		               .auth_max = s->reconnect.auth_max, .success_after = s->reconnect.success_after,
		               .breaker_failures = (uint32_t)s->reconnect.breaker_failures,
		               .breaker_open = s->reconnect.breaker_open, .breaker_probes = (uint32_t)s->reconnect.breaker_probes },
		.limits = { .frame = (uint32_t)s->limits.frame, .headers = (uint32_t)s->limits.headers,
		            .backlog_events = (uint32_t)s->limits.backlog_events, .backlog_bytes = (uint32_t)s->limits.backlog_bytes,
		            .kept_bytes = (uint32_t)s->limits.kept_bytes, .write_buffer = (uint32_t)s->limits.write_buffer,
		            .pending = (uint32_t)s->limits.pending, .list_events = (uint32_t)s->limits.list_events,
		            .list_bytes = (uint32_t)s->limits.list_bytes },
		.shed_first = (const char *const *)s->limits.shed_first.items, .shed_count = s->limits.shed_first.count,
	};
}

static int64_t microseconds(double seconds)
{
	return (int64_t)(seconds * 1e6);
}

void mapping_picture(const struct config *c, struct picture_options *out)
{
	const char *day = c->live.day_starts;
	*out = (struct picture_options){ .enabled = c->live.enabled };
	live_options_init(&out->live);
	out->live.limits = (struct live_limits){
		.channels = (uint32_t)c->limits.live_channels, .bridges = (uint32_t)c->limits.live_bridges,
		.queues = (uint32_t)c->limits.live_queues, .members = (uint32_t)c->limits.live_members,
		.agents = (uint32_t)c->limits.live_agents, .endpoints = (uint32_t)c->limits.live_endpoints,
		.conferences = (uint32_t)c->limits.live_conferences, .parked = (uint32_t)c->limits.live_parked,
	};
	out->live.grace = microseconds(c->live.grace);
	out->live.doubt = microseconds(c->live.doubt);
	out->live.resync_every = microseconds(c->live.resync_every);
	out->live.service_level = microseconds(c->live.service_level);
	out->live.snapshots_in_flight = (uint32_t)c->live.snapshots_in_flight;
	out->live.variables = (const char *const *)c->live.variables.items;
	out->live.variable_count = (uint32_t)c->live.variables.count;
	out->live.trunks = (const char *const *)c->live.trunks.items;
	out->live.trunk_count = (uint32_t)c->live.trunks.count;
	out->day_starts = (unsigned)((day[0] - '0') * 10 + day[1] - '0') * 3600 + (unsigned)((day[3] - '0') * 10 + day[4] - '0') * 60;
}

void mapping_persist(const struct config *c, struct persist_options *out)
{
	*out = (struct persist_options){
		.file = c->persist.file, .dirty_bytes = (size_t)c->persist.dirty_bytes, .wal_bytes = (size_t)c->persist.wal_bytes,
		.limits = { .store_entries = c->limits.rules.store_entries, .store_bytes = c->limits.rules.store_bytes,
		            .queues = c->limits.rules.queues, .queue_jobs = c->limits.rules.queue_jobs,
		            .queue_dead = c->limits.rules.queue_dead, .job_bytes = c->limits.rules.job_bytes,
		            .spool_lines = (size_t)c->persist.spool_lines, .spool_bytes = (size_t)c->persist.spool_bytes,
		            .spool_dead = (size_t)c->persist.spool_dead },
	};
}

static void add_policy(struct policy *policy, const char *rule, const struct config_policy *p)
{
	for (size_t k = 0; k < p->allow.count; k++)
		policy_allow(policy, rule, p->allow.items[k]);
	for (size_t k = 0; k < p->deny.count; k++)
		policy_deny(policy, rule, p->deny.items[k]);
	for (size_t k = 0; k < p->originate.count; k++)
		policy_originate(policy, rule, p->originate.items[k]);
}

struct policy *mapping_policy(const struct config *c)
{
	struct policy *policy = policy_create();
	for (size_t i = 0; i < c->policy_count; i++)
		add_policy(policy, c->policies[i].rule, &c->policies[i]);
	return policy;
}

struct policy *mapping_web_policy(const struct config *c)
{
	struct policy *policy = policy_create();
	policy_section(policy, "policy.web");
	add_policy(policy, "*", &c->web.policy);
	return policy;
}

void mapping_http(const struct config *c, struct http_client_settings *out)
{
	*out = (struct http_client_settings){
		.timeout = c->http_client.timeout, .connect = c->http_client.connect, .request_bytes = (size_t)c->http_client.request_bytes,
		.response_bytes = (size_t)c->http_client.response_bytes, .queued_bytes = (size_t)c->http_client.queued_bytes,
		.in_flight = (uint32_t)c->http_client.in_flight, .per_host = (uint32_t)c->http_client.per_host,
	};
}

uint16_t mapping_port(const char *listen)
{
	const char *colon = listen ? strrchr(listen, ':') : NULL;
	return colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

struct http_policy *mapping_http_policy(const struct config *c, struct faults *faults)
{
	struct http_policy *policy = http_policy_create();
	bool good = true;
	struct err err;

	for (size_t i = 0; i < c->policy_count; i++) {
		const struct config_policy *p = &c->policies[i];
		for (size_t k = 0; k < p->http.count; k++) {
			if (http_policy_allow(policy, p->rule, slice_cstr(p->http.items[k]), &err) == 0)
				continue;
			bool all = strcmp(p->rule, "*") == 0;
			faults_add(faults, "policy.%s%s%shttp: item %zu: %s", all ? "" : "rules.", all ? "" : p->rule, all ? "" : ".", k + 1, err.text);
			good = false;
		}
	}
	http_policy_close_port(policy, mapping_port(c->http.listen));
	http_policy_close_port(policy, mapping_port(c->web.listen));
	if (!good)
		http_policy_destroy(&policy);
	return policy;
}

/* systemd names device and inode of what it connects to the journal, so that a service knows its stderr from one that was
 * sent elsewhere. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device &&
	       st.st_ino == inode;
}

static enum log_format choose_format(const struct config *c, const char *format, bool terminal)
{
	if (!format)
		format = c->log.format;
	if (strcmp(format, "text") == 0)
		return LOG_TEXT;
	if (strcmp(format, "json") == 0)
		return LOG_JSON;
	if (strcmp(format, "journal") == 0 || (!c->log.file && stderr_is_journal()))
		return LOG_JOURNAL;
	return terminal ? LOG_TEXT : LOG_JSON;
}

int mapping_log_check(const struct config *running, const struct config *wanted, const char *format, struct err *err)
{
	struct log_options before, now;

	mapping_log(wanted, format, &now);
	if (now.format == LOG_JOURNAL && now.file)
		return err_set(err, ERR_INVALID, "log.file: the journal takes no file; leave out one of them");
	if (!running)
		return 0;
	mapping_log(running, format, &before);
	if ((before.format == LOG_JOURNAL) != (now.format == LOG_JOURNAL))
		return err_set(err, ERR_INVALID, "log.format cannot change to or from the journal while the daemon runs; restart it");
	return 0;
}

void mapping_log(const struct config *c, const char *format, struct log_options *out)
{
	bool terminal = !c->log.file && isatty(STDERR_FILENO);
	*out = (struct log_options){
		.level = (enum log_level)log_level_parse(c->log.level), .format = choose_format(c, format, terminal), .file = c->log.file,
		.queue_records = (size_t)c->log.queue_records, .queue_bytes = (size_t)c->log.queue_bytes,
		.throttle_burst = (unsigned)c->log.throttle_burst, .throttle_window = c->log.throttle_window, .colour = terminal,
	};
}

void mapping_rules(const struct config *c, struct rules_options *out, const char ***names, struct value *settings)
{
	const char **tokens;
	size_t token_count = 0;

	*names = mem_alloc((c->server_count + c->web.token_count) * sizeof(char *));
	for (size_t i = 0; i < c->server_count; i++)
		(*names)[i] = c->servers[i].name;
	tokens = *names + c->server_count;
	for (size_t i = 0; i < c->web.token_count; i++)
		if (config_list_has(&c->web.tokens[i].scopes, SLICE("hooks")))
			tokens[token_count++] = c->web.tokens[i].name;
	*settings = (struct value){ .type = VALUE_TABLE };
	for (size_t i = 0; i < c->rule_count; i++)
		value_add(settings, value_text(slice_cstr(c->rules[i].name)), value_copy(&c->rules[i].settings));
	*out = (struct rules_options){
		.rules = c->scripts.rules, .lib = c->scripts.lib, .servers = *names, .server_count = c->server_count, .tokens = tokens,
		.token_count = token_count, .settings = settings,
		.limits = c->limits.rules,
	};
}

struct redact_patterns *mapping_redact(const struct config *config, struct err *err)
{
	const struct config_list *names = &config->redact.names, *values = &config->redact.values;

	return redact_patterns_create(names->items, names->count, values->items, values->count, err);
}
