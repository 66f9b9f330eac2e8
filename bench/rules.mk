# SPDX-License-Identifier: Apache-2.0
#
# The benchmark programs. They are always built like this, whatever else is: the counts depend on it.
BENCH_FLAGS := -O2
BENCH := $(addprefix build/bench/,host-same host-other vm hand scale threads driver split plot ab held)
ifeq ($(shell uname -m),x86_64)
BENCH += build/bench/kvm build/bench/kvm-calls
endif
bench_compile = $(call compile,$(GCC)) $(BENCH_FLAGS) -DBENCH_FLAGS='"$(BENCH_FLAGS)"'

build/bench/host-same: bench/host.c bench/row.h | deps-core
	$(bench_compile) -DBENCH_SAME
build/bench/host-slow: bench/host.c bench/row.h | deps-core
	$(bench_compile) -DBENCH_SAME -DBENCH_SLOW
build/bench/host-other: bench/host.c bench/impl.c bench/row.h | deps-core
	$(bench_compile)
build/bench/vm: bench/vm.c bench/impl.c bench/row.h | deps-core
	$(bench_compile)
build/bench/kvm-calls: bench/kvm.c bench/row.h | deps-core
	$(bench_compile) -DBENCH_CALLS
build/bench/%: bench/%.c | deps-core
	$(bench_compile) $(own_flags)

# The programs that count in a guest, each with a file "name: ELF: command": for the driver, and for the test of
# the architecture that holds bench/ceilings.
# guest NAME,ARCH,ELF,COMPILER,COMMAND
define guest
BENCH_GUESTS += build/bench/guest-$2
build/bench/guest-$2: $3 bench/rules.mk
	@mkdir -p $$(@D) && echo "$2: $3: $5" >$$@
NEEDS_$1 += build/bench/held build/bench/guest-$2
COMMANDS_$1 += "budget, $2=build/bench/held build/bench/guest-$2 $4"
endef
$(eval $(call guest,arm64,arm64-el2,build/tests/arm64/count.elf,$(ARM64_CC),\
  sh tests/arm64/qemu.sh 300 3 cortex-a57 build/tests/arm64/count.elf -icount shift=0))
$(eval $(call guest,riscv,riscv-hs,build/tests/riscv/count.elf,riscv64-linux-gnu-gcc,\
  sh tests/riscv/qemu.sh 300 build/tests/riscv/count.elf -icount shift=0))
# A trace is without the PC's firmware, which is above 640 KiB and takes longer than all the rest.
$(eval $(call guest,x86,x86-svm,build/tests/x86/count.elf,$(GCC),\
  sh tests/x86/machine.sh 300 qemu:qemu64$(comma)+svm$(comma)+npt build/tests/x86/count.elf -icount shift=0 \
  -dfilter 0+0xa0000))
$(eval $(call guest,x86,x86-vmx,build/tests/x86/count.elf,$(GCC),\
  CPUS=1 sh tests/x86/machine.sh 300 bochs:corei7_skylake_x build/tests/x86/count.elf))

.PHONY: bench-programs
bench-programs: $(BENCH) $(BENCH_GUESTS)

# tests/core/budget.c counts their instructions.
NEEDS_core += $(addprefix build/bench/,host-same host-other host-slow vm scale)
