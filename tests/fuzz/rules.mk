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
