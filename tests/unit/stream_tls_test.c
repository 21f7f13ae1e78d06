/* The byte stream with TLS: bytes both ways, ends, certificates, keys that are renewed. */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "stream_support.h"

static char folder[] = "/tmp/stream-test-XXXXXX"; /* of the certificates */

static void server_speaks_tls(const char *certificate)
{
	char *path = mem_printf("%s/%s.pem", folder, certificate);

	server.ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_num_tickets(server.ctx, 0); /* what the client reads first is what the test writes */
	CHECK(SSL_CTX_use_certificate_file(server.ctx, path, SSL_FILETYPE_PEM) == 1);
	CHECK(SSL_CTX_use_PrivateKey_file(server.ctx, path, SSL_FILETYPE_PEM) == 1);
	free(path);
}

static struct tls *trusting(struct tls_pool *pool, const char *authority, bool verify)
{
	struct err err = { 0 };
	char *ca = mem_printf("%s/%s.pem", folder, authority);
	struct tls_options options = { .verify = verify, .ca = ca };
	struct tls *tls = tls_get(pool, &options, &err);
	CHECK_NAMED(tls, err.text);
	free(ca);
	return tls;
}

static struct tls *make_tls(struct tls_pool *pool, bool verify)
{
	return trusting(pool, "ca", verify);
}

static void secure_as(struct tls *tls, const char *certificate, const char *name)
{
	begin();
	server_listen("127.0.0.1", 4);
	server_speaks_tls(certificate);
	connect_to_server();
	stream_start_tls(seen.stream, tls, name);
}

static void secure(struct tls *tls, const char *certificate)
{
	secure_as(tls, certificate, "pbx.example");
}

static void tls_carries_bytes_both_ways(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);
	static char block[100000], got[100000];
	size_t n;

	secure(tls, "good");
	AWAIT(seen.secured == 1 && server.shaken);
	CHECK(stream_is_tls(seen.stream));
	CHECK(strcmp(SSL_get_servername(server.ssl, TLSEXT_NAMETYPE_host_name), "pbx.example") == 0);
	settle();
	CHECK(seen.readable == 0 && seen.writable == 0 && seen.secured == 1);

	for (size_t i = 0; i < sizeof block; i++)
		block[i] = (char)(i * 7 % 251);
	seen.reads = true;
	seen.space = 1000; /* OpenSSL holds what is left of a record */
	stream_start_read(seen.stream);
	CHECK(SSL_write_ex(server.ssl, block, sizeof block, &n) == 1);
	AWAIT(seen.len == sizeof block);
	CHECK(memcmp(seen.bytes, block, sizeof block) == 0);
	unsigned calls = seen.readable;
	CHECK(calls >= 100);
	settle();
	CHECK(seen.readable <= calls + 1);

	CHECK(stream_write(seen.stream, SLICE("answer"), &seen.why, &seen.err) == 6);
	AWAIT(SSL_read_ex(server.ssl, got, sizeof got, &n) == 1);
	CHECK(n == 6 && memcmp(got, "answer", 6) == 0);
	/* The peer hears of the end. */
	stream_close(seen.stream);
	CHECK(!stream_is_tls(seen.stream));
	AWAIT(SSL_read_ex(server.ssl, got, sizeof got, &n) == 0 && SSL_get_shutdown(server.ssl) == SSL_RECEIVED_SHUTDOWN);
	CHECK(seen.failed == 0);
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

/* A peer that puts each byte into a record of its own must not make one read long. */
static void many_small_records_come_in_several_reads(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);
	const size_t count = 2000;

	secure(tls, "good");
	AWAIT(seen.secured == 1 && server.shaken);
	for (size_t i = 0, n; i < count; i++)
		CHECK(SSL_write_ex(server.ssl, &"abcdefg"[i % 7], 1, &n) == 1);
	usleep(5000);
	seen.reads = true;
	stream_start_read(seen.stream);
	AWAIT(seen.len == count);
	CHECK(seen.readable >= count / 256);
	for (size_t i = 0; i < count; i++)
		CHECK(seen.bytes[i] == "abcdefg"[i % 7]);
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

static void tls_hands_out_everything_before_the_end(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);
	static const struct {
		bool shutdown, reset;
		enum stream_failure why;
		const char *text;
	} ends[] = {
		{ true, false, STREAM_EOF, "the server closed the connection" },
		{ false, false, STREAM_EOF, "the server closed the connection without ending TLS" },
	};

	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		size_t n;
		secure(tls, "good");
		AWAIT(seen.secured == 1 && server.shaken);
		CHECK(SSL_write_ex(server.ssl, "last words", 10, &n) == 1);
		if (ends[i].shutdown)
			SSL_shutdown(server.ssl);
		server_hang_up(ends[i].reset);
		usleep(5000);
		seen.reads = true;
		stream_start_read(seen.stream);
		AWAIT(!seen.reads);
		CHECK(seen.len == 10 && memcmp(seen.bytes, "last words", 10) == 0);
		CHECK(seen.why == ends[i].why);
		CHECK_NAMED(strcmp(seen.err.text, ends[i].text) == 0, seen.err.text);
		/* It stays over, in both directions. */
		seen.why = STREAM_REFUSED;
		seen.err.text[0] = '\0';
		CHECK(stream_write(seen.stream, SLICE("x"), &seen.why, &seen.err) == -1);
		CHECK(seen.why == ends[i].why && strcmp(seen.err.text, ends[i].text) == 0);
		seen.why = STREAM_REFUSED;
		seen.err.text[0] = '\0';
		char byte;
		CHECK(stream_read(seen.stream, &byte, 1, &seen.why, &seen.err) == -1);
		CHECK(seen.why == ends[i].why && strcmp(seen.err.text, ends[i].text) == 0);
		end();
	}
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

static void tls_that_breaks_is_named(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);
	char byte;

	secure(tls, "good");
	AWAIT(seen.secured == 1 && server.shaken);
	CHECK(write(server.fd, "\x17\x03\x03\x00\x10" "not what was sealed", 21) == 21);
	AWAIT(stream_read(seen.stream, &byte, 1, &seen.why, &seen.err) == -1);
	CHECK_NAMED(ERR_peek_error() == 0, "nothing is left for those who share OpenSSL's queue");
	CHECK(seen.why == STREAM_TLS && seen.err.code == ERR_PROTOCOL);
	CHECK_NAMED(strstr(seen.err.text, "TLS failed with pbx.example: "), seen.err.text);
	end();

	secure(tls, "good");
	AWAIT(seen.secured == 1 && server.shaken);
	server_hang_up(true);
	usleep(5000);
	AWAIT(stream_read(seen.stream, &byte, 1, &seen.why, &seen.err) == -1);
	CHECK(seen.why == STREAM_RESET);
	CHECK_NAMED(strstr(seen.err.text, "the connection broke (ECONNRESET)"), seen.err.text);
	end();

	secure(tls, "good");
	AWAIT(seen.secured == 1 && server.shaken);
	server_hang_up(true);
	usleep(5000);
	CHECK(stream_write(seen.stream, SLICE("x"), &seen.why, &seen.err) == -1);
	CHECK(seen.why == STREAM_RESET && seen.err.code == ERR_SYSTEM);
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

static void bytes_behind_the_handshake_are_not_lost(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);
	size_t n;

	secure(tls, "good");
	/* The server writes as soon as it may: its bytes come with the end of the handshake, or right behind. */
	AWAIT(server.shaken);
	CHECK(SSL_write_ex(server.ssl, "banner", 6, &n) == 1);
	AWAIT(seen.secured == 1);
	settle();
	seen.reads = true;
	stream_start_read(seen.stream);
	AWAIT(seen.len == 6);
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

/* The rest of a record that was read in part is not in the socket any more: nothing there would report it. */
static void what_openssl_holds_is_reported_when_reading_starts(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);
	size_t n;
	char first;

	secure(tls, "good");
	AWAIT(seen.secured == 1 && server.shaken);
	seen.reads = true;
	stream_start_read(seen.stream);
	settle();
	CHECK(seen.readable == 0); /* nothing is held, and nothing is reported */
	end();

	secure(tls, "good");
	AWAIT(seen.secured == 1 && server.shaken);
	CHECK(SSL_write_ex(server.ssl, "banner", 6, &n) == 1);
	AWAIT(stream_read(seen.stream, &first, 1, &seen.why, &seen.err) == 1);
	CHECK(first == 'b');
	seen.reads = true;
	stream_start_read(seen.stream);
	AWAIT(seen.len == 5);
	CHECK(seen.len == 5 && memcmp(seen.bytes, "anner", 5) == 0);
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

static void bad_certificates_end_the_handshake(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true), *careless = make_tls(pool, false);
	static const char *const bad[][2] = {
		{ "other", "the certificate is for another name than pbx.example (it says other.example)" },
		{ "expired", "the certificate of pbx.example has expired (20" },
		{ "self-signed", "the certificate of pbx.example is self-signed and not trusted" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		secure(tls, bad[i][0]);
		AWAIT(seen.failed == 1);
		CHECK(seen.why == STREAM_TLS && seen.err.code == ERR_PROTOCOL && seen.secured == 0);
		CHECK_NAMED(strstr(seen.err.text, bad[i][1]) == seen.err.text, seen.err.text);
		CHECK(stream_peer(seen.stream) == NULL && !stream_is_tls(seen.stream));
		end();
		secure(careless, bad[i][0]);
		AWAIT(seen.secured == 1);
		end();
	}
	struct tls *stranger = trusting(pool, "self-signed", true);
	secure(stranger, "good");
	AWAIT(seen.failed == 1);
	CHECK_NAMED(strstr(seen.err.text, "the certificate of pbx.example is signed by an unknown authority: name its certificate as tls.ca"), seen.err.text);
	end();
	tls_release(&stranger);
	tls_release(&tls);
	tls_release(&careless);
	tls_pool_destroy(&pool);
}

/* A wildcard stands for one whole label; an address is no name. */
static void a_certificate_is_for_the_name_or_the_address_that_it_holds(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);
	static const struct {
		const char *certificate, *name;
		bool good;
	} cases[] = {
		{ "wildcard", "a.pbx.example", true }, { "wildcard", "pbx.example", false }, { "wildcard", "a.b.pbx.example", false },
		{ "partial", "pa.pbx.example", false }, { "address", "127.0.0.1", true }, { "address", "127.0.0.2", false },
		{ "good", "127.0.0.1", false }, { "good", "PBX.example", true },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		secure_as(tls, cases[i].certificate, cases[i].name);
		AWAIT(seen.secured + seen.failed == 1);
		CHECK_NAMED(seen.secured == cases[i].good, cases[i].name);
		CHECK(cases[i].good || strstr(seen.err.text, "the certificate is for another name than"));
		if (cases[i].good) { /* the server hears a name, never an address (RFC 6066) */
			const char *heard = SSL_get_servername(server.ssl, TLSEXT_NAMETYPE_host_name);
			CHECK(strchr("0123456789", cases[i].name[0]) ? !heard : heard && strcmp(heard, cases[i].name) == 0);
		}
		end();
	}
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

static void a_port_without_tls_is_named(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);
	char hello[1024];

	begin();
	server_listen("127.0.0.1", 4);
	connect_to_server();
	stream_start_tls(seen.stream, tls, "pbx.example");
	/* Without waiting for the loop, and more than once. */
	AWAIT(recv(server.fd, hello, sizeof hello, 0) > 0);
	CHECK(write(server.fd, "Asterisk Call Manager/9.0.0\r\n", 29) == 29);
	usleep(5000);
	stream_poll(seen.stream);
	CHECK(seen.failed == 1 && seen.why == STREAM_TLS);
	CHECK_NAMED(strstr(seen.err.text, "the server does not speak TLS here"), seen.err.text);
	stream_poll(seen.stream);
	CHECK(seen.failed == 1);

	seen.connected = 0;
	server_hang_up(false);
	connect_to_server();
	stream_start_tls(seen.stream, tls, "pbx.example");
	AWAIT(recv(server.fd, hello, sizeof hello, 0) > 0);
	server_hang_up(false);
	AWAIT(seen.failed == 2);
	CHECK(seen.why == STREAM_TLS);
	CHECK_NAMED(strcmp(seen.err.text, "the server closed the connection in the TLS handshake: does this port speak TLS?") == 0, seen.err.text);
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

/* The server asks for new keys while the client's direction is full: the answer to that has to wait, and everything goes on
 * when there is space. */
static void tls_waits_for_the_other_direction(bool write_wanted)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);
	static char block[1 << 14], sink[1 << 16];
	size_t n, sent = 0, got = 0;
	ssize_t written;

	secure(tls, "good");
	AWAIT(seen.secured == 1 && server.shaken);
	while ((written = stream_write(seen.stream, slice_make(block, sizeof block), &seen.why, &seen.err)) > 0)
		sent += (size_t)written;
	CHECK(written == 0);
	stream_want_write(seen.stream, write_wanted);
	seen.reads = true;
	stream_start_read(seen.stream);
	CHECK(SSL_key_update(server.ssl, SSL_KEY_UPDATE_REQUESTED) == 1);
	CHECK(SSL_write_ex(server.ssl, "news", 4, &n) == 1);
	settle();
	uint64_t till = clock_mono_ns() + 10 * CLOCK_NS_PER_S;
	while ((got < sent || seen.len < 4) && clock_mono_ns() < till) {
		if (SSL_read_ex(server.ssl, sink, sizeof sink, &n) == 1)
			got += n;
		else
			turn();
	}
	CHECK(seen.len == 4 && got >= sent);
	if (write_wanted)
		AWAIT(seen.writable >= 1);
	settle();
	CHECK(seen.writable == write_wanted);
	CHECK(seen.failed == 0);
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

/* The last thing that a client writes in the handshake is its certificate, here one with a long chain that the server is slow to
 * take. */
static int any_chain(X509_STORE_CTX *store, void *ctx)
{
	(void)store, (void)ctx;
	return 1;
}

static void a_handshake_that_ends_with_waiting_to_write(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct err err = { 0 };
	const int little = 1;
	char *path = mem_printf("%s/client.pem", folder), *chain = mem_printf("%s/chain.pem", folder);
	char *command = mem_printf("{ cat %s; for i in $(seq 120); do cat %s/ca.pem; done; } > %s", path, folder, chain);
	CHECK(system(command) == 0);
	struct tls_options options = { .cert = chain, .key = path };
	struct tls *tls = tls_get(pool, &options, &err);
	CHECK_NAMED(tls, err.text);

	begin();
	server_listen("127.0.0.1", 4);
	CHECK(setsockopt(server.listener, SOL_SOCKET, SO_RCVBUF, &little, sizeof little) == 0);
	server_speaks_tls("good");
	SSL_CTX_set_verify(server.ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(server.ctx, any_chain, NULL);
	connect_to_server();
	stream_limit_unsent(seen.stream, 1);
	stream_start_tls(seen.stream, tls, "pbx.example");
	AWAIT(seen.secured == 1 && server.shaken);
	STACK_OF(X509) *sent = SSL_get_peer_cert_chain(server.ssl);
	CHECK(sk_X509_num(sent) == 120);
	settle();
	CHECK_NAMED(seen.writable == 0, "nobody has asked for it");
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
	free(command);
	free(path);
	free(chain);
}

/* ---- the server's side ---- */

static struct tls *serving(struct tls_pool *pool)
{
	struct err err = { 0 };
	char *path = mem_printf("%s/good.pem", folder);
	struct tls_options options = { .server = true, .cert = path, .key = path };
	struct tls *tls = tls_get(pool, &options, &err);
	CHECK_NAMED(tls, err.text);
	free(path);
	return tls;
}

/* The stream is the server of a client that has come: `server` is the other end, whatever its name says. */
static void accept_client(void)
{
	struct address peer;
	socklen_t len = sizeof peer.in6;

	begin();
	server_listen("127.0.0.1", 4);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(client, &server.address.any, server.address.len) == 0);
	CHECK(getsockname(client, &peer.any, &len) == 0);
	peer.len = len;
	stream_accept(seen.stream, accept4(server.listener, NULL, NULL, SOCK_NONBLOCK), &peer);
	CHECK(memcmp(stream_peer(seen.stream), &peer, sizeof peer.in) == 0 && !stream_is_tls(seen.stream));
	memset(&peer, 0, sizeof peer); /* it was copied */
	CHECK(address_port(stream_peer(seen.stream)) != 0);
	CHECK(fcntl(client, F_SETFL, O_NONBLOCK) == 0);
	server.fd = client;
}

static void client_speaks_tls(void)
{
	server.ctx = SSL_CTX_new(TLS_client_method());
	server.ssl = SSL_new(server.ctx);
	SSL_set_fd(server.ssl, server.fd);
	SSL_set_connect_state(server.ssl);
}

static void a_client_is_served_over_tls(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = serving(pool);
	char got[64];
	size_t n;

	accept_client();
	client_speaks_tls();
	stream_serve_tls(seen.stream, tls);
	CHECK(stream_is_tls(seen.stream) && seen.secured == 0);
	AWAIT(seen.secured == 1 && server.shaken);
	CHECK(SSL_get0_peer_certificate(server.ssl) != NULL && stream_certificate_end(seen.stream) == 0);
	seen.reads = true;
	stream_start_read(seen.stream);
	CHECK(SSL_write_ex(server.ssl, "question", 8, &n) == 1);
	AWAIT(seen.len == 8);
	CHECK(stream_write(seen.stream, SLICE("answer"), &seen.why, &seen.err) == 6);
	AWAIT(SSL_read_ex(server.ssl, got, sizeof got, &n) == 1);
	CHECK(n == 6 && memcmp(got, "answer", 6) == 0);

	/* What is finished is over in one direction only. */
	stream_finish(seen.stream);
	AWAIT(SSL_read_ex(server.ssl, got, sizeof got, &n) == 0 && SSL_get_shutdown(server.ssl) == SSL_RECEIVED_SHUTDOWN);
	AWAIT(recv(server.fd, got, 1, 0) == 0);
	CHECK(SSL_write_ex(server.ssl, "thanks", 6, &n) == 1);
	AWAIT(seen.len == 14);
	CHECK(memcmp(seen.bytes, "questionthanks", 14) == 0 && seen.failed == 0);
	end();

	/* The same object serves the next one. */
	accept_client();
	client_speaks_tls();
	stream_serve_tls(seen.stream, tls);
	server_hang_up(false);
	AWAIT(seen.failed == 1);
	CHECK(seen.why == STREAM_TLS && seen.secured == 0 && stream_peer(seen.stream) == NULL);
	CHECK_NAMED(strcmp(seen.err.text, "the client closed the connection in the TLS handshake") == 0, seen.err.text);
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

/* An error of a client speaks of the client, not of a server's certificate or port. */
static void a_client_s_error_is_named(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = serving(pool);
	static const struct {
		bool verifies;
		int newest;
		const char *error;
	} clients[] = {
		{ true, 0, "the client does not trust the certificate: it must know the authority" },
		{ false, TLS1_1_VERSION, "the client's TLS is older than 1.2: upgrade it" },
	};

	for (size_t i = 0; i < sizeof clients / sizeof *clients; i++) {
		accept_client();
		client_speaks_tls();
		SSL_set_verify(server.ssl, clients[i].verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
		SSL_set_min_proto_version(server.ssl, TLS1_VERSION);
		SSL_set_max_proto_version(server.ssl, clients[i].newest);
		SSL_set_security_level(server.ssl, 0);
		stream_serve_tls(seen.stream, tls);
		AWAIT(seen.failed == 1);
		CHECK(seen.why == STREAM_TLS && seen.err.code == ERR_PROTOCOL && seen.secured == 0);
		CHECK_NAMED(strncmp(seen.err.text, clients[i].error, strlen(clients[i].error)) == 0, seen.err.text);
		end();
	}
	for (unsigned ends = 0; ends < 2; ends++) {
		char got;
		size_t n;
		accept_client();
		client_speaks_tls();
		stream_serve_tls(seen.stream, tls);
		AWAIT(seen.secured == 1 && server.shaken);
		/* What it has not read would make its end a reset. */
		CHECK(stream_write(seen.stream, SLICE("x"), &seen.why, &seen.err) == 1);
		AWAIT(SSL_read_ex(server.ssl, &got, 1, &n) == 1);
		if (ends)
			SSL_shutdown(server.ssl);
		server_hang_up(false);
		seen.reads = true;
		stream_start_read(seen.stream);
		AWAIT(!seen.reads);
		CHECK(seen.why == STREAM_EOF);
		CHECK_NAMED(strcmp(seen.err.text, ends ? "the client closed the connection" : "the client closed the connection without ending TLS") == 0, seen.err.text);
		end();
	}
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

static void a_client_without_tls_is_refused(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = serving(pool);

	accept_client();
	CHECK(write(server.fd, "GET / HTTP/1.1\r\n\r\n", 18) == 18);
	stream_serve_tls(seen.stream, tls);
	AWAIT(seen.failed == 1);
	CHECK(seen.why == STREAM_TLS && seen.err.code == ERR_PROTOCOL && seen.secured == 0);
	CHECK_NAMED(strstr(seen.err.text, "the client does not speak TLS: this port takes https:// only (http request)"), seen.err.text);
	CHECK(stream_peer(seen.stream) == NULL && !stream_is_tls(seen.stream));
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

static void a_certificate_s_end_is_known(void)
{
	struct tls_pool *pool = tls_pool_create();
	struct tls *tls = make_tls(pool, true);

	secure(tls, "good");
	AWAIT(seen.secured == 1);
	double days = (stream_certificate_end(seen.stream) - (double)time(NULL)) / 86400;
	CHECK(days > 29 && days < 31);
	stream_close(seen.stream);
	CHECK(stream_certificate_end(seen.stream) == 0);
	end();
	tls_release(&tls);
	tls_pool_destroy(&pool);
}

int main(int argc, char **argv)
{
	(void)argc;
	const char *slash = strrchr(argv[0], '/');
	if (!mkdtemp(folder))
		return 1;
	char *command = mem_printf("%.*scertificates %s", slash ? (int)(slash + 1 - argv[0]) : 0, argv[0], folder);
	CHECK(system(command) == 0);
	free(command);
	loop_open();
	tls_carries_bytes_both_ways();
	many_small_records_come_in_several_reads();
	tls_hands_out_everything_before_the_end();
	tls_that_breaks_is_named();
	bytes_behind_the_handshake_are_not_lost();
	what_openssl_holds_is_reported_when_reading_starts();
	bad_certificates_end_the_handshake();
	a_certificate_is_for_the_name_or_the_address_that_it_holds();
	a_port_without_tls_is_named();
	tls_waits_for_the_other_direction(true);
	tls_waits_for_the_other_direction(false);
	a_handshake_that_ends_with_waiting_to_write();
	a_client_is_served_over_tls();
	a_client_s_error_is_named();
	a_client_without_tls_is_refused();
	a_certificate_s_end_is_known();
	ev_loop_destroy(loop);
	command = mem_printf("rm -rf %s", folder);
	CHECK(system(command) == 0);
	free(command);
	return check_report();
}
