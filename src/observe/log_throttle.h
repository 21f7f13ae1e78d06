/* Holds back records that repeat (P9). For the writer thread only; times are nanoseconds of clock_mono_ns(). */
#ifndef OBSERVE_LOG_THROTTLE_H
#define OBSERVE_LOG_THROTTLE_H

#include "observe/log_format.h"

struct log_throttle;

/* Gets the report of records that were held back: the repeated text, its server and rule, `repeated` and `seconds`. */
typedef void log_throttle_report_fn(void *ctx, const struct log_entry *report);

struct log_throttle *log_throttle_create(log_throttle_report_fn *fn, void *ctx);
/* Reports what is still held back. */
void log_throttle_destroy(struct log_throttle **throttle);
/* True when the entry may be written: at most `burst` with the same text, server and rule in `window`. */
bool log_throttle_pass(struct log_throttle *throttle, const struct log_entry *entry, uint64_t now, unsigned burst,
                       uint64_t window);
/* Reports and forgets every window that is over. */
void log_throttle_expire(struct log_throttle *throttle, uint64_t now, uint64_t window);
/* When the next report is due; UINT64_MAX when nothing is held back. */
uint64_t log_throttle_deadline(const struct log_throttle *throttle, uint64_t window);

#endif
