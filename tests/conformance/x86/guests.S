// SPDX-License-Identifier: Apache-2.0
//
// The guest programs. Each is position-bound to LOAD, starts at its first byte in the mode that its case
// names, and talks to the runner by ports and by the device page at MMIO (layout.h).
#include "layout.h"
#include "accesses.h"

    .section .rodata

    .macro guest name, bits
    .balign 16
    .globl guest_\name
    .hidden guest_\name
guest_\name:
    .set base, guest_\name
    .code\bits
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

#define AT(label) (label - base + LOAD)

// ---- the first one: a request by a port, MMIO in and out, kicks, sleep and wake-up

    guest first, 16
    cli
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $STACK, %sp
    movw $AT(1f), 0x40 * 4
    movw %ax, 0x40 * 4 + 2
    mov $MMIO >> 4, %ax
    mov %ax, %es
    mov $0xcafe0001, %eax
    out %eax, $0x10 // a hypercall by another name
    in $0x10, %eax
    mov %eax, %ebx // the nonce
    xor $0x5a5a5a5a, %eax
    out %eax, $OUTPUT
    mov %es:0x10, %ecx
    mov %ecx, %eax
    rol $8, %eax
    ror $8, %eax
    out %eax, $OUTPUT
    mov %ebx, %eax
    not %eax
    mov %eax, %es:0x10
    mov $1000, %cx
2:  movzx %cx, %eax
    xor %ebx, %eax
    out %eax, $OUTPUT
    dec %cx
    jnz 2b
    xor %di, %di
    sti
    hlt
    cli
    movzx %di, %eax
    xor %ebx, %eax
    out %eax, $OUTPUT
    hlt
1:  inc %di
    push %ax
    mov $0x40, %al
    out %al, $TAKEN
    pop %ax
    iretw
    done first

// ---- ports

    .macro pio bits, report:vararg
    mov $0xa1a2a3a4, %eax
    out %al, $0x40
    out %ax, $0x41
    out %eax, $0x42
    mov $0xfff0, %dx
    out %al, %dx
    out %ax, %dx
    out %eax, %dx
    mov $0x11223344, %eax
    in $0x43, %al
    \report
    mov $0x11223344, %eax
    in $0x44, %ax
    \report
    mov $0x11223344, %eax
    in $0x45, %eax
    \report
    mov $0x11223344, %eax
    in %dx, %al
    \report
    mov $0x11223344, %eax
    in %dx, %ax
    \report
    in %dx, %eax
    \report
    hlt
    .endm

    guest pio16, 16
    pio 16, out %eax, $OUTPUT
    done pio16

    guest pio32, 32
    pio 32, out %eax, $OUTPUT
    done pio32

    guest pio64, 64
    pio 64, mov %rax, REPORT
    done pio64

// The upper half of RAX: kept by AL and AX, cleared by EAX.
    guest pio_rax, 64
    mov $PATTERN, %rax
    in $0x43, %al
    mov %rax, REPORT
    mov $PATTERN, %rax
    in $0x43, %ax
    mov %rax, REPORT
    mov $PATTERN, %rax
    in $0x43, %eax
    mov %rax, REPORT
    hlt
    done pio_rax

// ---- string instructions; the runner fills DATA, or looks at it

    .macro string insn, count, from
    mov $DATA + \from, %edi
    mov $DATA + \from, %esi
    mov $\count, %ecx
    mov $0x50, %edx
    rep \insn
    mov %ecx, REPORT // 0
    mov %edi, REPORT
    mov %esi, REPORT
    .endm

    guest rep_in, 64
    string insb, 40, 0
    string insw, 40, 0x1000
    string insl, 40, 0x2000
    hlt
    done rep_in

    guest rep_out, 64
    string outsb, 20, 0
    string outsw, 20, 0x1000
    string outsl, 20, 0x2000
    hlt
    done rep_out

// Downwards, and across the end of a page.
    guest rep_down, 64
    std
    string insl, 8, 0x100c
    string outsl, 8, 0x100c
    cld
    hlt
    done rep_down

// More than a page of elements, a page's end on the way, and none at all.
    guest rep_long, 64
    string insl, 1500, 0x10
    string outsw, 30, 0xff2
    string insb, 0, 0
    string outsl, 0, 0
    hlt
    done rep_long

    guest rep32, 32
    .irp insn, insb, insw, insl, outsb, outsw, outsl
    mov $DATA, %edi
    mov $DATA, %esi
    mov $3, %ecx
    mov $0x50, %edx
    rep \insn
    lea (%edi, %esi), %eax
    out %eax, $OUTPUT
    .endr
    hlt
    done rep32

    guest rep16, 16
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov $DATA, %di
    mov $3, %cx
    mov $0x50, %dx
    rep insw
    mov $DATA, %si
    mov $3, %cx
    rep outsw
    insb
    mov %di, %ax
    out %ax, $OUTPUT
    hlt
    done rep16

// ---- MMIO

#define ONE_LOAD(insn, reg, full, width, value) \
    mov $PATTERN, % full;                       \
    insn DEV, % reg;                            \
    mov % full, REPORT;
    guest mmio_load, 64
    LOADS(ONE_LOAD)
    hlt
    done mmio_load

#define ONE_STORE(insn, reg, full, width, value) \
    mov DEV, % full;                             \
    insn % reg, DEV;
    guest mmio_store, 64
    STORES(ONE_STORE)
    hlt
    done mmio_store

    guest mmio_const, 64
    movb $0x12, DEV
    movw $0x1234, DEV
    movl $0x12345678, DEV
    movq $-2, DEV
    hlt
    done mmio_const

#define ONE_CHANGE(insn, source, width, value) \
    insn source, DEV;
    guest mmio_change, 64
    mov $PATTERN, %rsi
    CHANGES(ONE_CHANGE)
    hlt
    done mmio_change

// Register and device change places; compare and test only read.
    guest mmio_exchange, 64
    mov DEV, %rbx
    mov %rbx, %rax
    not %rax
    xchg %rax, DEV
    mov %rax, REPORT
    mov %rbx, %rcx
    xchg %cl, DEV
    mov %rcx, REPORT
    hlt
    done mmio_exchange

    .macro flag name
    set\name %al
    movzx %al, %eax
    xor %ebx, %eax
    mov %eax, REPORT
    .endm

    guest mmio_test, 64
    mov DEV, %ebx
    cmp %ebx, DEV
    flag e
    cmp %ebx, DEV
    flag e
    cmpb $0x80, DEV
    flag b
    testl $0x80, DEV
    flag nz
    testl $0x80, DEV
    flag nz
    btl $5, DEV
    flag c
    cmp DEV, %ebx
    flag e
    add DEV, %ebx
    mov %ebx, REPORT
    hlt
    done mmio_test

// Every way to say an address.
    guest mmio_address, 64
    mov $DEV, %eax
    movb (%rax), %cl
    mov $DEV - 0x70, %r12d
    movb 0x70(%r12), %cl
    mov $DEV + 0x1000, %r13d
    movb -0x1000(%r13), %cl
    mov $MMIO, %ebp
    mov $4, %r9d
    movb (%rbp, %r9, 4), %cl
    movb 8(, %r9, 2), %cl // memory: no exit
    mov $MMIO / 8, %esi
    movb 0x10(, %rsi, 8), %cl
    mov $-0x10, %rdi
    movb DEV + 0x10(%rdi), %cl
    movb %cl, (DEV - LOAD + base)(%rip)
    mov $DEV, %r8
    mov $0xffffffff00000000, %rax
    or %r8, %rax
    movb (%eax), %cl
    movzx %cl, %ecx
    mov %ecx, REPORT
    hlt
    done mmio_address

// String instructions between memory and a device.
    guest mmio_string, 64
    mov DEV, %rax
    mov $MMIO + 0x100, %edi
    mov $3, %ecx
    rep stosl
    mov $MMIO + 0x100, %esi
    mov $DATA, %edi
    mov $3, %ecx
    rep movsw
    mov $DATA + 0x100, %esi
    mov $MMIO + 0x200, %edi
    mov $3, %ecx
    rep movsb
    mov $DATA + 0x200, %edi
    mov $MMIO + 0x300, %esi
    movsq
    stosb
    mov %rdi, REPORT
    hlt
    done mmio_string

    guest mmio16, 16
    mov $MMIO >> 4, %ax
    mov %ax, %es
    mov %ax, %ds
    mov $0x11223344, %eax
    movb 0x10, %al
    out %eax, $OUTPUT
    movw %es:0x10, %bx
    movzx %bx, %eax
    out %eax, $OUTPUT
    mov $0x10, %si
    movl (%si), %ecx
    mov %ecx, %eax
    out %eax, $OUTPUT
    mov $8, %bx
    movzbl 8(%bx), %eax
    out %eax, $OUTPUT
    movb %cl, (%bx, %si)
    movw %cx, 0x10
    movl %ecx, 0x10
    addw $1, 0x10
    hlt
    done mmio16

    guest mmio32, 32
    mov $0x11223344, %eax
    movb DEV, %ah
    out %eax, $OUTPUT
    movw DEV, %cx
    movzx %cx, %eax
    out %eax, $OUTPUT
    mov $DEV, %esi
    movl (%esi), %ecx
    mov %ecx, %eax
    out %eax, $OUTPUT
    movsbl (%esi), %eax
    out %eax, $OUTPUT
    movb %cl, (%esi)
    movw %cx, (%esi)
    movl %ecx, (%esi)
    subl $1, (%esi)
    mov $STACK, %esp
    push (%esi)
    pop %eax
    out %eax, $OUTPUT
    hlt
    done mmio32

// The last bytes of the memory, and the first behind it.
    guest straddle, 64
    mov RAM_END - 2, %eax
    mov %eax, REPORT
    mov RAM_END - 3, %rax
    mov %rax, REPORT
    mov DEV, %rax
    mov %eax, RAM_END - 1
    mov %rax, RAM_END - 4
    hlt
    done straddle

// ---- one instruction of each kind; the tables know where it begins and ends

    guest places, 64
    xor %eax, %eax
    mov $0x33, %edx
    out %al, %dx
point places_out_end
    in %dx, %al
point places_in_end
    mov DEV, %eax
point places_load_end
    mov %eax, DEV
point places_store_end
    addl $1, DEV
point places_change_end
    mov $DATA, %edi
    mov $2, %ecx
    rep insb
    mov $DATA, %esi
    mov $2, %ecx
    rep outsb
    hlt
point places_halt_end
    mov %rax, REPORT
    hlt
    done places

// One load and its report, for whatever the rows do between them.
    guest load, 64
    mov $PATTERN, %rbx
point load_insn
    mov DEV, %rax
point load_end
    mov %rax, REPORT
    mov %rbx, REPORT
    hlt
point load_other
    mov %rax, %rcx
    not %rcx
    mov %rcx, REPORT
    hlt
    done load

    guest store, 64
    mov DEV, %rax
    mov %rax, 0xd5008
    mov %rax, REPORT
    hlt
    done store

    guest out, 64
    mov DEV, %rax
    out %eax, $0x46
point out_end
    mov %rax, REPORT
    hlt
    done out

    guest in, 64
    mov $PATTERN, %rax
    in $0x43, %al
    mov %rax, REPORT
    mov $PATTERN, %rax
    in $0x43, %ax
    mov %rax, REPORT
    in $0x43, %eax
    mov %rax, REPORT
    mov DEV, %rax
    mov %rax, REPORT
    hlt
    done in

// Runs into addresses without memory.
    guest fetch, 64
    mov DEV, %rax
    mov $MMIO + 0x2000, %ebx
    jmp *%rbx
    done fetch

    guest undecoded, 64
    mov %cr0, %rax
    and $~0xc, %eax
    mov %rax, %cr0
    mov DEV, %rax
point undecoded_insn
    fldl DEV
point undecoded_end
    mov %rax, REPORT
    hlt
    done undecoded

// Vector registers are the guest's own.
    guest vector, 64
    mov %cr0, %rax
    and $~0xc, %eax
    mov %rax, %cr0
    mov %cr4, %rax
    or $0x200, %eax
    mov %rax, %cr4
    mov DEV, %rax
    movq %rax, %xmm3
    out %al, $0x10
    movq %xmm3, %rcx
    mov %rcx, REPORT
    hlt
    done vector

// All general registers, across exits of all kinds.
    guest registers, 64
    mov DEV, %rax
    .irp r, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
    lea 1(%rax), %\r
    mov %\r, %rax
    .endr
    mov DEV, %rax
    in $0x10, %al
    out %al, $0x10
    .irp r, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
    mov %\r, REPORT
    .endr
    hlt
    done registers

// ---- the processor's own registers

// Descriptor tables and a stack of our own. Every vector of `handlers` has an entry there.
    .macro tables64 stack=STACK
    lgdt 90f - base + LOAD
    mov $\stack, %esp
    pushq $8
    pushq $AT(91f)
    lretq
    .balign 8
92: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
90: .word 92b + 23 - 92b
    .quad AT(92b)
91: mov $16, %eax
    mov %eax, %ss
    mov %eax, %ds
    mov %eax, %es
    lidt 93f - base + LOAD
    jmp 94f
93: .word 16 * 256 - 1
    .quad DATA + 0x4000
94:
    .endm

// Gate of `vector` to `handler`, in a table at DATA + 0x4000. Clobbers RAX.
    .macro gate vector, handler
    mov $AT(\handler) | 8 << 16, %eax
    mov %eax, DATA + 0x4000 + \vector * 16
    movl $0x8e00, DATA + 0x4000 + \vector * 16 + 4
    .endm

    .macro handler vector
    push %rax
    mov $\vector, %al
    out %al, $TAKEN
    pop %rax
    iretq
    .endm

// The #GP handler goes on at %r15, with RBX one more.
    .macro on_fault
    inc %rbx
    mov %r15, 8(%rsp)
    add $8, %rsp
    iretq
    .endm

    guest msr_read, 64
    tables64
    gate 13, 1f
    mov $MSR, %ecx
    mov $PATTERN, %rax
    mov %rax, %rdx
    rdmsr
point msr_read_end
    mov %rax, REPORT
    mov %rdx, REPORT
    mov DEV, %rbx
    mov $AT(2f), %r15d
    rdmsr // refused
    mov $0, %ebx
2:  mov %rbx, REPORT
    hlt
1:  on_fault
    done msr_read

    guest msr_write, 64
    tables64
    gate 13, 1f
    mov DEV, %rax
    mov %rax, %rdx
    shr $32, %rdx
    mov $MSR, %ecx
    wrmsr
point msr_write_end
    mov DEV, %rbx
    mov $AT(2f), %r15d
    wrmsr // refused
    mov $0, %ebx
2:  mov %rbx, REPORT
    hlt
1:  on_fault
    done msr_write

// MSRs that are the guest's own: no exit, and each holds what was written.
    .macro keeps index
    mov $\index, %ecx
    mov %ecx, %eax
    xor %ebx, %eax
    xor %edx, %edx
    wrmsr
    .endm
    .macro kept index
    mov $\index, %ecx
    mov $-1, %rax
    mov %rax, %rdx
    rdmsr
    shl $32, %rdx
    or %rdx, %rax
    mov %rax, REPORT
    .endm
    guest msr_kept, 64
    mov DEV, %ebx
    .irp index, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000082, 0x175, 0x176
    keeps \index
    .endr
    .irp index, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000082, 0x175, 0x176
    kept \index
    .endr
    hlt
    done msr_kept

// What every guest must find: that it runs under a hypervisor, and a leaf 0 that is not empty.
    guest cpuid, 64
    mov DEV, %r8
    mov $1, %eax
    xor %ecx, %ecx
    cpuid
    shr $31, %ecx
    xor %r8, %rcx
    mov %rcx, REPORT
    mov $0xffffffff00000000, %rax
    mov %rax, %rbx
    mov %rax, %rcx
    mov %rax, %rdx
    cpuid
    mov %rax, %r10
    neg %rax
    sbb %r9, %r9 // all ones, if it was not zero
    or %rbx, %r10
    or %rcx, %r10
    or %rdx, %r10
    shr $32, %r10 // the upper halves are cleared
    xor %r10, %r9
    xor %r8, %r9
    mov %r9, REPORT
    hlt
    done cpuid

// Intel's instruction on Intel, AMD's on AMD.
    guest hypercall, 64
    xor %eax, %eax
    cpuid
    cmp $0x68747541, %ebx // "Auth"
    setz %r15b
    mov DEV, %r8
    mov $12, %eax
    mov $DATA, %ebx
    mov $1, %ecx
    mov $3, %edx
    mov $4, %esi
    test %r15b, %r15b
    jnz 1f
    vmcall
    jmp 2f
1:  vmmcall
2:  xor %r8, %rax
    mov %rax, REPORT
    hlt
    done hypercall

// ---- interrupts

    guest halt, 64
    tables64
    gate 2, 3f
    gate 0x21, 1f
    gate 0xff, 2f
    mov DEV, %rbx
    sti
    hlt
point halt_end
    mov %rbx, REPORT
    sti
    hlt
    mov %rbx, REPORT
    cli
    hlt
    mov %rbx, REPORT
    sti
    nop
    cli
    mov %rbx, REPORT
    hlt
1:  handler 0x21
2:  handler 0xff
3:  handler 2
    done halt

// Several at once, while interrupts are off.
    guest order, 64
    tables64
    gate 0x20, 1f
    gate 0x31, 2f
    gate 0xef, 3f
    mov DEV, %rbx
    mov %rbx, REPORT
    sti
    nop
    cli
    mov %rbx, REPORT
    hlt
1:  handler 0x20
2:  handler 0x31
3:  handler 0xef
    done order

// Nothing is taken in the shadow of sti.
    guest shadow, 64
    tables64
    gate 0x40, 1f
    mov DEV, %rbx
    mov %ebx, %eax
    mov $0x47, %edx
    sti
    out %al, %dx
    nop
    cli
    mov %rbx, REPORT
    hlt
1:  handler 0x40
    done shadow

// On and off, on and off: R8 rounds; the handlers count in R9 to R11.
    guest storm, 64
    tables64
    gate 0x50, 1f
    gate 0x60, 2f
    gate 0x70, 3f
    mov DEV, %rbx
    xor %r9d, %r9d
    xor %r10d, %r10d
    xor %r11d, %r11d
    mov $300, %r8d
    mov %ebx, %eax
4:  out %al, $0x48
    sti
    nop
    cli
    out %al, $0x49
    sti
    nop
    nop
    cli
    dec %r8d
    jnz 4b
    sti
    nop
    cli
    add %rbx, %r9
    add %rbx, %r10
    add %rbx, %r11
    mov %r9, REPORT
    mov %r10, REPORT
    mov %r11, REPORT
    hlt
1:  inc %r9
    iretq
2:  inc %r10
    iretq
3:  inc %r11
    iretq
    done storm

// NMI: taken with interrupts off, and a second one not before the first one's iret.
    guest nmi, 64
    tables64
    gate 2, 1f
    mov DEV, %rbx
    mov %ebx, %eax
    out %al, $0x48
    mov %rbx, REPORT
    out %al, $0x48
    nop
    mov %rbx, REPORT
    hlt
1:  inc %rbx
    out %al, $0x49
    out %al, $0x4a
    iretq
    done nmi

// A line interrupts until it is lowered; the handler asks for that.
    guest line, 64
    tables64
    gate 0x61, 1f
    mov DEV, %rbx
    mov %ebx, %eax
    out %al, $0x48
    sti
    nop
    nop
    cli
    mov %rbx, REPORT
    hlt
1:  handler 0x61
    done line

// Spins until memory says stop; R9 counts what it has taken.
    guest spin, 64
    tables64
    gate 0x80, 2f
    gate 0x81, 3f
    mov DEV, %rbx
    xor %r9d, %r9d
    xor %r10d, %r10d
    sti
1:  inc %r10
    cmpl $0, DATA
    je 1b
    cli
    add %rbx, %r9
    mov %r9, REPORT
    test %r10, %r10
    setnz %al
    movzx %al, %eax
    add %rbx, %rax
    mov %rax, REPORT
    hlt
2:  inc %r9
    incl DATA + 8
    iretq
3:  inc %r9
    incl DATA + 12
    iretq
    done spin

// Waits busily until memory says stop, and adds: R11 is R10 times the nonce, whatever came between.
    guest slice, 64
    tables64
    gate 0x80, 2f
    mov DEV, %rbx
    xor %r9d, %r9d
    xor %r10d, %r10d
    xor %r11d, %r11d
    sti
1:  inc %r10
    pause
    add %rbx, %r11
    cmpl $0, DATA
    je 1b
    cli
    imul %rbx, %r10
    sub %r10, %r11
    add %rbx, %r11
    mov %r11, REPORT
    add %rbx, %r9
    mov %r9, REPORT
    hlt
2:  inc %r9
    iretq
    done slice

// Exits often.
    guest busy, 64
1:  mov $100, %ecx
2:  dec %ecx
    jnz 2b
    out %al, $0x48
    jmp 1b
    done busy

// CR8 holds interrupts back: those of its class and below wait until it is lowered, also in a halt.
    guest cr8, 64
    tables64
    gate 13, 3f
    gate 0x35, 1f
    gate 0x45, 2f
    mov DEV, %rbx
    mov $3, %eax
    mov %rax, %cr8
    sti
    out %al, $0x48
    nop
    mov %rbx, REPORT
    out %al, $0x48
    nop
    mov $16, %eax
    mov $AT(4f), %r15d
    mov %rax, %cr8 // no such class
    mov $0, %ebx
4:  mov %rbx, REPORT
    mov %cr8, %rsp
    add %rbx, %rsp
    mov %rsp, REPORT
    mov $STACK, %esp
    mov $4, %eax
    mov %rax, %cr8
    mov %rbx, REPORT
    mov $2, %r9d
    mov %r9, %cr8
    mov %rbx, REPORT
    mov $3, %eax
    mov %rax, %cr8
    hlt
    mov %rbx, REPORT
    hlt
    mov %cr8, %rax
    add %rbx, %rax
    mov %rax, REPORT
    hlt
1:  handler 0x35
2:  handler 0x45
3:  on_fault
    done cr8

// Single-stepping through instructions that exit: R8 is where the handler notes each PC, R9 its traps that DR6 calls
// single steps. The last one turns it off.
    .macro traced name, insn:vararg
    \insn
point step_\name
    .endm
    guest step, 64
    tables64
    gate 1, 1f
    mov DEV, %r12
    mov $DATA, %r8d
    xor %r9d, %r9d
    xor %eax, %eax
    mov $MMIO + 0x100, %edi
    mov $DATA + 0x800, %esi
    pushfq
    orl $0x100, (%rsp)
    popfq
    traced nop, nop
    traced cpuid, cpuid
    traced zero, xor %eax, %eax
    traced out, out %al, $0x48
    traced in, in $0x48, %al
    traced load, mov DEV, %r10
    traced change, addl $1, DEV
    traced count, mov $2, %ecx
point step_rep
    traced stos, rep stosl
    traced again, mov $2, %ecx
    traced port, mov $0x50, %edx
point step_repout
    traced outs, rep outsb
    traced msr, mov $MSR, %ecx
    traced rdmsr, rdmsr
    traced cr8, mov %cr8, %rax
    traced end, nop
    nop
    add %r12, %r9
    mov %r9, REPORT
    mov %r10, REPORT
    hlt
1:  push %rax
    mov 8(%rsp), %rax
    mov %rax, (%r8)
    add $8, %r8
    mov %dr6, %rax
    and $0x4000, %eax
    shr $14, %eax
    add %rax, %r9
    mov $0xffff0ff0, %eax
    mov %rax, %dr6
    cmpq $AT(step_end), 8(%rsp)
    jne 2f
    andl $~0x100, 24(%rsp)
2:  pop %rax
    iretq
    done step

// IPIs, by the command register of the xAPIC and of the x2APIC; and what is another register.
    guest ipi, 64
    mov DEV, %rbx
    mov $0xfee00000, %edi
    movl $3 << 24, 0x310(%rdi)
    movl $0x4041, 0x300(%rdi)
    movl $0x4500, 0x300(%rdi)
    movl $0x4609, 0x300(%rdi)
point ipi_end
    mov %ebx, 0x80(%rdi)
    movw $1, 0x300(%rdi)
    mov 0x300(%rdi), %eax
    mov %eax, REPORT
    orl $0x42, 0x300(%rdi)
    movl $0x4043, DATA
    mov $DATA, %esi
    add $0x300, %edi
    movsl
    mov %edi, REPORT
    mov $0x830, %ecx
    mov $5, %edx
    mov $0x4044, %eax
    wrmsr
    mov %rbx, REPORT
    hlt
    done ipi

// ---- two vCPUs: EDI is the number. They pass a token through memory and add to it in turn.

    guest pair, 64
    xor %eax, %eax
    test %edi, %edi
    jnz 2f
    mov DEV, %rax
    mov %rax, DATA + 8
    movl $1, DATA
1:  out %al, $0x48
    cmpl $2, DATA
    jne 1b
    mov DATA + 8, %rax
    mov %rax, REPORT
    hlt
2:  out %al, $0x49
    cmpl $1, DATA
    jne 2b
    incq DATA + 8
    movl $2, DATA
    hlt
    done pair

// The same 200 times without exits, both at once.
    guest pair_race, 64
    mov DEV, %rbx
    mov $200, %ecx
1:  pause
    cmp %edi, DATA
    jne 1b
    incq DATA + 8
    mov %edi, %eax
    xor $1, %eax
    mov %eax, DATA
    dec %ecx
    jnz 1b
    add DATA + 8, %rbx
    mov %rbx, REPORT
    hlt
    done pair_race

// ---- the end

    guest triple, 64
    mov $STACK, %esp
    mov DEV, %rax
    mov %rax, REPORT
    pushq $0
    pushq $0
    lidt (%rsp)
    ud2
    done triple

// Real mode into protected mode into long mode, all by itself.
    guest climb, 16
    cli
    in $0x10, %eax
    mov %eax, %ebp
    xor %ax, %ax
    mov %ax, %ds
    lgdtl AT(8f)
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $0x18, $AT(1f)
    .code32
1:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %ss
    mov %ebp, %eax
    not %eax
    out %eax, $OUTPUT
    movl $(TABLES + 0x1000) | 3, TABLES
    movl $(TABLES + 0x2000) | 3, TABLES + 0x1000
    movl $0x83, TABLES + 0x2000
    mov $TABLES, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000001, %eax
    mov %eax, %cr0
    ljmp $8, $AT(2f)
    .code64
2:  mov %ebp, %eax
    not %rax
    mov %rax, REPORT
    hlt
    .balign 8
9:  .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
8:  .word 31
    .long AT(9b)
    done climb

    .section .note.GNU-stack, "", @progbits
