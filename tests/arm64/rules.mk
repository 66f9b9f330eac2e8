# SPDX-License-Identifier: Apache-2.0
#
# The decoder's tests run on the host. The fuzzer has a fixed seed and number of executions.
comma := ,
HOST_arm64 := decode accesses smccc
PROGRAMS_arm64 := $(HOST_arm64:%=build/tests/arm64/%)
$(PROGRAMS_arm64): build/tests/arm64/%: tests/arm64/%.c | deps-arm64
	$(call compile,$(GCC)) $(BUILD_asan) $(FAKE)

FUZZ_RUNS_arm64 ?= 300000
NEEDS_arm64 := build/tests/arm64/fuzz
build/tests/arm64/fuzz: tests/arm64/fuzz.c | deps-arm64
	$(call compile,clang) $(BUILD_fuzz) $(FAKE)

COMMANDS_arm64 := "fuzz=sh tests/fuzz.sh build/tests/arm64/fuzz $(FUZZ_RUNS_arm64) 400"
LIMIT_arm64 := 100

# Programs at EL2 on QEMU's virt machine. x18 is the host's, FP and SIMD are the guests'.
ARM64_CC := aarch64-linux-gnu-gcc
ARM64_FLAGS = $(BUILD_bare) -ffreestanding -nostdinc -isystem $(shell $(ARM64_CC) -print-file-name=include) -mgeneral-regs-only \
  -mno-outline-atomics -mstrict-align -ffixed-x18 -fno-stack-protector -fno-pic -include examples/bare/host.h \
  -Iexamples/bare/arm64 -nostdlib -static -Wl,--build-id=none,--no-warn-rwx-segments -T examples/bare/arm64/link.ld
ARM64_BARE = $(call compile,$(ARM64_CC)) $(ARM64_FLAGS) $(filter %.S %.o,$^)
ARM64_HOST := $(addprefix examples/bare/,host.c arm64/machine.c arm64/start.S arm64/vectors.S)
ARM64_H := $(HEADERS) $(wildcard examples/bare/*.h examples/bare/arm64/*.h) examples/bare/arm64/link.ld
ARM64_NEEDS := $(ARM64_HOST) $(ARM64_H)
# The host as it is, once for all programs that change nothing in it.
ARM64_OBJECTS := $(ARM64_HOST:examples/bare/%=build/tests/arm64/bare/%.o)
$(ARM64_OBJECTS): build/tests/arm64/bare/%.o: examples/bare/% $(ARM64_H) | deps-arm64
	$(call compile_one,$(ARM64_CC)) $(ARM64_FLAGS) -c

ARM64_SUITE := $(addprefix tests/conformance/,runner.c port_bare.c arm64/cases.c arm64/guests.S)
build/tests/arm64/conformance.elf: $(ARM64_SUITE) $(ARM64_NEEDS) \
  $(wildcard tests/conformance/*.h tests/conformance/arm64/*.h) | deps-arm64
	$(ARM64_BARE) -DAXVCPU_CHECKED -Itests/conformance -Itests/conformance/arm64
build/tests/arm64/count.elf: bench/guest.c tests/arm64/count_guest.S tests/arm64/counter.h $(ARM64_OBJECTS) $(ARM64_H) | deps-arm64
	$(ARM64_BARE) -Itests/arm64
# With the library's vectors, with the host's (own), and where interrupts wait for the host (pending).
build/tests/arm64/el2.elf: tests/arm64/el2.c tests/arm64/el2_guest.S $(ARM64_NEEDS) | deps-arm64
	$(ARM64_BARE) -DAXVCPU_CHECKED -DHOST_THREADS
build/tests/arm64/el2-pending.elf: tests/arm64/el2.c tests/arm64/el2_guest.S $(ARM64_NEEDS) | deps-arm64
	$(ARM64_BARE) -DAXVCPU_CHECKED -DHOST_THREADS -DHOST_NO_FETCH
build/tests/arm64/el2-own.elf: tests/arm64/el2.c tests/arm64/el2_guest.S $(ARM64_NEEDS) | deps-arm64
	$(ARM64_BARE) -DAXVCPU_CHECKED -DHOST_THREADS -DAXVCPU_OWN_VECTORS
# What the CPU reports, seen on the way into the library.
build/tests/arm64/syndrome.elf: tests/arm64/syndrome.c $(ARM64_NEEDS) | deps-arm64
	$(ARM64_BARE) -DAXVCPU_CHECKED -Wl,--wrap=axvcpu_i_arm64_left
build/tests/arm64/trace: tests/arm64/trace.c | deps-arm64
	$(call compile,$(GCC)) -O2 -D_GNU_SOURCE
NEEDS_arm64 += $(addprefix build/tests/arm64/,conformance.elf count.elf el2.elf el2-own.elf el2-pending.elf syndrome.elf trace)

# The examples that run on every backend, as they are. What is run is a script that starts the machine.
ANYWHERE_arm64 := $(ANYWHERE) examples/bare/roundrobin.c
EXAMPLES_arm64 := $(ANYWHERE_arm64:examples/%.c=build/tests/arm64/examples/%)
build/tests/arm64/examples/%.elf: examples/%.c examples/host.h $(ARM64_OBJECTS) $(ARM64_H) | deps-arm64
	$(ARM64_BARE)
$(EXAMPLES_arm64): %: %.elf
	@printf '%s\n' '#!/bin/sh' 'exec sh tests/arm64/qemu.sh 15 2 cortex-a57 $@.elf' >$@ && chmod +x $@
NEEDS_arm64 += $(EXAMPLES_arm64)
COMMANDS_arm64 += "examples=sh tests/examples.sh build/tests/arm64/examples $(ANYWHERE_arm64)"

# a53 has 40 bits of physical addresses, a57 44, max 48 and pointer authentication.
on_arm64 = "EL2 on $2, GICv$1=sh tests/arm64/qemu.sh 60 $1 $2 build/tests/arm64/conformance.elf"
COMMANDS_arm64 += $(call on_arm64,2,cortex-a53) $(call on_arm64,2,cortex-a57) $(call on_arm64,3,cortex-a57) \
  $(call on_arm64,2,max) $(call on_arm64,3,max)

el2_arm64 = "only on EL2: $2, GICv$1$(if $3,$(comma) $3)=sh tests/arm64/qemu.sh 60 $1 $2 build/tests/arm64/el2$(if $3,-$3).elf"
COMMANDS_arm64 += $(call el2_arm64,2,cortex-a53,) $(call el2_arm64,3,cortex-a57,) $(call el2_arm64,3,max,) \
  $(call el2_arm64,2,cortex-a57,own) $(call el2_arm64,3,max,own) $(call el2_arm64,2,max,pending) $(call el2_arm64,3,cortex-a57,pending)

COMMANDS_arm64 += "syndromes on cortex-a57=sh tests/arm64/qemu.sh 60 2 cortex-a57 build/tests/arm64/syndrome.elf" \
  "syndromes on max=sh tests/arm64/qemu.sh 60 3 max build/tests/arm64/syndrome.elf"

COMMANDS_arm64 += "without EL2=sh tests/arm64/refuse.sh build/tests/arm64/el2.elf"

# What a round trip costs in instructions, guest and host, and where they go.
COMMANDS_arm64 += "count=sh tests/arm64/qemu.sh 60 3 cortex-a57 build/tests/arm64/count.elf -icount shift=0" \
  "trace=sh tests/arm64/trace.sh build/tests/arm64/count.elf"
