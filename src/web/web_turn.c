#include "web/web_turn.h"

#include "base/clock.h"

#define SHARE 100000u /* ns: a twentieth of what a server may take (limits.turn_microseconds) */

void web_turn_init(struct web_turn *turn, struct ev_loop *loop)
{
	*turn = (struct web_turn){ .loop = loop };
}

bool web_turn_is_over(const struct web_turn *turn)
{
	return turn->turn == ev_iteration(turn->loop) && turn->used >= SHARE;
}

void web_turn_begin(struct web_turn *turn)
{
	unsigned now = ev_iteration(turn->loop);

	if (turn->turn != now)
		turn->used = 0;
	turn->turn = now;
	turn->began = clock_mono_ns();
}

bool web_turn_end(struct web_turn *turn)
{
	turn->used += clock_mono_ns() - turn->began;
	return turn->used < SHARE;
}
