/* `ctl top`: what stands on the screen. Nothing here knows a terminal or a socket. */
#ifndef CLI_TOP_DRAW_H
#define CLI_TOP_DRAW_H

#include "base/buf.h"
#include "cli/top_data.h"

enum top_part { TOP_SERVERS, TOP_QUEUES, TOP_RULES, TOP_PARTS };

/* What the user has chosen. All zero: all parts, sorted by what matters most, the first server selected. */
struct top_view {
	enum top_part focus;
	struct {
		unsigned column;   /* sorted by; 0: the default: events, callers waiting, CPU */
		bool by_name;      /* `column` 0 is meant */
		bool reverse;
		char selected[160]; /* see row_key(); "": the first row */
		size_t offset;     /* rows above the first that is shown */
		size_t shown;      /* by the last drawing: rows that fit */
	} parts[TOP_PARTS];
	char server[80];       /* this server alone; "": all */
	unsigned width;        /* characters; 0: as wide as it comes */
	unsigned height;       /* lines; 0: as long as it comes, without the line of keys */
	bool styled;           /* bold and reverse video */
	bool coloured;
};

/* Appends the lines, each with its end, no more than `height`. Keeps the selected row in sight. */
void top_draw(const struct top_data *data, struct top_view *view, struct buf *out);

/* A key: a character, or one of these. False when it ends the program. */
enum top_key { TOP_UP = 256, TOP_DOWN, TOP_LEFT, TOP_RIGHT, TOP_PAGE_UP, TOP_PAGE_DOWN, TOP_HOME, TOP_END, TOP_ESCAPE };
bool top_press(const struct top_data *data, struct top_view *view, int key);

/* Sorts by that column; the first part that has it gets the focus. False when none has it. */
bool top_sort_by(struct top_view *view, const char *column);

#endif
