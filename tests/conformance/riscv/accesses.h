// SPDX-License-Identifier: Apache-2.0
//
// Every load and store that MMIO may meet, once as an instruction for guests.S and once as a row for
// cases.c. x8 and x2 have the device's address, but 8 lower than that.
#ifndef ACCESSES_H
#define ACCESSES_H

// X(instruction, register, address, register, width, the result of a nonce)
#define LOADS(X) \
    X(lb, x5, 8(x8), x5, 1, SX(1, 8, 0)) X(lbu, x6, 8(x8), x6, 1, ZX(1, 0)) \
    X(lh, x7, 8(x8), x7, 2, SX(2, 8, 0)) X(lhu, x9, 8(x8), x9, 2, ZX(2, 0)) \
    X(lw, x10, 8(x8), x10, 4, SX(4, 8, 0)) X(lwu, x11, 8(x8), x11, 4, ZX(4, 0)) \
    X(ld, x12, 8(x8), x12, 8, N(0)) X(ld, x31, 8(x8), x31, 8, N(0)) X(ld, x1, 8(x8), x1, 8, N(0)) \
    X(ld, x3, 8(x8), x3, 8, N(0)) X(ld, x4, 8(x8), x4, 8, N(0)) X(lw, x28, 8(x2), x28, 4, SX(4, 8, 0)) \
    X(c.lw, x9, 8(x8), x9, 4, SX(4, 8, 0)) X(c.ld, x15, 8(x8), x15, 8, N(0)) \
    X(c.lwsp, x6, 8(x2), x6, 4, SX(4, 8, 0)) X(c.ldsp, x27, 8(x2), x27, 8, N(0)) X(ld, x0, 8(x8), x0, 8, K(0))

// X(instruction, register, address, the register that gets the nonce first, width, the data)
#define STORES(X) \
    X(sb, x5, 8(x8), x5, 1, ZX(1, 0)) X(sh, x6, 8(x8), x6, 2, ZX(2, 0)) X(sw, x31, 8(x8), x31, 4, ZX(4, 0)) \
    X(sd, x1, 8(x8), x1, 8, N(0)) X(sd, x10, 8(x2), x10, 8, N(0)) X(sd, x4, 8(x8), x4, 8, N(0)) \
    X(c.sw, x9, 8(x8), x9, 4, ZX(4, 0)) X(c.sd, x14, 8(x8), x14, 8, N(0)) \
    X(c.swsp, x3, 8(x2), x3, 4, ZX(4, 0)) X(c.sdsp, x30, 8(x2), x30, 8, N(0))

#endif
