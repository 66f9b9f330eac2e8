// SPDX-License-Identifier: Apache-2.0
//
// The guests of bench/guest.c: 64 rounds of one exit each, counted by the PMU; every register is checked after
// each. At last the machine is turned off, with the nonce in x28, or 0 if a register was wrong, and the last count
// in x26.
    .section .rodata
#define CALL 0xc6000001
#define SYSTEM_OFF 0x84000008

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

// x28 has the nonce, x26 the last count, x25 the rounds; x24 and x23 the counts; the others are the nonce plus
// their number, but those that the exit needs (skip).
    .macro fill skip1, skip2
    .irp r, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,27,29,30
    .if \r != \skip1 && \r != \skip2
    add x\r, x28, #\r
    .endif
    .endr
    add x24, x28, #31
    mov sp, x24
    .endm

    .macro check skip1, skip2
    .irp r, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,27,29,30
    .if \r != \skip1 && \r != \skip2
    add x24, x28, #\r
    cmp x24, x\r
    b.ne 9f
    .endif
    .endr
    add x24, x28, #31
    mov x23, sp
    cmp x24, x23
    b.ne 9f
    fmov x24, d9
    cmp x24, x28
    b.ne 9f
    .endm

    .macro begin name
    .balign 16
    .globl guest_\name
guest_\name:
    mov x28, x0
    mov x26, #0
    mov x25, #64
    mov x24, #3 << 20 // CPACR_EL1.FPEN
    msr cpacr_el1, x24
    isb
    fmov d9, x28
    .endm

    .macro before
6:  mrs x24, pmevcntr0_el0
    .endm
    .macro after name
7:  mrs x23, pmevcntr0_el0
    sub x26, x23, x24
    window \name, 6b, 7b
    .endm

    .macro finish
    subs x25, x25, #1
    b.ne 1b
    b 8f
9:  mov x28, #0
8:  ldr x0, =SYSTEM_OFF
    hvc #0
    b .
    .ltorg
    .endm

    .globl guest_count
guest_count:
    begin nothing
1:  fill 0, 0
    before
    after nothing
    check 0, 0
    finish

    begin hypercall
1:  fill 0, 0
    ldr x0, =CALL
    before
    hvc #0
    after hypercall
    check 0, 0
    finish

    begin mmio_read
1:  fill 8, 8
    mov x8, #0x10000000
    before
    ldr x7, [x8]
    after mmio_read
    sub x7, x7, x8 // the answer: the address
    add x7, x7, x28
    add x7, x7, #7
    check 8, 8
    finish

// To itself, by a GICv3; what it costs until it is here.
    begin ipi
    adr x0, 3f
    and x1, x0, #~0x7ff
    msr vbar_el1, x1
    mov x1, #0xff
    msr s3_0_c4_c6_0, x1    // ICC_PMR_EL1
    mov x1, #1
    msr s3_0_c12_c12_7, x1  // ICC_IGRPEN1_EL1
    isb
1:  fill 1, 1
    ldr x1, =0x02000001     // SGI 2, to CPU 0
    msr daifclr, #2
    before
    msr s3_0_c12_c11_5, x1  // ICC_SGI1R_EL1
    b .                     // not reached: the interrupt comes first
    .balign 0x800
    .skip 0x280             // VBAR_EL1's IRQ at EL1
3:  after ipi
    mrs x24, s3_0_c12_c12_0 // ICC_IAR1_EL1
    msr s3_0_c12_c12_1, x24 // ICC_EOIR1_EL1
    cmp x24, #2
    b.ne 9f
    check 1, 1
    finish

// Two in turn, whatever counts: a hypercall and a jump, without and with FP in use.
    .macro turn name, float
    begin \name
    ldr x0, =CALL
    .if \float
1:  fmov x28, d9
    fmov d9, x28
    .else
1:
    .endif
2:  hvc #0
    b 1b
    window \name, 2b, 2b
    .ltorg
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
