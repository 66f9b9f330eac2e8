# SPDX-License-Identifier: Apache-2.0
#
# The conformance suite and the examples, on this machine's own /dev/kvm and on a Linux with KVM of its own
# inside QEMU. Everything that goes into the virtual machine is static.
ifeq ($(shell uname -m),x86_64)

KVM := build/tests/kvm
comma := ,
SUITE := $(addprefix tests/conformance/,runner.c port_linux.c x86/cases.c x86/guests.S)
SUITE_FLAGS := -DAXVCPU_CHECKED -Itests/conformance -Itests/conformance/x86
SUITE_HEADERS := $(HEADERS) $(wildcard tests/conformance/*.h tests/conformance/x86/*.h)
KVM_EXAMPLE_PROGRAMS := $(KVM_EXAMPLES:examples/%.c=$(KVM)/examples/%)

$(KVM)/conformance: $(SUITE) $(SUITE_HEADERS) | deps-kvm
	$(call compile,$(GCC)) $(BUILD_o2) -static $(SUITE_FLAGS) $(filter %.S,$^)
$(KVM)/conformance-asan $(KVM)/conformance-tsan: $(KVM)/conformance-%: $(SUITE) $(SUITE_HEADERS) | deps-kvm
	$(call compile,$(GCC)) $(BUILD_$*) $(SUITE_FLAGS) $(filter %.S,$^)
# The same as on a kernel without KVM_CAP_SYNC_REGS: registers by KVM_GET_REGS and KVM_SET_REGS.
$(KVM)/conformance-nosync: $(SUITE) $(SUITE_HEADERS) tests/kvm/nosync.h | deps-kvm
	$(call compile,$(GCC)) -O1 $(SUITE_FLAGS) -include tests/kvm/nosync.h $(filter %.S,$^)
# The backend's own tests, tests/kvm/x86/*.c. Static they go into the virtual machine, with smaller numbers where
# a VM takes long to create. Here they run under the sanitizers, but for those that count or would take too long.
KVM_X86_HEADERS := $(wildcard tests/kvm/*.h tests/kvm/x86/*.h) tests/conformance/substrate.h
KVM_FLAGS_x86 = $(BUILD_o2) -static
KVM_FLAGS_x86-asan := $(BUILD_asan)
KVM_FLAGS_x86-tsan := $(BUILD_tsan)
define kvm_x86
$(KVM)/$1/os.o: tests/kvm/os.c tests/kvm/os.h $$(HEADERS) | deps-kvm
	$$(call compile_one,$$(GCC)) -c $$(KVM_FLAGS_$1)
$(KVM)/$1/%: tests/kvm/x86/%.c $(KVM)/$1/os.o $$(KVM_X86_HEADERS) | deps-kvm
	$$(call compile_one,$$(GCC)) $$(KVM_FLAGS_$1) $(KVM)/$1/os.o
endef
$(foreach f,x86 x86-asan x86-tsan,$(eval $(call kvm_x86,$f)))
KVM_X86 := calls exits refused rounds irqchip cpuid msr reset
KVM_X86_HERE := calls rounds budget
KVM_X86_ASAN := exits refused irqchip cpuid msr reset
KVM_X86_TSAN := irqchip
KVM_X86_LIST := 'tap 60 /x86/calls' 'tap 60 /x86/exits' 'tap 100 /x86/refused 20' 'tap 60 /x86/rounds 60' 'tap 100 /x86/irqchip' \
  'tap 60 /x86/cpuid' 'tap 60 /x86/msr' 'tap 60 /x86/reset'
$(KVM)/init: tests/kvm/init.c | deps-kvm
	$(call compile,$(GCC)) -O1 -static
$(KVM)/examples/%: examples/%.c | deps-kvm
	$(call compile,$(CC)) -static $(own_flags)
$(KVM)/examples/%.expect: examples/%.c tests/kvm/expectations.sh
	@mkdir -p $(@D) && sh tests/kvm/expectations.sh $< >$@
$(KVM)/list: Makefile tests/kvm/rules.mk $(KVM_EXAMPLES)
	@mkdir -p $(@D) && echo 'tap 400 /conformance' >$@
	@for e in $(KVM_X86_LIST); do echo "$$e" >>$@; done
	@for e in $(KVM_EXAMPLES:examples/%.c=%); do echo "expect 20 /examples/$$e" >>$@; done

IN_QEMU := $(KVM)/conformance $(foreach t,$(KVM_X86),$(KVM)/x86/$t=x86/$t) $(foreach e,$(KVM_EXAMPLE_PROGRAMS),\
  $(e)=examples/$(notdir $(e)) $(e).expect=examples/$(notdir $(e)).expect)
NEEDS_kvm += $(KVM)/conformance $(KVM)/conformance-asan $(KVM)/conformance-tsan $(KVM)/conformance-nosync $(KVM)/init $(KVM)/list \
  $(KVM_EXAMPLE_PROGRAMS) $(KVM_EXAMPLE_PROGRAMS:=.expect) \
  $(addprefix $(KVM)/x86/,$(KVM_X86) budget) $(addprefix $(KVM)/x86-asan/,$(KVM_X86_ASAN)) \
  $(addprefix $(KVM)/x86-tsan/,$(KVM_X86_TSAN)) build/bench/kvm
LOCAL_EXAMPLES := if $(KVM)/conformance -n >/dev/null; then sh tests/examples.sh $(KVM)/examples $(KVM_EXAMPLES); \
  else echo "ok 1 - examples \# SKIP kvm: no usable /dev/kvm"; echo 1..1; fi
# The virtual machines take longest, so they begin.
COMMANDS_kvm := "x86 in QEMU=tests/kvm/boot.sh amd64 $(KVM)/init $(KVM)/list $(IN_QEMU)"
include tests/kvm/cross.mk
COMMANDS_kvm += "x86 here=$(KVM)/conformance" "x86 here, address sanitizer=$(KVM)/conformance-asan" \
  "x86 here, without KVM_CAP_SYNC_REGS=$(KVM)/conformance-nosync" "x86 here, thread sanitizer=$(KVM)/conformance-tsan 'pair*'" \
  'examples here=$(LOCAL_EXAMPLES)' \
  $(foreach t,$(KVM_X86_HERE),"$t here=$(KVM)/x86/$t") \
  $(foreach t,$(KVM_X86_ASAN),"$t here$(comma) address sanitizer=$(KVM)/x86-asan/$t") \
  $(foreach t,$(KVM_X86_TSAN),"$t here$(comma) thread sanitizer=$(KVM)/x86-tsan/$t")
NEEDS_kvm += build/run-examples/fake $(RUN_EXAMPLES)
COMMANDS_kvm += "make run=sh tests/kvm/run_test.sh $(KVM)/conformance build/run-examples/fake $(RUN_EXAMPLES)"
LIMIT_kvm := 600

endif
