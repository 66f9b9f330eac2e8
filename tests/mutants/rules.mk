# SPDX-License-Identifier: Apache-2.0
#
# `make test-mutants` plays twenty, by a seed that it prints, and believes the suites that have just run; `make
# mutants` plays all of them.
MUTANTS := build/tests/mutants
PROGRAMS_mutants :=
$(MUTANTS)/mutants: tests/mutants/mutants.c tests/mutants/list.h tests/mutants/groups.h tests/mutants/traps.h | deps-mutants
	$(call compile_one,$(CC)) -O1
# The tests that are not programs of the host: name|make target|command.
$(MUTANTS)/commands: Makefile $(wildcard tests/*/rules.mk)
	@mkdir -p $(@D)
	@printf '%s\n' \
  'kvm/conformance|build/tests/kvm/conformance|build/tests/kvm/conformance $$ONLY' \
  'kvm/refused|build/tests/kvm/x86/refused|build/tests/kvm/x86/refused 20' \
  'arm64/conformance|build/tests/arm64/conformance.elf BUILD_bare=-O0|sh tests/arm64/qemu.sh 60 3 max build/tests/arm64/conformance.elf' \
  'arm64/el2|build/tests/arm64/el2.elf|sh tests/arm64/qemu.sh 60 3 max build/tests/arm64/el2.elf' \
  'arm64/syndrome|build/tests/arm64/syndrome.elf|sh tests/arm64/qemu.sh 60 3 max build/tests/arm64/syndrome.elf' \
  'riscv/conformance|build/tests/riscv/conformance.elf BUILD_bare=-O0|sh tests/riscv/qemu.sh 60 build/tests/riscv/conformance.elf' \
  'riscv/hs|build/tests/riscv/hs.elf|sh tests/riscv/qemu.sh 60 build/tests/riscv/hs.elf' \
  'x86/svm|build/tests/x86/conformance.elf BUILD_bare=-O0|sh tests/x86/machine.sh 60 qemu:max build/tests/x86/conformance.elf' \
  'x86/vmx|build/tests/x86/conformance.elf BUILD_bare=-O0|sh tests/x86/machine.sh 60 bochs:corei7_skylake_x build/tests/x86/conformance.elf' \
  'x86/entry-svm|build/tests/x86/entry.elf|sh tests/x86/machine.sh 60 qemu:qemu64,+svm,+npt build/tests/x86/entry.elf' \
  'x86/entry-vmx|build/tests/x86/entry.elf|sh tests/x86/machine.sh 60 bochs:corei7_skylake_x build/tests/x86/entry.elf' \
  'x86/root-svm|build/tests/x86/root.elf|sh tests/x86/machine.sh 60 qemu:max build/tests/x86/root.elf' \
  'x86/root-vmx|build/tests/x86/root.elf|sh tests/x86/machine.sh 60 bochs:corei7_skylake_x build/tests/x86/root.elf' \
  'fuzz/kvm-riscv|build/tests/fuzz/kvm-riscv|sh tests/fuzz.sh build/tests/fuzz/kvm-riscv $(FUZZ_RUNS) 200 -entropic=0' \
  'headers/x86|build/tests/headers/matrix|build/tests/headers/matrix "x86 freestanding, gcc -O2"' \
  'headers/arm64|build/tests/headers/matrix|build/tests/headers/matrix "arm64 freestanding, aarch64-linux-gnu-gcc -O2"' \
  'headers/riscv|build/tests/headers/matrix|build/tests/headers/matrix "riscv freestanding, riscv64-linux-gnu-gcc -O2"' \
  'headers|build/tests/headers/matrix|build/tests/headers/matrix "$$ONLY"' >$@

NEEDS_mutants := $(MUTANTS)/mutants $(MUTANTS)/commands
COMMANDS_mutants := "mutants=$(MUTANTS)/mutants -r build/results $(MUTANTS)/commands 20"
LIMIT_mutants := 1200
RUN_FLAGS_mutants := -v

.PHONY: mutants
mutants: $(RUN) $(NEEDS_mutants) ## every fault that the tests must find
	@$(RUN) -l 3600 -v mutants-all "mutants=$(MUTANTS)/mutants $(MUTANTS)/commands"
