#include "rules/http_call.h"

#include <stdlib.h>

#include "base/mem.h"
#include "observe/log.h"
#include "rules/order.h"
#include "rules/state.h"

/* Nobody waits for it any more. */
static void let_go(struct http_call *call)
{
	struct rule *rule = call->rule;

	if (!rule)
		return;
	if (!rule->closing)
		luaL_unref(rule->L, LUA_REGISTRYINDEX, call->fn);
	call->fn = LUA_NOREF;
	wait_end(&call->wait);
	list_remove(&call->of_rule);
	rule->http_call_count--;
	rule_credit(rule, call->charged);
	call->charged = 0;
	call->rule = NULL;
}

static void call_free(struct http_call *call)
{
	let_go(call);
	list_remove(&call->answered);
	http_response_free(&call->response);
	free(call->what);
	free(call);
}

void http_call_forget(struct http_call *call)
{
	if (call->response)
		call_free(call);
	else
		let_go(call); /* the answer frees it */
}

/* ---- waiting ---- */

static bool is_answered(const struct wait *wait)
{
	return wait_entry_const(wait, struct http_call, wait)->response != NULL;
}

static void cancel(struct wait *wait)
{
	http_call_forget(wait_entry(wait, struct http_call, wait));
}

static void describe(const struct wait *wait, struct buf *out)
{
	buf_printf(out, "the answer to %s", wait_entry_const(wait, struct http_call, wait)->what);
}

static const struct wait_kind answer_kind = { is_answered, cancel, describe };

/* ---- beginning ---- */

static void report_refusal(const struct http_call *call, const struct err *err)
{
	const struct rule *rule = call->rule;
	const struct slice labels[] = { slice_cstr(rule->name), slice_cstr(err_name(err->code)) };
	struct series *s = metric_series(rule->host->m.http_refused, labels, 2);

	if (s)
		s->value++;
	if (err->code != ERR_CANCELLED)
		log_write(LOG_WARN, "http request refused", F_TEXT("rule", rule->name), F_TEXT("request", call->what), F_TEXT("reason", err_name(err->code)),
		          F_TEXT("detail", err->text));
}

static int hand_over(struct http_call *call, const struct http_request *request, struct err *err)
{
	struct rule *rule = call->rule;
	const struct host *host = rule->host;
	size_t size = sizeof *call + http_request_size(request);

	if (http_request_check(request, err))
		return -1;
	if (rule->ending)
		return err_set(err, ERR_CANCELLED, "newer rules were loaded, or the engine stops");
	if (rule->http_call_count > rule->limits.http_pending)
		return err_set(err, ERR_BACKPRESSURE, "%u requests of this rule wait for their answers (limits.http_pending)", rule->http_call_count - 1);
	if (!rule_charge(rule, size))
		return err_set(err, ERR_BACKPRESSURE, "no memory left for another request (limits.rule_memory)");
	call->charged = size;
	return host->ops.http(host->ctx, rule->name, request, call, err);
}

static char *show(const struct http_request *request)
{
	struct buf text;

	buf_init(&text, 0);
	buf_printf(&text, "%s ", request->method);
	http_url_show(&text, buf_slice(&request->url));
	char *shown = mem_slicedup(buf_slice(&text));
	buf_close(&text);
	return shown;
}

int http_call_begin(struct rule *rule, const struct http_request *request, struct task *task, int fn, struct err *err)
{
	struct http_call *call = mem_zalloc(sizeof *call);

	call->rule = rule;
	call->fn = LUA_NOREF;
	call->what = show(request);
	list_init(&call->answered);
	list_append(&rule->http_calls, &call->of_rule);
	rule->http_call_count++;
	int rc = hand_over(call, request, err);
	if (rc)
		report_refusal(call, err);
	if (rc && (!task || (err->code != ERR_BACKPRESSURE && err->code != ERR_CANCELLED))) {
		call_free(call);
		return -1;
	}
	call->fn = fn;
	if (task)
		wait_begin(&call->wait, &answer_kind, task);
	if (rc) {
		call->response = http_response_failed(err->code, err->text);
		task_wake_later(task);
	}
	return 0;
}

/* ---- its end ---- */

/* What waits for a rule in C counts as its memory. */
static void charge_answer(struct http_call *call)
{
	size_t size = http_response_size(call->response);

	if (rule_charge(call->rule, size)) {
		call->charged += size;
		return;
	}
	http_response_free(&call->response);
	call->response = http_response_failed(ERR_OVERFLOW, "the rule has no memory left for the answer (limits.rule_memory)");
}

void host_http_complete(void *tag, struct http_response *response)
{
	struct http_call *call = tag;

	call->response = response;
	if (!call->rule) {
		call_free(call);
		return;
	}
	charge_answer(call);
	if (call->wait.task)
		task_wake_later(call->wait.task);
	else
		list_append(&call->rule->host->http_answers, &call->answered);
}

struct http_response *http_call_end(struct wait *wait)
{
	struct http_call *call = wait_entry(wait, struct http_call, wait);
	struct http_response *response = call->response;

	call->response = NULL;
	call_free(call);
	return response;
}

static int push_answer(lua_State *co, struct task *task, void *arg)
{
	const struct http_call *call = arg;
	lua_rawgeti(co, LUA_REGISTRYINDEX, call->fn);
	return http_push_response(co, task);
}

/* Calls it back with its answer. */
static void call_back(struct http_call *call)
{
	struct task *task = call->fn != LUA_NOREF ? task_take(call->rule, "http callback") : NULL;

	if (task) {
		slice_to_text(slice_cstr(call->what), task->event, sizeof task->event);
		task->response = call->response;
		call->response = NULL;
		task_start(task, push_answer, call);
	}
}

static struct rule *rule_of_answer(const struct host *host, struct list *node)
{
	(void)host;
	return list_entry(node, struct http_call, answered)->rule;
}

static bool serve_answer(struct host *host, struct list *node)
{
	struct http_call *call = list_entry(node, struct http_call, answered);
	(void)host;

	call_back(call);
	call_free(call);
	return true;
}

bool http_calls_deliver(struct host *host)
{
	return order_serve_list(host, &host->http_answers, &(const struct order_list){ rule_of_answer, serve_answer });
}

void http_call_cancel(struct http_call *call)
{
	bool done = call->response != NULL;

	if (!done)
		call->response = http_response_failed(ERR_CANCELLED, "newer rules were loaded, or the engine stops");
	call_back(call);
	http_response_free(&call->response);
	let_go(call);
	if (done)
		call_free(call); /* else the answer does it */
}
