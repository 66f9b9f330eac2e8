// SPDX-License-Identifier: Apache-2.0
//
// The guest of root.c: asks what to do by a port, does it, asks again. ECX is the operation (enum op), RDI and RSI
// its operands, RSI also the result.
#define ASK 0x10

    .section .rodata
    .code64
    .balign 32
    .globl guest_worker
guest_worker:
1:  out %al, $ASK
    lea 2f(%rip), %rax
    shl $6, %ecx
    add %rcx, %rax
    jmp *%rax

    .macro op
    .balign 64
    .endm
    .macro next
    jmp 1b
    .endm
    .balign 64
2:
    op // LOAD
    mov (%rdi), %rsi
    next
    op // STORE
    mov %rsi, (%rdi)
    next
    op // WAIT: until it is RSI. Bochs 2.7 holds host interrupts back from a guest with IF off
    sti
3:  pause
    cmp %rsi, (%rdi)
    jne 3b
    next
    op // COUNT: writes one number after the other, for ever
    sti
3:  inc %rsi
    mov %rsi, (%rdi)
    jmp 3b
    op // COPY: a device's register to memory, in 8 bytes
    xchg %rsi, %rdi
    movsq
    next
    op // SCRIBBLE: all that it can reach; ESI: 1 with XSAVE, 2 with protection keys
    jmp scribble
    op // DUMP: what it has, as 8-byte words at RDI
    jmp dump
    op // KEYS: a value for PKRU, and nothing else
    mov %cr4, %rax
    or $0x400000, %eax
    mov %rax, %cr4
    xor %ecx, %ecx
    xor %edx, %edx
    mov $0x55555550, %eax
    .byte 0x0f, 0x01, 0xef // wrpkru
    next
    op // INS, OUTS: one element of 4 bytes
    mov $0x20, %edx
    insl
    next
    op
    mov %rdi, %rsi
    mov $0x20, %edx
    outsl
    next
    op // BREAK: RSI is then what happens at guest_break
    jmp break

    .macro to_msr msr, value
    mov $\msr, %ecx
    mov $(\value) & 0xffffffff, %eax
    mov $(\value) >> 32, %edx
    wrmsr
    .endm
break:
    lea breaks(%rip), %rax
    movabs $0x00008e0000080000, %rcx
    or %rcx, %rax
    mov %rax, break_gate(%rip)
    lea break_gate - 16(%rip), %rax
    mov %rax, break_idtr + 2(%rip)
    lidt break_idtr(%rip)
    xor %esi, %esi
    .globl guest_break
guest_break:
    nop
    next
breaks: // resume it
    mov $0xdb, %esi
    orl $0x10000, 16(%rsp)
    iretq
scribble:
    lea own_gdt(%rip), %rax
    mov %rax, own_gdtr + 2(%rip)
    lgdt own_gdtr(%rip)
    lidt own_idtr(%rip)
    mov $0x28, %eax
    ltr %ax
    mov $0x38, %eax
    lldt %ax
    mov $0x23, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov $0x10, %eax
    mov %eax, %gs
    mov $0xabcd000, %eax
    mov %rax, %cr2
    mov $9, %eax
    mov %rax, %cr8
    mov $0x11110000, %eax
    mov %rax, %db0
    mov $0x22220000, %eax
    mov %rax, %db1
    mov $0x33330000, %eax
    mov %rax, %db2
    mov $0x44440000, %eax
    mov %rax, %db3
    mov $0xffff0ff4, %eax
    mov %rax, %db6
    mov $0x4aa, %eax // all four, for what is not executed
    mov %rax, %db7
    to_msr 0x174, 0x77
    to_msr 0x175, 0x77707770
    to_msr 0x176, 0x77717771
    to_msr 0x277, 0x0001040600070406
    to_msr 0xc0000080, 0xd01
    to_msr 0xc0000081, 0x0013000800000000
    to_msr 0xc0000082, 0x7fff00000082
    to_msr 0xc0000083, 0x7fff00000083
    to_msr 0xc0000084, 0x84
    to_msr 0xc0000100, 0x7fff00000100
    to_msr 0xc0000101, 0x7fff00000101
    to_msr 0xc0000102, 0x7fff00000102
    to_msr 0xc0000103, 0x103
    mov %cr4, %rax
    or $0x600, %eax
    mov %rax, %cr4
    fninit
    fldpi
    fldpi
    lea own_mxcsr(%rip), %rax
    ldmxcsr (%rax)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movdqu own_gdt + 8 + \n(%rip), %xmm\n
    .endr
    test $1, %esi
    jz 4f
    mov %cr4, %rax
    or $0x40000, %eax
    mov %rax, %cr4
    xor %ecx, %ecx
    xor %edx, %edx
    mov $1, %eax
    xsetbv
4:  test $2, %esi
    jz 4f
    mov %cr4, %rax
    or $0x400000, %eax
    mov %rax, %cr4
    xor %ecx, %ecx
    xor %edx, %edx
    mov $0x55555550, %eax
    .byte 0x0f, 0x01, 0xef // wrpkru
4:  push $0x43002 // AC, IOPL
    popf
    next

    .macro word from
    mov \from, %rax
    stosq
    .endm
dump:
    cld
    .irp r, cr0, cr2, cr3, cr4, cr8, db0, db1, db2, db3, db6, db7, ds, es, fs, gs
    word %\r
    .endr
    .irp m, 0x174, 0x175, 0x176, 0x277, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103
    mov $\m, %ecx
    rdmsr
    shl $32, %rdx
    or %rdx, %rax
    stosq
    .endr
    xor %eax, %eax
    str %ax
    stosq
    sldt %ax
    stosq
    sgdt (%rdi)
    add $16, %rdi
    sidt (%rdi)
    add $16, %rdi
    xor %ecx, %ecx
    xor %eax, %eax
    test $1, %esi
    jz 4f
    xgetbv
4:  stosq
    xor %eax, %eax
    test $2, %esi
    jz 4f
    .byte 0x0f, 0x01, 0xee // rdpkru
4:  stosq
    lea 63(%rdi), %rdi
    and $-64, %rdi
    fxsave64 (%rdi)
    next

    .balign 8
own_gdt: // 8: 64-bit code, 16: data, 24: 32-bit code, 32: a user's data, 40: TSS, 56: LDT
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff, 0x00cff3000000ffff
    .quad 0x0000890050000067, 0, 0x000082006000001f, 0
own_gdtr:
    .word own_gdtr - own_gdt - 1
    .quad 0
own_idtr:
    .word 0x1ff
    .quad 0x7fff12340000
break_gate:
    .quad 0, 0
break_idtr:
    .word 31
    .quad 0
    .balign 4
own_mxcsr:
    .long 0x1fc0
    .globl guest_worker_end
guest_worker_end:

    .section .note.GNU-stack, "", @progbits
