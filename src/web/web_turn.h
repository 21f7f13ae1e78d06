/* The time that clients may take of one turn of the loop: TLS handshakes, all together, requests, all together, and streams, all together.
 * Many of them delay an event by that much, not by their number (P5). What is left waits for the next turn, behind the events that have
 * come. */
#ifndef WEB_WEB_TURN_H
#define WEB_WEB_TURN_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

/* Of the watchers of such work: what servers have sent comes first. */
#define WEB_TURN_PRIORITY (-1)

struct web_turn {
	struct ev_loop *loop;
	unsigned turn;
	uint64_t used, began; /* ns in that turn; when the piece under way began */
};

void web_turn_init(struct web_turn *turn, struct ev_loop *loop);
/* Around each piece of work. Whoever has a piece to do may do one in a turn, and goes on while web_turn_end() is true; false: the time is
 * used up. */
void web_turn_begin(struct web_turn *turn);
bool web_turn_end(struct web_turn *turn);
bool web_turn_is_over(const struct web_turn *turn);

#endif
