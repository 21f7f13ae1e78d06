/* One record as text, as JSON and as the journal takes it. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "check.h"
#include "observe/log.h"
#include "observe/log_format.h"

#define FIELDS(...) (const struct log_field[]){ __VA_ARGS__ }, sizeof((const struct log_field[]){ __VA_ARGS__ }) / sizeof(struct log_field)

static bool formats_bytes(enum log_format format, struct slice text, const struct log_field *fields, size_t count,
                          const char *expected, size_t len)
{
	struct log_entry entry = {
		.level = LOG_WARN, .wall_ms = INT64_C(1795211823123), .text = text, .fields = fields, .count = count
	};
	struct buf out;
	buf_init(&out, 0);
	log_format_entry(&out, &entry, format, false);
	/* A NUL of a length counts too. */
	bool same = buf_len(&out) == len && memcmp(buf_cstr(&out), expected, len) == 0;
	if (!same)
		printf("got:  %sthan: %s", buf_cstr(&out), expected);
	buf_close(&out);
	return same;
}

static bool formats(enum log_format format, struct slice text, const struct log_field *fields, size_t count,
                    const char *expected)
{
	return formats_bytes(format, text, fields, count, expected, strlen(expected));
}

static void text_is_for_people(void)
{
	CHECK(formats(LOG_TEXT, SLICE("connect failed"), FIELDS(F_TEXT("server", "pbx1"), F_TEXT("reason", "refused")),
	              "2026-11-20 21:57:03.123 warn  connect failed server=pbx1 reason=refused\n"));
	CHECK(formats(LOG_TEXT, SLICE("a"),
	              FIELDS(F_INT("n", -5), F_NUMBER("x", 0.5), F_BOOL("b", true), F_TEXT("e", ""), F_TEXT("s", "a b"),
	                     F_TEXT("q", "say \"hi\" \\"), F_TEXT("k", "a=b"), F_TEXT("u", "caf\xC3\xA9")),
	              "2026-11-20 21:57:03.123 warn  a n=-5 x=0.5 b=true e=\"\" s=\"a b\" q=\"say \\\"hi\\\" \\\\\" "
	              "k=\"a=b\" u=caf\xC3\xA9\n"));
	/* Nothing forges a record or steers a terminal. */
	CHECK(formats(LOG_TEXT, SLICE("a\nb\033[2J\x7F\xC2\x9B\xFF"), FIELDS(F_TEXT("k y=\n", "\033]0;x\007\tz\r")),
	              "2026-11-20 21:57:03.123 warn  a\\nb\\x1b[2J\\x7f\\xc2\\x9b\\xff k_y__=\"\\x1b]0;x\\x07\\tz\\r\"\n"));
	CHECK(formats(LOG_TEXT, SLICE("rule failed"),
	              FIELDS(F_TEXT("traceback", "stack traceback:\n\t[C]: in ?\r\n\n2026-11-20 forged\033\n"),
	                     F_TEXT("rule", "missed")),
	              "2026-11-20 21:57:03.123 warn  rule failed rule=missed\n"
	              "    traceback:\n"
	              "        stack traceback:\n"
	              "        \t[C]: in ?\n"
	              "\n"
	              "        2026-11-20 forged\\x1b\n"));
}

static void json_is_for_programs(void)
{
	CHECK(formats(LOG_JSON, SLICE("a\"\\\n\x01\xFF"),
	              FIELDS(F_TEXT("server", "pbx1"), F_INT("n", INT64_MIN), F_NUMBER("x", 1e6), F_BOOL("b", false),
	                     F_NUMBER("nan", 0.0 / 0.0), F_TEXT("level", "mine"), F_TEXT("traceback", "a\n\tb")),
	              "{\"time\":\"2026-11-20T21:57:03.123Z\",\"level\":\"warn\",\"msg\":\"a\\\"\\\\\\n\\u0001\xEF\xBF\xBD\","
	              "\"server\":\"pbx1\",\"n\":-9223372036854775808,\"x\":1000000,\"b\":false,\"nan\":\"NaN\","
	              "\"level_\":\"mine\",\"traceback\":\"a\\n\\tb\"}\n"));
}

static void json_stays_json(void)
{
	CHECK(formats(LOG_TEXT, SLICE("a"), FIELDS(F_JSON("t", SLICE("{\"k\":\"a b\x7F\"}"))),
	              "2026-11-20 21:57:03.123 warn  a t={\"k\":\"a b\\x7f\"}\n"));
	CHECK(formats(LOG_JSON, SLICE("a"), FIELDS(F_JSON("t", SLICE("{\"k\":\"a b\"}"))),
	              "{\"time\":\"2026-11-20T21:57:03.123Z\",\"level\":\"warn\",\"msg\":\"a\",\"t\":{\"k\":\"a b\"}}\n"));
}

static void the_journal_gets_fields(void)
{
#define HEAD "PRIORITY=4\nSYSLOG_IDENTIFIER=hookswitch\nHOOKSWITCH_TIME=2026-11-20T21:57:03.123Z\n"
	CHECK(formats(LOG_JOURNAL, SLICE("a b\xFF"),
	              FIELDS(F_TEXT("action_id", "1-2"), F_TEXT("sp ace=\n\xC3\xA9", "x"), F_INT("n", -5), F_BOOL("b", true),
	                     F_TEXT("Time", "mine"), F_TEXT("empty", ""), F_TEXT("bad", "\t\033\xFF\xC3\xA9")),
	              "MESSAGE=a b\\xff action_id=1-2 sp_ace__\xC3\xA9=x n=-5 b=true Time=mine empty=\"\" "
	              "bad=\"\\t\\x1b\\xff\xC3\xA9\"\n" HEAD
	              "HOOKSWITCH_MSG=a b\\xff\nHOOKSWITCH_ACTION_ID=1-2\nHOOKSWITCH_SP_ACE____=x\nHOOKSWITCH_N=-5\nHOOKSWITCH_B=true\n"
	              "HOOKSWITCH_TIME_=mine\nHOOKSWITCH_EMPTY=\nHOOKSWITCH_BAD=\t\\x1b\\xff\xC3\xA9\n"));
	static const char lines[] = "MESSAGE\n\x2A\0\0\0\0\0\0\0failed\n    traceback:\n        a\n        \tb\n" HEAD
	                            "HOOKSWITCH_MSG=failed\nHOOKSWITCH_TRACEBACK\n\x05\0\0\0\0\0\0\0a\n\tb\n\n";
	CHECK(formats_bytes(LOG_JOURNAL, SLICE("failed"), FIELDS(F_TEXT("traceback", "a\n\tb\n")), lines, sizeof lines - 1));
#undef HEAD
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	text_is_for_people();
	json_is_for_programs();
	json_stays_json();
	the_journal_gets_fields();
	return check_report();
}
