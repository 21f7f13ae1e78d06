/* Servers and rules as changes of /api/live: much of them changes without an event, so they are looked at again and again. */
#ifndef WEB_WEB_LOOK_H
#define WEB_WEB_LOOK_H

#include "web/web_intake.h"
#include "web/web_internal.h"

/* What was reported last. */
struct web_look {
	struct list reported;
};

void web_look_init(struct web_look *look);
/* Forgets it. */
void web_look_clear(struct web_look *look);
/* Reports what is not as it was. */
void web_look(struct web_look *look, struct web *web, struct web_intake *intake);

#endif
