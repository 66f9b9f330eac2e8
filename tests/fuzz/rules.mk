# SPDX-License-Identifier: Apache-2.0
#
# Fuzzers of what belongs to no one architecture; a decoder's fuzzer is with its decoder.
FUZZ := vm threads replay api
PROGRAMS_fuzz :=
FUZZ_NEEDS := $(FUZZ:%=build/tests/fuzz/%)
$(FUZZ_NEEDS): build/tests/fuzz/%: tests/fuzz/%.c | deps-fuzz
	$(call compile_one,clang) $(BUILD_fuzz)

# Calls to the firmware, by architecture.
FUZZ_FIRMWARE := arm64 riscv
FUZZ_FIRMWARE_arm64 := -DFIRMWARE_ARM64
FUZZ_NEEDS += $(FUZZ_FIRMWARE:%=build/tests/fuzz/firmware-%)
$(FUZZ_FIRMWARE:%=build/tests/fuzz/firmware-%): build/tests/fuzz/firmware-%: tests/fuzz/firmware.c | deps-fuzz
	$(call compile_one,clang) $(BUILD_fuzz) $(FUZZ_FIRMWARE_$*)

# The KVM backends, all on this host: another architecture's needs its <asm/kvm.h>, and no other header of its.
ifeq ($(shell uname -m),x86_64)
FUZZ_KVM := x86 arm64 riscv
FUZZ_KVM_x86 := -DAXVCPU_ARCH_X86
FUZZ_KVM_arm64 := -DAXVCPU_ARCH_ARM64 -Ibuild/tests/fuzz/arm64
FUZZ_KVM_riscv := -DAXVCPU_ARCH_RISCV -D__riscv -D__riscv_xlen=64 -Ibuild/tests/fuzz/riscv
ASM_arm64 := $(addprefix /usr/aarch64-linux-gnu/include/asm/,kvm.h ptrace.h hwcap.h sve_context.h)
ASM_riscv := $(addprefix /usr/riscv64-linux-gnu/include/asm/,kvm.h ptrace.h)
FUZZ_NEEDS += $(FUZZ_KVM:%=build/tests/fuzz/kvm-%)
$(FUZZ_KVM:%=build/tests/fuzz/kvm-%): build/tests/fuzz/kvm-%: tests/fuzz/kvm.c | deps-fuzz
	@mkdir -p build/tests/fuzz/$*/asm && $(if $(ASM_$*),ln -sf $(ASM_$*) build/tests/fuzz/$*/asm,:)
	$(call compile_one,clang) $(BUILD_fuzz) -DAXVCPU_KVM -DAXVCPU_CHECKED $(FUZZ_KVM_$*)
endif

# How far the tables reach.
build/tests/fuzz/reached: tests/fuzz/reached.c | deps-fuzz
	$(call compile_one,$(GCC)) -O1
NEEDS_fuzz := $(FUZZ_NEEDS) build/tests/fuzz/reached
LIMIT_fuzz := 300

FUZZ_RUNS ?= 200000
FUZZ_LENGTH_vm := 80
FUZZ_FLAGS_vm := -entropic=0 -len_control=0
FUZZ_LENGTH_threads := $(FUZZ_LENGTH_vm)
FUZZ_FLAGS_threads := $(FUZZ_FLAGS_vm)
FUZZ_LENGTH_replay := 100
FUZZ_FLAGS_replay := -timeout=60
# What takes longest begins.
COMMANDS_fuzz := "reached=build/tests/fuzz/reached" \
  $(foreach f,$(FUZZ),"$f=sh tests/fuzz.sh build/tests/fuzz/$f $(FUZZ_RUNS) $(or $(FUZZ_LENGTH_$f),300) $(FUZZ_FLAGS_$f)") \
  $(foreach a,$(FUZZ_FIRMWARE),"firmware-$a=sh tests/fuzz.sh build/tests/fuzz/firmware-$a $(FUZZ_RUNS) 150 -entropic=0") \
  $(foreach a,$(FUZZ_KVM),"kvm-$a=sh tests/fuzz.sh build/tests/fuzz/kvm-$a $(FUZZ_RUNS) 200 -entropic=0")

# The long form: every fuzzer there is, FUZZ_SECONDS each, with a seed of the day's, from where it was left; as many at a
# time as there are processors.
FUZZ_SECONDS ?= 600
FUZZERS := $(patsubst build/tests/%,long/%,$(FUZZ_NEEDS) $(foreach a,arm64 riscv x86,build/tests/$a/fuzz))
.PHONY: fuzz $(FUZZERS)
fuzz: $(FUZZERS) ## all fuzzers, ten minutes each
$(FUZZERS): long/%: build/tests/%
	@echo "== $*, $(FUZZ_SECONDS) s"; c=build/corpus/$*; mkdir -p $$c; \
	  $< -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -artifact_prefix=$$c- $$c 2>&1 | tee $$c.log | \
	    awk '/pulse/ { print "$*: " $$0; fflush() }'; \
	  echo "$*: $$(tail -n 1 $$c.log)"; tail -n 1 $$c.log | grep -q '^Done' || { tail -n 30 $$c.log; exit 1; }
