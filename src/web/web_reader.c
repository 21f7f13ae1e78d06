#include "web/web_reader.h"

#include <http_parser.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"

static enum web_read refuse(struct web_reader *r, unsigned status, const char *reason)
{
	r->status = status;
	r->reason = reason;
	return WEB_READ_REFUSED;
}

static bool is_token(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ---- the head, by our own eyes ---- */

/* The line at `*at`, without its end; `*at` goes behind it. The head was seen to be made of whole lines. */
static struct slice take_line(struct slice head, size_t *at)
{
	const char *from = head.ptr + *at;
	struct slice line = slice_make(from, (size_t)slice_find(slice_make(from, head.len - *at), SLICE("\r\n")));

	*at += line.len + 2;
	return line;
}

/* "a.example:8080" or "[::1]:8080" is a host and perhaps a port. */
static bool read_host(struct slice text, struct slice *host)
{
	size_t end = 0;

	if (text.len > 0 && text.ptr[0] == '[') {
		while (end < text.len && text.ptr[end] != ']')
			end++;
		if (end < 3 || end++ == text.len)
			return false;
		for (size_t i = 1; i < end - 1; i++)
			if (web_request_hex(text.ptr[i]) < 0 && text.ptr[i] != ':' && text.ptr[i] != '.')
				return false;
	} else {
		for (; end < text.len && text.ptr[end] != ':'; end++)
			if (web_request_hex(text.ptr[end]) < 0 && !((text.ptr[end] | 0x20) >= 'g' && (text.ptr[end] | 0x20) <= 'z') &&
			    text.ptr[end] != '.' && text.ptr[end] != '-' && text.ptr[end] != '_')
				return false;
	}
	*host = slice_make(text.ptr, end);
	if (end == 0)
		return false;
	if (end == text.len)
		return true;
	if (text.ptr[end] != ':' || text.len - end > 6)
		return false;
	for (size_t i = end + 1; i < text.len; i++)
		if (!is_digit(text.ptr[i]))
			return false;
	return true;
}

static enum web_read decode_path(struct web_reader *r, struct slice path)
{
	size_t segment = 0;

	buf_clear(&r->path);
	for (size_t i = 0; i < path.len; i++) {
		char c = path.ptr[i];
		if (c == '%') {
			int high = i + 2 < path.len ? web_request_hex(path.ptr[i + 1]) : -1, low = high < 0 ? -1 : web_request_hex(path.ptr[i + 2]);
			if (low < 0)
				return refuse(r, 400, "a percent sign in the path is not followed by two hexadecimal digits");
			c = (char)(high << 4 | low);
			i += 2;
			if (c == '/')
				return refuse(r, 400, "an encoded slash in the path");
		}
		if ((unsigned char)c < 0x20 || c == 0x7f || c == '\\')
			return refuse(r, 400, "a control character or backslash in the path");
		if (buf_append_char(&r->path, c))
			return refuse(r, 414, "no memory for the path");
	}
	struct slice whole = buf_slice(&r->path);
	for (size_t i = 1; i <= whole.len; i++) {
		if (i < whole.len && whole.ptr[i] != '/')
			continue;
		struct slice part = slice_make(whole.ptr + segment + 1, i - segment - 1);
		if (slice_eq(part, SLICE(".")) || slice_eq(part, SLICE("..")) || (part.len == 0 && i < whole.len))
			return refuse(r, 400, "an empty, \".\" or \"..\" segment in the path");
		segment = i;
	}
	for (size_t i = 0, n; i < whole.len; i += n)
		if ((n = utf8_char(slice_make(whole.ptr + i, whole.len - i))) == 0)
			return refuse(r, 400, "the path is not UTF-8");
	r->request.path = whole;
	return WEB_READ_MORE;
}

/* `*authority` is that of an absolute target; empty for another one. */
static enum web_read check_target(struct web_reader *r, struct slice target, struct slice *authority)
{
	*authority = (struct slice){ "", 0 };
	for (size_t i = 0; i < target.len; i++)
		if ((unsigned char)target.ptr[i] <= 0x20 || (unsigned char)target.ptr[i] >= 0x7f || target.ptr[i] == '#')
			return refuse(r, 400, "a character in the target that must be encoded");
	for (size_t i = 0; i < 2; i++) {
		struct slice scheme = i == 0 ? SLICE("http://") : SLICE("https://");
		if (!slice_starts_with_nocase(target, scheme))
			continue;
		target = slice_make(target.ptr + scheme.len, target.len - scheme.len);
		size_t end = 0;
		while (end < target.len && target.ptr[end] != '/' && target.ptr[end] != '?')
			end++;
		*authority = slice_make(target.ptr, end);
		if (end == 0)
			return refuse(r, 400, "the target names no host");
		target = slice_make(target.ptr + end, target.len - end);
		break;
	}
	if (target.len == 0 || target.ptr[0] != '/')
		return refuse(r, 400, "the target is no path");
	const char *mark = memchr(target.ptr, '?', target.len);
	size_t path = mark ? (size_t)(mark - target.ptr) : target.len;
	r->request.query = mark ? slice_make(mark + 1, target.len - path - 1) : (struct slice){ "", 0 };
	return decode_path(r, slice_make(target.ptr, path));
}

static enum web_read check_request_line(struct web_reader *r, struct slice line, struct slice *authority)
{
	const char *first = memchr(line.ptr, ' ', line.len);
	if (!first || first == line.ptr)
		return refuse(r, 400, "the first line is no request");
	struct slice rest = slice_make(first + 1, line.len - (size_t)(first + 1 - line.ptr));
	const char *second = memchr(rest.ptr, ' ', rest.len);
	if (!second || second == rest.ptr)
		return refuse(r, 400, "the first line is no request");
	struct slice version = slice_make(second + 1, rest.len - (size_t)(second + 1 - rest.ptr));
	r->request.method = slice_make(line.ptr, (size_t)(first - line.ptr));
	/* To http_parser it ends with its head: the body would be the next request. */
	if (slice_eq(r->request.method, SLICE("CONNECT")))
		return refuse(r, 501, "CONNECT is for proxies");
	r->request.http10 = slice_eq(version, SLICE("HTTP/1.0"));
	if (!r->request.http10 && !slice_eq(version, SLICE("HTTP/1.1")))
		return refuse(r, slice_starts_with(version, SLICE("HTTP/")) ? 505 : 400, "the version is neither HTTP/1.1 nor HTTP/1.0");
	return check_target(r, slice_make(rest.ptr, (size_t)(second - rest.ptr)), authority);
}

static enum web_read add_header(struct web_reader *r, struct slice line)
{
	struct web_request *q = &r->request;
	size_t colon = 0;

	if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
		return refuse(r, 400, "a folded header line");
	while (colon < line.len && is_token(line.ptr[colon]))
		colon++;
	if (colon == 0 || colon == line.len || line.ptr[colon] != ':')
		return refuse(r, 400, "a header line that is not \"Name: value\"");
	if (q->header_count == WEB_HEADERS_MAX)
		return refuse(r, 431, "too many headers");
	struct slice value = slice_make(line.ptr + colon + 1, line.len - colon - 1);
	for (size_t i = 0; i < value.len; i++)
		if (((unsigned char)value.ptr[i] < 0x20 && value.ptr[i] != '\t') || value.ptr[i] == 0x7f)
			return refuse(r, 400, "a control character in a header");
	q->headers[q->header_count++] = (struct web_header){ slice_make(line.ptr, colon), slice_trim(value) };
	return WEB_READ_MORE;
}

static uint32_t count_of(const struct web_request *q, struct slice name, struct slice *value)
{
	uint32_t count = 0;

	*value = (struct slice){ "", 0 };
	for (uint32_t i = 0; i < q->header_count; i++)
		if (slice_eq_nocase(q->headers[i].name, name) && count++ == 0)
			*value = q->headers[i].value;
	return count;
}

static enum web_read check_length(struct web_reader *r, uint64_t *length)
{
	struct slice text, encoding;
	uint32_t lengths = count_of(&r->request, SLICE("Content-Length"), &text);
	uint32_t encodings = count_of(&r->request, SLICE("Transfer-Encoding"), &encoding);

	*length = 0;
	if (lengths > 1 || encodings > 1 || (lengths > 0 && encodings > 0))
		return refuse(r, 400, "more than one length: Content-Length and Transfer-Encoding may come once, and not both");
	if (encodings > 0 && !slice_eq_nocase(encoding, SLICE("chunked")))
		return refuse(r, 501, "a Transfer-Encoding other than chunked");
	if (encodings > 0 && r->request.http10)
		return refuse(r, 400, "a Transfer-Encoding in HTTP/1.0");
	r->chunked = encodings > 0;
	if (lengths == 0)
		return WEB_READ_MORE;
	if (text.len == 0 || text.len > 18)
		return refuse(r, 400, "a Content-Length that is no number");
	for (size_t i = 0; i < text.len; i++) {
		if (!is_digit(text.ptr[i]))
			return refuse(r, 400, "a Content-Length that is no number");
		*length = *length * 10 + (uint64_t)(text.ptr[i] - '0');
	}
	return *length > r->body_max ? refuse(r, 413, "the body is too large") : WEB_READ_MORE;
}

static enum web_read check_host(struct web_reader *r, struct slice authority)
{
	struct slice text;
	uint32_t count = count_of(&r->request, SLICE("Host"), &text);

	if (count != 1)
		return refuse(r, 400, count ? "more than one Host" : "no Host");
	if (!read_host(text, &r->request.host))
		return refuse(r, 400, "a Host that is no host");
	if (authority.len > 0 && !slice_eq_nocase(authority, text))
		return refuse(r, 400, "the target is of another host than Host");
	return WEB_READ_MORE;
}

static enum web_read check_head(struct web_reader *r)
{
	struct slice head = buf_slice(&r->head), authority, line, expect;
	enum web_read result;
	uint64_t length;
	size_t at = 0;

	if ((result = check_request_line(r, take_line(head, &at), &authority)) != WEB_READ_MORE)
		return result;
	while ((line = take_line(head, &at)).len > 0)
		if ((result = add_header(r, line)) != WEB_READ_MORE)
			return result;
	if ((result = check_host(r, authority)) != WEB_READ_MORE || (result = check_length(r, &length)) != WEB_READ_MORE)
		return result;
	uint32_t expects = count_of(&r->request, SLICE("Expect"), &expect);
	if (expects == 0)
		return WEB_READ_MORE;
	if (expects > 1 || !slice_eq_nocase(expect, SLICE("100-continue")))
		return refuse(r, 417, "an expectation other than 100-continue");
	return (length > 0 || r->chunked) && !r->request.http10 ? WEB_READ_CONTINUE : WEB_READ_MORE;
}

/* ---- http_parser ---- */

static int on_body(http_parser *parser, const char *at, size_t len)
{
	struct web_reader *r = parser->data;

	if (r->chunked)
		r->chunk_left -= len;
	if (buf_len(&r->body) + len <= r->body_max && buf_append(&r->body, slice_make(at, len)) == 0)
		return 0;
	refuse(r, 413, "the body is too large");
	return -1;
}

static int on_chunk_header(http_parser *parser)
{
	struct web_reader *r = parser->data;
	r->chunk_left = parser->content_length;
	return 0;
}

static int on_complete(http_parser *parser)
{
	struct web_reader *r = parser->data;

	r->whole = true;
	r->request.keep_alive = http_should_keep_alive(parser);
	http_parser_pause(parser, 1); /* what follows is another request's */
	return 0;
}

static const http_parser_settings settings = { .on_body = on_body, .on_chunk_header = on_chunk_header, .on_message_complete = on_complete };

static enum web_read run_parser(struct web_reader *r, struct slice bytes)
{
	size_t done = http_parser_execute(r->parser, &settings, bytes.ptr, bytes.len);
	enum http_errno error = HTTP_PARSER_ERRNO(r->parser);

	if (r->status)
		return WEB_READ_REFUSED;
	if (error != HPE_OK && error != HPE_PAUSED)
		return refuse(r, 400, http_errno_description(error));
	if (!r->whole)
		return done == bytes.len ? WEB_READ_MORE : refuse(r, 400, "the request ends in its middle");
	r->request.body = buf_slice(&r->body);
	return WEB_READ_REQUEST;
}

/* ---- reading ---- */

void web_reader_init(struct web_reader *reader, size_t head_max, uint64_t body_max)
{
	*reader = (struct web_reader){ .head_max = head_max, .body_max = body_max };
	reader->parser = mem_alloc(sizeof *reader->parser);
	buf_init(&reader->head, head_max);
	buf_init(&reader->body, 0);
	buf_init(&reader->path, head_max);
	web_reader_next(reader);
}

void web_reader_close(struct web_reader *reader)
{
	free(reader->parser);
	reader->parser = NULL;
	buf_close(&reader->head);
	buf_close(&reader->body);
	buf_close(&reader->path);
}

void web_reader_next(struct web_reader *r)
{
	memset(&r->request, 0, sizeof r->request);
	r->status = 0;
	r->reason = NULL;
	r->searched = 0;
	r->chunk_left = 0;
	r->last = '\n';
	r->in_body = r->chunked = r->whole = false;
	buf_clear(&r->head);
	buf_close(&r->body);
	http_parser_init(r->parser, HTTP_REQUEST);
	r->parser->data = r;
}

bool web_reader_begun(const struct web_reader *reader)
{
	return buf_len(&reader->head) > 0;
}

/* How many bytes of `bytes` belong to the head; the head is whole when `*ends`. What must not stand in it is refused as soon as
 * it is seen. */
static enum web_read take_head(struct web_reader *r, struct slice bytes, size_t *taken, bool *ends)
{
	size_t before = buf_len(&r->head), fits = r->head_max - before, n = bytes.len < fits ? bytes.len : fits;

	*taken = 0;
	*ends = false;
	if (buf_append(&r->head, slice_make(bytes.ptr, n)))
		return refuse(r, 431, "no memory for the head");
	struct slice head = buf_slice(&r->head);
	for (; r->searched < head.len && !*ends; r->searched++) {
		size_t i = r->searched;
		char c = head.ptr[i];
		bool after_cr = i > 0 && head.ptr[i - 1] == '\r';
		if ((c == '\n') != after_cr)
			return refuse(r, 400, c == '\n' ? "a line that ends without CR" : "a CR without LF");
		if (c == '\0')
			return refuse(r, 400, "a NUL");
		*ends = c == '\n' && i >= 3 && head.ptr[i - 2] == '\n';
		if (c == '\n' && i == 1)
			return refuse(r, 400, "an empty line before the request");
	}
	*taken = r->searched - before;
	r->head.tail -= head.len - r->searched;
	if (!*ends && n < bytes.len)
		return memchr(head.ptr, '\n', head.len) ? refuse(r, 431, "the headers are too long") : refuse(r, 414, "the target is too long");
	return WEB_READ_MORE;
}

/* The frame of the chunks byte by byte, so that nothing but sizes and line ends stands there. */
static enum web_read take_chunks(struct web_reader *r, struct slice bytes, size_t *taken)
{
	enum web_read result = WEB_READ_MORE;

	while (*taken < bytes.len && result == WEB_READ_MORE) {
		size_t left = bytes.len - *taken, n = 1;
		if (r->chunk_left > 0) {
			n = r->chunk_left < left ? (size_t)r->chunk_left : left;
			r->last = '\0'; /* CR and LF follow the data */
		} else {
			char c = bytes.ptr[*taken];
			if (web_request_hex(c) < 0 && c != '\r' && c != '\n')
				return refuse(r, 400, "a chunk's frame with more than a size");
			if ((c == '\n') != (r->last == '\r') || (r->last == '\0' && c != '\r'))
				return refuse(r, 400, "a chunk's frame whose line does not end with CR and LF");
			r->last = c;
		}
		result = run_parser(r, slice_make(bytes.ptr + *taken, n));
		*taken += n;
	}
	return result;
}

enum web_read web_reader_feed(struct web_reader *r, struct slice bytes, size_t *taken)
{
	enum web_read result = WEB_READ_MORE, asks = WEB_READ_MORE;
	bool ends;

	*taken = 0;
	if (r->status)
		return WEB_READ_REFUSED;
	if (bytes.len == 0)
		return WEB_READ_MORE;
	if (!r->in_body) {
		if ((result = take_head(r, bytes, taken, &ends)) != WEB_READ_MORE || !ends)
			return result;
		if ((asks = check_head(r)) == WEB_READ_REFUSED)
			return asks;
		r->in_body = true;
		if ((result = run_parser(r, buf_slice(&r->head))) != WEB_READ_MORE)
			return result;
	}
	size_t rest = bytes.len - *taken;
	if (rest > 0 && r->chunked) {
		result = take_chunks(r, bytes, taken);
	} else if (rest > 0) {
		uint64_t want = r->parser->content_length;
		size_t n = want < rest ? (size_t)want : rest;
		result = run_parser(r, slice_make(bytes.ptr + *taken, n));
		*taken += n;
	}
	/* Who has sent of the body already does not wait. */
	return result == WEB_READ_MORE && rest == 0 ? asks : result;
}
