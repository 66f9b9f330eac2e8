// SPDX-License-Identifier: Apache-2.0
//
// The guests of el2.c: one blob, loaded 4 KiB aligned; each begins with x0 as it was set. They report by
// hypercalls: REPORT with x1, x2.
    .section .rodata
#define REPORT 0xc6000001
#define GICC 0x08010000

    .macro program name
    .balign 16
    .globl guest_\name
guest_\name:
    .endm

    .macro report reg
    mov x1, \reg
    ldr x0, =REPORT
    hvc #0
    .endm

    // VBAR_EL1 is `vectors` below, and its IRQ vectors go to the address in x9, with x10-x15 saved by nobody.
    // x22: GICC, or 0 for system registers.
    .macro take_interrupts handler
    adr x9, \handler
    adr x1, vectors
    msr vbar_el1, x1
    mov x22, xzr
    mrs x1, id_aa64pfr0_el1
    mov w2, #0xff
    mov w3, #1
    tst x1, #0xf << 24
    b.ne 1f
    ldr x22, =GICC
    str w2, [x22, #4]
    str w3, [x22]
    b 2f
1:  msr s3_0_c4_c6_0, x2
    msr s3_0_c12_c12_7, x3
2:  isb
    msr daifclr, #2
    .endm

    .macro acknowledge reg
    cbz x22, 1f
    ldr \reg, [x22, #0xc]
    b 2f
1:  mrs x10, s3_0_c12_c12_0
    mov \reg, w10
2:
    .endm

    .macro end_of reg
    cbz x22, 1f
    str \reg, [x22, #0x10]
    b 2f
1:  mov w10, \reg
    msr s3_0_c12_c12_1, x10
2:
    .endm

    .globl guest_el2
    .balign 0x800
guest_el2:
vectors:
    .irp slot, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    .balign 0x80
    .if \slot == 5 || \slot == 9    // IRQ, at EL1 and from EL0
    br x9
    .else
    mrs x1, esr_el1
    mrs x2, elr_el1
    movz x0, #0xc600, lsl #16
    movk x0, #0x00ee        // an exception that nobody expects
    hvc #0
    b .
    .endif
    .endr
    .balign 0x80

    // Say x0 + 1, for ever.
    program echo
1:  add x1, x0, #1
    ldr x0, =REPORT
    hvc #0
    b 1b
    .ltorg

    // Count interrupts until there were x0 of them; the order goes to the memory at x21.
    program count
    mov x20, x0
    mov x19, #0
    adr x21, 8f
    and x21, x21, #~0xfff
    add x21, x21, #0x1000
    take_interrupts 7f
3:  cmp x19, x20
    b.lo 3b
    report x19
    b 3b
7:  acknowledge w11
    str w11, [x21, x19, lsl #2]
    add x19, x19, #1
    end_of w11
    eret
8:  .ltorg

    // A level: three times, then the host lowers it; count on for a while.
    program level
    mov x19, #0
    take_interrupts 7f
3:  cmp x19, #3
    b.lo 3b
    mov x20, #2000
4:  subs x20, x20, #1
    b.ne 4b
    report x19
    b .
7:  acknowledge w11
    add x19, x19, #1
    cmp x19, #3
    b.ne 5f
    mov x12, x9
    report x11
    mov x9, x12
5:  end_of w11
    eret
    .ltorg

    // The CPU's interrupt input, with nobody to ask which: the host lowers it.
    program input
    mov x19, #0
    adr x9, 7f
    adr x1, vectors
    msr vbar_el1, x1
    msr daifclr, #2
3:  cbz x19, 3b
    report x19
    b 3b
7:  add x19, x19, #1
    mov x1, #0x100
    ldr x0, =REPORT
    hvc #0
    eret
    .ltorg

    // The physical timer is this guest's, and its interrupt with x0 != 0, too.
    program physical
    mov x21, x0
    mov x19, #0
    cbz x21, 1f
    adr x9, 7f
    adr x1, vectors
    msr vbar_el1, x1
    mov x22, xzr
    mrs x1, id_aa64pfr0_el1
    tst x1, #0xf << 24
    b.ne 1f
    ldr x22, =GICC
1:  mrs x1, cntpct_el0
    msr cntp_cval_el0, x1
    mov x1, #1
    msr cntp_ctl_el0, x1
    isb
    msr daifclr, #2
3:  cbz x19, 3b
    report x19
    b .
7:  acknowledge w19
    msr cntp_ctl_el0, xzr
    isb
    end_of w19
    eret
    .ltorg

    // The physical timer's control.
    program control
    mrs x1, cntp_ctl_el0
    report x1
    b .
    .ltorg

    // What HCR_EL2 may be told to trap, and not to.
    program traps
    msr ttbr0_el1, x0
    mrs x1, ctr_el0
    mrs x1, actlr_el1
    report x0
    b .
    .ltorg

    program counter
    isb
    mrs x19, cntvct_el0
    report x19
    b .
    .ltorg

    // What is in the second page of the blob's neighbour, for ever.
    program read
    adr x21, vectors
    and x21, x21, #~0xfff
    add x21, x21, #0x1000
1:  ldr x19, [x21]
    report x19
    b 1b
    .ltorg

    // Store x1 to x0; then whatever the host says next.
    program write
1:  str x1, [x0]
    ldr x0, =REPORT
    hvc #0
    b 1b
    .ltorg

    // FP registers: set once, then shown for ever; x0 != 0: leave them alone.
    program float
    mov x1, #3 << 20
    msr cpacr_el1, x1
    isb
    cbnz x0, 2f
    mov x19, #0x77
    fmov d9, x19
1:  fmov x19, d9
    report x19
    b 1b
2:  report x0
    b 2b
    .ltorg

    // An instruction of SVE, where there is one: the next report is of the exception that it is.
    program vectors_long
    adr x1, vectors
    msr vbar_el1, x1
    mov x1, #0x33 << 16     // CPACR_EL1: ZEN, FPEN
    msr cpacr_el1, x1
    isb
    .inst 0x04e0e3e0        // cntd x0
    report x0
    b .
    .ltorg

    // The virtual timer in x0 ticks; then it is stopped and told.
    program timer
    mov x20, x0
    mov x19, #0
    take_interrupts 7f
    mrs x1, cntvct_el0
    add x1, x1, x20
    msr cntv_cval_el0, x1
    mov x1, #1
    msr cntv_ctl_el0, x1
3:  cbz x19, 3b
    report x19
    b .
7:  acknowledge w19
    msr cntv_ctl_el0, xzr
    end_of w19
    eret
    .ltorg

    program spin
1:  b 1b

    .globl guest_el2_end
guest_el2_end:
