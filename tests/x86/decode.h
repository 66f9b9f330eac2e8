// SPDX-License-Identifier: Apache-2.0
//
// For the tests of what is pure C in the x86 header: they run on the host, beside the fake backend.
#ifndef X86_DECODE_H
#define X86_DECODE_H

#define AXVCPU_IMPLEMENTATION
#include "axvcpu.h"
#include "axvcpu_arch_x86.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#endif
