// SPDX-License-Identifier: Apache-2.0
//
// Cases that a substrate cannot play, with the reason and where it is written. FAILS is played there all
// the same and must fail: a line that is no longer true is an error. HANGS would not come back.
// A name that ends with * stands for all that begin so.
//
// Substrates: "kvm" a kernel with hardware virtualization (also nested, also emulated); "kvm-soft" a
// kernel that runs guests without it, by interpreting their ring 0.
#define ABSENT_COUNT 12 // pinned: change it together with the lines
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
