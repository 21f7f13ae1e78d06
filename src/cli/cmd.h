/* The subcommands: one function for each, called by main with the subcommand's name as argv[0]. */
#ifndef CLI_CMD_H
#define CLI_CMD_H

struct faults;

/* What every command exits with. */
enum {
	CMD_OK = 0,
	CMD_FAULT = 1,    /* it did not work */
	CMD_USAGE = 2,    /* it was called wrongly */
	CMD_NO_DAEMON = 3 /* ctl: nobody answers on the socket */
};

int cmd_run(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_sim(int argc, char **argv);
int cmd_ctl(int argc, char **argv);

/* The configuration to read when -c is not given: conf/hookswitch.lua, else /etc/hookswitch/hookswitch.lua. */
const char *cmd_default_config(void);
/* "hookswitch check: unknown option …" went to stderr by getopt; adds where help is found. Returns CMD_USAGE. */
int cmd_usage_error(const char *command);
/* One a line on stderr, secrets masked: a rule may quote one in its error (P8). */
void cmd_print_faults(const struct faults *faults);

#endif
