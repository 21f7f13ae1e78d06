/* Host names to addresses, with a name server by table. It needs a resolv.conf and a hosts file of its own, so a mount namespace:
 * without root only IP literals are tested. */
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "check.h"
#include "net/hosts.h"
#include "net/resolve.h"
#include "observe/log.h"

static char folder[] = "/tmp/resolve-test-XXXXXX";
static struct ev_loop *loop;
static char settings[64]; /* resolv.conf that names the name server */

/* What one question came to. */
struct outcome {
	unsigned calls;
	size_t count;
	struct address addresses[RESOLVE_ADDRESSES_MAX + 1];
	struct err err;
	double seconds;
	uint64_t asked;
};

static void on_resolved(void *ctx, const struct address *addresses, size_t count, const struct err *err)
{
	struct outcome *o = ctx;

	o->calls++;
	o->count = count;
	o->seconds = (double)(clock_mono_ns() - o->asked) / 1e9;
	CHECK((count > 0) == (err == NULL) && count <= RESOLVE_ADDRESSES_MAX);
	memcpy(o->addresses, addresses, count * sizeof *addresses);
	if (err)
		o->err = *err;
}

static struct resolve *ask(struct resolver *resolver, const char *host, double timeout, struct outcome *o)
{
	*o = (struct outcome){ .asked = clock_mono_ns() };
	struct resolve *resolve = resolve_start(resolver, host, 5038, timeout, on_resolved, o);
	CHECK(o->calls == 0); /* never from inside */
	return resolve;
}

static void wait_for(const struct outcome *o)
{
	uint64_t till = clock_mono_ns() + 10 * CLOCK_NS_PER_S;
	while (o->calls == 0 && clock_mono_ns() < till) {
		ev_run(loop, EVRUN_NOWAIT);
		usleep(500);
	}
	CHECK(o->calls == 1);
}

static void settle(void)
{
	for (int i = 0; i < 40; i++) {
		ev_run(loop, EVRUN_NOWAIT);
		usleep(500);
	}
}

static bool has(const struct outcome *o, const char *ip)
{
	char text[ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < o->count; i++) {
		address_text(&o->addresses[i], text);
		if (strcmp(text, ip) == 0)
			return address_port(&o->addresses[i]) == 5038;
	}
	return false;
}

static void write_file(const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", folder, name);
	FILE *file = fopen(path, "w");
	CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
	free(path);
}

/* ---- without DNS ---- */

static void a_literal_needs_no_dns(struct resolver *resolver)
{
	struct outcome v4, v6;

	ask(resolver, "192.0.2.1", 5, &v4);
	ask(resolver, "2001:db8::1", 5, &v6);
	wait_for(&v4);
	wait_for(&v6);
	CHECK(v4.count == 1 && has(&v4, "192.0.2.1"));
	CHECK(v6.count == 1 && has(&v6, "2001:db8::1"));
	CHECK(v4.seconds < 2);
	settle();
	CHECK(v4.calls == 1 && v6.calls == 1);
}

static void a_cancelled_question_is_not_answered(struct resolver *resolver, const char *host)
{
	struct outcome o;
	struct resolve *resolve = ask(resolver, host, 0.05, &o);

	resolve_cancel(&resolve);
	CHECK(resolve == NULL);
	resolve_cancel(&resolve);
	settle();
	usleep(60000);
	settle();
	CHECK(o.calls == 0);
	/* Also after it has been sent. */
	resolve = ask(resolver, host, 0.05, &o);
	if (address_literal(host, 1, &(struct address){ .len = 0 }) == false)
		ev_run(loop, EVRUN_NOWAIT);
	resolve_cancel(&resolve);
	settle();
	usleep(60000);
	settle();
	CHECK(o.calls == 0);
}

static size_t find(const char *host, struct outcome *o, size_t max)
{
	char *path = mem_printf("%s/own-hosts", folder);
	o->count = hosts_find(path, host, 5038, o->addresses, max);
	free(path);
	return o->count;
}

static void the_hosts_file_gives_addresses_to_names(void)
{
	struct outcome o = { .calls = 0 };

	write_file("own-hosts", "# 192.0.2.1 pbx\n\n  192.0.2.2\tPBX.example pbx # 192.0.2.3 office\n2001:db8::2 pbx\r\nnonsense pbx\n192.0.2.4\n"
	           "192.0.2.5 pbx2 pbx\n192.0.2.6 last");
	CHECK(find("pbx", &o, 16) == 3 && has(&o, "192.0.2.2") && has(&o, "2001:db8::2") && has(&o, "192.0.2.5"));
	CHECK(find("pbx.EXAMPLE", &o, 16) == 1 && has(&o, "192.0.2.2"));
	CHECK(find("pbx.example.", &o, 16) == 1);
	CHECK(find("last", &o, 16) == 1 && has(&o, "192.0.2.6"));
	CHECK(find("pbx", &o, 2) == 2 && has(&o, "2001:db8::2"));
	CHECK(find("office", &o, 16) == 0);
	CHECK(find("example", &o, 16) == 0);
	CHECK(find("192.0.2.4", &o, 16) == 0);
	CHECK(find("", &o, 16) == 0);
	CHECK(hosts_find("/nowhere/hosts", "pbx", 1, o.addresses, 16) == 0);
}

/* ---- with DNS ---- */

static void the_hosts_file_comes_first_and_is_read_each_time(struct resolver *resolver)
{
	struct outcome o;

	write_file("hosts", "192.0.2.98 hosted.test both.test\n2001:db8::98 hosted.test\n");
	ask(resolver, "hosted.test", 5, &o);
	wait_for(&o);
	CHECK(o.count == 2 && has(&o, "192.0.2.98") && has(&o, "2001:db8::98"));
	ask(resolver, "both.test", 5, &o);
	wait_for(&o);
	CHECK(o.count == 1 && has(&o, "192.0.2.98"));
	write_file("hosts", "192.0.2.99 hosted.test\n");
	ask(resolver, "both.test", 5, &o);
	wait_for(&o);
	CHECK(o.count == 3);
}

/* Whatever the files say. */
static void localhost_is_this_machine(struct resolver *resolver)
{
	struct outcome o;

	ask(resolver, "localhost", 5, &o);
	wait_for(&o);
	CHECK(o.count > 0);
	for (size_t i = 0; i < o.count; i++)
		CHECK(address_is_loopback(&o.addresses[i]));
}

static void changed_settings_are_used_at_the_next_question(struct resolver *resolver)
{
	struct outcome o;

	/* Nobody listens there. */
	write_file("resolv.conf", "nameserver 127.251.251.251\n");
	ask(resolver, "both.test", 0.4, &o);
	wait_for(&o);
	CHECK(o.count == 0);
	write_file("resolv.conf", settings);
	ask(resolver, "both.test", 5, &o);
	wait_for(&o);
	CHECK(o.count == 3);
	/* Another name of the file, as programs that write it do. */
	struct outcome silent;
	ask(resolver, "silent.test", 0.6, &silent);
	settle();
	write_file("resolv.conf", "# The settings have changed under a question that waits.\n");
	ask(resolver, "hosted.test", 5, &o);
	wait_for(&o);
	CHECK(o.count == 1);
	write_file("resolv.conf", settings);
	for (int i = 0; i < 3; i++) {
		ask(resolver, "both.test", 5, &o);
		wait_for(&o);
		CHECK(o.count == 3);
	}
	wait_for(&silent);
	CHECK(silent.count == 0 && silent.err.code == ERR_TIMEOUT);
}

/* Each has its memory and sockets only until its last question has ended. */
static void settings_that_nobody_asks_by_are_freed(struct resolver *resolver)
{
	struct outcome o;
	size_t before = 0;

	for (int i = 0; i < 60; i++) {
		char *text = mem_printf("%s# %d\n", settings, i);
		write_file("resolv.conf", text);
		free(text);
		ask(resolver, "both.test", 5, &o);
		wait_for(&o);
		CHECK(o.count == 3);
		if (i == 20) /* c-ares' own tables have their size */
			before = mallinfo2().uordblks;
	}
	CHECK(mallinfo2().uordblks <= before + 20000);
}

/* The end comes while the thread's answer, with settings that have changed, waits for the loop. */
static void an_answer_that_nobody_took_is_freed(void)
{
	struct outcome o;
	size_t before = 0;
	char *hosts = mem_printf("%s/hosts", folder), *changed = mem_printf("%s# changed\n", settings);
	int watch = inotify_init1(IN_CLOEXEC);
	CHECK(watch != -1 && inotify_add_watch(watch, hosts, IN_CLOSE_NOWRITE) != -1);

	for (int i = 0; i < 30; i++) {
		struct err err = { 0 };
		char events[4096];
		struct pollfd closed = { .fd = watch, .events = POLLIN };
		write_file("resolv.conf", settings);
		struct resolver *resolver = resolver_create(loop, &err);
		CHECK_NAMED(resolver, err.text);
		write_file("resolv.conf", changed);
		struct resolve *resolve = ask(resolver, "both.test", 5, &o);
		/* The settings have been read before the hosts file. */
		CHECK(poll(&closed, 1, 10000) == 1 && read(watch, events, sizeof events) > 0);
		resolve_cancel(&resolve);
		resolver_destroy(&resolver);
		CHECK(o.calls == 0);
		if (i == 10)
			before = mallinfo2().uordblks;
	}
	CHECK(mallinfo2().uordblks <= before + 20000);
	close(watch);
	write_file("resolv.conf", settings);
	free(hosts);
	free(changed);
}

static void names_have_all_their_addresses(struct resolver *resolver)
{
	struct outcome o;

	ask(resolver, "both.test", 5, &o);
	wait_for(&o);
	CHECK(o.count == 3 && has(&o, "192.0.2.7") && has(&o, "192.0.2.8") && has(&o, "2001:db8::7"));
	CHECK(o.seconds < 2);
	ask(resolver, "many.test", 5, &o);
	wait_for(&o);
	CHECK(o.count == RESOLVE_ADDRESSES_MAX);
	ask(resolver, "hosted.test", 5, &o);
	wait_for(&o);
	CHECK(o.count == 1 && has(&o, "192.0.2.99"));
	settle();
	CHECK(o.calls == 1);
}

static void names_that_are_not_there_are_named(struct resolver *resolver)
{
	static const char *const hosts[] = { "nowhere.test", "empty.test" };
	struct outcome o;

	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
		char *begins = mem_printf("cannot resolve %s: ", hosts[i]);
		ask(resolver, hosts[i], 5, &o);
		wait_for(&o);
		CHECK(o.count == 0 && o.err.code == ERR_SYSTEM && o.seconds < 4);
		CHECK_NAMED(strstr(o.err.text, begins) == o.err.text && strstr(o.err.text, "; check `host` and the DNS settings"), o.err.text);
		free(begins);
	}
}

static void silence_ends_with_the_timeout(struct resolver *resolver)
{
	struct outcome o;

	ask(resolver, "silent.test", 0.4, &o);
	wait_for(&o);
	CHECK(o.count == 0 && o.err.code == ERR_TIMEOUT && o.seconds > 0.39);
	CHECK_NAMED(strcmp(o.err.text, "cannot resolve silent.test: no answer from DNS in 0.4 s; check the DNS settings") == 0, o.err.text);
	/* c-ares goes on asking for a while; that is nobody's any more. */
	settle();
	CHECK(o.calls == 1);
}

static void silence_about_ipv6_costs_half_of_the_time(struct resolver *resolver)
{
	struct outcome o;

	ask(resolver, "old.test", 1.5, &o);
	wait_for(&o);
	CHECK(o.count == 1 && has(&o, "192.0.2.5"));
	CHECK(o.seconds > 0.74 && o.seconds < 1.5);
	/* The answer of the first question, if any, changes nothing more. */
	uint64_t till = clock_mono_ns() + 300 * CLOCK_NS_PER_MS;
	while (clock_mono_ns() < till)
		settle();
	CHECK(o.calls == 1);
}

/* c-ares asks again after 2 s; that must not wait for anything else to happen. */
static void a_lost_question_is_asked_again(struct resolver *resolver)
{
	struct outcome o;

	ask(resolver, "lossy.test", 18, &o);
	settle();
	write_file("table", "lossy.test 192.0.2.44\n");
	wait_for(&o);
	CHECK(o.count == 1 && has(&o, "192.0.2.44") && o.seconds > 1 && o.seconds < 8);
}

static void a_paused_process_loses_no_answer(struct resolver *resolver)
{
	struct outcome o;

	ask(resolver, "both.test", 0.3, &o);
	usleep(500000);
	wait_for(&o);
	CHECK(o.count == 3);
	/* The deadline counts from the question, not from the loop's last look at the clock. */
	ev_now_update(loop);
	usleep(500000);
	ask(resolver, "both.test", 0.6, &o);
	wait_for(&o);
	CHECK(o.count == 3);
	/* The answer to the second question comes in a pause that outlasts the deadline. */
	ask(resolver, "old.test", 0.6, &o);
	settle();
	usleep(400000);
	ev_run(loop, EVRUN_NOWAIT); /* asks for IPv4 alone */
	CHECK(o.calls == 0);
	usleep(500000);
	wait_for(&o);
	CHECK(o.count == 1 && has(&o, "192.0.2.5"));
}

static void many_questions_wait_at_the_same_time(struct resolver *resolver)
{
	struct outcome o[40];
	struct resolve *open[40];

	for (int i = 0; i < 40; i++)
		open[i] = ask(resolver, i % 4 == 3 ? "silent.test" : i % 2 ? "both.test" : "192.0.2.1", 1, &o[i]);
	for (int i = 0; i < 40; i++) {
		if (i % 4 == 3)
			continue;
		wait_for(&o[i]);
		CHECK(o[i].count == (i % 2 ? 3u : 1u));
	}
	for (int i = 3; i < 40; i += 4)
		resolve_cancel(&open[i]);
	settle();
}

static void count_turn(struct ev_loop *of, ev_prepare *prepare, int events)
{
	(void)of, (void)events;
	++*(unsigned *)prepare->data;
}

static void on_end(struct ev_loop *of, ev_timer *timer, int events)
{
	(void)timer, (void)events;
	ev_break(of, EVBREAK_ALL);
}

static void waiting_costs_no_turns(struct resolver *resolver)
{
	struct outcome o;
	ev_timer end;
	ev_prepare prepare;
	unsigned turns = 0;

	struct resolve *resolve = ask(resolver, "silent.test", 5, &o);
	settle();
	ev_prepare_init(&prepare, count_turn);
	prepare.data = &turns;
	ev_prepare_start(loop, &prepare);
	ev_now_update(loop);
	ev_timer_init(&end, on_end, 0.3, 0);
	ev_timer_start(loop, &end);
	ev_run(loop, 0);
	ev_prepare_stop(loop, &prepare);
	CHECK(turns <= 10);
	resolve_cancel(&resolve);
}

/* Over `target`, in this process' own view of the files. */
static bool put_over(const char *name, const char *target)
{
	char *path = mem_printf("%s/%s", folder, name);
	bool good = mount(path, target, NULL, MS_BIND, NULL) == 0;
	free(path);
	return good;
}

/* The name server, or -1. */
static pid_t serve(const char *program)
{
	int ends[2], own = (int)getpid();
	char line[64], address[32];

	/* Others may do the same at the same time: each has an address of its own. */
	snprintf(address, sizeof address, "127.%d.%d.77", 1 + own / 250 % 250, own % 250);
	snprintf(settings, sizeof settings, "nameserver %s\n", address);

	if (unshare(CLONE_NEWNS) == -1 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
		return -1;
	write_file("resolv.conf", settings);
	write_file("hosts", "192.0.2.99 hosted.test\n");
	write_file("table", "both.test 192.0.2.7 192.0.2.8 2001:db8::7\nsilent.test silent\nold.test silent6 192.0.2.5\nlossy.test silent\nempty.test\n"
	           "many.test 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 192.0.2.7 192.0.2.8 192.0.2.9 192.0.2.10 "
	           "192.0.2.11 192.0.2.12 192.0.2.13 192.0.2.14 192.0.2.15 192.0.2.16 192.0.2.17 192.0.2.18 192.0.2.19 192.0.2.20\n");
	if (!put_over("resolv.conf", "/etc/resolv.conf") || !put_over("hosts", "/etc/hosts") || pipe(ends) == -1)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		char *table = mem_printf("%s/table", folder);
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		execl(program, program, address, table, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	ssize_t n = read(ends[0], line, sizeof line);
	close(ends[0]);
	return n > 0 ? pid : -1;
}

int main(int argc, char **argv)
{
	(void)argc;
	log_set_level(LOG_LEVELS);
	struct err err = { 0 };
	const char *slash = strrchr(argv[0], '/');
	char *program = mem_printf("%.*snameserver", slash ? (int)(slash + 1 - argv[0]) : 0, argv[0]);

	if (!mkdtemp(folder))
		return 1;
	loop = ev_default_loop(0);
	pid_t server = serve(program);
	struct resolver *resolver = resolver_create(loop, &err);
	CHECK_NAMED(resolver, err.text);
	a_literal_needs_no_dns(resolver);
	a_cancelled_question_is_not_answered(resolver, "192.0.2.1");
	the_hosts_file_gives_addresses_to_names();
	if (server == -1) {
		printf("names: need root and mount namespaces, left out\n");
	} else {
		a_cancelled_question_is_not_answered(resolver, "both.test");
		a_cancelled_question_is_not_answered(resolver, "silent.test");
		names_have_all_their_addresses(resolver);
		the_hosts_file_comes_first_and_is_read_each_time(resolver);
		localhost_is_this_machine(resolver);
		changed_settings_are_used_at_the_next_question(resolver);
		settings_that_nobody_asks_by_are_freed(resolver);
		an_answer_that_nobody_took_is_freed();
		names_that_are_not_there_are_named(resolver);
		silence_ends_with_the_timeout(resolver);
		silence_about_ipv6_costs_half_of_the_time(resolver);
		a_paused_process_loses_no_answer(resolver);
		many_questions_wait_at_the_same_time(resolver);
		waiting_costs_no_turns(resolver);
		a_lost_question_is_asked_again(resolver);
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	resolver_destroy(&resolver);
	CHECK(resolver == NULL);
	resolver_destroy(&resolver);
	ev_loop_destroy(loop);
	free(program);
	char *command = mem_printf("rm -rf %s", folder);
	CHECK(system(command) == 0);
	free(command);
	return check_report();
}
