#include "engine/replay_internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ami/framer.h"
#include "base/clock.h"
#include "base/mem.h"
#include "observe/redact.h"
#include "rules/picture.h"
#include "sandbox/deadline.h"

#define READ_SIZE 65536u
/* A capture's frames may be larger than a live server's. */
#define FRAME_MAX (64u * 1024 * 1024)
#define HEADERS_MAX (1u << 20)

/* ---- time ---- */

static bool complete_due(struct replay *r)
{
	bool any = false;
	for (struct waiting_answer **at = &r->answers; *at;) {
		struct waiting_answer *answer = *at;
		if (answer->due > r->now) {
			at = &answer->next;
			continue;
		}
		*at = answer->next;
		if (!*at)
			r->last_answer = at;
		host_complete(r->host, answer->reply);
		free(answer);
		any = true;
		at = &r->answers; /* the rule may have sent more */
	}
	return any;
}

static uint64_t next_answer(const struct replay *r)
{
	uint64_t due = UINT64_MAX;
	for (const struct waiting_answer *a = r->answers; a; a = a->next)
		if (a->due < due)
			due = a->due;
	return due;
}

/* The virtual wall clock stands at `wall` now. */
static void set_wall(struct replay *r, double wall)
{
	r->wall = r->wall_set = wall;
	r->wall_set_at = r->now;
}

static void pass_time(struct replay *r, uint64_t to)
{
	if (r->options.speed > 0 && to > r->now) {
		double seconds = (double)(to - r->now) / 1e9 / r->options.speed;
		struct timespec wait = { .tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };
		nanosleep(&wait, NULL);
	}
	r->now = to;
	r->wall = r->wall_set + (double)(to - r->wall_set_at) / 1e9; /* in one step: many small ones would round each */
}

/* Turns of the rules until virtual time `until`, each timer at its own time. Ends the replay when they want to run at once for
 * ever. */
static void run_until(struct replay *r, uint64_t until)
{
	uint64_t since = r->now;
	for (unsigned turns = 0; r->host && !r->stands; turns++) {
		if (r->now - since >= HOST_TURNS_NS) {
			since = r->now;
			turns = 0;
		}
		if (turns == HOST_TURNS_STANDING) {
			const char *rule = host_busiest_rule(r->host);
			err_set(&r->standing, ERR_TIMEOUT, "is not replayed to its end: rule '%s' wants to run at once again and again (%u turns in %g s of the "
			        "capture's time); a loop around timer.sleep(0), or an event that it emits to itself?",
			        rule ? rule : "?", HOST_TURNS_STANDING, (double)HOST_TURNS_NS / 1e9);
			r->stands = true;
			return;
		}
		bool any = complete_due(r);
		any |= replay_http_complete(r, r->now);
		uint64_t next = host_turn(r->host), answer = next_answer(r);
		if (next == 0 || any)
			continue;
		if (replay_http_next(r) < answer)
			answer = replay_http_next(r);
		if (answer < next)
			next = answer;
		if (next > until)
			break;
		if (next > r->now)
			pass_time(r, next);
	}
	if (until > r->now)
		pass_time(r, until);
}

/* The capture's own idea of time, where a frame has one: a Timestamp (Q14), or the second in which a channel was made. */
static bool frame_time(const struct message *m, double *at)
{
	struct slice text;
	if (!message_get(m, SLICE("Timestamp"), &text) &&
	    !(slice_eq(m->name, SLICE("Newchannel")) && message_get(m, SLICE("Uniqueid"), &text)))
		return false;
	char number[32];
	snprintf(number, sizeof number, "%.*s", (int)(text.len < 31 ? text.len : 31), text.ptr);
	/* A Uniqueid may have a system's name in front: "pbx1-1795210149.21". */
	const char *digits = strrchr(number, '-');
	*at = strtod(digits ? digits + 1 : number, NULL);
	return *at > 1e8 && *at < 1e11;
}

static void read_time(struct replay *r)
{
	unsigned long long offset;
	char line[128];

	r->next_offset = UINT64_MAX;
	if (fgets(line, sizeof line, r->times) && sscanf(line, "%llu %lf", &offset, &r->next_at) == 2 && r->next_at > 0 && r->next_at < 1e11)
		r->next_offset = offset;
}

/* When the last byte before `end` arrived. */
static bool arrival_time(struct replay *r, uint64_t end, double *at)
{
	while (r->next_offset < end) {
		r->at = r->next_at;
		read_time(r);
	}
	*at = r->at;
	return r->at > 0;
}

/* `path.times`, where it stands. */
static void open_times(struct replay *r, const char *path)
{
	struct buf name;

	buf_init(&name, 0);
	buf_printf(&name, "%s.times", path);
	r->times = fopen(buf_cstr(&name), "re");
	r->offset = 0;
	r->at = 0;
	buf_close(&name);
	if (!r->times)
		return;
	read_time(r);
	if (r->next_offset != UINT64_MAX && !r->wall_known) {
		set_wall(r, r->next_at);
		r->wall_known = true;
	}
}

static void close_times(struct replay *r)
{
	if (r->times)
		fclose(r->times);
	r->times = NULL;
}

static void follow_time(struct replay *r, const struct message *m, size_t used)
{
	double at;
	if (r->times ? !arrival_time(r, r->offset + used, &at) : !frame_time(m, &at))
		return;
	if (!r->wall_known) {
		set_wall(r, at);
		r->wall_known = true;
	} else if (at > r->wall) {
		run_until(r, r->now + clock_from_seconds(at - r->wall));
		r->wall = at; /* what the steps on the way have rounded does not add up */
	}
}

/* ---- frames ---- */

static void begin_session(struct replay *r, struct slice version)
{
	struct host_server server;
	snprintf(r->version, sizeof r->version, "%.*s", (int)(version.len < 15 ? version.len : 15), version.ptr);
	r->ready = true;
	r->list.action = NULL;
	if (!r->host)
		return;
	picture_session(host_picture(r->host), REPLAY_SERVER_ID, version);
	replay_ops.server_at(r, 0, &server);
	host_engine_event(r->host, "server.ready", &server,
	                  (const struct host_field[]){ { "reason", SLICE("connected") }, { "version", version } }, 2);
	run_until(r, r->now);
}

static void take_frame(struct replay *r, const struct message *m, size_t used)
{
	follow_time(r, m, used);
	frame_counts_add(&r->counts, m);
	if (!r->host || m->kind != MESSAGE_EVENT)
		return;
	replay_list_take(r, m);
	uint64_t stamp;
	unsigned fate = host_event(r->host, r->feed, m, r->wall, &stamp);
	if ((fate & HOST_WAITS) && frame_log_append(&r->log, m, r->wall, stamp, fate & HOST_HEARD))
		abort(); /* memory is out */
	run_until(r, r->now);
}

static void count_skipped(struct replay *r, const struct framer *framer, enum framer_status status, size_t used)
{
	r->counts.malformed += status == FRAMER_MALFORMED;
	r->counts.oversized += status == FRAMER_OVERSIZE;
	if (status == FRAMER_MALFORMED || status == FRAMER_OVERSIZE || (status == FRAMER_MORE && framer->skipping))
		r->counts.skipped_bytes += used;
}

static int refuse(struct err *err)
{
	return err_set(err, ERR_PROTOCOL, "is no AMI capture: it does not begin with a banner (\"Asterisk Call Manager/…\")");
}

/* Frames out of what is held. -1 when the bytes are no AMI. */
static int take_bytes(struct replay *r, struct framer *framer, struct buf *held, struct err *err)
{
	for (;;) {
		struct message m;
		size_t used = 0;
		enum framer_status status = framer_next(framer, buf_slice(held), &m, &used);
		if (status == FRAMER_NOT_AMI)
			return refuse(err);
		count_skipped(r, framer, status, used);
		if (status == FRAMER_BANNER)
			begin_session(r, framer_banner_version(slice_make(m.bytes, m.len)));
		else if (status == FRAMER_FRAME)
			take_frame(r, &m, used);
		buf_consume(held, used);
		r->offset += used;
		if (r->stands) {
			*err = r->standing;
			return -1;
		}
		if (status == FRAMER_MORE)
			return 0;
	}
}

/* A recording that was begun in mid-session has no banner: it begins with a frame. */
static bool begins_with_frame(struct slice s)
{
	return slice_starts_with_nocase(s, SLICE("Event: ")) || slice_starts_with_nocase(s, SLICE("Response: "));
}

/* Reads the first block ahead, before any rule runs: rules begin at the time of the first frame that has one. False when it is
 * no capture: its first line is no Asterisk's, and neither event nor response follows. */
static bool read_ahead(struct replay *r, struct slice block, bool banner)
{
	struct framer framer;
	const struct framer_limits limits = { .max_frame = FRAME_MAX, .max_headers = HEADERS_MAX };
	enum framer_status status = FRAMER_BANNER;
	bool known = !banner || slice_starts_with(block, SLICE("Asterisk Call Manager/"));

	framer_init(&framer, &limits, banner);
	while (!(known && r->wall_known) && status != FRAMER_MORE && status != FRAMER_NOT_AMI) {
		struct message m;
		size_t used = 0;
		status = framer_next(&framer, block, &m, &used);
		known |= status == FRAMER_FRAME && m.kind != MESSAGE_OTHER;
		double at;
		if (status == FRAMER_FRAME && !r->wall_known && frame_time(&m, &at)) {
			set_wall(r, at);
			r->wall_known = true;
		}
		block.ptr += used;
		block.len -= used;
	}
	framer_close(&framer);
	/* A first line that is no banner is refused where it is read. */
	return known || status == FRAMER_NOT_AMI || framer.expect_banner;
}

static int begin(struct replay *r, struct framer *framer, struct slice block, struct err *err)
{
	bool banner = !begins_with_frame(block);

	if (!read_ahead(r, block, banner))
		return err_set(err, ERR_PROTOCOL, "is no AMI capture: no event and no response follows its first line");
	if (!banner) {
		framer_reset(framer, false);
		begin_session(r, SLICE(""));
	}
	return 0;
}

static int feed(struct replay *r, int fd, struct err *err)
{
	struct framer framer;
	const struct framer_limits limits = { .max_frame = FRAME_MAX, .max_headers = HEADERS_MAX };
	struct buf held;
	char *block = mem_alloc(READ_SIZE);
	bool first = true;
	int rc = 0;
	ssize_t n;

	buf_init(&held, 0);
	framer_init(&framer, &limits, true);
	while (rc == 0 && (n = read(fd, block, READ_SIZE)) != 0) {
		if (n == -1) {
			rc = err_system(err, "cannot be read");
			break;
		}
		r->counts.bytes += (uint64_t)n;
		if (first)
			rc = begin(r, &framer, slice_make(block, (size_t)n), err);
		first = false;
		for (ssize_t at = 0; at < n && rc == 0;) {
			size_t len = r->options.chunk < (size_t)(n - at) ? r->options.chunk : (size_t)(n - at);
			if (buf_append(&held, slice_make(block + at, len)))
				abort(); /* unbounded buffer: memory is out */
			at += (ssize_t)len;
			rc = take_bytes(r, &framer, &held, err);
		}
	}
	if (rc == 0 && first)
		rc = err_set(err, ERR_PROTOCOL, "is empty: a capture begins with the server's banner");
	else if (rc == 0 && framer.expect_banner)
		rc = refuse(err);
	r->counts.partial_tail = framer_partial(&framer, buf_slice(&held));
	if (r->counts.partial_tail)
		r->counts.skipped_bytes += buf_len(&held);
	framer_close(&framer);
	buf_close(&held);
	free(block);
	return rc;
}

int replay_file(struct replay *r, const char *path, struct err *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return err_system(err, "cannot be opened");
	frame_counts_close(&r->counts);
	map_init(&r->counts.by_event, false);
	map_init(&r->counts.by_response, false);
	open_times(r, path);
	int rc;
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		rc = err_set(err, ERR_INVALID, "is a directory; name the captures in it");
	else
		rc = feed(r, fd, err);
	close(fd);
	close_times(r);
	r->ready = false;
	if (r->host)
		picture_lost(host_picture(r->host), REPLAY_SERVER_ID);
	return rc;
}

/* ---- life ---- */

static void on_shed(void *ctx, void *cursor, struct slice name, bool first)
{
	(void)ctx;
	(void)first;
	host_skipped(cursor, name);
}

static int load_rules(struct replay *r, const struct replay_options *options, struct faults *faults)
{
	struct rules_options rules;
	const char **names;
	struct value settings;
	const char *server = options->server;

	if (replay_http_open(r, options->http, faults))
		return -1;
	mapping_rules(r->config, &rules, &names, &settings);
	if (options->rules)
		rules.rules = options->rules;
	if (options->lib)
		rules.lib = options->lib;
	rules.ops = &replay_ops;
	rules.ctx = r;
	rules.policy = mapping_policy(r->config);
	rules.servers = &server;
	rules.server_count = 1;

	/* Time stands still while the rules run: they take everything at once. */
	rules.limits.turn_rules = 0;
	rules.limits.turn_events = 0;
	r->host = host_create(&rules.limits, &replay_ops, r, r->metrics);
	struct persist_options persist;
	mapping_persist(r->config, &persist);
	persist.file = NULL;
	r->persist = persist_open(&persist, r->now, NULL);
	frame_log_init(&r->log, &(struct frame_log_options){ .events = UINT32_MAX, .bytes = UINT32_MAX, .kept_bytes = UINT32_MAX, .shed = on_shed },
	               &r->pool);
	r->feed = host_feed_open(r->host, REPLAY_SERVER_ID, options->server, &r->log);
	struct picture_options picture;
	mapping_picture(r->config, &picture);
	picture_configure(host_picture(r->host), &picture);
	picture_add(host_picture(r->host), REPLAY_SERVER_ID, options->server);
	rules.store = host_store(r->host);
	rules.picture = host_picture(r->host);
	rules.budget = host_budget(r->host);
	store_use_disk(rules.store, r->persist);
	host_allow_jobs(r->host, options->jobs);
	struct rule_set *loaded = rule_set_load(&rules, faults);
	policy_unref(&rules.policy);
	if (loaded)
		host_adopt(r->host, loaded);
	value_close(&settings);
	free(names);
	return loaded ? 0 : -1;
}

static int use_redaction(const struct config *config, struct err *err)
{
	struct redact_patterns *patterns = mapping_redact(config, err);
	if (!patterns)
		return -1;
	redact_use(&patterns);
	return 0;
}

struct replay *replay_create(const struct replay_options *options, struct faults *faults)
{
	struct replay *r = mem_zalloc(sizeof *r);
	struct err err;
	r->options = *options;
	r->now = CLOCK_NS_PER_S; /* 0 means never in places */
	set_wall(r, clock_wall());
	r->last_answer = &r->answers;
	r->metrics = metrics_create();
	buf_init(&r->line, 0);
	pool_init(&r->pool);
	faults_init(faults);
	r->config = options->config ? config_load(options->config, redact_add_value, faults) : config_defaults();
	bool good = r->config != NULL;
	if (good && use_redaction(r->config, &err)) {
		faults_add(faults, "%s: %s", options->config ? options->config : "", err.text);
		good = false;
	}
	if (good && deadline_start(&err)) {
		faults_add(faults, "%s", err.text);
		good = false;
	}
	if (good && (options->rules || options->config))
		good = load_rules(r, options, faults) == 0;
	if (!good)
		replay_destroy(&r);
	return r;
}

void replay_destroy(struct replay **replay)
{
	struct replay *r = *replay;
	if (!r)
		return;
	*replay = NULL;
	if (r->host) {
		run_until(r, r->now);
		r->ready = false;
		host_cancel_all(r->host);
	}
	while (r->answers) { /* the host has asked for them */
		struct waiting_answer *a = r->answers;
		r->answers = a->next;
		host_complete(r->host, a->reply);
		free(a);
	}
	replay_http_close(r);
	if (r->host)
		store_use_disk(host_store(r->host), NULL);
	persist_close(&r->persist, r->now, 0);
	if (r->host) {
		host_feed_close(&r->feed);
		frame_log_close(&r->log);
	}
	host_destroy(&r->host);
	pool_close(&r->pool);
	metrics_destroy(&r->metrics);
	config_destroy(&r->config);
	frame_counts_close(&r->counts);
	buf_close(&r->line);
	free(r);
}

void replay_skipped(const struct replay *replay, struct buf *out)
{
	frame_counts_append_skipped(&replay->counts, out);
}

void replay_summary(const struct replay *replay, struct buf *out)
{
	frame_counts_append(&replay->counts, out);
}
