/* What is known of AMI's actions and events by name. Tables only. */
#ifndef AMI_CATALOGUE_H
#define AMI_CATALOGUE_H

#include "base/slice.h"

enum action_flags {
	ACTION_KNOWN = 1,          /* Asterisk or a module of its tree has it */
	ACTION_GUARDED = 2,        /* policy: denied until allowed (files, shell, modules, dialplan, configuration) */
	ACTION_OWN = 4,            /* the engine's own: Login, Logoff, Challenge, Events, Filter */
	ACTION_HOLDS_LINE = 8,     /* Q45: may hold up everything behind it on the session */
	ACTION_EMPTY_AS_ERROR = 16,/* Q29: an empty list comes as an error: catalogue_says_empty() */
	ACTION_TEXT = 32,          /* answers with Command output (Q12, Q13) */
	ACTION_NO_ANSWER = 64,     /* Q24: raw text or nothing; only the timeout ends it */
	ACTION_ONE_EVENT = 256,    /* Q28, Q74: one event of the action's name follows the response, and nothing behind it */
	ACTION_FUNCTIONS = 128     /* Getvar, Setvar: guarded when the variable is a dialplan function not in the harmless list */
};

struct action_info {
	const char *name;
	unsigned flags;
	const char *terminal;     /* name of the list's last event where it is known, else NULL (Q25, Q27) */
	bool list_before_13;      /* Q26: a list without EventList when the peer's AMI is below 2.6 */
};

/* NULL when the catalogue does not know the action. Case is ignored. */
const struct action_info *catalogue_action(struct slice name);
/* Q29, Q75: does `message`, of an error of such an action, say that its list is empty? "No AORs found" does; that what was asked for
 * does not exist ("No Conference by that name found.") is an error. */
bool catalogue_says_empty(struct slice message);
/* True for the events that Asterisk's tree sends. Case is ignored. */
bool catalogue_event(struct slice name);
/* The classes of an event, as bits of ami/event_mask.h: it passes a mask only if all of them are in it (Q62). 0 for what comes in lists
 * alone; EVENT_CLASSES_ALL for a name that nobody knows. */
uint32_t catalogue_event_classes(struct slice name);
/* The same of all that a glob in lower case fits ("queue*"); EVENT_CLASSES_ALL when it fits none that is known. */
uint32_t catalogue_events_classes(struct slice glob);
/* A number below CATALOGUE_EVENTS_MAX for each known event, for sets of them; -1: nobody knows it. */
int catalogue_event_number(struct slice name);
uint32_t catalogue_event_number_classes(int number);
#define CATALOGUE_EVENTS_MAX 320
#define CATALOGUE_NAME_MAX 48 /* bytes of an event's name */
/* True for `CALLERID(num)`-like variables whose function cannot reach files, shell or configuration, and for plain
 * variables other than those that Asterisk puts into a shell command. */
bool catalogue_function_harmless(struct slice variable);
/* The known name that is nearest to `name` by edit distance (at most 3 edits, case ignored), or NULL. */
const char *catalogue_nearest_event(struct slice name);
const char *catalogue_nearest_action(struct slice name);
/* The same among other names: begun once, tried with each; `name` is the nearest of all, or NULL. */
struct catalogue_nearest {
	const char *name;
	unsigned distance;
};
void catalogue_nearest_begin(struct catalogue_nearest *nearest);
void catalogue_nearest_try(struct catalogue_nearest *nearest, struct slice name, const char *candidate);

/* What the Reason of an OriginateResponse means (Q79 to Q86), for people: "busy". NULL for a number that no Asterisk sends. */
const char *catalogue_originate_reason(struct slice number);

/* "13.0.0" -> 13000 (major * 1000 + minor); 0 when it cannot be read. AMI 2.6 is 2006. */
unsigned catalogue_ami_version(struct slice version);
#define CATALOGUE_AMI_EVENTLIST 2006u /* from here on every list has EventList (Q25, Q26) */

#endif
