/* `ctl record`: puts the blocks that come over the console's socket into the files of a recording. */
#ifndef CLI_TAKE_H
#define CLI_TAKE_H

#include "base/buf.h"

/* `held` has what has come already. Until a signal ends it (CMD_OK), the session (CMD_FAULT) or the daemon (CMD_NO_DAEMON);
 * the reason is on stderr. At the end says on stdout what is recorded, as JSON if wanted. */
int take_recording(int fd, struct buf *held, const char *path, bool json);

#endif
