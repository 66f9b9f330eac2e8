# SPDX-License-Identifier: Apache-2.0
#
# `make test-mutants` plays twenty, by a seed that it prints; `make mutants` all of them.
MUTANTS := build/tests/mutants
PROGRAMS_mutants :=
$(MUTANTS)/mutants: tests/mutants/mutants.c tests/mutants/list.h tests/mutants/groups.h | deps-mutants
	$(call compile_one,$(CC)) -O1
# The tests that are not programs of the host: name|make target|command.
$(MUTANTS)/commands: Makefile $(wildcard tests/*/rules.mk)
	@mkdir -p $(@D)
	@printf '%s\n' \
	  'arm64/el2|build/tests/arm64/conformance.elf|$(QEMU_arm64) build/tests/arm64/conformance.elf -cpu cortex-a57' \
	  'riscv/hs|build/tests/riscv/conformance.elf|sh tests/riscv/qemu.sh 80 build/tests/riscv/conformance.elf' >$@

NEEDS_mutants := $(MUTANTS)/mutants $(MUTANTS)/commands
COMMANDS_mutants := "mutants=$(MUTANTS)/mutants $(MUTANTS)/commands 20"
LIMIT_mutants := 1200
RUN_FLAGS_mutants := -v

.PHONY: mutants
mutants: $(RUN) $(NEEDS_mutants) ## every fault that the tests must find
	@$(RUN) -l 3600 -v mutants-all "mutants=$(MUTANTS)/mutants $(MUTANTS)/commands"
