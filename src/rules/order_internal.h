/* What order.c and order_end.c share. */
#ifndef RULES_ORDER_INTERNAL_H
#define RULES_ORDER_INTERNAL_H

#include "rules/order.h"

enum order_type {
	ORDER_REPLY,
	ORDER_LATE, /* a reply whose action is at its deadline: in rule->order.late */
	ORDER_EVENT,
	ORDER_TIMER,
	ORDER_LOST,
};

/* Something that has arrived for a rule and is no frame. */
struct order_item {
	struct list node;
	enum order_type type;
	uint64_t stamp;
	uint64_t turn; /* it is delivered in a later one */
	bool own;      /* the rule's own doing: what arrives behind it does not wait */
	bool pending;  /* of an event: its rule hears it, though it is replaced meanwhile */
	union {
		struct reply *reply;
		struct own_event *event;
		struct rule_timer *timer;
	};
	struct rule *rule;
	struct host_feed *feed; /* of a reply: where its bytes are held; NULL: of no server, or that is gone */
	struct heap_node late;  /* of a reply: its deadline */
};

/* It is not delivered, and gone afterwards. */
void order_item_drop(struct order_item *item);
/* Gives up what its cursor needs, and frees it; `items` must be empty. */
void order_stream_close(struct rule_stream *stream);
/* Nothing waits for the rule any more. */
void order_unmark_behind(struct rule *rule);
/* The rule waits for none that it replaces. */
void order_unfollow(struct rule *rule);

#endif
