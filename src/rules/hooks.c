#include "rules/hooks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "observe/log.h"
#include "rules/api/api.h"
#include "rules/order.h"
#include "rules/state.h"

/* ---- endpoints ---- */

void hook_free(struct hook *hook)
{
	list_remove(&hook->of_rule);
	list_remove(&hook->in_host);
	free(hook->key);
	free(hook->token);
	free(hook->hmac.header);
	mem_free_secret(&hook->hmac.secret);
	free(hook->hmac.prefix);
	free(hook);
}

static size_t size_of(const struct hook *hook)
{
	return sizeof *hook + strlen(hook->key) + 256;
}

bool hook_add(struct rule *rule, struct hook *hook)
{
	list_init(&hook->of_rule);
	list_init(&hook->in_host);
	hook->rule = rule;
	if (!rule_charge(rule, size_of(hook))) {
		hook_free(hook);
		return false;
	}
	list_append(&rule->hooks, &hook->of_rule);
	return true;
}

void hooks_free(struct rule *rule)
{
	list_each_safe(it, &rule->hooks) {
		struct hook *hook = list_entry(it, struct hook, of_rule);
		rule_credit(rule, size_of(hook));
		hook_free(hook);
	}
}

void hooks_arm(struct rule *rule)
{
	list_each(it, &rule->hooks)
		list_append(&rule->host->hooks, &list_entry(it, struct hook, of_rule)->in_host);
}

void hooks_quit(struct rule *rule)
{
	list_each(it, &rule->hooks)
		list_remove(&list_entry(it, struct hook, of_rule)->in_host);
}

static struct hook *find_hook(const struct host *host, struct slice key)
{
	list_each(it, &host->hooks) {
		struct hook *hook = list_entry(it, struct hook, in_host);
		if (slice_eq(slice_cstr(hook->key), key))
			return hook;
	}
	return NULL;
}

static bool takes_requests(const struct rule *rule)
{
	const struct quarantine *q = &rule->quarantine;
	return !rule->dead && !rule->disabled && !(q->active && rule->host->ops.now(rule->host->ctx) < q->until);
}

/* A rule without a state serves it once it has begun anew; what it asks of its clients is known meanwhile. */
static bool find_down(const struct host *host, struct slice key, struct host_hook_view *out)
{
	for (size_t i = 0; i < host->rule_count; i++) {
		const struct source_hook *hook = host->rules[i]->down ? rule_source_hook(host->rules[i]->source, key) : NULL;
		if (!hook)
			continue;
		*out = (struct host_hook_view){ .rule = host->rules[i]->name, .token = hook->token, .hmac_header = hook->header, .hmac_secret = hook->secret,
		                                .hmac_prefix = hook->prefix };
		return true;
	}
	return false;
}

static struct slice path_of(const char *key)
{
	return slice_cstr(strchr(key, ' ') + 1);
}

enum host_hook_state host_hook_find(const struct host *host, struct slice method, struct slice path, struct host_hook_view *out)
{
	char key[HOST_HOOK_KEY_MAX + 1];
	int n = snprintf(key, sizeof key, "%.*s %.*s", SLICE_ARG(method), SLICE_ARG(path));

	*out = (struct host_hook_view){ .rule = NULL };
	if (n < 0 || (size_t)n >= sizeof key)
		return HOST_HOOK_NONE;
	const struct hook *hook = find_hook(host, slice_make(key, (size_t)n));
	if (hook) {
		*out = (struct host_hook_view){ .rule = hook->rule->name, .token = hook->token, .hmac_header = hook->hmac.header,
		                                .hmac_secret = hook->hmac.secret, .hmac_prefix = hook->hmac.prefix, .json = hook->json };
		return takes_requests(hook->rule) ? HOST_HOOK_SERVED : HOST_HOOK_DOWN;
	}
	if (find_down(host, slice_make(key, (size_t)n), out))
		return HOST_HOOK_DOWN;
	size_t used = 0;
	list_each(it, &host->hooks) {
		const char *other = list_entry(it, const struct hook, in_host)->key;
		if (slice_eq(path_of(other), path) && used < sizeof out->methods)
			used += (size_t)snprintf(out->methods + used, sizeof out->methods - used, "%s%.*s", used ? ", " : "", (int)strcspn(other, " "), other);
	}
	return used ? HOST_HOOK_METHOD : HOST_HOOK_NONE;
}

/* ---- requests ---- */

static void call_free(struct hook_call *call)
{
	list_remove(&call->in_host);
	if (call->task)
		call->task->hook = NULL;
	value_close(&call->request);
	buf_close(&call->body);
	buf_close(&call->headers);
	free(call->key);
	free(call);
}

static void answer(struct hook_call *call, const struct host_hook_answer *what)
{
	host_hook_done_fn *done = call->done;

	call->done = NULL;
	if (done)
		done(call->ctx, what);
	call_free(call);
}

static void refuse(struct hook_call *call, const char *reason)
{
	log_write(LOG_WARN, "web endpoint does not answer", F_TEXT("endpoint", call->key), F_TEXT("reason", reason));
	answer(call, &(struct host_hook_answer){ .status = 503, .error = reason });
}

struct hook_call *host_hook_begin(struct host *host, struct slice method, struct slice path, struct value *request, host_hook_done_fn *done, void *ctx)
{
	struct hook_call *call = mem_zalloc(sizeof *call);

	call->key = mem_printf("%.*s %.*s", SLICE_ARG(method), SLICE_ARG(path));
	call->request = *request;
	*request = (struct value){ .type = VALUE_NIL };
	snprintf(call->id, sizeof call->id, "%08" PRIx64, ++host->hook_number);
	call->done = done;
	call->ctx = ctx;
	buf_init(&call->body, 0);
	buf_init(&call->headers, 0);
	list_append(&host->hook_calls, &call->in_host);
	return call;
}

void host_hook_forget(struct hook_call *call)
{
	call->done = NULL;
}

/* False: in the next turn. */
static bool begin(struct host *host, struct list *node)
{
	struct hook_call *call = list_entry(node, struct hook_call, in_host);
	struct hook *hook = find_hook(host, slice_cstr(call->key));
	struct rule *rule = hook ? hook->rule : NULL;

	if (!call->done) { /* its client is gone */
		call_free(call);
		return true;
	}
	if (!rule || !takes_requests(rule)) {
		refuse(call, !rule ? "no rule serves it now" : rule->disabled ? "its rule is disabled" : rule->dead ? "its rule was killed" : "its rule is quarantined");
		return true;
	}
	if (!rule_may_run(rule))
		return false;
	if (rule->waiting >= rule->limits.waiting) {
		refuse(call, "too many calls of its rule wait (limits.waiting)");
		return true;
	}
	size_t size = value_size(&call->request);
	struct task *task = rule_charge(rule, size) ? task_take(rule, "endpoint") : NULL;
	rule_credit(rule, size); /* the copy in Lua counts by itself */
	if (!task) {
		refuse(call, "its rule has no memory left (limits.rule_memory)");
		return true;
	}
	slice_to_text(slice_cstr(call->key), task->event, sizeof task->event);
	snprintf(task->action_id, sizeof task->action_id, "%s", call->id);
	list_remove(&call->in_host);
	list_append(&rule->hook_calls, &call->in_host);
	call->task = task;
	task->hook = call;
	task_start(task, web_push_call, &hook->fn);
	return true;
}

static struct rule *rule_of_call(const struct host *host, struct list *node)
{
	const struct hook *hook = find_hook(host, slice_cstr(list_entry(node, struct hook_call, in_host)->key));
	return hook ? hook->rule : NULL;
}

bool hooks_turn(struct host *host)
{
	return order_serve_list(host, &host->hook_calls, &(const struct order_list){ rule_of_call, begin });
}

void hook_ended(struct task *task)
{
	struct hook_call *call = task->hook;

	if (task->outcome == OUTCOME_OK && call->answered)
		answer(call, &call->answer);
	else
		answer(call, &(struct host_hook_answer){ .status = 500, .error = "the rule has failed", .id = call->id });
}

void hook_released(struct task *task)
{
	refuse(task->hook, "newer rules were loaded, or the engine stops");
}

void hooks_detach(struct rule *rule)
{
	hooks_quit(rule);
	list_each_safe(it, &rule->hook_calls)
		refuse(list_entry(it, struct hook_call, in_host), "its rule is gone");
}

void hooks_drop(struct host *host)
{
	list_each_safe(it, &host->hook_calls)
		call_free(list_entry(it, struct hook_call, in_host));
}
