/* Runs a configuration file in a Lua state of its own and gives what it returned as plain data.
 *
 * The chunk sees three functions, `env`, `file` and `include`, and nothing else; conf/README.md says what they do. The
 * state has at most READ_MEMORY_MAX bytes and READ_STEPS_MAX VM instructions or READ_SECONDS_MAX of CPU time.
 */
#ifndef CONFIG_READ_H
#define CONFIG_READ_H

#include "base/faults.h"
#include "base/value.h"

#define READ_MEMORY_MAX (16u << 20)
#define READ_STEPS_MAX 10000000u
#define READ_SECONDS_MAX 2
#define READ_SOURCE_MAX (1u << 20)   /* one configuration file */
#define READ_FILE_MAX (64u << 10)    /* what `file` reads */
#define READ_FILES_MAX 1000          /* included files in all */
#define READ_DEPTH_MAX 8             /* an include inside an include … */

/* Stands for a value that `env` or `file` could not give. It has a fault already, so a text with it deserves no other. */
#define READ_MISSING "\1missing\1"

struct reading {
	struct value root;   /* what the file returned, nil when it did not get so far */
	bool incomplete;     /* an include failed or the tree was cut: what seems to be missing may stand there */
	bool has_missing;    /* READ_MISSING was given out; else a text that looks like it is only a text */
	char **secrets;      /* owned: values of env and file, each once */
	size_t secret_count;
};

/* `dir`: the folder that relative paths count from. Every problem is a fault; reading goes on past one in env, file or
 * include. Blocks on files. */
void reading_init(struct reading *reading, const char *path, const char *dir, struct faults *faults);
void reading_close(struct reading *reading);
void reading_add_secret(struct reading *reading, struct slice value);

/* dir/path, or path itself when it is absolute or `dir` is "."; malloc'd. */
char *read_join(const char *dir, const char *path);

#endif
