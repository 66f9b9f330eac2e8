// SPDX-License-Identifier: Apache-2.0
//
// The guest of hs.c: asks what to do by a hypercall, does it, asks again. a2 is the operation (enum op), a0
// and a1 its operands, a1 also the result. What traps is reported: scause in a0, stval in a1.
#define OWN 0x0a000000

    .section .rodata
    .option norelax
    .option norvc
    .balign 32
    .globl guest_worker
guest_worker:
    la t0, 9f
    csrw stvec, t0
    li t0, 0x2200 // FS and VS: initial
    csrs sstatus, t0
1:  li a7, OWN
    li a6, 0
    ecall
    la t0, 2f
    slli t1, a2, 5
    add t0, t0, t1
    jr t0

    .macro op code:vararg
    .balign 32
    \code
    j 1b
    .endm
    .balign 32
2:
    op ld a1, (a0)
    op sd a1, (a0)
    op jalr a0
    op csrr a1, time
    op csrr a1, 0x14d // stimecmp
    op csrs sie, a1
    op ebreak
    op .word 0
    op fmv.d.x f8, a1
    op fmv.x.d a1, f8
    .option push
    .option arch, +v
    .balign 32
    vsetvli t0, x0, e64, m1, ta, ma
    vmv.v.x v31, a1
    j 1b
    .balign 32
    vmv.x.s a1, v31
    j 1b
    .balign 32
    csrr a1, vl
    csrr t0, vtype
    slli t0, t0, 32
    or a1, a1, t0
    j 1b
    .option pop
    .balign 32
    ld t0, (a0) // until it is a1
    bne t0, a1, 2f
    j 1b
2:  addi t1, t1, 1
    j . - 16
    .balign 32
    li a7, 0x52464e43 // SBI: remote_sfence_vma
    li a6, 1
    ecall
    mv a1, a0
    j 1b

    .balign 4
9:  csrr a0, scause
    csrr a1, stval
    li a7, OWN + 1
    li a6, 0
    ecall
    csrr t0, sepc
    addi t0, t0, 4
    csrw sepc, t0
    sret
    .globl guest_worker_end
guest_worker_end:
