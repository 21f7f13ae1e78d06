/* `ctl top` on a terminal: shows screens that come over a socket until q, Ctrl-C or the end of the stream. */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include "base/buf.h"

/* `held` has what has come already; screens are ended by form feeds. True when the user ended it, false when the stream did. */
bool screen_show(int fd, struct buf *held);

#endif
