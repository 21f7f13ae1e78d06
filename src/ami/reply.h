/* How an action has ended: its code, Asterisk's answer, the items of its list. Pure. */
#ifndef AMI_REPLY_H
#define AMI_REPLY_H

#include "ami/action.h"
#include "ami/message.h"

#define REPLY_HEAD_MAX 37 /* of an ActionID: "prefix-connection-" */

/* An action that has ended. Owns everything it points to. */
struct reply {
	enum err_code code;        /* ERR_NONE: success */
	char text[256];            /* why it failed: Asterisk's Message, or our words */
	struct message *response;  /* NULL when none came; for an asynchronous Originate its OriginateResponse */
	struct message **events;   /* list items without the terminal one, in order */
	uint32_t event_count;
	bool is_list;              /* it ended as a list (an empty one too, Q29) */
	bool has_output;           /* Command: see reply_output() */
	uint64_t sequence;         /* of the action, as in its id */
	void *tag;                 /* as given to pending_add() */
	uint64_t started, deadline; /* monotonic ns, as given to pending_add() */
	char action[ACTION_NAME_MAX + 1]; /* the action's name, cut to fit, for logs and metrics */
	char id_head[REPLY_HEAD_MAX]; /* how its ActionID begins: see reply_id() */
	uint32_t id_head_len;
	uint32_t size;                /* of the block that it stands in front of: what kept it while it was pending is freed with it */
};

/* Lines of a Command's output, old form and new as one list (Q12, Q13). `cursor` starts at 0; false at the end. */
bool reply_output(const struct reply *reply, size_t *cursor, struct slice *line);
/* Writes the ActionID that the action had; "" when it never got one. */
void reply_id(const struct reply *reply, char id[ACTION_ID_MAX + 1]);
/* A reply made by hand: for failures before anything was registered. */
struct reply *reply_failed(enum err_code code, const char *text, void *tag, const char *action);
/* What it holds is dropped: it ends as `overflow`, with `text`. */
void reply_overflow(struct reply *reply, const char *text);
void reply_free(struct reply **reply);
/* Bytes that it takes, for bounds. */
size_t reply_size(const struct reply *reply);
/* Writes the ActionID that begins with `head` and ends with `sequence` (Q33). */
void reply_write_id(struct slice head, uint64_t sequence, char id[ACTION_ID_MAX + 1]);

#endif
