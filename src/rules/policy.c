#include "rules/policy.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ami/catalogue.h"
#include "base/map.h"
#include "base/mem.h"

/* Keys are "rule\nname", rule "*" for all; a newline stands in neither. */
struct policy {
	atomic_uint holders;
	const char *section; /* NULL: policy.rules */
	struct map allow, deny, originate;
};

struct policy *policy_create(void)
{
	struct policy *p = mem_zalloc(sizeof *p);
	atomic_init(&p->holders, 1);
	map_init(&p->allow, true);
	map_init(&p->deny, true);
	map_init(&p->originate, true);
	return p;
}

struct policy *policy_ref(struct policy *policy)
{
	atomic_fetch_add(&policy->holders, 1);
	return policy;
}

void policy_unref(struct policy **policy)
{
	struct policy *p = *policy;
	*policy = NULL;
	if (!p || atomic_fetch_sub(&p->holders, 1) > 1)
		return;
	map_close(&p->allow);
	map_close(&p->deny);
	map_close(&p->originate);
	free(p);
}

/* Whether every key of `a` that speaks of `rule` stands in `b` too. */
static bool contains(const struct map *b, const struct map *a, const char *rule)
{
	size_t len = strlen(rule);
	const struct map_entry *e;

	for (size_t i = 0; (e = map_next(a, &i));) {
		bool of_rule = e->key_len > len && e->key[len] == '\n' && strncasecmp(e->key, rule, len) == 0;
		bool of_all = e->key[0] == '*' && e->key[1] == '\n';
		if ((of_rule || of_all) && !map_get(b, slice_make(e->key, e->key_len)))
			return false;
	}
	return true;
}

bool policy_equal(const struct policy *a, const struct policy *b, const char *rule)
{
	static const struct policy nothing = { .holders = 1 };
	a = a ? a : &nothing;
	b = b ? b : &nothing;
	const struct map *const of_a[] = { &a->allow, &a->deny, &a->originate }, *const of_b[] = { &b->allow, &b->deny, &b->originate };
	for (size_t i = 0; i < 3; i++)
		if (!contains(of_b[i], of_a[i], rule) || !contains(of_a[i], of_b[i], rule))
			return false;
	return true;
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

void policy_section(struct policy *policy, const char *section)
{
	policy->section = section;
}

struct place {
	char text[96];
};

/* Where the configuration would allow it. */
static struct place place_of(const struct policy *policy, const char *rule)
{
	struct place place;
	if (policy && policy->section)
		snprintf(place.text, sizeof place.text, "%s", policy->section);
	else
		snprintf(place.text, sizeof place.text, "policy.rules[\"%.64s\"]", rule);
	return place;
}

static int deny(struct err *err, const struct policy *policy, const char *rule, struct slice name, const char *why)
{
	return err_set(err, ERR_DENIED, "%.*s %s; %s.allow = { \"%.*s\" } in the configuration would allow it",
	               SLICE_ARG(name), why, place_of(policy, rule).text, SLICE_ARG(name));
}

/* What of `NAME` or `NAME=value` is the name: Asterisk ends it at the first equals sign. */
static bool variable_harmless(struct slice variable)
{
	const char *equals = memchr(variable.ptr, '=', variable.len);
	if (equals)
		variable.len = (size_t)(equals - variable.ptr);
	return catalogue_function_harmless(slice_trim(variable));
}

/* A list such as `A=1,FUNC(x)=2`. A backslash takes the next byte out of the syntax, as in Asterisk. There brackets and quotes
 * hold commas together; here they do not, so that no odd one hides what stands behind it. */
static bool variables_harmless(struct slice list)
{
	size_t start = 0;
	for (size_t i = 0; i < list.len; i++) {
		if (list.ptr[i] == '\\') {
			i++;
		} else if (list.ptr[i] == ',') {
			if (!variable_harmless(slice_make(list.ptr + start, i - start)))
				return false;
			start = i + 1;
		}
	}
	return variable_harmless(slice_make(list.ptr + start, list.len - start));
}

static int check_functions(const struct policy *policy, const char *rule, const struct action *action, struct slice name, struct err *err)
{
	/* There the whole value is one name. */
	bool one = slice_eq_nocase(name, SLICE("Getvar")) || slice_eq_nocase(name, SLICE("Setvar"));
	for (uint32_t i = 0; i < action->count; i++) {
		struct slice header = action_field_name(action, i), value = action_field_value(action, i);
		if (!slice_eq_nocase(header, SLICE("Variable")) && !slice_eq_nocase(header, SLICE("Variables")))
			continue;
		if (one ? !catalogue_function_harmless(slice_trim(value)) : !variables_harmless(value))
			return deny(err, policy, rule, name, "of this variable or dialplan function can reach files, shell or configuration");
	}
	return 0;
}

/* Asterisk joins File, Options and Command by commas to one line, and takes it apart again. */
static bool runs_command(const struct action *action)
{
	for (uint32_t i = 0; i < action->count; i++) {
		struct slice header = action_field_name(action, i), value = action_field_value(action, i);
		bool joined = slice_eq_nocase(header, SLICE("File")) || slice_eq_nocase(header, SLICE("Options"));
		if (slice_eq_nocase(header, SLICE("Command")) || (joined && memchr(value.ptr, ',', value.len)))
			return true;
	}
	return false;
}

static int check_application(const struct policy *policy, const char *rule, const struct action *action, struct err *err)
{
	for (uint32_t i = 0; i < action->count; i++) {
		struct slice value = action_field_value(action, i);
		if (slice_eq_nocase(action_field_name(action, i), SLICE("Application")) && !(policy && listed(&policy->originate, rule, value)))
			return err_set(err, ERR_DENIED, "Originate with Application %.*s runs dialplan code; %s.originate = "
			               "{ \"%.*s\" } in the configuration would allow it", SLICE_ARG(value), place_of(policy, rule).text, SLICE_ARG(value));
	}
	return 0;
}

int policy_check(const struct policy *policy, const char *rule, const struct action *action, struct err *err)
{
	struct slice name = action_name(action);
	const struct action_info *info = action->info;
	unsigned flags = info ? info->flags : 0;

	if (flags & ACTION_OWN)
		return err_set(err, ERR_DENIED, "%.*s is the engine's own action: the session belongs to all rules", SLICE_ARG(name));
	if (policy && listed(&policy->deny, rule, name))
		return err_set(err, ERR_DENIED, "%.*s is denied by the configuration (policy.deny)", SLICE_ARG(name));
	bool allowed = policy && listed(&policy->allow, rule, name);
	if (slice_eq_nocase(name, SLICE("Originate")) && check_application(policy, rule, action, err))
		return -1;
	if (allowed)
		return 0;
	if (!info) {
		const char *nearest = catalogue_nearest_action(name);
		return err_set(err, ERR_DENIED, "%.*s is no action that the catalogue knows%s%s%s; %s.allow = { \"%.*s\" } in "
		               "the configuration would allow it", SLICE_ARG(name), nearest ? " (did you mean " : "", nearest ? nearest : "",
		               nearest ? "?)" : "", place_of(policy, rule).text, SLICE_ARG(name));
	}
	if (flags & ACTION_GUARDED)
		return deny(err, policy, rule, name, "reaches files, shell, modules, dialplan code or configuration");
	if (slice_eq_nocase(name, SLICE("MixMonitor")) && runs_command(action))
		return deny(err, policy, rule, name, "with Command, or with a comma in File or Options, runs a shell command");
	return flags & ACTION_FUNCTIONS ? check_functions(policy, rule, action, name, err) : 0;
}
