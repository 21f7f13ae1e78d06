#include "engine/replay.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ami/catalogue.h"
#include "ami/framer.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "engine/headers.h"
#include "engine/mapping.h"
#include "observe/redact.h"
#include "script/deadline.h"

#define SERVER_ID 1u
#define READ_SIZE 65536u
/* A capture's frames may be larger than a live server's. */
#define FRAME_MAX (64u * 1024 * 1024)
#define HEADERS_MAX (1u << 20)
/* Turns that rules get for what they began, when no time passes between them. */
#define TURNS_MAX 100000u

struct waiting_answer {
	struct waiting_answer *next;
	struct reply *reply;
	uint64_t due;
};

struct counts {
	uint64_t bytes, frames, events, responses, other_frames, headers, value_bytes;
	bool partial_tail;
	struct map by_event, by_response; /* name -> uint64_t, owned */
};

struct replay {
	struct replay_options options;
	struct config *config;
	struct metrics *metrics;
	struct host *host;     /* NULL: no rules */
	bool ready;            /* the server, as the rules see it */
	uint64_t now;          /* virtual monotonic ns */
	double wall;           /* virtual epoch seconds */
	bool wall_known;
	uint64_t sequence;
	struct waiting_answer *answers, **last_answer;
	struct counts counts;
	struct buf line;
	char version[16];
	/* The side file of a recording: when its bytes arrived. */
	FILE *times;           /* NULL: none */
	uint64_t offset;       /* of the capture, of the frame that is taken */
	uint64_t next_offset;  /* from here on the bytes came at `next_at`; UINT64_MAX: no more lines */
	double at, next_at;
};

/* ---- what rules ask ---- */

static uint64_t ops_now(void *ctx)
{
	return ((const struct replay *)ctx)->now;
}

static double ops_wall(void *ctx)
{
	return ((const struct replay *)ctx)->wall;
}

static bool describe(struct replay *r, struct host_server *out)
{
	*out = (struct host_server){ .id = SERVER_ID, .name = r->options.server, .state = r->ready ? "ready" : "waiting",
	                             .version = r->version, .ready = r->ready };
	return true;
}

static bool ops_server_at(void *ctx, size_t index, struct host_server *out)
{
	return index == 0 && describe(ctx, out);
}

static bool ops_server_by_name(void *ctx, struct slice name, struct host_server *out)
{
	struct replay *r = ctx;
	return slice_eq(name, slice_cstr(r->options.server)) && describe(r, out);
}

static bool ops_server_by_id(void *ctx, uint32_t id, struct host_server *out)
{
	return id == SERVER_ID && describe(ctx, out);
}

static void append_masked(struct buf *out, struct slice text)
{
	char *copy;
	buf_append_json(out, redact_text(text, &copy));
	free(copy);
}

/* Headers of that name are one member of the object: a text, or a list where it repeats. */
static void append_header(struct buf *out, const struct action *action, uint32_t first)
{
	const struct headers headers = { .action = action };
	struct slice name = action_field_name(action, first);
	uint32_t repeats = 0;
	for (uint32_t i = 0; i < action->count; i++)
		repeats += slice_eq_nocase(action_field_name(action, i), name);
	buf_append_json(out, name);
	buf_append_cstr(out, repeats > 1 ? ":[" : ":");
	for (uint32_t i = first, n = 0; i < action->count; i++) {
		if (!slice_eq_nocase(action_field_name(action, i), name))
			continue;
		if (n++ > 0)
			buf_append_char(out, ',');
		append_masked(out, headers_masked(&headers, i));
	}
	if (repeats > 1)
		buf_append_char(out, ']');
}

static void print_action(struct replay *r, const char *rule, const struct action *action)
{
	struct buf *out = &r->line;
	bool first = true;
	buf_clear(out);
	buf_append_cstr(out, "{\"server\":");
	buf_append_json(out, slice_cstr(r->options.server));
	buf_append_cstr(out, ",\"rule\":");
	buf_append_json(out, slice_cstr(rule));
	buf_append_cstr(out, ",\"action\":{");
	for (uint32_t i = 0; i < action->count; i++) {
		bool seen = false;
		for (uint32_t k = 0; k < i && !seen; k++)
			seen = slice_eq_nocase(action_field_name(action, k), action_field_name(action, i));
		if (seen)
			continue;
		if (!first)
			buf_append_char(out, ',');
		first = false;
		append_header(out, action, i);
	}
	buf_append_cstr(out, "}}");
	r->options.line(r->options.ctx, buf_slice(out));
}

static struct reply *make_answer(const struct replay *r, void *tag, struct slice name)
{
	static const struct {
		enum err_code code;
		const char *text;
	} ends[] = {
		[REPLAY_CANCELLED] = { ERR_CANCELLED, "nothing is sent in a replay" },
		[REPLAY_SUCCESS] = { ERR_NONE, "" },
		[REPLAY_ERROR] = { ERR_ERROR, "the replay answers every action with an error" },
		[REPLAY_TIMEOUT] = { ERR_TIMEOUT, "no answer within the action's timeout" },
	};
	const struct action_info *info = catalogue_action(name);
	char *action = mem_slicedup(name);
	struct reply *reply = reply_failed(ends[r->options.answer].code, ends[r->options.answer].text, tag, action);
	reply->is_list = info && info->terminal;
	free(action);
	return reply;
}

static int ops_send(void *ctx, uint32_t server, const char *rule, const struct action *action, double timeout, void *tag,
                    char id[ACTION_ID_MAX + 1], struct err *err)
{
	struct replay *r = ctx;
	struct slice name = { "", 0 };
	if (server != SERVER_ID)
		return err_set(err, ERR_NOT_READY, "a replay has one server, '%s'", r->options.server);
	if (!r->ready)
		return err_set(err, ERR_NOT_READY, "the session has not begun");
	print_action(r, rule, action);
	action_get(action, SLICE("Action"), &name);
	struct waiting_answer *answer = mem_zalloc(sizeof *answer);
	answer->reply = make_answer(r, tag, name);
	answer->due = r->now + (r->options.answer == REPLAY_TIMEOUT ? clock_from_seconds(timeout > 0 ? timeout : 10) : 0);
	*r->last_answer = answer;
	r->last_answer = &answer->next;
	snprintf(id, ACTION_ID_MAX + 1, "replay-1-%llu", (unsigned long long)++r->sequence);
	return 0;
}

static int ops_sink(void *ctx, struct slice name, struct slice line, struct err *err)
{
	struct replay *r = ctx;
	(void)err;
	buf_clear(&r->line);
	buf_append_cstr(&r->line, "{\"sink\":");
	buf_append_json(&r->line, name);
	buf_append_cstr(&r->line, ",\"line\":");
	buf_append_json(&r->line, line);
	buf_append_char(&r->line, '}');
	r->options.line(r->options.ctx, buf_slice(&r->line));
	return 0;
}

/* Sinks are printed, so every name will do unless a configuration was given. */
static bool ops_sink_exists(void *ctx, struct slice name)
{
	const struct replay *r = ctx;
	for (size_t i = 0; i < r->config->sink_count; i++)
		if (slice_eq(slice_cstr(r->config->sinks[i].name), name))
			return true;
	return !r->options.config;
}

static void ops_retire(void *ctx, struct generation *generation)
{
	(void)ctx;
	generation_destroy(&generation);
}

static const struct host_ops replay_ops = {
	.now = ops_now, .wall = ops_wall, .server_at = ops_server_at, .server_by_name = ops_server_by_name,
	.server_by_id = ops_server_by_id, .send = ops_send, .sink = ops_sink, .sink_exists = ops_sink_exists, .retire = ops_retire,
};

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

static void pass_time(struct replay *r, uint64_t to)
{
	if (r->options.speed > 0 && to > r->now) {
		double seconds = (double)(to - r->now) / 1e9 / r->options.speed;
		struct timespec wait = { .tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };
		nanosleep(&wait, NULL);
	}
	r->wall += (double)(to - r->now) / 1e9;
	r->now = to;
}

/* Turns of the rules until virtual time `until`, each timer at its own time. */
static void run_until(struct replay *r, uint64_t until)
{
	for (unsigned turns = 0; r->host && turns < TURNS_MAX; turns++) {
		bool any = complete_due(r);
		uint64_t next = host_turn(r->host), answer = next_answer(r);
		if (next == 0 || any)
			continue;
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
		r->wall = r->next_at;
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
		r->wall = at;
		r->wall_known = true;
	} else if (at > r->wall) {
		run_until(r, r->now + clock_from_seconds(at - r->wall));
	}
}

/* ---- frames ---- */

static void count_name(struct map *map, struct slice name)
{
	uint64_t *n = map_get(map, name);
	if (!n) {
		n = mem_zalloc(sizeof *n);
		map_set(map, name, n);
	}
	++*n;
}

static void count(struct counts *c, const struct message *m)
{
	c->frames++;
	if (m->kind == MESSAGE_EVENT) {
		c->events++;
		count_name(&c->by_event, m->name);
	} else if (m->kind == MESSAGE_RESPONSE) {
		c->responses++;
		count_name(&c->by_response, m->name);
	} else {
		c->other_frames++;
	}
	for (uint32_t i = 0; i < m->header_count; i++) {
		if (m->headers[i].name_len == 0)
			continue;
		c->headers++;
		c->value_bytes += m->headers[i].value_len;
	}
}

static void counts_close(struct counts *c)
{
	struct map *const maps[] = { &c->by_event, &c->by_response };
	for (size_t k = 0; k < 2; k++) {
		struct map_entry *e;
		for (size_t i = 0; (e = map_next(maps[k], &i));)
			free(e->value);
		map_close(maps[k]);
	}
	*c = (struct counts){ 0 };
}

static void begin_session(struct replay *r, struct slice version)
{
	struct host_server server;
	snprintf(r->version, sizeof r->version, "%.*s", (int)(version.len < 15 ? version.len : 15), version.ptr);
	r->ready = true;
	if (!r->host)
		return;
	describe(r, &server);
	host_engine_event(r->host, "server.ready", &server,
	                  (const struct host_field[]){ { "reason", SLICE("connected") }, { "version", version } }, 2);
	run_until(r, r->now);
}

static void take_frame(struct replay *r, const struct message *m, size_t used)
{
	follow_time(r, m, used);
	count(&r->counts, m);
	if (!r->host || m->kind != MESSAGE_EVENT)
		return;
	host_event(r->host, SERVER_ID, r->options.server, m, r->wall);
	run_until(r, r->now);
}

/* Frames out of what is held. -1 when the bytes are no AMI. */
static int take_bytes(struct replay *r, struct framer *framer, struct buf *held, struct err *err)
{
	for (;;) {
		struct message m;
		size_t used = 0;
		enum framer_status status = framer_next(framer, buf_slice(held), &m, &used);
		if (status == FRAMER_NOT_AMI)
			return err_set(err, ERR_PROTOCOL, "is no AMI capture: it does not begin with a banner (\"Asterisk Call Manager/…\")");
		if (status == FRAMER_BANNER)
			begin_session(r, framer_banner_version(slice_make(m.bytes, m.len)));
		else if (status == FRAMER_FRAME)
			take_frame(r, &m, used);
		buf_consume(held, used);
		r->offset += used;
		if (status == FRAMER_MORE)
			return 0;
	}
}

/* A recording that was begun in mid-session has no banner: it begins with a frame. */
static bool begins_with_frame(struct slice s)
{
	return slice_starts_with_nocase(s, SLICE("Event: ")) || slice_starts_with_nocase(s, SLICE("Response: "));
}

/* Rules begin at the capture's own time: that of the first frame that has one, if it stands in the first block. */
static void begin_time(struct replay *r, struct slice block, bool banner)
{
	struct framer framer;
	const struct framer_limits limits = { .max_frame = FRAME_MAX, .max_headers = HEADERS_MAX };
	enum framer_status status = FRAMER_BANNER;

	framer_init(&framer, &limits, banner);
	while (!r->wall_known && status != FRAMER_MORE && status != FRAMER_NOT_AMI) {
		struct message m;
		size_t used = 0;
		status = framer_next(&framer, block, &m, &used);
		if (status == FRAMER_FRAME && frame_time(&m, &r->wall))
			r->wall_known = true;
		block.ptr += used;
		block.len -= used;
	}
	framer_close(&framer);
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
		bool banner = !begins_with_frame(slice_make(block, (size_t)n));
		if (first)
			begin_time(r, slice_make(block, (size_t)n), banner);
		if (first && !banner) {
			framer_reset(&framer, false);
			begin_session(r, SLICE(""));
		}
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
		rc = err_set(err, ERR_PROTOCOL, "is no AMI capture: it does not begin with a banner (\"Asterisk Call Manager/…\")");
	r->counts.partial_tail = framer_partial(&framer, buf_slice(&held));
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
	counts_close(&r->counts);
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
	return rc;
}

/* ---- life ---- */

static int load_rules(struct replay *r, const struct replay_options *options, struct faults *faults)
{
	struct generation_options generation;
	const char **names;
	struct value settings;
	const char *server = options->server;

	mapping_generation(r->config, &generation, &names, &settings);
	if (options->rules)
		generation.rules = options->rules;
	if (options->lib)
		generation.lib = options->lib;
	generation.ops = &replay_ops;
	generation.ctx = r;
	generation.policy = mapping_policy(r->config);
	generation.servers = &server;
	generation.server_count = 1;

	r->host = host_create(&generation.limits, &replay_ops, r, r->metrics);
	generation.store = host_store(r->host);
	struct generation *loaded = generation_load(&generation, faults);
	if (loaded)
		host_adopt(r->host, loaded);
	else
		policy_destroy(&generation.policy);
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
	r->wall = clock_wall();
	r->last_answer = &r->answers;
	r->metrics = metrics_create();
	buf_init(&r->line, 0);
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
	while (r->answers) {
		struct waiting_answer *a = r->answers;
		r->answers = a->next;
		if (r->host)
			host_complete(r->host, a->reply);
		free(a);
	}
	host_destroy(&r->host);
	metrics_destroy(&r->metrics);
	config_destroy(&r->config);
	counts_close(&r->counts);
	buf_close(&r->line);
	free(r);
}

/* ---- the summary ---- */

static int compare_entries(const void *a, const void *b)
{
	const struct map_entry *const *x = a, *const *y = b;
	return strcmp((*x)->key, (*y)->key);
}

static void append_names(struct buf *out, const char *title, const struct map *map)
{
	struct map_entry **sorted = mem_alloc((map->count + 1) * sizeof(struct map_entry *)), *e;
	size_t n = 0;
	for (size_t i = 0; (e = map_next(map, &i));)
		sorted[n++] = e;
	qsort(sorted, n, sizeof *sorted, compare_entries);
	buf_printf(out, "\"%s\":{", title);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_append_char(out, ',');
		buf_append_json(out, slice_make(sorted[i]->key, sorted[i]->key_len));
		buf_printf(out, ":%llu", (unsigned long long)*(uint64_t *)sorted[i]->value);
	}
	buf_append_char(out, '}');
	free(sorted);
}

void replay_summary(const struct replay *r, struct buf *out)
{
	const struct counts *c = &r->counts;
	buf_printf(out, "{\"bytes\":%llu,\"frames\":%llu,\"events\":%llu,\"responses\":%llu,\"other_frames\":%llu,\"headers\":%llu,"
	           "\"value_bytes\":%llu,\"partial_tail\":%s,", (unsigned long long)c->bytes, (unsigned long long)c->frames,
	           (unsigned long long)c->events, (unsigned long long)c->responses, (unsigned long long)c->other_frames,
	           (unsigned long long)c->headers, (unsigned long long)c->value_bytes, c->partial_tail ? "true" : "false");
	append_names(out, "by_event", &c->by_event);
	buf_append_char(out, ',');
	append_names(out, "by_response", &c->by_response);
	buf_append_char(out, '}');
}
