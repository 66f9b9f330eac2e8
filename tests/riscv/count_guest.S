// SPDX-License-Identifier: Apache-2.0
//
// The guests of bench/guest.c: 64 rounds of one exit each, counted by instret; every register is checked after
// each. At last the machine is turned off, with the nonce in x2, or 0 if a register was wrong, and the last count
// in x3.
    .section .rodata
    .option norelax
    .option norvc

    .macro window name, from, to
    .pushsection .rodata.windows, "a"
    .balign 8
    .quad guest_\name - guest_count, \from - guest_count, \to - guest_count
    .popsection
    .endm

    .pushsection .rodata.windows, "a"
    .balign 8
    .globl count_windows
count_windows:
    .popsection
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

    .macro begin name
    .balign 16
    .globl guest_\name
guest_\name:
    mv x2, a0
    li x3, 0
    li x4, 64
    li x5, 0x2000 // sstatus.FS: initial
    csrs sstatus, x5
    fmv.d.x f9, x2
    .endm

    .macro before
6:  csrr x5, instret
    .endm
    .macro after name
7:  csrr x6, instret
    sub x3, x6, x5
    window \name, 6b, 7b
    .endm

    .macro finish
    addi x4, x4, -1
    bnez x4, 1b
    j 8f
9:  li x2, 0
8:  li a7, 0x53525354 // SBI's system reset: shutdown, for no reason
    li a6, 0
    li a0, 0
    li a1, 0
    ecall
    .endm

    .balign 16
    .globl guest_count
guest_count:
    begin nothing
1:  fill 0, 0, 0
    before
    after nothing
    check 0, 0, 0
    finish

    begin hypercall
1:  fill 17, 16, 0
    li a7, OWN
    li a6, 0
    before
    ecall
    after hypercall
    check 17, 16, 0
    finish

    begin mmio
1:  fill 8, 0, 0
    li x8, 0x10000000
    before
    ld x7, (x8)
    after mmio
    sub x7, x7, x8 // the answer: the address
    add x7, x7, x2
    addi x7, x7, 7
    check 8, 0, 0
    finish

// To itself, by the firmware; what it costs until it is here.
    begin ipi
    la x5, 2f
    csrw stvec, x5
    csrsi sie, 2
    csrsi sstatus, 2
1:  fill 17, 16, 10
    li a7, 0x735049
    li a6, 0
    li x10, 1
    li x11, 0
    before
    ecall
    j 1b // not reached: the interrupt comes first
    .balign 4
2:  after ipi
    csrci sip, 2
    addi x11, x11, 11 // the answer: 0 in a0 and a1
    add x11, x11, x2
    check 17, 16, 10
    la x5, 3f
    csrw sepc, x5
    sret
3:  finish

// Two in turn, whatever counts: an ecall and a jump, without and with floating point in use.
    .macro turn name, float
    begin \name
    li a7, OWN
    li a6, 0
    .if \float
1:  fmv.x.d x2, f9
    fmv.d.x f9, x2
    .else
1:
    .endif
2:  ecall
    j 1b
    window \name, 2b, 2b
    .endm
    turn turn, 0
    turn other, 0
    turn turn_float, 1
    turn other_float, 1

    .balign 16
    .globl guest_count_end
guest_count_end:
    .pushsection .rodata.windows, "a"
    .globl count_windows_end
count_windows_end:
    .popsection
