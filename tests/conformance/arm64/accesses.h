// SPDX-License-Identifier: Apache-2.0
//
// The long lists of instructions; each is used twice, by the guest programs and by the tables. x20 is DEV.
#ifndef ACCESSES_H
#define ACCESSES_H

// instruction, register, width, what is in the register then (it was PATTERN)
#define LOADS(X)                                                                                           \
    X(ldrb w2 AT, x2, 1, ZX(1, 0)) X(ldrh w2 AT, x2, 2, ZX(2, 0)) X(ldr w2 AT, x2, 4, ZX(4, 0))            \
    X(ldr x2 AT, x2, 8, N(0)) X(ldr x30 AT, x30, 8, N(0)) X(ldr w0 AT, x0, 4, ZX(4, 0))                    \
    X(ldar x2 AT, x2, 8, N(0)) X(ldarb w2 AT, x2, 1, ZX(1, 0)) X(ldtr w2 AT, x2, 4, ZX(4, 0))              \
    X(ldur x2 AT, x2, 8, N(0)) X(ldr x18 AT, x18, 8, N(0))
#define SIGNED_LOADS(X)                                                                                    \
    X(ldrsb w2 AT, x2, 1, SX(1, 4, 0)) X(ldrsb x2 AT, x2, 1, SX(1, 8, 0)) X(ldrsh w2 AT, x2, 2, SX(2, 4, 0)) \
    X(ldrsh x2 AT, x2, 2, SX(2, 8, 0)) X(ldrsw x2 AT, x2, 4, SX(4, 8, 0)) X(ldrsb x29 AT, x29, 1, SX(1, 8, 0))

// instruction, register, width, data (the register is the nonce)
#define STORES(X)                                                                                          \
    X(strb w2 AT, x2, 1, N(0)) X(strh w2 AT, x2, 2, N(0)) X(str w2 AT, x2, 4, N(0)) X(str x2 AT, x2, 8, N(0)) \
    X(str x30 AT, x30, 8, N(0)) X(str w0 AT, x0, 4, N(0)) X(stlr x2 AT, x2, 8, N(0)) X(stlrh w2 AT, x2, 2, N(0)) \
    X(sttr w2 AT, x2, 4, N(0)) X(stur x2 AT, x2, 8, N(0)) X(strb w29 AT, x29, 1, N(0))

// instruction without a valid syndrome, its number
#define UNDECODEDS(X)                                                                                      \
    X(ldp x2 COMMA x3 AT, 1) X(stp x2 COMMA x3 AT, 2) X(ldp w2 COMMA w3 AT, 3) X(ldr x2 COMMA [x0] COMMA 8, 4) \
    X(str x2 COMMA [x0 COMMA 0]!, 5) X(ldr q0 AT, 6) X(str d0 AT, 7) X(ld1 {v0.16b} AT, 8)

#define COMMA ,
#ifdef __ASSEMBLER__
#define AT , [x20]
#else
#define AT
#endif

#endif
