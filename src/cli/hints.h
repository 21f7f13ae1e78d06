/* `ctl`: names that nobody knows, before they are sent. */
#ifndef CLI_HINTS_H
#define CLI_HINTS_H

/* Says on stderr which events of `tail` and which action of `call` are unknown, and what was probably meant. The command goes on:
 * modules from outside of Asterisk's tree have names of their own. */
void hints_print(int word_count, char *const *words);

#endif
