// SPDX-License-Identifier: Apache-2.0
//
// With AXVCPU_OWN_VECTORS: a table of our own. The upper half is the guests', here by branches (in C,
// AXVCPU_ARM64_GUEST_VECTORS saves those); the lower one makes a struct axvcpu_arm64_frame of what was
// interrupted and goes to axvcpu_host_exception.
#ifdef AXVCPU_OWN_VECTORS
    .text
    .balign 0x800
    .globl machine_vectors
machine_vectors:
    .irp slot, 0, 1, 2, 3, 4, 5, 6, 7
    .balign 0x80
    sub sp, sp, #288
    stp x0, x1, [sp]
    mov x0, #\slot
    b interrupted
    .endr
    .irp slot, 0, 1, 2, 3, 4, 5, 6, 7
    .balign 0x80
    b axvcpu_arm64_guest_vectors + \slot * 0x80
    .endr
    .balign 0x80

interrupted:
    stp x2, x3, [sp, #16]
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    stp x18, x19, [sp, #144]
    stp x20, x21, [sp, #160]
    stp x22, x23, [sp, #176]
    stp x24, x25, [sp, #192]
    stp x26, x27, [sp, #208]
    stp x28, x29, [sp, #224]
    mrs x1, elr_el2
    mrs x2, spsr_el2
    mrs x3, esr_el2
    mrs x4, far_el2
    stp x30, x1, [sp, #240]
    stp x2, x3, [sp, #256]
    stp x4, x0, [sp, #272]
    mov x0, sp
    bl axvcpu_host_exception
    ldp x30, x1, [sp, #240]
    ldr x2, [sp, #256]
    msr elr_el2, x1
    msr spsr_el2, x2
    ldp x2, x3, [sp, #16]
    ldp x4, x5, [sp, #32]
    ldp x6, x7, [sp, #48]
    ldp x8, x9, [sp, #64]
    ldp x10, x11, [sp, #80]
    ldp x12, x13, [sp, #96]
    ldp x14, x15, [sp, #112]
    ldp x16, x17, [sp, #128]
    ldp x18, x19, [sp, #144]
    ldp x20, x21, [sp, #160]
    ldp x22, x23, [sp, #176]
    ldp x24, x25, [sp, #192]
    ldp x26, x27, [sp, #208]
    ldp x28, x29, [sp, #224]
    ldp x0, x1, [sp], #288
    eret
    dsb nsh
    isb
#endif
