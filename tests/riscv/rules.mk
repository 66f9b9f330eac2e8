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
	$(call compile,clang) $(BUILD_fuzz) $(FAKE)

# A program for the bare machine: no floating point in C, but in the guests.
BARE_FLAGS_riscv := -ffreestanding -nostdlib -static -march=rv64imac_zicsr_zifencei -mabi=lp64 -mcmodel=medany \
  -fno-pic -no-pie -fno-stack-protector -include examples/bare/host.h -Iexamples/bare/riscv \
  -T examples/bare/riscv/link.ld -Wl,--build-id=none -Wl,-no-warn-rwx-segments -Wa,-march=rv64gc
BARE_riscv = $(call compile,riscv64-linux-gnu-gcc) $(BUILD_bare) $(BARE_FLAGS_riscv) $(filter %.S %.o,$^)
HOST_riscv_bare := $(addprefix examples/bare/,host.c riscv/machine.c riscv/start.S)
BARE_H_riscv := $(HEADERS) $(wildcard examples/bare/*.h examples/bare/riscv/*.h) examples/bare/riscv/link.ld
BARE_NEEDS_riscv := $(HOST_riscv_bare) $(BARE_H_riscv)
# The host as it is, once for all programs that change nothing in it.
HOST_OBJECTS_riscv := $(HOST_riscv_bare:examples/bare/%=$(RISCV)/bare/%.o)
$(HOST_OBJECTS_riscv): $(RISCV)/bare/%.o: examples/bare/% $(BARE_H_riscv) | deps-riscv
	$(call compile_one,riscv64-linux-gnu-gcc) $(BUILD_bare) $(BARE_FLAGS_riscv) -c

# Both programs twice: with our vectors, and (own) with the host's.
SUITE_riscv := $(addprefix tests/conformance/,runner.c port_bare.c riscv/cases.c riscv/guests.S) $(BARE_NEEDS_riscv) \
  $(wildcard tests/conformance/*.h tests/conformance/riscv/*.h)
COUNT_riscv := bench/guest.c tests/riscv/count_guest.S tests/riscv/counter.h $(BARE_H_riscv)
SUITE_FLAGS_riscv := -DAXVCPU_CHECKED -Itests/conformance -Itests/conformance/riscv
$(RISCV)/conformance.elf: $(SUITE_riscv) | deps-riscv
	$(BARE_riscv) $(SUITE_FLAGS_riscv)
$(RISCV)/conformance-own.elf: $(SUITE_riscv) | deps-riscv
	$(BARE_riscv) $(SUITE_FLAGS_riscv) -DAXVCPU_OWN_VECTORS
$(RISCV)/count.elf: $(COUNT_riscv) $(HOST_OBJECTS_riscv) | deps-riscv
	$(BARE_riscv) -Itests/riscv
$(RISCV)/count-own.elf: $(COUNT_riscv) $(HOST_riscv_bare) | deps-riscv
	$(BARE_riscv) -Itests/riscv -DAXVCPU_OWN_VECTORS

$(RISCV)/words.elf: tests/riscv/words.c $(BARE_NEEDS_riscv) | deps-riscv
	$(BARE_riscv) -DAXVCPU_CHECKED
$(RISCV)/hs.elf: tests/riscv/hs.c tests/riscv/hs_guest.S $(BARE_NEEDS_riscv) | deps-riscv
	$(call compile_files,riscv64-linux-gnu-gcc $(BUILD_bare) -DHOST_THREADS $(BARE_FLAGS_riscv),\
	  tests/riscv/hs.c examples/bare/riscv/machine.c $(filter %.S,$^))

# The examples that run on every backend, as they are, and that of a hypervisor. What is run is a script that
# starts the machine.
ANYWHERE_riscv := $(ANYWHERE) examples/bare/roundrobin.c
EXAMPLES_riscv := $(ANYWHERE_riscv:examples/%.c=$(RISCV)/examples/%)
$(RISCV)/examples/%.elf: examples/%.c examples/host.h $(HOST_OBJECTS_riscv) $(BARE_H_riscv) | deps-riscv
	$(BARE_riscv)
$(EXAMPLES_riscv): %: %.elf
	@printf '%s\n' '#!/bin/sh' 'exec sh tests/riscv/qemu.sh 15 $@.elf' >$@ && chmod +x $@

# Also on a hart without Sstc, and on one that has vectors.
NEEDS_riscv := $(addprefix $(RISCV)/,fuzz hs.elf words.elf conformance.elf conformance-own.elf count.elf count-own.elf) $(EXAMPLES_riscv)
RUN_riscv := sh tests/riscv/qemu.sh
COMMANDS_riscv := "fuzz=sh tests/fuzz.sh build/tests/riscv/fuzz $(FUZZ_RUNS_riscv) 400" \
  "conformance=$(RUN_riscv) 80 $(RISCV)/conformance.elf" \
  "conformance, own vectors=$(RUN_riscv) 80 $(RISCV)/conformance-own.elf" \
  "conformance, no sstc=CPU=sstc=off $(RUN_riscv) 80 $(RISCV)/conformance.elf" \
  "conformance, vectors=CPU=v=true,vext_spec=v1.0 $(RUN_riscv) 80 $(RISCV)/conformance.elf" \
  "hs=$(RUN_riscv) 60 $(RISCV)/hs.elf" \
  "hs, vectors=CPU=v=true,vext_spec=v1.0 $(RUN_riscv) 60 $(RISCV)/hs.elf" \
  "hs, no sstc=CPU=sstc=off $(RUN_riscv) 60 $(RISCV)/hs.elf" \
  "words=$(RUN_riscv) 60 $(RISCV)/words.elf" \
  "no H extension=sh tests/riscv/no_h.sh $(RISCV)/hs.elf" \
  "examples=sh tests/examples.sh $(RISCV)/examples $(ANYWHERE_riscv)" \
  "count=$(RUN_riscv) 20 $(RISCV)/count.elf -icount shift=0" \
  "count, own vectors=$(RUN_riscv) 20 $(RISCV)/count-own.elf -icount shift=0"

LIMIT_riscv := 90
