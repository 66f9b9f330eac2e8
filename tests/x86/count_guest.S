// SPDX-License-Identifier: Apache-2.0
//
// The guests of count.c: 64 rounds of one exit each, counted by the time-stamp counter; every register and one
// of the vector registers are checked after each. At last port 0x99: 1 in EAX if all was well, the last count
// in EBX.
    .section .rodata
    .code64

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
    .macro counted insn:vararg
    rdtsc
    mov %eax, %esi
    xor %eax, %eax
    \insn
    mov %eax, %edx
    rdtsc
    .endm

    .macro end name, skip1=none, skip2=none
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
9:  xor %eax, %eax
    test %r15d, %r15d
    setz %al
    mov %esi, %ebx
    out %eax, $0x99
    hlt
    .globl guest_\name\()_end
guest_\name\()_end:
    .endm

    begin nothing
    counted
    end nothing

    begin vmmcall
    counted vmmcall
    end vmmcall

    begin vmcall
    counted vmcall
    end vmcall

    // ... and the other vCPU has a round of its own in each: it is asked for by the exit.
    .macro call_beside insn
    mov $1, %eax
    \insn
    .endm
    .macro call_beside_float insn
    call_beside \insn
    movq %xmm7, %rdx
    .endm

    .irp insn, vmmcall, vmcall
    begin \insn\()_beside
    counted call_beside \insn
    end \insn\()_beside

    begin \insn\()_beside_float
    counted call_beside_float \insn
    end \insn\()_beside_float

    .balign 16
    .globl guest_other_\insn, guest_other_\insn\()_end, guest_other_float_\insn, guest_other_float_\insn\()_end
guest_other_\insn:
    \insn
    jmp guest_other_\insn
guest_other_\insn\()_end:
    .balign 16
guest_other_float_\insn:
    movq %xmm7, %rdx
    \insn
    jmp guest_other_float_\insn
guest_other_float_\insn\()_end:
    .endr

    begin cpuid
    counted cpuid
    end cpuid, rcx, rbx

    begin out
    counted out %al, $0x10
    end out

    begin in
    counted in $0x10, %al
    end in

    begin mmio
    mov $0xd0000, %ebx
    counted mov (%rbx), %eax
    end mmio, rbx

    .section .note.GNU-stack, "", @progbits
