// SPDX-License-Identifier: Apache-2.0
//
// The guests of count.c: 64 rounds of one exit each, counted by instret; every register is checked after
// each. At last a hypercall with the nonce from a0, or 0 if a register was wrong, and the last count.
    .section .rodata
    .option norelax
    .option norvc
#define OWN 0x0a000000

// x2 has the nonce, x3 the last count, x4 the rounds; x5 and x6 the counts; the others are the nonce plus their
// number, but those that the exit needs (skip).
    .macro fill skip1, skip2, skip3
    .irp r, 1,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .if \r != \skip1 && \r != \skip2 && \r != \skip3
    addi x\r, x2, \r
    .endif
    .endr
    .endm

    .macro check skip1, skip2, skip3
    .irp r, 1,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .if \r != \skip1 && \r != \skip2 && \r != \skip3
    addi x5, x2, \r
    bne x5, x\r, 9f
    .endif
    .endr
    fmv.x.d x5, f9
    bne x5, x2, 9f
    .endm

    .macro begin
    mv x2, a0
    li x3, 0
    li x4, 64
    li x5, 0x2000 // sstatus.FS: initial
    csrs sstatus, x5
    fmv.d.x f9, x2
    .endm

    .macro finish
    li a0, 0
    bnez x4, 9f
    mv a0, x2
9:  mv a1, x3
    bnez x4, 8f
    j 7f
8:  li a0, 0
7:  li a7, OWN + 1
    li a6, 0
    ecall
    .endm

    .balign 16
    .globl guest_ecall
guest_ecall:
    begin
1:  fill 17, 16, 0
    li a7, OWN
    li a6, 0
    csrr x5, instret
    ecall
    csrr x6, instret
    sub x6, x6, x5
    addi x6, x6, -1 // the first csrr itself
    mv x3, x6
    check 17, 16, 0
    addi x4, x4, -1
    bnez x4, 1b
    finish

    .balign 16
    .globl guest_mmio
guest_mmio:
    begin
1:  fill 8, 0, 0
    li x8, 0x10000000
    csrr x5, instret
    ld x7, (x8)
    csrr x6, instret
    sub x6, x6, x5
    addi x6, x6, -1
    mv x3, x6
    addi x7, x7, 7
    check 8, 0, 0
    addi x4, x4, -1
    bnez x4, 1b
    finish

    .balign 16
    .globl guest_count_end
guest_count_end:
