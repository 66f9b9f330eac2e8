# SPDX-License-Identifier: Apache-2.0
#
# The decoder's tests run on the host; its fuzzer has a fixed seed and number of executions. The conformance
# suite and the counts run on bare RISC-V in QEMU.
RISCV := build/tests/riscv
HOST_riscv := decode listing sbi
PROGRAMS_riscv := $(HOST_riscv:%=$(RISCV)/%)
$(PROGRAMS_riscv): $(RISCV)/%: tests/riscv/%.c | deps-riscv
	$(call compile,$(GCC)) $(BUILD_asan) $(FAKE)

FUZZ_RUNS_riscv ?= 300000
$(RISCV)/fuzz: tests/riscv/fuzz.c | deps-riscv
	$(call compile,clang) -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all $(FAKE)

# A program for the bare machine: no floating point in C, but in the guests.
BARE_FLAGS_riscv := -ffreestanding -nostdlib -static -march=rv64imac_zicsr_zifencei -mabi=lp64 -mcmodel=medany \
  -fno-pic -no-pie -fno-stack-protector -include examples/bare/host.h -Iexamples/bare/riscv \
  -T examples/bare/riscv/link.ld -Wl,--build-id=none -Wl,-no-warn-rwx-segments -Wa,-march=rv64gc
BARE_riscv = $(call compile,riscv64-linux-gnu-gcc) -O2 $(BARE_FLAGS_riscv) $(filter %.S,$^)
HOST_riscv_bare := $(addprefix examples/bare/,host.c riscv/machine.c riscv/start.S)
BARE_NEEDS_riscv := $(HOST_riscv_bare) $(HEADERS) $(wildcard examples/bare/*.h examples/bare/riscv/*.h) \
  examples/bare/riscv/link.ld

$(RISCV)/conformance.elf: $(addprefix tests/conformance/,runner.c port_bare.c riscv/cases.c riscv/guests.S) \
  $(BARE_NEEDS_riscv) $(wildcard tests/conformance/*.h tests/conformance/riscv/*.h) | deps-riscv
	$(BARE_riscv) -DAXVCPU_CHECKED -Itests/conformance -Itests/conformance/riscv
$(RISCV)/count.elf: tests/riscv/count.c tests/riscv/count_guest.S $(BARE_NEEDS_riscv) | deps-riscv
	$(BARE_riscv)

NEEDS_riscv := $(RISCV)/fuzz $(RISCV)/conformance.elf $(RISCV)/count.elf
COMMANDS_riscv := "fuzz=sh tests/riscv/fuzz.sh $(FUZZ_RUNS_riscv)" \
  "conformance=sh tests/riscv/qemu.sh 80 $(RISCV)/conformance.elf" \
  "count=sh tests/riscv/qemu.sh 20 $(RISCV)/count.elf -icount shift=0"
LIMIT_riscv := 90
