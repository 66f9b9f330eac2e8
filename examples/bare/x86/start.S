// SPDX-License-Identifier: Apache-2.0
//
// From the BIOS to 64-bit C, for the first CPU and for those that a start-up IPI wakes. The first sector
// reads the rest of the image to where it is linked (link.ld): a PC has memory there up to 0x9f000.

    .set TABLES, machine_tables // PML4, PDPT, four page directories: 4 GiB, linear is physical
    .set CHUNK, 64           // sectors that one BIOS call reads: half a segment

    .section .boot, "ax"
    .code16
    .globl _start
_start:
    ljmp $0, $1f
1:  xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7c00, %sp
    cld
    sti
    mov %dl, drive
    mov $host_chunks, %cx // of the linker
2:  mov $packet, %si
    mov $0x42, %ah // extended read
    mov drive, %dl
    push %cx
    int $0x13
    pop %cx
    jc no_disk
    addw $CHUNK * 32, packet + 6
    addl $CHUNK, packet + 8
    loop 2b
    in $0x92, %al // the 21st address line
    or $2, %al
    and $0xfe, %al
    out %al, $0x92
    cli
    lgdt table_register
    mov $1, %eax
    mov %eax, %cr0
    ljmpl $0x18, $start32
no_disk:
    mov $'F', %al
    out %al, $0xe9
    hlt
    jmp no_disk

drive:
    .byte 0
    .balign 4
packet: // what int 0x13, 0x42 reads: where to, and from which sector
    .byte 16, 0
    .word CHUNK
    .word 0, 0x1000
    .quad 1
table_register:
    .word 4 * 8 - 1
    .long machine_gdt
    .balign 8
    .globl machine_gdt // 8: 64-bit code, 16: data, 24: 32-bit code, then a TSS for each CPU
machine_gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
    .fill 4, 8, 0
    .globl machine_words
machine_words:
    .asciz ""
    .org 510
    .word 0xaa55

    .section .text.start, "ax"
    .code32
start32:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $machine_tables_end, %esp // one slot, for the one call
    mov $host_bss, %edi
    mov $host_bss_end, %ecx
    sub %edi, %ecx
    xor %eax, %eax
    rep stosb
    movl $TABLES + 0x1003, TABLES
    mov $TABLES + 0x2003, %eax
    mov $TABLES + 0x1000, %edi
1:  mov %eax, (%edi)
    add $0x1000, %eax
    add $8, %edi
    cmp $TABLES + 0x1020, %edi
    jne 1b
    mov $0x83, %eax // present, writable, large
    mov $TABLES + 0x2000, %edi
2:  mov %eax, (%edi)
    add $8, %edi
    add $0x200000, %eax
    jnc 2b
    call long_mode
    .code64
    mov $host_cpus, %edi
    mov (%rdi), %rsp
    call machine_start_here
    call host_boot

// 32-bit to 64-bit, on TABLES; returns in 64-bit mode, without a stack. SSE stays off: the host has none.
    .code32
long_mode:
    pop %ebx
    mov $TABLES, %eax
    mov %eax, %cr3
    mov $0x620, %eax // PAE, OSFXSR, OSXMMEXCPT
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    rdmsr
    or $0x900, %eax // LME, NXE
    wrmsr
    mov $0x80000033, %eax // PG, NE, ET, MP, PE
    mov %eax, %cr0
    ljmp $8, $1f
    .code64
1:  mov %ebx, %ebx
    jmp *%rbx

// A start-up IPI begins here: copied to HOST_TRAMPOLINE, its page, in real mode.
    .code16
    .globl machine_trampoline, machine_trampoline_end
machine_trampoline:
    cli
    mov %cs, %ax
    mov %ax, %ds
    lgdtl 1f - machine_trampoline
    mov $1, %eax
    mov %eax, %cr0
    ljmpl $0x18, $machine_trampoline32
    .balign 4
1:  .word 4 * 8 - 1
    .long machine_gdt
machine_trampoline_end:

    .code32
machine_trampoline32:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $machine_tables_end, %esp
    call long_mode
    .code64
    mov machine_starting, %rdi
    mov (%rdi), %rsp
    movq $0, machine_starting
    call machine_start_here
    call host_other

// ---- interrupts: all of them to machine_trap(struct machine_frame *)

    .globl machine_vectors
    .balign 16
machine_vectors: // 16 bytes each
    .set vector, 0
    .rept 256
    .balign 16
    .if vector > 31
    pushq $0
    .else
    .if (0x227d00 >> vector) & 1 // these bring an error code (SDM 3, table 6-1)
    .else
    pushq $0
    .endif
    .endif
    pushq $vector
    jmp 1f
    .set vector, vector + 1
    .endr
1:  push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    mov %rsp, %rdi
    mov %rsp, %rbp
    and $-16, %rsp
    call machine_trap
    mov %rbp, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    iretq

    .bss
    .balign 4096
    .globl machine_tables
machine_tables:
    .skip 0x6000
    .balign 16
    .skip 64
machine_tables_end:

    .section .note.GNU-stack, "", @progbits
