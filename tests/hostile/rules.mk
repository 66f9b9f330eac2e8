# SPDX-License-Identifier: Apache-2.0
#
# Hostile guests; one is run again by ONLY=SEED.N, with its exits but for those by time. QEMU
# shall not count time by instructions: a guest whose exception vector cannot be fetched executes none.
HOSTILE := build/tests/hostile
HOSTILE_C := $(addprefix tests/,hostile/hostile.c hostile/bare.c conformance/port_bare.c)
HOSTILE_H := tests/hostile/hostile.h $(wildcard tests/conformance/*.h)
hostile_flags = -DAXVCPU_CHECKED -Itests/hostile -Itests/conformance -Itests/conformance/$1
hostile_guest = $(HOSTILE_C) tests/hostile/$1.c tests/conformance/$1/cases.c tests/conformance/$1/guests.S $(HOSTILE_H) \
  $(wildcard tests/conformance/$1/*.h)

# The machine, without the host that bare.c includes; flags are the architectures' own suites'.
hostile_machine = $(wildcard examples/bare/*.[ch] examples/bare/$1/*.[chS]) $(HEADERS) examples/bare/$1/link.ld

# The short form has half of the guests.
hostile_few = $(if $(findstring -few,$@),-DHOSTILE_GUESTS=96)

$(HOSTILE)/riscv.elf $(HOSTILE)/riscv-few.elf: $(call hostile_guest,riscv) $(call hostile_machine,riscv) | deps-hostile
	$(call compile_files,riscv64-linux-gnu-gcc -O2 $(BARE_FLAGS_riscv) $(call hostile_flags,riscv) $(hostile_few),\
	  $(filter-out examples/bare/host.c examples/bare/roundrobin.c,$(filter %.c %.S,$^)))

$(HOSTILE)/arm64.elf $(HOSTILE)/arm64-few.elf: $(call hostile_guest,arm64) $(call hostile_machine,arm64) | deps-hostile
	$(call compile_files,$(ARM64_CC) $(ARM64_FLAGS) $(call hostile_flags,arm64) $(hostile_few),\
	  $(filter-out examples/bare/host.c examples/bare/roundrobin.c,$(filter %.c %.S,$^)))

# VMX in Bochs, which is slow, so the short form has 16 guests; its clock has a tick for each instruction. SVM in QEMU:
# Bochs 2.7 keeps interrupts from a guest that has IF clear, so that nothing ends its run.
hostile_x86 = $(call compile_files,$(GCC) $(BARE_FLAGS_x86) $(call hostile_flags,x86) -DHOSTILE_ALARM_NS=200000 $1,\
  $(filter-out examples/bare/host.c examples/bare/roundrobin.c,$(filter %.c %.S,$^)))
$(HOSTILE)/x86.elf: $(call hostile_guest,x86) $(call hostile_machine,x86) | deps-hostile
	$(call hostile_x86)
$(HOSTILE)/x86-few.elf: $(call hostile_guest,x86) $(call hostile_machine,x86) | deps-hostile
	$(call hostile_x86,-DHOSTILE_GUESTS=16)

NEEDS_hostile := $(addprefix $(HOSTILE)/,riscv-few.elf arm64-few.elf x86-few.elf)
HOSTILE_BOCHS := CPUS=1 sh tests/x86/machine.sh
COMMANDS_hostile := "HS in QEMU=sh tests/riscv/qemu.sh 280 $(HOSTILE)/riscv-few.elf -smp 1" \
  "EL2 in QEMU, max, GICv3=sh tests/arm64/qemu.sh 280 3 max $(HOSTILE)/arm64-few.elf -smp 1" \
  "VMX in Bochs=$(HOSTILE_BOCHS) 280 bochs:corei7_skylake_x $(HOSTILE)/x86-few.elf" \
  "SVM in QEMU=sh tests/x86/machine.sh 280 qemu:max $(HOSTILE)/x86-few.elf"
LIMIT_hostile := 300

# KVM, in the Linux of tests/kvm. A kernel keeps most exits for itself: of arm64's and riscv's fewer kinds are left. The
# short form has 16 guests of 60 exits, always the same. Not on a /dev/kvm that interprets ring 0: there a VMCALL never
# comes back.
hostile_kvm_x86 := $(GCC) -DHOSTILE_KINDS=8
hostile_kvm_arm64 := aarch64-linux-gnu-gcc -DHOSTILE_KINDS=3
hostile_kvm_riscv := riscv64-linux-gnu-gcc -DHOSTILE_KINDS=4
define hostile_kvm
$(HOSTILE)/kvm/$1$2: $(addprefix tests/,hostile/hostile.c hostile/linux.c hostile/$1.c conformance/port_linux.c \
  conformance/$1/cases.c conformance/$1/guests.S) $(HOSTILE_H) $(wildcard tests/conformance/$1/*.h) $(HEADERS) | deps-kvm
	$$(call compile_files,$$(hostile_kvm_$1) -O1 -static $(call hostile_flags,$1) -DHOSTILE_ALARM_NS=2000000 $3,\
	  $$(filter %.c %.S,$$^))
endef
KVM_hostile := x86 arm64 riscv
$(foreach a,$(KVM_hostile),$(eval $(call hostile_kvm,$a)) \
  $(eval $(call hostile_kvm,$a,-few,-DHOSTILE_GUESTS=16 -DHOSTILE_EXITS=60)))
$(HOSTILE)/kvm/list: tests/hostile/rules.mk
	@mkdir -p $(@D) && echo 'hush 1600 /hostile' >$@
$(HOSTILE)/kvm/list-few: tests/hostile/rules.mk
	@mkdir -p $(@D) && echo 'hush 200 /hostile 1' >$@
# hostile_boot LIMIT,MACHINE,INIT,ARCH,FEW
hostile_boot = "KVM, $2$(if $5,$(comma) few)=LIMIT=$1 tests/kvm/boot.sh $2 build/tests/kvm/$3init $(HOSTILE)/kvm/list$5 $(HOSTILE)/kvm/$4$5=hostile"
NEEDS_hostile += $(addprefix $(HOSTILE)/kvm/,list-few $(KVM_hostile:=-few)) $(addprefix build/tests/kvm/,init arm64/init riscv/init)
COMMANDS_hostile += $(call hostile_boot,280,amd64,,x86,-few) $(call hostile_boot,280,arm64-vhe,arm64/,arm64,-few) \
  $(call hostile_boot,280,riscv64,riscv/,riscv,-few)

# The long form, ten minutes for each KVM. A guest that stops QEMU is a failure, too; x86.c and arm64.c say what did.
LONG_hostile := "HS in QEMU, all guests=sh tests/riscv/qemu.sh 280 $(HOSTILE)/riscv.elf -smp 1" \
  "EL2 in QEMU, max, GICv3, all guests=sh tests/arm64/qemu.sh 280 3 max $(HOSTILE)/arm64.elf -smp 1" \
  "HS in QEMU, vectors, no sstc=CPU=v=true,vext_spec=v1.0,sstc=off sh tests/riscv/qemu.sh 280 $(HOSTILE)/riscv.elf -smp 1" \
  "EL2 in QEMU, GICv2=sh tests/arm64/qemu.sh 280 2 cortex-a57 $(HOSTILE)/arm64.elf -smp 1" \
  "VMX in Bochs, all guests=$(HOSTILE_BOCHS) 890 bochs:corei7_skylake_x $(HOSTILE)/x86.elf" \
  "SVM in QEMU, all guests=sh tests/x86/machine.sh 280 qemu:qemu64,+svm,+npt $(HOSTILE)/x86.elf" \
  "SVM in QEMU, max, all guests=sh tests/x86/machine.sh 280 qemu:max $(HOSTILE)/x86.elf" \
  $(call hostile_boot,1690,amd64,,x86) $(call hostile_boot,1690,arm64-nvhe,arm64/,arm64) \
  $(call hostile_boot,1690,arm64-vhe,arm64/,arm64) $(call hostile_boot,1690,riscv64,riscv/,riscv)
.PHONY: hostile
hostile: $(RUN) $(NEEDS_hostile) $(addprefix $(HOSTILE)/,riscv.elf arm64.elf x86.elf) $(addprefix $(HOSTILE)/kvm/,list $(KVM_hostile)) | deps-hostile ## hostile guests on all machines
	@$(RUN) -j 2 -l 1700 hostile-all $(COMMANDS_hostile) $(LONG_hostile)
