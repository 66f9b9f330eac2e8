# SPDX-License-Identifier: Apache-2.0
#
# The decoder's tests run on the host. The fuzzer has a fixed seed and number of executions.
HOST_riscv := decode listing sbi
PROGRAMS_riscv := $(HOST_riscv:%=build/tests/riscv/%)
$(PROGRAMS_riscv): build/tests/riscv/%: tests/riscv/%.c | deps-riscv
	$(call compile,$(GCC)) $(BUILD_asan) $(FAKE)

FUZZ_RUNS_riscv ?= 300000
NEEDS_riscv := build/tests/riscv/fuzz
build/tests/riscv/fuzz: tests/riscv/fuzz.c | deps-riscv
	$(call compile,clang) -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all $(FAKE)

COMMANDS_riscv := "fuzz=sh tests/riscv/fuzz.sh $(FUZZ_RUNS_riscv)"
LIMIT_riscv := 60
