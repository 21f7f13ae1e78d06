/* The state file: opened before the first rule is loaded, polled by the rules' turns, closed after the last of them. */
#include "engine/internal.h"

#include <stdlib.h>

#include "base/clock.h"
#include "engine/mapping.h"
#include "observe/log.h"
#include "persist/persist.h"
#include "rules/store.h"

/* From the disk's thread. The loop's next turn polls. */
static void notify(void *ctx)
{
	struct engine *e = ctx;
	ev_async_send(e->loop, &e->persist_wake);
}

static void on_wake(struct ev_loop *loop, ev_async *watcher, int events)
{
	(void)loop;
	(void)watcher;
	(void)events;
}

static void set(const struct engine *e, const char *name, double value)
{
	struct series *s = metric_series(metrics_find(e->metrics, name), NULL, 0);
	if (s)
		s->value = value;
}

static void collect(void *ctx)
{
	struct engine *e = ctx;
	struct persist_status s;

	persist_status(e->persist, &s);
	set(e, "hookswitch_persist_failing", s.failing || s.rewriting);
	set(e, "hookswitch_persist_dirty_bytes", (double)s.dirty_bytes);
	set(e, "hookswitch_persist_wal_bytes", (double)s.wal_bytes);
	set(e, "hookswitch_persist_file_bytes", (double)s.file_bytes);
	set(e, "hookswitch_persist_entries", (double)s.entries);
	set(e, "hookswitch_persist_unfolded_rows", (double)s.log_rows);
	set(e, "hookswitch_persist_commits_total", (double)s.commits);
	set(e, "hookswitch_persist_commit_seconds_total", s.commit_seconds);
	set(e, "hookswitch_persist_rows_total", (double)s.rows);
	set(e, "hookswitch_persist_failures_total", (double)s.failures);
	set(e, "hookswitch_persist_damaged_total", (double)s.damages);
}

static void add_metrics(struct engine *e)
{
	static const struct {
		enum metric_type type;
		const char *name, *help;
	} families[] = {
		{ METRIC_GAUGE, "hookswitch_persist_failing", "1 while the state file cannot be written, or is being written anew after damage." },
		{ METRIC_GAUGE, "hookswitch_persist_dirty_bytes", "Changes that are not on disk yet." },
		{ METRIC_GAUGE, "hookswitch_persist_wal_bytes", "Bytes of the state file's write-ahead log that are not in the file yet." },
		{ METRIC_GAUGE, "hookswitch_persist_file_bytes", "Size of the state file, without its write-ahead log." },
		{ METRIC_GAUGE, "hookswitch_persist_entries", "Entries of persistent stores." },
		{ METRIC_GAUGE, "hookswitch_persist_unfolded_rows", "Changes of entries that are in the state file's log only." },
		{ METRIC_COUNTER, "hookswitch_persist_commits_total", "Commits to the state file." },
		{ METRIC_COUNTER, "hookswitch_persist_commit_seconds_total", "Time that commits have taken." },
		{ METRIC_COUNTER, "hookswitch_persist_rows_total", "Rows that commits have written." },
		{ METRIC_COUNTER, "hookswitch_persist_failures_total", "Writes to the state file that failed." },
		{ METRIC_COUNTER, "hookswitch_persist_damaged_total", "How often the state file was found damaged." },
	};
	for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
		struct err err;
		if (!metrics_add(e->metrics, families[i].type, families[i].name, families[i].help, NULL, 0, NULL, 0, 0, &err))
			abort(); /* two parts of the engine use one name */
	}
	metrics_on_collect(e->metrics, collect, e);
}

int engine_persist_open(struct engine *e, const struct config *config, struct err *err)
{
	struct persist_options options;

	mapping_persist(config, &options);
	options.notify = notify;
	options.ctx = e;
	/* Before the first notification. */
	ev_async_init(&e->persist_wake, on_wake);
	ev_async_start(e->loop, &e->persist_wake);
	ev_unref(e->loop); /* alone it keeps no loop alive */
	uint64_t began = clock_mono_ns();
	struct err reason;
	e->persist = persist_open(&options, began, &reason);
	if (!e->persist) {
		err_set(err, reason.code, "persist.file: %s", reason.text);
		ev_ref(e->loop);
		ev_async_stop(e->loop, &e->persist_wake);
		return -1;
	}
	struct persist_status status;
	persist_status(e->persist, &status);
	log_write(LOG_INFO, "persistent state loaded", F_TEXT("file", config->persist.file), F_INT("entries", status.entries),
	          F_NUMBER("seconds", (double)(clock_mono_ns() - began) / 1e9));
	store_use_disk(host_store(e->host), e->persist);
	add_metrics(e);
	return 0;
}

void engine_persist_configure(struct engine *e)
{
	struct persist_options options;
	if (!e->persist)
		return;
	mapping_persist(e->config, &options);
	persist_limit(e->persist, &options.limits, options.dirty_bytes);
}

void engine_persist_close(struct engine *e)
{
	if (!e->persist)
		return;
	metrics_remove_collect(e->metrics, collect, e);
	store_use_disk(host_store(e->host), NULL);
	persist_close(&e->persist, clock_mono_ns(), e->config ? e->config->persist.close : 1);
	ev_ref(e->loop);
	ev_async_stop(e->loop, &e->persist_wake);
}

struct persist *engine_persist(struct engine *e)
{
	return e->persist;
}
