/* Doubly linked lists through a node inside the owner's struct; no allocation. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next; /* a node that stands in no list points to itself */
};

#define list_entry(node, type, member) ((type *)(void *)((char *)(node) - offsetof(type, member)))
#define list_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* `it` may be removed in the body. */
#define list_each_safe(it, head) \
	for (struct list *it = (head)->next, *it##_next = it->next; it != (head); it = it##_next, it##_next = it->next)

static inline void list_init(struct list *node)
{
	node->prev = node->next = node;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool list_is_single(const struct list *head)
{
	return head->next != head && head->next->next == head;
}

static inline void list_append(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

/* Removing a node that stands in no list does nothing. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

#endif
