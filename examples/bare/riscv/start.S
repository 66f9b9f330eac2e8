// SPDX-License-Identifier: Apache-2.0
//
// Where OpenSBI enters in S mode: the boot hart with its number in a0 and the device tree in a1, another one
// with our struct host_cpu in a1. tp is that pointer everywhere; its first member is the stack's end, its
// second one the hart's number. And where the host's own interrupts go.
    .section .text.start, "ax"
    .globl _start
_start:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    li t1, 1
    la t0, booted
    amoswap.w t1, t1, (t0)
    bnez t1, 3f
    la t0, machine_bss
    la t1, machine_bss_end
1:  bgeu t0, t1, 2f
    sd zero, (t0)
    addi t0, t0, 8
    j 1b
2:  la tp, host_cpus
    sd a0, 8(tp)
    la t0, machine_tree
    sd a1, (t0)
    ld sp, (tp)
    call host_boot

// OpenSBI 1.1 lets a hart go before it has written where to, and then it comes to the start once more.
3:  la t0, machine_cpus
    slli a0, a0, 3
    add t0, t0, a0
    ld a1, (t0)

    .globl machine_other
machine_other:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    mv tp, a1
    ld sp, (tp)
    call host_other

// What a C function may change is saved.
    .macro saved op
    \op ra, 0(sp)
    \op t0, 8(sp)
    \op t1, 16(sp)
    \op t2, 24(sp)
    \op t3, 32(sp)
    \op t4, 40(sp)
    \op t5, 48(sp)
    \op t6, 56(sp)
    \op a0, 64(sp)
    \op a1, 72(sp)
    \op a2, 80(sp)
    \op a3, 88(sp)
    \op a4, 96(sp)
    \op a5, 104(sp)
    \op a6, 112(sp)
    \op a7, 120(sp)
    .endm

    .balign 4
    .globl machine_trap
machine_trap:
    addi sp, sp, -128
    saved sd
    csrr a0, scause
    csrr a1, sepc
    csrr a2, stval
    call machine_trapped
    saved ld
    addi sp, sp, 128
    sret

    .data
    .balign 8
    .globl machine_tree
machine_tree:
    .dword 0
booted:
    .word 0
