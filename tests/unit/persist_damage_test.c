/* Files that are damaged at random places, newer, older, or somebody else's. DAMAGE_ROUNDS: how many files of each kind (25). */
#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "persist/schema.h"
#include "persist_support.h"

#define ENTRIES 6000
#define JOBS 200
#define HITS 8
/* Of a page, and of two when a hit lies across their border. */
#define ROWS_OF_HIT 150

static char base[100];

/* A line for the shell, in which $F is the state file, $B the base, $D their folder. */
static void run_shell(const char *line)
{
	setenv("F", state_file, 1);
	setenv("B", base, 1);
	setenv("D", folder, 1);
	CHECK_NAMED(system(line) == 0, line);
}

static size_t files_like(const char *part)
{
	DIR *dir = opendir(folder);
	size_t count = 0;
	for (struct dirent *e; (e = readdir(dir));)
		count += strstr(e->d_name, part) != NULL;
	closedir(dir);
	return count;
}

static void value_of(int i, char *value, size_t cap)
{
	/* Some need overflow pages. */
	snprintf(value, cap, "%d %0*d", i, i % 100 == 0 ? 6000 : i % 40, 0);
}

static void fill(void)
{
	static char key[20], value[7000];
	struct answer answer;
	for (int i = 0; i < ENTRIES; i++) {
		snprintf(key, sizeof key, "key %d", i);
		value_of(i, value, sizeof value);
		set("s", key, value, 0);
	}
	for (int i = 0; i < JOBS; i++) {
		value_of(i, value, sizeof value);
		push("q", value, &answer);
		POLL_UNTIL(answer.count == 1);
	}
	sync_state();
}

/* A file with all its rows in the tables, or one with most of them in its WAL, as after a crash. */
static void make_base(bool in_wal)
{
	fresh_folder();
	snprintf(base, sizeof base, "%s/base", folder);
	if (in_wal) {
		fflush(stdout);
		pid_t child = fork();
		if (child == 0) {
			open_state(NULL);
			fill();
			_exit(0);
		}
		waitpid(child, NULL, 0);
	} else {
		struct persist_status status;
		open_state(NULL);
		fill();
		CHECK(POLL_UNTIL((persist_status(p, &status), status.log_rows == 0)));
		close_state();
	}
	run_shell("cp $F $B");
	run_shell("cp $F-wal $B-wal 2>/dev/null || true");
}

static void hit_file(const char *name)
{
	unsigned char bytes[64];
	struct stat there;
	int fd = open(name, O_RDWR);
	if (fd == -1 || fstat(fd, &there) || there.st_size == 0)
		return;
	for (int i = 0; i < HITS; i++) {
		off_t at = (off_t)((double)rand() / RAND_MAX * (double)there.st_size);
		int len = 1 + rand() % (int)sizeof bytes;
		for (int k = 0; k < len; k++)
			bytes[k] = (unsigned char)rand();
		/* The fields that say whose file it is and of which version are believed. */
		if (at < 72 && at + len > 60)
			continue;
		CHECK(pwrite(fd, bytes, (size_t)len, at) == len);
	}
	close(fd);
}

struct counts {
	int entries, jobs;
};

/* What is there; all of it must be right. */
static struct counts look(void)
{
	static char key[20], value[7000];
	struct counts counts = { 0 };
	struct persist_job job;
	struct slice k, v;
	struct persist_store *s = persist_store_open(p, SLICE("s"), NULL);
	size_t cursor = 0;
	while (persist_store_next(s, &cursor, clock_mono_ns(), &k, &v)) {
		slice_to_text(k, key, sizeof key);
		int i = atoi(key + 4);
		snprintf(key, sizeof key, "key %d", i);
		value_of(i, value, sizeof value);
		CHECK(slice_eq(k, slice_cstr(key)) && slice_eq(v, slice_cstr(value)));
		counts.entries++;
	}
	for (int64_t after = 0; persist_jobs_next(p, &after, &job);) {
		slice_to_text(job.body, key, sizeof key);
		value_of(atoi(key), value, sizeof value);
		CHECK(slice_eq(job.body, slice_cstr(value)) && job.state == PERSIST_JOB_WAITING);
		counts.jobs++;
	}
	return counts;
}

static void damaged_at_random_places(bool in_wal)
{
	const char *text = getenv("DAMAGE_ROUNDS");
	int rounds = text ? atoi(text) : 25, damaged = 0;
	make_base(in_wal);
	for (int round = 0; round < rounds; round++) {
		struct err err = { 0 };
		struct persist_status status;
		srand((unsigned)round);
		run_shell("rm -f $F*");
		run_shell("cp $B $F");
		run_shell("cp $B-wal $F-wal 2>/dev/null || true");
		char wal[100];
		snprintf(wal, sizeof wal, "%s-wal", state_file);
		hit_file(in_wal ? wal : state_file);
		if (!CHECK_NAMED(open_state(&err), err.text))
			continue;
		persist_status(p, &status);
		struct counts first = look();
		int lost = ENTRIES - first.entries + JOBS - first.jobs;
		CHECK(lost == 0 || status.damages == 1);
		CHECK(lost <= HITS * ROWS_OF_HIT);
		CHECK((files_like(".damaged-") > 0) == (status.damages == 1));
		damaged += status.damages == 1;
		/* It can be used, and is good from then on. */
		CHECK(set("other", "a", "1", 0) == 0 && push_and_wait("q2", "1 0") != 0);
		CHECK(close_state() == 0 && open_state(&err));
		persist_status(p, &status);
		struct counts second = look();
		CHECK(status.damages == 0 && second.entries == first.entries && second.jobs == first.jobs + 1 && has("other", "a", "1"));
		close_state();
	}
	CHECK(damaged > rounds / 2);
	remove_folder();
}

static void truncated_or_wiped_headers(void)
{
	struct err err;
	make_base(false);
	/* The first page is gone: SQLite does not know the file any more. */
	run_shell("cp $B $F; dd if=/dev/zero of=$F bs=4096 count=1 conv=notrunc 2>/dev/null");
	CHECK(open_state(&err) && look().entries == ENTRIES);
	close_state();
	run_shell("cp $B $F; truncate -s 300000 $F");
	CHECK(open_state(&err) && look().entries > 1000);
	close_state();
	run_shell("true > $F");
	CHECK(open_state(&err) && look().entries == 0);
	close_state();
	remove_folder();
}

/* The file of another program stays as it is. */
static void refuses_what_is_not_ours(void)
{
	struct err err;
	char name[100];
	fresh_folder();
	run_shell("echo 'return { servers = {} }' > $F");
	CHECK(!open_state(&err) && err.code == ERR_INVALID);
	run_shell("rm $F; sqlite3 $F 'CREATE TABLE t(x)'; cp $F $F.mine");
	CHECK(!open_state(&err) && err.code == ERR_INVALID && strstr(err.text, "another program"));
	run_shell("cmp $F $F.mine && test ! -e $F-wal");
	CHECK(files_like("damaged") == 0);
	strcpy(name, state_file);
	snprintf(state_file, sizeof state_file, "%s/none/state.db", folder);
	CHECK(!open_state(&err) && err.code == ERR_SYSTEM && strstr(err.text, "No such file") && strstr(err.text, "a folder that exists"));
	strcpy(state_file, name);
	remove_folder();
}

static void refuses_a_newer_schema(void)
{
	struct err err;
	char sql[100];
	fresh_folder();
	open_state(NULL);
	set("s", "a", "1", 0);
	close_state();
	snprintf(sql, sizeof sql, "PRAGMA user_version = %d", schema_version + 1);
	query(sql);
	CHECK(!open_state(&err) && err.code == ERR_INVALID && strstr(err.text, "newer hookswitch"));
	CHECK(files_like("damaged") == 0);
	snprintf(sql, sizeof sql, "PRAGMA user_version = %d", schema_version);
	query(sql);
	CHECK(open_state(&err) && has("s", "a", "1"));
	close_state();
	remove_folder();
}

/* With steps that are one ahead of the real ones. */
static int upgrade(const char *step, struct err *err)
{
	const char *steps[10];
	int rc, count = schema_version;
	sqlite3 *db;
	for (int i = 0; i < count; i++)
		steps[i] = schema_steps[i];
	steps[count] = step;
	sqlite3_open_v2(state_file, &db, SQLITE_OPEN_READWRITE, NULL);
	int done = schema_upgrade(db, state_file, steps, count + 1, &rc, err);
	sqlite3_close(db);
	return done;
}

static void upgrades_an_older_schema_after_a_copy(void)
{
	struct err err;
	fresh_folder();
	open_state(NULL);
	set("s", "a", "1", 0);
	close_state();
	/* One that fails changes nothing. */
	CHECK(upgrade("ALTER TABLE entry RENAME TO old; CREATE TABLE job(x)", &err) == -1 && strstr(err.text, "upgrade"));
	CHECK(query("PRAGMA user_version") == schema_version && query("SELECT count(*) FROM log") == 1);
	CHECK(files_like(".schema-") == 1);
	CHECK(upgrade("ALTER TABLE entry ADD COLUMN more TEXT", &err) == 0);
	CHECK(query("PRAGMA user_version") == schema_version + 1 && query("SELECT count(more) FROM entry") == 0);
	CHECK(files_like(".schema-") == 2);
	/* The copy is as it was before. */
	run_shell("rm -f $D/*-wal");
	run_shell("cp $(ls $F.schema-* | head -1) $F");
	CHECK(open_state(&err) && has("s", "a", "1"));
	close_state();
	remove_folder();
}

/* The process has ended after the new file was whole and before it stood in its place. */
static void ends_a_swap_that_was_cut_short(void)
{
	struct err err;
	fresh_folder();
	open_state(NULL);
	set("s", "a", "1", 0);
	close_state();
	run_shell("cp $F $F.rewrite; echo damaged > $F; echo wal > $F-wal");
	CHECK(open_state(&err) && has("s", "a", "1") && files_like(".damaged-") == 2 && files_like("rewrite") == 0);
	close_state();
	run_shell("mv $F $F.rewrite");
	CHECK(open_state(&err) && has("s", "a", "1"));
	close_state();
	/* An unfinished one counts for nothing. */
	run_shell("echo half > $F.rewrite.part");
	CHECK(open_state(&err) && has("s", "a", "1") && files_like("rewrite") == 0);
	close_state();
	remove_folder();
}

int main(void)
{
	log_set_level(LOG_ERROR);
	if (!freopen("/dev/null", "w", stderr)) /* errors are logged on purpose */
		return 1;
	test_options.limits.store_entries = 100000;
	test_options.limits.store_bytes = (size_t)1 << 30;
	damaged_at_random_places(false);
	damaged_at_random_places(true);
	truncated_or_wiped_headers();
	refuses_what_is_not_ours();
	refuses_a_newer_schema();
	upgrades_an_older_schema_after_a_copy();
	ends_a_swap_that_was_cut_short();
	return check_report();
}
