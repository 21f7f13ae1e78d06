#include "persist/group.h"

void group_close(struct group *group)
{
	free(group->writes);
	free(group->waiting);
	free(group->slots);
	*group = (struct group){ 0 };
}

static size_t hash(enum row_table table, int64_t id)
{
	uint64_t h = ((uint64_t)id * ROW_TABLES + (uint64_t)table) * UINT64_C(0x9E3779B97F4A7C15);
	return (size_t)(h >> 24);
}

/* The slot of that row, or the free one where it would go. */
static uint32_t *find(const struct group *group, enum row_table table, int64_t id)
{
	for (size_t i = hash(table, id);; i++) {
		uint32_t *slot = &group->slots[i & (group->slot_count - 1)];
		if (*slot == 0)
			return slot;
		const struct change *change = group->writes[*slot - 1];
		if (change->table == table && change->id == id)
			return slot;
	}
}

static void index_all(struct group *group)
{
	memset(group->slots, 0, group->slot_count * sizeof *group->slots);
	for (size_t i = 0; i < group->write_count; i++)
		*find(group, group->writes[i]->table, group->writes[i]->id) = (uint32_t)i + 1;
}

static void wait_for(struct group *group, struct change *change)
{
	if (group->waiting_count == group->waiting_cap)
		group->waiting = mem_realloc(group->waiting, group->waiting_cap = group->waiting_cap ? group->waiting_cap * 2 : 64,
		                             sizeof *group->waiting);
	group->waiting[group->waiting_count++] = change;
}

size_t group_add(struct group *group, struct change *change)
{
	size_t saved = 0;

	if (change->done)
		wait_for(group, change);
	if (change->kind != CHANGE_PUT && change->kind != CHANGE_DELETE)
		return 0;
	if ((group->write_count + 1) * 2 > group->slot_count) {
		group->slot_count = group->slot_count ? group->slot_count * 2 : 256;
		group->slots = mem_realloc(group->slots, group->slot_count, sizeof *group->slots);
		index_all(group);
	}
	uint32_t *slot = find(group, change->table, change->id);
	if (*slot > 0) {
		struct change **place = &group->writes[*slot - 1];
		saved = change_size(*place);
		if (!(*place)->done)
			change_free(*place);
		*place = change;
		return saved;
	}
	if (group->write_count == group->write_cap)
		group->writes = mem_realloc(group->writes, group->write_cap = group->write_cap ? group->write_cap * 2 : 64,
		                            sizeof *group->writes);
	group->writes[group->write_count++] = change;
	*slot = (uint32_t)group->write_count;
	return 0;
}

static void empty(struct group *group)
{
	/* What one burst needed is neither kept nor cleared at each commit. */
	if (group->slot_count > 4096) {
		group_close(group);
		return;
	}
	group->write_count = group->waiting_count = 0;
	if (group->slots)
		memset(group->slots, 0, group->slot_count * sizeof *group->slots);
}

size_t group_committed(struct group *group, struct change_queue *back)
{
	size_t bytes = 0;
	for (size_t i = 0; i < group->write_count; i++) {
		bytes += change_size(group->writes[i]);
		if (!group->writes[i]->done)
			change_free(group->writes[i]);
	}
	for (size_t i = 0; i < group->waiting_count; i++)
		change_queue_push(back, group->waiting[i]);
	empty(group);
	return bytes;
}

size_t group_failed(struct group *group, struct change_queue *back, const struct err *err)
{
	size_t bytes = 0, kept = 0;
	if (group->waiting_count == 0)
		return 0;
	for (size_t i = 0; i < group->write_count; i++) {
		if (group->writes[i]->done)
			bytes += change_size(group->writes[i]);
		else
			group->writes[kept++] = group->writes[i];
	}
	group->write_count = kept;
	if (group->slots)
		index_all(group);
	for (size_t i = 0; i < group->waiting_count; i++) {
		struct change *change = group->waiting[i];
		change->err = mem_alloc(sizeof *change->err);
		*change->err = *err;
		change_queue_push(back, change);
	}
	group->waiting_count = 0;
	return bytes;
}
