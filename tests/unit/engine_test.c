/* The engine's watchers and its one way to send, against a simulated Asterisk on the same loop. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "engine/internal.h"
#include "engine/web_sink.h"
#include "observe/log.h"
#include "rules/rule.h"
#include "rules/state.h"
#include "sim/sim.h"

#define PATIENCE 10.0 /* seconds */

static struct engine *engine;
static struct ev_loop *loop;
static char *log_path;

/* ---- a watcher that counts ---- */

struct witness {
	struct engine_watch watch;
	unsigned ready, events, sent, answered;
	char sender[16];
};

static void on_event(void *ctx, const struct engine_event *event)
{
	struct witness *w = ctx;

	w->events++;
	w->ready += event->own && slice_eq(event->message->name, SLICE("server.ready")) && strcmp(event->server, "pbx") == 0 &&
	            event->server_id == engine_server_id(engine, SLICE("pbx"));
}

static void on_sent(void *ctx, const char *server, const char *sender, const char *rule, const struct action *action, const char *id)
{
	struct witness *w = ctx;
	struct slice name;

	w->sent += strcmp(server, "pbx") == 0 && !rule && action_get(action, SLICE("Action"), &name) && id[0] != '\0';
	snprintf(w->sender, sizeof w->sender, "%s", sender);
}

static void on_answered(void *ctx, const char *server, const char *sender, const char *rule, const struct reply *reply)
{
	struct witness *w = ctx;

	w->answered += strcmp(server, "pbx") == 0 && strcmp(sender, w->sender) == 0 && !rule && reply->code == ERR_NONE;
}

static void watch(struct witness *w)
{
	w->watch = (struct engine_watch){ .ctx = w, .event = on_event, .sent = on_sent, .answered = on_answered };
	engine_watch_add(engine, &w->watch);
}

/* ---- a sender ---- */

static unsigned ended;

static void on_done(struct engine *of, void *ctx, struct reply *reply)
{
	ended += of == engine && ctx == &ended && reply->code == ERR_NONE;
	reply_free(&reply);
}

static struct engine_request *ping(struct err *err)
{
	static const struct engine_sender test = { .name = "test", .done = on_done };
	struct action action;
	char id[ACTION_ID_MAX + 1];

	action_init(&action);
	CHECK(action_add(&action, SLICE("Action"), SLICE("Ping"), err) == 0);
	struct engine_request *request = engine_send(engine, engine_server_id(engine, SLICE("pbx")), &action, 0, &test, &ended, id, err);
	action_close(&action);
	return request;
}

static void on_late(struct ev_loop *l, ev_timer *timer, int events)
{
	(void)timer, (void)events;
	ev_break(l, EVBREAK_ALL);
}

/* Runs the loop until `*count` is `wanted`. */
static bool comes(const unsigned *count, unsigned wanted)
{
	ev_timer late;

	ev_timer_init(&late, on_late, PATIENCE, 0);
	ev_timer_start(loop, &late);
	while (*count < wanted && ev_is_active(&late))
		ev_run(loop, EVRUN_ONCE);
	ev_timer_stop(loop, &late);
	return *count == wanted;
}

/* ---- what must hold ---- */

struct listing {
	unsigned count;
	double age, left;
	char sender[16];
};

static void list_pending(void *ctx, const struct engine_pending *pending)
{
	struct listing *listing = ctx;

	listing->count++;
	listing->age = pending->age;
	listing->left = pending->left;
	snprintf(listing->sender, sizeof listing->sender, "%s", pending->sender);
}

static bool asks_for(const char *class)
{
	struct engine_events_view view;
	return CHECK(engine_events_view(engine, 0, &view) && view.automatic) && strstr(view.events, class);
}

/* Of a server whose session has not begun, nothing is narrowed with a delay. */
static void what_watchers_want_is_asked_for(void)
{
	struct engine_watch watch = { .event = on_event, .classes = EVENT_DTMF }, other = { .event = on_event, .classes = EVENT_CDR, .server = "other" };

	CHECK(!asks_for("dtmf"));
	engine_watch_add(engine, &watch);
	CHECK(asks_for("dtmf") && !asks_for("cdr"));
	engine_watch_add(engine, &other);
	CHECK(!asks_for("cdr"));
	watch.classes = EVENT_CDR;
	engine_watch_changed(engine, &watch);
	CHECK(asks_for("cdr") && !asks_for("dtmf"));
	engine_watch_remove(engine, &watch);
	CHECK(!asks_for("cdr"));
	engine_watch_remove(engine, &other);
}

static void every_watcher_sees_all(void)
{
	struct witness first = { 0 }, second = { 0 }, silent = { .watch = { .ctx = NULL } };
	struct listing listing = { 0 };
	struct err err;

	watch(&first);
	watch(&second);
	engine_watch_add(engine, &silent.watch); /* without any function */
	engine_start(engine);
	CHECK(comes(&first.ready, 1));
	CHECK(second.ready == 1 && second.events == first.events);

	CHECK(ping(&err));
	nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	CHECK(engine_pending_each(engine, 0, list_pending, &listing) && listing.count == 1 && strcmp(listing.sender, "test") == 0);
	CHECK(listing.age >= 0.002 && listing.age < PATIENCE && listing.left > 0);
	CHECK(first.sent == 1 && second.sent == 1 && strcmp(second.sender, "test") == 0);
	CHECK(ended == 0);
	CHECK(comes(&ended, 1));
	CHECK(first.answered == 1 && second.answered == 1);

	engine_watch_remove(engine, &first.watch);
	CHECK(ping(&err));
	CHECK(comes(&ended, 2));
	CHECK(first.sent == 1 && first.answered == 1 && second.sent == 2 && second.answered == 2);
	engine_watch_remove(engine, &second.watch);
	engine_watch_remove(engine, &silent.watch);
}

static void who_forgets_is_not_called(void)
{
	struct witness witness = { 0 };
	struct err err;
	unsigned before = ended;

	watch(&witness);
	struct engine_request *request = ping(&err);
	if (CHECK(request))
		engine_send_forget(request);
	CHECK(comes(&witness.answered, 1));
	CHECK(ended == before);
	engine_watch_remove(engine, &witness.watch);
}

static void what_is_none_gets_nothing(void)
{
	static const struct engine_sender test = { .name = "test", .done = on_done };
	struct action action;
	struct err err;
	char id[ACTION_ID_MAX + 1];
	struct engine_spool_view view;

	CHECK(!engine_spool_view(engine, SLICE("elsewhere"), &view));
	engine_spool_stir(engine, SLICE("elsewhere"));
	action_init(&action);
	CHECK(engine_server_id(engine, SLICE("elsewhere")) == 0);
	CHECK(!engine_send(engine, 0, &action, 0, &test, &ended, id, &err) && err.code == ERR_NOT_READY);
	CHECK(!engine_send(engine, 99, &action, 0, &test, &ended, id, &err) && err.code == ERR_NOT_READY);
	action_close(&action);
}

#define SECOND UINT64_C(1000000000)

static void the_longest_turn_is_of_this_minute_or_the_one_before(void)
{
	engine_longest_turn(engine); /* the minute is this one from here on */
	engine->longest[0] = 20 * SECOND;
	engine->longest[1] = 30 * SECOND;
	CHECK(engine_longest_turn(engine) == 30);
	engine->minute--;
	CHECK(engine_longest_turn(engine) == 20 && engine->longest[0] == 0 && engine->longest[1] == 20 * SECOND);
	engine->longest[0] = 40 * SECOND;
	CHECK(engine_longest_turn(engine) == 40);
	engine->minute -= 2;
	CHECK(engine_longest_turn(engine) == 0 && engine->longest[0] == 0 && engine->longest[1] == 0);
}

static void what_the_loop_waits_and_works_is_counted(void)
{
	ev_timer late;
	uint64_t before = clock_mono_ns();
	double waited = engine->wait_seconds->value, turns = engine->turns->value;

	ev_timer_init(&late, on_late, 0.02, 0);
	ev_now_update(loop);
	ev_timer_start(loop, &late);
	ev_run(loop, 0);
	waited = engine->wait_seconds->value - waited;
	CHECK(waited > 0.01 && waited < (double)(clock_mono_ns() - before) / 1e9);
	CHECK(engine->turns->value > turns && engine->turns->value == (double)engine->turn_seconds->count);
	CHECK(!ev_is_active(&late));
}

/* ---- a start that fails ---- */

/* In a process of its own, as a user whom the limit binds. */
static void a_start_without_another_thread_is_refused(void)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct ev_loop *own = ev_loop_new(EVFLAG_AUTO);
		struct faults faults = { .count = 7 };
		if (setrlimit(RLIMIT_NPROC, &(struct rlimit){ 0, 0 }) || (getuid() == 0 && setuid(65534)))
			_exit(2);
		struct engine *refused = engine_create(own, &(struct engine_options){ .config_path = "/nowhere/hookswitch.lua" }, &faults);
		bool good = !refused && faults.count == 1 && strstr(faults.lines[0], "thread");
		if (!good)
			printf("%s\n", faults.count == 1 ? faults.lines[0] : "it was not refused with one fault");
		faults_close(&faults);
		ev_loop_destroy(own);
		fflush(stdout);
		_exit(!good); /* looking for leaks takes a process more, too */
	}
	CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- a rule that begins anew ---- */

/* Fails whenever it is loaded again. */
static const char FAILS[] = "local fate = store.open 'fate'\n"
                            "assert(not fate:get 'sealed', 'not again')\n"
                            "ami.on('script.loaded', function() fate:set('sealed', true) log.warn 'sealed' end)\n";
static const char LOADS[] = "log.warn 'good loads'\n";

static void write_rule(const char *folder, const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", folder, name);
	FILE *file = fopen(path, "w");
	if (CHECK(file)) {
		fputs(text, file);
		fclose(file);
	}
	free(path);
}

static unsigned times_logged(const char *text)
{
	char line[4096];
	unsigned count = 0;
	FILE *file = fopen(log_path, "r");

	while (file && fgets(line, sizeof line, file))
		count += strstr(line, text) != NULL;
	if (file)
		fclose(file);
	return count;
}

/* Waits until the log has that text so often; the loop runs meanwhile or stands still. */
static bool logs(const char *text, unsigned count, bool running)
{
	for (int ms = 0; ms < PATIENCE * 1000; ms++) {
		if (times_logged(text) >= count)
			return true;
		if (running)
			ev_run(loop, EVRUN_NOWAIT);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return false;
}

static struct rule_source *source_of(const char *rule)
{
	const struct host *host = engine->host;

	for (size_t i = 0; i < host->rule_count; i++)
		if (strcmp(host->rules[i]->name, rule) == 0)
			return host->rules[i]->source;
	abort();
}

static void the_end_of_a_shortage_of_memory_is_noticed_once(void)
{
	engine->memory_short = true;
	CHECK(logs("the system has memory again", 1, true));
	CHECK(!engine->memory_short);
	for (int turn = 0; turn < 3; turn++)
		ev_run(loop, EVRUN_NOWAIT);
	CHECK(!engine->memory_short && times_logged("the system has memory again") == 1);
}

static void a_rule_that_fails_to_begin_anew_is_named(void)
{
	CHECK(logs("sealed", 1, true));
	CHECK(times_logged("not again") == 0);
	engine_restart_rule(engine, source_of("bad"));
	CHECK(logs("not again", 1, true));
	CHECK(times_logged("a rule could not begin anew") == 1);
	CHECK(times_logged("bad.lua:2") == 1);
}

/* Nothing is left of it; the sanitizers' build sees that. */
static void a_rule_that_was_loaded_anew_for_an_engine_that_stops_is_dropped(void)
{
	CHECK(times_logged("good loads") == 0); /* the log began after the first load */
	engine_restart_rule(engine, source_of("good"));
	CHECK(logs("good loads", 1, false));
	engine_stop(engine, "test");
	engine_destroy(&engine);
	CHECK(!engine);
}

int main(void)
{
	const char *where = getenv("TMPDIR");
	char *folder = mem_printf("%s/engine-XXXXXX", where ? where : P_tmpdir);
	struct sim_options options;
	struct faults faults;
	struct err err;

	alarm(60);
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(folder)) {
		perror(folder);
		return EXIT_FAILURE;
	}
	a_start_without_another_thread_is_refused();
	loop = ev_default_loop(EVFLAG_AUTO);
	sim_options_init(&options);
	options.port = 0;
	struct sim *sim = sim_create(loop, &options, &err);
	char *path = mem_printf("%s/hookswitch.lua", folder), *scripts = mem_printf("%s/scripts", folder);
	log_path = mem_printf("%s/log", folder);
	FILE *file = fopen(path, "w");
	if (!CHECK(sim) || !CHECK(file))
		return EXIT_FAILURE;
	mkdir(scripts, 0700);
	write_rule(scripts, "bad.lua", FAILS);
	write_rule(scripts, "good.lua", LOADS);
	fprintf(file, "return { live = { enabled = false }, scripts = { rules = '%s' }, log = { file = '%s' }, servers = { pbx = { host = '127.0.0.1', port = %u, "
	        "events = 'auto', username = '%s', secret = '%s' } } }\n", scripts, log_path, sim_port(sim), options.user, options.secret);
	fclose(file);
	engine = engine_create(loop, &(struct engine_options){ .config_path = path }, &faults);
	if (CHECK(engine)) {
		what_watchers_want_is_asked_for();
		every_watcher_sees_all();
		who_forgets_is_not_called();
		what_is_none_gets_nothing();
		what_the_loop_waits_and_works_is_counted();
		the_longest_turn_is_of_this_minute_or_the_one_before();
		the_end_of_a_shortage_of_memory_is_noticed_once();
		a_rule_that_fails_to_begin_anew_is_named();
		a_rule_that_was_loaded_anew_for_an_engine_that_stops_is_dropped();
	} else if (faults.count > 0) {
		printf("%s\n", faults.lines[0]);
	}
	faults_close(&faults);
	log_stop(1);
	sim_destroy(&sim);
	ev_loop_destroy(loop);
	char *command = mem_printf("rm -rf '%s'", folder);
	CHECK(system(command) == 0);
	free(command);
	free(scripts);
	free(log_path);
	free(path);
	free(folder);
	return check_report();
}
