/* The limits of rules, one line each: name, C type, least, greatest, default, unit, whose, help. All else is made of these lines: the
 * fields of struct rule_limits, the options `limits.NAME` of the configuration with their documentation, the limits of a rule test,
 * and what makes a reload replace a rule.
 *   EACH  of one rule: a rule for which it changes is replaced
 *   ALL   of all rules together, or read anew each time: a change replaces nothing */
#ifndef BASE_RULE_LIMITS_H
#define BASE_RULE_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#define RULE_LIMITS_KIB 1024.0
#define RULE_LIMITS_MIB (1024.0 * 1024.0)

/* clang-format off */
#define RULE_LIMITS(X) \
	X(deadline, double, 0.001, 60, 0.05, "s", EACH, \
	  "CPU time of a rule since it was last resumed. Beyond, the call is ended.") \
	X(slow_call, double, 0, 60, 0.02, "s", ALL, \
	  "A call of a rule that takes so long is logged as `a slow call`, at most once a second for each rule, and counted. In a turn with many calls of a rule, most are measured to 10 ms only. 0: none is.") \
	X(load_deadline, double, 0.001, 60, 0.5, "s", EACH, \
	  "CPU time that one rule file may take to load.") \
	X(load_total, double, 0.1, 3600, 10, "s", ALL, \
	  "CPU time that all rule files may take together. Beyond, no further file is loaded: a reload fails, at start-up the files that are left are not run.") \
	X(stuck, double, 0.01, 600, 0.25, "s", EACH, \
	  "CPU time after which a call that the deadline cannot end, because it is in one long instruction, is ended with its rule. The rule begins anew later. Must be longer than `deadline`.") \
	X(load_stuck, double, 0.01, 600, 2, "s", ALL, \
	  "The same for a file that is being loaded, which fails. Must be longer than `load_deadline`.") \
	X(memory, size_t, 1 * RULE_LIMITS_MIB, 65536 * RULE_LIMITS_MIB, 256 * RULE_LIMITS_MIB, "bytes", ALL, \
	  "Memory of all rules together, with what the engine keeps for them; those that a reload loads beside the running ones count as well.") \
	X(rule_memory, size_t, 64 * RULE_LIMITS_KIB, 65536 * RULE_LIMITS_MIB, 32 * RULE_LIMITS_MIB, "bytes", EACH, \
	  "Memory of one rule, with what the engine keeps for it; at most `memory`.") \
	X(waiting, uint32_t, 1, 1000000, 1000, "calls", EACH, \
	  "Calls of one rule that may wait at the same time. Beyond, the next is not started, which is counted and reported to the rule.") \
	X(listeners, uint32_t, 1, 1000000, 10000, "listeners", EACH, \
	  "Listeners of one rule.") \
	X(timers, uint32_t, 1, 1000000, 10000, "timers", EACH, \
	  "Timers of one rule.") \
	X(pending, uint32_t, 1, 1000000, 1000, "actions", EACH, \
	  "Actions of one rule without an answer yet. Beyond, its sends fail as `backpressure`. As many jobs that it pushes may be on their way to the disk.") \
	X(http_pending, uint32_t, 1, 100000, 64, "requests", EACH, \
	  "Requests of `http` of one rule without an answer yet. Beyond, the next fails as `backpressure`.") \
	X(subscriptions, uint32_t, 1, 1000000, 1000, "subscriptions", EACH, \
	  "Subscriptions of one rule, those of `ami.wait` with them.") \
	X(subscription_events, uint32_t, 1, 1000000, 1000, "events", EACH, \
	  "Events that one subscription may hold. Beyond, it ends as `overflow`.") \
	X(live_objects, uint32_t, 1, 10000000, 10000, "objects", EACH, \
	  "Calls, channels, queues and other objects of the live picture that one rule may hold at the same time. Beyond, the next is an error.") \
	X(actions_per_second, uint32_t, 0, 1000000, 1000, "actions/s", EACH, \
	  "Of one rule to one server. Beyond, its sends fail as `backpressure`. 0: no limit.") \
	X(log_lines_per_second, uint32_t, 0, 1000000, 1000, "lines/s", EACH, \
	  "Of one rule. Beyond, lines are dropped and counted. 0: no limit.") \
	X(store_entries, size_t, 1, 100000000, 100000, "entries", ALL, \
	  "Entries that one rule may have written to stores.") \
	X(store_bytes, size_t, 1 * RULE_LIMITS_KIB, 65536 * RULE_LIMITS_MIB, 16 * RULE_LIMITS_MIB, "bytes", ALL, \
	  "The same in bytes.") \
	X(store_value, size_t, 64, 1024 * RULE_LIMITS_MIB, 64 * RULE_LIMITS_KIB, "bytes", EACH, \
	  "One value of a store.") \
	X(queues, size_t, 1, 100000, 1000, "queues", ALL, \
	  "Names of queues that jobs may be pushed to. Beyond, `work.push` fails as `overflow`.") \
	X(queue_jobs, size_t, 1, 10000000, 10000, "jobs", ALL, \
	  "Jobs of one queue that wait or run. Beyond, `work.push` fails as `backpressure`. As many ids of done jobs are remembered for their `dedup`. Beyond, the oldest is forgotten, which is counted and logged.") \
	X(queue_dead, size_t, 1, 1000000, 1000, "jobs", ALL, \
	  "Dead jobs of one queue. Beyond, the oldest is dropped, which is counted and logged.") \
	X(job_bytes, size_t, 64, 64 * RULE_LIMITS_MIB, 64 * RULE_LIMITS_KIB, "bytes", EACH, \
	  "One job. Pushing a larger one raises.") \
	X(emitted, uint32_t, 1, 10000000, 10000, "events", ALL, \
	  "Events of `ami.emit` and `ctl emit` that may wait for one rule, a quarter of them of one emitter. Beyond, `ami.emit` fails as `overflow`.") \
	X(rule_events, uint32_t, 1, 100000000, 10000, "events", EACH, \
	  "Events of one server that may wait for one rule. Beyond, the rule skips events, which are counted and reported to it as `server.gap`.") \
	X(rule_bytes, uint32_t, 4 * RULE_LIMITS_KIB, 1024 * RULE_LIMITS_MIB, 16 * RULE_LIMITS_MIB, "bytes", EACH, \
	  "The same in bytes. As many bytes of emitted events may wait for it, a quarter of them of one emitter, and as many bytes of answers.") \
	X(turn_rules, double, 0.001, 60, 0.02, "s", ALL, \
	  "Time of all rules in one turn of the loop. What is left waits for the next turn, which begins with the rule after the last one served.") \
	X(turn_events, uint32_t, 1, 1000000, 512, "events", ALL, \
	  "Events of one server that rules may take in one half of a turn of the loop: as they arrive, and from those that wait.") \
	X(turn_bytes, uint32_t, 1 * RULE_LIMITS_KIB, 1024 * RULE_LIMITS_MIB, 256 * RULE_LIMITS_KIB, "bytes", ALL, \
	  "The same in bytes.") \
	X(turn_microseconds, uint32_t, 10, 10000000, 2000, "µs", ALL, \
	  "The same in time.") \
	X(json_bytes, size_t, 64, 1024 * RULE_LIMITS_MIB, 1 * RULE_LIMITS_MIB, "bytes", EACH, \
	  "Longest text of `json.encode` and `json.decode`.") \
	X(json_depth, uint32_t, 1, 200, 64, "levels", EACH, \
	  "Deepest nesting of both.") \
	X(metric_series, uint32_t, 1, 1000000, 1000, "series", EACH, \
	  "Label sets of one metric of a rule.")
/* clang-format on */

struct rule_limits {
#define RULE_LIMITS_FIELD(name, type, least, greatest, value, unit, whose, help) type name;
	RULE_LIMITS(RULE_LIMITS_FIELD)
#undef RULE_LIMITS_FIELD
	double drain; /* seconds that a replaced rule may go on (scripts.drain) */
};

#endif
