#include "sandbox/pattern.h"

#include <ctype.h>

enum { POLL_STEPS = 4096 };

static const char *match(struct pattern *p, const char *s, const char *pat);

static const char *subject_end(const struct pattern *p)
{
	return p->subject.ptr + p->subject.len;
}

static const char *text_end(const struct pattern *p)
{
	return p->text.ptr + p->text.len;
}

static const char *fail(struct pattern *p, const char *text)
{
	p->error = text;
	return NULL;
}

static const char *fail_index(struct pattern *p, int index)
{
	p->error_index = index;
	return fail(p, "invalid capture index");
}

/* Pays for `n` steps; false when the budget is spent. */
static bool pay(struct pattern *p, size_t n)
{
	if (p->steps < n) {
		p->steps = 0;
		fail(p, "pattern too expensive (simplify it, or match a shorter text)");
		return false;
	}
	p->steps -= n;
	if (p->steps <= p->next_poll) {
		p->next_poll = p->steps > POLL_STEPS ? p->steps - POLL_STEPS : 0;
		if (p->poll)
			p->poll(p->ctx);
	}
	return true;
}

static bool class_has(unsigned char class, unsigned char c)
{
	int hit;

	switch (tolower(class)) {
	case 'a':
		hit = isalpha(c);
		break;
	case 'c':
		hit = iscntrl(c);
		break;
	case 'd':
		hit = isdigit(c);
		break;
	case 'g':
		hit = isgraph(c);
		break;
	case 'l':
		hit = islower(c);
		break;
	case 'p':
		hit = ispunct(c);
		break;
	case 's':
		hit = isspace(c);
		break;
	case 'u':
		hit = isupper(c);
		break;
	case 'w':
		hit = isalnum(c);
		break;
	case 'x':
		hit = isxdigit(c);
		break;
	case 'z': /* no longer in the manual, still in use */
		hit = c == 0;
		break;
	default:
		return class == c;
	}
	return isupper(class) ? !hit : hit != 0;
}

/* `set` is at '[', `close` at the ']' that ends it. */
static bool set_has(const char *set, const char *close, unsigned char c)
{
	bool wanted = true;
	const char *at = set + 1;

	if (at < close && *at == '^') {
		wanted = false;
		at++;
	}
	while (at < close) {
		if (*at == '%' && at + 1 < close) {
			if (class_has((unsigned char)at[1], c))
				return wanted;
			at += 2;
		} else if (close - at > 2 && at[1] == '-') {
			if ((unsigned char)at[0] <= c && c <= (unsigned char)at[2])
				return wanted;
			at += 3;
		} else {
			if ((unsigned char)*at == c)
				return wanted;
			at++;
		}
	}
	return !wanted;
}

/* One past the ']' of the set that begins at `pat`, or NULL. */
static const char *set_end(struct pattern *p, const char *pat)
{
	const char *end = text_end(p), *at = pat + 1;

	if (at < end && *at == '^')
		at++;
	/* A ']' in the first place stands for itself. */
	for (bool first = true; at < end; first = false) {
		if (*at == ']' && !first)
			return at + 1;
		at += *at == '%' && end - at > 1 ? 2 : 1;
	}
	return fail(p, "malformed pattern (missing ']')");
}

/* One past the single character class at `pat`, or NULL. */
static const char *single_end(struct pattern *p, const char *pat)
{
	if (*pat == '[')
		return set_end(p, pat);
	if (*pat != '%')
		return pat + 1;
	if (text_end(p) - pat < 2)
		return fail(p, "malformed pattern (ends with '%')");
	return pat + 2;
}

/* Whether the byte at `s`, if there is one, belongs to the single character class pat..end. */
static bool single_has(const struct pattern *p, const char *s, const char *pat, const char *end)
{
	if (s >= subject_end(p))
		return false;
	unsigned char c = (unsigned char)*s;
	switch (*pat) {
	case '.':
		return true;
	case '%':
		return class_has((unsigned char)pat[1], c);
	case '[':
		return set_has(pat, end - 1, c);
	default:
		return (unsigned char)*pat == c;
	}
}

static const char *descend(struct pattern *p, const char *s, const char *pat)
{
	if (p->depth == PATTERN_NESTING)
		return fail(p, "pattern too complex");
	p->depth++;
	const char *end = match(p, s, pat);
	p->depth--;
	return end;
}

/* "x*" from `s` on: as many as possible first. */
static const char *match_greedy(struct pattern *p, const char *s, const char *pat, const char *end)
{
	size_t cost = (size_t)(end - pat), count = 0;

	while (single_has(p, s + count, pat, end)) {
		if (!pay(p, cost))
			return NULL;
		count++;
	}
	for (;; count--) {
		const char *found = descend(p, s + count, end + 1);
		if (found || p->error)
			return found;
		if (count == 0)
			return NULL;
	}
}

/* "x-" from `s` on: as few as possible first. */
static const char *match_lazy(struct pattern *p, const char *s, const char *pat, const char *end)
{
	size_t cost = (size_t)(end - pat);

	for (;; s++) {
		const char *found = descend(p, s, end + 1);
		if (found || p->error)
			return found;
		if (!single_has(p, s, pat, end) || !pay(p, cost))
			return NULL;
	}
}

static const char *open_capture(struct pattern *p, const char *s, const char *pat)
{
	if (p->captures == PATTERN_CAPTURES)
		return fail(p, "too many captures");
	bool position = text_end(p) - pat > 1 && pat[1] == ')';
	p->capture[p->captures++] = (struct pattern_capture){ s, position ? PATTERN_POSITION : PATTERN_UNFINISHED };
	const char *end = descend(p, s, pat + (position ? 2 : 1));
	if (!end)
		p->captures--;
	return end;
}

static const char *close_capture(struct pattern *p, const char *s, const char *pat)
{
	unsigned i = p->captures;

	while (i > 0 && p->capture[i - 1].len != PATTERN_UNFINISHED)
		i--;
	if (i == 0)
		return fail(p, "invalid pattern capture");
	p->capture[i - 1].len = s - p->capture[i - 1].start;
	const char *end = descend(p, s, pat + 1);
	if (!end)
		p->capture[i - 1].len = PATTERN_UNFINISHED;
	return end;
}

/* "%bxy" at `pat`: one past the balanced text at `s`, or NULL. */
static const char *match_balanced(struct pattern *p, const char *s, const char *pat)
{
	if (text_end(p) - pat < 4)
		return fail(p, "malformed pattern (missing arguments to '%b')");
	if (s >= subject_end(p) || *s != pat[2])
		return NULL;
	size_t open = 1;
	while (++s < subject_end(p)) {
		if (!pay(p, 1))
			return NULL;
		if (*s == pat[3]) {
			if (--open == 0)
				return s + 1;
		} else if (*s == pat[2]) {
			open++;
		}
	}
	return NULL;
}

/* "%f[set]" at `pat`: where the pattern goes on, or NULL. Both ends of the subject count as '\0'. */
static const char *match_frontier(struct pattern *p, const char *s, const char *pat)
{
	const char *set = pat + 2;

	if (set >= text_end(p) || *set != '[')
		return fail(p, "missing '[' after '%f' in pattern");
	const char *end = set_end(p, set);
	if (!end || !pay(p, (size_t)(end - set)))
		return NULL;
	unsigned char before = s == p->subject.ptr ? 0 : (unsigned char)s[-1];
	unsigned char here = s == subject_end(p) ? 0 : (unsigned char)*s;
	return !set_has(set, end - 1, before) && set_has(set, end - 1, here) ? end : NULL;
}

/* "%1" … "%9": one past the same text again at `s`, or NULL. */
static const char *match_back_reference(struct pattern *p, const char *s, char digit)
{
	int i = digit - '1';

	if (i < 0 || (unsigned)i >= p->captures || p->capture[i].len == PATTERN_UNFINISHED)
		return fail_index(p, i + 1);
	ptrdiff_t len = p->capture[i].len;
	if (len < 0 || subject_end(p) - s < len || !pay(p, (size_t)len))
		return NULL;
	return len == 0 || memcmp(p->capture[i].start, s, (size_t)len) == 0 ? s + len : NULL;
}

/* The items that begin with '%' and are no single character class. Sets `*s` and `*pat` behind the item and returns
 * 1, or 0 when it does not match, or -1 when there is no such item here. */
static int match_special(struct pattern *p, const char **s, const char **pat)
{
	const char *next = NULL;

	if (text_end(p) - *pat < 2)
		return -1;
	char kind = (*pat)[1];
	if (kind == 'b') {
		next = match_balanced(p, *s, *pat);
		if (next) {
			*s = next;
			*pat += 4;
		}
	} else if (kind == 'f') {
		next = match_frontier(p, *s, *pat);
		if (next)
			*pat = next;
	} else if (kind >= '0' && kind <= '9') {
		next = match_back_reference(p, *s, kind);
		if (next) {
			*s = next;
			*pat += 2;
		}
	} else {
		return -1;
	}
	return next ? 1 : 0;
}

/* Matches the rest `pat` of the pattern at `s`: where the match ends, or NULL (then look at p->error). */
static const char *match(struct pattern *p, const char *s, const char *pat)
{
	const char *stop = text_end(p);

	while (pat < stop) {
		if (*pat == '(')
			return open_capture(p, s, pat);
		if (*pat == ')')
			return close_capture(p, s, pat);
		if (*pat == '$' && pat + 1 == stop)
			return s == subject_end(p) ? s : NULL;
		if (!pay(p, 1))
			return NULL;
		int special = *pat == '%' ? match_special(p, &s, &pat) : -1;
		if (special == 0)
			return NULL;
		if (special == 1)
			continue;

		const char *end = single_end(p, pat);
		/* Reading a set costs its length. */
		if (!end || !pay(p, (size_t)(end - pat)))
			return NULL;
		char repeat = end < stop ? *end : '\0';
		if (repeat == '*')
			return match_greedy(p, s, pat, end);
		if (repeat == '-')
			return match_lazy(p, s, pat, end);
		bool one = single_has(p, s, pat, end);
		if (repeat == '?') {
			const char *found = one ? descend(p, s + 1, end + 1) : NULL;
			if (found || p->error)
				return found;
			pat = end + 1;
			continue;
		}
		if (!one)
			return NULL;
		if (repeat == '+')
			return match_greedy(p, s + 1, pat, end);
		s++;
		pat = end;
	}
	return s;
}

int pattern_match(struct pattern *p, size_t at, size_t *end)
{
	p->captures = 0;
	p->depth = 0;
	p->error = NULL;
	p->error_index = -1;
	if (p->next_poll == 0 || p->next_poll > p->steps)
		p->next_poll = p->steps > POLL_STEPS ? p->steps - POLL_STEPS : 0;
	if (!pay(p, 1))
		return -1;
	const char *found = match(p, p->subject.ptr + at, p->text.ptr);
	if (p->error)
		return -1;
	if (!found)
		return 0;
	*end = (size_t)(found - p->subject.ptr);
	return 1;
}

bool pattern_is_plain(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (memchr("^$*+?.([%-", text.ptr[i], 10))
			return false;
	return true;
}
