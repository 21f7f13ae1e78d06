/* What sessions with the same TLS options share. */
#include <fcntl.h>
#include <malloc.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "check.h"
#include "net/tls.h"

static char folder[] = "/tmp/tls-test-XXXXXX";

static char *in_folder(const char *name)
{
	return mem_printf("%s/%s", folder, name);
}

static void write_file(const char *path, const char *from)
{
	char *command = mem_printf("cp '%s/%s' '%s'", folder, from, path);
	CHECK(system(command) == 0);
	free(command);
}

static struct tls *get(struct tls_pool *pool, const struct tls_options *options)
{
	struct err err = { 0 };
	struct tls *tls = tls_get(pool, options, &err);
	CHECK_NAMED(tls, err.text);
	return tls;
}

static void the_same_options_share_what_was_read(void)
{
	struct tls_pool *pool = tls_pool_create();
	char *ca = in_folder("ca.pem"), *other = in_folder("good.pem");
	struct tls_options options = { .verify = true, .ca = ca }, differing[] = {
		{ .verify = false, .ca = ca },
		{ .verify = true, .ca = other },
		{ .verify = true },
		{ .verify = true, .ca = ca, .cert = other, .key = other },
	};
	struct tls *first = get(pool, &options), *second = get(pool, &options);
	CHECK(first == second);
	for (size_t i = 0; i < sizeof differing / sizeof *differing; i++) {
		struct tls *tls = get(pool, &differing[i]), *again = get(pool, &differing[i]);
		CHECK(tls != first);
		CHECK(tls == again);
		tls_release(&tls);
		tls_release(&again);
	}
	tls_release(&first);
	CHECK(first == NULL);
	first = get(pool, &options);
	CHECK(first == second);
	tls_release(&first);
	tls_release(&second);
	tls_pool_destroy(&pool);
	free(ca);
	free(other);
}

static void a_changed_file_is_read_again(void)
{
	struct tls_pool *pool = tls_pool_create();
	char *ca = in_folder("changing.pem"), *cert = in_folder("client-cert.pem"), *key = in_folder("client-key.pem");
	char *const files[] = { ca, cert, key };
	struct tls_options options = { .verify = true, .ca = ca, .cert = cert, .key = key };
	for (int i = 0; i < 3; i++)
		write_file(files[i], "client.pem");
	struct tls *before = get(pool, &options);
	for (int i = 0; i < 3; i++) {
		const struct timespec times[2] = { { .tv_sec = 4711 }, { .tv_sec = 4711 } };
		CHECK(utimensat(AT_FDCWD, files[i], times, 0) == 0);
		struct tls *after = get(pool, &options);
		CHECK(after != before);
		tls_release(&before);
		before = after;
	}
	tls_release(&before);
	tls_pool_destroy(&pool);
	for (int i = 0; i < 3; i++)
		free(files[i]);
}

/* The system's authorities are a megabyte. */
static void a_hundred_cost_hardly_more_than_one(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls_options options = { .verify = true };
	struct tls *all[100];
	all[0] = get(pool, &options);
	size_t before = mallinfo2().uordblks;
	for (int i = 1; i < 100; i++)
		all[i] = get(pool, &options);
	CHECK(mallinfo2().uordblks <= before + 10000);
	for (int i = 0; i < 100; i++)
		tls_release(&all[i]);
	tls_pool_destroy(&pool);
}

/* A thousand reloads, each with another file, keep one. */
static void what_nobody_has_is_freed(void)
{
	struct tls_pool *pool = tls_pool_create();
	char *ca = in_folder("renewed.pem");
	struct tls_options options = { .verify = true, .ca = ca };
	size_t before = 0;
	write_file(ca, "ca.pem");
	for (int i = 0; i < 1000; i++) {
		const struct timespec times[2] = { { .tv_sec = i }, { .tv_sec = i } };
		CHECK(utimensat(AT_FDCWD, ca, times, 0) == 0);
		struct tls *tls = get(pool, &options);
		tls_release(&tls);
		if (i == 200) /* OpenSSL's own tables have their size */
			before = mallinfo2().uordblks;
	}
	CHECK(mallinfo2().uordblks <= before + 10000);
	tls_pool_destroy(&pool);
	free(ca);
}

static void a_bad_file_is_named_and_leaves_nothing(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls_options options = { .verify = true, .ca = "/nowhere/ca.pem" };
	struct err err;
	ERR_raise(ERR_LIB_USER, ERR_R_NESTED_ASN1_ERROR); /* what somebody else has left in OpenSSL's queue is not its reason */
	CHECK(tls_get(pool, &options, &err) == NULL);
	CHECK_NAMED(strstr(err.text, "tls.ca: cannot read certificates from /nowhere/ca.pem"), err.text);
	CHECK_NAMED(strstr(err.text, "No such file"), err.text);
	tls_pool_destroy(&pool);
}

int main(int argc, char **argv)
{
	(void)argc;
	char *slash = strrchr(argv[0], '/');
	if (!mkdtemp(folder))
		return 1;
	char *command = mem_printf("%.*scertificates %s", slash ? (int)(slash + 1 - argv[0]) : 0, argv[0], folder);
	CHECK(system(command) == 0);
	free(command);
	the_same_options_share_what_was_read();
	a_changed_file_is_read_again();
	a_hundred_cost_hardly_more_than_one();
	what_nobody_has_is_freed();
	a_bad_file_is_named_and_leaves_nothing();
	command = mem_printf("rm -rf %s", folder);
	CHECK(system(command) == 0);
	free(command);
	return check_report();
}
