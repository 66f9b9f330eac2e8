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
7:  li a7, OWN + 2
    li a6, 0
    ecall
    .endm

    .macro ecall_guest name, call
    .balign 16
    .globl \name
\name:
    begin
1:  fill 17, 16, 0
    li a7, \call
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
    .endm
    ecall_guest guest_ecall, OWN
    ecall_guest guest_ecall_beside, OWN + 1

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
    sub x7, x7, x8 // the answer: the address
    add x7, x7, x2
    addi x7, x7, 7
    check 8, 0, 0
    addi x4, x4, -1
    bnez x4, 1b
    finish

// To itself, by the firmware; what it costs until it is here.
    .balign 16
    .globl guest_ipi
guest_ipi:
    begin
    la x5, 2f
    csrw stvec, x5
    csrsi sie, 2
    csrsi sstatus, 2
1:  fill 17, 16, 10
    li a7, 0x735049
    li a6, 0
    li x10, 1
    li x11, 0
    csrr x5, instret
    ecall
    j 1b // not reached: the interrupt comes first
    .balign 4
2:  csrr x6, instret
    csrci sip, 2
    sub x6, x6, x5
    addi x6, x6, -1
    mv x3, x6
    addi x11, x11, 11 // the answer: 0 in a0 and a1
    add x11, x11, x2
    check 17, 16, 10
    la x5, 3f
    csrw sepc, x5
    sret
3:  addi x4, x4, -1
    bnez x4, 1b
    finish

// Beside another one: an ecall and a jump.
    .balign 16
    .globl guest_beside
guest_beside:
    li a7, OWN
    li a6, 0
1:  ecall
    j 1b

    .balign 16
    .globl guest_beside_float
guest_beside_float:
    li a7, OWN
    li a6, 0
    li t0, 0x2000
    csrs sstatus, t0
1:  fmv.d.x f9, a7
    ecall
    j 1b

    .balign 16
    .globl guest_count_end
guest_count_end:
