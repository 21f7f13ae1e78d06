/* Finds frames in a byte stream and slices their headers in the same pass. No I/O, no allocation but its own
 * header array (bounded by max_headers), state for one direction of one connection.
 *
 * The caller keeps the bytes. It passes those from the first byte that the framer has not consumed yet, as often as more
 * have come; the framer remembers how far it has looked, so no byte is scanned twice. Offsets in a frame count from its
 * own first byte, so the caller may move the bytes between calls.
 */
#ifndef AMI_FRAMER_H
#define AMI_FRAMER_H

#include "ami/message.h"

#define FRAMER_BANNER_MAX 1024

enum framer_status {
	FRAMER_MORE,      /* not a whole frame yet; `consumed` bytes (blank lines, skipped ones) may be dropped all the same */
	FRAMER_BANNER,    /* the banner line: `message.bytes`, `message.len` without its line end */
	FRAMER_FRAME,     /* a frame: `message` */
	FRAMER_OVERSIZE,  /* a frame passed max_frame or max_headers and was skipped to its end; `message` holds kind, name and
	                     action_id as far as they stood within the limit, and no headers. Counted once, at its end. */
	FRAMER_MALFORMED, /* bytes that no AMI server sends: lone-LF frames under a CRLF banner (Q15), two frames glued (Q50).
	                     They are consumed and never taken for an answer. `message.bytes/len` are those bytes. */
	FRAMER_NOT_AMI    /* the first line is no banner (too long, or without '/'): the session must end */
};

struct framer_limits {
	uint32_t max_frame;   /* bytes, 1024 .. 256 MiB */
	uint32_t max_headers; /* 16 .. 16 M */
};

struct framer {
	struct framer_limits limits;
	/* Read by the owner. */
	bool lf_mode;            /* Q15, fixed by the banner */
	uint64_t lines_no_colon; /* Q09, counted over the stream's life */
	/* Its own. */
	bool expect_banner;
	bool skipping;          /* over a limit: looking for the frame's end only */
	bool in_text;           /* behind the headers of `Response: Follows` */
	bool is_follows;
	bool bare_lf;           /* a line of this frame runs over a bare LF */
	uint32_t line;          /* offset of the current line's first byte */
	uint32_t scan;          /* bytes from here on were not looked at */
	uint32_t text_start;
	uint32_t header_count;
	uint32_t header_cap;
	struct header *headers; /* owned */
	int64_t event_header, response_header, id_header; /* index of the first of each, -1 */
	uint32_t privileges, events, responses, ids;      /* how many of each: two of one make a glued frame (Q50) */
	/* What an oversized frame was, copied while its first bytes were there. */
	enum message_kind skipped_kind;
	char skipped_name[64], skipped_id[80];
	uint8_t skipped_name_len, skipped_id_len;
};

/* `expect_banner`: the stream begins with one (Q01), and it fixes the line-end mode. Without it: CRLF mode. */
void framer_init(struct framer *framer, const struct framer_limits *limits, bool expect_banner);
void framer_close(struct framer *framer);
/* For the next session of the same connection object; keeps limits and memory. */
void framer_reset(struct framer *framer, bool expect_banner);

/* Looks for the next frame in `data`. `*consumed`: bytes at its start that the caller drops before the next call;
 * `message` (slices into `data`, headers in the framer) is valid until then. Call again until FRAMER_MORE. */
enum framer_status framer_next(struct framer *framer, struct slice data, struct message *message, size_t *consumed);
/* True when the stream, ending now, would cut a frame in two. `left` is what the caller still holds. */
bool framer_partial(const struct framer *framer, struct slice left);

/* "Asterisk Call Manager/13.0.0" -> "13.0.0"; an empty slice when there is no '/' (Q01). */
struct slice framer_banner_version(struct slice banner);

#endif
