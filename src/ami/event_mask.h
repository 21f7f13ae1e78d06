/* What a session hears of the events: the `Events` header of its login, as Asterisk reads it. Pure. */
#ifndef AMI_EVENT_MASK_H
#define AMI_EVENT_MASK_H

#include "base/slice.h"

/* Does an event of that one class ("call") pass `mask` ("on", "call,agent", "6")? One of several classes passes only if each
 * does (Q62). Case counts, as it does for Asterisk. */
bool event_mask_hears(struct slice mask, struct slice class);
/* True when `mask` holds a word that is no class of Asterisk, and so lets nothing pass: `*word`. */
bool event_mask_unknown(struct slice mask, struct slice *word);

#endif
