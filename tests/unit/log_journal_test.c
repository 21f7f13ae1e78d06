/* The log in systemd's journal: what arrives at a socket that stands in for it, and what happens when nobody is there. */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "check.h"
#include "observe/log.h"
#include "observe/log_format.h"
#include "observe/redact.h"

static char folder[] = "/tmp/hookswitch-journal-XXXXXX";
static char *path, *errors;

/* A journal that listens at `path`. */
static int journal_open(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	strcpy(address.sun_path, path);
	unlink(path);
	CHECK(bind(fd, (const struct sockaddr *)&address, sizeof address) == 0);
	return fd;
}

/* The next datagram with a NUL behind it, or NULL when none comes. */
static char *receive(int fd, int milliseconds, size_t *len)
{
	static char datagram[LOG_DATAGRAM_MAX + 2];
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	if (poll(&poll_fd, 1, milliseconds) != 1)
		return NULL;
	ssize_t n = recv(fd, datagram, sizeof datagram - 1, 0);
	if (n < 0)
		return NULL;
	datagram[n] = '\0';
	if (len)
		*len = (size_t)n;
	return datagram;
}

static void start(void)
{
	struct err err;
	const struct log_options options = { .level = LOG_DEBUG, .format = LOG_JOURNAL, .file = path, .throttle_burst = 1000000,
	                                     .queue_records = 100000 };
	CHECK(log_start(&options, &err) == 0);
}

static bool has(const char *text, const char *what)
{
	if (text && strstr(text, what))
		return true;
	printf("'%s' is not in: %s\n", what, text ? text : "nothing");
	return false;
}

static bool await_error(const char *what)
{
	static char text[65536];

	for (int i = 0; i < 1000; i++) {
		int fd = open(errors, O_RDONLY);
		ssize_t n = read(fd, text, sizeof text - 1);
		close(fd);
		text[n > 0 ? n : 0] = '\0';
		if (strstr(text, what))
			return true;
		usleep(10000);
	}
	return false;
}

static void a_record_is_a_datagram_of_native_fields(void)
{
	int journal = journal_open();
	static const char *const priorities[] = { "\nPRIORITY=7\n", "\nPRIORITY=6\n", "\nPRIORITY=4\n", "\nPRIORITY=3\n" };

	redact_add_value("wombat-4711");
	start();
	for (int level = 0; level < LOG_LEVELS; level++) {
		log_write((enum log_level)level, "login of wombat-4711", F_TEXT("server", "pbx1"), F_TEXT("secret", "other"), F_INT("n", level),
		          F_JSON("list", SLICE("[1,\"a b\"]")));
		char *got = receive(journal, 10000, NULL);
		CHECK(has(got, "MESSAGE=login of [redacted] server=pbx1 secret=[redacted] n="));
		CHECK(has(got, priorities[level]));
		CHECK(has(got, "\nSYSLOG_IDENTIFIER=hookswitch\n"));
		CHECK(has(got, "\nHOOKSWITCH_MSG=login of [redacted]\nHOOKSWITCH_SERVER=pbx1\nHOOKSWITCH_SECRET=[redacted]\n"));
		CHECK(has(got, "\nHOOKSWITCH_LIST=[1,\"a b\"]\n"));
	}
	log_stop(10);
	redact_clear();
	close(journal);
}

/* Every byte is escaped, so the record is as long as one can be. */
static void the_longest_record_still_comes_out(void)
{
	int journal = journal_open();
	struct log_field fields[3];
	static char bad[LOG_TEXT_MAX];
	size_t len = 0;

	memset(bad, '\xFF', sizeof bad);
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		fields[i] = F_SLICE("bad", slice_make(bad, sizeof bad));
	start();
	log_record(LOG_INFO, "much", fields, 3);
	char *got = receive(journal, 10000, &len);
	CHECK(has(got, "MESSAGE=much\nPRIORITY=6\n"));
	CHECK(has(got, "\nHOOKSWITCH_CUT_BYTES="));
	CHECK(len > 3 * LOG_TEXT_MAX && len < LOG_DATAGRAM_MAX);
	log_stop(10);
	close(journal);
}

static void a_journal_that_stands_still_holds_up_nobody_and_losses_are_told(void)
{
	enum { RECORDS = 5000 };
	int journal = journal_open();
	struct log_counts before, after;
	unsigned long came = 0, told = 0;

	log_count(&before);
	start();
	for (int i = 0; i < RECORDS; i++)
		log_write(LOG_INFO, "flood", F_INT("n", i));
	/* It is reported on stderr, although the thread had a full socket before it. */
	CHECK(await_error("cannot write the log; records are dropped until it works again"));
	while (told == 0) {
		char *got = receive(journal, 10000, NULL), *count;
		if (!CHECK(got != NULL))
			break;
		came += strstr(got, "\nHOOKSWITCH_MSG=flood\n") != NULL;
		if (strstr(got, "MESSAGE=log records lost: ")) {
			CHECK(has(got, "\nHOOKSWITCH_REASON=Resource temporarily unavailable\n"));
			if (CHECK((count = strstr(got, "\nHOOKSWITCH_COUNT=")) != NULL))
				told = strtoul(count + strlen("\nHOOKSWITCH_COUNT="), NULL, 10);
		}
	}
	log_stop(10);
	log_count(&after);
	CHECK(came > 0 && told > 0 && came + told == RECORDS);
	CHECK(after.dropped_write - before.dropped_write == told);
	close(journal);
}

static void a_journal_that_was_started_anew_is_found_again(void)
{
	int journal = journal_open();

	start();
	log_text(LOG_INFO, "first");
	CHECK(has(receive(journal, 10000, NULL), "MESSAGE=first\n"));
	close(journal);
	journal = journal_open();
	log_text(LOG_INFO, "second");
	CHECK(has(receive(journal, 10000, NULL), "MESSAGE=second\n"));
	/* Gone for a while: by itself, without a new record, it hears what was lost. */
	close(journal);
	unlink(path);
	CHECK(truncate(errors, 0) == 0);
	log_text(LOG_INFO, "third");
	CHECK(await_error("cannot write the log; records are dropped until it works again"));
	journal = journal_open();
	CHECK(has(receive(journal, 10000, NULL), "MESSAGE=log records lost: "));
	log_stop(10);
	close(journal);
}

static void without_a_journal_it_does_not_start(void)
{
	struct err err;
	const struct log_options options = { .format = LOG_JOURNAL, .file = path };

	unlink(path);
	CHECK(log_start(&options, &err) == -1);
	CHECK(has(err.text, "there is no journal at /tmp/"));
	CHECK(has(err.text, ": No such file or directory; with log.format text or json "));
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	if (!mkdtemp(folder))
		return 1;
	path = mem_printf("%s/socket", folder);
	errors = mem_printf("%s/errors", folder);
	int saved = dup(STDERR_FILENO), fd = open(errors, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(fd, STDERR_FILENO);
	close(fd);
	a_record_is_a_datagram_of_native_fields();
	the_longest_record_still_comes_out();
	a_journal_that_stands_still_holds_up_nobody_and_losses_are_told();
	a_journal_that_was_started_anew_is_found_again();
	without_a_journal_it_does_not_start();
	dup2(saved, STDERR_FILENO);
	close(saved);
	unlink(path);
	unlink(errors);
	rmdir(folder);
	free(path);
	free(errors);
	return check_report();
}
