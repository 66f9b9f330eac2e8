// SPDX-License-Identifier: Apache-2.0
//
// Where OpenSBI enters in S mode: the boot hart with its id in a0 and the device tree in a1, another one with
// its struct hart in a1. And where host interrupts go.
    .section .text.start, "ax"
    .globl machine_entry
machine_entry:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    mv s1, a1
    la t0, machine_bss
    la t1, machine_bss_end
1:  sd zero, (t0)
    addi t0, t0, 8
    bltu t0, t1, 1b
    la tp, machine_harts
    la sp, machine_stacks
    li t0, 0x4000
    add sp, sp, t0
    mv a1, s1
    la t0, machine_trap
    csrw stvec, t0
    call machine_boot
1:  j 1b

    .globl machine_entry_other
machine_entry_other:
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    mv tp, a1
    ld sp, 8(tp)
    la t0, machine_trap
    csrw stvec, t0
    call machine_other
1:  j 1b

    .balign 4
machine_trap:
    addi sp, sp, -128
    sd ra, 0(sp)
    sd t0, 8(sp)
    sd t1, 16(sp)
    sd t2, 24(sp)
    sd t3, 32(sp)
    sd t4, 40(sp)
    sd t5, 48(sp)
    sd t6, 56(sp)
    sd a0, 64(sp)
    sd a1, 72(sp)
    sd a2, 80(sp)
    sd a3, 88(sp)
    sd a4, 96(sp)
    sd a5, 104(sp)
    sd a6, 112(sp)
    sd a7, 120(sp)
    csrr a0, scause
    csrr a1, sepc
    csrr a2, stval
    call machine_trapped
    ld ra, 0(sp)
    ld t0, 8(sp)
    ld t1, 16(sp)
    ld t2, 24(sp)
    ld t3, 32(sp)
    ld t4, 40(sp)
    ld t5, 48(sp)
    ld t6, 56(sp)
    ld a0, 64(sp)
    ld a1, 72(sp)
    ld a2, 80(sp)
    ld a3, 88(sp)
    ld a4, 96(sp)
    ld a5, 104(sp)
    ld a6, 112(sp)
    ld a7, 120(sp)
    addi sp, sp, 128
    sret
