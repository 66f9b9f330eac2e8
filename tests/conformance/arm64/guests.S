// SPDX-License-Identifier: Apache-2.0
//
// The guest programs. Each starts at LOAD, at EL1 without MMU, and talks to the runner by hypercalls and by
// the device page at MMIO (layout.h): x20 is its address, x21 that of the results, x19 the nonce.
#include "layout.h"

    .section .rodata

    .macro guest name
    .balign 16
    .globl guest_\name
    .hidden guest_\name
guest_\name:
    ldr x20, =DEV
    ldr x21, =REPORT
    .endm

    .macro done name
    .ltorg
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

    .macro result reg
    str \reg, [x21]
    .endm

    .macro nonce
    ldr x19, [x20]
    .endm

    .macro pattern reg
    ldr \reg, =PATTERN
    .endm

    // The CPU interface takes everything; VBAR_EL1 is `table`, which is 2 KiB aligned at VECTORS.
    .macro take_interrupts
    ldr x1, =VECTORS
    msr vbar_el1, x1
    adr x2, 8f
    mov x3, #0
1:  ldr x4, [x2, x3]        // the handler to both IRQ vectors
    add x5, x1, x3
    str x4, [x5, #0x280]
    add x3, x3, #8
    cmp x3, #64
    b.ne 1b
    dsb sy
    ic iallu
    dsb sy
    isb
    ldr x22, =GICC
    mov w1, #0xff
    str w1, [x22, #4]
    mov w1, #1
    str w1, [x22]
    ldr x23, =TAKEN
    b 9f
    .balign 8
8:  ldr w24, [x22, #0xc]    // IAR
    str w24, [x23]
    str w24, [x22, #0x10]   // EOIR
    eret
    .balign 64
9:  isb
    msr daifclr, #2
    .endm

// ---- the first one: a hypercall, MMIO in and out, kicks, sleep and wake-up

    guest first
    ldr x0, =CALL
    mov x1, #0x11
    mov x2, #0x22
    mov x3, #0x33
    mov x4, #0x44
    mov x5, #0x55
    mov x6, #0x66
    hvc #0
    mov x19, x0             // the nonce
    mov x1, #0x5a5a
    eor x1, x1, x19
    result x1
    pattern x2
    ldr w2, [x20]
    result x2
    mvn x3, x19
    str x3, [x20]
    mov x4, #1000
1:  eor x5, x4, x19
    result x5
    subs x4, x4, #1
    b.ne 1b
    take_interrupts
    wfi
    mov x6, #1
    eor x6, x6, x19
    result x6
    wfi
    done first
