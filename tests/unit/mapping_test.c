/* What stands in the configuration arrives in the layer that it is for. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "check.h"
#include "engine/engine.h"
#include "engine/mapping.h"
#include "http/http_client.h"
#include "persist/persist.h"
#include "rules/picture.h"

static void no_secret(const char *value)
{
	(void)value;
}

/* A configuration of one server with these options, and of these sections. */
static struct config *load(const char *server, const char *sections)
{
	char *text = mem_printf("return { servers = { pbx = { host = 'h', username = 'u', secret = 's', allow_plaintext = true, %s } }, %s }", server, sections);
	char path[] = "/tmp/hookswitch-mapping-XXXXXX";
	struct faults faults;
	int fd = mkstemp(path);

	CHECK(fd != -1 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	faults_init(&faults);
	struct config *config = config_load(path, no_secret, &faults);
	for (size_t i = 0; i < faults.count; i++)
		CHECK_NAMED(false, faults.lines[i]);
	faults_close(&faults);
	unlink(path);
	free(text);
	return config;
}

static void test_picture(void)
{
	struct config *c = load("", "live = { grace = 1.5, doubt = 61, resync_every = 7, service_level = 21, snapshots_in_flight = 3,\n"
	                        "variables = { 'CRM_ID', 'TENANT' }, trunks = { 'PJSIP/carrier*' }, day_starts = '17:42' }, limits = { live_channels = 101,\n"
	                        "live_bridges = 102, live_queues = 103, live_members = 104, live_agents = 105, live_endpoints = 106, live_conferences = 107,\n"
	                        "live_parked = 108 }");
	struct picture_options o;

	if (!c)
		return;
	mapping_picture(c, &o);
	CHECK(o.enabled);
	CHECK(o.live.grace == 1500000 && o.live.doubt == 61000000 && o.live.resync_every == 7000000 && o.live.service_level == 21000000);
	CHECK(o.live.snapshots_in_flight == 3);
	CHECK(o.live.variable_count == 2 && strcmp(o.live.variables[1], "TENANT") == 0);
	CHECK(o.live.trunk_count == 1 && strcmp(o.live.trunks[0], "PJSIP/carrier*") == 0);
	CHECK(o.day_starts == (17 * 60 + 42) * 60);
	CHECK(o.live.limits.channels == 101 && o.live.limits.bridges == 102 && o.live.limits.queues == 103 && o.live.limits.members == 104);
	CHECK(o.live.limits.agents == 105 && o.live.limits.endpoints == 106 && o.live.limits.conferences == 107 && o.live.limits.parked == 108);
	config_destroy(&c);

	c = load("", "live = { enabled = false }");
	if (!CHECK(c))
		return;
	mapping_picture(c, &o);
	CHECK(!o.enabled && o.day_starts == 0);
	config_destroy(&c);
}

static void test_link(void)
{
	static const struct {
		const char *auth, *events;
	} cases[] = { { "md5", "auto" }, { "plain", "on" }, { "plain", "call,agent" } };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *filled = mem_printf("auth = '%s', events = '%s'", cases[i].auth, cases[i].events);
		struct config *c = load(filled, "");
		struct link_config link;
		free(filled);
		if (!CHECK(c))
			continue;
		mapping_link(&c->servers[0], &link);
		CHECK(link.plain_login == (strcmp(cases[i].auth, "plain") == 0));
		CHECK(i == 0 ? !link.events : link.events && strcmp(link.events, cases[i].events) == 0);
		config_destroy(&c);
	}
}

static void test_port(void)
{
	CHECK(mapping_port("127.0.0.1:9150") == 9150);
	CHECK(mapping_port("[::1]:80") == 80);
	CHECK(mapping_port("127.0.0.1:0") == 0);
	CHECK(mapping_port("localhost") == 0);
	CHECK(mapping_port(NULL) == 0);
}

static bool allows(struct http_policy *policy, const char *rule, const char *text)
{
	struct http_url url;
	struct err err;

	if (!CHECK(http_url_parse(slice_cstr(text), &url, &err) == 0))
		return false;
	const struct http_access *access = http_policy_of(policy, rule);
	bool allowed = http_access_check(access, &url, "policy", &err) == 0 && (!url.literal || http_access_check_address(access, &url.address, &err) == 0);
	http_url_close(&url);
	return allowed;
}

static void test_policies(void)
{
	struct config *c = load("", "http = { listen = '127.0.0.1:9150' }, policy = { http = { 'https://all.example.net/', 'http://127.0.0.1:9150/', 'http://127.0.0.1:9151/' },\n"
	                        "rules = { one = { http = { 'https://one.example.net/' } } } }");
	struct faults faults;

	if (!CHECK(c))
		return;
	faults_init(&faults);
	struct http_policy *policy = mapping_http_policy(c, &faults);
	if (CHECK(policy && faults.count == 0)) {
		CHECK(allows(policy, "one", "https://one.example.net/") && !allows(policy, "two", "https://one.example.net/"));
		CHECK(allows(policy, "two", "https://all.example.net/") && allows(policy, "two", "http://127.0.0.1:9151/"));
		CHECK(!allows(policy, "two", "http://127.0.0.1:9150/")); /* the engine's own */
	}
	http_policy_destroy(&policy);
	config_destroy(&c);
}

static void test_policy_that_is_none(void)
{
	struct config *c = load("", "policy = { rules = { one = { http = { 'https://a.example.net/', 'http://' } } } }");
	struct faults faults;

	if (!CHECK(c))
		return;
	faults_init(&faults);
	CHECK(!mapping_http_policy(c, &faults) && faults.count == 1 && strstr(faults.lines[0], "policy.rules.one.http: item 2"));
	faults_close(&faults);
	config_destroy(&c);
}

static void test_log(void)
{
	struct config *text = load("", "log = { format = 'text' }"), *json = load("", "log = { format = 'json' }"),
	              *journal = load("", "log = { format = 'journal' }"), *file = load("", "log = { file = '/tmp/x' }");
	struct log_options log;
	struct err err;

	if (!CHECK(text && json && journal && file))
		return;
	mapping_log(text, NULL, &log);
	CHECK(log.format == LOG_TEXT);
	mapping_log(text, "json", &log);
	CHECK(log.format == LOG_JSON);
	mapping_log(json, NULL, &log);
	CHECK(log.format == LOG_JSON);
	mapping_log(journal, NULL, &log);
	CHECK(log.format == LOG_JOURNAL);
	mapping_log(file, NULL, &log);
	CHECK(log.format == LOG_JSON && strcmp(log.file, "/tmp/x") == 0);
	CHECK(mapping_log_check(NULL, journal, NULL, &err) == 0);
	CHECK(mapping_log_check(NULL, file, "journal", &err) == -1);
	CHECK(mapping_log_check(text, json, NULL, &err) == 0 && mapping_log_check(json, file, NULL, &err) == 0);
	CHECK(mapping_log_check(text, journal, NULL, &err) == -1 && mapping_log_check(journal, json, NULL, &err) == -1);
	CHECK(mapping_log_check(journal, journal, NULL, &err) == 0);
	config_destroy(&text);
	config_destroy(&json);
	config_destroy(&journal);
	config_destroy(&file);
}

int main(void)
{
	test_picture();
	test_link();
	test_port();
	test_policies();
	test_policy_that_is_none();
	test_log();
	return check_report();
}
