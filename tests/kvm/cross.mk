# SPDX-License-Identifier: Apache-2.0
#
# The same for AArch64 and RISC-V, always in QEMU: their conformance suites, examples, and tests/kvm/cross/*.c.

CROSS_EXAMPLES := hello devices kick smp
CROSS_CC_arm64 := aarch64-linux-gnu-gcc
CROSS_CC_riscv := riscv64-linux-gnu-gcc
CROSS_TESTS_arm64 := $(patsubst tests/kvm/cross/%.c,%,$(wildcard tests/kvm/cross/*.c))
CROSS_TESTS_riscv := $(filter-out gic,$(CROSS_TESTS_arm64))
# How many of a vCPU's calls fail: RISC-V has some five hundred, most of them of a reset.
CROSS_STEP_arm64 := 5
CROSS_STEP_riscv := 37
CROSS_HEADERS := $(HEADERS) $(wildcard tests/kvm/*.h tests/kvm/cross/*.h) tests/conformance/substrate.h

# kvm_cross ARCH
define kvm_cross
$(KVM)/$1/conformance: $$(addprefix tests/conformance/,runner.c port_linux.c $1/cases.c $1/guests.S) $$(HEADERS) \
  $$(wildcard tests/conformance/*.h tests/conformance/$1/*.h) | deps-kvm
	$$(call compile,$$(CROSS_CC_$1)) -O2 -static -DAXVCPU_CHECKED -Itests/conformance -Itests/conformance/$1 $$(filter %.S,$$^)
$(KVM)/$1/init: tests/kvm/init.c | deps-kvm
	$$(call compile,$$(CROSS_CC_$1)) -O1 -static
$(KVM)/$1/os.o: tests/kvm/os.c tests/kvm/os.h $$(HEADERS) | deps-kvm
	$$(call compile_one,$$(CROSS_CC_$1)) -c -O1
$(KVM)/$1/cross/%: tests/kvm/cross/%.c $(KVM)/$1/os.o $$(CROSS_HEADERS) | deps-kvm
	$$(call compile_one,$$(CROSS_CC_$1)) -O1 -static $(KVM)/$1/os.o
$(KVM)/$1/examples/%: examples/%.c | deps-kvm
	$$(call compile,$$(CROSS_CC_$1)) -static $$(own_flags)
$(KVM)/$1/list: tests/kvm/cross.mk
	@mkdir -p $$(@D) && echo 'tap 150 /conformance' >$$@
	@for t in $$(CROSS_TESTS_$1); do echo "tap 100 /$$$$t $$(CROSS_STEP_$1)" >>$$@; done
	@for e in $$(CROSS_EXAMPLES); do echo "expect 20 /examples/$$$$e" >>$$@; done
NEEDS_kvm += $(addprefix $(KVM)/$1/,init list conformance) $$(addprefix $(KVM)/$1/cross/,$$(CROSS_TESTS_$1)) \
  $(addprefix $(KVM)/$1/examples/,$(CROSS_EXAMPLES)) $(addprefix $(KVM)/examples/,$(CROSS_EXAMPLES:=.expect))
CROSS_FILES_$1 := $(KVM)/$1/init $(KVM)/$1/list $(KVM)/$1/conformance $$(foreach t,$$(CROSS_TESTS_$1),$(KVM)/$1/cross/$$t=$$t) \
  $(foreach e,$(CROSS_EXAMPLES),$(KVM)/$1/examples/$e=examples/$e $(KVM)/examples/$e.expect=examples/$e.expect)
endef
$(foreach a,arm64 riscv,$(eval $(call kvm_cross,$a)))

COMMANDS_kvm += "arm64 in QEMU$(comma) nVHE=tests/kvm/boot.sh arm64-nvhe $(CROSS_FILES_arm64)" \
  "arm64 in QEMU$(comma) VHE=tests/kvm/boot.sh arm64-vhe $(CROSS_FILES_arm64)" \
  "riscv in QEMU=tests/kvm/boot.sh riscv64 $(CROSS_FILES_riscv)"
