// SPDX-License-Identifier: Apache-2.0
//
// For the tests of the decoder: it is pure C, so they run on the host, beside the fake backend.
#ifndef ARM64_DECODE_H
#define ARM64_DECODE_H

#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"
#include "axvcpu_arch_arm64.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const action_names[] = {"EXIT", "RESUME", "TRAP", "TRANSLATE"};

// Register n tells its number in every byte, and a sign in every width.
static inline void number_registers(uint64_t gpr[31])
{
    for (unsigned i = 0; i < 31; i++)
        gpr[i] = 0x0101010101010101u * (0x80 + i);
}

#endif
