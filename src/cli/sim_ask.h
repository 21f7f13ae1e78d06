/* `hookswitch sim --ask PATH COMMAND …`: asks a simulator that runs with --truth PATH. */
#ifndef CLI_SIM_ASK_H
#define CLI_SIM_ASK_H

/* Sends the words as one command, prints the answer, one line of JSON. An exit code: CMD_FAULT with a text on stderr when nobody
 * answers, and when the simulator refuses. */
int sim_ask(const char *path, int count, char *const *words);

#endif
