/* What a session hears of the events: the `Events` header of its login, as Asterisk reads it. Pure. */
#ifndef AMI_EVENT_MASK_H
#define AMI_EVENT_MASK_H

#include "base/slice.h"

/* Asterisk's own numbers. */
enum event_class {
	EVENT_SYSTEM = 1 << 0, EVENT_CALL = 1 << 1, EVENT_LOG = 1 << 2, EVENT_VERBOSE = 1 << 3, EVENT_COMMAND = 1 << 4,
	EVENT_AGENT = 1 << 5, EVENT_USER = 1 << 6, EVENT_CONFIG = 1 << 7, EVENT_DTMF = 1 << 8, EVENT_REPORTING = 1 << 9,
	EVENT_CDR = 1 << 10, EVENT_DIALPLAN = 1 << 11, EVENT_ORIGINATE = 1 << 12, EVENT_AGI = 1 << 13, EVENT_CC = 1 << 15,
	EVENT_AOC = 1 << 16, EVENT_TEST = 1 << 17, EVENT_SECURITY = 1 << 18, EVENT_MESSAGE = 1 << 30
};
/* No class, but what somebody wants beyond `dialplan` and `call`: every VarSet, not those of some variables alone, and CEL. Together they
 * are most of what a busy server sends. */
#define EVENT_BULK (UINT32_C(1) << 31)
/* All events, known or not. */
#define EVENT_CLASSES_ALL UINT32_MAX

#define EVENT_MASK_TEXT 192
/* Writes the mask that lets these classes pass: "call,agent"; "on" for all, or, where `listed`, all of them by name. Never empty. */
void event_mask_write(uint32_t classes, bool listed, char out[EVENT_MASK_TEXT]);

/* Does an event of that one class ("call") pass `mask` ("on", "call,agent", "6")? One of several classes passes only if each
 * does (Q62). Case counts, as it does for Asterisk. */
bool event_mask_hears(struct slice mask, struct slice class);
/* True when `mask` holds a word that is no class of Asterisk, and so lets nothing pass: `*word`. */
bool event_mask_unknown(struct slice mask, struct slice *word);

#endif
