/* What sessions with the same TLS options share. */
#include <fcntl.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* The key of the file `from`, under a passphrase. */
static void lock_key(const char *from, const char *to, const char *phrase)
{
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");
	EVP_PKEY *key = in ? PEM_read_PrivateKey(in, NULL, NULL, NULL) : NULL;
	CHECK(key && out && PEM_write_PKCS8PrivateKey(out, key, EVP_aes_128_cbc(), phrase, (int)strlen(phrase), NULL, NULL) == 1);
	EVP_PKEY_free(key);
	if (in)
		fclose(in);
	if (out)
		fclose(out);
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
	CHECK_NAMED(ERR_peek_error() == 0, "the queue is left empty");

	char *good = in_folder("good.pem"), *other = in_folder("other.pem"), *locked = in_folder("locked.pem"), *open = in_folder("open.pem"), *empty = in_folder("empty.pem");
	lock_key(good, locked, "secret");
	lock_key(good, open, "");
	FILE *nothing = fopen(empty, "w");
	CHECK(nothing && fclose(nothing) == 0);
	const struct {
		const char *cert, *key, *text;
	} bad[] = {
		{ good, NULL, "tls.cert and tls.key go together: set both or none" },
		{ NULL, good, "tls.cert and tls.key go together: set both or none" },
		{ empty, good, "tls.cert: cannot read a certificate from " },
		{ good, locked, "tls.key: the key needs a passphrase, which nobody can enter: save it without one: " },
		{ good, open, "tls.key: the key needs a passphrase, which nobody can enter: save it without one: " },
		{ good, other, "tls.key: cannot read the key of tls.cert from " },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		options = (struct tls_options){ .cert = bad[i].cert, .key = bad[i].key };
		CHECK(tls_get(pool, &options, &err) == NULL);
		CHECK_NAMED(strncmp(err.text, bad[i].text, strlen(bad[i].text)) == 0, err.text);
		CHECK(ERR_peek_error() == 0);
	}
	free(good);
	free(other);
	free(locked);
	free(open);
	free(empty);
	tls_pool_destroy(&pool);
}

static void a_server_s_is_not_a_client_s(void)
{
	struct tls_pool *pool = tls_pool_create();
	char *good = in_folder("good.pem");
	struct tls_options options = { .cert = good, .key = good };
	struct err err;
	struct tls *client = get(pool, &options);
	options.server = true;
	struct tls *server = get(pool, &options), *again = get(pool, &options);
	CHECK(server != client && server == again);
	/* Its clients show no certificate, so no authority is needed. */
	options.verify = true;
	options.ca = "/nowhere/ca.pem";
	struct tls *careful = get(pool, &options);
	SSL *one = tls_session(client, 0, "pbx.example", &err), *other = tls_serve(careful, 0, &err);
	CHECK(one && other && !SSL_is_server(one) && SSL_is_server(other));
	CHECK(SSL_get_verify_mode(one) == SSL_VERIFY_NONE && SSL_get_verify_mode(other) == SSL_VERIFY_NONE);
	SSL_free(one);
	SSL_free(other);
	tls_release(&client);
	tls_release(&server);
	tls_release(&again);
	tls_release(&careful);
	tls_pool_destroy(&pool);
	free(good);
}

static void a_library_is_lent_what_was_read(void)
{
	struct tls_pool *pool = tls_pool_create();
	char *ca = in_folder("ca.pem"), *good = in_folder("good.pem");
	struct tls_options options = { .verify = true, .ca = ca };
	SSL_CTX *to = SSL_CTX_new(TLS_client_method());
	struct tls *tls = get(pool, &options);
	SSL_CTX_set_min_proto_version(to, TLS1_VERSION);
	CHECK(tls_lend(tls, to) == 0);
	STACK_OF(X509_OBJECT) *trusted = X509_STORE_get0_objects(SSL_CTX_get_cert_store(to));
	CHECK(sk_X509_OBJECT_num(trusted) == 1 && SSL_CTX_get0_certificate(to) == NULL);
	CHECK(SSL_CTX_get_min_proto_version(to) == TLS1_2_VERSION);
	tls_release(&tls);

	options.cert = options.key = good;
	tls = get(pool, &options);
	CHECK(tls_lend(tls, to) == 0 && SSL_CTX_get0_certificate(to) && SSL_CTX_check_private_key(to) == 1);
	tls_release(&tls);
	tls_pool_destroy(&pool);
	CHECK_NAMED(SSL_CTX_check_private_key(to) == 1, "it is good for as long as the borrower has it");
	SSL_CTX_free(to);
	free(ca);
	free(good);
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
	a_server_s_is_not_a_client_s();
	a_library_is_lent_what_was_read();
	command = mem_printf("rm -rf %s", folder);
	CHECK(system(command) == 0);
	free(command);
	return check_report();
}
