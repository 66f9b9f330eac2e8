# SPDX-License-Identifier: Apache-2.0
#
# What is pure C, on the host: the decoder, exits, rules. The fuzzer has a fixed seed and number of executions.
HOST_x86 := decode native lengths
ASAN_x86 :=
PROGRAMS_x86 := $(HOST_x86:%=build/tests/x86/%) $(ASAN_x86:%=build/tests/x86/%)
$(HOST_x86:%=build/tests/x86/%): build/tests/x86/%: tests/x86/%.c | deps-x86
	$(call compile,$(GCC)) -O2 $(FAKE)
$(ASAN_x86:%=build/tests/x86/%): build/tests/x86/%: tests/x86/%.c | deps-x86
	$(call compile,$(GCC)) $(BUILD_asan) $(FAKE)

FUZZ_RUNS_x86 ?= 200000
NEEDS_x86 := build/tests/x86/fuzz
build/tests/x86/fuzz: tests/x86/fuzz.c | deps-x86
	$(call compile,clang) -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all $(FAKE)

COMMANDS_x86 := "fuzz=sh tests/x86/fuzz.sh $(FUZZ_RUNS_x86)"
LIMIT_x86 := 60

