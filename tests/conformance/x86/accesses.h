// SPDX-License-Identifier: Apache-2.0
//
// Instructions that access a device, one line each: the assembler makes the program of it, the compiler
// the table. P is what the register held before (PATTERN).
//
// Loads: instruction, register, its 64-bit name, width, what the register holds then.
#define LOADS(X)                                                   \
    X(movb, al, rax, 1, ZX(1, P & ~0xffull))                         \
    X(movb, ah, rax, 1, LEFT(1, 1, P & ~0xff00ull))                        \
    X(movb, ch, rcx, 1, LEFT(1, 1, P & ~0xff00ull))                        \
    X(movb, dh, rdx, 1, LEFT(1, 1, P & ~0xff00ull))                        \
    X(movb, bh, rbx, 1, LEFT(1, 1, P & ~0xff00ull))                        \
    X(movb, sil, rsi, 1, ZX(1, P & ~0xffull))                        \
    X(movb, bpl, rbp, 1, ZX(1, P & ~0xffull))                        \
    X(movb, r8b, r8, 1, ZX(1, P & ~0xffull))                         \
    X(movb, r15b, r15, 1, ZX(1, P & ~0xffull))                       \
    X(movw, ax, rax, 2, ZX(2, P & ~0xffffull))                       \
    X(movw, r9w, r9, 2, ZX(2, P & ~0xffffull))                       \
    X(movl, eax, rax, 4, ZX(4, 0))                                 \
    X(movl, edi, rdi, 4, ZX(4, 0))                                 \
    X(movl, r10d, r10, 4, ZX(4, 0))                                \
    X(movq, rax, rax, 8, N(0))                                     \
    X(movq, rbx, rbx, 8, N(0))                                     \
    X(movq, r11, r11, 8, N(0))                                     \
    X(movabs, al, rax, 1, ZX(1, P & ~0xffull))                       \
    X(movabs, eax, rax, 4, ZX(4, 0))                               \
    X(movabs, rax, rax, 8, N(0))                                   \
    X(movzbw, ax, rax, 1, ZX(1, P & ~0xffffull))                     \
    X(movzbl, ecx, rcx, 1, ZX(1, 0))                               \
    X(movzbq, rdx, rdx, 1, ZX(1, 0))                               \
    X(movzbq, r12, r12, 1, ZX(1, 0))                               \
    X(movzwl, ebx, rbx, 2, ZX(2, 0))                               \
    X(movzwq, rsi, rsi, 2, ZX(2, 0))                               \
    X(movsbw, ax, rax, 1, SX(1, 2, P & ~0xffffull))                  \
    X(movsbl, ecx, rcx, 1, SX(1, 4, 0))                            \
    X(movsbq, rdx, rdx, 1, SX(1, 8, 0))                            \
    X(movswl, ebp, rbp, 2, SX(2, 4, 0))                            \
    X(movswq, r13, r13, 2, SX(2, 8, 0))                            \
    X(movslq, r14, r14, 4, SX(4, 8, 0))

// Stores: instruction, register, its 64-bit name, width, what reaches the device; the 64-bit register
// holds the nonce.
#define STORES(X)                    \
    X(movb, al, rax, 1, N(0))        \
    X(movb, ah, rax, 1, RIGHT(1, 0))     \
    X(movb, ch, rcx, 1, RIGHT(1, 0))     \
    X(movb, bh, rbx, 1, RIGHT(1, 0))     \
    X(movb, sil, rsi, 1, N(0))       \
    X(movb, r8b, r8, 1, N(0))        \
    X(movw, cx, rcx, 2, N(0))        \
    X(movw, r9w, r9, 2, N(0))        \
    X(movl, edx, rdx, 4, N(0))       \
    X(movl, r10d, r10, 4, N(0))      \
    X(movq, rbx, rbx, 8, N(0))       \
    X(movq, r11, r11, 8, N(0))       \
    X(movabs, al, rax, 1, N(0))      \
    X(movabs, eax, rax, 4, N(0))     \
    X(movabs, rax, rax, 8, N(0))

// Read-modify-write: instruction, source, width, what is written back of a nonce that was read.
#define CHANGES(X)                                            \
    X(addb, $1, 1, N_PLUS(1))                                 \
    X(addw, $0x1234, 2, N_PLUS(0x1234))                       \
    X(addl, %esi, 4, N_PLUS(0x55667788))                      \
    X(addq, %rsi, 8, N_PLUS(P))                               \
    X(subb, $3, 1, N_PLUS(-3))                                \
    X(subl, $0x12345678, 4, N_PLUS(-0x12345678))              \
    X(subq, %rsi, 8, N_PLUS(-(uint64_t)P))                    \
    X(orb, %sil, 1, N_OR(0x88))                               \
    X(orw, %si, 2, N_OR(0x7788))                              \
    X(orl, $0xf0f0, 4, N_OR(0xf0f0))                          \
    X(orq, $-0x80, 8, N_OR((uint64_t)-0x80))                  \
    X(andb, $0x5a, 1, N_AND(0x5a))                            \
    X(andw, %si, 2, N_AND(0x7788))                            \
    X(andl, %esi, 4, N_AND(0x55667788))                       \
    X(andq, %rsi, 8, N_AND(P))                                \
    X(xorb, $0xff, 1, N(0xff))                                \
    X(xorw, %si, 2, N(0x7788))                                \
    X(xorl, %esi, 4, N(0x55667788))                           \
    X(xorq, %rsi, 8, N(P))                                    \
    X(btsl, $31, 4, N_OR(0x80000000u))                        \
    X(btrl, $30, 4, N_AND(~(UINT64_C(1) << 30)))              \
    X(btcw, $0, 2, N(1))                                      \
    X(lock addl, $5, 4, N_PLUS(5))                            \
    X(lock orb, $0x40, 1, N_OR(0x40))                         \
    X(lock xorq, %rsi, 8, N(P))

