# hookswitch. `make run` shows it at work, `make test` proves it; both install what is missing (Debian 12).

ifeq ($(origin CC),default)
CC := gcc
endif
# SANITIZE=1: AddressSanitizer and UndefinedBehaviorSanitizer, in a build folder of its own; SANITIZE=thread: ThreadSanitizer.
SANITIZE ?=
WERROR   ?=
BUILD   := build$(if $(SANITIZE),-sanitize$(if $(filter thread,$(SANITIZE)),-thread))
OBJ     := $(BUILD)/obj
# The builds that a command makes on its way use every core.
JOBS    := -j$(shell nproc)

# What is needed, by its Debian packages.
PACKAGES := gcc make pkg-config lua5.4 liblua5.4-dev libev-dev libc-ares-dev libssl-dev libhttp-parser-dev libpcre2-dev libsystemd-dev libsqlite3-dev libcurl4-openssl-dev lua-cjson lua-busted
# What only the tests need: a second compiler and its fuzzer, a counter of instructions, who reads the metrics, the package and
# the state file, a client and a proxy of the API, a browser and what drives it.
TEST_PACKAGES := clang libclang-rt-14-dev valgrind prometheus lintian sqlite3 curl nginx-light chromium chromium-driver

# Under sanitizers more optimization only makes gcc warn of what cannot be.
CFLAGS   ?= $(if $(SANITIZE),-O2,-O3) -g
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual \
            -Wformat=2 -Wundef -Wvla $(if $(WERROR),-Werror)
CPPFLAGS_ALL = -Isrc -D_GNU_SOURCE $(shell pkg-config --cflags-only-I lua5.4 | sed 's/-I/-isystem /g') $(CPPFLAGS)
# All symbols are bound at the start (-z now): calls of libraries need no PLT.
HARDEN   := -fstack-protector-strong -fPIC -fno-plt $(if $(SANITIZE),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
comma    := ,
SANFLAGS := $(if $(SANITIZE),-fsanitize=$(if $(filter thread,$(SANITIZE)),thread,address$(comma)undefined) -fno-sanitize-recover=all -fno-omit-frame-pointer)
CFLAGS_ALL = -std=gnu11 $(CFLAGS) $(WARNINGS) $(HARDEN) $(SANFLAGS) -fvisibility=hidden -pthread
LDFLAGS_ALL = $(LDFLAGS) $(SANFLAGS) -pthread -Wl,-z,relro,-z,now -Wl,--as-needed
# The layers that an event passes are optimized as one when the program is linked: a twelfth fewer instructions for each event. The
# objects hold ordinary code too, for all else that links them. LTO= leaves it out.
LTO     ?= $(if $(SANITIZE),,$(if $(findstring gcc,$(CC)),1))
LTO_LAYERS := base ami live link sandbox rules rules/api engine
LTO_CFLAGS := $(if $(LTO),-flto -ffat-lto-objects)
LTO_LDFLAGS := $(if $(LTO),-flto=auto $(CFLAGS))
NO_LTO   := $(if $(LTO),-fno-lto)
LIBS = $(shell pkg-config --libs lua5.4 libcares openssl libpcre2-8 libsystemd sqlite3 libcurl) -lhttp_parser -lev -lm

LAYERS  := base observe ami live persist net http link sandbox value rules rules/api config engine view control web sim cli harness
SOURCES := $(wildcard $(LAYERS:%=src/%/*.c))
OBJECTS := $(SOURCES:src/%.c=$(OBJ)/%.o)
# The Lua module links the pure layers, the rules and the simulator, for tests and for trying rules without a daemon.
MODULE_LAYERS  := base observe ami live persist net http sandbox value rules sim harness
MODULE_OBJECTS := $(filter $(MODULE_LAYERS:%=$(OBJ)/%/%),$(OBJECTS))
# harness/ is the Lua module's own; the program does not link it.
PROGRAM_OBJECTS := $(filter-out $(OBJ)/harness/%,$(OBJECTS))

# C tests of single layers: each is a program of its own, linked with everything but the commands.
LIBRARY := $(BUILD)/libhookswitch.a
UNITS   := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/*_test.c))
# Programs of the same kind that specs start: loads on persistent state, to be killed or to fill the disk.
LOADS   := $(addprefix $(BUILD)/tests/,persist_load persist_full)

# What specs start beside the program: a scripted peer, certificates, a name server, a web server, a stand-in for systemd, a wall clock to
# preload. Never sanitized.
TOOLS   := $(addprefix $(BUILD)/tests/,peer certificates nameserver httpd notify readers wallclock.so)
TOOL_FLAGS = -std=gnu11 $(CFLAGS) $(WARNINGS) -D_GNU_SOURCE -fPIC -fvisibility=hidden

.PHONY: all build deps tests test run bench soak reloads persist clean help live-soak
all: build

help:
	@echo 'make run      install what is missing, build, show the engine at work on a simulated Asterisk'
	@echo 'make test     install what is missing, build, run every test (SANITIZE=1: under ASan and UBSan)'
	@echo 'make build    build $(BUILD)/hookswitch and $(BUILD)/hookswitch.so'
	@echo 'make bench    compare with the least that must be done, some minutes'
	@echo 'make fuzz     fuzz the pure layers, FUZZ_SECONDS (600) each; needs clang'
	@echo 'make soak     50 servers, floods, restarts and reloads for SOAK_SECONDS (600)'
	@echo 'make reloads  1,000 SIGHUPs under 10,000 events a second, 100 reconnects: nothing lost, doubled or leaked'
	@echo 'make live-soak  the live picture against simulated traffic of 100 seeds (LIVE_SEEDS, LIVE_HOURS)'
	@echo 'make persist  persistent state: 300 kills of it and of rules on it, 200 of sinks, 300 damaged files of each kind, its threads under ThreadSanitizer'
	@echo 'make install  into PREFIX (/usr/local), SYSCONFDIR (/etc), below DESTDIR'
	@echo 'make deb      a Debian package in $(BUILD)/'
	@echo 'make clean    remove what was built'

deps:
	@tests/install-packages $(PACKAGES)

build: $(BUILD)/hookswitch $(BUILD)/hookswitch.so

run: deps
	@$(MAKE) -s $(JOBS) build
	@tests/demo $(BUILD)/hookswitch

# A second make, because what the packages bring (pkg-config, headers) is looked for when one starts. The specs run last, so
# that the last line counts the tests.
test: deps
	@tests/install-packages $(TEST_PACKAGES)
	@$(MAKE) -s $(JOBS) WERROR=1 build tests
ifeq ($(SANITIZE),)
	@$(MAKE) -s $(JOBS) BUILD=build-clang CC=clang WERROR=1 build
	@echo 'built without a warning by gcc and clang'
	@$(MAKE) -s -j2 fuzz-short
	@$(MAKE) -s bench-instructions
endif
	@tests/run $(BUILD) $(if $(SANITIZE),sanitize)

LIVE_SEEDS ?= 1000-1099
LIVE_HOURS ?= 2
# The live picture against the simulator's own state: other seeds than those of make test, each two hours of traffic.
live-soak: deps
	@$(MAKE) -s $(JOBS) build
	@LUA_CPATH='$(CURDIR)/$(BUILD)/?.so;;' LIVE_SEEDS='$(LIVE_SEEDS)' LIVE_HOURS='$(LIVE_HOURS)' \
	  busted --lua=/usr/bin/lua5.4 tests/spec/live/truth_spec.lua

soak: deps
	@tests/install-packages $(TEST_PACKAGES)
	@$(MAKE) -s $(JOBS) build
	@HOOKSWITCH=$(CURDIR)/$(BUILD)/hookswitch tests/soak

# The long form of two scenarios, and what they measured.
reloads: deps
	@tests/install-packages $(TEST_PACKAGES)
	@$(MAKE) -s $(JOBS) build tests
	@rm -f $(BUILD)/reloads
	@RELOADS=$${RELOADS:-1000} RECONNECTS=$${RECONNECTS:-100} SCENARIO='SIGHUPs under load,reconnects leave nothing' SCENARIO_REPORT=$(BUILD)/reloads \
	  LUA_CPATH='$(CURDIR)/$(BUILD)/?.so;;' HOOKSWITCH=$(CURDIR)/$(BUILD)/hookswitch busted --lua=/usr/bin/lua5.4 tests/spec/scenarios
	@cat $(BUILD)/reloads

# What would take make test too long.
persist: deps
	@tests/install-packages $(TEST_PACKAGES)
	@$(MAKE) -s $(JOBS) WERROR=1 build tests
	@DAMAGE_ROUNDS=300 $(BUILD)/tests/persist_damage_test
	@PERSIST_KILLS=300 SINK_KILLS=200 LUA_CPATH='$(CURDIR)/$(BUILD)/?.so;;' HOOKSWITCH=$(CURDIR)/$(BUILD)/hookswitch \
	  busted --lua=/usr/bin/lua5.4 tests/spec/persist/kill_spec.lua tests/spec/persist/rules_kill_spec.lua tests/spec/persist/sinks_kill_spec.lua
	@$(MAKE) -s $(JOBS) SANITIZE=thread $(patsubst %,build-sanitize-thread/tests/%,persist_test persist_faults_test)
	@for test in persist_test persist_faults_test; do \
	  TSAN_OPTIONS=halt_on_error=1 build-sanitize-thread/tests/$$test || exit 1; done

tests: $(UNITS) $(LOADS) $(TOOLS)

$(BUILD)/hookswitch: $(PROGRAM_OBJECTS)
	$(CC) -pie $(LTO_LDFLAGS) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

# Lua's own symbols come from the interpreter that loads the module.
$(BUILD)/hookswitch.so: $(MODULE_OBJECTS)
	$(CC) -shared $(NO_LTO) $(LDFLAGS_ALL) -o $@ $^ $(shell pkg-config --libs libcares openssl libpcre2-8 sqlite3 libcurl) -lev -lm

$(LIBRARY): $(filter-out $(OBJ)/cli/%,$(PROGRAM_OBJECTS))
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/tests/%: tests/unit/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) -Itests/unit $(CFLAGS_ALL) $(NO_LTO) $(LDFLAGS_ALL) -o $@ $< $(TEST_LDFLAGS) $(LIBRARY) $(LIBS)

# Allocations that fail when the test says so.
HARNESS := module_harness.o module_picture.o module_requests.o
$(BUILD)/tests/mem_test: TEST_LDFLAGS := $(HARNESS:%=$(OBJ)/harness/%) $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc)
$(BUILD)/tests/mem_test: $(HARNESS:%=$(OBJ)/harness/%)

# What Lua calls, with crossings that count (sandbox/kill.h), in the place of the library's objects.
COUNTING := $(patsubst src/%.c,$(OBJ)/counting/%.o,$(shell grep -l sandbox/kill.h $(filter src/sandbox/% src/value/% src/rules/%,$(SOURCES))) \
  $(HARNESS:%.o=src/harness/%.c))
$(BUILD)/tests/kill_api_test: tests/unit/kill_api_test.c $(COUNTING) $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) -Itests/unit $(CFLAGS_ALL) $(NO_LTO) $(LDFLAGS_ALL) -o $@ $< $(COUNTING) $(LIBRARY) $(LIBS)

$(OBJ)/counting/%.o: src/%.c $(OBJ)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) -DKILL_AT_CALL $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(BUILD)/tests/%: tests/tools/%.c
	@mkdir -p $(@D)
	$(CC) $(TOOL_FLAGS) -o $@ $< $(shell pkg-config --libs openssl)

$(BUILD)/tests/%.so: tests/tools/%.c
	@mkdir -p $(@D)
	$(CC) $(TOOL_FLAGS) -shared -o $@ $<

$(LTO_LAYERS:%=$(OBJ)/%/%.o): LTO_OBJECT := $(LTO_CFLAGS)

$(OBJ)/%.o: src/%.c $(OBJ)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LTO_OBJECT) -MMD -MP -c -o $@ $<

# Rebuilds everything when compiler or flags change.
$(OBJ)/flags: FORCE
	@mkdir -p $(OBJ)
	@echo '$(CC) $(CPPFLAGS_ALL) $(filter-out -Werror,$(CFLAGS_ALL)) $(LTO_CFLAGS)' >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

clean:
	rm -rf build build-sanitize build-sanitize-thread build-clang build-fuzz

include tests/fuzz/fuzz.mk tests/bench/bench.mk tests/mutants/mutants.mk conf/install.mk
-include $(OBJECTS:.o=.d) $(COUNTING:.o=.d)
