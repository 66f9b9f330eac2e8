# SPDX-License-Identifier: Apache-2.0
#
# Fuzzers of what belongs to no one architecture; a decoder's fuzzer is with its decoder.
FUZZ := api
PROGRAMS_fuzz :=
NEEDS_fuzz := $(FUZZ:%=build/tests/fuzz/%)
$(NEEDS_fuzz): build/tests/fuzz/%: tests/fuzz/%.c | deps-fuzz
	$(call compile_one,clang) $(BUILD_fuzz)

FUZZ_RUNS ?= 200000
COMMANDS_fuzz := $(foreach f,$(FUZZ),"$f=sh tests/fuzz.sh build/tests/fuzz/$f $(FUZZ_RUNS) 300")

# The long form: every fuzzer there is, FUZZ_SECONDS each, with a seed of the day's.
FUZZ_SECONDS ?= 600
FUZZERS := $(NEEDS_fuzz) $(foreach a,arm64 riscv x86,build/tests/$a/fuzz)
.PHONY: fuzz
fuzz: $(FUZZERS) ## all fuzzers, ten minutes each
	@for f in $(FUZZERS); do echo "== $$f, $(FUZZ_SECONDS) s"; mkdir -p build/corpus/$$f; \
	  $$f -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -artifact_prefix=build/corpus/ build/corpus/$$f >build/corpus/log 2>&1 || \
	    { tail -n 30 build/corpus/log; exit 1; }; tail -n 1 build/corpus/log; done
