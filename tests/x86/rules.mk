# SPDX-License-Identifier: Apache-2.0
#
# What is pure C, on the host: the decoder, exits, rules. The fuzzer has a fixed seed and number of executions.
HOST_x86 := decode native lengths
ASAN_x86 := exits rules explain mmio
PROGRAMS_x86 := $(HOST_x86:%=build/tests/x86/%) $(ASAN_x86:%=build/tests/x86/%)
$(HOST_x86:%=build/tests/x86/%): build/tests/x86/%: tests/x86/%.c | deps-x86
	$(call compile,$(GCC)) $(BUILD_o2) $(FAKE)
$(ASAN_x86:%=build/tests/x86/%): build/tests/x86/%: tests/x86/%.c | deps-x86
	$(call compile,$(GCC)) $(BUILD_asan) $(FAKE)

FUZZ_RUNS_x86 ?= 200000
NEEDS_x86 := build/tests/x86/fuzz
build/tests/x86/fuzz: $(wildcard tests/x86/fuzz*.c) tests/x86/fuzz.h tests/fuzz/input.h | deps-x86
	$(call compile,clang) $(BUILD_fuzz) $(FAKE)

COMMANDS_x86 := "fuzz=sh tests/fuzz.sh build/tests/x86/fuzz $(FUZZ_RUNS_x86) 4096"
LIMIT_x86 := 300

# The conformance suite on a bare PC, in QEMU and in Bochs. The hosts' own code uses no FPU: that is the guests'.
X86 := build/tests/x86
BARE_FLAGS_x86 := $(BUILD_bare) -ffreestanding -nostdinc -isystem $(shell $(GCC) -print-file-name=include) -mgeneral-regs-only \
  -mno-red-zone -fno-stack-protector -fno-pic -fcf-protection=none -include examples/bare/host.h -Iexamples/bare/x86 \
  -nostdlib -static -no-pie -Wl,--build-id=none,--no-warn-rwx-segments -T examples/bare/x86/link.ld
HOST_x86_bare := $(addprefix examples/bare/,host.c x86/machine.c x86/start.S)
BARE_x86 = $(call compile,$(GCC)) $(BARE_FLAGS_x86) $(filter %.S %.o,$^)
BARE_H_x86 := $(HEADERS) $(wildcard examples/bare/*.h examples/bare/x86/*.h)
# The host as it is, once for all programs that change nothing in it.
HOST_OBJECTS_x86 := $(HOST_x86_bare:examples/bare/%=$(X86)/bare/%.o)
$(HOST_OBJECTS_x86): $(X86)/bare/%.o: examples/bare/% $(BARE_H_x86) | deps-x86
	$(call compile_one,$(GCC)) $(BARE_FLAGS_x86) -c
BARE_NEEDS_x86 := $(HOST_OBJECTS_x86) $(BARE_H_x86) examples/bare/x86/link.ld

$(X86)/conformance.elf: $(HOST_x86_bare) $(addprefix tests/conformance/,runner.c port_bare.c x86/cases.c x86/guests.S) \
  $(BARE_H_x86) examples/bare/x86/link.ld $(wildcard tests/conformance/*.h tests/conformance/x86/*.h) | deps-x86
	$(BARE_x86) -DAXVCPU_CHECKED -Itests/conformance -Itests/conformance/x86

# What a round trip costs in instructions, guest and host.
$(X86)/count.elf: bench/guest.c tests/x86/count_guest.S tests/x86/counter.h $(BARE_NEEDS_x86) | deps-x86
	$(BARE_x86) -Itests/x86

NEEDS_x86 += $(X86)/conformance.elf $(X86)/count.elf
# qemu64 has neither next RIPs nor XSAVE, max has XSAVE.
COMMANDS_x86 += "SVM in QEMU=sh tests/x86/machine.sh 280 qemu:qemu64,+svm,+npt $(X86)/conformance.elf" \
  "SVM in QEMU, max=sh tests/x86/machine.sh 280 qemu:max $(X86)/conformance.elf" \
  "SVM in Bochs=sh tests/x86/machine.sh 280 bochs:ryzen $(X86)/conformance.elf" \
  "VMX in Bochs=sh tests/x86/machine.sh 280 bochs:corei7_skylake_x $(X86)/conformance.elf" \
  "SVM count in QEMU=CPUS=1 sh tests/x86/machine.sh 280 qemu:qemu64,+svm,+npt $(X86)/count.elf -icount shift=0" \
  "SVM count in Bochs=CPUS=1 sh tests/x86/machine.sh 280 bochs:ryzen $(X86)/count.elf" \
  "VMX count in Bochs=CPUS=1 sh tests/x86/machine.sh 280 bochs:corei7_skylake_x $(X86)/count.elf"

# The examples that run on every backend, as they are. What is run is a script that starts the machine.
EXAMPLES_x86 := $(ANYWHERE:examples/%.c=$(X86)/examples/%)
$(X86)/examples/%.elf: examples/%.c examples/host.h $(BARE_NEEDS_x86) | deps-x86
	$(BARE_x86)
# Those that are about x86 or one CPU alone and were written for KVM: they bring the library, and need a few words of C's.
HOSTED_x86 := $(addprefix examples/,hello.c longmode.c irq.c)
HOSTED_EXAMPLES_x86 := $(HOSTED_x86:examples/%.c=$(X86)/examples/%)
$(HOSTED_EXAMPLES_x86:=.elf): $(X86)/examples/%.elf: examples/%.c $(HOST_x86_bare) $(BARE_H_x86) examples/bare/x86/link.ld \
  $(wildcard examples/bare/libc/*.h) | deps-x86
	$(BARE_x86) -O1 -Iexamples/bare/libc -Dmain=host_main -DHOST_LIBRARY_IN_PROGRAM
$(EXAMPLES_x86) $(HOSTED_EXAMPLES_x86): %: %.elf
	@printf '%s\n' '#!/bin/sh' 'exec sh tests/x86/machine.sh 18 $${MACHINE:-qemu:max} $@.elf' >$@ && chmod +x $@
NEEDS_x86 += $(EXAMPLES_x86) $(HOSTED_EXAMPLES_x86)
COMMANDS_x86 += "examples=sh tests/examples.sh $(X86)/examples $(ANYWHERE) $(HOSTED_x86)" \
  "examples, VMX in Bochs=CONSOLE=1 MACHINE=bochs:corei7_skylake_x sh tests/examples.sh $(X86)/examples $(ANYWHERE) $(HOSTED_x86)"

# Entries that fail, and why.
$(X86)/entry.elf: tests/x86/entry.c $(BARE_NEEDS_x86) | deps-x86
	$(BARE_x86)
NEEDS_x86 += $(X86)/entry.elf
COMMANDS_x86 += "entry in QEMU=sh tests/x86/machine.sh 90 qemu:qemu64,+svm,+npt $(X86)/entry.elf" \
  "entry, SVM in Bochs=sh tests/x86/machine.sh 90 bochs:ryzen $(X86)/entry.elf" \
  "entry, VMX in Bochs=sh tests/x86/machine.sh 90 bochs:corei7_skylake_x $(X86)/entry.elf"

# What only the hardware backend has, seen from its host.
$(X86)/root.elf: tests/x86/root.c tests/x86/root_guest.S $(HOST_x86_bare) $(BARE_H_x86) examples/bare/x86/link.ld | deps-x86
	$(call compile_files,$(GCC),$(BARE_FLAGS_x86) -DAXVCPU_CHECKED \
	  tests/x86/root.c examples/bare/x86/machine.c $(filter %.S,$^))
NEEDS_x86 += $(X86)/root.elf
COMMANDS_x86 += "host's side in QEMU=sh tests/x86/machine.sh 90 qemu:max $(X86)/root.elf" \
  "host's side, SVM in Bochs=sh tests/x86/machine.sh 90 bochs:ryzen $(X86)/root.elf" \
  "host's side, VMX in Bochs=sh tests/x86/machine.sh 90 bochs:corei7_skylake_x $(X86)/root.elf"

# Interrupts of the host's own, with their vector and without; VMREADs are counted.
OUTSIDE_x86 := tests/x86/outside.c $(HOST_x86_bare) $(BARE_H_x86) examples/bare/x86/link.ld tests/x86/vmreads.h
$(X86)/outside.elf: $(OUTSIDE_x86) | deps-x86
	$(BARE_x86) -DAXVCPU_CHECKED -include tests/x86/vmreads.h
$(X86)/outside-pending.elf: $(OUTSIDE_x86) | deps-x86
	$(BARE_x86) -DAXVCPU_CHECKED -DHOST_NO_FETCH -include tests/x86/vmreads.h
NEEDS_x86 += $(X86)/outside.elf $(X86)/outside-pending.elf
COMMANDS_x86 += "from outside, SVM in QEMU=sh tests/x86/machine.sh 90 qemu:qemu64,+svm,+npt $(X86)/outside.elf" \
  "from outside, VMX in Bochs=sh tests/x86/machine.sh 90 bochs:corei7_skylake_x $(X86)/outside.elf" \
  "from outside, SVM in QEMU, pending=sh tests/x86/machine.sh 90 qemu:qemu64,+svm,+npt $(X86)/outside-pending.elf" \
  "from outside, VMX in Bochs, pending=sh tests/x86/machine.sh 90 bochs:corei7_skylake_x $(X86)/outside-pending.elf"
