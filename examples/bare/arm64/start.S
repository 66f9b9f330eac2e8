// SPDX-License-Identifier: Apache-2.0
//
// Where QEMU's virt machine starts us, at EL2, and where PSCI starts its other CPUs with our struct host_cpu
// in x0. x18 is that pointer everywhere (-ffixed-x18); its first member is the stack's end.
    .section .text.start, "ax"
    .globl _start
_start:
    msr daifset, #15
    adrp x18, host_cpus
    add x18, x18, :lo12:host_cpus
    adrp x1, machine_bss
    add x1, x1, :lo12:machine_bss
    adrp x2, machine_bss_end
    add x2, x2, :lo12:machine_bss_end
1:  cmp x1, x2
    b.hs 2f
    stp xzr, xzr, [x1], #16
    b 1b
2:  ldr x0, [x18]
    mov sp, x0
    bl host_boot
    b .

    .globl machine_other
machine_other:
    msr daifset, #15
    mov x18, x0
    ldr x0, [x18]
    mov sp, x0
    bl host_other
    b .
