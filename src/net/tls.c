#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file_stamp.h"
#include "base/list.h"
#include "base/mem.h"
#include "net/address.h"

enum { STAMP_CA, STAMP_CA_FOLDER, STAMP_CERT, STAMP_KEY, STAMPS };

struct tls {
	struct list node;  /* in the pool */
	atomic_uint users; /* the pool is one of them */
	SSL_CTX *ctx;
	bool verify, server;
	char *ca, *cert, *key; /* as in the options, owned */
	struct file_stamp stamps[STAMPS];
};

struct tls_pool {
	struct list all;
};

static const char *queue_text(unsigned long code)
{
	if (ERR_SYSTEM_ERROR(code))
		return strerror(ERR_GET_REASON(code));
	const char *text = code ? ERR_reason_error_string(code) : NULL;
	return text ? text : "unknown error";
}

/* OpenSSL does not keep a certificate that it refuses; its error text needs one. */
static int refused_index = -1;
static pthread_once_t refused_once = PTHREAD_ONCE_INIT;

static void free_refused(void *parent, void *cert, CRYPTO_EX_DATA *data, int index, long arg, void *ctx)
{
	(void)parent, (void)data, (void)index, (void)arg, (void)ctx;
	X509_free(cert);
}

static void make_refused_index(void)
{
	refused_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_refused);
}

static int on_verify(int accepted, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	X509 *cert = X509_STORE_CTX_get_current_cert(store);

	if (!accepted && cert && !SSL_get_ex_data(ssl, refused_index) && X509_up_ref(cert) == 1 &&
	    SSL_set_ex_data(ssl, refused_index, cert) != 1)
		X509_free(cert);
	return accepted;
}

static _Thread_local bool passphrase_wanted;

/* A key with a passphrase would make OpenSSL ask on the terminal. */
static int no_passphrase(char *to, int size, int writing, void *ctx)
{
	(void)to, (void)size, (void)writing, (void)ctx;
	passphrase_wanted = true;
	return -1;
}

static int load_certificate(SSL_CTX *ctx, const char *path, const char *key, struct err *err)
{
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	if (SSL_CTX_use_certificate_chain_file(ctx, path) != 1)
		return err_set(err, ERR_INVALID, "tls.cert: cannot read a certificate from %s: %s", path, queue_text(ERR_peek_error()));
	passphrase_wanted = false;
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1)
		return 0;
	if (passphrase_wanted)
		return err_set(err, ERR_INVALID, "tls.key: the key needs a passphrase, which nobody can enter: save it without one: %s", key);
	return err_set(err, ERR_INVALID, "tls.key: cannot read the key of tls.cert from %s: %s", key, queue_text(ERR_peek_error()));
}

static int load_files(SSL_CTX *ctx, const struct tls_options *options, struct err *err)
{
	if (options->server) {
		/* Whoever comes may. */
	} else if (options->ca) {
		if (SSL_CTX_load_verify_locations(ctx, options->ca, NULL) != 1)
			return err_set(err, ERR_INVALID, "tls.ca: cannot read certificates from %s: %s", options->ca,
			               queue_text(ERR_peek_error()));
	} else if (options->verify && SSL_CTX_set_default_verify_paths(ctx) != 1) {
		return err_set(err, ERR_INVALID, "the system's certificate store cannot be used: set tls.ca");
	}
	if (!options->cert != !options->key)
		return err_set(err, ERR_INVALID, "tls.cert and tls.key go together: set both or none");
	return options->cert ? load_certificate(ctx, options->cert, options->key, err) : 0;
}

static SSL_CTX *make_context(const struct tls_options *options, struct err *err)
{
	pthread_once(&refused_once, make_refused_index);
	ERR_clear_error();
	SSL_CTX *ctx = SSL_CTX_new(options->server ? TLS_server_method() : TLS_client_method());
	if (!ctx) {
		err_set(err, ERR_SYSTEM, "TLS cannot start: %s", queue_text(ERR_get_error()));
		return NULL;
	}
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	/* The write buffer moves between tries; an idle session keeps no buffers. */
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	bool verify = options->verify && !options->server;
	SSL_CTX_set_verify(ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, verify ? on_verify : NULL);
	if (load_files(ctx, options, err)) {
		SSL_CTX_free(ctx);
		ERR_clear_error();
		return NULL;
	}
	return ctx;
}

/* ---- the pool ---- */

/* OpenSSL reads the system's authorities from where these variables say. */
static const char *system_path(const char *variable, const char *otherwise)
{
	const char *path = getenv(variable);
	return path ? path : otherwise;
}

static void take_stamps(const struct tls_options *options, struct file_stamp stamps[STAMPS])
{
	memset(stamps, 0, STAMPS * sizeof *stamps);
	if (options->ca) {
		stamps[STAMP_CA] = file_stamp_take(options->ca);
	} else if (options->verify) {
		stamps[STAMP_CA] = file_stamp_take(system_path(X509_get_default_cert_file_env(), X509_get_default_cert_file()));
		stamps[STAMP_CA_FOLDER] = file_stamp_take(system_path(X509_get_default_cert_dir_env(), X509_get_default_cert_dir()));
	}
	stamps[STAMP_CERT] = file_stamp_take(options->cert);
	stamps[STAMP_KEY] = file_stamp_take(options->key);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_same(const struct tls *tls, const struct tls_options *options, const struct file_stamp stamps[STAMPS])
{
	return tls->verify == options->verify && tls->server == options->server && same_text(tls->ca, options->ca) && same_text(tls->cert, options->cert) &&
	       same_text(tls->key, options->key) && memcmp(tls->stamps, stamps, sizeof tls->stamps) == 0;
}

static void tls_free(struct tls *tls)
{
	list_remove(&tls->node);
	SSL_CTX_free(tls->ctx);
	free(tls->ca);
	free(tls->cert);
	free(tls->key);
	free(tls);
}

static struct tls *tls_create(const struct tls_options *options, const struct file_stamp stamps[STAMPS], struct err *err)
{
	SSL_CTX *ctx = make_context(options, err);

	if (!ctx)
		return NULL;
	struct tls *tls = mem_zalloc(sizeof *tls);
	tls->ctx = ctx;
	tls->verify = options->verify;
	tls->server = options->server;
	tls->ca = options->ca ? mem_strdup(options->ca) : NULL;
	tls->cert = options->cert ? mem_strdup(options->cert) : NULL;
	tls->key = options->key ? mem_strdup(options->key) : NULL;
	memcpy(tls->stamps, stamps, sizeof tls->stamps);
	atomic_init(&tls->users, 1);
	return tls;
}

struct tls_pool *tls_pool_create(void)
{
	struct tls_pool *pool = mem_zalloc(sizeof *pool);
	list_init(&pool->all);
	return pool;
}

void tls_pool_destroy(struct tls_pool **pool)
{
	if (!*pool)
		return;
	list_each_safe(it, &(*pool)->all)
		tls_free(list_entry(it, struct tls, node));
	free(*pool);
	*pool = NULL;
}

struct tls *tls_get(struct tls_pool *pool, const struct tls_options *options, struct err *err)
{
	struct file_stamp stamps[STAMPS];
	struct tls *found = NULL;

	/* Before they are read: what changes in between is read again next time. */
	take_stamps(options, stamps);
	list_each_safe(it, &pool->all) {
		struct tls *tls = list_entry(it, struct tls, node);
		if (is_same(tls, options, stamps))
			found = tls;
		else if (atomic_load(&tls->users) == 1)
			tls_free(tls);
	}
	if (!found) {
		found = tls_create(options, stamps, err);
		if (!found)
			return NULL;
		list_append(&pool->all, &found->node);
	}
	atomic_fetch_add(&found->users, 1);
	return found;
}

void tls_release(struct tls **tls)
{
	if (*tls)
		atomic_fetch_sub(&(*tls)->users, 1);
	*tls = NULL;
}

struct tls *tls_hold(struct tls *tls)
{
	atomic_fetch_add(&tls->users, 1);
	return tls;
}

int tls_lend(const struct tls *tls, SSL_CTX *to)
{
	STACK_OF(X509) *chain = NULL;
	X509 *cert = SSL_CTX_get0_certificate(tls->ctx);

	SSL_CTX_set1_cert_store(to, SSL_CTX_get_cert_store(tls->ctx));
	SSL_CTX_set_min_proto_version(to, TLS1_2_VERSION);
	if (!cert)
		return 0;
	SSL_CTX_get0_chain_certs(tls->ctx, &chain);
	return SSL_CTX_use_cert_and_key(to, cert, SSL_CTX_get0_privatekey(tls->ctx), chain, 1) == 1 ? 0 : -1;
}

/* ---- sessions ---- */

SSL *tls_session(struct tls *tls, int fd, const char *name, struct err *err)
{
	struct address ip;
	bool is_ip = address_literal(name, 0, &ip);
	char host[256]; /* OpenSSL's macro takes no const; DNS names are shorter */

	snprintf(host, sizeof host, "%s", name);
	ERR_clear_error();
	SSL *ssl = SSL_new(tls->ctx);
	if (!ssl || SSL_set_fd(ssl, fd) != 1)
		goto failed;
	if (!is_ip && SSL_set_tlsext_host_name(ssl, host) != 1)
		goto failed;
	if (tls->verify) {
		X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
		X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		if ((is_ip ? X509_VERIFY_PARAM_set1_ip_asc(param, name) : X509_VERIFY_PARAM_set1_host(param, name, 0)) != 1)
			goto failed;
	}
	SSL_set_connect_state(ssl);
	return ssl;
failed:
	err_set(err, ERR_SYSTEM, "TLS cannot start for %s: %s", name, queue_text(ERR_get_error()));
	SSL_free(ssl);
	return NULL;
}

SSL *tls_serve(struct tls *tls, int fd, struct err *err)
{
	ERR_clear_error();
	SSL *ssl = SSL_new(tls->ctx);
	if (!ssl || SSL_set_fd(ssl, fd) != 1) {
		err_set(err, ERR_SYSTEM, "TLS cannot start: %s", queue_text(ERR_get_error()));
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_accept_state(ssl);
	return ssl;
}

/* The names in the certificate ("pbx1.example, pbx2.example"; without any its subject), and the day it ended. */
static void certificate_text(SSL *ssl, char *names, size_t size, char *end, size_t end_size)
{
	X509 *cert = SSL_get_ex_data(ssl, refused_index);
	struct tm when;
	size_t used = 0;

	names[0] = end[0] = '\0';
	if (!cert)
		return;
	GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(all) && used < size; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
		if (name->type == GEN_DNS)
			used += (size_t)snprintf(names + used, size - used, "%s%.*s", used ? ", " : "", ASN1_STRING_length(name->d.dNSName),
			                         (const char *)ASN1_STRING_get0_data(name->d.dNSName));
	}
	GENERAL_NAMES_free(all);
	if (used == 0)
		X509_NAME_oneline(X509_get_subject_name(cert), names, (int)size);
	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &when) == 1)
		strftime(end, end_size, "%Y-%m-%d", &when);
}

static void verify_failed(SSL *ssl, long why, const char *name, struct err *err)
{
	char names[128], end[32];

	certificate_text(ssl, names, sizeof names, end, sizeof end);
	switch (why) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		err_set(err, ERR_PROTOCOL, "the certificate of %s has expired (%s): renew it on the server (CERT_HAS_EXPIRED)", name,
		        end[0] ? end : "date unknown");
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		err_set(err, ERR_PROTOCOL, "the certificate of %s is not valid yet: check the clocks (CERT_NOT_YET_VALID)", name);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		err_set(err, ERR_PROTOCOL,
		        "the certificate of %s is self-signed and not trusted: name it, or the authority that signed it, as tls.ca "
		        "(SELF_SIGNED_CERT)",
		        name);
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		err_set(err, ERR_PROTOCOL,
		        "the certificate is for another name than %s (it says %s): set tls.server_name to a name that stands in it "
		        "(HOSTNAME_MISMATCH)",
		        name, names[0] ? names : "nothing");
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		err_set(err, ERR_PROTOCOL,
		        "the certificate of %s is signed by an unknown authority: name its certificate as tls.ca "
		        "(UNABLE_TO_GET_ISSUER_CERT)",
		        name);
		break;
	default:
		err_set(err, ERR_PROTOCOL, "the certificate of %s is refused: %s", name, X509_verify_cert_error_string(why));
	}
}

/* Of a client that is served: what it wants of us, and what it sees of our certificate. */
static void client_failed(unsigned long code, struct err *err)
{
	switch (ERR_GET_REASON(code)) {
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
	case SSL_R_HTTP_REQUEST:
		err_set(err, ERR_PROTOCOL, "the client does not speak TLS: this port takes https:// only (%s)", queue_text(code));
		break;
	case SSL_R_UNSUPPORTED_PROTOCOL:
		err_set(err, ERR_PROTOCOL, "the client's TLS is older than 1.2: upgrade it (%s)", queue_text(code));
		break;
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
		err_set(err, ERR_PROTOCOL,
		        "the client does not trust the certificate: it must know the authority, the name in it must be the one that the client asks "
		        "for, and it must not have expired (%s)",
		        queue_text(code));
		break;
	default:
		err_set(err, ERR_PROTOCOL, "TLS failed with the client: %s", queue_text(code));
	}
}

static void server_failed(SSL *ssl, unsigned long code, const char *name, struct err *err)
{
	switch (ERR_GET_REASON(code)) {
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		verify_failed(ssl, SSL_get_verify_result(ssl), name, err);
		break;
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
	case SSL_R_HTTP_REQUEST:
		err_set(err, ERR_PROTOCOL,
		        "the server does not speak TLS here: AMI over TLS has its own port (tlsbindaddr, 5039 by default); use that "
		        "port or switch tls off (%s)",
		        queue_text(code));
		break;
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
		err_set(err, ERR_PROTOCOL, "the server's TLS is older than 1.2: upgrade it (%s)", queue_text(code));
		break;
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
	case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
		err_set(err, ERR_PROTOCOL,
		        "%s refused the handshake: it may want a client certificate (tls.cert and tls.key) that it trusts (%s)", name,
		        queue_text(code));
		break;
	default:
		err_set(err, ERR_PROTOCOL, "TLS failed with %s: %s", name, queue_text(code));
	}
}

bool tls_failed(SSL *ssl, int result, const char *name, struct err *err)
{
	int saved = errno;
	int kind = SSL_get_error(ssl, result);
	unsigned long code = ERR_peek_last_error();
	const char *peer = SSL_is_server(ssl) ? "client" : "server";
	bool gone = true;

	if (kind == SSL_ERROR_ZERO_RETURN || (kind == SSL_ERROR_SYSCALL && code == 0 && saved == 0)) {
		err_set(err, ERR_SYSTEM, "the %s closed the connection", peer);
	} else if (kind == SSL_ERROR_SYSCALL && code == 0) {
		errno = saved;
		err_system(err, "the connection broke (%s)", strerrorname_np(saved) ? strerrorname_np(saved) : "?");
	} else if (ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
		err_set(err, ERR_SYSTEM, "the %s closed the connection without ending TLS", peer);
	} else {
		gone = false;
		if (SSL_is_server(ssl))
			client_failed(code, err);
		else
			server_failed(ssl, code, name, err);
	}
	ERR_clear_error();
	return gone;
}

double tls_certificate_end(SSL *ssl)
{
	X509 *certificate = SSL_get0_peer_certificate(ssl);
	struct tm tm;

	if (!certificate || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1)
		return 0;
	return (double)timegm(&tm);
}
