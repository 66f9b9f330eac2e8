# SPDX-License-Identifier: Apache-2.0
#
# The conformance suite and the examples, on this machine's own /dev/kvm and on a Linux with KVM of its own
# inside QEMU. Everything that goes into the virtual machine is static.
ifeq ($(shell uname -m),x86_64)

KVM := build/tests/kvm
SUITE := $(addprefix tests/conformance/,runner.c port_linux.c x86/cases.c x86/guests.S)
SUITE_FLAGS := -DAXVCPU_CHECKED -Itests/conformance -Itests/conformance/x86
SUITE_HEADERS := $(HEADERS) $(wildcard tests/conformance/*.h tests/conformance/x86/*.h)
KVM_EXAMPLES := $(filter-out $(NO_HARDWARE),$(wildcard examples/*.c))
KVM_EXAMPLE_PROGRAMS := $(KVM_EXAMPLES:examples/%.c=$(KVM)/examples/%)

$(KVM)/conformance: $(SUITE) $(SUITE_HEADERS) | deps-kvm
	$(call compile,$(GCC)) -O2 -static $(SUITE_FLAGS) $(filter %.S,$^)
$(KVM)/conformance-asan $(KVM)/conformance-tsan: $(KVM)/conformance-%: $(SUITE) $(SUITE_HEADERS) | deps-kvm
	$(call compile,$(GCC)) $(BUILD_$*) -O2 $(SUITE_FLAGS) $(filter %.S,$^)
$(KVM)/init: tests/kvm/init.c | deps-kvm
	$(call compile,$(GCC)) -O1 -static
$(KVM)/examples/%: examples/%.c | deps-kvm
	$(call compile,$(CC)) -O2 -static $(own_flags)
$(KVM)/examples/%.expect: examples/%.c tests/kvm/expectations.sh
	@mkdir -p $(@D) && sh tests/kvm/expectations.sh $< >$@
$(KVM)/list: Makefile tests/kvm/rules.mk $(KVM_EXAMPLES)
	@mkdir -p $(@D) && echo 'tap 200 /conformance' >$@
	@for e in $(KVM_EXAMPLES:examples/%.c=%); do echo "expect 20 /examples/$$e" >>$@; done

IN_QEMU := $(KVM)/conformance $(foreach e,$(KVM_EXAMPLE_PROGRAMS),\
  $(e)=examples/$(notdir $(e)) $(e).expect=examples/$(notdir $(e)).expect)
NEEDS_kvm += $(KVM)/conformance $(KVM)/conformance-asan $(KVM)/conformance-tsan $(KVM)/init $(KVM)/list \
  $(KVM_EXAMPLE_PROGRAMS) $(KVM_EXAMPLE_PROGRAMS:=.expect)
LOCAL_EXAMPLES := if $(KVM)/conformance -n >/dev/null; then sh tests/examples.sh $(KVM)/examples $(KVM_EXAMPLES); \
  else echo "ok 1 - examples \# SKIP kvm: no usable /dev/kvm"; echo 1..1; fi
COMMANDS_kvm += "x86 in QEMU=tests/kvm/boot.sh amd64 $(KVM)/init $(KVM)/list $(IN_QEMU)" \
  "x86 here=$(KVM)/conformance" "x86 here, address sanitizer=$(KVM)/conformance-asan" \
  "x86 here, thread sanitizer=$(KVM)/conformance-tsan 'pair*'" \
  'examples here=$(LOCAL_EXAMPLES)'
# One at a time: the virtual machine needs what there is.
JOBS_kvm := 1
LIMIT_kvm := 300

endif
