/* Builds an owned log entry from a caller's: masked (P8), bounded (P2), cut between characters. */
#ifndef OBSERVE_LOG_ENTRY_H
#define OBSERVE_LOG_ENTRY_H

#include "observe/log_format.h"

/* About 28 KiB: lives on the caller's stack while a record is made. */
struct log_builder {
	struct log_entry entry; /* valid as long as the builder */
	size_t used;            /* of `bytes` */
	struct log_field fields[LOG_FIELDS_MAX];
	char bytes[LOG_RECORD_MAX];
};

/* Fills the builder, with the present time. `text` NULL is an empty one. */
void log_entry_build(struct log_builder *builder, enum log_level level, const char *text,
                     const struct log_field *fields, size_t count);
/* Bytes that a copy of the built entry needs for its fields and texts. */
size_t log_entry_size(const struct log_builder *builder);
/* Copies the entry; its fields and texts go to `memory` (aligned for pointers, log_entry_size() bytes). */
void log_entry_copy(struct log_entry *to, void *memory, const struct log_builder *builder);

#endif
