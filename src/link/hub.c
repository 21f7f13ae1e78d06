/* What all links of one loop share, and what happens once in each of its turns. */
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/mem.h"
#include "link/internal.h"

/* Who may connect now: first those whose last try was good or that have had none; the others leave a part of the places to
 * them, so that a thousand dead servers do not hold up the one that lives (P5). */
static struct link *next_waiting(const struct link_hub *hub)
{
	if (hub->connects_in_flight >= hub->connects_max)
		return NULL;
	if (!list_empty(&hub->waiting))
		return list_entry(hub->waiting.next, struct link, waiting);
	if (!list_empty(&hub->waiting_suspects) && hub->suspects_in_flight < hub->connects_max - hub->connects_max / 4)
		return list_entry(hub->waiting_suspects.next, struct link, waiting);
	return NULL;
}

static void connect_waiting(struct link_hub *hub)
{
	struct link *link;

	for (uint32_t n = 0; n < hub->connects_per_turn && (link = next_waiting(hub)); n++) {
		list_remove(&link->waiting);
		/* The link has waited until its breaker lets this one through as a probe; that its timer may have rung a little
		 * early changes nothing. */
		breaker_allow(&link->breaker, UINT64_MAX);
		link->holds_slot = true;
		link->holds_suspect_slot = link->suspect;
		hub->connects_in_flight++;
		hub->suspects_in_flight += link->suspect;
		link_connect(link);
	}
}

/* Handles each link of `from` once; what is added meanwhile waits for the next turn. */
static void each_once(struct list *from, void (*handle)(struct link *link), size_t offset)
{
	struct list now;

	if (list_empty(from))
		return;
	now = *from;
	now.next->prev = now.prev->next = &now;
	list_init(from);
	while (!list_empty(&now)) {
		struct list *node = now.next;
		list_remove(node);
		handle((struct link *)(void *)((char *)node - offset));
	}
}

static void on_prepare(struct ev_loop *loop, ev_prepare *prepare, int events)
{
	(void)events;
	struct link_hub *hub = prepare->data;

	each_once(&hub->deferred, link_deferred, offsetof(struct link, deferred));
	connect_waiting(hub);
	each_once(&hub->dirty, link_flush, offsetof(struct link, dirty));
	bool more = !list_empty(&hub->deferred) || !list_empty(&hub->dirty) ||
	            next_waiting(hub);
	if (more && !ev_is_active(&hub->pace)) {
		ev_timer_set(&hub->pace, 0, 0);
		ev_timer_start(loop, &hub->pace);
	}
}

static void on_pace(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop, (void)timer, (void)events; /* it only keeps the loop from sleeping */
}

/* Random for the process: ids of an earlier run or of a neighbour never match (Q21). */
static void make_prefix(struct link_hub *hub, bool fixed)
{
	static const char alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789";
	uint64_t seed = UINT64_C(0x6A09E667F3BCC908);
	unsigned char bytes[10];

	if (!fixed && getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
		seed ^= clock_mono_ns();
	backoff_random_seed(&hub->random, seed);
	if (getrandom(bytes, sizeof bytes, GRND_NONBLOCK) != sizeof bytes)
		for (size_t i = 0; i < sizeof bytes; i++)
			bytes[i] = (unsigned char)(backoff_random_next(&hub->random) * 256);
	hub->prefix[0] = 'h';
	for (size_t i = 0; i < sizeof bytes; i++)
		hub->prefix[i + 1] = alphabet[bytes[i] % (sizeof alphabet - 1)];
	hub->prefix[sizeof bytes + 1] = '\0';
}

struct link_hub *link_hub_create(const struct link_hub_options *options, struct err *err)
{
	struct link_hub *hub = mem_zalloc(sizeof *hub);

	hub->loop = options->loop;
	hub->metrics = options->metrics;
	hub->connects_max = options->connects_in_flight ? options->connects_in_flight : 1;
	hub->connects_per_turn = options->connects_per_turn ? options->connects_per_turn : 1;
	list_init(&hub->links);
	list_init(&hub->dirty);
	list_init(&hub->deferred);
	list_init(&hub->waiting);
	list_init(&hub->waiting_suspects);
	pool_init(&hub->pool);
	make_prefix(hub, options->rng_fixed);
	ev_prepare_init(&hub->prepare, on_prepare);
	hub->prepare.data = hub;
	/* Behind every other prepare watcher, so that what they send leaves in the same turn. */
	ev_set_priority(&hub->prepare, EV_MINPRI);
	ev_timer_init(&hub->pace, on_pace, 0, 0);
	hub->tls = tls_pool_create();
	hub->resolver = resolver_create(hub->loop, err);
	if (!hub->resolver || link_metrics_init(hub, err)) {
		resolver_destroy(&hub->resolver);
		tls_pool_destroy(&hub->tls);
		free(hub);
		return NULL;
	}
	/* OpenSSL writes to sockets without MSG_NOSIGNAL. */
	signal(SIGPIPE, SIG_IGN);
	ev_prepare_start(hub->loop, &hub->prepare);
	return hub;
}

void link_hub_destroy(struct link_hub **hub)
{
	if (!*hub)
		return;
	ev_prepare_stop((*hub)->loop, &(*hub)->prepare);
	ev_timer_stop((*hub)->loop, &(*hub)->pace);
	link_metrics_close(*hub);
	resolver_destroy(&(*hub)->resolver);
	tls_pool_destroy(&(*hub)->tls);
	pool_close(&(*hub)->pool);
	free(*hub);
	*hub = NULL;
}

void hub_add(struct link *link)
{
	list_append(&link->hub->links, &link->hub_node);
	link_metrics_add(link);
}

void hub_remove(struct link *link)
{
	bool known = !list_empty(&link->hub_node);

	list_remove(&link->hub_node);
	list_remove(&link->dirty);
	list_remove(&link->deferred);
	list_remove(&link->waiting);
	hub_release_slot(link);
	if (known)
		link_metrics_remove(link);
}

void hub_want_connect(struct link *link)
{
	if (list_empty(&link->waiting))
		list_append(link->suspect ? &link->hub->waiting_suspects : &link->hub->waiting, &link->waiting);
}

void hub_release_slot(struct link *link)
{
	if (link->holds_slot) {
		link->hub->connects_in_flight--;
		link->hub->suspects_in_flight -= link->holds_suspect_slot;
	}
	link->holds_slot = link->holds_suspect_slot = false;
}

void hub_mark_dirty(struct link *link)
{
	if (list_empty(&link->dirty))
		list_append(&link->hub->dirty, &link->dirty);
}

void hub_defer(struct link *link)
{
	if (list_empty(&link->deferred))
		list_append(&link->hub->deferred, &link->deferred);
}
