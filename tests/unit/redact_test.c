/* What is never shown: values of secret names, known secrets, what configured patterns match. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "observe/redact.h"

static void masks_by_name_and_by_value(void)
{
	static const char *const hidden[] = { "Secret", "PASSWORD", "Key", "Challenge", "MD5Secret", "api_key", "AuthToken", "PIN", "apikey",
	                                      "API-Key", "AuthKey", "auth_key", "PrivateKey", "private_key", "Authorization", "Cookie", "Set-Cookie",
	                                      "MD5Cred", "ReceivedHash", "ExpectedResponse", "SSLPassphrase", "ReceivedChallenge", "credentials",
	                                      "xpassw", "SeSecret", "ttoken" };
	static const char *const shown[] = { "server", "keys", "monkey", "Response", "Exten", "", "Channel", "Context", "ChanVariable", "StartTime",
	                                     "S", "passe", "@secre", "pin_", "Linkedid", "ParkingTimeout", "Challeng" };
	char *copy;

	for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
		CHECK(redact_name(slice_cstr(hidden[i])));
	for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
		CHECK(!redact_name(slice_cstr(shown[i])));

	struct slice text = SLICE("login hunter2");
	CHECK(redact_text(text, &copy).ptr == text.ptr && !copy);
	redact_add_value("hunter2");
	redact_add_value("hunter2");
	redact_add_value("hunter22-long");
	redact_add_value("long-tail");
	redact_add_value("abc");
	redact_add_value(NULL);
	CHECK(slice_eq(redact_text(text, &copy), SLICE("login " REDACTED)) && copy);
	free(copy);
	/* As short as one may be, alone and within; and two of one length that begin alike. */
	redact_add_value("4711");
	CHECK(slice_eq(redact_text(SLICE("4711"), &copy), SLICE(REDACTED)));
	free(copy);
	CHECK(slice_eq(redact_text(SLICE("pin 4711, 471"), &copy), SLICE("pin " REDACTED ", 471")));
	free(copy);
	redact_add_value("wombat-1");
	redact_add_value("wombat-2");
	CHECK(slice_eq(redact_text(SLICE("wombat-1 wombat-2 wombat-3"), &copy), SLICE(REDACTED " " REDACTED " wombat-3")));
	free(copy);
	/* The longest one, and one that begins inside another. */
	CHECK(slice_eq(redact_text(SLICE("hunter22-long-tail,hunter2hunter2 abc hunte"), &copy),
	               SLICE(REDACTED "," REDACTED REDACTED " abc hunte")));
	free(copy);
	redact_clear();
}

static void masks_what_patterns_match(void)
{
	char *const names[] = { (char[]){ "Caller*" }, (char[]){ "*CARD*" } };
	char *const values[] = { (char[]){ "\\b[0-9]{4}-[0-9]{4}\\b" }, (char[]){ "(?i)ssn=\\S+" }, (char[]){ "é+x" } };
	char *const slow[] = { (char[]){ "(a+)+$" } };
	char *const wrong[] = { (char[]){ "[0-9" }, (char[]){ "a*" }, (char[]){ "\\C" } };
	struct err err;
	char *copy, out[64];
	size_t used;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		CHECK(!redact_patterns_create(NULL, 0, &wrong[i], 1, &err));
		CHECK(strstr(err.text, "redact.values[1]: the pattern ") && strstr(err.text, wrong[i]));
	}
	CHECK(!redact_name(slice_cstr("CallerIDNum")));
	struct redact_patterns *patterns = redact_patterns_create(names, 2, values, 3, &err);
	redact_use(&patterns);
	CHECK(!patterns && redact_name(slice_cstr("calleridnum")) && redact_name(slice_cstr("my_card_no")) && redact_name(slice_cstr("Secret")));
	CHECK(!redact_name(slice_cstr("Channel")));
	CHECK(redact_name_configured(slice_cstr("calleridnum")) && !redact_name_configured(slice_cstr("Secret")));
	CHECK(slice_eq(redact_text(SLICE("card 1234-5678, SSN=1 and 12345-6789"), &copy), SLICE("card " REDACTED ", " REDACTED " and 12345-6789")));
	free(copy);
	/* Beside and over a known secret, and between bytes that are not UTF-8. */
	redact_add_value("5678, S");
	CHECK(slice_eq(redact_text(SLICE("1234-5678, SSN=1 5678, S"), &copy), SLICE(REDACTED " " REDACTED)));
	free(copy);
	CHECK(slice_eq(redact_text(SLICE("\xff" "éx\xfe"), &copy), SLICE("\xff" REDACTED "\xfe")));
	free(copy);
	/* Never half of one at the end of the space. */
	size_t len = redact_copy(out, 12, SLICE("number 1234-5678 and more"), &used);
	CHECK(slice_eq(slice_make(out, len), SLICE("number ")) && used == 7);
	len = redact_copy(out, sizeof out, SLICE("number 1234-5678"), &used);
	CHECK(slice_eq(slice_make(out, len), SLICE("number " REDACTED)) && used == 16);
	/* What begins inside the space and ends far behind it. */
	char *big = mem_alloc(20001);
	memset(big, 's', 20000);
	memcpy(big, "now ssn=", 8);
	big[20000] = '\0';
	len = redact_copy(out, 40, slice_cstr(big), &used);
	CHECK(slice_eq(slice_make(out, len), SLICE("now " REDACTED)));
	free(big);

	/* One that takes too long: nothing of that text is shown. The others are gone. */
	patterns = redact_patterns_create(NULL, 0, slow, 1, &err);
	redact_use(&patterns);
	CHECK(slice_eq(redact_text(SLICE("hello aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), &copy), SLICE(REDACTED)));
	free(copy);
	len = redact_copy(out, sizeof out, SLICE("hello aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), &used);
	CHECK(slice_eq(slice_make(out, len), SLICE(REDACTED)) && used == 47);
	CHECK(redact_copy(out, 5, SLICE("hello aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), &used) == 0 && used == 0);
	CHECK(redact_copy(out, sizeof REDACTED - 1, SLICE("hello aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), &used) == sizeof REDACTED - 1 && used == 47);
	struct slice shown = SLICE("card 1234-5678");
	CHECK(redact_text(shown, &copy).ptr == shown.ptr && !redact_name(slice_cstr("CallerIDNum")));
	redact_clear();
}

static void masks_values_beside_their_names(void)
{
	static const char *const cases[][2] = {
		/* As a header: to the end of the line. */
		{ "Secret: hunter2", "Secret: #" },
		{ "a\nsecret :hun ter, 2\nb: c", "a\nsecret :#\nb: c" },
		{ "  Auth Secret\t : x y\r\n", "  Auth Secret\t : #\r\n" },
		{ "PASSWORD=hunter2", "PASSWORD=#" },
		{ "password=hunter two,user=bob", "password=#,user=bob" },
		/* Anywhere else: to the next blank or comma. */
		{ "Variable: DB_PASSWORD=hunter2", "Variable: DB_PASSWORD=#" },
		{ "30,tT,password=hunter2,x=1", "30,tT,password=#,x=1" },
		{ "GET /?token=abc&x=1 failed", "GET /?token=#&x=1 failed" },
		{ "(password: hunter2) was wrong", "(password: # was wrong" },
		{ "HASH(password)=x y", "HASH(password)=# y" },
		{ "[api_key] => x, y", "[api_key] => #, y" },
		{ "the Authorization: Bearer abc.def", "the Authorization: #" },
		{ "x='1' password='hun ter' y='2'", "x='1' password='#' y='2'" },
		{ "password=", "password=" },
		{ "password=,x", "password=,x" },
		/* JSON, and JSON inside JSON. */
		{ "{\"password\": \"hun\\\"ter\", \"a\": 1}", "{\"password\": \"#\", \"a\": 1}" },
		{ "{\"pin\":1234,\"a\":1}", "{\"pin\":#,\"a\":1}" },
		{ "{\"token\":[\"a\",{\"b\":1}],\"c\":2}", "{\"token\":#,\"c\":2}" },
		{ "{\"a\":\"{\\\"password\\\":\\\"x\\\",\\\"b\\\":1}\"}", "{\"a\":\"{\\\"password\\\":\\\"#\\\",\\\"b\\\":1}\"}" },
		{ "{\"note\":\"password=x y\",\"b\":1}", "{\"note\":\"password=#\",\"b\":1}" },
		{ "{\"note\":\"a\\nKey: x y\\nb\"}", "{\"note\":\"a\\nKey: #\\nb\"}" },
		{ "{\"note\":\"in {\\\"x=1 password=y\\\"}\"}", "{\"note\":\"in {\\\"x=1 password=#\\\"}\"}" },
		/* What is masked stays so. */
		{ "Secret: [redacted]", "Secret: #" },
		{ "a, token=[redacted], b", "a, token=#, b" },
		/* No pairs. */
		{ "keys: x", NULL }, { "scripts/token.lua:7: boom", NULL }, { "hookswitch.lua: servers.pbx1.secret: missing; give it", NULL },
		{ "web.tokens.crm.secret: must be 16 to 256 bytes long, is 1", NULL }, { "http_client.key: there is no such file", NULL },
		{ "x.lua:3: /run/x/pbx1.secret: no such file", NULL }, { "/run/password: denied", NULL }, { "conf/a.key: denied", NULL },
		{ "secret", NULL }, { "::==", NULL }, { "", NULL }, { "the password was wrong, twice", NULL },
	};
	static const char name[] = "password=";
	char *copy, out[64], *all;
	size_t used;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct slice text = slice_cstr(cases[i][0]), masked = redact_text(text, &copy);
		const char *hash = cases[i][1] ? strchr(cases[i][1], '#') : NULL;
		all = hash ? mem_printf("%.*s" REDACTED "%s", (int)(hash - cases[i][1]), cases[i][1], hash + 1) : mem_strdup(cases[i][0]);
		if (!slice_eq(masked, slice_cstr(all)))
			fprintf(stderr, "%s\n  became %.*s\n", cases[i][0], SLICE_ARG(masked));
		CHECK(slice_eq(masked, slice_cstr(all)));
		free(all);
		free(copy);
	}
	/* A value that begins inside the space and ends far behind it, and one of which nothing fits. */
	char *big = mem_alloc(20001);
	memset(big, 's', 20000);
	memcpy(big, name, sizeof name - 1);
	big[20000] = '\0';
	size_t len = redact_copy(out, 40, slice_cstr(big), &used);
	CHECK(slice_eq(slice_make(out, len), SLICE("password=" REDACTED)));
	len = redact_copy(out, 12, slice_cstr(big), &used);
	CHECK(slice_eq(slice_make(out, len), SLICE("password=")));
	free(big);
	/* A known secret as JSON writes it. */
	redact_add_value("qu\"ote\\d");
	CHECK(slice_eq(redact_text(SLICE("{\"x\":\"qu\\\"ote\\\\d\"}"), &copy), SLICE("{\"x\":\"" REDACTED "\"}")));
	free(copy);
	CHECK(slice_eq(redact_text(SLICE("qu\"ote\\d"), &copy), SLICE(REDACTED)));
	free(copy);
	redact_add_value("x/\"yz");
	CHECK(slice_eq(redact_text(SLICE("x/\"yz x/\\\"yz x\\/\\\"yz"), &copy), SLICE(REDACTED " " REDACTED " " REDACTED)));
	free(copy);
	redact_add_value("a/bcd");
	CHECK(slice_eq(redact_text(SLICE("a/bcd a\\/bcd"), &copy), SLICE(REDACTED " " REDACTED)));
	free(copy);
	redact_clear();
}

/* `text` with asterisks in it; freed with the next one. */
static const char *asterisks(void (*mask)(char *to, struct slice text), const char *text)
{
	static char *masked;

	free(masked);
	masked = mem_strdup(text);
	mask(masked, slice_cstr(text));
	return masked;
}

#define BECOMES(mask, text, masked) CHECK_NAMED(strcmp(asterisks(mask, text), masked) == 0, asterisks(mask, text))

static void puts_an_asterisk_for_each_byte(void)
{
	CHECK(redact_longest_value() == 0);
	BECOMES(redact_mask_values, "wombat-4711", "wombat-4711");
	redact_add_value("wombat-4711");
	CHECK(redact_longest_value() == 11);
	redact_add_value("4711-extra");
	CHECK(redact_longest_value() == 11);
	redact_add_value("two\r\nlines");
	redact_add_value("two\r\nlines and more");
	CHECK(redact_longest_value() >= 19);
	BECOMES(redact_mask_values, "wombat-4711", "***********");
	BECOMES(redact_mask_values, "a wombat-4711 b", "a *********** b");
	BECOMES(redact_mask_values, "wombat-471 4711-extr", "wombat-471 4711-extr");
	/* Two that share bytes, two side by side, the longer of two that begin alike. */
	BECOMES(redact_mask_values, "wombat-4711-extra.", "*****************.");
	BECOMES(redact_mask_values, "wombat-4711wombat-4711,", "**********************,");
	BECOMES(redact_mask_values, "two\r\nlines and more!", "***\r\n**************!");
	BECOMES(redact_mask_values, "two\r\nlines\r\nx", "***\r\n*****\r\nx");
	BECOMES(redact_mask_values, "password=x", "password=x");
	BECOMES(redact_mask, "a wombat-4711 b", "a *********** b");
	BECOMES(redact_mask, "password=secret, x=1", "password=******, x=1");
	BECOMES(redact_mask, "wombat-4711-extra.", "*****************.");
	BECOMES(redact_mask, "nothing", "nothing");
	/* A text on which a pattern takes too long. */
	char *const slow[] = { (char[]){ "(a+)+$" } };
	struct err err;
	struct redact_patterns *patterns = redact_patterns_create(NULL, 0, slow, 1, &err);
	redact_use(&patterns);
	BECOMES(redact_mask, "hello aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "***********************************************");
	redact_clear();
	CHECK(redact_longest_value() == 0);
	BECOMES(redact_mask_values, "wombat-4711", "wombat-4711");
	BECOMES(redact_mask, "a wombat-4711 b", "a wombat-4711 b");
}

int main(void)
{
	masks_values_beside_their_names();
	masks_by_name_and_by_value();
	masks_what_patterns_match();
	puts_an_asterisk_for_each_byte();
	return check_report();
}
