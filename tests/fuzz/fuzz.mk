# libFuzzer targets, built by clang with AddressSanitizer and UndefinedBehaviorSanitizer, seeded from the captures.
#   make fuzz        FUZZ_SECONDS (600) for each target, every time with other inputs
#   make fuzz-short  10 seconds for each, as make test does: the same inputs in the same order, so that it does not fail by chance

FUZZ_SECONDS ?= 600
FUZZ_SEED    ?=
FUZZ_CC      ?= clang
FUZZ_BUILD   := build-fuzz
FUZZ_TARGETS := framer action pending frame_log config redact live web_reader
FUZZ_CFLAGS  := -std=gnu11 -O1 -g -Isrc -D_GNU_SOURCE $(WARNINGS) -fno-sanitize-recover=all \
                -fsanitize=fuzzer,address,undefined
FUZZ_SOURCES := $(wildcard src/ami/*.c) $(addprefix src/base/,buf.c err.c heap.c mem.c pool.c slice.c utf8.c)
FUZZ_LIVE_SOURCES := $(wildcard src/live/*.c) $(FUZZ_SOURCES) src/base/map.c
# The configuration is read by Lua.
FUZZ_CONFIG_SOURCES := $(wildcard src/config/*.c) $(addprefix src/sandbox/,arena.c arena_memory.c chunk.c deadline.c kill.c) $(addprefix src/base/,buf.c err.c faults.c http_message.c map.c mem.c slice.c utf8.c value.c clock.c)
# Masking, up to what a recording gets.
FUZZ_REDACT_SOURCES := $(wildcard src/observe/redact*.c) src/control/capture.c src/engine/headers.c $(FUZZ_SOURCES)

.PHONY: fuzz fuzz-short

fuzz: $(FUZZ_TARGETS:%=fuzz-run-%)
fuzz-short: FUZZ_SECONDS := 10
fuzz-short: FUZZ_SEED := -seed=1
fuzz-short: $(FUZZ_TARGETS:%=fuzz-run-%)

$(FUZZ_BUILD)/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_SOURCES) $(wildcard src/ami/*.h src/base/*.h) tests/fuzz/require.h
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) -o $@ $< $(FUZZ_SOURCES)

$(FUZZ_BUILD)/fuzz_frame_log: tests/unit/frame_log_drive.h

$(FUZZ_BUILD)/fuzz_live: tests/fuzz/fuzz_live.c $(FUZZ_LIVE_SOURCES) $(wildcard src/live/*.h src/ami/*.h src/base/*.h) tests/fuzz/require.h
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) -o $@ $< $(FUZZ_LIVE_SOURCES)

$(FUZZ_BUILD)/fuzz_web_reader: tests/fuzz/fuzz_web_reader.c src/web/web_reader.c src/web/web_request.c $(FUZZ_SOURCES) $(wildcard src/web/*.h src/base/*.h) tests/fuzz/require.h
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) -o $@ $< src/web/web_reader.c src/web/web_request.c $(FUZZ_SOURCES) -lhttp_parser

$(FUZZ_BUILD)/fuzz_config: tests/fuzz/fuzz_config.c $(FUZZ_CONFIG_SOURCES) $(wildcard src/config/*.h src/base/*.h) tests/fuzz/require.h
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) $(shell pkg-config --cflags-only-I lua5.4 | sed 's/-I/-isystem /g') -o $@ $< $(FUZZ_CONFIG_SOURCES) \
	   $(shell pkg-config --libs lua5.4) -lm

$(FUZZ_BUILD)/fuzz_redact: tests/fuzz/fuzz_redact.c $(FUZZ_REDACT_SOURCES) $(wildcard src/observe/redact*.h src/base/*.h) src/control/capture.h src/engine/headers.h \
                           tests/fuzz/require.h
	@mkdir -p $(@D)
	$(FUZZ_CC) $(FUZZ_CFLAGS) -o $@ $< $(FUZZ_REDACT_SOURCES) $(shell pkg-config --libs libpcre2-8)

$(FUZZ_BUILD)/seeds/stamp: tests/fuzz/seeds.lua conf/hookswitch.lua $(wildcard tests/fixtures/captures/*.ami)
	@mkdir -p $(FUZZ_TARGETS:%=$(@D)/%)
	lua5.4 tests/fuzz/seeds.lua tests/fixtures/captures conf/hookswitch.lua $(@D)
	@touch $@

# What libFuzzer finds interesting is kept in the build folder; a crash is left there as crash-<target>-<digest>.
fuzz-run-%: $(FUZZ_BUILD)/fuzz_% $(FUZZ_BUILD)/seeds/stamp
	@mkdir -p $(FUZZ_BUILD)/corpus/$*
	@$< $(FUZZ_SEED) -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 -print_final_stats=1 -verbosity=0 \
	   -artifact_prefix=$(FUZZ_BUILD)/crash-$*- $(FUZZ_BUILD)/corpus/$* $(FUZZ_BUILD)/seeds/$* \
	   >$(FUZZ_BUILD)/$*.log 2>&1 || { tail -n 60 $(FUZZ_BUILD)/$*.log; exit 1; }
	@sed -n 's/stat::number_of_executed_units: */fuzz $*: no fault in runs: /p' $(FUZZ_BUILD)/$*.log
.SECONDARY: $(FUZZ_TARGETS:%=$(FUZZ_BUILD)/fuzz_%)
