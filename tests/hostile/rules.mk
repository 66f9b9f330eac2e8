# SPDX-License-Identifier: Apache-2.0
#
# Hostile guests on bare metal; one is run again by ONLY=SEED.N, with its exits but for those by time. QEMU
# shall not count time by instructions: a guest whose exception vector cannot be fetched executes none.
HOSTILE := build/tests/hostile
HOSTILE_C := $(addprefix tests/,hostile/hostile.c hostile/bare.c conformance/port_bare.c)
HOSTILE_H := tests/hostile/hostile.h $(wildcard tests/conformance/*.h)
hostile_flags = -DAXVCPU_CHECKED -Itests/hostile -Itests/conformance -Itests/conformance/$1
hostile_guest = $(HOSTILE_C) tests/hostile/$1.c tests/conformance/$1/cases.c tests/conformance/$1/guests.S $(HOSTILE_H) \
  $(wildcard tests/conformance/$1/*.h)

# The machine, without the host that bare.c includes; flags are the architectures' own suites'.
hostile_machine = $(wildcard examples/bare/*.[ch] examples/bare/$1/*.[chS]) $(HEADERS) examples/bare/$1/link.ld

$(HOSTILE)/riscv.elf: $(call hostile_guest,riscv) $(call hostile_machine,riscv) | deps-hostile
	$(call compile_files,riscv64-linux-gnu-gcc -O2 $(BARE_FLAGS_riscv) $(call hostile_flags,riscv),\
	  $(filter-out examples/bare/host.c examples/bare/roundrobin.c,$(filter %.c %.S,$^)))

$(HOSTILE)/arm64.elf: $(call hostile_guest,arm64) $(call hostile_machine,arm64) | deps-hostile
	$(call compile_files,$(ARM64_CC) $(ARM64_FLAGS) $(call hostile_flags,arm64),\
	  $(filter-out examples/bare/host.c examples/bare/roundrobin.c,$(filter %.c %.S,$^)))

# VMX: Bochs is slow, so the short form has 16 guests. Its clock has a tick for each instruction. SVM is not here:
# such guests make QEMU 7.2 crash and Bochs 2.7 panic.
hostile_x86 = $(call compile_files,$(GCC) $(BARE_FLAGS_x86) $(call hostile_flags,x86) -DHOSTILE_ALARM_NS=200000 $1,\
  $(filter-out examples/bare/host.c examples/bare/roundrobin.c,$(filter %.c %.S,$^)))
$(HOSTILE)/x86.elf: $(call hostile_guest,x86) $(call hostile_machine,x86) | deps-hostile
	$(call hostile_x86)
$(HOSTILE)/x86-few.elf: $(call hostile_guest,x86) $(call hostile_machine,x86) | deps-hostile
	$(call hostile_x86,-DHOSTILE_GUESTS=16)

NEEDS_hostile := $(addprefix $(HOSTILE)/,riscv.elf arm64.elf x86-few.elf)
HOSTILE_BOCHS := CPUS=1 sh tests/x86/machine.sh
COMMANDS_hostile := "HS in QEMU=sh tests/riscv/qemu.sh 280 $(HOSTILE)/riscv.elf -smp 1" \
  "EL2 in QEMU, max, GICv3=sh tests/arm64/qemu.sh 280 3 max $(HOSTILE)/arm64.elf -smp 1" \
  "VMX in Bochs=$(HOSTILE_BOCHS) 280 bochs:corei7_skylake_x $(HOSTILE)/x86-few.elf"
LIMIT_hostile := 300

# The long form.
LONG_hostile := "HS in QEMU, vectors, no sstc=CPU=v=true,vext_spec=v1.0,sstc=off sh tests/riscv/qemu.sh 280 $(HOSTILE)/riscv.elf -smp 1" \
  "EL2 in QEMU, GICv2=sh tests/arm64/qemu.sh 280 2 cortex-a57 $(HOSTILE)/arm64.elf -smp 1" \
  "VMX in Bochs, all guests=$(HOSTILE_BOCHS) 890 bochs:corei7_skylake_x $(HOSTILE)/x86.elf"
.PHONY: hostile
hostile: $(RUN) $(NEEDS_hostile) $(HOSTILE)/x86.elf | deps-hostile ## hostile guests on all machines
	@$(RUN) -j 2 -l 900 hostile-all $(COMMANDS_hostile) $(LONG_hostile)
