# Benchmarks: how the engine compares with the least that must be done, on this machine, now.
#   make bench                all of it, some minutes; BENCH_RUNS (5) of each, BENCH="case ..." for some of them
#   make bench-instructions   instructions for each event, against tests/bench/instructions.json; fails when one grew by 10 %
#   make bench-instructions BENCH_WRITE=1    writes that file

BENCH_BUILD := $(BUILD)/bench

.PHONY: bench bench-instructions

bench: build $(TOOLS) $(BENCH_BUILD)/floor $(BENCH_BUILD)/launch
	@lua5.4 tests/bench/run $(BUILD) $(BENCH)

bench-instructions: build $(BENCH_BUILD)/launch $(BENCH_BUILD)/untimed.so
	@lua5.4 tests/bench/instructions $(BUILD) $(if $(BENCH_WRITE),write)

$(BENCH_BUILD)/%.so: tests/bench/%.c
	@mkdir -p $(@D)
	$(CC) $(TOOL_FLAGS) -shared -o $@ $<

$(BENCH_BUILD)/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 $(WARNINGS) -D_GNU_SOURCE $(shell pkg-config --cflags-only-I lua5.4 | sed 's/-I/-isystem /g') \
	      -o $@ $< $(shell pkg-config --libs lua5.4) -lev -lm
