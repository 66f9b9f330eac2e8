// SPDX-License-Identifier: Apache-2.0
//
// Cases that a substrate cannot play, with the reason and where it is written. FAILS is played there all
// the same and must fail, if not at once then soon: a line that is no longer true is an error. HANGS would not come back.
// A name that ends with * stands for all that begin so.
//
// KEPT is an exit that a substrate's kernel keeps for itself in every case: where a row has it, the guest must
// sleep inside the run until it is kicked.
//
// TWICE is a substrate that now and then delivers an interrupt twice: of thousands, so many more may be counted.
//
// Substrates: "kvm" a kernel with hardware virtualization (also nested, also emulated); "kvm-soft" a
// kernel that runs guests without it, by interpreting their ring 0;
// "arm64-kvm" and "riscv-kvm" kernels of these machines, "arm64-kvm-old" one that keeps all calls (before 6.4);
// "x86-qemu-svm", "x86-bochs-svm", "x86-bochs-vmx", "arm64-gicv2", "arm64-gicv3" bare metal there.
#define ABSENT_COUNT 52 // pinned: change it together with the lines
ABSENT("retry_out", "kvm*", FAILS, "the kernel is past an OUT when it exits", "DESIGN 5, point 3")
ABSENT("retry_store", "kvm*", FAILS, "the kernel is past a store when it exits", "DESIGN 5, point 3")
ABSENT("fetch", "kvm*", FAILS, "the kernel says only that it could not emulate", "api.rst, KVM_EXIT_INTERNAL_ERROR")
ABSENT("set_reg", "kvm*", FAILS, "registers wait until an open read is settled (EPENDING)", "measured: its value is lost")
ABSENT("vector", "kvm-soft", FAILS, "no vector registers in its interpreter", "known limits of the substrates")
ABSENT("hypercall", "kvm-soft", HANGS, "VMCALL in ring 0 never comes back", "known limits of the substrates")
ABSENT("break_cs", "kvm-soft", FAILS, "its interpreter does not check segments", "SDM 3, 26.3.1.2")
ABSENT("halt", "kvm-soft", FAILS, "it overlooks a window of one instruction", "measured: sti; nop; cli")
ABSENT("order", "kvm-soft", FAILS, "it overlooks a window of one instruction", "measured: sti; nop; cli")
ABSENT("storm", "kvm-soft", FAILS, "it overlooks a window of one instruction", "measured: sti; nop; cli")
ABSENT("nmi", "kvm-soft", FAILS, "it overlooks the end of an NMI handler", "measured: a second NMI stays pending")
ABSENT("line", "kvm-soft", FAILS, "it overlooks a window of one instruction", "measured: iretq; nop; cli")
ABSENT("fetch", "arm64-kvm*", HANGS, "the kernel gives the guest an abort of its own", "arch/arm64/kvm/mmu.c, kvm_handle_guest_abort")
ABSENT("loads_signed", "arm64-kvm*", FAILS, "the kernel extends the sign, then cuts it off again", "arch/arm64/kvm/mmio.c, kvm_handle_mmio_return")
ABSENT("sysreg", "arm64-kvm*", FAILS, "the kernel has all system registers", "arch/arm64/kvm/sys_regs.c")
ABSENT("refuse_sysreg", "arm64-kvm*", FAILS, "the kernel has all system registers", "arch/arm64/kvm/sys_regs.c")
ABSENT("last_vector", "arm64-kvm*", HANGS, "the kernel's GIC ends below 992; who waits for more does so inside the run", "arch/arm64/kvm/vgic/vgic-kvm-device.c, VGIC_MAX_RESERVED")
ABSENT("first", "arm64-kvm-old", FAILS, "the kernel answers every call", "devices/vm.rst: the filter is of Linux 6.4")
ABSENT("calls", "arm64-kvm-old", FAILS, "the kernel answers every call", "devices/vm.rst: the filter is of Linux 6.4")
ABSENT("calls_arch", "arm64-kvm", FAILS, "the kernel answers the architecture's own calls, for its mitigations", "arch/arm64/kvm/hypercalls.c, init_smccc_filter")
ABSENT("suspend", "arm64-kvm-old", FAILS, "the kernel answers every call", "devices/vm.rst: the filter is of Linux 6.4")
ABSENT("timer_sleep", "arm64-kvm*", HANGS, "who sleeps until his timer is due does so inside the run", "arch/arm64/kvm/arch_timer.c")
ABSENT("trap_29_sgi", "arm64-kvm*", HANGS, "the kernel's GIC sends them", "arch/arm64/kvm/vgic/vgic-mmio-v3.c, vgic_v3_dispatch_sgi")
ABSENT("trap_27_cpus", "arm64-kvm-old", FAILS, "the kernel answers every call", "devices/vm.rst: the filter is of Linux 6.4")
ABSENT("trap_29_sgi", "arm64-gicv2", FAILS, "no system registers of a GIC", "IHI 0048: SGIs are sent by GICD_SGIR")
ABSENT("mmio32", "x86-*", FAILS, "push of a device register is not among the instructions that are decoded", "DESIGN 8")
ABSENT("break_cr0", "x86-bochs-svm", FAILS, "Bochs 2.7 checks EFER.LMA and PE by a panic, and enters", "measured: change_cpu_mode: EFER.LMA is set when CR0.PE=0")
ABSENT("cr8", "kvm-soft", FAILS, "its interpreter lowers CR8 without an exit", "api.rst, KVM_EXIT_SET_TPR; measured")
ABSENT("step", "kvm*", FAILS, "the kernel loses the trap behind some instructions that it finishes later", "measured: Linux 6.1")
ABSENT("step", "x86-bochs-svm", HANGS, "Bochs 2.7 gives the host the trap of a guest's instruction that exits", "measured: #DB behind VMRUN")
ABSENT("slice", "kvm*", FAILS, "the kernel has the time", "api.rst: no exit for it")
ABSENT("slice", "x86-qemu-svm", FAILS, "neither preemption timer nor pause filter", "CPUID 8000_000A EDX bit 10; QEMU 7.2, TCG_SVM_FEATURES")
ABSENT("slice_busy", "kvm*", FAILS, "the kernel has the time", "api.rst: no exit for it")
ABSENT("slice_busy", "x86-qemu-svm", FAILS, "neither preemption timer nor pause filter", "CPUID 8000_000A EDX bit 10; QEMU 7.2, TCG_SVM_FEATURES")
ABSENT("slice_busy", "x86-bochs-svm", FAILS, "the pause filter ends busy waiting alone", "APM 2, 15.14.4")
ABSENT("walk", "riscv-kvm", HANGS, "the kernel enters the guest again and again", "arch/riscv/kvm/vcpu_exit.c, gstage_page_fault")
ABSENT("straddle", "riscv-kvm", FAILS, "the kernel takes the second page's half for all of it", "arch/riscv/kvm/vcpu_insn.c, kvm_riscv_vcpu_mmio_load")
ABSENT("zero", "riscv-kvm", FAILS, "the kernel writes x0 and reads it again", "arch/riscv/kvm/vcpu_insn.c, SET_RD")
ABSENT("firmware", "riscv-kvm", FAILS, "the kernel forwards experimental and vendor calls only", "arch/riscv/kvm/vcpu_sbi_replace.c")
ABSENT("csr", "riscv-kvm", FAILS, "the kernel makes them illegal instructions", "arch/riscv/kvm/vcpu_insn.c, csr_insn")
ABSENT("user_wfi", "riscv-kvm", HANGS, "the kernel lets a user sleep", "arch/riscv/kvm/vcpu_insn.c, wfi_insn")
ABSENT("sbi", "riscv-kvm", FAILS, "the kernel has the SBI", "arch/riscv/kvm/vcpu_sbi.c")
ABSENT("hart", "riscv-kvm", FAILS, "the kernel has the SBI, and starts harts", "arch/riscv/kvm/vcpu_sbi_hsm.c")
ABSENT("no_exec", "riscv-kvm", HANGS, "all memory is executable", "api.rst, KVM_SET_USER_MEMORY_REGION")
ABSENT("trap_30_down", "riscv-kvm", HANGS, "the kernel has the SBI, and stops the vCPU", "arch/riscv/kvm/vcpu_sbi_replace.c")
ABSENT("trap_30_suspend", "riscv-kvm", FAILS, "the kernel has the SBI", "arch/riscv/kvm/vcpu_sbi_hsm.c")
ABSENT("trap_30_legacy", "riscv-kvm", FAILS, "the kernel has the SBI", "arch/riscv/kvm/vcpu_sbi_v01.c")
ABSENT("trap_31_unmaps", "riscv-kvm", FAILS, "the WFI behind it becomes an illegal instruction", "measured: Linux of trixie in QEMU 7.2")
ABSENT("hart_status", "riscv-kvm", FAILS, "the kernel has the SBI, and starts harts", "arch/riscv/kvm/vcpu_sbi_hsm.c")
ABSENT("ipi", "riscv-kvm", FAILS, "the kernel sends them", "arch/riscv/kvm/vcpu_sbi_replace.c")
ABSENT("remote_fence", "riscv-kvm", FAILS, "the kernel makes them", "arch/riscv/kvm/vcpu_sbi_replace.c")
ABSENT("masked", "riscv-kvm", FAILS, "a WFI waits in the kernel, which alone knows what ends it", "arch/riscv/kvm/vcpu_insn.c, wfi_insn")

#define KEPT_COUNT 2
KEPT(HALT, "arm64-kvm*", "a WFI waits in the kernel", "arch/arm64/kvm/handle_exit.c, kvm_handle_wfx")
KEPT(HALT, "riscv-kvm", "a WFI waits in the kernel", "arch/riscv/kvm/vcpu_insn.c, wfi_insn")

#define TWICE_COUNT 1
TWICE("x86-qemu-svm", 2, "VMRUN delivers the injected vector, and again if the CPU is asked out of its loop before the next exit",
      "QEMU 7.2, accel/tcg/cpu-exec.c, cpu_handle_interrupt; measured: one in 100000, with -icount shift=0 most of them")
