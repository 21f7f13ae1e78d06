/* Which classes of events a rule wants of which servers, so that a server can be asked for no others (`events = "auto"`). What a rule
 * has listened to once it wants for as long as it lives: it may wait for it again at any moment. */
#ifndef RULES_WANTS_H
#define RULES_WANTS_H

#include "ami/catalogue.h"
#include "rules/filter.h"

#define WANTS_SERVERS 16 /* that are told apart; beyond, what a rule wants of one it wants of all */

/* Classes are bits of ami/event_mask.h. */
struct wants {
	uint32_t everywhere;
	struct {
		char *server; /* owned */
		uint32_t classes;
	} servers[WANTS_SERVERS];
	uint32_t server_count;
	/* Events by catalogue_event_number(): whose names stand in the rule's text, and that it listens to since it was loaded. The others
	 * of the first it will name later, when a subscription that asked for them only then would be late. */
	uint8_t written[CATALOGUE_EVENTS_MAX / 8], heard[CATALOGUE_EVENTS_MAX / 8];
};

void wants_close(struct wants *wants);
void wants_copy(struct wants *to, const struct wants *from);
/* A listener or subscription for these names ("*": all); `loads`: while the rule is loaded. True when more is wanted than before. */
bool wants_listen(struct wants *wants, const struct slice *names, size_t count, const struct filter *filter, bool loads);
/* The text of one of its files: names of events in quotes are noted. */
void wants_read(struct wants *wants, struct slice text);
uint32_t wants_everywhere(const struct wants *wants);
/* What it wants of that server beside. */
uint32_t wants_of(const struct wants *wants, struct slice server);

#endif
