// SPDX-License-Identifier: Apache-2.0
//
// The guests of bench/guest.c: 64 rounds of one exit each, counted by the time-stamp counter; every register and
// one of the vector registers are checked after each. At last port 0x99, with the nonce in RSP, or 0 if a register
// was wrong, and the last count in RSI.
    .section .rodata
    .code64

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

    .macro begin name
    .balign 16
    .globl guest_\name
guest_\name:
    mov %rdi, %rsp // the nonce
    mov $64, %r15d
    movq %rdi, %xmm7
1:
    .set n, 1
    .irp r, rcx, rbx, rbp, rdi, r8, r9, r10, r11, r12, r13, r14
    lea n(%rsp), %\r
    .set n, n + 1
    .endr
    .endm

// What stands between the two looks at the counter besides INSN is in `nothing`, too.
    .macro counted name, insn:vararg
7:  rdtsc
    mov %eax, %esi
    xor %eax, %eax
    \insn
    mov %eax, %edx
8:  rdtsc
    window \name, 7b, 8b
    .endm

    .macro end skip1=none, skip2=none
    sub %esi, %eax
    mov %eax, %esi
    .set n, 1
    .irp r, rcx, rbx, rbp, rdi, r8, r9, r10, r11, r12, r13, r14
    .ifnc \r, \skip1
    .ifnc \r, \skip2
    lea n(%rsp), %rax
    cmp %rax, %\r
    jne 9f
    .endif
    .endif
    .set n, n + 1
    .endr
    movq %xmm7, %rax
    cmp %rsp, %rax
    jne 9f
    dec %r15d
    jnz 1b
    jmp 8f
9:  xor %esp, %esp
8:  out %eax, $0x99
    hlt
    .endm

    .globl guest_count
guest_count:
    begin nothing
    counted nothing
    end

    begin cpuid
    counted cpuid, cpuid
    end rcx, rbx

    begin out
    counted out, out %al, $0x10
    end

    begin in
    counted in, in $0x10, %al
    end

    begin mmio
    mov $0xd0000, %ebx
    counted mmio, mov (%rbx), %eax
    end rbx

// Two in turn, whatever counts: a hypercall and a jump, without and with a vector register in use.
    .macro turn name, insn, float
    .balign 16
    .globl guest_\name
guest_\name:
    mov %rdi, %rsp
    .if \float
    movq %rdi, %xmm7
1:  movq %xmm7, %rsp
    movq %rsp, %xmm7
    .else
1:
    .endif
2:  \insn
    jmp 1b
    window \name, 2b, 2b
    .endm

    .irp insn, vmcall, vmmcall
    begin \insn
    counted \insn, \insn
    end

    turn turn_\insn, \insn, 0
    turn other_\insn, \insn, 0
    turn turn_float_\insn, \insn, 1
    turn other_float_\insn, \insn, 1
    .endr

    .globl guest_count_end
guest_count_end:
    .pushsection .rodata.windows, "a"
    .globl count_windows_end
count_windows_end:
    .popsection

    .section .note.GNU-stack, "", @progbits
