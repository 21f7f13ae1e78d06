/* A rule that uses all that rules can is killed at each crossing between Lua and the host, one after the other, until it gets
 * through: at its load, its calls, its waits, its callbacks, and while it is replaced. Each time the host goes on, the other
 * rule hears what comes, all that the killed one had is given back, and it begins anew. The layers of the rules are built for
 * this test so that they count crossings (KILL_AT_CALL, sandbox/kill.h). */
#include <string.h>

#include "observe/log.h"
#include "rules/jobs.h"
#include "rules_folder.h"
#include "sandbox/kill.h"

#define SECOND UINT64_C(1000000000)
#define PAUSE 31 /* seconds until a rule that was killed begins anew */

/* Nothing that it does counts while crossings do. */
static const char other[] = "local heard = sink.open 'heard' ami.on('Probe', function() heard:write 'x' end)\n";

static void feed(struct harness *h, const char *text)
{
	struct err err;
	CHECK(harness_feed(h, h->servers[0], slice_cstr(text), &err) >= 0);
}

static void advance(struct harness *h, double seconds)
{
	struct err err;
	CHECK(harness_advance(h, (uint64_t)(seconds * (double)SECOND), &err) == 0);
}

/* Every second one fails. */
static void answer_all(struct harness *h)
{
	for (size_t i = 0; i < h->sent_count; i++) {
		if (!h->sent[i]->tag)
			continue;
		struct reply *reply = reply_failed(ERR_TIMEOUT, "no answer", NULL, "Ping");
		if (i % 2 == 0) {
			reply->code = ERR_NONE;
			reply->response = message_build(SLICE("Pong"), (const struct slice[]){ SLICE("Response") }, (const struct slice[]){ SLICE("Success") }, 1);
		}
		harness_answer(h, h->sent[i], reply);
	}
	for (size_t i = 0; i < h->request_count; i++) {
		struct http_response *response = i % 2 == 0 ? http_response_create() : http_response_failed(ERR_TIMEOUT, "no answer");
		if (i % 2 == 0) {
			response->status = 200;
			http_headers_add(&response->headers, SLICE("X-One"), SLICE("1"));
			http_headers_add(&response->headers, SLICE("x-one"), SLICE("2"));
			buf_append_cstr(&response->body, "{\"a\":[1]}");
		}
		if (h->requests[i]->tag)
			harness_respond(h->requests[i], response);
		else
			http_response_free(&response);
	}
}

static struct host_rule_view view_of(struct harness *h, const char *name)
{
	struct host_rule_view view;
	for (size_t i = 0; host_rule_view(h->host, i, &view); i++)
		if (strcmp(view.name, name) == 0 && !view.draining)
			return view;
	CHECK_NAMED(false, "the rule is there");
	return (struct host_rule_view){ .name = name };
}

static size_t lines_of(const struct harness *h, const char *sink)
{
	size_t count = 0;
	for (size_t i = 0; i < h->line_count; i++)
		count += strcmp(h->lines[i].sink, sink) == 0;
	return count;
}

static void start(struct harness *h)
{
	harness_init(h);
	h->limits.deadline = h->limits.load_deadline = 20;
	h->limits.stuck = h->limits.load_stuck = 40;
	h->limits.load_total = 60;
	h->limits.drain = 2;
	rules_folder_use(h);
	h->http_policy = http_policy_create();
	CHECK(http_policy_allow(h->http_policy, "*", SLICE("https://crm.example.net/"), NULL) == 0);
	harness_add_server(h, SLICE("pbx"));
}

/* A life of the rule from its first load to the end of its drain. */
static void live(struct harness *h)
{
	host_allow_jobs(h->host, true);
	advance(h, 0);
	feed(h, "Event: Newchannel\r\nChannel: PJSIP/1-1\r\nUniqueid: 1.1\r\nLinkedid: 1.1\r\nChannelState: 4\r\n\r\n");
	feed(h, "Event: Begin\r\nN: 1\r\nN: 2\r\n\r\n");
	advance(h, 0.01);
	answer_all(h);
	feed(h, "Event: Hangup\r\nN: 1\r\n\r\n");
	advance(h, 1);
	answer_all(h);
	advance(h, 1);
	feed(h, "Event: More\r\nN: 1\r\n\r\n");
	feed(h, "Event: Hangup\r\nChannel: PJSIP/1-1\r\nUniqueid: 1.1\r\nLinkedid: 1.1\r\nCause: 16\r\n\r\n");
	advance(h, 0.1);
}

/* Nothing is left of it but what a rule has that was loaded and has done nothing. */
static void check_given_back(struct harness *h, uint64_t n)
{
	struct host_rule_view view = view_of(h, "everything");
	struct persist_queue_stats jobs = { 0 };
	persist_queue_stats(h->persist, SLICE("jobs"), &jobs);
	CHECK_NAMED(jobs.running == 0 && jobs_starting(h->host) == 0, "no job of it runs");
	bool good = view.waiting == 0 && view.pending == 0 && view.timers == 0 && view.subscriptions == 0 && view.memory == 0;
	if (!CHECK_NAMED(good, "all was given back"))
		printf("crossing %llu: waiting %u pending %u timers %u subscriptions %u memory %zu\n", (unsigned long long)n, view.waiting,
		       view.pending, view.timers, view.subscriptions, view.memory);
}

static void check_goes_on(struct harness *h, uint64_t n)
{
	size_t before = lines_of(h, "heard");
	feed(h, "Event: Probe\r\nN: 1\r\n\r\n");
	advance(h, 0);
	if (!CHECK_NAMED(lines_of(h, "heard") == before + 1, "the other rule hears"))
		printf("crossing %llu\n", (unsigned long long)n);
	CHECK(view_of(h, "other").errors == 0 && !view_of(h, "other").down);
	CHECK(!kill_state.on && !kill_state.due && !kill_state.target);
}

static unsigned kills;

/* Killed at the n-th crossing of its life; false when it has fewer. */
static bool killed_while_it_lives(uint64_t n)
{
	struct harness h;
	start(&h);
	CHECK(harness_load(&h) == 0);
	harness_ready(&h, h.servers[0], SLICE("18.0"));
	advance(&h, 0);
	kill_state.at = n;
	live(&h);
	bool killed = kill_state.at == 0;
	kill_state.at = 0;
	struct host_rule_view view = view_of(&h, "everything");
	if (view.down) {
		kills++;
		check_given_back(&h, n);
	} else {
		/* The last crossing of a call is due too late for it. */
		CHECK_NAMED(view.errors == 0, view.last_error);
		CHECK_NAMED(lines_of(&h, "done") == 4, "it got to its ends");
	}
	check_goes_on(&h, n);
	answer_all(&h);
	advance(&h, PAUSE);
	CHECK_NAMED(!view_of(&h, "everything").down, "it begins anew");
	check_goes_on(&h, n);
	harness_close(&h);
	return killed;
}

/* Killed while a newer state of it is loaded, or the old one drains. */
static bool killed_while_it_is_replaced(uint64_t n)
{
	struct harness h;
	struct host_view view;
	start(&h);
	CHECK(harness_load(&h) == 0);
	harness_ready(&h, h.servers[0], SLICE("18.0"));
	live(&h);
	kill_state.at = n;
	h.reload_all = true;
	bool loaded = harness_load(&h) == 0;
	if (loaded)
		advance(&h, 3);
	bool killed = kill_state.at == 0;
	kill_state.at = 0;
	kills += !loaded;
	CHECK(loaded || killed);
	advance(&h, 1);
	host_view(h.host, &view);
	if (loaded)
		CHECK_NAMED(view.draining_count == 0, "the old state is gone");
	check_goes_on(&h, n);
	answer_all(&h);
	advance(&h, PAUSE);
	h.reload_all = true;
	CHECK(harness_load(&h) == 0);
	advance(&h, 3);
	CHECK_NAMED(!view_of(&h, "everything").down, "it runs again");
	host_view(h.host, &view);
	CHECK(view.draining_count == 0);
	check_goes_on(&h, n);
	harness_close(&h);
	return killed;
}

int main(void)
{
	uint64_t lives = 1, replaced = 1;
	log_set_level(LOG_ERROR);
	rules_folder_make(other);

	while (killed_while_it_lives(lives) && !check_failed)
		lives++;
	while (killed_while_it_is_replaced(replaced) && !check_failed)
		replaced++;
	printf("killed %u times at %llu crossings while it lives and %llu while it is replaced\n", kills, (unsigned long long)lives,
	       (unsigned long long)replaced);
	CHECK(check_failed || kills > 300);

	rules_folder_remove();
	return check_report();
}
