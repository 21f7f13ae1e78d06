/* The framer's results must not depend on how the stream was cut, and it must never read or consume beyond what it got. */
#include <stdio.h>
#include <stdlib.h>

#include "ami/framer.h"
#include "base/buf.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct cuts {
	uint32_t state; /* 0: no cuts; else a generator's state, or a fixed size with `fixed` */
	size_t fixed;
};

static size_t next_cut(struct cuts *cuts, size_t left)
{
	size_t n = left;
	if (cuts->fixed > 0) {
		n = cuts->fixed;
	} else if (cuts->state) {
		cuts->state = cuts->state * 1664525u + 1013904223u;
		n = 1 + (cuts->state >> 24) % 40;
	}
	return n < left ? n : left;
}

static void note_slice(struct buf *log, const char *what, struct slice s)
{
	REQUIRE(buf_printf(log, " %s=%zu:", what, s.len) == 0 && buf_append(log, s) == 0);
}

static void note(struct buf *log, enum framer_status status, const struct message *m, size_t at)
{
	REQUIRE(buf_printf(log, "\n%d at %zu kind %d", (int)status, at, (int)m->kind) == 0);
	if (status == FRAMER_NOT_AMI)
		return;
	note_slice(log, "name", m->name);
	note_slice(log, "id", m->action_id);
	if (status == FRAMER_OVERSIZE) {
		REQUIRE(m->header_count == 0);
		return;
	}
	note_slice(log, "bytes", slice_make(m->bytes, m->len));
	if (status != FRAMER_FRAME)
		return;
	if (m->text.ptr)
		note_slice(log, "text", m->text);
	for (uint32_t i = 0; i < m->header_count; i++) {
		note_slice(log, "h", message_header_name(m, i));
		note_slice(log, "v", message_header_value(m, i));
	}
	struct message *copy = message_copy(m);
	REQUIRE(copy && copy->len == m->len && slice_eq(copy->name, m->name) && slice_eq(copy->action_id, m->action_id) &&
	        slice_eq(copy->text, m->text) && (!m->text.ptr || copy->text.ptr != m->text.ptr));
	for (uint32_t i = 0; i < m->header_count; i++)
		REQUIRE(slice_eq(message_header_name(copy, i), message_header_name(m, i)) &&
		        slice_eq(message_header_value(copy, i), message_header_value(m, i)));
	message_free(&copy);
}

static void run(const struct framer_limits *limits, bool banner, struct slice input, struct cuts cuts, struct buf *log)
{
	struct framer framer;
	enum framer_status status = FRAMER_MORE;
	size_t dropped = 0, given = 0; /* of the input */

	framer_init(&framer, limits, banner);
	do {
		given += next_cut(&cuts, input.len - given);
		do {
			/* A block of just that size, so that a read beyond it is seen. */
			size_t held = given - dropped;
			char *block = malloc(held ? held : 1);
			struct message m = { 0 };
			size_t consumed = SIZE_MAX;
			REQUIRE(block);
			if (held > 0)
				memcpy(block, input.ptr + dropped, held);
			status = framer_next(&framer, slice_make(block, held), &m, &consumed);
			REQUIRE(consumed <= held);
			if (status != FRAMER_MORE) {
				REQUIRE(consumed > 0 || status == FRAMER_NOT_AMI);
				note(log, status, &m, status == FRAMER_NOT_AMI ? 0 : dropped + consumed);
			} else {
				REQUIRE(held - consumed <= (size_t)limits->max_frame + 32 || banner);
			}
			dropped += consumed;
			free(block);
		} while (status != FRAMER_MORE && status != FRAMER_NOT_AMI);
	} while (given < input.len && status != FRAMER_NOT_AMI);
	if (status != FRAMER_NOT_AMI)
		REQUIRE(buf_printf(log, "\nend partial %d lf %d lines %llu",
		                   framer_partial(&framer, slice_make(input.ptr + dropped, given - dropped)), framer.lf_mode,
		                   (unsigned long long)framer.lines_no_colon) == 0);
	framer_close(&framer);
}

static void compare(const struct buf *whole, const struct buf *cut, const char *how)
{
	if (slice_eq(buf_slice(whole), buf_slice(cut)))
		return;
	fprintf(stderr, "whole:%.*s\n\n%s:%.*s\n", SLICE_ARG(buf_slice(whole)), how, SLICE_ARG(buf_slice(cut)));
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t frames[] = { 64, 100, 256, 1024 }, headers[] = { 2, 3, 5, 16 };
	if (size < 2 || size > 4096)
		return 0;
	struct framer_limits limits = { .max_frame = frames[data[0] & 3], .max_headers = headers[data[0] >> 2 & 3] };
	bool banner = data[0] & 16;
	uint32_t seed = 1 + data[1];
	struct slice input = { (const char *)data + 2, size - 2 };
	struct buf whole, cut;

	buf_init(&whole, 0);
	buf_init(&cut, 0);
	run(&limits, banner, input, (struct cuts){ 0 }, &whole);
	run(&limits, banner, input, (struct cuts){ .fixed = 1 }, &cut);
	compare(&whole, &cut, "by 1");
	buf_clear(&cut);
	run(&limits, banner, input, (struct cuts){ .fixed = 7 }, &cut);
	compare(&whole, &cut, "by 7");
	buf_clear(&cut);
	run(&limits, banner, input, (struct cuts){ .state = seed }, &cut);
	compare(&whole, &cut, "by random sizes");
	buf_close(&whole);
	buf_close(&cut);
	return 0;
}
