# SPDX-License-Identifier: Apache-2.0
#
# The benchmark programs. They are always built like this, whatever else is: the counts depend on it.
BENCH_FLAGS := -O2
BENCH := $(addprefix build/bench/,host-same host-other vm hand scale threads kvm driver split plot)
bench_compile = $(call compile,$(GCC)) $(BENCH_FLAGS) -DBENCH_FLAGS='"$(BENCH_FLAGS)"'

build/bench/host-same: bench/host.c bench/row.h | deps-core
	$(bench_compile) -DBENCH_SAME
build/bench/host-slow: bench/host.c bench/row.h | deps-core
	$(bench_compile) -DBENCH_SAME -DBENCH_SLOW
build/bench/host-other: bench/host.c bench/impl.c bench/row.h | deps-core
	$(bench_compile)
build/bench/vm: bench/vm.c bench/impl.c bench/row.h | deps-core
	$(bench_compile)
build/bench/%: bench/%.c | deps-core
	$(bench_compile) $(own_flags)

# The programs that count in a guest: a name, the program, and the command that runs it.
BENCH_GUESTS :=
ifneq ($(wildcard tests/arm64/count.c),)
BENCH_GUESTS += build/tests/arm64/count.elf
bench_guest_arm64 = arm64-el2: build/tests/arm64/count.elf: sh tests/arm64/qemu.sh 300 3 cortex-a57 \
  build/tests/arm64/count.elf -icount shift=0
endif
ifneq ($(wildcard tests/riscv/count.c),)
BENCH_GUESTS += build/tests/riscv/count.elf
bench_guest_riscv = riscv-hs: build/tests/riscv/count.elf: sh tests/riscv/qemu.sh 300 build/tests/riscv/count.elf -icount shift=0
endif

build/bench/guests: $(BENCH_GUESTS) FORCE
	@mkdir -p $(@D)
	@: >$@; for line in "$(bench_guest_arm64)" "$(bench_guest_riscv)" "$(bench_guest_x86)"; do \
	  if [ -n "$$line" ]; then echo "$$line" >>$@; fi; done

.PHONY: FORCE bench-programs
FORCE:
bench-programs: $(BENCH) build/bench/guests

# tests/core/budget.c counts their instructions.
NEEDS_core += $(addprefix build/bench/,host-same host-other host-slow vm scale)
