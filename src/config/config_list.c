#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/config.h"

bool config_list_equal(const struct config_list *a, const struct config_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

bool config_list_has(const struct config_list *list, struct slice item)
{
	for (size_t i = 0; i < list->count; i++)
		if (slice_eq(slice_cstr(list->items[i]), item))
			return true;
	return false;
}

void config_list_add(struct config_list *list, struct slice item)
{
	list->items = mem_realloc(list->items, list->count + 1, sizeof *list->items);
	list->items[list->count++] = mem_slicedup(item);
}

void config_list_close(struct config_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct config_list){ 0 };
}
