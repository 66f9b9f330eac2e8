// SPDX-License-Identifier: Apache-2.0
//
// For the tests of the decoder: it is pure C, so they run on the host, beside the fake backend.
#ifndef RISCV_DECODE_H
#define RISCV_DECODE_H

#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"
#include "axvcpu_arch_riscv.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const action_names[] = {"EXIT", "RESUME", "TRAP", "FETCH", "LOAD_MASK"};
static const struct axvcpu_riscv_sbi sbi_identity = {.mvendorid = 0x111, .marchid = 0x222, .mimpid = 0x333};

#endif
