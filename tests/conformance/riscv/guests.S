// SPDX-License-Identifier: Apache-2.0
//
// The guest programs. Each is position-independent, loaded at LOAD, starts at its first byte in VS mode
// without translation, and talks to the runner by the device page at MMIO and by hypercalls (layout.h).
#include "layout.h"
#include "accesses.h"

    .section .rodata
    .option norelax
    .option nopic // la by pc, not by a table that is not there

    .macro guest name
    .balign 16
    .globl guest_\name
    .hidden guest_\name
guest_\name:
    .endm

    .macro done name
    .globl guest_\name\()_end
    .hidden guest_\name\()_end
guest_\name\()_end:
    .endm

// A place that the tables refer to.
    .macro point name
    .globl \name
    .hidden \name
\name:
    .endm

// A result; uses t5 and t6.
    .macro report reg
    mv t5, \reg
    li t6, REPORT
    sd t5, (t6)
    .endm

// ---- the first one: a hypercall, MMIO in and out, kicks, sleep and wake-up

    guest first
    li a7, OWN
    li a6, 7
    li a0, 0xcafe0001
    li a1, 0xcafe0002
    li a5, 0xcafe0006
    ecall
    mv s0, a0 // the nonce
    li t0, 0x5a5a5a5a
    xor t1, s0, t0
    report t1
    li s1, DEV
    lw a2, (s1)
    report a2
    not t1, s0
    sd t1, (s1)
    li s2, 1000
2:  xor t1, s2, s0
    report t1
    addi s2, s2, -1
    bnez s2, 2b
    la t0, 1f
    csrw stvec, t0
    li t0, 0x202 // SSIE, SEIE
    csrs sie, t0
    csrsi sstatus, 2
    li s3, 0
    wfi
    csrci sstatus, 2
    xor t1, s3, s0
    report t1
    csrsi sstatus, 2
    wfi
    csrci sstatus, 2
    xor t1, s3, s0
    report t1
    wfi
    .balign 4
1:  csrr t0, scause
    csrci sip, 2
    report t0
    addi s3, s3, 1
    sret
    done first

    guest firmware // another range of calls that are the host's own
    li a7, FIRMWARE
    li a6, 7
    li a0, 0xcafe0001
    li a1, 0xcafe0002
    ecall
    report a0
    wfi
    done firmware

// ---- MMIO: every load and store

    guest load_all
    li x8, DEV - 8
    mv x2, x8
#define LOAD_INSN(insn, reg, at, same, width, value) insn reg, at; report reg;
    LOADS(LOAD_INSN)
    wfi
    done load_all

    guest store_all
    li x8, DEV - 8
    mv x2, x8
#define STORE_INSN(insn, reg, at, same, width, value) ld reg, 8(x8); insn reg, at;
    STORES(STORE_INSN)
    sw x0, 8(x8)
    wfi
    done store_all

// Each register keeps what the guest has put there, whatever exits come.
    guest registers
    li t6, DEV
    ld t5, (t6)
    .irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29
    addi x\n, t5, \n
    .endr
    ld x0, (t6)
    .irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29
    report x\n
    .endr
    li s2, REPORT
    addi x30, x1, 29
    addi x31, x1, 30
    sd x1, (s2)
    sd x30, (s2)
    sd x31, (s2)
    wfi
    done registers

    guest zero // x0 stays 0
    li x8, DEV - 8
    ld x0, 8(x8)
    sw x0, 8(x8)
    report x0
    wfi
    done zero

// One load, and what comes behind it.
    guest load
    la t0, 1f
    csrw stvec, t0
    li s0, DEV
    point load_insn
    ld s1, (s0)
    point load_end
    report s1
    wfi
    .balign 4
1:  csrr t0, scause // refused: a fault
    report t0
    csrr t0, stval
    report t0
    csrr t0, sepc
    la t1, load_insn
    sub t0, t0, t1
    report t0
    wfi
    done load

    guest undecoded
    li s0, DEV
    li t0, 0x2000
    csrs sstatus, t0
    point undecoded_amo
    amoadd.w s1, s2, (s0)
    point undecoded_lr
    lr.d s1, (s0)
    point undecoded_float
    fld f8, (s0)
    point undecoded_c_float
    c.fsd f8, (s0)
    done undecoded

// Across the end of the memory: the first half is there.
    guest straddle
    li s0, RAM_END - 4
    point straddle_insn
    ld s1, (s0)
    done straddle

// ---- page faults of the second stage

    guest fetch
    li t0, MMIO
    jr t0
    done fetch

    guest walk
    li t0, 8 << 60 | MMIO >> 12
    csrw satp, t0
    sfence.vma
1:  j 1b
    done walk

// The guest's own tables: 1 GiB leaves, virtual is physical; a page that is not there is its own affair.
    guest paging
    li t0, TABLES
    li t1, 0x00000000 | 0xcf // MMIO, 0x00000000
    sd t1, (t0)
    li t1, 0x20000000 | 0xcf // RAM, 0x80000000
    sd t1, 16(t0)
    la t2, 1f
    csrw stvec, t2
    li t1, 8 << 60 | TABLES >> 12
    csrw satp, t1
    sfence.vma
    li s0, DEV
    ld s1, (s0)
    report s1
    li s0, 0x40000000
    ld s2, (s0)
    wfi
    .balign 4
1:  csrr t0, scause
    report t0
    csrr t0, stval
    report t0
    li s0, DEV
    ld s1, (s0)
    report s1
    wfi
    done paging

// ---- CSRs and instructions that trap

// A handler that reports and skips.
    .macro skipping
    la t0, 8f
    csrw stvec, t0
    j 9f
    .balign 4
8:  csrr t0, scause
    report t0
    csrr t0, stval
    report t0
    csrr t0, sepc
    addi t0, t0, 4
    csrw sepc, t0
    sret
9:
    .endm

    guest csr
    skipping
    csrr s1, 0x600
    report s1
    not s1, s1
    csrw 0x645, s1
    csrrw s1, 0x605, s1
    report s1
    csrrs s2, 0x602, s1
    report s2
    csrrci s2, 0x603, 3
    report s2
    csrr s2, 0x600 // refused
    csrw 0x600, s2 // refused
    csrrw s2, 0x600, s2 // its write is refused
    report s2
    wfi
    done csr

    guest virtual
    skipping
    li s0, DEV
    ld s1, (s0)
    .insn r 0x73, 0, 0x31, x0, x0, x0 // hfence.gvma
    .insn r 0x73, 4, 0x36, x5, x8, x0 // hlv.d
    .insn r 0x73, 4, 0x37, x0, x8, x5 // hsv.d
    .insn r 0x73, 0, 0x11, x0, x0, x0 // hfence.vvma
    .word 0x0
    csrr t0, 0x300 // mstatus
    report s1
    wfi
    done virtual

// In user mode WFI and the supervisor's CSRs are illegal; a call goes to the guest's own kernel.
    guest user
    skipping
    la t0, 1f
    csrw sepc, t0
    li t0, 0x100
    csrc sstatus, t0
    sret
1:  csrr t0, sstatus
    csrr t0, 0x600
    li s0, DEV
    ld s1, (s0)
    ecall
    report s1
2:  j 2b
    done user

    guest user_wfi
    skipping
    la t0, 1f
    csrw sepc, t0
    li t0, 0x100
    csrc sstatus, t0
    sret
1:  wfi
2:  j 2b
    done user_wfi

// ---- SBI: a7, a6 and a0-a5 come from the device; a0 and a1, changed by the nonce, go back

    guest sbi
    li s0, DEV
    ld s1, (s0)
    la t0, 2f
    csrw stvec, t0
1:  ld a7, (s0)
    ld a6, (s0)
    ld a0, (s0)
    ld a1, (s0)
    ld a2, (s0)
    ld a3, (s0)
    ld a4, (s0)
    ecall
    xor a0, a0, s1
    xor a1, a1, s1
    report a0
    report a1
    j 1b
    .balign 4
2:  csrr t0, scause // a bad pointer
    report t0
    csrr t0, stval
    report t0
    j 1b
    done sbi

// Started by another hart, or again: tells a0 and a1, then stops.
    guest hart
    bnez a0, 2f
    li s0, DEV
    ld s1, (s0)
    la s2, 2f
    li s3, 2
1:  li a7, 0x48534d
    li a6, 0
    li a0, 1
    mv a1, s2
    mv a2, s1
    ecall
    report a0
    li a7, 0x48534d
    li a6, 2
    li a0, 1
    ecall
    report a1
    wfi
    addi s3, s3, -1
    bnez s3, 1b
    wfi
2:  report a0
    report a1
    li a7, 0x48534d
    li a6, 1
    ecall
3:  j 3b // not reached
    done hart

// ---- interrupts

    .macro handler // reports scause, sets s4; clears what it can: the software bit, the timer by its call
    .balign 4
8:  csrr t0, scause
    li s4, 1
    csrci sip, 2 // before anything that may bring the next one
    report t0
    andi t0, t0, 15
    li t1, 5
    bne t0, t1, 7f
    li a7, 0x54494d45
    li a6, 0
    li a0, -1
    ecall
7:  sret
    .endm

    guest order
    la t0, 8f
    csrw stvec, t0
    li t0, 0x222
    csrw sie, t0
    li s0, DEV
    ld s1, (s0)
    csrsi sstatus, 2
    report s1
    wfi
    handler
    done order

    guest timer
    la t0, 8f
    csrw stvec, t0
    li t0, 0x222
    csrw sie, t0
    li s0, DEV
    ld s1, (s0)
    csrsi sstatus, 2
    rdtime a0
    addi a0, a0, 200
    li a7, 0x54494d45
    li a6, 0
    li s4, 0
    ecall
1:  csrci sip, 2 // QEMU 7.2 may lose a timer that is due just as the guest is entered; this shows it again
    beqz s4, 1b
    report s1
    wfi
    handler
    done timer

// A line stays until it is lowered: it comes again after sret.
    guest line
    la t0, 8f
    csrw stvec, t0
    li t0, 0x222
    csrw sie, t0
    li s0, DEV
    ld s1, (s0)
    csrsi sstatus, 2
    report s1
    wfi
    .balign 4
8:  csrr t0, scause
    report t0
    sret
    done line

// Works until memory says that it is over; interrupts are open.
    guest spin
    la t0, 8f
    csrw stvec, t0
    li t0, 0x222
    csrw sie, t0
    li s0, DEV
    ld s1, (s0)
    li s2, DATA
    csrsi sstatus, 2
1:  ld t0, (s2)
    beqz t0, 1b
    report s1
    wfi
    handler
    done spin

// ---- floating point, two vCPUs: each keeps its own

    guest float
    li t0, 0x2000
    csrs sstatus, t0
    li s0, DEV
    ld s1, (s0)
    fmv.d.x f0, s1
    fmv.d.x f31, s1
1:  ld t0, (s0)
    fmv.x.d t1, f0
    xor t1, t1, t0
    report t1
    fmv.x.d t1, f31
    xor t1, t1, t0
    report t1
    j 1b
    done float

    guest same
    li s0, DEV
    ld s1, (s0)
    li s2, DATA
    sd s1, (s2)
1:  ld t1, (s2)
    report t1
    j 1b
    done same

// The second hart waits for the first one's IPI, takes it and sends one back.
    guest ipi
    mv s2, a0
    la t0, 8f
    csrw stvec, t0
    li t0, 2
    csrw sie, t0
    li s0, DEV
    ld s1, (s0)
    csrsi sstatus, 2
    bnez s2, 2f
1:  li a7, 0x735049
    li a6, 0
    li a0, 2 // the second one
    li a1, 0
    ecall
    report a0
    wfi
    report s1
    j 1b
2:  wfi
    li a7, 0x735049
    li a6, 0
    li a0, 1
    li a1, 0
    ecall
    report a0
    j 2b
    handler
    done ipi

// Interrupts that are enabled in sie end a WFI, taken or not.
    guest masked
    la t0, 8f
    csrw stvec, t0
    li t0, 0x200
    csrw sie, t0
    li s0, DEV
    ld s1, (s0)
    li s4, 0
1:  wfi
    report s4
    csrsi sstatus, 2
    nop
    csrci sstatus, 2
    report s4
    li s4, 0
    j 1b
    handler
    done masked

// stvec with its lowest bit set: an interrupt goes to its own entry, an exception to the first one.
    guest vectored
    la t0, 8f
    ori t0, t0, 1
    csrw stvec, t0
    li t0, 0x222
    csrw sie, t0
    li s0, DEV
    ld s1, (s0)
    csrsi sstatus, 2
    report s1
    ebreak
    report s1
    wfi
    .balign 256
    .option push
    .option norvc
8:
    .irp n, 0,1,2,3,4,5,6,7,8,9
    j 7f + 8 * \n
    .endr
7:
    .irp n, 0,1,2,3,4,5,6,7,8,9
    li s4, \n
    j 6f
    .endr
6:  report s4
    csrci sip, 2
    csrr t0, sepc
    bnez s4, 5f
    addi t0, t0, 2 // c.ebreak
    csrw sepc, t0
5:  li t1, 5
    bne s4, t1, 4f
    li a7, 0x54494d45
    li a6, 0
    li a0, -1
    ecall
4:  sret
    .option pop
    done vectored

// One store.
    guest store
    la t0, 1f
    csrw stvec, t0
    li s0, DEV
    ld s1, (s0)
    point store_insn
    sd s1, (s0)
    point store_end
    report s1
    wfi
    .balign 4
1:  csrr t0, scause // refused: a fault
    report t0
    csrr t0, stval
    report t0
    csrr t0, sepc
    la t1, store_insn
    sub t0, t0, t1
    report t0
    wfi
    done store

// A page that may be read.
    guest rights
    li s0, DEV
    ld s1, (s0)
    li s2, SPARE
    ld t0, (s2)
    report t0
    sd s1, (s2)
    sw s1, 4(s2)
    wfi
    done rights

    guest no_exec
    li s0, DEV
    ld s1, (s0)
    li s2, SPARE
    jr s2
    done no_exec

// 4 KiB pages at 0x40000000: the first is our code, the second the first of DATA. Uses t0-t3.
    .macro small_pages
    li t0, TABLES
    li t1, 0x00000000 | 0xcf // MMIO
    sd t1, (t0)
    li t1, 0x20000000 | 0xcf // RAM
    sd t1, 16(t0)
    li t2, TABLES + 0x1000
    srli t1, t2, 2
    ori t1, t1, 1
    sd t1, 8(t0)
    li t3, TABLES + 0x2000
    srli t1, t3, 2
    ori t1, t1, 1
    sd t1, (t2)
    li t1, LOAD >> 2 | 0xcf
    sd t1, (t3)
    li t1, DATA >> 2 | 0xcf
    sd t1, 8(t3)
    li t1, 8 << 60 | TABLES >> 12
    csrw satp, t1
    sfence.vma
    .endm

// Takes its code away from under itself and goes on from the translation that the hart remembers. Whoever wants
// to read the instruction finds nothing there; the guest is told.
    guest unmaps
    small_pages
    la t0, 8f
    csrw stvec, t0
    li s0, DEV
    ld s1, (s0)
    la t0, 1f
    li t1, LOAD
    sub t0, t0, t1
    li t1, 0x40000000
    add s2, t0, t1
    li s3, LOAD >> 2 | 0xcf
    jr s2
    .balign 4
1:  sd zero, (t3)
    ld s4, (s0)
    report s4
    wfi
    .balign 4
8:  csrr t0, scause
    report t0
    csrr t0, sepc
    sub t0, t0, s2 // how far it came: the store
    report t0
    li t3, TABLES + 0x2000
    sd s3, (t3)
    sfence.vma
    sret
    done unmaps

// The first hart changes a page that the second one uses, and has the others told.
    guest remote
    mv s2, a0
    li s0, DEV
    ld s1, (s0)
    small_pages
    bnez s2, 2f
    li t0, DATA
    sd s1, (t0)
    li t0, DATA + 0x1000
    not t1, s1
    sd t1, (t0)
    report s1
    li t3, TABLES + 0x2000
    li t1, (DATA + 0x1000) >> 2 | 0xcf
    sd t1, 8(t3)
    li a7, 0x52464e43
    li a6, 1
    li a0, 2 // the second one
    li a1, 0
    li a2, 0x40001000
    li a3, 0x1000
    ecall
    report a0
1:  j 1b
2:  li t0, 0x40001000
3:  ld t1, (t0)
    report t1
    j 3b
    done remote
