#include "web/web_ring.h"

#include <stdlib.h>

#include "base/mem.h"

void web_ring_init(struct web_ring *ring, size_t max)
{
	*ring = (struct web_ring){ .max = max, .first = 1 };
	buf_init(&ring->bytes, 0);
}

static void drop_oldest(struct web_ring *ring)
{
	struct web_change *change = &ring->changes[ring->head];

	buf_consume(&ring->bytes, change->len);
	ring->dropped += change->len;
	free(change->server);
	free(change->queues);
	ring->head++;
	ring->count--;
	ring->first++;
}

void web_ring_clear(struct web_ring *ring)
{
	while (ring->count > 0)
		drop_oldest(ring);
	ring->first = 1;
}

void web_ring_close(struct web_ring *ring)
{
	web_ring_clear(ring);
	free(ring->changes);
	buf_close(&ring->bytes);
	*ring = (struct web_ring){ 0 };
}

uint64_t web_ring_next(const struct web_ring *ring)
{
	return ring->first + ring->count;
}

static char *copy(struct slice s)
{
	char *bytes = mem_alloc(s.len + 1);

	memcpy(bytes, s.ptr, s.len);
	bytes[s.len] = '\0';
	return bytes;
}

void web_ring_add(struct web_ring *ring, struct slice frame, enum web_seen seen, struct slice server, struct slice queues)
{
	while (ring->count > 0 && buf_len(&ring->bytes) + frame.len > ring->max)
		drop_oldest(ring);
	if (ring->head + ring->count == ring->cap && ring->head > ring->cap / 2) {
		memmove(ring->changes, ring->changes + ring->head, ring->count * sizeof *ring->changes);
		ring->head = 0;
	} else if (ring->head + ring->count == ring->cap) {
		ring->cap = ring->cap ? ring->cap * 2 : 64;
		ring->changes = mem_realloc(ring->changes, ring->cap, sizeof *ring->changes);
	}
	uint64_t offset = ring->dropped + buf_len(&ring->bytes);
	/* Without memory it is an empty frame: readers miss it, which the next snapshot mends. */
	uint32_t len = buf_append(&ring->bytes, frame) == 0 ? (uint32_t)frame.len : 0;
	ring->changes[ring->head + ring->count++] = (struct web_change){ .offset = offset, .len = len, .seen = seen, .server = copy(server),
	                                                                 .queues = queues.len > 0 ? copy(queues) : NULL };
}

static bool is_seen(const struct web_change *change, const struct web_token *sight)
{
	if (change->seen == WEB_SEEN_WHOLE)
		return !web_token_is_narrow(sight);
	if (!web_token_sees_server(sight, slice_cstr(change->server)))
		return false;
	if (change->seen == WEB_SEEN_SERVER || sight->queues.count == 0)
		return true;
	if (change->seen == WEB_SEEN_WIDE)
		return false;
	for (const char *queue = change->queues; queue && *queue; queue += strlen(queue) + 1)
		if (web_token_sees_queue(sight, slice_cstr(queue)))
			return true;
	return false;
}

static const struct web_change *change_at(const struct web_ring *ring, uint64_t number)
{
	return &ring->changes[ring->head + (size_t)(number - ring->first)];
}

static struct slice bytes_from(const struct web_ring *ring, const struct web_change *change, size_t len)
{
	return slice_make(buf_slice(&ring->bytes).ptr + (change->offset - ring->dropped), len);
}

struct slice web_ring_run(const struct web_ring *ring, uint64_t upto, size_t most, uint64_t *number)
{
	const struct web_change *first = change_at(ring, *number);
	size_t len = 0;

	while (*number < upto && len < most)
		len += change_at(ring, (*number)++)->len;
	return bytes_from(ring, first, len);
}

void web_ring_pick(const struct web_ring *ring, const struct web_token *sight, uint64_t upto, size_t most, uint64_t *number, struct buf *out)
{
	for (; *number < upto && buf_len(out) < most; ++*number) {
		const struct web_change *change = change_at(ring, *number);
		if (is_seen(change, sight))
			buf_append(out, bytes_from(ring, change, change->len));
	}
}
