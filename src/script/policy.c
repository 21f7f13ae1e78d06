#include "script/policy.h"

#include <stdlib.h>

#include "ami/catalogue.h"
#include "base/map.h"
#include "base/mem.h"

/* Keys are "rule\nname", rule "*" for all; a newline stands in neither. */
struct policy {
	struct map allow, deny, originate;
};

struct policy *policy_create(void)
{
	struct policy *p = mem_alloc(sizeof *p);
	map_init(&p->allow, true);
	map_init(&p->deny, true);
	map_init(&p->originate, true);
	return p;
}

void policy_destroy(struct policy **policy)
{
	if (!*policy)
		return;
	map_close(&(*policy)->allow);
	map_close(&(*policy)->deny);
	map_close(&(*policy)->originate);
	free(*policy);
	*policy = NULL;
}

static void add(struct map *map, const char *rule, const char *name)
{
	char *key = mem_printf("%s\n%s", rule, name);
	map_set(map, slice_cstr(key), map);
	free(key);
}

void policy_allow(struct policy *policy, const char *rule, const char *action)
{
	add(&policy->allow, rule, action);
}

void policy_deny(struct policy *policy, const char *rule, const char *action)
{
	add(&policy->deny, rule, action);
}

void policy_originate(struct policy *policy, const char *rule, const char *application)
{
	add(&policy->originate, rule, application);
}

static bool has_key(const struct map *map, const char *rule, struct slice name)
{
	char *key = mem_printf("%s\n%.*s", rule, SLICE_ARG(name));
	bool found = map_get(map, slice_cstr(key)) != NULL;
	free(key);
	return found;
}

/* Named for this rule or for all, by its own name or by "*". */
static bool listed(const struct map *map, const char *rule, struct slice name)
{
	return map->count > 0 && (has_key(map, rule, name) || has_key(map, "*", name) || has_key(map, rule, SLICE("*")) ||
	                          has_key(map, "*", SLICE("*")));
}

static int deny(struct err *err, const char *rule, struct slice name, const char *why)
{
	return err_set(err, ERR_DENIED, "%.*s %s; policy.rules[\"%s\"].allow = { \"%.*s\" } in the configuration would allow it",
	               SLICE_ARG(name), why, rule, SLICE_ARG(name));
}

/* The part of a header's value that names variables: `A=1,FUNC(x)=2` or `A,FUNC(x)`. */
static bool variables_harmless(struct slice value)
{
	size_t start = 0;
	unsigned depth = 0;
	for (size_t i = 0; i <= value.len; i++) {
		char c = i < value.len ? value.ptr[i] : ',';
		if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		if ((c != ',' || depth > 0) && i < value.len)
			continue;
		struct slice part = { value.ptr + start, i - start };
		const char *equals = memchr(part.ptr, '=', part.len);
		/* `a(b=c)`: the name ends at an equals sign outside of its parentheses. */
		const char *close = equals ? memrchr(part.ptr, ')', part.len) : NULL;
		if (equals && !(close && close > equals && memchr(part.ptr, '(', (size_t)(equals - part.ptr))))
			part.len = (size_t)(equals - part.ptr);
		if (!catalogue_function_harmless(slice_trim(part)))
			return false;
		start = i + 1;
	}
	return true;
}

static int check_functions(const char *rule, const struct action *action, struct slice name, struct err *err)
{
	for (uint32_t i = 0; i < action->count; i++) {
		struct slice header = action_field_name(action, i);
		if (!slice_eq_nocase(header, SLICE("Variable")) && !slice_eq_nocase(header, SLICE("Variables")))
			continue;
		if (!variables_harmless(action_field_value(action, i)))
			return deny(err, rule, name, "of this dialplan function can reach files, shell or configuration");
	}
	return 0;
}

int policy_check(const struct policy *policy, const char *rule, const struct action *action, struct err *err)
{
	struct slice name = { "", 0 }, value;
	action_get(action, SLICE("Action"), &name);
	const struct action_info *info = catalogue_action(name);
	unsigned flags = info ? info->flags : 0;

	if (flags & ACTION_OWN)
		return err_set(err, ERR_DENIED, "%.*s is the engine's own action: the session belongs to all rules", SLICE_ARG(name));
	if (policy && listed(&policy->deny, rule, name))
		return err_set(err, ERR_DENIED, "%.*s is denied by the configuration (policy.deny)", SLICE_ARG(name));
	bool allowed = policy && listed(&policy->allow, rule, name);
	if (slice_eq_nocase(name, SLICE("Originate")) && action_get(action, SLICE("Application"), &value)) {
		if (!policy || !listed(&policy->originate, rule, value))
			return err_set(err, ERR_DENIED, "Originate with Application %.*s runs dialplan code; policy.rules[\"%s\"].originate = "
			               "{ \"%.*s\" } in the configuration would allow it", SLICE_ARG(value), rule, SLICE_ARG(value));
	}
	if (allowed)
		return 0;
	if (!info) {
		const char *nearest = catalogue_nearest_action(name);
		return err_set(err, ERR_DENIED, "%.*s is no action that the catalogue knows%s%s%s; policy.rules[\"%s\"].allow = { \"%.*s\" } in "
		               "the configuration would allow it", SLICE_ARG(name), nearest ? " (did you mean " : "", nearest ? nearest : "",
		               nearest ? "?)" : "", rule, SLICE_ARG(name));
	}
	if (flags & ACTION_GUARDED)
		return deny(err, rule, name, "reaches files, shell, modules, dialplan code or configuration");
	if (slice_eq_nocase(name, SLICE("MixMonitor")) && action_get(action, SLICE("Command"), &value))
		return deny(err, rule, name, "with Command runs a shell command");
	return flags & ACTION_FUNCTIONS ? check_functions(rule, action, name, err) : 0;
}
