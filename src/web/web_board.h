/* The page of the board: the files of lib/board under /board/, without a token, because the page asks for one; it holds no secret. */
#ifndef WEB_WEB_BOARD_H
#define WEB_WEB_BOARD_H

#include "web/web_internal.h"

/* True for / and everything below /board. */
bool web_board_has(struct slice path);
void web_board_answer(struct web *web, struct web_connection *c, const struct web_request *request);

#endif
