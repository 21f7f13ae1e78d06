#include "engine/headers.h"

#include "observe/redact.h"

uint32_t headers_count(const struct headers *headers)
{
	return headers->message ? headers->message->header_count : headers->action->count;
}

struct slice headers_name(const struct headers *headers, uint32_t i)
{
	return headers->message ? message_header_name(headers->message, i) : action_field_name(headers->action, i);
}

struct slice headers_value(const struct headers *headers, uint32_t i)
{
	return headers->message ? message_header_value(headers->message, i) : action_field_value(headers->action, i);
}

bool headers_match(const struct headers *headers, struct slice name, struct slice pattern)
{
	for (uint32_t i = 0; i < headers_count(headers); i++)
		if (slice_eq_nocase(headers_name(headers, i), name) && slice_glob(pattern, headers_value(headers, i)))
			return true;
	return false;
}

/* `A=1,password=2`: true when any of its names is a secret's. */
static bool names_secret(struct slice value)
{
	while (value.len > 0) {
		const char *comma = memchr(value.ptr, ',', value.len);
		size_t part = comma ? (size_t)(comma - value.ptr) : value.len;
		const char *equals = memchr(value.ptr, '=', part);
		if (equals && redact_name(slice_trim(slice_make(value.ptr, (size_t)(equals - value.ptr)))))
			return true;
		value = slice_make(value.ptr + part + (comma != NULL), value.len - part - (comma != NULL));
	}
	return false;
}

static bool is_variables(struct slice name)
{
	return slice_eq_nocase(name, SLICE("Variable")) || slice_eq_nocase(name, SLICE("Variables")) ||
	       slice_starts_with_nocase(name, SLICE("ChanVariable"));
}

/* Learns from a header that is not masked itself. */
static void note(struct header_context *context, struct slice name, struct slice value)
{
	if (slice_eq_nocase(name, SLICE("Action")) || slice_eq_nocase(name, SLICE("Event")))
		context->database = slice_starts_with_nocase(value, SLICE("DB"));
	else if (slice_eq_nocase(name, SLICE("Variable")) ||
	         (context->database && (slice_eq_nocase(name, SLICE("Family")) || slice_eq_nocase(name, SLICE("Key")))))
		context->named |= redact_name(value);
}

bool header_is_entry(const struct header_context *context, struct slice name)
{
	return context->database && slice_eq_nocase(name, SLICE("Key")) && !redact_name_configured(name);
}

bool header_is_secret(struct header_context *context, struct slice name, struct slice value)
{
	bool entry = header_is_entry(context, name);

	note(context, name, value);
	if (!entry && redact_name(name))
		return true;
	if (context->named && (slice_eq_nocase(name, SLICE("Value")) || slice_eq_nocase(name, SLICE("Val"))))
		return true;
	return is_variables(name) && names_secret(value);
}

struct slice headers_masked(const struct headers *headers, uint32_t i)
{
	struct header_context context = { 0 };
	struct slice name = headers_name(headers, i), value = headers_value(headers, i);
	/* An action's headers stand as its sender wrote them: what names the value may come behind it. */
	bool depends = slice_eq_nocase(name, SLICE("Value")) || slice_eq_nocase(name, SLICE("Val")) || slice_eq_nocase(name, SLICE("Key"));

	for (uint32_t k = 0; depends && k < headers_count(headers); k++)
		note(&context, headers_name(headers, k), headers_value(headers, k));
	return header_is_secret(&context, name, value) ? SLICE(REDACTED) : value;
}
