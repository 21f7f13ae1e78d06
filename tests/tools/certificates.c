/* Certificates for tests: writes FOLDER/NAME.pem, each a certificate with its key.
 *   ca           an authority of its own
 *   good         for pbx.example, signed by it       client      the same, for a client
 *   other        for other.example, signed by it     expired     for pbx.example, signed by it, and over for years
 *   self-signed  for pbx.example, signed by itself
 *   wildcard     for *.pbx.example                   partial     for p*.pbx.example
 *   address      for 127.0.0.1
 *
 * usage: certificates FOLDER
 */
#include <ctype.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DAY 86400

struct identity {
	X509 *cert;
	EVP_PKEY *key;
};

static void require(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "certificates: %s failed\n", what);
	exit(1);
}

static void extend(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	require(extension && X509_add_ext(cert, extension, -1) == 1, value);
	X509_EXTENSION_free(extension);
}

/* `issuer` NULL: it signs itself. `days` from now, < 0: it ended then. */
static struct identity make(const char *name, const struct identity *issuer, int is_authority, int days)
{
	static long serial = 1;
	struct identity id = { X509_new(), EVP_EC_gen("P-256") };
	char alternative[128];

	require(id.cert && id.key, "a key");
	X509_set_version(id.cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(id.cert), days < 0 ? 2L * days * DAY : -DAY);
	X509_gmtime_adj(X509_getm_notAfter(id.cert), (long)days * DAY);
	X509_set_pubkey(id.cert, id.key);
	require(X509_NAME_add_entry_by_txt(X509_get_subject_name(id.cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0), name);
	X509_set_issuer_name(id.cert, X509_get_subject_name(issuer ? issuer->cert : id.cert));
	if (is_authority) {
		extend(id.cert, NID_basic_constraints, "critical,CA:TRUE");
	} else {
		snprintf(alternative, sizeof alternative, "%s:%s", isdigit((unsigned char)name[0]) ? "IP" : "DNS", name);
		extend(id.cert, NID_subject_alt_name, alternative);
	}
	require(X509_sign(id.cert, issuer ? issuer->key : id.key, EVP_sha256()) > 0, "signing");
	return id;
}

static void save(const char *folder, const char *name, const struct identity *id)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/%s.pem", folder, name);
	FILE *file = fopen(path, "w");
	require(file && PEM_write_X509(file, id->cert) == 1 && PEM_write_PrivateKey(file, id->key, NULL, NULL, 0, NULL, NULL) == 1 &&
	        fclose(file) == 0, path);
}

static void make_and_save(const char *folder, const char *file, const char *name, const struct identity *issuer, int days)
{
	struct identity id = make(name, issuer, 0, days);

	save(folder, file, &id);
	X509_free(id.cert);
	EVP_PKEY_free(id.key);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: certificates FOLDER\n");
		return 2;
	}
	struct identity ca = make("Test authority", NULL, 1, 30);
	save(argv[1], "ca", &ca);
	make_and_save(argv[1], "good", "pbx.example", &ca, 30);
	make_and_save(argv[1], "client", "pbx.example", &ca, 30);
	make_and_save(argv[1], "other", "other.example", &ca, 30);
	make_and_save(argv[1], "wildcard", "*.pbx.example", &ca, 30);
	make_and_save(argv[1], "partial", "p*.pbx.example", &ca, 30);
	make_and_save(argv[1], "address", "127.0.0.1", &ca, 30);
	make_and_save(argv[1], "expired", "pbx.example", &ca, -2000);
	make_and_save(argv[1], "self-signed", "pbx.example", NULL, 30);
	X509_free(ca.cert);
	EVP_PKEY_free(ca.key);
	return 0;
}
