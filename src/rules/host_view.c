/* What the engine asks about rules, and steers of them, from outside. */
#include "rules/listener.h"
#include "rules/request.h"
#include "rules/state.h"

const char *host_tag_rule(const void *tag)
{
	const struct request *request = tag;
	return request->rule ? request->rule->name : "";
}

static struct rule *find_rule(const struct host *host, struct slice name)
{
	for (size_t i = 0; i < host->rule_count; i++)
		if (slice_eq(slice_cstr(host->rules[i]->name), name))
			return host->rules[i];
	return NULL;
}

int host_rule_enable(struct host *host, struct slice name, bool enable)
{
	struct rule *rule = find_rule(host, name);

	if (!rule)
		return -1;
	rule->disabled = !enable;
	if (enable && rule->missed > 0) {
		rule->gap += rule->missed;
		rule->missed = 0;
		rule_report_gap(rule, "disabled");
	}
	return 0;
}

void host_view(const struct host *host, struct host_view *out)
{
	struct rule *rule;

	*out = (struct host_view){ .generation = host->last_number, .since = host->since, .rule_count = host->rule_count };
	list_each(it, &host->draining)
		out->draining_count++;
	host_each_rule(rule, host)
		out->memory += rule->arena.used;
}

static const struct rule *rule_at(const struct host *host, size_t index)
{
	struct rule *rule;
	host_each_rule(rule, host)
		if (index-- == 0)
			return rule;
	return NULL;
}

const char *host_busiest_rule(const struct host *host)
{
	const struct rule *rule, *busiest = NULL;
	host_each_rule(rule, host)
		if (rule->turn.turn == host->turn && (!busiest || rule->turn.calls > busiest->turn.calls))
			busiest = rule;
	return busiest ? busiest->name : NULL;
}

/* Epoch seconds of its next beginning. */
static double begins_at(const struct rule *r)
{
	uint64_t now = rule_now(r);
	return rule_wall(r) + (r->revival.at > now ? (double)(r->revival.at - now) / 1e9 : 0);
}

bool host_rule_view(const struct host *host, size_t index, struct host_rule_view *out)
{
	const struct rule *r = rule_at(host, index);
	if (!r)
		return false;
	*out = (struct host_rule_view){
		.name = r->name, .file = r->file, .digest = rule_source_digest(r->source), .listeners = r->listener_count, .timers = r->timer_count,
		.subscriptions = r->subscription_count, .waiting = r->waiting, .pending = r->pending, .calls = r->counts.calls,
		.errors = r->counts.errors, .deadlines = r->counts.deadlines, .refused = r->counts.refused,
		.seconds = r->counts.seconds, .memory = r->arena.used, .quarantined = r->quarantine.active,
		.failed = r->failed, .down = r->down, .begins_at = r->down ? begins_at(r) : 0, .quarantined_listeners = listeners_quarantined(r), .disabled = r->disabled, .missed = r->missed,
		.skipped = r->counts.skipped, .last_error = r->last_error ? r->last_error : "", .draining = index >= host->rule_count, .since = r->since,
		.number = r->number, .change = host_rule_change_name(r->change),
	};
	return true;
}

void host_rule_waits(const struct host *host, size_t index, unsigned most, void (*fn)(void *ctx, struct slice text), void *ctx)
{
	const struct rule *r = rule_at(host, index);
	struct buf text;

	if (!r)
		return;
	buf_init(&text, 0);
	list_each(it, &r->tasks) {
		const struct task *task = list_entry(it, struct task, of_rule);
		if (!task->wait)
			continue;
		if (most-- == 0)
			break;
		buf_clear(&text);
		const char *of = task->listener ? listener_label(task->listener) : task->event;
		task->wait->kind->describe(task->wait, &text);
		buf_printf(&text, " (%s%s%s)", task->what, *of ? " " : "", of);
		fn(ctx, buf_slice(&text));
	}
	buf_close(&text);
}
