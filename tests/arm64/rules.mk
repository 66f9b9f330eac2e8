# SPDX-License-Identifier: Apache-2.0
#
# The decoder's tests run on the host. The fuzzer has a fixed seed and number of executions.
HOST_arm64 := decode accesses smccc
PROGRAMS_arm64 := $(HOST_arm64:%=build/tests/arm64/%)
$(PROGRAMS_arm64): build/tests/arm64/%: tests/arm64/%.c | deps-arm64
	$(call compile,$(GCC)) $(BUILD_asan) $(FAKE)

FUZZ_RUNS_arm64 ?= 300000
NEEDS_arm64 := build/tests/arm64/fuzz
build/tests/arm64/fuzz: tests/arm64/fuzz.c | deps-arm64
	$(call compile,clang) -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all $(FAKE)

COMMANDS_arm64 := "fuzz=sh tests/arm64/fuzz.sh $(FUZZ_RUNS_arm64)"
LIMIT_arm64 := 60
