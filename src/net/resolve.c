#include "net/resolve.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/file_stamp.h"
#include "base/mem.h"
#include "base/wake.h"
#include "net/dns.h"
#include "net/hosts.h"
#include "observe/log.h"

#define HOSTS "/etc/hosts"
#define SETTINGS "/etc/resolv.conf"

struct resolver {
	struct ev_loop *loop;
	struct dns *dns;                       /* the settings in use */
	struct dns **retired;                  /* older ones that still have questions, owned */
	size_t retired_count;
	struct resolve *asking, **asking_end;  /* questions that go to the thread next */
	bool thread_busy;                      /* it has a batch */
	/* Shared with the thread: a batch on its way there and back. */
	_Atomic(struct resolve *) to_thread, from_thread;
	_Atomic(struct dns *) fresh; /* made of changed settings, for the loop to take */
	atomic_bool stop;
	struct wake wake;
	ev_async back;
	bool has_thread;
	pthread_t thread;
	struct file_stamp settings; /* of what was read last; the thread's */
};

struct resolve {
	struct resolver *resolver;
	resolve_fn *fn; /* NULL: cancelled, the thread or c-ares still holds it */
	void *ctx;
	ev_timer timer; /* half of the deadline, then the deadline; at once when the answer is here */
	unsigned in_dns; /* questions that name servers still have of it */
	bool in_files;   /* the thread has it, or will */
	bool asked_again, done, answering;
	double timeout;
	uint16_t port;
	char *host; /* owned */
	struct address addresses[RESOLVE_ADDRESSES_MAX];
	size_t count;
	struct err err;
	/* The thread's, while `in_files`. */
	struct resolve *next;
	struct address found[RESOLVE_ADDRESSES_MAX];
	size_t found_count;
};

static void resolve_free(struct resolve *resolve)
{
	ev_timer_stop(resolve->resolver->loop, &resolve->timer);
	free(resolve->host);
	free(resolve);
}

/* Frees a question that was cancelled or answered, once nobody has it any more. */
static void free_unless_held(struct resolve *resolve)
{
	if (!resolve->fn && !resolve->answering && !resolve->in_files && resolve->in_dns == 0)
		resolve_free(resolve);
}

/* The answer is given from a timer of its own, so that nobody is called from inside c-ares or resolve_start(). */
static void finish_soon(struct resolve *resolve)
{
	resolve->done = true;
	ev_timer_stop(resolve->resolver->loop, &resolve->timer);
	ev_timer_set(&resolve->timer, 0, 0);
	ev_timer_start(resolve->resolver->loop, &resolve->timer);
}

/* ---- name servers ---- */

static void on_answer(void *ctx, int status, struct ares_addrinfo *result)
{
	struct resolve *resolve = ctx;

	resolve->in_dns--;
	if (resolve->fn && !resolve->done && status == ARES_SUCCESS) {
		for (struct ares_addrinfo_node *node = result->nodes; node && resolve->count < RESOLVE_ADDRESSES_MAX;
		     node = node->ai_next)
			if (address_from(node->ai_addr, resolve->port, &resolve->addresses[resolve->count]))
				resolve->count++;
	}
	if (result)
		ares_freeaddrinfo(result);
	if (!resolve->fn) {
		free_unless_held(resolve);
		return;
	}
	if (resolve->done || (resolve->count == 0 && resolve->in_dns > 0))
		return; /* one of two answers is enough */
	if (resolve->count == 0)
		err_set(&resolve->err, ERR_SYSTEM, "cannot resolve %s: %s; check `host` and the DNS settings", resolve->host,
		        status == ARES_SUCCESS ? "it has no address" : ares_strerror(status));
	finish_soon(resolve);
}

static void ask(struct resolve *resolve, int family)
{
	resolve->in_dns++;
	dns_ask(resolve->resolver->dns, resolve->host, family, on_answer, resolve);
}

static void drop_retired(struct resolver *resolver)
{
	size_t kept = 0;

	for (size_t i = 0; i < resolver->retired_count; i++)
		if (dns_open(resolver->retired[i]) > 0)
			resolver->retired[kept++] = resolver->retired[i];
		else
			dns_destroy(&resolver->retired[i]);
	resolver->retired_count = kept;
}

/* From here on questions go by the new settings; those that are under way end by the old ones. */
static void use_fresh(struct resolver *resolver)
{
	struct dns *fresh = atomic_exchange(&resolver->fresh, NULL);

	drop_retired(resolver);
	if (!fresh)
		return;
	resolver->retired = mem_realloc(resolver->retired, resolver->retired_count + 1, sizeof(struct dns *));
	resolver->retired[resolver->retired_count++] = resolver->dns;
	dns_attach(fresh, resolver->loop);
	resolver->dns = fresh;
	log_text(LOG_INFO, "resolv.conf has changed: names are asked for by what it says now");
}

/* ---- files, on the thread ---- */

static void read_settings(struct resolver *resolver)
{
	struct file_stamp now = file_stamp_take(SETTINGS);
	struct err err;

	if (file_stamp_equal(&now, &resolver->settings))
		return;
	resolver->settings = now;
	struct dns *fresh = dns_create(&err);
	if (!fresh) {
		log_write(LOG_WARN, "resolv.conf has changed, but cannot be used: the DNS settings before go on", F_TEXT("reason", err.text));
		return;
	}
	struct dns *unused = atomic_exchange(&resolver->fresh, fresh);
	dns_destroy(&unused);
}

static void find_in_files(struct resolve *resolve)
{
	resolve->found_count = hosts_find(HOSTS, resolve->host, resolve->port, resolve->found, RESOLVE_ADDRESSES_MAX);
	/* A name that no name server may be asked for (RFC 6761). */
	if (resolve->found_count == 0 && slice_eq_nocase(slice_cstr(resolve->host), SLICE("localhost"))) {
		address_literal("127.0.0.1", resolve->port, &resolve->found[0]);
		address_literal("::1", resolve->port, &resolve->found[1]);
		resolve->found_count = 2;
	}
}

static void *run(void *arg)
{
	struct resolver *resolver = arg;

	while (!atomic_load(&resolver->stop)) {
		struct resolve *batch = atomic_exchange(&resolver->to_thread, NULL);
		if (!batch) {
			wake_wait(&resolver->wake, WAKE_FOREVER);
			continue;
		}
		read_settings(resolver);
		for (struct resolve *resolve = batch; resolve; resolve = resolve->next)
			find_in_files(resolve);
		atomic_store(&resolver->from_thread, batch);
		ev_async_send(resolver->loop, &resolver->back);
	}
	return NULL;
}

static void send_batch(struct resolver *resolver)
{
	if (resolver->thread_busy || !resolver->asking)
		return;
	resolver->thread_busy = true;
	atomic_store(&resolver->to_thread, resolver->asking);
	resolver->asking = NULL;
	resolver->asking_end = &resolver->asking;
	wake_post(&resolver->wake);
}

/* What the thread has found in the hosts file is the answer; the rest goes to the name servers. */
static void take_batch(struct resolver *resolver)
{
	struct resolve *next, *batch = atomic_exchange(&resolver->from_thread, NULL);

	if (!batch)
		return;
	use_fresh(resolver);
	resolver->thread_busy = false;
	for (struct resolve *resolve = batch; resolve; resolve = next) {
		next = resolve->next;
		resolve->in_files = false;
		if (!resolve->fn) {
			free_unless_held(resolve);
		} else if (resolve->found_count > 0) {
			memcpy(resolve->addresses, resolve->found, resolve->found_count * sizeof *resolve->found);
			resolve->count = resolve->found_count;
			finish_soon(resolve);
		} else {
			ask(resolve, AF_UNSPEC);
		}
	}
	send_batch(resolver);
}

static void on_back(struct ev_loop *loop, ev_async *watcher, int events)
{
	(void)loop, (void)events;
	take_batch(watcher->data);
}

static int start_thread(struct resolver *resolver, struct err *err)
{
	sigset_t all, before;

	if (resolver->has_thread)
		return 0;
	ev_async_start(resolver->loop, &resolver->back);
	ev_unref(resolver->loop); /* alone it keeps no loop alive */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&resolver->thread, NULL, run, resolver);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	resolver->has_thread = rc == 0;
	if (rc == 0)
		return 0;
	ev_ref(resolver->loop);
	ev_async_stop(resolver->loop, &resolver->back);
	return err_set(err, ERR_SYSTEM, "cannot start the thread that reads " HOSTS ": %s", strerror(rc));
}

static void stop_thread(struct resolver *resolver)
{
	if (!resolver->has_thread)
		return;
	atomic_store(&resolver->stop, true);
	wake_post(&resolver->wake);
	pthread_join(resolver->thread, NULL);
	ev_ref(resolver->loop);
	ev_async_stop(resolver->loop, &resolver->back);
}

/* ---- the resolver ---- */

struct resolver *resolver_create(struct ev_loop *loop, struct err *err)
{
	int status = ares_library_init(ARES_LIB_INIT_ALL);
	if (status != ARES_SUCCESS) {
		err_set(err, ERR_SYSTEM, "the DNS resolver cannot start: %s", ares_strerror(status));
		return NULL;
	}
	struct resolver *resolver = mem_zalloc(sizeof *resolver);
	resolver->loop = loop;
	resolver->asking_end = &resolver->asking;
	resolver->settings = file_stamp_take(SETTINGS);
	resolver->dns = dns_create(err);
	if (!resolver->dns) {
		free(resolver);
		ares_library_cleanup();
		return NULL;
	}
	dns_attach(resolver->dns, loop);
	wake_init(&resolver->wake);
	ev_async_init(&resolver->back, on_back);
	resolver->back.data = resolver;
	return resolver;
}

static void free_batch(struct resolve *batch)
{
	for (struct resolve *next; batch; batch = next) {
		next = batch->next;
		batch->in_files = false;
		free_unless_held(batch);
	}
}

void resolver_destroy(struct resolver **where)
{
	struct resolver *resolver = *where;

	if (!resolver)
		return;
	*where = NULL;
	stop_thread(resolver);
	free_batch(resolver->asking);
	free_batch(atomic_load(&resolver->to_thread));
	free_batch(atomic_load(&resolver->from_thread));
	struct dns *fresh = atomic_load(&resolver->fresh);
	dns_destroy(&fresh);
	for (size_t i = 0; i < resolver->retired_count; i++)
		dns_destroy(&resolver->retired[i]);
	free(resolver->retired);
	dns_destroy(&resolver->dns);
	wake_close(&resolver->wake);
	free(resolver);
	ares_library_cleanup();
}

/* ---- questions ---- */

/* Until half of its time is over, or the rest of it. */
static void wait_half(struct resolve *resolve)
{
	/* A long turn may lie behind us: the deadline counts from now. */
	ev_now_update(resolve->resolver->loop);
	ev_timer_set(&resolve->timer, resolve->timeout / 2, 0);
	ev_timer_start(resolve->resolver->loop, &resolve->timer);
}

/* What has come in already. */
static void read_now(struct resolver *resolver)
{
	take_batch(resolver);
	dns_read(resolver->dns);
	for (size_t i = 0; i < resolver->retired_count; i++)
		dns_read(resolver->retired[i]);
}

static void on_due(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)events;
	struct resolve *resolve = timer->data;

	if (!resolve->done) {
		read_now(resolve->resolver);
		if (resolve->done)
			return; /* its own timer gives it */
		if (!resolve->asked_again) {
			/* Some name servers are silent to questions for IPv6, and c-ares would wait for that answer in vain. */
			resolve->asked_again = true;
			wait_half(resolve);
			if (!resolve->in_files)
				ask(resolve, AF_INET);
			return;
		}
		err_set(&resolve->err, ERR_TIMEOUT, "cannot resolve %s: no answer from DNS in %g s; check the DNS settings",
		        resolve->host, resolve->timeout);
	}
	resolve_fn *fn = resolve->fn;
	resolve->fn = NULL;
	resolve->answering = true;
	fn(resolve->ctx, resolve->addresses, resolve->count, resolve->count > 0 ? NULL : &resolve->err);
	resolve->answering = false;
	free_unless_held(resolve);
}

struct resolve *resolve_start(struct resolver *resolver, const char *host, uint16_t port, double timeout, resolve_fn *fn,
                              void *ctx)
{
	struct resolve *resolve = mem_zalloc(sizeof *resolve);

	resolve->resolver = resolver;
	resolve->fn = fn;
	resolve->ctx = ctx;
	resolve->port = port;
	resolve->timeout = timeout;
	resolve->host = mem_strdup(host);
	ev_timer_init(&resolve->timer, on_due, 0, 0);
	resolve->timer.data = resolve;
	if (address_literal(host, port, &resolve->addresses[0])) {
		resolve->count = 1;
		finish_soon(resolve);
		return resolve;
	}
	if (start_thread(resolver, &resolve->err)) {
		finish_soon(resolve);
		return resolve;
	}
	resolve->in_files = true;
	*resolver->asking_end = resolve;
	resolver->asking_end = &resolve->next;
	wait_half(resolve);
	send_batch(resolver);
	return resolve;
}

void resolve_cancel(struct resolve **resolve)
{
	if (!*resolve)
		return;
	(*resolve)->fn = NULL;
	ev_timer_stop((*resolve)->resolver->loop, &(*resolve)->timer);
	/* The thread and c-ares give it back later; then it is freed. */
	free_unless_held(*resolve);
	*resolve = NULL;
}
