#include "web/web_group.h"

#include <stdlib.h>

#include "base/mem.h"

#define KEPT (16u << 10) /* bytes: a larger buffer is given back when less is needed */

struct web_group {
	struct list node;
	struct web_groups *groups;
	unsigned holders;
	struct web_token *sight; /* owned */
	bool everything;         /* it is not limited: the ring's own bytes do */
	/* What a reader gets who has all before the flush of that serial; 0: none was made. */
	uint64_t serial, upto;
	struct buf piece;
};

void web_groups_init(struct web_groups *groups)
{
	list_init(&groups->groups);
	buf_init(&groups->rest, 0);
}

void web_groups_close(struct web_groups *groups)
{
	buf_close(&groups->rest);
}

static bool sees_the_same(const struct web_token *a, const struct web_token *b)
{
	return config_list_equal(&a->servers, &b->servers) && config_list_equal(&a->queues, &b->queues);
}

struct web_group *web_group_hold(struct web_groups *groups, const struct web_token *sight)
{
	list_each(it, &groups->groups) {
		struct web_group *group = list_entry(it, struct web_group, node);
		if (sees_the_same(group->sight, sight)) {
			group->holders++;
			return group;
		}
	}
	struct web_group *group = mem_zalloc(sizeof *group);
	group->groups = groups;
	group->holders = 1;
	group->sight = web_token_copy(sight);
	group->everything = !web_token_is_narrow(sight);
	buf_init(&group->piece, 0);
	list_append(&groups->groups, &group->node);
	return group;
}

void web_group_release(struct web_group **group)
{
	struct web_group *g = *group;

	*group = NULL;
	if (!g || --g->holders > 0)
		return;
	list_remove(&g->node);
	web_token_release(&g->sight);
	buf_close(&g->piece);
	free(g);
}

static void empty(struct buf *buf)
{
	if (buf->cap > KEPT)
		buf_close(buf);
	else
		buf_clear(buf);
}

struct slice web_group_read(struct web_group *group, const struct web_ring *ring, const struct web_flush *flush, uint64_t *number)
{
	if (group->everything)
		return web_ring_run(ring, flush->upto, flush->most, number);
	if (*number != flush->from) {
		struct buf *rest = &group->groups->rest;
		empty(rest);
		web_ring_pick(ring, group->sight, flush->upto, flush->most, number, rest);
		return buf_slice(rest);
	}
	if (group->serial != flush->serial) {
		group->serial = flush->serial;
		group->upto = flush->from;
		empty(&group->piece);
		web_ring_pick(ring, group->sight, flush->upto, flush->most, &group->upto, &group->piece);
	}
	*number = group->upto;
	return buf_slice(&group->piece);
}
