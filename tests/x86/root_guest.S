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
    op // WAIT: until it is RSI
3:  pause
    cmp %rsi, (%rdi)
    jne 3b
    next
    op // COUNT: writes one number after the other, for ever
3:  inc %rsi
    mov %rsi, (%rdi)
    jmp 3b
    op // COPY: a device's register to memory, in 8 bytes
    xchg %rsi, %rdi
    movsq
    next
    .globl guest_worker_end
guest_worker_end:

    .section .note.GNU-stack, "", @progbits
