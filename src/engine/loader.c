#include "engine/loader.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/ring.h"
#include "base/wake.h"
#include "sandbox/deadline.h"

#define QUEUE_MAX 64

/* One job, on its way to the loader (work) and back to the loop (done). */
struct job {
	loader_fn *work, *done;
	void *arg;
	struct wake *answered; /* a call to the loop that the loader waits for */
};

struct loader {
	struct ev_loop *loop;
	struct ev_async back;
	struct ring *to_loader, *to_loop;
	struct wake wake;
	pthread_t thread;
	atomic_bool stop, ended, interrupted;
};

static void send_back(struct loader *l, struct job *job)
{
	/* The queue has room for everything that can be under way; the loop empties it whatever it does. */
	while (!ring_push(l->to_loop, job))
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	ev_async_send(l->loop, &l->back);
}

static void *run(void *arg)
{
	struct loader *l = arg;
	deadline_stop_when(&l->interrupted);
	for (;;) {
		bool last = atomic_load(&l->stop);
		struct job *job = ring_pop(l->to_loader);
		if (!job && last)
			break;
		if (!job) {
			wake_wait(&l->wake, WAKE_FOREVER);
			continue;
		}
		job->work(job->arg);
		send_back(l, job);
	}
	atomic_store(&l->ended, true);
	return NULL;
}

static void take_answers(struct loader *l)
{
	struct job *job;
	while ((job = ring_pop(l->to_loop))) {
		if (job->done)
			job->done(job->arg);
		if (job->answered)
			wake_post(job->answered);
		else
			free(job);
	}
}

static void on_back(struct ev_loop *loop, struct ev_async *watcher, int events)
{
	(void)loop;
	(void)events;
	take_answers(watcher->data);
}

struct loader *loader_create(struct ev_loop *loop, struct err *err)
{
	struct loader *l = mem_zalloc(sizeof *l);
	sigset_t all, before;
	l->loop = loop;
	l->to_loader = ring_create(QUEUE_MAX);
	l->to_loop = ring_create(QUEUE_MAX);
	wake_init(&l->wake);
	ev_async_init(&l->back, on_back);
	l->back.data = l;
	ev_async_start(loop, &l->back);
	ev_unref(loop); /* alone it keeps no loop alive */
	/* Signals are the loop's; the rules' time limit is sent to its thread by name and stays open. */
	sigfillset(&all);
	sigdelset(&all, SIGRTMIN);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&l->thread, NULL, run, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) {
		err_set(err, ERR_SYSTEM, "cannot start the loader thread: %s", strerror(rc));
		atomic_store(&l->ended, true);
		l->thread = 0;
		loader_destroy(&l);
	}
	return l;
}

void loader_destroy(struct loader **loader)
{
	struct loader *l = *loader;
	if (!l)
		return;
	*loader = NULL;
	loader_interrupt(l);
	atomic_store(&l->stop, true);
	wake_post(&l->wake);
	while (!atomic_load(&l->ended)) {
		take_answers(l); /* it may wait for the loop */
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	if (l->thread)
		pthread_join(l->thread, NULL);
	take_answers(l);
	ev_ref(l->loop);
	ev_async_stop(l->loop, &l->back);
	ring_destroy(&l->to_loader);
	ring_destroy(&l->to_loop);
	wake_close(&l->wake);
	free(l);
}

void loader_interrupt(struct loader *l)
{
	atomic_store(&l->interrupted, true);
}

int loader_post(struct loader *l, loader_fn *work, loader_fn *done, void *arg, struct err *err)
{
	struct job *job = mem_zalloc(sizeof *job);
	job->work = work;
	job->done = done;
	job->arg = arg;
	if (!ring_push(l->to_loader, job)) {
		free(job);
		return err_set(err, ERR_BACKPRESSURE, "the loader has %d jobs already", QUEUE_MAX);
	}
	wake_post(&l->wake);
	return 0;
}

void loader_on_loop(struct loader *l, loader_fn *fn, void *arg)
{
	struct wake answered;
	wake_init(&answered);
	struct job job = { .done = fn, .arg = arg, .answered = &answered };
	send_back(l, &job);
	wake_wait(&answered, WAKE_FOREVER);
	wake_close(&answered);
}
