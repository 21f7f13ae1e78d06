#include "ami/framer.h"

#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define END_OF_COMMAND "--END COMMAND--"
/* Bytes kept while skipping, so that an end mark that a read cut in two is still found: one less than the longest. */
#define SKIP_OVERLAP (sizeof END_OF_COMMAND "\r\n\r\n" - 2)

void framer_init(struct framer *framer, const struct framer_limits *limits, bool expect_banner)
{
	*framer = (struct framer){ .limits = *limits };
	framer_reset(framer, expect_banner);
}

void framer_close(struct framer *framer)
{
	free(framer->headers);
	framer->headers = NULL;
	framer->header_cap = 0;
}

/* The state at a frame's first byte. */
static void begin_frame(struct framer *f)
{
	f->skipping = f->in_text = f->is_follows = f->bare_lf = false;
	f->line = f->scan = f->text_start = 0;
	f->header_count = 0;
	f->event_header = f->response_header = f->id_header = -1;
	f->privileges = f->events = f->responses = f->ids = 0;
}

void framer_reset(struct framer *framer, bool expect_banner)
{
	framer->lf_mode = false;
	framer->expect_banner = expect_banner;
	begin_frame(framer);
}

struct slice framer_banner_version(struct slice banner)
{
	const char *slash = memrchr(banner.ptr, '/', banner.len);
	if (!slash)
		return slice_make(banner.ptr, 0);
	return slice_trim(slice_make(slash + 1, banner.len - (size_t)(slash + 1 - banner.ptr)));
}

static bool grow_headers(struct framer *f)
{
	uint32_t cap = f->header_cap ? f->header_cap * 2 : 32;
	if (cap > f->limits.max_headers)
		cap = f->limits.max_headers;
	if (cap <= f->header_cap)
		return false;
	struct header *headers = realloc(f->headers, cap * sizeof *headers);
	if (!headers)
		return false;
	f->headers = headers;
	f->header_cap = cap;
	return true;
}

/* Q06: in `ChanVariable(SIP/1.2.3.4:5060-1): a=b` the colon of the name is the one behind the parenthesis.
 * A colon that a blank or nothing follows ends the name whatever stands before it. */
static const char *find_colon(const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	if (!colon || colon + 1 == line + len || colon[1] == ' ' || !memchr(line, '(', (size_t)(colon - line)) || memchr(line, ')', (size_t)(colon - line)))
		return colon;
	const char *end = memmem(colon, len - (size_t)(colon - line), "):", 2);
	return end ? end + 1 : colon;
}

static bool is_name(const char *name, size_t len, const char *want)
{
	/* The first letter tells most names apart without a call. */
	return slice_lower(*name) == slice_lower(*want) && slice_eq_nocase_bytes(name, want, len);
}

/* Notes the headers that decide what a frame is. `h` is the one at `index`, its line begins at `line`. */
static void note_name(struct framer *f, const char *line, const struct header *h, int64_t index)
{
	switch (h->name_len) {
	case 5:
		if (is_name(line, 5, "Event")) {
			f->events++;
			if (f->event_header < 0)
				f->event_header = index;
		}
		break;
	case 8:
		if (is_name(line, 8, "Response")) {
			f->responses++;
			if (f->response_header >= 0)
				break;
			f->response_header = index;
			f->is_follows = index == 0 && h->value_len == 7 && is_name(line + 8 + h->value_gap, 7, "Follows");
		} else if (is_name(line, 8, "ActionID")) {
			f->ids++;
			if (f->id_header < 0)
				f->id_header = index;
		}
		break;
	case 9:
		if (is_name(line, 9, "Privilege"))
			f->privileges++;
		break;
	default:
		break;
	}
}

/* Takes the line at `f->line` (without its end) as a header. False when there is no room for it. */
static bool take_header(struct framer *f, const char *start, uint32_t len)
{
	if (f->header_count == f->header_cap && !grow_headers(f))
		return false;
	const char *line = start + f->line;
	const char *colon = find_colon(line, len);
	struct header *h = &f->headers[f->header_count];

	if (!colon || colon == line || colon - line > UINT16_MAX) {
		*h = (struct header){ .name = f->line, .value_len = len };
		f->lines_no_colon++;
		f->header_count++;
		return true;
	}
	uint32_t name_len = (uint32_t)(colon - line);
	uint32_t gap = name_len + 1 < len && colon[1] == ' ' ? 2 : 1;
	*h = (struct header){ .name = f->line, .name_len = (uint16_t)name_len, .value_gap = (uint16_t)gap,
	                      .value_len = len - name_len - gap };
	note_name(f, line, h, f->header_count);
	f->header_count++;
	return true;
}

/* Q12: only these stand between `Response: Follows` and its text; a text line that looks like one has no CRLF. */
static bool is_follows_header(const char *line, size_t len)
{
	struct slice s = { line, len };
	return slice_starts_with_nocase(s, SLICE("Privilege:")) || slice_starts_with_nocase(s, SLICE("ActionID:")) ||
	       slice_starts_with_nocase(s, SLICE("Message:"));
}

/* Q10: `CallStarted: N` of an Agents event ends in a bare LF and swallows the line behind it. */
static void split_agents_header(struct framer *f, const char *start)
{
	for (uint32_t i = 0; i < f->header_count; i++) {
		struct header *h = &f->headers[i];
		if (h->name_len != 11 || !is_name(start + h->name, 11, "CallStarted"))
			continue;
		uint32_t value = h->name + h->name_len + h->value_gap;
		const char *lf = memchr(start + value, '\n', h->value_len);
		if (!lf || (f->header_count == f->header_cap && !grow_headers(f)))
			return;
		h = &f->headers[i]; /* it may have moved */
		uint32_t end = value + h->value_len, rest = f->header_count - i - 1;
		uint32_t keep = f->line, count = f->header_count;
		h->value_len = (uint32_t)(lf - (start + value));
		memmove(h + 2, h + 1, rest * sizeof *h);
		f->header_count = i + 1;
		f->line = (uint32_t)(lf + 1 - start);
		take_header(f, start, end - f->line);
		f->line = keep;
		f->header_count = count + 1;
		return;
	}
}

static struct slice header_value(const struct framer *f, const char *start, int64_t index)
{
	if (index < 0)
		return slice_make("", 0);
	const struct header *h = &f->headers[index];
	return slice_make(start + h->name + h->name_len + h->value_gap, h->value_len);
}

static void describe(const struct framer *f, const char *start, uint32_t len, struct message *m)
{
	*m = (struct message){ .bytes = start, .len = len, .headers = f->headers, .header_count = f->header_count };
	m->kind = f->event_header >= 0 ? MESSAGE_EVENT : f->response_header >= 0 ? MESSAGE_RESPONSE : MESSAGE_OTHER;
	m->name = header_value(f, start, f->event_header >= 0 ? f->event_header : f->response_header);
	m->action_id = header_value(f, start, f->id_header);
}

static uint8_t keep_text(char *to, size_t cap, struct slice s)
{
	size_t n = s.len < cap ? s.len : cap;
	memcpy(to, s.ptr, n);
	return (uint8_t)n;
}

/* Looks for the end of a skipped frame from `from` on; the offset behind it, or 0. */
static size_t find_skipped_end(const struct framer *f, struct slice data, size_t from)
{
	struct slice rest = { data.ptr + from, data.len - from };
	if (f->is_follows) {
		struct slice mark = f->lf_mode ? SLICE(END_OF_COMMAND "\n\n") : SLICE(END_OF_COMMAND "\r\n\r\n");
		ptrdiff_t at = slice_find(rest, mark);
		return at < 0 ? 0 : from + (size_t)at + mark.len;
	}
	/* The blank line may be a lone LF (Q03) and, from a peer that ends lines with LF (Q15), a CRLF: what comes first. */
	struct slice mark = f->lf_mode ? SLICE("\n\n") : SLICE("\r\n\r\n"), other = f->lf_mode ? SLICE("\n\r\n") : SLICE("\r\n\n");
	ptrdiff_t at = slice_find(rest, mark);
	size_t end = at < 0 ? 0 : from + (size_t)at + mark.len;
	at = slice_find(slice_make(rest.ptr, end ? end - from : rest.len), other);
	return at < 0 ? end : from + (size_t)at + other.len;
}

static enum framer_status skip(struct framer *f, struct slice data, size_t from, struct message *m, size_t *consumed)
{
	size_t end = find_skipped_end(f, data, from);
	if (end == 0) {
		*consumed = data.len - from > SKIP_OVERLAP ? data.len - SKIP_OVERLAP : from;
		return FRAMER_MORE;
	}
	*m = (struct message){ .bytes = data.ptr + from, .kind = f->skipped_kind,
	                       .name = { f->skipped_name, f->skipped_name_len },
	                       .action_id = { f->skipped_id, f->skipped_id_len } };
	*consumed = end;
	begin_frame(f);
	return FRAMER_OVERSIZE;
}

/* Over a limit: remembers what the frame at `start` was, then looks for its end only (Q05). The search begins at the
 * same byte however the frame was cut: at the text that was not searched, or at the line that did not fit, with the
 * line end before it, which may be the first half of the frame's. */
static enum framer_status begin_skip(struct framer *f, struct slice data, const char *start, struct message *m, size_t *consumed)
{
	uint32_t from = f->in_text ? f->scan : f->is_follows ? f->line : f->line > 2 ? f->line - 2 : 0;
	describe(f, start, 0, m);
	f->skipping = true;
	f->skipped_kind = m->kind;
	f->skipped_name_len = keep_text(f->skipped_name, sizeof f->skipped_name, m->name);
	f->skipped_id_len = keep_text(f->skipped_id, sizeof f->skipped_id, m->action_id);
	return skip(f, data, (size_t)(start - data.ptr) + from, m, consumed);
}

static enum framer_status read_banner(struct framer *f, struct slice data, struct message *m, size_t *consumed)
{
	size_t seen = data.len < FRAMER_BANNER_MAX ? data.len : FRAMER_BANNER_MAX;
	const char *lf = memchr(data.ptr, '\n', seen);
	*consumed = 0;
	if (!lf)
		return data.len >= FRAMER_BANNER_MAX ? FRAMER_NOT_AMI : FRAMER_MORE;
	size_t len = (size_t)(lf - data.ptr);
	*consumed = len + 1;
	f->lf_mode = len == 0 || data.ptr[len - 1] != '\r';
	if (!f->lf_mode)
		len--;
	*m = (struct message){ .bytes = data.ptr, .len = (uint32_t)len, .kind = MESSAGE_OTHER };
	/* Other protocols have a slash too ("HTTP/1.1 400 Bad Request"), but words behind it. */
	struct slice version = framer_banner_version(slice_make(data.ptr, len));
	if (version.len == 0 || memchr(version.ptr, ' ', version.len))
		return FRAMER_NOT_AMI;
	f->expect_banner = false;
	return FRAMER_BANNER;
}

/* A list's item may have an `Event` of its own behind its name and ActionID: ResourceListDetail's says what is subscribed to. */
static bool is_item_with_event(const struct framer *f, const struct message *m)
{
	return f->privileges == 0 && f->ids == 1 && f->id_header < message_find(m, SLICE("Event"), (uint32_t)f->event_header + 1);
}

/* True for what no AMI server sends: the first line runs over bare LFs (Q15), or a cut frame has the next one glued to
 * it (Q50: two of a header that a frame has once). A UserEvent is exempt: it echoes whatever its sender put in (Q21). */
static bool is_malformed(const struct framer *f, const struct message *m)
{
	if (m->kind == MESSAGE_OTHER)
		return false;
	const struct header *h = &m->headers[0];
	if (!f->lf_mode && f->bare_lf && memchr(m->bytes + h->name, '\n', (size_t)h->name_len + h->value_gap + h->value_len))
		return true;
	if (m->kind == MESSAGE_RESPONSE)
		return f->responses > 1 || f->ids > 1 || f->privileges > 1;
	if (slice_eq_nocase(m->name, SLICE("UserEvent")))
		return false;
	return f->privileges > 1 || (f->events > 1 && !is_item_with_event(f, m));
}

static enum framer_status end_frame(struct framer *f, const char *start, uint32_t len, struct message *m)
{
	describe(f, start, len, m);
	if (f->in_text)
		m->text = slice_make(start + f->text_start, f->line - f->text_start);
	enum framer_status status = is_malformed(f, m) ? FRAMER_MALFORMED : FRAMER_FRAME;
	if (status == FRAMER_FRAME && m->kind == MESSAGE_EVENT && m->name.len == 6 && is_name(m->name.ptr, 6, "Agents")) {
		split_agents_header(f, start);
		m->header_count = f->header_count;
		m->headers = f->headers;
	}
	begin_frame(f);
	return status;
}

/* Looks for the end mark of a Command's text from f->scan on. On success f->line is the mark's offset. */
static bool find_text_end(struct framer *f, const char *start, size_t len, uint32_t *end)
{
	struct slice mark = f->lf_mode ? SLICE(END_OF_COMMAND "\n\n") : SLICE(END_OF_COMMAND "\r\n\r\n");
	ptrdiff_t at = slice_find(slice_make(start + f->scan, len - f->scan), mark);
	if (at < 0) {
		if (len - f->scan >= mark.len)
			f->scan = (uint32_t)(len - mark.len + 1);
		return false;
	}
	f->line = f->scan + (uint32_t)at;
	*end = f->line + (uint32_t)mark.len;
	return true;
}

#ifdef __SSE2__
#define BLOCK 64
#define PLAIN_NAME_MAX 31 /* bytes */

/* Bit i is set where byte i of the block is `c`. */
static inline uint64_t find_all(const char *block, char c)
{
	const __m128i want = _mm_set1_epi8(c);
	uint64_t bits = 0;
	for (int i = 0; i < BLOCK / 16; i++) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(block + 16 * i));
		bits |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, want)) << (16 * i);
	}
	return bits;
}

/* True for each name that note_name() knows, and for few others. */
static inline bool may_be_noted(unsigned len, char first)
{
	switch (len) {
	case 5:
		return (first | 0x20) == 'e';
	case 8:
		return (first | 0x20) == 'r' || (first | 0x20) == 'a';
	case 9:
		return (first | 0x20) == 'p';
	default:
		return false;
	}
}

/* Takes header lines as long as they are plain: `Name: value\r\n`, whole, a name of up to 31 bytes, within the limits.
 * Whatever is not plain is left to framer_next(), which decides everything; this only goes faster over what nearly every
 * frame is made of, 64 bytes at a time. */
static void take_plain_headers(struct framer *f, const char *start, const char *end)
{
	const __m128i colons = _mm_set1_epi8(':');
	const char *line = start + f->line;
	struct header *h = f->headers + f->header_count, *cap = f->headers + f->header_cap;

	if ((size_t)(end - start) > f->limits.max_frame)
		end = start + f->limits.max_frame;
	/* A line may begin right behind the block: its first 32 bytes are read too. */
	for (const char *block = line; end - block >= BLOCK + PLAIN_NAME_MAX + 1; block += BLOCK) {
		for (uint64_t lfs = find_all(block, '\n'); lfs; lfs &= lfs - 1) {
			const char *lf = block + __builtin_ctzll(lfs);
			const __m128i *name = (const __m128i *)(const void *)line;
			unsigned found = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(name), colons)) |
			                 (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(name + 1), colons)) << 16;
			unsigned len = (unsigned)__builtin_ctz(found | 1u << PLAIN_NAME_MAX);
			const char *value = line + len + 2;
			/* An empty line has no name; `Name:` without a blank is rare (Q06). */
			if (value >= lf || line[len] != ':' || value[-1] != ' ' || len == 0 || lf[-1] != '\r' || h == cap)
				goto done;
			h->name = (uint32_t)(line - start);
			h->name_len = (uint16_t)len;
			h->value_gap = 2;
			h->value_len = (uint32_t)(lf - 1 - value);
			h++;
			if (may_be_noted(len, *line)) {
				note_name(f, line, h - 1, h - 1 - f->headers);
				if (f->is_follows) {
					line = lf + 1;
					goto done;
				}
			}
			line = lf + 1;
		}
	}
done:
	f->header_count = (uint32_t)(h - f->headers);
	f->line = f->scan = (uint32_t)(line - start);
}
#endif

enum framer_status framer_next(struct framer *f, struct slice data, struct message *m, size_t *consumed)
{
	if (f->expect_banner)
		return read_banner(f, data, m, consumed);
	if (f->skipping)
		return skip(f, data, 0, m, consumed);

	const char *start = data.ptr, *end = data.ptr + data.len;
	while (!f->in_text) {
#ifdef __SSE2__
		if (f->headers && f->scan == f->line && !f->is_follows && !f->lf_mode && !f->bare_lf)
			take_plain_headers(f, start, end);
#endif
		const char *lf = memchr(start + f->scan, '\n', (size_t)(end - start) - f->scan);
		if (!lf) {
			f->scan = (uint32_t)(end - start);
			break;
		}
		uint32_t pos = (uint32_t)(lf - start);
		bool crlf = pos > f->line && lf[-1] == '\r';
		uint32_t len = pos - f->line - (crlf ? 1 : 0);

		f->scan = pos + 1;
		if (pos == 0 || (pos == 1 && crlf)) { /* Q04: a blank line between frames */
			start = lf + 1;
			f->line = f->scan = 0;
			continue;
		}
		if (pos >= f->limits.max_frame)
			return begin_skip(f, data, start, m, consumed);
		if (f->is_follows && (len == 0 || !(crlf || f->lf_mode) || !is_follows_header(start + f->line, len))) {
			f->in_text = true;
			f->text_start = f->scan = f->line;
			break;
		}
		if (len == 0) { /* `\r\n` or, Q03, a bare LF right behind a line's end */
			*consumed = (size_t)(lf + 1 - data.ptr);
			return end_frame(f, start, pos + 1, m);
		}
		if (!crlf && !f->lf_mode) { /* Q02: a bare LF is data */
			f->bare_lf = true;
			continue;
		}
		if (f->bare_lf && f->line == 0 && memmem(start, pos, "\n\n", 2)) {
			/* Q15: a frame written with lone LFs stands before this line; read on behind it. */
			const char *last = lf;
			while (last[-1] != '\n' || last[-2] != '\n')
				last--;
			*m = (struct message){ .bytes = start, .len = (uint32_t)(last - start), .kind = MESSAGE_OTHER };
			*consumed = (size_t)(last - data.ptr);
			begin_frame(f);
			return FRAMER_MALFORMED;
		}
		if (!take_header(f, start, len))
			return begin_skip(f, data, start, m, consumed);
		f->line = f->scan;
	}
	size_t held = (size_t)(end - start);
	uint32_t length = 0;
	if (f->in_text && find_text_end(f, start, held, &length) && length <= f->limits.max_frame) {
		*consumed = (size_t)(start - data.ptr) + length;
		return end_frame(f, start, length, m);
	}
	if (held > f->limits.max_frame)
		return begin_skip(f, data, start, m, consumed);
	*consumed = (size_t)(start - data.ptr);
	return FRAMER_MORE;
}

bool framer_partial(const struct framer *framer, struct slice left)
{
	if (framer->skipping)
		return true;
	/* A line end cut in two between frames is nobody's loss. */
	return left.len > 0 && !(left.len == 1 && left.ptr[0] == '\r');
}
