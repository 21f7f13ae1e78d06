/* One event to the listeners and subscriptions that hear it. */
#include <stdlib.h>

#include "base/mem.h"
#include "rules/api/api.h"
#include "rules/listener_internal.h"
#include "rules/order.h"
#include "rules/subscription.h"
#include "rules/task.h"
#include "sandbox/deadline.h"

struct dispatch {
	struct host *host;
	const struct heard *heard;
	struct listener *listener;
	bool shared; /* the rule has another listener that may want this event */
	struct rule *made; /* for whom the event object in slot 1 of its stack was made, the server in slot 2 */
};

/* The slots must not keep the event alive. */
static void clear_slots(struct dispatch *d)
{
	struct rule *made = d->made;
	d->made = NULL;
	if (!made || made->closing)
		return;
	lua_State *L = made->L;
	lua_pushnil(L);
	lua_replace(L, 1);
	lua_pushnil(L);
	lua_replace(L, 2);
}

/* Makes the objects of this event on the rule's first call, shares them with its next ones. */
static void push_event(lua_State *co, struct dispatch *d)
{
	struct rule *rule = d->listener->rule;
	lua_State *L = rule->L;
	if (d->made == rule) {
		lua_pushvalue(L, 1);
		lua_pushvalue(L, 2);
		lua_xmove(L, co, 2);
		return;
	}
	event_push(co, rule, d->heard->message, d->heard->at);
	if (d->heard->server)
		server_push(co, rule, d->heard->server->id, slice_cstr(d->heard->server->name));
	else
		lua_pushnil(co);
	if (!d->shared)
		return; /* nobody else can want them */
	lua_pushvalue(co, -2);
	lua_pushvalue(co, -2);
	lua_xmove(co, L, 2);
	lua_replace(L, 2);
	lua_replace(L, 1);
	d->made = rule;
}

static int push_call(lua_State *co, struct task *task, void *arg)
{
	(void)task;
	struct dispatch *d = arg;
	lua_rawgeti(co, LUA_REGISTRYINDEX, d->listener->fn);
	push_event(co, d);
	return 2;
}

/* The rule itself hears of it too. */
static void note_gap(const struct dispatch *d, struct rule *rule, const char *reason)
{
	rule->gap++;
	d->host->gaps = true;
	rule_skips(rule, d->heard, reason);
}

static void call_listener(struct dispatch *d, struct listener *l)
{
	struct rule *rule = l->rule;
	if (rule->disabled) {
		rule->missed++; /* as was asked for: reported when it is enabled again */
		return;
	}
	if (!rule_may_run(rule) || (l->quarantine.active && rule_now(rule) < l->quarantine.until)) {
		note_gap(d, rule, rule->quarantine.active || l->quarantine.active ? "quarantine" : "deadline");
		return;
	}
	if (rule->waiting >= rule->limits.waiting) {
		note_gap(d, rule, "waiting");
		return;
	}
	struct task *task = task_take(rule, "listener");
	if (!task)
		return;
	task->listener = l;
	listener_begin(l);
	slice_to_text(d->heard->message->name, task->event, sizeof task->event);
	if (d->heard->server)
		slice_to_text(slice_cstr(d->heard->server->name), task->server, sizeof task->server);
	d->listener = l;
	if (l->once)
		listener_cancel(l);
	task_start(task, push_call, d);
}

/* Its filters have had their share of this turn: what it might have wanted is reported once for each event. */
static void leave_untested(const struct dispatch *d, struct rule *rule)
{
	if (rule->turn.untested == d->host->listeners.dispatches)
		return;
	rule->turn.untested = d->host->listeners.dispatches;
	note_gap(d, rule, "filters");
}

static bool wanted(struct listener *l, const struct dispatch *d, const volatile unsigned *ticks)
{
	const struct heard *heard = d->heard;
	const struct filter *f = &l->filter;
	struct rule *rule = l->rule;
	if (f->server_count == 0 && f->set_count == 0)
		return true;
	if (f->server_count > 0 && !heard->server)
		return false;
	if (rule_filters_spent(rule)) {
		leave_untested(d, rule);
		return false;
	}
	size_t steps = FILTER_STEPS_MAX;
	unsigned began = *ticks;
	bool passes = (f->server_count == 0 || filter_server_passes(f, slice_cstr(heard->server->name), &steps)) &&
	              filter_headers_pass(f, heard->message, &steps);
	if (steps == 0 || *ticks != began)
		rule_filtered(rule, *ticks - began, steps == 0);
	if (steps == 0)
		leave_untested(d, rule);
	return passes;
}

/* Who hears it, merged; NULL: nobody. */
static struct bucket *find_bucket(struct listener_table *t, const struct heard *heard)
{
	struct bucket *b = map_get(heard->own ? &t->own_names : &t->ami_names, heard->message->name);
	if (!b)
		b = heard->own ? NULL : t->any;
	if (b && t->dispatching == 0 && (b->dirty || (!heard->own && b->any_version != t->any_version)))
		listener_bucket_merge(t, b);
	return b;
}

static int compare_rules(const void *left, const void *right)
{
	uintptr_t a = (uintptr_t)((const struct share *)left)->rule, b = (uintptr_t)((const struct share *)right)->rule;
	return (a > b) - (a < b);
}

/* By rule, and within one as they stand in `merged`. */
static int compare_places(const void *left, const void *right)
{
	const struct share *a = left, *b = right;
	int order = compare_rules(a, b);
	return order ? order : (a->first > b->first) - (a->first < b->first);
}

static void group_by_rule(struct bucket *b)
{
	uint32_t n = b->merged_count, shares = 0;
	if (b->share_count > 0 || n == 0)
		return;
	b->by_rule = mem_realloc(b->by_rule, n, sizeof *b->by_rule);
	b->shares = mem_realloc(b->shares, n, sizeof *b->shares);
	for (uint32_t i = 0; i < n; i++)
		b->shares[i] = (struct share){ .rule = b->merged[i]->rule, .first = i };
	qsort(b->shares, n, sizeof *b->shares, compare_places);
	for (uint32_t i = 0; i < n; i++) {
		const struct share place = b->shares[i];
		b->by_rule[i] = b->merged[place.first];
		if (shares == 0 || b->shares[shares - 1].rule != place.rule)
			b->shares[shares++] = (struct share){ .rule = place.rule, .first = i };
		b->shares[shares - 1].count++;
	}
	b->share_count = shares;
}

/* The rule's own listeners: with many rules that lag, each event would walk all of them for each rule. */
static struct listener **of_rule(struct bucket *b, const struct rule *rule, uint32_t *count)
{
	group_by_rule(b);
	const struct share key = { .rule = rule }, *share = NULL;
	if (b->share_count > 0)
		share = bsearch(&key, b->shares, b->share_count, sizeof *b->shares, compare_rules);
	*count = share ? share->count : 0;
	return share ? b->by_rule + share->first : NULL;
}

/* Whether the rule takes the event now: decided once for each event, at the rule's first listener. */
static bool takes_now(const struct dispatch *d, struct rule *rule)
{
	const struct heard *heard = d->heard;
	uint64_t number = d->host->listeners.dispatches;

	if (!heard->late || rule->turn.asked == number)
		return !heard->late || rule->turn.takes;
	rule->turn.asked = number;
	rule->turn.takes = !heard->held && order_is_free(rule, heard->feed) && !order_is_spent(d->host);
	if (!rule->turn.takes)
		heard->late(heard->late_ctx, rule);
	return rule->turn.takes;
}

/* The listeners of a rule that was replaced hear what had arrived by then, its subscriptions go on. */
static bool is_heard(const struct dispatch *d, const struct listener *l)
{
	return !l->rule->draining || l->subscription || (d->heard->pending && !l->rule->ending);
}

static bool give(struct dispatch *d, struct listener *l, bool shared, const volatile unsigned *ticks)
{
	if (d->made != l->rule)
		clear_slots(d);
	if (l->cancelled || l->rule->dead || !is_heard(d, l) || !takes_now(d, l->rule) || !wanted(l, d, ticks))
		return false;
	d->shared = shared;
	if (l->subscription)
		subscription_take(l->subscription, d->heard);
	else
		call_listener(d, l);
	return true;
}

bool listeners_dispatch(struct host *host, const struct heard *heard)
{
	struct listener_table *t = &host->listeners;
	if (!list_empty(&t->dead))
		listeners_sweep(host);
	struct bucket *b = find_bucket(t, heard);
	if (!b)
		return false;

	struct dispatch d = { .host = host, .heard = heard };
	const volatile unsigned *ticks = deadline_ticks();
	struct listener **list = b->merged;
	uint32_t count = b->merged_count;
	bool any = false;
	if (heard->only)
		list = of_rule(b, heard->only, &count);
	t->dispatching++;
	t->dispatches++;
	for (uint32_t i = 0; i < count; i++) {
		struct listener *l = list[i];
		any |= give(&d, l, i + 1 < count && list[i + 1]->rule == l->rule, ticks);
	}
	clear_slots(&d);
	t->dispatching--;
	return any;
}
